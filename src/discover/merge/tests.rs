//! Folds of rounds: what one source after the other makes of an endpoint.

use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::discover::source::FoundZone;
use crate::model::{
    BusinessStatus, CloudFacts, ConnectionStatus, EndpointStatus, Missing, Wall, ZoneFacts, ZoneStatus,
};

/// Of what left the config, and of what the cloud no longer has.
const GRACES: Graces = Graces { removal: Duration::from_secs(600), gone: Duration::from_secs(3600) };

fn now(secs: u64) -> Now {
    Now { boottime: Boottime(Duration::from_secs(secs)), wall: Wall(secs * 1000) }
}

fn wanted() -> BTreeMap<EndpointName, EndpointConfig> {
    let config = EndpointConfig {
        id: None,
        domain: None,
        region: None,
        names: ["db.example".parse().unwrap()].into(),
        publish_domain: false,
        addresses: [("z".parse().unwrap(), vec!["10.0.0.1".parse().unwrap()])].into(),
        zone_names: BTreeMap::new(),
        priority: 0,
        probe: None,
        steering: crate::model::Steering::default(),
    };
    [("e".parse().unwrap(), config)].into()
}

fn said(addresses: &[&str]) -> Round {
    told(SourceKind::Fixed, Ok(found(&[("z", addresses)])))
}

fn failed() -> Round {
    told(SourceKind::Fixed, failure())
}

fn addresses(inventory: &Inventory) -> Vec<(String, bool)> {
    let zones = inventory.endpoints.values().flat_map(|e| e.zones.values());
    zones.flat_map(|z| &z.addresses).map(|(a, e)| (a.to_string(), e.retired.is_some())).collect()
}

#[test]
fn a_failing_source_goes_stale_and_keeps_its_addresses() {
    let (first, events) = merge(&Inventory::default(), &wanted(), &said(&["10.0.0.1"]), GRACES, now(1));
    assert!(events.is_empty());
    let (second, events) = merge(&first, &wanted(), &failed(), GRACES, now(2));
    assert_eq!(addresses(&second), addresses(&first));
    assert!(matches!(events[..], [EventKind::SourceStale { .. }]));
    let e = second.endpoints.values().next().unwrap();
    assert!(matches!(&e.sources[&SourceKind::Fixed], Freshness::Stale { since, .. } if *since == now(1)));
    let (third, events) = merge(&second, &wanted(), &failed(), GRACES, now(3));
    assert!(events.is_empty(), "told once");
    let (_, events) = merge(&third, &wanted(), &said(&["10.0.0.1"]), GRACES, now(4));
    assert!(matches!(events[..], [EventKind::SourceFresh { .. }]));
}

#[test]
fn an_address_that_is_no_longer_given_retires_and_goes_after_the_grace() {
    let (first, _) = merge(&Inventory::default(), &wanted(), &said(&["10.0.0.1"]), GRACES, now(1));
    let (second, _) = merge(&first, &wanted(), &said(&["10.0.0.2"]), GRACES, now(2));
    assert_eq!(addresses(&second), [("10.0.0.1".into(), true), ("10.0.0.2".into(), false)]);
    assert_eq!(next_expiry(&second, GRACES), Some(now(602).boottime));
    let (back, _) = merge(&second, &wanted(), &said(&["10.0.0.1", "10.0.0.2"]), GRACES, now(3));
    assert_eq!(addresses(&back), [("10.0.0.1".into(), false), ("10.0.0.2".into(), false)]);
    let (later, _) = merge(&second, &wanted(), &said(&["10.0.0.2"]), GRACES, now(602));
    assert_eq!(addresses(&later), [("10.0.0.2".into(), false)]);
}

#[test]
fn a_name_that_left_its_endpoint_stays_for_the_grace() {
    let (first, _) = merge(&Inventory::default(), &wanted(), &said(&["10.0.0.1"]), GRACES, now(1));
    let mut other = wanted();
    other.values_mut().next().unwrap().names = ["new.example".parse().unwrap()].into();
    let (second, _) = merge(&first, &other, &said(&["10.0.0.1"]), GRACES, now(2));
    let (third, _) = merge(&second, &other, &said(&["10.0.0.1"]), GRACES, now(3));
    let leaving = |i: &Inventory| i.endpoints.values().next().unwrap().leaving.clone();
    assert_eq!(leaving(&third), [("db.example".parse().unwrap(), now(2).boottime)].into());
    assert_eq!(next_expiry(&third, GRACES), Some(now(602).boottime));
    let (gone, _) = merge(&third, &other, &said(&["10.0.0.1"]), GRACES, now(602));
    assert!(leaving(&gone).is_empty());
    let (back, _) = merge(&third, &wanted(), &said(&["10.0.0.1"]), GRACES, now(4));
    assert_eq!(leaving(&back), [("new.example".parse().unwrap(), now(4).boottime)].into());
}

#[test]
fn an_endpoint_that_left_the_config_stays_for_the_grace() {
    let (first, _) = merge(&Inventory::default(), &wanted(), &said(&["10.0.0.1"]), GRACES, now(1));
    let (second, _) = merge(&first, &BTreeMap::new(), &Round::new(), GRACES, now(2));
    let e = second.endpoints.values().next().unwrap();
    assert_eq!(e.presence, Presence::Removed { since: now(2).boottime });
    let (third, _) = merge(&second, &BTreeMap::new(), &Round::new(), GRACES, now(601));
    assert_eq!(third, second, "the grace counts from when it left");
    let (gone, _) = merge(&third, &BTreeMap::new(), &Round::new(), GRACES, now(602));
    assert!(gone.endpoints.is_empty());
    let (back, _) = merge(&third, &wanted(), &said(&["10.0.0.1"]), GRACES, now(601));
    assert_eq!(back.endpoints.values().next().unwrap().presence, Presence::Configured);
}

#[test]
fn what_expires_in_an_endpoint_that_left_the_config_expires_once() {
    let (first, _) = merge(&Inventory::default(), &wanted(), &said(&["10.0.0.1"]), GRACES, now(1));
    let (second, _) = merge(&first, &wanted(), &said(&["10.0.0.2"]), GRACES, now(2));
    let (removed, _) = merge(&second, &BTreeMap::new(), &Round::new(), GRACES, now(300));
    assert_eq!(next_expiry(&removed, GRACES), Some(now(602).boottime), "the address that was replaced");
    let (later, _) = merge(&removed, &BTreeMap::new(), &Round::new(), GRACES, now(602));
    assert_eq!(addresses(&later), [("10.0.0.2".into(), false)]);
    assert_eq!(next_expiry(&later, GRACES), Some(now(900).boottime), "no wake-up lies in the past");
}

/// What the tests say in place of the cloud: one source's answer about the one endpoint.
fn told(kind: SourceKind, said: Result<SourceAnswer, SourceError>) -> Round {
    [("e".parse().unwrap(), [(kind, said)].into())].into()
}

fn failure() -> Result<SourceAnswer, SourceError> {
    Err(SourceError::NoApi("no answer".to_owned()))
}

/// `unknown` is the zone of the endpoint's own domain name.
fn zone(id: &str) -> Zone {
    if id == "unknown" { Zone::Unknown } else { Zone::Known(id.parse().unwrap()) }
}

fn found(zones: &[(&str, &[&str])]) -> SourceAnswer {
    let of = |(id, addresses): &(&str, &[&str])| {
        (zone(id), FoundZone::from_addresses(addresses.iter().map(|a| a.parse().unwrap())))
    };
    SourceAnswer { zones: zones.iter().map(of).collect(), ..SourceAnswer::default() }
}

/// As the API says it: with statuses.
fn of_api(zones: &[(&str, &[&str])]) -> Result<SourceAnswer, SourceError> {
    let mut found = found(zones);
    found.cloud = Some(CloudFacts {
        status: EndpointStatus::Active,
        business: BusinessStatus::Normal,
        connection: ConnectionStatus::Connected,
        service_name: String::new(),
        region: String::new(),
        vpc_id: String::new(),
    });
    for zone in found.zones.values_mut() {
        zone.cloud = Some(ZoneFacts { status: ZoneStatus::Connected, eni_id: None, domain: None });
    }
    Ok(found)
}

fn gone() -> Result<SourceAnswer, SourceError> {
    Ok(SourceAnswer { gone: true, ..SourceAnswer::default() })
}

/// An endpoint that is found out.
fn discovered() -> BTreeMap<EndpointName, EndpointConfig> {
    let mut config = wanted();
    let endpoint = config.values_mut().next().unwrap();
    endpoint.id = Some("ep-1".parse().unwrap());
    endpoint.addresses.clear();
    config
}

/// Folds rounds, one a minute from the first on unless told otherwise.
struct Story {
    config: BTreeMap<EndpointName, EndpointConfig>,
    inventory: Inventory,
    events: Vec<EventKind>,
    secs: u64,
}

impl Story {
    fn new(config: BTreeMap<EndpointName, EndpointConfig>) -> Self {
        Self { config, inventory: Inventory::default(), events: Vec::new(), secs: 0 }
    }

    fn hears(&mut self, kind: SourceKind, said: Result<SourceAnswer, SourceError>) -> &mut Self {
        self.secs += 60;
        let (inventory, events) = merge(&self.inventory, &self.config, &told(kind, said), GRACES, now(self.secs));
        (self.inventory, self.events) = (inventory, events);
        self
    }

    fn waits(&mut self, secs: u64) -> &mut Self {
        self.secs += secs;
        self
    }

    fn endpoint(&self) -> &Endpoint {
        self.inventory.endpoints.values().next().unwrap()
    }

    /// `zone address source`, with a `-` behind what is retired.
    fn shows(&self, expected: &[&str]) -> &Self {
        let zones = self.endpoint().zones.iter();
        let of = |(zone, e): (&Zone, &ZoneEntry)| {
            let of = |(a, x): (&IpAddr, &crate::model::AddressEntry)| {
                format!("{zone} {a} {}{}", x.source, if x.retired.is_some() { " -" } else { "" })
            };
            e.addresses.iter().map(of).collect::<Vec<_>>()
        };
        assert_eq!(zones.flat_map(of).collect::<Vec<_>>(), expected);
        self
    }
}

const API: SourceKind = SourceKind::Api;
const ZONE: SourceKind = SourceKind::ZoneDomain;
const WHOLE: SourceKind = SourceKind::EndpointDomain;

#[test]
fn the_api_replaces_what_it_gave_before() {
    let mut story = Story::new(discovered());
    story.hears(API, of_api(&[("h", &["10.0.0.1"]), ("i", &["10.0.1.1"])]));
    story.hears(API, of_api(&[("h", &["10.0.0.2"]), ("i", &["10.0.1.1"])]));
    story.shows(&["h 10.0.0.1 api -", "h 10.0.0.2 api", "i 10.0.1.1 api"]);
    story.waits(3_599).hears(API, of_api(&[("h", &["10.0.0.2"]), ("i", &["10.0.1.1"])]));
    story.shows(&["h 10.0.0.2 api", "i 10.0.1.1 api"]);
    // A zone that it lacks retires; while it fails nothing does.
    story.hears(API, of_api(&[("h", &["10.0.0.2"])])).shows(&["h 10.0.0.2 api", "i 10.0.1.1 api -"]);
    story.hears(API, failure()).shows(&["h 10.0.0.2 api", "i 10.0.1.1 api -"]);
    story
        .hears(API, of_api(&[("h", &["10.0.0.2"]), ("i", &["10.0.1.1"])]))
        .shows(&["h 10.0.0.2 api", "i 10.0.1.1 api"]);
}

#[test]
fn a_domain_name_adds_and_confirms_and_removes_nothing_while_the_api_is_fresh() {
    let mut story = Story::new(discovered());
    story.hears(API, of_api(&[("h", &["10.0.0.1"])]));
    story.hears(ZONE, Ok(found(&[("h", &["10.0.0.2"])]))).shows(&["h 10.0.0.1 api", "h 10.0.0.2 zone_domain"]);
    story.hears(ZONE, Ok(found(&[("h", &["10.0.0.1"])]))).shows(&["h 10.0.0.1 api", "h 10.0.0.2 zone_domain -"]);
    story.hears(ZONE, Ok(found(&[("h", &["10.0.0.2"])])));
    story.hears(API, of_api(&[("h", &["10.0.0.2"])])).shows(&["h 10.0.0.1 api -", "h 10.0.0.2 api"]);
}

#[test]
fn a_zones_domain_name_replaces_what_only_a_failing_api_gave() {
    let mut story = Story::new(discovered());
    story.hears(API, of_api(&[("h", &["10.0.0.1"]), ("i", &["10.0.1.1"])])).hears(API, failure());
    story.hears(ZONE, Ok(found(&[("h", &["10.0.0.2"])])));
    story.shows(&["h 10.0.0.1 api -", "h 10.0.0.2 zone_domain", "i 10.0.1.1 api"]);
    // No answer is no statement.
    story.hears(ZONE, failure()).shows(&["h 10.0.0.1 api -", "h 10.0.0.2 zone_domain", "i 10.0.1.1 api"]);
}

#[test]
fn an_address_of_the_whole_endpoint_belongs_to_the_zone_that_is_known_to_have_it() {
    let mut story = Story::new(discovered());
    story.hears(WHOLE, Ok(found(&[("unknown", &["10.0.0.1", "10.0.9.9"])])));
    story.shows(&["unknown 10.0.0.1 endpoint_domain", "unknown 10.0.9.9 endpoint_domain"]);
    story.hears(API, of_api(&[("h", &["10.0.0.1"])])).shows(&["h 10.0.0.1 api", "unknown 10.0.9.9 endpoint_domain"]);
    // It may give only some of the addresses, and no longer some that it gave.
    story.hears(WHOLE, Ok(found(&[("unknown", &["10.0.0.1"])])));
    story.shows(&["h 10.0.0.1 api", "unknown 10.0.9.9 endpoint_domain -"]);
}

#[test]
fn fixed_addresses_are_the_last_word_on_their_zone() {
    let mut config = discovered();
    config.values_mut().next().unwrap().addresses = wanted().values().next().unwrap().addresses.clone();
    let mut story = Story::new(config);
    story.hears(API, of_api(&[("z", &["10.0.0.9"]), ("i", &["10.0.1.1"])]));
    story.hears(SourceKind::Fixed, Ok(found(&[("z", &["10.0.0.1"])])));
    story.shows(&["i 10.0.1.1 api", "z 10.0.0.1 fixed", "z 10.0.0.9 api -"]);
    story.hears(API, of_api(&[("z", &["10.0.0.9"]), ("i", &["10.0.1.1"])]));
    story.hears(WHOLE, Ok(found(&[("unknown", &["10.0.0.9", "10.0.5.5", "10.0.1.1"])])));
    story.shows(&["i 10.0.1.1 api", "z 10.0.0.1 fixed", "z 10.0.0.9 api -"]);
    // It leaves the config: what the API says counts again.
    story.config = discovered();
    story.hears(API, of_api(&[("z", &["10.0.0.9"]), ("i", &["10.0.1.1"])]));
    story.shows(&["i 10.0.1.1 api", "z 10.0.0.1 fixed -", "z 10.0.0.9 api"]);
}

#[test]
fn the_last_addresses_are_never_retired() {
    let mut story = Story::new(discovered());
    story.hears(API, of_api(&[("h", &["10.0.0.1"]), ("i", &["10.0.1.1"])]));
    story.hears(API, of_api(&[])).shows(&["h 10.0.0.1 api", "i 10.0.1.1 api"]);
    story.waits(100_000).hears(API, of_api(&[("h", &[])])).shows(&["h 10.0.0.1 api", "i 10.0.1.1 api"]);
    story.hears(API, of_api(&[("j", &["10.0.2.1"])]));
    story.shows(&["h 10.0.0.1 api -", "i 10.0.1.1 api -", "j 10.0.2.1 api"]);
    // A zone about which nothing can be told keeps what it has.
    let mut untold = of_api(&[("i", &["10.0.1.2"])]).unwrap();
    untold.zones.insert(zone("j"), FoundZone::default());
    story.hears(API, Ok(untold));
    story.shows(&["h 10.0.0.1 api -", "i 10.0.1.1 api -", "i 10.0.1.2 api", "j 10.0.2.1 api"]);
}

#[test]
fn gone_is_what_two_passes_five_minutes_apart_lack() {
    let mut story = Story::new(discovered());
    story.hears(API, of_api(&[("h", &["10.0.0.1"])])).hears(API, gone());
    let first = Some(now(story.secs).boottime);
    assert_eq!(story.endpoint().missing, Some(Missing { first, confirmed: None, latest: first }));
    story.waits(100).hears(API, gone());
    let latest = Some(now(story.secs).boottime);
    assert_eq!(story.endpoint().missing, Some(Missing { first, confirmed: None, latest }));
    story.waits(120).hears(API, gone());
    let confirmed = Some(now(story.secs).boottime);
    assert_eq!(story.endpoint().missing, Some(Missing { first, confirmed, latest: confirmed }));
    assert!(matches!(story.events[..], [EventKind::EndpointGone { .. }]), "{:?}", story.events);
    story.hears(API, gone()).shows(&["h 10.0.0.1 api"]);
    let latest = Some(now(story.secs).boottime);
    assert_eq!(story.endpoint().missing, Some(Missing { first, confirmed, latest }), "the grace counts from then");
    assert!(story.events.is_empty());
    story.hears(API, of_api(&[("h", &["10.0.0.1"])]));
    assert_eq!(story.endpoint().missing, None);
    // What its domain name still gives is not gone.
    story.hears(ZONE, Ok(found(&[("h", &["10.0.0.1"])]))).hears(API, gone()).waits(600).hears(API, gone());
    assert_eq!(story.endpoint().missing, None);
    story.hears(ZONE, failure()).hears(API, gone()).waits(600).hears(API, gone());
    assert!(story.endpoint().missing.unwrap().confirmed.is_some());
}

#[test]
fn what_the_api_never_had_is_not_found_and_never_gone() {
    let mut story = Story::new(discovered());
    let not_found = |story: &Story| story.endpoint().not_found.iter().copied().collect::<Vec<_>>();
    story.hears(API, gone());
    assert_eq!((not_found(&story), story.endpoint().missing), (vec![API], None));
    assert!(matches!(story.events[..], [EventKind::EndpointNotFound { source: API, .. }]), "{:?}", story.events);
    story.waits(600).hears(API, gone());
    assert_eq!((story.events.len(), story.endpoint().missing), (0, None), "said once, and never gone");
    // What DNS gives stays, for the API that never had it does not speak of it.
    story.hears(ZONE, Ok(found(&[("h", &["10.0.0.1"])]))).hears(ZONE, failure()).waits(10_000).hears(API, gone());
    story.shows(&["h 10.0.0.1 zone_domain"]);
    assert_eq!((not_found(&story), story.endpoint().missing), (vec![API], None));
    // It was made meanwhile.
    story.hears(API, of_api(&[("h", &["10.0.0.1"])]));
    assert_eq!(not_found(&story), []);
    // One that is first seen while it is being deleted was there.
    let mut deleting = of_api(&[]).unwrap();
    deleting.gone = true;
    deleting.cloud.as_mut().unwrap().status = EndpointStatus::Deleting;
    let mut story = Story::new(discovered());
    story.hears(API, Ok(deleting));
    assert_eq!(not_found(&story), []);
    assert!(story.endpoint().missing.is_some() && story.endpoint().cloud.is_some());
}

#[test]
fn a_domain_that_never_was_is_not_found_and_one_that_was_merely_fails() {
    let no_such_name = || Err(SourceError::Resolve(crate::cloud::resolve::ResolveError::NoSuchName("d".to_owned())));
    let mut config = discovered();
    config.values_mut().next().unwrap().id = None;
    config.values_mut().next().unwrap().domain = Some("ep-1.example.com".parse().unwrap());
    let mut story = Story::new(config);
    story.hears(WHOLE, failure());
    assert!(story.endpoint().not_found.is_empty(), "no answer says nothing");
    story.hears(WHOLE, no_such_name());
    assert_eq!(story.endpoint().not_found, [WHOLE].into());
    story.hears(WHOLE, Ok(found(&[("unknown", &["10.0.0.1"])])));
    assert!(story.endpoint().not_found.is_empty());
    story.hears(WHOLE, no_such_name()).shows(&["unknown 10.0.0.1 endpoint_domain"]);
    assert!(story.endpoint().not_found.is_empty());
}

#[test]
fn what_a_domain_was_said_not_to_be_goes_with_it() {
    let no_such_name = || Err(SourceError::Resolve(crate::cloud::resolve::ResolveError::NoSuchName("d".to_owned())));
    for (mistyped, next) in
        [("ep-1.exmaple.com", None), ("d.exmaple.com", None), ("d.exmaple.com", Some("d.example.com"))]
    {
        let mut config = discovered();
        config.values_mut().next().unwrap().domain = Some(mistyped.parse().unwrap());
        let mut story = Story::new(config);
        story.hears(WHOLE, no_such_name());
        assert_eq!(story.endpoint().not_found, [WHOLE].into(), "{mistyped}");
        story.config.values_mut().next().unwrap().domain = next.map(|d| d.parse().unwrap());
        story.hears(API, failure());
        assert!(story.endpoint().not_found.is_empty(), "{mistyped} {next:?}");
        assert_eq!(story.endpoint().sources.keys().collect::<Vec<_>>(), [&API], "{mistyped} {next:?}");
    }
}

#[test]
fn a_domain_that_leaves_the_config_takes_along_what_it_alone_gave_unless_it_was_the_ids_own() {
    for (domain, former) in [("ep-1.epsrv-1.example.com", false), ("other.example.com", true)] {
        let mut config = discovered();
        config.values_mut().next().unwrap().domain = Some(domain.parse().unwrap());
        let mut story = Story::new(config);
        story.hears(API, of_api(&[("h", &["10.0.0.1"])]));
        story.hears(WHOLE, Ok(found(&[("unknown", &["10.0.0.1", "10.9.9.9"])])));
        story.config.values_mut().next().unwrap().domain = None;
        story.hears(API, of_api(&[("h", &["10.0.0.1"])]));
        let entry = &story.endpoint().zones[&Zone::Unknown].addresses[&"10.9.9.9".parse::<IpAddr>().unwrap()];
        assert_eq!((entry.former, entry.retired.is_some()), (former, former), "{domain}");
        assert_eq!(story.endpoint().zones[&zone("h")].addresses.values().next().unwrap().retired, None);
    }
}

#[test]
fn another_id_is_another_endpoint() {
    let mut story = Story::new(discovered());
    story.hears(API, of_api(&[("h", &["10.0.0.1"])])).hears(API, gone());
    story.config.values_mut().next().unwrap().id = Some("ep-2".parse().unwrap());
    story.hears(API, failure()).shows(&["h 10.0.0.1 api -"]);
    assert_eq!((story.endpoint().cloud.clone(), story.endpoint().missing), (None, None));
    let former = |story: &Story, zone_id: &str| {
        story.endpoint().zones[&zone(zone_id)].addresses.values().map(|a| a.former).collect::<Vec<_>>()
    };
    assert_eq!(former(&story, "h"), [true]);
    story.hears(API, of_api(&[("h", &["10.0.0.2"])])).shows(&["h 10.0.0.1 api -", "h 10.0.0.2 api"]);
    // No probe knows whether the new one works: the old ones are remembered for as long as it takes.
    story.waits(100_000).hears(API, of_api(&[("h", &["10.0.0.2"])]));
    story.shows(&["h 10.0.0.1 api -", "h 10.0.0.2 api"]);
    assert_eq!(next_expiry(&story.inventory, GRACES), None);
    // What the new one has, too, is the new one's.
    story.hears(API, of_api(&[("h", &["10.0.0.1"])])).shows(&["h 10.0.0.1 api", "h 10.0.0.2 api -"]);
    assert_eq!(former(&story, "h"), [false, false]);
}

#[test]
fn former_addresses_go_after_the_grace_once_no_name_points_there() {
    let mut story = Story::new(discovered());
    story.hears(API, of_api(&[("h", &["10.0.0.1"]), ("i", &["10.0.1.1"])]));
    story.config.values_mut().next().unwrap().id = Some("ep-2".parse().unwrap());
    story.hears(API, of_api(&[("h", &["10.0.0.2"])]));
    let published = ["10.0.1.1".parse().unwrap()].into();
    let after = |secs: u64| drop_former(&story.inventory, &published, GRACES, now(story.secs + secs).boottime);
    assert_eq!(after(599), None);
    let left = after(600).unwrap();
    assert_eq!(addresses(&left), [("10.0.0.2".into(), false), ("10.0.1.1".into(), true)]);
    assert_eq!(drop_former(&left, &published, GRACES, now(99_999).boottime), None, "a name still points there");
    let left = drop_former(&left, &BTreeSet::new(), GRACES, now(99_999).boottime).unwrap();
    assert_eq!(addresses(&left), [("10.0.0.2".into(), false)]);
}

#[test]
fn what_the_last_successful_answer_lacks_is_kept_and_nobody_vouches_for_it() {
    let vouched = |story: &Story| {
        let e = story.endpoint();
        e.zones.values().flat_map(|z| z.addresses.values()).map(|a| e.vouches_for(a)).collect::<Vec<_>>()
    };
    let has = || of_api(&[("h", &["10.0.0.1"])]);
    for lacking in [gone(), of_api(&[]), of_api(&[("h", &[])])] {
        let mut story = Story::new(discovered());
        story.hears(API, has()).hears(API, failure());
        assert_eq!(vouched(&story), [true], "no answer says nothing");
        story.hears(API, lacking.clone()).shows(&["h 10.0.0.1 api"]);
        assert_eq!(vouched(&story), [false], "{lacking:?}");
        story.hears(API, failure());
        assert_eq!(vouched(&story), [false], "{lacking:?}");
        story.hears(API, has());
        assert_eq!(vouched(&story), [true]);
        // The domain name of a zone gave it too. It is not asked for any more of an endpoint that is there without the
        // zone.
        story.hears(ZONE, Ok(found(&[("h", &["10.0.0.1"])]))).hears(API, lacking.clone());
        let is_gone = lacking.as_ref().is_ok_and(|found| found.gone);
        assert_eq!(vouched(&story), [is_gone], "{lacking:?}");
        story.hears(ZONE, Ok(found(&[("h", &["10.0.0.1"])])));
        assert_eq!(vouched(&story), [true], "{lacking:?}: who still answers vouches for it");
    }
}

#[test]
fn another_status_is_told_once() {
    let mut story = Story::new(discovered());
    let said = |status: ZoneStatus, connection: ConnectionStatus| {
        let mut found = of_api(&[("h", &["10.0.0.1"])]).unwrap();
        found.zones.get_mut(&zone("h")).unwrap().cloud.as_mut().unwrap().status = status;
        found.cloud.as_mut().unwrap().connection = connection;
        Ok(found)
    };
    let told = |story: &Story| story.events.iter().map(ToString::to_string).collect::<Vec<_>>();
    story.hears(API, said(ZoneStatus::Connected, ConnectionStatus::Connected));
    assert_eq!(told(&story), ["e: the cloud says Active, Normal, Connected", "e: zone h: the cloud says Connected"]);
    story.hears(API, said(ZoneStatus::Connected, ConnectionStatus::Connected));
    assert!(told(&story).is_empty());
    story.hears(API, said(ZoneStatus::Migrating, ConnectionStatus::Disconnected));
    let expected = [
        "e: the cloud says Active, Normal, Disconnected: the connection was taken down: ask the provider of the service \
         to accept it again",
        "e: zone h: the cloud says Migrating: the provider moves the zone to another resource",
    ];
    assert_eq!(told(&story), expected);
}

/// What any source may say at any time.
fn saying() -> impl Strategy<Value = (SourceKind, Result<SourceAnswer, SourceError>, u64)> {
    let address = || select(vec!["10.0.0.1", "10.0.0.2", "10.0.1.1", "10.0.1.2"]);
    let given = proptest::collection::vec(proptest::option::of(proptest::collection::vec(address(), 0..3)), 3);
    let zones = (subsequence(vec!["h", "i", "unknown"], 0..=3), given);
    let kind = select(SourceKind::ALL.to_vec());
    (kind, zones, 0..10_u8, 0..4_000_u64).prop_map(|(kind, (zones, given), luck, secs)| {
        let of = |(id, given): (&str, Option<Vec<&str>>)| {
            let addresses = given.map(|all| all.iter().map(|a| a.parse().unwrap()).collect());
            (zone(id), FoundZone { addresses, ..FoundZone::default() })
        };
        let fits = |id: &&str| (kind == WHOLE) == (*id == "unknown");
        let zones = zones.into_iter().filter(fits).zip(given).map(of).collect();
        let said = match luck {
            0..3 => failure(),
            3 if kind == API => gone(),
            _ => Ok(SourceAnswer { zones, ..SourceAnswer::default() }),
        };
        (kind, said, secs)
    })
}

proptest! {
    /// B1: once there was an address, there is one that is not retired, whatever is said.
    #[test]
    fn whatever_is_said_something_stays(sayings in proptest::collection::vec(saying(), 1..20)) {
        let mut config = discovered();
        config.values_mut().next().unwrap().domain = Some("ep-1.example.com".parse().unwrap());
        config.values_mut().next().unwrap().addresses = wanted().values().next().unwrap().addresses.clone();
        let mut story = Story::new(config);
        let mut had_some = false;
        for (kind, said, secs) in sayings {
            story.waits(secs).hears(kind, said);
            let zones = &story.endpoint().zones;
            let mut all = zones.values().flat_map(|z| z.addresses.values());
            let live = all.any(|a| a.retired.is_none());
            prop_assert!(live || !had_some);
            had_some |= live;
            for entry in zones.values().flat_map(|z| z.addresses.values()) {
                prop_assert!(entry.given.is_empty() || entry.retired.is_none());
                prop_assert!(entry.given.first().is_none_or(|best| *best == entry.source));
            }
            let known = |a: &&IpAddr| zones.iter().any(|(z, e)| *z != Zone::Unknown && e.addresses.contains_key(*a));
            let unknown = zones.get(&Zone::Unknown).into_iter().flat_map(|z| z.addresses.keys());
            prop_assert_eq!(unknown.filter(known).count(), 0, "an address stands twice");
        }
    }
}

#[test]
fn a_zone_that_the_api_lacks_by_now_is_retired_though_its_domain_name_once_gave_it() {
    let mut story = Story::new(discovered());
    let both = [("h", &["10.0.0.1"][..]), ("i", &["10.0.1.1"])];
    story.hears(API, of_api(&both)).hears(ZONE, Ok(found(&both)));
    story.hears(API, of_api(&[("h", &["10.0.0.1"])]));
    assert_eq!(addresses(&story.inventory), [("10.0.0.1".into(), false), ("10.0.1.1".into(), true)]);
}
