//! `privatelinkd check`

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::exit::{Exit, Failed};
use super::output::{self, Output, count_of};
use crate::config::{self, Complaint, Complaints, Effective, Environment};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file to check, instead of --config.
    path: Option<PathBuf>,
    /// Print the effective config with each value's origin, secrets hidden.
    #[arg(long)]
    show: bool,
    /// Print nothing: the exit code tells.
    #[arg(long, conflicts_with_all = ["show", "json"])]
    quiet: bool,
    #[command(flatten)]
    output: Output,
}

/// The answer as JSON.
#[derive(Serialize)]
struct CheckOutput<'a> {
    ok: bool,
    complaints: &'a [Complaint],
    /// Complaints beyond those listed.
    omitted: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective: Option<&'a Effective>,
}

pub(super) fn main(args: &Args, config: &Path) -> Result<Exit, Failed> {
    let path = args.path.as_deref().unwrap_or(config);
    let loaded = config::load(path, &Environment::for_check());
    let (ok, complaints, effective) = match &loaded {
        Ok(l) => (true, Complaints { complaints: l.warnings.clone(), omitted: 0 }, Some(&l.effective)),
        Err(c) => (false, c.clone(), None),
    };
    let effective = effective.filter(|_| args.show);
    if args.quiet {
        // Whoever asks so is told by another, such as by the agent at a reload.
    } else if args.output.json {
        let Complaints { complaints, omitted } = &complaints;
        output::json(&CheckOutput { ok, complaints, omitted: *omitted, effective })?;
    } else {
        output::complain_of(&complaints.complaints, complaints.omitted);
        match effective {
            Some(effective) => output::answer(&effective.to_string())?,
            None if ok => output::answer(&format!("{}: fine\n", path.display()))?,
            None => output::note(format_args!("{}: {}", path.display(), count_of(&complaints))),
        }
    }
    Ok(if ok { Exit::Fine } else { Exit::Config })
}
