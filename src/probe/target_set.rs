//! What there is to probe, and who are siblings (pure).

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{
    AddressEntry, EndpointIdentity, EndpointName, HostName, Inventory, Presence, ProbeSpec, TargetKey, TargetSpec,
};

/// How each endpoint is probed. An endpoint that is missing here is not.
pub type Probes = BTreeMap<EndpointName, Probing>;

/// How an endpoint is probed, and which endpoint that is: nothing of this is sent to addresses that were found for
/// another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probing {
    /// The endpoint that the config means by the name.
    pub identity: EndpointIdentity,
    /// The checks, their rhythm and what they ask.
    pub spec: Arc<ProbeSpec>,
}

/// The targets of an inventory. What it holds grows with names and addresses, not with the square of either.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetSet {
    /// What is probed, and how, by key.
    pub targets: BTreeMap<TargetKey, TargetSpec>,
    /// Targets that share a published name, across endpoints: no group twice.
    groups: Vec<Box<[TargetKey]>>,
    /// By target, the places of its groups.
    member_of: BTreeMap<TargetKey, Vec<usize>>,
}

/// Between two instants at which checks begin, at most.
const COARSEST: Duration = Duration::from_millis(500);
/// How many checks may begin at such an instant before there are more instants.
const MEETING: f64 = 20.0;
/// How often the grid may be halved: four milliseconds are left then, hardly more than a timer's step.
const HALVINGS: f64 = 7.0;

impl TargetSet {
    /// Every address of a configured endpoint that has a probe, has not been retired and may be probed. Inventory and
    /// probes come at their own times after a reload: while they speak of different endpoints nothing is probed. What
    /// the last successful discovery lacks is probed by what takes no secret, if anything does.
    #[must_use]
    pub fn from_inventory(inventory: &Inventory, probes: &Probes) -> Self {
        let mut targets = BTreeMap::new();
        let mut by_name: BTreeMap<&HostName, BTreeSet<TargetKey>> = BTreeMap::new();
        for (name, endpoint) in inventory.endpoints.iter().filter(|(_, e)| e.presence == Presence::Configured) {
            let Some(probing) = probes.get(name).filter(|p| p.identity == endpoint.identity) else { continue };
            let may_be_probed =
                |ip: &IpAddr, a: &AddressEntry| a.retired.is_none() && !endpoint.barred.contains_key(ip);
            let without_secrets = LazyCell::new(|| probing.spec.without_secrets().map(Arc::new));
            for (zone, entry) in &endpoint.zones {
                for (address, known) in entry.addresses.iter().filter(|(ip, a)| may_be_probed(ip, a)) {
                    let vouched = endpoint.vouches_for(known);
                    let Some(probe) = (if vouched { Some(probing.spec.clone()) } else { without_secrets.clone() })
                    else {
                        continue;
                    };
                    let key = TargetKey { endpoint: name.clone(), zone: zone.clone(), address: *address };
                    for published in endpoint.names.iter().chain(&entry.names) {
                        by_name.entry(published).or_default().insert(key.clone());
                    }
                    targets.insert(key.clone(), TargetSpec { key, probe });
                }
            }
        }
        Self::from_groups(targets, by_name.into_values())
    }

    /// The set of these targets and of the groups that they form.
    #[must_use]
    pub fn from_groups(
        targets: BTreeMap<TargetKey, TargetSpec>,
        groups: impl IntoIterator<Item = BTreeSet<TargetKey>>,
    ) -> Self {
        // Several names of one endpoint lead to the same targets.
        let distinct: BTreeSet<Box<[TargetKey]>> = groups.into_iter().map(|keys| keys.into_iter().collect()).collect();
        let groups: Vec<_> = distinct.into_iter().collect();
        let mut member_of: BTreeMap<TargetKey, Vec<usize>> = BTreeMap::new();
        for (place, key) in groups.iter().enumerate().flat_map(|(place, keys)| keys.iter().map(move |k| (place, k))) {
            member_of.entry(key.clone()).or_default().push(place);
        }
        Self { targets, groups, member_of }
    }

    /// Targets that share a published name with this one. A failure of one makes the others prove themselves at once
    /// (B4). One that shares several names with it may come several times.
    pub fn siblings<'a>(&'a self, key: &'a TargetKey) -> impl Iterator<Item = &'a TargetKey> {
        let places = self.member_of.get(key).into_iter().flatten();
        places.filter_map(|place| self.groups.get(*place)).flatten().filter(move |other| *other != key)
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
    use super::*;
    use crate::model::{ProbeKind, Returns, Schedule, Zone};

    fn work(targets: u32, interval: Duration) -> TargetSet {
        let path = Schedule { interval, fast_interval: interval, timeout: interval, fall: 1, rise: 1 };
        let probe = Arc::new(ProbeSpec {
            kind: ProbeKind::Tcp,
            port: 1,
            path,
            deep: None,
            hold: Duration::ZERO,
            returns: Returns::default(),
        });
        let endpoint: EndpointName = "db".parse().unwrap();
        let key = |n: u32| {
            let address = std::net::Ipv4Addr::from(n).into();
            TargetKey { endpoint: endpoint.clone(), zone: Zone::Unknown, address }
        };
        let spec = |n| (key(n), TargetSpec { key: key(n), probe: probe.clone() });
        TargetSet { targets: (0..targets).map(spec).collect(), ..TargetSet::default() }
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

    #[test]
    fn siblings_share_a_name_and_take_no_square_of_room() {
        let key = |n: u32| TargetKey {
            endpoint: "db".parse().unwrap(),
            zone: Zone::Unknown,
            address: std::net::Ipv4Addr::from(n).into(),
        };
        let group = |range: std::ops::Range<u32>| range.map(key).collect::<BTreeSet<_>>();
        let work = TargetSet::from_groups(
            BTreeMap::new(),
            [group(0..4000), group(0..4000), group(0..4000), group(4000..4002)],
        );
        assert_eq!(work.groups.iter().map(|g| g.len()).sum::<usize>(), 4002);
        assert_eq!(work.member_of.values().map(Vec::len).sum::<usize>(), 4002);
        assert_eq!(work.siblings(&key(7)).count(), 3999);
        assert_eq!(work.siblings(&key(4001)).collect::<Vec<_>>(), [&key(4000)]);
        assert_eq!(work.siblings(&key(9999)).count(), 0);
    }
}
