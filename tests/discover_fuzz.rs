//! Whatever the API replies: no panic, no hang, and no name loses an address because of it.
//!
//! Random replies, most of them almost right, go the way of real ones: parsed page by page, turned into what the source
//! found, merged, steered. A second test sends such bytes over real connections, with everything that HTTP can do
//! wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::time::Duration;

use privatelinkd::cloud::openapi::api_hosts::Hosts;
use privatelinkd::cloud::openapi::{CallError, Malformed};
use privatelinkd::cloud::privatelink::parse::{self, MOST_PAGES, Pages};
use privatelinkd::cloud::privatelink::record::Record;
use privatelinkd::cloud::privatelink::{Listing, Page, PrivateLink};
use privatelinkd::config::{Config, from_toml};
use privatelinkd::discover::{Api, Round, SourceAnswer, SourceError, from_records, in_list, merge};
use privatelinkd::model::{
    Boottime, EndpointId, EndpointName, Families, Graces, HealthView, HostFacts, Inventory, Now, Overrides, Plan,
    Policy, SourceKind, Wall, Zone,
};
use privatelinkd::steer::{Inputs, steer};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;

use crate::cloud_rig::{Answer, Server, client, hurry, keys};
use crate::support::{cases, damaged};

const ID: &str = "ep-bp1fuzzed";
const NAME: &str = "db.example.internal";
const FAMILIES: Families = Families { ipv4: true, ipv6: false };
const GRACES: Graces = Graces { removal: Duration::from_secs(600), gone: Duration::from_secs(3600) };
/// Two passes that agree on an absence lie at least so far apart (B1).
const APART: u64 = 300;

fn config() -> Config {
    from_toml(&format!("[[endpoint]]\nname = \"db\"\nid = \"{ID}\"\nprivate_dns = [\"{NAME}\"]\n")).unwrap()
}

/// One round: the pages of both lists, as bytes.
#[derive(Clone)]
struct Replies {
    endpoints: Vec<Vec<u8>>,
    zones: Vec<Vec<u8>>,
    /// Seconds since the round before.
    later: u64,
}

impl fmt::Debug for Replies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text =
            |pages: &[Vec<u8>]| pages.iter().map(|p| String::from_utf8_lossy(p).into_owned()).collect::<Vec<_>>();
        write!(f, "{} s later {:#?} {:#?}", self.later, text(&self.endpoints), text(&self.zones))
    }
}

/// A field as the API writes it, mostly; else something that nobody expects there.
fn field(right: &'static [&'static str]) -> impl Strategy<Value = String> {
    let odd = [
        "",
        "null",
        "true",
        "false",
        "0",
        "-1",
        "1e999",
        "18446744073709551616",
        "\"\"",
        "\"false\"",
        "[]",
        "{}",
        "[{}]",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "\"10.0.0.1\\n10.0.0.2\"",
        "\"999.1.1.1\"",
        "\"::1\"",
        "\"0.0.0.0\"",
    ];
    let odd = select(odd.to_vec()).prop_map(str::to_owned);
    prop_oneof![12 => select(right.to_vec()).prop_map(str::to_owned), 1 => odd]
}

/// An object of these fields; one that is empty is left out.
fn object(fields: Vec<(&'static str, BoxedStrategy<String>)>) -> impl Strategy<Value = String> {
    let (names, values): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
    values.prop_map(move |values| {
        let there = names.iter().zip(&values).filter(|(_, value)| !value.is_empty());
        let fields: Vec<String> = there.map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", fields.join(","))
    })
}

fn endpoint() -> impl Strategy<Value = String> {
    object(vec![
        ("EndpointId", field(&["\"ep-bp1fuzzed\"", "\"ep-bp1fuzzed\"", "\"ep-bp1other\""]).boxed()),
        ("EndpointStatus", field(&["\"Active\"", "\"active\"", "\"Pending\"", "\"Deleting\"", "\"Odd\""]).boxed()),
        ("EndpointBusinessStatus", field(&["\"Normal\"", "\"FinancialLocked\""]).boxed()),
        ("ConnectionStatus", field(&["\"Connected\"", "\"Disconnected\"", "\"ServiceDeleted\""]).boxed()),
        ("EndpointDomain", field(&["\"ep-bp1fuzzed.epsrv-1.cn-hangzhou.privatelink.aliyuncs.com\""]).boxed()),
    ])
}

fn zone() -> impl Strategy<Value = String> {
    object(vec![
        ("ZoneId", field(&["\"cn-hangzhou-h\"", "\"cn-hangzhou-i\""]).boxed()),
        (
            "ZoneStatus",
            field(&["\"Connected\"", "\"Migrating\"", "\"Wait\"", "\"Disconnected\"", "\"Deleting\""]).boxed(),
        ),
        ("EniIp", field(&["\"10.0.0.1\"", "\"10.0.0.2\"", "\"10.0.1.1\"", "\"10.0.1.2\""]).boxed()),
        ("EniId", field(&["\"eni-1\"", "\"eni-2\""]).boxed()),
        ("ZoneIpv6Address", field(&["\"false\"", "\"fd00::1\""]).boxed()),
    ])
}

/// One page: the list, and what says how it goes on.
fn page(list: &'static str, item: BoxedStrategy<String>) -> impl Strategy<Value = Vec<u8>> {
    let total = field(&["", "", "\"1\"", "1", "2", "0", "7"]);
    let next = field(&["", "", "", "\"\"", "null", "\"a\"", "\"b\"", "\"c\""]);
    let whole = (vec(item, 0..4), total, next).prop_map(move |(items, total, next)| {
        let mut text = format!("{{\"RequestId\":\"R\",\"{list}\":[{}]", items.join(","));
        for (name, value) in [("TotalCount", total), ("NextToken", next)] {
            if !value.is_empty() {
                write!(text, ",\"{name}\":{value}").unwrap();
            }
        }
        text.push('}');
        text.into_bytes()
    });
    let whole = whole.boxed();
    prop_oneof![4 => whole.clone(), 1 => whole.prop_flat_map(damaged)]
}

fn good(list: &str, item: &str) -> Vec<u8> {
    format!("{{\"RequestId\":\"R\",\"TotalCount\":1,\"{list}\":[{item}]}}").into_bytes()
}

fn good_endpoint() -> Vec<u8> {
    good("Endpoints", &format!("{{\"EndpointId\":\"{ID}\",\"EndpointStatus\":\"Active\"}}"))
}

fn good_zone(address: &str) -> Vec<u8> {
    good("Zones", &format!("{{\"ZoneId\":\"cn-hangzhou-h\",\"ZoneStatus\":\"Connected\",\"EniIp\":\"{address}\"}}"))
}

fn replies() -> impl Strategy<Value = Replies> {
    let endpoints =
        prop_oneof![2 => Just(vec![good_endpoint()]), 3 => vec(page("Endpoints", endpoint().boxed()), 1..4)];
    let zones = vec(page("Zones", zone().boxed()), 1..4);
    let later = prop_oneof![0..10_u64, 200..400_u64, 3000..8000_u64];
    (endpoints, zones, later).prop_map(|(endpoints, zones, later)| Replies { endpoints, zones, later })
}

/// The list that these pages make, asked for as the client does. A server that has no more pages fails.
fn listed<T: Record>(
    bodies: &[Vec<u8>],
    read: fn(&[u8]) -> Result<Page<T>, Malformed>,
) -> Result<Listing<T>, SourceError> {
    let malformed = |error| SourceError::Call(CallError::Malformed(error));
    let mut pages = Pages::default();
    for body in bodies {
        if pages.add(read(body).map_err(malformed)?).map_err(malformed)?.is_none() {
            return Ok(pages.listing());
        }
    }
    Err(SourceError::NoApi("the next page never came".to_owned()))
}

fn found(replies: &Replies) -> Result<SourceAnswer, SourceError> {
    let id: EndpointId = ID.parse().unwrap();
    match in_list(&id, listed(&replies.endpoints, parse::endpoints)?)? {
        Some(record) => Ok(from_records(&record, listed(&replies.zones, parse::zones)?, FAMILIES)),
        None => Ok(SourceAnswer { gone: true, ..SourceAnswer::default() }),
    }
}

/// The agent's part of it: what is known, what is published, and what was said of an absence.
struct Story {
    config: Config,
    inventory: Inventory,
    plan: Plan,
    policy: Policy,
    secs: u64,
    /// Since when every pass that said anything at all said that the endpoint is gone.
    gone_since: Option<u64>,
    /// When two such passes first lay far enough apart.
    agreed: Option<u64>,
}

impl Story {
    fn new() -> Self {
        let policy = Policy { graces: GRACES, ..Policy::default() };
        let (inventory, plan) = (Inventory::default(), Plan::default());
        Self { config: config(), inventory, plan, policy, secs: 1, gone_since: None, agreed: None }
    }

    /// With one address, which the API has told.
    fn begun() -> Self {
        let mut story = Self::new();
        let first = Replies { endpoints: vec![good_endpoint()], zones: vec![good_zone("10.0.0.1")], later: 0 };
        story.hears(found(&first), 0);
        story
    }

    fn now(&self) -> Now {
        Now { boottime: Boottime(Duration::from_secs(self.secs)), wall: Wall(self.secs * 1000) }
    }

    fn hears(&mut self, said: Result<SourceAnswer, SourceError>, later: u64) {
        self.secs += later;
        match &said {
            Ok(SourceAnswer { gone: true, .. }) => {
                let since = *self.gone_since.get_or_insert(self.secs);
                self.agreed = self.agreed.or((self.secs - since >= APART).then_some(self.secs));
            }
            Ok(_) => (self.gone_since, self.agreed) = (None, None),
            Err(_) => {}
        }
        let name: EndpointName = "db".parse().unwrap();
        let round = Round::from([(name, BTreeMap::from([(SourceKind::Api, said)]))]);
        self.inventory = merge(&self.inventory, &self.config.endpoints, &round, GRACES, self.now()).0;
        let steered = steer(&Inputs {
            inventory: &self.inventory,
            health: &HealthView::default(),
            host: &HostFacts::default(),
            overrides: &Overrides::default(),
            policy: &self.policy,
            previous: Some(&self.plan),
            now: self.now(),
        });
        self.plan = steered.plan;
    }

    /// Addresses that some source gives, by zone.
    fn live(&self) -> BTreeSet<(Zone, IpAddr)> {
        let zones = self.inventory.endpoints.values().flat_map(|e| &e.zones);
        let of = |(zone, entry): (&Zone, &privatelinkd::model::ZoneEntry)| {
            let live = entry.addresses.iter().filter(|(_, a)| a.retired.is_none());
            live.map(|(ip, _)| (zone.clone(), *ip)).collect::<Vec<_>>()
        };
        zones.flat_map(of).collect()
    }
}

fn gives(said: &Result<SourceAnswer, SourceError>, zone: &Zone, address: IpAddr) -> bool {
    // Of an endpoint that is gone nothing else counts.
    let found = said.as_ref().ok().filter(|found| !found.gone);
    let given = found.and_then(|found| found.zones.get(zone)?.addresses.as_ref());
    given.is_some_and(|given| given.contains(&address))
}

/// Whether a pass says that this address is none any more: it tells others of the zone, or it is whole and lacks it.
fn speaks_against(said: &Result<SourceAnswer, SourceError>, zone: &Zone, address: IpAddr) -> bool {
    let Ok(found) = said else { return false };
    match found.zones.get(zone) {
        _ if found.gone => false,
        Some(zone) => zone.addresses.as_ref().is_some_and(|given| !given.contains(&address)),
        None => found.incomplete.is_none(),
    }
}

fn holds(rounds: Vec<Replies>) -> Result<(), TestCaseError> {
    let mut story = Story::begun();
    // What a pass spoke against. The last address stays all the same, until there is another one.
    let mut denied = BTreeSet::new();
    prop_assert_eq!(story.plan.answers.len(), 1);
    for replies in rounds {
        let said = found(&replies);
        let before = story.live();
        story.hears(said.clone(), replies.later);
        let live = story.live();
        prop_assert!(!live.is_empty(), "no address is left");
        denied.extend(before.iter().filter(|(zone, address)| speaks_against(&said, zone, *address)).cloned());
        denied.retain(|(zone, address)| !gives(&said, zone, *address));
        for gone in before.difference(&live) {
            prop_assert!(denied.contains(gone), "{gone:?} went, and nothing said so: {said:?}");
        }
        let grace_over = story.agreed.is_some_and(|at| story.secs >= at + GRACES.gone.as_secs());
        let name = NAME.parse().unwrap();
        match story.plan.answers.get(&name) {
            Some(answer) => prop_assert!(!answer.addresses.is_empty()),
            None => prop_assert!(grace_over, "the name went, and no two passes agreed that it should"),
        }
        prop_assert!(grace_over || story.plan.withdrawn.is_empty());
    }
    Ok(())
}

#[test]
fn no_reply_takes_a_name_away() {
    let config = ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config).run(&vec(replies(), 1..8), holds).unwrap();
}

/// The head of a reply, as servers and boxes in between write it, and what becomes of the connection.
fn wire() -> impl Strategy<Value = Answer> {
    let body = prop_oneof![
        page("Endpoints", endpoint().boxed()),
        page("Zones", zone().boxed()),
        vec(any::<u8>(), 0..200),
        Just(good_endpoint()),
    ];
    let head = select(vec![
        "HTTP/1.1 200 OK\r\ncontent-length: LENGTH\r\nconnection: close\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: LENGTH\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 7\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 400 Bad\r\nx-acs-retry-after: 99999999999\r\ncontent-length: LENGTH\r\n\r\n",
        "HTTP/1.1 503 Busy\r\nretry-after: -1\r\nconnection: close\r\n\r\n",
        "HTTP/1.1 999 Odd\r\n\r\n",
        "HTTP/2 200\r\n\r\n",
        "",
    ]);
    (head, body, 0..12_u8).prop_map(|(head, body, then)| {
        let head = head.replace("LENGTH", &body.len().to_string());
        let bytes = [head.as_bytes(), &body].concat();
        match then {
            0 => Answer::Silence,
            1 => Answer::Drip(bytes, Duration::from_millis(900)),
            _ => Answer::Bytes(bytes),
        }
    })
}

/// Each question ends, within the deadline of its calls, and what it says takes nothing away. The clock is hurried:
/// a server that is silent or drips costs no real time.
#[test]
fn no_connection_hangs_the_source() {
    let setup = ProptestConfig {
        cases: (cases() / 2_000).max(20),
        max_shrink_iters: 0,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let id: EndpointId = ID.parse().unwrap();
    let asked = |answers: Vec<Answer>| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.unwrap().block_on(async {
            hurry();
            let answers = std::sync::Mutex::new(answers.into_iter());
            let server = Server::start(move |_, _| answers.lock().unwrap().next().unwrap_or(Answer::Silence)).await;
            let client = client(Hosts::new(server.origin(), Vec::new()));
            let client = PrivateLink { client, region: "cn-hangzhou".to_owned() };
            let api = Api { client, keys: keys("LTAI"), families: FAMILIES };
            // Two lists of at most so many pages, each page with a deadline of its own.
            let patience = Duration::from_secs(60) * 2 * u32::try_from(MOST_PAGES).unwrap();
            let asked = api.find(&id);
            tokio::time::timeout(patience, asked).await
        })
    };
    TestRunner::new(setup)
        .run(&vec(wire(), 1..6), |answers| {
            let said = asked(answers);
            prop_assert!(said.is_ok(), "it hangs");
            let mut story = Story::begun();
            story.hears(said.unwrap(), 1);
            prop_assert!(!story.live().is_empty() && story.plan.answers.len() == 1);
            Ok(())
        })
        .unwrap();
}
