//! What has become of the secrets of one host, by the agent's own book of them, on virtual time.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use privatelinkd::model::{Failure, FailureReason, FileSecret};
use privatelinkd::probe::{FleetSize, LoginResult, SecretGuard};
use privatelinkd::sys::clock::Clock;
use tokio::runtime::Runtime;

use super::history::Ms;

/// Tokio's paused time, which the book goes by, led by the world's: one for all hosts of a world.
pub(super) struct Time {
    runtime: Runtime,
    now: Cell<Ms>,
}

impl Time {
    pub(super) fn new() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
        Ok(Self { runtime, now: Cell::new(0) })
    }

    /// Does it at that time.
    fn at<T>(&self, now: Ms, work: impl Future<Output = T>) -> T {
        let ahead = now.saturating_sub(self.now.replace(now.max(self.now.get())));
        self.runtime.block_on(async {
            if ahead > 0 {
                tokio::time::advance(Duration::from_millis(ahead)).await;
            }
            work.await
        })
    }
}

pub(super) struct Vault {
    time: Rc<Time>,
    fleet: u32,
    book: SecretGuard,
}

impl Vault {
    /// Of a host that takes itself for one of so many.
    pub(super) fn new(time: Rc<Time>, fleet: u32) -> Self {
        let book = time.at(0, async { SecretGuard::new(Clock::tokio(), FleetSize::new(fleet)) });
        Self { time, fleet, book }
    }

    /// Of the next process, which knows nothing.
    pub(super) fn anew(&self) -> Self {
        Self::new(self.time.clone(), self.fleet)
    }

    /// Whether a secret may be sent.
    pub(super) fn allows(&self, secret: &FileSecret, now: Ms) -> Result<(), FailureReason> {
        self.time.at(now, async { self.book.check(secret) }).map_err(|failure| failure.reason)
    }

    /// Sends a secret, and keeps what was said to it. Logins take no time here, so nobody waits for another's turn.
    pub(super) fn send(
        &self,
        secret: &FileSecret,
        now: Ms,
        login: impl FnOnce() -> Result<(), FailureReason>,
    ) -> Result<(), FailureReason> {
        self.time.at(now, async {
            let turn =
                self.book.wait_for_turn(secret, Duration::from_secs(1)).await.map_err(|failure| failure.reason)?;
            let said = login();
            match said {
                Err(reason @ FailureReason::Auth) => {
                    turn.note_refused(secret, &Failure::new(reason, "x"), LoginResult::Wrong);
                }
                Ok(()) => turn.note_accepted(),
                Err(_) => {}
            }
            said
        })
    }
}
