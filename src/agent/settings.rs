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

/// Everything that the config decides, and where we are, each under its own watch so that a reload wakes only whom it
/// concerns.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) config: watch::Sender<Arc<Config>>,
    pub(super) state: watch::Sender<Arc<ConfigState>>,
    pub(super) host: watch::Sender<Arc<HostFacts>>,
    /// What the metadata service told, once it did.
    pub(super) told: watch::Sender<Option<Arc<InstanceFacts>>>,
    pub(super) probes: watch::Sender<Arc<Probes>>,
    pub(super) policy: watch::Sender<Arc<HostsPolicy>>,
    /// How many hosts share secrets and servers with this one.
    pub(super) fleet: FleetSize,
}

impl Settings {
    /// Takes over where we are, and wakes nobody if that is no news. Once foreign, a cache stays so.
    pub(super) fn take_host(&self, host: HostFacts) {
        self.host.send_if_modified(|present| {
            let foreign_cache = host.foreign_cache.or(present.foreign_cache);
            let host = HostFacts { foreign_cache, ..host };
            let news = **present != host;
            *present = Arc::new(host);
            news
        });
    }
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
