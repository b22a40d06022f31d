//! How many hosts put the same questions to the same servers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The fleet that this host belongs to, asked anew each time: a reload may change it.
#[derive(Clone)]
pub struct Fleet(Arc<dyn Fn() -> u32 + Send + Sync>);

impl Fleet {
    /// A fleet of as many hosts as `hosts` says.
    #[must_use]
    pub fn new(hosts: impl Fn() -> u32 + Send + Sync + 'static) -> Self {
        Self(Arc::new(hosts))
    }

    /// How long each host has to wait between two of its own so that all together make no more than `a_second`.
    #[must_use]
    pub fn apart(&self, a_second: u32) -> Duration {
        Duration::from_secs(1) * (self.0)().max(1) / a_second.max(1)
    }
}

impl Default for Fleet {
    /// This host alone.
    fn default() -> Self {
        Self::new(|| 1)
    }
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fleet({})", (self.0)())
    }
}
