//! What an inventory lacks, and what is new in it (pure).

use std::collections::BTreeSet;

use crate::config::Config;
use crate::model::{EndpointName, Inventory, SourceKind};

/// Endpoints of which no address is known, though there is a source to ask.
pub(super) fn lacking(config: &Config, inventory: &Inventory) -> BTreeSet<EndpointName> {
    let known = |name: &EndpointName| {
        let zones = inventory.endpoints.get(name).into_iter().flat_map(|e| e.zones.values());
        zones.flat_map(|z| z.addresses.values()).any(|a| a.retired.is_none())
    };
    config.endpoints.keys().filter(|name| !known(name)).cloned().collect()
}

/// Whether an address turned up that the API, which is asked for its endpoint, has not told of.
pub(super) fn has_news(before: &Inventory, after: &Inventory) -> bool {
    let endpoints = after.endpoints.iter().filter(|(_, e)| e.id.is_some());
    let mut new = endpoints.flat_map(|(name, e)| {
        let old = before.endpoints.get(name);
        e.zones.iter().flat_map(move |(zone, z)| {
            let old = old.and_then(|o| o.zones.get(zone));
            z.addresses.iter().filter(move |(ip, a)| {
                a.source > SourceKind::Api && !old.is_some_and(|o| o.addresses.contains_key(*ip))
            })
        })
    });
    new.next().is_some()
}
