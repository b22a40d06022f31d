//! Who hears what: every channel between the stages, and one `wire_*` a stage.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::api_accounting::ApiAccounting;
use super::control::{self, Control};
use super::options::{Options, Recalled};
use super::secret_files::SecretFiles;
use super::settings::{Settings, follow, policy, probes};
use super::steering::{self, Steering};
use super::stub::Stub;
use super::{cloud, host, listen, start, systemd_status};
use crate::config::{Config, Loaded};
use crate::daemon::service::{self, ServiceStatus};
use crate::daemon::supervise::Supervisor;
use crate::discover::{self, Cache, Memory};
use crate::model::limits::CapCounts;
use crate::model::{ApiState, EventKind, HealthView, HostFacts, Identity, Inventory, Now, PlanState, Receipts};
use crate::observe::{Build, ConfigState, DnsMeter, EventLog, Views, events};
use crate::probe::runner::Runner;
use crate::probe::{FleetSize, Probers};
use crate::publish;
use crate::publish::dns::Counters;
use crate::publish::hosts::publisher::{HandoverReporting, HostsPublisher};
use crate::publish::hosts::receipts::ReceiptFollower;
use crate::publish::hosts::writer::{self, ThisHost};
use crate::sys::clock::Clock;
use crate::sys::event_queue::{self, EventReceiver, EventSender};
use crate::sys::heartbeat::{Beat, Stages};
use crate::sys::identity;
use crate::sys::save_attempts::SaveAttempts;

/// How long a stage may be silent before it counts as stuck. Each gives a sign of life every 10 s at least.
const SILENCE: Duration = Duration::from_secs(30);

/// The channels, and what the stages are made of.
pub(super) struct Wiring {
    options: Options,
    clock: Clock,
    started: Now,
    cache: Arc<Cache>,
    /// Who wrote down what was found in the cache.
    written_by: Option<Identity>,
    settings: Settings,
    api: watch::Sender<Arc<ApiState>>,
    inventory: watch::Sender<Arc<Inventory>>,
    /// What is left out of what comes in, because there is too much of it.
    capped: watch::Sender<CapCounts>,
    plan: watch::Sender<PlanState>,
    health: watch::Sender<Arc<HealthView>>,
    receipts: watch::Sender<Receipts>,
    dns: Arc<Counters>,
    events: EventSender,
    heard: EventReceiver,
    stages: Stages,
}

/// The event log outlives all stages, so that their last words are heard.
pub(super) struct Log {
    token: CancellationToken,
    task: JoinHandle<()>,
}

impl Log {
    /// Takes the last events in.
    pub(super) async fn end(self) {
        self.token.cancel();
        // It ends once its queue is empty; more than a moment is a fault that must not hold up the stop.
        let _ = tokio::time::timeout(Duration::from_millis(200), self.task).await;
    }
}

impl Wiring {
    pub(super) fn new(options: Options, host: HostFacts, (cache, memory): (Arc<Cache>, Memory), clock: Clock) -> Self {
        let config = Arc::new(options.loaded.config.clone());
        let started = clock.now();
        let (events, heard) = event_queue::queue();
        let say = |kind| events.tell(started, kind);
        let (config_state, news) = config_at_start(&options, started);
        say(EventKind::Started { version: Build::THIS.version });
        news.into_iter().for_each(say);
        memory.events.into_iter().for_each(say);
        let inventory = discover::recalled(memory.inventory, &config);
        let known = PlanState {
            digest: memory.plan.as_ref().map(crate::model::Plan::digest),
            plan: memory.plan.map(Arc::new),
            ..PlanState::default()
        };
        Self {
            settings: Settings {
                state: watch::Sender::new(Arc::new(config_state)),
                host: watch::Sender::new(Arc::new(host)),
                told: watch::Sender::default(),
                fleet: FleetSize::new(config.host.fleet_size),
                config: watch::Sender::new(config),
            },
            written_by: memory.written_by,
            api: watch::Sender::default(),
            inventory: watch::Sender::new(Arc::new(inventory)),
            capped: watch::Sender::default(),
            plan: watch::Sender::new(known),
            health: watch::Sender::default(),
            receipts: watch::Sender::default(),
            dns: Arc::default(),
            stages: Stages::new(clock),
            options,
            clock,
            started,
            cache,
            events,
            heard,
        }
    }

    /// Starts every stage; first those that make the last known good visible.
    pub(super) async fn start(mut self, supervisor: &mut Supervisor, reload: mpsc::Receiver<()>) -> Log {
        let event_log = watch::Sender::new(Arc::new(EventLog::default()));
        let events = event_log.subscribe();
        let beats = ["publish", "dns", "discover", "probe", "steer", "control", "host"]
            .map(|name| self.stages.add(name, SILENCE));
        let [publish, dns, discover, probe, steer, control, host] = beats;
        self.wire_publishing(publish, supervisor).await;
        self.wire_stub(dns, supervisor);
        if self.options.all_in_one {
            let beat = self.stages.add("hosts", SILENCE);
            self.wire_writer(beat, supervisor);
        }
        let views = self.views(events);
        self.wire_service(&views, supervisor);
        let control = Control {
            beat: control,
            path: self.options.path.clone(),
            environment: self.options.environment.clone(),
            level: self.options.level,
            all_in_one: self.options.all_in_one,
            log: self.options.log.clone(),
            sources: self.options.loaded.sources.clone(),
            texts: self.options.loaded.texts.clone(),
            without: self.options.recalled.iter().flat_map(|recalled| recalled.without.iter().cloned()).collect(),
            secret_files: SecretFiles::default(),
            // What was kept is kept.
            kept: self.options.recalled.is_none().then(|| std::mem::take(&mut self.options.loaded.kept)),
            keeping: SaveAttempts::default(),
            settings: self.settings.clone(),
            clock: self.clock,
            events: self.events.clone(),
        };
        supervisor.add("control", control.run(reload, supervisor.token()));
        self.wire_host(host, supervisor);
        self.wire_observe(&views, supervisor);
        self.wire_probe(probe, supervisor);
        self.wire_steer_and_discover(steer, discover, supervisor);
        let token = CancellationToken::new();
        let task = tokio::spawn(events::run(self.heard, event_log, token.clone()));
        Log { token, task }
    }

    async fn wire_publishing(&self, beat: Beat, supervisor: &mut Supervisor) {
        let (clock, token) = (self.clock, supervisor.token());
        let config = self.settings.config.borrow().clone();
        let identity = self.cache.identity();
        let reporting = HandoverReporting {
            policy: {
                let config = self.settings.config.subscribe();
                Box::new(move || policy(&config.borrow()))
            },
            changed: {
                let plan = self.plan.subscribe();
                Box::new(move || plan.borrow().changed())
            },
            receipts: self.receipts.clone(),
            capped: self.capped.clone(),
            events: self.events.clone(),
            clock,
        };
        let publisher = HostsPublisher::new(config.host.run_dir.clone(), self.cache.boot_id.clone(), identity)
            .reporting_to(reporting);
        let follower = ReceiptFollower::new(config.hosts.run_dir.clone(), clock).await;
        let (plan, events) = (self.plan.subscribe(), self.events.clone());
        let runner = publish::Runner { publisher, plan, events: events.clone(), clock, beat };
        supervisor.add("publish", runner.run(token.clone()));
        supervisor.add("receipts", follower.run(self.receipts.clone(), events.clone(), token.clone()));
        let keep = steering::keep(self.plan.subscribe(), self.cache.clone(), clock, events, token);
        supervisor.add("last known good", keep);
    }

    fn wire_stub(&mut self, beat: Beat, supervisor: &mut Supervisor) {
        let stub = Stub {
            config: self.settings.config.subscribe(),
            plan: self.plan.subscribe(),
            receipts: self.receipts.clone(),
            counters: Arc::clone(&self.dns),
            handed_over: std::mem::take(&mut self.options.handed_over),
            clock: self.clock,
            beat,
            events: self.events.clone(),
        };
        supervisor.add_fallible("dns", stub.run(supervisor.token()));
    }

    /// The privileged half, where it is no process of its own.
    fn wire_writer(&self, beat: Beat, supervisor: &mut Supervisor) {
        let setup = writer::Setup {
            policies: follow(self.settings.config.subscribe(), |config| Arc::new(policy(config))),
            here: ThisHost::of_this_machine(),
            clock: self.clock,
            beat,
            // Read back from where others read them.
            receipts: watch::Sender::default(),
        };
        supervisor.add("hosts", writer::run(setup, supervisor.token()));
    }

    fn wire_service(&self, views: &Views, supervisor: &mut Supervisor) {
        let service = self.options.service.clone();
        if !service.listens() {
            return;
        }
        let (said, heard) = watch::channel(ServiceStatus::default());
        supervisor.add("report", systemd_status::run(views.clone(), said, supervisor.token()));
        supervisor.add("service", service::run(service, heard, self.stages.clone(), supervisor.token()));
    }

    fn wire_host(&self, beat: Beat, supervisor: &mut Supervisor) {
        let finder = host::Finder {
            settings: self.settings.clone(),
            cache: self.cache.clone(),
            written_by: self.written_by.clone(),
            scope: self.options.scope,
            clock: self.clock,
            beat,
            events: self.events.clone(),
        };
        supervisor.add("host", finder.run(supervisor.token()));
    }

    fn wire_observe(&self, views: &Views, supervisor: &mut Supervisor) {
        let listeners = listen::Listeners {
            config: self.settings.config.subscribe(),
            views: views.clone(),
            clock: self.clock,
            events: self.events.clone(),
        };
        supervisor.add("metrics", listeners.clone().http(supervisor.token()));
        supervisor.add("status", listeners.status(supervisor.token()));
    }

    fn wire_probe(&self, beat: Beat, supervisor: &mut Supervisor) {
        let budget = start::tls_budget(&self.settings.config.borrow(), self.clock);
        let probers = Probers::for_fleet(self.clock, self.settings.fleet.clone()).with_tls_budget(budget);
        let handshakes = probers.handshakes();
        let runner = Runner {
            make: move |spec: &crate::model::TargetSpec, check| probers.prober(spec, check),
            clock: self.clock,
            beat,
            seed: seed(&self.cache),
            inventory: self.inventory.subscribe(),
            probes: follow(self.settings.config.subscribe(), probes),
            view: self.health.clone(),
            events: self.events.clone(),
        };
        let token = supervisor.token();
        supervisor.add_fallible("probe", async move {
            let ended = runner.run(token).await;
            handshakes.wait_until_idle().await;
            ended
        });
    }

    fn wire_steer_and_discover(&self, steer: Beat, discover: Beat, supervisor: &mut Supervisor) {
        let (ask, asked) = mpsc::channel(1);
        let steering = Steering {
            clock: self.clock,
            beat: steer,
            inventory: self.inventory.subscribe(),
            health: self.health.subscribe(),
            host: self.settings.host.subscribe(),
            config: self.settings.config.subscribe(),
            plan: self.plan.clone(),
            ask,
            events: self.events.clone(),
            receipts: self.receipts.subscribe(),
        };
        supervisor.add("steer", steering.run(supervisor.token()));
        let runner = discover::Runner::new(discover::Setup {
            clock: self.clock,
            beat: discover,
            seed: seed(&self.cache),
            connect: {
                let connect = cloud::connect(self.options.scope, self.clock, None);
                let ledger = ApiAccounting::new(self.api.clone());
                move |config: &Config, host: &HostFacts| ledger.put_in_force(connect(config, host), config)
            },
            config: self.settings.config.subscribe(),
            host: self.settings.host.subscribe(),
            asked,
            inventory: self.inventory.clone(),
            capped: self.capped.clone(),
            plan: self.plan.subscribe(),
            cache: self.cache.clone(),
            events: self.events.clone(),
        });
        supervisor.add("discover", runner.run(supervisor.token()));
    }

    fn views(&self, events: watch::Receiver<Arc<EventLog>>) -> Views {
        Views {
            config: self.settings.state.subscribe(),
            host: self.settings.host.subscribe(),
            api: self.api.subscribe(),
            inventory: self.inventory.subscribe(),
            capped: self.capped.subscribe(),
            health: self.health.subscribe(),
            plan: self.plan.subscribe(),
            receipts: self.receipts.subscribe(),
            dns: {
                let counters = Arc::clone(&self.dns);
                DnsMeter::new(move || counters.read())
            },
            events,
            stages: self.stages.clone(),
            log_drops: self.options.log.drops(),
            clock: self.clock,
            started: self.started,
        }
    }
}

/// What observers see of the config at the start, and what there is to tell of it.
fn config_at_start(options: &Options, started: Now) -> (ConfigState, Vec<EventKind>) {
    let Loaded { config, sources, .. } = &options.loaded;
    let loaded = EventKind::ConfigLoaded { endpoints: config.endpoints.len() };
    let mut state = ConfigState::loaded(config, sources.paths().map(ToOwned::to_owned).collect(), started, 0);
    let Some(Recalled { complaints, path, accepted, without }) = &options.recalled else {
        return (state, vec![loaded]);
    };
    (state.paths, state.last_reload_ok, state.without) = (vec![path.clone()], false, without.clone());
    state.complaints = control::rendered(complaints);
    let recalled = EventKind::ConfigRecalled { accepted: *accepted, without: without.clone() };
    let news = vec![control::refusal(&state.complaints), recalled, loaded];
    (state, news)
}

/// Differs between hosts, and stays the same over restarts.
fn seed(cache: &Cache) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    let id = cache.identity();
    (&id.machine_id, &id.product_uuid, &id.instance_id, identity::hostname()).hash(&mut hasher);
    hasher.finish()
}
