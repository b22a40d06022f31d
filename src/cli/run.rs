//! `privatelinkd run`

use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Exit, Failed, load, output};
use crate::agent::{self, Options, Orders};
use crate::config::Environment;
use crate::model::LogLevel;
use crate::sys::log_queue::LogQueue;
use crate::sys::signals::{Asked, Signals};

/// How long the last log lines may take.
const FLUSH: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Run the hosts writer in this process, too. Required in this version.
    #[arg(long)]
    all_in_one: bool,
}

pub(super) fn main(args: &Args, path: &Path, level: Option<LogLevel>) -> Result<Exit, Failed> {
    if !args.all_in_one {
        let only =
            "in this version the hosts writer runs inside the agent: start it as `privatelinkd run --all-in-one`";
        return Err(Failed::new(Exit::Usage, anyhow::anyhow!(only)));
    }
    let loaded = load(path)?;
    for warning in &loaded.warnings {
        output::complain(&format!("{warning}\n"));
    }
    let internal =
        |what: &'static str| move |e: std::io::Error| Failed::new(Exit::Internal, anyhow::Error::from(e).context(what));
    let settings = loaded.config.log;
    let log = LogQueue::install(level.unwrap_or(settings.level), settings.format).map_err(internal("can't log"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(internal("can't start"))?;
    let environment = Environment::current();
    let options = Options { path: path.to_owned(), loaded, environment, level, log: log.clone() };
    let result = runtime.block_on(async {
        let signals = Signals::install().map_err(internal("can't handle signals"))?;
        let (reload, orders) = mpsc::channel(1);
        let stop = CancellationToken::new();
        tokio::spawn(obey(signals, stop.clone(), reload));
        let orders = Orders { stop, reload: orders };
        agent::run(options, orders).await.map_err(|fault| Failed::new(Exit::Internal, fault))
    });
    // File work that hangs must not hold up the end.
    runtime.shutdown_background();
    let _ = log.flush(FLUSH);
    result.map(|()| Exit::Fine)
}

/// Turns signals into orders. A reload that comes while one is asked for already is the same one.
async fn obey(mut signals: Signals, stop: CancellationToken, reload: mpsc::Sender<()>) {
    loop {
        match signals.next().await {
            Asked::Stop => stop.cancel(),
            Asked::Reload => drop(reload.try_send(())),
        }
    }
}
