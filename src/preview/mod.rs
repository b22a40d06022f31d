//! What one round found and what the agent would make of it, as reports: for scripts as JSON, for people as a table,
//! and beside what the running agent knows. All pure.
//!
//! [`discover_report`] is what `discover` answers, [`probe_report`] what `probe` does, [`plan_report`] what `plan`
//! does. A failure is told in the source's own sentence, with what to do about it where that is known ([`advice`]).

pub mod advice;
mod agent;
pub mod discover_report;
pub mod plan_report;
pub mod probe_report;
mod text;

use serde::Serialize;

pub use agent::{AgentAnswer, Comparison};
pub use discover_report::DiscoverReport;
pub use plan_report::PlanReport;
pub use probe_report::ProbeReport;

use crate::model::{HostFacts, ZoneId};
use crate::observe::text_table::{Cell, line};

/// The version of the reports' shape: it changes when something is renamed or removed.
pub const SCHEMA: u32 = 1;

/// Where we are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Host {
    /// The region.
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
    /// What is known.
    #[must_use]
    pub fn new(facts: &HostFacts, error: Option<&str>) -> Self {
        // The identity is for telling machines apart, not for showing.
        let HostFacts { zone, region, vpc_id, instance_id, hostname: _, identity: _, foreign_cache: _ } = facts.clone();
        Self { region, zone, vpc_id, instance_id, error: error.map(str::to_owned) }
    }

    /// One line, and one for what went wrong.
    fn text(&self, out: &mut String, color: bool) {
        let Self { region, zone, vpc_id, instance_id, error } = self;
        let known = |part: Option<&str>| part.unwrap_or("unknown").to_owned();
        let zone = known(zone.as_ref().map(ZoneId::as_str));
        let (region, vpc) = (known(region.as_deref()), known(vpc_id.as_deref()));
        let instance = instance_id.as_ref().map(|id| format!(", instance {id}")).unwrap_or_default();
        line(out, &[Cell::plain(format!("host: region {region}, zone {zone}, VPC {vpc}{instance}"))], &[], color);
        if let Some(error) = error {
            text::trouble(out, "", error, color);
        }
    }
}
