//! What is let in of answers that are too large or wrong, one after the other.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use privatelinkd::config::{Config, from_toml};
use privatelinkd::discover::{Folded, FoundZone, Round, SourceAnswer, fold, recalled};
use privatelinkd::model::limits::{ADDRESSES_A_NAME, CapCounts, Capped, ZONES_AN_ENDPOINT};
use privatelinkd::model::{
    AddressEntry, Boottime, Endpoint, EventKind, Inventory, Now, SourceKind, Wall, Zone, ZoneEntry,
};

const NAME: &str = "e";
const DOMAIN: SourceKind = SourceKind::EndpointDomain;

/// Answers about one endpoint, folded one after the other.
struct Story {
    config: Config,
    inventory: Inventory,
    events: Vec<EventKind>,
    capped: CapCounts,
    secs: u64,
}

fn config(more: &str) -> Config {
    let endpoint = "[[endpoint]]\nname = \"e\"\nid = \"ep-1\"\ndomain = \"e.example.com\"\n\
                    private_dns = [\"db.example.com\"]\nprobe = { kind = \"tcp\", port = 1 }\n";
    from_toml(&format!("{more}\n{endpoint}")).unwrap()
}

impl Story {
    fn new() -> Self {
        let (inventory, capped) = (Inventory::default(), CapCounts::default());
        Self { config: config(""), inventory, events: Vec::new(), capped, secs: 0 }
    }

    fn hears(&mut self, kind: SourceKind, zones: &[(Zone, Vec<IpAddr>)]) -> &mut Self {
        self.secs += 30;
        let zones =
            zones.iter().map(|(zone, all)| (zone.clone(), FoundZone::from_addresses(all.iter().copied()))).collect();
        let found = SourceAnswer { zones, ..SourceAnswer::default() };
        let round: Round = [(NAME.parse().unwrap(), [(kind, Ok(found))].into())].into();
        let now = Now { boottime: Boottime(Duration::from_secs(self.secs)), wall: Wall(0) };
        let Folded { inventory, events, capped } = fold(&self.inventory, &self.config, round, now);
        self.inventory = inventory;
        self.events = events;
        self.capped.extend(&capped);
        self
    }

    fn endpoint(&self) -> &Endpoint {
        &self.inventory.endpoints[&NAME.parse().unwrap()]
    }

    fn in_use(&self) -> Vec<IpAddr> {
        let entries = self.endpoint().zones.values().flat_map(|z| &z.addresses);
        entries.filter(|(_, a)| a.retired.is_none()).map(|(ip, _)| *ip).collect()
    }

    fn said(&self, kind: SourceKind) -> String {
        self.endpoint().left_out.get(&kind).map(ToString::to_string).unwrap_or_default()
    }
}

fn ips(numbers: std::ops::Range<u32>) -> Vec<IpAddr> {
    numbers.map(|n| IpAddr::from(Ipv4Addr::from(0x0A00_0000 + n))).collect()
}

fn texts(all: &[&str]) -> Vec<IpAddr> {
    all.iter().map(|a| a.parse().unwrap()).collect()
}

fn zone(n: u32) -> Zone {
    Zone::Known(format!("cn-hangzhou-{n:04}").parse().unwrap())
}

#[test]
fn four_thousand_addresses_are_sixty_four_and_stay_the_same_ones() {
    let mut story = Story::new();
    story.hears(DOMAIN, &[(Zone::Unknown, ips(1000..5000))]);
    assert_eq!(story.in_use(), ips(1000..1064));
    assert_eq!(story.said(DOMAIN), "3936 addresses are left out: there may be 64");
    assert!(story.events.iter().any(|e| matches!(e, EventKind::LeftOut { .. })), "{:?}", story.events);
    // Another part of the set, which begins lower: newcomers are refused, and nothing goes for not being in it.
    story.hears(DOMAIN, &[(Zone::Unknown, ips(0..3000))]).hears(DOMAIN, &[(Zone::Unknown, ips(3000..3100))]);
    assert_eq!(story.in_use(), ips(1000..1064));
    assert!(story.events.is_empty(), "it is told once: {:?}", story.events);
    assert_eq!(story.capped.get(Capped::Addresses), 3936 + 2936 + 100);
    // An answer that is no longer too large is the whole truth again.
    story.hears(DOMAIN, &[(Zone::Unknown, ips(1000..1002))]);
    assert_eq!((story.in_use(), story.said(DOMAIN)), (ips(1000..1002), String::new()));
}

#[test]
fn a_resolver_that_rotates_fills_no_inventory() {
    let mut story = Story::new();
    for round in 0..50 {
        story.hears(DOMAIN, &[(Zone::Unknown, ips(round * 60..round * 60 + 60))]);
        let all: usize = story.endpoint().zones.values().map(|z| z.addresses.len()).sum();
        assert!(all <= 2 * ADDRESSES_A_NAME && story.in_use().len() <= ADDRESSES_A_NAME);
        assert!(!story.in_use().is_empty());
    }
    // Several sources together keep to the cap, too.
    let mut story = Story::new();
    story.hears(DOMAIN, &[(Zone::Unknown, ips(0..60))]).hears(SourceKind::Api, &[(zone(1), ips(100..160))]);
    assert_eq!(story.in_use().len(), ADDRESSES_A_NAME);
    assert_eq!(story.said(SourceKind::Api), "56 addresses are left out: there may be 64");
}

#[test]
fn all_addresses_can_be_replaced_at_once() {
    let mut story = Story::new();
    story.hears(DOMAIN, &[(Zone::Unknown, ips(0..64))]).hears(DOMAIN, &[(Zone::Unknown, ips(100..164))]);
    assert_eq!((story.in_use(), story.capped.is_empty()), (ips(100..164), true));
}

/// What one of them no longer tells, only the memory of the other could keep, and the other way round.
#[test]
fn two_sources_can_replace_all_that_both_give() {
    let mut story = Story::new();
    let both = |story: &mut Story, range: std::ops::Range<u32>| {
        story.hears(DOMAIN, &[(Zone::Unknown, ips(range.clone()))]).hears(SourceKind::Api, &[(zone(1), ips(range))]);
    };
    both(&mut story, 0..40);
    for range in [100..140, 200..240, 300..364] {
        (0..2).for_each(|_| both(&mut story, range.clone()));
        assert_eq!(story.in_use(), ips(range));
        assert_eq!((story.said(DOMAIN), story.said(SourceKind::Api)), (String::new(), String::new()));
        // The replaced ones are over.
        story.secs += 7200;
    }
}

/// What was another endpoint's takes no room of what is the present one's.
#[test]
fn former_addresses_keep_no_new_one_out() {
    let mut story = Story::new();
    story.hears(DOMAIN, &[(Zone::Unknown, ips(0..64))]);
    story.config.endpoints.values_mut().next().unwrap().id = Some("ep-2".parse().unwrap());
    story.hears(DOMAIN, &[(Zone::Unknown, ips(100..164))]).hears(DOMAIN, &[(Zone::Unknown, ips(200..264))]);
    assert_eq!((story.in_use(), story.said(DOMAIN)), (ips(200..264), String::new()));
}

#[test]
fn thousands_of_zones_are_thirty_two_and_stay_the_same_ones() {
    let zones = |from: u32, to: u32| (from..to).map(|n| (zone(n), ips(n..n + 1))).collect::<Vec<_>>();
    let mut story = Story::new();
    story.hears(SourceKind::Api, &zones(100, 4600));
    assert_eq!(story.in_use(), ips(100..132));
    assert_eq!(story.said(SourceKind::Api), "4468 zones are left out: there may be 32");
    story.hears(SourceKind::Api, &zones(0, 4600));
    assert_eq!(story.in_use(), ips(100..132), "newcomers are refused, never the old");
    assert_eq!(story.capped.get(Capped::Zones), 4468 + 4568);
}

#[test]
fn a_bad_address_costs_itself_alone() {
    let mut story = Story::new();
    story.hears(DOMAIN, &[(Zone::Unknown, texts(&["10.9.0.5"]))]);
    for bad in ["8.8.8.8", "127.0.0.1", "169.254.1.1", "224.0.0.1", "255.255.255.255", "100.100.2.136", "0.0.0.0"] {
        story.hears(DOMAIN, &[(Zone::Unknown, texts(&["10.9.0.7", bad]))]);
        assert_eq!(story.in_use(), texts(&["10.9.0.7"]));
        assert!(story.said(DOMAIN).starts_with(&format!("{bad} is left out: it is ")), "{}", story.said(DOMAIN));
        // None is left: the last one stays, and is no older for it.
        story.hears(DOMAIN, &[(Zone::Unknown, texts(&[bad]))]);
        assert_eq!(story.in_use(), texts(&["10.9.0.7"]), "{bad}");
    }
    // Zone by zone.
    story.hears(SourceKind::Api, &[(zone(1), texts(&["10.0.0.1"])), (zone(2), texts(&["10.0.0.2"]))]);
    story.hears(SourceKind::Api, &[(zone(1), texts(&["8.8.4.4"])), (zone(2), texts(&["10.0.0.3"]))]);
    assert_eq!(story.in_use(), texts(&["10.0.0.1", "10.0.0.3", "10.9.0.7"]));
}

#[test]
fn what_the_config_gives_is_probed_outside_of_the_allowed_ranges_unless_it_is_special() {
    let given = texts(&["8.8.8.8", "127.0.0.1"]);
    for (ranges, expected) in [("", &given[..1]), ("[hosts]\nallowed_ranges = [\"127.0.0.0/8\"]", &given[..])] {
        let text = "[[endpoint]]\nname = \"e\"\naddresses = { \"cn-hangzhou-0001\" = \"8.8.8.8\" }\n\
                    private_dns = [\"db.example.com\"]\nprobe = { kind = \"tcp\", port = 1 }\n";
        let mut story = Story { config: from_toml(&format!("{ranges}\n{text}")).unwrap(), ..Story::new() };
        story.hears(SourceKind::Fixed, &[(zone(1), given.clone())]);
        assert_eq!(story.in_use(), expected);
        assert!(story.endpoint().barred.is_empty());
    }
}

#[test]
fn ranges_that_shrink_bar_what_was_let_in_before() {
    let mut story = Story::new();
    story.hears(DOMAIN, &[(Zone::Unknown, texts(&["10.0.0.1", "192.168.0.1"]))]);
    assert!(story.endpoint().barred.is_empty());
    story.config = config("[hosts]\nallowed_ranges = [\"10.0.0.0/8\"]");
    let round = Round::new();
    let now = Now { boottime: Boottime(Duration::from_secs(90)), wall: Wall(0) };
    story.inventory = fold(&story.inventory, &story.config, round, now).inventory;
    assert_eq!(story.endpoint().barred.keys().copied().collect::<Vec<_>>(), texts(&["192.168.0.1"]));
}

#[test]
fn a_file_with_more_is_cut() {
    let mut story = Story::new();
    story.hears(DOMAIN, &[(Zone::Unknown, ips(0..64))]);
    let endpoint = story.inventory.endpoints.values_mut().next().unwrap();
    let entry = endpoint.zones[&Zone::Unknown].clone();
    for n in 0..4500 {
        let more = ips(n..n + 10).into_iter().map(|ip| (ip, AddressEntry::given_by(DOMAIN))).collect();
        endpoint.zones.insert(zone(n), ZoneEntry { addresses: more, ..entry.clone() });
    }
    story.inventory = recalled(story.inventory, &story.config);
    assert!(story.endpoint().zones.len() <= ZONES_AN_ENDPOINT + 1);
    assert_eq!(story.in_use().len(), ADDRESSES_A_NAME);
}
