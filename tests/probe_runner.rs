//! The probe runner wakes those who decide only when a decision could change, and they decide as if it woke them at
//! every result.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use privatelinkd::health::{Relevance, Rules, Tracker};
use privatelinkd::model::{
    AddressEntry, Boottime, Certificate, Check, CheckState, Endpoint, EndpointIdentity, EventKind, Failure,
    FailureReason, HealthView, HostFacts, Inventory, Now, Observation, Overrides, Plan, Policy, Presence, ProbeKind,
    ProbeSpec, Schedule, SourceKind, TargetHealth, TargetKey, TargetSpec, Timings, Wall, Zone, ZoneEntry,
};
use privatelinkd::probe::runner::{Probes, Probing, Runner};
use privatelinkd::probe::{Overlap, Prober};
use privatelinkd::steer::{Inputs, steer};
use privatelinkd::sys::clock::Clock;
use privatelinkd::sys::event_queue::{self, EventReceiver};
use privatelinkd::sys::heartbeat::Stages;
use privatelinkd::sys::in_force::Projection;
use proptest::prelude::*;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const SCHEDULE: Schedule = Schedule {
    interval: Duration::from_secs(5),
    fast_interval: Duration::from_millis(500),
    timeout: Duration::from_secs(2),
    rise: 2,
    fall: 2,
};

/// `a` in two zones and `b` in one, all under one name, and `b` under another one, too.
fn inventory() -> Inventory {
    let endpoint = |names: &[&str], addresses: &[u8]| Endpoint {
        identity: EndpointIdentity::default(),
        id: None,
        domain: None,
        names: names.iter().map(|n| n.parse().unwrap()).collect(),
        leaving: BTreeMap::new(),
        priority: 0,
        zones: addresses
            .iter()
            .map(|last| {
                let address = (IpAddr::from([127, 0, 0, *last]), AddressEntry::given_by(SourceKind::Fixed));
                let entry = ZoneEntry { addresses: [address].into(), ..ZoneEntry::default() };
                (Zone::Known(format!("z{last}").parse().unwrap()), entry)
            })
            .collect(),
        probed: true,
        proves_itself: false,
        presence: Presence::Configured,
        sources: BTreeMap::new(),
        cloud: None,
        missing: None,
        not_found: Default::default(),
        left_out: Default::default(),
        barred: Default::default(),
    };
    let endpoints = [
        ("a".parse().unwrap(), endpoint(&["db.example"], &[1, 2])),
        ("b".parse().unwrap(), endpoint(&["db.example", "other.example"], &[3])),
    ];
    Inventory { endpoints: endpoints.into(), ..Inventory::default() }
}

fn keys(inventory: &Inventory) -> Vec<TargetKey> {
    let mut keys = Vec::new();
    for (endpoint, e) in &inventory.endpoints {
        for (zone, z) in &e.zones {
            keys.extend(z.addresses.keys().map(|a| TargetKey {
                endpoint: endpoint.clone(),
                zone: zone.clone(),
                address: *a,
            }));
        }
    }
    keys
}

fn at(ms: u64) -> Now {
    Now { boottime: Boottime(Duration::from_millis(ms)), wall: Wall(ms) }
}

/// Somebody who decides when woken.
#[derive(Default)]
struct Reader {
    plan: Option<Plan>,
    wake_at: Option<Boottime>,
    events: Vec<EventKind>,
    asked: usize,
    looks: usize,
}

impl Reader {
    fn look(&mut self, inventory: &Inventory, health: &HealthView, now: Now) {
        let steered = steer(&Inputs {
            inventory,
            health,
            host: &HostFacts::default(),
            overrides: &Overrides::default(),
            policy: &Policy::default(),
            previous: self.plan.as_ref(),
            now,
        });
        self.looks += 1;
        self.plan = Some(steered.plan);
        self.wake_at = steered.wake_at;
        self.events.extend(steered.events);
        self.asked += steered.ask.len();
    }

    /// Wakes by itself as often as it had asked for until `now`.
    fn catch_up(&mut self, inventory: &Inventory, health: &HealthView, now: Now) {
        while let Some(due) = self.wake_at.filter(|due| *due <= now.boottime) {
            self.look(inventory, health, Now { boottime: due, wall: now.wall });
        }
    }
}

/// A result: how long after the one before, of which check, how old it is by then, and what it says.
#[derive(Debug, Clone)]
struct Probed {
    after: u64,
    of: usize,
    age: u64,
    reason: Option<FailureReason>,
}

fn any_result() -> impl Strategy<Value = Probed> {
    let reason = prop_oneof![
        6 => Just(None),
        3 => Just(Some(FailureReason::Refused)),
        1 => Just(Some(FailureReason::Auth)),
        1 => Just(Some(FailureReason::Local)),
    ];
    (0_u64..1500, 0_usize..6, prop_oneof![0_u64..20, 0_u64..3000], reason).prop_map(|(after, of, age, reason)| Probed {
        after,
        of,
        age,
        reason,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn who_is_woken_rarely_decides_as_who_is_woken_always(results in prop::collection::vec(any_result(), 1..120)) {
        let inventory = inventory();
        let checks: Vec<_> = keys(&inventory).into_iter().flat_map(|k| [(k.clone(), Check::Path), (k, Check::Deep)]).collect();
        let rules = Rules { check: Check::Path, schedule: SCHEDULE, hold: Duration::from_secs(2), in_flight: 2, returns: Default::default() };
        let mut trackers: Vec<_> = checks.iter().map(|(_, check)| Tracker::new(Rules { check: *check, ..rules }, at(0))).collect();
        let (mut view, mut relevance, mut ms) = (HealthView::default(), Relevance::default(), 0);
        for ((key, check), tracker) in checks.iter().zip(&trackers) {
            let health: &mut Arc<TargetHealth> = view.targets.entry(key.clone()).or_default();
            Arc::make_mut(health).checks.insert(*check, tracker.health());
        }
        let (mut always, mut rarely) = (Reader::default(), Reader::default());
        for reader in [&mut always, &mut rarely] {
            reader.look(&inventory, &view, at(0));
        }
        for result in results {
            ms += result.after;
            let now = at(ms);
            for reader in [&mut always, &mut rarely] {
                reader.catch_up(&inventory, &view, now);
            }
            let outcome = match result.reason {
                None => Ok(Timings::default()),
                Some(reason) => Err(Failure::new(reason, "x")),
            };
            let started = at(ms.saturating_sub(result.age)).boottime;
            trackers[result.of].observe(&Observation { started, ended: now.boottime, outcome }, now);
            let (key, check) = &checks[result.of];
            let known = Arc::make_mut(view.targets.get_mut(key).unwrap()).checks.get_mut(check).unwrap();
            let after = trackers[result.of].health();
            let bears = relevance.changes_a_decision(*check, known, &after);
            *known = after;
            always.look(&inventory, &view, now);
            if bears {
                rarely.look(&inventory, &view, now);
            }
            prop_assert_eq!(&rarely.plan, &always.plan);
        }
        prop_assert_eq!(rarely.events, always.events);
        prop_assert_eq!(rarely.asked, always.asked);
    }
}

/// Answers until told otherwise.
#[derive(Debug, Clone)]
struct Switched(Arc<AtomicU8>);

const OFF: u8 = 0;
const ON: u8 = 1;
/// It answers after TCP has sent something again.
const LOSSY: u8 = 2;
/// It answers, and takes its time.
const SLOW: u8 = 3;
/// Nothing is heard of it.
const SILENT: u8 = 4;
/// It accepts connections, and nothing is heard after that.
const MUTE: u8 = 5;

impl Prober for Switched {
    fn overlap(&self) -> Overlap {
        Overlap::Hedged
    }

    fn certificate(&self) -> Option<Arc<Certificate>> {
        None
    }

    fn is_reached(&self) -> Option<bool> {
        Some(!matches!(self.0.load(Ordering::Relaxed), OFF | SILENT))
    }

    async fn probe(&self, deadline: Duration) -> Result<Timings, Failure> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        match self.0.load(Ordering::Relaxed) {
            SILENT | MUTE => {
                tokio::time::sleep(deadline).await;
                Err(Failure::new(FailureReason::Timeout, "nothing heard"))
            }
            OFF => Err(Failure::new(FailureReason::Refused, "switched off")),
            state => {
                let total = if state == SLOW { Duration::from_millis(1500) } else { Duration::from_millis(1) };
                Ok(Timings { retransmissions: u32::from(state == LOSSY), total, ..Timings::default() })
            }
        }
    }
}

/// A runner at work on paused time.
struct Rig {
    view: watch::Receiver<Arc<HealthView>>,
    /// By the last number of the address.
    switches: BTreeMap<u8, Arc<AtomicU8>>,
    inventory: watch::Sender<Arc<Inventory>>,
    probes: watch::Sender<Probes>,
    events: EventReceiver,
}

impl Rig {
    fn start() -> Self {
        let spec = ProbeSpec {
            kind: ProbeKind::Tcp,
            port: 1,
            path: SCHEDULE,
            deep: None,
            hold: Duration::from_secs(1),
            returns: Default::default(),
        };
        let spec = Arc::new(spec);
        let inventory = watch::Sender::new(Arc::new(inventory()));
        let probing = Probing { identity: EndpointIdentity::default(), spec };
        let probes = inventory.borrow().endpoints.keys().map(|name| (name.clone(), probing.clone())).collect();
        let probes = watch::Sender::new(probes);
        let switches: BTreeMap<u8, _> = (1..=3).map(|last| (last, Arc::new(AtomicU8::new(ON)))).collect();
        let (events, heard) = event_queue::queue();
        let view = watch::Sender::<Arc<HealthView>>::default();
        let clock = Clock::tokio();
        let of = switches.clone();
        let runner = Runner {
            make: move |spec: &TargetSpec, _| match spec.key.address {
                IpAddr::V4(address) => Switched(of[&address.octets()[3]].clone()),
                IpAddr::V6(_) => unreachable!("there is none"),
            },
            clock,
            beat: Stages::new(clock).add("probe", Duration::from_secs(60)),
            seed: 7,
            inventory: inventory.subscribe(),
            probes: Projection::new(probes.subscribe(), Probes::clone),
            view: view.clone(),
            events,
        };
        tokio::spawn(runner.run(CancellationToken::new()));
        Self { view: view.subscribe(), switches, inventory, probes, events: heard }
    }

    /// How often a reader is woken within a minute.
    async fn wakes(&mut self) -> usize {
        let end = tokio::time::Instant::now() + Duration::from_secs(60);
        let mut wakes = 0;
        while tokio::time::timeout_at(end, self.view.changed()).await.is_ok() {
            wakes += 1;
        }
        wakes
    }

    /// How many probes there were of targets that are still at work.
    fn probe_count(&self) -> u64 {
        self.view.borrow().targets.values().flat_map(|t| t.checks.values()).map(|c| c.shown.stats.probes).sum()
    }

    fn switch(&self, last: u8, state: u8) {
        self.switches[&last].store(state, Ordering::Relaxed);
    }

    /// The last numbers of those that are down.
    fn down(&self) -> Vec<u8> {
        let view = self.view.borrow();
        let down = view.targets.iter().filter(|(_, t)| matches!(t.summary(), CheckState::Down { decided: Some(_) }));
        let last =
            |key: &TargetKey| self.switches.keys().copied().find(|n| key.address == IpAddr::from([127, 0, 0, *n]));
        down.filter_map(|(key, _)| last(key)).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn readers_see_every_result_and_are_woken_by_few() {
    let mut rig = Rig::start();
    rig.wakes().await;
    let before = rig.probe_count();
    assert_eq!(rig.wakes().await, 0, "all go on being healthy");
    assert!(rig.probe_count() >= before + 30, "each result is there to be read");

    rig.switch(1, OFF);
    // Failing, down, and each sibling's evidence once or twice.
    let wakes = rig.wakes().await;
    assert!((4..=10).contains(&wakes), "{wakes}");
    assert_eq!(rig.wakes().await, 0, "down for good");
    // Longer than the tracker remembers.
    let mut wakes = 0;
    for _ in 0..10 {
        wakes += rig.wakes().await;
    }
    assert!(wakes <= 1, "once, when its last success is forgotten: {wakes}");
    rig.switch(1, ON);
    assert!((2..=4).contains(&rig.wakes().await), "recovering, and up");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_only_got_an_id_goes_on_unhindered_although_the_inventory_follows_later() {
    let rig = Rig::start();
    tokio::time::sleep(Duration::from_secs(20)).await;
    let (before, identity) =
        (rig.probe_count(), EndpointIdentity { id: Some("ep-1".parse().unwrap()), ..Default::default() });
    rig.probes.send_modify(|probes| probes.values_mut().for_each(|probing| probing.identity = identity.clone()));
    tokio::time::sleep(Duration::from_millis(1)).await;
    rig.inventory.send_modify(|inventory| {
        let endpoints = Arc::make_mut(inventory).endpoints.values_mut();
        endpoints.for_each(|endpoint| endpoint.identity = identity.clone());
    });
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(rig.probe_count() >= before, "no target began anew");
    assert!(rig.view.borrow().targets.values().all(|t| matches!(t.summary(), CheckState::Up { .. })));
    // One that is gone from the config is not waited for.
    rig.probes.send_modify(|probes| drop(probes.pop_last()));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(rig.view.borrow().targets.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_loses_packets_goes_down_unless_siblings_lose_some_as_well() {
    let seconds = |n| tokio::time::sleep(Duration::from_secs(n));
    let rig = Rig::start();
    seconds(20).await;
    rig.switch(1, LOSSY);
    seconds(10).await;
    assert_eq!(rig.down(), [1], "one interval and four probes at a fast pace");
    rig.switch(1, ON);
    seconds(15).await;
    assert_eq!(rig.down(), [0; 0], "and comes back");

    // This host's own link.
    for last in [1, 2] {
        rig.switch(last, LOSSY);
    }
    let before = rig.probe_count();
    for _ in 0..60 {
        seconds(1).await;
        assert_eq!(rig.down(), [0; 0]);
    }
    let probes = rig.probe_count() - before;
    assert!(probes <= 2 * 3 * 2 * 61, "hardly faster than at an edge: {probes} of all three");
    rig.switch(2, ON);
    seconds(25).await;
    assert_eq!(rig.down(), [1], "once it is one address's alone");
}

#[tokio::test(start_paused = true)]
async fn who_gets_no_connection_at_the_start_is_told_before_the_first_deadline_and_until_the_first_verdict() {
    let rig = Rig::start();
    rig.switch(1, SILENT);
    rig.switch(2, MUTE);
    let unreached = || {
        let view = rig.view.borrow();
        let never =
            view.targets.iter().filter(|(_, t)| t.checks.get(&Check::Path).is_some_and(|c| c.never_reached.is_some()));
        never.map(|(key, _)| key.address.to_string()).collect::<Vec<_>>()
    };
    // The first probe begins within one `fast_interval`, and has another one.
    tokio::time::sleep(SCHEDULE.fast_interval * 2 + Duration::from_millis(2)).await;
    assert_eq!(unreached(), ["127.0.0.1"]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((unreached(), rig.down()), (vec![], vec![1, 2]));
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_much_slower_than_its_siblings_is_told() {
    let mut rig = Rig::start();
    let told = async |rig: &mut Rig, seconds| {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let mut told = Vec::new();
        while let Ok(event) = rig.events.queue.try_recv() {
            if matches!(event.kind, EventKind::TargetSlow { .. } | EventKind::TargetSlowOver { .. }) {
                told.push(event.kind.to_string());
            }
        }
        told
    };
    assert_eq!(told(&mut rig, 60).await, [""; 0]);
    rig.switch(1, SLOW);
    let slow = "a/z1/127.0.0.1: slow, path check: 1500 ms, a sibling's 1 ms (medians of ten)";
    assert_eq!(told(&mut rig, 60).await, [slow]);
    assert_eq!(rig.down(), [0; 0]);
    assert_eq!(told(&mut rig, 600).await, [""; 0], "once");
    // The whole host, or what all have in common.
    rig.switch(2, SLOW);
    rig.switch(3, SLOW);
    let over = "a/z1/127.0.0.1: slow no more, path check";
    assert!(told(&mut rig, 60).await.contains(&over.to_owned()));
    rig.switch(2, ON);
    let mut both = told(&mut rig, 60).await;
    both.sort_unstable();
    assert_eq!(
        both,
        [slow.to_owned(), "b/z3/127.0.0.3: slow, path check: 1500 ms, a sibling's 1 ms (medians of ten)".into()]
    );
}
