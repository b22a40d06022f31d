//! Configured names of which no address is known yet, so that nothing publishes them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::schema::{NameReason, NameReport};
use crate::model::{Endpoint, EndpointName, HostName, Verdict, Zone};
use crate::observe::Snapshot;

/// For so long after a configuration came into force a name without an address keeps the host from being ready. Later
/// only `status` says so: a script that waits for readiness waits for a host that does what it can.
const AWAITED: Duration = Duration::from_secs(300);

/// A row for each, with what its publishers say; none before the first plan, which says of every name what it has.
pub(super) fn rows(snapshot: &Snapshot) -> BTreeMap<HostName, NameReport> {
    if snapshot.plan.plan.is_none() {
        return BTreeMap::new();
    }
    let verdicts = snapshot.config.publishers.keys().map(|name| ((*name).to_owned(), Verdict::Pending));
    let row = NameReport {
        addresses: vec![],
        standby: vec![],
        reason: NameReason::UNRESOLVED,
        changed: None,
        changes: 0,
        verdicts: verdicts.collect(),
    };
    let names = snapshot.inventory.configured().flat_map(|(_, endpoint)| endpoint.all_names());
    names.filter(|name| is_unresolved(snapshot, name)).map(|name| (name.clone(), row.clone())).collect()
}

/// A sentence for each endpoint, and for each of its zones, that lacks them.
pub(super) fn problems(snapshot: &Snapshot) -> Vec<String> {
    snapshot.inventory.configured().flat_map(|of| endpoint_problems(snapshot, of)).collect()
}

/// The same, while they are awaited.
pub(super) fn awaited(snapshot: &Snapshot) -> Vec<String> {
    let loaded = snapshot.config.loaded.boottime;
    if snapshot.now.boottime.since(loaded) < AWAITED { problems(snapshot) } else { vec![] }
}

fn endpoint_problems(snapshot: &Snapshot, (name, endpoint): (&EndpointName, &Endpoint)) -> Vec<String> {
    let problem = |(zone, names): (Option<&Zone>, Vec<&HostName>)| {
        let missing: Vec<_> = names.into_iter().filter(|name| is_unresolved(snapshot, name)).collect();
        // The whole endpoint says it for its zones.
        let has_addresses = match zone {
            None => endpoint.has_addresses(),
            Some(zone) => !endpoint.has_addresses() || has_address(endpoint, zone),
        };
        let place = zone.map(|zone| format!(" in {zone}")).unwrap_or_default();
        let names = match missing.as_slice() {
            [] => return None,
            [one] => format!("{one} is"),
            more => format!("its {} names are", more.len()),
        };
        (!has_addresses).then(|| format!("{name}: no address{place} is known yet, so {names} not published"))
    };
    parts(endpoint).filter_map(problem).collect()
}

/// The names that lead to the whole endpoint, and those of each zone's own.
fn parts(endpoint: &Endpoint) -> impl Iterator<Item = (Option<&Zone>, Vec<&HostName>)> {
    let zones = endpoint.zones.iter().map(|(zone, entry)| (Some(zone), entry.names.iter().collect()));
    std::iter::once((None, endpoint.names.iter().collect())).chain(zones)
}

fn has_address(endpoint: &Endpoint, zone: &Zone) -> bool {
    endpoint.zones.get(zone).is_some_and(|entry| !entry.addresses.is_empty())
}

fn is_unresolved(snapshot: &Snapshot, name: &HostName) -> bool {
    let plan = snapshot.plan.plan.as_ref();
    !plan.is_some_and(|plan| plan.answers.contains_key(name) || plan.withdrawn.contains_key(name))
}
