//! A judge of certificates that never breaks a handshake off.
//!
//! A handshake that breaks off counts against this host at a real MySQL server. So whatever is wrong with a certificate
//! is kept as a verdict beside the finished session. Where nobody asks for a verdict, nothing is judged at all, not even
//! the signature of the handshake: whoever may show any certificate proves nothing by it, and a server's own clients
//! know more forms of keys than we do.

use std::sync::{Arc, Mutex};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error as TlsError, SignatureScheme};

use crate::probe::certificate;
use crate::probe::chain::{Authorities, Sent};
use crate::probe::tls::{Shown, lock};

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
pub(super) struct Demands {
    /// Who may have signed.
    pub(super) authorities: Arc<Authorities>,
    /// Whether the certificate must be for the server's name, too.
    pub(super) name: bool,
}

/// Lets every handshake pass, and keeps what is wrong with its certificate.
#[derive(Debug)]
pub(super) struct Judge {
    demands: Option<Demands>,
    schemes: Vec<SignatureScheme>,
    shown: Shown,
    fault: Mutex<Option<TlsError>>,
}

impl Judge {
    /// Without demands nothing is ever wrong. `verifiable` are the kinds of signatures that we know.
    pub(super) fn new(demands: Option<Demands>, verifiable: Vec<SignatureScheme>, shown: Shown) -> Self {
        let schemes = verifiable.into_iter().chain(UNVERIFIABLE).collect();
        Self { demands, schemes, shown, fault: Mutex::default() }
    }

    /// What was wrong since the last time.
    pub(super) fn take_fault(&self) -> Option<TlsError> {
        lock(&self.fault).take()
    }

    /// The first fault counts.
    fn note(&self, verdict: Result<(), TlsError>) {
        if let Err(error) = verdict {
            lock(&self.fault).get_or_insert(error);
        }
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        match &self.demands {
            None => self.shown.note(certificate::read(end_entity)),
            Some(Demands { authorities, name }) => {
                let sent = Sent { own: end_entity, others: intermediates };
                let (read, verdict) = authorities.judge(sent, name.then_some(server_name), now);
                self.shown.note(read);
                self.note(verdict);
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
        if let Some(Demands { authorities, .. }) = &self.demands {
            self.note(authorities.verify_tls12(message, cert, dss).map(drop));
        }
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        if let Some(Demands { authorities, .. }) = &self.demands {
            self.note(authorities.verify_tls13(message, cert, dss).map(drop));
        }
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
