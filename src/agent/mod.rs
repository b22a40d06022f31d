//! The composition root of `run`: parse without binding, bind without starting, start, supervise, drain.
//!
//! It holds no rule and renders nothing. Each stage is a task of its own with receivers of what it depends on and the
//! one sender of what it finds (`wire`); a stage that ends without being told to is a fault that ends the agent, and
//! systemd starts it anew. What is published stays meanwhile.

mod api_accounting;
mod cloud;
mod control;
mod host;
mod listen;
pub mod oneshot;
mod secret_files;
mod settings;
pub mod steering;
mod stub;
mod systemd_status;
mod wire;
mod withdrawn;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use cloud::CredentialScope;

use crate::cloud::metadata::InstanceFacts;
use crate::config::{Complaints, Config, Environment, Loaded};
use crate::daemon::supervise::Supervisor;
use crate::daemon::{Fault, Orders};
use crate::discover::{Cache, Memory};
use crate::model::{EventKind, HostFacts, Identity, LogLevel, Now, Wall};
use crate::probe::TlsBudget;
use crate::publish::hosts::{HostsPolicy, inspect};
use crate::sys::clock::Clock;
use crate::sys::identity;
use crate::sys::log_queue::LogQueue;
use crate::sys::service_manager::ServiceManager;
use crate::sys::sockets::HandedOver;

/// How long stages may take to end after a stop. What is published stays, so there is little to wait for.
pub const DRAIN: Duration = Duration::from_secs(2);

/// What an agent is started with.
#[derive(Debug)]
pub struct Options {
    /// The main config file, for reloads.
    pub path: PathBuf,
    /// What it was when it was loaded, or what is in force instead.
    pub loaded: Loaded,
    /// Why what is loaded is not what is on disk, if so.
    pub recalled: Option<Recalled>,
    /// What the check needs to know of the machine, for reloads.
    pub environment: Environment,
    /// Where credentials are looked for.
    pub scope: CredentialScope,
    /// Overrides `[log].level`, also over reloads.
    pub level: Option<LogLevel>,
    /// Where the log goes.
    pub log: LogQueue,
    /// Who is told how it goes.
    pub service: ServiceManager,
    /// Sockets of the stub, from the service manager.
    pub handed_over: Vec<HandedOver>,
    /// Whether the hosts writer runs in this process, too; else it is a process of its own.
    pub all_in_one: bool,
}

/// A start on the config that was accepted last, because the one on disk was refused (B13).
#[derive(Debug)]
pub struct Recalled {
    /// What is wrong with the one on disk.
    pub complaints: Complaints,
    /// Where the one in force was kept.
    pub path: PathBuf,
    /// When it was accepted.
    pub accepted: Wall,
    /// What it has to do without, in words.
    pub without: Vec<String>,
}

/// Runs the agent until it is told to stop.
///
/// # Errors
/// A stage that ended by itself.
pub async fn run(options: Options, orders: Orders) -> Result<(), Fault> {
    let clock = Clock::System;
    let host = host_facts(&options.loaded.config, None);
    let cache = Arc::new(cache(&options.loaded.config, &host.identity));
    let memory = recall(cache.clone(), settings::policy(&options.loaded.config), Cache::load, clock).await;
    let stop = orders.stop.clone();
    let mut supervisor = Supervisor::new(stop.clone());
    let log = wire::Wiring::new(options, host, (cache, memory), clock).start(&mut supervisor, orders.reload).await;
    let result = supervisor.run(DRAIN).await;
    log.end().await;
    result
}

/// What the config tells of the machine, what the metadata service does of the rest, and what the machine tells of
/// itself.
fn host_facts(config: &Config, told: Option<&InstanceFacts>) -> HostFacts {
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
    }
}

fn cache(config: &Config, identity: &Identity) -> Cache {
    Cache::new(config.host.state_dir.clone(), identity.clone(), identity::boot_id())
}

/// The budget of broken TLS handshakes, which outlives the agent and which commands share.
fn tls_budget(config: &Config, clock: Clock) -> TlsBudget {
    TlsBudget::kept(config.host.state_dir.join("tls_budget.json"), clock)
}

/// Nothing on disk is a reason not to start: a fault in reading is as good as an empty folder. Where the plan is lost,
/// the block in the hosts file is the last known good (B13).
async fn recall(cache: Arc<Cache>, hosts: HostsPolicy, read: fn(&Cache, Now) -> Memory, clock: Clock) -> Memory {
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
