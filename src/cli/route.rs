//! `privatelinkd route …`

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::exit::{Exit, Failed, io_exit};
use super::output::{self, Output, refuse_config};
use crate::config::{self, DnsConfig, Environment, WriterConfig};
use crate::model::HostName;
use crate::observe::text_table::count;
use crate::publish::hosts::{HostsPolicy, handover};
use crate::route::{self, Host, Installed, Names, RouteError};
use crate::sys::identity;

/// How long `install` waits for the stub to serve every name: an agent that starts is ready within 10 s, and asks its
/// cloud for the first time meanwhile.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Have this host's resolver ask the stub for the names that it serves, and for no others; withdraw those that it
    /// serves no more. Waits up to 30 s for the stub, then exits with 69.
    Install(Output),
    /// Withdraw what `install` has registered.
    Remove(Output),
    /// Show what is registered, whether the stub answers, and what there is to do; exits with 1 unless all is as the
    /// config wants it.
    Show(Output),
}

pub(super) fn main(command: &Command, config: &Path) -> Result<Exit, Failed> {
    match command {
        Command::Install(output) => install(load(config)?, *output),
        Command::Remove(output) => remove(*output),
        Command::Show(output) => show(load(config)?, *output),
    }
}

/// The part of the config that root's side may know: it names no secret's content, and must be root's.
fn load(config: &Path) -> Result<WriterConfig, Failed> {
    config::load_writer(config, &Environment::current()).map(|loaded| loaded.config).map_err(refuse_config)
}

fn install(config: WriterConfig, output: Output) -> Result<Exit, Failed> {
    only_root()?;
    let dns = dns(&config)?;
    let policy = HostsPolicy::new(config);
    let installed = route::install(&Host::default(), &dns, &mut || names(&policy), PATIENCE).map_err(failed)?;
    output.print(&installed, || installed_text(&installed))?;
    if !output.json {
        complain_of(&installed);
    }
    Ok(Exit::Fine)
}

fn remove(output: Output) -> Result<Exit, Failed> {
    #[derive(serde::Serialize)]
    struct Removed {
        changed: bool,
    }
    only_root()?;
    let changed = route::remove(&Host::default()).map_err(failed)?;
    let text = if changed { "withdrawn\n" } else { "nothing was registered\n" };
    output.print(&Removed { changed }, || text.to_owned())?;
    Ok(Exit::Fine)
}

fn show(config: WriterConfig, output: Output) -> Result<Exit, Failed> {
    let dns = dns(&config)?;
    let policy = HostsPolicy::new(config);
    let report = route::show(&Host::default(), &dns, names(&policy)).map_err(failed)?;
    output.print(&report, || report.text())?;
    Ok(if report.in_order { Exit::Fine } else { Exit::No })
}

/// `[dns]`, of which the loader for the privileged side says nothing.
fn dns(config: &WriterConfig) -> Result<DnsConfig, Failed> {
    let unusable = || Failed::new(Exit::Config, anyhow::anyhow!("[dns] can't be used: see `privatelinkd check`"));
    config.dns.clone().ok_or_else(unusable)
}

/// The names of the config and, as the hosts writer admits them, the cloud's own ones of its endpoints; told apart by
/// whether the agent's plan has an answer.
fn names(policy: &HostsPolicy) -> Names {
    // One that can't be read is no plan; the agent replaces it.
    let plan = handover::read(&policy.agent_run_dir).ok().flatten().map(|h| h.plan).unwrap_or_default();
    let planned: BTreeSet<HostName> = plan.into_keys().filter(|name| policy.rules.has_name(name)).collect();
    let without_answer = policy.rules.names.difference(&planned).cloned().collect();
    Names { planned, without_answer }
}

fn installed_text(installed: &Installed) -> String {
    match (&installed.registered, &installed.finding) {
        (Some(way), _) => {
            let done = if installed.changed { "registered" } else { "already registered" };
            format!("{done} by {way}: {}\n", count(installed.names.len(), "name"))
        }
        (None, Some(finding)) => format!("nothing to register: {finding}\n"),
        (None, None) => "nothing to register\n".to_owned(),
    }
}

fn complain_of(installed: &Installed) {
    for (names, why) in [
        (&installed.unanswered, "the stub does not serve"),
        (&installed.without_answer, "the agent has no answer yet for"),
        (&installed.too_many, "too many names for this host's resolver, left out"),
    ] {
        if let Some(first) = names.first() {
            let more = names.len() - 1;
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            output::note(format_args!("{why}: {first}{more}"));
        }
    }
}

fn only_root() -> Result<(), Failed> {
    if identity::effective_uid() == 0 {
        return Ok(());
    }
    Err(Failed::new(Exit::Permission, anyhow::anyhow!("only root can tell this host's resolver whom to ask")))
}

fn failed(error: RouteError) -> Failed {
    let exit = match &error {
        RouteError::Obstacle { .. }
        | RouteError::NoPlan
        | RouteError::Unanswered { .. }
        | RouteError::NoProgram { .. } => Exit::Unavailable,
        RouteError::File { source, .. } => io_exit(source, Exit::Internal),
        RouteError::Failed { .. } => Exit::Internal,
    };
    Failed::new(exit, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::OwnDomains;
    use crate::model::{Answer, AnswerReason, Identity, Plan};
    use crate::publish::hosts::policy::Folders;

    const OWN: &str = "ep-bp1.epsrv-x.cn-hangzhou.privatelink.aliyuncs.com";

    #[test]
    fn names_are_the_configs_and_the_clouds_own_and_nobody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let at = || dir.path().to_owned();
        let mut policy =
            HostsPolicy::idle(Folders { agent_run_dir: at(), run_dir: at(), state_dir: at(), admin_dir: at() });
        let set = |all: &[&str]| -> BTreeSet<HostName> { all.iter().map(|n| n.parse().unwrap()).collect() };
        policy.rules.names = set(&["a.x", "b.x"]);
        policy.rules.own_domains = [("ep-bp1".parse().unwrap(), OwnDomains::default())].into();
        let nothing = Names { planned: set(&[]), without_answer: set(&["a.x", "b.x"]) };
        assert_eq!(names(&policy), nothing, "no agent yet");
        let answer =
            Answer { addresses: vec!["10.0.0.1".parse().unwrap()], standby: Vec::new(), reason: AnswerReason::Healthy };
        let foreign = ["c.x", "com", "ep-bp12.epsrv-x.cn-hangzhou.privatelink.aliyuncs.com"];
        let planned = ["a.x", OWN].into_iter().chain(foreign).map(|n| (n.parse().unwrap(), answer.clone()));
        let plan = Plan { answers: planned.collect(), ..Plan::default() };
        handover::write(dir.path(), &handover::make(&plan, "boot", &Identity::default())).unwrap();
        assert_eq!(names(&policy), Names { planned: set(&["a.x", OWN]), without_answer: set(&["b.x"]) });
        std::fs::write(handover::plan_path(dir.path()), "{").unwrap();
        assert_eq!(names(&policy), nothing, "what can't be read is no plan");
    }
}
