//! A hand-made snapshot: two endpoints in two zones each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use privatelinkd::model::limits::CapCounts;
use privatelinkd::model::{
    AddressEntry, Answer, AnswerHistory, AnswerReason, ApiState, Boottime, Check, CheckHealth, CheckShown, CheckState,
    CheckStats, CredentialsState, Digest, DnsCounts, Endpoint, EndpointIdentity, Event, EventKind, Failure,
    FailureReason, Freshness, HANDOVER_FORMAT, HealthView, HostFacts, Inventory, LastResult, Now, Plan, PlanState,
    Presence, PublisherState, Receipt, Receipts, Slowness, SourceKind, Span, TargetHealth, TargetKey, Timings, Verdict,
    Wall, Zone, ZoneEntry,
};
use privatelinkd::observe::{Build, ConfigState, DnsMeter, EventLog, ProbeLabel, Snapshot, Views};
use privatelinkd::sys::clock::Clock;
use privatelinkd::sys::heartbeat::{StageLife, Stages};
use tokio::sync::watch;

/// 2026-11-22T03:00:00Z, two hours after boot.
pub(crate) const NOW: Now = at(7200);
pub(crate) const ENDPOINTS: [&str; 2] = ["ledger", "orders"];
const ZONES: [&str; 2] = ["cn-hangzhou-h", "cn-hangzhou-i"];

/// An instant, in seconds since boot.
pub(crate) const fn at(seconds: u64) -> Now {
    let wall = Wall(1_795_316_400_000 - 7_200_000 + seconds * 1000);
    Now { boottime: Boottime(Duration::from_secs(seconds)), wall }
}

pub(crate) fn key(endpoint: usize, zone: usize) -> TargetKey {
    TargetKey {
        endpoint: ENDPOINTS[endpoint].parse().unwrap(),
        zone: Zone::Known(ZONES[zone].parse().unwrap()),
        address: format!("10.0.{zone}.{}", 10 + endpoint).parse().unwrap(),
    }
}

pub(crate) fn up() -> CheckHealth {
    let timings = Timings { tcp: Duration::from_micros(400), total: Duration::from_micros(1250), ..Timings::default() };
    let mut stats = CheckStats { late: Duration::from_millis(3), transitions: 1, ..CheckStats::default() };
    (0..10).for_each(|_| stats.count(&Ok(timings)));
    CheckHealth {
        state: CheckState::Up { hold_until: None },
        successes_in_a_row: 10,
        last_success_started: Some(at(7198).boottime),
        successes: Some(Span { first: at(7150).boottime, last: at(7198).boottime }),
        shown: CheckShown {
            last: Some(LastResult { at: at(7198), outcome: Ok(timings) }),
            stats,
            ..CheckShown::default()
        },
        ..CheckHealth::unknown(at(3600))
    }
}

pub(crate) fn down(reason: FailureReason, detail: &str) -> CheckHealth {
    let failure = Failure::new(reason, detail);
    let mut check = up();
    check.state = CheckState::Down { decided: Some(at(7100).boottime) };
    check.since = at(7100);
    check.shown.last = Some(LastResult { at: at(7199), outcome: Err(failure.clone()) });
    check.shown.stats.count(&Err(failure.clone()));
    check.shown.stats.transitions += 1;
    check.shown.last_failure = Some((at(7199), failure));
    check
}

/// Up, and slow until then if that is over.
pub(crate) fn slow(until: Option<u64>) -> CheckHealth {
    let slow = Slowness {
        since: at(7000).boottime,
        until: until.map(|secs| at(secs).boottime),
        median: Duration::from_millis(1500),
        beside: Duration::from_millis(2),
    };
    CheckHealth { slow: Some(slow), ..up() }
}

fn endpoint(n: usize) -> Endpoint {
    let entry = AddressEntry::given_by(SourceKind::Fixed);
    let zones = [0, 1].map(|zone| {
        let addresses = BTreeMap::from([(key(n, zone).address, entry.clone())]);
        (key(n, zone).zone, ZoneEntry { addresses, ..ZoneEntry::default() })
    });
    Endpoint {
        identity: EndpointIdentity::default(),
        probed: true,
        proves_itself: false,
        id: (n == 1).then(|| "ep-bp1i2x3y4z".parse().unwrap()),
        domain: None,
        names: [name(n)].into(),
        leaving: BTreeMap::new(),
        priority: 0,
        zones: zones.into(),
        presence: Presence::Configured,
        sources: [(SourceKind::Fixed, Freshness::Fresh { at: at(7190) })].into(),
        cloud: None,
        missing: None,
        not_found: Default::default(),
        left_out: Default::default(),
        barred: Default::default(),
    }
}

pub(crate) fn name(endpoint: usize) -> privatelinkd::model::HostName {
    format!("gw-{}.example.com", ENDPOINTS[endpoint]).parse().unwrap()
}

fn receipt() -> Receipt {
    Receipt {
        format: HANDOVER_FORMAT,
        digest: Some(Digest::from_bytes(&[7; 16])),
        at: at(7101).wall,
        names: [0, 1].map(|n| (name(n), Verdict::Published)).into(),
        changed: true,
        writes: 2,
        ..Receipt::default()
    }
}

fn hosts() -> PublisherState {
    PublisherState { receipt: Some(receipt()), alive: Some(NOW.boottime), ..PublisherState::default() }
}

/// What the hosts writer says of the name of an endpoint.
pub(crate) fn set_verdict(s: &mut Snapshot, endpoint: usize, verdict: Verdict) {
    let receipt = s.receipts.state_mut(Receipts::HOSTS).receipt.as_mut().unwrap();
    receipt.names.insert(name(endpoint), verdict);
}

pub(crate) fn config() -> ConfigState {
    let expiry_warning = Some(Duration::from_secs(14 * 24 * 3600));
    let probe = |kind, port| ProbeLabel { kind, port, expiry_warning };
    ConfigState {
        paths: vec!["/etc/privatelinkd/config.toml".into()],
        loaded: at(10),
        reloads: 0,
        last_reload_ok: true,
        complaints: Vec::new(),
        changed_on_disk: false,
        without: Vec::new(),
        probes: [("ledger".parse().unwrap(), probe("tcp", 6001)), ("orders".parse().unwrap(), probe("https", 443))]
            .into(),
        publishers: [(Receipts::HOSTS, "/etc/hosts".to_owned())].into(),
    }
}

/// All is well: every target up, every name published.
pub(crate) fn healthy() -> Snapshot {
    let mut targets = BTreeMap::new();
    let mut answers = BTreeMap::new();
    for n in [0, 1] {
        for zone in [0, 1] {
            let health = TargetHealth { checks: [(Check::Path, up())].into_iter().collect() };
            targets.insert(key(n, zone), Arc::new(health));
        }
        let addresses = vec![key(n, 0).address, key(n, 1).address];
        answers.insert(name(n), Answer { addresses, standby: Vec::new(), reason: AnswerReason::Healthy });
    }
    let history = |n| AnswerHistory { changes: n as u64, changed: at(7100), recalled: false, was_out: false };
    let history = [0, 1].map(|n| (name(n), history(n)));
    let session = CredentialsState {
        provider: Some("ecs_role"),
        key_id: Some("STS.…WXYZ".to_owned()),
        expires: Some(at(7200 + 5 * 3600).wall),
        tried: vec![("environment", "ALIBABA_CLOUD_ACCESS_KEY_ID not set".to_owned())],
        failing: None,
    };
    Snapshot {
        build: Build { version: "0.1.0", revision: "abc1234" },
        now: NOW,
        started: at(5),
        config: Arc::new(config()),
        host: Arc::new(HostFacts { zone: Some(ZONES[0].parse().unwrap()), ..HostFacts::default() }),
        api: Arc::new(ApiState {
            requests: [(("ListVpcEndpoints", "ok"), 12), (("ListVpcEndpointZones", "ok"), 12)].into(),
            credentials: Some(session),
        }),
        inventory: Arc::new(Inventory {
            endpoints: [0, 1].map(|n| (ENDPOINTS[n].parse().unwrap(), endpoint(n))).into(),
            disowned: false,
        }),
        capped: CapCounts::default(),
        health: Arc::new(HealthView { targets }),
        plan: PlanState {
            plan: Some(Arc::new(Plan { answers, ..Plan::default() })),
            digest: receipt().digest,
            history: history.into(),
        },
        receipts: Receipts([(Receipts::HOSTS, hosts())].into()),
        dns: None,
        events: Arc::default(),
        stages: vec![StageLife { name: "probe", silent: Duration::from_millis(500), allowed: Duration::from_secs(30) }],
        log_dropped: 0,
    }
}

/// A zone of `orders` is dead, its name has moved, another line shadows `ledger`, the config was refused.
pub(crate) fn degraded() -> Snapshot {
    let mut s = healthy();
    set_target(&mut s, &key(1, 0), down(FailureReason::Refused, "connection refused"));
    let plan = Arc::make_mut(s.plan.plan.as_mut().unwrap());
    let answer = plan.answers.get_mut(&name(1)).unwrap();
    answer.addresses.remove(0);
    answer.reason = AnswerReason::FailedOver;
    set_verdict(&mut s, 0, Verdict::Shadowed);
    let config = Arc::make_mut(&mut s.config);
    config.last_reload_ok = false;
    config.reloads = 1;
    config.complaints = vec!["config.toml:3:1: unknown key \"colour\"".to_owned()];
    let failure = Failure::new(FailureReason::Refused, "connection refused");
    let mut events = EventLog::default();
    let kinds = [
        EventKind::TargetDown { target: key(1, 0), check: Check::Path, failure },
        EventKind::ConfigRefused { complaints: 1, first: "unknown key".to_owned() },
    ];
    for (n, kind) in kinds.into_iter().enumerate() {
        events.push(Arc::new(Event { at: at(7100 + n as u64), kind }));
    }
    s.events = Arc::new(events);
    s
}

pub(crate) fn set_target(s: &mut Snapshot, key: &TargetKey, check: CheckHealth) {
    let health = Arc::make_mut(&mut s.health);
    health.targets.insert(key.clone(), Arc::new(TargetHealth { checks: [(Check::Path, check)].into_iter().collect() }));
}

/// Receivers that show this snapshot for ever.
pub(crate) fn views(s: &Snapshot) -> Views {
    fn fixed<T>(value: &T) -> watch::Receiver<T>
    where
        T: Clone,
    {
        watch::channel(value.clone()).1
    }
    let clock = Clock::System;
    let mut receipts = s.receipts.clone();
    receipts.0.values_mut().for_each(|publisher| publisher.alive = Some(clock.now().boottime));
    Views {
        config: fixed(&s.config),
        host: fixed(&s.host),
        api: fixed(&s.api),
        inventory: fixed(&s.inventory),
        capped: fixed(&s.capped),
        health: fixed(&s.health),
        plan: fixed(&s.plan),
        receipts: fixed(&receipts),
        dns: DnsMeter::new(DnsCounts::default),
        events: fixed(&s.events),
        stages: Stages::new(clock),
        log_drops: Default::default(),
        clock,
        started: clock.now(),
    }
}
