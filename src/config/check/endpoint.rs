//! `[[endpoint]]` and `[[endpoint.zone]]`

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::context::{Bad, Located, NOT_KEPT, Read, Slips, values};
use super::probe::Around;
use super::section::Section;
use super::tls::NameFallback;
use super::{general, names, probe, read};
use crate::config::own_domains::OwnDomains;
use crate::config::raw::{Node, Origin, Value};
use crate::config::source_text::quote;
use crate::config::types::{EndpointConfig, HostConfig};
use crate::model::limits::ENDPOINTS_A_CONFIG;
use crate::model::{EndpointId, EndpointName, FileSecret, HostName, Prefer, ProbeSpec, Returns, Steering, ZoneId};

/// What one `[[endpoint]]` says, with the places of what other rules look at.
pub(super) struct Draft {
    pub(super) at: Option<Origin>,
    pub(super) name: Option<EndpointName>,
    pub(super) enabled: bool,
    /// `private_dns`, and the domain if it is published.
    pub(super) names: Vec<Located<HostName>>,
    /// `[[endpoint.zone]]`, with their names.
    pub(super) zones: Vec<(Located<ZoneId>, Vec<Located<HostName>>)>,
    /// By zone.
    pub(super) addresses: Addresses,
    /// More zones may be found out.
    pub(super) discovered: bool,
    /// `none` if nothing probes it; `None` if that could not be read.
    pub(super) probe_kind: Option<&'static str>,
    config: Option<EndpointConfig>,
}

/// What a name may lead to: the same one has the same addresses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place<'d> {
    Address(IpAddr),
    Endpoint(&'d EndpointId),
    Domain(&'d HostName),
}

type Addresses = BTreeMap<ZoneId, Vec<Located<IpAddr>>>;

impl Draft {
    /// Whether its own domain will be a name, once that is known.
    pub(super) fn publishes_its_domain(&self) -> bool {
        self.config.as_ref().is_some_and(|c| c.publish_domain)
    }

    /// What the names that the cloud gives it may be, if they are published.
    pub(super) fn own_domains(&self, host: &HostConfig) -> Option<(EndpointId, OwnDomains)> {
        self.config.as_ref()?.own_domains(host)
    }

    /// Its label, as messages show it.
    pub(super) fn quoted_name(&self) -> String {
        quote(self.name.as_ref().map_or("another one", EndpointName::as_str))
    }

    /// Where its names lead to, as far as the configuration tells.
    pub(super) fn places(&self) -> impl Iterator<Item = Place<'_>> {
        let config = self.config.as_ref();
        let endpoint = config.and_then(|c| c.id.as_ref()).map(Place::Endpoint);
        let domain = config.and_then(|c| c.domain.as_ref()).map(Place::Domain);
        let addresses = self.addresses.values().flatten().map(|a| Place::Address(a.value));
        addresses.chain(endpoint).chain(domain)
    }

    /// Whether its names prefer the addresses of the host's own zone.
    pub(super) fn prefers_the_local_zone(&self) -> bool {
        self.config.as_ref().is_some_and(|config| config.steering.prefer == Prefer::LocalZone)
    }

    /// The port that is probed; `None` if nothing is.
    pub(super) fn port(&self) -> Option<u16> {
        Some(self.config.as_ref()?.probe.as_ref()?.port)
    }

    /// Whether a name may lead to both.
    pub(super) fn shares_a_name(&self, other: &Self) -> bool {
        self.names.iter().any(|n| other.names.iter().any(|m| n.value == m.value))
    }

    /// What its probe logs in with.
    pub(super) fn secret(&self) -> Option<&FileSecret> {
        self.config.as_ref()?.probe.as_ref()?.kind.secret()
    }

    /// Its priority, and whether its probe logs in; `None` if nothing probes it.
    pub(super) fn choice(&self) -> Option<(i32, bool)> {
        let config = self.config.as_ref()?;
        Some((config.priority, config.probe.as_ref()?.deep.is_some()))
    }

    /// What becomes of it in the region of `[host]`: nothing if it is switched off.
    pub(super) fn into_config(self, region: Option<&str>) -> Option<(EndpointName, EndpointConfig)> {
        let config = self.config.map(|config| EndpointConfig { region: region.map(str::to_owned), ..config });
        self.name.zip(config).filter(|_| self.enabled)
    }
}

/// What other sections say that every endpoint goes by.
#[derive(Clone, Copy)]
pub(super) struct Shared {
    /// `[steering]`, where an endpoint has none of its own.
    pub(super) steering: Steering,
    /// `[host] fleet_size`.
    pub(super) fleet_size: u32,
}

/// Every `[[endpoint]]`.
pub(super) fn endpoints(root: &mut Section<'_>, shared: Shared) -> Vec<Draft> {
    let written = root.has("endpoint");
    let mut sections = root.sections("endpoint");
    if let Some(first_too_many) = sections.get(ENDPOINTS_A_CONFIG) {
        let expected = format!("at most {ENDPOINTS_A_CONFIG} endpoints");
        root.complain("endpoint", Bad::found_at(&first_too_many.at, expected, sections.len().to_string()));
        sections.truncate(ENDPOINTS_A_CONFIG);
    }
    if sections.is_empty() && !written {
        let help = "add an [[endpoint]] table; see /usr/share/doc/privatelinkd/examples";
        root.warn("endpoint", Bad::found_at(&None, "an endpoint", "none").help(help));
    }
    sections.into_iter().map(|section| endpoint(section, shared)).collect()
}

fn endpoint(mut section: Section<'_>, Shared { steering, fleet_size }: Shared) -> Draft {
    section.label_by("name");
    let at = section.at.clone();
    let name = section.required("name", |n| read::name::<EndpointName>(n, "a label")).map(|l| l.value);
    let enabled = section.value("enabled", read::boolean).unwrap_or(true);
    let without_domain = !section.has("domain");
    let discovered = !without_domain || section.has("id");
    if !discovered && !section.has("addresses") {
        const HELP: &str = "`id` is found through the cloud's API, `domain` through DNS; `addresses` are fixed";
        section.report_absence("addresses", "`id`, `domain` or `addresses`", Some(HELP));
    }
    let id = section.value("id", read::endpoint_id);
    let domain = section.read_weighed("domain", read::host_name);
    if let (Some(id), Some(domain)) = (&id, &domain) {
        refuse_domain_of_another(id, domain, &section);
    }
    let publish_domain = section.read("publish_domain", read::boolean);
    let addresses = section.read_weighed("addresses", addresses).map(|l| l.value).unwrap_or_default();
    let names = section.read_weighed("private_dns", |n, slips| read::list(n, |n| names::published(n, slips)));
    let priority = section.value("priority", |n| read::integer::<i32>(n, i32::MIN.into()..=i32::MAX.into()));
    let zones = section.sections("zone").into_iter().filter_map(zone).collect::<Vec<_>>();
    let fallback = match (names.as_ref().map(|n| n.value.first().or(domain.as_ref())), &domain) {
        (Some(Some(name)), _) => NameFallback::Name(name.value.clone()),
        (Some(None), None) if without_domain => NameFallback::Nothing,
        _ => NameFallback::Unread,
    };
    let around = Around { name: fallback, fleet_size };
    let mut names = names.map(|n| n.value).unwrap_or_default();
    let publishes = publish_domain.as_ref().is_some_and(|p| p.value);
    if let Some(publish) = publish_domain.filter(|p| p.value) {
        names.extend(domain_to_publish(&section, &publish, discovered, domain.as_ref()));
    }
    let who = name.as_ref().filter(|_| enabled);
    let (probe, probe_kind) = match section.context.world.left_out {
        Some(left_out) => spare_probe(&mut section, &around, who, left_out),
        None => optional_probe(&mut section, &around),
    };
    let over = section.optional_section("steering");
    let steering = over.map_or(steering, |over| general::steering_over(over, steering));
    section.finish();
    let config = priority.map(|priority| EndpointConfig {
        id,
        domain: domain.map(|l| l.value),
        region: None,
        names: values(&names),
        publish_domain: publishes,
        addresses: addresses.iter().map(|(zone, all)| (zone.clone(), values(all))).collect(),
        zone_names: zones.iter().map(|(zone, names)| (zone.value.clone(), values(names))).collect(),
        priority,
        probe: probe.map(|probe| {
            // With the damping that the endpoint's steering asks for.
            let returns = Returns { damping: steering.damping, ..probe.returns };
            Arc::new(ProbeSpec { returns, ..probe })
        }),
        steering,
    });
    Draft { at, name, enabled, names, zones, addresses, discovered, probe_kind, config }
}

/// The domain as a published name, where `publish_domain` asks for it and there is one, or will be.
fn domain_to_publish(
    section: &Section<'_>,
    publish: &Located<bool>,
    discovered: bool,
    domain: Option<&Located<HostName>>,
) -> Option<Located<HostName>> {
    if !discovered {
        section.complain("publish_domain", publish.bad("`domain` or `id` beside it", "none"));
    }
    let domain = domain?;
    let refusal = names::refusal(&domain.value, section.context.world.environment);
    let Some(names::Refusal { expected, help, is_slip }) = refusal else { return Some(domain.clone()) };
    let bad = domain.bad(expected, quote(domain.value.as_str())).help(help);
    if is_slip {
        section.context.slip("endpoint.domain", bad);
    } else {
        section.complain("domain", bad);
    }
    is_slip.then(|| domain.clone())
}

/// Complains of a domain that begins with the id of another endpoint than `id`: what both give would be published
/// together.
fn refuse_domain_of_another(id: &EndpointId, domain: &Located<HostName>, section: &Section<'_>) {
    let Some(label) = id_label(&domain.value) else { return };
    let own = label.strip_prefix(id.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    if !own {
        let expected = format!("the domain of endpoint {}, as `id` says", quote(id.as_str()));
        let found = format!("{}, which is that of another one", quote(domain.value.as_str()));
        let help = "take the wrong one of the two away: what both of them give is published together";
        section.context.slip("endpoint.domain", domain.bad(expected, found).help(help));
    }
}

/// The label with the id in a domain that the cloud made: `ep-….epsrv-….region.…`, or `ep-…-zone.epsrv-….region.…` of a
/// zone (the API's own documentation).
fn id_label(domain: &HostName) -> Option<&str> {
    let (label, rest) = domain.as_str().split_once('.')?;
    (label.starts_with("ep-") && rest.starts_with("epsrv-")).then_some(label)
}

/// The probe, if there is one and it could be read, and the word for it as in [`Draft::probe_kind`].
type ReadProbe = (Option<ProbeSpec>, Option<&'static str>);

fn optional_probe(section: &mut Section<'_>, around: &Around) -> ReadProbe {
    let written = section.has("probe");
    let Some(probe) = section.optional_section("probe") else { return (None, (!written).then_some("none")) };
    let spec = probe::probe(probe, around);
    let kind = spec.as_ref().map(|s| s.kind.label());
    (spec, kind)
}

/// Of a configuration that was kept: a probe that can't be set up any more is left out and named, because the names
/// of its endpoint are worth more than it. `who` is the endpoint, `left_out` those that lost something.
fn spare_probe(
    section: &mut Section<'_>,
    around: &Around,
    who: Option<&EndpointName>,
    left_out: &BTreeSet<String>,
) -> ReadProbe {
    let incomplete = who.is_some_and(|name| left_out.contains(name.as_str()));
    let amiss = incomplete.then_some(NOT_KEPT);
    let context = section.context;
    context.attempt(|| optional_probe(section, around), amiss).unwrap_or_else(|why| {
        let lack = who.map(|name| format!("endpoint {name}: no probe, because {why}"));
        context.without.borrow_mut().extend(lack);
        (None, None)
    })
}

fn addresses(node: &Node, slips: &Slips<'_>) -> Read<Addresses> {
    const EXPECTED: &str = "a table of zone id to address, such as { \"cn-hangzhou-h\" = \"10.0.1.15\" }";
    let table = node.table().filter(|t| !t.is_empty()).ok_or_else(|| vec![Bad::new(EXPECTED, node)])?;
    let (mut all, mut complaints) = (Addresses::new(), Vec::new());
    for (zone, node) in read::named_values(table) {
        match read::both(read::zone_id(&zone, slips), addresses_of_zone(node)) {
            Ok((zone, addresses)) => drop(all.insert(zone, addresses)),
            Err(more) => complaints.extend(more),
        }
    }
    let mut seen = BTreeSet::new();
    let repeated = all.values().flatten().filter(|a| !seen.insert(a.value));
    let twice = |a: &Located<IpAddr>| format!("{} twice", quote(&a.value.to_string()));
    complaints.extend(repeated.map(|a| a.bad("each address once in an endpoint", twice(a))));
    if complaints.is_empty() { Ok(all) } else { Err(complaints) }
}

fn addresses_of_zone(node: &Node) -> Read<Vec<Located<IpAddr>>> {
    match &node.value {
        Value::Text(_) => read::address(node).map(|value| vec![Located { value, at: node.at.clone() }]),
        _ => read::filled_list(node, read::address),
    }
}

fn zone(mut section: Section<'_>) -> Option<(Located<ZoneId>, Vec<Located<HostName>>)> {
    section.label_by("id");
    let slips = section.slips("id");
    let id = section.required("id", |n| read::zone_id(n, &slips));
    let slips = section.slips("private_dns");
    let names = section.required("private_dns", |n| read::filled_list(n, |n| names::published(n, &slips)));
    section.finish();
    Some((id?, names.map(|n| n.value).unwrap_or_default()))
}
