//! The link of our own: what `ip` and `resolvectl` are told, and what the latter says of it. Pure.
//!
//! systemd-resolved before 258 knows servers that are asked for some domains only as servers of a link. A global
//! `Domains=~name` routes our names to the stub and every other query, too, whatever the links have (measured with 252
//! and 257): so a link, whose `default-route no` keeps everything else away. It carries no packet; its one address,
//! 192.0.0.8/32, is what RFC 7600 sets aside for such a thing, and makes systemd-resolved take the link for one that
//! works.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::choice::{Way, parse_server, server_text};
use crate::model::HostName;

/// The link; at most 15 characters.
pub(super) const LINK: &str = "privatelinkd";
/// Its other end, where it is a pair.
const PEER: &str = "privatelinkd-p";
const ADDRESS: &str = "192.0.0.8/32";

/// iproute2.
const IP: &str = "ip";
/// Of systemd-resolved.
pub(super) const RESOLVECTL: &str = "resolvectl";

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) program: &'static str,
    pub(super) arguments: Vec<String>,
    /// Whether the rest makes sense without it.
    pub(super) needed: bool,
}

/// What is registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Registration {
    pub(super) way: Way,
    /// The addresses that systemd-resolved asks.
    pub(super) servers: Vec<SocketAddr>,
    /// For which names.
    pub(super) names: BTreeSet<HostName>,
}

pub(super) fn step(program: &'static str, arguments: &[&str]) -> Step {
    Step { program, arguments: arguments.iter().map(|a| (*a).to_owned()).collect(), needed: true }
}

fn if_possible(step: Step) -> Step {
    Step { needed: false, ..step }
}

/// Makes the link: the best kind first, each a list of steps of which all must succeed.
pub(super) fn make() -> [Vec<Step>; 2] {
    [
        vec![step(IP, &["link", "add", LINK, "type", "dummy"])],
        // A kernel without the driver of dummies.
        vec![
            step(IP, &["link", "add", LINK, "type", "veth", "peer", "name", PEER]),
            if_possible(step(IP, &["link", "set", PEER, "addrgenmode", "none"])),
            step(IP, &["link", "set", PEER, "up"]),
        ],
    ]
}

/// Makes it what it should be, whatever it is. Servers come last: without one it asks nothing, and by then it is
/// settled what for.
pub(super) fn furnish(names: &BTreeSet<HostName>, servers: &[SocketAddr]) -> Vec<Step> {
    let list = |verb: &str, values: Vec<String>| {
        let head = [verb.to_owned(), LINK.to_owned()];
        Step { program: RESOLVECTL, arguments: head.into_iter().chain(values).collect(), needed: true }
    };
    vec![
        if_possible(step(IP, &["link", "set", LINK, "addrgenmode", "none"])),
        step(IP, &["address", "replace", ADDRESS, "dev", LINK, "scope", "global"]),
        step(IP, &["link", "set", LINK, "up"]),
        step(RESOLVECTL, &["default-route", LINK, "no"]),
        if_possible(step(RESOLVECTL, &["llmnr", LINK, "no"])),
        if_possible(step(RESOLVECTL, &["mdns", LINK, "no"])),
        // The stub signs nothing and speaks no TLS, whatever resolved.conf wants of others.
        if_possible(step(RESOLVECTL, &["dnssec", LINK, "no"])),
        if_possible(step(RESOLVECTL, &["dnsovertls", LINK, "no"])),
        list("domain", names.iter().map(|name| format!("~{name}")).collect()),
        list("dns", servers.iter().map(|server| server_text(*server)).collect()),
    ]
}

/// Takes it away, and with it all that systemd-resolved knows of it.
pub(super) fn unmake() -> Step {
    step(IP, &["link", "delete", LINK])
}

/// Asks what is registered.
pub(super) fn ask() -> [Step; 2] {
    [step(RESOLVECTL, &["dns", LINK]), step(RESOLVECTL, &["domain", LINK])]
}

/// What [`ask`] was answered: `Link 5 (privatelinkd): ~a.example.com ~b.example.com`, on one line or several.
pub(super) fn answered(dns: &str, domain: &str) -> Registration {
    fn words(text: &str) -> impl Iterator<Item = &str> {
        text.split_once("): ").map_or("", |(_, values)| values).split_whitespace()
    }
    Registration {
        way: Way::Resolved,
        servers: words(dns).filter_map(parse_server).collect(),
        names: words(domain).filter_map(|word| word.strip_prefix('~')?.parse().ok()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_server_comes_after_everything_that_limits_it() {
        let steps = furnish(&["a.x".parse().unwrap()].into(), &["127.0.0.153:53".parse().unwrap()]);
        let said: Vec<String> = steps.iter().map(|step| step.arguments.join(" ")).collect();
        let at = |text: &str| said.iter().position(|s| s == text).unwrap_or_else(|| panic!("{text} in {said:?}"));
        let last = at("dns privatelinkd 127.0.0.153");
        assert_eq!(last, said.len() - 1);
        assert!(at("default-route privatelinkd no") < last && at("domain privatelinkd ~a.x") < last);
        assert!(steps[at("default-route privatelinkd no")].needed, "else every query might reach the stub");
        assert!(LINK.len() <= 15 && PEER.len() <= 15);
    }

    #[test]
    fn what_resolvectl_says_is_understood() {
        let registered =
            answered("Link 5 (privatelinkd): 127.0.0.153 [::1]:5353\n", "Link 5 (privatelinkd): ~a.x\n  ~b.x c.x\n");
        assert_eq!(registered.servers, ["127.0.0.153:53".parse().unwrap(), "[::1]:5353".parse().unwrap()]);
        assert_eq!(registered.names, ["a.x", "b.x"].map(|n| n.parse().unwrap()).into());
        let nothing = answered("Link 5 (privatelinkd):\n", "");
        assert!(nothing.servers.is_empty() && nothing.names.is_empty());
    }

    proptest! {
        #[test]
        fn nothing_that_resolvectl_says_is_too_strange(dns: String, domain: String) {
            let _ = answered(&dns, &domain);
        }

        /// Names never grow into options or other words.
        #[test]
        fn a_name_is_one_word(names in proptest::collection::btree_set("[a-z0-9]{1,9}\\.[a-z0-9]{1,9}", 0..300)) {
            let names: BTreeSet<HostName> = names.iter().map(|n| n.parse().unwrap()).collect();
            let steps = furnish(&names, &[]);
            let domain = steps.iter().find(|s| s.arguments[0] == "domain").unwrap();
            prop_assert_eq!(domain.arguments.len(), 2 + names.len());
            prop_assert!(domain.arguments[2..].iter().all(|a| a.starts_with('~') && !a.contains(char::is_whitespace)));
        }
    }
}
