//! The addresses that a name may point at, and how each stands.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::charge::{self, Charge};
use super::gone::{self, Place};
use super::host_hash::host_hash;
use super::inputs::Inputs;
use crate::model::{
    AddressEntry, Boottime, Check, CheckHealth, CheckState, Drain, Endpoint, EndpointName, Freshness, Graces, HostName,
    Missing, Presence, Steering, TargetHealth, TargetKey, Zone, ZoneId,
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
    /// True if the cloud's latest lists have nothing that carries the name.
    pub(super) missing: bool,
}

/// One address of one name.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) key: TargetKey,
    pub(super) priority: i32,
    pub(super) local: bool,
    pub(super) stale: bool,
    pub(super) drained: bool,
    pub(super) standing: CandidateState,
    /// What speaks against it, if anything does.
    pub(super) charge: Option<Charge>,
    /// It was published before anything had been probed, and has not been found to work (`unproven`).
    pub(super) unproven: bool,
    /// When it stops to be kept for old times' sake: its endpoint left the config, or its source dropped it.
    pub(super) leaves_at: Option<Boottime>,
    /// The name left the config altogether.
    pub(super) removed: bool,
    /// The name left this endpoint, or the endpoint the config or the cloud: the config has the name elsewhere, if at
    /// all.
    pub(super) departed: bool,
    /// Set for an address of what the endpoint was before its config made another of it: until when it is waited for
    /// one of the new one's, and for none but those.
    pub(super) former: Option<Boottime>,
    /// It may not be probed as things stand, and no publisher will take it in anew: whether it works stays unknown.
    pub(super) barred: bool,
    pub(super) health: Option<Arc<TargetHealth>>,
}

/// How a candidate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CandidateState {
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
    /// What its check of this kind has found, if there is one.
    pub(super) fn check(&self, check: Check) -> Option<&CheckHealth> {
        self.health.as_ref()?.checks.get(&check)
    }

    /// When it was last seen that no attempt has ever reached it.
    pub(super) fn never_reached(&self) -> Option<Boottime> {
        self.check(Check::Path)?.never_reached
    }

    /// True if its path check is up or passes, whatever its login says.
    pub(super) fn connects(&self) -> bool {
        self.passes_path() || self.check(Check::Path).is_some_and(|path| path.state.is_up())
    }

    /// True if the latest result of its path check is a success.
    pub(super) fn passes_path(&self) -> bool {
        self.check(Check::Path).is_some_and(|path| path.successes_in_a_row > 0)
    }

    /// True if it says that it is overloaded, by some check.
    pub(super) fn is_overloaded(&self) -> bool {
        let is_overload = |c: &CheckHealth| c.state == CheckState::Down { decided: None } && c.overloaded;
        self.health.as_ref().is_some_and(|health| health.checks.values().any(is_overload))
    }

    /// True if it may fail as things stand: some check that is not down has met a failure just now; or its deep check
    /// has neither passed nor failed decidedly since the agent began, so that what was known of it is forgotten, and it
    /// may have been left for just that.
    pub(super) fn is_doubtful(&self) -> bool {
        self.is_failing() || self.check(Check::Deep).is_some_and(|deep| deep.state == CheckState::Unknown)
    }

    /// True if some check that is not down has met a failure just now.
    pub(super) fn is_failing(&self) -> bool {
        let fails = |c: &CheckHealth| match c.state {
            CheckState::Up { .. } => c.successes_in_a_row == 0,
            // A login may pass at an address that is too slow for its path check.
            CheckState::Unknown => c.failing_since.is_some(),
            CheckState::Down { .. } => false,
        };
        // What a login met on the way is the path's, and over once that is up: in a fleet the next one may be minutes
        // away.
        self.health.as_ref().is_some_and(|health| charge::in_force(health).any(|(_, check)| fails(check)))
    }

    /// True if nothing but choice keeps it from being published.
    pub(super) fn serves(&self) -> bool {
        matches!(self.standing, CandidateState::Trusted | CandidateState::Up)
    }

    /// True for an address that its source dropped, that is another endpoint's by now, or that may not be used any
    /// more, while the name itself is still configured.
    pub(super) fn is_retired(&self) -> bool {
        self.former.is_some() || self.barred || (self.leaves_at.is_some() && !self.removed)
    }

    /// True if `self`, which is retired, has to go since `other` serves. Of a former endpoint it does not go for the
    /// sake of one that is second choice, except when nothing has come of the new endpoint for `removal_grace`.
    pub(super) fn yields_to(&self, other: &Self, now: Boottime) -> bool {
        self.former.is_none_or(|until| other.priority <= self.priority || until <= now)
    }
}

/// One endpoint, or one zone of it, that carries a name.
struct Claim<'a> {
    name: &'a HostName,
    endpoint: (&'a EndpointName, &'a Endpoint),
    /// `None` for a name of the whole endpoint.
    zone: Option<&'a Zone>,
    /// Set if the name, or the whole endpoint, has left the config, or is gone from the cloud: when the grace is over.
    until: Option<Boottime>,
    /// When the name left the endpoint, if it did.
    left: Option<Boottime>,
}

impl Claim<'_> {
    /// True if the config has it, and the cloud no longer does, as two lists agree.
    fn is_gone(&self) -> bool {
        self.endpoint.1.presence == Presence::Configured && self.missing().any(|missing| missing.confirmed.is_some())
    }

    /// Since when the cloud's latest lists lack it: the endpoint, the zone.
    fn missing(&self) -> impl Iterator<Item = Missing> {
        let endpoint = self.endpoint.1;
        let zone = self.zone.and_then(|zone| endpoint.zones.get(zone)).and_then(|zone| zone.missing);
        endpoint.missing.into_iter().chain(zone)
    }
}

/// Every published name with its candidates.
pub(super) fn gather(inputs: &Inputs<'_>) -> BTreeMap<HostName, Candidates> {
    let mut claims: Vec<_> = inputs.inventory.endpoints.iter().flat_map(|e| claims(e, inputs)).collect();
    claims.retain(|c| c.until.is_none_or(|at| at > inputs.now.boottime));
    // What the config says now settles how a name is steered; what has left it only adds addresses.
    claims.sort_by_key(|c| c.until.is_some());
    let mut names: BTreeMap<HostName, Candidates> = BTreeMap::new();
    for claim in claims {
        let pinned = claim.zone.is_some();
        let steering = if pinned { Steering::default() } else { inputs.policy.steering(claim.endpoint.0) };
        // Registered even without an address, so that what is published of the name stays (B1).
        let nobody_yet = || Candidates { list: Vec::new(), pinned, steering, missing: true };
        let of_name = names.entry(claim.name.clone()).or_insert_with(nobody_yet);
        of_name.missing &= claim.missing().next().is_some();
        of_name.list.extend(candidates(&claim, inputs));
    }
    for candidates in names.values_mut() {
        finish(&mut candidates.list);
    }
    names
}

fn claims<'a>(endpoint: (&'a EndpointName, &'a Endpoint), inputs: &Inputs<'_>) -> Vec<Claim<'a>> {
    let removal = inputs.policy.graces.removal;
    let removed = match endpoint.1.presence {
        Presence::Configured => None,
        Presence::Removed { since } => Some(since.after(removal)),
    };
    let gone = move |missing, zone| gone::goes_at(missing, Place { endpoint, zone }, inputs);
    let ends = removed.into_iter().chain(gone(endpoint.1.missing, None)).min();
    let claims = |zone: Option<&'a Zone>, names: &'a BTreeSet<HostName>, leaving: &'a BTreeMap<HostName, Boottime>| {
        let of_zone = zone.and_then(|id| gone(endpoint.1.zones.get(id)?.missing, zone));
        let ends = ends.into_iter().chain(of_zone).min();
        let present = names.iter().map(move |name| Claim { name, endpoint, zone, until: ends, left: None });
        let leaving = leaving.iter().map(move |(name, since)| {
            let until = ends.into_iter().chain([since.after(removal)]).min();
            Claim { name, endpoint, zone, until, left: Some(*since) }
        });
        present.chain(leaving)
    };
    let shared = claims(None, &endpoint.1.names, &endpoint.1.leaving);
    shared.chain(endpoint.1.zones.iter().flat_map(|(zone, e)| claims(Some(zone), &e.names, &e.leaving))).collect()
}

/// Names that only endpoints and zones lay claim to that the cloud no longer has, their grace being over.
pub(super) fn gone(inputs: &Inputs<'_>) -> BTreeSet<HostName> {
    let claims: Vec<_> = inputs.inventory.endpoints.iter().flat_map(|e| claims(e, inputs)).collect();
    let others: BTreeSet<_> = claims.iter().filter(|c| !c.is_gone()).map(|c| c.name).collect();
    claims.iter().filter(|c| c.is_gone() && !others.contains(c.name)).map(|c| c.name.clone()).collect()
}

/// Puts one name's candidates in order. Where the config still has the name, what has left it is merely retired: it
/// goes as soon as something that is still there has proved itself.
fn finish(list: &mut [Candidate]) {
    if list.iter().any(|c| !c.removed) {
        list.iter_mut().for_each(|c| c.removed = false);
    }
    list.sort_by(|a, b| {
        let order = |c: &Candidate| (!c.local, c.priority, c.leaves_at.is_some() || c.former.is_some());
        order(a).cmp(&order(b)).then_with(|| a.key.cmp(&b.key))
    });
}

/// When something about these candidates changes by itself.
pub(super) fn next_change(candidates: &Candidates, inputs: &Inputs<'_>) -> Option<Boottime> {
    let unprobed = candidates.list.iter().any(|c| c.standing == CandidateState::Trusted);
    let times = candidates.list.iter().flat_map(|c| {
        let hold = if let CandidateState::Holding(until) = c.standing { Some(until) } else { None };
        let trust = c.charge.filter(|_| unprobed).map(|charge| charge.trust_at());
        [hold, trust, c.leaves_at, c.former]
    });
    let drains = inputs.overrides.drains.iter().map(|(zone, d)| Some(drain_ends(zone, d, inputs)));
    times.chain(drains).flatten().filter(|t| *t > inputs.now.boottime).min()
}

fn candidates(claim: &Claim<'_>, inputs: &Inputs<'_>) -> Vec<Candidate> {
    let (name, endpoint) = claim.endpoint;
    let zones = endpoint.zones.iter().filter(|(zone, _)| claim.zone.is_none_or(|only| only == *zone));
    // A name that left before or when the endpoint became another one never was the new one's.
    let former = |entry: &AddressEntry| entry.former && claim.left.is_none_or(|left| entry.retired >= Some(left));
    let only_former = claim.left.is_some() && zones.clone().flat_map(|(_, e)| e.addresses.values()).any(former);
    let unproven = inputs.previous.and_then(|plan| plan.unproven.get(claim.name));
    let candidate = |zone: &Zone, (address, entry): (&IpAddr, &AddressEntry)| {
        let key = TargetKey { endpoint: name.clone(), zone: zone.clone(), address: *address };
        let health = inputs.health.targets.get(&key).cloned();
        let Graces { removal, gone: _ } = inputs.policy.graces;
        let retirement = entry.retired.filter(|_| !entry.former);
        let retirement = retirement.map(|since| since.after(inputs.policy.graces.for_source(entry.source)));
        Candidate {
            priority: endpoint.priority,
            local: matches!((zone, &inputs.host.zone), (Zone::Known(a), Some(b)) if a == b),
            stale: endpoint.sources.get(&entry.source).is_some_and(Freshness::is_stale),
            // A zone's own name has nowhere else to go.
            drained: claim.zone.is_none() && is_drained(inputs, name, zone),
            standing: standing(endpoint.probed, health.as_deref(), inputs.now.boottime),
            unproven: unproven.is_some_and(|unproven| unproven.contains(address)),
            charge: charge::charge(health.as_deref()),
            leaves_at: claim.until.into_iter().chain(retirement).min(),
            removed: claim.until.is_some(),
            departed: claim.until.is_some(),
            former: entry.retired.filter(|_| entry.former).map(|since| since.after(removal)),
            barred: endpoint.barred.contains_key(address),
            health,
            key,
        }
    };
    let addresses = zones.flat_map(|(zone, e)| e.addresses.iter().map(move |a| (zone, a)));
    addresses.filter(|(_, (_, entry))| !only_former || former(entry)).map(|(zone, a)| candidate(zone, a)).collect()
}

fn is_drained(inputs: &Inputs<'_>, endpoint: &EndpointName, zone: &Zone) -> bool {
    let Zone::Known(id) = zone else { return false };
    let covers = |d: &Drain| d.endpoint.as_ref().is_none_or(|e| e == endpoint);
    let drain = inputs.overrides.drains.get(id).filter(|d| covers(d));
    drain.is_some_and(|d| drain_ends(id, d, inputs) > inputs.now.boottime)
}

/// When this host heeds a drain no more. It ends at all hosts of a fleet at one instant, and they return one after the
/// other.
fn drain_ends(zone: &ZoneId, drain: &Drain, inputs: &Inputs<'_>) -> Boottime {
    drain.until.after(inputs.policy.spread.mul_f64(host_hash(inputs.host, zone.as_str())))
}

fn standing(probed: bool, health: Option<&TargetHealth>, now: Boottime) -> CandidateState {
    let Some(health) = health else {
        return if probed { CandidateState::Unknown } else { CandidateState::Trusted };
    };
    let telling = telling(health);
    match TargetHealth::summary_of(telling.iter().copied()) {
        CheckState::Unknown => CandidateState::Unknown,
        CheckState::Up { hold_until: Some(until) } if until > now => CandidateState::Holding(until),
        CheckState::Up { .. } => CandidateState::Up,
        CheckState::Down { .. } if telling.iter().all(|c| c.successes_in_a_row > 0) => CandidateState::Recovering,
        CheckState::Down { .. } => CandidateState::Down,
    }
}

/// The checks that tell where a name may point. A login that fails for a reason that no other address mends (a wrong
/// password) must not stop failing over from dead addresses, so it counts only where nothing else is known.
fn telling(health: &TargetHealth) -> Vec<&CheckHealth> {
    let tells = |c: &CheckHealth| c.state != CheckState::Down { decided: None };
    let telling: Vec<_> = charge::in_force(health).map(|(_, check)| check).filter(|c| tells(c)).collect();
    if telling.iter().all(|c| c.state == CheckState::Unknown) { health.checks.values().collect() } else { telling }
}
