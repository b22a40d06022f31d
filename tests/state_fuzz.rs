//! State files from anywhere: whatever they hold, judging them ends in an answer, and what came out of one never makes
//! discovery or steering panic or empties a name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use privatelinkd::agent::steering;
use privatelinkd::config::Config;
use privatelinkd::discover::{Cached, FoundZone, Round, SourceAnswer, judge, merge};
use privatelinkd::model::{
    AddressEntry, Answer, AnswerReason, Boottime, Endpoint, EndpointIdentity, Freshness, HealthView, HostFacts,
    HostName, Identity, IdentityPart, Inventory, Missing, Now, Overrides, Plan, Presence, SourceKind, Wall, Withdrawal,
    Zone, ZoneEntry,
};
use privatelinkd::probe::mysql::tls_book::TlsBook;
use privatelinkd::steer::{Inputs, steer};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::{cases, damaged};

const BOOT: &str = "this boot";

/// What is remembered of TLS with two servers.
const TLS_BOOK: &[u8] = br#"{"format":1,"servers":{
    "10.0.0.1:3306":{"completed":true,"ways":{"00ff":{"seen":1790000000000,"proven":"preferred"}},"faults":[]},
    "[fd00::1]:3306":{"completed":false,"ways":{"00ff":{"seen":0,"proven":null}},"faults":[
        {"greeting":"00ff","broken":2,"open":0,"lack":true,"detail":"alert"}]}}}"#;

/// What the cached state meets at start.
static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let text = r#"
        [[endpoint]]
        name = "a"
        addresses = { z0 = "10.0.0.0", z1 = ["10.0.0.1", "10.0.0.2"] }
        private_dns = ["a.x", "b.x"]
        probe = { kind = "tcp", port = 9000 }
        [[endpoint.zone]]
        id = "z1"
        private_dns = ["z1.a.x"]

        [[endpoint]]
        name = "b"
        addresses = { z1 = "10.0.0.3" }
        private_dns = ["b.x"]
        priority = 1
        probe = { kind = "tcp", port = 9000 }
        steering = { prefer = "local_zone", answers = "one" }
    "#;
    privatelinkd::config::from_toml(text).expect("a good config")
});

fn name() -> impl Strategy<Value = HostName> {
    select(vec!["a.x", "b.x", "z1.a.x", "gone.x"]).prop_map(|n| n.parse().unwrap())
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![4 => (0..6u8).prop_map(|i| IpAddr::from([10, 0, 0, i])), 1 => any::<IpAddr>()]
}

fn boottime() -> impl Strategy<Value = Boottime> {
    let ms = prop_oneof![4 => 0..2_000_000u64, 1 => any::<u64>()];
    ms.prop_map(|ms| Boottime(Duration::from_millis(ms)))
}

fn plan() -> impl Strategy<Value = Plan> {
    let answer = (btree_set(address(), 1..4), vec(address(), 0..2), select(AnswerReason::ALL.to_vec())).prop_map(
        |(addresses, standby, reason)| Answer { addresses: addresses.into_iter().collect(), standby, reason },
    );
    let why = select(vec![Withdrawal::Gone, Withdrawal::Removed, Withdrawal::ForeignCache]);
    let some = || btree_map(name(), btree_set(address(), 1..3), 0..3);
    let zone_names = btree_set(name(), 0..2);
    (btree_map(name(), answer, 0..4), btree_map(name(), why, 0..3), some(), some(), zone_names).prop_map(
        |(answers, withdrawn, left, unproven, zone_names)| Plan { answers, withdrawn, left, unproven, zone_names },
    )
}

fn inventory() -> impl Strategy<Value = Inventory> {
    let flags = (any::<bool>(), any::<bool>());
    let entry = (proptest::option::of(boottime()), select(SourceKind::ALL.to_vec()), flags).prop_map(
        |(retired, source, (given, former))| AddressEntry {
            source,
            given: given.then_some(source).into_iter().collect(),
            retired,
            former,
        },
    );
    let missing = || {
        let time = || proptest::option::of(boottime());
        let missing = (time(), time(), time());
        proptest::option::of(missing.prop_map(|(first, confirmed, latest)| Missing { first, confirmed, latest }))
    };
    let zone = select(vec![Zone::Known("z0".parse().unwrap()), Zone::Known("z1".parse().unwrap()), Zone::Unknown]);
    let leaving = || btree_map(name(), boottime(), 0..2);
    let in_zone = (btree_set(name(), 0..2), leaving(), btree_map(address(), entry, 0..3), missing())
        .prop_map(|(names, leaving, addresses, missing)| ZoneEntry { names, leaving, addresses, cloud: None, missing });
    let presence = prop_oneof![Just(Presence::Configured), boottime().prop_map(|since| Presence::Removed { since })];
    let at = (boottime(), any::<u64>()).prop_map(|(boottime, wall)| Now { boottime, wall: Wall(wall) });
    let source = (at, any::<bool>()).prop_map(|(at, fresh)| match fresh {
        true => Freshness::Fresh { at },
        false => Freshness::Stale { since: at, error: "no answer".to_owned() },
    });
    let sources = btree_map(Just(SourceKind::Fixed), source, 0..2);
    let endpoint = (
        (btree_set(name(), 0..3), leaving()),
        -1..2i32,
        btree_map(zone, in_zone, 0..3),
        any::<bool>(),
        presence,
        sources,
        missing(),
    )
        .prop_map(|((names, leaving), priority, zones, probed, presence, sources, missing)| Endpoint {
            identity: EndpointIdentity::default(),
            id: None,
            domain: None,
            names,
            leaving,
            priority,
            zones,
            probed,
            proves_itself: probed,
            presence,
            sources,
            cloud: None,
            missing,
            not_found: BTreeSet::new(),
            left_out: BTreeMap::new(),
            barred: BTreeMap::new(),
        });
    let label = select(vec!["a", "b", "gone"]).prop_map(|n| n.parse().unwrap());
    btree_map(label, endpoint, 0..3).prop_map(|endpoints| Inventory { endpoints, disowned: false })
}

/// The bytes that the cache keeps of this content.
fn stored(content: &impl serde::Serialize, machine: &str) -> Vec<u8> {
    let identity = identity(machine);
    let stored =
        serde_json::json!({ "format": 1, "boot_id": BOOT, "identity": identity, "saved": 7, "content": content });
    serde_json::to_vec(&stored).unwrap()
}

fn identity(machine: &str) -> Identity {
    Identity { machine_id: Some(machine.to_owned()), ..Identity::default() }
}

/// What starting with these would do, up to the first plan.
fn start(inventory: &Inventory, previous: Option<&Plan>, answering: bool, at: Boottime) -> Plan {
    let now = Now { boottime: at, wall: Wall(0) };
    let mut round = Round::new();
    for (name, endpoint) in CONFIG.endpoints.iter().filter(|_| answering) {
        let of = |(zone, all): (&_, &Vec<_>)| {
            (Zone::Known(Clone::clone(zone)), FoundZone::from_addresses(all.iter().copied()))
        };
        let found = SourceAnswer { zones: endpoint.addresses.iter().map(of).collect(), ..SourceAnswer::default() };
        round.entry(name.clone()).or_default().insert(SourceKind::Fixed, Ok(found));
    }
    let policy = steering::policy(&CONFIG);
    let (inventory, _) = merge(inventory, &CONFIG.endpoints, &round, policy.graces, now);
    let (health, host, overrides) = (HealthView::default(), HostFacts::default(), Overrides::default());
    let inputs = Inputs {
        inventory: &inventory,
        health: &health,
        host: &host,
        overrides: &overrides,
        policy: &policy,
        previous,
        now,
    };
    steer(&inputs).plan
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_state_file_is_judged(
        (plan, broken_plan) in plan().prop_flat_map(|p| { let json = stored(&p, "here"); (Just(p), damaged(json)) }),
        broken_inventory in inventory().prop_flat_map(|i| damaged(stored(&i, "here"))),
        garbage in vec(any::<u8>(), 0..64),
        at in boottime(),
    ) {
        let here = identity("here");
        prop_assert_eq!(
            judge::<Plan>(&stored(&plan, "here"), &here, BOOT),
            Cached::Good { content: plan.clone(), same_boot: true, identity: here.clone() }
        );
        let foreign = judge::<Plan>(&stored(&plan, "elsewhere"), &here, BOOT);
        prop_assert_eq!(foreign, Cached::Foreign { content: plan, part: IdentityPart::MachineId });
        for bytes in [&broken_plan, &garbage] {
            if let Cached::Unusable { error } = judge::<Inventory>(bytes, &here, BOOT) {
                prop_assert!(error.len() < 400, "{error}");
            }
        }
        // What a damaged file can still say must do no harm.
        let previous = match judge::<Plan>(&broken_plan, &here, BOOT) {
            Cached::Good { content, .. } => Some(content),
            _ => None,
        };
        if let Cached::Good { content, .. } = judge::<Inventory>(&broken_inventory, &here, BOOT) {
            let plan = start(&content, previous.as_ref(), true, at);
            prop_assert!(plan.answers.values().all(|a| !a.addresses.is_empty()));
        }
    }

    #[test]
    fn any_book_of_tls_handshakes_is_judged(
        broken in damaged(TLS_BOOK.to_vec()),
        garbage in vec(any::<u8>(), 0..64),
    ) {
        prop_assert!(TlsBook::read(TLS_BOOK).is_ok());
        for bytes in [&broken, &garbage] {
            if let Err(error) = TlsBook::read(bytes) {
                prop_assert!(error.len() < 200, "{error}");
            }
        }
    }

    #[test]
    fn any_cached_plan_and_inventory_start_well(
        inventory in inventory(),
        previous in proptest::option::of(plan()),
        answering in any::<bool>(),
        at in boottime(),
    ) {
        let plan = start(&inventory, previous.as_ref(), answering, at);
        let configured: BTreeSet<_> = CONFIG.endpoints.values().flat_map(|e| {
            e.names.iter().chain(e.zone_names.values().flatten())
        }).collect();
        for (name, answer) in &plan.answers {
            prop_assert!(!answer.addresses.is_empty(), "{name}");
            let distinct: BTreeSet<_> = answer.addresses.iter().collect();
            prop_assert!(distinct.len() == answer.addresses.len(), "{name}: {answer:?}");
            prop_assert!(!plan.withdrawn.contains_key(name));
        }
        let before = previous.map(|p| p.answers).unwrap_or_default();
        for name in configured {
            let had_some = before.contains_key(name);
            prop_assert!(plan.answers.contains_key(name) || !(answering || had_some), "{name} is gone");
        }
        let kept: BTreeMap<_, _> = before.iter().filter(|(n, _)| !plan.answers.contains_key(*n)).collect();
        prop_assert!(kept.keys().all(|n| plan.withdrawn.contains_key(*n)), "absence alone removes nothing");
    }
}
