//! The inventory that follows from the last one, the config and what the sources said (pure).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Found, SourceError};
use crate::config::EndpointConfig;
use crate::model::{
    AddressEntry, Boottime, Endpoint, EndpointName, EventKind, Freshness, HostName, Inventory, Now, Presence,
    SourceKind, Zone, ZoneEntry,
};

/// What each source said of each endpoint.
pub type Round = BTreeMap<EndpointName, BTreeMap<SourceKind, Result<Found, SourceError>>>;

/// Folds a round into the inventory. An address that its source no longer gives is retired, and dropped after `grace`;
/// an endpoint that left the config likewise.
#[must_use]
pub fn merge(
    previous: &Inventory,
    config: &BTreeMap<EndpointName, EndpointConfig>,
    round: &Round,
    grace: Duration,
    now: Now,
) -> (Inventory, Vec<EventKind>) {
    let mut inventory = Inventory::default();
    let mut events = Vec::new();
    for (name, wanted) in config {
        let old = previous.endpoints.get(name);
        let mut endpoint = described(wanted, old, now.boottime);
        for (kind, said) in round.get(name).into_iter().flatten() {
            events.extend(take(&mut endpoint, (name, *kind), said, now));
        }
        expire(&mut endpoint, grace, now.boottime);
        inventory.endpoints.insert(name.clone(), endpoint);
    }
    for (name, old) in previous.endpoints.iter().filter(|(n, _)| !config.contains_key(*n)) {
        let since = match old.presence {
            Presence::Removed { since } => since,
            Presence::Configured => now.boottime,
        };
        if since.after(grace) > now.boottime {
            let gone = Endpoint { presence: Presence::Removed { since }, ..old.clone() };
            inventory.endpoints.insert(name.clone(), gone);
        }
    }
    (inventory, events)
}

/// When an entry next expires by itself.
#[must_use]
pub fn next_expiry(inventory: &Inventory, grace: Duration) -> Option<Boottime> {
    let removed = inventory.endpoints.values().filter_map(|e| match e.presence {
        Presence::Removed { since } => Some(since),
        Presence::Configured => None,
    });
    let zones = || inventory.endpoints.values().flat_map(|e| e.zones.values());
    let retired = zones().flat_map(|z| z.addresses.values()).filter_map(|a| a.retired);
    let names = inventory.endpoints.values().map(|e| &e.leaving).chain(zones().map(|z| &z.leaving));
    let leaving = names.flat_map(|n| n.values().copied());
    removed.chain(retired).chain(leaving).min().map(|since| since.after(grace))
}

/// The endpoint as the config describes it, with the addresses that were known before.
fn described(wanted: &EndpointConfig, old: Option<&Endpoint>, now: Boottime) -> Endpoint {
    let mut zones: BTreeMap<Zone, ZoneEntry> = BTreeMap::new();
    for (zone, names) in &wanted.zone_names {
        zones.entry(Zone::Known(zone.clone())).or_default().names.clone_from(names);
    }
    for (zone, before) in old.into_iter().flat_map(|o| &o.zones) {
        let entry = zones.entry(zone.clone()).or_default();
        entry.addresses.clone_from(&before.addresses);
        entry.leaving = leaving(&entry.names, (&before.names, &before.leaving), now);
    }
    Endpoint {
        id: wanted.id.clone(),
        domain: wanted.domain.clone(),
        names: wanted.names.clone(),
        leaving: old.map(|o| leaving(&wanted.names, (&o.names, &o.leaving), now)).unwrap_or_default(),
        priority: wanted.priority,
        zones,
        probed: wanted.probe.is_some(),
        presence: Presence::Configured,
        sources: old.map(|o| o.sources.clone()).unwrap_or_default(),
    }
}

/// The names that were there and are not wanted any more, each since when.
fn leaving(
    wanted: &BTreeSet<HostName>,
    (names, already): (&BTreeSet<HostName>, &BTreeMap<HostName, Boottime>),
    now: Boottime,
) -> BTreeMap<HostName, Boottime> {
    let before = already.iter().map(|(name, since)| (name.clone(), *since));
    let news = names.iter().map(|name| (name.clone(), now));
    news.chain(before).filter(|(name, _)| !wanted.contains(name)).collect()
}

fn take(
    endpoint: &mut Endpoint,
    (name, kind): (&EndpointName, SourceKind),
    said: &Result<Found, SourceError>,
    now: Now,
) -> Option<EventKind> {
    let before = endpoint.sources.get(&kind);
    let was_stale = before.is_some_and(Freshness::is_stale);
    match said {
        Ok(found) => {
            take_addresses(endpoint, kind, found, now.boottime);
            endpoint.sources.insert(kind, Freshness::Fresh { at: now });
            was_stale.then(|| EventKind::SourceFresh { endpoint: name.clone(), source: kind })
        }
        Err(error) => {
            let since = before.map_or(now, Freshness::confirmed);
            endpoint.sources.insert(kind, Freshness::Stale { since, error: error.to_string() });
            let event = EventKind::SourceStale { endpoint: name.clone(), source: kind, error: error.to_string() };
            (!was_stale).then_some(event)
        }
    }
}

fn take_addresses(endpoint: &mut Endpoint, kind: SourceKind, found: &Found, now: Boottime) {
    for (zone, entry) in &mut endpoint.zones {
        let given = found.zones.get(zone);
        for (address, known) in entry.addresses.iter_mut().filter(|(_, a)| a.source == kind) {
            let still = given.is_some_and(|g| g.contains(address));
            known.retired = if still { None } else { known.retired.or(Some(now)) };
        }
    }
    for (zone, addresses) in &found.zones {
        let entry = endpoint.zones.entry(zone.clone()).or_default();
        for address in addresses {
            entry.addresses.entry(*address).or_insert(AddressEntry { source: kind, retired: None });
        }
    }
}

fn expire(endpoint: &mut Endpoint, grace: Duration, now: Boottime) {
    let stays = |since: Boottime| since.after(grace) > now;
    endpoint.leaving.retain(|_, since| stays(*since));
    for entry in endpoint.zones.values_mut() {
        entry.leaving.retain(|_, since| stays(*since));
        entry.addresses.retain(|_, a| a.retired.is_none_or(stays));
    }
    endpoint.zones.retain(|_, e| !(e.addresses.is_empty() && e.names.is_empty() && e.leaving.is_empty()));
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::model::Wall;

    const GRACE: Duration = Duration::from_secs(600);

    fn now(secs: u64) -> Now {
        Now { boottime: Boottime(Duration::from_secs(secs)), wall: Wall(secs * 1000) }
    }

    fn wanted() -> BTreeMap<EndpointName, EndpointConfig> {
        let config = EndpointConfig {
            id: None,
            domain: None,
            names: ["db.example".parse().unwrap()].into(),
            addresses: BTreeMap::new(),
            zone_names: BTreeMap::new(),
            priority: 0,
            probe: None,
            steering: crate::model::Steering::default(),
        };
        [("e".parse().unwrap(), config)].into()
    }

    fn said(addresses: &[&str]) -> Round {
        let set: BTreeSet<IpAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
        let found = Found { zones: [(Zone::Known("z".parse().unwrap()), set)].into() };
        [("e".parse().unwrap(), [(SourceKind::Fixed, Ok(found))].into())].into()
    }

    fn failed() -> Round {
        let error = SourceError::NotConfigured("addresses");
        [("e".parse().unwrap(), [(SourceKind::Fixed, Err(error))].into())].into()
    }

    fn addresses(inventory: &Inventory) -> Vec<(String, bool)> {
        let zones = inventory.endpoints.values().flat_map(|e| e.zones.values());
        zones.flat_map(|z| &z.addresses).map(|(a, e)| (a.to_string(), e.retired.is_some())).collect()
    }

    #[test]
    fn a_failing_source_goes_stale_and_keeps_its_addresses() {
        let (first, events) = merge(&Inventory::default(), &wanted(), &said(&["10.0.0.1"]), GRACE, now(1));
        assert!(events.is_empty());
        let (second, events) = merge(&first, &wanted(), &failed(), GRACE, now(2));
        assert_eq!(addresses(&second), addresses(&first));
        assert!(matches!(events[..], [EventKind::SourceStale { .. }]));
        let e = second.endpoints.values().next().unwrap();
        assert!(matches!(&e.sources[&SourceKind::Fixed], Freshness::Stale { since, .. } if *since == now(1)));
        let (third, events) = merge(&second, &wanted(), &failed(), GRACE, now(3));
        assert!(events.is_empty(), "told once");
        let (_, events) = merge(&third, &wanted(), &said(&["10.0.0.1"]), GRACE, now(4));
        assert!(matches!(events[..], [EventKind::SourceFresh { .. }]));
    }

    #[test]
    fn an_address_that_is_no_longer_given_retires_and_goes_after_the_grace() {
        let (first, _) = merge(&Inventory::default(), &wanted(), &said(&["10.0.0.1"]), GRACE, now(1));
        let (second, _) = merge(&first, &wanted(), &said(&["10.0.0.2"]), GRACE, now(2));
        assert_eq!(addresses(&second), [("10.0.0.1".into(), true), ("10.0.0.2".into(), false)]);
        assert_eq!(next_expiry(&second, GRACE), Some(now(602).boottime));
        let (back, _) = merge(&second, &wanted(), &said(&["10.0.0.1", "10.0.0.2"]), GRACE, now(3));
        assert_eq!(addresses(&back), [("10.0.0.1".into(), false), ("10.0.0.2".into(), false)]);
        let (later, _) = merge(&second, &wanted(), &said(&["10.0.0.2"]), GRACE, now(602));
        assert_eq!(addresses(&later), [("10.0.0.2".into(), false)]);
    }

    #[test]
    fn an_endpoint_that_left_the_config_stays_for_the_grace() {
        let (first, _) = merge(&Inventory::default(), &wanted(), &said(&["10.0.0.1"]), GRACE, now(1));
        let (second, _) = merge(&first, &BTreeMap::new(), &Round::new(), GRACE, now(2));
        let e = second.endpoints.values().next().unwrap();
        assert_eq!(e.presence, Presence::Removed { since: now(2).boottime });
        let (third, _) = merge(&second, &BTreeMap::new(), &Round::new(), GRACE, now(601));
        assert_eq!(third, second, "the grace counts from when it left");
        let (gone, _) = merge(&third, &BTreeMap::new(), &Round::new(), GRACE, now(602));
        assert!(gone.endpoints.is_empty());
        let (back, _) = merge(&third, &wanted(), &said(&["10.0.0.1"]), GRACE, now(601));
        assert_eq!(back.endpoints.values().next().unwrap().presence, Presence::Configured);
    }

    #[test]
    fn a_name_that_left_its_endpoint_stays_for_the_grace() {
        let (first, _) = merge(&Inventory::default(), &wanted(), &said(&["10.0.0.1"]), GRACE, now(1));
        let mut other = wanted();
        let endpoint = other.values_mut().next().unwrap();
        endpoint.names = ["new.example".parse().unwrap()].into();
        endpoint.zone_names = [("z".parse().unwrap(), ["z.example".parse().unwrap()].into())].into();
        let (second, _) = merge(&first, &other, &said(&["10.0.0.1"]), GRACE, now(2));
        let left: BTreeMap<HostName, _> = [("db.example".parse().unwrap(), now(2).boottime)].into();
        assert_eq!(second.endpoints.values().next().unwrap().leaving, left);
        assert_eq!(next_expiry(&second, GRACE), Some(now(602).boottime));
        let (third, _) = merge(&second, &wanted(), &said(&["10.0.0.1"]), GRACE, now(3));
        let e = third.endpoints.values().next().unwrap();
        assert!(!e.leaving.contains_key(&"db.example".parse().unwrap()), "it came back");
        assert_eq!(e.zones.values().next().unwrap().leaving.len(), 1, "a zone's own name leaves likewise");
        let (gone, _) = merge(&third, &wanted(), &said(&["10.0.0.1"]), GRACE, now(603));
        assert_eq!(
            gone.endpoints,
            first
                .endpoints
                .iter()
                .map(|(n, e)| {
                    let sources = gone.endpoints[n].sources.clone();
                    (n.clone(), Endpoint { sources, ..e.clone() })
                })
                .collect()
        );
    }
}
