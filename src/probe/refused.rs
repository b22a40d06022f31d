//! Secrets that a server has refused: none is sent again, to anybody, before its file changes (B7).
//!
//! A database that counts wrong passwords would lock the account that applications use, too, if every host of a fleet
//! went on with an old one. So nobody sends a secret that has never been accepted while somebody else waits for the
//! answer to it: many targets with one wrong secret, probed at one instant, send it once.
//!
//! A server that keeps its answer back must not hold up the healthy ones for long: after half of the time that its probe
//! has, the turn passes to the next one who waits. A wrong secret may then be sent once more for each such server.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ring::digest::{SHA256, digest};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::model::{Failure, FailureReason, FileSecret, Secret, Wall};
use crate::sys::clock::Clock;

/// The secrets that were refused or accepted, by all probers of a process.
#[derive(Debug)]
pub struct RefusedSecrets {
    clock: Clock,
    known: Mutex<Known>,
    /// Something about some secret is otherwise.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Known {
    /// By a digest, so that nothing here is worth stealing.
    secrets: HashMap<[u8; 32], Standing>,
    /// Turns given so far.
    turns: u64,
}

/// What servers have said to a secret.
#[derive(Debug, Clone, Default)]
struct Standing {
    refusal: Option<Refusal>,
    /// Since it was last refused, if ever.
    accepted: bool,
    holder: Option<Holder>,
}

/// When a secret was refused, and what was said.
#[derive(Debug, Clone)]
struct Refusal {
    /// A file written later than this is another try.
    until: Wall,
    detail: String,
}

/// Whose turn it is to send a secret.
#[derive(Debug, Clone, Copy)]
struct Holder {
    turn: u64,
    lapses: Instant,
}

/// The right to send a secret, until it is dropped. Say first what has become of it.
#[derive(Debug)]
#[must_use]
pub struct Turn<'a> {
    of: &'a RefusedSecrets,
    key: [u8; 32],
    /// None if there is no need to take turns.
    number: Option<u64>,
}

/// Who may send a secret.
enum Next {
    Us(Option<u64>),
    /// Somebody else does, until then at most.
    Later(Instant),
}

impl RefusedSecrets {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, known: Mutex::default(), changed: Notify::new() }
    }

    /// Whether a secret may be sent.
    ///
    /// # Errors
    /// [`FailureReason::Auth`], with what the server said, if it was refused since its file was last written.
    pub fn check(&self, secret: &FileSecret) -> Result<(), Failure> {
        match self.lock().secrets.get(&key(&secret.secret)) {
            Some(standing) => standing.check(secret),
            None => Ok(()),
        }
    }

    /// Waits for the turn to send a secret, and keeps it for half of the time `allowed` at most. Nobody waits once the
    /// secret has been accepted anywhere. Waits for ever if servers do: bound it.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub async fn turn(&self, secret: &FileSecret, allowed: Duration) -> Result<Turn<'_>, Failure> {
        let key = key(&secret.secret);
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // From before the look on, so that no change is missed.
            changed.as_mut().enable();
            match self.next(key, secret, allowed)? {
                Next::Us(number) => return Ok(Turn { of: self, key, number }),
                Next::Later(lapses) => tokio::select! {
                    // Whoever has the turn is through with it.
                    () = changed => {}
                    // It takes too long.
                    () = sleep_until(lapses) => {}
                },
            }
        }
    }

    fn next(&self, key: [u8; 32], secret: &FileSecret, allowed: Duration) -> Result<Next, Failure> {
        let mut known = self.lock();
        let Known { secrets, turns } = &mut *known;
        let standing = secrets.entry(key).or_default();
        standing.check(secret)?;
        if standing.accepted {
            return Ok(Next::Us(None));
        }
        let now = Instant::now();
        match standing.holder {
            Some(Holder { lapses, .. }) if now < lapses => Ok(Next::Later(lapses)),
            _ => {
                *turns += 1;
                standing.holder = Some(Holder { turn: *turns, lapses: now + allowed / 2 });
                Ok(Next::Us(Some(*turns)))
            }
        }
    }

    /// A server refused a secret with this failure.
    pub fn note(&self, secret: &FileSecret, failure: &Failure) {
        // Other files may hold the same secret, so their times don't matter; but this clock may be behind this one's.
        let until = self.clock.now().wall.max(secret.written);
        let mut known = self.lock();
        let standing = known.secrets.entry(key(&secret.secret)).or_default();
        standing.refusal = Some(Refusal { until, detail: failure.detail.to_string() });
        standing.accepted = false;
        drop(known);
        self.changed.notify_waiters();
    }

    /// A poisoned lock is taken over: each holder writes whole values only.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    fn check(&self, secret: &FileSecret) -> Result<(), Failure> {
        match &self.refusal {
            Some(refusal) if secret.written <= refusal.until => {
                let path = secret.path.display();
                let detail = format_args!("not tried again until {path} changes: {}", refusal.detail);
                Err(Failure::new(FailureReason::Auth, detail))
            }
            _ => Ok(()),
        }
    }
}

impl Turn<'_> {
    /// What a probe has not got beyond if it was never its turn.
    pub const AWAITED: &'static str = "the same secret's first login elsewhere not answered";

    /// A server accepted the secret: nobody needs to wait with it any more.
    pub fn accepted(self) {
        if let Some(standing) = self.of.lock().secrets.get_mut(&self.key) {
            standing.accepted = true;
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        if let Some(standing) = self.of.lock().secrets.get_mut(&self.key) {
            standing.holder.take_if(|holder| holder.turn == number);
        }
        self.of.changed.notify_waiters();
    }
}

fn key(secret: &Secret) -> [u8; 32] {
    let mut key = [0; 32];
    key.copy_from_slice(digest(&SHA256, secret.expose().as_bytes()).as_ref());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str, path: &str, written: u64) -> FileSecret {
        FileSecret { secret: Secret::new(text.into()), path: path.into(), written: Wall(written) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_secret_waits_for_its_file_wherever_it_is_used() {
        let refused = RefusedSecrets::new(Clock::tokio());
        tokio::time::advance(std::time::Duration::from_secs(10)).await;
        refused.note(&secret("old", "/a", 5_000), &Failure::new(FailureReason::Auth, "1045: check password failed"));
        let said = refused.check(&secret("old", "/a", 5_000)).unwrap_err();
        assert_eq!(said.to_string(), "auth: not tried again until /a changes: 1045: check password failed");
        assert!(refused.check(&secret("old", "/b", 9_000)).is_err(), "another file with the same secret");
        assert!(refused.check(&secret("new", "/a", 5_000)).is_ok(), "another secret, whenever it was written");
        assert!(refused.check(&secret("old", "/a", 10_001)).is_ok(), "written since");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_from_the_future_is_not_tried_for_ever() {
        let refused = RefusedSecrets::new(Clock::tokio());
        refused.note(&secret("old", "/a", 5_000), &Failure::new(FailureReason::Auth, "no"));
        assert!(refused.check(&secret("old", "/a", 5_000)).is_err());
        assert!(refused.check(&secret("old", "/a", 5_001)).is_ok());
    }

    const SECOND: Duration = Duration::from_secs(1);

    /// What becomes of many who want to send one secret at one instant, each to a server of its own that needs so long for
    /// its answer: how many did, and how long it took.
    async fn at_once(servers: &[(Duration, bool)]) -> (u32, Duration) {
        let secrets = RefusedSecrets::new(Clock::tokio());
        let (sent, started) = (Mutex::new(0), Instant::now());
        let one = |(takes, right): (Duration, bool)| {
            let (secrets, sent) = (&secrets, &sent);
            async move {
                let secret = secret("s", "/a", 1);
                let Ok(turn) = secrets.turn(&secret, 4 * SECOND).await else { return };
                *sent.lock().unwrap() += 1;
                tokio::time::sleep(takes).await;
                if right {
                    turn.accepted();
                } else {
                    secrets.note(&secret, &Failure::new(FailureReason::Auth, "no"));
                }
            }
        };
        let mut all: Vec<_> = servers.iter().map(|server| Box::pin(one(*server))).collect();
        std::future::poll_fn(|context| {
            all.retain_mut(|one| one.as_mut().poll(context).is_pending());
            if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        let sent = *sent.lock().unwrap();
        (sent, started.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_wrong_secret_is_sent_once_by_many_at_one_instant() {
        assert_eq!(at_once(&[(SECOND, false); 500]).await, (1, SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn a_right_one_is_held_up_once() {
        assert_eq!(at_once(&[(SECOND, true); 500]).await, (500, 2 * SECOND));
        // One that has been accepted needs no turns.
        let secrets = RefusedSecrets::new(Clock::tokio());
        let known = secret("s", "/a", 1);
        secrets.turn(&known, SECOND).await.unwrap().accepted();
        let _held = [secrets.turn(&known, SECOND).await.unwrap(), secrets.turn(&known, SECOND).await.unwrap()];
        // Until it is refused.
        secrets.note(&known, &Failure::new(FailureReason::Auth, "no"));
        let written = secret("s", "/a", u64::MAX);
        let _turn = secrets.turn(&written, 20 * SECOND).await.unwrap();
        let next = tokio::time::timeout(SECOND, secrets.turn(&written, SECOND)).await;
        assert!(next.is_err(), "the file was written anew: it takes turns again");
    }

    #[tokio::test(start_paused = true)]
    async fn who_keeps_an_answer_back_holds_nobody_up_for_long() {
        // Half of the 4 s allowed; then all others go on.
        let mut servers = vec![(3600 * SECOND, true)];
        servers.extend([(SECOND, true); 20]);
        assert_eq!(at_once(&servers).await.0, 21);
        let mut servers = vec![(3600 * SECOND, false)];
        servers.extend([(SECOND, false); 20]);
        assert_eq!(at_once(&servers).await.0, 2, "one more for a server that does not answer, and not twenty");
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_without_a_word_passes_to_one() {
        let secrets = RefusedSecrets::new(Clock::tokio());
        let known = secret("s", "/a", 1);
        let turn = secrets.turn(&known, 20 * SECOND).await.unwrap();
        let soon = || tokio::time::timeout(SECOND, secrets.turn(&known, 20 * SECOND));
        assert!(soon().await.is_err());
        drop(turn);
        let turn = soon().await.unwrap().unwrap();
        assert!(soon().await.is_err());
        let _other = secrets.turn(&secret("other", "/a", 1), SECOND).await.unwrap();
        // One whose turn has lapsed takes nobody's away.
        tokio::time::advance(11 * SECOND).await;
        let _next = soon().await.unwrap().unwrap();
        drop(turn);
        assert!(soon().await.is_err());
    }
}
