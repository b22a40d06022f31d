//! What `route show` says. Pure.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;

use serde::Serialize;

use super::advice::advice;
use super::choice::{Obstacle, Resolver, Way};
use super::link::Registered;
use crate::config::{DnsConfig, RouteMode};
use crate::model::HostName;

/// The version of this answer.
const SCHEMA: u32 = 1;

/// Everything that it is made of.
#[derive(Debug, Clone)]
pub(super) struct RouteInputs<'a> {
    pub(super) dns: &'a DnsConfig,
    pub(super) resolver: Resolver,
    pub(super) choice: Result<Way, Obstacle>,
    pub(super) registered: Option<(Way, Registered)>,
    /// The servers, each with whether it serves any of the names.
    pub(super) servers: Vec<(SocketAddr, bool)>,
    pub(super) served: BTreeSet<HostName>,
    pub(super) planned: BTreeSet<HostName>,
    pub(super) without_answer: BTreeSet<HostName>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RouteReport {
    /// The version of this shape.
    pub schema: u32,
    /// `[dns] publish`
    pub publish: bool,
    /// `[dns] route`
    pub wanted: &'static str,
    /// The way that is meant by it on this host; `null` if none.
    pub chosen: Option<Way>,
    /// Why there is none.
    pub obstacle: Option<String>,
    /// The way that is registered; `null` if none.
    pub registered: Option<Way>,
    /// This host's systemd-resolved.
    pub resolver: Resolver,
    /// Where it is to ask.
    pub servers: Vec<Server>,
    /// By name.
    pub names: Vec<Name>,
    /// True if everything is as the config wants it.
    pub in_order: bool,
    /// What the admin can do where nothing can be registered.
    pub advice: Option<String>,
}

/// One address of the stub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// It serves names of ours.
    pub answers: bool,
    /// systemd-resolved is told of it.
    pub registered: bool,
}

/// One name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Name {
    /// The name.
    pub name: HostName,
    /// The agent has an answer for it.
    pub planned: bool,
    /// The stub serves it.
    pub answers: bool,
    /// systemd-resolved asks the stub for it.
    pub registered: bool,
}

/// The word of the config.
pub(super) fn label(mode: RouteMode) -> &'static str {
    match mode {
        RouteMode::Auto => "auto",
        RouteMode::DnsDelegate => "dns_delegate",
        RouteMode::Resolved => "resolved",
        RouteMode::None => "none",
    }
}

impl RouteReport {
    pub(super) fn new(facts: RouteInputs<'_>) -> Self {
        let RouteInputs { dns, resolver, choice, registered, servers, served, planned, without_answer } = facts;
        let (way, told) = registered.map_or((None, Registered::default()), |(way, told)| (Some(way), told));
        let all: BTreeSet<&HostName> = planned.iter().chain(&without_answer).chain(&told.names).collect();
        let name = |name: &HostName| Name {
            name: name.clone(),
            planned: planned.contains(name),
            answers: served.contains(name),
            registered: told.names.contains(name),
        };
        let server = |(address, answers): &(SocketAddr, bool)| Server {
            address: *address,
            answers: *answers,
            registered: told.servers.contains(address),
        };
        let wanted = dns.publish && dns.route != RouteMode::None;
        let (chosen, obstacle) = match choice {
            Ok(way) => (Some(way), None),
            Err(obstacle) => (None, Some(obstacle)),
        };
        let chosen = chosen.filter(|_| wanted);
        let in_order = match chosen {
            Some(_) => way == chosen && told.names == planned && !planned.is_empty() && served == planned,
            None => way.is_none() && (!wanted || dns.route == RouteMode::Auto),
        };
        let names: BTreeSet<HostName> = planned.union(&without_answer).cloned().collect();
        let advised = dns.publish && chosen.is_none() && !names.is_empty();
        let advice = servers.first().filter(|_| advised).map(|(server, _)| advice(&names, *server));
        Self {
            schema: SCHEMA,
            publish: dns.publish,
            wanted: label(dns.route),
            chosen,
            obstacle: obstacle.filter(|_| dns.publish).map(|o| o.to_string()),
            registered: way,
            resolver,
            servers: servers.iter().map(server).collect(),
            names: all.into_iter().map(name).collect(),
            in_order,
            advice,
        }
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String can't fail.
        let mut say = |what: &str, how: String| text.push_str(&format!("{what:<12} {how}\n"));
        say("registered", self.registered.map_or_else(|| "nothing".to_owned(), |way| way.to_string()));
        say("wanted", self.wanted_text());
        say("resolver", resolver_text(self.resolver));
        for server in &self.servers {
            let registered = if server.registered { "" } else { ", not registered" };
            say(
                "stub",
                format!(
                    "{} {}{registered}",
                    server.address,
                    if server.answers { "answers" } else { "does not answer" }
                ),
            );
        }
        let width = self.names.iter().map(|n| n.name.as_str().len()).max().unwrap_or_default();
        for Name { name, planned, answers, registered } in &self.names {
            let registered = if *registered { "registered" } else { "not registered" };
            let why = match (planned, answers) {
                (false, false) => ", the agent has no answer for it",
                (true, false) => ", the stub does not serve it",
                (_, true) => "",
            };
            say("name", format!("{name:<width$} {registered}{why}"));
        }
        if let Some(advice) = &self.advice {
            let _ = write!(text, "\n{advice}");
        }
        text
    }

    fn wanted_text(&self) -> String {
        if !self.publish {
            return "nothing: [dns] publish is false".to_owned();
        }
        match (&self.obstacle, self.chosen) {
            (Some(obstacle), _) => format!("{}: {obstacle}", self.wanted),
            (None, Some(way)) if self.wanted == "auto" => format!("auto: {way}"),
            (None, _) => self.wanted.to_owned(),
        }
    }
}

fn resolver_text(resolver: Resolver) -> String {
    let Resolver { version, active, used } = resolver;
    let Some(version) = version else { return "no systemd-resolved".to_owned() };
    let active = if active { "runs" } else { "does not run" };
    let used = if used { "programs of this host ask it" } else { "programs of this host do not ask it" };
    format!("systemd-resolved {version}, {active}; {used}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn dns(publish: bool, route: RouteMode) -> DnsConfig {
        let listen = vec!["127.0.0.153:53".parse().unwrap()];
        DnsConfig { publish, listen, ttl: Duration::from_secs(5), route, forward: Vec::new() }
    }

    fn names(all: &[&str]) -> BTreeSet<HostName> {
        all.iter().map(|n| n.parse().unwrap()).collect()
    }

    fn facts(dns: &DnsConfig) -> RouteInputs<'_> {
        let told = Registered { servers: dns.listen.clone(), names: names(&["a.x"]) };
        RouteInputs {
            dns,
            resolver: Resolver { version: Some(257), active: true, used: true },
            choice: Ok(Way::Resolved),
            registered: Some((Way::Resolved, told)),
            servers: vec![(dns.listen[0], true)],
            served: names(&["a.x"]),
            planned: names(&["a.x"]),
            without_answer: names(&[]),
        }
    }

    #[test]
    fn all_is_in_order_only_if_all_is() {
        let auto = dns(true, RouteMode::Auto);
        let report = RouteReport::new(facts(&auto));
        assert!(report.in_order && report.advice.is_none());
        let said = report.text();
        assert!(said.contains("registered   resolved\nwanted       auto: resolved\n"), "{said}");
        assert!(said.contains("stub         127.0.0.153:53 answers\nname         a.x registered\n"), "{said}");
        let late = RouteInputs { without_answer: names(&["b.x"]), ..facts(&auto) };
        let late = RouteReport::new(late);
        assert!(late.in_order, "a name without an answer is the agent's trouble");
        assert!(late.text().contains("b.x not registered, the agent has no answer for it"), "{}", late.text());
        for bad in [
            RouteInputs { registered: None, ..facts(&auto) },
            RouteInputs { planned: names(&["a.x", "b.x"]), ..facts(&auto) },
            RouteInputs { served: names(&[]), ..facts(&auto) },
            RouteInputs { planned: names(&[]), served: names(&[]), ..facts(&auto) },
            RouteInputs { choice: Err(Obstacle::Inactive), ..facts(&auto) },
        ] {
            assert!(!RouteReport::new(bad.clone()).in_order, "{bad:?}");
        }
    }

    #[test]
    fn where_nothing_can_be_registered_the_admin_is_told_what_to_do() {
        let auto = dns(true, RouteMode::Auto);
        let none = RouteInputs { choice: Err(Obstacle::NoResolved), registered: None, ..facts(&auto) };
        let report = RouteReport::new(none.clone());
        assert!(report.in_order, "auto means: if it can be");
        assert!(report.advice.is_some_and(|a| a.contains("server=/a.x/127.0.0.153#53")));
        let resolved = dns(true, RouteMode::Resolved);
        assert!(!RouteReport::new(RouteInputs { dns: &resolved, ..none.clone() }).in_order, "this was asked for");
        let off = dns(false, RouteMode::Auto);
        let report = RouteReport::new(RouteInputs { dns: &off, ..none.clone() });
        assert!(report.in_order && report.advice.is_none() && report.chosen.is_none());
        let left = RouteReport::new(RouteInputs { dns: &off, ..facts(&auto) });
        assert!(!left.in_order && left.text().contains("nothing: [dns] publish is false"), "{}", left.text());
    }
}
