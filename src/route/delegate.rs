//! The `dns-delegate.d` file. Pure.
//!
//! systemd.dns-delegate(5), systemd 258 and newer: a scope of its own with servers and domains, apart from every link.
//! A domain with `~` only routes, and is not searched; without `DefaultRoute=` nothing else is asked of these servers.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::choice::{Way, parse_server, server_text};
use super::link::Registration;
use crate::model::HostName;

/// The file's name.
pub(super) const FILE: &str = "privatelinkd.dns-delegate";

/// The whole file. One name a line: people read it.
pub(super) fn text(names: &BTreeSet<HostName>, servers: &[SocketAddr]) -> String {
    let servers: Vec<String> = servers.iter().map(|server| server_text(*server)).collect();
    let domains: String = names.iter().map(|name| format!("Domains=~{name}\n")).collect();
    format!(
        "# By privatelinkd-route.service; `privatelinkd route remove` takes it away.\n\
         [Delegate]\nDNS={}\nDefaultRoute=no\n{domains}",
        servers.join(" ")
    )
}

/// What such a file registers; what is not understood is left out.
pub(super) fn parse(text: &str) -> Registration {
    let values = |key: &'static str| {
        let lines = text.lines().filter_map(move |line| line.trim().strip_prefix(key));
        lines.flat_map(str::split_whitespace)
    };
    Registration {
        way: Way::DnsDelegate,
        servers: values("DNS=").filter_map(parse_server).collect(),
        names: values("Domains=").filter_map(|word| word.strip_prefix('~')?.parse().ok()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_file_is_what_the_manual_shows() {
        let names = ["b.example.com", "a.example.com"].map(|n| n.parse().unwrap()).into();
        let servers = ["127.0.0.153:53", "[::1]:5353"].map(|s| s.parse().unwrap());
        let expected = "# By privatelinkd-route.service; `privatelinkd route remove` takes it away.\n[Delegate]\n\
                        DNS=127.0.0.153 [::1]:5353\nDefaultRoute=no\nDomains=~a.example.com\nDomains=~b.example.com\n";
        assert_eq!(text(&names, &servers), expected);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(names in names(), servers in proptest::collection::vec(any::<SocketAddr>(), 0..4)) {
            // A scope of an IPv6 address is of this host alone, and is never configured.
            let servers: Vec<SocketAddr> = servers.into_iter().map(|s| SocketAddr::new(s.ip(), s.port())).collect();
            let text = text(&names, &servers);
            prop_assert_eq!(parse(&text), Registration { way: Way::DnsDelegate, servers, names });
            prop_assert!(text.lines().all(|line| line.len() < 2_000 || line.starts_with("DNS=")));
        }

        #[test]
        fn no_file_is_too_strange(text: String) {
            let _ = parse(&text);
        }
    }

    fn names() -> impl Strategy<Value = BTreeSet<HostName>> {
        let name = "[a-z0-9]{1,20}(\\.[a-z0-9]{1,20}){1,5}";
        proptest::collection::btree_set(name.prop_filter_map("a name", |n| n.parse().ok()), 0..40)
    }
}
