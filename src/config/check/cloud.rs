//! `[cloud]`

use std::time::Duration;

use super::context::{Bad, Read, values};
use super::origin::{self, Scheme};
use super::section::Section;
use super::{credentials, read};
use crate::config::raw::Node;
use crate::config::types::CloudConfig;
use crate::model::{ProxyChoice, ProxyUrl};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// `[cloud]`
pub(super) fn cloud(mut section: Section<'_>) -> Option<CloudConfig> {
    let api_endpoint = section.optional("api_endpoint", |n| origin::origin(n, Scheme::Https));
    let metadata_endpoint = section.value("metadata_endpoint", |n| origin::origin(n, Scheme::Http));
    let refresh_interval = section.value("refresh_interval", |n| read::duration(n, SECOND..=DAY));
    let dns_interval = section.value("dns_interval", |n| read::duration(n, SECOND..=60 * MINUTE));
    let resolvers = section.value("resolvers", |n| read::filled_list(n, read::resolver));
    let connect_timeout = section.value("connect_timeout", |n| read::duration(n, SECOND / 10..=MINUTE));
    let read_timeout = section.value("read_timeout", |n| read::duration(n, SECOND / 10..=MINUTE));
    let gone_grace = section.value("gone_grace", |n| read::duration(n, Duration::ZERO..=7 * DAY));
    let proxy = section.optional("proxy", proxy);
    let credentials = credentials::credentials(section.section("credentials"));
    section.finish();
    Some(CloudConfig {
        api_endpoint: api_endpoint?,
        metadata_endpoint: metadata_endpoint?,
        refresh_interval: refresh_interval?,
        dns_interval: dns_interval?,
        resolvers: values(&resolvers?),
        connect_timeout: connect_timeout?,
        read_timeout: read_timeout?,
        gone_grace: gone_grace?,
        proxy: proxy?.unwrap_or_default(),
        credentials: credentials?,
    })
}

/// A word, or a URL, in which user and password may stand.
fn proxy(node: &Node) -> Read<ProxyChoice> {
    const EXPECTED: &str = "\"environment\", or the URL of an HTTP proxy such as \"http://proxy.example.com:3128\"";
    let bad = |expected: String| {
        let help = "without this key no proxy is used, whatever the variables say";
        vec![Bad::found_at(&node.at, expected, node.found()).help(help)]
    };
    match node.text() {
        Some("environment") => Ok(ProxyChoice::Environment),
        Some(text) if text.contains("://") => {
            ProxyUrl::parse(text).map(ProxyChoice::Url).map_err(|error| bad(error.to_string()))
        }
        _ => Err(bad(EXPECTED.to_owned())),
    }
}
