//! The addresses that a name may point at, and how each stands.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::Inputs;
use crate::model::{
    AddressEntry, Boottime, CheckState, Drain, Endpoint, EndpointName, HostName, Presence, Steering, TargetHealth,
    TargetKey, Zone, ZoneEntry,
};

/// All candidates of one name.
#[derive(Debug, Clone)]
pub(super) struct Candidates {
    /// In the order in which they are published: local zone first, then by priority, endpoint, zone and address.
    pub(super) list: Vec<Candidate>,
    /// True for a zone's own name.
    pub(super) pinned: bool,
    /// The steering of the first endpoint that carries the name.
    pub(super) steering: Steering,
}

/// One address of one name.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) key: TargetKey,
    pub(super) priority: i32,
    pub(super) local: bool,
    pub(super) stale: bool,
    pub(super) drained: bool,
    pub(super) standing: Standing,
    /// When it stops to be kept for old times' sake: its endpoint left the config, or its source dropped it.
    pub(super) leaves_at: Option<Boottime>,
    /// The endpoint left the config.
    pub(super) removed: bool,
    pub(super) health: Option<Arc<TargetHealth>>,
}

/// How a candidate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing probes it: taken at its word.
    Trusted,
    /// Probed, not yet judged.
    Unknown,
    /// Answers.
    Up,
    /// Answers again, and has to go on doing so until then.
    Holding(Boottime),
    /// Still down, and the latest probe succeeded.
    Recovering,
    /// Down.
    Down,
}

impl Candidate {
    /// True if nothing but choice keeps it from being published.
    pub(super) fn serves(&self) -> bool {
        matches!(self.standing, Standing::Trusted | Standing::Up)
    }

    /// True if some other address passed every check that `self` is down by, in a probe begun after the failure that
    /// decided (B4). A check that is down without a decision is of the kind that no other address mends.
    pub(super) fn is_disproved_by(&self, other: &Self) -> bool {
        let (Some(mine), Some(theirs)) = (&self.health, &other.health) else { return false };
        let mut down = mine.checks.iter().filter(|(_, h)| matches!(h.state, CheckState::Down { .. })).peekable();
        self.key.address != other.key.address
            && down.peek().is_some()
            && down.all(|(check, health)| {
                let CheckState::Down { decided: Some(decided) } = health.state else { return false };
                theirs
                    .checks
                    .get(check)
                    .is_some_and(|t| t.successes_in_a_row > 0 && t.last_success_started.is_some_and(|s| s >= decided))
            })
    }
}

/// Every published name with its candidates.
pub(super) fn gather(inputs: &Inputs<'_>) -> BTreeMap<HostName, Candidates> {
    let mut names: BTreeMap<HostName, Candidates> = BTreeMap::new();
    for (endpoint_name, endpoint) in &inputs.inventory.endpoints {
        if removal(endpoint, inputs).is_some_and(|at| at <= inputs.now.boottime) {
            continue;
        }
        let steering = inputs.policy.steering(endpoint_name);
        let all = |entry: &ZoneEntry, zone: &Zone| candidates(inputs, (endpoint_name, endpoint), zone, entry);
        let shared: Vec<_> = endpoint.zones.iter().flat_map(|(zone, entry)| all(entry, zone)).collect();
        for name in &endpoint.names {
            add(&mut names, name, &shared, (false, steering));
        }
        for (zone, entry) in &endpoint.zones {
            let own = all(entry, zone);
            for name in &entry.names {
                add(&mut names, name, &own, (true, Steering::default()));
            }
        }
    }
    gather_leaving(inputs, &mut names);
    for candidates in names.values_mut() {
        // Where a name stays with another endpoint or zone, who left it is only kept until that one answers.
        if candidates.list.iter().any(|c| !c.removed) {
            candidates.list.iter_mut().for_each(|c| c.removed = false);
        }
        candidates.list.sort_by(|a, b| {
            let order = |c: &Candidate| (!c.local, c.priority);
            order(a).cmp(&order(b)).then_with(|| a.key.cmp(&b.key))
        });
    }
    names
}

/// Names that left the config while their endpoint stayed, until their grace ends.
fn gather_leaving(inputs: &Inputs<'_>, names: &mut BTreeMap<HostName, Candidates>) {
    for (endpoint_name, endpoint) in &inputs.inventory.endpoints {
        let all = |(zone, entry)| candidates(inputs, (endpoint_name, endpoint), zone, entry);
        let shared = (&endpoint.leaving, endpoint.zones.iter().flat_map(all).collect::<Vec<_>>());
        let own = endpoint.zones.iter().map(|(zone, entry)| (&entry.leaving, all((zone, entry))));
        let steering = inputs.policy.steering(endpoint_name);
        for ((leaving, list), pinned) in [(shared, false)].into_iter().chain(own.map(|own| (own, true))) {
            for (name, since) in leaving {
                let end = since.after(inputs.policy.removal_grace);
                let last = |c: &Candidate| c.leaves_at.map_or(end, |at| at.min(end));
                let leaves = |c: &Candidate| Candidate { leaves_at: Some(last(c)), removed: true, ..c.clone() };
                let list: Vec<_> = list.iter().map(leaves).collect();
                if end > inputs.now.boottime {
                    add(names, name, &list, (pinned, if pinned { Steering::default() } else { steering }));
                }
            }
        }
    }
}

/// A name is registered even without an address, so that what is published of it stays (B1).
fn add(
    names: &mut BTreeMap<HostName, Candidates>,
    name: &HostName,
    list: &[Candidate],
    (pinned, steering): (bool, Steering),
) {
    let of_name = || Candidates { list: Vec::new(), pinned, steering };
    names.entry(name.clone()).or_insert_with(of_name).list.extend(list.iter().cloned());
}

/// When something about these candidates changes by itself.
pub(super) fn next_change(candidates: &Candidates, inputs: &Inputs<'_>) -> Option<Boottime> {
    let times = candidates.list.iter().flat_map(|c| {
        let hold = if let Standing::Holding(until) = c.standing { Some(until) } else { None };
        [hold, c.leaves_at]
    });
    let drains = inputs.overrides.drains.values().map(|d| Some(d.until));
    times.chain(drains).flatten().filter(|t| *t > inputs.now.boottime).min()
}

fn candidates(
    inputs: &Inputs<'_>,
    (name, endpoint): (&EndpointName, &Endpoint),
    zone: &Zone,
    entry: &ZoneEntry,
) -> Vec<Candidate> {
    let removal = removal(endpoint, inputs);
    let local = matches!((zone, &inputs.host.zone), (Zone::Known(a), Some(b)) if a == b);
    let drained = is_drained(inputs, name, zone);
    let candidate = |(address, a): (&IpAddr, &AddressEntry)| {
        let key = TargetKey { endpoint: name.clone(), zone: zone.clone(), address: *address };
        let health = inputs.health.targets.get(&key).cloned();
        let retirement = a.retired.map(|since| since.after(inputs.policy.removal_grace));
        Candidate {
            priority: endpoint.priority,
            local,
            stale: endpoint.sources.get(&a.source).is_some_and(crate::model::Freshness::is_stale),
            drained,
            standing: standing(endpoint.probed, health.as_deref(), inputs.now.boottime),
            leaves_at: removal.into_iter().chain(retirement).min(),
            removed: removal.is_some(),
            health,
            key,
        }
    };
    entry.addresses.iter().map(candidate).collect()
}

fn removal(endpoint: &Endpoint, inputs: &Inputs<'_>) -> Option<Boottime> {
    match endpoint.presence {
        Presence::Configured => None,
        Presence::Removed { since } => Some(since.after(inputs.policy.removal_grace)),
    }
}

fn is_drained(inputs: &Inputs<'_>, endpoint: &EndpointName, zone: &Zone) -> bool {
    let Zone::Known(id) = zone else { return false };
    let covers = |d: &Drain| d.until > inputs.now.boottime && d.endpoint.as_ref().is_none_or(|e| e == endpoint);
    inputs.overrides.drains.get(id).is_some_and(covers)
}

fn standing(probed: bool, health: Option<&TargetHealth>, now: Boottime) -> Standing {
    let Some(health) = health else {
        return if probed { Standing::Unknown } else { Standing::Trusted };
    };
    match health.summary() {
        CheckState::Unknown => Standing::Unknown,
        CheckState::Up { hold_until: Some(until) } if until > now => Standing::Holding(until),
        CheckState::Up { .. } => Standing::Up,
        CheckState::Down { .. } if health.checks.values().all(|c| c.successes_in_a_row > 0) => Standing::Recovering,
        CheckState::Down { .. } => Standing::Down,
    }
}
