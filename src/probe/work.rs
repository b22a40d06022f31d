//! What there is to probe, and who are siblings (pure).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::{EndpointName, HostName, Inventory, Presence, ProbeSpec, TargetKey, TargetSpec};

/// The targets of an inventory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Work {
    /// By key.
    pub targets: BTreeMap<TargetKey, TargetSpec>,
    /// Targets that share a published name with the key, across endpoints. A failure of one makes the others prove
    /// themselves at once (B4).
    pub siblings: BTreeMap<TargetKey, Box<[TargetKey]>>,
}

impl Work {
    /// Every address of a configured endpoint that has a probe and has not been retired.
    #[must_use]
    pub fn of(inventory: &Inventory, probes: &BTreeMap<EndpointName, Arc<ProbeSpec>>) -> Self {
        let mut work = Self::default();
        let mut by_name: BTreeMap<HostName, BTreeSet<TargetKey>> = BTreeMap::new();
        for (name, endpoint) in inventory.endpoints.iter().filter(|(_, e)| e.presence == Presence::Configured) {
            let Some(probe) = probes.get(name) else { continue };
            for (zone, entry) in &endpoint.zones {
                for (address, _) in entry.addresses.iter().filter(|(_, a)| a.retired.is_none()) {
                    let key = TargetKey { endpoint: name.clone(), zone: zone.clone(), address: *address };
                    for published in endpoint.names.iter().chain(&entry.names) {
                        by_name.entry(published.clone()).or_default().insert(key.clone());
                    }
                    work.targets.insert(key.clone(), TargetSpec { key, probe: probe.clone() });
                }
            }
        }
        let mut siblings: BTreeMap<&TargetKey, BTreeSet<&TargetKey>> = BTreeMap::new();
        for group in by_name.values() {
            for key in group {
                siblings.entry(key).or_default().extend(group.iter().filter(|k| *k != key));
            }
        }
        let owned = |(key, others): (&TargetKey, BTreeSet<_>)| (key.clone(), others.into_iter().cloned().collect());
        work.siblings = siblings.into_iter().map(owned).collect();
        work
    }
}
