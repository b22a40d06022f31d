//! What of another address proves that what an address fails by is its own fault.
//!
//! A *charge* is a check by which an address is decidedly down (its latest `fall` failures are of the kind that another
//! address mends) and that goes on failing. It is proven by another address of the same name that passes
//!
//! - and is younger than it: a success began at or after the decision of the charge (B4);
//! - beside it: the check was up, in one run of successes, when a failure of the charge began. What failed while none
//!   succeeded may have been this host's own fault (B5), and the first to come up after an outage of all proves nothing
//!   against the others before they have been asked once more. Else a whole fleet would sit in the zone that came
//!   first.
//!
//! The path comes first. What can't be reached serves no client, whatever logins say here or there, so a charge by the
//! path check is all that counts and the other's path check proves it. A charge by the deep check takes the other's
//! deep check, after whose success it has failed once more (what a login met on the way to it counts only until the
//! path check comes up); where that one has none, its path check is the strongest evidence there can be. One that
//! nothing probes proves a charge by having been there for a minute since.

use super::candidate::{Candidate, CandidateState};
use super::charge::Charge;
use super::inputs::Inputs;
use crate::model::{Boottime, Check, CheckHealth, Span, TargetHealth};

impl Candidate {
    /// True if `other` proves that what this one fails by is its own fault (B4).
    pub(super) fn is_disproved_by(&self, other: &Self, inputs: &Inputs<'_>) -> bool {
        let charge = self.charge.filter(|_| self.key.address != other.key.address);
        charge.is_some_and(|charge| charge.is_proven_by(other, inputs))
    }
}

impl Charge {
    /// True if `other`, an address of the same name that nothing speaks against, proves it.
    pub(super) fn is_proven_by(&self, other: &Candidate, inputs: &Inputs<'_>) -> bool {
        if other.health.is_none() {
            let trusted = other.standing == CandidateState::Trusted && self.trust_at() <= inputs.now.boottime;
            return trusted && reaches_anybody(inputs, self.decided);
        }
        let same = other.check(self.check);
        let strongest = if self.check == Check::Deep { same.or(other.check(Check::Path)) } else { same };
        strongest.is_some_and(|check| self.is_proven_by_check(check, same.is_some()))
    }

    fn is_proven_by_check(&self, theirs: &CheckHealth, same: bool) -> bool {
        // A login is rare: a run of its successes spans more than it has seen. The accused is asked again soon, and may
        // take longer to fail than the other one's interval: what that proved when it was called is as good.
        let proved = theirs.proved.filter(|at| *at >= self.decided);
        let again = |run: Span| self.failures.last >= proved.unwrap_or(run.last).min(run.last);
        // Of one that is up by this run since `since`, at the latest.
        let beside = |run: Span| self.failures.last >= run.first.max(theirs.since.boottime);
        let younger =
            |run: Span| run.last >= self.decided && beside(run) && (!(same && self.check == Check::Deep) || again(run));
        let up = theirs.state.is_up() && theirs.successes_in_a_row > 0;
        up && theirs.successes.is_some_and(younger)
    }
}

/// Whether this host is seen to reach any target: one has succeeded since then, or no other is asked at all.
fn reaches_anybody(inputs: &Inputs<'_>, since: Boottime) -> bool {
    let succeeded = |health: &TargetHealth| health.checks.values().any(|c| c.last_success_started >= Some(since));
    inputs.health.targets.len() <= 1 || inputs.health.targets.values().any(|health| succeeded(health))
}
