//! The checks `matrixone` and `mysql`: servers of the MySQL protocol.
//!
//! A real MySQL server counts handshakes that break off and blocks the host that makes too many of them, for all its
//! applications. MatrixOne's front end welcomes connections that only listen to its greeting. So there are two path
//! checks ([`GreetingProber`], [`LoginProber`]), and a deep check that both kinds share. What can't be completed is
//! ended by a login that is refused, but never at MatrixOne, where that is a failed login of its provider's own
//! account. A prober that leaves such refusals behind asks at a gentle pace, whatever the verdict. While one is not
//! answered there is no other one for five minutes, then for twice as long after each that never came, half a day at
//! most. A hedge is the exception to the pace: a late ping has one second connection, which ends in a refused login
//! although the user works.
//!
//! - `packet`, `transport`: packets over a connection, plain or within TLS
//! - `greeting`, `errors`: what a server says first, and what its errors mean (pure)
//! - `tls_mode`: TLS, and whose certificate will do; a bad one breaks no handshake off
//! - `tls_book`, `tls_ledger`, `tls_budget`: how many TLS handshakes may break off, and where that is kept;
//!   `tls_guard`: what a prober makes of it
//! - `login_relay`, `query_relay`: mysql_async logs in and asks, and each packet is judged on its way; `login_fault`:
//!   how either fails
//! - `session`: a connection that is logged in; `login`: how to get one; `opening`: one that has greeted and speaks
//!   TLS; `server`: who logs in, and when the server may be greeted
//! - `login_prober`: the checks that log in
//! - `path`: the path check of MySQL, and a second question where its ping is late; `decline`: how a handshake is ended
//!   that no probe goes on with; `refusals`: how the server refuses that
//! - `inflight_attempt`: attempts are awaited beyond their probe; `handshake_limit`: what all probers of a server
//!   share, and that there is one handshake at a time, beside those that a refusal is still to end; `pauses`: when a
//!   server, or a login, is left alone for a while

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

mod decline;
mod errors;
mod greeting;
mod handshake_limit;
mod inflight_attempt;
mod login;
mod login_fault;
mod login_prober;
mod login_relay;
mod opening;
mod packet;
mod path;
mod pauses;
mod query_relay;
mod refusals;
mod server;
mod session;
pub mod tls_book;
mod tls_budget;
mod tls_guard;
mod tls_ledger;
mod tls_mode;
mod transport;

pub(super) use errors::Product;
pub(crate) use greeting::FirstPacket;
pub use handshake_limit::HandshakeLimits;
pub use login_prober::LoginProber;
pub(super) use server::Shared;
pub use tls_ledger::TlsBudget;

use super::dial::{Deadline, Stream};
use super::prober::{Overlap, Prober};
use super::tls::Sessions;
use crate::health::Pace;
use crate::model::{Certificate, Failure, MysqlLogin, MysqlSpec, Timings};
use crate::sys::lock::lock;
use greeting::Greeting;
use login_relay::Driver;
use packet::Packets;
use server::Server;
use tls_mode::Secrecy;

/// What a deep check says on a connection without TLS once it is open: a login, then a statement. For streams that
/// the caller has opened.
///
/// # Errors
/// Why the statement has no result.
pub async fn converse(stream: impl Stream, login: &MysqlLogin, sql: &str) -> Result<(), Failure> {
    let mut packets = Packets::new(stream);
    let greeting = Greeting::read(&packets.read(greeting::MAX_GREETING).await?, login.secret())?;
    greeting.check_login_possible()?;
    let logged_in = Driver::log_in(&mut packets, &greeting, &Secrecy::Open, login).await;
    let (mut driver, _) = logged_in.map_err(|fault| fault.failure)?;
    let asked = driver.ask(&mut packets, sql).await;
    driver.dismiss().await;
    asked.map(drop).map_err(|fault| fault.failure)
}

/// The path check of MatrixOne: its front end greets. Not a byte is sent, except that every five minutes its
/// certificate is looked at: to the front end both are a connection whose client said no more, its load balancer's
/// heartbeat, and it counts neither.
#[derive(Debug)]
pub struct GreetingProber {
    server: Server,
    /// When the certificate was last found good.
    certificate_good_since: Mutex<Option<Instant>>,
}

impl GreetingProber {
    /// A prober of one address and port.
    pub(crate) fn new(address: SocketAddr, spec: &MysqlSpec, shared: &Shared) -> Self {
        Self {
            server: Server::new(address, Product::Matrixone, spec, shared),
            certificate_good_since: Mutex::default(),
        }
    }

    fn look_is_due(&self) -> bool {
        !self.server.tls.is_never_used()
            && lock(&self.certificate_good_since).is_none_or(|at| at.elapsed() >= Sessions::LIFETIME)
    }
}

impl Prober for GreetingProber {
    fn overlap(&self) -> Overlap {
        Overlap::Hedged
    }

    fn certificate(&self) -> Option<Arc<Certificate>> {
        self.server.tls.certificate()
    }

    fn pace(&self) -> Pace {
        if self.server.turns_away() { self.server.sparing_pace() } else { Pace::Scheduled }
    }

    fn is_reached(&self) -> Option<bool> {
        self.server.remote.is_reached()
    }

    fn remark(&self) -> Option<Arc<str>> {
        self.server.guard.remark()
    }

    async fn probe(&self, deadline: Duration) -> Result<Timings, Failure> {
        let certificate = self.look_is_due();
        if certificate {
            self.server.prepare(deadline).await?;
            // A ticket would hide the certificate.
            self.server.tls.forget_tickets();
        }
        let outcome = self.server.greet_and_look(Deadline::after(deadline), certificate).await;
        match outcome {
            Ok(timings) if certificate && timings.tls.is_some() => {
                *lock(&self.certificate_good_since) = Some(Instant::now());
            }
            Ok(_) => {}
            // At an edge the certificate is asked for again.
            Err(_) => *lock(&self.certificate_good_since) = None,
        }
        outcome
    }
}
