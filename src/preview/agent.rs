//! What the running agent knows, beside what was found now.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::Serialize;

use crate::model::{CloudFacts, Endpoint, EndpointName, Zone};
use crate::observe::status::{CloudReport, EndpointReport, StatusReport};

/// Whether an agent answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AgentAnswer {
    /// True if it does.
    pub answers: bool,
    /// Why it does not answer; `None` if it does.
    pub error: Option<String>,
}

impl AgentAnswer {
    /// Of what it said, or of why it said nothing.
    #[must_use]
    pub fn new(agent: Result<&StatusReport, &str>) -> Self {
        Self { answers: agent.is_ok(), error: agent.err().map(str::to_owned) }
    }
}

/// How something compares with what the agent knows of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// True if nothing differs.
    pub same: bool,
    /// What does, a sentence each.
    pub differences: Vec<String>,
}

impl Comparison {
    pub(super) fn new(differences: Vec<String>) -> Self {
        Self { same: differences.is_empty(), differences }
    }

    /// "same", or what differs.
    pub(super) fn words(&self) -> String {
        if self.same { "same".to_owned() } else { self.differences.join("; ") }
    }
}

/// Of one endpoint.
pub(super) fn compare(name: &EndpointName, endpoint: &Endpoint, agent: &StatusReport) -> Comparison {
    let Some(known) = agent.endpoints.get(name).filter(|known| !known.leaving) else {
        return Comparison::new(vec!["the agent does not know it: it runs on another config".to_owned()]);
    };
    let (now, then) = (addresses_now(endpoint), addresses_then(known));
    let new = now.difference(&then).map(|(zone, ip)| format!("the agent does not have {ip} ({zone})"));
    let gone = then.difference(&now).map(|(zone, ip)| format!("the agent has {ip} ({zone}), which was not found now"));
    let status = statuses(endpoint.cloud.as_ref(), known.cloud.as_ref());
    Comparison::new(new.chain(gone).chain(status).collect())
}

fn addresses_now(endpoint: &Endpoint) -> BTreeSet<(Zone, IpAddr)> {
    let of = |(zone, entry): (&Zone, &crate::model::ZoneEntry)| {
        let live = entry.addresses.iter().filter(|(_, a)| a.retired.is_none());
        live.map(|(ip, _)| (zone.clone(), *ip)).collect::<Vec<_>>()
    };
    endpoint.zones.iter().flat_map(of).collect()
}

fn addresses_then(known: &EndpointReport) -> BTreeSet<(Zone, IpAddr)> {
    let of = |(zone, all): (&Zone, &std::collections::BTreeMap<IpAddr, _>)| {
        let live = all.iter().filter(|(_, a): &(_, &crate::observe::status::AddressReport)| !a.retired);
        live.map(|(ip, _)| (zone.clone(), *ip)).collect::<Vec<_>>()
    };
    known.zones.iter().flat_map(of).collect()
}

fn statuses(now: Option<&CloudFacts>, then: Option<&CloudReport>) -> Option<String> {
    let then = then.map(|c| format!("{}, {}, {}", c.status, c.business, c.connection))?;
    (now?.words() != then).then(|| format!("the agent was told {then}"))
}
