//! What a service of a database proves itself with.

use std::io;

use rustls::HandshakeKind;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::https::acceptor;
use crate::pki::{Certificate, Pki};

/// All that a service can prove itself with over TLS, the bad included. Sessions are resumed only under the certificate
/// that they began with, whatever else was shown in between.
#[derive(Clone)]
pub struct Identity {
    good: TlsAcceptor,
    expired: TlsAcceptor,
    other_name: TlsAcceptor,
    untrusted: TlsAcceptor,
    self_signed: TlsAcceptor,
}

/// How a TLS handshake went, as the server sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Handshake {
    /// The name of the client hello.
    pub(crate) server_name: Option<String>,
    /// True if no certificate was shown.
    pub(crate) resumed: bool,
}

impl Identity {
    /// Certificates for `names`, the good one signed by `pki`.
    ///
    /// # Errors
    /// If a name is none, or no key can be made.
    pub fn new(pki: &Pki, names: &[&str]) -> io::Result<Self> {
        let make = |certificate| acceptor(pki.prove(names, certificate)?);
        Ok(Self {
            good: make(Certificate::Good)?,
            expired: make(Certificate::Expired)?,
            other_name: make(Certificate::OtherName)?,
            untrusted: make(Certificate::Untrusted)?,
            self_signed: make(Certificate::SelfSigned)?,
        })
    }

    /// Takes the part of the server in a TLS handshake.
    pub(crate) async fn accept<S>(&self, with: Certificate, stream: S) -> io::Result<(TlsStream<S>, Handshake)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let acceptor = match with {
            Certificate::Good => &self.good,
            Certificate::Expired => &self.expired,
            Certificate::OtherName => &self.other_name,
            Certificate::Untrusted => &self.untrusted,
            Certificate::SelfSigned => &self.self_signed,
        };
        let stream = acceptor.accept(stream).await?;
        let session = stream.get_ref().1;
        let server_name = session.server_name().map(str::to_owned);
        let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
        Ok((stream, Handshake { server_name, resumed }))
    }
}
