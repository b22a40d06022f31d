//! What a certificate says of itself (pure).
//!
//! rustls judges certificates and tells neither when they end nor who made them, and its `webpki` reads no validity
//! either; `x509-cert` is the smallest reader that is kept well (RustCrypto). What it does not understand is no
//! failure: the verdict is rustls's alone, this is for people and metrics.

use std::time::Duration;

use x509_cert::Certificate as Parsed;
use x509_cert::der::Decode as _;
use x509_cert::der::asn1::{Any, PrintableStringRef, Utf8StringRef};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;
use x509_cert::time::Time;

use crate::model::{Certificate, Intermediate, Wall};

/// The most names that are kept of one certificate, and the longest of each, in characters: that of a name in DNS.
const MOST_NAMES: usize = 20;
const LONGEST: usize = 253;
/// The most certificates beside a server's own that are told of.
const MOST_UNUSED: usize = 10;

/// X.520's common name and organisation.
const COMMON_NAME: &str = "2.5.4.3";
const ORGANISATION: &str = "2.5.4.10";

/// Reads a certificate in DER; `None` if it is none.
#[must_use]
pub fn read(der: &[u8]) -> Option<Certificate> {
    let parsed = Parsed::from_der(der).ok()?;
    let body = parsed.tbs_certificate();
    Some(Certificate {
        names: names(&parsed),
        issuer: name_of_holder(body.issuer()),
        not_before: wall(body.validity().not_before),
        not_after: wall(body.validity().not_after),
        ends_earlier: None,
        unused: Vec::new(),
    })
}

/// Reads a server's certificate with what leads from it to a trusted root: of the certificates sent beside it, `path`
/// holds those that are on the verified way, `beside` all others.
pub(super) fn read_with_path<'a>(
    der: &[u8],
    path: impl Iterator<Item = &'a [u8]>,
    beside: impl Iterator<Item = &'a [u8]>,
) -> Option<Certificate> {
    let own = read(der)?;
    let first = path.filter_map(intermediate).min_by_key(|intermediate| intermediate.not_after);
    let ends_earlier = first.filter(|intermediate| intermediate.not_after < own.not_after);
    Some(Certificate { ends_earlier, unused: beside.filter_map(intermediate).take(MOST_UNUSED).collect(), ..own })
}

/// Reads what matters of a certificate that stands beside a server's own.
pub(super) fn intermediate(der: &[u8]) -> Option<Intermediate> {
    let parsed = Parsed::from_der(der).ok()?;
    let body = parsed.tbs_certificate();
    Some(Intermediate { name: name_of_holder(body.subject()), not_after: wall(body.validity().not_after) })
}

/// Who, beside the server itself, must have issued `der`, if none of `others` did: what a server has forgotten to send,
/// or a root that is not trusted.
pub(super) fn missing_issuer<'a>(der: &[u8], others: impl Iterator<Item = &'a [u8]>) -> Option<String> {
    let mut top = Parsed::from_der(der).ok()?;
    let mut others: Vec<Parsed> = others.filter_map(|der| Parsed::from_der(der).ok()).collect();
    loop {
        let body = top.tbs_certificate();
        if body.issuer() == body.subject() {
            return None;
        }
        match others.iter().position(|other| other.tbs_certificate().subject() == body.issuer()) {
            Some(next) => top = others.swap_remove(next),
            None => return Some(name_of_holder(body.issuer())),
        }
    }
}

/// The common name, or else the organisation, that a name names; empty if it has neither.
fn name_of_holder(name: &Name) -> String {
    attribute(name, COMMON_NAME).or_else(|| attribute(name, ORGANISATION)).unwrap_or_default()
}

fn names(parsed: &Parsed) -> Vec<String> {
    let Ok(Some((_, SubjectAltName(names)))) = parsed.tbs_certificate().get_extension::<SubjectAltName>() else {
        return Vec::new();
    };
    let text = |name: &GeneralName| match name {
        GeneralName::DnsName(name) => Some(bounded_and_printable(name.as_str())),
        GeneralName::IpAddress(ip) => ip_address(ip.as_bytes()),
        _ => None,
    };
    names.iter().filter_map(text).take(MOST_NAMES).collect()
}

fn ip_address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|b| std::net::IpAddr::from(b).to_string());
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|b| std::net::IpAddr::from(b).to_string())).ok()
}

fn attribute(name: &Name, oid: &str) -> Option<String> {
    let mut all = name.iter().filter(|attribute| attribute.oid.to_string() == oid);
    all.find_map(|attribute| attribute_text(&attribute.value))
}

fn attribute_text(value: &Any) -> Option<String> {
    let utf8 = value.decode_as::<Utf8StringRef<'_>>().map(|s| bounded_and_printable(s.as_str()));
    utf8.or_else(|_| value.decode_as::<PrintableStringRef<'_>>().map(|s| bounded_and_printable(s.as_str()))).ok()
}

/// Bounded and printable, since the server may have made it up.
fn bounded_and_printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect()
}

fn wall(time: Time) -> Wall {
    let since_epoch: Duration = time.to_unix_duration();
    Wall(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    #[test]
    fn a_certificate_is_read_and_junk_is_none() {
        let pem = include_bytes!("../../tests/config_ca.pem");
        let der = CertificateDer::from_pem_slice(pem).unwrap();
        let read_once = read(&der).unwrap();
        assert!(read_once.not_before < read_once.not_after, "{read_once:?}");
        assert!(!read_once.issuer.is_empty(), "{read_once:?}");
        for end in 0..der.len() {
            assert_eq!(read(&der[..end]), None, "cut after {end}");
            let mut changed = der.to_vec();
            changed[end] ^= 0x55;
            // Whatever comes of it.
            let _ = read(&changed);
        }
    }

    #[test]
    fn text_is_bounded_and_printable() {
        assert_eq!(bounded_and_printable("a\x1b[31m"), "a [31m");
        assert_eq!(bounded_and_printable(&"x".repeat(500)).len(), LONGEST);
        assert_eq!(ip_address(&[10, 0, 0, 1]).as_deref(), Some("10.0.0.1"));
        assert_eq!(ip_address(&[1; 5]), None);
    }
}
