//! Names of which nothing answers: each a sentence before all others, since a zone of several is another matter.

use crate::model::{Answer, AnswerReason, Check, CheckState, HostName, Inventory, TargetHealth, TargetKey};
use crate::observe::Snapshot;

/// A sentence a name. A zone's own name has nowhere else to go: of its zone the targets' own sentences tell.
pub(super) fn problems(snapshot: &Snapshot) -> Vec<String> {
    let Some(plan) = &snapshot.plan.plan else { return Vec::new() };
    let kept = plan
        .answers
        .iter()
        .filter(|(name, answer)| answer.reason == AnswerReason::AllDownKept && !plan.zone_names.contains(*name));
    kept.filter_map(|(name, answer)| problem(snapshot, name, answer)).collect()
}

/// `None` if something of the name is not down: then only what is published is.
fn problem(snapshot: &Snapshot, name: &HostName, answer: &Answer) -> Option<String> {
    let is_of_name = |key: &TargetKey| carries(&snapshot.inventory, key, name);
    let targets: Vec<&TargetHealth> =
        snapshot.health.targets.iter().filter(|(key, _)| is_of_name(key)).map(|(_, health)| health.as_ref()).collect();
    if targets.is_empty() || !targets.iter().all(|target| target.summary().is_down()) {
        return None;
    }
    let connects = |target: &&TargetHealth| {
        target.checks.get(&Check::Path).is_some_and(|path| matches!(path.state, CheckState::Up { .. }))
    };
    let what = if targets.iter().any(connects) { "no zone passes its checks" } else { "no zone answers" };
    let addresses = answer.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Some(format!("{name}: {what}, the name stays on {addresses}"))
}

fn carries(inventory: &Inventory, key: &TargetKey, name: &HostName) -> bool {
    inventory.endpoints.get(&key.endpoint).is_some_and(|endpoint| endpoint.names.contains(name))
}
