//! How an admin wants names to be steered.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{EndpointName, SourceKind, worded};

/// `[steering]` with the `[endpoint.steering]` of every endpoint laid over it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// For endpoints that are not named below.
    pub default: Steering,
    /// By endpoint.
    pub endpoints: BTreeMap<EndpointName, Steering>,
    /// How long what is given up is kept.
    pub graces: Graces,
    /// Within how long the hosts of a fleet return to a zone whose drain ended at all of them at one instant.
    pub spread: Duration,
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
    pub fn for_source(self, source: SourceKind) -> Duration {
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
    /// How flapping is damped.
    pub damping: Damping,
}

/// How flapping is damped: each departure to down earns a penalty that decays, and from `suppress` on an address stays
/// on hold until its penalty has decayed to `reuse`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Damping {
    /// Of one departure; 0 damps nothing.
    pub penalty: u32,
    /// From which sum on it counts.
    pub suppress: u32,
    /// Down to which it has to decay; at least 1, and below `suppress`.
    pub reuse: u32,
    /// In which it halves; never zero.
    pub half_life: Duration,
    /// How long an address is kept out by it, at most.
    pub max: Duration,
}

impl Default for Damping {
    fn default() -> Self {
        let (half_life, max) = (Duration::from_secs(120), Duration::from_secs(600));
        Self { penalty: 1000, suppress: 2000, reuse: 750, half_life, max }
    }
}

worded! {
    /// `prefer`.
    #[derive(Default)]
    Prefer {
        /// All zones alike.
        #[default]
        Any = "any",
        /// Only this host's zone while it is healthy.
        LocalZone = "local_zone",
    }
}

worded! {
    /// `answers`.
    #[derive(Default)]
    Answers {
        /// Every eligible address.
        #[default]
        All = "all",
        /// One.
        One = "one",
    }
}
