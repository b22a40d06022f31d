//! What steering decided: for every published name its answer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Digest, HostName, Now, Wall, worded};

/// The answer of every published name, and the names that were given up. It holds no clock, no counter and no free
/// text, so equal situations give equal plans.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// By name.
    pub answers: BTreeMap<HostName, Answer>,
    /// Names that must leave what is published, and why: absence alone never removes (B1).
    pub withdrawn: BTreeMap<HostName, Withdrawal>,
    /// What each answer has left, as long as that is dead, on hold or overloaded: a single answer (`answers = "one"`)
    /// that was there has failed over, one that never was has not. A memory of steering's, not shown.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left: BTreeMap<HostName, BTreeSet<IpAddr>>,
    /// What was published before anything had been probed, until it is found to work; not shown either.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unproven: BTreeMap<HostName, BTreeSet<IpAddr>>,
    /// Names of `answers` that are a zone's own, whatever the reason of their answer: a hosts file has them last.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub zone_names: BTreeSet<HostName>,
}

/// What a name points at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Published addresses: never empty, no duplicates, the local zone's first.
    pub addresses: Vec<IpAddr>,
    /// Addresses that would serve too, kept back by choice (`prefer`, `answers`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub standby: Vec<IpAddr>,
    /// Why.
    pub reason: AnswerReason,
}

worded! {
    /// Why steering answered so, first the strongest. Which one is given where several hold: the table in
    /// `steer::reason`.
    AnswerReason {
        /// The name has left the config and goes after the grace; or the config has it lead elsewhere by now, and
        /// nothing answers there yet.
        RemovalPending = "removal_pending",
        /// Every address is down, and since then nothing at all has answered on at least two endpoints: probably this
        /// host's own fault (B5).
        LocalFaultHeld = "local_fault_held",
        /// Every address is down, or every published one by what no other would mend. The last set stays, or those of
        /// which at least the path is up.
        AllDownKept = "all_down_kept",
        /// A drained zone is used because nothing else is healthy.
        DrainedButNeeded = "drained_but_needed",
        /// An admin drained a zone.
        Drained = "drained",
        /// An address is left out because it is dead, on hold or overloaded, that would be published if all were well,
        /// and some published one is not down.
        FailedOver = "failed_over",
        /// Some published address is down, and nothing has disproved it: what it fails by no other one would mend, or
        /// the evidence is still to come.
        DownKept = "down_kept",
        /// A zone's own name, which only ever points at that zone.
        Pinned = "pinned",
        /// The addresses come from a source that fails at present.
        Stale = "stale",
        /// Some address has not been judged yet.
        Unprobed = "unprobed",
        /// Fixed addresses that nothing probes.
        Fixed = "fixed",
        /// All is well.
        Healthy = "healthy",
    }
}

/// Why a name is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Withdrawal {
    /// The cloud says the endpoint is gone, twice, and the grace is over.
    Gone,
    /// The config no longer has it, and the grace is over.
    Removed,
    /// It came from another machine's cache (a baked image).
    ForeignCache,
}

/// A plan as observers see it: with the times that the plan itself must not hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlanState {
    /// The plan in force; `None` until the first decision.
    pub plan: Option<Arc<Plan>>,
    /// The digest it was handed over with: a receipt with another one speaks of another plan.
    pub digest: Option<Digest>,
    /// What happened to each name since the start.
    pub history: BTreeMap<HostName, AnswerHistory>,
}

impl PlanState {
    /// When each answer changed last, as far as that is known: not of those that were there before the start.
    #[must_use]
    pub fn changed(&self) -> BTreeMap<HostName, Wall> {
        let known = self.history.iter().filter(|(_, history)| !history.recalled);
        known.map(|(name, history)| (name.clone(), history.changed.wall)).collect()
    }
}

/// How often and when a name's addresses changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerHistory {
    /// Changes of the published addresses since the start, the first answer not counted.
    pub changes: u64,
    /// When the latest one was decided (the first answer counts).
    pub changed: Now,
    /// True if the addresses were published before this start, and `changed` says no more than when that was.
    pub recalled: bool,
    /// True if nothing of the name answered when the agent before this start knew of it last, and the answer has
    /// neither changed nor been found well since.
    pub was_out: bool,
}
