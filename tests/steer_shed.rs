//! Overload that lasts, over a fleet: the real trackers and the real rules, host by host, in seconds of made-up time.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use privatelinkd::config::Config;
use privatelinkd::discover::{FoundZone, Round, SourceAnswer, merge};
use privatelinkd::health::{Rules, Tracker};
use privatelinkd::model::{
    Boottime, Check, Failure, FailureReason, HealthView, HostFacts, HostName, Inventory, Now, Observation, Overload,
    Overrides, Plan, Policy, Schedule, SourceKind, TargetHealth, TargetKey, Timings, Wall, Zone,
};
use privatelinkd::steer::{Inputs, steer};

const NAME: &str = "db.example.internal";
const HOSTS: u64 = 60;
const FIRST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const SECOND: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 1, 1));

fn now(secs: u64) -> Now {
    Now { boottime: Boottime(Duration::from_secs(secs)), wall: Wall(secs * 1000) }
}

/// What a check of an address finds at a time.
type World = dyn Fn(IpAddr, Check, u64) -> Result<u64, Failure>;

struct Host {
    facts: HostFacts,
    trackers: BTreeMap<(TargetKey, Check), Tracker>,
    plan: Option<Plan>,
    phase: u64,
}

struct Fleet {
    inventory: Inventory,
    policy: Policy,
    hosts: Vec<Host>,
    secs: u64,
}

impl Fleet {
    fn new(config: &str, zones: &[(&str, &str, IpAddr)]) -> Self {
        let config: Config = privatelinkd::config::from_toml(config).unwrap();
        let mut round = Round::new();
        for (label, zone, address) in zones {
            let said = round.entry(label.parse().unwrap()).or_default();
            let found = said.entry(SourceKind::Fixed).or_insert_with(|| Ok(SourceAnswer::default()));
            let zone = Zone::Known(zone.parse().unwrap());
            found.as_mut().unwrap().zones.insert(zone, FoundZone::from_addresses([*address]));
        }
        let inventory = merge(&Inventory::default(), &config.endpoints, &round, config.graces(), now(0)).0;
        let keys: Vec<_> = zones
            .iter()
            .map(|(label, zone, address)| TargetKey {
                endpoint: label.parse().unwrap(),
                zone: Zone::Known(zone.parse().unwrap()),
                address: *address,
            })
            .collect();
        let second = Duration::from_secs(1);
        let schedule = Schedule { interval: 60 * second, fast_interval: second, timeout: second, rise: 3, fall: 3 };
        let rules = |check| Rules { check, schedule, hold: Duration::ZERO, in_flight: 1, returns: Default::default() };
        let host = |i: u64| Host {
            facts: HostFacts { instance_id: Some(format!("i-{i}")), ..HostFacts::default() },
            trackers: keys
                .iter()
                .flat_map(|key| [Check::Path, Check::Deep].map(|check| (key.clone(), check)))
                .map(|of| (of.clone(), Tracker::new(rules(of.1), now(0))))
                .collect(),
            plan: None,
            phase: i * 7,
        };
        let policy = Policy { graces: config.graces(), ..Policy::default() };
        Self { inventory, policy, hosts: (0..HOSTS).map(host).collect(), secs: 0 }
    }

    /// Lets time pass. Every check is due once in half a minute, those of the second address a quarter later.
    fn run(&mut self, secs: u64, world: &World) {
        for _ in 0..secs {
            self.secs += 1;
            let at = now(self.secs);
            for host in &mut self.hosts {
                for ((key, check), tracker) in &mut host.trackers {
                    let late = if key.address == FIRST { 0 } else { 15 };
                    if (self.secs + host.phase + late).is_multiple_of(30) {
                        tracker.begin(at, Duration::ZERO);
                        let outcome = world(key.address, *check, self.secs);
                        let outcome =
                            outcome.map(|ms| Timings { total: Duration::from_millis(ms), ..Timings::default() });
                        let observation = Observation { started: at.boottime, ended: at.boottime, outcome };
                        tracker.observe(&observation, at);
                    }
                }
                if self.secs.is_multiple_of(5) {
                    host.steer(&self.inventory, &self.policy, at);
                }
            }
        }
    }

    /// Hosts whose name leads to this address and no other.
    fn on(&self, address: IpAddr) -> usize {
        let name: HostName = NAME.parse().unwrap();
        let is = |host: &&Host| host.plan.as_ref().unwrap().answers[&name].addresses == [address];
        self.hosts.iter().filter(is).count()
    }
}

impl Host {
    fn steer(&mut self, inventory: &Inventory, policy: &Policy, at: Now) {
        let mut health = HealthView::default();
        for ((key, check), tracker) in &self.trackers {
            let target: &mut Arc<TargetHealth> = health.targets.entry(key.clone()).or_default();
            Arc::make_mut(target).checks.insert(*check, tracker.health());
        }
        let steered = steer(&Inputs {
            inventory,
            health: &health,
            host: &self.facts,
            overrides: &Overrides::default(),
            policy,
            previous: self.plan.as_ref(),
            now: at,
        });
        assert!(steered.plan.answers.values().all(|answer| !answer.addresses.is_empty()), "never empty");
        self.plan = Some(steered.plan);
    }
}

fn well(_: IpAddr, _: Check, _: u64) -> Result<u64, Failure> {
    Ok(10)
}

fn two_endpoints() -> Fleet {
    let endpoint = |label: &str, zone: &str, address: IpAddr, priority: u8| {
        format!(
            "[[endpoint]]\nname = \"{label}\"\naddresses = {{ {zone} = \"{address}\" }}\nprivate_dns = [\"{NAME}\"]\n\
             priority = {priority}\n[endpoint.probe]\nkind = \"tcp\"\nport = 5432\n"
        )
    };
    let config = endpoint("first", "h", FIRST, 0) + &endpoint("second", "h", SECOND, 10);
    Fleet::new(&config, &[("first", "h", FIRST), ("second", "h", SECOND)])
}

fn dead() -> Result<u64, Failure> {
    Err(Failure::overloaded(Overload::NoComputeNode, "20508"))
}

#[test]
fn a_fleet_is_shed_from_a_dead_database_to_half_and_comes_back() {
    let mut fleet = two_endpoints();
    let behind = |address: IpAddr, check: Check, _: u64| match (address, check) {
        (FIRST, Check::Deep) => dead(),
        _ => Ok(10),
    };
    fleet.run(200, &well);
    assert_eq!(fleet.on(FIRST), 60);
    fleet.run(60, &behind);
    assert_eq!(fleet.on(FIRST), 60, "three in turn");
    let mut left = 0;
    for _ in 0..30 {
        fleet.run(5, &behind);
        assert!(fleet.on(SECOND) >= left && fleet.on(SECOND) - left <= 12, "one after the other");
        left = fleet.on(SECOND);
    }
    fleet.run(300, &behind);
    assert!((20..=40).contains(&fleet.on(SECOND)), "half of the hosts: {}", fleet.on(SECOND));
    assert_eq!(fleet.on(FIRST) + fleet.on(SECOND), 60);
    let most = fleet.on(SECOND);
    fleet.run(120, &well);
    assert!((1..most).contains(&fleet.on(SECOND)), "not all at once: {} of {most}", fleet.on(SECOND));
    fleet.run(360, &well);
    assert_eq!(fleet.on(FIRST), 60);
}

/// As where a dead compute node answers otherwise at times, or not in time.
#[test]
fn another_failure_in_between_brings_nobody_back() {
    let mut fleet = two_endpoints();
    let behind = |address: IpAddr, check: Check, _: u64| match (address, check) {
        (FIRST, Check::Deep) => dead(),
        _ => Ok(10),
    };
    fleet.run(200, &well);
    fleet.run(500, &behind);
    let left = fleet.on(SECOND);
    assert!(left > 0);
    let mixed = |address: IpAddr, check: Check, secs: u64| match (address, check) {
        (FIRST, Check::Deep) if secs % 60 < 30 => Err(Failure::new(FailureReason::Timeout, "no answer")),
        (FIRST, Check::Deep) => dead(),
        _ => Ok(10),
    };
    for _ in 0..40 {
        fleet.run(5, &mixed);
        assert!(fleet.on(SECOND) >= left, "{} of {left}", fleet.on(SECOND));
    }
}

#[test]
fn any_overload_of_the_other_one_stops_all() {
    let mut fleet = two_endpoints();
    fleet.run(200, &well);
    let until = fleet.secs + 140;
    let world = move |address: IpAddr, check: Check, secs: u64| match (address, check) {
        (FIRST, Check::Deep) => dead(),
        (SECOND, Check::Deep) if secs > until => Err(Failure::new(FailureReason::Overloaded, "too many connections")),
        _ => Ok(10),
    };
    fleet.run(140, &world);
    let some = fleet.on(SECOND);
    assert!((1..30).contains(&some), "{some}");
    fleet.run(40, &world);
    let stopped = fleet.on(SECOND);
    fleet.run(600, &world);
    assert_eq!(fleet.on(SECOND), stopped);
}

#[test]
fn a_slow_one_or_one_that_fails_likewise_takes_nobody_over() {
    for (what, other) in [("slow", Ok(900)), ("dead", dead())] {
        let mut fleet = two_endpoints();
        fleet.run(400, &well);
        let world = move |address: IpAddr, check: Check, secs: u64| match (address, check) {
            (FIRST, Check::Deep) => dead(),
            // Slower at times, so that it never gets used to it.
            (SECOND, Check::Deep) if what == "dead" || secs % 60 < 30 => other.clone(),
            _ => Ok(10),
        };
        fleet.run(600, &world);
        assert_eq!(fleet.on(FIRST), 60, "{what}");
    }
}

#[test]
fn a_paused_adapter_is_shed_from_and_comes_back() {
    let config = format!(
        "[[endpoint]]\nname = \"db\"\naddresses = {{ h = \"{FIRST}\", i = \"{SECOND}\" }}\nprivate_dns = [\"{NAME}\"]\n\
         [endpoint.probe]\nkind = \"tcp\"\nport = 6041\n"
    );
    let mut fleet = Fleet::new(&config, &[("db", "h", FIRST), ("db", "i", SECOND)]);
    let paused = |address: IpAddr, _: Check, _: u64| match address {
        FIRST => Err(Failure::overloaded(Overload::WholeAdapter, "memory exceeds threshold")),
        _ => Ok(10),
    };
    fleet.run(200, &well);
    fleet.run(60, &paused);
    assert_eq!(fleet.on(SECOND), 0, "it may pass");
    fleet.run(600, &paused);
    let left = fleet.on(SECOND);
    assert!((18..=42).contains(&left), "half of the hosts: {left}");
    fleet.run(100, &well);
    assert!(fleet.on(SECOND) > 0);
    fleet.run(360, &well);
    assert_eq!(fleet.on(SECOND), 0);
}
