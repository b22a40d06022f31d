//! TLS of a MySQL connection: whether it is used, and whose certificate will do.
//!
//! A handshake that breaks off counts against this host at a real MySQL server, and enough of them block it, with all
//! its applications. So a certificate is judged here without breaking the handshake off: the session is finished, the
//! verdict stands beside it, and a prober that gets a bad one ends the conversation with a login that says nothing.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig, Error as TlsError};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::greeting::Greeting;
use super::tls_book::End;
use crate::model::{Certificate, Failure, FailureReason, MysqlTls, Trust};
use crate::probe::dial::{self, Deadline};
use crate::probe::faults::misconfigured;
use crate::probe::session_store;
use crate::probe::tls::{self, Sessions, TrustSet, TrustSets};
use crate::probe::verifier::{Demands, ShownCertificate, Verifier};
use crate::sys::lock::lock;

/// How the connections to one target are sealed.
#[derive(Debug)]
pub(super) struct TlsMode {
    demand: Demand,
    /// SNI, unless it is an address, and what the certificate must be for, if it is judged.
    name: Result<ServerName<'static>, Failure>,
    /// Who may have signed, and whether the name matters, too; absent if any certificate will do.
    trust: Option<(Arc<TrustSet>, bool)>,
    shown: ShownCertificate,
    /// As with [`Sessions`]: tickets of this address alone, for a while.
    tickets: Mutex<Option<Tickets>>,
    /// A verdict belongs to the handshake that is going on.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Demand {
    Never,
    IfOffered,
    Always,
}

#[derive(Debug, Clone)]
struct Tickets {
    config: Arc<ClientConfig>,
    judge: Arc<Verifier>,
    since: Instant,
}

/// A session, how far it can be trusted, and how long the handshake took.
pub(super) type Shaken = (TlsStream<TcpStream>, Secrecy, Duration);

/// Why there is no session.
#[derive(Debug)]
pub(super) struct ShakeFault {
    pub(super) failure: Failure,
    /// Whose doing it is. A handshake that the peer ends without an alert is lost, as by a time-out or a reset, and is
    /// free of budget: we did not break it off, and a server that did would say why, since the TLS libraries of MySQL
    /// and MariaDB send an alert before they close. What closes without a word is a server that ends, or a load
    /// balancer with nothing behind it; were that counted, two restarts would leave TLS alone until a login, which
    /// needs TLS.
    pub(super) end: End,
}

impl From<Failure> for ShakeFault {
    fn from(failure: Failure) -> Self {
        Self { failure, end: End::Lost }
    }
}

impl ShakeFault {
    /// The server's word that there is nothing that both can do is our library's lack, too: the server's own clients
    /// can.
    fn new(error: &io::Error) -> Self {
        let failure = dial::failure("TLS handshake", error);
        let failure = match dial::tls_of(error) {
            Some(TlsError::AlertReceived(AlertDescription::HandshakeFailure)) => misconfigured(failure.detail),
            Some(_) if failure.reason != FailureReason::Local => failure,
            _ => return failure.into(),
        };
        let lack = failure.reason == FailureReason::Misconfigured;
        Self { end: End::Broken { lack, detail: failure.detail.to_string() }, failure }
    }

    /// Whether our library lacks what the server wants.
    pub(super) fn is_lack(&self) -> bool {
        matches!(self.end, End::Broken { lack: true, .. })
    }
}

/// How far a connection can be trusted with a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Secrecy {
    /// No TLS.
    Open,
    /// TLS with a server whose certificate was not judged.
    Unchecked,
    /// TLS with a server whose certificate is what is asked for. Only this one is trusted with a password in clear.
    Verified,
    /// TLS with a server whose certificate is no good; says why.
    Disproven(Failure),
}

impl TlsMode {
    /// What a spec asks for.
    pub(super) fn new(address: SocketAddr, mode: &MysqlTls, sets: &TrustSets) -> Self {
        let by_address = Ok(ServerName::from(address.ip()));
        let (demand, name, trust) = match mode {
            MysqlTls::Off => (Demand::Never, by_address, None),
            MysqlTls::Preferred => (Demand::IfOffered, by_address, None),
            MysqlTls::Required => (Demand::Always, by_address, None),
            MysqlTls::VerifyCa(bundle) => {
                (Demand::Always, by_address, Some((sets.for_trust(&Trust::File(bundle.clone())), false)))
            }
            MysqlTls::Verify(spec) => {
                (Demand::Always, tls::server_name(spec), Some((sets.for_trust(&spec.trust), true)))
            }
        };
        Self {
            demand,
            name,
            trust,
            shown: ShownCertificate::default(),
            tickets: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Whether TLS is to follow a greeting.
    ///
    /// # Errors
    /// It is asked for and not offered.
    pub(super) fn is_wanted(&self, greeting: &Greeting) -> Result<bool, Failure> {
        match self.demand {
            Demand::Never => Ok(false),
            Demand::IfOffered => Ok(greeting.offers_tls()),
            Demand::Always if greeting.offers_tls() => Ok(true),
            Demand::Always => Err(greeting.lacks_tls()),
        }
    }

    /// Whether TLS is never used.
    pub(super) fn is_never_used(&self) -> bool {
        self.demand == Demand::Never
    }

    /// What must be right before the server is dialled.
    ///
    /// # Errors
    /// A name that is none, or no usable roots.
    pub(super) async fn load_authorities(&self) -> Result<(), Failure> {
        self.name.as_ref().map_err(Clone::clone)?;
        if let Some((trust, _)) = &self.trust {
            trust.authorities().await?;
        }
        Ok(())
    }

    /// TLS on a stream whose server expects it.
    ///
    /// # Errors
    /// Why there is no session. A bad certificate is none of the reasons.
    pub(super) async fn shake_hands(&self, stream: TcpStream, deadline: Deadline) -> Result<Shaken, ShakeFault> {
        let turn = async { Ok(self.turn.lock().await) };
        let _turn = deadline.cover("TLS handshake not finished", turn).await?;
        let name = self.name.as_ref().map_err(Clone::clone)?;
        let Tickets { config, judge, .. } = self.tickets().await?;
        judge.take_fault();
        // TLS writes twice in a row, which Nagle's algorithm holds up. Only costs latency if it fails.
        let _ = stream.set_nodelay(true);
        let started = Instant::now();
        let shaking = async { Ok(TlsConnector::from(config).connect(name.clone(), stream).await) };
        let shaken = deadline.cover("TLS handshake not finished", shaking).await;
        let shaken = shaken.map_err(ShakeFault::from).and_then(|shaken| shaken.map_err(|e| ShakeFault::new(&e)));
        let stream = shaken.inspect_err(|_| self.forget_tickets())?;
        let took = started.elapsed();
        let secrecy = match (judge.take_fault(), &self.trust) {
            (Some(error), _) => {
                self.forget_tickets();
                let error = io::Error::new(io::ErrorKind::InvalidData, error);
                Secrecy::Disproven(dial::failure("TLS handshake", &error))
            }
            (None, Some(_)) => Secrecy::Verified,
            (None, None) => Secrecy::Unchecked,
        };
        Ok((stream, secrecy, took))
    }

    /// The certificate that was shown last, whatever it is worth.
    pub(super) fn certificate(&self) -> Option<Arc<Certificate>> {
        self.shown.last()
    }

    /// Throws the tickets away: the next handshake shows the certificate.
    pub(super) fn forget_tickets(&self) {
        *lock(&self.tickets) = None;
    }

    async fn tickets(&self) -> Result<Tickets, Failure> {
        if let Some(tickets) = lock(&self.tickets).as_ref().filter(|t| t.since.elapsed() < Sessions::LIFETIME) {
            return Ok(tickets.clone());
        }
        let demands = match &self.trust {
            Some((trust, name)) => Some(Demands { authorities: trust.authorities().await?.clone(), name: *name }),
            None => None,
        };
        let judge = Arc::new(Verifier::lenient(demands, self.shown.clone()));
        let mut config = tls::client_config(judge.clone())?;
        config.resumption = session_store::for_one_server();
        let tickets = Tickets { config: Arc::new(config), judge, since: Instant::now() };
        *lock(&self.tickets) = Some(tickets.clone());
        Ok(tickets)
    }
}
