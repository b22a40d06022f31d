//! How an admin wants names to be steered.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{EndpointName, SourceKind};

/// `[steering]` with the `[endpoint.steering]` of every endpoint laid over it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// For endpoints that are not named below.
    pub default: Steering,
    /// By endpoint.
    pub endpoints: BTreeMap<EndpointName, Steering>,
    /// How long what is given up is kept.
    pub graces: Graces,
}

/// How long what is given up is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Graces {
    /// A name or endpoint that left the config, and an address that was replaced there.
    pub removal: Duration,
    /// What the cloud no longer has.
    pub gone: Duration,
}

impl Graces {
    /// For an address that this source has stopped to give.
    #[must_use]
    pub fn of(self, source: SourceKind) -> Duration {
        match source {
            SourceKind::Fixed => self.removal,
            SourceKind::Api | SourceKind::ZoneDomain | SourceKind::EndpointDomain => self.gone,
        }
    }
}

impl Policy {
    /// The steering of one endpoint.
    #[must_use]
    pub fn steering(&self, endpoint: &EndpointName) -> Steering {
        self.endpoints.get(endpoint).copied().unwrap_or(self.default)
    }
}

/// What to prefer and how much to publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Steering {
    /// Which healthy addresses.
    pub prefer: Prefer,
    /// How many of them.
    pub answers: Answers,
}

/// `prefer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Prefer {
    /// All zones alike.
    #[default]
    Any,
    /// Only this host's zone while it is healthy.
    LocalZone,
}

/// `answers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Answers {
    /// Every eligible address.
    #[default]
    All,
    /// One.
    One,
}
