//! `privatelinkd hosts adopt` and `unadopt`

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::answer::{print_diff, tell};
use super::failure::failed;
use crate::cli::exit::{Exit, Failed};
use crate::cli::output::{self, Output};
use crate::observe::text_table::count;
use crate::publish::hosts::inspect;
use crate::publish::hosts::policy::HostsPolicy;
use crate::publish::hosts::removed;
use crate::publish::hosts::unadopt::{self, Unadopted};
use crate::sys::clock::Clock;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Print what would change and write nothing; exits with 1 if anything would.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: Output,
}

/// `unadopt` as JSON.
#[derive(Serialize)]
struct Report<'a> {
    path: &'a Path,
    /// How many lines are as they were again, or would be.
    given_back: usize,
    /// Lines that somebody changed since: they stay.
    changed_since: &'a [usize],
    /// With `--dry-run`: what would change; `null` if nothing would.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Option<Cow<'a, str>>>,
}

/// What the running writer does under `adopt = true`, once.
pub(super) fn adopt(policy: &HostsPolicy, args: &Args) -> Result<Exit, Failed> {
    if !policy.publish {
        // What nobody keeps up to date must not take the place of what somebody may.
        return Err(Failed::new(
            Exit::No,
            anyhow::anyhow!("hosts.publish is false: nobody keeps the block up to date"),
        ));
    }
    if let Some(why) = removed::in_words(&policy.admin_dir) {
        return Err(Failed::new(Exit::No, anyhow::anyhow!(why)));
    }
    let adopting = Arc::new(HostsPolicy { adopt: true, ..policy.clone() });
    if args.dry_run {
        let diff = inspect::diff(&adopting, Clock::System).map_err(failed)?;
        return print_diff(policy, &diff, args.output);
    }
    let receipt = inspect::apply_once(&adopting, Clock::System).map_err(failed)?;
    if !args.output.json {
        receipt.notices.iter().for_each(|notice| output::note(&notice.what));
    }
    tell(policy, &receipt, args.output)
}

pub(super) fn unadopt(policy: &Arc<HostsPolicy>, args: &Args) -> Result<Exit, Failed> {
    if policy.adopt {
        let why = "hosts.adopt is true, and the hosts writer would take the names out again: set it to false first";
        return Err(Failed::new(Exit::No, anyhow::anyhow!(why)));
    }
    let path = &policy.path;
    let (diff, done) = match args.dry_run {
        true => unadopt::diff(path).map_err(|e| failed(e.into())).map(|(diff, done)| (Some(diff), done))?,
        false => (None, unadopt::once(policy, Clock::System).map_err(failed)?),
    };
    let Unadopted { lines, ref changed } = done;
    let text = diff.as_deref().map(|diff| (!diff.is_empty()).then_some(Cow::from(diff)));
    let report = Report { path, given_back: lines, changed_since: changed, text };
    args.output.print(&report, || match &diff {
        Some(diff) => diff.clone(),
        None if lines == 0 => format!("{}: nothing to give back\n", path.display()),
        None => format!("{}: {} as before\n", path.display(), count(lines, "line")),
    })?;
    done.stays(path).for_each(output::note);
    let would_change = diff.is_some_and(|diff| !diff.is_empty());
    Ok(if would_change || !changed.is_empty() { Exit::No } else { Exit::Fine })
}
