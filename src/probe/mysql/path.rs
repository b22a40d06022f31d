//! The path check of a MySQL server: a ping on a kept connection.
//!
//! Its verdict is the greeting, so that failing over needs no password: where no login can be used (refused, paused, of
//! a kind that we don't speak, without room for another), the server is greeted and left politely instead, at a gentle
//! rate. That says less than a ping, and is said.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::inflight_attempt::{Attempt, Phase};
use super::refusals::Refusals;
use super::server::Server;
use super::session::{LoggedIn, NoLogin, PingFault, Session};
use crate::model::{Failure, Timings};

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
                (attempt.allowed / 2).clamp(Duration::from_millis(500), Duration::from_secs(5)),
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
