use std::sync::Arc;

use super::*;
use crate::model::{
    AddressEntry, AnswerReason, Endpoint, EndpointIdentity, Freshness, HealthView, HostFacts, HostName, Inventory, Now,
    Overrides, Plan, Policy, Presence, SourceKind, Span, TargetHealth, Wall, Zone, ZoneEntry,
};
use crate::steer::{Steered, steer};

const NAME: &str = "db.example";

fn now(secs: u64) -> Now {
    Now { boottime: Boottime(Duration::from_secs(secs)), wall: Wall(secs * 1000) }
}

fn at(secs: u64) -> Boottime {
    now(secs).boottime
}

fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

/// Endpoints `e0`, `e1`, … with a zone for each given address, all under one name.
struct World {
    inventory: Inventory,
    health: HealthView,
    host: HostFacts,
    plan: Option<Plan>,
}

impl World {
    fn new(endpoints: &[&[u8]]) -> Self {
        let mut inventory = Inventory::default();
        for (i, addresses) in endpoints.iter().enumerate() {
            let zone = |(z, a): (usize, &u8)| {
                let addresses = [(ip(*a), AddressEntry::given_by(SourceKind::Fixed))].into();
                (Zone::Known(format!("z{z}").parse().unwrap()), ZoneEntry { addresses, ..ZoneEntry::default() })
            };
            let endpoint = Endpoint {
                identity: EndpointIdentity::default(),
                id: None,
                domain: None,
                names: [NAME.parse::<HostName>().unwrap()].into(),
                leaving: BTreeMap::new(),
                priority: i32::try_from(i).unwrap(),
                zones: addresses.iter().enumerate().map(zone).collect(),
                probed: true,
                proves_itself: false,
                presence: Presence::Configured,
                sources: [(SourceKind::Fixed, Freshness::Fresh { at: now(0) })].into(),
                cloud: None,
                missing: None,
                not_found: BTreeSet::new(),
                left_out: BTreeMap::new(),
                barred: BTreeMap::new(),
            };
            inventory.endpoints.insert(format!("e{i}").parse().unwrap(), endpoint);
        }
        Self { inventory, health: HealthView::default(), host: HostFacts::default(), plan: None }
    }

    fn set(&mut self, address: u8, check: Check, health: CheckHealth) {
        let endpoints = self.inventory.endpoints.iter();
        let mut zones = endpoints.flat_map(|(e, x)| x.zones.iter().map(move |(zone, z)| (e, zone, z)));
        let (endpoint, zone, _) = zones.find(|(.., z)| z.addresses.contains_key(&ip(address))).unwrap();
        let key = TargetKey { endpoint: endpoint.clone(), zone: zone.clone(), address: ip(address) };
        let target: &mut Arc<TargetHealth> = self.health.targets.entry(key).or_default();
        Arc::make_mut(target).checks.insert(check, health);
    }

    /// A host whose hash for this target is in this part of the range.
    fn host(mut self, target: &str, part: std::ops::Range<f64>) -> Self {
        let named = |i: u32| HostFacts { instance_id: Some(format!("i-{i}")), ..HostFacts::default() };
        self.host = (0..10_000).map(named).find(|host| part.contains(&host_hash(host, target))).unwrap();
        self
    }

    fn steer(&mut self, secs: u64) -> Steered {
        let steered = steer(&Inputs {
            inventory: &self.inventory,
            health: &self.health,
            host: &self.host,
            overrides: &Overrides::default(),
            policy: &Policy::default(),
            previous: self.plan.as_ref(),
            now: now(secs),
        });
        self.plan = Some(steered.plan.clone());
        steered
    }

    fn answer(&mut self, secs: u64) -> (Vec<u8>, AnswerReason) {
        let answer = self.steer(secs).plan.answers.remove(&NAME.parse::<HostName>().unwrap()).unwrap();
        let last = |a: &IpAddr| if let IpAddr::V4(a) = a { a.octets()[3] } else { 0 };
        (answer.addresses.iter().map(last).collect(), answer.reason)
    }
}

/// Results every minute: the first at `first`, the latest at `last`.
fn starts(first: u64, last: u64) -> Arc<[Boottime]> {
    (first..=last).step_by(60).map(at).collect()
}

/// Up, by successes since then.
fn passing(first: u64, last: u64) -> CheckHealth {
    let load = Load { passing_since: Some(at(first + 120)), starts: starts(first, last), ..Load::default() };
    CheckHealth {
        state: CheckState::Up { hold_until: None },
        successes_in_a_row: 5,
        last_success_started: Some(at(last)),
        successes: Some(Span { first: at(first), last: at(last) }),
        load,
        ..CheckHealth::unknown(now(first))
    }
}

/// Overloaded since then.
fn overloaded(kind: Overload, first: u64, last: u64) -> CheckHealth {
    let third = (last >= first + 120).then(|| at(first + 120));
    let run = OverloadRun { kind, first: at(first), third, lasts: true };
    CheckHealth {
        state: CheckState::Down { decided: None },
        failing_since: Some(at(first)),
        moving: Some(Span { first: at(first), last: at(last) }),
        load: Load { overload: Some(run), starts: starts(first, last), ..Load::default() },
        ..CheckHealth::unknown(now(first))
    }
}

/// Up again since then.
fn recovered(kind: Overload, since: u64, last: u64) -> CheckHealth {
    let run = OverloadRun { kind, first: at(1), third: Some(at(121)), lasts: false };
    let passing = passing(since, last);
    CheckHealth { load: Load { overload: Some(run), ..passing.load.clone() }, ..passing }
}

const DEAD: Overload = Overload::NoComputeNode;
const PAUSED: Overload = Overload::WholeAdapter;

/// The database behind both zones of `e0` is dead since 1000; `e1` leads to one that works.
fn dead_behind_two_zones(part: std::ops::Range<f64>) -> World {
    let mut world = World::new(&[&[1, 2], &[3]]).host("e0", part);
    for address in [1, 2, 3] {
        world.set(address, Check::Path, passing(0, 3000));
        world.set(address, Check::Deep, passing(0, 3000));
    }
    assert_eq!(world.answer(990), (vec![1, 2], AnswerReason::Healthy));
    for address in [1, 2] {
        world.set(address, Check::Deep, overloaded(DEAD, 1000, 3000));
    }
    // Alternating with those failures.
    world.set(3, Check::Deep, passing(30, 2970));
    world
}

#[test]
fn a_host_leaves_a_dead_database_in_its_turn_and_with_all_zones() {
    let mut world = dead_behind_two_zones(0.2..0.21);
    let steered = world.steer(1120);
    assert_eq!(steered.plan.answers[&NAME.parse::<HostName>().unwrap()].addresses, [ip(1), ip(2)]);
    let turn = steered.wake_at.unwrap();
    assert!((at(1180)..at(1184)).contains(&turn), "0.2 × 5 min after the third failure: {turn:?}");
    assert_eq!(world.answer(1179), (vec![1, 2], AnswerReason::AllDownKept));
    assert_eq!(world.answer(1184), (vec![3], AnswerReason::FailedOver));
}

#[test]
fn at_most_half_of_the_hosts_leave() {
    let mut world = dead_behind_two_zones(0.5..0.51);
    assert_eq!(world.answer(9000).0, [1, 2]);
    let mut world = dead_behind_two_zones(0.49..0.5);
    assert_eq!(world.answer(1266).0, [1, 2]);
    assert_eq!(world.answer(1270).0, [3]);
    let left = (0..1000).filter(|i| {
        let host = HostFacts { instance_id: Some(format!("i-{i}")), ..HostFacts::default() };
        host_hash(&host, "e0") < 0.5
    });
    assert!(left.count().abs_diff(500) < 60);
}

#[test]
fn hosts_of_one_image_differ_by_their_names() {
    let host = |hostname: &str, instance_id: Option<&str>| HostFacts {
        instance_id: instance_id.map(str::to_owned),
        hostname: Some(hostname.to_owned()),
        ..HostFacts::default()
    };
    assert!(host_hash(&host("a", None), "e0") != host_hash(&host("b", None), "e0"));
    assert!(host_hash(&host("a", Some("i-1")), "e0") == host_hash(&host("b", Some("i-1")), "e0"));
}

#[test]
fn within_one_endpoint_a_dead_database_moves_nothing() {
    let mut world = World::new(&[&[1, 2]]).host("e0", 0.0..0.01);
    for address in [1, 2] {
        world.set(address, Check::Path, passing(0, 3000));
        world.set(address, Check::Deep, passing(30, 3000));
    }
    world.steer(990);
    world.set(1, Check::Deep, overloaded(DEAD, 1000, 3000));
    assert_eq!(world.answer(3000), (vec![1, 2], AnswerReason::DownKept), "the other zone finishes logins");
    world.set(2, Check::Deep, overloaded(DEAD, 1000, 3000));
    assert_eq!(world.answer(3000), (vec![1, 2], AnswerReason::AllDownKept));
}

#[test]
fn only_what_proves_that_the_other_one_does_better_counts() {
    let stays = |what: &str, other: CheckHealth| {
        let mut world = dead_behind_two_zones(0.0..0.01);
        world.set(3, Check::Deep, other);
        assert_eq!(world.answer(1500).0, [1, 2], "{what}");
    };
    let passes = passing(30, 2970);
    let load = |load: Load| CheckHealth { load, ..passes.clone() };
    stays("not in turn: all before", CheckHealth { load: passing(30, 990).load, ..passes.clone() });
    stays("two in turn", load(Load { passing_since: None, ..passes.load.clone() }));
    stays("slow", load(Load { slow: true, ..passes.load.clone() }));
    stays("overloaded itself", overloaded(DEAD, 1030, 1450));
    let mut world = dead_behind_two_zones(0.0..0.01);
    world.set(2, Check::Deep, passing(30, 2970));
    assert_eq!(world.answer(1500).0, [1, 2], "one of its zones finishes logins");
    let mut world = dead_behind_two_zones(0.0..0.01);
    for address in [1, 2] {
        world.set(address, Check::Deep, overloaded(DEAD, 1000, 1060));
    }
    assert_eq!(world.answer(1500).0, [1, 2], "two failures");
    let mut world = dead_behind_two_zones(0.0..0.01);
    for address in [1, 2] {
        world.set(address, Check::Deep, overloaded(Overload::Passing, 1000, 3000));
    }
    assert_eq!(world.answer(1500).0, [1, 2], "an overload that passes");
}

#[test]
fn all_stop_when_the_other_one_shows_overload_and_who_left_stays_away() {
    let mut late = dead_behind_two_zones(0.4..0.41);
    let mut early = dead_behind_two_zones(0.1..0.11);
    assert_eq!((early.answer(1160).0, late.answer(1160).0), (vec![3], vec![1, 2]));
    for world in [&mut early, &mut late] {
        world.set(3, Check::Deep, overloaded(Overload::Passing, 1165, 1165));
    }
    assert_eq!((early.answer(2000).0, late.answer(2000).0), (vec![3], vec![1, 2]));
    // It does better again: elapsed begins anew with the third success in turn.
    for world in [&mut early, &mut late] {
        world.set(3, Check::Deep, passing(2030, 2970));
    }
    assert_eq!(late.answer(2150 + 119).0, [1, 2]);
    assert_eq!((early.answer(2150 + 125).0, late.answer(2150 + 125).0), (vec![3], vec![3]));
}

#[test]
fn the_way_back_is_the_same() {
    let mut world = dead_behind_two_zones(0.3..0.31);
    assert_eq!(world.answer(1300).0, [3]);
    for address in [1, 2] {
        world.set(address, Check::Deep, recovered(DEAD, 2000, 2900));
    }
    assert_eq!(world.answer(2001), (vec![3], AnswerReason::FailedOver));
    assert!((at(2090)..at(2094)).contains(&world.steer(2001).wake_at.unwrap()));
    assert_eq!(world.answer(2089).0, [3]);
    assert_eq!(world.answer(2094), (vec![1, 2], AnswerReason::Healthy));
    // The other one is not needed for that, but is used as long as it serves.
    let mut world = dead_behind_two_zones(0.3..0.31);
    assert_eq!(world.answer(1300).0, [3]);
    let dead = CheckState::Down { decided: Some(at(1400)) };
    let dead = CheckHealth { state: dead, moving: Some(Span { first: at(1390), last: at(1400) }), ..passing(30, 1380) };
    for check in [Check::Path, Check::Deep] {
        world.set(3, check, CheckHealth { successes_in_a_row: 0, ..dead.clone() });
    }
    assert_eq!(world.answer(1500).0, [1, 2], "an overloaded one is better than a dead one");
}

/// The adapter of the first zone pauses for want of memory since 1000.
fn paused_in_one_zone(part: std::ops::Range<f64>) -> World {
    let mut world = World::new(&[&[1, 2]]).host("e0/z0/10.0.0.1", part);
    for address in [1, 2] {
        world.set(address, Check::Path, passing(0, 990));
        world.set(address, Check::Deep, passing(0, 990));
    }
    assert_eq!(world.answer(990).0, [1, 2]);
    for check in [Check::Path, Check::Deep] {
        let paused = overloaded(PAUSED, 1000, 1300);
        let run = OverloadRun { third: Some(at(1002)), ..paused.load.overload.unwrap() };
        world.set(1, check, CheckHealth { load: Load { overload: Some(run), ..paused.load.clone() }, ..paused });
        world.set(2, check, passing(0, 1300));
    }
    world
}

#[test]
fn a_paused_adapter_is_shed_zone_by_zone_once_it_has_lasted_a_minute() {
    let mut world = paused_in_one_zone(0.2..0.21);
    assert!((at(1120)..at(1124)).contains(&world.steer(1059).wake_at.unwrap()), "60 s, then 0.2 × 5 min");
    assert_eq!(world.answer(1119).0, [1, 2]);
    assert_eq!(world.answer(1124), (vec![2], AnswerReason::FailedOver));
    for check in [Check::Path, Check::Deep] {
        world.set(1, check, recovered(PAUSED, 2000, 2900));
    }
    assert_eq!(world.answer(2059).0, [2]);
    assert_eq!(world.answer(2064), (vec![1, 2], AnswerReason::Healthy));

    let mut world = paused_in_one_zone(0.5..1.0);
    assert_eq!(world.answer(5000).0, [1, 2], "at most half of the hosts leave");
    let mut world = paused_in_one_zone(0.2..0.21);
    for check in [Check::Path, Check::Deep] {
        world.set(2, check, overloaded(PAUSED, 1010, 1300));
    }
    assert_eq!(world.answer(5000), (vec![1, 2], AnswerReason::AllDownKept), "nobody is left for the other");
}

#[test]
fn three_of_each_in_turn_alternate() {
    let all = |list: &[u64]| list.iter().copied().map(at).collect::<Vec<_>>();
    for (failures, successes, expected) in [
        (&[1, 3, 5][..], &[2, 4, 6][..], true),
        (&[2, 4, 6][..], &[1, 3, 5][..], true),
        (&[1, 2, 3][..], &[4, 5, 6][..], false),
        (&[10, 70, 130][..], &[1, 6, 11, 60, 65, 71, 120, 125, 131][..], true),
        (&[1, 3][..], &[2, 4, 6][..], false),
        (&[][..], &[1, 2, 3][..], false),
    ] {
        assert_eq!(alternate(&all(failures), &all(successes)).is_some(), expected, "{failures:?} {successes:?}");
    }
}
