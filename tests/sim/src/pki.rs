//! A certificate authority for tests.

use std::io;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};

/// A certificate authority of its own: two of them don't trust each other.
pub struct Pki {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A server certificate and its key.
pub struct Leaf {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

/// What a service proves itself with over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Certificate {
    /// One for its names and its address.
    #[default]
    Good,
    /// One that ran out at the end of 2001.
    Expired,
    /// One for other names.
    OtherName,
    /// One of another authority.
    Untrusted,
    /// One that no authority has signed.
    SelfSigned,
}

impl Pki {
    /// A new authority; `name` is its common name.
    ///
    /// # Errors
    /// If no key can be made.
    pub fn new(name: &str) -> io::Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let issuer = CertifiedIssuer::self_signed(params, key).map_err(io::Error::other)?;
        Ok(Self { issuer })
    }

    /// The authority's certificate, as a `ca_file` has it.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        self.issuer.pem()
    }

    /// The authority's certificate in DER.
    #[must_use]
    pub fn ca_der(&self) -> Vec<u8> {
        self.issuer.der().to_vec()
    }

    /// A certificate for `names`, valid for long.
    ///
    /// # Errors
    /// If a name is none, or no key can be made.
    pub fn leaf(&self, names: &[&str]) -> io::Result<Leaf> {
        self.issue(names, 4000)
    }

    /// A certificate for `names` that ran out at the end of 2001.
    ///
    /// # Errors
    /// As [`leaf`](Self::leaf).
    pub fn expired_leaf(&self, names: &[&str]) -> io::Result<Leaf> {
        self.issue(names, 2002)
    }

    /// What a service with these names proves itself with, good or bad.
    ///
    /// # Errors
    /// As [`leaf`](Self::leaf).
    pub fn prove(&self, names: &[&str], with: Certificate) -> io::Result<Leaf> {
        match with {
            Certificate::Good => self.leaf(names),
            Certificate::Expired => self.expired_leaf(names),
            Certificate::OtherName => self.leaf(&["other.example.com"]),
            Certificate::Untrusted => Self::new("privatelink-sim stranger")?.leaf(names),
            Certificate::SelfSigned => {
                let key = KeyPair::generate().map_err(io::Error::other)?;
                let certificate = params(names, 4000)?.self_signed(&key).map_err(io::Error::other)?;
                Ok(Leaf::new(&certificate, &key))
            }
        }
    }

    fn issue(&self, names: &[&str], until: i32) -> io::Result<Leaf> {
        let mut params = params(names, until)?;
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(io::Error::other)?;
        Ok(Leaf::new(&certificate, &key))
    }
}

impl Leaf {
    fn new(certificate: &rcgen::Certificate, key: &KeyPair) -> Self {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Self { chain: vec![certificate.der().clone()], key }
    }
}

/// Of a server's certificate, valid from 2000 to the first day of `until`.
fn params(names: &[&str], until: i32) -> io::Result<CertificateParams> {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}
