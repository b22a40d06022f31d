//! Every key of the configuration: the one table that the rules, the help of complaints, the packaged sample and
//! the tests agree on.
//!
//! A rule asks this table for the default of its key, so a default is written down once. What the table lacks is an
//! unknown key.

mod owners;
mod synonyms;

pub use owners::{Owner, probe_kinds, providers};

use std::path::PathBuf;

use self::synonyms::Meant;
use super::raw::parse_value;

/// One key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Where it stands, without the numbers of array elements: `endpoint.probe.interval`.
    pub path: &'static str,
    /// What its value is, with its unit.
    pub kind: &'static str,
    /// The value when it is absent, as TOML; `None` if it then has none (see `doc`).
    pub default: Option<&'static str>,
    /// The version that brought it.
    pub since: &'static str,
    /// Whether the hosts writer needs it: only these keys can make it refuse a configuration.
    pub writer: bool,
    /// One line for people.
    pub doc: &'static str,
}

const fn key(path: &'static str, kind: &'static str, default: &'static str, doc: &'static str) -> Key {
    Key { path, kind, default: Some(default), since: "0.1.0", writer: false, doc }
}

const fn bare(path: &'static str, kind: &'static str, doc: &'static str) -> Key {
    Key { path, kind, default: None, since: "0.1.0", writer: false, doc }
}

/// A key of both processes: the hosts writer needs it, too.
const fn both(row: Key) -> Key {
    Key { writer: true, ..row }
}

// What the values of several keys are.
const DURATION: &str = "a duration";
const FLAG: &str = "true or false";
const HOST_NAME: &str = "a host name";
const HOST_NAMES: &str = "a list of host names";
const HTTPS_ORIGIN: &str = "an https URL without a path";
const PATH: &str = "an absolute path";
pub(super) const SECRET: &str = "an absolute path or \"credential:NAME\"";
const RESOLVERS: &str = "a list of addresses, with or without a port";
const PREFER: &str = "\"any\" or \"local_zone\"";
const ANSWERS: &str = "\"all\" or \"one\"";

/// Every key of this version, in the order of the sample config.
pub const KEYS: &[Key] = &[
    bare("host.zone", "a zone id", "The zone this host is in; counts as local."),
    bare("host.region", "a region id", "The region this host is in."),
    bare("host.vpc_id", "a VPC id", "The VPC this host is in."),
    bare("host.instance_id", "an instance id", "The ECS instance this host is."),
    both(key("host.state_dir", PATH, r#""/var/lib/privatelinkd""#, "What must survive a restart.")),
    both(key("host.run_dir", PATH, r#""/run/privatelinkd""#, "The hand-over and the status socket.")),
    both(key("host.admin_dir", PATH, r#""/var/lib/privatelinkd-admin""#, "What root orders by a file.")),
    key("host.fleet_size", "a count, 1 to 1000000", "1", "How many hosts have this config: all share the API's quota."),
    bare("cloud.api_endpoint", HTTPS_ORIGIN, "The API; by default the region's, inside the VPC first."),
    key("cloud.metadata_endpoint", "a URL without a path", r#""http://100.100.100.200""#, "The instance metadata."),
    key("cloud.refresh_interval", DURATION, r#""10m""#, "Between two rounds of the API, stretched by fleet_size."),
    key("cloud.dns_interval", DURATION, r#""30s""#, "Between two rounds of DNS."),
    key("cloud.resolvers", RESOLVERS, r#"["100.100.2.136", "100.100.2.138"]"#, "The VPC's resolvers."),
    key("cloud.connect_timeout", DURATION, r#""3s""#, "Deadline of one connection to the API."),
    key("cloud.read_timeout", DURATION, r#""10s""#, "Deadline of one answer of the API."),
    key("cloud.gone_grace", DURATION, r#""1h""#, "How long what the cloud no longer has stays published."),
    bare(
        "cloud.proxy",
        "\"environment\" or the URL of an HTTP proxy",
        "For the API and STS alone; by default none, whatever HTTPS_PROXY says.",
    ),
    key(
        "cloud.credentials.provider",
        "\"auto\" or a provider",
        r#""auto""#,
        "Who gives the keys; auto is the official chain.",
    ),
    bare("cloud.credentials.access_key_id", "an AccessKey id", "The AccessKey's id."),
    bare("cloud.credentials.access_key_secret_file", SECRET, "The file with the AccessKey's secret."),
    bare("cloud.credentials.security_token_file", SECRET, "The file with the token of temporary keys."),
    bare("cloud.credentials.role_arn", "the ARN of a role", "The role to take on."),
    bare("cloud.credentials.role_session_name", "a session name", "The session's name in the audit log."),
    key("cloud.credentials.duration", DURATION, r#""1h""#, "How long a session of the role lasts."),
    bare("cloud.credentials.policy", "a policy in JSON", "What narrows the role's own policy."),
    bare("cloud.credentials.external_id", "an external id", "What the role's trust policy may ask for."),
    bare("cloud.credentials.sts_endpoint", HTTPS_ORIGIN, "STS; by default the SDK's rule."),
    bare("cloud.credentials.oidc_provider_arn", "the ARN of an OIDC provider", "Whose token proves who asks."),
    bare("cloud.credentials.oidc_token_file", SECRET, "The token, read anew at every refresh."),
    bare("cloud.credentials.file", PATH, "The file of profiles."),
    bare("cloud.credentials.profile", "the name of a profile", "Which profile of the file."),
    bare("cloud.credentials.role_name", "the name of a role", "The instance's role; looked up if absent."),
    bare("cloud.credentials.url", "a URL", "What answers with keys."),
    both(bare("endpoint.name", "a label", "The endpoint's label in metrics, logs and commands. Required.")),
    both(bare("endpoint.id", "an endpoint id", "The cloud's id of the endpoint.")),
    both(bare("endpoint.domain", HOST_NAME, "The endpoint's own domain name.")),
    both(key("endpoint.publish_domain", FLAG, "false", "Steer the endpoint's own domain name too.")),
    bare(
        "endpoint.addresses",
        "a table of zone id to address, or list of addresses",
        "Fixed addresses; each overrides what is found out of its zone.",
    ),
    both(key("endpoint.private_dns", HOST_NAMES, "[]", "Names that must resolve to the endpoint on this host.")),
    key("endpoint.priority", "an integer", "0", "Where endpoints share a name: lower first."),
    both(key("endpoint.enabled", FLAG, "true", "Off: checked, but otherwise left out.")),
    both(bare("endpoint.zone.id", "a zone id", "A zone with names of its own. Required.")),
    both(bare("endpoint.zone.private_dns", HOST_NAMES, "Names that only ever point at this zone. Required.")),
    bare(
        "endpoint.probe.kind",
        "\"matrixone\", \"mysql\", \"tdengine\", \"https\" or \"tcp\"",
        "What is asked of each address. Required.",
    ),
    bare(
        "endpoint.probe.port",
        "a port, 1 to 65535",
        "The port on every address; required for tcp, else the kind's own.",
    ),
    key("endpoint.probe.interval", DURATION, r#""5s""#, "Between two probes in a settled state."),
    key("endpoint.probe.fast_interval", DURATION, r#""500ms""#, "Between two probes at an edge."),
    key("endpoint.probe.timeout", DURATION, r#""2s""#, "Deadline of one probe."),
    key("endpoint.probe.rise", "a count, 1 to 20", "3", "Successes in a row that bring an address up."),
    key("endpoint.probe.fall", "a count, 1 to 20", "3", "Failures in a row that bring an address down."),
    key("endpoint.probe.hold", DURATION, r#""5s""#, "How long a recovered address stays up before names return."),
    bare("endpoint.probe.server_name", HOST_NAME, "SNI, Host and certificate name; first of private_dns, else domain."),
    key("endpoint.probe.method", "an HTTP method", r#""GET""#, "The request's method."),
    bare("endpoint.probe.path", "a request path", "The request's path; \"/\" for https, \"/rest/sql\" for tdengine."),
    key("endpoint.probe.headers", "a table of header name to value, or { file = PATH }", "{}", "More request headers."),
    key("endpoint.probe.body", "a string", "\"\"", "The request's body."),
    key("endpoint.probe.expect_status", "a list of status codes", "[200]", "Status codes that count as healthy."),
    bare("endpoint.probe.expect_body", "a regular expression", "What the beginning of a healthy body has in it."),
    bare("endpoint.probe.ca_file", PATH, "PEM certificates to trust; the system's roots if absent."),
    key("endpoint.probe.expiry_warning", DURATION, r#""14d""#, "How long before its end a certificate is a problem."),
    bare(
        "endpoint.probe.depth",
        "\"none\", \"login\" or \"query\"",
        "How far the deep check goes; query if there is a secret.",
    ),
    bare(
        "endpoint.probe.deep_interval",
        DURATION,
        "Between two deep checks, stretched by fleet_size; 1m, matrixone 5m.",
    ),
    key("endpoint.probe.deep_timeout", DURATION, r#""15s""#, "Deadline of one deep check."),
    bare("endpoint.probe.user", "a user's name", "Who logs in."),
    bare("endpoint.probe.password_file", SECRET, "The file with its password."),
    bare("endpoint.probe.token_file", SECRET, "The file with TDengine's cloud token."),
    key(
        "endpoint.probe.tls",
        "a word",
        r#""preferred""#,
        "TLS of a MySQL connection: off, preferred, required, verify_ca or verify.",
    ),
    key("endpoint.probe.query", "a statement", r#""SELECT 1""#, "What a MySQL server is asked."),
    key("endpoint.probe.sql", "a statement", r#""show databases""#, "What TDengine is asked."),
    bare("endpoint.probe.expect", "a string", "What the first column of the first row must be."),
    bare("endpoint.steering.prefer", PREFER, "Over [steering], for this endpoint."),
    bare("endpoint.steering.answers", ANSWERS, "Over [steering], for this endpoint."),
    bare("endpoint.steering.flap_penalty", "a number", "Over [steering], for this endpoint."),
    bare("endpoint.steering.flap_suppress", "a number", "Over [steering], for this endpoint."),
    bare("endpoint.steering.flap_reuse", "a number", "Over [steering], for this endpoint."),
    bare("endpoint.steering.flap_half_life", DURATION, "Over [steering], for this endpoint."),
    bare("endpoint.steering.flap_max", DURATION, "Over [steering], for this endpoint."),
    key("steering.prefer", PREFER, r#""any""#, "Which healthy addresses are answered."),
    key("steering.answers", ANSWERS, r#""all""#, "How many of them."),
    key("steering.flap_penalty", "a number", "1000", "What each departure of an address to down adds to its penalty."),
    key("steering.flap_suppress", "a number", "2000", "From which penalty on an address stays on hold."),
    key("steering.flap_reuse", "a number", "750", "Down to which it has to decay first."),
    key("steering.flap_half_life", DURATION, r#""2m""#, "In which it halves."),
    key("steering.flap_max", DURATION, r#""10m""#, "How long an address stays on hold for it, at most."),
    both(key("hosts.publish", FLAG, "true", "Whether names are written to the hosts file.")),
    both(key("hosts.path", PATH, r#""/etc/hosts""#, "The hosts file.")),
    both(key("hosts.adopt", FLAG, "false", "Whether published names are taken out of lines of others.")),
    both(key(
        "hosts.allowed_ranges",
        "a list of networks",
        r#"["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]"#,
        "Addresses outside are never written.",
    )),
    both(key("hosts.families", "a list of \"ipv4\", \"ipv6\"", r#"["ipv4"]"#, "Address families that are written.")),
    both(key("hosts.reassert_interval", DURATION, r#""5s""#, "How often the block is looked after without any event.")),
    both(key("hosts.removal_grace", DURATION, r#""10m""#, "How long a name that left the config stays.")),
    both(key(
        "hosts.agent_lost_after",
        DURATION,
        r#""2m""#,
        "After so long without a sign of the agent's life standby addresses are added.",
    )),
    both(key("hosts.in_place", "true, false or \"auto\"", r#""auto""#, "Whether the hosts file is written in place.")),
    both(key("hosts.run_dir", PATH, r#""/run/privatelinkd-hosts""#, "Where the writer puts its receipt.")),
    both(key("hosts.state_dir", PATH, r#""/var/lib/privatelinkd-hosts""#, "The writer's last known good.")),
    key("dns.publish", FLAG, "false", "Whether names are served by the local DNS stub."),
    key("dns.listen", RESOLVERS, r#"["127.0.0.153:53"]"#, "Where the stub listens, by UDP and TCP."),
    key("dns.ttl", "a duration of whole seconds", r#""5s""#, "How long clients may keep an answer."),
    key(
        "dns.route",
        "\"auto\", \"dns_delegate\", \"resolved\" or \"none\"",
        r#""auto""#,
        "How this host's resolver learns of the stub.",
    ),
    key("dns.forward", RESOLVERS, "[]", "Whom the stub asks for names of others; empty: they are refused."),
    key(
        "metrics.listen",
        "an address and port, or \"\"",
        r#""127.0.0.1:9965""#,
        "Where metrics are served; empty is off.",
    ),
    key(
        "metrics.expose",
        "a list of \"status\" and host names",
        "[]",
        "What is served beyond loopback, and as which host.",
    ),
    both(key("log.level", "a level", r#""info""#, "Events below are dropped: error, warn, info, debug, trace.")),
    both(key(
        "log.target",
        "\"auto\", \"journald\" or \"stderr\"",
        r#""auto""#,
        "Where lines go; auto is the journal under systemd.",
    )),
    both(key("log.format", "\"text\" or \"json\"", r#""text""#, "How a line looks.")),
];

/// Keys and whole tables that belong to a later version. They are unknown here, and the help says why.
const LATER: &[&str] = &["privatezone", "metrics.histograms"];

/// Where one of [`providers`] is chosen.
const CREDENTIALS: &str = "cloud.credentials";

/// Keys that name files with secrets in them, read when the configuration is loaded. A value of theirs that is no path
/// may be the secret itself.
pub(crate) const SECRET_FILES: &[&str] = &[
    "cloud.credentials.access_key_secret_file",
    "cloud.credentials.security_token_file",
    "endpoint.probe.password_file",
    "endpoint.probe.token_file",
];

/// Keys whose change takes a restart of the agent: folders in which stages are at work can't be moved under them. An
/// agent that is the hosts writer, too, needs one for `hosts.state_dir` as well.
pub const AT_RESTART: [&str; 5] = ["host.state_dir", "host.run_dir", "hosts.run_dir", "log.target", "log.format"];

/// Tables in which a kept configuration may have keys that are not known, of a later version; the first is the root.
/// Without them no name leads to what it should not, and nobody else is asked.
pub(super) const PASSED_OVER: [&str; 6] = ["", "steering", "endpoint.steering", "endpoint.probe", "metrics", "log"];

/// True for a key that names a file with a secret, read with the config or at each use: people write the secret itself
/// there.
pub(crate) fn names_a_secret_file(path: &str) -> bool {
    SECRET_FILES.contains(&path) || path == "cloud.credentials.oidc_token_file"
}

/// The row of a key, by its path.
#[must_use]
pub fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|k| k.path == path)
}

/// The path that is the default of a key; empty if that has none.
pub(crate) fn default_path(path: &str) -> PathBuf {
    let default = || find(path)?.default.and_then(parse_value)?.text().map(PathBuf::from);
    default().unwrap_or_default()
}

/// True if `path` is a table that holds keys.
pub(crate) fn is_section(path: &str) -> bool {
    KEYS.iter().any(|k| below(k.path, path).is_some())
}

/// True if the hosts writer needs what stands at `path`: one of its keys, or a table right above one.
pub(crate) fn concerns_writer(path: &str) -> bool {
    let covers = |key: &Key| key.path == path || key.path.rsplit_once('.').is_some_and(|(table, _)| table == path);
    KEYS.iter().any(|k| k.writer && covers(k))
}

/// What to tell an admin who wrote the unknown key `name` into the table `section` (`""` at the top).
pub(crate) fn help_for_unknown(section: &str, name: &str) -> Option<String> {
    let path = join(section, name);
    if LATER.contains(&path.as_str()) {
        return Some(format!("`{path}` is not in this version"));
    }
    if let Some(others) = of_another(section, name) {
        return Some(others);
    }
    if find(&format!("{path}_file")).is_some() {
        return Some(format!("secrets are read from files: `{name}_file`"));
    }
    if let Some(Meant { key, is_secret }) = synonyms::meant(section, name) {
        let own = join(section, key);
        return Some(match find(&own).is_some() || is_section(&own) {
            _ if is_secret => format!("secrets are read from files: `{key}`"),
            true => format!("did you mean `{key}`?"),
            false => format!("such a key is `{key}`"),
        });
    }
    if let Some(near) = meant(section, name) {
        return Some(format!("did you mean `{near}`?"));
    }
    let elsewhere = KEYS.iter().find(|k| k.path.rsplit('.').next() == Some(name)).map(|k| k.path);
    elsewhere.map(|path| format!("such a key is `{path}`"))
}

/// Whose the key is, where it may stand in the table and is unknown there: another provider's, or kind of probe's.
pub(crate) fn of_another(section: &str, name: &str) -> Option<String> {
    find(&join(section, name))?;
    Some(match section {
        CREDENTIALS => owners_of("provider", &providers(), name),
        _ => owners_of("kind of probe", &probe_kinds(), name),
    })
}

/// Which providers, or kinds of probe, have a key.
fn owners_of(what: &str, all: &[Owner], name: &str) -> String {
    let theirs = all.iter().filter(|(_, keys)| keys.contains(&name));
    let theirs: Vec<_> = theirs.map(|(owner, _)| format!("\"{owner}\"")).collect();
    format!("this key belongs to another {what}: {}", theirs.join(" or "))
}

/// The key or table of `section` that an unknown `name` was most likely meant to be.
pub(crate) fn meant(section: &str, name: &str) -> Option<&'static str> {
    nearest(name, siblings(section))
}

/// The names that may stand in a table: its keys and its sub-tables.
fn siblings(section: &str) -> Vec<&'static str> {
    let first = |k: &'static Key| {
        let rest = if section.is_empty() { Some(k.path) } else { below(k.path, section) };
        rest.and_then(|r| r.split('.').next())
    };
    let mut names: Vec<_> = KEYS.iter().filter_map(first).collect();
    names.dedup();
    names
}

fn below<'a>(path: &'a str, section: &str) -> Option<&'a str> {
    path.strip_prefix(section)?.strip_prefix('.')
}

/// `section.name`, or `name` at the top.
pub(crate) fn join(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}

/// The candidate that `word` was most likely meant to be, if any is near enough: a third of its letters, at least one
/// and at most three edits away.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 40;
    let length = word.chars().count();
    if length > LONGEST {
        return None;
    }
    let limit = (length / 3).clamp(1, 3);
    let lower = word.to_ascii_lowercase().replace('-', "_");
    let rated = candidates.into_iter().map(|c| (edits(&lower, c), c));
    rated.filter(|(distance, _)| *distance <= limit).min().map(|(_, c)| c)
}

/// How many single-letter edits, swaps of neighbours included, lie between two words.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_synonym_is_of_a_table_and_a_key_that_there_are_and_is_none_itself() {
        for (table, words, key) in synonyms::SYNONYMS {
            assert!(table.is_empty() || is_section(table), "{table}");
            let there = |path: &str| find(path).is_some() || is_section(path);
            assert!(there(&join(table, key)) || there(key), "{table} {key}");
            for word in *words {
                assert!(!there(&join(table, word)), "{table}.{word} is a key itself");
            }
        }
    }

    #[test]
    fn no_key_stands_twice_and_none_is_both_now_and_later() {
        for (i, k) in KEYS.iter().enumerate() {
            assert!(KEYS[i + 1..].iter().all(|other| other.path != k.path), "{}", k.path);
            assert!(!LATER.contains(&k.path), "{}", k.path);
            assert!(!is_section(k.path), "{} is a key and a table", k.path);
            assert!(!k.doc.is_empty() && !k.kind.is_empty() && k.since == "0.1.0");
        }
    }

    #[test]
    fn the_writer_needs_its_own_tables_whole_and_of_the_others_what_it_may_publish() {
        for k in KEYS.iter().filter(|k| k.path.starts_with("hosts.") || k.path.starts_with("log.")) {
            assert!(k.writer, "{}", k.path);
        }
        for needed in ["hosts", "log", "host", "host.run_dir", "endpoint", "endpoint.zone", "endpoint.zone.id"] {
            assert!(concerns_writer(needed), "{needed}");
        }
        for other in
            ["", "steering", "metrics", "host.zone", "endpoint.addresses", "endpoint.probe", "endpoint.probe.kind"]
        {
            assert!(!concerns_writer(other), "{other}");
        }
    }

    #[test]
    fn every_key_of_the_credentials_belongs_to_a_provider() {
        let of_table = |name: &str| format!("{CREDENTIALS}.{name}");
        let owned: Vec<_> = providers().into_iter().flat_map(|(_, keys)| keys).map(of_table).collect();
        assert!(owned.iter().all(|path| find(path).is_some()), "{owned:?}");
        for key in KEYS.iter().filter(|k| below(k.path, CREDENTIALS).is_some_and(|name| name != "provider")) {
            assert!(owned.iter().any(|path| path == key.path), "{}", key.path);
        }
        assert!(SECRET_FILES.iter().all(|path| find(path).is_some()));
    }

    #[test]
    fn every_kind_has_keys_that_there_are_and_is_told() {
        let told = find("endpoint.probe.kind").unwrap().kind;
        for (kind, keys) in probe_kinds() {
            assert!(told.contains(&format!("\"{kind}\"")), "{kind}");
            for name in keys {
                assert!(find(&format!("endpoint.probe.{name}")).is_some(), "{name}");
            }
        }
    }

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        assert_eq!(edits("tpc", "tcp"), 1);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(nearest("tpc", ["tcp", "https"]), Some("tcp"));
        assert_eq!(nearest("reassert-interval", ["reassert_interval"]), Some("reassert_interval"));
        assert_eq!(nearest("xyz", ["tcp", "https"]), None);
        assert_eq!(nearest(&"a".repeat(1_000_000), ["a"]), None);
    }

    #[test]
    fn help_tells_typos_from_later_versions_and_from_other_places() {
        let help = |section, name| help_for_unknown(section, name).unwrap_or_default();
        assert_eq!(help("hosts", "publsh"), "did you mean `publish`?");
        assert_eq!(help("", "endpoints"), "did you mean `endpoint`?");
        assert_eq!(help("", "privatezone"), "`privatezone` is not in this version");
        assert_eq!(help("metrics", "histograms"), "`metrics.histograms` is not in this version");
        assert_eq!(help("endpoint", "interval"), "such a key is `endpoint.probe.interval`");
        assert_eq!(help("log", "qqqqqqq"), "");
        assert_eq!(help("hosts", "enabled"), "did you mean `publish`?");
        assert_eq!(help("endpoint", "hosts"), "did you mean `private_dns`?");
        assert_eq!(help("endpoint", "password"), "secrets are read from files: `endpoint.probe.password_file`");
        assert_eq!(help("endpoint.probe", "pasword"), "secrets are read from files: `password_file`");
        assert_eq!(help(CREDENTIALS, "url"), "this key belongs to another provider: \"uri\"");
        assert_eq!(help(CREDENTIALS, "access_key_secret"), "secrets are read from files: `access_key_secret_file`");
    }
}
