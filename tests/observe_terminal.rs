//! `status` in terminals of several widths: every line is whole, and so is every word but a name that is shortened.

use std::sync::Arc;

use privatelinkd::model::{
    AnswerReason, CredentialsState, FailureReason, Freshness, HealthView, PlanState, Receipts, SourceKind,
};
use privatelinkd::observe::Snapshot;
use privatelinkd::observe::status::{Screen, Style, report, table};

use crate::observe_fixture::{at, degraded, down, healthy, key, name, set_target};

fn shown(s: &Snapshot, width: Option<usize>) -> String {
    table(&report(s), Style { screen: Screen { color: false, width }, events: true })
}

/// Nothing answers on `orders`: the name stays.
fn all_down() -> Snapshot {
    let mut s = healthy();
    for zone in [0, 1] {
        set_target(&mut s, &key(1, zone), down(FailureReason::Timeout, "no answer to the greeting within 2s"));
    }
    let plan = Arc::make_mut(s.plan.plan.as_mut().unwrap());
    plan.answers.get_mut(&name(1)).unwrap().reason = AnswerReason::AllDownKept;
    s
}

fn forbidden() -> Snapshot {
    let mut s = healthy();
    let error = "denied: Forbidden.RAM: privatelink:ListVpcEndpoints is not allowed (request id \
                 5D3A1C2B-0000-4444-8888-ABCDEF012345)";
    for endpoint in Arc::make_mut(&mut s.inventory).endpoints.values_mut() {
        endpoint.sources.insert(SourceKind::Api, Freshness::Stale { since: at(100), error: error.to_owned() });
    }
    s
}

fn without_credentials() -> Snapshot {
    let mut s = healthy();
    let tried = [
        ("environment", "ALIBABA_CLOUD_ACCESS_KEY_ID not set"),
        ("cli_config", "/var/lib/privatelinkd/.aliyun/config.json: there is none"),
        ("ecs_role", "metadata service: status 404: no role is attached to this instance"),
    ];
    let tried = tried.map(|(provider, why)| (provider, why.to_owned())).into();
    Arc::make_mut(&mut s.api).credentials = Some(CredentialsState { tried, ..CredentialsState::default() });
    s
}

/// Just started, for the first time.
fn fresh() -> Snapshot {
    let mut s = healthy();
    (s.health, s.plan, s.receipts) = (Arc::new(HealthView::default()), PlanState::default(), Receipts::default());
    Arc::make_mut(&mut s.inventory).endpoints.values_mut().for_each(|endpoint| endpoint.zones.clear());
    s
}

/// Its name, and how it is made.
type Situation = (&'static str, fn() -> Snapshot);

const STATES: [Situation; 6] = [
    ("healthy", healthy),
    ("one zone down", degraded),
    ("all down", all_down),
    ("API forbidden", forbidden),
    ("no credentials", without_credentials),
    ("fresh", fresh),
];

/// True if what is left of a word on both sides of `…` is of this one.
fn is_shortened(word: &str, whole: &str) -> bool {
    let ends = word.split_once('…');
    ends.is_some_and(|(begin, end)| whole.starts_with(begin) && whole.ends_with(end))
}

#[test]
fn no_line_is_too_long_and_no_word_is_broken() {
    for (state, snapshot) in STATES {
        let whole = shown(&snapshot(), None);
        let words: Vec<&str> = whole.split_whitespace().collect();
        let addresses = |text: &str| text.matches("10.0.").count();
        for width in [40, 80, 100, 120] {
            let text = shown(&snapshot(), Some(width));
            for line in text.lines() {
                let fits = line.chars().count() <= width || line.split_whitespace().count() == 1;
                assert!(fits, "{state}, {width}: {line:?} in\n{text}");
            }
            for word in text.split_whitespace() {
                let is_whole = words.contains(&word) || words.iter().any(|whole| is_shortened(word, whole));
                assert!(is_whole, "{state}, {width}: {word:?} in\n{text}");
            }
            assert_eq!(addresses(&text), addresses(&whole), "{state}, {width}:\n{text}");
        }
        assert_eq!(shown(&snapshot(), Some(1000)), whole, "{state}");
    }
}

#[test]
fn all_is_well_in_80_columns() {
    let expected = "\
all is well: 2 names, 2 endpoints
privatelinkd 0.1.0, up 1h59m, host zone cn-hangzhou-h, config
  /etc/privatelinkd/config.toml loaded 1h59m ago

ENDPOINT  PROBE      ZONE           ADDRESS    STATE  SINCE  LATENCY, NOTES
ledger    tcp:6001   cn-hangzhou-h  10.0.0.10  up     1h00m  1.2 ms
                     cn-hangzhou-i  10.0.1.10  up     1h00m  1.2 ms
orders    https:443  cn-hangzhou-h  10.0.0.11  up     1h00m  1.2 ms
                     cn-hangzhou-i  10.0.1.11  up     1h00m  1.2 ms

NAME                   POINTS AT                  WHY      CHANGED    PUBLISHED
gw-ledger.example.com  10.0.0.10 (cn-hangzhou-h)  healthy  1m40s ago  hosts:
                       10.0.1.10 (cn-hangzhou-i)                      published
gw-orders.example.com  10.0.0.11 (cn-hangzhou-h)  healthy  1m40s ago  hosts:
                       10.0.1.11 (cn-hangzhou-i)                      published

CREDENTIALS  KEY        EXPIRES   NOTES
ecs_role     STS.…WXYZ  in 5h00m  in use
environment                       ALIBABA_CLOUD_ACCESS_KEY_ID not set

";
    let found = shown(&healthy(), Some(80));
    assert_eq!(found, expected, "\n{found}");
}

#[test]
fn a_zone_is_down_in_80_columns() {
    let mut s = degraded();
    let receipt = s.receipts.state_mut(Receipts::HOSTS).receipt.as_mut().unwrap();
    receipt.shadowing.insert(name(0), 7);
    let place = "config.toml:3:1: error: unknown key \"colour\"";
    Arc::make_mut(&mut s.config).complaints =
        vec!["error: unknown key \"colour\"\n --> config.toml:3:1\n  |\n3 | colour = 1\n".to_owned()];
    let expected = "\
degraded: 3 problems
  - orders: 10.0.0.11 in cn-hangzhou-h is down: refused: connection refused
  - gw-ledger.example.com is shadowed: another line for it (line 7) stands
    before ours or beside it; `privatelinkd hosts adopt` takes the name out of
    that
  - the config was refused, an older one is in force: config.toml:3:1: error:
    unknown key \"colour\"
privatelinkd 0.1.0, up 1h59m, host zone cn-hangzhou-h, config
  /etc/privatelinkd/config.toml loaded 1h59m ago

ENDPOINT  PROBE      ZONE           ADDRESS    STATE  SINCE  LATENCY, NOTES
ledger    tcp:6001   cn-hangzhou-h  10.0.0.10  up     1h00m  1.2 ms
                     cn-hangzhou-i  10.0.1.10  up     1h00m  1.2 ms
orders    https:443  cn-hangzhou-h  10.0.0.11  down   1m40s  refused (path
                                                             check, 1s ago):
                                                             connection refused
                     cn-hangzhou-i  10.0.1.11  up     1h00m  1.2 ms

NAME                POINTS AT                  WHY          CHANGED    PUBLISHED
gw-ledger…mple.com  10.0.0.10 (cn-hangzhou-h)  healthy      1m40s ago  hosts:
                    10.0.1.10 (cn-hangzhou-i)                          shadowed
gw-orders…mple.com  10.0.1.11 (cn-hangzhou-i)  failed_over  1m40s ago  hosts:
                                                                       published
";
    let found = shown(&s, Some(80));
    assert!(found.starts_with(expected), "\n{found}");
    assert!(shown(&s, None).contains(&format!("an older one is in force: {place}\n")));
}
