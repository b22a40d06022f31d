use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::model::{
    Check, CheckHealth, EndpointIdentity, Failure, FailureReason, LastResult, Now, ProbeKind, ProbeSpec, Zone,
};
use crate::probe::runner::Probing;

const fn at(s: u64) -> Boottime {
    Boottime(Duration::from_secs(s))
}

fn key(zone: &str) -> TargetKey {
    let address: IpAddr = if zone == "h" { [127, 0, 0, 1].into() } else { [127, 0, 0, 2].into() };
    TargetKey { endpoint: "db".parse().unwrap(), zone: Zone::Known(zone.parse().unwrap()), address }
}

fn spec() -> ProbeSpec {
    let path = Schedule {
        interval: Duration::from_secs(5),
        fast_interval: Duration::from_millis(500),
        timeout: Duration::from_secs(2),
        rise: 3,
        fall: 3,
    };
    ProbeSpec { kind: ProbeKind::Tcp, port: 5432, path, deep: None, hold: Duration::ZERO, returns: Default::default() }
}

fn work() -> TargetSet {
    let targets = ["h", "i"].map(|z| (key(z), TargetSpec { key: key(z), probe: Arc::new(spec()) }));
    TargetSet::from_groups(targets.into(), [[key("h"), key("i")].into()])
}

fn view(h: CheckHealth, i: CheckHealth) -> HealthView {
    let health = |check| Arc::new(TargetHealth { checks: [(Check::Path, check)].into_iter().collect() });
    HealthView { targets: [(key("h"), health(h)), (key("i"), health(i))].into() }
}

fn unknown() -> CheckHealth {
    CheckHealth::unknown(Now::default())
}

fn up(success: u64) -> CheckHealth {
    let state = CheckState::Up { hold_until: None };
    CheckHealth { state, last_success_started: Some(at(success)), ..unknown() }
}

fn down(decided: Option<u64>) -> CheckHealth {
    CheckHealth { state: CheckState::Down { decided: decided.map(at) }, ..unknown() }
}

fn failed(reason: FailureReason) -> CheckHealth {
    let last = LastResult { at: Now::default(), outcome: Err(Failure::new(reason, "x")) };
    let mut failed = unknown();
    failed.shown.last = Some(last);
    failed
}

#[tokio::test(start_paused = true)]
async fn what_takes_a_while_is_told_once() {
    static TOLD: AtomicUsize = AtomicUsize::new(0);
    let on_wait = |_: &str| _ = TOLD.fetch_add(1, Ordering::Relaxed);
    let (scope, clock) = (CredentialScope::Shell, Clock::System);
    let context = LookupContext { scope, clock, on_throttle: |_| {}, on_wait };
    for (takes, told) in [(SLOW / 2, 0), (SLOW * 9, 1)] {
        let done = async {
            tokio::time::sleep(takes).await;
            takes
        };
        assert_eq!((context.telling("asking", done).await, TOLD.load(Ordering::Relaxed)), (takes, told));
    }
}

#[test]
fn a_verdict_is_waited_for_and_then_the_evidence_of_the_others() {
    for (h, i, judged) in [
        (unknown(), up(1), false),
        (up(1), up(1), true),
        (down(Some(3)), up(2), false),
        (down(Some(3)), up(4), true),
        (down(Some(3)), down(Some(5)), true),
        (down(Some(3)), unknown(), false),
        // No other zone mends it, so that none has to prove itself.
        (down(None), up(1), true),
        (failed(FailureReason::Refused), up(1), false),
        (failed(FailureReason::Local), up(1), true),
    ] {
        let view = view(h, i);
        assert_eq!(is_judged(&work(), &view), judged, "{view:?}");
    }
    assert!(!is_judged(&work(), &HealthView::default()));
    assert!(is_judged(&TargetSet::default(), &HealthView::default()));
}

/// One endpoint alone can't tell its own death from this host's.
#[test]
fn a_success_of_anybody_since_the_first_failure_is_waited_for() {
    let failing = |since| CheckHealth { failing_since: Some(at(since)), ..down(Some(since + 1)) };
    let alone = TargetSet::from_groups(work().targets, []);
    for (h, i, judged) in [
        (failing(3), up(2), false),
        (failing(3), up(3), true),
        (failing(3), failing(4), true),
        (CheckHealth { failing_since: Some(at(3)), ..down(None) }, up(1), false),
    ] {
        let view = view(h, i);
        assert_eq!(is_judged(&alone, &view), judged, "{view:?}");
    }
}

#[test]
fn the_slowest_target_sets_the_patience() {
    let probing = Probing { identity: EndpointIdentity::default(), spec: Arc::new(spec()) };
    let probes: Probes = [("a".parse().unwrap(), probing)].into();
    assert_eq!(patience(&probes), Duration::from_secs(19));
    assert_eq!(patience(&Probes::new()), Duration::ZERO);
}
