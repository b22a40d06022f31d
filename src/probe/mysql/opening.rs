//! Connections to one server, opened as far as a login may follow: greeted, sealed if they are to be, or politely left.

use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::decline::{Handshake, decline};
use super::errors::Product;
use super::greeting::{Greeting, MAX_GREETING};
use super::handshake_limit::Turn;
use super::inflight_attempt::{Attempt, Phase};
use super::packet::Packets;
use super::pauses::GREETING;
use super::server::{HOLD, Server, abandoned};
use super::session::NoLogin;
use super::tls_budget::Begun;
use super::tls_mode::{Secrecy, ShakeFault, Shaken};
use super::transport::{self, Transport};
use crate::model::{Failure, FailureReason, Timings};
use crate::probe::dial::{Connected, Deadline, Resent};
use crate::probe::faults::local;
use crate::probe::goodbye::{GRACE, leave};

/// How long a peer may be gone in a handshake; a frozen one is not gone.
const GONE: Duration = Duration::from_secs(15);
/// How soon a peer that says nothing in a handshake is asked whether it is there.
const ASK: Duration = Duration::from_secs(1);

/// A connection that has greeted, and is sealed if it was to be.
pub(super) struct Opened {
    pub(super) packets: Packets<Transport>,
    pub(super) greeting: Greeting,
    pub(super) secrecy: Secrecy,
    /// How long each phase took.
    pub(super) timings: Timings,
    /// What had to be sent again, as it was last looked at.
    pub(super) resent: Resent,
    pub(super) turn: Turn,
}

/// A connection, what the server has greeted with, and how long that took to come.
type Greeted = (Packets<Transport>, Greeting, Duration);

impl Server {
    /// The greeting, and at times the certificate; no login follows. For servers that don't mind.
    ///
    /// # Errors
    /// What was seen instead.
    pub(super) async fn greet_and_look(&self, deadline: Deadline, certificate: bool) -> Result<Timings, Failure> {
        self.may_turn_away()?;
        let Connected { stream, took: tcp, mut resent } = self.remote.connect(deadline).await?;
        let greet = self.greeting(Packets::new(Transport::Left(stream)), deadline);
        let (packets, greeting, answer) = deadline.cover("no greeting", greet).await?;
        self.note_turned_away(false);
        let timings = Timings { tcp, answer: Some(answer), total: tcp + answer, ..Timings::default() };
        let mut timings = resent.since_last_look(transport::tcp(packets.stream())).add_to_timings(timings);
        if certificate && self.tls.is_wanted(&greeting)? {
            // Boxed, so that most attempts need no room for a handshake.
            let tls = Box::pin(self.look_at_certificate(packets, &greeting, deadline)).await?;
            timings.tls = tls;
            timings.total += tls.unwrap_or_default();
        }
        Ok(timings)
    }

    /// The greeting, without TLS, politely left: what a hedge asks for.
    ///
    /// # Errors
    /// What was seen instead.
    pub(super) async fn greet_as_hedge(&self, attempt: &Attempt, turn: Turn) -> Result<Timings, Failure> {
        let opened = self.open_until_greeting(attempt, turn).await?;
        Ok(self.decline(opened, attempt.deadline).await)
    }

    /// A connection that has greeted, sealed if it was to be. Where our library lacks what the server's TLS wants, a
    /// second one is made of what that leaves.
    ///
    /// # Errors
    /// Why there is none. [`NoLogin::LoginAtFault`] where the greeting has come and no login may follow; it is politely
    /// left then.
    pub(super) async fn open(&self, attempt: &Attempt, turn: Turn) -> Result<Opened, NoLogin> {
        match self.open_once(attempt, turn).await {
            Err(NoLogin::Lacking(_)) => {
                let turn = self.handshake_turn(attempt).await;
                if attempt.is_abandoned() {
                    return Err(abandoned().into());
                }
                self.open_once(attempt, turn).await
            }
            other => other,
        }
    }

    async fn open_once(&self, attempt: &Attempt, turn: Turn) -> Result<Opened, NoLogin> {
        let greeted = self.open_until_greeting(attempt, turn).await?;
        let wanted = match self.tls.is_wanted(&greeted.greeting) {
            Ok(wanted) => wanted,
            Err(failure) => {
                self.turn_away(greeted, attempt.deadline).await;
                return Err(failure.into());
            }
        };
        attempt.enter(Phase::Book);
        let next = self.guard.after_greeting(wanted, &greeted.greeting).await;
        attempt.enter(Phase::Greeting);
        let begun = match next {
            Ok(Some(begun)) => begun,
            Ok(None) => {
                self.note_turned_away(false);
                return Ok(greeted);
            }
            Err(failure) => {
                let timings = self.turn_away(greeted, attempt.deadline).await;
                return Err(NoLogin::LoginAtFault(failure, Box::new(timings)));
            }
        };
        let Opened { packets, greeting, mut timings, resent, turn, .. } = greeted;
        let (packets, secrecy, took) = self.upgrade(packets, &greeting, begun, attempt).await?;
        timings.tls = Some(took);
        timings.total += took;
        let disproven = if let Secrecy::Disproven(failure) = &secrecy { Some(failure.clone()) } else { None };
        let opened = Opened { packets, greeting, secrecy, timings, resent, turn };
        let Some(failure) = disproven else {
            self.note_turned_away(false);
            return Ok(opened);
        };
        let timings = self.turn_away(opened, attempt.deadline).await;
        // What our library can't judge is the same at every address: the greeting stays the verdict.
        let ours = failure.reason == FailureReason::Misconfigured;
        Err(if ours { NoLogin::LoginAtFault(failure, Box::new(timings)) } else { failure.into() })
    }

    /// The certificate behind a greeting. Returns how long the handshake took, if there was one.
    async fn look_at_certificate(
        &self,
        packets: Packets<Transport>,
        greeting: &Greeting,
        deadline: Deadline,
    ) -> Result<Option<Duration>, Failure> {
        let Some(_turn) = self.guard.turn_to_look() else { return Ok(None) };
        let beginning = timeout_at(deadline.at_most(deadline.allowed()), self.guard.begin(greeting)).await;
        // Without TLS the greeting has proved what it proves. A disk that is too slow for the book says nothing of the
        // server, and what begins too late is ended with its permit.
        let Ok(Ok(Some(begun))) = beginning else { return Ok(None) };
        let shaken = self.shake_hands(packets, greeting, deadline).await;
        // Nor does the disk hold the verdict up: who has begun to tell the end has told it.
        let _ = timeout_at(deadline.at_most(deadline.allowed()), self.guard.note_end(begun, &shaken)).await;
        let (mut stream, secrecy, tls) = match shaken {
            Ok(shaken) => shaken,
            Err(fault) if fault.is_lack() => return Ok(None),
            Err(fault) => return Err(fault.failure),
        };
        let _ = timeout_at(deadline.at_most(GRACE), leave(&mut stream)).await;
        match secrecy {
            // What our library can't judge is the same at every address, and says nothing of this one.
            Secrecy::Disproven(failure) if failure.reason != FailureReason::Misconfigured => Err(failure),
            _ => Ok(Some(tls)),
        }
    }

    /// From plain to TLS, within the budget of handshakes that may break off.
    async fn upgrade(
        &self,
        packets: Packets<Transport>,
        greeting: &Greeting,
        begun: Begun,
        attempt: &Attempt,
    ) -> Result<(Packets<Transport>, Secrecy, Duration), NoLogin> {
        attempt.enter(Phase::Tls);
        let shaken = self.shake_hands(packets, greeting, Deadline::after(HOLD)).await;
        // What the disk takes is no time of the server's.
        attempt.enter(Phase::Book);
        self.guard.note_end(begun, &shaken).await;
        attempt.enter(Phase::Tls);
        match shaken {
            Ok((stream, secrecy, took)) => Ok((Packets::new(Transport::Right(Box::new(stream))), secrecy, took)),
            Err(fault) if fault.is_lack() => Err(NoLogin::Lacking(fault.failure)),
            Err(fault) => Err(fault.failure.into()),
        }
    }

    /// Asks for TLS after a greeting, and shakes hands.
    async fn shake_hands(
        &self,
        mut packets: Packets<Transport>,
        greeting: &Greeting,
        deadline: Deadline,
    ) -> Result<Shaken, ShakeFault> {
        packets.write(1, &greeting.login_head(true)).await?;
        match packets.into_stream()? {
            Transport::Left(stream) => self.tls.shake_hands(stream, deadline).await,
            Transport::Right(_) => Err(local("sealed twice").into()),
        }
    }

    /// A connection that has greeted, without TLS as yet.
    pub(super) async fn open_until_greeting(&self, attempt: &Attempt, turn: Turn) -> Result<Opened, Failure> {
        if let Some(rest) = self.limit.silence.remaining_rest() {
            let rest = humantime::format_duration(Duration::from_secs(rest.as_secs() + 1));
            return Err(local(format_args!("the server has not greeted; it is tried again in {rest}")));
        }
        self.may_turn_away()?;
        attempt.enter(Phase::Connect);
        let connected = self.remote.connect(Deadline::after(attempt.deadline.allowed())).await;
        // What does not even accept connections counts none.
        let Connected { stream, took: tcp, mut resent } = connected.inspect_err(|_| self.limit.silence.clear())?;
        let line = Transport::Left(stream);
        transport::give_up_after(&line, GONE, ASK);
        attempt.enter(Phase::Greeting);
        let greeted = self.greeting_in_time(Packets::new(line), attempt.deadline).await;
        let (packets, greeting, answer) = greeted.map_err(|failure| resent.add_to_failure(failure).met_on_the_way())?;
        let timings = Timings { tcp, answer: Some(answer), total: tcp + answer, ..Timings::default() };
        let timings = resent.since_last_look(transport::tcp(packets.stream())).add_to_timings(timings);
        Ok(Opened { packets, greeting, secrecy: Secrecy::Open, timings, resent, turn })
    }

    /// The greeting, unless none comes for so long that the server has ended the connection, or counted it, itself.
    async fn greeting_in_time(&self, packets: Packets<Transport>, deadline: Deadline) -> Result<Greeted, Failure> {
        let Ok(greeted) = timeout(GREETING, self.greeting(packets, deadline)).await else {
            self.limit.silence.note_silence();
            return Err(Phase::Greeting.overdue(GREETING));
        };
        self.limit.silence.clear();
        self.limit.note_greeted();
        greeted
    }

    /// Reads and judges the greeting. Returns it and how long it took to come.
    async fn greeting(&self, mut packets: Packets<Transport>, deadline: Deadline) -> Result<Greeted, Failure> {
        let started = Instant::now();
        let packet = packets.read(MAX_GREETING).await?;
        let took = started.elapsed();
        let (greeting, fault) = match Greeting::read(&packet, self.secret()) {
            Ok(greeting) if self.product == Product::Any => return Ok((packets, greeting, took)),
            Ok(greeting) => match greeting.check_login_possible().and_then(|()| greeting.check_is_matrixone()) {
                Ok(()) => return Ok((packets, greeting, took)),
                Err(failure) => (greeting, failure),
            },
            Err(failure) if Greeting::is_greeting(&packet) => (Greeting::unreadable(), failure),
            Err(failure) => return Err(failure),
        };
        // A real MySQL would count this connection as one that broke off.
        self.note_turned_away(true);
        let handshake = Handshake { packets, greeting: &greeting, tls: false, normal: took, deadline };
        decline(handshake, &self.limit, None).await;
        Err(fault)
    }

    /// Ends a handshake with which nothing is to be done, now or the next time. Returns how long its phases took.
    pub(super) async fn turn_away(&self, opened: Opened, deadline: Deadline) -> Timings {
        self.note_turned_away(true);
        self.decline(opened, deadline).await
    }

    /// Ends a handshake that we don't go on with. Returns how long its phases took.
    pub(super) async fn decline(&self, opened: Opened, deadline: Deadline) -> Timings {
        let Opened { packets, greeting, secrecy, timings, resent: _, turn } = opened;
        let (tls, normal) = (secrecy != Secrecy::Open, timings.answer.unwrap_or(timings.tcp));
        decline(Handshake { packets, greeting: &greeting, tls, normal, deadline }, &self.limit, Some(turn)).await;
        timings
    }
}
