//! Secrets that a server has refused: none is sent again, to anybody, before its file changes (B7).
//!
//! A database that counts wrong passwords would lock the account that applications use, too, if every host of a fleet
//! went on with an old one. So nobody sends a secret that has never been accepted while somebody else waits for the
//! answer to it: many targets with one wrong secret, probed at one instant, send it once.
//!
//! A server that keeps its answer back must not hold up the healthy ones for long: after half of the time that its
//! probe has, the turn passes to the next one who waits. A wrong secret may then be sent once more for each such
//! server.
//!
//! Only a word on the secret itself counts here. What else a server or a gateway refuses a login with stays with its
//! target ([`super::backoff`]): one answer of one zone must not silence all of them.
//!
//! A secret that was accepted before may be refused by mistake, or for a while, as when a password is changed in two
//! steps. So one target at a time tries it again, three times in all: at times drawn from ten minutes, or ten seconds a
//! host of the fleet, then from twice and from four times as much. Locks count refusals by account, in a row, over all
//! hosts: a fleet of any size makes one try in ten seconds. That is the fallback; a file that is written anew is a new
//! secret, at once.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use ring::digest::{SHA256, digest};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::FleetSize;
use crate::model::{Failure, FileSecret, Secret, Wall};
use crate::sys::clock::Clock;
use crate::sys::lock::lock;

/// How often a secret that was accepted before is tried again.
const TRIES: u8 = 3;
/// From how long the time of the first try is drawn, at least, and for each host of the fleet.
const WINDOW: Duration = Duration::from_secs(600);
const WINDOW_A_HOST: Duration = Duration::from_secs(10);

/// The secrets that were refused or accepted, by all probers of a process.
#[derive(Debug)]
pub struct SecretGuard {
    clock: Clock,
    fleet: FleetSize,
    known: Mutex<Known>,
    /// Something about some secret is otherwise.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Known {
    /// By a digest, so that nothing here is worth stealing.
    secrets: HashMap<[u8; 32], SecretState>,
    /// Turns given so far.
    turns: u64,
}

/// What a server has said of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginResult {
    /// It is wrong.
    Wrong,
    /// It is wrong, as is said at times of a right one: if it was accepted before, one more try decides.
    Unsure,
    /// Its account is locked, or its time is over: no try will help.
    Closed,
}

/// What servers have said to a secret.
#[derive(Debug, Clone, Default)]
struct SecretState {
    refusal: Option<Refusal>,
    /// Turns given when an accepted secret was first doubted: one that was given later decides.
    doubted: Option<u64>,
    /// Since it was last refused or doubted, if ever.
    accepted: bool,
    /// Whether it was at all.
    once_accepted: bool,
    holder: Option<Holder>,
}

/// When a secret was refused, and what was said.
#[derive(Debug, Clone)]
struct Refusal {
    /// A file written later than this is another try.
    until: Wall,
    /// Turns given by then: one that was given later knew of it.
    turns: u64,
    said: Failure,
    again: Option<Tries>,
}

/// The tries that are left to a secret that was accepted before.
#[derive(Debug, Clone, Copy)]
struct Tries {
    left: u8,
    due: Instant,
    /// From how long the time of the next one is drawn.
    window: Duration,
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
    of: &'a SecretGuard,
    key: [u8; 32],
    number: u64,
    /// Whether it is one of the few tries of a refused secret.
    is_try: bool,
}

/// Who may send a secret.
enum Next {
    Us {
        number: u64,
        is_try: bool,
    },
    /// Somebody else does, until then at most.
    Later(Instant),
}

impl SecretGuard {
    /// Nothing is known yet. `fleet` hosts have the same secrets.
    #[must_use]
    pub fn new(clock: Clock, fleet: FleetSize) -> Self {
        Self { clock, fleet, known: Mutex::default(), changed: Notify::new() }
    }

    /// Whether a secret may be sent.
    ///
    /// # Errors
    /// The server's word, if the secret was refused since its file was last written, and no try is due.
    pub fn check(&self, secret: &FileSecret) -> Result<(), Failure> {
        match self.lock().secrets.get(&key(&secret.secret)) {
            Some(standing) => standing.check(secret, Instant::now()),
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
                Next::Us { number, is_try } => return Ok(Turn { of: self, key, number, is_try }),
                Next::Later(lapses) => tokio::select! {
                    // Whoever has the turn is through with it.
                    () = changed => {}
                    // It takes too long.
                    () = sleep_until(lapses) => {}
                },
            }
        }
    }

    /// A server has let the secret in and said then that its time is over: no try will help.
    pub fn close(&self, secret: &FileSecret, failure: &Failure) {
        let until = self.clock.now().wall.max(secret.written);
        let mut known = self.lock();
        let turns = known.turns;
        let standing = known.secrets.entry(key(&secret.secret)).or_default();
        (standing.accepted, standing.doubted) = (false, None);
        standing.refusal = Some(Refusal { until, turns, said: failure.clone(), again: None });
    }

    fn next(&self, key: [u8; 32], secret: &FileSecret, allowed: Duration) -> Result<Next, Failure> {
        let now = Instant::now();
        let mut known = self.lock();
        let Known { secrets, turns } = &mut *known;
        let standing = secrets.entry(key).or_default();
        standing.check(secret, now)?;
        if !standing.accepted {
            if let Some(Holder { lapses, .. }) = standing.holder.filter(|holder| now < holder.lapses) {
                return Ok(Next::Later(lapses));
            }
            standing.holder = Some(Holder { turn: *turns + 1, lapses: now + allowed / 2 });
        }
        *turns += 1;
        Ok(Next::Us { number: *turns, is_try: standing.begin_try(secret, now) })
    }

    /// From how long the time of a first try is drawn.
    fn window(&self) -> Duration {
        WINDOW.max(WINDOW_A_HOST.saturating_mul(self.fleet.get()))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }
}

impl SecretState {
    fn check(&self, secret: &FileSecret, now: Instant) -> Result<(), Failure> {
        let Some(refusal) = self.refusal.as_ref().filter(|refusal| refusal.stands_for(secret)) else { return Ok(()) };
        let tried = self.holder.is_some_and(|holder| now < holder.lapses);
        match refusal.again {
            Some(Tries { left: 1.., due, .. }) if due <= now && !tried => Ok(()),
            _ => Err(refusal.failure(secret)),
        }
    }

    /// If this is a try of a refused secret, takes it off, and draws the time of the next. True if it is one.
    fn begin_try(&mut self, secret: &FileSecret, now: Instant) -> bool {
        let refusal = self.refusal.as_mut().filter(|refusal| refusal.stands_for(secret));
        let Some(tries) = refusal.and_then(|refusal| refusal.again.as_mut()) else { return false };
        let window = tries.window * 2;
        *tries = Tries { left: tries.left.saturating_sub(1), due: now + drawn(window), window };
        true
    }

    /// A turn with this number was refused; true if that counts.
    fn refused(&mut self, number: u64, word: LoginResult, turns: u64) -> bool {
        let certain = !self.once_accepted || self.doubted.is_some_and(|doubted| doubted < number);
        // A try of a refused secret is beyond doubt.
        if word == LoginResult::Unsure && !certain && self.refusal.is_none() {
            self.doubted.get_or_insert(turns);
            self.accepted = false;
            return false;
        }
        self.doubted = None;
        self.accepted = false;
        true
    }
}

impl Refusal {
    fn stands_for(&self, secret: &FileSecret) -> bool {
        secret.written <= self.until
    }

    fn failure(&self, secret: &FileSecret) -> Failure {
        let path = secret.path.display();
        let save = match self.again {
            Some(Tries { left: 1, .. }) => ", save one slow try".to_owned(),
            Some(Tries { left: left @ 2.., .. }) => format!(", save {left} slow tries"),
            _ => String::new(),
        };
        Failure::new(self.said.reason, format_args!("not tried again until {path} changes{save}: {}", self.said.detail))
    }
}

/// A time within a window, such that the hosts of a fleet share it out.
fn drawn(window: Duration) -> Duration {
    window.mul_f64(fastrand::f64())
}

impl Turn<'_> {
    /// What a probe has not got beyond if it was never its turn.
    pub const AWAITED: &'static str = "the same secret's first login elsewhere not answered";

    /// Whether the secret may still be sent, after a wait.
    ///
    /// # Errors
    /// The server's word, if the secret was refused since.
    pub fn check(&self, secret: &FileSecret) -> Result<(), Failure> {
        let known = self.of.lock();
        let refusal = known.secrets.get(&self.key).and_then(|standing| standing.refusal.as_ref());
        match refusal.filter(|refusal| refusal.turns >= self.number && refusal.stands_for(secret)) {
            Some(refusal) => Err(refusal.failure(secret)),
            None => Ok(()),
        }
    }

    /// True if some server has accepted the secret since it was last refused or doubted.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.of.lock().secrets.get(&self.key).is_some_and(|standing| standing.accepted)
    }

    /// A server accepted the secret: nobody needs to wait with it any more.
    pub fn accepted(self) {
        let mut known = self.of.lock();
        let Some(standing) = known.secrets.get_mut(&self.key) else { return };
        standing.once_accepted = true;
        // An answer to what was sent before a refusal is older than that.
        standing.refusal.take_if(|refusal| refusal.turns < self.number);
        standing.doubted.take_if(|doubted| *doubted < self.number);
        standing.accepted = standing.refusal.is_none() && standing.doubted.is_none();
    }

    /// A server refused the secret with this failure. True if that counts for everybody; else it is this target's
    /// alone, for now.
    pub fn refused(self, secret: &FileSecret, failure: &Failure, word: LoginResult) -> bool {
        // Other files may hold the same secret, so their times don't matter; but this clock may be behind this one's.
        let until = self.of.clock.now().wall.max(secret.written);
        let (window, now) = (self.of.window(), Instant::now());
        let mut known = self.of.lock();
        let turns = known.turns;
        let standing = known.secrets.entry(self.key).or_default();
        if !standing.refused(self.number, word, turns) {
            return false;
        }
        let before = standing.refusal.take().filter(|refusal| refusal.stands_for(secret));
        let again = match before {
            _ if word == LoginResult::Closed || !standing.once_accepted => None,
            // A try of one that was refused, or a second word on it.
            Some(refusal) => refusal.again,
            None => Some(Tries { left: TRIES, due: now + drawn(window), window }),
        };
        standing.refusal = Some(Refusal { until, turns, said: failure.clone(), again });
        true
    }

    /// Nothing was sent: it is somebody's turn again.
    pub fn unused(self) {
        if !self.is_try {
            return;
        }
        let mut known = self.of.lock();
        let refusal = known.secrets.get_mut(&self.key).and_then(|standing| standing.refusal.as_mut());
        if let Some(tries) = refusal.and_then(|refusal| refusal.again.as_mut()) {
            let window = tries.window / 2;
            *tries = Tries { left: (tries.left + 1).min(TRIES), due: Instant::now() + drawn(window), window };
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(standing) = self.of.lock().secrets.get_mut(&self.key) {
            standing.holder.take_if(|holder| holder.turn == self.number);
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
mod tests;
