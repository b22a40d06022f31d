//! How much the agent takes in of anything, and what is counted of the rest (B18).
//!
//! A cap stands where data enters. What is over it costs itself and never its neighbours: what is known or published
//! already stays, newcomers are refused in numeric order, since resolvers rotate their answers.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{HostName, worded};

/// Addresses that one name may have, standby ones included, and those of one endpoint likewise. More are a mistake, and
/// small resolvers read only 48.
pub const ADDRESSES_A_NAME: usize = 64;
/// Zones of one endpoint. The largest region has fewer than twenty (the API's `DescribeZones`).
pub const ZONES_AN_ENDPOINT: usize = 32;
/// Endpoints of one config.
pub const ENDPOINTS_A_CONFIG: usize = 2_000;
/// Names that one config may publish, those of zones included.
pub const NAMES_A_CONFIG: usize = 8_192;
/// Names of one hand-over from the agent to the writer: as many as a config may have.
pub const NAMES_A_HANDOVER: usize = NAMES_A_CONFIG;
/// Bytes of one hand-over: more than as many names of the usual length need.
pub const HANDOVER_BYTES: u64 = 2 << 20;
/// Bytes of our block in the hosts file, which every lookup on the host reads.
pub const BLOCK_BYTES: usize = 1 << 20;
/// Most of them that its markers take up.
pub const BLOCK_MARKERS: usize = 256;

/// Bytes of a name's entry in the block: a line with the name and the reason, and one with the name for each address.
/// All are lengths of texts.
#[must_use]
pub fn entry_bytes(name: usize, reason: usize, addresses: impl IntoIterator<Item = usize>) -> usize {
    const COMMENT: usize = "# : \n".len();
    const LINE: usize = " \n".len();
    let lines: usize = addresses.into_iter().map(|address| address + name + LINE).sum();
    COMMENT + name + reason + lines
}

/// Length of the longest reason that an entry of the block gives, with its time, in bytes and with some to spare.
pub const LONGEST_REASON: usize = 48;

/// Most bytes that the entry of a name with these addresses takes up in the block, whatever its reason.
#[must_use]
pub fn entry_size<'a>(name: &HostName, addresses: impl IntoIterator<Item = &'a IpAddr>) -> usize {
    let lengths = addresses.into_iter().map(|address| address.to_string().len());
    entry_bytes(name.as_str().len(), LONGEST_REASON, lengths)
}

worded! {
    /// What there can be too much of.
    Capped {
        /// Addresses of an endpoint or name.
        Addresses = "addresses",
        /// Zones of an endpoint.
        Zones = "zones",
        /// Names of a hand-over.
        Names = "names",
        /// Hand-overs that are too long as a whole.
        Handover = "handover",
        /// Names that the block had no room for.
        Block = "block",
    }
}

/// How much was refused since the start because there was too much of it. It only grows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CapCounts(BTreeMap<Capped, u64>);

impl CapCounts {
    /// Counts so many more.
    pub fn add(&mut self, what: Capped, more: u64) {
        if more > 0 {
            let count = self.0.entry(what).or_default();
            *count = count.saturating_add(more);
        }
    }

    /// Counts what another one counted.
    pub fn extend(&mut self, other: &Self) {
        other.0.iter().for_each(|(what, more)| self.add(*what, *more));
    }

    /// Of one kind.
    #[must_use]
    pub fn get(&self, what: Capped) -> u64 {
        self.0.get(&what).copied().unwrap_or(0)
    }

    /// True if nothing was ever refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_both_processes_add_up() {
        let mut agent = CapCounts::default();
        agent.add(Capped::Zones, 0);
        assert!(agent.is_empty());
        agent.add(Capped::Addresses, 3);
        let mut writer = CapCounts::default();
        writer.add(Capped::Addresses, 2);
        writer.add(Capped::Block, u64::MAX);
        agent.extend(&writer);
        agent.extend(&writer);
        let counts = Capped::ALL.map(|what| agent.get(what));
        assert_eq!(counts, [7, 0, 0, 0, u64::MAX]);
    }
}
