//! What the stub tells of itself.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a query comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DnsTransport {
    /// In a datagram.
    Udp,
    /// In a stream.
    Tcp,
}

impl DnsTransport {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Udp, Self::Tcp];

    /// The word in metrics and status.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

impl fmt::Display for DnsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.label())
    }
}

/// How a query ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DnsCode {
    /// An answer, or that there is none of this type.
    NoError,
    /// It could not be read.
    FormErr,
    /// It could not be answered.
    ServFail,
    /// No such name.
    NxDomain,
    /// No such operation.
    NotImp,
    /// Somebody else's name.
    Refused,
    /// To transfer or change what is no zone of ours.
    NotAuth,
    /// An unknown version of EDNS.
    BadVers,
}

impl DnsCode {
    /// Every one.
    pub const ALL: [Self; 8] = [
        Self::NoError,
        Self::FormErr,
        Self::ServFail,
        Self::NxDomain,
        Self::NotImp,
        Self::Refused,
        Self::NotAuth,
        Self::BadVers,
    ];

    /// The word in metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::NoError => "noerror",
            Self::FormErr => "formerr",
            Self::ServFail => "servfail",
            Self::NxDomain => "nxdomain",
            Self::NotImp => "notimp",
            Self::Refused => "refused",
            Self::NotAuth => "notauth",
            Self::BadVers => "badvers",
        }
    }
}

/// Upper bounds of how long a query takes.
pub const DNS_DURATION_BUCKETS: [Duration; 7] = [
    Duration::from_micros(10),
    Duration::from_micros(30),
    Duration::from_micros(100),
    Duration::from_micros(300),
    Duration::from_millis(1),
    Duration::from_millis(10),
    Duration::from_millis(100),
];

/// What the stub did since the agent started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsCounts {
    /// Replies, by how they were asked for and how they ended; what never happened is absent.
    pub answered: BTreeMap<(DnsTransport, DnsCode), u64>,
    /// Packets without a reply.
    pub dropped: u64,
    /// How many took how long, by [`DNS_DURATION_BUCKETS`]; the last one is of those that took longer.
    pub durations: [u64; DNS_DURATION_BUCKETS.len() + 1],
    /// All of them together.
    pub seconds: Duration,
}
