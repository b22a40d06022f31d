//! Attempts that outlive the probe that began them.
//!
//! A server that is frozen for a while finds, when it thaws, every handshake that was broken off meanwhile, and counts
//! each. So an attempt is not dropped with its probe once a server has been reached: it lives in a task of its own, the
//! probe that began it reports a timeout, and the next one joins it. What ends it is the peer, TCP when the peer is
//! gone, or we when the server has had its time (`pauses`, `server`).

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::model::Failure;
use crate::probe::dial::Deadline;
use crate::probe::faults::{local, overdue};
use crate::probe::secret_guard::Turn;
use crate::sys::lock::lock;

/// What an attempt is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// For the first login with the same secret, elsewhere, to be answered.
    Secret,
    /// For another handshake with the same server to end.
    Turn,
    /// For the TCP handshake.
    Connect,
    /// For the greeting.
    Greeting,
    /// For our own disk, where what is known of TLS with the server stands.
    Book,
    /// For the TLS handshake.
    Tls,
    /// For the answer to the login.
    Login,
    /// For the answer to a login that was never accepted, or not since it was refused.
    FirstLogin,
    /// For the result of the statement.
    Statement,
    /// For the answer to a ping.
    Ping,
}

impl Phase {
    fn unfinished(self) -> &'static str {
        match self {
            Self::Secret => Turn::AWAITED,
            Self::Turn => "an earlier handshake with this server not finished",
            Self::Connect => "no answer to the TCP handshake",
            Self::Greeting => "no greeting",
            Self::Book => "what is known of TLS with this server not read or written",
            Self::Tls => "TLS handshake not finished",
            Self::Login => "no answer to the login",
            Self::FirstLogin => {
                "the server may delay logins that may be wrong: no answer to one that was never accepted"
            }
            Self::Statement => "no result of the statement",
            Self::Ping => "no answer to a ping",
        }
    }

    /// The failure of an attempt that has waited for it so long.
    pub(super) fn overdue(self, waited: Duration) -> Failure {
        let failure = overdue(self.unfinished(), waited);
        match self {
            // They come before what a login is about.
            Self::Connect | Self::Greeting => failure.met_on_the_way(),
            // Not this target's fault. Servers hold their answers to wrong logins back on purpose
            // (`connection_control`).
            Self::Secret | Self::Book | Self::FirstLogin => local(failure.detail),
            Self::Turn | Self::Tls | Self::Login | Self::Statement | Self::Ping => failure,
        }
    }
}

/// One attempt, as it goes on.
#[derive(Debug)]
pub(super) struct Attempt {
    /// When the probe that began it has to be over.
    pub(super) deadline: Deadline,
    /// What it is waiting for.
    phase: Arc<Mutex<Phase>>,
}

impl Attempt {
    /// It now waits for this.
    pub(super) fn enter(&self, phase: Phase) {
        *lock(&self.phase) = phase;
    }

    /// True if no probe waits for the attempt any more, nor ever will.
    pub(super) fn is_abandoned(&self) -> bool {
        // The other one is with the prober.
        Arc::strong_count(&self.phase) == 1
    }
}

/// The one attempt under way, if there is one.
#[derive(Debug)]
pub(super) struct InflightAttempt<T> {
    running: tokio::sync::Mutex<Option<Running<T>>>,
    /// When the latest attempt began and what it waits for, for probes that do not wait for it; absent before the
    /// first.
    latest: Mutex<Option<Latest>>,
}

#[derive(Debug)]
struct Latest {
    began: Instant,
    phase: Weak<Mutex<Phase>>,
}

#[derive(Debug)]
struct Running<T> {
    task: JoinHandle<T>,
    phase: Arc<Mutex<Phase>>,
}

impl<T: Send + 'static> InflightAttempt<T> {
    /// None is under way.
    pub(super) fn new() -> Self {
        Self { running: tokio::sync::Mutex::new(None), latest: Mutex::new(None) }
    }

    /// What the attempt under way is waiting for.
    pub(super) fn phase(&self) -> Option<Phase> {
        let phase = lock(&self.latest).as_ref()?.phase.upgrade()?;
        Some(*lock(&phase))
    }

    /// When the attempt under way began.
    pub(super) fn began(&self) -> Option<Instant> {
        let latest = lock(&self.latest);
        latest.as_ref().filter(|latest| latest.phase.strong_count() > 0).map(|latest| latest.began)
    }

    /// The end of the attempt under way, or of a new one for a probe with this deadline. What ended before now is no
    /// evidence of now: `begin` gets it for what else it holds.
    ///
    /// # Errors
    /// A time-out, or a local failure where what is waited for says nothing of the target,
    /// when it has been waited for `patience`: the attempt goes on.
    pub(super) async fn join_or_begin(
        &self,
        patience: Duration,
        deadline: Deadline,
        begin: impl FnOnce(Option<T>, Attempt) -> JoinHandle<T>,
    ) -> Result<T, Failure> {
        let mut current = self.running.lock().await;
        let stale = match current.take_if(|running| running.task.is_finished()) {
            Some(running) => finished_task(running.task.await).ok(),
            None => None,
        };
        let running = current.get_or_insert_with(|| {
            let phase = Arc::new(Mutex::new(Phase::Turn));
            *lock(&self.latest) = Some(Latest { began: Instant::now(), phase: Arc::downgrade(&phase) });
            Running { task: begin(stale, Attempt { deadline, phase: phase.clone() }), phase }
        });
        let Ok(ended) = timeout(patience, &mut running.task).await else {
            let phase = *lock(&running.phase);
            return Err(phase.overdue(patience));
        };
        *current = None;
        finished_task(ended)
    }
}

/// A task that panicked is a fault of ours; one that was cancelled went with the runtime.
pub(super) fn finished_task<T>(ended: Result<T, tokio::task::JoinError>) -> Result<T, Failure> {
    ended.map_err(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => local("the agent is stopping"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn within(allowed: Duration) -> Deadline {
        Deadline::after(allowed)
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_attempt_is_joined_by_the_next_probe() {
        let late = InflightAttempt::new();
        let begin = |name: &'static str, stale: Option<&'static str>, progress: Attempt| {
            assert_eq!(stale, None);
            progress.enter(Phase::Login);
            tokio::spawn(async move {
                tokio::time::sleep(3 * SECOND).await;
                name
            })
        };
        let first =
            late.join_or_begin(2 * SECOND, within(2 * SECOND), |stale, progress| begin("first", stale, progress)).await;
        assert_eq!(first.unwrap_err().to_string(), "timeout: no answer to the login after 2s");
        let second = late
            .join_or_begin(2 * SECOND, within(2 * SECOND), |stale, progress| begin("second", stale, progress))
            .await;
        assert_eq!(second, Ok("first"));
        let third =
            late.join_or_begin(4 * SECOND, within(4 * SECOND), |stale, progress| begin("third", stale, progress)).await;
        assert_eq!(third, Ok("third"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_knows_when_nobody_waits_any_more() {
        let late = InflightAttempt::new();
        let (tell, told) = tokio::sync::oneshot::channel();
        let begin = |_, progress: Attempt| {
            tokio::spawn(async move {
                let before = progress.is_abandoned();
                tokio::time::sleep(3 * SECOND).await;
                let _ = tell.send((before, progress.is_abandoned()));
            })
        };
        assert!(late.join_or_begin(SECOND, within(SECOND), begin).await.is_err());
        drop(late);
        assert_eq!(told.await, Ok((false, true)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_ended_between_two_probes_is_no_evidence() {
        let late = InflightAttempt::new();
        let slow = |_, _| {
            tokio::spawn(async {
                tokio::time::sleep(3 * SECOND).await;
                "old"
            })
        };
        assert!(late.join_or_begin(SECOND, within(SECOND), slow).await.is_err());
        tokio::time::sleep(5 * SECOND).await;
        let begin = |stale, _| {
            assert_eq!(stale, Some("old"), "what it holds is not lost");
            tokio::spawn(async { "new" })
        };
        assert_eq!(late.join_or_begin(SECOND, within(SECOND), begin).await, Ok("new"));
    }
}
