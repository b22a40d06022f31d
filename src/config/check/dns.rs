//! `[dns]`

use std::net::SocketAddr;
use std::time::Duration;

use super::context::{Bad, Located, Read, values};
use super::read;
use super::section::Section;
use crate::config::raw::Node;
use crate::config::source_text::quote;
use crate::config::types::{DnsConfig, RouteMode};

/// A stub that is asked anew for each connection is cheap; one that is not asked for an hour moves no client.
const LONGEST_TTL: Duration = Duration::from_secs(3600);

const ROUTES: &[(&str, RouteMode)] = &[
    ("auto", RouteMode::Auto),
    ("dns_delegate", RouteMode::DnsDelegate),
    ("resolved", RouteMode::Resolved),
    ("none", RouteMode::None),
];

/// `[dns]`
pub(super) fn dns(mut section: Section<'_>) -> Option<DnsConfig> {
    let publish = section.value("publish", read::boolean);
    let listen = section.value("listen", |n| read::filled_list(n, listen));
    let ttl = section.value("ttl", ttl);
    let route = section.value("route", |n| read::word(n, ROUTES));
    let forward = section.value("forward", |n| read::list(n, read::resolver));
    section.finish();
    let (listen, forward) = (listen?, forward?);
    each_once(&section, "listen", &listen);
    each_once(&section, "forward", &forward);
    for loops in forward.iter().filter(|f| listen.iter().any(|l| l.value == f.value)) {
        let help = "queries for other names would go round in circles";
        let found = format!("{}, where the stub itself listens", quote(&loops.value.to_string()));
        section.complain("forward", loops.bad("another resolver", found).help(help));
    }
    Some(DnsConfig { publish: publish?, listen: values(&listen), ttl: ttl?, route: route?, forward: values(&forward) })
}

/// One address of this host, present or to come: from a wildcard address an answer might leave with another one than
/// was asked.
fn listen(node: &Node) -> Read<SocketAddr> {
    let expected = "one address of this host, with or without a port, such as \"127.0.0.153:53\"";
    read::resolver(node).map_err(|_| vec![Bad::new(expected, node)])
}

/// The wire knows whole seconds.
fn ttl(node: &Node) -> Read<Duration> {
    let ttl = read::duration(node, Duration::ZERO..=LONGEST_TTL)?;
    if ttl.subsec_nanos() == 0 { Ok(ttl) } else { Err(vec![Bad::new("a duration of whole seconds", node)]) }
}

fn each_once(section: &Section<'_>, name: &str, all: &[Located<SocketAddr>]) {
    for (i, address) in all.iter().enumerate() {
        if all[..i].iter().any(|other| other.value == address.value) {
            section.complain(name, address.bad("each address once", quote(&address.value.to_string())));
        }
    }
}
