//! Trackers and steering together, in virtual time: a host that is cut off and comes back, with and without a zone that
//! died meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use privatelinkd::health::{Next, Rules, Tracker};
use privatelinkd::model::{
    AddressEntry, Boottime, Check, Endpoint, EndpointIdentity, Failure, FailureReason, Freshness, HealthView,
    HostFacts, Inventory, Now, Observation, Overrides, Plan, Policy, Presence, Returns, Schedule, SourceKind,
    TargetHealth, TargetKey, Timings, Wall, Zone, ZoneEntry,
};
use privatelinkd::steer::{Inputs, steer};
use proptest::prelude::*;

const MS: Duration = Duration::from_millis(1);
/// A packet that is lost is sent again so much later (RFC 6298).
const AGAIN: u64 = 1000;
const DEADLINE: u64 = 2000;

fn at(ms: u64) -> Now {
    Now { boottime: Boottime(Duration::from_millis(ms)), wall: Wall(ms) }
}

/// What fails when, in milliseconds.
#[derive(Debug, Clone)]
struct Faults {
    /// This host reaches nobody.
    cut: std::ops::Range<u64>,
    /// Zone 1 of endpoint 0 is dead from then on.
    dead_from: u64,
    /// It refuses instead of being silent.
    refuses: bool,
}

impl Faults {
    /// When a probe ends, and how.
    fn probe(&self, target: usize, began: u64) -> (u64, Option<FailureReason>) {
        let dead = |t: u64| target == 1 && t >= self.dead_from;
        for sent in [began, began + AGAIN] {
            match (self.cut.contains(&sent), dead(sent)) {
                (false, false) => return (sent + 1, None),
                (false, true) if self.refuses => return (sent + 1, Some(FailureReason::Refused)),
                _ => {}
            }
        }
        (began + DEADLINE, Some(FailureReason::Timeout))
    }
}

/// One check of one target, as its task in `probe` runs it.
struct Target {
    key: TargetKey,
    tracker: Tracker,
    due: Option<u64>,
    nudged: bool,
    in_flight: Vec<(u64, u64, Option<FailureReason>)>,
}

struct Host {
    faults: Faults,
    targets: Vec<Target>,
    inventory: Inventory,
    plan: Option<Plan>,
    rng: fastrand::Rng,
}

impl Host {
    /// Two endpoints in two zones; each endpoint has a name.
    fn new(faults: Faults, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut host = Self { faults, targets: vec![], inventory: Inventory::default(), plan: None, rng: rng.fork() };
        let schedule = Schedule { interval: 5000 * MS, fast_interval: 500 * MS, timeout: 2000 * MS, rise: 3, fall: 3 };
        for e in 0..2_u8 {
            let mut zones = BTreeMap::new();
            for z in 0..2_u8 {
                let zone = Zone::Known(format!("cn-hangzhou-{}", ['h', 'i'][usize::from(z)]).parse().unwrap());
                let address = [10, 0, e, z].into();
                let entry = AddressEntry::given_by(SourceKind::Fixed);
                zones.insert(zone.clone(), ZoneEntry { addresses: [(address, entry)].into(), ..ZoneEntry::default() });
                let returns = Returns { spread: (1000 * MS).mul_f64(rng.f64()), ..Returns::default() };
                host.targets.push(Target {
                    key: TargetKey { endpoint: format!("e{e}").parse().unwrap(), zone, address },
                    tracker: Tracker::new(
                        Rules { check: Check::Path, schedule, hold: 5000 * MS, in_flight: schedule.fall, returns },
                        at(0),
                    ),
                    due: Some(rng.u64(0..500)),
                    nudged: false,
                    in_flight: vec![],
                });
            }
            let endpoint = Endpoint {
                identity: EndpointIdentity::default(),
                id: None,
                domain: None,
                names: [format!("e{e}.example.com").parse().unwrap()].into(),
                leaving: BTreeMap::new(),
                priority: 0,
                zones,
                probed: true,
                proves_itself: false,
                presence: Presence::Configured,
                sources: [(SourceKind::Fixed, Freshness::Fresh { at: at(0) })].into(),
                cloud: None,
                missing: None,
                not_found: Default::default(),
                left_out: Default::default(),
                barred: Default::default(),
            };
            host.inventory.endpoints.insert(format!("e{e}").parse().unwrap(), endpoint);
        }
        host
    }

    fn appointment(&mut self, ms: u64, next: Next) -> Option<u64> {
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap();
        match next {
            Next::Regular(wait) => Some(ms + millis(wait.mul_f64(0.9 + 0.2 * self.rng.f64()))),
            Next::Edge(wait) => Some(ms + millis(wait)),
            Next::OnAnswer => None,
        }
    }

    /// What happens in this millisecond; true if some probe ended.
    fn tick(&mut self, ms: u64) -> bool {
        let mut ended = false;
        for i in 0..self.targets.len() {
            while let Some(n) = self.targets[i].in_flight.iter().position(|(_, ends, _)| *ends <= ms) {
                let (began, _, failure) = self.targets[i].in_flight.swap_remove(n);
                let outcome = failure.map_or(Ok(Timings::default()), |reason| Err(Failure::new(reason, "x")));
                let observation = Observation { started: at(began).boottime, ended: at(ms).boottime, outcome };
                let step = self.targets[i].tracker.observe(&observation, at(ms));
                self.targets[i].due = self.appointment(ms, step.next);
                // Neighbours are the zones of one endpoint.
                let sibling = self.targets[i ^ 1].tracker.health().state;
                if step.signal.is_some_and(|s| s.calls_for_sibling(sibling)) {
                    self.targets[i ^ 1].nudged = true;
                }
                ended = true;
            }
        }
        for i in 0..self.targets.len() {
            let is_due = self.targets[i].due.is_some_and(|due| due <= ms);
            if (is_due || self.targets[i].nudged) && self.targets[i].tracker.may_begin() {
                let next = self.targets[i].tracker.begin(at(ms), Duration::ZERO);
                let (ends, failure) = self.faults.probe(i, ms);
                self.targets[i].in_flight.push((ms, ends, failure));
                self.targets[i].nudged = false;
                self.targets[i].due = self.appointment(ms, next);
            } else if is_due {
                self.targets[i].due = None;
            }
        }
        ended
    }

    fn steer(&mut self, ms: u64) {
        let health = |t: &Target| TargetHealth { checks: [(Check::Path, t.tracker.health())].into_iter().collect() };
        let view = HealthView { targets: self.targets.iter().map(|t| (t.key.clone(), Arc::new(health(t)))).collect() };
        let steered = steer(&Inputs {
            inventory: &self.inventory,
            health: &view,
            host: &HostFacts::default(),
            overrides: &Overrides::default(),
            policy: &Policy::default(),
            previous: self.plan.as_ref(),
            now: at(ms),
        });
        self.plan = Some(steered.plan);
    }

    /// Whether the name of the target's endpoint leads there.
    fn published(&self, target: usize) -> bool {
        let key = &self.targets[target].key;
        let name = format!("{}.example.com", key.endpoint.as_str()).parse().unwrap();
        self.plan.as_ref().is_some_and(|p| p.answers[&name].addresses.contains(&key.address))
    }

    /// Runs until `end`; when each address was last found unpublished first.
    fn run(&mut self, end: u64) -> [Option<u64>; 4] {
        let mut left = [None; 4];
        for ms in 0..end {
            // A hold ends without a probe.
            if self.tick(ms) || ms % 500 == 0 {
                self.steer(ms);
                for (target, left) in left.iter_mut().enumerate() {
                    if !self.published(target) && left.is_none() {
                        *left = Some(ms);
                    }
                }
            }
        }
        left
    }
}

prop_compose! {
    /// Longer than it takes every target to fail once.
    fn any_cut()(from in 15_000_u64..25_000, lasts in 8_000_u64..60_000) -> std::ops::Range<u64> {
        from..from + lasts
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// B5: nobody is disproved by what failed while this host was cut off, however the probes fall.
    #[test]
    fn a_host_that_comes_back_moves_no_name(cut in any_cut(), seed in any::<u64>()) {
        let end = cut.end + 70_000;
        let mut host = Host::new(Faults { cut, dead_from: u64::MAX, refuses: false }, seed);
        prop_assert_eq!(host.run(end), [None; 4]);
        prop_assert!(host.targets.iter().all(|t| t.tracker.health().successes_in_a_row > 3));
    }

    /// And what is dead when it comes back is left soon: by the next probe, which the first success of anybody asks
    /// for.
    #[test]
    fn a_zone_that_died_meanwhile_is_left_soon(cut in any_cut(), early in 0_u64..7_000, refuses in any::<bool>(), seed in any::<u64>()) {
        let (over, end) = (cut.end, cut.end + 30_000);
        let mut host = Host::new(Faults { dead_from: cut.end - early, cut, refuses }, seed);
        let [a, b, c, d] = host.run(end);
        prop_assert_eq!([a, c, d], [None; 3]);
        // The other zone's next probe, the answer to its nudge, and the deadline.
        prop_assert!(b.is_some_and(|b| b > over && b < over + 5500 + 2 * DEADLINE + 100), "{:?}, over at {}", b, over);
    }

    /// Without a cut it is left as ever: a probe finds it, `fall` of them fail, the other zone answers.
    #[test]
    fn a_dead_zone_is_left_as_soon_as_ever(dead_from in 15_000_u64..25_000, refuses in any::<bool>(), seed in any::<u64>()) {
        let mut host = Host::new(Faults { cut: 0..0, dead_from, refuses }, seed);
        let [a, b, c, d] = host.run(40_000);
        prop_assert_eq!([a, c, d], [None; 3]);
        let decides = if refuses { 1100 } else { 3100 };
        prop_assert!(b.is_some_and(|b| b < dead_from + 5500 + decides), "{:?}, dead from {}", b, dead_from);
    }
}
