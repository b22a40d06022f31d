//! A folder with a hosts file and the real writer loop on it.
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use privatelinkd::model::Families;
use privatelinkd::model::{Answer, AnswerReason, Identity, Plan, Receipt};
use privatelinkd::publish::admission::AdmissionRules;
use privatelinkd::publish::hosts::file::Step;
use privatelinkd::publish::hosts::writer::{self, PolicySource, Setup, ThisHost};
use privatelinkd::publish::hosts::{HostsPolicy, handover};
use privatelinkd::sys::clock::Clock;
use privatelinkd::sys::heartbeat::Stages;
use privatelinkd::sys::identity::boot_id;
use privatelinkd::sys::in_force::Projection;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Bytes that are not ours, some of them no UTF-8, no newline at the end.
pub(crate) const FOREIGN: &[u8] = b"127.0.0.1 localhost\n\xff\xfe caf\xe9 \x00\n# no newline at the end";

/// The steps of an update, in their order.
pub(crate) const UPDATE: [Step; 12] = [
    Step::Locked,
    Step::Read,
    Step::Checked,
    Step::TempWritten,
    Step::MetadataCopied,
    Step::TempSynced,
    Step::Rechecked,
    Step::Kept,
    Step::Swapped,
    Step::Compared,
    Step::DirSynced,
    Step::ReadBack,
];

/// As if a while had passed since edits were folded in, of which a mark in this folder tells.
pub(crate) fn let_rest(records: &Path) {
    for entry in std::fs::read_dir(records).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "folded") {
            File::options().write(true).open(path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        }
    }
}

pub(crate) struct Host {
    pub(crate) dir: tempfile::TempDir,
}

impl Host {
    pub(crate) fn new() -> Self {
        let host = Self { dir: tempfile::tempdir().unwrap() };
        for dir in ["etc", "run"] {
            std::fs::create_dir(host.dir.path().join(dir)).unwrap();
        }
        std::fs::write(host.hosts(), FOREIGN).unwrap();
        host
    }
    pub(crate) fn hosts(&self) -> PathBuf {
        self.dir.path().join("etc/hosts")
    }
    pub(crate) fn run_dir(&self) -> PathBuf {
        self.dir.path().join("run")
    }
    pub(crate) fn policy(&self) -> HostsPolicy {
        HostsPolicy {
            publish: true,
            rules: AdmissionRules {
                names: ["a.x", "b.x"].iter().map(|n| n.parse().unwrap()).collect(),
                own_domains: Default::default(),
                allowed_ranges: vec!["10.0.0.0/8".parse().unwrap()],
                families: Families { ipv4: true, ipv6: false },
                removal_grace: Duration::from_secs(600),
            },
            path: self.hosts(),
            adopt: false,
            reassert_interval: Duration::from_secs(5),
            agent_run_dir: self.run_dir(),
            agent_lost_after: Duration::from_secs(120),
            in_place: privatelinkd::model::InPlace::Auto,
            run_dir: self.dir.path().join("run-hosts"),
            state_dir: self.dir.path().join("state"),
            admin_dir: self.dir.path().join("admin"),
        }
    }
    pub(crate) fn hand_over(&self, plan: &Plan) {
        handover::write(&self.run_dir(), &handover::make(plan, &boot_id(), &Identity::default())).unwrap();
    }
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.hosts()).unwrap_or_default()).into_owned()
    }
    pub(crate) fn receipt(&self) -> Option<Receipt> {
        handover::read_receipt(&self.policy().run_dir).unwrap()
    }
    /// The writer with [`Self::policy`].
    pub(crate) fn start(&self) -> Running {
        self.start_with(Projection::new(watch::channel(Arc::new(self.policy())).1, Arc::clone))
    }
    pub(crate) fn start_with(&self, policies: impl PolicySource + 'static) -> Running {
        let mut stages = Stages::new(Clock::System);
        let setup = Setup {
            policies,
            here: ThisHost::of_this_machine(),
            clock: Clock::System,
            beat: stages.add("hosts", Duration::from_secs(30)),
            receipts: watch::Sender::default(),
        };
        let (receipts, token) = (setup.receipts.subscribe(), CancellationToken::new());
        let task = tokio::spawn(writer::run(setup, token.clone()));
        Running { receipts, stages, token, task }
    }
}

pub(crate) struct Running {
    pub(crate) receipts: watch::Receiver<Option<Receipt>>,
    stages: Stages,
    token: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    /// Since its last sign of life.
    pub(crate) fn silent(&self) -> Duration {
        self.stages.read()[0].silent
    }
    pub(crate) async fn stop(self) {
        self.token.cancel();
        self.task.await.unwrap();
    }
}

pub(crate) fn plan(answers: &[(&str, &[&str])]) -> Plan {
    let answer = |addresses: &[&str]| Answer {
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        standby: Vec::new(),
        reason: AnswerReason::Healthy,
    };
    let answers = answers.iter().map(|(n, a)| (n.parse().unwrap(), answer(a))).collect();
    Plan { answers, ..Plan::default() }
}

/// Waits, with a bound that only a fault reaches.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..4_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never happened: {what}");
}
