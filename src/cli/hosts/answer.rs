//! What the commands about the hosts file print, and how they end.

use std::borrow::Cow;
use std::path::Path;

use serde::Serialize;

use super::remove;
use crate::cli::exit::{Exit, Failed};
use crate::cli::output::{self, Output};
use crate::model::{Receipt, Verdict};
use crate::observe::text_table::count;
use crate::publish::hosts::policy::HostsPolicy;
use crate::publish::hosts::{inspect, removed};

/// `show` and `diff` as JSON.
#[derive(Serialize)]
pub(super) struct Text<'a> {
    pub(super) path: &'a Path,
    /// `null` if there is nothing to show.
    pub(super) text: Option<Cow<'a, str>>,
    /// Since when `hosts remove` keeps the block out, if it does.
    pub(super) removed_since: Option<String>,
}

/// What would change.
pub(super) fn print_diff(policy: &HostsPolicy, diff: &str, output: Output) -> Result<Exit, Failed> {
    let exit = if diff.is_empty() { Exit::Fine } else { Exit::No };
    let text = (!diff.is_empty()).then_some(Cow::from(diff));
    output.print(&Text { path: &policy.path, text, removed_since: remove::since(policy) }, || diff.to_owned())?;
    if diff.is_empty() && !output.json {
        let names = inspect::handed_over(&policy.agent_run_dir, Some(policy)).len();
        let of = if names == 0 { "no name is handed over".to_owned() } else { count(names, "name") };
        output::note(format_args!("{}: nothing would change ({of})", policy.path.display()));
    }
    if !output.json {
        removed::in_words(&policy.admin_dir).iter().for_each(output::note);
    }
    Ok(exit)
}

/// What was done.
pub(super) fn tell(policy: &HostsPolicy, receipt: &Receipt, output: Output) -> Result<Exit, Failed> {
    if output.json {
        output::json(receipt)?;
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
