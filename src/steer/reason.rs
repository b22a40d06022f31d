//! Why an answer is as it is: the first of this list that holds. An address counts unless it is retired and left out.
//!
//! - `removal_pending`: every address is of what has left the config, or every published one of what the name led to
//!   before.
//! - `local_fault_held`: every address is down, since then no target at all has succeeded, and targets of at least two
//!   endpoints have failed.
//! - `all_down_kept`: every address is down.
//! - `drained_but_needed`: a drained address is published.
//! - `drained`: a healthy address is left out because of a drain.
//! - `failed_over`: an address is left out because it is dead, on hold or overloaded, that would be published if all
//!   were well (with `answers = "one"`, one that was published when it died), and one that is published is not down.
//! - `all_down_kept`: every published address is down by some check, be it by what no other address would mend.
//! - `down_kept`: one of them is, and nothing has disproved it.
//! - `pinned`: it is a zone's own name.
//! - `stale`: no published address is known by any source any more, or one only by a source that fails.
//! - `unprobed`: a published address has not been judged yet.
//! - `fixed`: nothing probes the published addresses.
//! - `healthy`: else.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::answer::{self, Chosen};
use super::candidate::{Candidate, CandidateState, Candidates};
use super::inputs::Inputs;
use crate::model::{Answer, AnswerReason, Answers, CheckHealth, TargetHealth};

pub(super) fn reason(
    candidates: &Candidates,
    chosen: &Chosen,
    left: &BTreeSet<IpAddr>,
    inputs: &Inputs<'_>,
) -> AnswerReason {
    let is_published = |c: &Candidate| chosen.addresses.contains(&c.key.address);
    // A retired address that is left out, and not probed, says nothing about the others.
    let list: Vec<_> = candidates.list.iter().filter(|c| !c.is_retired() || is_published(c)).collect();
    let published: Vec<_> = list.iter().copied().filter(|c| is_published(c)).collect();
    let any = |is: &dyn Fn(&Candidate) -> bool| published.iter().any(|c| is(c));
    let all = |is: &dyn Fn(&Candidate) -> bool| !published.is_empty() && published.iter().all(|c| is(c));
    let all_down = !list.is_empty() && list.iter().all(|c| c.standing == CandidateState::Down);
    let rules: [(AnswerReason, &dyn Fn() -> bool); 12] = [
        // Also of a name that the config has elsewhere by now, where nothing answers yet.
        (AnswerReason::RemovalPending, &|| {
            (!list.is_empty() && list.iter().all(|c| c.removed)) || all(&|c| c.departed || c.former.is_some())
        }),
        (AnswerReason::LocalFaultHeld, &|| all_down && is_local_fault(&list, inputs)),
        (AnswerReason::AllDownKept, &|| all_down),
        (AnswerReason::DrainedButNeeded, &|| chosen.drained_but_needed),
        (AnswerReason::Drained, &|| chosen.drained),
        (AnswerReason::FailedOver, &|| {
            any(&|c| c.standing != CandidateState::Down) && has_failed_over(candidates, chosen, left)
        }),
        // Nothing that another address would mend, and no success either.
        (AnswerReason::AllDownKept, &|| all(&is_down)),
        (AnswerReason::DownKept, &|| any(&is_down)),
        (AnswerReason::Pinned, &|| candidates.pinned),
        // What is published and known by no source any more is as stale as can be.
        (AnswerReason::Stale, &|| published.is_empty() || any(&|c| c.stale)),
        (AnswerReason::Unprobed, &|| any(&|c| c.standing == CandidateState::Unknown)),
        (AnswerReason::Fixed, &|| all(&|c| c.standing == CandidateState::Trusted)),
    ];
    rules.iter().find(|(_, holds)| holds()).map_or(AnswerReason::Healthy, |(reason, _)| *reason)
}

/// Down by any check, whether it tells where a name may point or not.
fn is_down(c: &Candidate) -> bool {
    c.health.as_ref().is_some_and(|health| health.summary().is_down())
}

/// Left out because it is dead, on hold or overloaded.
fn is_away(c: &Candidate, chosen: &Chosen) -> bool {
    let sick = matches!(c.standing, CandidateState::Down | CandidateState::Holding(_) | CandidateState::Recovering);
    let never_worked = c.unproven && c.never_reached().is_some();
    (sick || never_worked || chosen.shed.contains(&c.key)) && !chosen.addresses.contains(&c.key.address)
}

/// What the answer has left and could lead to if it were well. Of a single answer (`answers = "one"`) only that counts
/// of what is away, since any other address was a standby when it died.
pub(super) fn left(
    candidates: &Candidates,
    chosen: &Chosen,
    previous: Option<(&Answer, Option<&BTreeSet<IpAddr>>)>,
) -> BTreeSet<IpAddr> {
    let Some((answer, before)) = previous else { return BTreeSet::new() };
    let had = |address: &IpAddr| answer.addresses.contains(address) || before.is_some_and(|b| b.contains(address));
    let away = answer::wanted(candidates).into_iter().filter(|c| is_away(c, chosen)).map(|c| c.key.address);
    away.filter(had).collect()
}

/// Whether something dead is left out that would be published if it were well.
fn has_failed_over(candidates: &Candidates, chosen: &Chosen, left: &BTreeSet<IpAddr>) -> bool {
    let counts = |c: &&Candidate| candidates.steering.answers == Answers::All || left.contains(&c.key.address);
    answer::wanted(candidates).into_iter().filter(counts).any(|c| is_away(c, chosen))
}

/// B5: since the last of them began to fail, targets of at least two endpoints have failed and none has succeeded. One
/// endpoint alone can't tell its own death from ours, and one that no probe has asked since says nothing.
fn is_local_fault(list: &[&Candidate], inputs: &Inputs<'_>) -> bool {
    let Some(since) = list.iter().filter_map(|c| Some(c.charge?.since())).max() else { return false };
    let succeeded = |c: &CheckHealth| c.last_success_started.is_some_and(|s| s >= since);
    let failed = |c: &CheckHealth| c.successes_in_a_row == 0 && c.moving.is_some_and(|run| run.last >= since);
    let any = |health: &TargetHealth, is: &dyn Fn(&CheckHealth) -> bool| health.checks.values().any(is);
    let own = list.iter().map(|c| &c.key.endpoint);
    let others = inputs.health.targets.iter().filter(|(_, health)| any(health, &failed)).map(|(key, _)| &key.endpoint);
    let endpoints: BTreeSet<_> = own.chain(others).collect();
    endpoints.len() >= 2 && !inputs.health.targets.values().any(|health| any(health, &succeeded))
}
