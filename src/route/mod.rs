//! The way to the stub: how this host's own resolver learns to ask it for our names, and for no others.
//!
//! ```text
//! config, plan.json ─► names ─► stub (does it serve them?) ─► choice ─► delegate or link ─► systemd-resolved
//! ```
//!
//! Registered is only what the stub serves at this moment, and one name at a time: a name that it does not serve goes
//! the way it went before, and so does every name once the agent has stopped (privatelinkd-route.service is bound to
//! its life). What no admin asked us to touch stays untouched: `/etc/resolv.conf`, NetworkManager, the global settings
//! of systemd-resolved, which would lead every query of the host to the stub.
//!
//! [`choice`](choose), the texts and the one DNS question are pure; `host` and `stub` touch the world. `ip`,
//! `resolvectl` and `systemctl` are called as programs: they speak netlink and D-Bus for us, are there wherever
//! systemd-resolved is, and keep an admin able to repeat what we did by hand. They are found in fixed folders and get a
//! clean environment and a deadline.

mod advice;
mod choice;
mod delegate;
mod host;
mod link;
mod question;
mod registration;
mod report;
mod stub;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

pub use choice::{Obstacle, Resolver, Way, choose, most_names};
pub use host::Host;
pub use question::Names;
pub use registration::RouteError;
pub use report::{Name, RouteReport, Server};

use self::link::Registration;
use self::question::Round;
use crate::config::{DnsConfig, RouteMode};
use crate::model::HostName;

/// What `install` came to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Installed {
    /// The way that is registered now; `null` if none.
    pub registered: Option<Way>,
    /// Something was changed.
    pub changed: bool,
    /// Where the resolver asks now.
    pub servers: Vec<SocketAddr>,
    /// For which names.
    pub names: BTreeSet<HostName>,
    /// Names of the plan that the stub does not serve.
    pub unanswered: BTreeSet<HostName>,
    /// Names of the config that the plan lacks.
    pub without_answer: BTreeSet<HostName>,
    /// Names of the plan that are too many for this way.
    pub too_many: BTreeSet<HostName>,
    /// Why none is registered.
    pub finding: Option<String>,
}

impl Installed {
    fn nothing(changed: bool, finding: String) -> Self {
        Self { changed, finding: Some(finding), ..Self::default() }
    }
}

/// Registers the names that the stub serves, as the config wants it, once it serves them all, or after `patience` those
/// that it serves by then. What was registered before and is not any more is withdrawn. Does nothing to what is as it
/// should be. Blocks.
///
/// # Errors
/// Nothing is registered then: see [`RouteError`].
pub fn install(
    host: &Host,
    dns: &DnsConfig,
    names: &mut dyn FnMut() -> Names,
    patience: Duration,
) -> Result<Installed, RouteError> {
    let _lock = host.lock()?;
    let wanted = dns.publish && dns.route != RouteMode::None;
    host.note(wanted)?;
    if !wanted {
        let finding = if dns.publish { "[dns] route is \"none\"" } else { "[dns] publish is false" };
        return Ok(Installed::nothing(host.unregister()?, finding.to_owned()));
    }
    let result = register(host, dns, names, patience);
    if result.is_err() {
        // Half a registration, or one for a stub that does not answer, is worse than none; the error is what matters.
        let _ = host.unregister();
    }
    result
}

fn register(
    host: &Host,
    dns: &DnsConfig,
    names: &mut dyn FnMut() -> Names,
    patience: Duration,
) -> Result<Installed, RouteError> {
    let way = match choose(dns.route, host.look(), &dns.listen) {
        Ok(way) => way,
        Err(obstacle) if dns.route == RouteMode::Auto => {
            return Ok(Installed::nothing(host.unregister()?, obstacle.to_string()));
        }
        Err(obstacle) => return Err(RouteError::Obstacle { wanted: report::label(dns.route), obstacle }),
    };
    let asked = choice::servers(&dns.listen);
    let (round, Names { planned, without_answer }) = stub::wait(&asked, names, patience);
    if round.names.is_empty() {
        let n = planned.len();
        return Err(if n == 0 { RouteError::NoPlan } else { RouteError::Unanswered { names: n, servers: asked } });
    }
    let names: BTreeSet<HostName> = round.names.iter().take(most_names(way)).cloned().collect();
    let wanted = Registration { way, servers: round.servers, names };
    // What can't be asked is set anew.
    let before = host.registered().ok().flatten();
    let changed = before.as_ref() != Some(&wanted);
    if changed {
        host.register(&wanted)?;
    }
    Ok(Installed {
        registered: Some(way),
        changed,
        unanswered: planned.difference(&round.names).cloned().collect(),
        too_many: round.names.difference(&wanted.names).cloned().collect(),
        servers: wanted.servers,
        names: wanted.names,
        without_answer,
        finding: None,
    })
}

/// Withdraws whatever is registered. True if anything was. Blocks.
///
/// # Errors
/// See [`RouteError`].
pub fn remove(host: &Host) -> Result<bool, RouteError> {
    let _lock = host.lock()?;
    host.unregister()
}

/// What is registered, what should be, and whether the stub answers. Changes nothing. Blocks.
///
/// # Errors
/// What is registered can't be told.
pub fn show(host: &Host, dns: &DnsConfig, names: Names) -> Result<RouteReport, RouteError> {
    let resolver = host.look();
    let asked = choice::servers(&dns.listen);
    let round = if dns.publish { stub::ask(&asked, &names.planned) } else { Round::default() };
    Ok(RouteReport::new(dns, resolver, host.registered()?, &names, &round))
}
