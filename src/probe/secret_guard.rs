//! Secrets that a server has refused: none is sent again, to any server, before its file changes (B7).
//!
//! A database that counts wrong passwords would lock the account that applications use, too, if every host of a fleet
//! went on with an old one. So no probe sends a secret that has never been accepted while another one waits for the
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
use std::sync::Mutex;
use std::time::Duration;

use ring::digest::{SHA256, digest};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::fleet::FleetSize;
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
    /// Told when something about some secret has changed.
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
    /// The latest refusal; absent if the secret was accepted since, or never refused.
    refusal: Option<Refusal>,
    /// Turns given when an accepted secret was first doubted: one that was given later decides.
    doubted: Option<u64>,
    /// Whether a server has accepted it since it was last refused or doubted.
    accepted: bool,
    /// Whether a server has ever accepted it.
    once_accepted: bool,
    /// The probe whose turn it is to send the secret; absent if none waits for an answer.
    holder: Option<Holder>,
}

/// When a secret was refused, and what was said.
#[derive(Debug, Clone)]
struct Refusal {
    /// A file written later than this is another try.
    until: Wall,
    /// Turns given by then: one that was given later knew of it.
    turns: u64,
    /// What the server said.
    said: Failure,
    /// The tries that are left; absent for a secret that was never accepted, or that no try will help.
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
    guard: &'a SecretGuard,
    key: [u8; 32],
    number: u64,
    /// Whether it is one of the few tries of a refused secret.
    is_try: bool,
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
        match lock(&self.known).secrets.get(&secret_digest(&secret.secret)) {
            Some(state) => state.check(secret, Instant::now()),
            None => Ok(()),
        }
    }

    /// Waits for the turn to send a secret, and keeps it for half of the time `allowed` at most. No probe waits once
    /// the secret has been accepted anywhere. Waits for ever if servers do: bound it.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub async fn wait_for_turn(&self, secret: &FileSecret, allowed: Duration) -> Result<Turn<'_>, Failure> {
        let key = secret_digest(&secret.secret);
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // From before the look on, so that no change is missed.
            changed.as_mut().enable();
            match self.next_turn(key, secret, allowed)? {
                Ok(turn) => return Ok(turn),
                Err(lapses) => tokio::select! {
                    // The probe that has the turn is through with it.
                    () = changed => {}
                    // It takes too long.
                    () = sleep_until(lapses) => {}
                },
            }
        }
    }

    /// A server has let the secret in and said then that its time is over: no try will help.
    pub fn note_account_closed(&self, secret: &FileSecret, failure: &Failure) {
        let until = self.clock.now().wall.max(secret.written);
        let mut known = lock(&self.known);
        let turns = known.turns;
        let state = known.secrets.entry(secret_digest(&secret.secret)).or_default();
        (state.accepted, state.doubted) = (false, None);
        state.refusal = Some(Refusal { until, turns, said: failure.clone(), again: None });
    }

    /// The turn to send a secret; or until when, at most, another probe has it.
    fn next_turn(
        &self,
        key: [u8; 32],
        secret: &FileSecret,
        allowed: Duration,
    ) -> Result<Result<Turn<'_>, Instant>, Failure> {
        let now = Instant::now();
        let mut known = lock(&self.known);
        let Known { secrets, turns } = &mut *known;
        let state = secrets.entry(key).or_default();
        state.check(secret, now)?;
        if !state.accepted {
            if let Some(Holder { lapses, .. }) = state.holder.filter(|holder| now < holder.lapses) {
                return Ok(Err(lapses));
            }
            state.holder = Some(Holder { turn: *turns + 1, lapses: now + allowed / 2 });
        }
        *turns += 1;
        Ok(Ok(Turn { guard: self, key, number: *turns, is_try: state.begin_try(secret, now) }))
    }

    /// From how long the time of a first try is drawn.
    fn first_window(&self) -> Duration {
        WINDOW.max(WINDOW_A_HOST.saturating_mul(self.fleet.get()))
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
        *tries = Tries { left: tries.left.saturating_sub(1), due: now + random_within(window), window };
        true
    }

    /// A turn with this number was refused; true if that counts.
    fn counts_refusal(&mut self, number: u64, word: LoginResult, turns: u64) -> bool {
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
fn random_within(window: Duration) -> Duration {
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
        let known = lock(&self.guard.known);
        let refusal = known.secrets.get(&self.key).and_then(|state| state.refusal.as_ref());
        match refusal.filter(|refusal| refusal.turns >= self.number && refusal.stands_for(secret)) {
            Some(refusal) => Err(refusal.failure(secret)),
            None => Ok(()),
        }
    }

    /// True if some server has accepted the secret since it was last refused or doubted.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        lock(&self.guard.known).secrets.get(&self.key).is_some_and(|state| state.accepted)
    }

    /// A server accepted the secret: no probe needs to wait with it any more.
    pub fn note_accepted(self) {
        let mut known = lock(&self.guard.known);
        let Some(state) = known.secrets.get_mut(&self.key) else { return };
        state.once_accepted = true;
        // An answer to what was sent before a refusal is older than that.
        state.refusal.take_if(|refusal| refusal.turns < self.number);
        state.doubted.take_if(|doubted| *doubted < self.number);
        state.accepted = state.refusal.is_none() && state.doubted.is_none();
    }

    /// A server refused the secret with this failure. True if that counts for every target; else it is this target's
    /// alone, for now.
    pub fn note_refused(self, secret: &FileSecret, failure: &Failure, word: LoginResult) -> bool {
        // Other files may hold the same secret, so their times don't matter; but this clock may be behind this one's.
        let until = self.guard.clock.now().wall.max(secret.written);
        let (window, now) = (self.guard.first_window(), Instant::now());
        let mut known = lock(&self.guard.known);
        let turns = known.turns;
        let state = known.secrets.entry(self.key).or_default();
        if !state.counts_refusal(self.number, word, turns) {
            return false;
        }
        let before = state.refusal.take().filter(|refusal| refusal.stands_for(secret));
        let again = match before {
            _ if word == LoginResult::Closed || !state.once_accepted => None,
            // A try of one that was refused, or a second word on it.
            Some(refusal) => refusal.again,
            None => Some(Tries { left: TRIES, due: now + random_within(window), window }),
        };
        state.refusal = Some(Refusal { until, turns, said: failure.clone(), again });
        true
    }

    /// Nothing was sent: the turn is the next probe's.
    pub fn give_back_unused(self) {
        if !self.is_try {
            return;
        }
        let mut known = lock(&self.guard.known);
        let refusal = known.secrets.get_mut(&self.key).and_then(|state| state.refusal.as_mut());
        if let Some(tries) = refusal.and_then(|refusal| refusal.again.as_mut()) {
            let window = tries.window / 2;
            *tries = Tries { left: (tries.left + 1).min(TRIES), due: Instant::now() + random_within(window), window };
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(state) = lock(&self.guard.known).secrets.get_mut(&self.key) {
            state.holder.take_if(|holder| holder.turn == self.number);
        }
        self.guard.changed.notify_waiters();
    }
}

fn secret_digest(secret: &Secret) -> [u8; 32] {
    let mut key = [0; 32];
    key.copy_from_slice(digest(&SHA256, secret.expose().as_bytes()).as_ref());
    key
}

#[cfg(test)]
mod tests;
