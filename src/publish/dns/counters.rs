//! What the stub's threads count, for others to read.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hickory_server::proto::op::ResponseCode;

use crate::model::{DNS_DURATION_BUCKETS, DnsCode, DnsCounts, DnsTransport};

/// Counts of one process's stub. Written by its threads, read by others; each number is right, several together may be
/// a batch apart.
#[derive(Debug, Default)]
pub struct Counters {
    answered: [[AtomicU64; DnsCode::ALL.len()]; DnsTransport::ALL.len()],
    dropped: AtomicU64,
    durations: [AtomicU64; DNS_DURATION_BUCKETS.len() + 1],
    nanoseconds: AtomicU64,
}

/// How many replies of a batch ended how.
#[derive(Debug, Default)]
pub struct Tally([u64; DnsCode::ALL.len()]);

impl Tally {
    /// Of one reply.
    #[must_use]
    pub fn one(code: ResponseCode) -> Self {
        let mut one = Self::default();
        one.add(code);
        one
    }

    /// Adds a reply.
    pub fn add(&mut self, code: ResponseCode) {
        self.0[word(code) as usize] += 1;
    }
}

impl Counters {
    /// Counts packets that got no reply: none is due, too many others wait, or the reply could not be sent.
    pub fn dropped(&self, packets: usize) {
        self.dropped.fetch_add(packets as u64, Relaxed);
    }

    /// Counts replies, and how long each of them took: from the first query read to the last reply sent.
    pub fn answered(&self, transport: DnsTransport, replies: &Tally, duration: Duration) {
        for (all, more) in self.answered[transport as usize].iter().zip(replies.0).filter(|(_, more)| *more > 0) {
            all.fetch_add(more, Relaxed);
        }
        let bucket = DNS_DURATION_BUCKETS.partition_point(|most| *most < duration);
        let replies = replies.0.iter().sum();
        self.durations[bucket].fetch_add(replies, Relaxed);
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds.saturating_mul(replies), Relaxed);
    }

    /// Reads them.
    #[must_use]
    pub fn read(&self) -> DnsCounts {
        let each = DnsTransport::ALL.into_iter().flat_map(|t| DnsCode::ALL.map(|c| (t, c)));
        let answered = each.map(|(t, c)| ((t, c), self.answered[t as usize][c as usize].load(Relaxed)));
        DnsCounts {
            answered: answered.filter(|(_, n)| *n > 0).collect(),
            dropped: self.dropped.load(Relaxed),
            durations: self.durations.each_ref().map(|n| n.load(Relaxed)),
            seconds: Duration::from_nanos(self.nanoseconds.load(Relaxed)),
        }
    }
}

fn word(code: ResponseCode) -> DnsCode {
    match code {
        ResponseCode::NoError => DnsCode::NoError,
        ResponseCode::FormErr => DnsCode::FormErr,
        ResponseCode::NXDomain => DnsCode::NxDomain,
        ResponseCode::NotImp => DnsCode::NotImp,
        ResponseCode::Refused => DnsCode::Refused,
        ResponseCode::NotAuth => DnsCode::NotAuth,
        ResponseCode::BADVERS => DnsCode::BadVers,
        // Other codes are those of forwarders.
        _ => DnsCode::ServFail,
    }
}
