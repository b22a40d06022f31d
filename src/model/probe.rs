//! What is probed, and how: targets and their specs.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{EndpointName, HostName, Secret, Zone};

/// One kind of question put to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Connect, TLS, greeting or status.
    Path,
    /// Login, query, result.
    Deep,
}

impl Check {
    /// The word for it in metrics and status.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Deep => "deep",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.label())
    }
}

/// Which address, seen as part of which endpoint and zone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TargetKey {
    /// The endpoint.
    pub endpoint: EndpointName,
    /// The zone of the address.
    pub zone: Zone,
    /// The address that is dialled.
    pub address: IpAddr,
}

impl fmt::Display for TargetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.endpoint, self.zone, self.address)
    }
}

/// What one probe task works on. Two equal specs are the same work: a reload leaves such a task alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TargetSpec {
    /// Where.
    pub key: TargetKey,
    /// How; shared by all targets of an endpoint.
    pub probe: Arc<ProbeSpec>,
}

/// How an endpoint is probed: `[endpoint.probe]`, with every default filled in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProbeSpec {
    /// The protocol and its own settings.
    pub kind: ProbeKind,
    /// The port on every address of the endpoint.
    pub port: u16,
    /// Rhythm of the path check.
    pub path: Schedule,
    /// How long a recovered target has to stay up before names return to it.
    pub hold: Duration,
}

/// Rhythm and thresholds of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Schedule {
    /// Between two probes of a target in a settled state.
    pub interval: Duration,
    /// Between two probes at an edge, and how long an unanswered probe may last before the next one starts.
    pub fast_interval: Duration,
    /// Deadline of one probe.
    pub timeout: Duration,
    /// Successes in a row that bring a target up. At least 1.
    pub rise: u32,
    /// Failures in a row that bring a target down. At least 1.
    pub fall: u32,
}

/// The protocol of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ProbeKind {
    /// A TCP connection is accepted.
    Tcp,
    /// A TLS handshake under the name, one request, the expected status.
    Https(HttpsSpec),
}

impl ProbeKind {
    /// The word in the config and in status.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Https(_) => "https",
        }
    }
}

/// The request of an HTTPS probe.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HttpsSpec {
    /// SNI, `Host` and the name the certificate must be for.
    pub server_name: HostName,
    /// Request method, upper case, a valid HTTP token.
    pub method: String,
    /// Request target, begins with `/`, printable ASCII without spaces.
    pub path: String,
    /// More request headers, in the order of the config. Names are lower case and valid.
    pub headers: Vec<(String, HeaderValue)>,
    /// Status codes that count as healthy. Never empty.
    pub expect_status: Vec<u16>,
    /// Who may have signed the certificate.
    pub trust: Trust,
}

/// A header's value: plain, or read from a file and kept secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HeaderValue {
    /// Written in the config.
    Plain(String),
    /// Read from a file of its own at load.
    Secret(Secret),
}

/// A set of trusted certificate authorities.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Trust {
    /// The roots of the operating system.
    System,
    /// Exactly the certificates of one file.
    File(Arc<TrustBundle>),
}

/// The certificates of a `ca_file`, read at load so that nothing is read while probing.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TrustBundle {
    /// Where they came from, for messages.
    pub path: std::path::PathBuf,
    /// DER, one entry a certificate, at least one.
    pub certificates: Vec<Vec<u8>>,
}

impl fmt::Debug for TrustBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustBundle({}, {} certificates)", self.path.display(), self.certificates.len())
    }
}
