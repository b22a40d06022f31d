//! `privatelinkd hosts …`

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::exit::{Exit, Failed};
use super::output::{self, Output, refuse_config};
use super::process;
use crate::config::LogConfig;
use crate::config::{self, Environment};
use crate::daemon::hosts_writer;
use crate::daemon::sole::{Claim, Role};
use crate::model::{LogFormat, LogLevel, LogTarget, Verdict};
use crate::observe::text_table::count;
use crate::publish::hosts::ReadError;
use crate::publish::hosts::file::FileError;
use crate::publish::hosts::inspect::{self, InspectError};
use crate::publish::hosts::policy::HostsPolicy;
use crate::sys::clock::Clock;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Print the block that is in the hosts file now; exits with 1 if there is none.
    Show(Output),
    /// Print what would change in the hosts file; exits with 1 if anything would.
    Diff(Output),
    /// Write the block once, from what the agent handed over last.
    Apply(Output),
    /// Run the hosts writer in the foreground: the privileged half of the agent, a service of its own.
    Run,
}

/// `show` and `diff` as JSON.
#[derive(Serialize)]
struct Text<'a> {
    path: &'a Path,
    /// `null` if there is nothing to show.
    text: Option<Cow<'a, str>>,
}

pub(super) fn main(command: &Command, config: &Path, level: Option<LogLevel>) -> Result<Exit, Failed> {
    match command {
        Command::Show(output) => show(&*policy(config)?, *output),
        Command::Diff(output) => diff(&policy(config)?, *output),
        Command::Apply(output) => apply(&*policy(config)?, *output),
        Command::Run => run(config, level),
    }
}

/// The policy that the writer would have.
fn policy(config: &Path) -> Result<Arc<HostsPolicy>, Failed> {
    let loaded = config::load_writer(config, &Environment::current()).map_err(refuse_config)?;
    Ok(Arc::new(HostsPolicy::new(loaded.config)))
}

/// A config that can't be used is no reason not to start: the writer has a policy of its own, or waits for one.
fn run(config: &Path, level: Option<LogLevel>) -> Result<Exit, Failed> {
    let folders = config::folders(config);
    let mut claim = Claim::default();
    let claimed = claim.add(Role::Writer, &folders.hosts_run_dir, &folders.hosts_state_dir);
    claimed.map_err(|another| Failed::new(Exit::Unavailable, another))?;
    claim.unlocked().iter().for_each(output::note);
    let environment = Environment::current();
    let log = config::load_writer(config, &environment).map(|loaded| loaded.config.log);
    let log = log.unwrap_or(LogConfig { level: LogLevel::Info, target: LogTarget::Auto, format: LogFormat::Text });
    process::run("privatelinkd-hosts", log, level, |log, service, orders| {
        let path = config.to_owned();
        hosts_writer::run(hosts_writer::Options { path, environment, level, log, service, claim }, orders)
    })
}

fn show(policy: &HostsPolicy, output: Output) -> Result<Exit, Failed> {
    let block = inspect::show(&policy.path).map_err(|e| failed(e.into()))?;
    let exit = if block.is_some() { Exit::Fine } else { Exit::No };
    match block {
        _ if output.json => {
            output::json(&Text { path: &policy.path, text: block.as_deref().map(String::from_utf8_lossy) })?;
        }
        Some(block) => output::answer(&String::from_utf8_lossy(&block))?,
        None => output::note(format_args!("no block in {}", policy.path.display())),
    }
    Ok(exit)
}

fn diff(policy: &Arc<HostsPolicy>, output: Output) -> Result<Exit, Failed> {
    let diff = inspect::diff(policy, Clock::System).map_err(failed)?;
    let exit = if diff.is_empty() { Exit::Fine } else { Exit::No };
    let text = (!diff.is_empty()).then_some(Cow::from(&diff));
    output.print(&Text { path: &policy.path, text }, || diff.clone())?;
    if diff.is_empty() && !output.json {
        let names = inspect::handed_over(&policy.agent_run_dir, Some(policy)).len();
        let of = if names == 0 { "no name is handed over".to_owned() } else { count(names, "name") };
        output::note(format_args!("{}: nothing would change ({of})", policy.path.display()));
    }
    Ok(exit)
}

fn apply(policy: &HostsPolicy, output: Output) -> Result<Exit, Failed> {
    let receipt = inspect::apply_once(policy, Clock::System).map_err(failed)?;
    if output.json {
        output::json(&receipt)?;
    } else {
        let path = policy.path.display();
        let done = if receipt.changed { "written" } else { "already as it should be" };
        match &receipt.error_detail {
            Some(error) => output::note(error),
            None => output::answer(&format!("{path}: {done}\n"))?,
        }
        for (name, verdict) in &receipt.names {
            let line = receipt.shadowing.get(name).filter(|_| *verdict == Verdict::Shadowed);
            let line = line.map(|line| format!(" by line {line}")).unwrap_or_default();
            output::answer(&format!("  {name}: {verdict}{line}\n"))?;
        }
    }
    Ok(if receipt.error.is_some() { Exit::No } else { Exit::Fine })
}

fn failed(error: InspectError) -> Failed {
    let denied = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source())
        .filter_map(|e| e.downcast_ref::<std::io::Error>())
        .any(|e| e.kind() == std::io::ErrorKind::PermissionDenied);
    let exit = match &error {
        _ if denied => Exit::Permission,
        InspectError::Nothing { .. } => Exit::Unavailable,
        InspectError::File(FileError::Io { .. }) | InspectError::Io { .. } => Exit::Internal,
        InspectError::File(_)
        | InspectError::Handover(_)
        | InspectError::Foreign { .. }
        | InspectError::Markers { .. } => Exit::No,
    };
    match error {
        InspectError::Handover(ReadError::Unfit(what)) => {
            Failed::new(exit, anyhow::anyhow!("{what}; the agent writes it anew when it starts"))
        }
        error => Failed::new(exit, error),
    }
}
