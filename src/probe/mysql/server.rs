//! One server as one check knows it: how to reach it, seal the connection, and log in.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::airlock::{Driver, FAREWELL, LoginFault};
use super::gate::Gates;
use super::goodbye::{GRACE, leave};
use super::greeting::{Greeting, MOST};
use super::late::{Phase, Progress};
use super::line::Line;
use super::packet::Packets;
use super::seal::{Seal, Secrecy};
use super::session::Session;
use super::tls_budget::TlsBudget;
use super::tls_guard::{Next, TlsGuard};
use super::upgrade::{self, Unopened};
use crate::model::{EndpointName, Failure, FailureReason, MysqlLogin, MysqlSpec, Secret, Timings};
use crate::probe::dial::{self, Deadline};
use crate::probe::tls::{TrustSets, lock};
use crate::probe::{FleetSize, RefusedSecrets, Turn};

/// How long a peer may be gone in a handshake; a frozen one is not gone.
const GONE: Duration = Duration::from_secs(15);
/// How soon a peer that says nothing in a handshake is asked whether it is there.
const ASK: Duration = Duration::from_secs(1);
/// How long a server is left alone that wants what it does not get: each try is a refused login in its log, and may
/// count towards locking the user.
const PAUSE: Duration = Duration::from_secs(600);

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
    pub fleet: &'a FleetSize,
    /// Whose probers they are.
    pub endpoint: &'a EndpointName,
    /// How many TLS handshakes may break off.
    pub tls_budget: &'a Arc<TlsBudget>,
}

/// Why nobody is logged in.
#[derive(Debug)]
pub(super) enum NoLogin {
    /// The server greeted, in so long, and the fault is our login's alone.
    Ours(Failure, Timings),
    /// Something else was wrong.
    Failed(Failure),
}

impl From<Failure> for NoLogin {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<NoLogin> for Failure {
    fn from(why: NoLogin) -> Self {
        match why {
            NoLogin::Ours(failure, _) | NoLogin::Failed(failure) => failure,
        }
    }
}

/// A server.
#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    product: Product,
    pub(super) seal: Seal,
    pub(super) guard: TlsGuard,
    login: Option<MysqlLogin>,
    gate: Arc<Semaphore>,
    refused: Arc<RefusedSecrets>,
    paused: Mutex<Option<(Instant, Failure)>>,
}

/// A connection that has greeted, and is sealed if it was to be.
struct Opened<S> {
    packets: Packets<S>,
    greeting: Greeting,
    secrecy: Secrecy,
    timings: Timings,
}

impl Server {
    pub(super) fn new(address: SocketAddr, product: Product, spec: &MysqlSpec, shared: &Shared<'_>) -> Self {
        Self {
            address,
            product,
            seal: Seal::new(address, &spec.tls, shared.trust),
            guard: TlsGuard::new(address, (shared.endpoint, &spec.tls), (shared.tls_budget, shared.fleet)),
            login: spec.login.clone(),
            gate: shared.gates.of(address),
            refused: shared.refused.clone(),
            paused: Mutex::default(),
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

    /// A fresh login. Only the TCP handshake is bounded, by `allowed`; the rest ends when the peer does.
    ///
    /// # Errors
    /// Why nobody is logged in.
    pub(super) async fn log_in(
        &self,
        allowed: Duration,
        progress: &Progress,
    ) -> Result<(Session, Driver, Timings), NoLogin> {
        let Some(login) = &self.login else {
            return Err(Failure::new(FailureReason::Misconfigured, "no user to log in").into());
        };
        progress.enter(Phase::Secret);
        // Before the server's own turn, which others may want with other secrets.
        let secret = match &login.password {
            Some(password) => Some(self.refused.turn(password, allowed).await?),
            None => None,
        };
        progress.enter(Phase::Turn);
        let turn = self.gate.acquire().await;
        // While we waited, others may have been refused.
        if let (Some(secret), Some(password)) = (&secret, &login.password) {
            secret.check(password)?;
        }
        self.may_log_in()?;
        if progress.abandoned() {
            return Err(abandoned().into());
        }
        let opened = self.open(allowed, progress).await;
        let Opened { mut packets, greeting, secrecy, mut timings } = match opened {
            Ok(opened) => opened,
            Err(failure) => {
                secret.into_iter().for_each(Turn::unused);
                return Err(failure);
            }
        };
        if progress.abandoned() {
            // The address may be somebody else's by now: no secret goes there.
            decline(&mut packets, &greeting, secrecy != Secrecy::Open).await;
            return Err(abandoned().into());
        }
        progress.enter(Phase::Login);
        let logged_in = Driver::log_in(&mut packets, &greeting, &secrecy, login).await;
        drop(turn);
        let (driver, took) = match logged_in {
            Ok(logged_in) => logged_in,
            Err(fault) => return Err(self.note(login, secret, fault).into()),
        };
        secret.into_iter().for_each(Turn::accepted);
        self.guard.logged_in().await;
        timings.login = Some(took);
        timings.total += took;
        Ok((Session::new(packets, login.secret().cloned()), driver, timings))
    }

    /// The greeting, and at times the certificate; nobody logs in. For servers that don't mind.
    ///
    /// # Errors
    /// What was seen instead.
    pub(super) async fn look(&self, deadline: Deadline, certificate: bool) -> Result<Timings, Failure> {
        let (stream, tcp) = dial::connect(self.address, deadline).await?;
        let mut packets = Packets::new(stream);
        let greet = async { self.greeting(&mut packets).await };
        let (greeting, answer) = deadline.cover("no greeting", greet).await?;
        let mut timings = Timings { tcp, answer: Some(answer), total: tcp + answer, ..Timings::default() };
        if certificate && self.seal.wanted(&greeting)? {
            // Boxed, so that most attempts need no room for a handshake.
            let tls = Box::pin(upgrade::look(self, packets, &greeting, deadline)).await?;
            timings.tls = tls;
            timings.total += tls.unwrap_or_default();
        }
        Ok(timings)
    }

    /// A connection that has greeted, sealed if it was to be. Where our library lacks what the server's TLS wants, a
    /// second one is made of what that leaves.
    async fn open(&self, allowed: Duration, progress: &Progress) -> Result<Opened<Line>, NoLogin> {
        match self.open_once(allowed, progress).await {
            Err(Unopened::Lacking(_)) => Ok(self.open_once(allowed, progress).await?),
            other => Ok(other?),
        }
    }

    async fn open_once(&self, allowed: Duration, progress: &Progress) -> Result<Opened<Line>, Unopened> {
        progress.enter(Phase::Connect);
        let (stream, tcp) = dial::connect(self.address, Deadline::after(allowed)).await?;
        let line = Line::Plain(stream);
        line.give_up_after(GONE, ASK);
        let mut packets = Packets::new(line);
        progress.enter(Phase::Greeting);
        let (greeting, answer) = self.greeting(&mut packets).await?;
        let mut timings = Timings { tcp, answer: Some(answer), total: tcp + answer, ..Timings::default() };
        let next = match self.seal.wanted(&greeting) {
            Ok(true) => self.guard.begin(&greeting).await,
            Ok(false) => Next::Plain,
            Err(failure) => {
                decline(&mut packets, &greeting, false).await;
                return Err(failure.into());
            }
        };
        let begun = match next {
            Next::Handshake(begun) => begun,
            Next::Plain => return Ok(Opened { packets, greeting, secrecy: Secrecy::Open, timings }),
            Next::Stop(failure) => {
                decline(&mut packets, &greeting, false).await;
                return Err(Unopened::No(NoLogin::Ours(failure, timings)));
            }
        };
        progress.enter(Phase::Tls);
        let (mut packets, secrecy, took) = upgrade::upgrade(self, packets, &greeting, begun).await?;
        timings.tls = Some(took);
        timings.total += took;
        if let Secrecy::Disproven(failure) = secrecy {
            decline(&mut packets, &greeting, true).await;
            return Err(failure.into());
        }
        Ok(Opened { packets, greeting, secrecy, timings })
    }

    /// Reads and judges the greeting. Returns it and how long it took to come.
    async fn greeting<S>(&self, packets: &mut Packets<S>) -> Result<(Greeting, Duration), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let started = Instant::now();
        let greeting = Greeting::of(&packets.read(MOST).await?, self.secret())?;
        let took = started.elapsed();
        if self.product == Product::Matrixone
            && let Err(failure) = greeting.matrixone()
        {
            // A server that is not MatrixOne would count this connection as one that broke off.
            decline(packets, &greeting, false).await;
            return Err(failure);
        }
        Ok((greeting, took))
    }

    /// Whether a login may be tried at all.
    fn may_log_in(&self) -> Result<(), Failure> {
        match &*lock(&self.paused) {
            Some((until, failure)) if Instant::now() < *until => Err(failure.clone()),
            _ => Ok(()),
        }
    }

    /// Keeps what follows from a failed login for the next ones.
    fn note(&self, login: &MysqlLogin, turn: Option<Turn<'_>>, fault: LoginFault) -> Failure {
        // At an edge the certificate is asked for again, and no stale ticket can be what fails.
        self.seal.forget();
        match fault {
            LoginFault::Failed(failure) => failure,
            LoginFault::SecretRefused(failure, word) => {
                if let (Some(password), Some(turn)) = (&login.password, turn) {
                    turn.refused(password, &failure, word);
                }
                failure
            }
            LoginFault::Unanswerable(failure) => {
                *lock(&self.paused) = Some((Instant::now() + PAUSE, failure.clone()));
                failure
            }
        }
    }
}

fn abandoned() -> Failure {
    Failure::new(FailureReason::Local, "the target has gone")
}

/// Ends a handshake that we don't go on with by a login that is refused; at MatrixOne by a plain end.
async fn decline<S>(packets: &mut Packets<S>, greeting: &Greeting, tls: bool)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Some(login) = greeting.declining_login(tls) else {
        let _ = timeout(GRACE, leave(packets.stream_mut())).await;
        return;
    };
    let conversation = async {
        let mut number = 1 + u8::from(tls);
        packets.write(number, &login).await?;
        // The refusal, or a question for another kind of password first.
        for _ in 0..2 {
            let packet = packets.read(MOST).await?;
            match packet.payload.first() {
                Some(0xfe) => {
                    number += 2;
                    packets.write(number, &[]).await?;
                }
                Some(0x00) => return packets.write(0, &[1]).await,
                _ => return Ok(()),
            }
        }
        Ok(())
    };
    let _ = timeout(FAREWELL, conversation).await;
}
