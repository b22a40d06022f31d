//! Getting a connection that is logged in, or politely left: when a login may be tried, and what follows from its end.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::timeout;

use super::errors::Product;
use super::inflight_attempt::{Attempt, Phase};
use super::login_fault::{FaultKind, LoginFault};
use super::login_relay::Driver;
use super::opening::Opened;
use super::server::{HOLD, Server, abandoned};
use super::session::{LoggedIn, NoLogin, Session};
use crate::model::{Failure, FailureReason, FileSecret, MysqlLogin, Timings};
use crate::probe::faults::{local, misconfigured};
use crate::probe::secret_guard::Turn as SecretTurn;

impl Server {
    /// A fresh login. Every wait is bounded: what the attempt is allowed is for the TCP handshake, and what comes after
    /// it has as long as a server may take that is to be left politely.
    ///
    /// # Errors
    /// Why there is no login.
    pub(super) async fn log_in(&self, attempt: &Attempt) -> Result<LoggedIn, NoLogin> {
        let login = self.usable_login()?;
        attempt.enter(Phase::Secret);
        // Before the server's own turn, which others may want with other secrets.
        let secret = match &login.password {
            Some(password) => Some(self.secret_turn(password, attempt.deadline.allowed()).await?),
            None => None,
        };
        let ready = self.make_ready(secret.as_ref(), attempt).await;
        let Opened { mut packets, greeting, secrecy, mut timings, resent, turn } = match ready {
            Ok(opened) => opened,
            Err(why) => {
                secret.into_iter().for_each(SecretTurn::give_back_unused);
                return Err(why);
            }
        };
        // MatrixOne holds no answer back on purpose: there silence is the backend's.
        let knows = greeting.product() == Product::Matrixone || self.login_is_known_good(secret.as_ref());
        let phase = if knows { Phase::Login } else { Phase::FirstLogin };
        attempt.enter(phase);
        let logging_in = Driver::log_in(&mut packets, &greeting, &secrecy, login);
        let logged_in = timeout(HOLD, logging_in).await.unwrap_or_else(|_| {
            // It may have been accepted elsewhere meanwhile.
            Err(self.login_unanswered(if self.login_is_known_good(secret.as_ref()) { Phase::Login } else { phase }))
        });
        drop(turn);
        let (driver, took) = match logged_in {
            Ok(logged_in) => logged_in,
            Err(fault) => return Err(self.note_failed_login(login, secret, fault, &timings)),
        };
        secret.into_iter().for_each(SecretTurn::note_accepted);
        self.accepted.store(true, Ordering::Relaxed);
        attempt.enter(Phase::Book);
        self.guard.note_login().await;
        timings.login = Some(took);
        timings.total += took;
        let mut session = Session::new(packets, resent, login.secret().cloned());
        let timings = session.resent_since_last_look().add_to_timings(timings);
        Ok(LoggedIn { session, driver, timings })
    }

    /// A connection that the login, with this secret, may be sent on.
    async fn make_ready(&self, secret: Option<&SecretTurn<'_>>, attempt: &Attempt) -> Result<Opened, NoLogin> {
        let turn = self.handshake_turn(attempt).await;
        self.may_go_on(secret, attempt)?;
        let opened = self.open(attempt, turn).await?;
        if let Err(failure) = opened.greeting.check_login_possible() {
            return Err(NoLogin::LoginAtFault(failure, Box::new(self.turn_away(opened, attempt.deadline).await)));
        }
        let Err(why) = self.may_go_on(secret, attempt) else { return Ok(opened) };
        let greeted = self.decline(opened, attempt.deadline).await;
        Err(if let NoLogin::Unusable(why) = why { NoLogin::LoginAtFault(why, Box::new(greeted)) } else { why })
    }

    /// Whether the login is known to be a right one: else a server may hold its answer back on purpose.
    fn login_is_known_good(&self, secret: Option<&SecretTurn<'_>>) -> bool {
        secret.map_or_else(|| self.accepted.load(Ordering::Relaxed), SecretTurn::is_accepted)
    }

    /// The server has had its time for the answer to a login. Where it may hold that back, which says nothing of its
    /// health, the login rests: each further one would be one more that it counts.
    fn login_unanswered(&self, phase: Phase) -> LoginFault {
        let failure = phase.overdue(HOLD);
        if failure.reason == FailureReason::Local {
            self.pause_login(&failure);
        }
        failure.into()
    }

    /// Whether a login is still wanted, and its secret may still be sent, after a wait: the address may be another
    /// server's by now, and others may have been refused.
    fn may_go_on(&self, secret: Option<&SecretTurn<'_>>, attempt: &Attempt) -> Result<(), NoLogin> {
        if attempt.is_abandoned() {
            return Err(abandoned().into());
        }
        let login = self.usable_login()?;
        match (secret, &login.password) {
            (Some(secret), Some(password)) => secret.check(password).map_err(NoLogin::Unusable),
            _ => Ok(()),
        }
    }

    /// The greeting alone, politely left.
    ///
    /// # Errors
    /// What was seen instead; or [`FailureReason::Local`] while an earlier one is not over.
    pub(super) async fn greet_and_leave(&self, attempt: &Attempt) -> Result<Timings, Failure> {
        self.limit.refusals.check_none_awaited()?;
        let turn = self.handshake_turn(attempt).await;
        if attempt.is_abandoned() {
            return Err(abandoned());
        }
        self.limit.refusals.check_none_awaited()?;
        match self.open(attempt, turn).await {
            Ok(opened) => Ok(self.decline(opened, attempt.deadline).await),
            // Left politely already; the greeting has proved the path.
            Err(NoLogin::LoginAtFault(_, timings)) => Ok(*timings),
            Err(why) => Err(why.into()),
        }
    }

    /// The turn to send a secret, if it may be sent.
    async fn secret_turn(&self, password: &FileSecret, allowed: Duration) -> Result<SecretTurn<'_>, NoLogin> {
        let turn = timeout(HOLD, self.secret_guard.wait_for_turn(password, allowed)).await;
        turn.map_err(|_| local(SecretTurn::AWAITED))?.map_err(NoLogin::Unusable)
    }

    /// The login, if it may be tried at all. Whether its secret may be sent is another question
    /// ([`Self::secret_turn`]).
    fn usable_login(&self) -> Result<&MysqlLogin, NoLogin> {
        let none = || NoLogin::Unusable(misconfigured("no login may be sent there"));
        let login = self.spec.login.as_ref().ok_or_else(none)?;
        self.limit.pauses.check(self.login_key).map_err(NoLogin::Unusable)?;
        Ok(login)
    }

    /// Keeps what follows from a failed statement for the next logins.
    pub(super) fn note_failed_statement(&self, fault: LoginFault) -> Failure {
        let password = self.spec.login.as_ref().and_then(|login| login.password.as_ref());
        if let (FaultKind::SecretRefused(_), Some(password)) = (fault.kind, password) {
            self.secret_guard.note_account_closed(password, &fault.failure);
        }
        fault.failure
    }

    /// Keeps what follows from a failed login for the next ones.
    fn note_failed_login(
        &self,
        login: &MysqlLogin,
        secret: Option<SecretTurn<'_>>,
        LoginFault { failure, kind }: LoginFault,
        greeted: &Timings,
    ) -> NoLogin {
        // At an edge the certificate is asked for again, and no stale ticket can be what fails.
        self.tls.forget_tickets();
        match kind {
            FaultKind::MayPass if !failure.reason.is_of_our_login() => return NoLogin::Failed(failure),
            FaultKind::MayPass | FaultKind::Crowded => {}
            FaultKind::SecretRefused(word) => {
                self.accepted.store(false, Ordering::Relaxed);
                if let (Some(password), Some(secret)) = (&login.password, secret) {
                    secret.note_refused(password, &failure, word);
                }
            }
            FaultKind::Unanswerable => self.pause_login(&failure),
        }
        NoLogin::LoginAtFault(failure, Box::new(*greeted))
    }
}
