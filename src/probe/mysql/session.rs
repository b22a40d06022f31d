//! A connection on which a login was accepted. Dropping it says goodbye.

use std::time::Duration;

use tokio::time::Instant;

use super::errors::{ServerError, Stage};
use super::login_fault::LoginFault;
use super::login_relay::{Driver, FirstRow};
use super::packet::Packets;
use super::transport::{self, Transport};
use crate::model::{Failure, FailureReason, Secret, Timings};
use crate::probe::dial::{Resent, ResentSinceLook};
use crate::probe::faults::protocol;

/// The command that asks for a sign of life.
const PING: [u8; 1] = [0x0e];
/// The longest answer to it.
const MOST: usize = 1024;
/// How soon the peer of an unanswered ping is asked whether it is there; pings are more frequent than this.
const ASK: Duration = Duration::from_secs(10);

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    packets: Packets<Transport>,
    resent: Resent,
    /// What no message may repeat.
    secret: Option<Secret>,
}

/// Why a ping failed.
#[derive(Debug)]
pub(super) enum PingFault {
    /// This connection is no more, which says nothing of the next.
    Gone,
    /// The server hangs up after each login of this user.
    Unfit(Failure),
    /// The server said so, or something else than the protocol.
    Said(Failure),
}

/// What a login has led to.
pub(super) struct LoggedIn {
    /// The session.
    pub(super) session: Session,
    /// The driver that asks in it.
    pub(super) driver: Driver,
    /// How long each phase took.
    pub(super) timings: Timings,
}

/// Why there is no login.
#[derive(Debug)]
pub(super) enum NoLogin {
    /// There is no login that may be tried now; no server was asked.
    Unusable(Failure),
    /// The server greeted, in these times, and the fault is our login's alone.
    LoginAtFault(Failure, Box<Timings>),
    /// Our TLS library lacks what the server wants: what that leaves is another connection's to find out.
    Lacking(Failure),
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
            NoLogin::Unusable(failure)
            | NoLogin::LoginAtFault(failure, _)
            | NoLogin::Lacking(failure)
            | NoLogin::Failed(failure) => failure,
        }
    }
}

impl Session {
    /// A session on a connection; `resent` is what was last known of what had to be sent again.
    pub(super) fn new(packets: Packets<Transport>, resent: Resent, secret: Option<Secret>) -> Self {
        Self { packets, resent, secret }
    }

    /// What TCP had to send again since that was last asked for.
    pub(super) fn resent_since_last_look(&mut self) -> ResentSinceLook {
        self.resent.since_last_look(transport::tcp(self.packets.stream()))
    }

    /// How long the peer may be gone before this connection is given up. A dead path would else hold the next login
    /// up for a quarter of an hour; a frozen server is not gone, since its kernel answers.
    pub(super) fn give_up_when_peer_gone(&self, gone: Duration) {
        transport::give_up_after(self.packets.stream(), gone, ASK);
    }

    /// A ping, and how long its answer took.
    pub(super) async fn ping(&mut self) -> Result<Duration, PingFault> {
        let started = Instant::now();
        // Of the errors of a connection, none is the server's verdict.
        self.packets.write(0, &PING).await.map_err(|_| PingFault::Gone)?;
        let packet = self.packets.read(MOST).await.map_err(|failure| match failure.reason {
            FailureReason::Protocol => PingFault::Said(failure),
            _ => PingFault::Gone,
        })?;
        if let Some(error) = ServerError::parse(&packet.payload) {
            // Some servers say why they hang up, before the ping that finds it out.
            let (gone, unfit) = (error.ends_only_this_connection(), error.ends_every_connection());
            let failure = error.without_secret(self.secret.as_ref()).failure(Stage::Ping);
            return Err(match (gone, unfit) {
                (true, _) => PingFault::Gone,
                (_, true) => PingFault::Unfit(failure),
                _ => PingFault::Said(failure),
            });
        }
        let took = started.elapsed();
        match packet.payload_at(1).map_err(PingFault::Said)?.first() {
            Some(0) => Ok(took),
            _ => Err(PingFault::Said(protocol("expected the answer to a ping, found another packet"))),
        }
    }

    /// One statement, by mysql_async.
    pub(super) async fn ask(&mut self, driver: &mut Driver, sql: &str) -> Result<(FirstRow, Duration), LoginFault> {
        driver.ask(&mut self.packets, sql).await
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        transport::quit(self.packets.stream_mut());
    }
}
