//! Names of which nothing answers: each a sentence before all others, since a zone of several is another matter.

use crate::model::{Answer, AnswerReason, Check, HostName, Inventory, PlanState, TargetHealth, TargetKey};
use crate::observe::Snapshot;

/// A sentence a name. A zone's own name has nowhere else to go: of its zone the targets' own sentences tell.
pub(super) fn problems(snapshot: &Snapshot) -> Vec<String> {
    let Some(plan) = &snapshot.plan.plan else { return Vec::new() };
    let shared = plan.answers.iter().filter(|(name, _)| !plan.zone_names.contains(*name));
    shared.filter_map(|(name, answer)| problem(snapshot, name, answer)).collect()
}

fn problem(snapshot: &Snapshot, name: &HostName, answer: &Answer) -> Option<String> {
    let (is_out, was_out) = (answer.reason == AnswerReason::AllDownKept, was_out(&snapshot.plan, name, answer));
    if !is_out && !was_out {
        return None;
    }
    let is_of_name = |key: &TargetKey| carries(&snapshot.inventory, key, name);
    let targets: Vec<&TargetHealth> =
        snapshot.health.targets.iter().filter(|(key, _)| is_of_name(key)).map(|(_, health)| health.as_ref()).collect();
    let what = if is_out && !targets.is_empty() && targets.iter().all(|target| target.summary().is_down()) {
        if targets.iter().any(|target| connects(target)) { "no zone passes its checks" } else { "no zone answers" }
    } else if was_out && !targets.iter().any(|target| is_well(target)) {
        "nothing answered before the agent began, and no zone has passed its checks since"
    } else {
        // Something of it is not down: only what is published is.
        return None;
    };
    let addresses = answer.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Some(format!("{name}: {what}, the name stays on {addresses}"))
}

/// Whether a name was out before this start. Until the first decision the answer is the one from then.
fn was_out(plan: &PlanState, name: &HostName, answer: &Answer) -> bool {
    plan.history.get(name).map_or(answer.reason == AnswerReason::AllDownKept, |history| history.was_out)
}

fn connects(target: &TargetHealth) -> bool {
    target.checks.get(&Check::Path).is_some_and(|path| path.state.is_up())
}

fn is_well(target: &TargetHealth) -> bool {
    target.summary().is_up() && target.checks.values().all(|check| check.state.is_up())
}

fn carries(inventory: &Inventory, key: &TargetKey, name: &HostName) -> bool {
    inventory.endpoints.get(&key.endpoint).is_some_and(|endpoint| endpoint.names.contains(name))
}
