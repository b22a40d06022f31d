//! `privatelinkd probe`

use std::path::Path;

use super::exit::{Exit, Failed};
use super::once;
use super::output::Output;
use crate::agent::{self, oneshot::Examined};
use crate::preview::ProbeReport;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Probe this endpoint alone, by its name in the config.
    endpoint: Option<String>,
    #[command(flatten)]
    output: Output,
}

pub(super) fn main(args: &Args, path: &Path, as_unit: bool) -> Result<Exit, Failed> {
    let eyes = once::lookup_context(as_unit, path)?;
    let config = once::load(path, args.endpoint.as_deref())?;
    let Examined { found, probed } = once::block_on(agent::oneshot::examine(&config, eyes))?;
    let report = once::running_agent(&config);
    let kinds = config.endpoints.iter().filter_map(|(name, e)| {
        let probe = e.probe.as_ref()?;
        Some((name.clone(), format!("{}:{}", probe.kind.label(), probe.port)))
    });
    let (host, now) = (once::host(&found), eyes.clock.now().wall);
    let examination = ProbeReport::new(once::seen(&host, &found, &report), &kinds.collect(), &probed, now);
    args.output.print_page(&examination, |screen| examination.text(screen))?;
    Ok(if examination.passed { Exit::Fine } else { Exit::No })
}
