//! How many hosts put the same questions to the same servers, as every prober that shares something with them wants
//! to know.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// `[host] fleet_size`, which a reload may change; never 0. Clones tell the same.
#[derive(Debug, Clone)]
pub struct FleetSize(Arc<AtomicU32>);

impl FleetSize {
    /// So many hosts, one at least.
    #[must_use]
    pub fn new(hosts: u32) -> Self {
        Self(Arc::new(AtomicU32::new(hosts.max(1))))
    }

    /// Tells all clones.
    pub fn set(&self, hosts: u32) {
        self.0.store(hosts.max(1), Ordering::Relaxed);
    }

    /// How many there are now.
    pub(super) fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// How long each host has to wait between two of its own so that all together make no more than `a_second`.
    #[must_use]
    pub fn apart(&self, a_second: u32) -> Duration {
        Duration::from_secs(1) * self.get() / a_second.max(1)
    }

    /// Within how long all hosts do once what they must not do at one instant: a second each; at once where there is
    /// but this one.
    pub(super) fn spread(&self) -> Duration {
        match self.get() {
            1 => Duration::ZERO,
            hosts => Duration::from_secs(1) * hosts,
        }
    }
}
