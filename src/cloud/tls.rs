//! Whose certificates the cloud's hosts may show.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use crate::model::Trust;

/// Why TLS can't be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TlsError {
    /// The system has none.
    #[error("expected system root certificates, found none: {0}")]
    NoSystemRoots(String),
    /// The bundle has none.
    #[error("expected a CA certificate in {0}, found none that parses")]
    NoBundleRoots(String),
    /// rustls would not.
    #[error("TLS set-up: {0}")]
    SetUp(String),
}

/// Reads the roots and makes a config of our own: the HTTP client's default one costs 3 ms and 2.4 MB.
///
/// # Errors
/// The situations of [`TlsError`].
pub(super) async fn client_config(trust: Option<&Trust>) -> Result<ClientConfig, TlsError> {
    let roots = match trust {
        None => RootCertStore::empty(),
        // Reads some hundred files on some systems.
        Some(Trust::System) => match tokio::task::spawn_blocking(system_roots).await {
            Ok(loaded) => loaded?,
            Err(stopped) => return Err(TlsError::SetUp(stopped.to_string())),
        },
        Some(Trust::File(bundle)) => {
            let mut roots = RootCertStore::empty();
            let certificates = bundle.certificates.iter().map(|der| CertificateDer::from(der.as_slice()));
            match roots.add_parsable_certificates(certificates) {
                (0, _) => return Err(TlsError::NoBundleRoots(bundle.path.display().to_string())),
                _ => roots,
            }
        }
    };
    // Passed explicitly: a process-wide default is state that nobody owns.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| TlsError::SetUp(e.to_string()))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Minutes lie between two rounds, and the calls of one share a connection: a ticket would not be used.
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (usable, _odd) = roots.add_parsable_certificates(found.certs);
    match (usable, found.errors.first()) {
        (1.., _) => Ok(roots),
        (0, Some(error)) => Err(TlsError::NoSystemRoots(error.to_string())),
        (0, None) => Err(TlsError::NoSystemRoots("install ca-certificates".to_owned())),
    }
}
