//! How an admin wants names to be steered.

use std::collections::BTreeMap;
use std::time::Duration;

use super::EndpointName;

/// `[steering]` with the `[endpoint.steering]` of every endpoint laid over it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// For endpoints that are not named below.
    pub default: Steering,
    /// By endpoint.
    pub endpoints: BTreeMap<EndpointName, Steering>,
    /// How long a name that left the config, or an address that was replaced, is kept.
    pub removal_grace: Duration,
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
