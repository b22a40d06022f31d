//! What is probed, and how: targets and their specs.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Damping, Endpoint, EndpointName, HostName, ProbeKindName, Secret, Wall, Zone, worded};

mod secrets;

worded! {
    /// One kind of question put to a target.
    Check {
        /// Connect, TLS, greeting or status.
        Path = "path",
        /// Login, query, result.
        Deep = "deep",
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

impl TargetKey {
    /// Of each address that some source gives at present of an endpoint.
    pub fn of_endpoint(name: &EndpointName, endpoint: &Endpoint) -> impl Iterator<Item = Self> {
        let key = |(zone, address): (&Zone, _)| Self { endpoint: name.clone(), zone: zone.clone(), address };
        endpoint.current_addresses().map(key)
    }
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
    /// The deep check, if there is one.
    pub deep: Option<DeepSpec>,
    /// How long a recovered target has to stay up before names return to it.
    pub hold: Duration,
    /// What else its way back depends on.
    pub returns: Returns,
}

/// How a target that was down comes back, beyond `rise` and `hold`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Returns {
    /// On top of the hold, at most: each host draws a share of its own, so that a fleet does not return in one instant.
    pub spread: Duration,
    /// How soon a failed login is tried again, at first; doubled each time, up to the interval.
    pub retry: Duration,
    /// Between two logins at an edge, at least, so that those of a whole fleet stay few; the first comes at a random
    /// time within as much.
    pub apart: Duration,
    /// How flapping is damped.
    pub damping: Damping,
}

impl Default for Returns {
    /// Of one host alone.
    fn default() -> Self {
        let (retry, damping) = (Duration::from_secs(2), Damping::default());
        Self { spread: Duration::ZERO, retry, apart: Duration::ZERO, damping }
    }
}

impl ProbeSpec {
    /// The checks of each target, with the rhythm of each.
    pub fn checks(&self) -> impl Iterator<Item = (Check, Schedule)> {
        let deep = self.deep.map(|deep| (Check::Deep, deep.schedule));
        [(Check::Path, self.path)].into_iter().chain(deep)
    }
}

/// The check that logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeepSpec {
    /// How far it goes.
    pub depth: Depth,
    /// Its rhythm; the interval is stretched so that a whole fleet stays gentle (B7).
    pub schedule: Schedule,
}

/// How far a deep check goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Depth {
    /// The login is accepted.
    Login,
    /// A statement gives the expected result, too.
    Query,
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
    /// MatrixOne's front end greets; deep: the database behind answers.
    Matrixone(MysqlSpec),
    /// A MySQL server answers a ping on a kept connection; deep: a fresh login and a statement.
    Mysql(MysqlSpec),
    /// A TLS handshake under the name; deep: TDengine's REST gateway answers a statement.
    Tdengine(TdengineSpec),
}

impl ProbeKind {
    /// How long before its end a certificate is complained about, where there is TLS.
    #[must_use]
    pub fn expiry_warning(&self) -> Option<Duration> {
        match self {
            Self::Tcp => None,
            Self::Https(spec) => Some(spec.tls.expiry_warning),
            Self::Tdengine(spec) => Some(spec.tls.expiry_warning),
            Self::Matrixone(spec) | Self::Mysql(spec) => (spec.tls != MysqlTls::Off).then_some(spec.expiry_warning),
        }
    }

    /// The name that a server proves to be its own by a verified certificate, with each success of the path check.
    #[must_use]
    pub fn verified_name(&self) -> Option<&HostName> {
        match self {
            Self::Https(spec) => Some(&spec.tls.server_name),
            Self::Tdengine(spec) => Some(&spec.tls.server_name),
            // The greeting comes before TLS.
            Self::Tcp | Self::Matrixone(_) | Self::Mysql(_) => None,
        }
    }

    /// Its name in the config.
    #[must_use]
    pub fn name(&self) -> ProbeKindName {
        match self {
            Self::Tcp => ProbeKindName::Tcp,
            Self::Https(_) => ProbeKindName::Https,
            Self::Matrixone(_) => ProbeKindName::Matrixone,
            Self::Mysql(_) => ProbeKindName::Mysql,
            Self::Tdengine(_) => ProbeKindName::Tdengine,
        }
    }

    /// The word in the config and in status.
    #[must_use]
    pub fn label(&self) -> &'static str {
        self.name().label()
    }
}

/// What a TLS session must prove.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TlsSpec {
    /// SNI, and the name the certificate must be for.
    pub server_name: HostName,
    /// Who may have signed the certificate.
    pub trust: Trust,
    /// How long before its end a certificate is complained about.
    pub expiry_warning: Duration,
}

/// The request of an HTTPS probe.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HttpsSpec {
    /// The session; its name is the `Host` header, too.
    pub tls: TlsSpec,
    /// Request method, upper case, a valid HTTP token.
    pub method: String,
    /// Request target, begins with `/`, printable ASCII without spaces.
    pub path: String,
    /// More request headers, in the order of the config. Names are lower case and valid.
    pub headers: Vec<(String, HeaderValue)>,
    /// The request's body; none is sent if empty.
    pub body: String,
    /// Status codes that count as healthy. Never empty.
    pub expect_status: Vec<u16>,
    /// A regular expression that is found in the beginning of a healthy body; valid for `regex_lite`.
    pub expect_body: Option<String>,
}

/// How a server of the MySQL protocol is asked: MySQL itself, MariaDB, or MatrixOne.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MysqlSpec {
    /// Whether and how TLS is used.
    pub tls: MysqlTls,
    /// How long before its end a certificate is complained about.
    pub expiry_warning: Duration,
    /// Who logs in. Always there for the kind `mysql` and for a deep check, save where no secret may be sent.
    pub login: Option<MysqlLogin>,
    /// The statement of a deep check of [`Depth::Query`].
    pub query: String,
    /// What the first column of its first row must be, as text.
    pub expect: Option<String>,
}

/// TLS of a MySQL connection, which begins in plain text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MysqlTls {
    /// Never.
    Off,
    /// If the server offers it; whose certificate it shows is not judged.
    Preferred,
    /// Always; whose certificate it shows is not judged.
    Required,
    /// Always, and the certificate must be signed by one of these authorities, whomever it is for: those that MySQL and
    /// MariaDB make for themselves bear no name of a host. A password may cross in clear text then, too.
    VerifyCa(Arc<TrustBundle>),
    /// Always, and the certificate is verified, with its name. Without a verified certificate no password crosses in
    /// clear text (B7).
    Verify(TlsSpec),
}

/// Who logs in to a MySQL server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MysqlLogin {
    /// The user's full name; with MatrixOne `account:user:role`.
    pub user: String,
    /// The password; none means an empty one.
    pub password: Option<FileSecret>,
}

impl MysqlLogin {
    /// The password itself.
    #[must_use]
    pub fn secret(&self) -> Option<&Secret> {
        self.password.as_ref().map(|password| &password.secret)
    }
}

/// How TDengine's REST gateway is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TdengineSpec {
    /// The session; its name is the `Host` header, too.
    pub tls: TlsSpec,
    /// Where statements are posted, begins with `/`, without a query.
    pub path: String,
    /// Who asks. Without one the gateway's refusal is what proves it.
    pub login: Option<TdengineLogin>,
    /// The statement of a deep check.
    pub sql: String,
    /// What the first column of its first row must be, as text.
    pub expect: Option<String>,
}

/// How TDengine is told who asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TdengineLogin {
    /// A cloud token, in the request's query.
    Token(FileSecret),
    /// HTTP's Basic authentication.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: FileSecret,
    },
}

/// A secret from a file of its own, and when that file was last written: a refused secret is not tried again before
/// its file changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileSecret {
    /// What is in the file.
    pub secret: Secret,
    /// The file, for messages.
    pub path: PathBuf,
    /// Its modification time.
    pub written: Wall,
}

/// A header's value: plain, or read from a file and kept secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HeaderValue {
    /// Written in the config.
    Plain(String),
    /// Read from a file of its own at load.
    Secret(Secret),
}

impl HeaderValue {
    /// True if it came from a file of its own.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        matches!(self, Self::Secret(_))
    }
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
    pub path: PathBuf,
    /// DER, one entry a certificate, at least one.
    pub certificates: Vec<Vec<u8>>,
}

impl fmt::Debug for TrustBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustBundle({}, {} certificates)", self.path.display(), self.certificates.len())
    }
}
