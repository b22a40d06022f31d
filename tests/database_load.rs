//! What a fleet asks of one database server at the defaults: the table in privatelinkd-guides(7).

use std::time::Duration;

use privatelinkd::config::from_texts;
use privatelinkd::health::{Next, Pace, Rules, Sparing, Tracker};
use privatelinkd::model::{Check, Now, Observation, ProbeKind, ProbeSpec, Timings};
use privatelinkd::probe::FleetSize;
use privatelinkd::probe::tls::Sessions;

use crate::config_files::{ENDPOINT, with_owner, with_secrets};
use crate::manual;

/// What all hosts together do to one address, a second, but for `open`.
struct Load {
    open: f64,
    connections: f64,
    full_tls: f64,
    logins: f64,
    statements: f64,
}

fn load(spec: &ProbeSpec, hosts: f64) -> Load {
    let rate = |interval: Duration| hosts / interval.as_secs_f64();
    let path = rate(spec.path.interval);
    let deep_interval = spec.deep.unwrap().schedule.interval;
    let (deep, shown) = (rate(deep_interval), rate(Sessions::LIFETIME));
    // Tickets live five minutes; a check that comes more seldom shakes hands in full each time.
    let full_deep = rate(deep_interval.max(Sessions::LIFETIME));
    let (open, connections) = match spec.kind {
        // A connection is kept, and pinged.
        ProbeKind::Mysql(_) => (hosts, deep),
        _ => (0.0, path + deep),
    };
    let full_tls = match spec.kind {
        // The kept one shook hands once.
        ProbeKind::Mysql(_) => full_deep,
        _ => shown + full_deep,
    };
    Load { open, connections, full_tls, logins: deep, statements: deep }
}

fn spec(kind: &str, hosts: u32) -> ProbeSpec {
    let login = if kind == "tdengine" {
        "token_file = \"/etc/privatelinkd/orders.token\""
    } else {
        "user = \"probe\", password_file = \"/etc/privatelinkd/ledger.pw\""
    };
    let text = format!("[host]\nfleet_size = {hosts}\n{ENDPOINT}probe = {{ kind = \"{kind}\", {login} }}\n");
    let (_folder, text) = with_secrets(&text);
    let loaded = from_texts(&[("config.toml", &text)], &with_owner()).unwrap_or_else(|c| panic!("{c}"));
    ProbeSpec::clone(loaded.config.endpoints.into_values().next().unwrap().probe.as_ref().unwrap())
}

/// Two digits that count.
fn number(n: f64) -> String {
    let text = if n >= 10.0 || n == 0.0 { format!("{n:.0}") } else { format!("{n:.2}") };
    let whole = text.split('.').next().unwrap().len();
    if whole < 4 { text } else { format!("{},{}", &text[..whole - 3], &text[whole - 3..]) }
}

#[test]
fn what_a_fleet_asks_of_one_server_is_what_the_manual_says() {
    let page = manual::page("privatelinkd-guides.7");
    let mut missing = Vec::new();
    for kind in ["matrixone", "mysql", "tdengine"] {
        for hosts in [10_u32, 3_000, 50_000] {
            let Load { open, connections, full_tls, logins, statements } = load(&spec(kind, hosts), f64::from(hosts));
            assert!(logins <= 10.01, "{kind}, {hosts} hosts: {logins} logins a second");
            let numbers = [f64::from(hosts), open, connections, full_tls, logins, statements].map(number);
            let [hosts, open, connections, full_tls, logins, statements] = numbers;
            let row = format!(
                "{kind:<9}  {hosts:>6}  {open:>6}  {connections:>11}  {full_tls:>4}  {logins:>6}  {statements:>10}"
            );
            println!("{row}");
            missing.extend((!page.lines().any(|line| line == row)).then_some(row));
        }
    }
    assert!(missing.is_empty(), "the manual lacks\n{}", missing.join("\n"));
}

#[test]
fn without_a_login_a_fleet_greets_a_server_ten_times_a_second_at_most() {
    for (hosts, expected) in [(10_u32, "0.17"), (600, "10"), (3_000, "10"), (50_000, "10")] {
        let schedule = spec("mysql", hosts).path;
        let mut tracker = Tracker::new(
            Rules { check: Check::Path, schedule, hold: Duration::ZERO, in_flight: 1, returns: Default::default() },
            Now::default(),
        );
        let pace = Pace::Sparing(Sparing { apart: FleetSize::new(hosts).apart(10) });
        tracker.set_pace(pace, Now::default());
        tracker.begin(Now::default(), Duration::ZERO);
        let answered = Observation {
            started: Now::default().boottime,
            ended: Now::default().boottime,
            outcome: Ok(Timings::default()),
        };
        let Next::Regular(wait) = tracker.observe(&answered, Now::default()).next else { panic!("nothing is amiss") };
        assert_eq!(number(f64::from(hosts) / wait.as_secs_f64()), expected, "{hosts} hosts");
    }
}
