//! What the reports have in common.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::discover::{Round, SourceError};
use crate::model::shown::few;
use crate::model::{EndpointName, HostFacts, Inventory, SourceKind, ZoneId};
use crate::observe::status::StatusReport;
use crate::observe::text_table::Page;

/// The version of the reports' shape: it changes when something is renamed or removed.
pub const SCHEMA: u32 = 1;

/// What is to be done about a config in which nothing is to be found.
pub(super) const NO_ENDPOINT: &str = "the configuration names no endpoint: `sudo privatelinkd init` drafts one";

/// What one round saw.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Where we are.
    pub host: &'a Host,
    /// What each source said.
    pub round: &'a Round,
    /// What follows from that.
    pub inventory: &'a Inventory,
    /// What the running agent says, or why it says nothing.
    pub agent: Result<&'a StatusReport, &'a str>,
}

/// The host that the command runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Host {
    /// The region's id.
    pub region: Option<String>,
    /// The zone that counts as local.
    pub zone: Option<ZoneId>,
    /// The VPC.
    pub vpc_id: Option<String>,
    /// The instance.
    pub instance_id: Option<String>,
    /// Why the metadata service did not tell more, if it was asked.
    pub error: Option<String>,
}

impl Host {
    /// What is known of the host.
    #[must_use]
    pub fn new(facts: &HostFacts, error: Option<&str>) -> Self {
        // The identity is for telling machines apart, not for showing.
        let HostFacts { zone, region, vpc_id, instance_id, hostname: _, identity: _, foreign_cache: _, awaited: _ } =
            facts.clone();
        Self { region, zone, vpc_id, instance_id, error: error.map(str::to_owned) }
    }

    /// One line, and one for what went wrong.
    pub(super) fn show(&self, page: &mut Page) {
        let Self { region, zone, vpc_id, instance_id, error } = self;
        let known = |part: Option<&str>| part.unwrap_or("unknown").to_owned();
        let zone = known(zone.as_ref().map(ZoneId::as_str));
        let (region, vpc) = (known(region.as_deref()), known(vpc_id.as_deref()));
        let instance = instance_id.as_ref().map(|id| format!(", instance {id}")).unwrap_or_default();
        page.say(format!("host: region {region}, zone {zone}, VPC {vpc}{instance}"));
        error.iter().for_each(|error| page.trouble("", error));
    }
}

/// What the sources of these endpoints could not tell, with what to do about it: once for all of them that fail alike.
pub(super) fn source_problems(round: &Round, concerns: impl Fn(&EndpointName) -> bool) -> Vec<String> {
    let mut alike: BTreeMap<(SourceKind, String), (Vec<&EndpointName>, &SourceError)> = BTreeMap::new();
    for (name, said) in round.iter().filter(|(name, _)| concerns(name)) {
        for (kind, said) in said {
            if let Some(error) = said.as_ref().map_or_else(Some, |found| found.incomplete.as_ref()) {
                alike.entry((*kind, error.in_general())).or_insert_with(|| (vec![], error)).0.push(name);
            }
        }
    }
    let problem = |((kind, _), (names, error)): ((SourceKind, String), (Vec<&EndpointName>, &SourceError))| {
        let whose = if names.len() == 1 { "endpoint" } else { "endpoints" };
        format!("{whose} {}: source {kind}: {}", few(&names), error.with_advice())
    };
    alike.into_iter().map(problem).collect()
}
