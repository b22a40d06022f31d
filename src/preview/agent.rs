//! What the running agent knows, beside what was found now.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::Serialize;

use crate::model::{CloudFacts, Endpoint, EndpointName, Zone};
use crate::observe::status::{CloudReport, EndpointReport, StatusReport};
use crate::observe::text_table::Page;

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

    /// A line, where it does not; set apart by a blank one.
    pub(super) fn show_apart(&self, page: &mut Page) {
        if !self.answers {
            page.blank();
            self.show(page);
        }
    }

    /// A line, where it does not.
    pub(super) fn show(&self, page: &mut Page) {
        self.error.iter().for_each(|error| page.say(format!("agent: {error}")));
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
    let (now, then) = (endpoint.current_addresses().collect::<BTreeSet<_>>(), addresses_then(known));
    let new = now.difference(&then).map(|(zone, ip)| format!("the agent does not have {ip} ({zone})"));
    let gone = then.difference(&now).map(|(zone, ip)| format!("the agent has {ip} ({zone}), which was not found now"));
    let status = statuses(endpoint.cloud.as_ref(), known.cloud.as_ref());
    Comparison::new(new.chain(gone).chain(status).collect())
}

fn addresses_then(known: &EndpointReport) -> BTreeSet<(&Zone, IpAddr)> {
    let addresses = known.zones.iter().flat_map(|(zone, all)| all.iter().map(move |(ip, report)| (zone, ip, report)));
    addresses.filter(|(.., report)| !report.retired).map(|(zone, ip, _)| (zone, *ip)).collect()
}

fn statuses(now: Option<&CloudFacts>, then: Option<&CloudReport>) -> Option<String> {
    let then = then.map(|c| format!("{}, {}, {}", c.status, c.business, c.connection))?;
    (now?.words() != then).then(|| format!("the agent was told {then}"))
}
