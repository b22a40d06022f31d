//! The agent, on a thread and a runtime of its own, as `run --all-in-one` has it.

use std::fs::File;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use privatelinkd::agent::{self, CredentialScope, Options};
use privatelinkd::config::{self, Environment};
use privatelinkd::daemon::Orders;
use privatelinkd::sys::log_queue::{Lines, LogQueue, Style};
use privatelinkd::sys::service_manager::ServiceManager;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::folder::Folder;
use crate::world::Fault;

/// How the endpoints are probed: as by default, but faster, so that one need not wait.
const INTERVAL: Duration = Duration::from_millis(500);
const FAST: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_millis(400);
/// How often the databases behind are asked.
const DEEP: Duration = Duration::from_secs(1);
const FALL: u32 = 3;
const RISE: u32 = 3;
/// How often the cloud is asked: the API and its DNS. By default it is asked every ten minutes and every 30 s.
pub(crate) const REFRESH: Duration = Duration::from_secs(2);
pub(crate) const DNS: Duration = Duration::from_secs(1);
pub(crate) const HOLD: Duration = Duration::from_secs(1);

/// The part of `[endpoint.probe]` that is the same for all.
pub(crate) fn settings() -> String {
    format!(
        "interval = \"{}ms\"\nfast_interval = \"{}ms\"\ntimeout = \"{}ms\"\nfall = {FALL}\nrise = {RISE}\nhold = \"{}ms\"\n\
         deep_interval = \"{}ms\"\n",
        INTERVAL.as_millis(),
        FAST.as_millis(),
        TIMEOUT.as_millis(),
        HOLD.as_millis(),
        DEEP.as_millis(),
    )
}

/// What is promised from a fault to the visible file, but for one check of the other zone and two fsyncs: the next
/// probe comes after its interval and a tenth at the latest, the deciding one `fall` − 1 fast intervals later; 100 ms
/// are for the decision and 50 ms for the file.
pub(crate) fn promise(fault: Fault) -> Duration {
    let (interval, unanswered) = match fault {
        Fault::Refuses => (INTERVAL, Duration::ZERO),
        Fault::Silent => (INTERVAL, TIMEOUT),
        // Only a login sees it.
        Fault::Hollow => (DEEP, Duration::ZERO),
    };
    interval.mul_f64(1.1) + unanswered + FAST * (FALL - 1) + Duration::from_millis(100) + Duration::from_millis(50)
}

/// The running agent.
pub(crate) struct Agent {
    stop: CancellationToken,
    /// Held, so that the agent goes on listening. Nothing is reloaded here.
    _reload: mpsc::Sender<()>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Agent {
    pub(crate) fn start(folder: &Folder) -> anyhow::Result<Self> {
        let environment = Environment::current();
        let path = folder.config();
        let loaded = config::load(&path, &environment).map_err(|complaints| anyhow!("{complaints}"))?;
        let sink = File::create(folder.log()).context("can't write the log")?;
        let (log, layer) = LogQueue::start(loaded.config.log.level, Lines { style: Style::Text, to: sink })?;
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer))?;
        let service = ServiceManager::from_environment();
        let options = Options {
            path,
            loaded,
            recalled: None,
            environment,
            scope: CredentialScope::Shell,
            level: None,
            log: log.clone(),
            service,
            handed_over: Vec::new(),
            all_in_one: true,
        };

        let stop = CancellationToken::new();
        let (reload, orders) = mpsc::channel(1);
        let orders = Orders { stop: stop.clone(), reload: orders };
        let thread = thread::Builder::new().name("agent".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let result = runtime.block_on(agent::run(options, orders));
            runtime.shutdown_background();
            let _ = log.flush(Duration::from_millis(500));
            Ok(result?)
        })?;
        Ok(Self { stop, _reload: reload, thread })
    }

    /// Stops the agent, as SIGTERM does, and tells how it ended.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        let patience = agent::DRAIN + Duration::from_secs(1);
        self.stop.cancel();
        let joined = tokio::task::spawn_blocking(move || self.thread.join());
        let ended = tokio::time::timeout(patience, joined).await.map_err(|_| anyhow!("it ignores its stop"))?;
        ended?.unwrap_or_else(|_| Err(anyhow!("it panicked")))
    }
}
