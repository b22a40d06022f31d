use std::time::Duration;

use std::collections::BTreeMap;

use super::*;
use crate::model::PublishErrorKind;
use crate::model::{Answer, AnswerReason, HostName, Identity, IdentityPart, Plan, Verdict, Wall, Withdrawal};
use crate::publish::admission::AdmissionRules;
use crate::publish::hosts::adopt::TakenOver;
use crate::publish::hosts::block::{Entry, EntryReason};
use crate::publish::hosts::block::{OwnLines, Present};
use crate::publish::hosts::file::{Change, Displaced};
use crate::publish::hosts::handover;
use crate::publish::hosts::policy::Folders;
use crate::sys::file_stamp::FileStamp;

fn policy() -> HostsPolicy {
    let folders = Folders {
        agent_run_dir: "/ra".into(),
        run_dir: "/rw".into(),
        state_dir: "/sw".into(),
        admin_dir: "/ad".into(),
    };
    HostsPolicy {
        publish: true,
        rules: AdmissionRules {
            names: ["a.x", "b.x"].iter().map(|n| n.parse().unwrap()).collect(),
            allowed_ranges: vec!["10.0.0.0/8".parse().unwrap()],
            removal_grace: secs(600),
            ..AdmissionRules::default()
        },
        path: "/h".into(),
        reassert_interval: secs(5),
        agent_lost_after: secs(120),
        ..HostsPolicy::idle(folders)
    }
}

/// The policy of the tests with these names alone.
fn policy_with(names: &[&str]) -> HostsPolicy {
    let names = names.iter().map(|n| n.parse().unwrap()).collect();
    HostsPolicy { rules: AdmissionRules { names, ..policy().rules }, ..policy() }
}

fn answer(address: &str) -> Answer {
    Answer { addresses: vec![address.parse().unwrap()], standby: Vec::new(), reason: AnswerReason::Healthy }
}

fn plan(answers: &[(&str, &str)]) -> Plan {
    Plan { answers: answers.iter().map(|(n, a)| (n.parse().unwrap(), answer(a))).collect(), ..Plan::default() }
}

fn arrives(plan: &Plan) -> Input {
    Input::Handover(Ok(Some(handover::make(plan, "", &Identity::default()))))
}

fn block(pairs: &[(&str, &str)]) -> Block {
    Block::from(pairs.iter().map(|(n, a)| (n.parse().unwrap(), Entry::from(&answer(a)))).collect::<BTreeMap<_, _>>())
}

/// What is kept of these, on a machine of no identity.
fn kept(pairs: &[(&str, &str)]) -> LastGood {
    LastGood { answers: plan(pairs).answers, ..LastGood::default() }
}

/// A core with a make-believe file: it carries out assertions at once.
struct World {
    core: Core,
    file: Present,
    fails: Option<PublishErrorKind>,
    writes: Vec<Duration>,
    looks: usize,
    saved: Vec<LastGood>,
    receipts: Vec<Receipt>,
    turns: Vec<AgentTurn>,
    /// The displaced files that are there; a folding succeeds at once.
    displaced: Vec<Displaced>,
    settles: Vec<(Duration, Vec<Settling>)>,
    settling_fails: bool,
    /// An edit was folded in just now: the files stay.
    settling_keeps: bool,
    now: Duration,
}

impl World {
    fn new(saved: Option<LastGood>) -> Self {
        Self::at(ThisHost::default(), saved.map_or(Recalled::Nothing, Recalled::Own))
    }

    fn at(here: ThisHost, recalled: Recalled) -> Self {
        Self {
            core: Core::new(Arc::new(policy()), here, recalled, Boottime::default()),
            file: Present::Absent,
            fails: None,
            writes: Vec::new(),
            looks: 0,
            saved: Vec::new(),
            receipts: Vec::new(),
            turns: Vec::new(),
            displaced: Vec::new(),
            settles: Vec::new(),
            settling_fails: false,
            settling_keeps: false,
            now: Duration::ZERO,
        }
    }

    fn now(&self) -> Now {
        Now { boottime: Boottime(self.now), wall: Wall(0) }
    }

    fn take(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            for action in self.core.step(input, self.now()) {
                match action {
                    Action::Assert(job) => inputs.push(Input::Asserted(self.assert(&job))),
                    Action::Settle(job) => {
                        self.settles.push((self.now, job.ready.clone()));
                        inputs.push(Input::Settled(self.settle(&job)));
                    }
                    Action::Save(kept) => self.saved.push(kept),
                    Action::Turned(turn) => self.turns.push(turn),
                    Action::Tell(receipt) => self.receipts.push(receipt),
                }
            }
        }
    }

    fn assert(&mut self, job: &Job) -> Result<Asserted, AssertError> {
        self.looks += 1;
        if let Some(kind) = self.fails {
            return Err(AssertError { kind, detail: "no".into(), own: OwnLines::default() });
        }
        let found = std::mem::replace(&mut self.file, Present::Whole(job.wanted.clone()));
        let same = matches!(&found, Present::Whole(b) if b.same_pairs(&job.wanted));
        if !same {
            self.writes.push(self.now);
        }
        let change = if same { Change::Unchanged } else { Change::Written };
        Ok(Asserted { displaced: Some(self.displaced.clone()), ..Asserted::new(found, change) })
    }

    fn settle(&mut self, job: &SettleJob) -> SettleReport {
        if self.settling_fails {
            return SettleReport { fault: Some("no".to_owned()), ..SettleReport::default() };
        }
        self.displaced.retain(|there| self.settling_keeps || !job.ready.iter().any(|settling| settling.file == *there));
        let cut_off = job.ready.iter().filter(|s| s.even_if_open && s.file.open == Some(true)).count();
        SettleReport { there: self.displaced.clone(), cut_off, ..SettleReport::default() }
    }

    /// Lets time pass up to `until`, waking whenever the core asks for it.
    fn run_until(&mut self, until: Duration) {
        while let Some(at) = self.core.wake_at().filter(|at| at.0 <= until) {
            self.now = self.now.max(at.0);
            let looks = self.looks + self.settles.len();
            self.take(Input::Tick);
            assert!(
                self.looks + self.settles.len() > looks || self.core.wake_at() != Some(at),
                "the core asks for a wake-up without end"
            );
        }
        self.now = until;
    }

    /// Somebody takes the block out; gives how long it stayed away.
    fn removed(&mut self) -> Duration {
        let (from, writes) = (self.now, self.writes.len());
        self.file = Present::Absent;
        self.take(Input::FileTouched);
        self.run_until(from + Duration::from_secs(5));
        assert_eq!(self.writes.len(), writes + 1);
        self.writes[writes] - from
    }

    fn receipt(&self) -> &Receipt {
        self.receipts.last().unwrap()
    }

    fn verdict(&self, name: &str) -> Verdict {
        self.receipt().names[&name.parse().unwrap()]
    }
}

fn published() -> World {
    let mut w = World::new(None);
    w.take(arrives(&plan(&[("a.x", "10.0.0.1")])));
    w
}

const fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

#[test]
fn a_plan_is_written_saved_and_told_at_once() {
    let w = published();
    assert_eq!(w.writes, [Duration::ZERO]);
    assert_eq!(w.saved, [kept(&[("a.x", "10.0.0.1")])]);
    assert_eq!((w.receipts.len(), w.verdict("a.x"), w.receipt().changed), (1, Verdict::Published, true));
    assert_eq!(w.receipt().digest, Some(plan(&[("a.x", "10.0.0.1")]).digest()));
}

#[test]
fn a_change_of_reason_alone_is_told_and_not_written() {
    let mut w = published();
    let mut other = plan(&[("a.x", "10.0.0.1")]);
    other.answers.values_mut().for_each(|a| a.reason = AnswerReason::FailedOver);
    w.take(arrives(&other));
    assert_eq!((w.writes.len(), w.looks), (1, 1));
    assert_eq!((w.receipts.len(), w.receipt().changed, w.verdict("a.x")), (2, false, Verdict::Published));
}

#[test]
fn the_last_known_good_is_asserted_without_any_plan() {
    let mut w = World::new(Some(kept(&[("a.x", "10.0.0.9")])));
    w.take(Input::Handover(Ok(None)));
    assert_eq!(w.file, Present::Whole(block(&[("a.x", "10.0.0.9")])));
    assert_eq!((w.saved.len(), w.receipt().digest.clone()), (0, None));
}

#[test]
fn the_plan_in_run_counts_for_more_than_the_last_known_good() {
    let mut w = World::new(Some(kept(&[("a.x", "10.0.0.9"), ("b.x", "10.0.0.8")])));
    w.take(arrives(&plan(&[("a.x", "10.0.0.1")])));
    assert_eq!(w.writes.len(), 1, "one write, not two");
    assert_eq!(w.file, Present::Whole(block(&[("a.x", "10.0.0.1"), ("b.x", "10.0.0.8")])));
}

#[test]
fn who_never_had_anything_to_say_touches_nothing() {
    let mut w = World::new(None);
    w.file = Present::Damaged;
    w.take(Input::Handover(Ok(None)));
    w.take(arrives(&Plan::default()));
    w.take(Input::FileTouched);
    w.run_until(secs(60));
    assert_eq!((w.looks, w.receipts.len()), (0, 2));
}

#[test]
fn a_withdrawn_name_goes_and_the_last_one_takes_the_block_along() {
    let mut w = published();
    let withdrawn = [("a.x".parse().unwrap(), Withdrawal::Gone)].into();
    w.take(arrives(&Plan { withdrawn, ..Plan::default() }));
    assert_eq!(w.file, Present::Whole(Block::default()));
    assert_eq!(w.saved.last(), Some(&kept(&[])));
}

#[test]
fn the_file_is_looked_at_in_any_case_and_told_only_once() {
    let mut w = published();
    w.run_until(secs(61));
    assert_eq!((w.looks, w.writes.len(), w.receipts.len()), (13, 1, 1));
}

#[test]
fn a_removed_block_is_back_within_200_ms() {
    let mut w = published();
    w.run_until(secs(3));
    assert!(w.removed() <= Duration::from_millis(200));
    // An editor that keeps writing does not hold us off.
    w.run_until(secs(20));
    w.file = Present::Damaged;
    for step in 0..30 {
        w.now = secs(20) + Duration::from_millis(step * 10);
        w.take(Input::FileTouched);
    }
    assert!(w.writes[2] <= secs(20) + Duration::from_millis(200), "{:?}", w.writes);
}

#[test]
fn three_removals_are_a_conflict_and_slow_us_down_until_it_is_quiet() {
    let mut w = published();
    for _ in 0..2 {
        w.removed();
        assert!(!w.receipt().in_conflict);
    }
    w.removed();
    assert!(w.receipt().in_conflict);
    assert_eq!((w.receipt().conflicts, w.verdict("a.x")), (1, Verdict::Conflict));
    let writes = w.writes.len();
    for i in 0..300 {
        w.run_until(secs(20) + Duration::from_millis(i * 100));
        w.file = Present::Absent;
        w.take(Input::FileTouched);
    }
    let during = &w.writes[writes..];
    assert!((5..=7).contains(&during.len()), "{during:?}");
    assert!(during.windows(2).all(|p| p[1] - p[0] >= secs(5)));
    // One conflict, however long.
    assert_eq!(w.receipt().conflicts, 1);
    w.run_until(secs(60));
    assert!(w.receipt().in_conflict);
    w.run_until(secs(60 + 600));
    assert!(!w.receipt().in_conflict, "ten minutes without a removal end it");
    assert_eq!(w.verdict("a.x"), Verdict::Published);
    assert!(w.removed() <= Duration::from_millis(200));
}

/// Whoever makes plans as fast as it can gets ten writes, then one a second; the latest plan wins.
#[test]
fn a_flood_of_plans_is_written_once_a_second() {
    for fails in [None, Some(PublishErrorKind::Io)] {
        let mut w = published();
        w.fails = fails;
        w.run_until(secs(100));
        let (before, writes) = (w.looks, w.writes.len());
        for step in 0..5_000_u64 {
            w.run_until(secs(100) + Duration::from_millis(step));
            w.take(arrives(&plan(&[("a.x", &format!("10.1.{}.{}", step / 250, step % 250))])));
            if fails.is_none() && step < 10 {
                assert_eq!(w.writes.last(), Some(&w.now), "after quiet each is written at once");
            }
        }
        let looks = w.looks - before;
        assert!((14..=16).contains(&looks), "{looks} {fails:?}");
        if fails.is_none() {
            w.run_until(w.now + secs(1));
            assert_eq!(w.file, Present::Whole(block(&[("a.x", "10.1.19.249")])), "the latest");
            assert_eq!(w.writes.len() - writes, w.looks - before);
            assert_eq!(w.verdict("a.x"), Verdict::Published);
        }
        w.fails = None;
        w.run_until(w.now + secs(60));
        w.take(arrives(&plan(&[("a.x", "10.0.0.7")])));
        assert_eq!(w.writes.last(), Some(&w.now), "it is quiet again");
    }
}

#[test]
fn rare_removals_are_no_conflict_and_our_own_changes_are_none() {
    let mut w = published();
    for i in 1..10 {
        w.run_until(secs(i * 301));
        w.removed();
        w.take(arrives(&plan(&[("a.x", &format!("10.0.1.{i}"))])));
        w.take(Input::FileTouched);
    }
    assert_eq!((w.receipt().conflicts, w.receipt().in_conflict), (0, false));
}

#[test]
fn the_block_found_as_wanted_is_no_removal() {
    // `hosts apply` may have written the new plan before we saw it.
    let mut w = published();
    for i in 2..9 {
        w.file = Present::Whole(block(&[("a.x", &format!("10.0.0.{i}"))]));
        w.take(arrives(&plan(&[("a.x", &format!("10.0.0.{i}"))])));
    }
    assert_eq!((w.receipt().conflicts, w.writes.len()), (0, 1));
}

#[test]
fn failures_are_told_and_tried_again_ever_more_slowly() {
    let mut w = World::new(None);
    w.fails = Some(PublishErrorKind::UnsupportedMetadata);
    w.take(arrives(&plan(&[("a.x", "10.0.0.1")])));
    assert_eq!(w.verdict("a.x"), Verdict::UnsupportedMetadata);
    w.run_until(secs(60));
    assert!((10..25).contains(&w.looks), "{}", w.looks);
    assert_eq!(w.receipt().failed_writes, w.looks as u64);
    // A new plan is tried at once.
    w.run_until(w.now + Duration::from_millis(1));
    w.fails = None;
    w.take(arrives(&plan(&[("a.x", "10.0.0.2")])));
    assert_eq!((w.writes.as_slice(), w.receipt().error), (&[w.now][..], None));
    assert_eq!(w.verdict("a.x"), Verdict::Published);
}

#[test]
fn what_is_in_force_stays_published_through_a_failure() {
    let mut w = published();
    w.fails = Some(PublishErrorKind::Io);
    w.take(arrives(&plan(&[("a.x", "10.0.0.1"), ("b.x", "10.0.0.2")])));
    assert_eq!((w.verdict("a.x"), w.verdict("b.x")), (Verdict::Published, Verdict::Pending));
    assert_eq!((w.receipt().error, w.receipt().error_detail.as_deref()), (Some(PublishErrorKind::Io), Some("no")));
}

#[test]
fn bad_and_refused_hand_overs_are_told_and_change_nothing() {
    let mut w = published();
    w.take(Input::Handover(Err("plan.json:1:2: not JSON".into())));
    assert_eq!(w.receipt().error, Some(PublishErrorKind::BadHandover));
    w.take(arrives(&plan(&[("a.x", "8.8.8.8")])));
    assert_eq!((w.receipt().error, w.verdict("a.x")), (Some(PublishErrorKind::Refused), Verdict::Refused));
    assert!(w.receipt().error_detail.as_ref().unwrap().contains("8.8.8.8"));
    assert_eq!((w.writes.len(), &w.file), (1, &Present::Whole(block(&[("a.x", "10.0.0.1")]))));
}

#[test]
fn switched_off_the_writer_is_idle_and_the_block_stays() {
    let mut w = published();
    w.take(Input::Policy(Arc::new(HostsPolicy { publish: false, ..policy() })));
    w.file = Present::Absent;
    w.take(Input::FileTouched);
    w.take(arrives(&plan(&[("a.x", "10.0.0.2")])));
    w.run_until(secs(100));
    assert_eq!((w.looks, w.verdict("a.x")), (1, Verdict::Pending));
    w.take(Input::Policy(Arc::new(policy())));
    assert_eq!(w.file, Present::Whole(block(&[("a.x", "10.0.0.2")])));
    assert_eq!(w.receipt().conflicts, 0);
}

#[test]
fn a_name_that_left_the_policy_goes_after_the_grace() {
    let mut w = published();
    w.take(Input::Policy(Arc::new(policy_with(&["b.x"]))));
    w.run_until(secs(599));
    assert_eq!(w.file, Present::Whole(block(&[("a.x", "10.0.0.1")])));
    w.run_until(secs(600));
    assert_eq!(w.file, Present::Whole(Block::default()));
}

#[test]
fn a_name_stays_while_its_removal_is_not_sure_and_goes_after_the_grace_from_then() {
    let mut w = published();
    let without = || policy_with(&["b.x"]);
    // As while an editor has emptied the file.
    w.take(Input::Policy(Arc::new(policy_with(&[]))));
    let mut refused = without();
    refused.rules.hold_on_to(&policy_with(&[]).rules);
    w.take(Input::Policy(Arc::new(refused)));
    w.run_until(secs(5000));
    w.take(arrives(&plan(&[("a.x", "10.0.0.2")])));
    assert_eq!(w.verdict("a.x"), Verdict::Published);
    w.take(Input::Policy(Arc::new(without())));
    w.run_until(secs(5599));
    assert_eq!(w.file, Present::Whole(block(&[("a.x", "10.0.0.2")])));
    w.run_until(secs(5600));
    assert_eq!(w.file, Present::Whole(Block::default()));
}

#[test]
fn what_could_not_be_saved_or_told_is_tried_again_later() {
    let mut w = published();
    w.take(Input::NotSaved);
    w.take(Input::NotTold);
    assert_eq!((w.saved.len(), w.receipts.len()), (1, 1));
    w.take(Input::Tick);
    assert_eq!((w.saved.len(), w.receipts.len()), (2, 2));
}

mod displaced;
mod looks;
mod lost;
mod properties;
mod removal;
mod whose;

#[test]
fn what_is_seen_together_is_done_once() {
    let mut w = World::new(Some(kept(&[("a.x", "10.0.0.9")])));
    let arrived = arrives(&plan(&[("a.x", "10.0.0.1")]));
    let actions = w.core.step_all([Input::ConfigTrouble(None), Input::AgentLiveness(None), arrived], w.now());
    let [Action::Assert(job)] = actions.as_slice() else { panic!("{actions:?}") };
    assert_eq!(job.wanted, block(&[("a.x", "10.0.0.1")]));
}

#[test]
fn a_config_that_cant_be_used_is_told_beside_what_is_published() {
    let mut w = published();
    w.take(Input::ConfigTrouble(Some("the config can't be used: /c:1".into())));
    assert_eq!(
        (w.receipt().error, w.receipt().error_detail.as_deref()),
        (None, Some("the config can't be used: /c:1"))
    );
    assert_eq!(w.verdict("a.x"), Verdict::Published);
    w.take(Input::ConfigTrouble(None));
    assert_eq!(w.receipt().error_detail, None);
}

/// `a.x` sorts first and is a zone's own.
fn pinned(reason: AnswerReason) -> Plan {
    let mut plan = plan(&[("a.x", "10.0.0.1"), ("b.x", "10.0.0.1")]);
    plan.answers.values_mut().for_each(|answer| answer.reason = reason);
    plan.zone_names = ["a.x".parse().unwrap()].into();
    plan
}

fn order(block: &Block) -> Vec<&str> {
    block.names().map(HostName::as_str).collect()
}

#[test]
fn zone_names_stand_last_and_still_do_after_a_restart() {
    let mut w = World::new(None);
    w.take(arrives(&plan(&[("a.x", "10.0.0.1"), ("b.x", "10.0.0.1")])));
    assert_eq!(order(w.core.wanted()), ["a.x", "b.x"], "as an older agent hands it over");
    let before = w.writes.len();
    w.take(arrives(&pinned(AnswerReason::AllDownKept)));
    assert_eq!((order(w.core.wanted()), w.writes.len()), (vec!["b.x", "a.x"], before + 1), "rewritten once");
    w.take(arrives(&pinned(AnswerReason::Pinned)));
    assert_eq!(w.writes.len(), before + 1, "a reason rewrites nothing");
    let saved = w.saved.last().unwrap().clone();

    let mut again = World::new(Some(saved));
    again.file = w.file.clone();
    again.take(Input::Tick);
    assert_eq!((order(again.core.wanted()), again.writes.len()), (vec!["b.x", "a.x"], 0));
    // Where only the file is left, its order stays until the agent speaks.
    let Present::Whole(block) = w.file.clone() else { panic!("{:?}", w.file) };
    let mut bare = World::at(ThisHost::default(), Recalled::InFile(block));
    bare.file = w.file.clone();
    bare.take(Input::Tick);
    assert_eq!((order(bare.core.wanted()), bare.writes.len()), (vec!["b.x", "a.x"], 0));
}

#[test]
fn the_time_of_the_last_change_holds_on_until_the_addresses_change() {
    let name: HostName = "a.x".parse().unwrap();
    let dated = |address: &str, at: Option<Wall>| {
        let made = handover::make(&plan(&[("a.x", address)]), "", &Identity::default());
        let changed = at.map(|at| (name.clone(), at)).into_iter().collect();
        Input::Handover(Ok(Some(handover::dated(made, changed))))
    };
    let mut w = World::new(None);
    let mut takes = |input| {
        w.take(input);
        (w.core.wanted().entries[&name].changed, w.writes.len())
    };
    assert_eq!(takes(dated("10.0.0.1", Some(Wall(7)))), (Some(Wall(7)), 1));
    assert_eq!(takes(dated("10.0.0.1", None)), (Some(Wall(7)), 1), "the agent was started since");
    assert_eq!(takes(dated("10.0.0.1", Some(Wall(8)))), (Some(Wall(8)), 1), "a time rewrites nothing");
    assert_eq!(takes(dated("10.0.0.2", None)), (None, 2));
    // A boot finds the file without a block: the time stands in the new one, too.
    let times = w.saved.iter().map(|kept| kept.marks.changed.get(&name).copied());
    assert!(times.eq([Some(Wall(7)), Some(Wall(8)), None]));
    let mut again = World::new(Some(w.saved[1].clone()));
    again.take(Input::Tick);
    let Present::Whole(block) = &again.file else { panic!("{:?}", again.file) };
    assert_eq!((block.entries[&name].changed, again.writes.len()), (Some(Wall(8)), 1));
    again.take(dated("10.0.0.1", None));
    assert_eq!((again.core.wanted().entries[&name].changed, again.writes.len()), (Some(Wall(8)), 1));
    assert_eq!(again.saved, [], "what is kept is true yet");
    again.take(dated("10.0.0.2", None));
    assert_eq!((again.core.wanted().entries[&name].changed, again.writes.len()), (None, 2));
}
