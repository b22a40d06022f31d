//! Every config change that changes what an endpoint is, one by one: before, at once after the reload, when the new
//! addresses are found, and when one of them has passed a probe (B1, B13).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use privatelinkd::config::Config;
use privatelinkd::discover::{FoundZone, Round, SourceAnswer, merge};
use privatelinkd::model::{
    AnswerReason, Boottime, Check, CheckHealth, CheckState, HealthView, HostFacts, HostName, Inventory, Now, Overrides,
    Plan, Policy, SourceKind, TargetHealth, Wall, Zone,
};
use privatelinkd::probe::TargetSet;
use privatelinkd::probe::runner::{Probes, Probing};
use privatelinkd::steer::{Inputs, Steered, steer};

const NAME: &str = "db.example.internal";
const OLD: &str = "10.0.0.1";
const NEW: &str = "10.0.0.2";
const GRACE: u64 = 600;

fn now(secs: u64) -> Now {
    Now { boottime: Boottime(Duration::from_secs(secs)), wall: Wall(secs * 1000) }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A world that reloads, discovers and probes when it is told to.
struct World {
    config: Config,
    inventory: Inventory,
    health: HealthView,
    plan: Option<Plan>,
    secs: u64,
}

impl World {
    fn new(config: &str) -> Self {
        let config = privatelinkd::config::from_toml(config).unwrap();
        Self { config, inventory: Inventory::default(), health: HealthView::default(), plan: None, secs: 1000 }
    }

    fn reload(&mut self, config: &str) {
        self.config = privatelinkd::config::from_toml(config).unwrap();
        self.fold(&Round::new());
    }

    /// The endpoint is found at this address, by the source that its config gives.
    fn finds(&mut self, label: &str, address: &str) {
        let config = &self.config.endpoints[&label.parse().unwrap()];
        let (kind, zone) = match (&config.id, config.addresses.is_empty()) {
            (_, false) => (SourceKind::Fixed, "h"),
            (Some(_), true) => (SourceKind::Api, "h"),
            (None, true) => (SourceKind::EndpointDomain, "unknown"),
        };
        let zone = if zone == "h" { Zone::Known("cn-hangzhou-h".parse().unwrap()) } else { Zone::Unknown };
        let found = SourceAnswer {
            zones: [(zone, FoundZone::from_addresses([ip(address)]))].into(),
            ..SourceAnswer::default()
        };
        self.fold(&[(label.parse().unwrap(), [(kind, Ok(found))].into())].into());
    }

    fn fold(&mut self, round: &Round) {
        self.secs += 1;
        let (config, graces) = (&self.config.endpoints, self.config.graces());
        self.inventory = merge(&self.inventory, config, round, graces, now(self.secs)).0;
        // What nobody probes any more is forgotten.
        let work = self.work();
        self.health.targets.retain(|key, _| work.targets.contains_key(key));
    }

    fn work(&self) -> TargetSet {
        let probing =
            |e: &privatelinkd::config::EndpointConfig| Some(Probing { identity: e.identity(), spec: e.probe.clone()? });
        let probes: Probes = self.config.endpoints.iter().filter_map(|(n, e)| Some((n.clone(), probing(e)?))).collect();
        TargetSet::from_inventory(&self.inventory, &probes)
    }

    fn probed(&self) -> Vec<IpAddr> {
        self.work().targets.keys().map(|key| key.address).collect()
    }

    /// A probe of this address passes.
    fn passes(&mut self, address: &str) {
        self.secs += 1;
        let at = now(self.secs);
        let up = CheckHealth {
            state: CheckState::Up { hold_until: None },
            successes_in_a_row: 1,
            last_success_started: Some(at.boottime),
            ..CheckHealth::unknown(at)
        };
        let health = Arc::new(TargetHealth { checks: [(Check::Path, up)].into_iter().collect() });
        let of_address = self.work().targets.into_keys().filter(|key| key.address == ip(address));
        self.health.targets.extend(of_address.map(|key| (key, health.clone())));
    }

    fn steers(&mut self) -> (Vec<IpAddr>, AnswerReason, Steered) {
        let steered = steer(&Inputs {
            inventory: &self.inventory,
            health: &self.health,
            host: &HostFacts::default(),
            overrides: &Overrides::default(),
            policy: &Policy { graces: self.config.graces(), ..Policy::default() },
            previous: self.plan.as_ref(),
            now: now(self.secs),
        });
        self.plan = Some(steered.plan.clone());
        let answer = &steered.plan.answers[&NAME.parse::<HostName>().unwrap()];
        (answer.addresses.clone(), answer.reason, steered.clone())
    }

    fn points_at(&mut self, what: &str, addresses: &[&str], reason: AnswerReason) {
        let (found, why, _) = self.steers();
        let expected: Vec<_> = addresses.iter().map(|a| ip(a)).collect();
        assert_eq!((found, why), (expected, reason), "{what}");
    }
}

fn endpoint(label: &str, what: &str, probe: &str) -> String {
    format!(
        "[[endpoint]]\nname = \"{label}\"\n{what}\nprivate_dns = [\"{NAME}\"]\n[endpoint.probe]\nkind = \"tcp\"\n{probe}\n"
    )
}

fn config(region: &str, what: &str) -> String {
    format!("[host]\nregion = \"{region}\"\n{}", endpoint("db", what, "port = 5432"))
}

/// A change by which the endpoint is another one: nothing is sent to the old addresses, they are published until the
/// new ones have passed a probe, and then leave in one plan.
#[test]
fn another_endpoint_under_the_same_label() {
    let at = "cn-hangzhou";
    let (own, other) = ("ep-1.epsrv-1.cn-hangzhou.privatelink.aliyuncs.com", "ep-2.epsrv-1.x.privatelink.aliyuncs.com");
    let domain = |domain: &str| config(at, &format!("domain = \"{domain}\""));
    let rows = [
        ("id", config(at, "id = \"ep-1\""), config(at, "id = \"ep-2\"")),
        ("region", config(at, "id = \"ep-1\""), config("cn-beijing", "id = \"ep-1\"")),
        ("domain", domain(own), domain(other)),
        ("a domain becomes another one's id", domain(own), config(at, "id = \"ep-2\"")),
        ("an id becomes another one's domain", config(at, "id = \"ep-1\""), domain(other)),
    ];
    for (what, before, after) in rows {
        let mut world = World::new(&before);
        world.finds("db", OLD);
        world.passes(OLD);
        world.points_at(what, &[OLD], AnswerReason::Healthy);
        // At once.
        world.reload(&after);
        assert!(world.probed().is_empty(), "{what}: nothing of the new one is sent to {:?}", world.probed());
        world.points_at(what, &[OLD], AnswerReason::RemovalPending);
        // After discovery.
        world.finds("db", NEW);
        assert_eq!(world.probed(), [ip(NEW)], "{what}");
        world.points_at(what, &[OLD], AnswerReason::RemovalPending);
        world.passes(NEW);
        world.points_at(what, &[NEW], AnswerReason::Healthy);
        // And back, before anything is found: what was found for the first one then may be anybody's by now.
        world.reload(&before);
        assert!(world.probed().is_empty(), "{what}");
        world.points_at(what, &[NEW], AnswerReason::RemovalPending);
        world.finds("db", OLD);
        world.passes(OLD);
        world.points_at(what, &[OLD], AnswerReason::Healthy);
    }
}

#[test]
fn addresses_of_the_config_leave_with_what_else_it_said() {
    let at = "cn-hangzhou";
    let fixed = config(at, "addresses = { cn-hangzhou-h = \"10.0.0.1\" }");
    for (what, after) in [
        ("an id", config(at, "id = \"ep-2\"")),
        ("a domain", config(at, "domain = \"ep-2.epsrv-1.x.privatelink.aliyuncs.com\"")),
    ] {
        let mut world = World::new(&fixed);
        world.finds("db", OLD);
        world.passes(OLD);
        world.points_at(what, &[OLD], AnswerReason::Healthy);
        world.reload(&after);
        assert!(world.probed().is_empty(), "{what}: nothing of the new one is sent to {:?}", world.probed());
        world.points_at(what, &[OLD], AnswerReason::RemovalPending);
        world.finds("db", NEW);
        world.passes(NEW);
        world.points_at(what, &[NEW], AnswerReason::Healthy);
    }
}

/// A change that says the same of the endpoint in other words, or something else of it.
#[test]
fn the_same_endpoint_told_otherwise() {
    let at = "cn-hangzhou";
    let own = "domain = \"ep-1.epsrv-1.cn-hangzhou.privatelink.aliyuncs.com\"";
    let both = format!("id = \"ep-1\"\n{own}");
    let rows = [
        ("a domain becomes its id", config(at, own), config(at, "id = \"ep-1\"")),
        ("an id becomes its domain", config(at, "id = \"ep-1\""), config(at, own)),
        ("an id comes to a domain", config(at, own), config(at, &both)),
        ("a domain comes to an id", config(at, "id = \"ep-1\""), config(at, &both)),
        ("a domain leaves an id", config(at, &both), config(at, "id = \"ep-1\"")),
        ("priority", config(at, "id = \"ep-1\""), config(at, "id = \"ep-1\"\npriority = 7")),
        ("the region of a domain", config(at, own), config("cn-beijing", own)),
    ];
    for (what, before, after) in rows {
        let mut world = World::new(&before);
        world.finds("db", OLD);
        world.passes(OLD);
        world.steers();
        world.reload(&after);
        assert_eq!(world.probed(), [ip(OLD)], "{what}: at once");
        world.points_at(what, &[OLD], AnswerReason::Healthy);
        world.finds("db", OLD);
        assert_eq!(world.probed(), [ip(OLD)], "{what}: after discovery");
        // By now its zone may be known.
        world.passes(OLD);
        world.points_at(what, &[OLD], AnswerReason::Healthy);
    }
}

#[test]
fn another_probe_asks_the_same_addresses_anew() {
    let with = |probe: &str| endpoint("db", "id = \"ep-1\"", probe);
    let mut world = World::new(&with("port = 5432"));
    world.finds("db", OLD);
    world.passes(OLD);
    world.steers();
    world.reload(&with("port = 5433"));
    let ports: Vec<_> = world.work().targets.values().map(|spec| spec.probe.port).collect();
    assert_eq!(ports, [5433]);
    world.health = HealthView::default();
    world.points_at("at once", &[OLD], AnswerReason::Unprobed);
    world.passes(OLD);
    world.points_at("probed", &[OLD], AnswerReason::Healthy);
}

#[test]
fn a_name_that_moves_to_another_endpoint_or_label_follows_when_that_one_answers() {
    let nameless = endpoint("db", "id = \"ep-1\"", "port = 5432").replace(NAME, "old.example.internal");
    let rows = [
        ("another endpoint", nameless + &endpoint("new", "id = \"ep-2\"", "port = 5432")),
        ("another label and id", endpoint("new", "id = \"ep-2\"", "port = 5432")),
        ("another label", endpoint("new", "id = \"ep-1\"", "port = 5432")),
    ];
    for (what, after) in rows {
        let mut world = World::new(&endpoint("db", "id = \"ep-1\"", "port = 5432"));
        world.finds("db", OLD);
        world.passes(OLD);
        world.steers();
        world.reload(&after);
        world.points_at(what, &[OLD], AnswerReason::RemovalPending);
        world.finds("new", NEW);
        world.points_at(what, &[OLD], AnswerReason::RemovalPending);
        world.passes(NEW);
        world.points_at(what, &[NEW], AnswerReason::Healthy);
    }
}

#[test]
fn without_anything_of_the_new_one_the_old_one_is_kept_and_that_is_said() {
    let mut world = World::new(&config("cn-hangzhou", "id = \"ep-1\""));
    world.finds("db", OLD);
    world.passes(OLD);
    world.steers();
    world.reload(&config("cn-hangzhou", "id = \"ep-2\""));
    let over = now(world.secs + GRACE).boottime;
    let (.., steered) = world.steers();
    assert_eq!((steered.wake_at, steered.outstayed.len()), (Some(over), 0));
    world.secs += GRACE;
    let (addresses, reason, steered) = world.steers();
    assert_eq!((addresses, reason), (vec![ip(OLD)], AnswerReason::RemovalPending));
    assert_eq!(steered.outstayed, [NAME.parse().unwrap()].into());
    // The new one is found and never answers: still.
    world.finds("db", NEW);
    world.secs += 10 * GRACE;
    world.points_at("found", &[OLD], AnswerReason::RemovalPending);
    world.passes(NEW);
    let (addresses, _, steered) = world.steers();
    assert_eq!((addresses, steered.outstayed.len()), (vec![ip(NEW)], 0));
}

#[test]
fn the_second_choice_takes_over_only_when_nothing_comes_of_the_new_one() {
    let second = |id: &str| {
        let own = config("cn-hangzhou", &format!("id = \"{id}\""));
        own + &endpoint("second", "id = \"ep-9\"\npriority = 10", "port = 5432")
    };
    let mut world = World::new(&second("ep-1"));
    for (label, address) in [("db", OLD), ("second", "10.0.9.9")] {
        world.finds(label, address);
        world.passes(address);
    }
    world.points_at("first choice", &[OLD], AnswerReason::Healthy);
    world.reload(&second("ep-2"));
    world.points_at("at once", &[OLD], AnswerReason::RemovalPending);
    world.secs += GRACE;
    world.points_at("after the grace", &["10.0.9.9"], AnswerReason::Healthy);
    world.finds("db", NEW);
    world.passes(NEW);
    world.points_at("found", &[NEW], AnswerReason::Healthy);
}

#[test]
fn the_domain_of_the_old_one_never_leads_to_the_new_one() {
    let what = |id: &str| config("cn-hangzhou", &format!("id = \"{id}\"\npublish_domain = true"));
    let own: HostName = "ep-1.epsrv-1.cn-hangzhou.privatelink.aliyuncs.com".parse().unwrap();
    let mut world = World::new(&what("ep-1"));
    let zones = BTreeMap::from([(Zone::Known("cn-hangzhou-h".parse().unwrap()), FoundZone::from_addresses([ip(OLD)]))]);
    let found = SourceAnswer { zones, domain: Some(own.clone()), ..SourceAnswer::default() };
    world.fold(&[("db".parse().unwrap(), [(SourceKind::Api, Ok(found))].into())].into());
    world.passes(OLD);
    let at = |world: &mut World| {
        let (.., steered) = world.steers();
        steered.plan.answers.get(&own).map(|a| (a.addresses.clone(), a.reason))
    };
    assert_eq!(at(&mut world), Some((vec![ip(OLD)], AnswerReason::Healthy)));
    world.reload(&what("ep-2"));
    world.finds("db", NEW);
    world.passes(NEW);
    assert_eq!(at(&mut world), Some((vec![ip(OLD)], AnswerReason::RemovalPending)));
    world.secs += GRACE;
    world.fold(&Round::new());
    assert_eq!(at(&mut world), None);
}
