//! What the config decides, as the stages want it.

use std::sync::Arc;

use tokio::sync::watch;

use crate::config::Config;
use crate::model::HostFacts;
use crate::observe::ConfigState;
use crate::probe::runner::Probes;
use crate::publish::hosts::policy::HostsPolicy;

/// Everything that the config decides, each under its own watch so that a reload wakes only whom it concerns.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) config: watch::Sender<Arc<Config>>,
    pub(super) state: watch::Sender<Arc<ConfigState>>,
    pub(super) host: watch::Sender<Arc<HostFacts>>,
    pub(super) probes: watch::Sender<Arc<Probes>>,
    pub(super) policy: watch::Sender<Arc<HostsPolicy>>,
}

/// How each endpoint is probed.
pub(super) fn probes(config: &Config) -> Probes {
    config.endpoints.iter().filter_map(|(name, e)| Some((name.clone(), e.probe.clone()?))).collect()
}

/// The hosts writer's policy, where it runs in this process.
pub(super) fn policy(config: &Config) -> HostsPolicy {
    HostsPolicy::new(config.for_writer())
}
