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
    /// When it ends by itself. An admin who ends it sooner sets this to now instead of taking the drain away: the hosts
    /// of a fleet return one after the other from then on.
    pub until: Boottime,
}
