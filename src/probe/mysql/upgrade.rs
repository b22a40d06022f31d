//! The step from plain to TLS, within the budget of handshakes that may break off.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout_at;

use super::goodbye::{GRACE, leave};
use super::greeting::Greeting;
use super::line::Line;
use super::packet::Packets;
use super::seal::{Secrecy, ShakeFault};
use super::server::{HOLD, Server};
use super::session::NoLogin;
use super::tls_budget::Begun;
use super::tls_guard::Next;
use crate::model::{Failure, FailureReason};
use crate::probe::dial::Deadline;

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
pub(super) async fn look(
    server: &Server,
    mut packets: Packets<TcpStream>,
    greeting: &Greeting,
    deadline: Deadline,
) -> Result<Option<Duration>, Failure> {
    // Without TLS the greeting has proved what it proves.
    let Next::Handshake(begun) = server.guard.begin(greeting).await else { return Ok(None) };
    let shaking = async {
        packets.write(1, &greeting.tls_request()).await?;
        server.seal.shake(packets.into_stream()?, deadline).await
    };
    let (mut stream, secrecy, tls) = match shaking.await {
        Ok(shaken) => shaken,
        Err(fault) => {
            server.guard.failed(begun, &fault).await;
            let lacking = matches!(fault, ShakeFault::Broken { lack: true, .. });
            return if lacking { Ok(None) } else { Err(fault.into()) };
        }
    };
    server.guard.completed(begun).await;
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
    mut packets: Packets<Line>,
    greeting: &Greeting,
    begun: Begun,
) -> Result<(Packets<Line>, Secrecy, Duration), Unopened> {
    let shaking = async {
        packets.write(1, &greeting.tls_request()).await?;
        match packets.into_stream()? {
            Line::Plain(stream) => server.seal.shake(stream, Deadline::after(HOLD)).await,
            Line::Sealed(_) => Err(Failure::new(FailureReason::Local, "sealed twice").into()),
        }
    };
    match shaking.await {
        Ok((stream, secrecy, took)) => {
            server.guard.completed(begun).await;
            Ok((Packets::new(Line::Sealed(Box::new(stream))), secrecy, took))
        }
        Err(fault) => {
            server.guard.failed(begun, &fault).await;
            Err(match fault {
                ShakeFault::Broken { lack: true, failure } => Unopened::Lacking(failure),
                ShakeFault::Broken { failure, .. } | ShakeFault::Lost(failure) => failure.into(),
            })
        }
    }
}
