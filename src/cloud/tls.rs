//! Whose certificates the cloud's hosts may show.

use std::fmt::Display;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use crate::model::Trust;

/// Reads the roots and makes a config of our own: the HTTP client's default one costs 3 ms and 2.4 MB.
///
/// # Errors
/// Why TLS can't be set up.
pub(super) async fn client_config(trust: Option<&Trust>) -> Result<ClientConfig, String> {
    let roots = match trust {
        None => RootCertStore::empty(),
        // Reads some hundred files on some systems.
        Some(Trust::System) => tokio::task::spawn_blocking(system_roots).await.unwrap_or_else(|e| Err(set_up(e)))?,
        Some(Trust::File(bundle)) => {
            let mut roots = RootCertStore::empty();
            let certificates = bundle.certificates.iter().map(|der| CertificateDer::from(der.as_slice()));
            if let (0, _) = roots.add_parsable_certificates(certificates) {
                return Err(format!("expected a CA certificate in {}, found none that parses", bundle.path.display()));
            }
            roots
        }
    };
    // Passed explicitly: a process-wide default is state that no room owns.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = builder.map_err(set_up)?.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Minutes lie between two rounds, and the calls of one share a connection: a ticket would not be used.
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn system_roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    if let (1.., _odd) = roots.add_parsable_certificates(found.certs) {
        return Ok(roots);
    }
    let why = found.errors.first().map_or_else(|| "install ca-certificates".to_owned(), ToString::to_string);
    Err(format!("expected system root certificates, found none: {why}"))
}

fn set_up(error: impl Display) -> String {
    format!("TLS set-up: {error}")
}
