//! TLS of a MySQL connection: whether it is used, and whose certificate will do.
//!
//! A handshake that breaks off counts against this host at a real MySQL server, and enough of them block it, with all
//! its applications. So a certificate is judged here without breaking the handshake off: the session is finished, the
//! verdict stands beside it, and whoever gets a bad one ends the conversation with a login that says nothing.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error as TlsError, SignatureScheme};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use super::greeting::Greeting;
use crate::model::{Certificate, Failure, FailureReason, MysqlTls, TlsSpec};
use crate::probe::dial::{self, Deadline};
use crate::probe::tickets;
use crate::probe::tls::{Sessions, Shown, TrustSet, TrustSets, lock};

/// How the connections to one target are sealed.
#[derive(Debug)]
pub(super) struct Seal {
    demand: Demand,
    /// SNI, unless it is an address, and what the certificate must be for, if it is judged.
    name: Result<ServerName<'static>, Failure>,
    /// Who may have signed; anybody, if there is none.
    trust: Option<Arc<TrustSet>>,
    shown: Shown,
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
    judge: Arc<Judge>,
    since: Instant,
}

/// How far a connection can be trusted with a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Secrecy {
    /// No TLS.
    Open,
    /// TLS with nobody knows whom.
    Unproven,
    /// TLS with a server that has proved its name.
    Proven,
    /// TLS with a server whose certificate is no good; says why.
    Disproven(Failure),
}

impl Seal {
    /// The seal that a spec asks for.
    pub(super) fn new(address: SocketAddr, tls: &MysqlTls, sets: &TrustSets) -> Self {
        let (demand, verify) = match tls {
            MysqlTls::Off => (Demand::Never, None),
            MysqlTls::Preferred => (Demand::IfOffered, None),
            MysqlTls::Required => (Demand::Always, None),
            MysqlTls::Verify(spec) => (Demand::Always, Some(spec)),
        };
        let named = |spec: &TlsSpec| {
            ServerName::try_from(spec.server_name.as_str().to_owned()).map_err(|e| {
                Failure::new(FailureReason::Misconfigured, format_args!("server_name {}: {e}", spec.server_name))
            })
        };
        let name = verify.map_or_else(|| Ok(ServerName::from(address.ip())), named);
        let trust = verify.map(|spec| sets.of(&spec.trust));
        Self {
            demand,
            name,
            trust,
            shown: Shown::default(),
            tickets: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Whether TLS is to follow a greeting.
    ///
    /// # Errors
    /// It is asked for and not offered.
    pub(super) fn wanted(&self, greeting: &Greeting) -> Result<bool, Failure> {
        match self.demand {
            Demand::Never => Ok(false),
            Demand::IfOffered => Ok(greeting.offers_tls()),
            Demand::Always if greeting.offers_tls() => Ok(true),
            Demand::Always => Err(greeting.lacks_tls()),
        }
    }

    /// Whether TLS is never used.
    pub(super) fn never(&self) -> bool {
        self.demand == Demand::Never
    }

    /// What must be right before anybody is dialled.
    ///
    /// # Errors
    /// A name that is none, or no usable roots.
    pub(super) async fn prepare(&self) -> Result<(), Failure> {
        self.name.as_ref().map_err(Clone::clone)?;
        if let Some(trust) = &self.trust {
            trust.roots().await?;
        }
        Ok(())
    }

    /// TLS on a stream whose server expects it. Returns the session, how far it can be trusted, and how long it took.
    ///
    /// # Errors
    /// Why there is no session. A bad certificate is none of the reasons.
    pub(super) async fn shake(
        &self,
        stream: TcpStream,
        deadline: Deadline,
    ) -> Result<(TlsStream<TcpStream>, Secrecy, Duration), Failure> {
        let turn = async { Ok(self.turn.lock().await) };
        let _turn = deadline.cover("TLS handshake not finished", turn).await?;
        let name = self.name.as_ref().map_err(Clone::clone)?;
        let Tickets { config, judge, .. } = self.tickets().await?;
        judge.take();
        let shaken = dial::handshake(stream, name, config, deadline).await;
        let (stream, took) = shaken.inspect_err(|_| self.forget())?;
        let secrecy = match (judge.take(), &self.trust) {
            (Some(error), _) => {
                self.forget();
                let error = io::Error::new(io::ErrorKind::InvalidData, error);
                Secrecy::Disproven(dial::failure("TLS handshake", &error))
            }
            (None, Some(_)) => Secrecy::Proven,
            (None, None) => Secrecy::Unproven,
        };
        Ok((stream, secrecy, took))
    }

    /// The certificate that was shown last, whatever it is worth.
    pub(super) fn certificate(&self) -> Option<Arc<Certificate>> {
        self.shown.last()
    }

    /// Throws the tickets away: the next handshake shows the certificate.
    pub(super) fn forget(&self) {
        *lock(&self.tickets) = None;
    }

    async fn tickets(&self) -> Result<Tickets, Failure> {
        if let Some(tickets) = lock(&self.tickets).as_ref().filter(|t| t.since.elapsed() < Sessions::LIFETIME) {
            return Ok(tickets.clone());
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let local = |e: &dyn std::fmt::Display| Failure::new(FailureReason::Local, format_args!("TLS set-up: {e}"));
        let strict = match &self.trust {
            Some(trust) => {
                let roots = trust.roots().await?.clone();
                let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone());
                Some(verifier.build().map_err(|e| local(&e))?)
            }
            None => None,
        };
        let algorithms = provider.signature_verification_algorithms;
        let judge = Arc::new(Judge { strict, algorithms, shown: self.shown.clone(), verdict: Mutex::default() });
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().map_err(|e| local(&e))?;
        let builder = builder.dangerous().with_custom_certificate_verifier(judge.clone());
        let mut config = builder.with_no_client_auth();
        config.resumption = tickets::of_one_server();
        let tickets = Tickets { config: Arc::new(config), judge, since: Instant::now() };
        *lock(&self.tickets) = Some(tickets.clone());
        Ok(tickets)
    }
}

/// Lets every certificate pass whose key signs the handshake, and keeps what is wrong with it.
#[derive(Debug)]
struct Judge {
    strict: Option<Arc<WebPkiServerVerifier>>,
    shown: Shown,
    algorithms: WebPkiSupportedAlgorithms,
    verdict: Mutex<Option<TlsError>>,
}

impl Judge {
    fn take(&self) -> Option<TlsError> {
        lock(&self.verdict).take()
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        self.shown.note(end_entity);
        if let Some(strict) = &self.strict {
            let verdict = strict.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
            *lock(&self.verdict) = verdict.err();
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
