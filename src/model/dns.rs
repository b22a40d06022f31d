//! What the stub tells of itself.

use std::collections::BTreeMap;
use std::time::Duration;

use super::worded;

worded! {
    /// How a query comes.
    DnsTransport {
        /// In a datagram.
        Udp = "udp",
        /// In a stream.
        Tcp = "tcp",
    }
}

worded! {
    /// How a query ends.
    DnsCode {
        /// An answer, or that there is none of this type.
        NoError = "noerror",
        /// It could not be read.
        FormErr = "formerr",
        /// It could not be answered.
        ServFail = "servfail",
        /// No such name.
        NxDomain = "nxdomain",
        /// No such operation.
        NotImp = "notimp",
        /// A name that is not ours.
        Refused = "refused",
        /// To transfer or change what is no zone of ours.
        NotAuth = "notauth",
        /// An unknown version of EDNS.
        BadVers = "badvers",
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
