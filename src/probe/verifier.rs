//! Judges of certificates, as rustls asks them: one that breaks a handshake off, and one that never does.
//!
//! A handshake that breaks off counts against this host at a real MySQL server. So there whatever is wrong with a
//! certificate is kept as a verdict beside the finished session. Where the config asks for no verdict, nothing is
//! judged at all, not even the signature of the handshake: a server that may show any certificate proves nothing by it,
//! and a server's own clients know more forms of keys than we do.

use std::sync::{Arc, Mutex};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error as TlsError, SignatureScheme};

use super::certificate;
use super::chain::{Authorities, Sent};
use crate::model::Certificate;
use crate::sys::lock::lock;

/// Kinds of signatures that we can't verify, but a server's key may be good for no other: they come last. After those
/// of keys on P-521 and Ed448 stand those of RSA keys that are for RSA-PSS alone.
const UNVERIFIABLE: [SignatureScheme; 7] = [
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::ED448,
    SignatureScheme::Unknown(0x0809),
    SignatureScheme::Unknown(0x080a),
    SignatureScheme::Unknown(0x080b),
    SignatureScheme::ECDSA_SHA1_Legacy,
    SignatureScheme::RSA_PKCS1_SHA1,
];

/// Who is asked for a verdict.
#[derive(Debug)]
pub(crate) struct Demands {
    /// Who may have signed.
    pub(crate) authorities: Arc<Authorities>,
    /// Whether the certificate must be for the server's name, too.
    pub(crate) name: bool,
}

/// Judges, and takes down what it was shown: also of a certificate that is refused people want to know when it ends.
#[derive(Debug)]
pub(crate) struct Verifier {
    demands: Option<Demands>,
    schemes: Vec<SignatureScheme>,
    shown: ShownCertificate,
    /// The first fault, until it is asked for; absent where a handshake breaks off by its fault.
    kept_fault: Option<Mutex<Option<TlsError>>>,
}

impl Verifier {
    /// Breaks a handshake off with a server whose certificate is not signed by these authorities, for its name.
    pub(crate) fn strict(authorities: Arc<Authorities>, shown: ShownCertificate) -> Self {
        let schemes = authorities.schemes();
        Self { demands: Some(Demands { authorities, name: true }), schemes, shown, kept_fault: None }
    }

    /// Lets every handshake pass, and keeps what is wrong with its certificate. Without demands nothing is ever wrong.
    pub(crate) fn lenient(demands: Option<Demands>, shown: ShownCertificate) -> Self {
        let verifiable = rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes();
        let schemes = verifiable.into_iter().chain(UNVERIFIABLE).collect();
        Self { demands, schemes, shown, kept_fault: Some(Mutex::default()) }
    }

    /// What was wrong since the last time, if the handshake went on all the same.
    pub(crate) fn take_fault(&self) -> Option<TlsError> {
        self.kept_fault.as_ref().and_then(|fault| lock(fault).take())
    }

    /// What becomes of the handshake after a verdict.
    fn settle<T>(&self, verdict: Result<T, TlsError>) -> Result<(), TlsError> {
        match (verdict, &self.kept_fault) {
            (Ok(_), _) => Ok(()),
            (Err(error), None) => Err(error),
            (Err(error), Some(fault)) => {
                lock(fault).get_or_insert(error);
                Ok(())
            }
        }
    }

    /// The same after a verdict on the handshake's signature, if one is asked for.
    fn settle_signature(
        &self,
        judge: impl FnOnce(&Authorities) -> Result<HandshakeSignatureValid, TlsError>,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        if let Some(Demands { authorities, .. }) = &self.demands {
            self.settle(judge(authorities))?;
        }
        Ok(HandshakeSignatureValid::assertion())
    }
}

/// The certificate that a server has shown last, whatever became of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct ShownCertificate(Arc<Mutex<Option<Arc<Certificate>>>>);

impl ShownCertificate {
    /// Takes one down, if it could be read; else the one before stays.
    pub(crate) fn record(&self, read: Option<Certificate>) {
        if let Some(read) = read {
            *lock(&self.0) = Some(Arc::new(read));
        }
    }

    /// The last one.
    pub(crate) fn last(&self) -> Option<Arc<Certificate>> {
        lock(&self.0).clone()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        match &self.demands {
            None => self.shown.record(certificate::read(end_entity)),
            Some(Demands { authorities, name }) => {
                let sent = Sent { own: end_entity, others: intermediates };
                let (read, verdict) = authorities.judge(sent, name.then_some(server_name), now);
                self.shown.record(read);
                self.settle(verdict)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.settle_signature(|authorities| authorities.verify_tls12(message, cert, dss))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.settle_signature(|authorities| authorities.verify_tls13(message, cert, dss))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
