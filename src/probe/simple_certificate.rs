//! Certificates of the simple forms that rustls does not read or refuses, and that MySQL's own clients take: those of
//! version 1, which `openssl x509 -req` makes of a request, and one that stands in the `ca_file` itself (pure).
//!
//! Such a certificate has no extensions that could restrict it, or is trusted by its very bytes; so little is left to
//! judge: who signed it, and when it ends. There are no intermediates on this way.

use std::time::Duration;

use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, UnixTime};
use webpki::RawPublicKeyEntity;
use x509_cert::Certificate as Parsed;
use x509_cert::certificate::Version;
use x509_cert::der::asn1::AnyRef;
use x509_cert::der::{Decode as _, Encode as _};

/// The public key of a certificate, as far as that can be found.
pub(super) fn public_key(certificate: &[u8]) -> Option<SubjectPublicKeyInfoDer<'static>> {
    let parsed = Parsed::from_der(certificate).ok()?;
    Some(parsed.tbs_certificate().subject_public_key_info().to_der().ok()?.into())
}

/// Whether `own` is one of the `trusted`, or is of version 1 and signed by one of them; and valid `now`.
pub(super) fn is_trusted(
    own: &CertificateDer<'_>,
    trusted: &[CertificateDer<'_>],
    algorithms: &[&dyn SignatureVerificationAlgorithm],
    now: UnixTime,
) -> bool {
    let Ok(parsed) = Parsed::from_der(own) else { return false };
    let validity = parsed.tbs_certificate().validity();
    let now = Duration::from_secs(now.as_secs());
    if now < validity.not_before.to_unix_duration() || now > validity.not_after.to_unix_duration() {
        return false;
    }
    let simple = parsed.tbs_certificate().version() == Version::V1;
    trusted.iter().any(|root| root == own || (simple && is_signed_by(&parsed, root, algorithms)))
}

/// Whether `root` has issued and signed a certificate.
fn is_signed_by(parsed: &Parsed, root: &[u8], algorithms: &[&dyn SignatureVerificationAlgorithm]) -> bool {
    let body = parsed.tbs_certificate();
    let issued = Parsed::from_der(root).is_ok_and(|root| root.tbs_certificate().subject() == body.issuer());
    let (Ok(signed), Ok(wanted), Some(key)) = (body.to_der(), parsed.signature_algorithm().to_der(), public_key(root))
    else {
        return false;
    };
    let (Ok(wanted), Ok(key)) = (AnyRef::from_der(&wanted), RawPublicKeyEntity::try_from(&key)) else { return false };
    let Some(signature) = parsed.signature().as_bytes() else { return false };
    let mut fitting = algorithms.iter().filter(|algorithm| algorithm.signature_alg_id().as_ref() == wanted.value());
    issued && fitting.any(|algorithm| key.verify_signature(*algorithm, &signed, signature).is_ok())
}
