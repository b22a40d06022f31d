//! `privatelinkd run`

use std::path::Path;

use super::{Exit, Failed, load, output, process};
use crate::agent::{self, Options};
use crate::config::Environment;
use crate::model::LogLevel;
use crate::sys::log_queue::Output;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Run the hosts writer in this process, too, instead of as a service of its own.
    #[arg(long)]
    all_in_one: bool,
}

pub(super) fn main(args: &Args, path: &Path, level: Option<LogLevel>) -> Result<Exit, Failed> {
    let loaded = load(path)?;
    for warning in &loaded.warnings {
        output::complain(&format!("{warning}\n"));
    }
    let log = loaded.config.log;
    let output = Output {
        level: level.unwrap_or(log.level),
        target: log.target,
        format: log.format,
        identifier: "privatelinkd",
    };
    process::run(output, |log, service, orders| {
        let (path, environment, all_in_one) = (path.to_owned(), Environment::current(), args.all_in_one);
        agent::run(Options { path, loaded, environment, level, log, service, all_in_one }, orders)
    })
}
