//! Names that have failed over on weaker evidence than there could be: elsewhere a login proves the database, and at no
//! address that they lead to now does one pass.

use std::net::IpAddr;

use crate::model::{Answer, AnswerReason, Check, CheckState, HostName};
use crate::observe::Snapshot;

/// A sentence a name.
pub(super) fn weaker(snapshot: &Snapshot) -> Vec<String> {
    let answers = snapshot.plan.plan.iter().flat_map(|plan| &plan.answers);
    let failed_over = answers.filter(|(_, answer)| answer.reason == AnswerReason::FailedOver);
    failed_over.filter_map(|(name, answer)| problem(name, answer, &logins(snapshot, name))).collect()
}

/// The addresses of a name at which logins are tried, and whether they pass.
fn logins(snapshot: &Snapshot, name: &HostName) -> Vec<(IpAddr, bool)> {
    let endpoints = &snapshot.inventory.endpoints;
    let of = snapshot.health.targets.iter();
    of.filter(|(key, _)| endpoints.get(&key.endpoint).is_some_and(|endpoint| endpoint.carries(name)))
        .filter_map(|(key, health)| Some((key.address, health.checks.get(&Check::Deep)?)))
        .map(|(address, deep)| (address, matches!(deep.state, CheckState::Up { .. })))
        .collect()
}

fn problem(name: &HostName, answer: &Answer, logins: &[(IpAddr, bool)]) -> Option<String> {
    let is_proven = |(address, passes): &(IpAddr, bool)| *passes && answer.addresses.contains(address);
    if logins.is_empty() || logins.iter().any(is_proven) {
        return None;
    }
    let addresses = answer.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Some(format!("{name} has failed over on weaker evidence: no login passes at {addresses}, only the path is proven"))
}
