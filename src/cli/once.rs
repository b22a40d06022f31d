//! What `discover`, `probe`, `plan` and `init` have in common: a config, credentials to look with, and a runtime.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use super::exit::{Exit, Failed};
use super::output::{self, refuse_config};
use super::{run_as, status_client};
use crate::agent::oneshot::{Discovered, LookupContext};
use crate::config::{self, Config, Environment};
use crate::model::EndpointName;
use crate::observe::status::StatusReport;
use crate::preview::{Host, Seen};
use crate::sys::clock::Clock;

/// With whose credentials to look; run as root, the program first begins anew as the service user.
pub(super) fn lookup_context(as_unit: bool, config: &Path) -> Result<LookupContext, Failed> {
    let scope = run_as::credential_scope(as_unit, config)?;
    Ok(LookupContext { scope, clock: Clock::System, on_throttle: say_throttled, on_wait: say_waiting })
}

/// On stderr, so that the admin need not wonder what takes so long.
fn say_throttled(wait: Duration) {
    output::note(format_args!("the API is throttled, asking again in {}", in_words(wait)));
}

/// The same of what takes long by itself.
fn say_waiting(doing: &'static str) {
    output::note(format_args!("{doing} …"));
}

/// "300 ms", "2.5 s".
fn in_words(wait: Duration) -> String {
    match wait.as_millis() {
        ms @ ..1000 => format!("{ms} ms"),
        _ => format!("{} s", (wait.as_secs_f64() * 10.0).round() / 10.0),
    }
}

/// The config as the agent would load it, with this endpoint alone if one is named.
pub(super) fn load(path: &Path, only: Option<&str>) -> Result<Config, Failed> {
    let mut config = config::load(path, &Environment::current()).map_err(refuse_config)?.config;
    if let Some(only) = only {
        if !config.endpoints.keys().any(|name| name.as_str() == only) {
            let known = known_endpoints(&config);
            return Err(Failed::new(Exit::Usage, anyhow::anyhow!("no endpoint {only:?}: {known}")));
        }
        config.endpoints.retain(|name, _| name.as_str() == only);
    }
    Ok(config)
}

fn known_endpoints(config: &Config) -> String {
    let names: Vec<&str> = config.endpoints.keys().map(EndpointName::as_str).collect();
    if names.is_empty() { "the config has none".to_owned() } else { format!("the config has {}", names.join(", ")) }
}

/// Runs a future to its end. File work that hangs does not hold up the end.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Exit::Internal.because("can't start a runtime"))?;
    let result = runtime.block_on(future);
    runtime.shutdown_background();
    Ok(result)
}

/// What one round saw, for a report of it.
pub(super) fn seen<'a>(host: &'a Host, found: &'a Discovered, agent: &'a Result<StatusReport, String>) -> Seen<'a> {
    let agent = agent.as_ref().map_err(String::as_str);
    Seen { host, round: &found.round, inventory: &found.inventory, agent }
}

/// Where the command runs.
pub(super) fn host(found: &Discovered) -> Host {
    Host::new(&found.at.host, found.at.error.as_deref())
}

/// What the running agent knows, or why it does not say.
pub(super) fn running_agent(config: &Config) -> Result<StatusReport, String> {
    let answer = status_client::ask_agent(&config.host.run_dir.join("status.sock"));
    answer.map(|(report, _)| report).map_err(|failed| format!("{:#}", failed.error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_told_in_words() {
        let words = |ms| in_words(Duration::from_millis(ms));
        assert_eq!([300, 999, 1_000, 2_540, 10_000].map(words), ["300 ms", "999 ms", "1 s", "2.5 s", "10 s"]);
    }
}
