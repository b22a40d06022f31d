//! Whether a server's certificate leads to a trusted authority, and by which way.
//!
//! rustls judges by the same library and in the same words, but does not tell the way that it went. That way matters:
//! it is of no use any more once its first certificate ends, while what a server sends beside it may have ended long
//! ago.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error as TlsError, OtherError, RootCertStore, SignatureScheme};
use webpki::{EndEntityCert, KeyUsage, RawPublicKeyEntity};

use super::{certificate, simple_certificate};
use crate::model::{Certificate, FailureReason, Wall};

/// What a server has sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent<'a> {
    /// Its own certificate.
    pub(crate) own: &'a CertificateDer<'a>,
    /// The others, in any order.
    pub(crate) others: &'a [CertificateDer<'a>],
}

/// Who may have signed a certificate.
pub(crate) struct Authorities {
    roots: RootCertStore,
    /// The certificates of a `ca_file` as they stand there; none of the system's.
    named: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// Why a certificate is not trusted, where rustls's own error says too little.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub(crate) struct Untrusted {
    pub(crate) reason: FailureReason,
    pub(crate) detail: String,
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorities").field("roots", &self.roots.len()).finish_non_exhaustive()
    }
}

impl Authorities {
    /// These roots, of which `named` stand in a `ca_file`.
    pub(crate) fn new(roots: RootCertStore, named: Vec<CertificateDer<'static>>) -> Self {
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        Self { roots, named, algorithms }
    }

    /// Whether what was sent leads to one of the roots, and is for `name`, if one is asked for. Returns what was read
    /// of the certificate, whatever the verdict.
    pub(crate) fn judge(
        &self,
        sent: Sent<'_>,
        name: Option<&ServerName<'_>>,
        now: UnixTime,
    ) -> (Option<Certificate>, Result<(), TlsError>) {
        match self.path_to_root(sent, now) {
            Ok(path) => {
                let ders = |on_it: bool| {
                    let all = sent.others.iter().map(|other| &**other);
                    all.filter(|other| path.contains(other) == on_it).collect::<Vec<_>>()
                };
                let shown = certificate::read_with_path(sent.own, ders(true).into_iter(), ders(false).into_iter());
                let named = name.map_or(Ok(()), |name| {
                    ParsedCertificate::try_from(sent.own).and_then(|parsed| verify_server_name(&parsed, name))
                });
                (shown, named)
            }
            Err(error) => (certificate::read(sent.own), Err(error)),
        }
    }

    /// The certificates between the server's own and a root.
    fn path_to_root<'a>(&self, sent: Sent<'a>, now: UnixTime) -> Result<Vec<&'a [u8]>, TlsError> {
        if let Ok(own) = EndEntityCert::try_from(sent.own) {
            let all = self.algorithms.all;
            let verified =
                own.verify_for_usage(all, &self.roots.roots, sent.others, now, KeyUsage::server_auth(), None, None);
            if let Ok(verified) = verified {
                let used: Vec<_> = verified.intermediate_certificates().map(webpki::Cert::der).collect();
                let is_used = |other: &&[u8]| used.iter().any(|der| **der == **other);
                return Ok(sent.others.iter().map(|other| &**other).filter(is_used).collect());
            }
        }
        if simple_certificate::is_trusted(sent.own, &self.named, self.algorithms.all, now) {
            return Ok(Vec::new());
        }
        let verdict = ParsedCertificate::try_from(sent.own).and_then(|parsed| {
            verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, sent.others, now, self.algorithms.all)
        });
        match verdict {
            Err(error) => Err(name_certificate_at_fault(error, sent)),
            // The same library has just said otherwise.
            Ok(()) => Err(TlsError::General("the certificate was judged in two ways".to_owned())),
        }
    }

    /// The kinds of signatures that can be verified, the best first.
    pub(crate) fn schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }

    /// Whether this kind of signature can be verified: a server may have been told of more.
    fn check_scheme(&self, dss: &DigitallySignedStruct) -> Result<(), TlsError> {
        if self.algorithms.mapping.iter().any(|(scheme, _)| *scheme == dss.scheme) {
            return Ok(());
        }
        let detail = format!("the server signs with a key that our TLS library does not verify: {:?}", dss.scheme);
        Err(untrusted(FailureReason::Misconfigured, detail))
    }

    /// Whether a handshake before TLS 1.3 was signed with the certificate's key.
    pub(crate) fn verify_tls12(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.check_scheme(dss)?;
        let verdict = verify_tls12_signature(message, own, dss, &self.algorithms);
        let Some(key) = key_of_unreadable(&verdict, own) else { return verdict };
        let Ok(raw) = RawPublicKeyEntity::try_from(&key) else { return verdict };
        let candidates = self.algorithms.mapping.iter().filter(|(scheme, _)| *scheme == dss.scheme);
        let mut candidates = candidates.flat_map(|(_, algorithms)| *algorithms);
        match candidates.any(|algorithm| raw.verify_signature(*algorithm, message, dss.signature()).is_ok()) {
            true => Ok(HandshakeSignatureValid::assertion()),
            false => Err(CertificateError::BadSignature.into()),
        }
    }

    /// Whether a handshake of TLS 1.3 was.
    pub(crate) fn verify_tls13(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.check_scheme(dss)?;
        let verdict = verify_tls13_signature(message, own, dss, &self.algorithms);
        match key_of_unreadable(&verdict, own) {
            Some(key) => verify_tls13_signature_with_raw_key(message, &key, dss, &self.algorithms),
            None => verdict,
        }
    }
}

/// The key of a certificate whose form rustls can't read.
fn key_of_unreadable<T>(
    verdict: &Result<T, TlsError>,
    own: &CertificateDer<'_>,
) -> Option<SubjectPublicKeyInfoDer<'static>> {
    match verdict {
        Err(TlsError::InvalidCertificate(CertificateError::BadEncoding | CertificateError::Other(_))) => {
            simple_certificate::public_key(own)
        }
        _ => None,
    }
}

fn untrusted(reason: FailureReason, detail: String) -> TlsError {
    TlsError::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(Untrusted { reason, detail }))))
}

/// Names the certificate that is at fault, where it is not the server's own.
fn name_certificate_at_fault(error: TlsError, sent: Sent<'_>) -> TlsError {
    let others = || sent.others.iter().map(|other| &**other);
    match &error {
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer) => {
            let Some(issuer) = certificate::missing_issuer(sent.own, others()) else { return error };
            let issuer: String = issuer.chars().take(60).collect();
            let detail = format!(
                "the certificate is signed by no trusted authority: the server sends no intermediate {issuer:?}, and no \
                 trusted root is called so"
            );
            untrusted(FailureReason::TlsHandshake, detail)
        }
        TlsError::InvalidCertificate(CertificateError::ExpiredContext { time, not_after }) => {
            let wall = |time: UnixTime| Wall(time.as_secs().saturating_mul(1000));
            let ended = wall(*not_after);
            let own = certificate::read(sent.own).is_none_or(|own| own.not_after == ended);
            let found = others().filter_map(certificate::intermediate).find(|other| other.not_after == ended);
            let Some(intermediate) = found.filter(|_| !own) else { return error };
            let name: String = intermediate.name.chars().take(60).collect();
            let here = wall(*time);
            let detail = format!("the intermediate certificate {name:?} ran out at {ended}; it is {here} here");
            untrusted(FailureReason::TlsExpired, detail)
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};

    use super::*;

    type Issuer = CertifiedIssuer<'static, KeyPair>;

    fn params(name: &str, until: i32, is_ca: bool) -> CertificateParams {
        let mut params = CertificateParams::new(if is_ca { vec![] } else { vec![name.to_owned()] }).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = if is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::NoCa };
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(until, 1, 1));
        params
    }

    fn root() -> Issuer {
        CertifiedIssuer::self_signed(params("root", 2090, true), KeyPair::generate().unwrap()).unwrap()
    }

    fn intermediate(name: &str, until: i32, by: &Issuer) -> Issuer {
        CertifiedIssuer::signed_by(params(name, until, true), KeyPair::generate().unwrap(), by).unwrap()
    }

    fn leaf(until: i32, by: &Issuer) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        params("db.example.com", until, false).signed_by(&key, by).unwrap().der().clone()
    }

    fn der(issuer: &Issuer) -> CertificateDer<'static> {
        issuer.der().clone()
    }

    fn year(wall: Wall) -> String {
        wall.to_string().chars().take(4).collect()
    }

    /// In 2026.
    fn judge(
        root: &Issuer,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
    ) -> (Certificate, Result<(), String>) {
        let mut roots = RootCertStore::empty();
        roots.add(der(root)).unwrap();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_790_000_000));
        let name = ServerName::try_from("db.example.com").unwrap();
        let (read, verdict) = Authorities::new(roots, Vec::new()).judge(Sent { own, others }, Some(&name), now);
        let told = |error: TlsError| match error {
            TlsError::InvalidCertificate(CertificateError::Other(other)) => other.to_string(),
            error => error.to_string(),
        };
        (read.unwrap(), verdict.map_err(told))
    }

    #[test]
    fn the_end_is_that_of_the_first_certificate_on_the_way() {
        let root = root();
        let (short, long) = (intermediate("short", 2027, &root), intermediate("long", 2080, &root));
        let (read, verdict) = judge(&root, &leaf(2050, &short), &[der(&short)]);
        assert_eq!(verdict, Ok(()));
        assert_eq!((year(read.ends()).as_str(), year(read.not_after).as_str()), ("2027", "2050"));
        assert_eq!(read.ends_earlier.unwrap().name, "short");
        let (read, verdict) = judge(&root, &leaf(2050, &long), &[der(&long)]);
        assert_eq!((verdict, read.ends_earlier.is_none(), year(read.ends()).as_str()), (Ok(()), true, "2050"));
    }

    #[test]
    fn what_no_way_uses_may_have_ended() {
        let root = root();
        let (used, ended) = (intermediate("used", 2060, &root), intermediate("ended", 2010, &root));
        let (read, verdict) = judge(&root, &leaf(2050, &used), &[der(&ended), der(&used), der(&root)]);
        assert_eq!(verdict, Ok(()));
        assert_eq!(year(read.ends()), "2050");
        let unused: Vec<_> = read.unused.iter().map(|other| other.name.as_str()).collect();
        assert_eq!(unused, ["ended", "root"]);
    }

    #[test]
    fn the_certificate_at_fault_is_named() {
        let root = root();
        let (middle, ended) = (intermediate("Middle CA", 2060, &root), intermediate("Old CA", 2010, &root));
        let (_, missing) = judge(&root, &leaf(2050, &middle), &[]);
        assert!(missing.unwrap_err().contains("the server sends no intermediate \"Middle CA\""));
        let (_, expired) = judge(&root, &leaf(2050, &ended), &[der(&ended)]);
        assert!(expired.unwrap_err().contains("the intermediate certificate \"Old CA\" ran out at 2010"));
        let (_, own) = judge(&root, &leaf(2010, &middle), &[der(&middle)]);
        assert!(own.unwrap_err().contains("certificate expired"));
    }
}
