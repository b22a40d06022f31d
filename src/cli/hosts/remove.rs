//! `privatelinkd hosts remove`, and what `hosts apply` undoes of it.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::super::exit::{Exit, Failed, io_exit};
use super::super::output::{self, Output};
use super::failure::failed;
use crate::daemon::sole::{self, Another, Role};
use crate::model::{PublishErrorKind, Receipt, Wall};
use crate::observe::text_table::count;
use crate::publish::hosts::policy::HostsPolicy;
use crate::publish::hosts::{handover, inspect, removed, unadopt};
use crate::sys::clock::Clock;

/// How long a running writer is waited for: it looks at least every 5 s.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two looks at what it says.
const LOOK: Duration = Duration::from_millis(50);

/// `remove` as JSON.
#[derive(Serialize)]
struct Removed<'p> {
    path: &'p Path,
    /// Since when the block is kept out.
    since: String,
    /// Whether this command, or the running writer for it, changed the file.
    changed: bool,
    /// How many lines of others are as they were again.
    given_back: usize,
    /// Lines that somebody changed since names were taken out of them: they stay.
    changed_since: &'p [usize],
}

/// Takes the block out, and keeps it out until `hosts apply`.
pub(super) fn main(policy: &HostsPolicy, output: Output) -> Result<Exit, Failed> {
    let path = policy.path.as_path();
    let (had_block, before) = (inspect::has_block(path), unadopt::look(path).unwrap_or_default());
    // First the order, so that a writer that starts or runs puts nothing back.
    let since = removed::order(&policy.admin_dir).map_err(|e| order_failed(policy, e))?;
    match writer(policy) {
        Some(another) => await_writer(policy, Some(since), &another)?,
        None => {
            let receipt = inspect::take_out_once(policy, since, Clock::System).map_err(failed)?;
            if !output.json {
                receipt.notices.iter().for_each(|notice| output::note(&notice.what));
            }
            if let (false, Some(detail)) = (no_fault(&receipt), receipt.error_detail) {
                return Err(Failed::new(Exit::No, anyhow::anyhow!("{detail}; {}", stands(policy))));
            }
        }
    }
    let (taken_out, after) = (had_block && !inspect::has_block(path), unadopt::look(path).unwrap_or_default());
    let given_back = before.lines.saturating_sub(after.lines);
    let changed = taken_out || given_back > 0;
    let since = since.to_string();
    output.print(&Removed { path, since, changed, given_back, changed_since: &after.changed }, || {
        let (done, path) = (if taken_out { "the block is taken out" } else { "there was no block" }, path.display());
        let done = format!("{path}: {done}, and stays out until `privatelinkd hosts apply`\n");
        if given_back > 0 { format!("{done}{path}: {} as before\n", count(given_back, "line")) } else { done }
    })?;
    after.stays(path).for_each(output::note);
    Ok(Exit::Fine)
}

/// `hosts apply`: takes the order back, if it stands, and waits until a running writer has heard of that.
pub(super) fn take_back(policy: &HostsPolicy) -> Result<(), Failed> {
    if removed::take_back(&policy.admin_dir).map_err(|e| order_failed(policy, e))?
        && let Some(another) = writer(policy)
    {
        await_writer(policy, None, &another)?;
    }
    Ok(())
}

/// Since when root keeps the block out, for JSON.
pub(super) fn since(policy: &HostsPolicy) -> Option<String> {
    removed::since(&policy.admin_dir).ok().flatten().map(|since| since.to_string())
}

fn writer(policy: &HostsPolicy) -> Option<Another> {
    sole::runs(Role::Writer, &policy.run_dir, &policy.state_dir)
}

/// Waits until the writer that runs says that it follows this order, and the file agrees.
fn await_writer(policy: &HostsPolicy, wanted: Option<Wall>, another: &Another) -> Result<(), Failed> {
    let began = Clock::System.now().boottime;
    loop {
        let receipt = handover::read_receipt(&policy.run_dir).ok().flatten();
        let follows = receipt.as_ref().is_some_and(|receipt| receipt.removed == wanted);
        if follows && (wanted.is_none() || (receipt.as_ref().is_some_and(no_fault) && nothing_is_left(&policy.path))) {
            return Ok(());
        }
        if Clock::System.now().boottime.since(began) >= PATIENCE {
            let pid = another.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
            let seconds = PATIENCE.as_secs();
            let why = receipt.filter(|receipt| follows && receipt.error.is_some());
            let why = why.and_then(|receipt| receipt.error_detail);
            let why =
                why.unwrap_or_else(|| "it says nothing of it; if it is of an older version, restart it".to_owned());
            let order = wanted.map(|_| format!("; {}", stands(policy))).unwrap_or_default();
            let what = format!("the running hosts writer{pid} has not followed within {seconds} s: {why}{order}");
            return Err(Failed::new(Exit::Unavailable, anyhow::anyhow!(what)));
        }
        std::thread::sleep(LOOK);
    }
}

/// What is wrong with a plan keeps no writer from taking the block out.
fn no_fault(receipt: &Receipt) -> bool {
    !receipt.error.is_some_and(PublishErrorKind::is_of_the_file)
}

/// Neither a block of ours, nor a line that is to be given back.
fn nothing_is_left(path: &Path) -> bool {
    !inspect::has_block(path) && unadopt::look(path).is_ok_and(|there| there.lines == 0)
}

fn stands(policy: &HostsPolicy) -> String {
    format!("the order stands all the same ({})", removed::path(&policy.admin_dir).display())
}

fn order_failed(policy: &HostsPolicy, error: std::io::Error) -> Failed {
    match error.kind() {
        // It says itself where what stands is not to be followed.
        std::io::ErrorKind::InvalidData => Failed::new(Exit::No, error),
        _ => io_exit(&error, Exit::Internal).because(removed::path(&policy.admin_dir).display().to_string())(error),
    }
}
