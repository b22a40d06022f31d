//! What people write in the place of a name, an id or an address, and what to tell them: pure functions of the text.

use std::net::IpAddr;

use crate::config::source_text::quote;
use crate::model::{EndpointId, HostName};

/// How the cloud calls a service that endpoints lead to.
const SERVICE_NAME: &str = "com.aliyuncs.privatelink.";
const SERVICE_ID: &str = "epsrv-";
const ENDPOINT_ID: &str = "ep-";

const IS_SERVICE: &str = "that is the service; the endpoint's id begins with \"ep-\": `privatelinkd init` lists those \
                          of your VPC, and so does the console under PrivateLink, Endpoints";

/// In the place of an endpoint's id.
pub(super) fn endpoint_id(text: &str) -> Option<String> {
    if is_service(text) {
        return Some(IS_SERVICE.to_owned());
    }
    if text.starts_with(ENDPOINT_ID) && text.contains('.') {
        return Some("that is the endpoint's domain: write it as `domain`".to_owned());
    }
    let trimmed = text.trim();
    (trimmed != text && trimmed.parse::<EndpointId>().is_ok()).then(|| format!("write {}", quote(trimmed)))
}

/// In the place of a host name, where the text can't be one.
pub(super) fn host_name(text: &str) -> Option<String> {
    let Some(host) = host_of(text) else { return punycode(text) };
    let has_more = text.contains("://") || text.contains([':', '/']);
    let rest =
        if has_more { "; the port and the path belong to the `port` and `path` of [endpoint.probe]" } else { "" };
    Some(format!("write {}{rest}", quote(&host)))
}

/// A name in letters of its own language: resolvers know it by its other form (RFC 5891).
fn punycode(text: &str) -> Option<String> {
    const LONGEST: usize = 1_000;
    if text.len() > LONGEST {
        return None;
    }
    let ascii =
        idna::domain_to_ascii(text).ok().filter(|ascii| !text.is_ascii() && ascii.parse::<HostName>().is_ok())?;
    Some(format!("write {}, the form in which resolvers ask for it", quote(&ascii)))
}

/// In the place of a host name, where the text could be one.
pub(super) fn id_for_host_name(text: &str) -> Option<String> {
    if text.starts_with(SERVICE_NAME) || (text.starts_with(SERVICE_ID) && !text.contains('.')) {
        return Some(IS_SERVICE.to_owned());
    }
    let is_id = text.starts_with(ENDPOINT_ID) && !text.contains('.');
    is_id.then(|| "that is the endpoint's id: write it as `id`".to_owned())
}

/// In the place of an address.
pub(super) fn address(text: &str) -> Option<String> {
    let host = host_of(text).unwrap_or_else(|| text.to_owned());
    if host.parse::<IpAddr>().is_ok() {
        let port = if text.contains("://") || text.contains(':') && !text.contains('/') {
            "; the port belongs to the `port` of [endpoint.probe]"
        } else {
            ""
        };
        return Some(format!("write {}{port}", quote(&host)));
    }
    let is_name = host.parse::<HostName>().is_ok_and(|name| !name.is_single_label());
    let all_digits = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    (is_name && !all_digits).then(|| {
        "that is a name: the endpoint's own goes into `domain`, those that are to lead to it into `private_dns`"
            .to_owned()
    })
}

/// A region in the place of a zone.
pub(super) fn region_for_zone(text: &str) -> Option<String> {
    is_region(text).then(|| {
        let letter = if text.ends_with(|c: char| c.is_ascii_digit()) { "a" } else { "-h" };
        format!(
            "a zone's id ends in its letter, such as {}; the region goes into host.region",
            quote(&format!("{text}{letter}"))
        )
    })
}

/// A zone's letter without its region.
pub(super) fn part_of_a_zone(text: &str) -> Option<String> {
    let help = "write the region before it, such as \"cn-hangzhou-h\"; without `zone` the host's metadata tells it";
    (!text.contains('-')).then(|| help.to_owned())
}

fn is_service(text: &str) -> bool {
    text.starts_with(SERVICE_ID) || text.starts_with(SERVICE_NAME)
}

/// `cn-hangzhou`, `us-east-1`: two letters, a place, perhaps a number.
fn is_region(text: &str) -> bool {
    const SHORTEST_PLACE: usize = 3;
    let mut parts = text.split('-');
    let letters = |part: &str| part.bytes().all(|b| b.is_ascii_lowercase());
    let country = parts.next().is_some_and(|part| part.len() == 2 && letters(part));
    let place = parts.next().is_some_and(|part| part.len() >= SHORTEST_PLACE && letters(part));
    let number = parts.next().is_none_or(|part| part.len() == 1 && part.bytes().all(|b| b.is_ascii_digit()));
    country && place && number && parts.next().is_none()
}

/// The host of a URL, of `host:port`, of `host/path` or of a text with spaces around, if the text is one of these.
fn host_of(text: &str) -> Option<String> {
    let trimmed = text.trim();
    let behind = trimmed.split_once("://").map_or(trimmed, |(_, behind)| behind);
    // First of all the user: a password may have any character in it, and is no host.
    let behind = behind.rsplit('@').next().unwrap_or_default();
    let authority = behind.split(['/', '?', '#']).next().unwrap_or_default();
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if is_port(port) && (!host.contains(':') || host.ends_with(']')) => host,
        _ => authority,
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_host = host.parse::<IpAddr>().is_ok() || host.parse::<HostName>().is_ok();
    (is_host && host != text).then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_told_from_zones() {
        for region in ["cn-hangzhou", "us-east-1", "ap-southeast-5"] {
            assert!(region_for_zone(region).is_some(), "{region}");
        }
        for zone in ["cn-hangzhou-h", "us-east-1a", "cn-shanghai-finance-1b", "h", "zone-1", "cn-h", "cn-hangzhou-0001"]
        {
            assert_eq!(region_for_zone(zone), None, "{zone}");
        }
    }

    #[test]
    fn hosts_are_found_in_what_is_around_them() {
        for (text, host) in [
            ("https://a.b:6001/c?d", Some("a.b")),
            ("https://u:p@a.b", Some("a.b")),
            ("https://hunter2/x@a.b", Some("a.b")),
            ("a.b:6001", Some("a.b")),
            ("[fd00::1]:6001", Some("fd00::1")),
            ("10.0.0.1/24", Some("10.0.0.1")),
            (" a.b ", Some("a.b")),
            ("a.b", None),
            ("fd00::1", None),
            ("a b", None),
        ] {
            assert_eq!(host_of(text).as_deref(), host, "{text}");
        }
    }
}
