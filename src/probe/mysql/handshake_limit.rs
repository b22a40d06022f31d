//! What all probers of one server share (B7): at most one unfinished handshake, beside refusals
//! that are long in coming (`decline`), and what the server has shown of its manners.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;

use super::pauses::{Pauses, Silence};
use super::refusals::Refusals;
use crate::model::{Failure, FailureReason};
use crate::probe::in_use;
use crate::sys::lock::lock;

/// What a handshake that works needs to end is some round trips; one that hangs must not hold up the end of the agent.
const SETTLING: Duration = Duration::from_secs(1);

/// A limit for each server in use. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct HandshakeLimits(Arc<Mutex<HashMap<SocketAddr, Weak<HandshakeLimit>>>>);

/// What the probers of one server share: its one turn, and what it has shown of its manners.
#[derive(Debug, Default)]
pub(super) struct HandshakeLimit {
    turns: Arc<tokio::sync::Mutex<()>>,
    /// Whether the prober that has the turn has been greeted.
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
    /// The limit of a server: the one in use, or a new one.
    pub(super) fn for_server(&self, server: SocketAddr) -> Arc<HandshakeLimit> {
        in_use::get_or_make(&mut lock(&self.0), server, HandshakeLimit::default)
    }

    /// Waits until no handshake is under way, for a second at most: one that ends with the process counts at its server
    /// as broken off (B7). For when no prober begins another.
    pub async fn wait_until_idle(&self) {
        let in_use: Vec<_> = lock(&self.0).values().filter_map(Weak::upgrade).collect();
        let all = async {
            for limit in in_use {
                drop(limit.wait_for_turn().await);
            }
        };
        let _ = timeout(SETTLING, all).await;
    }
}

impl HandshakeLimit {
    /// The prober that shakes hands holds the one turn there is. Each handshake ends by itself, so that no prober waits
    /// for ever.
    pub(super) async fn wait_for_turn(&self) -> Turn {
        let turn = Turn(self.turns.clone().lock_owned().await);
        self.greeted.store(false, Ordering::Relaxed);
        turn
    }

    /// The turn, if no other prober has it.
    pub(super) fn turn_if_free(&self) -> Option<Turn> {
        let turn = Turn(self.turns.clone().try_lock_owned().ok()?);
        self.greeted.store(false, Ordering::Relaxed);
        Some(turn)
    }

    /// The server has greeted the prober that has the turn.
    pub(super) fn note_greeted(&self) {
        self.greeted.store(true, Ordering::Relaxed);
    }

    /// True if the server has greeted the prober that has the turn: then waiting for it says nothing of the path.
    pub(super) fn is_greeted(&self) -> bool {
        self.greeted.load(Ordering::Relaxed)
    }

    /// What an attempt was told: a failure, or that all is well. Silence is no word.
    pub(super) fn note_answer(&self, failure: Option<&Failure>) {
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
pub(super) struct Turn(#[expect(dead_code, reason = "what counts is when it is dropped")] OwnedMutexGuard<()>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_one_gate_as_long_as_somebody_uses_it() {
        let limits = HandshakeLimits::default();
        let [a, b] = ["127.0.0.1:3306", "127.0.0.1:3307"].map(|address| address.parse().unwrap());
        let (first, again, other) = (limits.for_server(a), limits.for_server(a), limits.for_server(b));
        assert!(Arc::ptr_eq(&first, &again) && !Arc::ptr_eq(&first, &other));
        drop((first, again));
        let _third = limits.for_server("127.0.0.1:3308".parse().unwrap());
        assert_eq!(lock(&limits.0).len(), 2);
    }
}
