//! What the reports have in common.

use serde::Serialize;

use crate::model::{HostFacts, ZoneId};
use crate::observe::text_table::{Cell, Tone, line};

/// The version of the reports' shape: it changes when something is renamed or removed.
pub const SCHEMA: u32 = 1;

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
        let HostFacts { zone, region, vpc_id, instance_id, hostname: _, identity: _, foreign_cache: _ } = facts.clone();
        Self { region, zone, vpc_id, instance_id, error: error.map(str::to_owned) }
    }

    /// One line, and one for what went wrong.
    pub(super) fn text(&self, out: &mut String, color: bool) {
        let Self { region, zone, vpc_id, instance_id, error } = self;
        let known = |part: Option<&str>| part.unwrap_or("unknown").to_owned();
        let zone = known(zone.as_ref().map(ZoneId::as_str));
        let (region, vpc) = (known(region.as_deref()), known(vpc_id.as_deref()));
        let instance = instance_id.as_ref().map(|id| format!(", instance {id}")).unwrap_or_default();
        line(out, &[Cell::plain(format!("host: region {region}, zone {zone}, VPC {vpc}{instance}"))], &[], color);
        if let Some(error) = error {
            trouble(out, "", error, color);
        }
    }
}

/// A line about something that is not as it should be.
pub(super) fn trouble(out: &mut String, indent: &str, text: &str, color: bool) {
    line(out, &[Cell::toned(format!("{indent}! {text}"), Tone::Warn)], &[], color);
}

/// "1 name", "2 names".
pub(super) fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
