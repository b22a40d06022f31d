//! Why an answer was not let in.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::model::HostName;
use crate::model::limits::{BLOCK_BYTES, Capped, NAMES_A_HANDOVER};
use crate::model::ranges::BadAddress;

/// Why an answer was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The config does not have the name.
    #[error("the config has no such name")]
    UnknownName,
    /// Its endpoint has another domain.
    #[error("the names of its endpoint end in {tail}; if that is wrong, set its domain in the config")]
    OtherDomain {
        /// How those end that were admitted before.
        tail: String,
    },
    /// More than [`NAMES_A_HANDOVER`].
    #[error("expected at most {NAMES_A_HANDOVER} names, and there are as many already")]
    TooManyNames,
    /// More than [`BLOCK_BYTES`].
    #[error("expected a block of at most {BLOCK_BYTES} bytes, and there is no room for {bytes} more")]
    NoRoom {
        /// Bytes that its entry takes up.
        bytes: usize,
    },
    /// Nothing to publish.
    #[error("expected an address of a published family, found none")]
    NoAddress,
    /// Every address is bad. One of them:
    #[error("{address} is {why}")]
    Address {
        /// The first bad address.
        address: IpAddr,
        /// What is wrong with it.
        why: BadAddress,
    },
}

/// All of it in one sentence; `None` if nothing was refused.
#[must_use]
pub fn in_one_sentence(refused: &BTreeMap<HostName, Refusal>) -> Option<String> {
    refused.iter().next().map(|(name, why)| match refused.len() {
        1 => format!("{name} refused: {why}"),
        n => format!("{n} names refused, the first: {name}: {why}"),
    })
}

impl Refusal {
    /// What there was too much of, if that is why.
    #[must_use]
    pub fn capped(&self) -> Option<Capped> {
        match self {
            Self::TooManyNames => Some(Capped::Names),
            Self::NoRoom { .. } => Some(Capped::Block),
            Self::UnknownName | Self::OtherDomain { .. } | Self::NoAddress | Self::Address { .. } => None,
        }
    }
}
