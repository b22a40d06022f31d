//! Words that people write for our keys because other programs call the same thing so.

/// A table (`""` is the top), words that are no keys of it, and the key that was meant: one of the table itself, or the
/// path of one elsewhere.
pub(super) type Row = (&'static str, &'static [&'static str], &'static str);

pub(super) const SYNONYMS: &[Row] = &[
    ("", &["block", "hostsfile", "hosts_file", "file"], "hosts"),
    ("", &["stub", "resolver"], "dns"),
    ("", &["logging"], "log"),
    ("", &["prometheus", "status"], "metrics"),
    ("", &["service", "database", "db"], "endpoint"),
    ("cloud", &["https_proxy", "http_proxy", "proxy_url"], "proxy"),
    ("hosts", &["enable", "enabled", "block", "write", "manage"], "publish"),
    ("hosts", &["file", "filename"], "path"),
    ("hosts", &["names", "hosts", "entries"], "endpoint.private_dns"),
    ("dns", &["enable", "enabled", "stub"], "publish"),
    ("dns", &["address", "addresses", "port", "bind"], "listen"),
    ("dns", &["upstream", "upstreams", "resolvers", "nameservers", "forwarders"], "forward"),
    ("metrics", &["enable", "enabled", "address", "port", "bind"], "listen"),
    ("endpoint", &["hosts", "host", "hostname", "hostnames", "names", "dns", "domains", "block"], "private_dns"),
    ("endpoint", &["ip", "ips"], "addresses"),
    ("endpoint", &["endpoint_id"], "id"),
    ("endpoint", &["check", "checks", "health", "health_check", "healthcheck"], "probe"),
    ("endpoint", &["kind", "type"], "endpoint.probe.kind"),
    ("endpoint.zone", &["zone", "zone_id", "name"], "id"),
    ("endpoint.zone", &["hosts", "host", "hostname", "hostnames", "names", "dns"], "private_dns"),
    ("endpoint.probe", &["type", "protocol"], "kind"),
    ("endpoint.probe", &["username", "login"], "user"),
    ("endpoint.probe", &["status"], "expect_status"),
    ("endpoint.probe", &["host", "hostname", "sni"], "server_name"),
    ("endpoint.probe", &["ca", "cafile", "cacert"], "ca_file"),
    ("endpoint.probe", &["retries", "failures"], "fall"),
];

/// Words for a password, wherever they stand.
const PASSWORDS: &[&str] = &["password", "pasword", "passwd", "passwort", "pass", "pwd", "pw"];

/// The key that was meant, as [`SYNONYMS`] has it.
pub(super) struct Meant {
    pub(super) key: &'static str,
    /// It names a file that a secret is read from.
    pub(super) is_secret: bool,
}

/// What the unknown key `name` of the table `section` is another word for.
pub(super) fn meant(section: &str, name: &str) -> Option<Meant> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    if PASSWORDS.contains(&name.as_str()) {
        let key = if section == "endpoint.probe" { "password_file" } else { "endpoint.probe.password_file" };
        return Some(Meant { key, is_secret: true });
    }
    let row = SYNONYMS.iter().find(|(table, words, _)| *table == section && words.contains(&name.as_str()));
    row.map(|(_, _, key)| Meant { key, is_secret: false })
}
