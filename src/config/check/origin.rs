//! Origins: scheme, host and port of a URL.

use std::net::IpAddr;

use super::context::{Bad, Read};
use super::read;
use crate::config::raw::Node;
use crate::model::HostName;

/// Which origins a key takes.
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
