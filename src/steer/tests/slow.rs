//! A slow address: left by a preference alone, one host after the other.

use super::*;
use crate::model::Slowness;
use crate::steer::host_hash::host_hash;

/// Slow since then, until then if it is over.
fn slow(since: u64, until: Option<u64>) -> CheckHealth {
    let at = |secs: u64| now(secs).boottime;
    let times = (Duration::from_millis(1500), Duration::from_millis(2));
    let slow = Slowness { since: at(since), until: until.map(at), median: times.0, beside: times.1 };
    CheckHealth { slow: Some(slow), ..up(since) }
}

/// Local is the first of two zones; this host's hash for it is in this part of the range.
fn world(prefer: Prefer, part: std::ops::Range<f64>) -> World {
    let mut world = World::new(&[&[1, 2]]);
    let target = world.keys()[0].to_string();
    let host = |n: u32| HostFacts {
        instance_id: Some(format!("i-{n}")),
        zone: Some("z0".parse().unwrap()),
        ..HostFacts::default()
    };
    world.host = (0..10_000).map(host).find(|host| part.contains(&host_hash(host, &target))).unwrap();
    world.policy.default = Steering { prefer, answers: Answers::All, ..Steering::default() };
    world.set(1, up(999));
    world.set(2, up(999));
    world
}

#[test]
fn a_preference_leaves_a_slow_zone_when_this_hosts_turn_comes_and_returns_likewise() {
    // Its turn is a fifth of the ramp, a minute, after.
    let mut world = world(Prefer::LocalZone, 0.199..0.2);
    assert_eq!(world.answer(&[1]).0, ips(&[1]));
    world.set(1, slow(1000, None));
    for (secs, published, expected) in [(1059, 1, 1), (1060, 1, 2), (2000, 2, 2)] {
        world.now = now(secs);
        let published = [published];
        assert_eq!(world.answer(&published), (ips(&[expected]), AnswerReason::Healthy), "after {secs}");
        let wake = world.steer(Some(&plan(&published))).wake_at.map(|at| at.0.as_secs());
        assert_eq!(wake, (expected == 1).then_some(1059), "after {secs}");
    }
    world.set(1, slow(1000, Some(3000)));
    for (secs, expected) in [(3059, 2), (3060, 1)] {
        world.now = now(secs);
        assert_eq!(world.answer(&[2]).0, ips(&[expected]), "after {secs}");
    }
    world.set(1, up(3100));
    assert_eq!(world.answer(&[2]).0, ips(&[1]));
}

#[test]
fn half_of_the_hosts_stay() {
    let mut world = world(Prefer::LocalZone, 0.5..0.51);
    world.set(1, slow(1000, None));
    world.now = now(100_000);
    assert_eq!(world.answer(&[1]).0, ips(&[1]));
}

#[test]
fn nobody_moves_where_no_preference_chooses_or_nothing_does_better() {
    let mut any = world(Prefer::Any, 0.0..0.1);
    any.set(1, slow(1000, None));
    any.now = now(100_000);
    assert_eq!(any.answer(&[1, 2]).0, ips(&[1, 2]));
    any.policy.default = Steering { prefer: Prefer::Any, answers: Answers::One, ..Steering::default() };
    assert_eq!(any.answer(&[1]).0, ips(&[1]));

    let mut local = world(Prefer::LocalZone, 0.0..0.1);
    local.now = now(100_000);
    local.set(1, slow(1000, None));
    local.set(2, slow(1000, None));
    assert_eq!(local.answer(&[1]).0, ips(&[1]), "the other is slow, too");
    local.set(2, down(990, 993));
    assert_eq!(local.answer(&[1]).0, ips(&[1]), "the other is down");
    // A lower priority is no place to go to.
    let mut local = world(Prefer::LocalZone, 0.0..0.1);
    let mut other = local.endpoint(0).clone();
    other.zones.retain(|zone, _| zone.to_string() == "z1");
    other.priority = 1;
    local.endpoint(0).zones.retain(|zone, _| zone.to_string() == "z0");
    local.inventory.endpoints.insert("e1".parse().unwrap(), other);
    local.set(1, slow(1000, None));
    local.set(2, up(999));
    local.now = now(100_000);
    assert_eq!(local.answer(&[1]).0, ips(&[1]));
}
