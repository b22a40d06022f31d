//! A second question beside a ping that is not answered: one new connection, up to the greeting.
//!
//! Of a kept connection's silence nobody knows whether the server is silent or what lay between has lost the
//! connection. Another one, asked once the ping is as late as any other probe's hedge is begun, tells within a round
//! trip, and a dead path is noticed as soon as by a check that may overlap. The ping stays awaited. There is one an
//! edge; none while anybody of us shakes hands with the server, nor where its last word was that it has no room for
//! connections. It ends in a refused login, so the hedges of a fleet are spread, too: where that takes longer than a
//! ping is waited for, most hosts make none.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::handshake_limit::Turn;
use super::inflight_attempt::{Phase, Progress};
use super::server::Server;
use super::{Ended, LoginProber};
use crate::model::{Failure, Schedule, Timings};
use crate::sys::lock::lock;

/// What is known of the hedges of one path check.
#[derive(Debug)]
pub(super) struct Hedges {
    /// How late a ping is that is hedged.
    late_after: Duration,
    /// Between two of them, at least: less than from one edge to the next.
    apart: Duration,
    begun: Mutex<Option<Instant>>,
}

impl Hedges {
    /// Of a path check with this rhythm, on a host that has to leave so much between two of its refused logins that
    /// those of the whole fleet stay few.
    pub(super) fn new(schedule: &Schedule, in_the_fleet: Duration) -> Self {
        Self {
            late_after: schedule.fast_interval + in_the_fleet.mul_f64(fastrand::f64()),
            apart: schedule.interval.mul_f64(0.8).max(in_the_fleet),
            begun: Mutex::default(),
        }
    }

    fn is_due(&self) -> bool {
        lock(&self.begun).is_none_or(|begun| begun.elapsed() >= self.apart)
    }
}

impl LoginProber {
    /// Waits until the ping that another attempt awaits is late enough to be hedged. Never comes back if there is none
    /// to hedge, or nobody may.
    pub(super) async fn turn_to_hedge(&self) -> Turn {
        let never = std::future::pending;
        let Some((hedges, began)) = self.hedges.as_ref().zip(self.attempt.began()) else { return never().await };
        tokio::time::sleep_until(began + hedges.late_after).await;
        if self.attempt.phase() != Some(Phase::Ping) || !hedges.is_due() || !self.server.may_be_greeted() {
            return never().await;
        }
        // Whoever has the turn will be heard of.
        let Some(turn) = self.server.limit.turn_if_free() else { return never().await };
        *lock(&hedges.begun) = Some(Instant::now());
        turn
    }

    /// Hedges. A connection on which nothing is said lives on beyond `allowed`, as any.
    pub(super) async fn hedge(&self, turn: Turn, (began, allowed): (Instant, Duration)) -> Result<Timings, Failure> {
        let server = self.server.clone();
        let begin =
            |_, progress: Progress| tokio::spawn(async move { server.greet_as_hedge(allowed, &progress, turn).await });
        // The caller's own deadline is the earlier one.
        let outcome = match timeout_at(began + allowed, self.hedge_attempt.join_or_begin(allowed * 2, begin)).await {
            Ok(ended) => ended.and_then(|outcome| outcome),
            Err(_) => Err(self.hedge_attempt.phase().unwrap_or(Phase::Greeting).overdue(allowed)),
        };
        outcome.inspect_err(|failure| self.server.limit.note_answer(Some(failure)))
    }

    /// Keeps what an attempt has left.
    pub(super) fn keep_rest(&self, ended: Ended) -> Result<Timings, Failure> {
        let Ended { session, no_login, outcome } = ended;
        self.server.limit.note_answer(no_login.as_ref().or(outcome.as_ref().err()));
        *lock(&self.kept) = session;
        *lock(&self.no_login) = no_login;
        outcome
    }
}

impl Server {
    /// The greeting, without TLS, politely left.
    async fn greet_as_hedge(&self, allowed: Duration, progress: &Progress, turn: Turn) -> Result<Timings, Failure> {
        let opened = self.open_until_greeting(allowed, progress, turn).await?;
        let timings = opened.timings;
        self.decline(opened).await;
        Ok(timings)
    }
}
