//! How many hosts have the same config, as everybody who shares something with them wants to know.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

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
    #[must_use]
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Default for FleetSize {
    fn default() -> Self {
        Self::new(1)
    }
}
