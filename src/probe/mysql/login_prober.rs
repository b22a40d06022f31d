//! The checks that log in: a ping on a kept connection, or a fresh login with a statement.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::errors::Product;
use super::handshake_limit::Turn;
use super::inflight_attempt::{Attempt, InflightAttempt, Phase};
use super::login_relay::FirstRow;
use super::path::{self, Ended, Hedges};
use super::server::{HOLD, Server, Shared};
use super::session::{LoggedIn, Session};
use crate::health::Pace;
use crate::model::secret_parts::{masked, of_text};
use crate::model::{Certificate, Depth, Failure, FailureReason, MysqlSpec, Schedule, Secret, Timings, hide};
use crate::probe::dial::Deadline;
use crate::probe::faults::local;
use crate::probe::prober::{Overlap, Prober};
use crate::sys::lock::lock;

/// A check that logs in: a ping on a kept connection, or a fresh login with a statement.
#[derive(Debug)]
pub struct LoginProber {
    server: Arc<Server>,
    question: Question,
    attempt: InflightAttempt<Ended>,
    /// Of a path check.
    hedges: Option<Hedges>,
    hedge_attempt: InflightAttempt<Result<Timings, Failure>>,
    /// How the latest attempt ended, and when; held by the probe that awaits the one under way.
    latest: tokio::sync::Mutex<Option<(Instant, Result<Timings, Failure>)>>,
    kept: Mutex<Option<Session>>,
    /// Why the latest path check went without a login, if it did.
    no_login: Mutex<Option<Failure>>,
}

#[derive(Debug, Clone, Copy)]
enum Question {
    /// Does a kept connection answer?
    Ping,
    /// Is a login accepted, and does the statement give what it should, if this goes so deep?
    Fresh(Depth),
}

impl LoginProber {
    /// The path check of MySQL: a ping on a kept connection.
    pub(crate) fn path(address: SocketAddr, spec: &MysqlSpec, schedule: &Schedule, shared: &Shared) -> Self {
        let server = Server::new(address, Product::Any, spec, shared);
        let hedges = Hedges::new(schedule, server.between_refusals());
        Self { hedges: Some(hedges), ..Self::new(server, Question::Ping) }
    }

    /// The deep check.
    pub(crate) fn deep(address: SocketAddr, product: Product, spec: &MysqlSpec, depth: Depth, shared: &Shared) -> Self {
        Self::new(Server::new(address, product, spec, shared), Question::Fresh(depth))
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
    fn begin(&self, stale: Option<Ended>, attempt: Attempt) -> JoinHandle<Ended> {
        let kept = stale.and_then(|ended| ended.session).or_else(|| lock(&self.kept).take());
        let (server, question) = (self.server.clone(), self.question);
        tokio::spawn(async move {
            match question {
                Question::Ping => path::check(&server, kept, &attempt).await,
                Question::Fresh(depth) => Ended::new(log_in_and_ask(&server, depth, &attempt).await),
            }
        })
    }

    /// Waits until the ping that another attempt awaits is late enough to be hedged. Never comes back if there is none
    /// to hedge, or the server may not be greeted.
    async fn turn_to_hedge(&self) -> Turn {
        let never = std::future::pending;
        let Some((hedges, began)) = self.hedges.as_ref().zip(self.attempt.began()) else { return never().await };
        tokio::time::sleep_until(began + hedges.late_after).await;
        if self.attempt.phase() != Some(Phase::Ping) || !hedges.is_due() || !self.server.may_be_greeted() {
            return never().await;
        }
        // The prober that has the turn will be heard of.
        let Some(turn) = self.server.limit.turn_if_free() else { return never().await };
        hedges.note_begun();
        turn
    }

    /// Hedges. A connection on which nothing is said lives on beyond `allowed`, as any.
    async fn hedge(&self, turn: Turn, began: Instant, deadline: Deadline) -> Result<Timings, Failure> {
        let allowed = deadline.allowed();
        let server = self.server.clone();
        let begin = |_, attempt: Attempt| tokio::spawn(async move { server.greet_as_hedge(&attempt, turn).await });
        // The caller's own deadline is the earlier one.
        let ended = self.hedge_attempt.join_or_begin(allowed * 2, deadline, begin);
        let outcome = match timeout_at(began + allowed, ended).await {
            Ok(ended) => ended.and_then(|outcome| outcome),
            Err(_) => Err(self.hedge_attempt.phase().unwrap_or(Phase::Greeting).overdue(allowed)),
        };
        outcome.inspect_err(|failure| self.server.limit.note_answer(Some(failure)))
    }

    /// Keeps what an attempt has left.
    fn keep_rest(&self, ended: Ended) -> Result<Timings, Failure> {
        let Ended { session, no_login, outcome } = ended;
        self.server.limit.note_answer(no_login.as_ref().or(outcome.as_ref().err()));
        *lock(&self.kept) = session;
        *lock(&self.no_login) = no_login;
        outcome
    }

    /// How the attempt under way ends, or a new one, unless one has ended since then.
    async fn share_answer(
        &self,
        mut latest: tokio::sync::MutexGuard<'_, Option<(Instant, Result<Timings, Failure>)>>,
        began: Instant,
        deadline: Deadline,
    ) -> Result<Timings, Failure> {
        if let Some((_, outcome)) = latest.as_ref().filter(|(ended, _)| *ended > began) {
            // What was sent again is the first one's to tell.
            return outcome.clone().map(|timings| Timings { retransmissions: 0, tail_loss_probe: true, ..timings });
        }
        // The caller's own deadline is the earlier one.
        let begin = |stale, attempt| self.begin(stale, attempt);
        let outcome = self.keep_rest(self.attempt.join_or_begin(deadline.allowed() * 2, deadline, begin).await?);
        *latest = Some((Instant::now(), outcome.clone()));
        outcome
    }

    /// The failure of an attempt that goes on. That another prober has the turn, which the server has greeted, is no
    /// fault of the path's.
    fn unfinished(&self, waited: Duration) -> Failure {
        let phase = self.attempt.phase().unwrap_or(Phase::Turn);
        let failure = phase.overdue(waited);
        let is_ours = phase == Phase::Turn && self.server.limit.is_greeted();
        if is_ours { local(failure.detail) } else { failure }
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
        if let Some(rest) = self.server.limit.silence.remaining_rest().filter(|_| lock(&self.kept).is_none()) {
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
        let greeted = lock(&self.no_login).as_ref().map(|why| path::remark(why, self.server.limit.refusals.delays()));
        greeted.or_else(|| self.server.guard.remark())
    }

    async fn probe(&self, allowed: Duration) -> Result<Timings, Failure> {
        let (began, deadline) = (Instant::now(), Deadline::after(allowed));
        self.server.prepare(allowed).await?;
        let heard = timeout_at(began + allowed, async {
            // Who comes second shares what the first hears, or tells more.
            tokio::select! {
                biased;
                latest = self.latest.lock() => Ok(self.share_answer(latest, began, deadline).await),
                turn = self.turn_to_hedge() => Err(turn),
            }
        });
        match heard.await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(turn)) => self.hedge(turn, began, deadline).await,
            Err(_) => Err(self.unfinished(allowed)),
        }
    }
}

/// A login, a statement where the check goes so deep, and a goodbye.
async fn log_in_and_ask(server: &Server, depth: Depth, attempt: &Attempt) -> Result<Timings, Failure> {
    let LoggedIn { mut session, mut driver, mut timings } = server.log_in(attempt).await?;
    if depth == Depth::Query {
        attempt.enter(Phase::Statement);
        let asking = timeout(HOLD, session.ask(&mut driver, &server.spec.query)).await;
        let asked = asking.unwrap_or_else(|_| Err(Phase::Statement.overdue(HOLD).into()));
        let (found, took) = asked.map_err(|fault| server.note_failed_statement(fault))?;
        timings.query = Some(took);
        timings.total += took;
        check_row(found, server.spec.expect.as_deref(), server.secret())?;
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
    let expected =
        expect.map_or_else(|| "a row".to_owned(), |expected| format!("{:?}", masked(expected, &of_text(expected))));
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
        assert_eq!(said(text("1"), Some("hunter3")), "result: expected \"[secret]\", found \"1\"");
        assert_eq!(said(FirstRow::Null, Some("1")), "result: expected \"1\", found NULL");
    }
}
