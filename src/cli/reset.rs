//! `privatelinkd reset`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::exit::{Exit, Failed, io_exit};
use super::hosts;
use super::hosts::failure::failed;
use super::output::{self, Output};
use crate::config::{self, Folders};
use crate::daemon::forget::{Forgotten, forget};
use crate::daemon::sole::{Claim, Role};
use crate::observe::text_table::count;
use crate::publish::hosts::file::{self, Displaced};
use crate::publish::hosts::policy::HostsPolicy;
use crate::publish::hosts::writer::store;
use crate::publish::hosts::{inspect, unadopt};
use crate::sys::clock::Clock;

/// What the agent keeps over a restart.
const AGENTS: &[&str] = &["inventory.json", "plan.json", "tls_budget.json", "config.json", "agent.lock"];
/// What it leaves in `/run`.
const AGENTS_RUN: &[&str] = &["plan.json", "alive", "status.sock", "agent.lock"];
/// What the hosts writer keeps over a restart; `folders` is the package's own.
const WRITERS: &[&str] = &[
    "block.json",
    "policy.json",
    "hosts.orig",
    "hosts.made",
    "hosts.conflict.*",
    JOURNAL,
    "hosts.journal.unusable-*",
    "folders",
    "writer.lock",
];
/// Of what is being written in place: it is finished before, or kept aside if it is none.
const JOURNAL: &str = "hosts.journal";
/// What it leaves in `/run`.
const WRITERS_RUN: &[&str] = &["receipt.json", "displaced.*", "hosts.lock", "writer.lock"];
/// What root ordered.
const ADMINS: &[&str] = &["hosts.removed"];

/// What is said of it below `--help`.
pub(super) const HELP: &str = "For makers of machine images: what is made of this machine afterwards starts as a new \
                               one. The configuration stays. It refuses while a service runs: systemctl stop \
                               privatelinkd.socket privatelinkd privatelinkd-hosts";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    output: Output,
}

/// What was done.
#[derive(Debug, Default, Serialize)]
struct Done {
    /// The hosts files that the block was taken out of, if there was one.
    hosts: Vec<PathBuf>,
    /// How many lines of others are as they were again, in which hosts file.
    given_back: BTreeMap<PathBuf, usize>,
    deleted: Vec<PathBuf>,
    /// What is in the folders and not ours; and edits beside a hosts file that nobody could fold into it.
    stays: Vec<PathBuf>,
    /// These of them.
    #[serde(skip)]
    edits: Vec<PathBuf>,
    /// What else people should know.
    notices: Vec<String>,
}

pub(super) fn main(args: &Args, config: &Path) -> Result<Exit, Failed> {
    let folders = config::folders(config);
    // For as long as this takes nothing starts.
    let _claim = claimed(&folders)?;
    let mut done = Done::default();
    for policy in policies(config)? {
        take_out(&policy, &mut done)?;
    }
    let Folders { state_dir, run_dir, hosts_run_dir, hosts_state_dir, admin_dir } = &folders;
    refuse_unfinished(hosts_state_dir)?;
    for (folder, ours) in [
        (admin_dir, ADMINS),
        (state_dir, AGENTS),
        (hosts_state_dir, WRITERS),
        (run_dir, AGENTS_RUN),
        (hosts_run_dir, WRITERS_RUN),
    ] {
        let Forgotten { deleted, stays } =
            forget(folder, ours).map_err(|e| Failed::new(io_exit(&e, Exit::Internal), e))?;
        done.deleted.extend(deleted);
        done.stays.extend(stays);
    }
    args.output.print(&done, || text(&done))?;
    if !args.output.json {
        done.notices.iter().for_each(output::note);
        done.stays.iter().map(|path| stays(path, &done.edits)).for_each(output::note);
    }
    Ok(Exit::Fine)
}

fn stays(path: &Path, edits: &[PathBuf]) -> String {
    let is_edit = edits.iter().any(|edit| edit == path);
    let what = if is_edit { "an edit that could not be folded into the hosts file" } else { "none of privatelinkd's" };
    format!("{} stays: it is {what}", path.display())
}

/// Without its journal nobody could finish what a killed writer wrote in place.
fn refuse_unfinished(folder: &Path) -> Result<(), Failed> {
    if file::is_unfinished(folder) {
        let why = "a hosts file that was being written in place when its writer was killed can't be finished";
        let journal = folder.join(JOURNAL);
        let what = format!("nothing is forgotten: {why}, and {} is still there", journal.display());
        return Err(Failed::new(Exit::No, anyhow::anyhow!(what)));
    }
    Ok(())
}

fn claimed(folders: &Folders) -> Result<Claim, Failed> {
    let Folders { state_dir, run_dir, hosts_run_dir, hosts_state_dir, admin_dir: _ } = folders;
    let mut claim = Claim::default();
    let agent = claim.add(Role::Agent, run_dir, state_dir);
    let both = agent.and_then(|()| claim.add(Role::Writer, hosts_run_dir, hosts_state_dir));
    both.map_err(|another| {
        let undone = "nothing is reset: stop the services first (systemctl stop privatelinkd.socket privatelinkd \
                      privatelinkd-hosts)";
        Exit::Unavailable.because(undone)(another)
    })?;
    claim.unlocked().iter().for_each(output::note);
    Ok(claim)
}

/// The policy in force and, if that names another hosts file, the one before: each file may have a block.
fn policies(config: &Path) -> Result<Vec<HostsPolicy>, Failed> {
    let policy = hosts::last_policy(config)?;
    let before = store::load_policy(&policy.state_dir).ok().flatten();
    let before = before.filter(|before| before.path != policy.path && !before.path.as_os_str().is_empty());
    let before = before.map(|before| HostsPolicy { path: before.path, ..policy.clone() });
    Ok([policy].into_iter().chain(before).collect())
}

/// Before anything is forgotten that tells what is ours.
fn take_out(policy: &HostsPolicy, done: &mut Done) -> Result<(), Failed> {
    let undone = || format!("nothing is forgotten, since the block can't be taken out of {}", policy.path.display());
    let path = &policy.path;
    let (had_block, before) = (inspect::has_block(path), unadopt::look(path).unwrap_or_default());
    let receipt = inspect::take_out_once(policy, Clock::System.now().wall, Clock::System)
        .map_err(failed)
        .map_err(|Failed { exit, error }| Failed { exit, error: error.context(undone()) })?;
    let fault = receipt.error.filter(|error| error.is_of_the_file());
    if let (Some(_), Some(detail)) = (fault, receipt.error_detail) {
        return Err(Exit::No.because(undone())(anyhow::anyhow!(detail)));
    }
    done.notices.extend(receipt.notices.into_iter().map(|notice| notice.what));
    let (cut_off, said) = inspect::settle_all(policy);
    if cut_off > 0 {
        let what = "somebody has an earlier hosts file open for writing: what he writes from now on is lost";
        done.notices.push(what.to_owned());
    }
    done.notices.extend(said);
    let (mut edits, after) = (Displaced::given_up(path).unwrap_or_default(), unadopt::look(path).unwrap_or_default());
    // Two names may lead to one hosts file.
    edits.retain(|edit| !done.edits.contains(edit));
    done.stays.extend(edits.iter().cloned());
    done.edits.extend(edits);
    done.notices.extend(after.stays(path));
    let given_back = before.lines.saturating_sub(after.lines);
    done.given_back.extend((given_back > 0).then(|| (path.clone(), given_back)));
    done.hosts.extend((had_block && !inspect::has_block(path)).then(|| path.clone()));
    Ok(())
}

fn text(done: &Done) -> String {
    let hosts = done.hosts.iter().map(|path| format!("{}: the block is taken out\n", path.display()));
    let given_back = done.given_back.iter().map(|(path, lines)| (path.display(), count(*lines, "line")));
    let lines = given_back.map(|(path, lines)| format!("{path}: {lines} as before\n"));
    let deleted = done.deleted.iter().map(|path| format!("{}: deleted\n", path.display()));
    let all: String = hosts.chain(lines).chain(deleted).collect();
    match all.is_empty() {
        true => "there was nothing to forget\n".to_owned(),
        false => format!("{all}{} forgotten\n", count(done.deleted.len(), "file")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finished_is_not_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        assert!(refuse_unfinished(dir.path()).is_ok() && refuse_unfinished(&dir.path().join("none")).is_ok());
        std::fs::write(dir.path().join(JOURNAL), "").unwrap();
        let refused = refuse_unfinished(dir.path()).unwrap_err();
        let path = dir.path().join("hosts.journal").display().to_string();
        assert!(refused.exit == Exit::No && refused.error.to_string().contains(&path), "{:#}", refused.error);
    }
}
