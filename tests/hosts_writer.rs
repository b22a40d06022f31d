//! The writer's loop on real files, and the way of a plan from the publisher to the receipt.
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use privatelinkd::model::{
    Boottime, EventKind, Identity, Plan, PlanState, PublishErrorKind, Receipt, Receipts, Verdict,
};
use privatelinkd::publish;
use privatelinkd::publish::hosts::publisher::HostsPublisher;
use privatelinkd::publish::hosts::receipts::ReceiptFollower;
use privatelinkd::publish::hosts::{HostsPolicy, block, file, handover, inspect};
use privatelinkd::sys::clock::Clock;
use privatelinkd::sys::event_queue::{self, EventSender};
use privatelinkd::sys::heartbeat::Stages;
use privatelinkd::sys::identity::boot_id;
use privatelinkd::sys::in_force::Projection;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::hosts_rig::{FOREIGN, Host, plan, until};

/// True if the writer has this very plan in force, every name of it, without an error.
fn in_sync(plan: &Plan, receipt: &Receipt) -> bool {
    let digest = plan.digest();
    let in_force = |name| receipt.verdict(name, Some(&digest)) == Verdict::Published;
    receipt.error.is_none() && plan.answers.keys().all(in_force)
}

#[tokio::test]
async fn a_plan_becomes_a_block_a_receipt_and_a_last_known_good() {
    let host = Host::new();
    let writer = host.start();
    let first = plan(&[("a.x", &["10.0.0.1", "10.0.0.2"])]);
    host.hand_over(&first);
    until("in sync", || host.receipt().is_some_and(|r| in_sync(&first, &r))).await;
    let file = std::fs::read(host.hosts()).unwrap();
    assert!(file.starts_with(FOREIGN));
    assert!(host.text().contains("\n10.0.0.1 a.x\n10.0.0.2 a.x\n"));
    assert_eq!(std::fs::read(host.policy().state_dir.join("hosts.orig")).unwrap(), FOREIGN);

    let second = plan(&[("a.x", &["10.0.0.2"])]);
    host.hand_over(&second);
    until("moved", || host.receipt().is_some_and(|r| in_sync(&second, &r))).await;
    assert!(!host.text().contains("10.0.0.1 "));
    assert_eq!(std::fs::read(host.policy().state_dir.join("hosts.orig")).unwrap(), FOREIGN, "kept once");
    writer.stop().await;

    // The next start has no hand-over, and the block was lost meanwhile.
    std::fs::remove_file(handover::plan_path(&host.run_dir())).unwrap();
    std::fs::write(host.hosts(), "new\n").unwrap();
    let writer = host.start();
    until("asserted from the last known good", || host.text().contains("\n10.0.0.2 a.x\n")).await;
    writer.stop().await;
}

#[tokio::test]
async fn a_block_that_somebody_takes_out_comes_back() {
    let host = Host::new();
    host.hand_over(&plan(&[("a.x", &["10.0.0.1"])]));
    let writer = host.start();
    let there = || host.text().contains("\n10.0.0.1 a.x\n");
    until("published", there).await;
    // In place, by a rename, and by removing the file.
    std::fs::write(host.hosts(), "in place\n").unwrap();
    until("back", there).await;
    assert!(host.text().starts_with("in place\n"));
    let other = host.dir.path().join("etc/other");
    std::fs::write(&other, "renamed\n").unwrap();
    std::fs::rename(&other, host.hosts()).unwrap();
    until("back again", there).await;
    assert!(host.text().starts_with("renamed\n"));
    std::fs::remove_file(host.hosts()).unwrap();
    until("back a third time", there).await;
    until("the conflict is told", || host.receipt().is_some_and(|r| r.in_conflict && r.conflicts == 1)).await;
    assert_eq!(host.receipt().unwrap().names[&"a.x".parse().unwrap()], Verdict::Conflict);
    writer.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_told_and_the_block_stays() {
    let host = Host::new();
    let good = plan(&[("a.x", &["10.0.0.1"])]);
    host.hand_over(&good);
    let (settings, policies) = watch::channel(Arc::new(host.policy()));
    let writer = host.start_with(Projection::new(policies, Arc::clone));
    until("published", || host.receipt().is_some_and(|r| in_sync(&good, &r))).await;
    let file = host.text();

    std::fs::write(handover::plan_path(&host.run_dir()), "{").unwrap();
    let error = |kind| move |r: Receipt| r.error == Some(kind);
    until("bad hand-over", || host.receipt().is_some_and(error(PublishErrorKind::BadHandover))).await;
    let bad = plan(&[("a.x", &["8.8.8.8"]), ("unknown.x", &["10.0.0.1"])]);
    host.hand_over(&bad);
    until("refused", || host.receipt().is_some_and(error(PublishErrorKind::Refused))).await;
    let (receipt, digest) = (host.receipt().unwrap(), bad.digest());
    assert!(bad.answers.keys().all(|name| receipt.verdict(name, Some(&digest)) == Verdict::Refused));
    assert_eq!(host.text(), file);

    // A policy that allows it takes effect without a new hand-over.
    let mut policy = host.policy();
    policy.rules.allowed_ranges.push("8.0.0.0/8".parse().unwrap());
    settings.send_replace(Arc::new(policy));
    until("allowed now", || host.text().contains("\n8.8.8.8 a.x\n")).await;
    std::fs::write(host.hosts(), [FOREIGN, b"\n1.1.1.1 other A.X\n"].concat()).unwrap();
    let shadowed = |r: Receipt| r.names[&"a.x".parse().unwrap()] == Verdict::Shadowed;
    until("shadowed", || host.receipt().is_some_and(shadowed)).await;
    writer.stop().await;
}

#[tokio::test]
async fn a_hosts_file_that_serves_only_root_is_told_and_keeps_its_mode() {
    let host = Host::new();
    let set_mode = |mode| std::fs::set_permissions(host.hosts(), Permissions::from_mode(mode)).unwrap();
    set_mode(0o640);
    let writer = host.start();
    host.hand_over(&plan(&[("a.x", &["10.0.0.1"])]));
    let says = |verdict| host.receipt().is_some_and(|r| r.names.get(&"a.x".parse().unwrap()) == Some(&verdict));
    until("unreadable", || says(Verdict::Unreadable)).await;
    assert!(host.text().contains("\n10.0.0.1 a.x\n"));
    assert_eq!(std::fs::metadata(host.hosts()).unwrap().permissions().mode() & 0o7777, 0o640);
    set_mode(0o644);
    until("for all users", || says(Verdict::Published)).await;
    writer.stop().await;
}

#[tokio::test]
async fn state_of_another_version_is_kept_aside_and_the_block_counts_as_last_known_good() {
    let host = Host::new();
    let state = host.policy().state_dir;
    std::fs::create_dir(&state).unwrap();
    std::fs::write(state.join("block.json"), r#"{"format":99}"#).unwrap();
    let block = "# BEGIN privatelinkd\n10.0.0.7 a.x\n# END privatelinkd\n";
    std::fs::write(host.hosts(), block).unwrap();
    let writer = host.start();
    host.hand_over(&plan(&[("b.x", &["10.0.0.1"])]));
    until("published", || host.text().contains("\n10.0.0.1 b.x\n")).await;
    assert!(host.text().contains("\n10.0.0.7 a.x\n"), "absence removes nothing");
    assert!(state.join("block.json.unusable").exists());
    assert_eq!(std::fs::read(state.join("hosts.orig")).unwrap(), b"", "without our block");
    writer.stop().await;
}

/// A hostile agent writes plans as fast as it can and touches its sign of life in between.
#[tokio::test]
async fn a_flood_of_plans_costs_ten_writes_and_then_one_a_second() {
    let host = Host::new();
    let writer = host.start();
    host.hand_over(&plan(&[("a.x", &["10.0.0.1"])]));
    until("the first plan", || host.text().contains("10.0.0.1 a.x")).await;
    let now = || Clock::System.now().boottime;
    let began = now();
    let mut plans = 0;
    while now().since(began) < Duration::from_secs(3) {
        plans += 1;
        host.hand_over(&plan(&[("a.x", &[&format!("10.1.{}.{}", plans / 250, plans % 250)])]));
        handover::touch_alive(&host.run_dir()).unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let took = now().since(began).as_secs();
    let writes = host.receipt().unwrap().writes;
    assert!(plans > 50 && writes <= 11 + took + 1, "{writes} writes for {plans} plans in {took} s");
    let latest = format!("10.1.{}.{} a.x", plans / 250, plans % 250);
    until("the latest plan", || host.text().contains(&latest)).await;
    writer.stop().await;
}

/// What an earlier version wrote and then refused to read, for good.
#[tokio::test]
async fn a_hosts_file_that_names_have_outgrown_shrinks_again() {
    let host = Host::new();
    let label = ["x".repeat(60), "y".repeat(60), "z".repeat(60)].join(".");
    let names: Vec<String> = (0..175_000).map(|n| format!("n{n}.{label}")).collect();
    let flood = plan(&names.iter().map(|n| (n.as_str(), &["10.0.0.1"][..])).collect::<Vec<_>>());
    let entries = flood
        .answers
        .iter()
        .map(|(name, answer)| (name.clone(), answer.into()))
        .collect::<std::collections::BTreeMap<_, _>>();
    let overgrown = block::splice(FOREIGN, &block::Block::from(entries), None).unwrap().file.into_owned();
    assert!(overgrown.len() as u64 > file::MAX_FILE);
    std::fs::write(host.hosts(), &overgrown).unwrap();
    host.hand_over(&plan(&[("a.x", &["10.0.0.1"])]));
    // By hand as well as by itself.
    let receipt = inspect::apply_once(&host.policy(), Clock::System).unwrap();
    assert_eq!((receipt.error, receipt.changed), (None, true), "{:?}", receipt.error_detail);
    let mended = host.text();
    assert!(mended.len() < 1000 && mended.contains("10.0.0.1 a.x"), "{} bytes", mended.len());
    std::fs::write(host.hosts(), overgrown).unwrap();
    std::fs::remove_dir_all(host.policy().state_dir).unwrap();
    let writer = host.start();
    until("the block alone", || host.text() == mended).await;
    writer.stop().await;
}

#[tokio::test]
async fn the_writer_copes_with_folders_that_come_later() {
    let host = Host::new();
    std::fs::remove_dir(host.run_dir()).unwrap();
    let writer = host.start();
    until("the writer runs", || host.receipt().is_some()).await;
    std::fs::create_dir(host.run_dir()).unwrap();
    host.hand_over(&plan(&[("a.x", &["10.0.0.1"])]));
    until("published", || host.text().contains("\n10.0.0.1 a.x\n")).await;
    writer.stop().await;
}

#[tokio::test]
async fn emptied_run_folders_fill_again() {
    let host = Host::new();
    let writer = host.start();
    let first = plan(&[("a.x", &["10.0.0.1"])]);
    host.hand_over(&first);
    until("published", || host.receipt().is_some_and(|r| in_sync(&first, &r))).await;
    std::fs::remove_dir_all(host.policy().run_dir).unwrap();
    std::fs::remove_dir_all(host.run_dir()).unwrap();
    until("the receipt is back", || host.receipt().is_some_and(|r| in_sync(&first, &r))).await;
    assert!(host.text().contains("\n10.0.0.1 a.x\n"), "a plan that is gone is no news");

    std::fs::create_dir(host.run_dir()).unwrap();
    std::fs::remove_dir_all(host.policy().run_dir).unwrap();
    let second = plan(&[("a.x", &["10.0.0.2"])]);
    host.hand_over(&second);
    until("the plan in the new folder is seen", || host.text().contains("\n10.0.0.2 a.x\n")).await;
    until("and told", || host.receipt().is_some_and(|r| in_sync(&second, &r))).await;
    writer.stop().await;
}

#[tokio::test]
async fn a_receipt_that_cant_be_written_is_told_all_the_same() {
    let host = Host::new();
    let mut writer = host.start();
    let first = plan(&[("a.x", &["10.0.0.1"])]);
    host.hand_over(&first);
    until("published", || host.receipt().is_some_and(|r| in_sync(&first, &r))).await;
    // A folder in the place of the receipt stays in the way.
    let path = handover::receipt_path(&host.policy().run_dir);
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let second = plan(&[("a.x", &["10.0.0.2"])]);
    host.hand_over(&second);
    let told = writer.receipts.wait_for(|r| r.as_ref().is_some_and(|r| in_sync(&second, r)));
    tokio::time::timeout(Duration::from_secs(20), told).await.unwrap().unwrap();
    std::fs::remove_dir(&path).unwrap();
    until("the way is free", || host.receipt().is_some_and(|r| in_sync(&second, &r))).await;
    writer.stop().await;
}

#[tokio::test]
async fn a_silent_agents_standby_addresses_come_and_go() {
    let host = Host::new();
    let policy = HostsPolicy { agent_lost_after: Duration::from_secs(1), ..host.policy() };
    let mut wanted = plan(&[("a.x", &["10.0.0.1"])]);
    wanted.answers.values_mut().for_each(|a| a.standby = vec!["10.0.0.2".parse().unwrap()]);
    host.hand_over(&wanted);
    handover::touch_alive(&host.run_dir()).unwrap();
    let writer = host.start_with(Projection::new(watch::channel(Arc::new(policy)).1, Arc::clone));
    until("published", || host.text().contains("\n10.0.0.1 a.x\n# END")).await;
    let lost = "\n# a.x: agent_lost\n10.0.0.1 a.x\n10.0.0.2 a.x\n# END";
    until("the agent is lost", || host.text().contains(lost)).await;
    let verdict = |v: Verdict| host.receipt().is_some_and(|r| r.names[&"a.x".parse().unwrap()] == v);
    until("told", || verdict(Verdict::AgentLost)).await;
    handover::touch_alive(&host.run_dir()).unwrap();
    until("the agent is back", || host.text().contains("\n# a.x: healthy\n10.0.0.1 a.x\n# END")).await;
    until("told again", || verdict(Verdict::Published)).await;
    writer.stop().await;
    // A writer that starts anew goes by the age of the sign.
    let alive = std::fs::File::options().write(true).open(handover::alive_path(&host.run_dir())).unwrap();
    alive.set_modified(std::time::UNIX_EPOCH).unwrap();
    let diff = inspect::diff(&Arc::new(host.policy()), Clock::System).unwrap();
    assert!(diff.contains("\n+10.0.0.2 a.x\n"), "judged as the writer would: {diff}");
    let writer = host.start();
    until("lost from the start", || verdict(Verdict::AgentLost)).await;
    writer.stop().await;
}

#[tokio::test]
async fn what_another_machine_left_in_the_image_goes() {
    let host = Host::new();
    let state = host.policy().state_dir;
    std::fs::create_dir(&state).unwrap();
    let foreign = r#"{"format":1,"identity":{"machine_id":"another"},"entries":{"a.x":{"addresses":["10.0.0.7"],"reason":"healthy"}}}"#;
    std::fs::write(state.join("block.json"), foreign).unwrap();
    let block = "# BEGIN privatelinkd\n10.0.0.7 a.x\n# END privatelinkd\n";
    std::fs::write(host.hosts(), [FOREIGN, b"\n", block.as_bytes()].concat()).unwrap();
    let diff = inspect::diff(&Arc::new(host.policy()), Clock::System).unwrap();
    assert!(diff.contains("\n-10.0.0.7 a.x\n"), "{diff}");
    let writer = host.start();
    until("gone", || !host.text().contains("privatelinkd")).await;
    assert_eq!(std::fs::read(host.hosts()).unwrap(), [FOREIGN, b"\n"].concat());
    until("it is ours now", || !std::fs::read_to_string(state.join("block.json")).unwrap().contains("another")).await;
    writer.stop().await;

    let elsewhere = Identity { machine_id: Some("another".into()), ..Identity::default() };
    handover::write(&host.run_dir(), &handover::make(&plan(&[("a.x", &["10.0.0.7"])]), &boot_id(), &elsewhere))
        .unwrap();
    for error in [
        inspect::diff(&Arc::new(host.policy()), Clock::System).unwrap_err().to_string(),
        inspect::apply_once(&host.policy(), Clock::System).unwrap_err().to_string(),
    ] {
        assert!(error.ends_with("plan.json: written on another machine: machine id differs"), "{error}");
    }
}

#[test]
fn a_hanging_file_operation_stops_the_signs_of_life() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let host = Host::new();
        let writer = host.start();
        until("started", || host.receipt().is_some()).await;
        let touch = || handover::touch_alive(&host.run_dir()).unwrap();
        // The only thread for file operations hangs.
        let (let_go, hangs) = std::sync::mpsc::channel::<()>();
        let hanging = tokio::task::spawn_blocking(move || hangs.recv());
        for _ in 0..30 {
            touch();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(writer.silent() > Duration::from_secs(1), "{:?}", writer.silent());
        drop(let_go);
        let _ = hanging.await.unwrap();
        until("it lives again", || {
            touch();
            writer.silent() < Duration::from_millis(500)
        })
        .await;
        writer.stop().await;
    });
}

#[tokio::test]
async fn plans_go_one_way_and_receipts_the_other() {
    let host = Host::new();
    let (sender, mut events) = event_queue::queue();
    let (receipts, mut received) = watch::channel(Receipts::default());
    let (plans, plan_receiver) = watch::channel(PlanState::default());
    let token = CancellationToken::new();
    let follower = ReceiptFollower::new(host.policy().run_dir, Clock::System).await;
    let follower = tokio::spawn(follower.run(receipts, sender.clone(), token.clone()));
    let writer = host.start();
    let publisher = HostsPublisher::new(host.run_dir(), boot_id(), Identity::default());
    let runner = runner(publisher, plan_receiver, sender, &token);

    let wanted = plan(&[("a.x", &["10.0.0.1"])]);
    plans.send_replace(PlanState { plan: Some(Arc::new(wanted.clone())), ..PlanState::default() });
    let published = |r: &Receipts| r.receipt("hosts").is_some_and(|r| in_sync(&wanted, r));
    tokio::time::timeout(Duration::from_secs(20), received.wait_for(published)).await.unwrap().unwrap();
    let event = tokio::time::timeout(Duration::from_secs(20), events.queue.recv()).await.unwrap().unwrap();
    assert_eq!(event.kind, EventKind::Published { publisher: "hosts", names: 1 });
    assert!(host.run_dir().join("alive").exists());

    token.cancel();
    runner.await.unwrap();
    follower.await.unwrap();
    writer.stop().await;
}

/// Each of many plans becomes visible. Prints how long that took (`--show-output`), beside two bare fsyncs.
#[tokio::test]
async fn the_way_from_the_decision_to_the_visible_file() {
    const PLANS: usize = 60;
    let host = Host::new();
    let (plans, receiver) = watch::channel(PlanState::default());
    let token = CancellationToken::new();
    let writer = host.start();
    let publisher = HostsPublisher::new(host.run_dir(), boot_id(), Identity::default());
    let (events, _) = event_queue::queue();
    let runner = runner(publisher, receiver, events, &token);
    let (mut ways, mut syncs) = (Vec::new(), Vec::new());
    for i in 0..PLANS {
        let address = format!("10.0.0.{}", i + 1);
        let wanted = Arc::new(plan(&[("a.x", &[&address])]));
        let decided = Clock::System.now().boottime;
        plans.send_replace(PlanState { plan: Some(wanted), ..PlanState::default() });
        let (path, line) = (host.hosts(), format!("\n{address} a.x\n"));
        let seen = tokio::task::spawn_blocking(move || visible(&path, line.as_bytes())).await.unwrap();
        ways.push(seen.expect("visible within 20 s").since(decided));
        syncs.push(two_fsyncs(host.dir.path()));
    }
    for (what, mut times) in [("decision to visible file", ways), ("two fsyncs", syncs)] {
        times.sort();
        println!("{what}: median {:?}, largest {:?} of {PLANS}", times[PLANS / 2], times[PLANS - 1]);
    }
    token.cancel();
    runner.await.unwrap();
    writer.stop().await;
}

/// When the file first holds the line.
fn visible(path: &Path, line: &[u8]) -> Option<Boottime> {
    for _ in 0..100_000 {
        if std::fs::read(path).unwrap().windows(line.len()).any(|w| w == line) {
            return Some(Clock::System.now().boottime);
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    None
}

fn two_fsyncs(dir: &Path) -> Duration {
    let began = Clock::System.now().boottime;
    for name in ["one", "two"] {
        std::fs::write(dir.join(name), began.0.as_nanos().to_string()).unwrap();
        std::fs::File::open(dir.join(name)).unwrap().sync_all().unwrap();
    }
    Clock::System.now().boottime.since(began)
}

#[test]
fn the_block_can_be_shown_compared_and_applied_by_hand() {
    let host = Host::new();
    let policy = Arc::new(host.policy());
    assert_eq!(inspect::show(&host.hosts()).unwrap(), None);
    let nothing = inspect::diff(&policy, Clock::System).unwrap_err().to_string();
    assert!(nothing.contains("nothing to publish yet"), "{nothing}");
    assert!(inspect::apply_once(&policy, Clock::System).is_err());

    host.hand_over(&plan(&[("a.x", &["10.0.0.1"])]));
    let diff = inspect::diff(&policy, Clock::System).unwrap();
    assert!(diff.contains("\n+10.0.0.1 a.x\n") && diff.starts_with("--- "), "{diff}");
    assert_eq!(std::fs::read(host.hosts()).unwrap(), FOREIGN, "nothing was written");
    let receipt = inspect::apply_once(&policy, Clock::System).unwrap();
    assert_eq!((receipt.changed, receipt.error), (true, None));
    assert!(!inspect::apply_once(&policy, Clock::System).unwrap().changed);
    assert_eq!(inspect::diff(&policy, Clock::System).unwrap(), "");
    let shown = inspect::show(&host.hosts()).unwrap().unwrap();
    assert!(shown.starts_with(b"# BEGIN privatelinkd ") && shown.ends_with(b"# END privatelinkd\n"));
    assert!(file::read(&host.hosts()).unwrap().unwrap().ends_with(&shown));
}

fn runner(
    publisher: HostsPublisher,
    plan: watch::Receiver<PlanState>,
    events: EventSender,
    token: &CancellationToken,
) -> tokio::task::JoinHandle<()> {
    let clock = Clock::System;
    let beat = Stages::new(clock).add("publish", Duration::from_secs(30));
    tokio::spawn(publish::Runner { publisher, plan, events, clock, beat }.run(token.clone()))
}
