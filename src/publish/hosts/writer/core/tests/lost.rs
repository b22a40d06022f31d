//! The agent may die (B17).

use super::*;

/// How the sign of life looks that was left at this second.
fn sign(at: u64) -> Option<LifeFile> {
    let at = (i64::try_from(at).unwrap(), 0);
    Some(LifeFile(FileStamp { file: (1, 1), modified: at, changed: at, ..FileStamp::default() }))
}

/// `a.x` with one address and one for standby, `b.x` without; the agent shows life at 0 s.
fn living() -> World {
    let mut w = World::new(None);
    let mut plan = plan(&[("a.x", "10.0.0.1"), ("b.x", "10.0.0.5")]);
    plan.answers.get_mut(&"a.x".parse().unwrap()).unwrap().standby.push("10.0.0.2".parse().unwrap());
    w.take(Input::AgentLiveness(sign(0)));
    w.take(arrives(&plan));
    w
}

/// Looks at this sign every 5 s up to `until`.
fn look_until(w: &mut World, until: u64, sign: Option<LifeFile>) {
    while w.now < secs(until) {
        let next = (w.now + secs(5)).min(secs(until));
        w.run_until(next);
        w.take(Input::AgentLiveness(sign));
    }
}

fn pairs(w: &World) -> Vec<String> {
    let Present::Whole(block) = &w.file else { panic!("{:?}", w.file) };
    block.pairs().map(|(a, n)| format!("{a} {n}")).collect()
}

#[test]
fn standby_addresses_come_and_go_with_the_agents_silence() {
    let mut w = living();
    assert_eq!(pairs(&w), ["10.0.0.1 a.x", "10.0.0.5 b.x"]);
    look_until(&mut w, 119, sign(0));
    assert_eq!((w.writes.len(), w.turns.len(), w.verdict("a.x")), (1, 0, Verdict::Published));
    look_until(&mut w, 120, sign(0));
    assert_eq!(pairs(&w), ["10.0.0.1 a.x", "10.0.0.2 a.x", "10.0.0.5 b.x"]);
    let Present::Whole(block) = &w.file else { panic!() };
    assert!(block.entries.values().all(|e| e.reason == EntryReason::AgentLost));
    assert_eq!((w.verdict("a.x"), w.verdict("b.x")), (Verdict::AgentLost, Verdict::AgentLost));
    look_until(&mut w, 300, sign(0));
    assert_eq!((w.writes.len(), w.turns.as_slice()), (2, &[AgentTurn::Lost(secs(120))][..]), "told once");
    look_until(&mut w, 305, sign(301));
    assert_eq!(pairs(&w), ["10.0.0.1 a.x", "10.0.0.5 b.x"]);
    assert_eq!((w.turns.last(), w.verdict("a.x")), (Some(&AgentTurn::Back), Verdict::Published));
    // What was saved knows which addresses are standby, lost or not: it never changed.
    assert_eq!(w.saved.len(), 1);
    assert_eq!(w.saved[0].answers[&"a.x".parse().unwrap()].standby.len(), 1);
}

#[test]
fn any_change_of_the_file_is_a_sign_and_its_absence_is_none() {
    let mut w = living();
    look_until(&mut w, 100, sign(0));
    w.take(Input::AgentLiveness(Some(LifeFile(FileStamp { file: (1, 2), ..sign(0).unwrap().0 }))));
    look_until(&mut w, 215, None);
    assert_eq!(w.turns, []);
    look_until(&mut w, 220, None);
    assert_eq!(w.turns, [AgentTurn::Lost(secs(120))]);
    // The very file of before tells nothing new.
    w.take(Input::AgentLiveness(Some(LifeFile(FileStamp { file: (1, 2), ..sign(0).unwrap().0 }))));
    assert_eq!(w.turns.len(), 1);
    w.take(Input::AgentLiveness(sign(3)));
    assert_eq!(w.turns.last(), Some(&AgentTurn::Back));
}

#[test]
fn a_plan_that_stays_the_same_is_no_loss_and_a_new_plan_no_sign_of_life() {
    let mut w = living();
    for second in (5..600).step_by(5) {
        look_until(&mut w, second, sign(second));
    }
    assert_eq!((w.turns.len(), w.writes.len()), (0, 1));
    look_until(&mut w, 715, sign(595));
    assert!(w.core.life.lost);
    w.take(arrives(&plan(&[("a.x", "10.0.0.7")])));
    assert_eq!((pairs(&w), w.verdict("a.x")), (vec!["10.0.0.7 a.x".into(), "10.0.0.5 b.x".into()], Verdict::AgentLost));
}

#[test]
fn a_wall_clock_that_jumps_and_a_host_that_sleeps_lose_nobody() {
    let mut w = living();
    for wall in [0, u64::MAX, 1_000_000] {
        w.now += secs(5);
        let now = Now { wall: Wall(wall), ..w.now() };
        assert!(w.core.step(Input::AgentLiveness(sign(0)), now).iter().all(|a| !matches!(a, Action::Turned(_))));
    }
    w.run_until(secs(100_000));
    w.take(Input::AgentLiveness(sign(0)));
    assert_eq!(w.turns, [], "nobody looked in all that time");
    let from = w.now.as_secs();
    look_until(&mut w, from + 100, sign(0));
    assert_eq!(w.turns, []);
    look_until(&mut w, from + 120, sign(0));
    assert_eq!(w.turns.len(), 1);
}

#[test]
fn a_conflict_counts_for_more_than_a_lost_agent_and_that_for_more_than_a_shadow() {
    let mut w = living();
    look_until(&mut w, 120, sign(0));
    w.core.file.shadowed.insert("a.x".parse().unwrap(), 3);
    let receipt = w.core.receipt(w.now());
    assert_eq!(receipt.names[&"a.x".parse().unwrap()], Verdict::AgentLost);
    assert_eq!(receipt.shadowing, [("a.x".parse().unwrap(), 3)].into());
    for _ in 0..3 {
        w.removed();
    }
    assert_eq!(w.verdict("a.x"), Verdict::Conflict);
    w.take(arrives(&plan(&[("a.x", "8.8.8.8")])));
    assert_eq!(w.verdict("a.x"), Verdict::Refused);
}

#[test]
fn an_idle_writer_has_nobody_to_lose() {
    let mut w = living();
    w.take(Input::Policy(Arc::new(HostsPolicy { publish: false, ..policy() })));
    look_until(&mut w, 500, sign(0));
    assert_eq!((w.turns.len(), w.verdict("a.x")), (0, Verdict::Pending));
    w.take(Input::Policy(Arc::new(policy())));
    look_until(&mut w, 505, sign(0));
    assert_eq!(w.turns.len(), 1);
}
