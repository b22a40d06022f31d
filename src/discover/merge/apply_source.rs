//! What one source's answer does to an endpoint.
//!
//! Sources are merged zone by zone. An address stays as long as any source gives it. Fixed addresses are the last word
//! on their zone. The API speaks of the whole endpoint: a zone that it lacks, it no longer gives. A domain name only
//! adds and confirms while a better source is fresh; once all that gave an address fail, the zone's own domain name
//! may replace it. The last addresses of an endpoint are never retired, whatever a source says (B1).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::cloud::resolve::ResolveError;
use crate::discover::source::{FoundZone, SourceAnswer, SourceError};
use crate::model::{
    AddressEntry, Boottime, Endpoint, EndpointName, EventKind, Freshness, Missing, SourceKind, Zone, ZoneEntry,
};

/// Two passes of the API that agree on an absence must lie so far apart (B1).
const APART: Duration = Duration::from_secs(300);

/// Applies what a source answered.
pub(super) fn apply(endpoint: &mut Endpoint, kind: SourceKind, found: &SourceAnswer, now: Boottime) {
    endpoint.left_out.remove(&kind);
    if !found.left_out.is_empty() {
        endpoint.left_out.insert(kind, found.left_out.clone());
    }
    if kind == SourceKind::Api {
        note_pass(endpoint, found, now);
        if found.gone {
            // It stays as it was until that is certain, and then for the grace.
            endpoint.cloud = found.cloud.clone().or(endpoint.cloud.take());
            return;
        }
        endpoint.cloud.clone_from(&found.cloud);
        endpoint.domain = endpoint.domain.take().or_else(|| found.domain.clone());
        apply_zone_facts(endpoint, found, now);
        if !found.keeps {
            drop_what_no_zone_domain_confirms(endpoint, found);
        }
    }
    endpoint.not_found.remove(&kind);
    if kind == SourceKind::ZoneDomain {
        replace_what_only_failing_sources_give(endpoint, found);
    }
    let said = located(endpoint, kind, found);
    // Domain names of zones are asked zone by zone, and a list that lacks something proves no absence.
    let whole = kind != SourceKind::ZoneDomain && found.incomplete.is_none();
    if !found.keeps {
        drop_what_is_not_given(endpoint, kind, whole, &said);
    }
    add(endpoint, kind, said);
}

/// Where the API has no address, what the zone's own domain name once gave counts only while that is asked, and
/// answers.
fn drop_what_no_zone_domain_confirms(endpoint: &mut Endpoint, found: &SourceAnswer) {
    let fails = endpoint.sources.get(&SourceKind::ZoneDomain).is_none_or(Freshness::is_stale);
    let may_be_guessed = endpoint.identity.domain.is_some();
    for (zone, entry) in &mut endpoint.zones {
        let lacks = match found.zones.get(zone) {
            None => found.incomplete.is_none(),
            Some(said) => said.addresses.as_ref().is_some_and(BTreeSet::is_empty),
        };
        let told = entry.cloud.as_ref().is_some_and(|cloud| cloud.domain.is_some());
        let asked = told || (may_be_guessed && !entry.names.is_empty());
        if lacks && (fails || !asked) {
            for address in entry.addresses.values_mut() {
                address.given.remove(&SourceKind::ZoneDomain);
            }
        }
    }
}

/// Takes in that a source can't tell. A domain name that does not exist, and never gave an address, was never there.
pub(super) fn note_failure(endpoint: &mut Endpoint, kind: SourceKind, error: &SourceError) {
    let no_such_name = matches!(error, SourceError::Resolve(ResolveError::NoSuchName(_)));
    let never = endpoint.cloud.is_none() && !is_given_by(endpoint, kind);
    if kind == SourceKind::EndpointDomain && no_such_name && never {
        endpoint.not_found.insert(kind);
    }
}

/// A source has nothing more to say of this endpoint: the config changed.
pub(super) fn forget(endpoint: &mut Endpoint, kind: SourceKind) {
    forget_how_it_went(endpoint, kind);
    for entry in addresses_mut(endpoint) {
        entry.given.remove(&kind);
    }
    if kind == SourceKind::Api {
        (endpoint.cloud, endpoint.missing) = (None, None);
        for zone in endpoint.zones.values_mut() {
            (zone.cloud, zone.missing) = (None, None);
        }
    }
}

/// A source is asked something else from now on: how it went before says nothing of that.
pub(super) fn forget_how_it_went(endpoint: &mut Endpoint, kind: SourceKind) {
    endpoint.sources.remove(&kind);
    endpoint.left_out.remove(&kind);
    endpoint.not_found.remove(&kind);
}

/// Retires what no source gives, unless nothing else is left. What was another endpoint's is kept by being published,
/// not by being probed.
pub(super) fn retire_what_is_not_given(endpoint: &mut Endpoint, old: Option<&Endpoint>, now: Boottime) {
    for zone in endpoint.zones.values_mut().filter(|z| is_fixed(z)) {
        zone.addresses.values_mut().for_each(|a| a.given.retain(|kind| *kind == SourceKind::Fixed));
    }
    let keep = endpoint.zones.values().flat_map(|z| z.addresses.values()).all(|a| a.given.is_empty());
    for (zone, entry) in &mut endpoint.zones {
        let before = old.and_then(|o| o.zones.get(zone));
        for (address, known) in &mut entry.addresses {
            let was_live = before.and_then(|z| z.addresses.get(address)).is_some_and(|a| a.retired.is_none());
            known.source = known.given.first().copied().unwrap_or(known.source);
            known.former &= known.given.is_empty();
            known.retired = match known.given.is_empty() {
                false => None,
                true if known.former => known.retired.or(Some(now)),
                true if keep && was_live => None,
                true => known.retired.or(Some(now)),
            };
        }
    }
}

/// What the cloud says now and did not say before.
pub(super) fn cloud_events(name: &EndpointName, old: Option<&Endpoint>, new: &Endpoint) -> Vec<EventKind> {
    let mut events = Vec::new();
    let said = |e: &Endpoint| e.cloud.as_ref().map(crate::model::CloudFacts::words);
    let (before, now) = (old.and_then(said), said(new));
    if let Some(now) = now.filter(|now| before.as_ref() != Some(now)) {
        let trouble = new.cloud.as_ref().and_then(crate::model::CloudFacts::trouble);
        events.push(EventKind::CloudStatus { endpoint: name.clone(), zone: None, status: now, trouble });
    }
    for (zone, entry) in &new.zones {
        let Some(facts) = &entry.cloud else { continue };
        let before = old.and_then(|o| o.zones.get(zone)?.cloud.as_ref()).map(|f| &f.status);
        if before != Some(&facts.status) {
            let (status, trouble) = (facts.status.to_string(), facts.trouble());
            events.push(EventKind::CloudStatus { endpoint: name.clone(), zone: Some(zone.clone()), status, trouble });
        }
    }
    for kind in new.not_found.iter().filter(|kind| !old.is_some_and(|o| o.not_found.contains(kind))) {
        events.push(EventKind::EndpointNotFound { endpoint: name.clone(), source: *kind });
    }
    // How much it is may change with each answer.
    for (kind, what) in new.left_out.iter().filter(|(kind, _)| !old.is_some_and(|o| o.left_out.contains_key(kind))) {
        events.push(EventKind::LeftOut { endpoint: name.clone(), source: *kind, what: what.to_string() });
    }
    let confirmed = |e: &Endpoint| e.missing.is_some_and(|m| m.confirmed.is_some());
    if confirmed(new) && !old.is_some_and(confirmed) {
        events.push(EventKind::EndpointGone { endpoint: name.clone() });
    }
    events
}

fn addresses_mut(endpoint: &mut Endpoint) -> impl Iterator<Item = &mut AddressEntry> {
    endpoint.zones.values_mut().flat_map(|z| z.addresses.values_mut())
}

fn is_fixed(zone: &ZoneEntry) -> bool {
    zone.addresses.values().any(|a| a.given.contains(&SourceKind::Fixed))
}

fn is_given_by(endpoint: &Endpoint, kind: SourceKind) -> bool {
    endpoint.zones.values().flat_map(|z| z.addresses.values()).any(|a| a.given.contains(&kind))
}

/// Counts a pass that lacks the endpoint. What another source still gives is not gone, and what the API never had can't
/// be: there the id is wrong, or the region, or the account.
fn note_pass(endpoint: &mut Endpoint, found: &SourceAnswer, now: Boottime) {
    let lacks = found.gone && found.cloud.is_none();
    if lacks && endpoint.cloud.is_none() && !is_given_by(endpoint, SourceKind::Api) {
        endpoint.not_found.insert(SourceKind::Api);
        endpoint.missing = None;
        return;
    }
    endpoint.not_found.remove(&SourceKind::Api);
    let fresh = |kind: &SourceKind| endpoint.sources.get(kind).is_some_and(|f| !f.is_stale());
    let given = endpoint.zones.values().flat_map(|z| z.addresses.values()).flat_map(|a| &a.given);
    let vouched = given.filter(|kind| **kind != SourceKind::Api).any(fresh);
    endpoint.missing = next_missing(endpoint.missing, found.gone && !vouched, now);
}

fn next_missing(missing: Option<Missing>, gone: bool, now: Boottime) -> Option<Missing> {
    let Missing { first, confirmed, latest: _ } = missing.filter(|_| gone).or(gone.then(Missing::default))?;
    let first = first.unwrap_or(now);
    let agreed = (now.since(first) >= APART).then_some(now);
    Some(Missing { first: Some(first), confirmed: confirmed.or(agreed), latest: Some(now) })
}

fn apply_zone_facts(endpoint: &mut Endpoint, found: &SourceAnswer, now: Boottime) {
    for zone in found.zones.keys() {
        endpoint.zones.entry(zone.clone()).or_default();
    }
    for (zone, entry) in endpoint.zones.iter_mut().filter(|(zone, _)| **zone != Zone::Unknown) {
        let said = found.zones.get(zone);
        if said.is_none() && found.incomplete.is_some() {
            continue;
        }
        let gone = said.is_none_or(|z| z.gone);
        entry.missing = next_missing(entry.missing, gone && !is_fixed(entry), now);
        entry.cloud = said.and_then(|z| z.cloud.clone());
    }
}

/// Where the addresses belong: fixed zones take nothing else, and an address that the endpoint's domain name gives
/// belongs to the zone that is known to have it. `None`: the source can't tell at present.
fn located(endpoint: &Endpoint, kind: SourceKind, found: &SourceAnswer) -> BTreeMap<Zone, Option<BTreeSet<IpAddr>>> {
    let mut said: BTreeMap<Zone, Option<BTreeSet<IpAddr>>> = BTreeMap::new();
    let any_fixed = endpoint.zones.values().any(is_fixed);
    for (zone, FoundZone { addresses, .. }) in &found.zones {
        if kind != SourceKind::Fixed && endpoint.zones.get(zone).is_some_and(is_fixed) {
            continue;
        }
        let Some(addresses) = addresses else {
            said.insert(zone.clone(), None);
            continue;
        };
        for address in addresses {
            let known = (*zone == Zone::Unknown).then(|| zone_of(endpoint, *address)).flatten();
            // Which of the fixed zones it would be can't be told.
            if known.is_none() && *zone == Zone::Unknown && any_fixed {
                continue;
            }
            let place = said.entry(known.unwrap_or_else(|| zone.clone())).or_default();
            place.get_or_insert_default().insert(*address);
        }
        said.entry(zone.clone()).or_insert_with(|| Some(BTreeSet::new()));
    }
    said
}

fn zone_of(endpoint: &Endpoint, address: IpAddr) -> Option<Zone> {
    let known = endpoint.zones.iter().filter(|(zone, _)| **zone != Zone::Unknown);
    known.filter(|(_, z)| z.addresses.contains_key(&address)).map(|(zone, _)| zone.clone()).next()
}

fn drop_what_is_not_given(
    endpoint: &mut Endpoint,
    kind: SourceKind,
    whole: bool,
    said: &BTreeMap<Zone, Option<BTreeSet<IpAddr>>>,
) {
    for (zone, entry) in &mut endpoint.zones {
        let given = match said.get(zone) {
            Some(Some(given)) => given,
            None if whole => &BTreeSet::new(),
            Some(None) | None => continue,
        };
        for (_, known) in entry.addresses.iter_mut().filter(|(address, _)| !given.contains(address)) {
            known.given.remove(&kind);
        }
    }
}

fn add(endpoint: &mut Endpoint, kind: SourceKind, said: BTreeMap<Zone, Option<BTreeSet<IpAddr>>>) {
    for (zone, addresses) in said {
        for address in addresses.into_iter().flatten() {
            // Now it is known where it belongs.
            let elsewhere = (zone != Zone::Unknown)
                .then(|| endpoint.zones.get_mut(&Zone::Unknown)?.addresses.remove(&address))
                .flatten();
            let entry = endpoint.zones.entry(zone.clone()).or_default();
            let known = entry.addresses.entry(address).or_insert_with(|| AddressEntry::given_by(kind));
            known.given.insert(kind);
            known.given.extend(elsewhere.into_iter().flat_map(|e| e.given));
        }
    }
}

/// Where the zone's own domain name gives addresses, and all that gave another one fail, that other one is old.
fn replace_what_only_failing_sources_give(endpoint: &mut Endpoint, found: &SourceAnswer) {
    let fails = |kind: &SourceKind| endpoint.sources.get(kind).is_none_or(Freshness::is_stale);
    let failing: BTreeSet<SourceKind> =
        SourceKind::ALL.into_iter().filter(|k| *k != SourceKind::Fixed && fails(k)).collect();
    for (zone, said) in &found.zones {
        let (Some(given), Some(entry)) = (&said.addresses, endpoint.zones.get_mut(zone)) else { continue };
        for (_, known) in entry.addresses.iter_mut().filter(|(a, _)| !given.is_empty() && !given.contains(a)) {
            known.given.retain(|kind| !failing.contains(kind));
        }
    }
}
