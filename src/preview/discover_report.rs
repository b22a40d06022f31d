//! What `discover` answers: each endpoint with its statuses, zones, network interfaces and addresses, and who told.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;

use super::agent::{AgentAnswer, Comparison, compare};
use super::common::{Host, NO_ENDPOINT, SCHEMA, Seen};
use crate::discover::{SourceAnswer, SourceError};
use crate::model::{CloudFacts, Endpoint, EndpointId, EndpointName, HostName, SourceKind, Zone, ZoneEntry};
use crate::observe::status::Screen;
use crate::observe::text_table::{Cell, Page, Tone, count, head};

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DiscoverReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// True if every endpoint was found.
    pub found: bool,
    /// Where we are.
    pub host: Host,
    /// By name.
    pub endpoints: BTreeMap<EndpointName, EndpointFound>,
    /// Whether the running agent answers.
    pub agent: AgentAnswer,
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EndpointFound {
    /// True if it has an address and the cloud does not call it deleted.
    pub found: bool,
    /// Why it was not found.
    pub missing: Option<String>,
    /// The cloud's id.
    pub id: Option<EndpointId>,
    /// Its own domain.
    pub domain: Option<HostName>,
    /// Its service.
    pub service: Option<String>,
    /// What the cloud says of it.
    pub cloud: Option<Statuses>,
    /// By source, each that was asked.
    pub sources: BTreeMap<SourceKind, SourceSaid>,
    /// By zone.
    pub zones: BTreeMap<Zone, ZoneFound>,
    /// Beside what the running agent knows, if it answers.
    pub agent: Option<Comparison>,
}

/// The three statuses in the cloud's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Statuses {
    /// `EndpointStatus`
    pub status: String,
    /// `EndpointBusinessStatus`
    pub business: String,
    /// `ConnectionStatus`
    pub connection: String,
    /// What is wrong, and what to do about it.
    pub trouble: Option<String>,
}

/// What became of asking one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceSaid {
    /// True if it told all that it was asked for.
    pub ok: bool,
    /// Why not, with what to do about it.
    pub error: Option<String>,
}

/// One zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ZoneFound {
    /// `ZoneStatus`
    pub status: Option<String>,
    /// What is wrong.
    pub trouble: Option<String>,
    /// Its network interface.
    pub eni_id: Option<String>,
    /// Its own domain.
    pub domain: Option<HostName>,
    /// Its addresses, each with all that gave it, the best first.
    pub addresses: BTreeMap<IpAddr, Vec<SourceKind>>,
}

impl DiscoverReport {
    /// Of what a round saw.
    #[must_use]
    pub fn new(seen: Seen<'_>) -> Self {
        let all = seen.inventory.endpoints.iter();
        let endpoints: BTreeMap<_, _> = all.map(|(name, e)| (name.clone(), endpoint(name, e, seen))).collect();
        Self {
            schema: SCHEMA,
            found: endpoints.values().all(|e| e.found),
            host: seen.host.clone(),
            endpoints,
            agent: AgentAnswer::new(seen.agent),
        }
    }

    /// For people, with a final newline.
    #[must_use]
    pub fn text(&self, screen: Screen) -> String {
        let mut page = Page::new(screen);
        self.host.show(&mut page);
        if self.endpoints.is_empty() {
            page.trouble("", NO_ENDPOINT);
        }
        for (name, endpoint) in &self.endpoints {
            page.blank();
            endpoint.show(&mut page, name);
        }
        self.agent.show_apart(&mut page);
        page.into_text()
    }
}

fn endpoint(name: &EndpointName, endpoint: &Endpoint, seen: Seen<'_>) -> EndpointFound {
    let said = seen.round.get(name);
    let of_api = said.and_then(|said| said.get(&SourceKind::Api)?.as_ref().ok());
    let gone = of_api.filter(|found| found.gone);
    let zones: BTreeMap<_, _> = endpoint.zones.iter().map(|(zone, e)| (zone.clone(), zone_found(e))).collect();
    let missing = match gone {
        Some(found) => Some(why_gone(found)),
        None if zones.values().all(|z| z.addresses.is_empty()) => Some(why_without_address(endpoint, &zones)),
        None => None,
    };
    EndpointFound {
        found: missing.is_none(),
        missing,
        id: endpoint.id.clone(),
        domain: endpoint.domain.clone(),
        service: endpoint.cloud.as_ref().map(|c| c.service_name.clone()).filter(|service| !service.is_empty()),
        cloud: endpoint.cloud.as_ref().map(statuses),
        sources: said.into_iter().flatten().map(|(kind, said)| (*kind, source_said(said))).collect(),
        zones,
        agent: seen.agent.ok().map(|agent| compare(name, endpoint, agent)),
    }
}

fn statuses(facts: &CloudFacts) -> Statuses {
    Statuses {
        status: facts.status.to_string(),
        business: facts.business.to_string(),
        connection: facts.connection.to_string(),
        trouble: facts.trouble().map(str::to_owned),
    }
}

fn source_said(said: &Result<SourceAnswer, SourceError>) -> SourceSaid {
    let error = said.as_ref().map_or_else(Some, |found| found.incomplete.as_ref());
    SourceSaid { ok: error.is_none(), error: error.map(SourceError::with_advice) }
}

fn zone_found(entry: &ZoneEntry) -> ZoneFound {
    let facts = entry.cloud.as_ref();
    ZoneFound {
        status: facts.map(|f| f.status.to_string()),
        trouble: facts.and_then(|f| f.trouble()).map(str::to_owned),
        eni_id: facts.and_then(|f| f.eni_id.clone()),
        domain: facts.and_then(|f| f.domain.clone()),
        addresses: entry.current().map(|(ip, a)| (*ip, a.given.iter().copied().collect())).collect(),
    }
}

fn why_gone(found: &SourceAnswer) -> String {
    let trouble = found.cloud.as_ref().and_then(CloudFacts::trouble);
    trouble.unwrap_or("the API lists no such endpoint in this account and region").to_owned()
}

fn why_without_address(endpoint: &Endpoint, zones: &BTreeMap<Zone, ZoneFound>) -> String {
    let trouble = endpoint.cloud.as_ref().and_then(CloudFacts::trouble);
    match (trouble, zones.len()) {
        (Some(trouble), _) => format!("no zone has an address: {trouble}"),
        (None, _) if !endpoint.left_out.is_empty() => {
            endpoint.left_out.values().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        }
        (None, 0) => "no source could tell its addresses".to_owned(),
        (None, n) => format!("none of its {} has an address", count(n, "zone")),
    }
}

impl EndpointFound {
    fn show(&self, page: &mut Page, name: &EndpointName) {
        let Self { found: _, missing, id, domain, service, cloud, sources, zones, agent } = self;
        let (verdict, tone) = match missing {
            None => ("found".to_owned(), Tone::Good),
            Some(why) => (format!("not found: {why}"), Tone::Bad),
        };
        page.labelled(&Cell::toned(format!("{name}:"), Tone::Head), 0, &Cell::toned(verdict, tone));
        let statuses = cloud.as_ref().map(|c| format!("{}, {}, {}", c.status, c.business, c.connection));
        let about = [
            ("id", id.as_ref().map(|id| id.as_str().to_owned())),
            ("service", service.clone()),
            ("domain", domain.as_ref().map(|d| d.as_str().to_owned())),
            ("status", statuses),
            ("agent", agent.as_ref().map(Comparison::words)),
        ];
        for (what, said) in about {
            if let Some(said) = said {
                page.labelled(&Cell::plain(format!("  {what}")), 9, &Cell::plain(said));
            }
        }
        page.columns(&zone_rows(zones));
        if let Some(wrong) = cloud.as_ref().and_then(|c| c.trouble.as_ref()) {
            page.trouble("  ", wrong);
        }
        for (zone, wrong) in zones.iter().filter_map(|(zone, z)| Some((zone, z.trouble.as_ref()?))) {
            page.trouble("  ", &format!("{zone}: {wrong}"));
        }
        for (kind, error) in sources.iter().filter_map(|(kind, s)| Some((kind, s.error.as_ref()?))) {
            page.trouble("  ", &format!("source {kind}: {error}"));
        }
    }
}

fn zone_rows(zones: &BTreeMap<Zone, ZoneFound>) -> Vec<[Cell; 5]> {
    let mut rows = vec![head(["  ZONE", "STATUS", "INTERFACE", "ADDRESS", "TOLD BY"])];
    for (zone, ZoneFound { status, trouble, eni_id, domain: _, addresses }) in zones {
        let tone = if trouble.is_some() { Tone::Warn } else { Tone::Plain };
        let plain = [format!("  {zone}"), eni_id.clone().unwrap_or_default()].map(Cell::plain);
        let mut first = (plain, Cell::toned(status.clone().unwrap_or_default(), tone));
        let none = (addresses.is_empty()).then(|| ("none".to_owned(), String::new()));
        let told = |kinds: &[SourceKind]| kinds.iter().map(|k| k.label()).collect::<Vec<_>>().join(", ");
        let all = addresses.iter().map(|(ip, kinds)| (ip.to_string(), told(kinds)));
        for (address, told) in none.into_iter().chain(all) {
            // The first row of a zone alone names it.
            let ([zone, eni], status) = std::mem::take(&mut first);
            rows.push([zone, status, eni, Cell::plain(address), Cell::prose(told, Tone::Plain)]);
        }
    }
    rows
}
