mod properties;
mod slow;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::model::{
    AddressEntry, Answers, Boottime, Check, CheckHealth, CheckState, Drain, Endpoint, EndpointIdentity, Freshness,
    Graces, HealthView, HostFacts, Inventory, Missing, Overrides, Policy, Prefer, Presence, SourceKind, Span, Steering,
    TargetKey, Zone, ZoneEntry,
};

const GRACE: Duration = Duration::from_secs(600);

fn now(secs: u64) -> Now {
    Now { boottime: Boottime(Duration::from_secs(secs)), wall: crate::model::Wall(secs * 1000) }
}

fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn zone(id: &str) -> Zone {
    Zone::Known(id.parse().unwrap())
}

/// A small world: endpoints `e0`, `e1` with a zone for each given address, all under the name `db.example`.
#[derive(Debug, Clone)]
struct World {
    inventory: Inventory,
    health: HealthView,
    host: HostFacts,
    overrides: Overrides,
    policy: Policy,
    now: Now,
}

impl World {
    fn new(endpoints: &[&[u8]]) -> Self {
        let mut inventory = Inventory::default();
        for (i, addresses) in endpoints.iter().enumerate() {
            let entry = AddressEntry::given_by(SourceKind::Fixed);
            let zones = addresses.iter().enumerate().map(|(z, a)| {
                let addresses = [(ip(*a), entry.clone())].into();
                (zone(&format!("z{z}")), ZoneEntry { addresses, ..ZoneEntry::default() })
            });
            let endpoint = Endpoint {
                identity: EndpointIdentity::default(),
                id: None,
                domain: None,
                names: [name("db.example")].into(),
                leaving: BTreeMap::new(),
                priority: 0,
                zones: zones.collect(),
                probed: true,
                proves_itself: false,
                presence: Presence::Configured,
                sources: [(SourceKind::Fixed, Freshness::Fresh { at: now(0) })].into(),
                cloud: None,
                missing: None,
                not_found: Default::default(),
                left_out: Default::default(),
                barred: Default::default(),
            };
            inventory.endpoints.insert(format!("e{i}").parse().unwrap(), endpoint);
        }
        let policy = Policy { graces: Graces { removal: GRACE, gone: GRACE }, ..Policy::default() };
        let (host, overrides) = (HostFacts::default(), Overrides::default());
        Self { inventory, health: HealthView::default(), host, overrides, policy, now: now(1000) }
    }

    fn endpoint(&mut self, i: usize) -> &mut Endpoint {
        self.inventory.endpoints.get_mut(&format!("e{i}").parse().unwrap()).unwrap()
    }

    fn keys(&self) -> Vec<TargetKey> {
        let zones = self.inventory.endpoints.iter().flat_map(|(e, x)| x.zones.iter().map(move |(z, y)| (e, z, y)));
        let key = |(e, z, y): (&EndpointName, &Zone, &ZoneEntry)| {
            let of = |a: &IpAddr| TargetKey { endpoint: e.clone(), zone: z.clone(), address: *a };
            y.addresses.keys().map(of).collect::<Vec<_>>()
        };
        zones.flat_map(key).collect()
    }

    fn set(&mut self, address: u8, path: CheckHealth) {
        self.set_check(address, Check::Path, path);
    }

    fn set_check(&mut self, address: u8, check: Check, health: CheckHealth) {
        let key = self.keys().into_iter().find(|k| k.address == ip(address)).unwrap();
        Arc::make_mut(self.health.targets.entry(key).or_default()).checks.insert(check, health);
    }

    fn steer(&self, previous: Option<&Plan>) -> Steered {
        let Self { inventory, health, host, overrides, policy, now } = self;
        steer(&Inputs { inventory, health, host, overrides, policy, previous, now: *now })
    }

    fn outages(&self, names: &[&str]) -> BTreeMap<HostName, Outage> {
        let Self { inventory, health, host, overrides, policy, now } = self;
        let names: Vec<_> = names.iter().copied().map(name).collect();
        outages(&Inputs { inventory, health, host, overrides, policy, previous: None, now: *now }, names.iter())
    }

    /// What `db.example` points at after `previous`, and why.
    fn answer(&self, previous: &[u8]) -> (Vec<IpAddr>, AnswerReason) {
        let previous = (!previous.is_empty()).then(|| plan(previous));
        let answer = self.steer(previous.as_ref()).plan.answers.remove(&name("db.example")).unwrap();
        (answer.addresses, answer.reason)
    }
}

fn name(s: &str) -> HostName {
    s.parse().unwrap()
}

fn plan(addresses: &[u8]) -> Plan {
    let addresses = addresses.iter().map(|a| ip(*a)).collect();
    let answer = Answer { addresses, standby: vec![], reason: AnswerReason::Healthy };
    Plan { answers: [(name("db.example"), answer)].into(), ..Plan::default() }
}

fn ips(last: &[u8]) -> Vec<IpAddr> {
    last.iter().map(|l| ip(*l)).collect()
}

fn health(state: CheckState, successes: u32, last_success: Option<u64>, failing_since: Option<u64>) -> CheckHealth {
    let at = |secs: u64| now(secs).boottime;
    let decided = if let CheckState::Down { decided } = state { decided } else { None };
    let failed_first = failing_since.map(at).or(decided);
    // What is up has been so for long; what is down has just begun to answer.
    let up = matches!(state, CheckState::Up { .. });
    CheckHealth {
        state,
        failing_since: failing_since.map(at),
        successes_in_a_row: successes,
        last_success_started: last_success.map(at),
        successes: last_success.map(|s| Span { first: at(if up { 0 } else { s }), last: at(s) }),
        moving: failed_first.map(|first| Span { first, last: decided.unwrap_or(first).max(first) }),
        ..CheckHealth::unknown(now(0))
    }
}

fn up(last_success: u64) -> CheckHealth {
    health(CheckState::Up { hold_until: None }, 5, Some(last_success), None)
}

fn down(failing_since: u64, decided: u64) -> CheckHealth {
    let state = CheckState::Down { decided: Some(now(decided).boottime) };
    health(state, 0, Some(failing_since.saturating_sub(5)), Some(failing_since))
}

use AnswerReason::*;

#[test]
fn the_first_plan_publishes_everything_unjudged() {
    let world = World::new(&[&[1, 2]]);
    assert_eq!(world.answer(&[]), (ips(&[1, 2]), Unprobed));
}

#[test]
fn with_a_plan_in_force_a_new_address_joins_only_when_it_has_answered() {
    let mut world = World::new(&[&[1, 2]]);
    world.set(1, up(999));
    assert_eq!(world.answer(&[1]), (ips(&[1]), Healthy));
    world.set(2, up(999));
    assert_eq!(world.answer(&[1]), (ips(&[1, 2]), Healthy));
}

#[test]
fn what_is_not_published_waits_for_the_first_word_of_its_deep_check() {
    let mut world = World::new(&[&[1, 2]]);
    for address in [1, 2] {
        world.set(address, up(999));
        world.set_check(address, Check::Deep, CheckHealth::unknown(now(999)));
    }
    assert_eq!(world.answer(&[1]).0, ips(&[1]), "it may have been left for an overload before a restart");
    assert_eq!(world.answer(&[]).0, ips(&[1, 2]), "not where nothing was left");
    world.set(1, down(990, 993));
    assert_eq!(world.answer(&[1]).0, ips(&[2]), "nor where nothing else serves");
    world.set(1, up(999));
    world.set_check(2, Check::Deep, up(999));
    assert_eq!(world.answer(&[1]).0, ips(&[1, 2]));
}

#[test]
fn an_address_leaves_only_on_evidence_begun_after_the_decision() {
    let mut world = World::new(&[&[1, 2]]);
    world.set(1, down(990, 993));
    world.set(2, up(992));
    assert_eq!(world.answer(&[1, 2]).0, ips(&[1, 2]), "evidence since the first failure is too weak");
    world.set(2, up(993));
    assert_eq!(world.answer(&[1, 2]), (ips(&[2]), FailedOver));
    let asked = world.steer(Some(&plan(&[1, 2]))).ask;
    assert_eq!(asked, ["e0".parse().unwrap()].into());
}

#[test]
fn what_no_zone_mends_moves_nothing() {
    let mut world = World::new(&[&[1, 2]]);
    world.set(1, health(CheckState::Down { decided: None }, 0, None, Some(990)));
    world.set(2, up(999));
    assert_eq!(world.answer(&[1, 2]).0, ips(&[1, 2]));
}

fn refused_login() -> CheckHealth {
    health(CheckState::Down { decided: None }, 0, None, Some(900))
}

#[test]
fn a_wrong_password_everywhere_does_not_stop_failing_over() {
    let mut world = World::new(&[&[1, 2]]);
    for address in [1, 2] {
        world.set_check(address, Check::Deep, refused_login());
    }
    world.set(1, up(999));
    world.set(2, up(999));
    assert_eq!(world.answer(&[1, 2]), (ips(&[1, 2]), AllDownKept), "no target is up, and nothing is healthy");
    world.set(1, down(990, 993));
    assert_eq!(world.answer(&[1, 2]), (ips(&[2]), FailedOver));
    world.set(1, up(999));
    assert_eq!(world.answer(&[2]), (ips(&[1, 2]), AllDownKept));
    // Where nothing else is known it is what counts, and still moves nothing.
    let mut world = World::new(&[&[1, 2]]);
    world.set_check(1, Check::Deep, refused_login());
    world.set(2, up(999));
    assert_eq!(world.answer(&[1, 2]), (ips(&[1, 2]), DownKept));
}

#[test]
fn a_database_that_is_down_behind_one_zone_needs_the_same_check_as_evidence() {
    let mut world = World::new(&[&[1, 2]]);
    for address in [1, 2] {
        world.set(address, up(999));
    }
    world.set_check(1, Check::Deep, down(980, 990));
    world.set_check(2, Check::Deep, CheckHealth::unknown(now(999)));
    assert_eq!(world.answer(&[1, 2]), (ips(&[1, 2]), DownKept), "the other one's greeting is none");
    world.set_check(2, Check::Deep, up(989));
    assert_eq!(world.answer(&[1, 2]).0, ips(&[1, 2]), "nor is a login from before");
    world.set_check(2, Check::Deep, up(990));
    assert_eq!(world.answer(&[1, 2]), (ips(&[2]), FailedOver));
    world.set_check(2, Check::Deep, down(991, 992));
    assert_eq!(world.answer(&[2]), (ips(&[2]), AllDownKept), "what left does not return dead");
}

#[test]
fn all_down_keeps_the_last_set_and_one_endpoint_cannot_blame_the_host() {
    let mut world = World::new(&[&[1, 2]]);
    world.set(1, down(990, 993));
    world.set(2, down(991, 994));
    assert_eq!(world.answer(&[2]), (ips(&[2]), AllDownKept));
    assert_eq!(world.answer(&[]), (ips(&[1, 2]), AllDownKept));
}

#[test]
fn everything_dead_on_two_endpoints_is_a_local_fault() {
    let mut world = World::new(&[&[1], &[2]]);
    world.set(1, down(990, 993));
    world.set(2, down(990, 993));
    assert_eq!(world.answer(&[1, 2]), (ips(&[1, 2]), LocalFaultHeld));
    world.set(2, health(CheckState::Down { decided: Some(now(993).boottime) }, 0, Some(991), Some(991)));
    assert_eq!(world.answer(&[1, 2]), (ips(&[1, 2]), AllDownKept), "one success since is enough to rule it out");
}

#[test]
fn a_recovered_address_waits_for_its_hold_unless_it_is_needed() {
    let mut world = World::new(&[&[1, 2]]);
    let held = health(CheckState::Up { hold_until: Some(now(1030).boottime) }, 3, Some(999), None);
    world.set(1, held);
    world.set(2, up(999));
    assert_eq!(world.answer(&[2]), (ips(&[2]), FailedOver));
    assert_eq!(world.steer(Some(&plan(&[2]))).wake_at, Some(now(1030).boottime));
    world.set(2, down(990, 993));
    assert_eq!(world.answer(&[2]), (ips(&[1]), FailedOver), "at once if nothing else is healthy");
    world.now = now(1031);
    world.set(2, up(999));
    assert_eq!(world.answer(&[2]), (ips(&[1, 2]), Healthy));
}

/// Down since `decided`, with one answer at `success`.
fn answers(decided: u64, success: u64) -> CheckHealth {
    health(CheckState::Down { decided: Some(now(decided).boottime) }, 1, Some(success), None)
}

/// Up again since `up`, after an outage, by successes since `first`.
fn risen(first: u64, up: u64, last: u64) -> CheckHealth {
    let hold_until = Some(now(up + 30).boottime);
    let successes = Some(Span { first: now(first).boottime, last: now(last).boottime });
    CheckHealth { since: now(up), successes, ..health(CheckState::Up { hold_until }, 3, Some(last), None) }
}

/// Down since 900, failing from `first` to `last`.
fn fails(first: u64, last: u64) -> CheckHealth {
    let moving = Some(Span { first: now(first).boottime, last: now(last).boottime });
    CheckHealth { moving, ..down(first, first + 3) }
}

#[test]
fn when_all_are_down_the_first_success_takes_the_name_and_what_fails_beside_it_leaves() {
    let mut world = World::new(&[&[1, 2]]);
    world.set(1, answers(900, 990));
    world.set(2, fails(900, 989));
    assert_eq!(world.answer(&[2]).0, ips(&[1, 2]), "it joins at once, and disproves nothing that failed before");
    world.set(2, fails(900, 990));
    assert_eq!(world.answer(&[1, 2]).0, ips(&[1, 2]), "nor what may be about to answer, too");
    world.set(1, risen(990, 992, 992));
    assert_eq!(world.answer(&[1, 2]).0, ips(&[1, 2]), "before that has been asked once more");
    world.set(2, fails(900, 992));
    assert_eq!(world.answer(&[1, 2]), (ips(&[1]), FailedOver), "only what fails beside one that is up");
    world.set(2, CheckHealth { moving: fails(900, 992).moving, ..answers(903, 993) });
    assert_eq!(world.answer(&[1, 2]).0, ips(&[1, 2]), "and goes on failing");
}

#[test]
fn after_a_local_fault_the_first_to_answer_disproves_nobody() {
    let mut world = World::new(&[&[1, 2], &[3, 4]]);
    world.endpoint(1).names = [name("other.example")].into();
    for address in 1..=4 {
        world.set(address, down(900, 903));
    }
    assert_eq!(world.answer(&[1, 2]), (ips(&[1, 2]), LocalFaultHeld));
    for first in [3, 4] {
        world.set(first, risen(980, 985, 999));
        world.set(2, fails(900, 995));
        assert_eq!(world.answer(&[1, 2]), (ips(&[1, 2]), AllDownKept), "other names prove nothing");
    }
    world.set(1, risen(990, 996, 999));
    assert_eq!(world.answer(&[1, 2]).0, ips(&[1, 2]), "the other one failed while nobody succeeded");
    world.set(2, answers(903, 997));
    assert_eq!(world.answer(&[1, 2]).0, ips(&[1, 2]), "nor is the slower one to recover left out");
    world.set(2, CheckHealth { moving: fails(998, 998).moving, ..down(900, 903) });
    assert_eq!(world.answer(&[1, 2]), (ips(&[1]), FailedOver), "what fails beside its successes is");
}

#[test]
fn who_has_logged_in_since_its_path_last_failed_is_not_charged_with_that() {
    let mut world = World::new(&[&[1, 2]]);
    world.set(1, risen(980, 985, 999));
    world.set(2, fails(900, 992));
    assert_eq!(world.answer(&[1, 2]), (ips(&[1]), FailedOver));
    world.set_check(2, Check::Deep, up(991));
    assert_eq!(world.answer(&[1, 2]), (ips(&[1]), FailedOver), "a login from before that proves nothing");
    world.set_check(2, Check::Deep, up(992));
    assert_eq!(world.answer(&[1, 2]), (ips(&[1, 2]), DownKept), "the path check has yet to catch up");
    world.set(2, fails(900, 993));
    assert_eq!(world.answer(&[1, 2]), (ips(&[1]), FailedOver));
}

#[test]
fn no_name_moves_to_what_is_on_hold_and_fails_just_now() {
    let mut world = World::new(&[&[1, 2]]);
    world.host.zone = Some("z0".parse().unwrap());
    world.policy.default = Steering { prefer: Prefer::LocalZone, ..Steering::default() };
    world.set(2, fails(995, 998));
    world.set(1, CheckHealth { successes_in_a_row: 0, ..risen(990, 991, 994) });
    assert_eq!(world.answer(&[2]).0, ips(&[2]), "both may be met by a fault of this host");
    world.set(1, risen(990, 991, 998));
    assert_eq!(world.answer(&[2]), (ips(&[1]), Healthy), "it answers: its hold is over early");
    world.set(1, CheckHealth { successes_in_a_row: 0, ..risen(990, 991, 994) });
    assert_eq!(world.answer(&[3]).0, ips(&[1]), "where nothing published can stay it is better than nothing");
}

#[test]
fn a_dead_path_is_left_after_a_local_fault_although_the_deep_check_was_not_repeated() {
    let mut world = World::new(&[&[1, 2]]);
    for address in [1, 2] {
        world.set_check(address, Check::Deep, down(900, 903));
    }
    world.set(1, risen(985, 990, 999));
    world.set_check(1, Check::Deep, answers(903, 990));
    world.set(2, fails(900, 995));
    assert_eq!(world.answer(&[1, 2]), (ips(&[1]), FailedOver));
}

#[test]
fn preferences_choose_and_the_rest_is_standby() {
    let mut world = World::new(&[&[1, 2]]);
    world.set(1, up(999));
    world.set(2, up(999));
    world.host.zone = Some("z1".parse().unwrap());
    assert_eq!(world.answer(&[]).0, ips(&[2, 1]), "the local zone first");
    world.policy.default = Steering { prefer: Prefer::LocalZone, ..Steering::default() };
    let answer = world.steer(None).plan.answers.remove(&name("db.example")).unwrap();
    assert_eq!((answer.addresses, answer.standby), (ips(&[2]), ips(&[1])));
    world.policy.default = Steering { answers: Answers::One, ..Steering::default() };
    assert_eq!(world.answer(&[1]).0, ips(&[1]), "the published one stays");
    world.set(1, down(990, 993));
    world.set(2, up(990));
    assert_eq!(world.answer(&[1]).0, ips(&[1]), "no preference moves a name before the evidence does");
    world.set(2, up(994));
    assert_eq!(world.answer(&[1]).0, ips(&[2]));
}

#[test]
fn a_login_that_takes_longer_to_fail_than_others_are_asked_is_left_all_the_same() {
    let mut world = World::new(&[&[1, 2]]);
    for address in [1, 2] {
        world.set_check(address, Check::Path, up(999));
    }
    // Each failure of the one ends after the next success of the other has begun.
    world.set_check(1, Check::Deep, fails(900, 940));
    // Decided at 903, since when the other one was called and has proved itself; or it was so before, or is again
    // since.
    for (proved, left) in [(None, false), (Some(902), false), (Some(903), true), (Some(940), true), (Some(945), false)]
    {
        world.set_check(2, Check::Deep, CheckHealth { proved: proved.map(|secs| now(secs).boottime), ..up(950) });
        let expected: &[u8] = if left { &[2] } else { &[1, 2] };
        assert_eq!(world.answer(&[1, 2]).0, ips(expected), "{proved:?}");
    }
}

/// What the API has lacked since 990, and at last at `latest`.
fn gone(latest: u64) -> Option<Missing> {
    let at = |secs| Some(now(secs).boottime);
    Some(Missing { first: at(600), confirmed: at(990), latest: at(latest) })
}

#[test]
fn what_the_cloud_no_longer_has_goes_when_the_api_has_agreed_once_more_after_the_grace() {
    let mut world = World::new(&[&[1]]);
    let stays = |world: &World| world.steer(Some(&plan(&[1]))).plan.answers.len() == 1;
    let over = 990 + GRACE.as_secs();
    world.endpoint(0).missing = gone(over - 1);
    world.now = now(over - 1);
    world.set(1, up(over - 1));
    assert!(stays(&world));
    assert_eq!(world.steer(Some(&plan(&[1]))).wake_at, Some(now(over).boottime));
    world.now = now(over + 7000);
    assert!(stays(&world), "nobody has asked since");
    world.endpoint(0).missing = gone(over);
    assert!(!stays(&world));
    let steered = world.steer(Some(&plan(&[1])));
    assert_eq!(steered.plan.withdrawn, [(name("db.example"), Withdrawal::Gone)].into());
    assert!(steered.put_off.is_empty());
}

#[test]
fn an_endpoint_that_proves_to_be_there_is_kept_for_a_day_although_the_cloud_has_it_no_more() {
    let mut world = World::new(&[&[1], &[2]]);
    world.endpoint(1).names = [name("other.example")].into();
    let over = 990 + GRACE.as_secs();
    world.endpoint(0).missing = gone(over + 10);
    world.now = now(over + 20);
    world.set(1, up(over + 20));
    let put_off = |world: &World| {
        let steered = world.steer(Some(&plan(&[1])));
        let is_put_off = !steered.put_off.is_empty();
        assert_eq!(steered.plan.answers.contains_key(&name("db.example")), is_put_off);
        is_put_off
    };
    assert!(!put_off(&world), "it may be anybody's");
    world.endpoint(0).proves_itself = true;
    assert!(put_off(&world));
    assert_eq!(world.steer(Some(&plan(&[1]))).wake_at, Some(now(over + 24 * 3600).boottime));
    world.set(1, CheckHealth::unknown(now(over)));
    assert!(put_off(&world), "the agent has just begun");
    for wrong in [down(over, over + 9), health(CheckState::Down { decided: None }, 0, None, Some(over))] {
        world.set(1, wrong);
        assert!(!put_off(&world));
    }
    world.set(1, up(over + 20));
    let entry = AddressEntry::given_by(SourceKind::Api);
    world.endpoint(1).zones.values_mut().next().unwrap().addresses = [(ip(1), entry)].into();
    assert!(!put_off(&world), "the API gives the address to another endpoint");
    world.endpoint(1).zones.clear();
    assert!(put_off(&world));
    world.now = now(over + 24 * 3600);
    world.set(1, up(over + 24 * 3600));
    assert!(!put_off(&world), "the day is over");
}

#[test]
fn a_zone_that_proves_to_be_there_is_kept_for_its_own_name_alike() {
    let mut world = World::new(&[&[1]]);
    let over = 990 + GRACE.as_secs();
    world.now = now(over + 20);
    world.set(1, up(over + 20));
    let endpoint = world.endpoint(0);
    endpoint.proves_itself = true;
    endpoint.names.clear();
    let entry = endpoint.zones.values_mut().next().unwrap();
    (entry.names, entry.missing) = ([name("db.example")].into(), gone(over + 10));
    let steered = world.steer(Some(&plan(&[1])));
    assert_eq!(steered.plan.answers[&name("db.example")].addresses, ips(&[1]));
    assert_eq!(steered.put_off, ["e0".parse().unwrap()].into(), "and it is said");
    world.set(1, down(over, over + 9));
    assert!(world.steer(Some(&plan(&[1]))).plan.answers.is_empty());
}

#[test]
fn what_may_be_dead_is_not_preferred_to_what_may_be_dead_because_a_second_choice_answers() {
    let mut world = World::new(&[&[1, 2], &[3]]);
    world.endpoint(1).priority = 1;
    let drain = Drain { until: now(5000).boottime, endpoint: None };
    world.overrides.drains.insert("z1".parse().unwrap(), drain);
    for address in [1, 2] {
        world.set(address, down(900, 903));
    }
    world.set(3, answers(900, 999));
    assert_eq!(world.answer(&[1, 2]).0, ips(&[1, 2]), "the drained one may be the only one that works");
    world.set(1, answers(900, 999));
    assert_eq!(world.answer(&[1, 2]).0, ips(&[1]));
}

#[test]
fn what_the_cloud_no_longer_has_is_not_published_anew() {
    let mut world = World::new(&[&[1]]);
    world.set(1, up(999));
    let names = |world: &World, previous: Option<&Plan>| world.steer(previous).plan.answers.len();
    // As it is known in the boot that confirmed it, and in the next one.
    for since in [Some(now(990).boottime), None] {
        world.endpoint(0).missing = Some(Missing { first: since, confirmed: since, latest: since });
        assert_eq!(names(&world, Some(&plan(&[1]))), 1, "what was published stays for the grace");
        assert_eq!(names(&world, Some(&Plan::default())), 0);
        assert_eq!(names(&world, None), 1, "no plan says nothing");
    }
    world.endpoint(0).missing = None;
    assert_eq!(names(&world, Some(&Plan::default())), 1);
}

#[test]
fn what_nobody_has_judged_yet_is_not_preferred_to_what_answers() {
    for prefer in [Prefer::Any, Prefer::LocalZone] {
        let mut world = World::new(&[&[1, 2]]);
        world.host.zone = Some("z0".parse().unwrap());
        world.policy.default = Steering { prefer, answers: Answers::One, ..Steering::default() };
        world.set(1, CheckHealth::unknown(now(0)));
        world.set(2, up(999));
        assert_eq!(world.answer(&[]).0, ips(&[2]), "{prefer:?}");
    }
}

#[test]
fn a_lower_priority_serves_only_when_the_higher_is_dead() {
    let mut world = World::new(&[&[1], &[2]]);
    world.endpoint(1).priority = 10;
    world.set(1, up(999));
    world.set(2, up(999));
    assert_eq!(world.answer(&[]).0, ips(&[1]));
    world.set(1, down(990, 993));
    assert_eq!(world.answer(&[1]), (ips(&[2]), FailedOver));
    world.set(1, up(999));
    assert_eq!(world.answer(&[2]), (ips(&[1]), Healthy));
}

#[test]
fn a_return_waits_for_no_login_after_one_that_met_the_dead_path() {
    let mut world = World::new(&[&[1, 2]]);
    let at = |secs: u64| now(secs).boottime;
    world.set(2, up(999));
    // Down from 900 to 950; the login that failed at 910 is the only one since, and not yet decided.
    world.set(1, CheckHealth { since: now(950), ..up(999) });
    let login = health(CheckState::Up { hold_until: None }, 0, Some(800), Some(910));
    let met = |last: u64, on_the_way: bool| {
        let moving = Some(Span { first: at(910), last: at(last) });
        CheckHealth { on_the_way, moving, ..login.clone() }
    };
    for (last, on_the_way, published) in
        [(910, true, &[1, 2][..]), (910, false, &[2]), (960, true, &[2])] as [(u64, bool, &[u8]); 3]
    {
        world.set_check(1, Check::Deep, met(last, on_the_way));
        let mut found = world.answer(&[2]).0;
        found.sort_unstable();
        assert_eq!(found, ips(published), "failed at {last}, on the way: {on_the_way}");
    }
}

#[test]
fn a_drained_zone_is_left_unless_it_is_needed() {
    let mut world = World::new(&[&[1, 2]]);
    world.set(1, up(999));
    world.set(2, up(999));
    let drain = Drain { endpoint: None, until: now(2000).boottime };
    world.overrides.drains.insert("z0".parse().unwrap(), drain);
    assert_eq!(world.answer(&[1, 2]), (ips(&[2]), Drained));
    world.set(2, down(990, 993));
    assert_eq!(world.answer(&[2]), (ips(&[1]), DrainedButNeeded));
    world.now = now(2001);
    assert_eq!(world.answer(&[2]), (ips(&[1]), FailedOver));
}

#[test]
fn the_hosts_of_a_fleet_return_from_a_drain_one_after_the_other() {
    let mut world = World::new(&[&[1, 2]]);
    world.set(1, up(999));
    world.set(2, up(999));
    let drain = Drain { endpoint: None, until: now(2000).boottime };
    world.overrides.drains.insert("z0".parse().unwrap(), drain);
    world.policy.spread = Duration::from_secs(60);
    let mut returned = Vec::new();
    for n in 0..600 {
        world.host.instance_id = Some(format!("i-{n}"));
        world.now = now(1999);
        let wakes = world.steer(Some(&plan(&[2]))).wake_at.unwrap();
        world.now = Now { boottime: Boottime(wakes.0 - Duration::from_nanos(1)), ..world.now };
        assert_eq!(world.answer(&[2]), (ips(&[2]), Drained));
        world.now = Now { boottime: wakes, ..world.now };
        assert_eq!(world.answer(&[2]).0.len(), 2);
        returned.push(wakes.since(now(2000).boottime));
    }
    returned.sort_unstable();
    assert!(returned[599] < Duration::from_secs(60));
    let herd = returned.windows(31).filter(|w| w[30] - w[0] <= Duration::from_secs(1)).count();
    assert_eq!(herd, 0, "ten a second, give or take");
}

#[test]
fn a_replaced_address_leaves_when_the_new_one_answers_or_after_the_grace() {
    let mut world = World::new(&[&[1, 2]]);
    let zones = &mut world.endpoint(0).zones;
    zones.get_mut(&zone("z0")).unwrap().addresses.get_mut(&ip(1)).unwrap().retired = Some(now(900).boottime);
    assert_eq!(world.answer(&[1]), (ips(&[1]), Unprobed));
    world.set(2, up(999));
    assert_eq!(world.answer(&[1]), (ips(&[2]), Healthy));
    world.health = HealthView::default();
    world.now = now(1501);
    assert_eq!(world.answer(&[1]), (ips(&[2]), Unprobed));
}

#[test]
fn a_retired_address_that_is_left_out_does_not_hide_that_all_others_are_down() {
    let mut world = World::new(&[&[1, 2, 3]]);
    world.set(2, down(900, 902));
    world.set(3, down(900, 902));
    let zones = &mut world.endpoint(0).zones;
    zones.get_mut(&zone("z0")).unwrap().addresses.get_mut(&ip(1)).unwrap().retired = Some(now(800).boottime);
    assert_eq!(world.answer(&[2, 3]), (ips(&[2, 3]), AnswerReason::AllDownKept));
    world.set(2, up(999));
    world.set(3, up(999));
    world.set(1, down(900, 902));
    assert_eq!(world.answer(&[2, 3]), (ips(&[2, 3]), AnswerReason::Healthy));
}

/// It leaves together with what comes in its place: alone it would leave the name to what is down beside it.
#[test]
fn a_retired_address_does_not_leave_before_another_one_comes() {
    let mut world = World::new(&[&[1, 2, 3]]);
    let zones = &mut world.endpoint(0).zones;
    zones.get_mut(&zone("z0")).unwrap().addresses.get_mut(&ip(1)).unwrap().retired = Some(now(800).boottime);
    world.set(1, fails(900, 980));
    world.set(2, fails(900, 980));
    world.set(3, risen(985, 990, 999));
    world.set_check(3, Check::Deep, down(900, 903));
    assert_eq!(world.answer(&[1, 2]).0, ips(&[1, 2]), "the second may answer yet, and the third can only be reached");
    world.set(2, fails(900, 995));
    assert_eq!(world.answer(&[1, 2]).0, ips(&[3]));
    assert_eq!(world.answer(&[1]).0, ips(&[3]), "nothing is to be waited for");
}

/// Its login was found dead while its path was; that has been up since, and what one login meets on the way by now is
/// the path's, until it is met as often as decides.
#[test]
fn an_old_verdict_by_the_path_is_not_brought_back_by_a_single_login() {
    let at = |secs: u64| Some(now(secs).boottime);
    let mut world = World::new(&[&[1, 2]]);
    world.set(1, CheckHealth { since: now(950), ..up(999) });
    world.set(2, up(999));
    world.set_check(2, Check::Deep, up(970));
    for (decisive, published) in [(None, &[1, 2][..]), (at(940), &[1, 2]), (at(960), &[2])] as [(_, &[u8]); 3] {
        let login = CheckHealth { on_the_way: true, decisive, ..down(900, 930) };
        let moving = Some(Span { first: now(900).boottime, last: now(980).boottime });
        world.set_check(1, Check::Deep, CheckHealth { moving, ..login });
        assert_eq!(world.answer(&[1, 2]).0, ips(published), "{decisive:?}");
    }
}

#[test]
fn where_only_paths_are_up_none_joins_that_fails_just_now() {
    let mut world = World::new(&[&[1, 2, 3]]);
    let refused = CheckHealth { successes_in_a_row: 0, failing_since: Some(now(990).boottime), ..up(980) };
    world.set(1, down(990, 993));
    world.set(2, refused.clone());
    world.set(3, up(999));
    world.set_check(3, Check::Deep, refused);
    assert_eq!(world.answer(&[1]).0, ips(&[3]), "the second may be dead as well");
}

/// The same where what works is second choice: priorities leave it out while the first choice may answer yet.
#[test]
fn a_retired_address_does_not_leave_for_one_that_is_second_choice_and_stays_out() {
    let mut world = World::new(&[&[1, 2], &[11]]);
    world.endpoint(1).priority = 1;
    let zones = &mut world.endpoint(0).zones;
    zones.get_mut(&zone("z0")).unwrap().addresses.get_mut(&ip(1)).unwrap().retired = Some(now(800).boottime);
    world.set(1, up(999));
    world.set(2, fails(900, 980));
    world.set(11, risen(985, 990, 999));
    assert_eq!(world.answer(&[1, 2]).0, ips(&[1, 2]), "the first choice may answer yet");
    world.set(2, fails(900, 995));
    assert_eq!(world.answer(&[1, 2]).0, ips(&[11]), "it is dead, and both go together");
}

#[test]
fn a_name_that_left_the_config_stays_for_the_grace_and_is_then_withdrawn() {
    let mut world = World::new(&[&[1]]);
    world.endpoint(0).presence = Presence::Removed { since: now(900).boottime };
    assert_eq!(world.answer(&[1]), (ips(&[1]), RemovalPending));
    assert_eq!(world.steer(Some(&plan(&[1]))).wake_at, Some(now(1500).boottime));
    world.now = now(1500);
    let steered = world.steer(Some(&plan(&[1])));
    assert_eq!(steered.plan.withdrawn, [(name("db.example"), Withdrawal::Removed)].into());
    assert!(steered.plan.answers.is_empty());
    world.endpoint(0).presence = Presence::Configured;
    assert!(
        world.steer(Some(&steered.plan)).plan.withdrawn.is_empty(),
        "a name that comes back is no longer withdrawn"
    );
}

#[test]
fn a_name_that_left_its_endpoint_stays_for_the_grace_and_is_then_withdrawn() {
    let mut world = World::new(&[&[1, 2]]);
    world.endpoint(0).names.clear();
    world.endpoint(0).leaving.insert(name("db.example"), now(900).boottime);
    world.set(1, down(990, 993));
    world.set(2, up(999));
    assert_eq!(world.answer(&[1, 2]), (ips(&[2]), RemovalPending), "steered to the end");
    assert_eq!(world.steer(Some(&plan(&[2]))).wake_at, Some(now(1500).boottime));
    world.now = now(1500);
    assert_eq!(world.steer(Some(&plan(&[2]))).plan.withdrawn, [(name("db.example"), Withdrawal::Removed)].into());
}

#[test]
fn a_name_that_moves_to_another_endpoint_follows_as_soon_as_that_one_answers() {
    let mut world = World::new(&[&[1], &[2]]);
    world.endpoint(0).presence = Presence::Removed { since: now(900).boottime };
    assert_eq!(world.answer(&[1]), (ips(&[1]), RemovalPending));
    world.set(2, up(999));
    assert_eq!(world.answer(&[1]), (ips(&[2]), Healthy));
}

#[test]
fn a_name_that_becomes_a_zones_own_is_pinned_at_once() {
    let mut world = World::new(&[&[1, 2]]);
    world.endpoint(0).names.clear();
    world.endpoint(0).leaving.insert(name("db.example"), now(900).boottime);
    world.endpoint(0).zones.get_mut(&zone("z1")).unwrap().names.insert(name("db.example"));
    world.set(1, up(999));
    world.set(2, up(999));
    assert_eq!(world.answer(&[1, 2]), (ips(&[2]), Pinned));
}

#[test]
fn pinned_names_point_only_at_their_zone() {
    let mut world = World::new(&[&[1, 2]]);
    world.endpoint(0).zones.get_mut(&zone("z1")).unwrap().names.insert(name("z1.db.example"));
    world.set(1, up(999));
    world.set(2, down(990, 993));
    let plan = world.steer(None).plan;
    assert_eq!(plan.answers[&name("z1.db.example")].addresses, ips(&[2]));
    assert_eq!(plan.answers[&name("z1.db.example")].reason, AllDownKept, "not hidden by whose name it is");
    world.set(2, up(999));
    assert_eq!(world.steer(None).plan.answers[&name("z1.db.example")].reason, Pinned);
}

#[test]
fn unprobed_endpoints_and_stale_sources_say_so() {
    let mut world = World::new(&[&[1]]);
    world.endpoint(0).probed = false;
    assert_eq!(world.answer(&[]), (ips(&[1]), Fixed));
    world.endpoint(0).sources = [(SourceKind::Fixed, Freshness::Stale { since: now(0), error: "x".into() })].into();
    assert_eq!(world.answer(&[1]), (ips(&[1]), Stale));
}

#[test]
fn a_name_without_any_known_address_keeps_what_is_published() {
    let mut world = World::new(&[&[1]]);
    world.endpoint(0).zones.clear();
    assert_eq!(world.answer(&[9]), (ips(&[9]), Stale));
    assert!(world.steer(None).plan.answers.is_empty());
}

#[test]
fn an_address_that_may_not_be_used_any_more_is_no_hope_and_goes_once_another_answers() {
    let mut world = World::new(&[&[1, 2]]);
    world.endpoint(0).barred = [(ip(1), crate::model::ranges::BadAddress::Outside)].into();
    assert_eq!(world.answer(&[1]).0, ips(&[1]), "nothing is known to answer");
    world.set(2, down(990, 995));
    assert_eq!(world.answer(&[1]).0, ips(&[1]), "what is down is no better");
    world.set(2, CheckHealth { state: CheckState::Up { hold_until: Some(now(2000).boottime) }, ..up(999) });
    assert_eq!(world.answer(&[1]).0, ips(&[2]), "a hold is for what has something to wait for");
    world.set(2, up(999));
    assert_eq!((world.answer(&[1]).0, world.answer(&[1, 2]).0), (ips(&[2]), ips(&[2])));
}

#[test]
fn a_total_outage_is_told_once_with_what_each_address_says_and_zone_names_tell_of_none() {
    let mut world = World::new(&[&[1, 2]]);
    world.endpoint(0).zones.get_mut(&zone("z1")).unwrap().names.insert(name("z1.db.example"));
    world.set(1, up(999));
    world.set(2, up(999));
    let before = world.steer(None).plan;
    assert_eq!(before.zone_names, [name("z1.db.example")].into());
    let outages = |steered: &Steered| {
        let outage = |event: &EventKind| match event {
            EventKind::ReasonChanged { name, outage, .. } => Some((name.clone(), outage.clone().map(|o| o.says))),
            _ => None,
        };
        steered.events.iter().filter_map(outage).collect::<Vec<_>>()
    };
    world.set(1, down(990, 993));
    world.set(2, down(991, 994));
    let steered = world.steer(Some(&before));
    let says = ["10.0.0.1 in z0: path check: down", "10.0.0.2 in z1: path check: down"].map(str::to_owned).to_vec();
    assert_eq!(outages(&steered), [(name("db.example"), Some(says)), (name("z1.db.example"), None)]);
    assert_eq!(steered.plan.zone_names, before.zone_names, "whatever the reason");
    let lasting = world.steer(Some(&steered.plan));
    assert!(outages(&lasting).is_empty());
    assert_eq!(lasting.out, [name("db.example")].into(), "it is known for as long as it lasts");
}

/// What fails where it is published may work where no name leads for that.
#[test]
fn an_address_that_is_up_and_not_published_makes_it_no_outage() {
    let mut world = World::new(&[&[1, 2]]);
    world.policy.default.answers = Answers::One;
    world.set(1, up(900));
    world.set_check(1, Check::Deep, refused_login());
    world.set(2, up(900));
    let steered = world.steer(Some(&plan(&[1])));
    assert_eq!(steered.plan.answers[&name("db.example")].reason, AllDownKept);
    assert!(steered.out.is_empty(), "{:?}", steered.out);
    // Once that fails as well, it is one, although the answer has not changed.
    world.set_check(2, Check::Deep, refused_login());
    let steered = world.steer(Some(&steered.plan));
    assert_eq!((steered.events, steered.out), (vec![], [name("db.example")].into()));
    let says: Vec<_> = world.outages(&["db.example"]).into_values().map(|outage| outage.says).collect();
    assert_eq!(says, [["10.0.0.1 in z0: deep check: down", "10.0.0.2 in z1: deep check: down"]]);
}
