//! What `route show` says. Pure.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;

use serde::Serialize;

use super::advice::advice;
use super::choice::{self, Resolver, Way, choose};
use super::link::Registration;
use super::question::{Names, Round};
use crate::config::{DnsConfig, RouteMode};
use crate::model::HostName;

/// The version of this answer.
const SCHEMA: u32 = 1;

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
    pub(super) fn new(
        dns: &DnsConfig,
        resolver: Resolver,
        registered: Option<Registration>,
        names: &Names,
        round: &Round,
    ) -> Self {
        let Names { planned, without_answer } = names;
        let way = registered.as_ref().map(|told| told.way);
        let (told_servers, told_names) = registered.map(|told| (told.servers, told.names)).unwrap_or_default();
        let named: BTreeSet<HostName> = planned.union(without_answer).cloned().collect();
        let name = |name: &HostName| Name {
            name: name.clone(),
            planned: planned.contains(name),
            answers: round.names.contains(name),
            registered: told_names.contains(name),
        };
        let servers = choice::servers(&dns.listen);
        let server = |address: &SocketAddr| Server {
            address: *address,
            answers: round.servers.contains(address),
            registered: told_servers.contains(address),
        };
        let wanted = dns.publish && dns.route != RouteMode::None;
        let choice = choose(dns.route, resolver, &dns.listen);
        let obstacle = choice.as_ref().err().filter(|_| dns.publish).map(ToString::to_string);
        let chosen = choice.ok().filter(|_| wanted);
        let in_order = match chosen {
            Some(_) => way == chosen && told_names == *planned && !planned.is_empty() && round.names == *planned,
            None => way.is_none() && (!wanted || dns.route == RouteMode::Auto),
        };
        let advised = dns.publish && chosen.is_none() && !named.is_empty();
        Self {
            schema: SCHEMA,
            publish: dns.publish,
            wanted: label(dns.route),
            chosen,
            obstacle,
            registered: way,
            resolver,
            servers: servers.iter().map(server).collect(),
            names: named.union(&told_names).map(name).collect(),
            in_order,
            advice: servers.first().filter(|_| advised).map(|server| advice(&named, *server)),
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
        for Server { address, answers, registered } in &self.servers {
            let answers = if *answers { "answers" } else { "does not answer" };
            let registered = if *registered { "" } else { ", not registered" };
            say("stub", format!("{address} {answers}{registered}"));
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

    /// What a report is made of.
    #[derive(Debug, Clone)]
    struct Facts<'a> {
        dns: &'a DnsConfig,
        resolver: Resolver,
        registered: Option<Registration>,
        names: Names,
        round: Round,
    }

    fn facts(dns: &DnsConfig) -> Facts<'_> {
        let servers = dns.listen.clone();
        Facts {
            dns,
            resolver: Resolver { version: Some(257), active: true, used: true },
            registered: Some(Registration { way: Way::Resolved, servers: servers.clone(), names: names(&["a.x"]) }),
            names: Names { planned: names(&["a.x"]), without_answer: names(&[]) },
            round: Round { servers, names: names(&["a.x"]) },
        }
    }

    fn report(facts: Facts<'_>) -> RouteReport {
        RouteReport::new(facts.dns, facts.resolver, facts.registered, &facts.names, &facts.round)
    }

    #[test]
    fn all_is_in_order_only_if_all_is() {
        let auto = dns(true, RouteMode::Auto);
        let good = report(facts(&auto));
        assert!(good.in_order && good.advice.is_none());
        let said = good.text();
        assert!(said.contains("registered   resolved\nwanted       auto: resolved\n"), "{said}");
        assert!(said.contains("stub         127.0.0.153:53 answers\nname         a.x registered\n"), "{said}");
        let mut late = facts(&auto);
        late.names.without_answer = names(&["b.x"]);
        let late = report(late);
        assert!(late.in_order, "a name without an answer is the agent's trouble");
        assert!(late.text().contains("b.x not registered, the agent has no answer for it"), "{}", late.text());
        let planned = |all: &[&str]| Names { planned: names(all), ..Names::default() };
        let unserved = || Round { names: names(&[]), ..facts(&auto).round };
        let inactive = Resolver { active: false, ..facts(&auto).resolver };
        for bad in [
            Facts { registered: None, ..facts(&auto) },
            Facts { names: planned(&["a.x", "b.x"]), ..facts(&auto) },
            Facts { round: unserved(), ..facts(&auto) },
            Facts { names: planned(&[]), round: unserved(), ..facts(&auto) },
            Facts { resolver: inactive, ..facts(&auto) },
        ] {
            assert!(!report(bad.clone()).in_order, "{bad:?}");
        }
    }

    #[test]
    fn where_nothing_can_be_registered_the_admin_is_told_what_to_do() {
        let auto = dns(true, RouteMode::Auto);
        let none = Facts { resolver: Resolver::default(), registered: None, ..facts(&auto) };
        let nothing = report(none.clone());
        assert!(nothing.in_order, "auto means: if it can be");
        assert!(nothing.advice.is_some_and(|a| a.contains("server=/a.x/127.0.0.153#53")));
        let resolved = dns(true, RouteMode::Resolved);
        assert!(!report(Facts { dns: &resolved, ..none.clone() }).in_order, "this was asked for");
        let off = dns(false, RouteMode::Auto);
        let unpublished = report(Facts { dns: &off, ..none });
        assert!(unpublished.in_order && unpublished.advice.is_none() && unpublished.chosen.is_none());
        let left = report(Facts { dns: &off, ..facts(&auto) });
        assert!(!left.in_order && left.text().contains("nothing: [dns] publish is false"), "{}", left.text());
    }
}
