//! `privatelinkd plan`

use std::path::Path;
use std::sync::Arc;

use super::exit::{Exit, Failed};
use super::once;
use super::output::Output;
use crate::agent::{self, oneshot::Planned};
use crate::config::Config;
use crate::model::{EventKind, Plan};
use crate::preview::PlanReport;
use crate::preview::plan_report::Hosts;
use crate::publish::hosts::{HostsPolicy, inspect, removed};
use crate::sys::clock::Clock;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    output: Output,
}

pub(super) fn main(args: &Args, path: &Path, as_unit: bool) -> Result<Exit, Failed> {
    let eyes = once::lookup_context(as_unit, path)?;
    let config = once::load(path, None)?;
    let planned = once::block_on(agent::oneshot::plan(&config, eyes))?;
    let report = once::running_agent(&config);
    let Planned { found, health, plan, events } = &planned;
    let (host, hosts) = (once::host(found), hosts(&config, plan, eyes.clock));
    let seen = once::seen(&host, found, &report);
    let decision = PlanReport::new(seen, health, plan, found_earlier(events), hosts);
    args.output.print_page(&decision, |screen| decision.text(screen))?;
    Ok(Exit::Fine)
}

/// What is wrong with what an earlier agent left; that it is there is no news.
fn found_earlier(events: &[EventKind]) -> Vec<String> {
    let bad = |kind: &&EventKind| matches!(kind, EventKind::CacheUnusable { .. } | EventKind::CacheForeign { .. });
    events.iter().filter(bad).map(ToString::to_string).collect()
}

fn hosts(config: &Config, plan: &Plan, clock: Clock) -> Hosts {
    let policy = Arc::new(HostsPolicy::new(config.for_writer()));
    let removed = removed::in_words(&policy.admin_dir);
    let hosts = Hosts { path: policy.path.clone(), publish: policy.publish, removed, ..Hosts::default() };
    if !policy.publish {
        return hosts;
    }
    let refused = inspect::refused(&policy, plan, clock);
    let refused = refused.into_iter().map(|(name, why)| (name, why.to_string())).collect();
    match inspect::diff_of(&policy, plan, clock) {
        Ok(diff) => Hosts { diff: Some(diff), refused, ..hosts },
        Err(error) => Hosts { error: Some(error.to_string()), refused, ..hosts },
    }
}
