//! Certificates as MySQL and MariaDB servers really have them: of version 1, with a common name alone, signed by
//! themselves. None of them breaks a TLS handshake off.

use std::sync::Arc;

use privatelinkd::model::{Check, FailureReason as R, MysqlTls, ProbeKind, TrustBundle};
use privatelinkd::probe::Prober;
use rustls::ServerConfig;
use rustls::crypto::ring::{default_provider, sign::any_supported_type};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use crate::probe_mysql::{PASSWORD, contains, deep, sealed, spec, verify};
use crate::probe_tcp::{PATIENT, probers};

/// Certificate and key of a server, as `openssl` makes them. Those of version 1 and with a common name alone are signed
/// by the authority.
const VERSION_1: &[u8] = include_bytes!("certificates/version_1.pem");
const COMMON_NAME: &[u8] = include_bytes!("certificates/common_name.pem");
const SELF_SIGNED: &[u8] = include_bytes!("certificates/self_signed.pem");
const AUTHORITY: &[u8] = include_bytes!("certificates/authority.pem");

/// Shows a certificate without looking at it.
#[derive(Debug)]
struct Blind(Arc<CertifiedKey>);

impl ResolvesServerCert for Blind {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

fn acceptor(pem: &[u8], version: &'static rustls::SupportedProtocolVersion) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_slice(pem).unwrap();
    let key = any_supported_type(&PrivateKeyDer::from_pem_slice(pem).unwrap()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Blind(Arc::new(CertifiedKey::new(vec![certificate], key)))));
    TlsAcceptor::from(Arc::new(config))
}

fn ca_file(pem: &[u8]) -> MysqlTls {
    let certificates = vec![CertificateDer::from_pem_slice(pem).unwrap().to_vec()];
    MysqlTls::VerifyCa(Arc::new(TrustBundle { path: "/etc/privatelinkd/ca.pem".into(), certificates }))
}

const VERSIONS: [&rustls::SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

#[tokio::test]
async fn whatever_form_a_certificate_has_it_breaks_no_handshake() {
    for (pem, version) in [VERSION_1, COMMON_NAME, SELF_SIGNED].iter().flat_map(|pem| VERSIONS.map(|v| (*pem, v))) {
        for tls in [MysqlTls::Preferred, MysqlTls::Required] {
            let (server, within) = sealed(acceptor(pem, version)).await;
            let prober = probers().prober(&deep(server.address(), ProbeKind::Mysql(spec(tls.clone()))), Check::Deep);
            // The stand-in wants the whole password, which goes to nobody who is not verified.
            let failure = prober.probe(PATIENT).await.unwrap_err();
            assert_eq!(failure.reason, R::Auth, "{tls:?}, {version:?}: {failure}");
            assert!(prober.certificate().is_some(), "it is told of");
            server.heard(1).await;
            let within = within.lock().unwrap().concat();
            assert!(contains(&within, b"acct"), "the login came within TLS");
            assert!(!contains(&within, PASSWORD.as_bytes()));
        }
    }
}

#[tokio::test]
async fn who_is_signed_by_the_ca_file_is_trusted_with_a_password_whatever_its_name() {
    let table = [
        (COMMON_NAME, AUTHORITY, true),
        (VERSION_1, AUTHORITY, true),
        // It stands in the file itself.
        (SELF_SIGNED, SELF_SIGNED, true),
        (COMMON_NAME, SELF_SIGNED, false),
        (VERSION_1, SELF_SIGNED, false),
        (SELF_SIGNED, AUTHORITY, false),
    ];
    for ((pem, ca, trusted), version) in table.iter().flat_map(|row| VERSIONS.map(|v| (*row, v))) {
        let (server, within) = sealed(acceptor(pem, version)).await;
        let prober = probers().prober(&deep(server.address(), ProbeKind::Mysql(spec(ca_file(ca)))), Check::Deep);
        let outcome = prober.probe(PATIENT).await;
        assert_eq!(outcome.is_ok(), trusted, "{outcome:?}");
        server.heard(1).await;
        let within = within.lock().unwrap().concat();
        assert_eq!(contains(&within, PASSWORD.as_bytes()), trusted);
        assert_eq!(contains(&within, b"privatelinkd-declines\0"), !trusted, "no handshake breaks off");
    }
}

#[tokio::test]
async fn a_form_that_the_library_does_not_take_moves_no_name_under_verify() {
    let bundle = CertificateDer::from_pem_slice(SELF_SIGNED).unwrap().to_vec();
    let trust = privatelinkd::model::Trust::File(Arc::new(TrustBundle {
        path: "/etc/privatelinkd/ca.pem".into(),
        certificates: vec![bundle],
    }));
    let (server, within) = sealed(acceptor(VERSION_1, &rustls::version::TLS13)).await;
    let target = deep(server.address(), ProbeKind::Mysql(spec(verify(trust))));
    let failure = probers().prober(&target, Check::Deep).probe(PATIENT).await.unwrap_err();
    assert_eq!(failure.reason, R::Misconfigured, "{failure}");
    let path = probers().prober(&target, Check::Path).probe(PATIENT).await;
    assert_eq!(path.map(drop), Ok(()), "the greeting is the verdict");
    server.heard(1).await;
    assert!(contains(&within.lock().unwrap().concat(), b"privatelinkd-declines\0"));
}
