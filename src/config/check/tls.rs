//! What a TLS session must prove: the keys that every kind with TLS has.

use std::sync::Arc;
use std::time::Duration;

use super::section::Section;
use super::{files, read};
use crate::config::source_text::quote;
use crate::model::{HostName, TlsSpec, Trust, TrustBundle};

/// The keys that only a verified session needs.
pub(super) const VERIFIED: [&str; 2] = ["server_name", "ca_file"];

const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);

/// The name that a server must prove where `server_name` gives none.
pub(super) enum NameFallback {
    /// The first of `private_dns`, else the domain.
    Name(HostName),
    /// The endpoint has no names.
    Nothing,
    /// Its names could not be read, which was complained about.
    Unread,
}

/// A session whose certificate is verified.
pub(super) fn verified(section: &mut Section<'_>, fallback: &NameFallback) -> Option<TlsSpec> {
    let server_name = server_name(section, fallback);
    let system_roots = !section.has("ca_file");
    let ca_file = ca_file(section);
    if system_roots {
        section.show_derived("ca_file", "\"\"", "the system's roots");
    }
    let expiry_warning = expiry_warning(section);
    Some(TlsSpec {
        server_name: server_name?,
        trust: ca_file.map_or(Trust::System, |bundle| Trust::File(Arc::new(bundle))),
        expiry_warning: expiry_warning?,
    })
}

/// The certificates of a file, if the key is there.
pub(super) fn ca_file(section: &mut Section<'_>) -> Option<TrustBundle> {
    let world = section.context.world;
    section.value("ca_file", |n| files::trust_bundle(&read::path(n)?, n, world))
}

/// How long before its end a certificate is complained about.
pub(super) fn expiry_warning(section: &mut Section<'_>) -> Option<Duration> {
    section.value("expiry_warning", |n| read::duration(n, Duration::ZERO..=YEAR))
}

fn server_name(section: &mut Section<'_>, fallback: &NameFallback) -> Option<HostName> {
    let absent = !section.has("server_name");
    if absent && matches!(fallback, NameFallback::Nothing) {
        let help = "it is the first of private_dns, else the domain: give one of them";
        section.report_missing("server_name", Some(help));
    }
    let written = section.read_weighed("server_name", read::host_name).map(|l| l.value);
    match fallback {
        NameFallback::Name(name) if absent => {
            section.show_derived("server_name", &quote(name.as_str()), "from private_dns or domain");
            Some(name.clone())
        }
        _ => written,
    }
}
