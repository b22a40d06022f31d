//! The composition root of `hosts run`: the hosts writer as a process of its own, which owns the file and faces
//! nothing.
//!
//! The rules and the file work are [`crate::publish::hosts`]'s. Here are only the wires: where its policy comes from,
//! who hears what it did, and the reload that it hardly needs, since it reads the config by itself when that changes.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::config::{self, Environment};
use crate::daemon::service::{self, ServiceStatus};
use crate::daemon::sole::{Claim, Role};
use crate::daemon::supervise::Supervisor;
use crate::daemon::{Fault, Orders};
use crate::model::{EventKind, LogLevel, Receipt, Verdict};
use crate::observe::text_table::count;
use crate::observe::{Build, events};
use crate::publish::hosts::policy::{Folders, HostsPolicy};
use crate::publish::hosts::receipts::receipt_events;
use crate::publish::hosts::writer::{self, ClaimFolders, FromConfig, PolicySource, ThisHost};
use crate::sys::blocking::blocking;
use crate::sys::clock::Clock;
use crate::sys::event_queue::{self, EventSender};
use crate::sys::heartbeat::Stages;
use crate::sys::lock::lock;
use crate::sys::log_queue::LogQueue;
use crate::sys::service_manager::ServiceManager;

/// How long the writer may be silent before it counts as stuck. It gives a sign of life every 5 s.
const SILENCE: Duration = Duration::from_secs(20);
/// How long it may take to end. The file is whole at every instant (B9).
const DRAIN: Duration = Duration::from_secs(2);

/// What a writer's process is started with.
#[derive(Debug)]
pub struct Options {
    /// The main config file.
    pub path: PathBuf,
    /// What the check needs to know of the machine.
    pub environment: Environment,
    /// Overrides `[log].level`.
    pub level: Option<LogLevel>,
    /// Where the log goes.
    pub log: LogQueue,
    /// Who is told how it goes.
    pub service: ServiceManager,
    /// The folders that are claimed already.
    pub claim: Claim,
}

/// Runs the hosts writer until it is told to stop.
///
/// # Errors
/// A stage that ended by itself.
pub async fn run(options: Options, orders: Orders) -> Result<(), Fault> {
    let clock = Clock::System;
    let mut supervisor = Supervisor::new(orders.stop);
    let token = supervisor.token();
    let mut stages = Stages::new(clock);
    let beat = stages.add("hosts", SILENCE);
    let (receipts, told) = watch::channel(None);
    let (said, report) = watch::channel(ServiceStatus::default());
    let (sender, heard) = event_queue::queue();
    sender.tell(clock.now(), EventKind::Started { version: Build::THIS.version });
    let claim = claiming(options.claim, sender.clone(), clock);
    let policies = Reloadable {
        policies: follow(options.path, options.environment, claim).await,
        reload: orders.reload,
        said: said.clone(),
    };
    let setup = writer::Setup { policies, here: ThisHost::of_this_machine(), clock, beat, receipts };
    supervisor.add("hosts", writer::run(setup, token.clone()));
    supervisor.add("report", tell(told, said, sender, clock, token.clone()));
    supervisor.add("service", service::run(options.service, report, stages, token));
    let over = CancellationToken::new();
    let log = tokio::spawn(events::run(heard, watch::Sender::default(), over.clone()));
    let result = supervisor.run(DRAIN).await;
    over.cancel();
    // Its queue is short; more than a moment is a fault that must not hold up the stop.
    let _ = tokio::time::timeout(Duration::from_millis(200), log).await;
    result
}

async fn follow(path: PathBuf, environment: Environment, claim: ClaimFolders) -> FromConfig {
    let at = path.clone();
    let found = blocking(move || config::folders(&at)).await;
    let folders = Folders {
        agent_run_dir: found.run_dir,
        run_dir: found.hosts_run_dir,
        state_dir: found.hosts_state_dir,
        admin_dir: found.admin_dir,
    };
    FromConfig::new(path, environment, folders, claim).await
}

/// Claims the folders that a config names after the start, beside those that are claimed.
fn claiming(claim: Claim, events: EventSender, clock: Clock) -> ClaimFolders {
    let claim = Mutex::new(claim);
    Arc::new(move |policy| {
        let mut claim = lock(&claim);
        let known = claim.unlocked().len();
        claim.add(Role::Writer, &policy.run_dir, &policy.state_dir).map_err(|another| another.to_string())?;
        for what in &claim.unlocked()[known..] {
            events.tell(clock.now(), EventKind::NotLocked { what: what.clone() });
        }
        Ok(())
    })
}

/// Policies that are read again on SIGHUP, too.
struct Reloadable {
    policies: FromConfig,
    reload: mpsc::Receiver<()>,
    said: watch::Sender<ServiceStatus>,
}

impl PolicySource for Reloadable {
    fn current(&self) -> Arc<HostsPolicy> {
        self.policies.current()
    }

    async fn changed(&mut self) {
        tokio::select! {
            () = self.policies.changed() => {}
            Some(()) = self.reload.recv() => self.said.send_modify(|report| report.reloads += 1),
        }
    }

    async fn reread(&mut self) {
        self.policies.reread().await;
    }

    fn trouble(&self) -> Option<String> {
        self.policies.trouble()
    }
}

/// Turns receipts into log lines and into what the service manager is told, until cancelled.
async fn tell(
    mut told: watch::Receiver<Option<Receipt>>,
    said: watch::Sender<ServiceStatus>,
    events: EventSender,
    clock: Clock,
    token: CancellationToken,
) {
    let mut last: Option<Receipt> = None;
    loop {
        tokio::select! {
            () = token.cancelled() => break,
            Ok(()) = told.changed() => {}
        }
        let Some(receipt) = told.borrow_and_update().clone() else { continue };
        for kind in receipt_events(last.as_ref(), &receipt) {
            events.tell(clock.now(), kind);
        }
        said.send_modify(|report| (report.ready, report.status) = (true, sentence(&receipt)));
        last = Some(receipt);
    }
    events.tell(clock.now(), EventKind::Stopping);
}

/// One true sentence about the latest work.
fn sentence(receipt: &Receipt) -> String {
    if let Some(error) = &receipt.error_detail {
        return format!("degraded: {error}");
    }
    let with = |verdict: Verdict| receipt.names.values().filter(|v| **v == verdict).count();
    let names = match receipt.names.len() {
        0 => return "no name to publish".to_owned(),
        n => count(n, "name"),
    };
    match (receipt.in_conflict, with(Verdict::AgentLost), with(Verdict::Pending)) {
        (true, ..) => "degraded: somebody keeps removing the block, or puts its names back beside it".to_owned(),
        (false, 1.., _) => format!("degraded: the agent gives no sign of life; {names} kept with standby addresses"),
        (false, 0, 0) if with(Verdict::Unreadable) > 0 => {
            format!("degraded: {names} published in a file that not every user may read")
        }
        (false, 0, 0) => format!("{names} published, {}", count(receipt.writes, "write")),
        (false, 0, n) => format!("{n} of {names} not written yet"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::limits::CapCounts;
    use crate::model::{HANDOVER_FORMAT, PublishErrorKind, Wall};

    fn receipt(verdicts: &[Verdict]) -> Receipt {
        let name = |(i, v): (usize, &Verdict)| (format!("n{i}.x").parse().unwrap(), *v);
        Receipt {
            format: HANDOVER_FORMAT,
            digest: None,
            at: Wall(0),
            names: verdicts.iter().enumerate().map(name).collect(),
            changed: true,
            error: None,
            error_detail: None,
            writes: 3,
            failed_writes: 0,
            conflicts: 0,
            in_conflict: false,
            removed: None,
            left_out: BTreeMap::new(),
            shadowing: BTreeMap::new(),
            rewriters: Vec::new(),
            capped: CapCounts::default(),
            notices: Vec::new(),
        }
    }

    #[test]
    fn the_sentence_says_the_worst() {
        let said = |verdicts: &[Verdict]| sentence(&receipt(verdicts));
        assert_eq!(said(&[]), "no name to publish");
        assert_eq!(said(&[Verdict::Published, Verdict::Shadowed]), "2 names published, 3 writes");
        let once = Receipt { writes: 1, ..receipt(&[Verdict::Published]) };
        assert_eq!(sentence(&once), "1 name published, 1 write");
        let unreadable = "degraded: 1 name published in a file that not every user may read";
        assert_eq!(said(&[Verdict::Unreadable]), unreadable);
        assert_eq!(said(&[Verdict::Published, Verdict::Pending]), "1 of 2 names not written yet");
        assert!(said(&[Verdict::AgentLost]).contains("no sign of life"));
        let failed = Receipt {
            error: Some(PublishErrorKind::Io),
            error_detail: Some("disk full".to_owned()),
            ..receipt(&[Verdict::Pending])
        };
        assert_eq!(sentence(&failed), "degraded: disk full");
    }
}
