//! What there is to probe, and who are siblings (pure).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::runner::Probes;
use crate::model::{HostName, Inventory, Presence, TargetKey, TargetSpec};

/// The targets of an inventory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Work {
    /// By key.
    pub targets: BTreeMap<TargetKey, TargetSpec>,
    /// Targets that share a published name with the key, across endpoints. A failure of one makes the others prove
    /// themselves at once (B4).
    pub siblings: BTreeMap<TargetKey, Box<[TargetKey]>>,
}

/// Between two instants at which checks begin, at most.
const COARSEST: Duration = Duration::from_millis(500);
/// How many checks may begin at such an instant before there are more instants.
const MEETING: f64 = 20.0;
/// How often the grid may be halved: four milliseconds are left then, hardly more than a timer's step.
const HALVINGS: f64 = 7.0;

impl Work {
    /// Every address of a configured endpoint that has a probe and has not been retired. Inventory and probes come at
    /// their own times after a reload: while they speak of different endpoints nothing is probed.
    #[must_use]
    pub fn of(inventory: &Inventory, probes: &Probes) -> Self {
        let mut work = Self::default();
        let mut by_name: BTreeMap<HostName, BTreeSet<TargetKey>> = BTreeMap::new();
        for (name, endpoint) in inventory.endpoints.iter().filter(|(_, e)| e.presence == Presence::Configured) {
            let Some(probing) = probes.get(name).filter(|p| p.identity == endpoint.identity) else { continue };
            for (zone, entry) in &endpoint.zones {
                for (address, _) in entry.addresses.iter().filter(|(_, a)| a.retired.is_none()) {
                    let key = TargetKey { endpoint: name.clone(), zone: zone.clone(), address: *address };
                    for published in endpoint.names.iter().chain(&entry.names) {
                        by_name.entry(published.clone()).or_default().insert(key.clone());
                    }
                    work.targets.insert(key.clone(), TargetSpec { key, probe: probing.spec.clone() });
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

    /// Between two instants at which checks begin. One wake-up for several makes each cheaper by up to a half
    /// (tests/e2e/check_cost); but more than 20 to 40 would only wait for each other, which takes memory and shows in
    /// their durations. Halves of one grid, so that targets that come later meet those that are there.
    #[must_use]
    pub fn grid(&self) -> Duration {
        let checks = self.targets.values().flat_map(|target| target.probe.checks());
        let rate: f64 = checks.map(|(_, schedule)| schedule.interval.as_secs_f64().recip()).sum();
        let halvings = (COARSEST.as_secs_f64() * rate / MEETING).log2().floor().clamp(0.0, HALVINGS);
        COARSEST.div_f64(halvings.exp2())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{EndpointName, ProbeKind, ProbeSpec, Schedule, Zone};

    fn work(targets: u32, interval: Duration) -> Work {
        let path = Schedule { interval, fast_interval: interval, timeout: interval, fall: 1, rise: 1 };
        let probe = Arc::new(ProbeSpec { kind: ProbeKind::Tcp, port: 1, path, deep: None, hold: Duration::ZERO });
        let endpoint: EndpointName = "db".parse().unwrap();
        let key = |n: u32| {
            let address = std::net::Ipv4Addr::from(n).into();
            TargetKey { endpoint: endpoint.clone(), zone: Zone::Unknown, address }
        };
        let spec = |n| (key(n), TargetSpec { key: key(n), probe: probe.clone() });
        Work { targets: (0..targets).map(spec).collect(), siblings: BTreeMap::new() }
    }

    #[test]
    fn the_grid_is_finer_where_there_is_more_to_probe() {
        let (second, ms) = (Duration::from_secs(1), Duration::from_millis);
        for (targets, interval, expected) in [
            (0, second, ms(500)),
            (2, 5 * second, ms(500)),
            (399, 5 * second, ms(500)),
            (401, 5 * second, ms(250)),
            (1000, 5 * second, ms(125)),
            (20_000, second, COARSEST / 128),
            (2, Duration::ZERO, COARSEST / 128),
        ] {
            assert_eq!(work(targets, interval).grid(), expected, "{targets} every {interval:?}");
        }
    }
}
