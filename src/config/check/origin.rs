//! Origins: scheme, host and port of a URL.

use std::net::IpAddr;

use super::context::{Bad, Read};
use super::read;
use crate::config::raw::Node;
pub(super) use crate::model::host_of;

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
