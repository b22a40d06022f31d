//! What discovery knows: every endpoint, its zones, its addresses, and how fresh that is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Boottime, EndpointId, EndpointName, HostName, Now, Zone};

/// Every endpoint by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// By the admin's name.
    pub endpoints: BTreeMap<EndpointName, Endpoint>,
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The cloud's id, if known.
    pub id: Option<EndpointId>,
    /// Its own domain name, if known.
    pub domain: Option<HostName>,
    /// Names that point at the whole endpoint.
    pub names: BTreeSet<HostName>,
    /// Names that left the config while the endpoint stayed, and since when: they go after the grace.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub leaving: BTreeMap<HostName, Boottime>,
    /// Where several endpoints share a name: lower first.
    pub priority: i32,
    /// Its zones, in the order of their ids.
    pub zones: BTreeMap<Zone, ZoneEntry>,
    /// Whether anything probes its addresses; if nothing does, they are trusted as they are.
    pub probed: bool,
    /// Still in the config, or leaving.
    pub presence: Presence,
    /// How fresh each source is that speaks of it.
    pub sources: BTreeMap<SourceKind, Freshness>,
}

/// One zone of an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneEntry {
    /// Names of this zone's own: they only ever point at this zone.
    pub names: BTreeSet<HostName>,
    /// As [`Endpoint::leaving`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub leaving: BTreeMap<HostName, Boottime>,
    /// Its addresses; normally one.
    pub addresses: BTreeMap<IpAddr, AddressEntry>,
}

/// One address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressEntry {
    /// Who gave it.
    pub source: SourceKind,
    /// Set once every source that gave it stopped to: it is no longer probed and leaves the answers as soon as
    /// another address of the name has proved itself, or after the grace.
    pub retired: Option<Boottime>,
}

/// Whether the config still has an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// It has.
    Configured,
    /// It has not; its names stay for `removal_grace` from then on.
    Removed {
        /// When it left.
        since: Boottime,
    },
}

/// Where addresses come from. Earlier ones outrank later ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// `addresses` in the config.
    Fixed,
}

impl SourceKind {
    /// The word in metrics and status.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
        }
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.label())
    }
}

/// How fresh a source is. A failing source goes stale; it never empties a set (B1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Freshness {
    /// The latest round succeeded.
    Fresh {
        /// When.
        at: Now,
    },
    /// It failed; what is shown is from an earlier round, or from the cache.
    Stale {
        /// When the shown data was last confirmed.
        since: Now,
        /// Why there is nothing newer.
        error: String,
    },
}

impl Freshness {
    /// True if stale.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        matches!(self, Self::Stale { .. })
    }

    /// When the data was last confirmed.
    #[must_use]
    pub fn confirmed(&self) -> Now {
        match self {
            Self::Fresh { at } => *at,
            Self::Stale { since, .. } => *since,
        }
    }
}
