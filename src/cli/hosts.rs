//! `privatelinkd hosts …`

mod adopt;
mod answer;
pub(super) mod failure;
mod remove;

use std::path::Path;
use std::sync::Arc;

use self::answer::{Text, print_diff, tell};
use self::failure::failed;
use super::exit::{Exit, Failed};
use super::output::{self, Output, refuse_config};
use super::process;
use crate::config::LogConfig;
use crate::config::{self, Environment};
use crate::daemon::hosts_writer;
use crate::daemon::sole::{Claim, Role};
use crate::model::{LogFormat, LogLevel, LogTarget};
use crate::publish::hosts::inspect;
use crate::publish::hosts::policy::HostsPolicy;
use crate::publish::hosts::removed;
use crate::publish::hosts::writer::store;
use crate::sys::clock::Clock;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Print the block that is in the hosts file now; exits with 1 if there is none.
    Show(Output),
    /// Print what would change in the hosts file; exits with 1 if anything would.
    Diff(Output),
    /// Write the block once, from what the agent handed over last; ends what `remove` began.
    Apply(Output),
    /// Take the block out of the hosts file and keep it out, also while the services run and over reboots, until
    /// `apply`.
    Remove(Output),
    /// Take the published names out of lines of others, and write the block; `unadopt` gives them back.
    Adopt(adopt::Args),
    /// Give lines of others back what `adopt` took out of them; exits with 1 if somebody changed one since.
    Unadopt(adopt::Args),
    /// Run the hosts writer in the foreground: the privileged half of the agent, a service of its own.
    Run,
}

pub(super) fn main(command: &Command, config: &Path, level: Option<LogLevel>) -> Result<Exit, Failed> {
    match command {
        Command::Show(output) => show(&*policy(config)?, *output),
        Command::Diff(output) => diff(&policy(config)?, *output),
        Command::Apply(output) => apply(&*policy(config)?, *output),
        Command::Remove(output) => remove::main(&last_policy(config)?, *output),
        Command::Adopt(args) => adopt::adopt(&*policy(config)?, args),
        Command::Unadopt(args) => adopt::unadopt(&policy(config)?, args),
        Command::Run => run(config, level),
    }
}

/// The policy that the writer would have.
fn policy(config: &Path) -> Result<Arc<HostsPolicy>, Failed> {
    let loaded = config::load_writer(config, &Environment::current()).map_err(refuse_config)?;
    Ok(Arc::new(HostsPolicy::new(loaded.config)))
}

/// The same or, if the config can't be used, the one that a writer would go on with: what is to be let go must not
/// wait for that.
pub(super) fn last_policy(config: &Path) -> Result<HostsPolicy, Failed> {
    let complaints = match config::load_writer(config, &Environment::current()) {
        Ok(loaded) => return Ok(HostsPolicy::new(loaded.config)),
        Err(complaints) => complaints,
    };
    match store::load_policy(&config::folders(config).hosts_state_dir) {
        Ok(Some(policy)) => {
            let counted = output::count_of(&complaints);
            output::note(format_args!("the config can't be used: {counted}; going by the last good policy"));
            Ok(policy)
        }
        Ok(None) | Err(_) => Err(refuse_config(complaints)),
    }
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
            let (text, removed_since) = (block.as_deref().map(String::from_utf8_lossy), remove::since(policy));
            output::json(&Text { path: &policy.path, text, removed_since })?;
            return Ok(exit);
        }
        Some(block) => output::answer(&String::from_utf8_lossy(&block))?,
        None => output::note(format_args!("no block in {}", policy.path.display())),
    }
    removed::in_words(&policy.admin_dir).iter().for_each(output::note);
    Ok(exit)
}

fn diff(policy: &Arc<HostsPolicy>, output: Output) -> Result<Exit, Failed> {
    print_diff(policy, &inspect::diff(policy, Clock::System).map_err(failed)?, output)
}

fn apply(policy: &HostsPolicy, output: Output) -> Result<Exit, Failed> {
    remove::take_back(policy)?;
    tell(policy, &inspect::apply_once(policy, Clock::System).map_err(failed)?, output)
}
