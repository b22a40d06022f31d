//! Random hosts files, hand-overs, receipts, state files and histories: no panic, no lost byte, no empty name.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use privatelinkd::model::Families;
use privatelinkd::model::{
    Answer, AnswerReason, Boottime, Digest, Handover, HostName, Identity, Now, Plan, PublishErrorKind, Wall, Withdrawal,
};
use privatelinkd::publish::admission::{AdmissionRules, LastAdmitted};
use privatelinkd::publish::hosts::HostsPolicy;
use privatelinkd::publish::hosts::block::{self, Block, Entry, EntryReason, Marks, OwnLines, Present};
use privatelinkd::publish::hosts::file::Change;
use privatelinkd::publish::hosts::life_file::LifeFile;
use privatelinkd::publish::hosts::writer::core::{
    Action, AssertError, Asserted, Core, Input, Job, LastGood, OwnRecord, Recalled, ThisHost,
};
use privatelinkd::publish::hosts::{handover, shadow, writer};
use privatelinkd::sys::file_stamp::FileStamp;
use proptest::prelude::*;

use crate::support::{cases, damaged};

fn config() -> ProptestConfig {
    ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() }
}

fn names() -> impl Strategy<Value = HostName> {
    proptest::sample::select(vec!["a.x", "b.x", "c.x", "db.internal"]).prop_map(|n| n.parse().unwrap())
}

fn addresses() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        4 => (0..8u8).prop_map(|i| IpAddr::from([10, 0, 0, i])),
        1 => any::<IpAddr>(),
    ]
}

fn entry_reasons() -> impl Strategy<Value = EntryReason> {
    proptest::option::of(reasons()).prop_map(|r| r.map_or(EntryReason::AgentLost, EntryReason::Answer))
}

fn reasons() -> impl Strategy<Value = AnswerReason> {
    proptest::sample::select(AnswerReason::ALL.to_vec())
}

fn blocks() -> impl Strategy<Value = Block> {
    let entry = (proptest::collection::vec(addresses(), 1..3), entry_reasons()).prop_map(|(addresses, reason)| Entry {
        addresses,
        reason,
        changed: None,
    });
    let by_name = proptest::collection::btree_map(names(), entry, 0..4).prop_map(Block::from);
    let ordered = (answers(1), marks()).prop_map(|(answers, marks)| Block::from_answers(&answers, &marks, false));
    prop_oneof![by_name, ordered]
}

/// Times are shown to the second, and not beside `unprobed`, so that such would not be read back as they were.
fn marks() -> impl Strategy<Value = Marks> {
    proptest::collection::btree_set(names(), 0..3).prop_map(|zone_names| Marks { zone_names, ..Marks::default() })
}

fn answers(addresses_from: usize) -> impl Strategy<Value = BTreeMap<HostName, Answer>> {
    let some = move |from| proptest::collection::vec(addresses(), from..4);
    let answer = (some(addresses_from), some(0), reasons());
    let answer = answer.prop_map(|(addresses, standby, reason)| Answer { addresses, standby, reason });
    proptest::collection::btree_map(names(), answer, 0..4)
}

fn plans() -> impl Strategy<Value = Plan> {
    let withdrawn = proptest::collection::btree_map(names(), Just(Withdrawal::Removed), 0..2);
    (answers(0), withdrawn, marks()).prop_map(|(answers, withdrawn, marks)| Plan {
        answers,
        withdrawn,
        zone_names: marks.zone_names,
        ..Plan::default()
    })
}

fn identities() -> impl Strategy<Value = Identity> {
    let part = || proptest::option::of(proptest::sample::select(vec!["a", "b"]).prop_map(str::to_owned));
    (part(), part()).prop_map(|(machine_id, region)| Identity { machine_id, region, ..Identity::default() })
}

fn kept() -> impl Strategy<Value = LastGood> {
    (identities(), answers(1), marks(), proptest::option::of(blocks())).prop_map(|(identity, answers, marks, own)| {
        let own = own.map(|block| OwnRecord { path: "/h".into(), lines: OwnLines::of(&block, b"") });
        LastGood { identity, answers, marks, own }
    })
}

fn files() -> impl Strategy<Value = Vec<u8>> {
    let text = |s: &'static str| Just(s.as_bytes().to_vec());
    let piece = prop_oneof![
        2 => proptest::collection::vec(any::<u8>(), 0..10),
        2 => text("\n"),
        1 => text("\r\n"),
        2 => text("# BEGIN privatelinkd\n"),
        1 => (0..80u32).prop_map(|n| format!("# BEGIN privatelinkd (managed by x; newline added at {n})\n").into()),
        2 => text("# END privatelinkd\n"),
        1 => text("# END privatelinkd"),
        2 => text("10.0.0.1 a.x\n"),
        1 => text("# a.x: healthy\n"),
        1 => text("127.0.0.1 localhost A.X. db.internal # b.x\n"),
        1 => text("\u{feff}"),
    ];
    proptest::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

fn policy(names: BTreeSet<HostName>) -> HostsPolicy {
    HostsPolicy {
        publish: true,
        rules: AdmissionRules {
            names,
            own_domains: Default::default(),
            allowed_ranges: vec!["10.0.0.0/8".parse().unwrap()],
            families: Families { ipv4: true, ipv6: true },
            removal_grace: Duration::from_secs(60),
        },
        path: "/h".into(),
        adopt: false,
        reassert_interval: Duration::from_secs(5),
        agent_run_dir: "/ra".into(),
        agent_lost_after: Duration::from_secs(120),
        in_place: privatelinkd::model::InPlace::Auto,
        run_dir: "/rw".into(),
        state_dir: "/sw".into(),
        admin_dir: "/ad".into(),
    }
}

fn saved_block(kept: &LastGood) -> Vec<u8> {
    let LastGood { identity, answers, marks: Marks { zone_names, changed }, own } = kept;
    let saved = serde_json::json!({
        "format": 1, "identity": identity, "entries": answers, "zone_names": zone_names, "changed": changed, "own": own
    });
    serde_json::to_vec(&saved).unwrap()
}

fn saved_policy(policy: &HostsPolicy) -> Vec<u8> {
    serde_json::to_vec(&serde_json::json!({ "format": 2, "policy": policy })).unwrap()
}

/// The sign of life that was left at this time of the wall clock.
fn sign(millis: u64) -> LifeFile {
    let at = (i64::try_from(millis / 1000).unwrap(), 0);
    LifeFile(FileStamp { file: (0, millis), modified: at, changed: at, ..FileStamp::default() })
}

fn hand_over(plan: &Plan) -> Handover {
    handover::make(plan, "boot", &Identity::default())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_hosts_file_keeps_its_foreign_bytes(file in files(), wanted in blocks(), last in blocks()) {
        let own = OwnLines::of(&last, b"");
        let Ok(clean) = block::strip(&file, Some(&own)) else {
            prop_assert_eq!(block::present(&file), Present::Damaged);
            prop_assert!(block::splice(&file, &wanted, Some(&own)).is_err(), "refused whatever is wanted");
            return Ok(());
        };
        prop_assert_eq!(block::present(&clean), Present::Absent);
        let with = block::splice(&file, &wanted, Some(&own)).unwrap().file.into_owned();
        prop_assert_eq!(&*block::splice(&with, &wanted, None).unwrap().file, &with[..]);
        let on_clean = block::splice(&clean, &wanted, None).unwrap().file.into_owned();
        prop_assert_eq!(&*block::strip(&on_clean, None).unwrap(), &clean[..]);
        if !wanted.entries.is_empty() {
            prop_assert!(matches!(block::present(&with), Present::Whole(b) if b.same_pairs(&wanted)));
            prop_assert!(matches!(block::present(&on_clean), Present::Whole(b) if b == wanted));
        }
        let shadowed = shadow::shadowed(&with, wanted.entries.keys());
        prop_assert!(shadowed.keys().all(|n| wanted.entries.contains_key(n)));
        let _ = block::salvage(&file);
    }

    #[test]
    fn any_hand_over_is_read_or_refused_without_quoting_it(
        (plan, json) in plans().prop_flat_map(|p| {
            let json = serde_json::to_vec(&hand_over(&p)).unwrap();
            (Just(p), damaged(json))
        }),
        garbage in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let path = Path::new("plan.json");
        if let Ok(read) = handover::parse(path, &json) {
            prop_assert_eq!(&read.plan, &plan.answers, "the digest covers the plan");
        }
        for bytes in [&json, &garbage] {
            if let Err(e) = handover::parse(path, bytes) {
                prop_assert!(e.to_string().len() < 200);
            }
            let _ = handover::parse_receipt(path, bytes);
        }
    }

    #[test]
    fn any_receipt_and_any_state_file_is_read_or_refused(
        (kept, block) in kept().prop_flat_map(|k| { let json = saved_block(&k); (Just(k), damaged(json)) }),
        (named, broken_policy) in proptest::collection::btree_set(names(), 0..4).prop_flat_map(|names| {
            let policy = policy(names);
            let json = saved_policy(&policy);
            (Just(policy), damaged(json))
        }),
        receipt in damaged(serde_json::to_vec(&Core::new(
            Arc::new(policy(BTreeSet::new())), ThisHost::default(), Recalled::Nothing, Boottime::default()
        ).receipt(Now::default())).unwrap()),
        garbage in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        prop_assert_eq!(writer::parse_block(&saved_block(&kept)), Ok(kept));
        prop_assert_eq!(writer::parse_policy(&saved_policy(&named)), Ok(named));
        for bytes in [&block, &garbage] {
            match writer::parse_block(bytes) {
                Ok(read) => prop_assert!(read.answers.values().all(|a| !a.addresses.is_empty())),
                Err(why) => prop_assert!(why.len() < 400, "{}", why),
            }
        }
        for bytes in [&broken_policy, &garbage] {
            if let Err(why) = writer::parse_policy(bytes) {
                prop_assert!(why.len() < 400, "{}", why);
            }
        }
        let _ = handover::parse_receipt(Path::new("receipt.json"), &receipt);
    }

    #[test]
    fn no_hand_over_smuggles_anything_past_the_policy(
        plan in plans(),
        last in answers(1),
        allowed in proptest::collection::btree_set(names(), 0..4),
        at in 0..200u64,
    ) {
        let policy = policy(allowed);
        let last = LastAdmitted { answers: last, lacking: Default::default() };
        let now = Boottime(Duration::from_secs(at));
        let handover = Handover { digest: Digest::from_bytes(&[0; 16]), ..hand_over(&plan) };
        let admission = policy.rules.admit(Some(&handover), &last, now);
        for (name, answer) in &admission.admitted.answers {
            let kept = last.answers.get(name) == Some(answer);
            let fine = |a: &IpAddr| policy.rules.allowed_ranges.iter().any(|r| r.contains(a));
            prop_assert!(kept || answer.addresses.iter().chain(&answer.standby).all(fine), "{name}: {answer:?}");
            prop_assert!(kept || answer.standby.iter().all(|a| !answer.addresses.contains(a)));
            prop_assert!(!answer.addresses.is_empty());
            prop_assert!(policy.rules.names.contains(name) || last.answers.contains_key(name));
        }
        for name in last.answers.keys() {
            let withdrawn = plan.withdrawn.contains_key(name);
            prop_assert!(withdrawn || admission.admitted.answers.contains_key(name), "{name} is gone");
        }
    }

    #[test]
    fn any_history_ends_with_the_file_as_wanted(
        saved in proptest::option::of(kept()),
        steps in proptest::collection::vec((0..8u8, plans(), files(), 0..200_000u64), 0..12),
    ) {
        let all = BTreeSet::from(["a.x", "b.x", "c.x"].map(|n| n.parse().unwrap()));
        let recalled = saved.map_or(Recalled::Nothing, Recalled::Own);
        let mut core = Core::new(Arc::new(policy(all.clone())), ThisHost::default(), recalled, Boottime::default());
        let mut file = b"127.0.0.1 localhost".to_vec();
        let mut at = Duration::ZERO;
        let mut seen = BTreeSet::new();
        let mut withdrawn = false;
        for (kind, plan, other, millis) in steps {
            at += Duration::from_millis(millis);
            let input = match kind {
                0 | 1 => {
                    withdrawn |= !plan.withdrawn.is_empty();
                    Input::Handover(Ok(Some(hand_over(&plan))))
                }
                2 => Input::Handover(Err("bad".into())),
                3 => {
                    file = other;
                    Input::FileTouched
                }
                4 => Input::Policy(Arc::new(HostsPolicy { publish: millis % 2 == 0, ..policy(all.clone()) })),
                5 => Input::NotSaved,
                6 => Input::AgentLiveness((millis % 3 == 0).then(|| sign(millis))),
                _ => Input::Tick,
            };
            drive(&mut core, &mut file, at, input, millis % 5 == 0);
            seen.extend(core.wanted().entries.keys().cloned());
        }
        // Left alone and switched on, everything settles.
        drive(&mut core, &mut file, at, Input::Policy(Arc::new(policy(all.clone()))), false);
        for _ in 0..50 {
            let Some(wake) = core.wake_at() else { break };
            at = at.max(wake.0);
            drive(&mut core, &mut file, at, Input::Tick, false);
        }
        let refused = core.receipt(Now::default()).error == Some(PublishErrorKind::UnclearMarkers);
        if refused {
            prop_assert!(block::splice(&file, core.wanted(), None).is_err(), "it says so for as long as it is so");
        } else if !core.wanted().entries.is_empty() {
            prop_assert!(matches!(block::present(&file), Present::Whole(b) if b.same_pairs(core.wanted())));
        }
        let kept = |n: &HostName| core.wanted().entries.contains_key(n) || !all.contains(n);
        prop_assert!(withdrawn || seen.iter().all(kept), "a name got lost");
    }
}

/// One look at the file, as the writer's.
fn look(file: &mut Vec<u8>, job: &Job) -> Result<Asserted, AssertError> {
    let found = block::present(file);
    let spliced = block::splice(file, &job.wanted, job.own.as_ref());
    let spliced = spliced.map_err(|e| failed(PublishErrorKind::UnclearMarkers, e.to_string()))?;
    let (new, gathered) = (spliced.file.into_owned(), spliced.gathered);
    let change = if new == *file { Change::Unchanged } else { Change::Written };
    *file = new;
    let shadowed = shadow::shadowed(file, job.wanted.entries.keys());
    let own = OwnLines::of(&job.wanted, file);
    Ok(Asserted { shadowed, own, gathered, ..Asserted::new(found, change) })
}

fn failed(kind: PublishErrorKind, detail: String) -> AssertError {
    AssertError { kind, detail, own: OwnLines::default() }
}

/// Feeds one event to the core and carries its jobs out on `file`.
fn drive(core: &mut Core, file: &mut Vec<u8>, at: Duration, input: Input, fail: bool) {
    let now = Now { boottime: Boottime(at), wall: Wall(0) };
    let mut inputs = vec![input];
    let mut turns = 0;
    while let Some(input) = inputs.pop() {
        turns += 1;
        assert!(turns < 10, "the core never rests");
        for action in core.step(input, now) {
            let Action::Assert(job) = action else { continue };
            if fail {
                inputs.push(Input::Asserted(Err(failed(PublishErrorKind::Io, "no".to_owned()))));
                continue;
            }
            inputs.push(Input::Asserted(look(file, &job)));
        }
    }
}
