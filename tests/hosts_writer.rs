//! The writer's loop on real files, and the way of a plan from the publisher to the receipt.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use privatelinkd::config::Families;
use privatelinkd::model::{
    Answer, AnswerReason, Boottime, EventKind, Identity, Plan, PlanState, PublishErrorKind, Receipt, Receipts, Verdict,
};
use privatelinkd::publish::hosts::writer::{self, Given, Here, Setup};
use privatelinkd::publish::hosts::{HostsPolicy, file, handover, inspect};
use privatelinkd::publish::receipts::ReceiptFollower;
use privatelinkd::publish::{self, HostsPublisher};
use privatelinkd::sys::clock::Clock;
use privatelinkd::sys::heartbeat::Stages;
use privatelinkd::sys::identity::boot_id;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

const FOREIGN: &[u8] = b"127.0.0.1 localhost\n\xff\xfe caf\xe9 \x00\n# no newline at the end";

struct Host {
    dir: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let host = Self { dir: tempfile::tempdir().unwrap() };
        for dir in ["etc", "run"] {
            std::fs::create_dir(host.dir.path().join(dir)).unwrap();
        }
        std::fs::write(host.hosts(), FOREIGN).unwrap();
        host
    }
    fn hosts(&self) -> PathBuf {
        self.dir.path().join("etc/hosts")
    }
    fn run_dir(&self) -> PathBuf {
        self.dir.path().join("run")
    }
    fn policy(&self) -> HostsPolicy {
        HostsPolicy {
            publish: true,
            names: ["a.x", "b.x"].iter().map(|n| n.parse().unwrap()).collect(),
            allowed_ranges: vec!["10.0.0.0/8".parse().unwrap()],
            families: Families { ipv4: true, ipv6: false },
            path: self.hosts(),
            reassert_interval: Duration::from_secs(5),
            removal_grace: Duration::from_secs(600),
            agent_run_dir: self.run_dir(),
            agent_lost_after: Duration::from_secs(120),
            endpoint_ids: Default::default(),
            run_dir: self.dir.path().join("run-hosts"),
            state_dir: self.dir.path().join("state"),
        }
    }
    fn hand_over(&self, plan: &Plan) {
        handover::write(&self.run_dir(), &handover::make(plan, &boot_id(), &Identity::default())).unwrap();
    }
    fn text(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.hosts()).unwrap_or_default()).into_owned()
    }
    fn receipt(&self) -> Option<Receipt> {
        handover::read_receipt(&self.policy().run_dir).unwrap()
    }
    fn start(&self) -> Running {
        let (settings, receiver) = watch::channel(Arc::new(self.policy()));
        let token = CancellationToken::new();
        let setup = Setup {
            policies: Given::new(receiver),
            here: Here::of_this_machine(),
            clock: Clock::System,
            beat: Stages::new(Clock::System).add("hosts", Duration::MAX),
            receipts: watch::Sender::default(),
        };
        let receipts = setup.receipts.subscribe();
        let task = tokio::spawn(writer::run(setup, token.clone()));
        Running { settings, receipts, token, task }
    }
}

struct Running {
    settings: watch::Sender<Arc<HostsPolicy>>,
    receipts: watch::Receiver<Option<Receipt>>,
    token: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), writer::WriterError>>,
}

impl Running {
    async fn stop(self) {
        self.token.cancel();
        self.task.await.unwrap().unwrap();
    }
}

fn plan(answers: &[(&str, &[&str])]) -> Plan {
    let answer = |addresses: &[&str]| Answer {
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        standby: Vec::new(),
        reason: AnswerReason::Healthy,
    };
    let answers = answers.iter().map(|(n, a)| (n.parse().unwrap(), answer(a))).collect();
    Plan { answers, withdrawn: BTreeMap::new() }
}

/// True if the writer has this very plan in force, every name of it, without an error.
fn in_sync(plan: &Plan, receipt: &Receipt) -> bool {
    let digest = handover::digest(plan);
    let in_force = |name| receipt.verdict(name, Some(&digest)) == Verdict::Published;
    receipt.error.is_none() && plan.answers.keys().all(in_force)
}

/// Waits, with a bound that only a fault reaches.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..4_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never happened: {what}");
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
    let writer = host.start();
    until("published", || host.receipt().is_some_and(|r| in_sync(&good, &r))).await;
    let file = host.text();

    std::fs::write(handover::plan_path(&host.run_dir()), "{").unwrap();
    let error = |kind| move |r: Receipt| r.error == Some(kind);
    until("bad hand-over", || host.receipt().is_some_and(error(PublishErrorKind::BadHandover))).await;
    let bad = plan(&[("a.x", &["8.8.8.8"]), ("unknown.x", &["10.0.0.1"])]);
    host.hand_over(&bad);
    until("refused", || host.receipt().is_some_and(error(PublishErrorKind::Refused))).await;
    let (receipt, digest) = (host.receipt().unwrap(), handover::digest(&bad));
    assert!(bad.answers.keys().all(|name| receipt.verdict(name, Some(&digest)) == Verdict::Refused));
    assert_eq!(host.text(), file);

    // A policy that allows it takes effect without a new hand-over.
    let mut policy = host.policy();
    policy.allowed_ranges.push("8.0.0.0/8".parse().unwrap());
    writer.settings.send_replace(Arc::new(policy));
    until("allowed now", || host.text().contains("\n8.8.8.8 a.x\n")).await;
    std::fs::write(host.hosts(), [FOREIGN, b"\n1.1.1.1 other A.X\n"].concat()).unwrap();
    let shadowed = |r: Receipt| r.names[&"a.x".parse().unwrap()] == Verdict::Shadowed;
    until("shadowed", || host.receipt().is_some_and(shadowed)).await;
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
async fn plans_go_one_way_and_receipts_the_other() {
    let host = Host::new();
    let (sender, mut events) = mpsc::unbounded_channel();
    let (receipts, mut received) = watch::channel(Receipts::default());
    let (plans, plan_receiver) = watch::channel(PlanState::default());
    let token = CancellationToken::new();
    let follower = ReceiptFollower::new(host.policy().run_dir, Clock::System).await;
    let follower = tokio::spawn(follower.run(receipts, sender.clone(), token.clone()));
    let writer = host.start();
    let publisher = HostsPublisher::new(host.run_dir(), boot_id(), Identity::default());
    let runner = tokio::spawn(publish::run(publisher, plan_receiver, sender, Clock::System, token.clone()));

    let wanted = plan(&[("a.x", &["10.0.0.1"])]);
    plans.send_replace(PlanState { plan: Some(Arc::new(wanted.clone())), ..PlanState::default() });
    let published = |r: &Receipts| r.hosts.as_ref().is_some_and(|r| in_sync(&wanted, r));
    tokio::time::timeout(Duration::from_secs(20), received.wait_for(published)).await.unwrap().unwrap();
    let event = tokio::time::timeout(Duration::from_secs(20), events.recv()).await.unwrap().unwrap();
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
    let (events, _) = mpsc::unbounded_channel();
    let runner = tokio::spawn(publish::run(publisher, receiver, events, Clock::System, token.clone()));
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
