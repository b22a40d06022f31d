//! Keeps the service manager informed: `READY=1`, `STATUS=`, `WATCHDOG=1`, `STOPPING=1`.
//!
//! The sign of life comes from here and not from a timer of its own: it is given only while no stage is overdue, so a
//! process that runs and does not work is started anew (B12).

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::model::shown::escaped;
use crate::sys::heartbeat::Stages;
use crate::sys::service_manager::{ServiceManager, Word};

/// Ready in any case after this (B12): what waits for us must not wait for ever. The status then says what is wrong.
const READY_AT_LATEST: Duration = Duration::from_secs(10);
/// Between two sentences at least.
const PAUSE: Duration = Duration::from_secs(1);

/// What the process says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceStatus {
    /// Whether it does what it is for.
    pub ready: bool,
    /// Its state in a sentence.
    pub status: String,
    /// Reloads so far; one more ends a reload.
    pub reloads: u64,
}

/// What has been told so far.
#[derive(Debug, Default)]
struct Told(ServiceStatus);

impl Told {
    /// What is new. `late` once [`READY_AT_LATEST`] is over.
    fn news(&mut self, report: &ServiceStatus, late: bool) -> Vec<Word> {
        let mut words = Vec::new();
        let ready = self.0.ready || report.ready || late;
        if ready && (!self.0.ready || report.reloads != self.0.reloads) {
            words.push(Word::Ready);
        }
        if report.status != self.0.status {
            // `systemctl status` prints it as it is, and a second line would be a word of its own to the manager.
            words.push(Word::Status(escaped(&report.status)));
        }
        self.0 = ServiceStatus { ready, ..report.clone() };
        words
    }
}

/// When which word is due. No sentence holds up a sign of life.
#[derive(Debug)]
struct Appointments {
    told: Told,
    late_at: Instant,
    quiet_until: Instant,
    alive_at: Instant,
    alive_interval: Option<Duration>,
}

impl Appointments {
    fn new(now: Instant, alive_interval: Option<Duration>) -> Self {
        let late_at = now + READY_AT_LATEST;
        Self { told: Told::default(), late_at, quiet_until: now, alive_at: now, alive_interval }
    }

    /// What is to be told now; `well` while no stage is overdue.
    fn words(&mut self, now: Instant, report: &ServiceStatus, well: bool) -> Vec<Word> {
        let mut words = Vec::new();
        if now >= self.quiet_until {
            words = self.told.news(report, now >= self.late_at);
            // Who waits for readiness waits for it alone.
            if !words.is_empty() && self.told.0.ready {
                self.quiet_until = now + PAUSE;
            }
        }
        if let Some(interval) = self.alive_interval.filter(|_| now >= self.alive_at) {
            self.alive_at = now + interval;
            words.extend(well.then_some(Word::Alive));
        }
        words
    }

    /// When something is due without news.
    fn next(&self) -> Option<Instant> {
        let late = (!self.told.0.ready).then_some(self.late_at);
        let alive = self.alive_interval.map(|_| self.alive_at);
        late.into_iter().chain(alive).min()
    }
}

/// Runs until cancelled; says then that the end has begun.
pub async fn run(
    manager: ServiceManager,
    mut reports: watch::Receiver<ServiceStatus>,
    stages: Stages,
    token: CancellationToken,
) {
    let mut appointments = Appointments::new(Instant::now(), manager.alive_interval());
    loop {
        // Not marked as seen: what a pause holds back is news when it is over.
        let report = reports.borrow().clone();
        let well = stages.read().iter().all(|s| !s.is_overdue());
        let words = appointments.words(Instant::now(), &report, well);
        if let Err(error) = manager.tell(words).await {
            tracing::warn!(%error, "the service manager can't be told");
        }
        tokio::select! {
            () = token.cancelled() => break,
            () = news(&mut reports, appointments.quiet_until) => {}
            () = until(appointments.next()) => {}
        }
    }
    let _ = manager.tell(vec![Word::Stopping, Word::Status("stopping".to_owned())]).await;
}

/// Ends when there is another report, and the time for it.
async fn news(reports: &mut watch::Receiver<ServiceStatus>, quiet_until: Instant) {
    sleep_until(quiet_until).await;
    if reports.changed().await.is_err() {
        // Who reports ends only with the process.
        std::future::pending::<()>().await;
    }
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

    fn report(ready: bool, status: &str, reloads: u64) -> ServiceStatus {
        ServiceStatus { ready, status: status.to_owned(), reloads }
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
    fn a_sentence_is_one_word_that_no_terminal_obeys() {
        let said = Told::default().news(&report(false, "degraded: a\nMAINPID=1\u{1b}[2J\u{202e}", 0), false);
        assert_eq!(said, [Word::Status(r"degraded: a\nMAINPID=1\u{1b}[2J\u{202e}".to_owned())]);
    }

    #[test]
    fn late_is_ready_too_and_says_what_is_wrong() {
        let mut told = Told::default();
        assert_eq!(told.news(&report(false, "", 0), false), []);
        let late = told.news(&report(false, "degraded: no word from the writer yet", 0), true);
        assert_eq!(late, [Word::Ready, Word::Status("degraded: no word from the writer yet".to_owned())]);
    }

    #[test]
    fn sentences_come_a_second_apart_and_signs_of_life_in_their_time() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let status = |s: &str| Word::Status(s.to_owned());
        let mut appointments = Appointments::new(start, Some(Duration::from_secs(2)));
        let first = appointments.words(at(0), &report(true, "fine", 0), true);
        assert_eq!(first, [Word::Ready, status("fine"), Word::Alive]);
        assert_eq!(appointments.words(at(1500), &report(true, "bad", 0), true), [status("bad")]);
        assert_eq!(appointments.next(), Some(at(2000)));
        assert_eq!(appointments.words(at(2000), &report(true, "worse", 0), true), [Word::Alive]);
        assert_eq!(appointments.words(at(2499), &report(true, "worse", 0), true), []);
        assert_eq!(appointments.words(at(2500), &report(true, "worse", 0), true), [status("worse")]);
        assert_eq!(appointments.words(at(4000), &report(true, "worse", 0), false), []);
        assert_eq!(appointments.next(), Some(at(6000)));
    }
}
