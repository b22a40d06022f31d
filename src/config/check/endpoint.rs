//! `[[endpoint]]` and `[[endpoint.zone]]`

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::context::{Bad, CheckContext, Located, Read};
use super::probe::Around;
use super::section::Section;
use super::tls::NameFallback;
use super::{general, names, probe, read};
use crate::config::own_domains::OwnDomains;
use crate::config::raw::{Node, Origin, Value};
use crate::config::source_text::quote;
use crate::config::types::{EndpointConfig, HostConfig};
use crate::model::limits::ENDPOINTS_A_CONFIG;
use crate::model::{EndpointId, EndpointName, FileSecret, HostName, ProbeSpec, Returns, Steering, ZoneId};

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
pub(super) fn endpoints(root: &mut Section, context: &mut CheckContext<'_>, shared: Shared) -> Vec<Draft> {
    let written = root.has("endpoint");
    let mut sections = root.sections(context, "endpoint");
    if let Some(first_too_many) = sections.get(ENDPOINTS_A_CONFIG) {
        let bad = Bad {
            expected: format!("at most {ENDPOINTS_A_CONFIG} endpoints"),
            found: sections.len().to_string(),
            help: None,
            at: first_too_many.at.clone(),
        };
        context.complain("endpoint", bad);
        sections.truncate(ENDPOINTS_A_CONFIG);
    }
    if sections.is_empty() && !written {
        let help = Some("add an [[endpoint]] table; see config/examples".to_owned());
        context.warn("endpoint", Bad { expected: "an endpoint".into(), found: "none".into(), help, at: None });
    }
    sections.into_iter().map(|section| endpoint(section, context, shared)).collect()
}

fn endpoint(mut section: Section, context: &mut CheckContext<'_>, Shared { steering, fleet_size }: Shared) -> Draft {
    section.label_by("name");
    let at = section.at.clone();
    let world = context.world;
    let name = section.required(context, "name", |n| read::name::<EndpointName>(n, "a label")).map(|l| l.value);
    let enabled = section.value(context, "enabled", read::boolean).unwrap_or(true);
    let (without_domain, without_id) = (!section.has("domain"), !section.has("id"));
    if without_domain && without_id && !section.has("addresses") {
        const HELP: &str = "`id` is found through the cloud's API, `domain` through DNS; `addresses` are fixed";
        section.report_absence(context, "addresses", "`id`, `domain` or `addresses`".to_owned(), Some(HELP));
    }
    let id = section.value(context, "id", |n| read::name::<EndpointId>(n, "an endpoint id"));
    let domain = section.read(context, "domain", read::host_name);
    if let (Some(id), Some(domain)) = (&id, &domain) {
        refuse_domain_of_another(id, domain, context);
    }
    let publish_domain = section.read(context, "publish_domain", read::boolean);
    let addresses = section.value(context, "addresses", addresses).unwrap_or_default();
    let names = section.read(context, "private_dns", |n| read::list(n, |n| names::published(n, world.environment)));
    let priority = section.value(context, "priority", |n| read::integer::<i32>(n, i32::MIN.into()..=i32::MAX.into()));
    let zones = section.sections(context, "zone").into_iter().filter_map(|z| zone(z, context)).collect::<Vec<_>>();
    let fallback = match (names.as_ref().map(|n| n.value.first().or(domain.as_ref())), &domain) {
        (Some(Some(name)), _) => NameFallback::Name(name.value.clone()),
        (Some(None), None) if without_domain => NameFallback::Nothing,
        _ => NameFallback::Unread,
    };
    let around = Around { name: fallback, fleet_size };
    let mut names = names.map(|n| n.value).unwrap_or_default();
    let publishes = publish_domain.as_ref().is_some_and(|p| p.value);
    if let Some(publish) = publish_domain.filter(|p| p.value) {
        let known = !(without_domain && without_id);
        names.extend(domain_to_publish(&publish, known, domain.as_ref(), context));
    }
    let who = name.as_ref().filter(|_| enabled);
    let (probe, probe_kind) = match world.left_out {
        Some(left_out) => spare_probe(context, who, left_out, |context| optional_probe(&mut section, context, &around)),
        None => optional_probe(&mut section, context, &around),
    };
    let steering = match section.optional_section(context, "steering") {
        Some(over) => general::steering_over(over, context, steering),
        None => steering,
    };
    section.finish(context);
    let config = priority.map(|priority| EndpointConfig {
        id,
        domain: domain.map(|l| l.value),
        region: None,
        names: names.iter().map(|l| l.value.clone()).collect(),
        publish_domain: publishes,
        addresses: addresses.iter().map(|(z, all)| (z.clone(), all.iter().map(|a| a.value).collect())).collect(),
        zone_names: zones.iter().map(pinned).collect(),
        priority,
        probe: probe.map(|probe| damped(&probe, steering)),
        steering,
    });
    let discovered = !(without_domain && without_id);
    Draft { at, name, enabled, names, zones, addresses, discovered, probe_kind, config }
}

/// The domain as a published name, where `publish_domain` asks for it and there is one, or will be.
fn domain_to_publish(
    publish: &Located<bool>,
    known: bool,
    domain: Option<&Located<HostName>>,
    context: &mut CheckContext<'_>,
) -> Option<Located<HostName>> {
    if known {
        return domain.and_then(|domain| published_domain(domain, context));
    }
    let at = publish.at.clone();
    let bad = Bad { expected: "`domain` or `id` beside it".into(), found: "none".into(), help: None, at };
    context.complain("endpoint.publish_domain", bad);
    None
}

/// Complains of a domain that begins with the id of another endpoint than `id`: what both give would be published
/// together.
fn refuse_domain_of_another(id: &EndpointId, domain: &Located<HostName>, context: &mut CheckContext<'_>) {
    let Some(label) = id_label(&domain.value) else { return };
    let own = label.strip_prefix(id.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    if !own {
        let expected = format!("the domain of endpoint {}, as `id` says", quote(id.as_str()));
        let found = format!("{}, which is that of another one", quote(domain.value.as_str()));
        let help = Some("take the wrong one of the two away: what both of them give is published together".to_owned());
        context.complain("endpoint.domain", Bad { expected, found, help, at: domain.at.clone() });
    }
}

/// The label with the id in a domain that the cloud made: `ep-….epsrv-….region.…`, or `ep-…-zone.epsrv-….region.…` of a
/// zone (the API's own documentation).
fn id_label(domain: &HostName) -> Option<&str> {
    let (label, rest) = domain.as_str().split_once('.')?;
    (label.starts_with("ep-") && rest.starts_with("epsrv-")).then_some(label)
}

/// The probe, with the damping that the endpoint's steering asks for.
fn damped(probe: &ProbeSpec, steering: Steering) -> Arc<ProbeSpec> {
    let returns = Returns { damping: steering.damping, ..probe.returns };
    Arc::new(ProbeSpec { returns, ..probe.clone() })
}

fn pinned((zone, names): &(Located<ZoneId>, Vec<Located<HostName>>)) -> (ZoneId, BTreeSet<HostName>) {
    (zone.value.clone(), names.iter().map(|n| n.value.clone()).collect())
}

/// The domain as a name to publish, if it can be one.
fn published_domain(domain: &Located<HostName>, context: &mut CheckContext<'_>) -> Option<Located<HostName>> {
    let Some((expected, help)) = names::refusal(&domain.value, context.world.environment) else {
        return Some(domain.clone());
    };
    let (found, at) = (quote(domain.value.as_str()), domain.at.clone());
    context.complain("endpoint.domain", Bad { expected: expected.into(), found, help: Some(help.into()), at });
    None
}

/// The probe, if there is one and it could be read, and the word for it as in [`Draft::probe_kind`].
type ReadProbe = (Option<Arc<ProbeSpec>>, Option<&'static str>);

fn optional_probe(section: &mut Section, context: &mut CheckContext<'_>, around: &Around) -> ReadProbe {
    let written = section.has("probe");
    match section.optional_section(context, "probe") {
        Some(probe) => {
            let spec = probe::probe(probe, context, around);
            let kind = spec.as_ref().map(|s| s.kind.label());
            (spec.map(Arc::new), kind)
        }
        None => (None, (!written).then_some("none")),
    }
}

/// Of a configuration that was kept: a probe that can't be set up any more is left out and named, because the names
/// of its endpoint are worth more than it. `who` is the endpoint, `left_out` those that lost a header value.
fn spare_probe(
    context: &mut CheckContext<'_>,
    who: Option<&EndpointName>,
    left_out: &BTreeSet<String>,
    read: impl FnOnce(&mut CheckContext<'_>) -> ReadProbe,
) -> ReadProbe {
    let (taken, findings) = context.aside(read);
    let incomplete = who.is_some_and(|name| left_out.contains(name.as_str()));
    let why = match findings.first_error() {
        Some(error) => format!("of {}: expected {}, found {}", error.key, error.expected, error.found),
        None if incomplete => "a header value that stands in the config itself is not kept".to_owned(),
        None => {
            context.findings.append(findings);
            return taken;
        }
    };
    context.without.extend(who.map(|name| format!("endpoint {name}: no probe, because {why}")));
    (None, None)
}

fn addresses(node: &Node) -> Read<Addresses> {
    const EXPECTED: &str = "a table of zone id to address, such as { \"cn-hangzhou-h\" = \"10.0.1.15\" }";
    let table = node.table().filter(|t| !t.is_empty()).ok_or_else(|| vec![Bad::new(EXPECTED, node)])?;
    let (mut all, mut complaints) = (Addresses::new(), Vec::new());
    for zone in read::named_values(table) {
        match addresses_of_zone(zone) {
            Ok((zone, addresses)) => drop(all.insert(zone, addresses)),
            Err(more) => complaints.extend(more),
        }
    }
    complaints.extend(twice(&all));
    if complaints.is_empty() { Ok(all) } else { Err(complaints) }
}

fn addresses_of_zone((zone, node): (Node, &Node)) -> Read<(ZoneId, Vec<Located<IpAddr>>)> {
    let id = read::zone_id(&zone);
    let addresses = match &node.value {
        Value::Text(_) => read::address(node).map(|value| vec![Located { value, at: node.at.clone() }]),
        _ => read::filled_list(node, read::address),
    };
    match (id, addresses) {
        (Ok(id), Ok(addresses)) => Ok((id, addresses)),
        (id, addresses) => Err(id.err().into_iter().chain(addresses.err()).flatten().collect()),
    }
}

fn twice(all: &Addresses) -> Vec<Bad> {
    let mut seen = BTreeSet::new();
    let repeated = all.values().flatten().filter(|a| !seen.insert(a.value));
    let bad = |a: &Located<IpAddr>| Bad {
        expected: "each address once in an endpoint".to_owned(),
        found: format!("{} twice", quote(&a.value.to_string())),
        help: None,
        at: a.at.clone(),
    };
    repeated.map(bad).collect()
}

fn zone(mut section: Section, context: &mut CheckContext<'_>) -> Option<(Located<ZoneId>, Vec<Located<HostName>>)> {
    section.label_by("id");
    let environment = context.world.environment;
    let id = section.required(context, "id", read::zone_id);
    let names =
        section.required(context, "private_dns", |n| read::filled_list(n, |n| names::published(n, environment)));
    section.finish(context);
    Some((id?, names.map(|n| n.value).unwrap_or_default()))
}
