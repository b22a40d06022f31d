//! One server as one check knows it: how to reach it, seal the connection, and log in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::airlock::{Driver, LoginFault};
use super::decline::{self, Handshake, decline};
use super::gate::{Gate, Gates, Turn};
use super::greeting::{Greeting, MOST};
use super::late::{Phase, Progress};
use super::line::Line;
use super::packet::Packets;
use super::pauses::LoginKey;
use super::seal::{Seal, Secrecy};
use super::session::{LoggedIn, NoLogin, Session};
use super::silence::GREETING;
use crate::health::{Pace, Sparing};
use crate::model::{Failure, FailureReason, FileSecret, MysqlLogin, MysqlSpec, Secret, Timings};
use crate::probe::dial::{self, Deadline};
use crate::probe::tls::TrustSets;
use crate::probe::{Fleet, RefusedSecrets, Turn as SecretTurn};

/// How long a peer may be gone in a handshake; a frozen one is not gone.
const GONE: Duration = Duration::from_secs(15);
/// How soon a peer that says nothing in a handshake is asked whether it is there.
const ASK: Duration = Duration::from_secs(1);
/// How long a server may take for a TLS handshake, for the answer to a login, or for the result of a statement. A login
/// is waited for beyond its probe, since one that is accepted late must be ended politely.
pub(super) const HOLD: Duration = Duration::from_secs(60);
/// How long a goodbye may hold a verdict up.
const GRACE: Duration = Duration::from_millis(100);

/// Whose greeting is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// Whatever speaks the protocol.
    Any,
    /// MatrixOne alone.
    Matrixone,
}

/// What all probers of a process share.
#[derive(Debug)]
pub struct Shared<'a> {
    /// Roots.
    pub trust: &'a TrustSets,
    /// What was refused.
    pub refused: &'a Arc<RefusedSecrets>,
    /// Whose turn it is.
    pub gates: &'a Gates,
    /// With how many others.
    pub fleet: &'a Fleet,
}

/// A server.
#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    product: Product,
    pub(super) seal: Seal,
    login: Option<MysqlLogin>,
    key: LoginKey,
    gate: Arc<Gate>,
    refused: Arc<RefusedSecrets>,
    fleet: Fleet,
}

/// A connection that has greeted, and is sealed if it was to be.
struct Opened<S> {
    packets: Packets<S>,
    greeting: Greeting,
    secrecy: Secrecy,
    timings: Timings,
    turn: Turn,
}

impl Server {
    pub(super) fn new(address: SocketAddr, product: Product, spec: &MysqlSpec, shared: &Shared<'_>) -> Self {
        Self {
            address,
            product,
            seal: Seal::new(address, &spec.tls, shared.trust),
            login: spec.login.clone(),
            key: LoginKey::new(spec.login.as_ref(), &spec.tls),
            gate: shared.gates.of(address),
            refused: shared.refused.clone(),
            fleet: shared.fleet.clone(),
        }
    }

    /// What no message may repeat.
    pub(super) fn secret(&self) -> Option<&Secret> {
        self.login.as_ref().and_then(MysqlLogin::secret)
    }

    /// What must be right before anybody is dialled.
    ///
    /// # Errors
    /// A spec or roots that can't be used; a slow disk is never the target's fault.
    pub(super) async fn prepare(&self, allowed: Duration) -> Result<(), Failure> {
        match timeout(allowed, self.seal.prepare()).await {
            Ok(prepared) => prepared,
            Err(_) => Err(Failure::new(FailureReason::Local, "root certificates not loaded in time")),
        }
    }

    /// A fresh login. Every wait is bounded: `allowed` is for the TCP handshake, and what comes after it has as long as a
    /// server may take that is to be left politely.
    ///
    /// # Errors
    /// Why nobody is logged in.
    pub(super) async fn log_in(&self, allowed: Duration, progress: &Progress) -> Result<LoggedIn, NoLogin> {
        let login = self.usable_login()?;
        progress.enter(Phase::Secret);
        // Before the server's own turn, which others may want with other secrets.
        let secret = match &login.password {
            Some(password) => Some(self.secret_turn(password, allowed).await?),
            None => None,
        };
        progress.enter(Phase::Turn);
        let turn = self.gate.turn().await;
        // While we waited, others may have been refused.
        self.usable_login()?;
        if progress.abandoned() {
            return Err(abandoned().into());
        }
        let Opened { mut packets, greeting, secrecy, mut timings, turn } = self.open(allowed, progress, turn).await?;
        if progress.abandoned() {
            // The address may be somebody else's by now: no secret goes there.
            self.decline(packets, (&greeting, &secrecy), &timings, turn).await;
            return Err(abandoned().into());
        }
        if let Err(failure) = greeting.able() {
            self.decline(packets, (&greeting, &secrecy), &timings, turn).await;
            return Err(NoLogin::Ours(failure, timings));
        }
        progress.enter(Phase::Login);
        let logging_in = Driver::log_in(&mut packets, &greeting, &secrecy, login);
        let logged_in =
            timeout(HOLD, logging_in).await.unwrap_or_else(|_| Err(overdue("no answer to the login", HOLD).into()));
        drop(turn);
        let (driver, took) = logged_in.map_err(|fault| self.note(login, fault, &timings))?;
        if let Some(secret) = secret {
            secret.accepted();
        }
        timings.login = Some(took);
        timings.total += took;
        Ok(LoggedIn { session: Session::new(packets, login.secret().cloned()), driver, timings })
    }

    /// The greeting alone, politely left.
    ///
    /// # Errors
    /// What was seen instead; or [`FailureReason::Local`] while an earlier one is not over.
    pub(super) async fn greet(&self, allowed: Duration, progress: &Progress) -> Result<Timings, Failure> {
        self.gate.refusals.check()?;
        progress.enter(Phase::Turn);
        let turn = self.gate.turn().await;
        if progress.abandoned() {
            return Err(abandoned());
        }
        self.gate.refusals.check()?;
        let Opened { packets, greeting, secrecy, timings, turn } = self.open(allowed, progress, turn).await?;
        self.decline(packets, (&greeting, &secrecy), &timings, turn).await;
        Ok(timings)
    }

    /// How often the next attempts may be made, if they are made without a login.
    pub(super) fn sparing(&self) -> Pace {
        Pace::Sparing(Sparing { apart: self.fleet.apart(decline::A_SECOND) })
    }

    /// The greeting, and at times the certificate; nobody logs in. For servers that don't mind.
    ///
    /// # Errors
    /// What was seen instead.
    pub(super) async fn look(&self, deadline: Deadline, certificate: bool) -> Result<Timings, Failure> {
        let (stream, tcp) = dial::connect(self.address, deadline).await?;
        let greet = self.greeting(Packets::new(stream));
        let (packets, greeting, answer) = deadline.cover("no greeting", greet).await?;
        let mut timings = Timings { tcp, answer: Some(answer), total: tcp + answer, ..Timings::default() };
        if certificate && self.seal.wanted(&greeting)? {
            // Boxed, so that most attempts need no room for a handshake.
            let tls = Box::pin(self.look_closer(packets, &greeting, deadline)).await?;
            timings.tls = Some(tls);
            timings.total += tls;
        }
        Ok(timings)
    }

    /// The certificate behind a greeting. Returns how long the handshake took.
    async fn look_closer(
        &self,
        mut packets: Packets<TcpStream>,
        greeting: &Greeting,
        deadline: Deadline,
    ) -> Result<Duration, Failure> {
        packets.write(1, &greeting.tls_request()).await?;
        let (mut stream, secrecy, tls) = self.seal.shake(packets.into_stream()?, deadline).await?;
        if let Secrecy::Disproven(failure) = secrecy {
            return Err(failure);
        }
        let _ = timeout_at(deadline.at_most(GRACE), stream.shutdown()).await;
        Ok(tls)
    }

    async fn open(&self, allowed: Duration, progress: &Progress, turn: Turn) -> Result<Opened<Line>, Failure> {
        if let Some(rest) = self.gate.silence.rest() {
            return Err(resting(rest));
        }
        progress.enter(Phase::Connect);
        let connected = dial::connect(self.address, Deadline::after(allowed)).await;
        // What does not even accept connections counts none.
        let (stream, tcp) = connected.inspect_err(|_| self.gate.silence.end())?;
        let line = Line::Plain(stream);
        line.give_up_after(GONE, ASK);
        progress.enter(Phase::Greeting);
        let (mut packets, greeting, answer) = self.greeting_in_time(Packets::new(line)).await?;
        let mut timings = Timings { tcp, answer: Some(answer), total: tcp + answer, ..Timings::default() };
        let tls = match self.seal.wanted(&greeting) {
            Ok(tls) => tls,
            Err(failure) => {
                self.decline(packets, (&greeting, &Secrecy::Open), &timings, turn).await;
                return Err(failure);
            }
        };
        if !tls {
            return Ok(Opened { packets, greeting, secrecy: Secrecy::Open, timings, turn });
        }
        progress.enter(Phase::Tls);
        packets.write(1, &greeting.tls_request()).await?;
        let stream: TcpStream = match packets.into_stream()? {
            Line::Plain(stream) => stream,
            Line::Sealed(_) => return Err(Failure::new(FailureReason::Local, "sealed twice")),
        };
        let (stream, secrecy, took) = self.seal.shake(stream, Deadline::after(HOLD)).await?;
        timings.tls = Some(took);
        timings.total += took;
        let packets = Packets::new(Line::Sealed(Box::new(stream)));
        if let Secrecy::Disproven(failure) = &secrecy {
            self.decline(packets, (&greeting, &secrecy), &timings, turn).await;
            return Err(failure.clone());
        }
        Ok(Opened { packets, greeting, secrecy, timings, turn })
    }

    /// The greeting, unless none comes for so long that the server has ended the connection, or counted it, itself.
    async fn greeting_in_time(&self, packets: Packets<Line>) -> Result<(Packets<Line>, Greeting, Duration), Failure> {
        let Ok(greeted) = timeout(GREETING, self.greeting(packets)).await else {
            self.gate.silence.note();
            return Err(overdue("no greeting", GREETING));
        };
        self.gate.silence.end();
        greeted
    }

    /// Reads and judges the greeting. Returns it and how long it took to come.
    async fn greeting<S>(&self, mut packets: Packets<S>) -> Result<(Packets<S>, Greeting, Duration), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let started = Instant::now();
        let packet = packets.read(MOST).await?;
        let took = started.elapsed();
        let (greeting, fault) = match Greeting::of(&packet, self.secret()) {
            Ok(greeting) if self.product == Product::Any => return Ok((packets, greeting, took)),
            Ok(greeting) => match greeting.able().and_then(|()| greeting.matrixone()) {
                Ok(()) => return Ok((packets, greeting, took)),
                Err(failure) => (greeting, failure),
            },
            Err(failure) if Greeting::is_one(&packet) => (Greeting::unreadable(), failure),
            Err(failure) => return Err(failure),
        };
        // A real MySQL would count this connection as one that broke off.
        decline(Handshake { packets, greeting: &greeting, tls: false, normal: took }, &self.gate, None).await;
        Err(fault)
    }

    /// Ends a handshake that we don't go on with.
    async fn decline(
        &self,
        packets: Packets<Line>,
        (greeting, secrecy): (&Greeting, &Secrecy),
        timings: &Timings,
        turn: Turn,
    ) {
        // Its front end counts nothing, and would look for the user in its provider's own account.
        if greeting.matrixone().is_ok() {
            return;
        }
        let (tls, normal) = (*secrecy != Secrecy::Open, timings.answer.unwrap_or(timings.tcp));
        decline(Handshake { packets, greeting, tls, normal }, &self.gate, Some(turn)).await;
    }

    /// Whose turn it is to send a secret that was never accepted.
    async fn secret_turn(&self, password: &FileSecret, allowed: Duration) -> Result<SecretTurn<'_>, NoLogin> {
        match timeout(HOLD, self.refused.turn(password, allowed)).await {
            Ok(turn) => turn.map_err(NoLogin::Unusable),
            Err(_) => Err(Failure::new(FailureReason::Local, SecretTurn::AWAITED).into()),
        }
    }

    /// The login, if it may be tried at all.
    fn usable_login(&self) -> Result<&MysqlLogin, NoLogin> {
        let none = || NoLogin::Unusable(Failure::new(FailureReason::Misconfigured, "no user to log in"));
        let login = self.login.as_ref().ok_or_else(none)?;
        if let Some(password) = &login.password {
            self.refused.check(password).map_err(NoLogin::Unusable)?;
        }
        self.gate.pauses.check(self.key).map_err(NoLogin::Unusable)?;
        Ok(login)
    }

    /// The login works, and so does what follows.
    pub(super) fn proven(&self) {
        self.gate.pauses.end(self.key);
    }

    /// The login is of no use for now.
    pub(super) fn pause(&self, why: &Failure) {
        self.gate.pauses.note(self.key, why.clone());
    }

    /// How long the server is left alone, since it does not greet.
    pub(super) fn rest(&self) -> Option<Duration> {
        self.gate.silence.rest()
    }

    /// Whether it holds its refusals back.
    pub(super) fn delays_refusals(&self) -> bool {
        self.gate.refusals.delays()
    }

    /// Keeps what follows from a failed login for the next ones.
    fn note(&self, login: &MysqlLogin, fault: LoginFault, greeted: &Timings) -> NoLogin {
        // At an edge the certificate is asked for again, and no stale ticket can be what fails.
        self.seal.forget();
        let failure = match fault {
            LoginFault::Failed(failure) if failure.reason.is_of_our_login() => failure,
            LoginFault::Failed(failure) => return NoLogin::Failed(failure),
            LoginFault::Crowded(failure) => failure,
            LoginFault::SecretRefused(failure) => {
                if let Some(password) = &login.password {
                    self.refused.note(password, &failure);
                }
                failure
            }
            LoginFault::Unanswerable(failure) => {
                self.pause(&failure);
                failure
            }
        };
        NoLogin::Ours(failure, *greeted)
    }
}

fn abandoned() -> Failure {
    Failure::new(FailureReason::Local, "the target has gone")
}

fn resting(rest: Duration) -> Failure {
    let rest = humantime::format_duration(Duration::from_secs(rest.as_secs() + 1));
    Failure::new(FailureReason::Local, format_args!("the server has not greeted; it is tried again in {rest}"))
}

/// Something that the server has not done for as long as it is waited for.
pub(super) fn overdue(unfinished: &str, waited: Duration) -> Failure {
    let waited = humantime::format_duration(waited);
    Failure::new(FailureReason::Timeout, format_args!("{unfinished} after {waited}"))
}
