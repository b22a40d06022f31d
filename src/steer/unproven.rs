//! A cold start: the first answer of a name is given before anything has been probed, so that no client waits, and may
//! hold an address that has never worked.
//!
//! What is published so is *unproven* until a probe has succeeded. One that no probe has reached leaves as soon as a
//! sibling is up: its latest attempt to connect, seen at or after a success of the sibling, was refused or has been
//! unanswered for `fast_interval`. That is less than a charge (`evidence`), and enough where there is no past to set
//! against it; what connects, and is slow to greet, stays until it is judged. It comes in with its first success,
//! without `rise` and hold.
//!
//! A restart of the agent is no cold start: the plan in force is the past, and keeps who is unproven.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::candidate::{Candidate, CandidateState, Candidates};
use crate::model::{Check, TargetHealth};

/// True if it has to leave for one of these.
pub(super) fn gives_way<'a>(c: &Candidate, mut others: impl Iterator<Item = &'a Candidate>) -> bool {
    let Some(seen) = c.never_reached().filter(|_| c.unproven) else { return false };
    let works = |other: &Candidate| {
        let path = other.check(Check::Path).and_then(|path| path.successes);
        other.standing == CandidateState::Up && path.is_some_and(|run| run.first <= seen)
    };
    others.any(|other| other.key.address != c.key.address && works(other))
}

/// Who is unproven from now on.
pub(super) fn remaining(candidates: &Candidates, published: &[IpAddr], is_new: bool) -> BTreeSet<IpAddr> {
    let is_proven = |c: &Candidate| {
        let succeeded =
            |health: &TargetHealth| health.checks.values().any(|check| check.last_success_started.is_some());
        let is_published = published.contains(&c.key.address);
        c.serves() || (is_published && c.health.as_deref().is_some_and(succeeded))
    };
    let was = |c: &&Candidate| c.unproven || (is_new && published.contains(&c.key.address));
    candidates.list.iter().filter(was).filter(|c| !is_proven(c)).map(|c| c.key.address).collect()
}
