//! The step from plain to TLS, within the budget of handshakes that may break off.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout_at;

use super::greeting::Greeting;
use super::inflight_attempt::{Phase, Progress};
use super::packet::Packets;
use super::server::{HOLD, Server};
use super::session::NoLogin;
use super::tls_budget::Begun;
use super::tls_guard::{AfterGreeting, TlsGuard};
use super::tls_mode::{Secrecy, ShakeFault};
use super::transport::Transport;
use crate::model::{Failure, FailureReason};
use crate::probe::dial::Deadline;
use crate::probe::goodbye::{GRACE, leave};

/// Why a connection was not opened.
pub(super) enum Unopened {
    /// Our TLS library lacks what the server wants.
    Lacking(Failure),
    /// Anything else.
    No(NoLogin),
}

impl From<Failure> for Unopened {
    fn from(failure: Failure) -> Self {
        Self::No(failure.into())
    }
}

impl From<Unopened> for NoLogin {
    fn from(why: Unopened) -> Self {
        match why {
            Unopened::Lacking(failure) => Self::Failed(failure),
            Unopened::No(why) => why,
        }
    }
}

/// The certificate behind a greeting. Returns how long the handshake took, if there was one.
pub(super) async fn look_at_certificate(
    server: &Server,
    mut packets: Packets<TcpStream>,
    greeting: &Greeting,
    deadline: Deadline,
) -> Result<Option<Duration>, Failure> {
    let Some(_turn) = server.guard.turn_to_look() else { return Ok(None) };
    let beginning = timeout_at(deadline.at_most(deadline.allowed()), server.guard.begin(greeting)).await;
    // Without TLS the greeting has proved what it proves. A disk that is too slow for the book says nothing of the
    // server, and what begins too late is ended with its permit.
    let Ok(AfterGreeting::Handshake(begun)) = beginning else { return Ok(None) };
    let shaking = async {
        packets.write(1, &greeting.tls_request()).await?;
        server.tls.shake_hands(packets.into_stream()?, deadline).await
    };
    let shaken = shaking.await;
    // Nor does the disk hold the verdict up: who has begun to tell the end has told it.
    let told = async {
        match &shaken {
            Ok(_) => server.guard.note_completed(begun).await,
            Err(fault) => TlsGuard::note_failed(begun, fault).await,
        }
    };
    let _ = timeout_at(deadline.at_most(deadline.allowed()), told).await;
    let (mut stream, secrecy, tls) = match shaken {
        Ok(shaken) => shaken,
        Err(ShakeFault::Broken { lack: true, .. }) => return Ok(None),
        Err(fault) => return Err(fault.into()),
    };
    let _ = timeout_at(deadline.at_most(GRACE), leave(&mut stream)).await;
    match secrecy {
        // What our library can't judge is the same at every address, and says nothing of this one.
        Secrecy::Disproven(failure) if failure.reason != FailureReason::Misconfigured => Err(failure),
        _ => Ok(Some(tls)),
    }
}

/// From plain to TLS.
pub(super) async fn upgrade(
    server: &Server,
    mut packets: Packets<Transport>,
    greeting: &Greeting,
    begun: Begun,
    progress: &Progress,
) -> Result<(Packets<Transport>, Secrecy, Duration), Unopened> {
    let shaking = async {
        packets.write(1, &greeting.tls_request()).await?;
        match packets.into_stream()? {
            Transport::Plain(stream) => server.tls.shake_hands(stream, Deadline::after(HOLD)).await,
            Transport::Sealed(_) => Err(Failure::new(FailureReason::Local, "sealed twice").into()),
        }
    };
    progress.enter(Phase::Tls);
    let shaken = shaking.await;
    // What the disk takes is no time of the server's.
    progress.enter(Phase::Book);
    match &shaken {
        Ok(_) => server.guard.note_completed(begun).await,
        Err(fault) => TlsGuard::note_failed(begun, fault).await,
    }
    progress.enter(Phase::Tls);
    match shaken {
        Ok((stream, secrecy, took)) => Ok((Packets::new(Transport::Sealed(Box::new(stream))), secrecy, took)),
        Err(ShakeFault::Broken { lack: true, failure }) => Err(Unopened::Lacking(failure)),
        Err(ShakeFault::Broken { failure, .. } | ShakeFault::Lost(failure)) => Err(failure.into()),
    }
}
