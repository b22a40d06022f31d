//! What an admin asked for, beyond the config.

use std::collections::BTreeMap;

use super::{Boottime, EndpointName, ZoneId};

/// Drains in force. Nothing sets one yet; steering takes them so that the type is settled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// By zone.
    pub drains: BTreeMap<ZoneId, Drain>,
}

/// A time-limited shift away from a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drain {
    /// Only this endpoint, or all.
    pub endpoint: Option<EndpointName>,
    /// When it ends by itself.
    pub until: Boottime,
}
