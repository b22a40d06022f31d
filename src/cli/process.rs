//! A long-running process: its log, its runtime, its signals and its end.

use std::future::Future;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::exit::{Exit, Failed};
use crate::daemon::{Fault, Orders};
use crate::sys::log_queue::{LogQueue, Output};
use crate::sys::service_manager::{ServiceManager, Word};
use crate::sys::signals::{Asked, Signals};

/// How long the last log lines may take.
const FLUSH: Duration = Duration::from_millis(500);

/// Runs until SIGTERM, or until `work` ends by a fault.
pub(super) fn run<W>(output: Output, work: impl FnOnce(LogQueue, ServiceManager, Orders) -> W) -> Result<Exit, Failed>
where
    W: Future<Output = Result<(), Fault>>,
{
    let internal =
        |what: &'static str| move |e: std::io::Error| Failed::new(Exit::Internal, anyhow::Error::from(e).context(what));
    let log = LogQueue::install(output).map_err(internal("can't log"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(internal("can't start"))?;
    let result = runtime.block_on(async {
        let signals = Signals::install().map_err(internal("can't handle signals"))?;
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
