//! Trust and sessions.
//!
//! A root store is dear (the system's takes milliseconds and some hundred kilobytes) and says nothing about a target,
//! so all targets with equal [`Trust`] share one [`TrustSet`]. Sessions are the opposite: tickets are kept under the
//! server's *name*, which all zones share, so a common store would offer the ticket of one address to another, and
//! what is then measured is neither. Each target has a [`Sessions`] of its own.
//!
//! A resumed handshake costs a third of a full one and skips the certificate. So a store of tickets lives five
//! minutes at most, and is thrown away after a failure.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::chain::Authorities;
use super::faults::{local, misconfigured};
use super::in_use;
use super::session_store;
use super::verifier::{ShownCertificate, Verifier};
use crate::model::{Certificate, Failure, TlsSpec, Trust, TrustBundle};
use crate::sys::lock::lock;

/// The trust sets in use, one for each distinct [`Trust`].
#[derive(Debug, Default)]
pub struct TrustSets(Mutex<HashMap<Trust, Weak<TrustSet>>>);

impl TrustSets {
    /// The trust set of `trust`: the one in use, or a new one. Reads nothing yet.
    #[must_use]
    pub fn for_trust(&self, trust: &Trust) -> Arc<TrustSet> {
        let make = || TrustSet { source: trust.clone(), authorities: OnceCell::new(), config: OnceCell::new() };
        in_use::get_or_make(&mut lock(&self.0), trust.clone(), make)
    }
}

/// Who may have signed a certificate, made ready at the first use.
pub struct TrustSet {
    source: Trust,
    authorities: OnceCell<Arc<Authorities>>,
    /// What all targets of a trust set share of TLS.
    config: OnceCell<ClientConfig>,
}

impl fmt::Debug for TrustSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TrustSet").field(&self.source).finish()
    }
}

impl TrustSet {
    /// What all its targets share. A failed attempt is made anew the next time, so that roots installed later count.
    async fn config(&self) -> Result<&ClientConfig, Failure> {
        let make = || async {
            let authorities = self.authorities().await?.clone();
            let mut config = client_config(Arc::new(Verifier::strict(authorities, ShownCertificate::default())))?;
            config.alpn_protocols = vec![HTTP.to_vec()];
            config.resumption = Resumption::disabled();
            Ok(config)
        };
        self.config.get_or_try_init(make).await
    }

    /// Who is trusted.
    pub(crate) async fn authorities(&self) -> Result<&Arc<Authorities>, Failure> {
        let load = || async {
            let (roots, named) = match &self.source {
                Trust::System => (system_roots().await?, Vec::new()),
                Trust::File(bundle) => bundle_roots(bundle)?,
            };
            Ok(Arc::new(Authorities::new(roots, named)))
        };
        self.authorities.get_or_try_init(load).await
    }
}

/// The roots of the operating system.
async fn system_roots() -> Result<RootCertStore, Failure> {
    let load = || {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (usable, _odd) = roots.add_parsable_certificates(found.certs);
        match (usable, found.errors.first()) {
            (1.., _) => Ok(roots),
            (0, Some(error)) => Err(format!("no system root certificate: {error}")),
            (0, None) => Err("no system root certificate found; install ca-certificates or set ca_file".to_owned()),
        }
    };
    let loaded = tokio::task::spawn_blocking(load).await;
    loaded.map_err(|e| local(format_args!("loading the system root certificates: {e}")))?.map_err(local)
}

fn bundle_roots(bundle: &TrustBundle) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), Failure> {
    let mut roots = RootCertStore::empty();
    let certificates: Vec<_> = bundle.certificates.iter().map(|der| CertificateDer::from(der.clone())).collect();
    if let (0, _) = roots.add_parsable_certificates(certificates.iter().cloned()) {
        let path = bundle.path.display();
        return Err(misconfigured(format_args!("expected a CA certificate in {path}, found none that parses")));
    }
    Ok((roots, certificates))
}

/// What every TLS connection of ours has in common, with this verifier of certificates.
pub(crate) fn client_config(verifier: Arc<Verifier>) -> Result<ClientConfig, Failure> {
    // Passed explicitly: a process-wide default is state that belongs to no room.
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.map_err(|e| local(format_args!("TLS set-up: {e}")))?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// The name that a certificate must be for.
pub(super) fn server_name(spec: &TlsSpec) -> Result<ServerName<'static>, Failure> {
    let name = ServerName::try_from(spec.server_name.as_str().to_owned());
    name.map_err(|e| misconfigured(format_args!("server_name {}: {e}", spec.server_name)))
}

/// What certificates are loaded for. Slow only where our own disk is, at the first probe: never the target's fault.
pub(super) async fn loaded_in_time<T>(
    allowed: Duration,
    loading: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let late = |_| Err(local("root certificates not loaded in time"));
    tokio::time::timeout(allowed, loading).await.unwrap_or_else(late)
}

/// The one protocol that we speak within TLS, but to databases.
pub(crate) const HTTP: &[u8] = b"http/1.1";

/// The TLS side of one target: the shared trust, and tickets of its own.
#[derive(Debug)]
pub struct Sessions {
    trust: Arc<TrustSet>,
    shown: ShownCertificate,
    /// The configuration that holds the tickets, and since when it is used.
    tickets: Mutex<Option<(Arc<ClientConfig>, Instant)>>,
}

impl Sessions {
    /// How long tickets are used before the certificate has to be shown again.
    pub const LIFETIME: Duration = Duration::from_secs(300);

    /// Tickets for one target.
    #[must_use]
    pub fn new(trust: Arc<TrustSet>) -> Self {
        Self { trust, shown: ShownCertificate::default(), tickets: Mutex::new(None) }
    }

    /// What the next handshake uses.
    ///
    /// # Errors
    /// [`Local`](crate::model::FailureReason::Local) without system roots,
    /// [`Misconfigured`](crate::model::FailureReason::Misconfigured) for a bundle without a usable certificate.
    pub async fn config(&self) -> Result<Arc<ClientConfig>, Failure> {
        let (authorities, shared) = (self.trust.authorities().await?, self.trust.config().await?);
        let mut tickets = lock(&self.tickets);
        if let Some((config, _)) = tickets.as_ref().filter(|(_, since)| since.elapsed() < Self::LIFETIME) {
            return Ok(config.clone());
        }
        let mut config = shared.clone();
        let verifier = Verifier::strict(authorities.clone(), self.shown.clone());
        config.dangerous().set_certificate_verifier(Arc::new(verifier));
        config.resumption = session_store::for_one_server();
        let config = Arc::new(config);
        *tickets = Some((config.clone(), Instant::now()));
        Ok(config)
    }

    /// The certificate that was shown last, trusted or not.
    #[must_use]
    pub fn certificate(&self) -> Option<Arc<Certificate>> {
        self.shown.last()
    }

    /// Throws the tickets away: the next handshake is a full one.
    pub fn forget_tickets(&self) {
        *lock(&self.tickets) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FailureReason;

    /// rustls verifies nothing without a root.
    fn roots_of_a_test() -> RootCertStore {
        let pem = include_bytes!("../../tests/config_ca.pem");
        let mut roots = RootCertStore::empty();
        roots.add(rustls::pki_types::pem::PemObject::from_pem_slice(pem).unwrap()).unwrap();
        roots
    }

    fn bundle(path: &str) -> Trust {
        Trust::File(Arc::new(TrustBundle { path: path.into(), certificates: vec![vec![0x30, 0]] }))
    }

    #[test]
    fn equal_trust_is_shared_and_forgotten_when_unused() {
        let sets = TrustSets::default();
        let (a, b, c) =
            (sets.for_trust(&bundle("/a.pem")), sets.for_trust(&bundle("/a.pem")), sets.for_trust(&bundle("/c.pem")));
        assert!(Arc::ptr_eq(&a, &b));
        assert!(!Arc::ptr_eq(&a, &c));
        drop((a, b));
        let _d = sets.for_trust(&bundle("/d.pem"));
        assert_eq!(lock(&sets.0).len(), 2, "/c.pem and /d.pem");
    }

    #[tokio::test]
    async fn a_bundle_that_does_not_parse_is_misconfigured() {
        let sessions = Sessions::new(TrustSets::default().for_trust(&bundle("/etc/ca.pem")));
        let failure = sessions.config().await.unwrap_err();
        assert_eq!(failure.reason, FailureReason::Misconfigured);
        assert!(failure.detail.contains("/etc/ca.pem"), "{failure}");
    }

    #[tokio::test(start_paused = true)]
    async fn tickets_are_kept_five_minutes_or_until_a_failure() {
        let trust = TrustSet { source: bundle("/ca.pem"), authorities: OnceCell::new(), config: OnceCell::new() };
        trust.authorities.set(Arc::new(Authorities::new(roots_of_a_test(), Vec::new()))).unwrap();
        let sessions = Sessions::new(Arc::new(trust));
        let first = sessions.config().await.unwrap();
        tokio::time::advance(Sessions::LIFETIME - Duration::from_millis(1)).await;
        assert!(Arc::ptr_eq(&first, &sessions.config().await.unwrap()));
        tokio::time::advance(Duration::from_millis(1)).await;
        let second = sessions.config().await.unwrap();
        assert!(!Arc::ptr_eq(&first, &second));
        sessions.forget_tickets();
        assert!(!Arc::ptr_eq(&second, &sessions.config().await.unwrap()));
    }
}
