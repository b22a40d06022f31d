//! `[cloud]`

use std::time::Duration;

use super::context::CheckContext;
use super::origin::{self, Scheme};
use super::section::Section;
use super::{credentials, read};
use crate::config::types::CloudConfig;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// `[cloud]`
pub(super) fn cloud(mut section: Section, context: &mut CheckContext<'_>) -> Option<CloudConfig> {
    let api_endpoint = section.optional(context, "api_endpoint", |n| origin::origin(n, Scheme::Https));
    let metadata_endpoint = section.value(context, "metadata_endpoint", |n| origin::origin(n, Scheme::Http));
    let refresh_interval = section.value(context, "refresh_interval", |n| read::duration(n, SECOND..=DAY));
    let dns_interval = section.value(context, "dns_interval", |n| read::duration(n, SECOND..=60 * MINUTE));
    let resolvers = section.value(context, "resolvers", |n| read::filled_list(n, read::resolver));
    let connect_timeout = section.value(context, "connect_timeout", |n| read::duration(n, SECOND / 10..=MINUTE));
    let read_timeout = section.value(context, "read_timeout", |n| read::duration(n, SECOND / 10..=MINUTE));
    let gone_grace = section.value(context, "gone_grace", |n| read::duration(n, Duration::ZERO..=7 * DAY));
    let credentials = credentials::credentials(section.section(context, "credentials"), context);
    section.finish(context);
    Some(CloudConfig {
        api_endpoint: api_endpoint?,
        metadata_endpoint: metadata_endpoint?,
        refresh_interval: refresh_interval?,
        dns_interval: dns_interval?,
        resolvers: resolvers?.into_iter().map(|r| r.value).collect(),
        connect_timeout: connect_timeout?,
        read_timeout: read_timeout?,
        gone_grace: gone_grace?,
        credentials: credentials?,
    })
}
