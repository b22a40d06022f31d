//! What only several keys together can tell.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::context::{Bad, CheckContext};
use super::endpoint::{Draft, Place};
use super::general::HostDraft;
use super::hosts::HostsDraft;
use super::slips;
use crate::config::source_text::{quote, quote_path};
use crate::model::limits::{ADDRESSES_A_NAME, NAMES_A_CONFIG, ZONES_AN_ENDPOINT};
use crate::model::ranges::{self, BadAddress};
use crate::model::{HostName, ZoneId};

/// What endpoints that share a name must agree on; zones without addresses, endpoints without names.
pub(super) fn endpoints(drafts: &[Draft], context: &CheckContext<'_>) {
    for draft in drafts {
        zones_have_addresses(draft, context);
        endpoints_fit(draft, context);
        let nameless = draft.names.is_empty() && draft.zones.is_empty() && !draft.publishes_its_domain();
        if nameless && !context.findings.borrow().has_errors() {
            let help = "it is probed and reported, but nothing points at it; add `private_dns`";
            context.warn("endpoint", Bad::found_at(&draft.at, "a name to publish", "none").help(help));
        }
    }
    let enabled: Vec<&Draft> = drafts.iter().filter(|d| d.enabled).collect();
    shared_names_agree(&enabled, context);
    shared_places_have_one_port(&enabled, context);
    second_choices_are_checked_as_well(&enabled, context);
    secrets_are_apart(&enabled, context);
}

/// Warns where one password or token opens two endpoints: a thief who takes it from one has the other. Endpoints that
/// share a name lead to the same database.
fn secrets_are_apart(drafts: &[&Draft], context: &CheckContext<'_>) {
    let mut first: BTreeMap<&str, &Draft> = BTreeMap::new();
    for draft in drafts {
        let Some(secret) = draft.secret() else { continue };
        let other = *first.entry(secret.secret.expose()).or_insert(draft);
        if !std::ptr::eq(other, *draft) && !other.shares_a_name(draft) {
            let expected = format!("a secret of its own, not that of endpoint {}", other.quoted_name());
            let help = "when it is refused in one place, it is used in the other no more either";
            context.warn("endpoint.probe", Bad::found_at(&draft.at, expected, quote_path(&secret.path)).help(help));
        }
    }
}

/// Names that an endpoint and one of its zones, or several zones, lay claim to.
pub(super) fn names(drafts: &[Draft], context: &CheckContext<'_>) {
    let enabled: Vec<&Draft> = drafts.iter().filter(|d| d.enabled).collect();
    pinned_names_are_pinned_once(&enabled, context);
    names_fit(&enabled, context);
}

/// As many as one hand-over may have.
fn names_fit(drafts: &[&Draft], context: &CheckContext<'_>) {
    let mut names: BTreeSet<&HostName> = BTreeSet::new();
    for draft in drafts {
        let of_zones = draft.zones.iter().flat_map(|(_, names)| names);
        names.extend(draft.names.iter().chain(of_zones).map(|n| &n.value));
        if names.len() > NAMES_A_CONFIG {
            let bad = Bad::found_at(&draft.at, format!("at most {NAMES_A_CONFIG} names in all"), "more");
            return context.complain("endpoint.private_dns", bad);
        }
    }
}

/// More of one endpoint would be refused where discovery takes it in.
fn endpoints_fit(draft: &Draft, context: &CheckContext<'_>) {
    let zones: BTreeSet<&ZoneId> = draft.addresses.keys().chain(draft.zones.iter().map(|(id, _)| &id.value)).collect();
    let addresses: BTreeSet<IpAddr> = draft.addresses.values().flatten().map(|a| a.value).collect();
    for (key, most, of, found) in [
        ("endpoint.zone", ZONES_AN_ENDPOINT, "zones", zones.len()),
        ("endpoint.addresses", ADDRESSES_A_NAME, "addresses", addresses.len()),
    ] {
        if found > most {
            let expected = format!("at most {most} {of} of one endpoint");
            context.complain(key, Bad::found_at(&draft.at, expected, found.to_string()));
        }
    }
}

fn zones_have_addresses(draft: &Draft, context: &CheckContext<'_>) {
    // What is found out has more zones than the config knows of. Without any address the complaint was about that.
    let without = draft.zones.iter().filter(|(zone, _)| !draft.addresses.contains_key(&zone.value));
    for (zone, _) in without.filter(|_| !draft.discovered && !draft.addresses.is_empty()) {
        let zones: Vec<String> = draft.addresses.keys().map(|z| quote(z.as_str())).collect();
        let expected = format!("a zone that `addresses` has: {}", zones.join(", "));
        context.complain("endpoint.zone.id", zone.bad(expected, quote(zone.value.as_str())));
    }
}

fn shared_names_agree(drafts: &[&Draft], context: &CheckContext<'_>) {
    let mut first: BTreeMap<&HostName, (&Draft, &'static str)> = BTreeMap::new();
    for draft in drafts {
        let Some(kind) = draft.probe_kind else { continue };
        for name in &draft.names {
            let (other, other_kind) = *first.entry(&name.value).or_insert((draft, kind));
            if other_kind != kind {
                let of = other.quoted_name();
                let expected = format!("the probe kind of endpoint {of}, which has this name too: {other_kind}");
                let help = "endpoints that share a name must agree on what healthy means";
                context.complain("endpoint.private_dns", name.bad(expected, kind).help(help));
            }
        }
    }
}

/// A name is taken from an address when its probe fails, whichever port that was: of two ports behind one address a
/// dead one would stay published while the other answers, and be called healthy.
fn shared_places_have_one_port(drafts: &[&Draft], context: &CheckContext<'_>) {
    let mut first: BTreeMap<(&HostName, Place<'_>), (&Draft, u16)> = BTreeMap::new();
    for draft in drafts {
        let Some(port) = draft.port() else { continue };
        let of_zones = draft.zones.iter().flat_map(|(_, names)| names);
        for name in draft.names.iter().chain(of_zones) {
            let firsts = draft.places().map(|place| *first.entry((&name.value, place)).or_insert((draft, port)));
            // One complaint a name, however many addresses there are; but all of them are taken down.
            let others: Vec<_> = firsts.filter(|(_, other)| *other != port).collect();
            if let Some((other, other_port)) = others.first() {
                let of = other.quoted_name();
                let expected = format!("port {other_port}, as endpoint {of} has it for this name at the same address");
                let help = "a name leads to the whole address, and a dead port would stay published while the other one \
                            answers: give each port a name of its own";
                context.slip("endpoint.private_dns", name.bad(expected, format!("port {port}")).help(help));
            }
        }
    }
}

/// Warns where a name falls back on an endpoint of which less is known to work than of the first choice.
fn second_choices_are_checked_as_well(drafts: &[&Draft], context: &CheckContext<'_>) {
    for draft in drafts {
        let Some((priority, false)) = draft.choice() else { continue };
        let is_better = |other: &Draft| other.choice().is_some_and(|(first, logs_in)| logs_in && first < priority);
        if let Some(other) = drafts.iter().find(|other| is_better(other) && draft.shares_a_name(other)) {
            let of = other.quoted_name();
            let expected = format!("a login, as that of endpoint {of}, which comes first for the same name");
            let help = "the name moves here on the word of the path check alone, which says nothing of the database";
            context.warn("endpoint.probe", Bad::found_at(&draft.at, expected, "none").help(help));
        }
    }
}

fn pinned_names_are_pinned_once(drafts: &[&Draft], context: &CheckContext<'_>) {
    let whole: BTreeSet<&HostName> = drafts.iter().flat_map(|d| &d.names).map(|n| &n.value).collect();
    let mut pinned: BTreeMap<&HostName, &ZoneId> = BTreeMap::new();
    for (zone, names) in drafts.iter().flat_map(|d| &d.zones) {
        for name in names {
            let found = quote(name.value.as_str());
            let complaint = if whole.contains(&name.value) {
                Some(("a name of this zone alone", format!("{found}, which is also a name of a whole endpoint")))
            } else {
                let other = *pinned.entry(&name.value).or_insert(&zone.value);
                let elsewhere = format!("{found}, which zone {} has too", quote(other.as_str()));
                (*other != zone.value).then_some(("a name of one zone", elsewhere))
            };
            if let Some((expected, found)) = complaint {
                context.complain("endpoint.zone.private_dns", name.bad(expected, found));
            }
        }
    }
}

/// Addresses that the writer would never write. Those that would not even be probed are mistakes.
pub(super) fn addresses(drafts: &[Draft], hosts: &HostsDraft, context: &CheckContext<'_>) {
    for address in drafts.iter().flat_map(|d| d.addresses.values()).flatten() {
        let bad = |expected: String| address.bad(expected, quote(&address.value.to_string()));
        if let Some((expected, help)) = refusal(address.value, hosts) {
            context.complain("endpoint.addresses", bad(expected).help(help));
        } else if ranges::judge(address.value, &hosts.config.allowed_ranges).is_err() {
            let ranges = hosts.config.allowed_ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let help = "it is probed but never published; widen hosts.allowed_ranges if it is right";
            let expected = format!("an address in hosts.allowed_ranges ({ranges})");
            context.warn("endpoint.addresses", bad(expected).help(help));
        }
    }
}

fn refusal(address: IpAddr, hosts: &HostsDraft) -> Option<(String, &'static str)> {
    if address.is_unspecified() || address.is_multicast() {
        return Some(("the address of one network interface".to_owned(), "copy it from the endpoint's zones"));
    }
    if !hosts.config.families.has(address) {
        let families = if hosts.config.families.ipv4 { "IPv4" } else { "IPv6" };
        let expected = format!("an {families} address, as hosts.families says");
        return Some((expected, "add the other family to hosts.families"));
    }
    match ranges::judge(address, &hosts.config.allowed_ranges) {
        Err(BadAddress::Special(what)) => {
            let help = "it is neither probed nor published unless a range of hosts.allowed_ranges is for just these";
            Some((format!("an address of an endpoint, not {what}"), help))
        }
        Ok(()) | Err(BadAddress::Outside) => None,
    }
}

/// A host is in the zone of an address where both are written alike. That of the host may be a label of its admin's
/// own, such as "h", where all addresses are fixed and some have it: what the cloud tells of a zone is a whole id.
pub(super) fn host_zone(host: &HostDraft, drafts: &[Draft], context: &CheckContext<'_>) {
    let enabled = || drafts.iter().filter(|d| d.enabled);
    let zone = host.zone.as_ref();
    if let Some((zone, help)) = zone.and_then(|zone| Some((zone, slips::part_of_a_zone(zone.value.as_str())?))) {
        let labelled = enabled().any(|d| d.addresses.contains_key(&zone.value));
        let found = enabled().find(|d| d.discovered);
        let help = found.filter(|_| labelled).map_or(help, |draft| {
            format!(
                "the zones of endpoint {} are found, by their whole ids; write those everywhere",
                draft.quoted_name()
            )
        });
        if !labelled || found.is_some() {
            context.slip("host.zone", zone.bad("a whole zone id", quote(zone.value.as_str())).help(help));
        }
        return;
    }
    for draft in enabled().filter(|d| d.prefers_the_local_zone()) {
        let label = draft.addresses.iter().find(|(id, _)| slips::part_of_a_zone(id.as_str()).is_some());
        if let Some((label, address)) = label.and_then(|(label, all)| Some((label, all.first()?))) {
            let help = "this host's zone is never one that is written so, unless host.zone is";
            let expected = "whole zone ids, since `prefer` asks for the local zone";
            context.warn("endpoint.addresses", address.bad(expected, quote(label.as_str())).help(help));
        }
    }
}

/// Folders of two processes that must not meddle with each other's.
pub(super) fn paths(host: &HostDraft, hosts: &HostsDraft, context: &CheckContext<'_>) {
    let folders = [
        ("host.state_dir", &host.state_dir),
        ("host.run_dir", &host.run_dir),
        ("host.admin_dir", &host.admin_dir),
        ("hosts.run_dir", &hosts.run_dir),
        ("hosts.state_dir", &hosts.state_dir),
    ];
    for (i, (key, folder)) in folders.iter().enumerate() {
        for (other_key, other) in &folders[..i] {
            let meets = folder.value.starts_with(&other.value) || other.value.starts_with(&folder.value);
            if meets {
                // Of the two, the one that the admin wrote.
                let swap = folder.at.is_none() && other.at.is_some();
                let (here, there) =
                    if swap { ((other_key, *other), (key, *folder)) } else { ((key, *folder), (other_key, *other)) };
                let expected = format!("a folder apart from `{}` ({})", there.0, quote_path(&there.1.value));
                context.complain(here.0, here.1.bad(expected, quote_path(&here.1.value)));
            }
        }
    }
    let path = &hosts.path;
    for (key, folder) in folders.iter().filter(|(_, folder)| path.value.starts_with(&folder.value)) {
        let expected = format!("a file outside `{key}` ({})", quote_path(&folder.value));
        let at = path.at.clone().or_else(|| folder.at.clone());
        context.complain("hosts.path", Bad::found_at(&at, expected, quote_path(&path.value)));
    }
}
