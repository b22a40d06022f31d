//! What a decision depends on, and what it says.

use std::collections::BTreeSet;

use crate::model::{
    Boottime, EndpointName, EventKind, HealthView, HostFacts, HostName, Inventory, Now, Overrides, Plan, Policy,
};

/// All that a decision depends on.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// What there is.
    pub inventory: &'a Inventory,
    /// How it does.
    pub health: &'a HealthView,
    /// Where we are.
    pub host: &'a HostFacts,
    /// What an admin asked for.
    pub overrides: &'a Overrides,
    /// What an admin prefers.
    pub policy: &'a Policy,
    /// The plan in force, if any.
    pub previous: Option<&'a Plan>,
    /// When.
    pub now: Now,
}

/// A decision.
#[derive(Debug, Clone, PartialEq)]
pub struct Steered {
    /// What to publish.
    pub plan: Plan,
    /// What changed against the previous plan.
    pub events: Vec<EventKind>,
    /// When to look again although nothing else changes: a hold or a grace ends, or this host's turn comes (`shed`).
    pub wake_at: Option<Boottime>,
    /// Endpoints that lost an address just now: discovery should look whether the cloud knows why.
    pub ask: BTreeSet<EndpointName>,
    /// Names that still lead to what their endpoint was before the config made another of it, though `removal_grace` is
    /// over.
    pub outstayed: BTreeSet<HostName>,
    /// Endpoints that the cloud no longer has, and that are kept beyond the grace since they prove to be there.
    pub put_off: BTreeSet<EndpointName>,
    /// Names of which nothing answers as it should, whether that is new or not ([`super::outages`] says more); zones'
    /// own names never.
    pub out: BTreeSet<HostName>,
}
