//! The state in one sentence, for `systemctl status` and its like.

use super::problems;
use crate::model::{CheckState, PublisherState};
use crate::observe::Snapshot;
use crate::observe::text_table::count;

/// Whether what was decided is in force where it is published: the plan, or the cached one.
#[must_use]
pub fn published(snapshot: &Snapshot) -> bool {
    let has_plan = |publisher: &PublisherState| publisher.has(snapshot.plan.digest.as_ref());
    let mut publishers = snapshot.config.publishers.keys().map(|name| snapshot.receipts.0.get(name));
    snapshot.plan.plan.is_some() && publishers.all(|publisher| publisher.is_some_and(has_plan))
}

/// One true sentence: how much is well, or the most urgent of what is not.
#[must_use]
pub fn sentence(snapshot: &Snapshot) -> String {
    let problems = problems::all(snapshot);
    match problems.split_first() {
        None => format!("{}; {}", names(snapshot), addresses(snapshot)),
        Some((first, [])) => format!("degraded: {first}"),
        Some((first, more)) => format!("degraded: {first} (and {} more)", more.len()),
    }
}

fn names(snapshot: &Snapshot) -> String {
    match snapshot.plan.plan.as_ref().map_or(0, |plan| plan.answers.len()) {
        0 => "no name to publish".to_owned(),
        n => format!("{} published", count(n, "name")),
    }
}

fn addresses(snapshot: &Snapshot) -> String {
    let targets = &snapshot.health.targets;
    let up = targets.values().filter(|t| matches!(t.summary(), CheckState::Up { .. })).count();
    match targets.len() {
        0 => "no address is probed".to_owned(),
        all => format!("{up} of {} up", count(all, "address")),
    }
}
