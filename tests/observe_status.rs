//! `status`: the report, its round trip, the table, and the yes or no of readiness and health.

use std::sync::Arc;
use std::time::Duration;

use privatelinkd::model::shown::is_unseen;
use privatelinkd::model::{
    AnswerReason, Check, CheckHealth, CheckState, CredentialsState, FailureReason, Freshness, PlanState, Presence,
    PublishErrorKind, PublisherState, Receipts, SourceKind, TargetHealth, Verdict, Wall,
};
use privatelinkd::observe::Snapshot;
use privatelinkd::observe::status::{
    Screen, State, StatusReport, Style, healthy as is_healthy, ready, report, sentence, table,
};

use proptest::prelude::*;
use proptest::test_runner::Config;

use crate::observe_fixture::{at, degraded, down, healthy, key, name, set_target, slow, up};
use crate::support::cases;

fn problems(s: &Snapshot) -> Vec<String> {
    let report = report(s);
    assert_eq!(report.state == State::Ok, report.problems.is_empty());
    report.problems
}

#[test]
fn the_healthy_table() {
    let expected = "\
all is well: 2 names, 2 endpoints
privatelinkd 0.1.0, up 1h59m, host zone cn-hangzhou-h, config /etc/privatelinkd/config.toml loaded 1h59m ago

ENDPOINT  PROBE      ZONE           ADDRESS    STATE  SINCE  LATENCY, NOTES
ledger    tcp:6001   cn-hangzhou-h  10.0.0.10  up     1h00m  1.2 ms
                     cn-hangzhou-i  10.0.1.10  up     1h00m  1.2 ms
orders    https:443  cn-hangzhou-h  10.0.0.11  up     1h00m  1.2 ms
                     cn-hangzhou-i  10.0.1.11  up     1h00m  1.2 ms

NAME                   POINTS AT                  WHY      CHANGED    PUBLISHED
gw-ledger.example.com  10.0.0.10 (cn-hangzhou-h)  healthy  1m40s ago  hosts: published
                       10.0.1.10 (cn-hangzhou-i)
gw-orders.example.com  10.0.0.11 (cn-hangzhou-h)  healthy  1m40s ago  hosts: published
                       10.0.1.11 (cn-hangzhou-i)

CREDENTIALS  KEY        EXPIRES   NOTES
ecs_role     STS.…WXYZ  in 5h00m  in use
environment                       ALIBABA_CLOUD_ACCESS_KEY_ID not set
";
    assert_text(&table(&report(&healthy()), Style::default()), expected);
}

#[test]
fn the_degraded_table() {
    let expected = "\
degraded: 3 problems
  - orders: 10.0.0.11 in cn-hangzhou-h is down: refused: connection refused
  - gw-ledger.example.com is shadowed: another line for it stands before ours or beside it; `privatelinkd hosts adopt` takes the name out of that
  - the config was refused, an older one is in force: config.toml:3:1: unknown key \"colour\"
privatelinkd 0.1.0, up 1h59m, host zone cn-hangzhou-h, config /etc/privatelinkd/config.toml loaded 1h59m ago

ENDPOINT  PROBE      ZONE           ADDRESS    STATE  SINCE  LATENCY, NOTES
ledger    tcp:6001   cn-hangzhou-h  10.0.0.10  up     1h00m  1.2 ms
                     cn-hangzhou-i  10.0.1.10  up     1h00m  1.2 ms
orders    https:443  cn-hangzhou-h  10.0.0.11  down   1m40s  refused (path check, 1s ago): connection refused
                     cn-hangzhou-i  10.0.1.11  up     1h00m  1.2 ms

NAME                   POINTS AT                  WHY          CHANGED    PUBLISHED
gw-ledger.example.com  10.0.0.10 (cn-hangzhou-h)  healthy      1m40s ago  hosts: shadowed
                       10.0.1.10 (cn-hangzhou-i)
gw-orders.example.com  10.0.1.11 (cn-hangzhou-i)  failed_over  1m40s ago  hosts: published

CREDENTIALS  KEY        EXPIRES   NOTES
ecs_role     STS.…WXYZ  in 5h00m  in use
environment                       ALIBABA_CLOUD_ACCESS_KEY_ID not set

WHEN                  AGO    SEVERITY  EVENT
2026-11-22T02:58:20Z  1m40s  warning   orders/cn-hangzhou-h/10.0.0.11: down, path check: refused: connection refused
2026-11-22T02:58:21Z  1m39s  error     config refused, an older one is in force; complaints: 1, the first: unknown key
";
    assert_text(&table(&report(&degraded()), Style { events: true, ..Style::default() }), expected);
}

fn assert_text(found: &str, expected: &str) {
    assert_eq!(found, expected, "\n{found}");
}

#[test]
fn colours_only_when_asked_for_and_columns_stay_aligned() {
    let plain = table(&report(&degraded()), Style { events: true, ..Style::default() });
    assert!(!plain.contains('\x1b'));
    let coloured = table(&report(&degraded()), Style { screen: Screen { color: true, width: None }, events: true });
    assert!(coloured.starts_with("\x1b[31mdegraded: 3 problems\x1b[0m\n"));
    let mut stripped = coloured;
    for sgr in ["\x1b[0m", "\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[33m"] {
        stripped = stripped.replace(sgr, "");
    }
    assert_eq!(stripped, plain);
    // Each column begins in the same place in every line of its table.
    let column = plain.lines().find(|l| l.starts_with("ENDPOINT")).unwrap().find("ADDRESS").unwrap();
    let rows = plain.lines().skip_while(|l| !l.starts_with("ENDPOINT")).skip(1).take(4);
    for line in rows {
        assert_eq!(&line[column..column + 5], "10.0.", "{line}");
    }
}

#[test]
fn the_report_survives_json() {
    for snapshot in [healthy(), degraded()] {
        let report = report(&snapshot);
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<StatusReport>(&json).unwrap(), report);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["schema"], 1);
        let orders = &value["endpoints"]["orders"];
        assert_eq!(orders["zones"]["cn-hangzhou-i"]["10.0.1.11"]["state"], "up");
        assert_eq!(orders["zones"]["cn-hangzhou-i"]["10.0.1.11"]["since"]["at"], "2026-11-22T02:00:00Z");
        assert_eq!(value["names"]["gw-orders.example.com"]["verdicts"]["hosts"], "published");
    }
}

#[test]
fn all_is_well_when_it_is() {
    let s = healthy();
    assert_eq!(problems(&s), [""; 0]);
    assert_eq!((ready(&s), is_healthy(&s)), (Ok(()), Ok(())));
}

/// One change to a healthy snapshot, and the words that must then be in the one problem.
type Case = (fn(&mut Snapshot), &'static str, bool);

const CREDENTIALS: [Case; 3] = [
    (
        |s| credentials(s).failing = Some("metadata service: status 503".into()),
        "the credentials of ecs_role can't be refreshed, the old ones serve until 2026-11-22T08:00:00Z: metadata",
        true,
    ),
    (
        |s| {
            credentials(s).provider = None;
            credentials(s).tried = vec![("uri", "no".into())];
        },
        "no credentials for the cloud's API: uri: no",
        true,
    ),
    (
        |s| {
            credentials(s).provider = None;
            credentials(s).tried.push(("ecs_role", "no role".into()));
        },
        "no credentials for the cloud's API: none of 2 providers has any",
        true,
    ),
];

/// The hosts file and its writer.
const HOSTS: [Case; 15] = [
    (|s| s.receipts = Receipts::default(), "/etc/hosts is not in sync: no word from the writer yet", false),
    (|s| s.plan.digest = None, "/etc/hosts is not in sync: the present plan is not written yet", false),
    (
        |s| hosts(s).alive.as_mut().unwrap().0 -= Receipts::SILENT_AFTER,
        "not in sync: the hosts writer has shown no sign of life for 30 s",
        false,
    ),
    (|s| receipt(s).error = Some(PublishErrorKind::Io), "not in sync: the system refused to write it", false),
    (
        |s| {
            receipt(s).error = Some(PublishErrorKind::Io);
            receipt(s).error_detail = Some("disk full".into());
        },
        "not in sync: disk full",
        false,
    ),
    (|s| removed(s, None), "not in sync: taken out by `hosts remove` since 1970-01-01T00:00:07Z, `hosts apply`", false),
    (
        |s| removed(s, Some(PublishErrorKind::Io)),
        "not in sync: `hosts remove` of 1970-01-01T00:00:07Z is not carried out: the system refused to write it",
        false,
    ),
    (
        |s| removed(s, Some(PublishErrorKind::BadHandover)),
        "`hosts apply` puts it back; the hand-over could not be read",
        false,
    ),
    (|s| receipt(s).in_conflict = true, "/etc/hosts: somebody keeps removing our block", false),
    (|s| verdict(s, Verdict::Shadowed), "gw-orders.example.com is shadowed", false),
    (|s| receipt(s).rewriters.push("line 3 comes back".into()), "/etc/hosts: line 3 comes back", false),
    (
        |s| verdict(s, Verdict::Unreadable),
        "/etc/hosts: not every user may read it, and its names serve only those who may: chmod o+r /etc/hosts",
        false,
    ),
    (|s| verdict(s, Verdict::Refused), "gw-orders.example.com is refused", false),
    (|s| verdict(s, Verdict::Pending), "not in sync: 1 name is not written", false),
    (
        |s| {
            receipt(s).names.remove(&name(0));
        },
        "not in sync: 1 name is not written",
        false,
    ),
];

#[test]
fn each_thing_that_is_not_well_is_said_once() {
    let cases: [Case; 6] = [
        (
            |s| set_target(s, &key(0, 1), down(FailureReason::Timeout, "no answer")),
            "10.0.1.10 in cn-hangzhou-i is down: timeout: no answer",
            true,
        ),
        (|s| stale(s), "ledger: source fixed is stale: broken", true),
        (|s| s.plan = PlanState::default(), "no plan yet", false),
        (|s| Arc::make_mut(&mut s.config).last_reload_ok = false, "the config was refused", true),
        (|s| Arc::make_mut(&mut s.config).changed_on_disk = true, "changed on disk and is not loaded", true),
        (
            |s| s.stages[0].silent = Duration::from_secs(31),
            "stage probe is overdue: silent for 31 s, allowed 30 s",
            true,
        ),
    ];
    for (change, words, is_ready) in cases.into_iter().chain(CREDENTIALS).chain(HOSTS) {
        let mut s = healthy();
        change(&mut s);
        let found = problems(&s);
        assert!(found.len() == 1 && found[0].contains(words), "expected {words:?}, found {found:?}");
        assert_eq!(ready(&s).is_ok(), is_ready, "{words}");
        assert_eq!(is_healthy(&s).is_ok(), !words.starts_with("stage"), "{words}");
        assert!(table(&report(&s), Style::default()).starts_with("degraded: 1 problem\n"));
    }
}

fn credentials(s: &mut Snapshot) -> &mut CredentialsState {
    Arc::make_mut(&mut s.api).credentials.as_mut().unwrap()
}

#[test]
fn credentials_are_shown_where_the_api_is_asked() {
    let shown = |s: &Snapshot| table(&report(s), Style::default());
    let mut s = healthy();
    *credentials(&mut s) = CredentialsState::default();
    let asked = "the cloud's API has not been asked yet";
    let headline = format!("all is well so far: 2 names, 2 endpoints; {asked}\n");
    assert!(shown(&s).starts_with(&headline), "{}", shown(&s));
    assert!(shown(&s).lines().any(|l| l.starts_with("not asked ") && l.ends_with(asked)), "{}", shown(&s));
    assert_eq!(problems(&s), [""; 0], "nobody was asked yet");
    credentials(&mut s).provider = Some("access_key");
    assert!(shown(&s).contains("access_key        never    in use"), "{}", shown(&s));
    Arc::make_mut(&mut s.api).credentials = None;
    assert!(!shown(&s).contains("CREDENTIALS"));
    assert_eq!(report(&s).credentials, None);
}

fn removed(s: &mut Snapshot, error: Option<PublishErrorKind>) {
    (receipt(s).removed, receipt(s).error) = (Some(Wall(7000)), error);
}

fn receipt(s: &mut Snapshot) -> &mut privatelinkd::model::Receipt {
    hosts(s).receipt.as_mut().unwrap()
}

fn hosts(s: &mut Snapshot) -> &mut PublisherState {
    s.receipts.state_mut(Receipts::HOSTS)
}

fn verdict(s: &mut Snapshot, verdict: Verdict) {
    receipt(s).names.insert(name(1), verdict);
}

fn stale(s: &mut Snapshot) {
    let inventory = Arc::make_mut(&mut s.inventory);
    let freshness = Freshness::Stale { since: at(100), error: "broken".to_owned() };
    inventory
        .endpoints
        .get_mut("ledger".parse::<privatelinkd::model::EndpointName>().as_ref().unwrap())
        .unwrap()
        .sources
        .insert(SourceKind::Fixed, freshness);
}

#[test]
fn what_many_endpoints_lack_is_one_problem() {
    let mut s = healthy();
    let freshness = Freshness::Stale { since: at(100), error: "forbidden".to_owned() };
    for endpoint in Arc::make_mut(&mut s.inventory).endpoints.values_mut() {
        endpoint.sources.insert(SourceKind::Api, freshness.clone());
    }
    let [first, second] = [key(0, 0).endpoint, key(1, 0).endpoint];
    let (first, second) = (first.clone().min(second.clone()), first.max(second));
    assert_eq!(problems(&s), [format!("{first}, {second}: source api is stale: forbidden")]);
    // Whose keys are missing is said there, and not once more beside it.
    let told = "no credentials: no provider has any: attach a RAM role";
    for endpoint in Arc::make_mut(&mut s.inventory).endpoints.values_mut() {
        let freshness = Freshness::Stale { since: at(100), error: told.to_owned() };
        endpoint.sources.insert(SourceKind::Api, freshness);
    }
    *credentials(&mut s) = CredentialsState { tried: vec![("uri", "no".into())], ..CredentialsState::default() };
    assert_eq!(problems(&s), [format!("{first}, {second}: source api is stale: {told}")]);
}

#[test]
fn what_leaves_is_no_problem() {
    let mut s = healthy();
    set_target(&mut s, &key(0, 0), down(FailureReason::Refused, "x"));
    set_target(&mut s, &key(1, 0), down(FailureReason::Refused, "x"));
    let inventory = Arc::make_mut(&mut s.inventory);
    let leaving = inventory.endpoints.get_mut(&key(0, 0).endpoint).unwrap();
    leaving.presence = Presence::Removed { since: at(100).boottime };
    leaving.sources.insert(SourceKind::Api, Freshness::Stale { since: at(100), error: "broken".to_owned() });
    let zones = &mut inventory.endpoints.get_mut(&key(1, 0).endpoint).unwrap().zones;
    zones.get_mut(&key(1, 0).zone).unwrap().addresses.get_mut(&key(1, 0).address).unwrap().retired =
        Some(at(7000).boottime);
    assert_eq!(problems(&s), [""; 0]);
    let shown = table(&report(&s), Style::default());
    assert!(shown.contains("no longer given by any source") && shown.contains("left the config"), "{shown}");
}

#[test]
fn without_a_hosts_file_a_plan_is_enough() {
    let mut s = healthy();
    Arc::make_mut(&mut s.config).publishers.clear();
    s.receipts = Receipts::default();
    assert_eq!(ready(&s), Ok(()));
    assert!(report(&s).publishers.is_empty());
}

#[test]
fn a_hold_shows_what_is_left_of_it() {
    let mut s = healthy();
    let mut check = up();
    check.state = CheckState::Up { hold_until: Some(at(7212).boottime) };
    set_target(&mut s, &key(0, 0), check);
    assert!(table(&report(&s), Style::default()).contains("on hold for 12s"));
}

#[test]
fn an_endpoint_without_addresses_is_shown_and_an_awaited_probe_is_unknown() {
    let mut s = healthy();
    s.health = Arc::default();
    let inventory = Arc::make_mut(&mut s.inventory);
    inventory.endpoints.get_mut(&key(0, 0).endpoint).unwrap().zones.clear();
    let shown = table(&report(&s), Style::default());
    assert!(shown.lines().any(|l| l.starts_with("ledger") && l.contains("none found yet")), "{shown}");
    assert_eq!(shown.lines().filter(|l| l.contains("cn-hangzhou") && l.contains(" unknown")).count(), 2, "{shown}");
    Arc::make_mut(&mut s.config).probes.clear();
    let shown = table(&report(&s), Style::default());
    assert_eq!(shown.lines().filter(|l| l.ends_with("unprobed")).count(), 2, "{shown}");
}

proptest! {
    #![proptest_config(Config { cases: cases() / 4, ..Config::default() })]

    /// `status` reads what a socket gives it.
    #[test]
    fn no_report_breaks_the_table(cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)) {
        let mut json = serde_json::to_vec(&report(&degraded())).unwrap();
        for (at, byte) in cuts {
            let at = at.index(json.len());
            json[at] = byte;
        }
        if let Ok(report) = serde_json::from_slice::<StatusReport>(&json) {
            let shown = table(&report, Style { events: true, ..Style::default() });
            prop_assert!(!shown.chars().any(|c| is_unseen(c) && c != '\n'), "{shown}");
        }
    }
}

/// The report comes from another process, and repeats what servers said.
#[test]
fn nothing_in_a_report_is_obeyed_by_a_terminal() {
    let mut report = report(&degraded());
    report.problems.push("\u{1b}]0;title\u{7}10.0.0.\u{202e}21\u{200b}\n".to_owned());
    report.config.complaints = vec!["first".to_owned(), "a\n  --> \u{9b}2J\u{ad}\n  | b".to_owned()];
    let shown = table(&report, Style { events: true, ..Style::default() });
    assert!(shown.contains("\n  - \\u{1b}]0;title\\u{7}10.0.0.\\u{202e}21\\u{200b}\\n\n"), "{shown}");
    assert!(shown.contains("\n  config: \\u{9b}2J\\u{ad}: a\n"), "{shown}");
}

#[test]
fn a_receipt_of_another_plan_leaves_its_names_pending() {
    let mut snapshot = healthy();
    receipt(&mut snapshot).digest = None;
    let stale = report(&snapshot);
    assert!(stale.names.values().all(|n| n.verdicts["hosts"] == Verdict::Pending));
    assert!(!stale.publishers["hosts"].in_sync);
    hosts(&mut snapshot).receipt = None;
    let names = report(&snapshot).names;
    assert!(names.values().all(|n| n.verdicts["hosts"] == Verdict::Pending), "no word from the writer yet");
}

/// It is not gone, it was never there; and a name without any address is not published.
#[test]
fn an_endpoint_that_was_never_there_is_said_with_what_to_compare() {
    let mut s = healthy();
    let inventory = Arc::make_mut(&mut s.inventory);
    let (name, endpoint) = inventory.endpoints.iter_mut().next().map(|(n, e)| (n.to_string(), e)).unwrap();
    endpoint.not_found = [privatelinkd::model::SourceKind::Api].into();
    endpoint.zones.clear();
    let names = endpoint.names.clone();
    Arc::make_mut(s.plan.plan.as_mut().unwrap()).answers.retain(|n, _| !names.contains(n));
    let report = report(&s);
    assert_eq!(report.state, State::Degraded);
    let said = report.problems.join("\n");
    for part in ["not found: the API has no endpoint", "ecs_role STS.…WXYZ", "compare id, region and account"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let host = names.first().unwrap();
    assert!(said.contains(&format!("{name}: no address is known yet, so {host} is not published")), "{said}");
    assert!(!said.contains("is gone"), "{said}");
    assert!(report.endpoints.values().any(|e| e.not_found));
    let row = &report.names[host];
    assert!(row.verdicts.values().all(|verdict| *verdict == Verdict::Pending) && !row.verdicts.is_empty());
    assert_eq!(serde_json::to_value(row.reason).unwrap(), "unresolved");
    let table = table(&report, Style::default());
    assert!(
        table.lines().any(|l| l.contains(host.as_str()) && l.contains("no address yet") && l.contains("unresolved")),
        "{table}"
    );
    // A host that never gets it is ready for all else, and goes on saying so.
    let now = s.now.boottime.0;
    for (age, is_ready) in [(0, false), (299, false), (300, true)] {
        let loaded = privatelinkd::model::Boottime(now - Duration::from_secs(age));
        Arc::make_mut(&mut s.config).loaded.boottime = loaded;
        assert_eq!(ready(&s).is_ok(), is_ready, "{age} s");
    }
    let still: StatusReport = privatelinkd::observe::status::report(&s);
    assert_eq!(still.state, State::Degraded);
}

#[test]
fn a_slow_address_is_a_problem_while_it_is_slow() {
    let said =
        "orders: 10.0.0.11 in cn-hangzhou-h is slow: its path check takes 1500 ms, a sibling's 2 ms (medians of ten)";
    for (check, expected) in [(slow(None), vec![said]), (slow(Some(7100)), vec![])] {
        let mut s = healthy();
        set_target(&mut s, &key(1, 0), check);
        assert_eq!(problems(&s), expected);
    }
}

#[test]
fn a_name_that_failed_over_where_no_login_passes_is_on_weaker_evidence() {
    let said = "gw-orders.example.com has failed over on weaker evidence: no login passes at 10.0.1.11, only the path is \
                proven";
    let dead = || down(FailureReason::BackendDown, "the backend is down");
    let world = |reason: AnswerReason, logins: [Option<CheckHealth>; 2]| {
        let mut s = healthy();
        let plan = Arc::make_mut(s.plan.plan.as_mut().unwrap());
        let answer = plan.answers.get_mut(&name(1)).unwrap();
        (answer.reason, answer.addresses) = (reason, vec![key(1, 1).address]);
        for (zone, login) in logins.into_iter().enumerate() {
            let checks = [(Check::Path, up())].into_iter().chain(login.map(|login| (Check::Deep, login)));
            let health = TargetHealth { checks: checks.collect() };
            Arc::make_mut(&mut s.health).targets.insert(key(1, zone), Arc::new(health));
        }
        problems(&s).into_iter().any(|problem| problem == said)
    };
    assert!(world(AnswerReason::FailedOver, [Some(dead()), None]), "an endpoint without a login");
    assert!(world(AnswerReason::FailedOver, [Some(dead()), Some(down(FailureReason::Auth, "denied"))]), "nor may it");
    assert!(!world(AnswerReason::FailedOver, [Some(dead()), Some(up())]));
    assert!(!world(AnswerReason::FailedOver, [None, None]), "nothing could be stronger");
    assert!(!world(AnswerReason::AllDownKept, [Some(dead()), None]), "it moved nowhere");
}

#[test]
fn a_name_of_which_nothing_answers_comes_before_every_zone() {
    let mut s = healthy();
    let die = |s: &mut Snapshot, zone| set_target(s, &key(1, zone), down(FailureReason::Refused, "connection refused"));
    let answer = |s: &mut Snapshot, reason| {
        Arc::make_mut(s.plan.plan.as_mut().unwrap()).answers.get_mut(&name(1)).unwrap().reason = reason;
    };
    die(&mut s, 0);
    answer(&mut s, AnswerReason::FailedOver);
    assert!(sentence(&s).starts_with("degraded: orders: 10.0.0.11 in cn-hangzhou-h is down"), "{}", sentence(&s));
    die(&mut s, 1);
    answer(&mut s, AnswerReason::AllDownKept);
    let said = "gw-orders.example.com: no zone answers, the name stays on 10.0.0.11, 10.0.1.11";
    assert_eq!(sentence(&s), format!("degraded: {said} (and 2 more)"));
    // A zone's own name has no other zone.
    let mut pinned = s.clone();
    Arc::make_mut(pinned.plan.plan.as_mut().unwrap()).zone_names = [name(1)].into();
    assert!(sentence(&pinned).starts_with("degraded: orders: 10.0.0.11"), "{}", sentence(&pinned));
    // Where a server can be reached it is not silent.
    let refused = down(FailureReason::Auth, "denied");
    let health = TargetHealth { checks: [(Check::Path, up()), (Check::Deep, refused)].into_iter().collect() };
    Arc::make_mut(&mut s.health).targets.insert(key(1, 1), Arc::new(health));
    assert!(sentence(&s).contains("no zone passes its checks, the name stays on"), "{}", sentence(&s));
}

/// Probes of this life know nothing yet of what the agent before this start knew.
#[test]
fn an_outage_from_before_the_start_is_said_until_something_passes() {
    let said = "gw-orders.example.com: nothing answered before the agent began, and no zone has passed its checks since, \
                the name stays on 10.0.0.11, 10.0.1.11";
    let mut s = healthy();
    let plan = |s: &mut Snapshot, reason| {
        Arc::make_mut(s.plan.plan.as_mut().unwrap()).answers.get_mut(&name(1)).unwrap().reason = reason;
    };
    s.health = Arc::default();
    plan(&mut s, AnswerReason::AllDownKept);
    s.plan.history.clear();
    assert_eq!(problems(&s), [said], "the plan is the one that was kept");
    plan(&mut s, AnswerReason::Unprobed);
    assert_eq!(problems(&s), [""; 0], "it was not out");
    s.plan.history = healthy().plan.history;
    s.plan.history.get_mut(&name(1)).unwrap().was_out = true;
    assert_eq!(problems(&s), [said], "nothing is judged yet");
    let login = |s: &mut Snapshot, login: CheckHealth| {
        let health = TargetHealth { checks: [(Check::Path, up()), (Check::Deep, login)].into_iter().collect() };
        Arc::make_mut(&mut s.health).targets.insert(key(1, 1), Arc::new(health));
    };
    login(&mut s, CheckHealth::unknown(at(7190)));
    assert_eq!(problems(&s), [said], "it may have been the login");
    login(&mut s, up());
    assert_eq!(problems(&s), [""; 0]);
}

#[test]
fn the_row_of_a_refused_password_says_why_no_name_leaves() {
    let vain = "no name leaves it for that: no other address would mend it";
    let row = |path: CheckHealth, deep: CheckHealth| {
        let mut s = healthy();
        let health = TargetHealth { checks: [(Check::Path, path), (Check::Deep, deep)].into_iter().collect() };
        Arc::make_mut(&mut s.health).targets.insert(key(1, 0), Arc::new(health));
        let shown = table(&report(&s), Style::default());
        shown.lines().find(|line| line.contains("10.0.0.11") && line.contains("https:443")).unwrap().to_owned()
    };
    let denied = || down(FailureReason::Auth, "denied");
    assert!(row(up(), denied()).ends_with(&format!("auth (deep check, 1s ago): denied; {vain}")));
    for (path, deep) in [
        (down(FailureReason::Refused, "x"), denied()),
        (up(), down(FailureReason::BackendDown, "x")),
        (up(), down(FailureReason::Overloaded, "x")),
        (up(), up()),
    ] {
        let row = row(path, deep);
        assert!(!row.contains(vain), "{row}");
    }
}
