//! `privatelinkd run`

use std::path::Path;

use super::exit::{Exit, Failed};
use super::output::{self, count_of, refuse_config};
use super::process;
use crate::agent::{self, CredentialScope, Options, Recalled};
use crate::config::{self, Complaints, Config, Environment, Folders, Loaded, last_good};
use crate::daemon::sole::{Claim, Role};
use crate::model::LogLevel;
use crate::sys::log_queue::stderr_is_the_journal;
use crate::sys::{identity, sockets};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Run the hosts writer in this process, too, instead of as a service of its own.
    #[arg(long)]
    all_in_one: bool,
}

pub(super) fn main(args: &Args, path: &Path, level: Option<LogLevel>) -> Result<Exit, Failed> {
    // Before there is a second thread.
    let handed_over = sockets::handed_over();
    let environment = Environment::current();
    // Before any file is touched.
    let mut claim = Claim::default();
    claimed(&mut claim, &config::folders(path), args.all_in_one)?;
    let (loaded, recalled) = match config::load(path, &environment) {
        Ok(loaded) => (loaded, None),
        Err(complaints) => recall(path, &environment, complaints).map(|(loaded, recalled)| (loaded, Some(recalled)))?,
    };
    // One that was accepted earlier may name others.
    claimed(&mut claim, &folders(&loaded.config), args.all_in_one)?;
    claim.unlocked().iter().for_each(output::note);
    output::complain_of(&loaded.warnings, 0);
    process::run("privatelinkd", loaded.config.log, level, |log, service, orders| {
        let (path, all_in_one) = (path.to_owned(), args.all_in_one);
        let scope = CredentialScope::of_this_process();
        let options =
            Options { path, loaded, recalled, environment, scope, level, log, service, handed_over, all_in_one };
        agent::run(options, orders)
    })
}

/// Makes the folders this process's alone.
fn claimed(claim: &mut Claim, folders: &Folders, all_in_one: bool) -> Result<(), Failed> {
    let Folders { state_dir, run_dir, hosts_run_dir, hosts_state_dir, admin_dir: _ } = folders;
    let agent = claim.add(Role::Agent, run_dir, state_dir);
    let both = match all_in_one {
        true => agent.and_then(|()| claim.add(Role::Writer, hosts_run_dir, hosts_state_dir)),
        false => agent,
    };
    both.map_err(|another| Failed::new(Exit::Unavailable, another))
}

fn folders(config: &Config) -> Folders {
    Folders {
        state_dir: config.host.state_dir.clone(),
        run_dir: config.host.run_dir.clone(),
        hosts_run_dir: config.hosts.run_dir.clone(),
        hosts_state_dir: config.hosts.state_dir.clone(),
        admin_dir: config.host.admin_dir.clone(),
    }
}

/// The config that was accepted last, in place of a refused one (B13). Without one there is nothing to run on.
fn recall(path: &Path, environment: &Environment, complaints: Complaints) -> Result<(Loaded, Recalled), Failed> {
    let state_dir = config::folders(path).state_dir;
    match last_good::recall(&state_dir, environment, &identity::local()) {
        Ok(Some(last_good::LastGoodConfig { loaded, path, saved, without })) => {
            // The journal gets both as entries of the log that is about to begin.
            if !stderr_is_the_journal() {
                output::complain_of(&complaints.complaints, complaints.omitted);
                let counted = count_of(&complaints);
                output::note(format_args!(
                    "the config can't be used: {counted}; starting on the one that was accepted at {saved}"
                ));
            }
            Ok((loaded, Recalled { complaints, path, accepted: saved, without }))
        }
        Ok(None) => Err(refuse_config(complaints)),
        Err(why) => {
            output::note(format_args!("the config that was accepted last can't be used either: {why}"));
            Err(refuse_config(complaints))
        }
    }
}
