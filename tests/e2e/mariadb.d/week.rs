//! Probes a MySQL server for many hours in fast motion, as an agent that is started again and again does: the agent's
//! own schedule, probers and state, and real connections. Time is real while a probe is under way, and jumps to
//! whatever is due next while none is.
//!
//! `address=IP:PORT hours= lives= state=DIR tls=… user= password=`, as for the program beside this one. Each life keeps
//! nothing of the one before it but the folder `state`. One line a check: its results by kind, how it stood at the end,
//! and what people are told.

#![allow(clippy::print_stdout, reason = "it is what it is for")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arguments::{Arguments, Error, spec};
use privatelinkd::health::Pace;
use privatelinkd::model::{
    AddressEntry, Certificate, Check, CheckHealth, CheckState, DeepSpec, Depth, Endpoint, EndpointIdentity, Failure,
    HealthView, Inventory, Presence, ProbeKind, ProbeSpec, Returns, Schedule, SourceKind, TargetSpec, Timings, Zone,
    ZoneEntry,
};
use privatelinkd::probe::runner::{Probes, Probing, Runner};
use privatelinkd::probe::{AnyProber, Overlap, Prober, Probers, TlsBudget};
use privatelinkd::sys::clock::Clock;
use privatelinkd::sys::event_queue;
use privatelinkd::sys::heartbeat::Stages;
use privatelinkd::sys::in_force::Projection;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

mod arguments;

/// How long a connection that has ended may take to be gone on both sides.
const SETTLE: Duration = Duration::from_millis(2);
/// The same at the end of a life.
const LEAVE: Duration = Duration::from_millis(50);

/// Results of each check by kind.
type Tally = BTreeMap<&'static str, BTreeMap<String, u64>>;

/// What makes time jump while no probe is under way.
#[derive(Clone)]
struct Motion(Arc<Mutex<Moving>>);

struct Moving {
    under_way: usize,
    jumps: bool,
    tally: Tally,
}

impl Motion {
    /// Of a runtime whose clock is paused.
    fn new(tally: Tally) -> Self {
        Self(Arc::new(Mutex::new(Moving { under_way: 0, jumps: true, tally })))
    }

    fn lock(&self) -> MutexGuard<'_, Moving> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time is real from now on.
    fn begin(&self) {
        let mut moving = self.lock();
        moving.under_way += 1;
        if std::mem::take(&mut moving.jumps) {
            tokio::time::resume();
        }
    }

    /// One has ended. An answered ping leaves nothing to settle.
    fn end(&self, ping: bool) {
        self.lock().under_way -= 1;
        if ping {
            return self.jump();
        }
        let motion = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(SETTLE).await;
            motion.jump();
        });
    }

    fn jump(&self) {
        let mut moving = self.lock();
        if moving.under_way == 0 && !std::mem::replace(&mut moving.jumps, true) {
            tokio::time::pause();
        }
    }
}

/// A prober whose attempts take real time, and are counted.
struct Watched {
    prober: AnyProber,
    check: Check,
    motion: Motion,
}

impl Prober for Watched {
    fn overlap(&self) -> Overlap {
        self.prober.overlap()
    }

    fn certificate(&self) -> Option<Arc<Certificate>> {
        self.prober.certificate()
    }

    fn pace(&self) -> Pace {
        self.prober.pace()
    }

    fn remark(&self) -> Option<Arc<str>> {
        self.prober.remark()
    }

    async fn probe(&self, deadline: Duration) -> Result<Timings, Failure> {
        self.motion.begin();
        let outcome = self.prober.probe(deadline).await;
        let kind = outcome.as_ref().map_or_else(|failure| failure.reason.label(), |_| "up").to_owned();
        *self.motion.lock().tally.entry(label(self.check)).or_default().entry(kind).or_default() += 1;
        self.motion.end(outcome.as_ref().is_ok_and(|timings| timings.tcp.is_zero()));
        outcome
    }
}

fn label(check: Check) -> &'static str {
    match check {
        Check::Path => "path",
        Check::Deep => "deep",
    }
}

/// With the default rhythm.
fn probe(address: SocketAddr, kind: ProbeKind) -> ProbeSpec {
    let second = Duration::from_secs(1);
    let path = Schedule { interval: 5 * second, fast_interval: second / 2, timeout: 2 * second, rise: 3, fall: 3 };
    let deep = Schedule { interval: 60 * second, timeout: 15 * second, ..path };
    let deep = Some(DeepSpec { depth: Depth::Query, schedule: deep });
    ProbeSpec { kind, port: address.port(), path, deep, hold: 5 * second, returns: Returns::default() }
}

fn inventory(address: SocketAddr) -> Result<Inventory, Error> {
    let entry = AddressEntry::given_by(SourceKind::Fixed);
    let zone = ZoneEntry { addresses: [(address.ip(), entry)].into(), ..ZoneEntry::default() };
    let endpoint = Endpoint {
        identity: EndpointIdentity::default(),
        id: None,
        domain: None,
        names: ["db.example.com".parse()?].into(),
        leaving: BTreeMap::new(),
        priority: 0,
        zones: [(Zone::Unknown, zone)].into(),
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
    Ok(Inventory { endpoints: [("lab".parse()?, endpoint)].into(), ..Inventory::default() })
}

/// One life of an agent: begun anew, with what earlier ones have left in `state`.
async fn live(
    (address, kind): (SocketAddr, ProbeKind),
    state: &Path,
    (long, number): (Duration, u64),
    tally: &mut Tally,
) -> Result<Arc<HealthView>, Error> {
    let (clock, motion) = (Clock::tokio(), Motion::new(std::mem::take(tally)));
    let probers = Probers::new(clock).with_tls_budget(TlsBudget::kept(state.join("tls_budget.json"), clock));
    let of = motion.clone();
    let make =
        move |spec: &TargetSpec, check| Watched { prober: probers.prober(spec, check), check, motion: of.clone() };
    let inventory = watch::Sender::new(Arc::new(inventory(address)?));
    let probing = Probing { identity: EndpointIdentity::default(), spec: Arc::new(probe(address, kind)) };
    let probes = watch::channel(Probes::from([("lab".parse()?, probing)])).1;
    let view = watch::Sender::<Arc<HealthView>>::default();
    let (events, _heard) = event_queue::queue();
    let runner = Runner {
        make,
        clock,
        beat: Stages::new(clock).add("probe", Duration::from_secs(60)),
        seed: number,
        inventory: inventory.subscribe(),
        probes: Projection::new(probes, Probes::clone),
        view: view.clone(),
        events,
    };
    let token = CancellationToken::new();
    let running = tokio::spawn(runner.run(token.clone()));
    tokio::time::sleep(long).await;
    let end = view.borrow().clone();
    token.cancel();
    running.await??;
    motion.begin();
    tokio::time::sleep(LEAVE).await;
    *tally = std::mem::take(&mut motion.lock().tally);
    Ok(end)
}

/// How a check stands, for people.
fn standing(health: &CheckHealth) -> String {
    let mut said = format!("now {}", health.state.label());
    if let (CheckState::Down { .. }, Some((_, failure))) = (health.state, &health.shown.last_failure) {
        said += &format!(", {failure}");
    }
    if let Some(remark) = &health.shown.remark {
        said += &format!("; {remark}");
    }
    said
}

fn main() -> Result<(), Error> {
    let arguments = Arguments::of_process();
    let (hours, lives) = (arguments.number("hours", 168)?, arguments.number("lives", 1)?.max(1));
    let (address, state) = (arguments.text("address", "").parse()?, arguments.text("state", "."));
    let (mut tally, mut end) = (Tally::new(), None);
    for number in 0..lives {
        let long = Duration::from_secs(hours * 3600 / lives);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
        let life = live((address, spec(&arguments)?), state.as_ref(), (long, number), &mut tally);
        end = Some(runtime.block_on(life)?);
    }
    for health in end.iter().flat_map(|view| view.targets.values()) {
        for (check, health) in health.checks.iter() {
            let counts = tally.get(label(*check)).into_iter().flatten();
            let counts: Vec<String> = counts.map(|(kind, count)| format!("{count} {kind}")).collect();
            println!("{}: {}; {}", label(*check), counts.join(", "), standing(health));
        }
    }
    Ok(())
}
