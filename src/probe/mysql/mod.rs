//! The checks `matrixone` and `mysql`: servers of the MySQL protocol.
//!
//! A real MySQL server counts handshakes that break off and blocks the host that makes too many of them, for all its
//! applications. MatrixOne's front end welcomes connections that only listen to its greeting. So there are two path
//! checks ([`GreetingProber`], [`LoginProber`]), and a deep check that both kinds share. What can't be completed is ended
//! by a login that is refused, but never at MatrixOne, where that is a failed login of its provider's own account.
//!
//! - `packet`, `line`: packets over a connection, plain or within TLS
//! - `greeting`, `errors`: what a server says first, and what its errors mean (pure)
//! - `seal`: TLS, and whose certificate will do; `lenient`: a bad one breaks no handshake off
//! - `tls_book`, `tls_budget`: how many TLS handshakes may break off; `tls_guard`: what a prober makes of that;
//!   `upgrade`: the step itself
//! - `airlock`, `statement`: mysql_async logs in and asks, and each packet is judged on its way
//! - `session`: a connection that is logged in; `server`: how to get one
//! - `late`, `gate`: attempts are awaited and never dropped, and there is one at a time a server

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

mod airlock;
mod errors;
mod gate;
mod goodbye;
mod greeting;
mod late;
mod lenient;
mod line;
mod packet;
mod seal;
mod server;
mod session;
mod statement;
pub mod tls_book;
mod tls_budget;
mod tls_guard;
mod upgrade;

pub use errors::{ServerError, Stage};
pub use gate::Gates;
pub use server::{Product, Shared};
pub use tls_budget::TlsBudget;

use super::dial::Deadline;
use super::tls::{Sessions, lock};
use super::{Overlap, Prober};
use crate::model::{Certificate, Depth, Failure, FailureReason, MysqlLogin, MysqlSpec, Secret, Timings, hide};
use airlock::{Driver, Found, LoginFault};
use greeting::Greeting;
use late::{Late, Phase, Progress};
use packet::Packets;
use seal::Secrecy;
use server::{NoLogin, Server};
use session::{PingFault, Session};

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
    let greeting = Greeting::of(&packets.read(greeting::MOST).await?, login.secret())?;
    let (mut driver, _) = match Driver::log_in(&mut packets, &greeting, &Secrecy::Open, login).await {
        Ok(logged_in) => logged_in,
        Err(LoginFault::Failed(f) | LoginFault::SecretRefused(f, _) | LoginFault::Unanswerable(f)) => return Err(f),
    };
    let asked = driver.ask(&mut packets, sql).await;
    driver.dismiss().await;
    asked.map(drop)
}

/// The path check of MatrixOne: its front end greets. Not a byte is sent, except that every five minutes its
/// certificate is looked at: to the front end both are a connection whose client said no more, its load balancer's
/// heartbeat, and it counts neither.
#[derive(Debug)]
pub struct GreetingProber {
    server: Server,
    /// When the certificate was last found good.
    looked: Mutex<Option<Instant>>,
}

impl GreetingProber {
    /// A prober of one address and port.
    #[must_use]
    pub fn new(address: SocketAddr, spec: &MysqlSpec, shared: &Shared<'_>) -> Self {
        Self { server: Server::new(address, Product::Matrixone, spec, shared), looked: Mutex::default() }
    }

    fn look_is_due(&self) -> bool {
        !self.server.seal.never() && lock(&self.looked).is_none_or(|at| at.elapsed() >= Sessions::LIFETIME)
    }
}

impl Prober for GreetingProber {
    fn overlap(&self) -> Overlap {
        Overlap::Hedged
    }

    fn certificate(&self) -> Option<Arc<Certificate>> {
        self.server.seal.certificate()
    }

    fn remark(&self) -> Option<Arc<str>> {
        self.server.guard.remark()
    }

    async fn probe(&self, deadline: Duration) -> Result<Timings, Failure> {
        let certificate = self.look_is_due();
        if certificate {
            self.server.prepare(deadline).await?;
            // A ticket would hide the certificate.
            self.server.seal.forget();
        }
        let outcome = self.server.look(Deadline::after(deadline), certificate).await;
        match outcome {
            Ok(_) if certificate => *lock(&self.looked) = Some(Instant::now()),
            Ok(_) => {}
            // At an edge the certificate is asked for again.
            Err(_) => *lock(&self.looked) = None,
        }
        outcome
    }
}

/// A check that logs in: a ping on a kept connection, or a fresh login with a statement.
#[derive(Debug)]
pub struct LoginProber {
    server: Arc<Server>,
    question: Question,
    late: Late<Ended>,
    kept: Mutex<Option<Session>>,
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
    outcome: Result<Timings, Failure>,
}

impl LoginProber {
    /// The path check of MySQL: a ping on a kept connection.
    #[must_use]
    pub fn ping(address: SocketAddr, spec: &MysqlSpec, shared: &Shared<'_>) -> Self {
        Self::new(Server::new(address, Product::Any, spec, shared), Question::Ping)
    }

    /// The deep check of MySQL.
    #[must_use]
    pub fn mysql(address: SocketAddr, spec: &MysqlSpec, depth: Depth, shared: &Shared<'_>) -> Self {
        Self::new(Server::new(address, Product::Any, spec, shared), Question::of(spec, depth))
    }

    /// The deep check of MatrixOne.
    #[must_use]
    pub fn matrixone(address: SocketAddr, spec: &MysqlSpec, depth: Depth, shared: &Shared<'_>) -> Self {
        Self::new(Server::new(address, Product::Matrixone, spec, shared), Question::of(spec, depth))
    }

    fn new(server: Server, question: Question) -> Self {
        Self { server: Arc::new(server), question, late: Late::new(), kept: Mutex::default() }
    }

    /// Begins an attempt with what was kept, or what an earlier attempt has left.
    fn begin(&self, stale: Option<Ended>, allowed: Duration, progress: Progress) -> tokio::task::JoinHandle<Ended> {
        let kept = stale.and_then(|ended| ended.session).or_else(|| lock(&self.kept).take());
        let (server, question) = (self.server.clone(), self.question.clone());
        tokio::spawn(async move {
            match question {
                Question::Ping => ping(&server, kept, allowed, &progress).await,
                Question::Fresh(statement) => {
                    let outcome = fresh(&server, statement.as_deref(), allowed, &progress).await;
                    Ended { session: None, outcome }
                }
            }
        })
    }
}

impl Prober for LoginProber {
    fn overlap(&self) -> Overlap {
        Overlap::OneAwaited
    }

    fn certificate(&self) -> Option<Arc<Certificate>> {
        self.server.seal.certificate()
    }

    fn remark(&self) -> Option<Arc<str>> {
        self.server.guard.remark()
    }

    async fn probe(&self, deadline: Duration) -> Result<Timings, Failure> {
        self.server.prepare(deadline).await?;
        let ended = self.late.end(deadline, |stale, progress| self.begin(stale, deadline, progress)).await?;
        *lock(&self.kept) = ended.session;
        ended.outcome
    }
}

impl Question {
    fn of(spec: &MysqlSpec, depth: Depth) -> Self {
        let statement = || Arc::new(Statement { sql: spec.query.clone(), expect: spec.expect.clone() });
        Self::Fresh((depth == Depth::Query).then(statement))
    }
}

/// A ping; where the kept connection has gone, one new login instead.
async fn ping(server: &Server, kept: Option<Session>, allowed: Duration, progress: &Progress) -> Ended {
    if let Some(mut session) = kept {
        progress.enter(Phase::Ping);
        match session.ping().await {
            Ok(took) => {
                let timings = Timings { answer: Some(took), total: took, ..Timings::default() };
                return Ended { session: Some(session), outcome: Ok(timings) };
            }
            Err(PingFault::Said(failure)) => return Ended { session: None, outcome: Err(failure) },
            Err(PingFault::Gone) => {}
        }
    }
    match server.log_in(allowed, progress).await {
        Ok((session, driver, timings)) => {
            driver.dismiss().await;
            // So that within one probe a dead connection is noticed and a new one tried.
            session.keep((allowed / 2).clamp(Duration::from_millis(500), Duration::from_secs(5)));
            Ended { session: Some(session), outcome: Ok(timings) }
        }
        // The fault is our login's alone: the greeting has proved the path.
        Err(NoLogin::Ours(_, timings)) => Ended { session: None, outcome: Ok(timings) },
        Err(NoLogin::Failed(failure)) => Ended { session: None, outcome: Err(failure) },
    }
}

/// A login, a statement where there is one, and a goodbye.
async fn fresh(
    server: &Server,
    statement: Option<&Statement>,
    allowed: Duration,
    progress: &Progress,
) -> Result<Timings, Failure> {
    let (mut session, mut driver, mut timings) = server.log_in(allowed, progress).await?;
    if let Some(statement) = statement {
        progress.enter(Phase::Statement);
        let (found, took) = session.ask(&mut driver, &statement.sql).await?;
        timings.query = Some(took);
        timings.total += took;
        judge(found, statement.expect.as_deref(), server.secret())?;
    }
    driver.dismiss().await;
    Ok(timings)
}

/// Whether a statement gave what it should: a row at least. No message repeats the secret.
fn judge(found: Found, expect: Option<&str>, secret: Option<&Secret>) -> Result<(), Failure> {
    let found = match (found, expect) {
        (Found::Nothing, _) => "no row".to_owned(),
        (_, None) => return Ok(()),
        (Found::Text(text), Some(expected)) if text == expected => return Ok(()),
        (Found::Text(text), Some(_)) => format!("{:?}", hide(&text, secret.map(Secret::expose))),
        (Found::Null, Some(_)) => "NULL".to_owned(),
    };
    let expected = expect.map_or_else(|| "a row".to_owned(), |expected| format!("{expected:?}"));
    Err(Failure::new(FailureReason::Result, format_args!("expected {expected}, found {found}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_the_expected_one_or_says_what_it_is() {
        let text = |text: &str| Found::Text(text.to_owned());
        assert_eq!(judge(text("1"), None, None), Ok(()));
        assert_eq!(judge(Found::Null, None, None), Ok(()));
        assert_eq!(judge(text("1"), Some("1"), None), Ok(()));
        let said = |found, expect| judge(found, expect, Some(&Secret::new("hunter2".into()))).unwrap_err().to_string();
        assert_eq!(said(Found::Nothing, None), "result: expected a row, found no row");
        assert_eq!(said(Found::Nothing, Some("1")), "result: expected \"1\", found no row");
        assert_eq!(said(text("2"), Some("1")), "result: expected \"1\", found \"2\"");
        assert_eq!(said(text("hunter2"), Some("1")), "result: expected \"1\", found \"[secret]\"");
        assert_eq!(said(Found::Null, Some("1")), "result: expected \"1\", found NULL");
    }
}
