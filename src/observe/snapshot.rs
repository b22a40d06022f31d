//! Everything there is to see, at one instant.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use super::EventLog;
use crate::config::Config;
use crate::model::limits::CapCounts;
use crate::model::{ApiState, DnsCounts, EndpointName, HealthView, HostFacts, Inventory, Now, PlanState, Receipts};
use crate::sys::clock::Clock;
use crate::sys::heartbeat::{StageLife, Stages};
use crate::sys::log_queue::Drops;

/// Which program this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Build {
    /// The package's version.
    pub version: &'static str,
    /// The commit it was built from; `unknown` where the build did not say.
    pub revision: &'static str,
}

impl Build {
    /// This very program.
    pub const THIS: Self = Self {
        version: env!("CARGO_PKG_VERSION"),
        revision: match option_env!("PRIVATELINKD_REVISION") {
            Some(revision) => revision,
            None => "unknown",
        },
    };
}

/// The config as observers see it: what is in force, and whether what is on disk is the same. It holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigState {
    /// The files that the config in force was read from.
    pub paths: Vec<PathBuf>,
    /// When it came into force.
    pub loaded: Now,
    /// Reloads since the start that were asked for, successful or not.
    pub reloads: u64,
    /// False if the latest load was refused, so that an older config is in force.
    pub last_reload_ok: bool,
    /// The complaints about a refused config, rendered.
    pub complaints: Vec<String>,
    /// True if the files differ from what was last loaded.
    pub changed_on_disk: bool,
    /// What the config in force has to do without, in words: it was kept from an earlier run, or a secret's file was
    /// written anew and can't be used.
    pub without: Vec<String>,
    /// How each endpoint is probed; an endpoint that nothing probes is absent.
    pub probes: BTreeMap<EndpointName, ProbeLabel>,
    /// Where each publisher publishes, a path or addresses, by its name; one that is not to publish is absent.
    pub publishers: BTreeMap<&'static str, String>,
}

/// A probe in two words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeLabel {
    /// `kind` of the config.
    pub kind: &'static str,
    /// The port on every address.
    pub port: u16,
    /// How long before its end a certificate is a problem, where there is TLS.
    pub expiry_warning: Option<std::time::Duration>,
}

impl ConfigState {
    /// The state after `config` came into force.
    #[must_use]
    pub fn loaded(config: &Config, paths: Vec<PathBuf>, loaded: Now, reloads: u64) -> Self {
        let label = |p: &crate::model::ProbeSpec| ProbeLabel {
            kind: p.kind.label(),
            port: p.port,
            expiry_warning: p.kind.expiry_warning(),
        };
        let probes = config.endpoints.iter().filter_map(|(name, e)| Some((name.clone(), label(e.probe.as_deref()?))));
        let hosts = config.hosts.publish.then(|| (Receipts::HOSTS, config.hosts.path.display().to_string()));
        let listen = config.dns.listen.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let dns = (config.dns.publish && !listen.is_empty()).then_some((Receipts::DNS, listen));
        Self {
            paths,
            loaded,
            reloads,
            last_reload_ok: true,
            complaints: Vec::new(),
            changed_on_disk: false,
            without: Vec::new(),
            probes: probes.collect(),
            publishers: hosts.into_iter().chain(dns).collect(),
        }
    }
}

/// Reads what the stub counts.
#[derive(Clone)]
pub struct DnsMeter(Arc<dyn Fn() -> DnsCounts + Send + Sync>);

impl DnsMeter {
    /// From what reads it.
    pub fn new(read: impl Fn() -> DnsCounts + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }
}

impl fmt::Debug for DnsMeter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DnsMeter").finish_non_exhaustive()
    }
}

/// Receivers of everything there is to see. No sender: who observes can't steer.
#[derive(Debug, Clone)]
pub struct Views {
    /// The config in force.
    pub config: watch::Receiver<Arc<ConfigState>>,
    /// The machine.
    pub host: watch::Receiver<Arc<HostFacts>>,
    /// What asking the cloud's API came to.
    pub api: watch::Receiver<Arc<ApiState>>,
    /// What discovery knows.
    pub inventory: watch::Receiver<Arc<Inventory>>,
    /// What was too much of the agent's own inputs.
    pub capped: watch::Receiver<CapCounts>,
    /// What the trackers concluded.
    pub health: watch::Receiver<Arc<HealthView>>,
    /// What steering decided.
    pub plan: watch::Receiver<PlanState>,
    /// What the publishers did.
    pub receipts: watch::Receiver<Receipts>,
    /// What the stub counts.
    pub dns: DnsMeter,
    /// What happened lately.
    pub events: watch::Receiver<Arc<EventLog>>,
    /// Signs of life.
    pub stages: Stages,
    /// Lost log lines.
    pub log_drops: Drops,
    /// The time.
    pub clock: Clock,
    /// When the agent started.
    pub started: Now,
}

/// One instant. A plain value: making one copies pointers, holding one blocks no stage.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Which program.
    pub build: Build,
    /// When this was taken.
    pub now: Now,
    /// When the agent started.
    pub started: Now,
    /// The config in force.
    pub config: Arc<ConfigState>,
    /// The machine.
    pub host: Arc<HostFacts>,
    /// What asking the cloud's API came to.
    pub api: Arc<ApiState>,
    /// What discovery knows.
    pub inventory: Arc<Inventory>,
    /// What both processes left out because there was too much of it.
    pub capped: CapCounts,
    /// What the trackers concluded.
    pub health: Arc<HealthView>,
    /// What steering decided.
    pub plan: PlanState,
    /// What the publishers did.
    pub receipts: Receipts,
    /// What the stub counted; `None` while it is not to serve.
    pub dns: Option<DnsCounts>,
    /// What happened lately.
    pub events: Arc<EventLog>,
    /// Signs of life.
    pub stages: Vec<StageLife>,
    /// Lost log lines.
    pub log_dropped: u64,
}

impl Views {
    /// Takes a snapshot. Each lock is held for the copy of one value.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let config = Arc::clone(&self.config.borrow());
        let receipts = self.receipts.borrow().clone();
        let mut capped = self.capped.borrow().clone();
        receipts.0.values().flat_map(|publisher| &publisher.receipt).for_each(|receipt| capped.extend(&receipt.capped));
        Snapshot {
            build: Build::THIS,
            now: self.clock.now(),
            started: self.started,
            host: Arc::clone(&self.host.borrow()),
            api: Arc::clone(&self.api.borrow()),
            inventory: Arc::clone(&self.inventory.borrow()),
            health: Arc::clone(&self.health.borrow()),
            plan: self.plan.borrow().clone(),
            receipts,
            capped,
            dns: config.publishers.contains_key(Receipts::DNS).then(|| (self.dns.0)()),
            config,
            events: Arc::clone(&self.events.borrow()),
            stages: self.stages.read(),
            log_dropped: self.log_drops.get(),
        }
    }
}
