//! `[dns]`

use std::net::SocketAddr;
use std::time::Duration;

use super::context::{Bad, CheckContext, Located, Read};
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
pub(super) fn dns(mut section: Section, context: &mut CheckContext<'_>) -> Option<DnsConfig> {
    let publish = section.value(context, "publish", read::boolean);
    let listen = section.value(context, "listen", |n| read::filled_list(n, listen));
    let ttl = section.value(context, "ttl", ttl);
    let route = section.value(context, "route", |n| read::word(n, ROUTES));
    let forward = section.value(context, "forward", |n| read::list(n, read::resolver));
    section.finish(context);
    let (listen, forward) = (listen?, forward?);
    each_once("dns.listen", &listen, context);
    each_once("dns.forward", &forward, context);
    for loops in forward.iter().filter(|f| listen.iter().any(|l| l.value == f.value)) {
        let help = "queries for other names would go round in circles";
        let found = format!("{}, where the stub itself listens", quote(&loops.value.to_string()));
        let bad =
            Bad { expected: "another resolver".to_owned(), found, help: Some(help.to_owned()), at: loops.at.clone() };
        context.complain("dns.forward", bad);
    }
    let values = |all: Vec<Located<SocketAddr>>| all.into_iter().map(|l| l.value).collect();
    Some(DnsConfig { publish: publish?, listen: values(listen), ttl: ttl?, route: route?, forward: values(forward) })
}

/// One address of this host, present or to come: from a wildcard address an answer might leave with another one than
/// was asked.
fn listen(node: &Node) -> Read<SocketAddr> {
    match read::resolver(node) {
        Ok(address) => Ok(address),
        Err(_) => {
            let expected = "one address of this host, with or without a port, such as \"127.0.0.153:53\"";
            Err(vec![Bad::new(expected, node)])
        }
    }
}

/// The wire knows whole seconds.
fn ttl(node: &Node) -> Read<Duration> {
    let ttl = read::duration(node, Duration::ZERO..=LONGEST_TTL)?;
    if ttl.subsec_nanos() == 0 { Ok(ttl) } else { Err(vec![Bad::new("a duration of whole seconds", node)]) }
}

fn each_once(key: &str, all: &[Located<SocketAddr>], context: &mut CheckContext<'_>) {
    for (i, address) in all.iter().enumerate() {
        if all[..i].iter().any(|other| other.value == address.value) {
            let expected = "each address once".to_owned();
            let found = quote(&address.value.to_string());
            context.complain(key, Bad { expected, found, help: None, at: address.at.clone() });
        }
    }
}
