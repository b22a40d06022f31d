//! Names that lead to addresses which the config no longer means: it made another endpoint of theirs, or moved them to
//! another one, and nothing answers there yet.

use std::net::IpAddr;

use crate::model::{Answer, AnswerReason, Endpoint, HostName, Plan};
use crate::observe::Snapshot;

/// A sentence a name.
pub(super) fn problems(snapshot: &Snapshot) -> Vec<String> {
    let Some(plan) = &snapshot.plan.plan else { return Vec::new() };
    let mut problems = Vec::new();
    for (label, endpoint) in snapshot.inventory.configured() {
        // What the cloud no longer has is told as that.
        if endpoint.missing.is_some_and(|missing| missing.confirmed.is_some()) {
            continue;
        }
        for (name, answer) in names(endpoint).filter_map(|name| Some((name, plan.answers.get(name)?))) {
            if is_left_behind(endpoint, answer) {
                let why = if endpoint.current_addresses().next().is_some() {
                    "no address of it has passed a probe yet"
                } else {
                    "no address of it is known yet"
                };
                problems.push(format!("{label}: {name} still leads where it did before the config changed: {why}"));
            }
        }
    }
    problems
}

/// Whether some name still leads there.
pub(super) fn is_published(plan: Option<&Plan>, address: IpAddr) -> bool {
    plan.is_some_and(|plan| plan.answers.values().any(|answer| answer.addresses.contains(&address)))
}

fn names(endpoint: &Endpoint) -> impl Iterator<Item = &HostName> {
    endpoint.names.iter().chain(endpoint.zones.values().flat_map(|zone| &zone.names))
}

fn is_left_behind(endpoint: &Endpoint, answer: &Answer) -> bool {
    let is_former = |address: &IpAddr| {
        let entries = endpoint.zones.values().filter_map(|zone| zone.addresses.get(address));
        entries.into_iter().any(|entry| entry.former)
    };
    // A zone's own name is `pinned` in any case.
    answer.reason == AnswerReason::RemovalPending || answer.addresses.iter().any(is_former)
}
