//! Which way to the stub this host has. Pure.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use crate::config::RouteMode;

/// The first systemd-resolved that reads `dns-delegate.d` (systemd.dns-delegate(5)).
const DELEGATES: u32 = 258;
/// The first that can be told to ask a link's servers for nothing but the link's own domains
/// (`resolvectl default-route`). Before it every query might reach the stub.
const DEFAULT_ROUTE: u32 = 240;
/// The first that takes a server's port from `resolvectl` (`SetLinkDNSEx`).
const PORTS: u32 = 246;
/// The port of DNS.
const DNS: u16 = 53;

/// Most names that one registration can have. The oldest systemd-resolved takes 256 domains a link
/// (`LINK_SEARCH_DOMAINS_MAX`), a delegate takes 1,024 (`DELEGATE_SEARCH_DOMAINS_MAX`).
#[must_use]
pub fn most_names(way: Way) -> usize {
    match way {
        Way::DnsDelegate => 1_024,
        Way::Resolved => 256,
    }
}

/// How systemd-resolved is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// A `dns-delegate.d` file.
    DnsDelegate,
    /// A link of its own with routing domains.
    Resolved,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DnsDelegate => "dns_delegate",
            Self::Resolved => "resolved",
        })
    }
}

/// What a host has for a resolver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Resolver {
    /// The version of `resolvectl`; `None` if there is none, or it says none.
    pub version: Option<u32>,
    /// systemd-resolved runs.
    pub active: bool,
    /// Programs of this host ask it: through `/etc/resolv.conf`, or by nsswitch.conf's `resolve`.
    pub used: bool,
}

/// Why a way is closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// `route = "none"`.
    #[error("[dns] route is \"none\"")]
    NotWanted,
    /// No `resolvectl`.
    #[error("there is no systemd-resolved on this host")]
    NoResolved,
    /// It is installed and does nothing.
    #[error("systemd-resolved does not run")]
    Inactive,
    /// It runs, and no program of this host asks it.
    #[error("systemd-resolved runs, but /etc/resolv.conf does not lead to it, nor does nsswitch.conf name `resolve`")]
    Unused,
    /// It lacks what we need.
    #[error("expected systemd-resolved {needed} or newer for {what}, found {found}")]
    TooOld {
        /// What for.
        what: &'static str,
        /// The first that has it.
        needed: u32,
        /// This host's.
        found: u32,
    },
}

/// The way for what the config wants. `auto` takes the link wherever it can be, for a delegate needs a reload of
/// systemd-resolved, which breaks off every lookup that is under way on any link, and empties all caches (so its
/// `manager_dispatch_reload_signal`; with 262 and four programs that look up without pause, 21 of 4,111 lookups fail in
/// 40 changes, and none of 9,842 while links come and go).
///
/// # Errors
/// What is in the way. With `auto` that is a finding, else the admin has asked for what can't be.
pub fn choose(wanted: RouteMode, seen: Resolver, listen: &[SocketAddr]) -> Result<Way, Obstacle> {
    if wanted == RouteMode::None {
        return Err(Obstacle::NotWanted);
    }
    let version = seen.version.ok_or(Obstacle::NoResolved)?;
    if !seen.active {
        return Err(Obstacle::Inactive);
    }
    if !seen.used && wanted == RouteMode::Auto {
        return Err(Obstacle::Unused);
    }
    let at_least = |needed, what| {
        if version >= needed { Ok(()) } else { Err(Obstacle::TooOld { what, needed, found: version }) }
    };
    if wanted == RouteMode::DnsDelegate {
        return at_least(DELEGATES, "dns-delegate.d").map(|()| Way::DnsDelegate);
    }
    at_least(DEFAULT_ROUTE, "a link that is asked for its own domains alone")?;
    if servers(listen).iter().any(|server| server.port() != DNS) {
        at_least(PORTS, "a server with a port other than 53")?;
    }
    Ok(Way::Resolved)
}

/// Where this host's own resolver asks: the loopback addresses, which are always there; without one, all. A bridge's
/// address is for those behind the bridge.
#[must_use]
pub(super) fn servers(listen: &[SocketAddr]) -> Vec<SocketAddr> {
    let loopback: Vec<SocketAddr> = listen.iter().copied().filter(|l| l.ip().is_loopback()).collect();
    if loopback.is_empty() { listen.to_vec() } else { loopback }
}

/// As resolved.conf(5) and `resolvectl dns` take it. Without its port where that is the usual one, so that old
/// versions understand it, too.
#[must_use]
pub(super) fn server_text(server: SocketAddr) -> String {
    if server.port() == DNS { server.ip().to_string() } else { server.to_string() }
}

/// What [`server_text`] wrote, and how systemd-resolved repeats it.
#[must_use]
pub(super) fn parse_server(text: &str) -> Option<SocketAddr> {
    // `#name` is the server's name for TLS, `%link` an interface: not ours.
    text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS)).or_else(|_| text.parse()).ok()
}

/// The version in the first line of `resolvectl --version`: `systemd 252 (252.39-1~deb12u1)`, `systemd 258~rc2`.
#[must_use]
pub(super) fn version(text: &str) -> Option<u32> {
    let rest = text.lines().next()?.strip_prefix("systemd ")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

/// Whether programs reach systemd-resolved: by a `nameserver` of resolv.conf that is its stub, or by `resolve` among
/// the sources of nsswitch.conf's `hosts`.
#[must_use]
pub(super) fn leads_to_resolved(resolv_conf: &str, nsswitch: &str) -> bool {
    fn words<'t>(text: &'t str, key: &str) -> impl Iterator<Item = &'t str> {
        let bare = text.lines().map(|line| line.split(['#', ';']).next().unwrap_or_default());
        bare.map(str::split_whitespace)
            .filter_map(move |mut words| (words.next() == Some(key)).then_some(words))
            .flatten()
    }
    let to_stub = words(resolv_conf, "nameserver").any(|word| matches!(word, "127.0.0.53" | "127.0.0.54"));
    to_stub || words(nsswitch, "hosts:").any(|word| word == "resolve")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [RouteMode; 4] = [RouteMode::Auto, RouteMode::DnsDelegate, RouteMode::Resolved, RouteMode::None];

    fn here(version: u32) -> Resolver {
        Resolver { version: Some(version), active: true, used: true }
    }

    fn listen(all: &[&str]) -> Vec<SocketAddr> {
        all.iter().map(|l| l.parse().unwrap()).collect()
    }

    #[test]
    fn the_best_way_of_each_version_is_taken() {
        let usual = listen(&["127.0.0.153:53"]);
        let old = |needed, what, found| Err(Obstacle::TooOld { what, needed, found });
        let link = "a link that is asked for its own domains alone";
        for (wanted, version, expected) in [
            (RouteMode::Auto, 239, old(240, link, 239)),
            (RouteMode::Auto, 240, Ok(Way::Resolved)),
            (RouteMode::Auto, 257, Ok(Way::Resolved)),
            (RouteMode::Auto, 262, Ok(Way::Resolved)),
            (RouteMode::Resolved, 260, Ok(Way::Resolved)),
            (RouteMode::DnsDelegate, 258, Ok(Way::DnsDelegate)),
            (RouteMode::DnsDelegate, 257, old(258, "dns-delegate.d", 257)),
            (RouteMode::None, 258, Err(Obstacle::NotWanted)),
        ] {
            assert_eq!(choose(wanted, here(version), &usual), expected, "{wanted:?} on {version}");
        }
        let other = listen(&["127.0.0.153:5353"]);
        assert_eq!(choose(RouteMode::Auto, here(245), &other), old(246, "a server with a port other than 53", 245));
        assert_eq!(choose(RouteMode::Auto, here(246), &other), Ok(Way::Resolved));
        // What its port is matters only where the resolver asks.
        assert_eq!(choose(RouteMode::Auto, here(245), &listen(&["10.0.0.1:5353", "[::1]:53"])), Ok(Way::Resolved));
    }

    #[test]
    fn a_resolver_that_nobody_asks_is_used_only_on_demand() {
        let usual = listen(&["127.0.0.153:53"]);
        let unused = Resolver { used: false, ..here(257) };
        assert_eq!(choose(RouteMode::Auto, unused, &usual), Err(Obstacle::Unused));
        assert_eq!(choose(RouteMode::Resolved, unused, &usual), Ok(Way::Resolved));
        for wanted in ALL.into_iter().filter(|w| *w != RouteMode::None) {
            assert_eq!(choose(wanted, Resolver { active: false, ..here(257) }, &usual), Err(Obstacle::Inactive));
            assert_eq!(choose(wanted, Resolver::default(), &usual), Err(Obstacle::NoResolved));
        }
    }

    #[test]
    fn the_resolver_asks_on_loopback_where_it_can() {
        let both = listen(&["172.17.0.1:53", "127.0.0.153:53", "[::1]:53"]);
        assert_eq!(servers(&both), listen(&["127.0.0.153:53", "[::1]:53"]));
        assert_eq!(servers(&both[..1]), both[..1]);
    }

    #[test]
    fn versions_are_read_whatever_the_distribution_adds() {
        for (text, found) in [
            ("systemd 252 (252.39-1~deb12u1)\n+PAM +AUDIT", Some(252)),
            ("systemd 258~rc2", Some(258)),
            ("systemd 239 (239-82.el8)", Some(239)),
            ("systemd v252", None),
            ("systemd ", None),
            ("systemd 99999999999", None),
            ("resolvconf 252", None),
            ("", None),
        ] {
            assert_eq!(version(text), found, "{text:?}");
        }
    }

    #[test]
    fn who_reaches_resolved_is_read_off_two_files() {
        for (resolv, nsswitch, leads) in [
            ("nameserver 127.0.0.53\noptions edns0", "", true),
            ("# nameserver 127.0.0.53\nnameserver 100.100.2.136", "hosts: files dns", false),
            ("nameserver 100.100.2.136", "hosts:\tfiles resolve [!UNAVAIL=return] dns # best", true),
            ("nameserver 127.0.0.1", "passwd: resolve\nhosts: files dns # resolve", false),
            ("nameserver 127.0.0.54 ; its proxy", "", true),
            ("", "", false),
        ] {
            assert_eq!(leads_to_resolved(resolv, nsswitch), leads, "{resolv:?} {nsswitch:?}");
        }
    }

    proptest! {
        #[test]
        fn a_server_is_read_as_it_is_written(ip: IpAddr, port: u16) {
            let server = SocketAddr::new(ip, port);
            prop_assert_eq!(parse_server(&server_text(server)), Some(server));
        }

        /// Nothing is registered that is not wanted or not there, and a version that can do more never gets less.
        #[test]
        fn choices_are_sound(wanted in 0..4_usize, version in 230..270_u32, used: bool, port in 1..u16::MAX) {
            let (wanted, at) = (ALL[wanted], [SocketAddr::from(([127, 0, 0, 153], port))]);
            let chosen = |version| choose(wanted, Resolver { used, ..here(version) }, &at);
            match chosen(version) {
                Ok(Way::DnsDelegate) => prop_assert!(version >= 258 && wanted == RouteMode::DnsDelegate),
                Ok(Way::Resolved) => prop_assert!(version >= 240 && wanted != RouteMode::DnsDelegate),
                Err(_) => {}
            }
            prop_assert!(wanted != RouteMode::None || chosen(version).is_err());
            prop_assert!(chosen(version).is_err() || chosen(version + 1).is_ok());
        }

        #[test]
        fn no_text_is_too_strange(text: String) {
            let _ = (version(&text), parse_server(&text), leads_to_resolved(&text, &text));
        }
    }
}
