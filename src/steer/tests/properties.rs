//! What holds for any world and any plan before it.

use proptest::prelude::*;

use super::*;

fn any_health() -> impl Strategy<Value = Option<CheckHealth>> {
    let state = prop_oneof![
        Just(CheckState::Unknown),
        Just(CheckState::Up { hold_until: None }),
        (980_u64..1020).prop_map(|t| CheckState::Up { hold_until: Some(now(t).boottime) }),
        Just(CheckState::Down { decided: None }),
        (980_u64..1000).prop_map(|t| CheckState::Down { decided: Some(now(t).boottime) }),
    ];
    let times = (0_u32..4, prop::option::of(970_u64..1000), prop::option::of(970_u64..1000));
    let spans = (0_u64..30, 970_u64..1000, 0_u64..15);
    prop::option::of((state, times, spans).prop_map(|(state, (n, success, failing), (run, failed, more))| {
        let successes = if matches!(state, CheckState::Up { .. }) { n.max(1) } else { n };
        let failing = if successes > 0 { None } else { failing };
        let span = |first: u64, last: u64| Span { first: now(first).boottime, last: now(last).boottime };
        let first_failure = failing.unwrap_or(failed);
        CheckHealth {
            successes: success.map(|s| span(s - run, s)),
            moving: Some(span(first_failure, first_failure + more)),
            ..health(state, successes, success, failing)
        }
    }))
}

prop_compose! {
    fn any_world()(
        priority in 0..2_i32,
        probed in any::<bool>(),
        removed in prop::option::of(300_u64..1000),
        retired in prop::option::of(300_u64..1000),
        former in any::<bool>(),
        drained in any::<bool>(),
        local in any::<bool>(),
        prefer in any::<bool>(),
        one in any::<bool>(),
        healths in prop::collection::vec((any_health(), any_health()), 5),
    ) -> World {
        let mut world = World::new(&[&[1, 2, 3], &[4, 5]]);
        world.endpoint(1).priority = priority;
        world.endpoint(1).probed = probed;
        if let Some(since) = removed {
            world.endpoint(1).presence = Presence::Removed { since: now(since).boottime };
        }
        let zones = &mut world.endpoint(0).zones;
        let third = zones.get_mut(&zone("z2")).unwrap().addresses.get_mut(&ip(3)).unwrap();
        third.retired = retired.map(|t| now(t).boottime);
        third.former = former && retired.is_some();
        zones.get_mut(&zone("z1")).unwrap().names.insert(name("pinned.example"));
        if drained {
            let drain = Drain { endpoint: None, until: now(2000).boottime };
            world.overrides.drains.insert("z0".parse().unwrap(), drain);
        }
        world.host.zone = local.then(|| "z1".parse().unwrap());
        world.policy.default = Steering {
            prefer: if prefer { Prefer::LocalZone } else { Prefer::Any },
            answers: if one { Answers::One } else { Answers::All },
            ..Steering::default()
        };
        for (i, (path, deep)) in healths.into_iter().enumerate().filter(|(i, _)| *i < 3 || probed) {
            for (check, health) in [(Check::Path, path), (Check::Deep, deep)] {
                if let Some(health) = health {
                    world.set_check(u8::try_from(i + 1).unwrap(), check, health);
                }
            }
        }
        world
    }
}

fn any_previous() -> impl Strategy<Value = Option<Plan>> {
    prop::option::of(prop::collection::btree_set(1..8_u8, 1..5).prop_map(|s| plan(&s.into_iter().collect::<Vec<_>>())))
}

/// B5, told the long way: whether some check of the target that is decidedly down failed while somebody succeeded, in a
/// run that is over or goes on.
fn failed_beside_a_success(health: &HealthView, key: &TargetKey) -> bool {
    let all = || health.targets.values().flat_map(|t| t.checks.values());
    let decided = |c: &&CheckHealth| matches!(c.state, CheckState::Down { decided: Some(_) });
    let failures = health.targets[key].checks.values().filter(decided).filter_map(|c| c.moving);
    let beside = |f: Span, c: &CheckHealth| {
        c.successes.is_some_and(|s| s.first <= f.last && (c.successes_in_a_row > 0 || s.last >= f.first))
    };
    failures.into_iter().any(|f| all().any(|c| beside(f, c)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn no_answer_is_ever_empty_and_equal_inputs_give_equal_plans(world in any_world(), previous in any_previous()) {
        let steered = world.steer(previous.as_ref());
        prop_assert!(steered.plan.answers.contains_key(&name("db.example")));
        for answer in steered.plan.answers.values() {
            prop_assert!(!answer.addresses.is_empty());
            prop_assert!(!answer.addresses.iter().any(|a| answer.standby.contains(a)));
        }
        prop_assert_eq!(&world.steer(previous.as_ref()), &steered);
        let again = world.steer(Some(&steered.plan));
        prop_assert_eq!(&again.plan, &steered.plan, "a decision stands while nothing changes");
        prop_assert!(again.events.is_empty() && again.ask.is_empty());
    }

    /// Truth: an answer is healthy only if no published address is down.
    #[test]
    fn nothing_is_healthy_while_something_published_is_down(world in any_world(), previous in any_previous()) {
        let answer = world.steer(previous.as_ref()).plan.answers.remove(&name("db.example")).unwrap();
        let up = |key: &TargetKey| world.health.targets.get(key)
            .is_none_or(|h| !matches!(h.summary(), CheckState::Down { .. }));
        let mut published = world.keys().into_iter().filter(|key| answer.addresses.contains(&key.address));
        prop_assert!(answer.reason != Healthy || published.all(|key| up(&key)));
    }

    /// B4, without preferences: who leaves was disproved, is retired, or was never ours.
    #[test]
    fn who_leaves_was_disproved(mut world in any_world(), previous in any_previous()) {
        world.policy.default = Steering::default();
        world.overrides = Overrides::default();
        world.endpoint(1).priority = 0;
        let Some(previous) = previous else { return Ok(()) };
        let inputs = Inputs {
            inventory: &world.inventory, health: &world.health, host: &world.host, overrides: &world.overrides,
            policy: &world.policy, previous: Some(&previous), now: world.now,
        };
        let names = candidate::gather(&inputs);
        let candidates = &names[&name("db.example")].list;
        let after = &world.steer(Some(&previous)).plan.answers[&name("db.example")].addresses;
        for gone in previous.answers[&name("db.example")].addresses.iter().filter(|a| !after.contains(a)) {
            let Some(c) = candidates.iter().find(|c| c.key.address == *gone) else { continue };
            let disproved = candidates.iter().any(|o| after.contains(&o.key.address) && c.is_disproved_by(o, &inputs));
            let left = c.leaves_at.is_some() || c.former.is_some();
            prop_assert!(disproved || left, "{gone} left without evidence");
            let alone = c.charge.is_some() && !failed_beside_a_success(&world.health, &c.key);
            prop_assert!(!alone || left, "{gone} left for what may have been a fault of this host");
        }
    }
}
