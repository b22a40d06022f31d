//! Words that people write for our keys because other programs call the same thing so.

use super::{find, is_section, join};

/// A table (`""` is the top), words that are no keys of it, and the key that was meant: one of the table itself, or the
/// path of one elsewhere.
type Row = (&'static str, &'static [&'static str], &'static str);

const SYNONYMS: &[Row] = &[
    ("", &["block", "hostsfile", "hosts_file", "file"], "hosts"),
    ("", &["stub", "resolver"], "dns"),
    ("", &["logging"], "log"),
    ("", &["prometheus", "status"], "metrics"),
    ("", &["service", "database", "db"], "endpoint"),
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

/// What to tell of the unknown key `name` of the table `section`, if it is another word for one of ours.
pub(super) fn key_for(section: &str, name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    if PASSWORDS.contains(&name.as_str()) {
        let key = if section == "endpoint.probe" { "password_file" } else { "endpoint.probe.password_file" };
        return Some(format!("secrets are read from files: `{key}`"));
    }
    let row = SYNONYMS.iter().find(|(table, words, _)| *table == section && words.contains(&name.as_str()));
    row.map(|(table, _, key)| {
        let own = join(table, key);
        if find(&own).is_some() || is_section(&own) {
            format!("did you mean `{key}`?")
        } else {
            format!("such a key is `{key}`")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_synonym_is_of_a_table_and_a_key_that_there_are_and_is_none_itself() {
        for (table, words, key) in SYNONYMS {
            assert!(table.is_empty() || is_section(table), "{table}");
            let there = |path: &str| find(path).is_some() || is_section(path);
            assert!(there(&join(table, key)) || there(key), "{table} {key}");
            for word in *words {
                assert!(!there(&join(table, word)), "{table}.{word} is a key itself");
            }
        }
    }
}
