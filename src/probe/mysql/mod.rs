//! The checks `matrixone` and `mysql`: servers of the MySQL protocol.
//!
//! A real MySQL server counts handshakes that break off and blocks the host that makes too many of them, for all its
//! applications. MatrixOne's front end welcomes connections that only listen to its greeting. So there are two path
//! checks ([`GreetingProber`], [`LoginProber`]), and a deep check that both kinds share. What can't be completed is
//! ended by a login that is refused, but never at MatrixOne, where that is a failed login of its provider's own
//! account. Whoever leaves such refusals behind asks at a gentle pace, whatever the verdict. While one is not answered
//! there is no other one for five minutes, then for twice as long after each that never came, half a day at most. A
//! hedge is the exception to the pace: a late ping has one second connection, which ends in a refused login although
//! the user works.
//!
//! - `packet`, `transport`: packets over a connection, plain or within TLS
//! - `greeting`, `errors`: what a server says first, and what its errors mean (pure)
//! - `tls_mode`: TLS, and whose certificate will do; a bad one breaks no handshake off
//! - `tls_book`, `tls_ledger`, `tls_budget`: how many TLS handshakes may break off, and where that is kept;
//!   `tls_guard`: what a prober makes of it; `upgrade`: the step itself
//! - `login_relay`, `query_relay`: mysql_async logs in and asks, and each packet is judged on its way
//! - `session`: a connection that is logged in; `server`: how to get one; `opening`: one that has greeted and speaks
//!   TLS
//! - `path`: the path check of MySQL; `hedge`: a second question where its ping is late; `decline`: how a handshake is
//!   ended that nobody goes on with
//! - `inflight_attempt`: attempts are awaited beyond their probe; `handshake_limit`: what all probers of a server
//!   share, and that there is one handshake at a time, beside those that a refusal is still to end; `silence`,
//!   `pauses`: when a server, or a login, is left alone for a while

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout, timeout_at};

mod decline;
mod errors;
mod goodbye;
mod greeting;
mod handshake_limit;
mod hedge;
mod inflight_attempt;
mod login_relay;
mod opening;
mod packet;
mod path;
mod pauses;
mod query_relay;
mod server;
mod session;
mod silence;
pub mod tls_book;
mod tls_budget;
mod tls_guard;
mod tls_ledger;
mod tls_mode;
mod transport;
mod upgrade;

pub use errors::{ServerError, Stage};
pub use greeting::FirstPacket;
pub use handshake_limit::HandshakeLimits;
pub use server::{Product, Shared};
pub use tls_budget::TlsBudget;

use super::dial::Deadline;
use super::tls::Sessions;
use super::{Overlap, Prober};
use crate::health::Pace;
use crate::model::{
    Certificate, Depth, Failure, FailureReason, MysqlLogin, MysqlSpec, Schedule, Secret, Timings, hide,
};
use crate::sys::lock::lock;
use greeting::Greeting;
use hedge::Hedges;
use inflight_attempt::{InflightAttempt, Phase, Progress};
use login_relay::{Driver, FirstRow};
use packet::Packets;
use server::{HOLD, Server, overdue};
use session::{LoggedIn, Session};
use tls_mode::Secrecy;

/// What a deep check says on a connection without TLS once it is open: a login, then a statement. For streams that
/// somebody else has opened.
///
/// # Errors
/// Why the statement has no result.
pub async fn converse<S>(stream: S, login: &MysqlLogin, sql: &str) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut packets = Packets::new(stream);
    let greeting = Greeting::read(&packets.read(greeting::MAX_GREETING).await?, login.secret())?;
    greeting.check_login_possible()?;
    let (mut driver, _) = Driver::log_in(&mut packets, &greeting, &Secrecy::Open, login).await?;
    let asked = driver.ask(&mut packets, sql).await;
    driver.dismiss().await;
    Ok(asked.map(drop)?)
}

/// The path check of MatrixOne: its front end greets. Not a byte is sent, except that every five minutes its
/// certificate is looked at: to the front end both are a connection whose client said no more, its load balancer's
/// heartbeat, and it counts neither.
#[derive(Debug)]
pub struct GreetingProber {
    server: Server,
    /// When the certificate was last found good.
    certificate_good_since: Mutex<Option<Instant>>,
}

impl GreetingProber {
    /// A prober of one address and port.
    #[must_use]
    pub fn new(address: SocketAddr, spec: &MysqlSpec, shared: &Shared<'_>) -> Self {
        Self {
            server: Server::new(address, Product::Matrixone, spec, shared),
            certificate_good_since: Mutex::default(),
        }
    }

    fn look_is_due(&self) -> bool {
        !self.server.tls.is_never_used()
            && lock(&self.certificate_good_since).is_none_or(|at| at.elapsed() >= Sessions::LIFETIME)
    }
}

impl Prober for GreetingProber {
    fn overlap(&self) -> Overlap {
        Overlap::Hedged
    }

    fn certificate(&self) -> Option<Arc<Certificate>> {
        self.server.tls.certificate()
    }

    fn pace(&self) -> Pace {
        if self.server.turns_away() { self.server.sparing_pace() } else { Pace::Scheduled }
    }

    fn is_reached(&self) -> Option<bool> {
        self.server.remote.is_reached()
    }

    fn remark(&self) -> Option<Arc<str>> {
        self.server.guard.remark()
    }

    async fn probe(&self, deadline: Duration) -> Result<Timings, Failure> {
        let certificate = self.look_is_due();
        if certificate {
            self.server.prepare(deadline).await?;
            // A ticket would hide the certificate.
            self.server.tls.forget_tickets();
        }
        let outcome = self.server.greet_and_look(Deadline::after(deadline), certificate).await;
        match outcome {
            Ok(timings) if certificate && timings.tls.is_some() => {
                *lock(&self.certificate_good_since) = Some(Instant::now());
            }
            Ok(_) => {}
            // At an edge the certificate is asked for again.
            Err(_) => *lock(&self.certificate_good_since) = None,
        }
        outcome
    }
}

/// A check that logs in: a ping on a kept connection, or a fresh login with a statement.
#[derive(Debug)]
pub struct LoginProber {
    server: Arc<Server>,
    question: Question,
    attempt: InflightAttempt<Ended>,
    /// Of a path check.
    hedges: Option<Hedges>,
    hedge_attempt: InflightAttempt<Result<Timings, Failure>>,
    /// How the latest attempt ended, and when; held by whoever awaits the one under way.
    latest: tokio::sync::Mutex<Option<(Instant, Result<Timings, Failure>)>>,
    kept: Mutex<Option<Session>>,
    /// Why the latest path check went without a login, if it did.
    no_login: Mutex<Option<Failure>>,
}

#[derive(Debug, Clone)]
enum Question {
    /// Does a kept connection answer?
    Ping,
    /// Is a login accepted, and does a statement give what it should?
    Fresh(Option<Arc<Statement>>),
}

#[derive(Debug)]
struct Statement {
    sql: String,
    expect: Option<String>,
}

/// How an attempt ended, and what may be kept of it.
#[derive(Debug)]
struct Ended {
    session: Option<Session>,
    /// Why there was no login, where the greeting was all that was looked at.
    no_login: Option<Failure>,
    outcome: Result<Timings, Failure>,
}

impl Ended {
    /// Nothing is left to keep.
    fn new(outcome: Result<Timings, Failure>) -> Self {
        Self { session: None, no_login: None, outcome }
    }
}

impl LoginProber {
    /// The path check of MySQL: a ping on a kept connection.
    #[must_use]
    pub fn mysql_path(address: SocketAddr, spec: &MysqlSpec, schedule: &Schedule, shared: &Shared<'_>) -> Self {
        let server = Server::new(address, Product::Any, spec, shared);
        let hedges = Hedges::new(schedule, server.between_refusals());
        Self { hedges: Some(hedges), ..Self::new(server, Question::Ping) }
    }

    /// The deep check of MySQL.
    #[must_use]
    pub fn mysql_deep(address: SocketAddr, spec: &MysqlSpec, depth: Depth, shared: &Shared<'_>) -> Self {
        Self::new(Server::new(address, Product::Any, spec, shared), Question::fresh_login(spec, depth))
    }

    /// The deep check of MatrixOne.
    #[must_use]
    pub fn matrixone_deep(address: SocketAddr, spec: &MysqlSpec, depth: Depth, shared: &Shared<'_>) -> Self {
        Self::new(Server::new(address, Product::Matrixone, spec, shared), Question::fresh_login(spec, depth))
    }

    fn new(server: Server, question: Question) -> Self {
        Self {
            server: Arc::new(server),
            question,
            attempt: InflightAttempt::new(),
            hedges: None,
            hedge_attempt: InflightAttempt::new(),
            latest: tokio::sync::Mutex::default(),
            kept: Mutex::default(),
            no_login: Mutex::default(),
        }
    }

    /// Begins an attempt with what was kept, or what an earlier attempt has left.
    fn begin(&self, stale: Option<Ended>, allowed: Duration, progress: Progress) -> tokio::task::JoinHandle<Ended> {
        let kept = stale.and_then(|ended| ended.session).or_else(|| lock(&self.kept).take());
        let (server, question) = (self.server.clone(), self.question.clone());
        tokio::spawn(async move {
            match question {
                Question::Ping => path::check(&server, kept, allowed, &progress).await,
                Question::Fresh(statement) => {
                    Ended::new(log_in_and_ask(&server, statement.as_deref(), allowed, &progress).await)
                }
            }
        })
    }
}

impl LoginProber {
    /// How the attempt under way ends, or a new one, unless one has ended since then.
    async fn share_answer(
        &self,
        mut latest: tokio::sync::MutexGuard<'_, Option<(Instant, Result<Timings, Failure>)>>,
        (began, allowed): (Instant, Duration),
    ) -> Result<Timings, Failure> {
        if let Some((_, outcome)) = latest.as_ref().filter(|(ended, _)| *ended > began) {
            // What was sent again is the first one's to tell.
            return outcome.clone().map(|timings| Timings { retransmissions: 0, tail_loss_probe: true, ..timings });
        }
        // The caller's own deadline is the earlier one.
        let ended =
            self.attempt.join_or_begin(allowed * 2, |stale, progress| self.begin(stale, allowed, progress)).await?;
        let outcome = self.keep_rest(ended);
        *latest = Some((Instant::now(), outcome.clone()));
        outcome
    }

    /// The failure of an attempt that goes on. That somebody of us has the turn, whom the server has greeted, is no
    /// fault of the path's.
    fn unfinished(&self, waited: Duration) -> Failure {
        let phase = self.attempt.phase().unwrap_or(Phase::Turn);
        let failure = phase.overdue(waited);
        let is_ours = phase == Phase::Turn && self.server.limit.is_greeted();
        if is_ours { Failure::new(FailureReason::Local, failure.detail) } else { failure }
    }
}

impl Prober for LoginProber {
    fn overlap(&self) -> Overlap {
        match self.question {
            // A further one waits for the answer to the same ping, or hedges it.
            Question::Ping => Overlap::Hedged,
            Question::Fresh(_) => Overlap::OneAwaited,
        }
    }

    fn certificate(&self) -> Option<Arc<Certificate>> {
        self.server.tls.certificate()
    }

    fn pace(&self) -> Pace {
        if let Some(rest) = self.server.rest_after_silence().filter(|_| lock(&self.kept).is_none()) {
            Pace::Resting(rest)
        } else if lock(&self.no_login).is_some() || self.server.turns_away() {
            self.server.sparing_pace()
        } else {
            Pace::Scheduled
        }
    }

    fn is_reached(&self) -> Option<bool> {
        self.server.remote.is_reached()
    }

    fn remark(&self) -> Option<Arc<str>> {
        let greeted = lock(&self.no_login).as_ref().map(|why| path::remark(why, self.server.delays_refusals()));
        greeted.or_else(|| self.server.guard.remark())
    }

    async fn probe(&self, deadline: Duration) -> Result<Timings, Failure> {
        let began = Instant::now();
        self.server.prepare(deadline).await?;
        let heard = timeout_at(began + deadline, async {
            // Who comes second shares what the first hears, or tells more.
            tokio::select! {
                biased;
                latest = self.latest.lock() => Ok(self.share_answer(latest, (began, deadline)).await),
                turn = self.turn_to_hedge() => Err(turn),
            }
        });
        match heard.await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(turn)) => self.hedge(turn, (began, deadline)).await,
            Err(_) => Err(self.unfinished(deadline)),
        }
    }
}

impl Question {
    fn fresh_login(spec: &MysqlSpec, depth: Depth) -> Self {
        let statement = || Arc::new(Statement { sql: spec.query.clone(), expect: spec.expect.clone() });
        Self::Fresh((depth == Depth::Query).then(statement))
    }
}

/// A login, a statement where there is one, and a goodbye.
async fn log_in_and_ask(
    server: &Server,
    statement: Option<&Statement>,
    allowed: Duration,
    progress: &Progress,
) -> Result<Timings, Failure> {
    let LoggedIn { mut session, mut driver, mut timings } = server.log_in(allowed, progress).await?;
    if let Some(statement) = statement {
        progress.enter(Phase::Statement);
        let asking = timeout(HOLD, session.ask(&mut driver, &statement.sql)).await;
        let asked = asking.unwrap_or_else(|_| Err(overdue("no result of the statement", HOLD).into()));
        let (found, took) = asked.map_err(|fault| server.note_failed_statement(fault))?;
        timings.query = Some(took);
        timings.total += took;
        check_row(found, statement.expect.as_deref(), server.secret())?;
    }
    let _ = timeout(HOLD, driver.dismiss()).await;
    Ok(timings)
}

/// Whether a statement gave what it should: a row at least. No message repeats the secret.
fn check_row(found: FirstRow, expect: Option<&str>, secret: Option<&Secret>) -> Result<(), Failure> {
    let found = match (found, expect) {
        (FirstRow::Nothing, _) => "no row".to_owned(),
        (_, None) => return Ok(()),
        (FirstRow::Text(text), Some(expected)) if text == expected => return Ok(()),
        (FirstRow::Text(text), Some(_)) => format!("{:?}", hide(&text, secret.map(Secret::expose))),
        (FirstRow::Null, Some(_)) => "NULL".to_owned(),
    };
    let expected = expect.map_or_else(|| "a row".to_owned(), |expected| format!("{expected:?}"));
    Err(Failure::new(FailureReason::Result, format_args!("expected {expected}, found {found}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_the_expected_one_or_says_what_it_is() {
        let text = |text: &str| FirstRow::Text(text.to_owned());
        assert_eq!(check_row(text("1"), None, None), Ok(()));
        assert_eq!(check_row(FirstRow::Null, None, None), Ok(()));
        assert_eq!(check_row(text("1"), Some("1"), None), Ok(()));
        let said =
            |found, expect| check_row(found, expect, Some(&Secret::new("hunter2".into()))).unwrap_err().to_string();
        assert_eq!(said(FirstRow::Nothing, None), "result: expected a row, found no row");
        assert_eq!(said(FirstRow::Nothing, Some("1")), "result: expected \"1\", found no row");
        assert_eq!(said(text("2"), Some("1")), "result: expected \"1\", found \"2\"");
        assert_eq!(said(text("hunter2"), Some("1")), "result: expected \"1\", found \"[secret]\"");
        assert_eq!(said(FirstRow::Null, Some("1")), "result: expected \"1\", found NULL");
    }
}
