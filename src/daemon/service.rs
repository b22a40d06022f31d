//! Keeps the service manager informed: `READY=1`, `STATUS=`, `WATCHDOG=1`, `STOPPING=1`.
//!
//! The sign of life comes from here and not from a timer of its own: it is given only while no stage is overdue, so a
//! process that runs and does not work is started anew (B12).

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::sys::heartbeat::Stages;
use crate::sys::service_manager::{ServiceManager, Word};

/// Ready in any case after this (B12): what waits for us must not wait for ever. The status then says what is wrong.
const READY_AT_LATEST: Duration = Duration::from_secs(10);
/// Between two sentences at least.
const PAUSE: Duration = Duration::from_secs(1);

/// What the process says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Whether it does what it is for.
    pub ready: bool,
    /// Its state in a sentence.
    pub status: String,
    /// Reloads so far; one more ends a reload.
    pub reloads: u64,
}

/// What has been told so far.
#[derive(Debug, Default)]
struct Told {
    ready: bool,
    status: String,
    reloads: u64,
}

impl Told {
    /// What is new. `late` once [`READY_AT_LATEST`] is over.
    fn news(&mut self, report: &Report, late: bool) -> Vec<Word> {
        let mut words = Vec::new();
        let ready = self.ready || report.ready || late;
        if ready && (!self.ready || report.reloads != self.reloads) {
            words.push(Word::Ready);
        }
        if report.status != self.status {
            words.push(Word::Status(report.status.clone()));
        }
        *self = Self { ready, status: report.status.clone(), reloads: report.reloads };
        words
    }
}

/// Runs until cancelled; says then that the end has begun.
pub async fn run(
    manager: ServiceManager,
    mut reports: watch::Receiver<Report>,
    stages: Stages,
    token: CancellationToken,
) {
    let late_at = Instant::now() + READY_AT_LATEST;
    let mut told = Told::default();
    let mut alive_at = Instant::now();
    loop {
        let now = Instant::now();
        let report = reports.borrow_and_update().clone();
        let mut words = told.news(&report, now >= late_at);
        if let Some(interval) = manager.alive_interval().filter(|_| now >= alive_at) {
            alive_at = now + interval;
            words.extend(stages.read().iter().all(|s| !s.is_overdue()).then_some(Word::Alive));
        }
        // Who waits for readiness waits for it alone.
        let quiet_until = if words.is_empty() || !told.ready { now } else { now + PAUSE };
        if let Err(error) = manager.tell(words).await {
            tracing::warn!(%error, "the service manager can't be told");
        }
        let rest = async {
            sleep_until(quiet_until).await;
            let next = [(!told.ready).then_some(late_at), manager.alive_interval().map(|_| alive_at)];
            tokio::select! {
                // Who reports ends only with the process.
                Ok(()) = reports.changed() => {}
                () = until(next.into_iter().flatten().min()) => {}
            }
        };
        tokio::select! {
            () = token.cancelled() => break,
            () = rest => {}
        }
    }
    let _ = manager.tell(vec![Word::Stopping, Word::Status("stopping".to_owned())]).await;
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(ready: bool, status: &str, reloads: u64) -> Report {
        Report { ready, status: status.to_owned(), reloads }
    }

    #[test]
    fn ready_is_said_once_and_after_each_reload() {
        let mut told = Told::default();
        let status = |s: &str| Word::Status(s.to_owned());
        assert_eq!(told.news(&report(false, "starting", 0), false), [status("starting")]);
        assert_eq!(told.news(&report(false, "starting", 0), false), []);
        assert_eq!(told.news(&report(true, "fine", 0), false), [Word::Ready, status("fine")]);
        assert_eq!(told.news(&report(false, "bad", 0), true), [status("bad")]);
        assert_eq!(told.news(&report(false, "bad", 1), true), [Word::Ready]);
    }

    #[test]
    fn late_is_ready_too_and_says_what_is_wrong() {
        let mut told = Told::default();
        assert_eq!(told.news(&report(false, "", 0), false), []);
        let late = told.news(&report(false, "degraded: no word from the writer yet", 0), true);
        assert_eq!(late, [Word::Ready, Word::Status("degraded: no word from the writer yet".to_owned())]);
    }
}
