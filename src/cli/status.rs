//! `privatelinkd status`: asks the running agent over its socket.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::exit::{Exit, Failed};
use super::output::{self, Output};
use super::status_client;
use crate::config;
use crate::model::Verdict;
use crate::observe::status::{State, Style, table};
use crate::publish::hosts::handover;

/// Between two looks of `--watch`.
const WATCH: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Look again every second until interrupted.
    #[arg(long)]
    watch: bool,
    /// Show recent events, too.
    #[arg(long)]
    events: bool,
    /// The agent's status socket, instead of the one that the config tells.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

pub(super) fn main(args: &Args, config: &Path) -> Result<Exit, Failed> {
    // A config that is broken, or that we may not read, is no reason not to ask: the agent may run on an older one.
    let folders = config::folders(config);
    let socket = args.socket.clone().unwrap_or_else(|| folders.run_dir.join("status.sock"));
    loop {
        let answered = once(args, &socket).map_err(|failed| with_writer(failed, &folders.hosts_run_dir));
        let exit = match answered {
            // A restart of the agent is worth watching, too.
            Err(failed) if args.watch && failed.exit == Exit::Unavailable => {
                if args.output.json {
                    output::note(format!("{:#}", failed.error));
                } else {
                    output::page(clear(args))?;
                    output::answer(&format!("{:#}\n", failed.error))?;
                }
                failed.exit
            }
            other => other?,
        };
        if !args.watch {
            return Ok(exit);
        }
        std::thread::sleep(WATCH);
    }
}

/// Cursor home, clear the rest.
const CLEAR: &str = "\x1b[H\x1b[J";

/// Before each look at a terminal; nothing else is cleared.
fn clear(args: &Args) -> &'static str {
    if args.watch && !args.output.json && std::io::stdout().is_terminal() { CLEAR } else { "" }
}

fn once(args: &Args, socket: &Path) -> Result<Exit, Failed> {
    let (report, bytes) = status_client::ask_agent(socket)?;
    if args.output.json {
        output::print(&bytes)?;
    } else {
        let style = Style { screen: output::screen(), events: args.events };
        output::page(&format!("{}{}", clear(args), table(&report, style)))?;
    }
    Ok(if report.state == State::Ok { Exit::Fine } else { Exit::No })
}

/// What the hosts writer last said, where the agent says nothing: names stay while it is away.
fn with_writer(failed: Failed, hosts_run_dir: &Path) -> Failed {
    let Failed { exit, error } = failed;
    let Ok(Some(receipt)) = handover::read_receipt(hosts_run_dir) else { return Failed { exit, error } };
    let mut verdicts: BTreeMap<Verdict, usize> = BTreeMap::new();
    receipt.names.values().for_each(|verdict| *verdicts.entry(*verdict).or_default() += 1);
    let names: Vec<String> = verdicts.iter().map(|(verdict, n)| format!("{n} {verdict}")).collect();
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let said = format!("the hosts writer's last word, of {}: names: {names}", receipt.at);
    Failed { exit, error: anyhow::anyhow!("{error:#}\nprivatelinkd: {said}") }
}
