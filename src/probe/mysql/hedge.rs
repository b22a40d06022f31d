//! A second question beside a ping that is not answered: one new connection, up to the greeting.
//!
//! Of a kept connection's silence there is no telling whether the server is silent or what lay between has lost the
//! connection. Another one, asked once the ping is as late as any other probe's hedge is begun, tells within a round
//! trip, and a dead path is noticed as soon as by a check that may overlap. The ping stays awaited. There is one an
//! edge; none while another prober shakes hands with the server, nor where its last word was that it has no room for
//! connections. It ends in a refused login, so the hedges of a fleet are spread, too: where that takes longer than a
//! ping is waited for, most hosts make none.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::Schedule;
use crate::sys::lock::lock;

/// What is known of the hedges of one path check.
#[derive(Debug)]
pub(super) struct Hedges {
    /// How late a ping is that is hedged.
    pub(super) late_after: Duration,
    /// Between two of them, at least: less than from one edge to the next.
    apart: Duration,
    /// When the latest one began; absent before the first.
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

    /// True if the latest one is long enough ago for another.
    pub(super) fn is_due(&self) -> bool {
        lock(&self.begun).is_none_or(|begun| begun.elapsed() >= self.apart)
    }

    /// One begins now.
    pub(super) fn note_begun(&self) {
        *lock(&self.begun) = Some(Instant::now());
    }
}
