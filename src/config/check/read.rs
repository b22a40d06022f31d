//! Readers: from a node of the tree to a value of the right type, or everything that is wrong with it.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

use super::context::{Bad, Located, Read, Slips};
use super::slips;
use crate::config::keys;
use crate::config::raw::{Hidden, Node, Origin, Table, Value, written_order};
use crate::config::source_text::quote;
use crate::model::secret_parts::of_url;
use crate::model::{EndpointId, HostName, NameError, ZoneId};

/// The port of a resolver that names none.
const DNS_PORT: u16 = 53;

fn bad<T>(expected: impl Into<String>, node: &Node) -> Read<T> {
    Err(vec![Bad::new(expected, node)])
}

/// `true` or `false`.
pub(super) fn boolean(node: &Node) -> Read<bool> {
    if let Value::Bool(b) = node.value { Ok(b) } else { bad("true or false, without quotes", node) }
}

/// A string.
pub(super) fn text(node: &Node) -> Read<&str> {
    node.text().map_or_else(|| bad("a string", node), Ok)
}

/// A string that is `good`.
pub(super) fn text_that(node: &Node, expected: impl Into<String>, good: impl Fn(&str) -> bool) -> Read<String> {
    match node.text() {
        Some(text) if good(text) => Ok(text.to_owned()),
        _ => bad(expected, node),
    }
}

/// A string that is neither empty nor longer than `most` bytes, without NUL.
pub(super) fn bounded_text(node: &Node, most: usize) -> Read<String> {
    match text(node)? {
        text if text.len() <= most && !text.contains('\0') => Ok(text.to_owned()),
        _ => bad(format!("a string of at most {most} bytes, without NUL"), node),
    }
}

/// An integer in a range.
pub(super) fn integer<T: TryFrom<i64>>(node: &Node, range: RangeInclusive<i64>) -> Read<T> {
    match node.value {
        Value::Integer(Some(i)) if range.contains(&i) => T::try_from(i).or_else(|_| bad("an integer", node)),
        _ => bad(format!("an integer from {} to {}", range.start(), range.end()), node),
    }
}

/// A duration in a range.
pub(super) fn duration(node: &Node, range: RangeInclusive<Duration>) -> Read<Duration> {
    let (min, max) = (humantime::format_duration(*range.start()), humantime::format_duration(*range.end()));
    match node.text().map(humantime::parse_duration) {
        Some(Ok(d)) if range.contains(&d) => Ok(d),
        Some(Ok(_)) => bad(format!("a duration from {min} to {max}"), node),
        _ => bad("a duration in quotes, such as \"5s\" or \"500ms\"", node),
    }
}

/// One of a few words.
pub(super) fn word<T: Copy>(node: &Node, words: &[(&str, T)]) -> Read<T> {
    if let Some((_, value)) = words.iter().find(|(word, _)| node.text() == Some(word)) {
        return Ok(*value);
    }
    let quoted: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
    let near = node.text().and_then(|t| keys::nearest(t, words.iter().map(|(word, _)| *word)));
    let bad = Bad::new(format!("one of {}", quoted.join(", ")), node);
    let help = near.map(|near| format!("did you mean \"{near}\"?"));
    Err(vec![bad.or_help(help)])
}

/// The word for a value, in quotes.
pub(super) fn quoted_word<T: PartialEq>(words: &[(&str, T)], value: &T) -> String {
    quote(words.iter().find(|(_, other)| other == value).map_or("another", |(word, _)| word))
}

/// A list, each element read by `read`.
pub(super) fn list<T>(node: &Node, mut read: impl FnMut(&Node) -> Read<T>) -> Read<Vec<Located<T>>> {
    let Value::List(items) = &node.value else { return bad("a list in brackets", node) };
    let (mut values, mut complaints) = (Vec::new(), Vec::new());
    for item in items {
        match read(item) {
            Ok(value) => values.push(Located { value, at: item.at.clone() }),
            Err(more) => complaints.extend(more),
        }
    }
    if complaints.is_empty() { Ok(values) } else { Err(complaints) }
}

/// Two values, or everything that is wrong with either.
pub(super) fn both<A, B>(a: Read<A>, b: Read<B>) -> Read<(A, B)> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (a, b) => Err(a.err().into_iter().chain(b.err()).flatten().collect()),
    }
}

/// A list of at least one element.
pub(super) fn filled_list<T>(node: &Node, read: impl FnMut(&Node) -> Read<T>) -> Read<Vec<Located<T>>> {
    match &node.value {
        Value::List(items) if items.is_empty() => Err(vec![Bad::found_at(&node.at, "at least one", "an empty list")]),
        _ => list(node, read),
    }
}

/// An absolute path without detours, so that paths can be compared by their parts.
pub(super) fn path(node: &Node) -> Read<PathBuf> {
    const LONGEST: usize = 4_000;
    let text = text(node)?;
    let path = Path::new(text);
    let straight = path.components().all(|c| matches!(c, Component::RootDir | Component::Normal(_)));
    let clean = !text.chars().any(char::is_control) && text.len() <= LONGEST;
    if path.is_absolute() && straight && clean && !text.contains("/./") {
        return Ok(path.to_owned());
    }
    bad("an absolute path without `..`", node)
}

/// One of the model's own text types.
pub(super) fn name<T: FromStr<Err = NameError>>(node: &Node, what: &str) -> Read<T> {
    let text = text(node).map_err(|_| vec![Bad::new(what, node)])?;
    text.parse().or_else(|error: NameError| {
        // "expected X, found Y" of the model, with ours around it.
        let message = error.to_string();
        let rule = message.split(", found ").next().unwrap_or_default().trim_start_matches("expected ");
        bad(format!("{what}: {rule}"), node)
    })
}

/// What was read, or what is wrong with it, with the `help` for a slip that is known.
fn helped<T>(read: Read<T>, node: &Node, help: fn(&str) -> Option<String>) -> Read<T> {
    let help = || node.text().and_then(help);
    read.map_err(|all| all.into_iter().map(|bad| bad.or_help(help())).collect())
}

/// A zone id.
pub(super) fn zone_id(node: &Node, slips: &Slips<'_>) -> Read<ZoneId> {
    if node.text() == Some("unknown") {
        return bad("a zone id; \"unknown\" is our word for zones without one", node);
    }
    let zone: ZoneId = name(node, "a zone id")?;
    let slip = slips::region_for_zone(zone.as_str()).map(|help| Bad::new("a zone id, not a region's", node).help(help));
    slips.weigh(zone, slip)
}

/// The cloud's id of an endpoint.
pub(super) fn endpoint_id(node: &Node) -> Read<EndpointId> {
    helped(name(node, "an endpoint id"), node, slips::endpoint_id)
}

/// A host name, no address.
pub(super) fn host_name(node: &Node, slips: &Slips<'_>) -> Read<HostName> {
    let name: HostName = helped(name(node, "a host name"), node, slips::host_name)?;
    if is_address(name.as_str()) {
        return bad("a host name, not an address", node);
    }
    let id = slips::id_for_host_name(name.as_str());
    let slip = id.map(|help| Bad::new("the host name of an endpoint", node).help(help));
    slips.weigh(name, slip)
}

/// True for names that resolvers take for addresses: those that end in a label of digits.
pub(super) fn is_address(name: &str) -> bool {
    name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()))
}

/// An IP address.
pub(super) fn address(node: &Node) -> Read<IpAddr> {
    match node.text().map(str::parse) {
        Some(Ok(IpAddr::V6(v6))) if v6.to_ipv4_mapped().is_some() => {
            Err(vec![Bad::new("an IPv4 address in its own form", node).help("write it without ::ffff:")])
        }
        Some(Ok(address)) => Ok(address),
        _ => helped(bad("an IP address", node), node, slips::address),
    }
}

/// A network, written with the bits of the host part at zero.
pub(super) fn network(node: &Node) -> Read<IpNet> {
    let parsed: Option<IpNet> = node.text().and_then(|t| t.parse().ok());
    let single: Option<IpAddr> = node.text().and_then(|t| t.parse().ok());
    let complaint = Bad::new("a network such as \"10.0.0.0/8\"", node);
    match (parsed, single) {
        (Some(net), _) if net.trunc() == net => Ok(net),
        (Some(net), _) => Err(vec![complaint.help(format!("did you mean \"{}\"?", net.trunc()))]),
        (None, Some(ip)) => Err(vec![complaint.help(format!("a single address is \"{}\"", IpNet::from(ip)))]),
        (None, None) => Err(vec![complaint]),
    }
}

/// A listen address; `None` for the empty string.
pub(super) fn listen(node: &Node) -> Read<Option<SocketAddr>> {
    match node.text() {
        Some("") => Ok(None),
        Some(text) if text.parse::<SocketAddr>().is_ok() => Ok(text.parse().ok()),
        _ => bad("an address and port such as \"127.0.0.1:9965\", or \"\" for off", node),
    }
}

/// A table's keys, as nodes of their own, and values, as they were written down.
pub(super) fn named_values(table: &Table) -> Vec<(Node, &Node)> {
    let key = |name: &str, at: &Option<Origin>| Node {
        hidden: Hidden::of(of_url(name)),
        ..Node::new(at.clone(), Value::Text(name.to_owned()))
    };
    written_order(table).into_iter().map(|(name, e)| (key(name, &e.key), &e.node)).collect()
}

/// An address of a resolver; without a port it is that of DNS.
pub(super) fn resolver(node: &Node) -> Read<SocketAddr> {
    let expected = "the address of a resolver, such as \"100.100.2.136\" or \"127.0.0.53:53\"";
    let text = node.text().unwrap_or_default();
    let address = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS_PORT)).or_else(|_| text.parse());
    let usable = |a: &SocketAddr| a.port() != 0 && !a.ip().is_unspecified() && !a.ip().is_multicast();
    address.ok().filter(usable).map_or_else(|| bad(expected, node), Ok)
}
