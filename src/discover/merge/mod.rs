//! The inventory that follows from the last one, the config and what the sources said (pure).

mod apply_source;
mod identity;

pub(super) use identity::MOST_FORMER;
pub use identity::drop_former;

use std::collections::{BTreeMap, BTreeSet};

use super::source::{SourceAnswer, SourceError, failure};
use crate::config::EndpointConfig;
use crate::model::{
    AddressEntry, Boottime, Endpoint, EndpointName, EventKind, Freshness, Graces, HostName, Inventory, Now, Presence,
    SourceKind, Zone, ZoneEntry,
};

/// What each source said of each endpoint. A source that was not asked this time is absent.
pub type Round = BTreeMap<EndpointName, BTreeMap<SourceKind, Result<SourceAnswer, SourceError>>>;

/// Folds a round into the inventory. An address that no source gives any more is retired, and dropped after its grace;
/// an endpoint that left the config likewise.
#[must_use]
pub fn merge(
    previous: &Inventory,
    config: &BTreeMap<EndpointName, EndpointConfig>,
    round: &Round,
    graces: Graces,
    now: Now,
) -> (Inventory, Vec<EventKind>) {
    let mut inventory = Inventory { disowned: previous.disowned, ..Inventory::default() };
    let mut events = Vec::new();
    for (name, wanted) in config {
        let old = previous.endpoints.get(name);
        let mut endpoint = described(wanted, old, now.boottime);
        for (kind, said) in round.get(name).into_iter().flatten() {
            events.extend(apply_answer(&mut endpoint, name, *kind, said, now));
        }
        apply_source::retire_what_is_not_given(&mut endpoint, old, now.boottime);
        endpoint.names.extend(endpoint.domain.clone().filter(|_| wanted.publish_domain));
        endpoint.leaving.retain(|name, _| !endpoint.names.contains(name));
        events.extend(apply_source::cloud_events(name, old, &endpoint));
        expire(&mut endpoint, graces, now.boottime);
        inventory.endpoints.insert(name.clone(), endpoint);
    }
    for (name, old) in previous.endpoints.iter().filter(|(n, _)| !config.contains_key(*n)) {
        let since = match old.presence {
            Presence::Removed { since } => since,
            Presence::Configured => now.boottime,
        };
        if since.after(graces.removal) > now.boottime {
            let mut gone = Endpoint { presence: Presence::Removed { since }, ..old.clone() };
            expire(&mut gone, graces, now.boottime);
            inventory.endpoints.insert(name.clone(), gone);
        }
    }
    (inventory, events)
}

/// When an entry next expires by itself: after a [`merge`] always later than that, for what had expired by then is
/// gone.
#[must_use]
pub fn next_expiry(inventory: &Inventory, graces: Graces) -> Option<Boottime> {
    let removed = inventory.endpoints.values().filter_map(|e| match e.presence {
        Presence::Removed { since } => Some(since),
        Presence::Configured => None,
    });
    let zones = || inventory.endpoints.values().flat_map(|e| e.zones.values());
    let addresses = zones().flat_map(|z| z.addresses.values());
    let retired = addresses.filter(|a| !a.former).filter_map(|a| Some(a.retired?.after(graces.for_source(a.source))));
    let pinned = zones().flat_map(|z| z.leaving.values().copied());
    let leaving = inventory.endpoints.values().flat_map(|e| e.leaving.values().copied());
    removed.chain(pinned).chain(leaving).map(|since| since.after(graces.removal)).chain(retired).min()
}

/// The endpoint as the config describes it, with what was known before.
fn described(wanted: &EndpointConfig, old: Option<&Endpoint>, now: Boottime) -> Endpoint {
    let was = old.map(identity::before);
    let same = was.as_ref().is_some_and(|was| identity::same_in_api(was, wanted));
    // One that the config gave goes with it; one that the API told stays.
    let told = old.filter(|_| same && was.as_ref().is_some_and(|was| was.domain.is_none()));
    let mut endpoint = Endpoint {
        identity: wanted.identity(),
        id: wanted.id.clone(),
        domain: wanted.domain.clone().or_else(|| told?.domain.clone()),
        leaving: old.map(|o| leaving(&o.names, &o.leaving, &wanted.names, now)).unwrap_or_default(),
        names: wanted.names.clone(),
        priority: wanted.priority,
        zones: described_zones(wanted, old, same, now),
        probed: wanted.probe.is_some(),
        proves_itself: proves_itself(wanted),
        presence: Presence::Configured,
        sources: old.map(|o| o.sources.clone()).unwrap_or_default(),
        cloud: old.filter(|_| same).and_then(|o| o.cloud.clone()),
        missing: old.filter(|_| same).and_then(|o| o.missing),
        not_found: old.map(|o| o.not_found.clone()).unwrap_or_default(),
        left_out: old.map(|o| o.left_out.clone()).unwrap_or_default(),
        // Noted anew once all is folded in.
        barred: BTreeMap::new(),
    };
    let mut turned = was.as_ref().map(|was| identity::turned(was, wanted)).unwrap_or_default();
    if was.as_ref().is_some_and(|was| was.domain != wanted.domain) {
        apply_source::forget_how_it_went(&mut endpoint, SourceKind::EndpointDomain);
    }
    if was.is_some_and(|was| was.id != wanted.id || was.domain != wanted.domain)
        && !wanted.has_source(SourceKind::Fixed)
    {
        // Addresses of the config's own went with what else it said.
        turned.insert(SourceKind::Fixed);
    }
    identity::part_with(&mut endpoint, &turned, now);
    for kind in SourceKind::ALL
        .into_iter()
        .filter(|kind| !wanted.has_source(*kind) || turned.contains(kind) || (!same && *kind == SourceKind::Api))
    {
        apply_source::forget(&mut endpoint, kind);
    }
    endpoint
}

/// The zones of an endpoint, known ones and those that the config names. What the cloud said of them counts while it is
/// the `same` endpoint there.
fn described_zones(
    wanted: &EndpointConfig,
    old: Option<&Endpoint>,
    same: bool,
    now: Boottime,
) -> BTreeMap<Zone, ZoneEntry> {
    let mut zones: BTreeMap<Zone, ZoneEntry> = BTreeMap::new();
    for (zone, entry) in old.into_iter().flat_map(|o| &o.zones) {
        let still = match zone {
            Zone::Known(id) => wanted.zone_names.get(id),
            Zone::Unknown => None,
        };
        let known = ZoneEntry {
            names: BTreeSet::new(),
            leaving: leaving(&entry.names, &entry.leaving, still.unwrap_or(&BTreeSet::new()), now),
            addresses: entry.addresses.clone(),
            cloud: entry.cloud.clone().filter(|_| same),
            missing: entry.missing.filter(|_| same),
        };
        zones.insert(zone.clone(), known);
    }
    for (zone, names) in &wanted.zone_names {
        zones.entry(Zone::Known(zone.clone())).or_default().names.clone_from(names);
    }
    zones
}

/// Whether each success of its path check tells that the endpoint itself has answered.
fn proves_itself(wanted: &EndpointConfig) -> bool {
    let of_zones = wanted.zone_names.values().flatten();
    let mut own = wanted.names.iter().chain(of_zones).chain(&wanted.domain);
    let verified = wanted.probe.as_ref().and_then(|probe| probe.kind.verified_name());
    verified.is_some_and(|name| own.any(|own| own == name))
}

/// Names that were there, or were on their way already, and are wanted no more.
fn leaving(
    names: &BTreeSet<HostName>,
    leaving: &BTreeMap<HostName, Boottime>,
    wanted: &BTreeSet<HostName>,
    now: Boottime,
) -> BTreeMap<HostName, Boottime> {
    let known = names.iter().map(|n| (n, now)).chain(leaving.iter().map(|(n, since)| (n, *since)));
    known.filter(|(n, _)| !wanted.contains(*n)).map(|(n, since)| (n.clone(), since)).collect()
}

fn apply_answer(
    endpoint: &mut Endpoint,
    name: &EndpointName,
    kind: SourceKind,
    said: &Result<SourceAnswer, SourceError>,
    now: Now,
) -> Option<EventKind> {
    let before = endpoint.sources.get(&kind).cloned();
    let was_stale = before.as_ref().is_some_and(Freshness::is_stale);
    match said {
        Ok(found) => apply_source::apply(endpoint, kind, found, now.boottime),
        Err(error) => apply_source::note_failure(endpoint, kind, error),
    }
    let (name, source) = (name.clone(), kind);
    let (freshness, event) = match failure(said) {
        None => (Freshness::Fresh { at: now }, was_stale.then_some(EventKind::SourceFresh { endpoint: name, source })),
        Some(error) => {
            let since = before.as_ref().map_or(now, Freshness::confirmed);
            // The event has the request id, too, for an admin who asks the provider's support.
            let event = EventKind::SourceStale { endpoint: name, source, error: error.to_string() };
            (Freshness::Stale { since, error: error.in_general() }, (!was_stale).then_some(event))
        }
    };
    endpoint.sources.insert(kind, freshness);
    event
}

fn expire(endpoint: &mut Endpoint, graces: Graces, now: Boottime) {
    let named = |since: &Boottime| since.after(graces.removal) > now;
    endpoint.leaving.retain(|_, since| named(since));
    for entry in endpoint.zones.values_mut() {
        let kept =
            |a: &AddressEntry| a.former || a.retired.is_none_or(|since| since.after(graces.for_source(a.source)) > now);
        entry.addresses.retain(|_, a| kept(a));
        entry.leaving.retain(|_, since| named(since));
    }
    endpoint
        .zones
        .retain(|_, e| !e.addresses.is_empty() || !e.names.is_empty() || !e.leaving.is_empty() || e.cloud.is_some());
}

#[cfg(test)]
mod tests;
