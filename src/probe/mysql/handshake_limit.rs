//! What all probers of one server share, whoever of us asks (B7): at most one unfinished handshake, beside refusals
//! that are long in coming (`decline`), and what the server has shown of its manners.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::decline::Refusals;
use super::pauses::Pauses;
use super::silence::Silence;
use crate::model::{Failure, FailureReason};
use crate::sys::lock::lock;

/// What a handshake that works needs to end is some round trips; one that hangs must not hold up the end of the agent.
const SETTLING: Duration = Duration::from_secs(1);

/// A gate for each server in use. Copies share them.
#[derive(Debug, Clone, Default)]
pub struct HandshakeLimits(Arc<Mutex<HashMap<SocketAddr, Weak<HandshakeLimit>>>>);

/// The way to one server.
#[derive(Debug)]
pub struct HandshakeLimit {
    turns: Arc<Semaphore>,
    /// Whether whoever has the turn has been greeted.
    greeted: AtomicBool,
    /// Whether the server's last word was that it has no room for another connection.
    crowded: AtomicBool,
    /// How it refuses logins.
    pub(super) refusals: Refusals,
    /// Whether it greets.
    pub(super) silence: Silence,
    /// Logins that it can't be given.
    pub(super) pauses: Pauses,
}

impl HandshakeLimits {
    /// The gate of a server.
    #[must_use]
    pub fn of(&self, server: SocketAddr) -> Arc<HandshakeLimit> {
        let mut gates = lock(&self.0);
        if let Some(gate) = gates.get(&server).and_then(Weak::upgrade) {
            return gate;
        }
        gates.retain(|_, gate| gate.strong_count() > 0);
        let gate = Arc::new(HandshakeLimit {
            turns: Arc::new(Semaphore::new(1)),
            greeted: AtomicBool::default(),
            crowded: AtomicBool::default(),
            refusals: Refusals::default(),
            silence: Silence::default(),
            pauses: Pauses::default(),
        });
        gates.insert(server, Arc::downgrade(&gate));
        gate
    }

    /// Waits until no handshake is under way, for a second at most: one that ends with the process counts at its server
    /// as broken off (B7). For when nobody begins another.
    pub async fn settled(&self) {
        let in_use: Vec<_> = lock(&self.0).values().filter_map(Weak::upgrade).collect();
        let all = async {
            for gate in in_use {
                drop(gate.turn().await);
            }
        };
        let _ = timeout(SETTLING, all).await;
    }
}

impl HandshakeLimit {
    /// Whoever shakes hands holds the one turn there is. Each handshake ends by itself, so that nobody waits for ever.
    pub(super) async fn turn(&self) -> Turn {
        // Never closed.
        let turn = Turn(self.turns.clone().acquire_owned().await.ok());
        self.greeted.store(false, Ordering::Relaxed);
        turn
    }

    /// The turn, if nobody has it.
    pub(super) fn turn_if_free(&self) -> Option<Turn> {
        let turn = self.turns.clone().try_acquire_owned().ok()?;
        self.greeted.store(false, Ordering::Relaxed);
        Some(Turn(Some(turn)))
    }

    /// The server has greeted whoever has the turn.
    pub(super) fn greeted(&self) {
        self.greeted.store(true, Ordering::Relaxed);
    }

    /// True if the server has greeted whoever has the turn: then waiting for it says nothing of the path.
    pub(super) fn is_greeted(&self) -> bool {
        self.greeted.load(Ordering::Relaxed)
    }

    /// What an attempt was told: a failure, or that all is well. Silence is no word.
    pub(super) fn heard(&self, failure: Option<&Failure>) {
        match failure.map(|failure| failure.reason) {
            Some(reason) if !reason.is_an_answer() => {}
            reason => self.crowded.store(reason == Some(FailureReason::Overloaded), Ordering::Relaxed),
        }
    }

    /// True if the server's last word was that it has no room for another connection (1040, 1203, 1226).
    pub(super) fn is_crowded(&self) -> bool {
        self.crowded.load(Ordering::Relaxed)
    }
}

/// The right to have an unfinished handshake with a server, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn(#[expect(dead_code, reason = "what counts is when it is dropped")] Option<OwnedSemaphorePermit>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_one_gate_as_long_as_somebody_uses_it() {
        let gates = HandshakeLimits::default();
        let [a, b] = ["127.0.0.1:3306", "127.0.0.1:3307"].map(|address| address.parse().unwrap());
        let (first, again, other) = (gates.of(a), gates.of(a), gates.of(b));
        assert!(Arc::ptr_eq(&first, &again) && !Arc::ptr_eq(&first, &other));
        drop((first, again));
        let _third = gates.of("127.0.0.1:3308".parse().unwrap());
        assert_eq!(lock(&gates.0).len(), 2);
    }
}
