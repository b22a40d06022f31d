//! `/metrics`: exact families, well-formed in both formats, bounded, and free of what has no business there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf as _;
use privatelinkd::model::{
    BusinessStatus, Certificate, CloudFacts, ConnectionStatus, DnsCode, DnsCounts, DnsTransport, EndpointStatus,
    Failure, FailureReason, HostFacts, IdentityPart, Zone, ZoneFacts, ZoneStatus,
};
use privatelinkd::observe::Snapshot;
use privatelinkd::observe::metrics::{self, Format};
use privatelinkd::sys::process_stats::ProcessStats;

use crate::config_files::root;
use crate::manual;
use crate::observe_fixture::{at, degraded, down, healthy, key, set_target, slow, up};

const PROCESS: ProcessStats = ProcessStats {
    cpu: Some(Duration::from_millis(1500)),
    resident: Some(8 << 20),
    virtual_size: Some(64 << 20),
    open_fds: Some(12),
    max_fds: Some(1024),
};

fn render(snapshot: &Snapshot, process: &ProcessStats, format: Format) -> String {
    let mut text = String::new();
    metrics::render(snapshot, process, format).reader().read_to_string(&mut text).unwrap();
    text
}

/// A strict reader of what we write in either format.
#[derive(Debug, Default)]
struct Exposition {
    /// Family to type, in order of appearance.
    families: Vec<(String, String)>,
    /// Series (name with labels) to value.
    series: BTreeMap<String, f64>,
}

fn parse(text: &str, format: Format) -> Exposition {
    let mut out = Exposition::default();
    let mut lines: Vec<&str> = text.strip_suffix('\n').expect("a final newline").split('\n').collect();
    if format == Format::OpenMetrics {
        assert_eq!(lines.pop(), Some("# EOF"));
    }
    let mut help = None;
    for line in lines {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, text) = rest.split_once(' ').unwrap();
            assert!(text.ends_with('.') && !text.contains(['\\', '"']), "{line}");
            help = Some(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(help.take().as_deref(), Some(name), "HELP stands right before TYPE");
            assert!(matches!(kind, "counter" | "gauge" | "histogram"), "{line}");
            assert!(out.families.iter().all(|(n, _)| n != name), "{name} is written once");
            out.families.push((name.to_owned(), kind.to_owned()));
        } else {
            sample(line, format, &mut out);
        }
    }
    out
}

fn sample(line: &str, format: Format, out: &mut Exposition) {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
    let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
    let (name, labels) = series.split_once('{').map_or((series, ""), |(n, l)| (n, l.strip_suffix('}').unwrap()));
    let (family, kind) = out.families.last().expect("a TYPE before the samples");
    let suffixes: &[&str] = match (kind.as_str(), format) {
        ("counter", Format::OpenMetrics) => &["_total"],
        ("histogram", _) => &["_bucket", "_sum", "_count"],
        _ => &[""],
    };
    assert!(suffixes.iter().any(|s| name == format!("{family}{s}")), "{line} is not of {family}");
    if kind == "counter" {
        assert!(name.ends_with("_total"), "{line}");
    }
    let mut pairs = label_pairs(labels);
    // The formats differ in where the bucket's bound stands.
    pairs.sort_by_key(|(label, _)| label == "le");
    let mut seen = BTreeSet::new();
    for (label, _) in &pairs {
        assert!(label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
        assert!(seen.insert(label), "{line}");
    }
    let escaped = |v: &str| v.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let labels: Vec<_> = pairs.iter().map(|(label, v)| format!("{label}=\"{}\"", escaped(v))).collect();
    let series = if labels.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", labels.join(",")) };
    assert!(out.series.insert(series.clone(), value).is_none(), "{series} is written once");
}

fn label_pairs(mut text: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"").unwrap();
        let mut value = String::new();
        let mut chars = rest.char_indices();
        let end = loop {
            match chars.next().expect("a closing quote") {
                (i, '"') => break i,
                (_, '\\') => match chars.next().unwrap().1 {
                    'n' => value.push('\n'),
                    c @ ('\\' | '"') => value.push(c),
                    c => panic!("escape {c}"),
                },
                (_, c) => value.push(c),
            }
        };
        pairs.push((name.to_owned(), value));
        text = &rest[end + 1..];
        text = text.strip_prefix(',').unwrap_or(text);
    }
    pairs
}

fn read(s: &Snapshot) -> Exposition {
    parse(&render(s, &PROCESS, Format::Text), Format::Text)
}

/// The families that users rely on, and the type of each.
const FAMILIES: [(&str, &str); 32] = [
    ("privatelink_build_info", "gauge"),
    ("privatelink_endpoint_info", "gauge"),
    ("privatelink_target_info", "gauge"),
    ("privatelink_discovery_age_seconds", "gauge"),
    ("privatelink_discovery_stale", "gauge"),
    ("privatelink_inputs_capped_total", "counter"),
    ("privatelink_api_requests_total", "counter"),
    ("privatelink_credentials_expiry_timestamp_seconds", "gauge"),
    ("privatelink_probe_success", "gauge"),
    ("privatelink_probe_duration_seconds", "histogram"),
    ("privatelink_probe_failures_total", "counter"),
    ("privatelink_probes_total", "counter"),
    ("privatelink_probe_late_seconds", "gauge"),
    ("privatelink_target_up", "gauge"),
    ("privatelink_target_transitions_total", "counter"),
    ("privatelink_answer_addresses", "gauge"),
    ("privatelink_answer_reason", "gauge"),
    ("privatelink_answer_changes_total", "counter"),
    ("privatelink_last_change_timestamp_seconds", "gauge"),
    ("privatelink_hosts_in_sync", "gauge"),
    ("privatelink_hosts_writes_total", "counter"),
    ("privatelink_hosts_conflicts_total", "counter"),
    ("privatelink_hosts_shadowed", "gauge"),
    ("privatelink_config_last_reload_successful", "gauge"),
    ("privatelink_config_last_reload_success_timestamp_seconds", "gauge"),
    ("privatelink_log_dropped_total", "counter"),
    ("process_cpu_seconds_total", "counter"),
    ("process_resident_memory_bytes", "gauge"),
    ("process_virtual_memory_bytes", "gauge"),
    ("process_open_fds", "gauge"),
    ("process_max_fds", "gauge"),
    ("process_start_time_seconds", "gauge"),
];

#[test]
fn the_families_are_those_of_the_interface() {
    let expected = FAMILIES;
    let text = read(&degraded());
    assert_eq!(text.families.iter().map(|(n, k)| (n.as_str(), k.as_str())).collect::<Vec<_>>(), expected);

    let open = parse(&render(&degraded(), &PROCESS, Format::OpenMetrics), Format::OpenMetrics);
    let stripped: Vec<_> = expected.iter().map(|(n, k)| (n.strip_suffix("_total").unwrap_or(n), *k)).collect();
    assert_eq!(open.families.iter().map(|(n, k)| (n.as_str(), k.as_str())).collect::<Vec<_>>(), stripped);
    assert_eq!(open.series, text.series, "both formats hold the same series");
}

#[test]
fn the_series_say_what_the_snapshot_says() {
    let found = read(&degraded()).series;
    let orders = r#"endpoint="orders",zone="cn-hangzhou-h""#;
    for (series, value) in [
        (r#"privatelink_build_info{version="0.1.0",revision="abc1234"}"#.to_owned(), 1.0),
        (
            r#"privatelink_endpoint_info{endpoint="orders",endpoint_id="ep-bp1i2x3y4z",service_name="",region="",vpc_id=""}"#
                .to_owned(),
            1.0,
        ),
        (format!(r#"privatelink_target_info{{{orders},address="10.0.0.11",eni_id=""}}"#), 1.0),
        (r#"privatelink_discovery_age_seconds{endpoint="orders",source="fixed"}"#.to_owned(), 10.0),
        (r#"privatelink_discovery_stale{endpoint="orders"}"#.to_owned(), 0.0),
        (r#"privatelink_api_requests_total{action="ListVpcEndpoints",outcome="ok"}"#.to_owned(), 12.0),
        ("privatelink_credentials_expiry_timestamp_seconds".to_owned(), 1_795_334_400.0),
        (format!(r#"privatelink_probe_success{{{orders},address="10.0.0.11",check="path"}}"#), 0.0),
        (format!(r#"privatelink_probe_failures_total{{{orders},check="path",reason="refused"}}"#), 1.0),
        (format!(r#"privatelink_probes_total{{{orders},check="path"}}"#), 11.0),
        (format!(r#"privatelink_probe_late_seconds{{{orders},check="path"}}"#), 0.003),
        (format!(r#"privatelink_probe_duration_seconds_bucket{{{orders},check="path",le="0.0005"}}"#), 0.0),
        (format!(r#"privatelink_probe_duration_seconds_bucket{{{orders},check="path",le="0.002"}}"#), 10.0),
        (format!(r#"privatelink_probe_duration_seconds_bucket{{{orders},check="path",le="+Inf"}}"#), 10.0),
        (format!(r#"privatelink_probe_duration_seconds_count{{{orders},check="path"}}"#), 10.0),
        (format!(r#"privatelink_probe_duration_seconds_sum{{{orders},check="path"}}"#), 0.0125),
        (format!(r#"privatelink_target_up{{{orders},address="10.0.0.11"}}"#), 0.0),
        (format!(r#"privatelink_target_transitions_total{{{orders},address="10.0.0.11"}}"#), 2.0),
        (r#"privatelink_answer_addresses{name="gw-orders.example.com"}"#.to_owned(), 1.0),
        (r#"privatelink_answer_reason{name="gw-orders.example.com",reason="failed_over"}"#.to_owned(), 1.0),
        (r#"privatelink_answer_changes_total{name="gw-orders.example.com"}"#.to_owned(), 1.0),
        (r#"privatelink_last_change_timestamp_seconds{name="gw-orders.example.com"}"#.to_owned(), 1_795_316_300.0),
        (r#"privatelink_hosts_shadowed{name="gw-ledger.example.com"}"#.to_owned(), 1.0),
        (r#"privatelink_hosts_shadowed{name="gw-orders.example.com"}"#.to_owned(), 0.0),
        (r#"privatelink_hosts_writes_total{outcome="ok"}"#.to_owned(), 2.0),
        ("privatelink_hosts_in_sync".to_owned(), 1.0),
        ("privatelink_config_last_reload_successful".to_owned(), 0.0),
        ("process_cpu_seconds_total".to_owned(), 1.5),
        ("process_max_fds".to_owned(), 1024.0),
        ("process_start_time_seconds".to_owned(), 1_795_309_205.0),
    ] {
        assert_eq!(found.get(&series), Some(&value), "{series}");
    }
    let reasons = found.keys().filter(|s| s.starts_with("privatelink_answer_reason{")).count();
    assert_eq!(reasons, 2, "one reason a name");
}

#[test]
fn four_targets_stay_within_the_budget() {
    let mut s = degraded();
    // A bad week: every target has failed in six ways.
    let reasons = &FailureReason::ALL[..6];
    for (n, zone) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let mut check = down(reasons[0], "x");
        reasons.iter().for_each(|r| check.shown.stats.count(&Err(Failure::new(*r, "x"))));
        set_target(&mut s, &key(n, zone), check);
    }
    // Each action of the API failed in as many.
    let requests = ["ListVpcEndpoints", "ListVpcEndpointZones"].into_iter().flat_map(|action| {
        ["ok", "throttled", "server", "timeout", "connect", "dns"].map(|outcome| ((action, outcome), 1))
    });
    Arc::make_mut(&mut s.api).requests = requests.collect();
    let series = read(&s).series.len();
    assert!(series <= 160, "{series} series");
}

#[test]
fn several_addresses_of_a_zone_are_one_series() {
    let mut s = healthy();
    let mut second = key(1, 0);
    second.address = "10.0.0.99".parse().unwrap();
    set_target(&mut s, &second, up());
    let found = read(&s).series;
    let zone = r#"endpoint="orders",zone="cn-hangzhou-h",check="path""#;
    assert_eq!(found[&format!("privatelink_probes_total{{{zone}}}")], 20.0);
    assert_eq!(found[&format!("privatelink_probe_duration_seconds_count{{{zone}}}")], 20.0);
    assert_eq!(found[&format!("privatelink_probe_late_seconds{{{zone}}}")], 0.003);
}

#[test]
fn series_of_what_is_gone_are_gone() {
    let mut s = healthy();
    let gone = key(1, 0);
    Arc::make_mut(&mut s.health).targets.remove(&gone);
    let inventory = Arc::make_mut(&mut s.inventory);
    inventory.endpoints.get_mut(&gone.endpoint).unwrap().zones.remove(&gone.zone);
    let plan = Arc::make_mut(s.plan.plan.as_mut().unwrap());
    plan.answers.remove(&crate::observe_fixture::name(1));
    let receipt = s.receipts.state_mut("hosts").receipt.as_mut().unwrap();
    receipt.names.remove(&crate::observe_fixture::name(1));
    let text = render(&s, &PROCESS, Format::Text);
    assert!(!text.contains(&gone.address.to_string()));
    assert!(!text.contains("gw-orders"), "{text}");
}

#[test]
fn what_is_unknown_has_no_series() {
    let mut s = healthy();
    s.plan = Default::default();
    s.receipts = Default::default();
    Arc::make_mut(&mut s.config).publishers.clear();
    s.health = Arc::default();
    s.api = Arc::default();
    let text = render(&s, &ProcessStats::default(), Format::OpenMetrics);
    let found = parse(&text, Format::OpenMetrics);
    for absent in ["probe", "target_up", "answer", "hosts", "process_max_fds", "api_requests", "credentials"] {
        assert!(!found.series.keys().any(|s| s.contains(absent)), "{absent}: {text}");
    }
}

#[test]
fn label_values_are_escaped() {
    let mut s = healthy();
    let region = Some("a\"b\\c\nd".to_owned());
    s.host = Arc::new(HostFacts { region, ..HostFacts::default() });
    for format in [Format::Text, Format::OpenMetrics] {
        let found = parse(&render(&s, &PROCESS, format), format);
        let series = found.series.keys().find(|s| s.starts_with("privatelink_endpoint_info")).unwrap();
        let labels = label_pairs(series.split_once('{').unwrap().1.strip_suffix('}').unwrap());
        assert!(labels.contains(&("region".to_owned(), "a\"b\\c\nd".to_owned())), "{series}");
    }
}

#[test]
fn neither_identity_nor_details_are_told() {
    let mut s = healthy();
    set_target(&mut s, &key(0, 0), down(FailureReason::Auth, "user probe, password hunter2"));
    let mut host = HostFacts::default();
    host.identity.machine_id = Some("machine-id-digest".to_owned());
    s.host = Arc::new(host);
    let (metrics, report) =
        (render(&s, &PROCESS, Format::Text), serde_json::to_string(&privatelinkd::observe::status::report(&s)));
    assert!(!metrics.contains("hunter2"), "free text never becomes a label");
    for text in [metrics, report.unwrap()] {
        assert!(!text.contains("machine-id-digest"), "{}", IdentityPart::MachineId);
    }
}

#[test]
fn a_zone_that_is_not_known_says_so() {
    let mut s = healthy();
    let mut key = key(0, 0);
    key.zone = Zone::Unknown;
    set_target(&mut s, &key, up());
    assert!(render(&s, &PROCESS, Format::Text).contains(r#"zone="unknown",address="10.0.0.10""#));
}

#[test]
fn promtool_has_nothing_to_say() {
    let promtool = std::env::var_os("PROMTOOL").unwrap_or_else(|| "promtool".into());
    let child = Command::new(&promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        println!("skipped: promtool is not installed");
        return;
    };
    child.stdin.take().unwrap().write_all(render(&degraded(), &PROCESS, Format::Text).as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success() && said.trim().is_empty(), "{said}");
}

#[test]
fn a_slow_address_has_a_series_while_it_is_slow() {
    let series = r#"privatelink_target_slow{endpoint="orders",zone="cn-hangzhou-h",address="10.0.0.11"}"#;
    for (check, value) in [(up(), None), (slow(None), Some(&1.0)), (slow(Some(7100)), None)] {
        let mut s = healthy();
        set_target(&mut s, &key(1, 0), check);
        assert_eq!(read(&s).series.get(series), value);
    }
}

/// A snapshot in which every family has a series.
fn everything() -> Snapshot {
    let mut s = degraded();
    let (target, other) = (key(0, 0), key(0, 1));
    let inventory = Arc::make_mut(&mut s.inventory);
    let endpoint = inventory.endpoints.get_mut(&target.endpoint).unwrap();
    endpoint.cloud = Some(CloudFacts {
        status: EndpointStatus::Active,
        business: BusinessStatus::Normal,
        connection: ConnectionStatus::Connected,
        service_name: String::new(),
        region: String::new(),
        vpc_id: String::new(),
    });
    let facts = ZoneFacts { status: ZoneStatus::Connected, eni_id: None, domain: None };
    endpoint.zones.get_mut(&target.zone).unwrap().cloud = Some(facts);
    let certificate = Certificate {
        names: Vec::new(),
        issuer: String::new(),
        not_before: at(0).wall,
        not_after: at(9000).wall,
        ends_earlier: None,
        unused: Vec::new(),
    };
    let mut check = slow(None);
    check.shown.certificate = Some(Arc::new(certificate));
    set_target(&mut s, &other, check);
    let answered = BTreeMap::from([((DnsTransport::Udp, DnsCode::NoError), 1)]);
    s.dns = Some(DnsCounts { answered, ..DnsCounts::default() });
    s
}

/// A family, as the manual tells it and as it is.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    kind: String,
    labels: BTreeSet<String>,
    meaning: String,
}

/// The table of privatelinkd-operations(7), an item a family: its tag is the name, its first line
/// `type | unit | labels`, and after a break what it means, which begins with the code's own words.
fn told() -> BTreeMap<String, (Told, String)> {
    let page = manual::page("privatelinkd-operations.7");
    let mut table = BTreeMap::new();
    for item in manual::section(&page, "METRICS").split("\n.TP\n").skip(1) {
        let lines: Vec<&str> = item.lines().take(4).collect();
        let [tag, row, ".br", meaning] = lines[..] else { panic!("no row of the table: {item}") };
        let name = tag.strip_prefix(".B ").unwrap_or_else(|| panic!("no name: {item}"));
        let cells: Vec<&str> = row.split(" | ").collect();
        let [kind, unit, labels] = cells[..] else { panic!("no type, unit and labels: {item}") };
        let labels = if labels == "none" { BTreeSet::new() } else { labels.split(", ").map(str::to_owned).collect() };
        let told = Told { kind: kind.to_owned(), labels, meaning: manual::plain(meaning) };
        let before = table.insert(name.to_owned(), (told, unit.to_owned()));
        assert!(before.is_none(), "{name} is told twice");
    }
    table
}

/// Every family that is rendered.
fn exposed(s: &Snapshot) -> BTreeMap<String, Told> {
    let text = render(s, &PROCESS, Format::Text);
    let found = parse(&text, Format::Text);
    let helps = text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' '));
    let helps: BTreeMap<&str, &str> = helps.collect();
    let mut all = BTreeMap::new();
    for (name, kind) in &found.families {
        let told = Told { kind: kind.clone(), labels: BTreeSet::new(), meaning: helps[name.as_str()].to_owned() };
        all.insert(name.clone(), told);
    }
    for series in found.series.keys() {
        let (name, labels) = series.split_once('{').unwrap_or((series.as_str(), "}"));
        let known = |suffix: &&str| name.strip_suffix(*suffix).filter(|family| all.contains_key(*family));
        let family = ["", "_bucket", "_sum", "_count"].iter().find_map(known).unwrap();
        let labels = label_pairs(labels.strip_suffix('}').unwrap()).into_iter().map(|(label, _)| label);
        all.get_mut(family).unwrap().labels.extend(labels.filter(|label| label != "le"));
    }
    all
}

/// The names of families in the code.
fn written() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(root().join("src/observe/metrics")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let names_it = |word: &&str| word.starts_with("privatelink_") || word.starts_with("process_");
        let is_name = |word: &&str| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        names.extend(text.split('"').filter(names_it).filter(is_name).map(str::to_owned));
    }
    names
}

#[test]
fn the_manual_tells_of_every_family_and_of_no_other() {
    let (told, exposed) = (told(), exposed(&everything()));
    assert_eq!(exposed.keys().cloned().collect::<BTreeSet<_>>(), written(), "`everything` lacks a family");
    assert_eq!(told.keys().collect::<Vec<_>>(), exposed.keys().collect::<Vec<_>>(), "manual and code");
    for (name, (told, unit)) in &told {
        assert_eq!(told, &exposed[name], "{name}: manual and code");
        let name = name.strip_suffix("_total").unwrap_or(name);
        let expected = if name.ends_with("_timestamp_seconds") || name == "process_start_time_seconds" {
            "seconds since 1970"
        } else if name.ends_with("_seconds") {
            "seconds"
        } else if name.ends_with("_bytes") {
            "bytes"
        } else {
            assert!(!unit.contains("seconds") && !unit.contains("bytes"), "{name}: {unit}");
            unit.as_str()
        };
        assert_eq!(unit, expected, "{name}");
    }
}
