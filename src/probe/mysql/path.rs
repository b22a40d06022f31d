//! The path check of a MySQL server: a ping on a kept connection.
//!
//! Its verdict is the greeting, so that failing over needs no password: where no login can be used (refused, paused, of
//! a kind that we don't speak, without room for another), the server is greeted and left politely instead, at a gentle
//! rate. That says less than a ping, and is said.
//!
//! A second question beside a ping that is not answered: one new connection, up to the greeting.
//!
//! Of a kept connection's silence there is no telling whether the server is silent or what lay between has lost the
//! connection. Another one, asked once the ping is as late as any other probe's hedge is begun, tells within a round
//! trip, and a dead path is noticed as soon as by a check that may overlap. The ping stays awaited. There is one an
//! edge; none while another prober shakes hands with the server, nor where its last word was that it has no room for
//! connections. It ends in a refused login, so the hedges of a fleet are spread, too: where that takes longer than a
//! ping is waited for, most hosts make none.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::inflight_attempt::{Attempt, Phase};
use super::refusals::Refusals;
use super::server::Server;
use super::session::{LoggedIn, NoLogin, PingFault, Session};
use crate::model::{Failure, Schedule, Timings};
use crate::sys::lock::lock;

/// How long the answer to a ping is waited for before the connection is given up for a new one. A connection may hang
/// where new ones work: a load balancer has lost what was behind it.
const PING: Duration = Duration::from_secs(15);
/// How long a goodbye to mysql_async may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// How an attempt ended, and what may be kept of it.
#[derive(Debug)]
pub(super) struct Ended {
    /// The session to keep; absent if there is none.
    pub(super) session: Option<Session>,
    /// Why there was no login, where the greeting was all that was looked at.
    pub(super) no_login: Option<Failure>,
    pub(super) outcome: Result<Timings, Failure>,
}

impl Ended {
    /// Nothing is left to keep.
    pub(super) fn new(outcome: Result<Timings, Failure>) -> Self {
        Self { session: None, no_login: None, outcome }
    }
}

/// One path check. Where the kept connection has gone, there is one new login instead.
pub(super) async fn check(server: &Server, kept: Option<Session>, attempt: &Attempt) -> Ended {
    if let Some(session) = kept {
        match ping(session, attempt).await {
            Ok((session, timings)) => return Ended { session: Some(session), ..Ended::new(Ok(timings)) },
            Err(PingFault::Said(failure)) => return Ended::new(Err(failure)),
            Err(PingFault::Unfit(failure)) => server.pause_login(&failure),
            Err(PingFault::Gone) => {}
        }
    }
    match server.log_in(attempt).await {
        Ok(LoggedIn { session, driver, timings }) => {
            let _ = timeout(GOODBYE, driver.dismiss()).await;
            // So that within one probe a dead connection is noticed and a new one tried.
            session.give_up_when_peer_gone(
                (attempt.deadline.allowed() / 2).clamp(Duration::from_millis(500), Duration::from_secs(5)),
            );
            Ended { session: Some(session), ..Ended::new(Ok(timings)) }
        }
        Err(NoLogin::LoginAtFault(why, timings)) => Ended { no_login: Some(why), ..Ended::new(Ok(*timings)) },
        Err(NoLogin::Unusable(why)) => {
            Ended { no_login: Some(why), ..Ended::new(server.greet_and_leave(attempt).await) }
        }
        Err(NoLogin::Lacking(failure) | NoLogin::Failed(failure)) => Ended::new(Err(failure)),
    }
}

async fn ping(mut session: Session, attempt: &Attempt) -> Result<(Session, Timings), PingFault> {
    attempt.enter(Phase::Ping);
    let took = timeout(PING, session.ping()).await.unwrap_or(Err(PingFault::Gone))?;
    let timings = Timings { answer: Some(took), total: took, ..Timings::default() };
    let timings = session.resent_since_last_look().add_to_timings(timings);
    Ok((session, timings))
}

/// What people should know of a server that is only greeted.
pub(super) fn remark(no_login: &Failure, delays_refusals: bool) -> Arc<str> {
    let advice = if delays_refusals { format!("; {}", Refusals::DELAYED) } else { String::new() };
    format!("without a login only its greeting is looked at, once a minute or less{advice}: {no_login}").into()
}

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
