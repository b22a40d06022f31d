//! Whatever happens, in whatever order.

use std::net::IpAddr;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

use super::*;
use crate::model::HostName;

fn names() -> impl Strategy<Value = HostName> {
    proptest::sample::select(vec!["a.x", "b.x", "c.x"]).prop_map(|n| n.parse().unwrap())
}

fn addresses() -> impl Strategy<Value = IpAddr> {
    prop_oneof![6 => (0..2u8, 0..4u8).prop_map(|(net, host)| IpAddr::from([10, net, 0, host])), 1 => any::<IpAddr>()]
}

fn policies() -> impl Strategy<Value = HostsPolicy> {
    let ranges = vec![vec!["10.0.0.0/16"], vec!["10.1.0.0/16"], vec!["10.0.0.0/8"], vec![]];
    let ranges = proptest::sample::select(ranges)
        .prop_map(|ranges| ranges.into_iter().map(|range| range.parse().unwrap()).collect());
    (any::<bool>(), btree_set(names(), 0..4), ranges).prop_map(|(publish, names, allowed_ranges)| HostsPolicy {
        publish,
        rules: AdmissionRules { names, allowed_ranges, ..policy().rules },
        ..policy()
    })
}

fn inputs() -> impl Strategy<Value = Input> {
    let answer = (vec(addresses(), 0..3), vec(addresses(), 0..3));
    let answer = answer.prop_map(|(addresses, standby)| Answer { addresses, standby, reason: AnswerReason::Healthy });
    let withdrawn = btree_map(names(), Just(Withdrawal::Gone), 0..2);
    let plan = (btree_map(names(), answer, 0..4), withdrawn)
        .prop_map(|(answers, withdrawn)| arrives(&Plan { answers, withdrawn, ..Plan::default() }));
    let sign = proptest::option::of(0..3u64)
        .prop_map(|at| at.map(|at| LifeFile(FileStamp { file: (0, at), ..FileStamp::default() })));
    prop_oneof![
        4 => plan,
        2 => policies().prop_map(|p| Input::Policy(Arc::new(p))),
        4 => sign.prop_map(Input::AgentLiveness),
        1 => Just(Input::Handover(Ok(None))),
        1 => Just(Input::FileTouched),
        1 => Just(Input::Tick),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_wanted_that_its_policy_refused_and_no_standby_unless_lost(
        history in vec((inputs(), 0..29u64), 0..40),
    ) {
        let mut w = World::new(None);
        let mut in_force = policy();
        for (input, pause) in history {
            if let Input::Policy(policy) = &input {
                in_force = policy.as_ref().clone();
            }
            let known = w.core.admitted.last.clone();
            w.run_until(w.now + secs(pause));
            w.take(input);
            let now = &w.core.admitted.last.answers;
            for (name, answer) in now {
                prop_assert!(in_force.rules.has_name(name) || known.answers.contains_key(name), "{}", name);
                let before = known.answers.get(name);
                for address in answer.addresses.iter().chain(&answer.standby) {
                    let old = before.is_some_and(|b| b.addresses.contains(address) || b.standby.contains(address));
                    let fine = in_force.rules.allowed_ranges.iter().any(|range| range.contains(address));
                    prop_assert!(old || fine, "{} {}", address, name);
                }
            }
            let lost = w.core.life.lost;
            for (address, name) in w.core.wanted().pairs() {
                let answer = &now[name];
                prop_assert!(answer.addresses.contains(&address) || lost && answer.standby.contains(&address));
            }
            prop_assert!(w.core.wanted().entries.keys().eq(now.keys()));
            prop_assert_eq!(w.core.wanted().names().count(), now.len());
            prop_assert!(now.values().all(|a| !a.addresses.is_empty()));
        }
    }
}
