//! Why an answer is as it is: the first that holds, in the order of [`AnswerReason`].

use std::collections::BTreeSet;

use super::Inputs;
use super::answer::Chosen;
use super::candidate::{Candidate, Candidates, Standing};
use crate::model::{AnswerReason, Boottime, CheckState, EndpointName, TargetHealth};

pub(super) fn of(candidates: &Candidates, chosen: &Chosen, inputs: &Inputs<'_>) -> AnswerReason {
    let is_published = |c: &Candidate| chosen.addresses.contains(&c.key.address);
    let published = |c: &&&Candidate| is_published(c);
    // A retired address that is left out, and probed by nobody, says nothing about the others.
    let list: Vec<_> = candidates.list.iter().filter(|c| !c.is_retired() || is_published(c)).collect();
    let left_out_dead = |c: &&Candidate| {
        let sick = matches!(c.standing, Standing::Down | Standing::Holding(_) | Standing::Recovering);
        (sick || chosen.shed.left.contains(&c.key)) && !is_published(c)
    };
    let all_down = !list.is_empty() && list.iter().all(|c| c.standing == Standing::Down);
    let all = |is: &dyn Fn(&Candidate) -> bool| {
        list.iter().any(|c| published(&c)) && list.iter().filter(published).all(|c| is(c))
    };
    let rules: [(AnswerReason, &dyn Fn() -> bool); 11] = [
        (AnswerReason::Pinned, &|| candidates.pinned),
        // Also of a name that the config has elsewhere by now, where nothing answers yet.
        (AnswerReason::RemovalPending, &|| {
            (!list.is_empty() && list.iter().all(|c| c.removed)) || all(&|c| c.departed || c.former.is_some())
        }),
        (AnswerReason::LocalFaultHeld, &|| all_down && is_local_fault(&list, inputs)),
        (AnswerReason::AllDownKept, &|| all_down),
        (AnswerReason::DrainedButNeeded, &|| chosen.drained_but_needed),
        (AnswerReason::Drained, &|| chosen.drained),
        (AnswerReason::FailedOver, &|| list.iter().any(left_out_dead)),
        // Nothing that another address would mend, and no success either.
        (AnswerReason::AllDownKept, &|| all(&is_down)),
        // What is published and known by no source any more is as stale as can be.
        (AnswerReason::Stale, &|| {
            !list.iter().any(|c| published(&c)) || list.iter().filter(published).any(|c| c.stale)
        }),
        (AnswerReason::Unprobed, &|| list.iter().filter(published).any(|c| c.standing == Standing::Unknown)),
        (AnswerReason::Fixed, &|| list.iter().filter(published).all(|c| c.standing == Standing::Trusted)),
    ];
    rules.iter().find(|(_, holds)| holds()).map_or(AnswerReason::Healthy, |(reason, _)| *reason)
}

/// Down by any check, whether it tells where a name may point or not.
fn is_down(c: &Candidate) -> bool {
    c.health.as_ref().is_some_and(|health| matches!(health.summary(), CheckState::Down { .. }))
}

/// B5: no target of any endpoint has succeeded since this name's first failure. One endpoint alone can't tell its own
/// death from ours.
fn is_local_fault(list: &[&Candidate], inputs: &Inputs<'_>) -> bool {
    let failing = list.iter().filter_map(|c| c.health.as_ref()).filter_map(|h| failing_since(h)).min();
    let Some(first_failure) = failing else { return false };
    let endpoints: BTreeSet<&EndpointName> = inputs.health.targets.keys().map(|k| &k.endpoint).collect();
    let succeeded_since =
        |h: &TargetHealth| h.checks.values().any(|c| c.last_success_started.is_some_and(|s| s >= first_failure));
    endpoints.len() >= 2 && !inputs.health.targets.values().any(|h| succeeded_since(h))
}

fn failing_since(health: &TargetHealth) -> Option<Boottime> {
    health.checks.values().filter_map(|c| c.failing_since).min()
}
