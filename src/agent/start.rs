//! What the agent and the commands that do its work once begin with: facts of the machine, and what was kept.

use std::sync::Arc;

use crate::cloud::metadata::InstanceFacts;
use crate::config::Config;
use crate::discover::{Cache, Memory};
use crate::model::{EventKind, HostFacts, Identity, Now};
use crate::probe::TlsBudget;
use crate::publish::hosts::{HostsPolicy, inspect};
use crate::sys::clock::Clock;
use crate::sys::identity;

/// What the config tells of the machine, what the metadata service does of the rest, and what the machine tells of
/// itself.
pub(super) fn host_facts(config: &Config, told: Option<&InstanceFacts>) -> HostFacts {
    let host = &config.host;
    let or_told = |written: &Option<String>, of: fn(&InstanceFacts) -> &Option<String>| {
        written.clone().or_else(|| told.and_then(|told| of(told).clone()))
    };
    let region = or_told(&host.region, |told| &told.region);
    let vpc_id = or_told(&host.vpc_id, |told| &told.vpc_id);
    let instance_id = or_told(&host.instance_id, |told| &told.instance_id);
    HostFacts {
        zone: host.zone.clone().or_else(|| told.and_then(|told| told.zone.clone())),
        region: region.clone(),
        vpc_id: vpc_id.clone(),
        instance_id: instance_id.clone(),
        hostname: identity::hostname(),
        identity: Identity { region, vpc_id, instance_id, ..identity::local() },
        foreign_cache: None,
        awaited: told.is_none() && needs_to_ask(config),
    }
}

/// Whether the metadata service has to be asked: a config that says it all, or that has nothing to find out, needs
/// nobody.
pub(super) fn needs_to_ask(config: &Config) -> bool {
    let host = &config.host;
    let found_out = config.endpoints.values().any(|e| e.id.is_some() || e.domain.is_some());
    let all = host.region.is_some() && host.vpc_id.is_some() && host.instance_id.is_some();
    host.zone.is_none() || (found_out && !all)
}

pub(super) fn cache(config: &Config, identity: &Identity) -> Cache {
    Cache::new(config.host.state_dir.clone(), identity.clone(), identity::boot_id())
}

/// The budget of broken TLS handshakes, which outlives the agent and which commands share.
pub(super) fn tls_budget(config: &Config, clock: Clock) -> TlsBudget {
    TlsBudget::kept(config.host.state_dir.join("tls_budget.json"), clock)
}

/// Nothing on disk is a reason not to start: a fault in reading is as good as an empty folder. Where the plan is lost,
/// the block in the hosts file is the last known good (B13).
pub(super) async fn recall(
    cache: Arc<Cache>,
    hosts: HostsPolicy,
    read: fn(&Cache, Now) -> Memory,
    clock: Clock,
) -> Memory {
    let recall = move || {
        let mut memory = read(&cache, clock.now());
        if memory.plan_lost && hosts.publish {
            memory.plan = inspect::last_plan(&hosts);
            let names = memory.plan.as_ref().map(|p| p.answers.len());
            memory.events.extend(names.map(|names| EventKind::CacheLoaded { names }));
        }
        memory
    };
    tokio::task::spawn_blocking(recall).await.unwrap_or_default()
}
