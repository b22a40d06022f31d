//! A long-running process: its log, its runtime, its signals and its end.

use std::future::Future;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::exit::{Exit, Failed};
use crate::config::LogConfig;
use crate::daemon::{Fault, Orders};
use crate::model::LogLevel;
use crate::sys::log_queue::{LogQueue, Output};
use crate::sys::service_manager::{ServiceManager, Word};
use crate::sys::signals::{Asked, Signals};

/// How long the last log lines may take.
const FLUSH: Duration = Duration::from_millis(500);

/// Runs until SIGTERM, or until `work` ends by a fault. It logs as `log` says, but for a level that is asked for.
pub(super) fn run<W: Future<Output = Result<(), Fault>>>(
    identifier: &'static str,
    log: LogConfig,
    level: Option<LogLevel>,
    work: impl FnOnce(LogQueue, ServiceManager, Orders) -> W,
) -> Result<Exit, Failed> {
    let LogConfig { level: configured, target, format } = log;
    let output = Output { level: level.unwrap_or(configured), target, format, identifier };
    let log = LogQueue::install(output).map_err(Exit::Internal.because("can't log"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Exit::Internal.because("can't start"))?;
    let result = runtime.block_on(async {
        let signals = Signals::install().map_err(Exit::Internal.because("can't handle signals"))?;
        let (reload, orders) = mpsc::channel(1);
        let (stop, service) = (CancellationToken::new(), ServiceManager::from_environment());
        tokio::spawn(obey(signals, stop.clone(), reload, service.clone()));
        let orders = Orders { stop, reload: orders };
        work(log.clone(), service, orders).await.map_err(|fault| Failed::new(Exit::Internal, fault))
    });
    // File work that hangs must not hold up the end.
    runtime.shutdown_background();
    let _ = log.flush(FLUSH);
    result.map(|()| Exit::Fine)
}

/// Turns signals into orders. A reload that comes while one is asked for already is the same one.
async fn obey(mut signals: Signals, stop: CancellationToken, reload: mpsc::Sender<()>, service: ServiceManager) {
    loop {
        match signals.next().await {
            Asked::Stop => stop.cancel(),
            Asked::Reload => {
                // Who hears this waits for the word that ends it, so first the one and then the other.
                if let Err(error) = service.tell(vec![Word::Reloading]).await {
                    tracing::warn!(%error, "the service manager can't be told");
                }
                let _ = reload.try_send(());
            }
        }
    }
}
