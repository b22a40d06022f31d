//! A small world on a line of seconds, in which the real trackers and the real steering play a history: what happened
//! when, and what the name has to answer.
//!
//! A history is text, a line for each thing: `50 A silent`, `400 host cut`, `734 = AB healthy`. Addresses are single
//! letters; several may be named at once. What can be said of one:
//!
//! | word | what its probes meet |
//! |---|---|
//! | `well` | all is well again, path and login |
//! | `silent`, `refused` | nothing answers; the port is closed |
//! | `full` | the path check itself is told `overloaded` |
//! | `local` | this host can't even send |
//! | `auth`, `not_allowed`, `overloaded`, `backend_down` | the path is well, the login fails so |
//! | `login` | the login works again |
//! | `retired`, `given` | discovery retires the address, or finds it anew |
//!
//! Of the host: `cut`, `back`, `restart`. Of a zone: `drained`, `undrained`. `734 = AB` says what has to be published
//! then, in this order or another; a word behind it is the reason. `100-200 = AB` holds at every decision in between.

mod script;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use privatelinkd::health::{Next, Rules, Tracker};
use privatelinkd::model::{
    AddressEntry, AnswerReason, Answers, Boottime, Check, CheckHealth, CheckState, Drain, Endpoint, EndpointIdentity,
    Failure, FailureReason, Freshness, Graces, HealthView, HostFacts, HostName, Inventory, Now, Observation, Overrides,
    Plan, Policy, Prefer, Presence, Returns, Schedule, SourceKind, Steering, TargetHealth, TargetKey, Timings, Wall,
    Zone, ZoneEntry,
};
use privatelinkd::steer::{Inputs, steer};
use script::{Line, Said, What};

/// Of the name that all endpoints share but those with a name of their own.
const NAME: &str = "db.example";
const MS: Duration = Duration::from_millis(1);

/// An endpoint of a world: a letter for each zone's address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Of {
    zones: &'static str,
    deep: Option<u64>,
    priority: i32,
    own_name: bool,
    probed: bool,
}

/// Probed by a path check only.
pub(crate) const fn path(zones: &'static str) -> Of {
    Of { zones, deep: None, priority: 0, own_name: false, probed: true }
}

/// Probed by both checks, the deep one once a minute.
pub(crate) const fn deep(zones: &'static str) -> Of {
    Of { deep: Some(60), ..path(zones) }
}

impl Of {
    pub(crate) const fn priority(self, priority: i32) -> Self {
        Self { priority, ..self }
    }

    /// It has a name of its own instead of the shared one.
    pub(crate) const fn apart(self) -> Self {
        Self { own_name: true, ..self }
    }

    pub(crate) const fn unprobed(self) -> Self {
        Self { probed: false, ..self }
    }
}

/// What the probes of an address meet.
#[derive(Debug, Clone, Copy, Default)]
struct Truth {
    path: Option<FailureReason>,
    login: Option<FailureReason>,
}

/// One check of one target, as its task runs it.
struct Task {
    key: TargetKey,
    letter: char,
    check: Check,
    timeout: u64,
    rules: Rules,
    tracker: Tracker,
    due: Option<u64>,
    called: bool,
    /// Begin, end and what came of it.
    in_flight: Vec<(u64, u64, Result<(), Failure>)>,
}

pub(crate) struct World {
    tasks: Vec<Task>,
    truth: BTreeMap<char, Truth>,
    cut: bool,
    inventory: Inventory,
    overrides: Overrides,
    policy: Policy,
    plan: Option<Plan>,
    wake: Option<u64>,
    rng: fastrand::Rng,
    ms: u64,
    /// How often what is published changed so far, the first answer counted.
    pub(crate) moves: u32,
}

fn at(ms: u64) -> Now {
    Now { boottime: Boottime(Duration::from_millis(ms)), wall: Wall(ms) }
}

fn address(letter: char) -> IpAddr {
    IpAddr::from([10, 0, 0, letter as u8])
}

fn letter(address: &IpAddr) -> char {
    match address {
        IpAddr::V4(v4) => char::from(v4.octets()[3]),
        IpAddr::V6(_) => '?',
    }
}

impl World {
    pub(crate) fn new(endpoints: &[Of], seed: u64) -> Self {
        let graces = Graces { removal: Duration::from_secs(600), gone: Duration::from_secs(3600) };
        let mut world = Self {
            tasks: vec![],
            truth: BTreeMap::new(),
            cut: false,
            inventory: Inventory::default(),
            overrides: Overrides::default(),
            policy: Policy { graces, ..Policy::default() },
            plan: None,
            wake: None,
            rng: fastrand::Rng::with_seed(seed),
            ms: 0,
            moves: 0,
        };
        for (e, of) in endpoints.iter().enumerate() {
            world.add(e, of);
        }
        world.start_tasks(endpoints);
        world
    }

    fn add(&mut self, e: usize, of: &Of) {
        let zone = |letter: char| {
            let addresses = [(address(letter), AddressEntry::given_by(SourceKind::Fixed))].into();
            (Zone::Known(zone_id(letter)), ZoneEntry { addresses, ..ZoneEntry::default() })
        };
        let name = if of.own_name { format!("e{e}.example") } else { NAME.to_owned() };
        let endpoint = Endpoint {
            identity: EndpointIdentity::default(),
            id: None,
            domain: None,
            names: [name.parse::<HostName>().unwrap()].into(),
            leaving: BTreeMap::new(),
            priority: of.priority,
            zones: of.zones.chars().map(zone).collect(),
            probed: of.probed,
            proves_itself: false,
            presence: Presence::Configured,
            sources: [(SourceKind::Fixed, Freshness::Fresh { at: at(0) })].into(),
            cloud: None,
            missing: None,
            not_found: BTreeSet::new(),
            left_out: BTreeMap::new(),
            barred: BTreeMap::new(),
        };
        self.truth.extend(of.zones.chars().map(|letter| (letter, Truth::default())));
        self.inventory.endpoints.insert(format!("e{e}").parse().unwrap(), endpoint);
    }

    fn start_tasks(&mut self, endpoints: &[Of]) {
        for (e, of) in endpoints.iter().enumerate().filter(|(_, of)| of.probed) {
            for letter in of.zones.chars() {
                let checks = [(Check::Path, (5000, 500, 2000))].into_iter();
                let deep = of.deep.map(|secs| (Check::Deep, (secs * 1000, secs * 1000 / 12, 15_000)));
                for (check, rhythm) in checks.chain(deep) {
                    self.start(format!("e{e}").parse().unwrap(), letter, check, rhythm);
                }
            }
        }
    }

    fn start(
        &mut self,
        endpoint: privatelinkd::model::EndpointName,
        letter: char,
        check: Check,
        (interval, fast, timeout): (u64, u64, u64),
    ) {
        let millis = Duration::from_millis;
        let (interval, fast_interval) = (millis(interval), millis(fast));
        let schedule = Schedule { interval, fast_interval, timeout: millis(timeout), rise: 3, fall: 3 };
        let returns = Returns { spread: (10 * MS).mul_f64(self.rng.f64()), ..Returns::default() };
        let in_flight = if check == Check::Path { 3 } else { 1 };
        let rules = Rules { check, schedule, hold: 5000 * MS, in_flight, returns };
        self.tasks.push(Task {
            key: TargetKey { endpoint, zone: Zone::Known(zone_id(letter)), address: address(letter) },
            letter,
            check,
            timeout,
            rules,
            tracker: Tracker::new(rules, at(self.ms)),
            due: Some(self.ms + self.rng.u64(0..500)),
            called: false,
            in_flight: vec![],
        });
    }

    pub(crate) fn one(mut self) -> Self {
        self.policy.default.answers = Answers::One;
        self
    }

    pub(crate) fn local(mut self) -> Self {
        self.policy.default = Steering { prefer: Prefer::LocalZone, ..self.policy.default };
        self
    }

    /// Plays a history; panics where it ends otherwise than it says.
    pub(crate) fn play(&mut self, history: &str) {
        let lines = script::read(history);
        let over = lines.iter().map(Line::until).max().unwrap_or_default();
        let mut events: Vec<_> = lines.iter().filter(|l| l.expected().is_none()).collect();
        events.sort_by_key(|l| l.from);
        let mut events = events.into_iter().peekable();
        loop {
            let next = self.next().min(over + 1);
            let next = events.peek().map_or(next, |e| next.min(e.from)).max(self.ms);
            self.due_answers(&lines, next, history);
            if next > over {
                break;
            }
            self.ms = next;
            while let Some(line) = events.next_if(|l| l.from <= next) {
                self.happens(line);
            }
            self.tick();
            self.steer();
        }
    }

    /// What is due before `next` must hold now, and what goes on over it too.
    fn due_answers(&self, lines: &[Line], next: u64, history: &str) {
        for line in lines.iter().filter(|l| l.from < next && l.until() >= self.ms) {
            let Some((letters, reason)) = line.expected() else { continue };
            let answer = self.plan.as_ref().and_then(|p| p.answers.get(&NAME.parse::<HostName>().unwrap()));
            let found: BTreeSet<char> = answer.iter().flat_map(|a| a.addresses.iter().map(letter)).collect();
            let why = answer.map(|a| a.reason);
            let same = found == letters.chars().collect() && reason.is_none_or(|r| why == Some(r));
            assert!(
                same,
                "at {} ms expected {letters} {reason:?}, found {found:?} {why:?} in {history}{}",
                self.ms,
                self.told()
            );
        }
    }

    /// How every check stands, for people.
    fn told(&self) -> String {
        let of = |t: &Task| format!("\n{} {}: {:?}", t.letter, t.check, brief(&t.tracker.health()));
        self.tasks.iter().map(of).collect()
    }

    fn next(&self) -> u64 {
        let tasks = self.tasks.iter().flat_map(|t| {
            let due = t.due.filter(|_| t.tracker.may_begin());
            due.into_iter().chain(t.in_flight.iter().map(|(_, ends, _)| *ends)).min()
        });
        tasks.chain(self.wake).min().unwrap_or(u64::MAX)
    }

    fn happens(&mut self, line: &Line) {
        match &line.said {
            Said::Happens(what @ (What::Cut | What::Back | What::Restart), _) => self.host(*what),
            Said::Happens(what, letters) => letters.chars().for_each(|l| self.befalls(*what, l)),
            Said::Expected(..) => {}
        }
    }

    fn host(&mut self, what: What) {
        match what {
            What::Cut => self.cut = true,
            What::Back => self.cut = false,
            _ => {
                for task in &mut self.tasks {
                    task.tracker = Tracker::new(task.rules, at(self.ms));
                    (task.due, task.in_flight) = (Some(self.ms + self.rng.u64(0..500)), vec![]);
                }
            }
        }
    }

    fn befalls(&mut self, what: What, letter: char) {
        let zone = zone_id(letter);
        match what {
            What::Path(failure) => self.truth.get_mut(&letter).unwrap().path = failure,
            What::Login(failure) => self.truth.get_mut(&letter).unwrap().login = failure,
            What::Well => self.truth.insert(letter, Truth::default()).map(|_| ()).unwrap(),
            What::Drained(true) => {
                let until = Boottime(Duration::from_secs(1_000_000));
                self.overrides.drains.insert(zone, Drain { endpoint: None, until });
            }
            What::Drained(false) => drop(self.overrides.drains.remove(&zone)),
            What::Retired(is) => {
                let since = is.then(|| at(self.ms).boottime);
                let zones = self.inventory.endpoints.values_mut().flat_map(|e| e.zones.values_mut());
                for entry in zones.filter_map(|z| z.addresses.get_mut(&address(letter))) {
                    entry.retired = since;
                }
                self.tasks.retain(|t| t.letter != letter || !is);
            }
            What::Cut | What::Back | What::Restart => {}
        }
    }

    /// Ends what ends now and begins what is due.
    fn tick(&mut self) {
        for i in 0..self.tasks.len() {
            while let Some(n) = self.tasks[i].in_flight.iter().position(|(_, ends, _)| *ends <= self.ms) {
                let (began, _, outcome) = self.tasks[i].in_flight.swap_remove(n);
                self.ended(i, began, outcome.map(|()| Timings::default()));
            }
        }
        for i in 0..self.tasks.len() {
            let task = &self.tasks[i];
            let is_due = task.due.is_some_and(|due| due <= self.ms);
            if (is_due || task.called) && task.tracker.may_begin() {
                let next = self.tasks[i].tracker.begin(at(self.ms), Duration::ZERO);
                let (ends, outcome) = self.probe(i);
                self.tasks[i].in_flight.push((self.ms, ends, outcome));
                self.tasks[i].called = false;
                self.tasks[i].due = self.appointment(next);
            } else if is_due {
                self.tasks[i].due = None;
            }
        }
    }

    fn ended(&mut self, i: usize, began: u64, outcome: Result<Timings, Failure>) {
        let observation = Observation { started: at(began).boottime, ended: at(self.ms).boottime, outcome };
        // Nobody gets as far as a connection where the path is dead.
        let reached = !self.cut && self.truth[&self.tasks[i].letter].path.is_none();
        self.tasks[i].tracker.note_connection(Some(reached), at(self.ms));
        let step = self.tasks[i].tracker.observe(&observation, at(self.ms));
        self.tasks[i].due = self.appointment(step.next);
        let Some(signal) = step.signal else { return };
        let (key, check, now) = (self.tasks[i].key.clone(), self.tasks[i].check, at(self.ms));
        let names = |key: &TargetKey| &self.inventory.endpoints[&key.endpoint].names;
        let siblings: Vec<_> = (0..self.tasks.len())
            .filter(|j| self.tasks[*j].check == check && self.tasks[*j].key != key)
            .filter(|j| !names(&self.tasks[*j].key).is_disjoint(names(&key)))
            .collect();
        let own =
            |t: &Task| t.key == key && t.check == Check::Deep && signal.calls_for_deep_check(t.tracker.health().state);
        if let Some(deep) = (0..self.tasks.len()).find(|j| check == Check::Path && own(&self.tasks[*j])) {
            self.tasks[deep].tracker.call_for_proof(now);
            self.tasks[deep].called = true;
        }
        for j in siblings {
            if signal.calls_for_sibling(self.tasks[j].tracker.health().state) {
                self.tasks[j].tracker.call_for_proof(now);
                self.tasks[j].called = true;
            }
        }
    }

    /// When a probe that begins now ends, and how.
    fn probe(&self, i: usize) -> (u64, Result<(), Failure>) {
        let Task { letter, check, timeout, .. } = &self.tasks[i];
        let Truth { path, login } = self.truth[letter];
        let fails = |reason| Err(Failure::new(reason, "x"));
        let on_the_way = |reason| Err(Failure::new(reason, "x").met_on_the_way());
        if self.cut || path == Some(FailureReason::Timeout) {
            // What TCP sent again into the silence is seen by whoever opens the connection.
            let again = u32::from(*check == Check::Path);
            let silence = Failure::new(FailureReason::Timeout, "x").met_on_the_way().with_retransmissions(again);
            return (self.ms + timeout, Err(silence));
        }
        match (path, check, login) {
            (Some(reason), ..) => (self.ms + 1, on_the_way(reason)),
            (None, Check::Deep, Some(reason)) => (self.ms + 1, fails(reason)),
            (None, ..) => (self.ms + 1, Ok(())),
        }
    }

    fn appointment(&mut self, next: Next) -> Option<u64> {
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap();
        match next {
            Next::Regular(wait) => Some(self.ms + millis(wait.mul_f64(0.9 + 0.2 * self.rng.f64()))),
            Next::Edge(wait) => Some(self.ms + millis(wait)),
            Next::OnAnswer => None,
        }
    }

    fn steer(&mut self) {
        let mut view: BTreeMap<TargetKey, Arc<TargetHealth>> = BTreeMap::new();
        for task in &self.tasks {
            let health = view.entry(task.key.clone()).or_default();
            Arc::make_mut(health).checks.insert(task.check, task.tracker.health());
        }
        let steered = steer(&Inputs {
            inventory: &self.inventory,
            health: &HealthView { targets: view },
            host: &HostFacts { zone: Some(zone_id('A')), ..HostFacts::default() },
            overrides: &self.overrides,
            policy: &self.policy,
            previous: self.plan.as_ref(),
            now: at(self.ms),
        });
        let addresses = |plan: &Plan| plan.answers.values().map(|a| a.addresses.clone()).collect::<Vec<_>>();
        self.moves += u32::from(self.plan.as_ref().is_none_or(|old| addresses(old) != addresses(&steered.plan)));
        let wake = steered.wake_at.map(|at| u64::try_from(at.0.as_nanos().div_ceil(1_000_000)).unwrap());
        assert!(wake.is_none_or(|wake| wake > self.ms), "a wake-up in the past: {wake:?} at {}", self.ms);
        (self.wake, self.plan) = (wake, Some(steered.plan));
    }
}

fn zone_id(letter: char) -> privatelinkd::model::ZoneId {
    format!("zone-{}", letter.to_ascii_lowercase()).parse().unwrap()
}

/// The state of a check and its latest runs, short.
fn brief(health: &CheckHealth) -> (CheckState, u32, Option<[f64; 2]>, Option<[f64; 2]>) {
    let span = |s: privatelinkd::model::Span| [s.first.0.as_secs_f64(), s.last.0.as_secs_f64()];
    (health.state, health.successes_in_a_row, health.successes.map(span), health.moving.map(span))
}

/// The reason of this label.
pub(crate) fn reason(label: &str) -> AnswerReason {
    *AnswerReason::ALL.iter().find(|r| r.label() == label).unwrap_or_else(|| panic!("no reason {label}"))
}

/// Plays a history in a world of these endpoints, with several phases and jitters.
pub(crate) fn each(endpoints: &[Of], shape: impl Fn(World) -> World, history: &str) {
    for seed in 0..12 {
        shape(World::new(endpoints, seed)).play(history);
    }
}

/// The same with nothing special.
pub(crate) fn history(endpoints: &[Of], history: &str) {
    each(endpoints, |world| world, history);
}
