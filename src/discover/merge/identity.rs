//! What a changed config makes of the addresses that are known (pure): which sources are asked something else from now
//! on, and what they said so far speaks of another endpoint.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::config::EndpointConfig;
use crate::model::{
    AddressEntry, Boottime, Endpoint, EndpointId, EndpointIdentity, Graces, HostName, Inventory, SourceKind,
};

/// More old addresses of one endpoint are not kept: the oldest go first.
pub(in crate::discover) const MOST_FORMER: usize = 64;

/// What the config said of the endpoint before. State that an older version wrote tells
/// the id alone, and the domain where there is no id.
pub(super) fn before(old: &Endpoint) -> EndpointIdentity {
    let EndpointIdentity { id, domain, region } = old.identity.clone();
    // Without an id only the config can have told the domain.
    let untold = old.identity == EndpointIdentity::default() && old.id.is_none();
    let domain = domain.or_else(|| old.domain.clone().filter(|_| untold));
    let told = old.cloud.as_ref().map(|cloud| cloud.region.clone()).filter(|region| !region.is_empty());
    EndpointIdentity { id: id.or_else(|| old.id.clone()), domain, region: region.or(told) }
}

/// Whether the API is asked for the same thing as before, so that what it said holds.
pub(super) fn same_in_api(was: &EndpointIdentity, wanted: &EndpointConfig) -> bool {
    let moved = matches!((&was.region, &wanted.region), (Some(a), Some(b)) if a != b);
    was.id == wanted.id && (wanted.id.is_none() || !moved)
}

/// The sources whose answers so far belong to another endpoint than the config speaks of now.
pub(super) fn turned(was: &EndpointIdentity, wanted: &EndpointConfig) -> BTreeSet<SourceKind> {
    use SourceKind::{Api, EndpointDomain, ZoneDomain};
    let (all, of_dns): (&[_], &[_]) = (&[Api, ZoneDomain, EndpointDomain], &[ZoneDomain, EndpointDomain]);
    let kinds = match (&was.id, &wanted.id) {
        (Some(_), Some(_)) if !same_in_api(was, wanted) => all,
        // The zones' own domains are the API's, who is asked for the same.
        (Some(id), Some(_)) if is_left(was.domain.as_ref(), wanted.domain.as_ref(), id) => &[EndpointDomain],
        (Some(_), Some(_)) => &[],
        (Some(id), None) if was.domain != wanted.domain && !is_of(wanted.domain.as_ref(), id) => all,
        (Some(_), None) if wanted.domain.is_none() => all,
        (None, Some(id)) if was.domain != wanted.domain && !is_of(was.domain.as_ref(), id) => of_dns,
        (None, None) if was.domain != wanted.domain => of_dns,
        (Some(_) | None, None) | (None, Some(_)) => &[],
    };
    kinds.iter().copied().collect()
}

/// Retires what only those sources gave: it is the former endpoint's.
pub(super) fn part_with(endpoint: &mut Endpoint, turned: &BTreeSet<SourceKind>, now: Boottime) {
    for entry in endpoint.zones.values_mut().flat_map(|z| z.addresses.values_mut()) {
        let theirs = turned.contains(&entry.source) || entry.given.iter().any(|kind| turned.contains(kind));
        entry.given.retain(|kind| !turned.contains(kind));
        if theirs && entry.given.is_empty() && !entry.former {
            (entry.former, entry.retired) = (true, Some(now));
        }
    }
    let mut since: Vec<_> = former(endpoint).filter_map(|entry| entry.retired).collect();
    since.sort_unstable();
    if let Some(oldest) = since.len().checked_sub(MOST_FORMER).and_then(|first| since.get(first)).copied() {
        for zone in endpoint.zones.values_mut() {
            zone.addresses.retain(|_, a| !a.former || a.retired >= Some(oldest));
        }
    }
}

/// Drops addresses of former endpoints that are of no use any more: `removal_grace` is over, and no name points there.
/// One that is `published` stays for as long as it is, since nothing of the new endpoint has proved itself then. `None`
/// if there is none to go.
#[must_use]
pub fn drop_former(
    inventory: &Inventory,
    published: &BTreeSet<IpAddr>,
    graces: Graces,
    now: Boottime,
) -> Option<Inventory> {
    let goes = |(ip, a): (&IpAddr, &AddressEntry)| {
        let over = a.retired.is_some_and(|since| since.after(graces.removal) <= now);
        a.former && over && !published.contains(ip)
    };
    let mut zones = inventory.endpoints.values().flat_map(|e| e.zones.values());
    if !zones.any(|zone| zone.addresses.iter().any(goes)) {
        return None;
    }
    let mut left = inventory.clone();
    for zone in left.endpoints.values_mut().flat_map(|e| e.zones.values_mut()) {
        zone.addresses.retain(|ip, a| !goes((ip, a)));
    }
    Some(left)
}

fn former(endpoint: &Endpoint) -> impl Iterator<Item = &AddressEntry> {
    endpoint.zones.values().flat_map(|z| z.addresses.values()).filter(|a| a.former)
}

/// The config no longer says this domain of the endpoint, and the API, who is asked for the id, would not either.
fn is_left(was: Option<&HostName>, wanted: Option<&HostName>, id: &EndpointId) -> bool {
    was.is_some() && was != wanted && (wanted.is_some() || !is_of(was, id))
}

/// The domain of an endpoint begins with its id: `ep-….epsrv-….region.…` (the API's own documentation).
fn is_of(domain: Option<&HostName>, id: &EndpointId) -> bool {
    domain.and_then(|d| d.as_str().split('.').next()).is_some_and(|label| label == id.as_str())
}
