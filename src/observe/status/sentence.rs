//! The state in one sentence, for `systemctl status` and its like.

use super::{dns, problems};
use crate::model::CheckState;
use crate::observe::Snapshot;
use crate::observe::text_table::count;

/// Whether what was decided is in force where it is published: the plan, or the cached one.
#[must_use]
pub fn published(snapshot: &Snapshot) -> bool {
    let digest = snapshot.receipts.hosts_digest(snapshot.plan.digest.as_ref());
    let receipt = || snapshot.receipts.hosts.as_ref().is_some_and(|r| r.digest.as_ref() == digest);
    let written = || snapshot.config.hosts_path.is_none() || receipt();
    let served = || snapshot.config.dns.is_empty() || dns::is_served(snapshot);
    snapshot.plan.plan.is_some() && written() && served()
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
        all => format!("{up} of {all} addresses up"),
    }
}
