//! `[cloud]`

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::section::{Bad, Read, Section};
use super::{CheckContext, credentials, read};
use crate::config::CloudConfig;
use crate::config::raw::Node;
use crate::model::HostName;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// The port of a resolver that names none.
const DNS: u16 = 53;

/// `[cloud]`
pub(super) fn cloud(mut section: Section, context: &mut CheckContext<'_>) -> Option<CloudConfig> {
    let written = section.has("api_endpoint");
    let api_endpoint = section.take(context, "api_endpoint", |n| origin(n, Scheme::Https));
    let metadata_endpoint = section.take(context, "metadata_endpoint", |n| origin(n, Scheme::Http));
    let refresh_interval = section.take(context, "refresh_interval", |n| read::duration(n, SECOND..=DAY));
    let dns_interval = section.take(context, "dns_interval", |n| read::duration(n, SECOND..=60 * MINUTE));
    let resolvers = section.take(context, "resolvers", |n| read::filled_list(n, resolver));
    let connect_timeout = section.take(context, "connect_timeout", |n| read::duration(n, SECOND / 10..=MINUTE));
    let read_timeout = section.take(context, "read_timeout", |n| read::duration(n, SECOND / 10..=MINUTE));
    let gone_grace = section.take(context, "gone_grace", |n| read::duration(n, Duration::ZERO..=7 * DAY));
    let credentials = credentials::credentials(section.section(context, "credentials"), context);
    section.finish(context);
    Some(CloudConfig {
        api_endpoint: if written { Some(api_endpoint?.value) } else { None },
        metadata_endpoint: metadata_endpoint?.value,
        refresh_interval: refresh_interval?.value,
        dns_interval: dns_interval?.value,
        resolvers: resolvers?.value.into_iter().map(|r| r.value).collect(),
        connect_timeout: connect_timeout?.value,
        read_timeout: read_timeout?.value,
        gone_grace: gone_grace?.value,
        credentials: credentials?,
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// TLS, because a token of temporary credentials goes with each call; plain HTTP only to this host itself.
    Https,
    /// The metadata server speaks nothing else.
    Http,
}

/// Scheme, host and port: what a URL says before its path.
pub(super) fn origin(node: &Node, scheme: Scheme) -> Read<String> {
    let expected = match scheme {
        Scheme::Https => "an https URL without a path, such as \"https://privatelink.cn-hangzhou.aliyuncs.com\"",
        Scheme::Http => "a URL without a path, such as \"http://100.100.100.200\"",
    };
    let refuse = || vec![Bad::new(expected, node)];
    let text = read::text(node).map_err(|_| refuse())?;
    let text = text.strip_suffix('/').unwrap_or(text);
    let (secure, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return Err(refuse()),
    };
    let host = host_of(rest).ok_or_else(refuse)?;
    let loopback = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if !secure && scheme == Scheme::Https && !loopback {
        return Err(vec![Bad::new(expected, node).help("plain HTTP is for a stand-in on a loopback address")]);
    }
    Ok(text.to_owned())
}

/// The host of `host`, `host:port` or `[address]:port`, if that is what it is.
pub(super) fn host_of(text: &str) -> Option<&str> {
    let port = |port: &str| port.parse::<u16>().is_ok_and(|port| port != 0);
    let (host, rest) = match text.strip_prefix('[') {
        Some(inner) => inner.split_once(']').filter(|(host, _)| host.parse::<std::net::Ipv6Addr>().is_ok())?,
        None => text.find(':').map_or((text, ""), |at| text.split_at(at)),
    };
    let good_host = host.parse::<IpAddr>().is_ok() || host.parse::<HostName>().is_ok();
    let good_port = rest.is_empty() || rest.strip_prefix(':').is_some_and(port);
    (good_host && good_port).then_some(host)
}

/// An address of a resolver; without a port it is that of DNS.
pub(super) fn resolver(node: &Node) -> Read<SocketAddr> {
    let expected = "the address of a resolver, such as \"100.100.2.136\" or \"127.0.0.53:53\"";
    let text = node.text().unwrap_or_default();
    let address = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS)).or_else(|_| text.parse());
    let usable = |a: &SocketAddr| a.port() != 0 && !a.ip().is_unspecified() && !a.ip().is_multicast();
    address.ok().filter(usable).ok_or_else(|| vec![Bad::new(expected, node)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_origin_is_found() {
        for (text, host) in [
            ("a.example.com", Some("a.example.com")),
            ("127.0.0.1:8080", Some("127.0.0.1")),
            ("[::1]:80", Some("::1")),
            ("[::1]", Some("::1")),
            ("a.example.com/path", None),
            ("a.example.com:0", None),
            ("a.example.com:x", None),
            ("user@a.example.com", None),
            ("[a]:80", None),
            ("[::1]x", None),
            ("", None),
        ] {
            assert_eq!(host_of(text), host, "{text}");
        }
    }
}
