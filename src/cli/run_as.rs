//! Whose eyes a command looks with. Run as root it becomes the service user, with the service's environment, so that it
//! sees what the agent sees and not what root does.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use anyhow::Context as _;

use super::exit::{Exit, Failed};
use super::output;
use crate::agent::CredentialScope;
use crate::config::{self, SERVICE_USER};
use crate::model::ProxyChoice;
use crate::sys::{identity, peer, privileges};

/// The argument by which this program knows that it has become the service user. See [`super::Cli`].
const AS_UNIT: &str = "--as-unit";
/// What decides about credentials, and about whom TLS trusts; beside the proxy of the API.
const OF_THE_UNIT: [&str; 3] = ["CREDENTIALS_DIRECTORY", "SSL_CERT_DIR", "SSL_CERT_FILE"];
const OF_CREDENTIALS: &str = "ALIBABA_CLOUD_";

/// Where credentials are to be looked for; run as root, this program first begins anew as the service user.
pub(super) fn credential_scope(as_unit: bool, config: &Path) -> Result<CredentialScope, Failed> {
    if as_unit {
        return Ok(CredentialScope::Unit);
    }
    match service_user() {
        None => Ok(CredentialScope::Shell),
        Some(user) => {
            begin_anew(user, config).map(|never| match never {}).map_err(|e| Failed::new(Exit::Permission, e))
        }
    }
}

/// The service user, if there is one, and we have root's right to become it.
pub(super) fn service_user() -> Option<(u32, u32)> {
    if identity::effective_uid() != 0 {
        return None;
    }
    identity::user(SERVICE_USER).filter(|(uid, _)| *uid != 0)
}

fn begin_anew(user: (u32, u32), config: &Path) -> anyhow::Result<Infallible> {
    // Only root may read what the agent was started with.
    let socket = config::folders(config).run_dir.join("status.sock");
    let agent = peer::environment(&socket, user.0);
    let unknown = match agent {
        Ok(_) => "",
        Err(_) => "; it does not run, so that variables of its unit are not known",
    };
    output::note(format_args!("as user {SERVICE_USER}, as the agent sees it{unknown}"));
    let environment = environment(agent.unwrap_or_default(), std::env::vars_os());
    let arguments: Vec<OsString> = [AS_UNIT.into()].into_iter().chain(std::env::args_os().skip(1)).collect();
    privileges::become_user(SERVICE_USER, user).with_context(|| format!("can't become the user {SERVICE_USER}"))?;
    Err(privileges::restart(&arguments, &environment)).with_context(|| format!("can't begin anew as {SERVICE_USER}"))
}

/// What the agent was started with, as far as it matters here. Of the caller only how it wants to see
/// things: what a shell has of credentials the agent has not.
fn environment(
    agent: Vec<(OsString, OsString)>,
    caller: impl Iterator<Item = (OsString, OsString)>,
) -> Vec<(OsString, OsString)> {
    let of_agent = |name: &OsStr| {
        let text = name.to_string_lossy();
        let named = [&OF_THE_UNIT[..], &ProxyChoice::VARIABLES].concat();
        text.starts_with(OF_CREDENTIALS) || named.contains(&text.as_ref())
    };
    let agent = agent.into_iter().filter(|(name, _)| of_agent(name));
    agent.chain(caller.filter(|(name, _)| name == "NO_COLOR" || name == "COLUMNS")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_the_agents_and_never_the_callers() {
        let all = |list: &[(&str, &str)]| {
            list.iter().map(|(n, v)| (OsString::from(n), OsString::from(v))).collect::<Vec<_>>()
        };
        let of_unit = [("ALIBABA_CLOUD_ROLE_ARN", "unit"), ("NO_PROXY", "unit")];
        let agent = all(&[&of_unit[..], &[("HOME", "/x"), ("INVOCATION_ID", "1"), ("PATH", "/")]].concat());
        let caller = all(&[
            ("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAI"),
            ("HTTPS_PROXY", "http://a:1"),
            ("HOME", "/root"),
            ("NO_COLOR", "1"),
        ]);
        let expected = all(&[&of_unit[..], &[("NO_COLOR", "1")]].concat());
        assert_eq!(environment(agent, caller.into_iter()), expected);
    }
}
