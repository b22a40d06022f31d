//! Nothing of another machine, and no plan of another boot (B12).

use super::*;

fn machine(id: &str) -> Identity {
    Identity { machine_id: Some(id.into()), ..Identity::default() }
}

fn here() -> ThisHost {
    ThisHost { identity: machine("here"), boot_id: "now".into() }
}

fn arrives_from(identity: &Identity, boot: &str, pairs: &[(&str, &str)]) -> Input {
    Input::Handover(Ok(Some(handover::make(&plan(pairs), boot, identity))))
}

#[test]
fn a_hand_over_of_another_machine_is_refused_whole() {
    let mut w = World::at(here(), Recalled::Nothing);
    w.take(arrives_from(&machine("here"), "now", &[("a.x", "10.0.0.1")]));
    w.take(arrives_from(&machine("there"), "now", &[("a.x", "10.0.0.2"), ("b.x", "10.0.0.2")]));
    assert_eq!(w.file, Present::Whole(block(&[("a.x", "10.0.0.1")])));
    assert_eq!(w.receipt().error, Some(PublishErrorKind::BadHandover));
    let detail = w.receipt().error_detail.clone().unwrap();
    assert_eq!(detail, "plan.json: written on another machine: machine id differs");
    assert!(!w.receipt().names.contains_key(&"b.x".parse().unwrap()));
    w.take(Input::Handover(Ok(None)));
    assert_eq!(w.receipt().error, None);
}

#[test]
fn a_hand_over_of_another_boot_is_no_news() {
    let mut w =
        World::at(here(), Recalled::Own(LastGood { identity: machine("here"), ..kept(&[("a.x", "10.0.0.9")]) }));
    w.take(arrives_from(&machine("here"), "then", &[("a.x", "10.0.0.1")]));
    assert_eq!(w.file, Present::Whole(block(&[("a.x", "10.0.0.9")])));
    assert_eq!((w.receipt().error, w.receipt().digest.clone(), w.verdict("a.x")), (None, None, Verdict::Published));
    assert!(w.receipt().error_detail.as_ref().unwrap().contains("another boot"));
    w.take(arrives_from(&machine("here"), "now", &[("a.x", "10.0.0.1")]));
    assert_eq!((w.receipt().error_detail.clone(), w.writes.len()), (None, 2));
    w.take(arrives_from(&machine("here"), "then", &[("a.x", "10.0.0.2")]));
    assert_eq!(w.writes.len(), 2, "the last of this boot stays");
}

#[test]
fn what_another_machine_left_goes_unless_this_ones_plan_wants_it() {
    let foreign = Recalled::Foreign(IdentityPart::MachineId);
    let left = Present::Whole(block(&[("a.x", "10.0.0.9"), ("b.x", "10.0.0.8")]));
    let mut w = World::at(here(), foreign.clone());
    w.file = left.clone();
    w.take(Input::Handover(Ok(None)));
    assert_eq!((&w.file, w.receipt().names.len()), (&Present::Whole(Block::default()), 0));
    assert_eq!(
        w.saved,
        [LastGood { identity: machine("here"), ..LastGood::default() }],
        "from now on it is this one's"
    );

    let mut w = World::at(here(), foreign.clone());
    w.file = left.clone();
    w.take(arrives_from(&machine("here"), "now", &[("a.x", "10.0.0.1")]));
    assert_eq!((&w.file, w.writes.len()), (&Present::Whole(block(&[("a.x", "10.0.0.1")])), 1));

    let mut w = World::at(here(), foreign);
    w.file = left.clone();
    w.take(Input::Policy(Arc::new(HostsPolicy { publish: false, ..policy() })));
    w.run_until(secs(60));
    assert_eq!((&w.file, w.looks), (&left, 0), "an idle writer waits with that");
    w.take(Input::Policy(Arc::new(policy())));
    assert_eq!(w.file, Present::Whole(Block::default()));
}

#[test]
fn what_is_kept_is_of_this_machine_and_knows_more_of_it_later() {
    let mut w = World::at(here(), Recalled::Own(kept(&[("a.x", "10.0.0.9")])));
    w.take(Input::Handover(Ok(None)));
    assert_eq!(w.saved, [LastGood { identity: machine("here"), ..kept(&[("a.x", "10.0.0.9")]) }]);
    w.run_until(secs(60));
    assert_eq!(w.saved.len(), 1);
}

#[test]
fn only_a_hand_over_that_counts_can_miss_a_name() {
    let w = World::at(here(), Recalled::Nothing);
    let misses = |identity: &str, boot: &str, name: &str| {
        let handover = handover::make(&plan(&[(name, "10.0.0.1")]), boot, &machine(identity));
        w.core.would_miss_a_name(&handover)
    };
    assert!(misses("here", "now", "unknown.x"));
    assert!(!misses("here", "now", "a.x"));
    assert!(!misses("there", "now", "unknown.x") && !misses("here", "then", "unknown.x"));
}
