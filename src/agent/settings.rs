//! What the config decides, as the stages want it.

use std::sync::Arc;

use tokio::sync::watch;

use crate::cloud::metadata::InstanceFacts;
use crate::config::{Config, EndpointConfig};
use crate::model::HostFacts;
use crate::observe::ConfigState;
use crate::probe::FleetSize;
use crate::probe::runner::{Probes, Probing};
use crate::publish::hosts::policy::HostsPolicy;
use crate::sys::in_force::{Projection, modify};

/// The config in force, and what else a reload may change. Who needs a part of the config alone follows a projection of
/// its watch, so that a reload wakes only whom it concerns.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) config: watch::Sender<Arc<Config>>,
    pub(super) state: watch::Sender<Arc<ConfigState>>,
    pub(super) host: watch::Sender<Arc<HostFacts>>,
    /// What the metadata service told, once it did.
    pub(super) told: watch::Sender<Option<Arc<InstanceFacts>>>,
    /// How many hosts share secrets and servers with this one.
    pub(super) fleet: FleetSize,
}

impl Settings {
    /// Takes over where we are, and wakes no stage if that is no news. Once foreign, a cache stays so.
    pub(super) fn take_host(&self, host: HostFacts) {
        modify(&self.host, |present| {
            let foreign_cache = host.foreign_cache.or(present.foreign_cache);
            *present = Arc::new(HostFacts { foreign_cache, ..host });
        });
    }
}

/// Follows a part of the config in force, or what follows from it.
pub(super) fn follow<T>(config: watch::Receiver<Arc<Config>>, part: fn(&Config) -> T) -> Projection<T>
where
    T: PartialEq + 'static,
{
    Projection::new(config, move |config: &Arc<Config>| part(config))
}

/// How each endpoint is probed.
pub(super) fn probes(config: &Config) -> Probes {
    let probing = |e: &EndpointConfig| Some(Probing { identity: e.identity(), spec: e.probe.clone()? });
    config.endpoints.iter().filter_map(|(name, e)| Some((name.clone(), probing(e)?))).collect()
}

/// The hosts writer's policy, where it runs in this process.
pub(super) fn policy(config: &Config) -> HostsPolicy {
    HostsPolicy::new(config.for_writer())
}
