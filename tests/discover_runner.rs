//! The discovery runner and the steering stage on paused time, with a cloud that fails as the test says: no name loses
//! its last address, and what is really gone goes.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use privatelinkd::agent::steering::Steering;
use privatelinkd::config::{Config, from_toml};
use privatelinkd::discover::rounds::{Cloud, Question};
use privatelinkd::discover::{Cache, FoundZone, Runner, Setup, SourceAnswer, SourceError};
use privatelinkd::model::{
    AnswerReason, HealthView, HostFacts, Identity, Inventory, Plan, PlanState, SourceKind, Withdrawal, Zone,
};
use privatelinkd::sys::clock::Clock;
use privatelinkd::sys::event_queue;
use privatelinkd::sys::heartbeat::Stages;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const NAME: &str = "db.example.internal";
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn config(more: &str) -> Arc<Config> {
    let text = format!(
        "[cloud]\n{more}\n[[endpoint]]\nname = \"db\"\nid = \"ep-1\"\n\
         domain = \"ep-1.epsrv-1.cn-hangzhou.privatelink.aliyuncs.com\"\nprivate_dns = [\"{NAME}\"]\n"
    );
    Arc::new(from_toml(&text).unwrap())
}

/// With one more endpoint, which nobody answers for.
fn with_a_silent_one(priority: i32) -> Arc<Config> {
    let silent = "[[endpoint]]\nname = \"silent\"\nid = \"ep-0\"\nprivate_dns = [\"silent.example.internal\"]\n";
    let mut config = Config::clone(&config(""));
    config.endpoints.extend(from_toml(silent).unwrap().endpoints);
    config.endpoints.get_mut(&"db".parse().unwrap()).unwrap().priority = priority;
    Arc::new(config)
}

/// What one source does.
#[derive(Debug, Clone)]
enum Says {
    /// These zones.
    Has(Vec<(&'static str, &'static str)>),
    /// The endpoint is gone.
    Gone,
    Fails,
    Hangs,
}

#[derive(Debug)]
struct World {
    api: Says,
    dns: Says,
    /// When each was asked.
    api_asked: Vec<Instant>,
    dns_asked: Vec<Instant>,
}

/// A cloud that does what the test says.
#[derive(Debug, Clone)]
struct Scripted(Arc<Mutex<World>>);

impl Scripted {
    async fn said(says: Says) -> Result<SourceAnswer, SourceError> {
        tokio::time::sleep(Duration::from_millis(50)).await;
        match says {
            Says::Hangs => std::future::pending().await,
            Says::Fails => Err(SourceError::NoApi("no answer".to_owned())),
            Says::Gone => Ok(SourceAnswer { gone: true, ..SourceAnswer::default() }),
            Says::Has(zones) => {
                let zone = |id: &str| if id == "unknown" { Zone::Unknown } else { Zone::Known(id.parse().unwrap()) };
                let of = |(id, ip): (&str, &str)| (zone(id), FoundZone::from_addresses([ip.parse().unwrap()]));
                Ok(SourceAnswer { zones: zones.into_iter().map(of).collect(), ..SourceAnswer::default() })
            }
        }
    }
}

impl Cloud for Scripted {
    async fn ask(&self, question: &Question) -> Option<Result<SourceAnswer, SourceError>> {
        let says = {
            let mut world = self.0.lock().unwrap();
            match question.kind {
                _ if question.name.as_str() == "silent" => Says::Hangs,
                SourceKind::Api => {
                    world.api_asked.push(Instant::now());
                    world.api.clone()
                }
                SourceKind::ZoneDomain => {
                    world.dns_asked.push(Instant::now());
                    world.dns.clone()
                }
                SourceKind::Fixed | SourceKind::EndpointDomain => return None,
            }
        };
        Some(Self::said(says).await)
    }
}

struct Rig {
    world: Arc<Mutex<World>>,
    config: watch::Sender<Arc<Config>>,
    plan: watch::Receiver<PlanState>,
    ask: mpsc::Sender<std::collections::BTreeSet<privatelinkd::model::EndpointName>>,
    token: CancellationToken,
    host: watch::Sender<Arc<HostFacts>>,
    _health: watch::Sender<Arc<HealthView>>,
    _dir: tempfile::TempDir,
}

impl Rig {
    /// `before`: the plan that was cached.
    async fn start(api: Says, dns: Says, before: Option<Plan>) -> Self {
        let clock = Clock::tokio();
        let mut stages = Stages::new(clock);
        let dir = tempfile::tempdir().unwrap();
        let world = World { api, dns, api_asked: Vec::new(), dns_asked: Vec::new() };
        let world = Arc::new(Mutex::new(world));
        let token = CancellationToken::new();
        let config = watch::Sender::new(config(""));
        let host = watch::Sender::new(Arc::new(HostFacts::default()));
        let health = watch::Sender::new(Arc::new(HealthView::default()));
        let inventory = watch::Sender::new(Arc::new(Inventory::default()));
        let plan = watch::Sender::new(PlanState { plan: before.map(Arc::new), ..PlanState::default() });
        let (events, _) = event_queue::queue();
        let (ask, asked) = mpsc::channel(1);
        let cloud = Scripted(world.clone());
        let cache = Cache::new(dir.path().to_owned(), Identity::default(), String::new());
        let steering = Steering {
            clock,
            beat: stages.add("steer", MINUTE),
            inventory: inventory.subscribe(),
            health: health.subscribe(),
            host: host.subscribe(),
            config: config.subscribe(),
            plan: plan.clone(),
            ask: ask.clone(),
            events: events.clone(),
            receipts: watch::Sender::default().subscribe(),
        };
        let runner = Runner::new(Setup {
            clock,
            beat: stages.add("discover", MINUTE),
            seed: 7,
            connect: move |_: &Config, _: &HostFacts| cloud.clone(),
            config: config.subscribe(),
            host: host.subscribe(),
            asked,
            inventory,
            capped: watch::Sender::default(),
            plan: plan.subscribe(),
            cache: Arc::new(cache),
            events,
        });
        let receiver = plan.subscribe();
        tokio::spawn(steering.run(token.clone()));
        tokio::spawn(runner.run(token.clone()));
        Self { world, config, plan: receiver, ask, token, host, _health: health, _dir: dir }
    }

    fn set(&self, api: Says, dns: Says) {
        let mut world = self.world.lock().unwrap();
        (world.api, world.dns) = (api, dns);
    }

    fn answer(&self) -> Vec<String> {
        let plan = self.plan.borrow().plan.clone();
        let answer = plan.as_ref().and_then(|p| p.answers.get(&NAME.parse().unwrap()));
        answer.map(|a| a.addresses.iter().map(ToString::to_string).collect()).unwrap_or_default()
    }

    fn withdrawn(&self) -> Option<Withdrawal> {
        self.plan.borrow().plan.as_ref()?.withdrawn.get(&NAME.parse().unwrap()).copied()
    }

    fn asked(&self) -> (usize, usize) {
        let world = self.world.lock().unwrap();
        (world.api_asked.len(), world.dns_asked.len())
    }

    /// File work runs on real threads, for which paused time does not wait: in small steps it does.
    async fn pass(&self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            let step = SECOND.min(end - Instant::now());
            tokio::time::sleep(step).await;
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

fn both() -> Says {
    Says::Has(vec![("h", "10.0.0.1"), ("i", "10.0.1.1")])
}

fn cached() -> Plan {
    let addresses: Vec<IpAddr> = vec!["10.0.0.1".parse().unwrap(), "10.0.1.1".parse().unwrap()];
    let answer = privatelinkd::model::Answer { addresses, standby: Vec::new(), reason: AnswerReason::Healthy };
    Plan { answers: [(NAME.parse().unwrap(), answer)].into(), ..Plan::default() }
}

const FAILURES: [fn() -> Says; 2] = [|| Says::Fails, || Says::Hangs];

#[tokio::test(start_paused = true)]
async fn a_start_with_everything_down_keeps_what_was_cached() {
    for api in FAILURES {
        for dns in FAILURES {
            let rig = Rig::start(api(), dns(), Some(cached())).await;
            rig.pass(3 * 60 * MINUTE).await;
            assert_eq!(rig.answer(), ["10.0.0.1", "10.0.1.1"], "{:?} {:?}", api(), dns());
            // It comes back.
            rig.set(both(), both());
            if matches!((api(), dns()), (Says::Fails, Says::Fails)) {
                rig.pass(11 * MINUTE).await;
                assert_eq!(rig.answer(), ["10.0.0.1", "10.0.1.1"]);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_fails_later_takes_no_address_away() {
    let outages: [fn() -> Says; 4] = [both, || Says::Fails, || Says::Hangs, || Says::Has(Vec::new())];
    for api in outages {
        for dns in outages {
            let rig = Rig::start(both(), both(), None).await;
            rig.pass(MINUTE).await;
            assert_eq!(rig.answer(), ["10.0.0.1", "10.0.1.1"]);
            rig.set(api(), dns());
            rig.pass(3 * 60 * MINUTE).await;
            assert_eq!(rig.answer(), ["10.0.0.1", "10.0.1.1"], "{:?} {:?}", api(), dns());
            assert_eq!(rig.withdrawn(), None);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_goes_after_two_passes_and_the_grace() {
    let rig = Rig::start(both(), both(), None).await;
    rig.pass(MINUTE).await;
    rig.set(Says::Gone, Says::Fails);
    // The first pass within ten minutes, the second at most eleven later; then an hour.
    rig.pass(60 * MINUTE).await;
    assert_eq!(rig.answer(), ["10.0.0.1", "10.0.1.1"]);
    rig.pass(30 * MINUTE).await;
    assert_eq!((rig.answer(), rig.withdrawn()), (Vec::new(), Some(Withdrawal::Gone)));
    // It was a mistake: it is there again.
    rig.set(both(), both());
    rig.pass(12 * MINUTE).await;
    assert_eq!((rig.answer().len(), rig.withdrawn()), (2, None));
}

#[tokio::test(start_paused = true)]
async fn what_dns_still_gives_is_not_deleted() {
    let rig = Rig::start(both(), both(), None).await;
    rig.pass(MINUTE).await;
    rig.set(Says::Gone, both());
    rig.pass(5 * 60 * MINUTE).await;
    assert_eq!((rig.answer(), rig.withdrawn()), (vec!["10.0.0.1".to_owned(), "10.0.1.1".to_owned()], None));
}

/// A baked image: its cache and its block are of another VPC, as the metadata service shows a while after the start.
#[tokio::test(start_paused = true)]
async fn what_another_machine_published_goes_and_what_was_found_here_stays() {
    let rig = Rig::start(Says::Fails, Says::Fails, Some(cached())).await;
    rig.pass(MINUTE).await;
    assert_eq!(rig.answer().len(), 2);
    let foreign = HostFacts { foreign_cache: Some(privatelinkd::model::IdentityPart::VpcId), ..HostFacts::default() };
    rig.host.send_replace(Arc::new(foreign.clone()));
    rig.pass(SECOND).await;
    assert_eq!((rig.answer(), rig.withdrawn()), (Vec::new(), Some(Withdrawal::ForeignCache)));
    rig.set(Says::Has(vec![("h", "10.7.0.1")]), Says::Fails);
    rig.pass(11 * MINUTE).await;
    assert_eq!((rig.answer(), rig.withdrawn()), (vec!["10.7.0.1".to_owned()], None));

    // What answers here is found again before anybody misses it.
    let rig = Rig::start(both(), both(), Some(cached())).await;
    rig.pass(MINUTE).await;
    rig.host.send_replace(Arc::new(foreign));
    rig.pass(2 * SECOND).await;
    assert_eq!((rig.answer().len(), rig.withdrawn()), (2, None));
}

#[tokio::test(start_paused = true)]
async fn an_api_that_hangs_holds_dns_up_no_more_than_a_reload() {
    let rig = Rig::start(Says::Hangs, Says::Has(vec![("h", "10.0.0.1")]), None).await;
    rig.pass(5 * SECOND).await;
    assert_eq!(rig.answer(), ["10.0.0.1"]);
    rig.set(Says::Hangs, both());
    rig.pass(40 * SECOND).await;
    assert_eq!(rig.answer(), ["10.0.0.1", "10.0.1.1"]);
    rig.config.send_replace(config("dns_interval = \"10s\""));
    let (_, before) = rig.asked();
    rig.pass(2 * SECOND).await;
    assert_eq!(rig.asked().1, before + 1, "a reload asks at once");
    assert_eq!(rig.asked().0, 1, "one at a time");
}

/// A question before that would fail at every start, and work a moment later.
#[tokio::test(start_paused = true)]
async fn the_api_is_asked_once_it_was_asked_where_we_are() {
    let rig = Rig::start(both(), both(), None).await;
    rig.host.send_replace(Arc::new(HostFacts { awaited: true, ..HostFacts::default() }));
    rig.pass(MINUTE).await;
    assert_eq!((rig.asked().0, rig.answer().len()), (0, 2), "DNS needs no region");
    let region = Some("cn-hangzhou".to_owned());
    // Asked in vain, told, or told by the config: each is an answer.
    for known in [HostFacts::default(), HostFacts { region, awaited: true, ..HostFacts::default() }] {
        let before = rig.asked().0;
        rig.host.send_replace(Arc::new(known));
        rig.pass(12 * MINUTE).await;
        assert!(rig.asked().0 > before);
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_dns_sees_is_asked_of_the_api_soon() {
    let rig = Rig::start(both(), both(), None).await;
    rig.pass(MINUTE).await;
    let before = rig.asked().0;
    let changed = || Says::Has(vec![("h", "10.0.0.9"), ("i", "10.0.1.1")]);
    rig.set(changed(), changed());
    rig.pass(70 * SECOND).await;
    assert!(rig.asked().0 > before, "the API was not asked");
    assert_eq!(rig.answer(), ["10.0.0.9", "10.0.1.1"]);
}

#[tokio::test(start_paused = true)]
async fn a_zone_that_fails_is_asked_about_dns_at_once() {
    let rig = Rig::start(both(), both(), None).await;
    rig.pass(45 * SECOND).await;
    let (api, dns) = rig.asked();
    rig.ask.send(["db".parse().unwrap()].into()).await.unwrap();
    rig.pass(SECOND).await;
    assert_eq!(rig.asked().1, dns + 1);
    rig.pass(31 * SECOND).await;
    assert_eq!(rig.asked().0, api + 1);
    // Once in ten minutes.
    rig.ask.send(["db".parse().unwrap()].into()).await.unwrap();
    rig.pass(60 * SECOND).await;
    assert_eq!(rig.asked().0, api + 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_zone_is_asked_about_beside_a_round_that_hangs() {
    let rig = Rig::start(both(), both(), None).await;
    rig.pass(5 * SECOND).await;
    rig.set(both(), Says::Hangs);
    rig.pass(40 * SECOND).await;
    let (_, before) = rig.asked();
    // The round of DNS hangs. What somebody waits for is asked all the same.
    rig.set(both(), Says::Has(vec![("h", "10.0.0.9"), ("i", "10.0.1.1")]));
    rig.ask.send(["db".parse().unwrap()].into()).await.unwrap();
    rig.pass(SECOND).await;
    assert_eq!(rig.asked().1, before + 1);
    assert!(rig.answer().contains(&"10.0.0.9".to_owned()), "{:?}", rig.answer());
}

/// Whoever hears of another endpoint's trouble first must not be made to wait for it.
#[tokio::test(start_paused = true)]
async fn a_reload_asks_beside_a_round_only_for_what_it_made_lacking() {
    let rig = Rig::start(both(), both(), None).await;
    rig.config.send_replace(with_a_silent_one(0));
    rig.pass(40 * SECOND).await;
    // The round hangs on the silent one; a change that has nothing to do with it.
    rig.config.send_replace(with_a_silent_one(1));
    rig.pass(SECOND).await;
    rig.set(both(), Says::Has(vec![("h", "10.0.0.9"), ("i", "10.0.1.1")]));
    rig.ask.send(["db".parse().unwrap()].into()).await.unwrap();
    rig.pass(SECOND).await;
    assert!(rig.answer().contains(&"10.0.0.9".to_owned()), "{:?}", rig.answer());
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_while_dns_is_being_asked_is_asked_again() {
    let rig = Rig::start(both(), both(), None).await;
    rig.pass(45 * SECOND).await;
    let (_, before) = rig.asked();
    // A change that concerns no question: the round of it is under way for 50 ms.
    for n in 1..=2 {
        rig.config.send_replace(config(&format!("dns_interval = \"{n}0m\"")));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    rig.pass(2 * SECOND).await;
    assert_eq!(rig.asked().1, before + 2);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_concerns_no_source_drops_no_answer() {
    let rig = Rig::start(Says::Fails, both(), None).await;
    // What was asked for before the change is on its way.
    tokio::time::sleep(Duration::from_millis(20)).await;
    rig.set(Says::Fails, Says::Hangs);
    let mut changed = Config::clone(&config(""));
    changed.endpoints.values_mut().next().unwrap().priority = 7;
    rig.config.send_replace(Arc::new(changed));
    rig.pass(SECOND).await;
    assert_eq!(rig.answer(), ["10.0.0.1", "10.0.1.1"]);
    // Of another endpoint it is dropped.
    let rig = Rig::start(Says::Fails, both(), None).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    rig.set(Says::Fails, Says::Hangs);
    let mut changed = Config::clone(&config(""));
    changed.endpoints.values_mut().next().unwrap().id = Some("ep-2".parse().unwrap());
    rig.config.send_replace(Arc::new(changed));
    rig.pass(SECOND).await;
    assert_eq!(rig.answer(), Vec::<String>::new());
}
