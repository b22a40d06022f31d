//! What comes back over HTTP, as values: a reply, or why there is none.

use std::fmt;

use zeroize::Zeroizing;

use crate::model::Wall;

/// The largest body that is read. A full page of 50 endpoints is about 100 KB.
pub const LARGEST_BODY: usize = 1024 * 1024;

/// The parts of a reply that callers look at.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// `Content-Type`, as it came.
    pub content_type: Option<String>,
    /// `Date`.
    pub date: Option<Wall>,
    /// `x-acs-retry-after`, as it came.
    pub retry_after: Option<String>,
    /// At most [`LARGEST_BODY`] bytes. Replies carry credentials, so it is wiped.
    pub body: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({}, {} bytes)", self.status, self.body.len())
    }
}

/// Why there is no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{host}: {kind}: {detail}")]
pub struct TransportError {
    /// What went wrong.
    pub kind: TransportKind,
    /// Who was asked.
    pub host: String,
    /// What went wrong, in the words of the library that noticed. Never a URL or a header.
    pub detail: String,
}

/// What can go wrong on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportKind {
    /// No address for the name.
    Dns,
    /// No connection.
    Connect,
    /// No TLS: certificate, name, protocol.
    Tls,
    /// A deadline passed.
    Timeout,
    /// The connection ended early.
    Reset,
    /// What came is no HTTP.
    Protocol,
    /// A redirect, which is not followed.
    Redirect,
    /// The body is larger than [`LARGEST_BODY`].
    TooLarge,
    /// Our own fault: no roots, or a request that HTTP can't carry.
    Local,
}

impl TransportKind {
    /// The word in metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        self.words().0
    }

    /// The word in metrics, and what people read.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Dns => ("dns", "no address"),
            Self::Connect => ("connect", "no connection"),
            Self::Tls => ("tls", "no TLS"),
            Self::Timeout => ("timeout", "no answer in time"),
            Self::Reset => ("reset", "connection ended early"),
            Self::Protocol => ("protocol", "no HTTP"),
            Self::Redirect => ("redirect", "redirect refused"),
            Self::TooLarge => ("too_large", "reply too large"),
            Self::Local => ("local", "not asked"),
        }
    }
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.words().1)
    }
}
