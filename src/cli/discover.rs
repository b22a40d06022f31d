//! `privatelinkd discover`

use std::path::Path;

use super::exit::{Exit, Failed};
use super::once;
use super::output::Output;
use crate::agent;
use crate::preview::DiscoverReport;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Look for this endpoint alone, by its name in the config.
    endpoint: Option<String>,
    #[command(flatten)]
    output: Output,
}

pub(super) fn main(args: &Args, path: &Path, as_unit: bool) -> Result<Exit, Failed> {
    let eyes = once::lookup_context(as_unit, path)?;
    let config = once::load(path, args.endpoint.as_deref())?;
    let found = once::block_on(agent::oneshot::discover(&config, eyes))?;
    let report = once::running_agent(&config);
    let discovery = DiscoverReport::new(once::seen(&once::host(&found), &found, &report));
    args.output.print_page(&discovery, |screen| discovery.text(screen))?;
    Ok(if discovery.found { Exit::Fine } else { Exit::No })
}
