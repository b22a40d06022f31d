//! The step from plain to TLS, within the budget of handshakes that may break off.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout_at;

use super::greeting::Greeting;
use super::inflight_attempt::{Attempt, Phase};
use super::packet::Packets;
use super::server::{HOLD, Server};
use super::session::NoLogin;
use super::tls_budget::Begun;
use super::tls_mode::Secrecy;
use super::transport::Transport;
use crate::model::{Failure, FailureReason};
use crate::probe::dial::Deadline;
use crate::probe::faults::local;
use crate::probe::goodbye::{GRACE, leave};

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
    let Ok(Ok(Some(begun))) = beginning else { return Ok(None) };
    let shaking = async {
        packets.write(1, &greeting.login_head(true)).await?;
        server.tls.shake_hands(packets.into_stream()?, deadline).await
    };
    let shaken = shaking.await;
    // Nor does the disk hold the verdict up: who has begun to tell the end has told it.
    let _ = timeout_at(deadline.at_most(deadline.allowed()), server.guard.note_end(begun, &shaken)).await;
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

/// From plain to TLS.
pub(super) async fn upgrade(
    server: &Server,
    mut packets: Packets<Transport>,
    greeting: &Greeting,
    begun: Begun,
    attempt: &Attempt,
) -> Result<(Packets<Transport>, Secrecy, Duration), NoLogin> {
    let shaking = async {
        packets.write(1, &greeting.login_head(true)).await?;
        match packets.into_stream()? {
            Transport::Left(stream) => server.tls.shake_hands(stream, Deadline::after(HOLD)).await,
            Transport::Right(_) => Err(local("sealed twice").into()),
        }
    };
    attempt.enter(Phase::Tls);
    let shaken = shaking.await;
    // What the disk takes is no time of the server's.
    attempt.enter(Phase::Book);
    server.guard.note_end(begun, &shaken).await;
    attempt.enter(Phase::Tls);
    match shaken {
        Ok((stream, secrecy, took)) => Ok((Packets::new(Transport::Right(Box::new(stream))), secrecy, took)),
        Err(fault) if fault.is_lack() => Err(NoLogin::Lacking(fault.failure)),
        Err(fault) => Err(fault.failure.into()),
    }
}
