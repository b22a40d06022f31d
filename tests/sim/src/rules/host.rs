//! A whole host on virtual time: the agent's stages around its real rules, its cache on disk, and the hosts writer.

use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use privatelinkd::agent::steering;
use privatelinkd::config::{Config, from_toml};
use privatelinkd::discover::{Cache, Memory, recalled};
use privatelinkd::model::{
    DeepSpec, Depth, Drain, HostFacts, Identity, Inventory, Overrides, Plan, Policy, ProbeSpec, Schedule,
};
use privatelinkd::steer::{Inputs, Steered, steer};

use super::clock::HostClock;
use super::finding::{Finding, Pass};
use super::history::{Event, Ms, SECOND};
use super::probing::{Probing, Seen};
use super::vault::Vault;
use super::world::{DEEP, World, zone_id};
use super::writing::Writing;

/// However little happens, steering looks this often.
const LOOK: Ms = 10 * SECOND;

/// Configs by their text, since reading one takes longer than a whole step; and a place for state files.
pub(super) struct Workshop {
    configs: HashMap<String, Arc<Config>>,
    dir: PathBuf,
    runtime: tokio::runtime::Runtime,
}

/// Why the search itself can't go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("the search made a config that is refused: {0}\n{1}")]
    Config(String, String),
    #[error("seed {0} does not go the same way twice")]
    Unlike(u64),
    #[error("no runtime, or no folder: {0}")]
    Io(#[from] std::io::Error),
}

impl Workshop {
    pub(super) fn new(dir: PathBuf) -> Result<Self, Broken> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        Ok(Self { configs: HashMap::new(), dir, runtime })
    }

    /// Configs are read anew, since a file that they name is another one.
    pub(super) fn forget(&mut self) {
        self.configs.clear();
    }

    fn config(&mut self, text: String) -> Result<Arc<Config>, Broken> {
        if let Some(config) = self.configs.get(&text) {
            return Ok(config.clone());
        }
        let read = from_toml(&text);
        let mut config = read.map_err(|complaints| Broken::Config(format!("{complaints:?}"), text.clone()))?;
        config
            .endpoints
            .values_mut()
            .filter_map(|e| e.probe.as_mut())
            .filter(|p| p.port == DEEP && p.deep.is_none())
            .for_each(log_in);
        let config = Arc::new(config);
        if self.configs.len() > 4096 {
            self.configs.clear();
        }
        self.configs.insert(text, config.clone());
        Ok(config)
    }
}

pub(super) struct Host {
    pub(super) clock: HostClock,
    pub(super) now: Ms,
    boots: u32,
    seed: u64,
    config: Arc<Config>,
    policy: Policy,
    facts: HostFacts,
    overrides: Overrides,
    finding: Finding,
    probing: Probing,
    pub(super) writing: Writing,
    pub(super) plan: Option<Plan>,
    wake: Ms,
    rng: Rng,
    pub(super) steps: u64,
    /// One of many: nobody looks whether its decisions stand, or at its hosts file, which is its own affair.
    pub(super) is_one_of_many: bool,
}

/// Whose host it is, among others.
pub(super) struct Born {
    pub(super) seed: u64,
    pub(super) clock: HostClock,
    /// When its agent starts.
    pub(super) at: Ms,
    /// The instance's id, by which a host of a fleet is told from the others.
    pub(super) instance: Option<String>,
    /// What it remembers of the cloud.
    pub(super) inventory: Inventory,
    /// What becomes of its secrets, where it has any.
    pub(super) vault: Option<Rc<Vault>>,
}

/// What came of a moment, for the oracle.
#[derive(Default)]
pub(super) struct Moment {
    pub(super) seen: Vec<Seen>,
    pub(super) passes: Vec<Pass>,
    /// A decision, and the plan before it.
    pub(super) decided: Option<(Option<Plan>, Plan)>,
    /// The rules broke a promise that needs no oracle.
    pub(super) fault: Option<String>,
}

impl Host {
    /// Alone in its world, and just booted.
    pub(super) fn new(workshop: &mut Workshop, world: &World, seed: u64) -> Result<Self, Broken> {
        let (clock, inventory) = (HostClock::booted(0), Inventory::default());
        Self::of(workshop, world, Born { seed, clock, at: 0, instance: None, inventory, vault: None })
    }

    pub(super) fn of(workshop: &mut Workshop, world: &World, born: Born) -> Result<Self, Broken> {
        let Born { seed, clock, at: now, instance, inventory, vault } = born;
        let config = workshop.config(world.config())?;
        let mut rng = Rng::with_seed(seed ^ 0x0068_6f73_7400);
        let identity = Identity { machine_id: Some("a".repeat(32)), ..Identity::default() };
        let boot = (identity.clone(), boot_id(0));
        let mut host = Self {
            clock,
            now,
            boots: 0,
            seed,
            policy: steering::policy(&config),
            facts: HostFacts {
                zone: config.host.zone.clone(),
                identity,
                instance_id: instance,
                ..HostFacts::default()
            },
            overrides: Overrides::default(),
            finding: Finding::new(recalled(inventory, &config), config.clone(), seed, clock, now),
            probing: Probing::new(rng.fork(), vault),
            writing: Writing::new(&config, boot, seed, clock, now),
            plan: None,
            wake: now,
            config,
            is_one_of_many: false,
            rng,
            steps: 0,
        };
        host.finding.fixed(clock, now);
        host.probing.reconcile(&host.finding.inventory, &host.config, clock, now);
        Ok(host)
    }

    pub(super) fn inventory(&self) -> &Inventory {
        &self.finding.inventory
    }

    /// When something is to be done, at the latest.
    pub(super) fn next(&self) -> Ms {
        let (finding, expiry) = self.finding.next(self.clock);
        // What lies in the past is done at once, and again and again if that does not help.
        let expiry = expiry.map_or(Ms::MAX, |at| at.max(self.now));
        let writing = if self.is_one_of_many { Ms::MAX } else { self.writing.next(self.clock) };
        self.probing.next().min(finding).min(expiry).min(self.wake).min(writing)
    }

    /// Something happens to the host, or to what its admin wants.
    pub(super) fn suffer(&mut self, event: Event, world: &World, workshop: &mut Workshop) -> Result<(), Broken> {
        match event {
            Event::Suspend(secs) => {
                let lasted = secs * SECOND;
                self.now += lasted;
                self.probing.sleep(lasted);
                self.finding.sleep(lasted);
            }
            Event::Restart => self.restart(false, world, workshop)?,
            Event::Reboot => self.restart(true, world, workshop)?,
            Event::Vandal => self.writing.vandal(self.clock, self.now),
            Event::Drain(..) => {
                self.heed_drains(world);
                self.wake = self.now;
            }
            _ => {
                let config = workshop.config(world.config())?;
                if config != self.config {
                    self.follow(config);
                }
            }
        }
        Ok(())
    }

    fn follow(&mut self, config: Arc<Config>) {
        self.policy = steering::policy(&config);
        self.config = config.clone();
        self.writing.follow(&config, self.clock, self.now);
        self.finding.follow(config, self.clock, self.now);
        self.probing.reconcile(&self.finding.inventory, &self.config, self.clock, self.now);
        self.wake = self.now;
    }

    fn heed_drains(&mut self, world: &World) {
        let of = |(zone, until): (&usize, &Ms)| {
            let until = self.clock.at(*until).boottime;
            Some((zone_id(*zone).parse().ok()?, Drain { endpoint: None, until }))
        };
        self.overrides.drains = world.drains.iter().filter(|(_, until)| **until > self.now).filter_map(of).collect();
    }

    /// The processes end, and begin with what they kept; of another boot if the host went down with them.
    fn restart(&mut self, rebooted: bool, world: &World, workshop: &mut Workshop) -> Result<(), Broken> {
        let (dir, identity) = (workshop.dir.clone(), self.facts.identity.clone());
        let cache = |boots| Arc::new(Cache::new(dir.clone(), identity.clone(), boot_id(boots)));
        let (at, old) = (self.clock.at(self.now), cache(self.boots));
        let inventory = Arc::new(self.finding.inventory.clone());
        workshop.runtime.block_on(old.clone().save(inventory, at))?;
        if let Some(plan) = self.plan.clone() {
            workshop.runtime.block_on(old.save(Arc::new(plan), at))?;
        }
        if rebooted {
            self.boots += 1;
            self.now += 20 * SECOND;
            self.clock = HostClock::booted(self.now);
        }
        self.heed_drains(world);
        let Memory { inventory, plan, .. } = cache(self.boots).load(self.clock.at(self.now));
        let inventory = recalled(inventory, &self.config);
        let seed = self.seed.wrapping_add(u64::from(self.boots));
        self.finding = Finding::new(inventory, self.config.clone(), seed, self.clock, self.now);
        self.probing = self.probing.anew(self.rng.fork());
        self.plan = plan;
        self.writing.restart(boot_id(self.boots), self.clock, self.now);
        if let Some(plan) = &self.plan {
            self.writing.hear(plan, self.clock, self.now);
        }
        self.finding.fixed(self.clock, self.now);
        self.probing.reconcile(&self.finding.inventory, &self.config, self.clock, self.now);
        self.wake = self.now;
        Ok(())
    }

    /// Lets everything happen that is due by `now`.
    pub(super) fn moment(&mut self, now: Ms, world: &mut World) -> Moment {
        self.now = now.max(self.now);
        self.steps += 1;
        let mut moment = Moment::default();
        let (passes, folded) = self.finding.turn(world, self.clock, self.now);
        moment.passes = passes;
        if folded {
            self.probing.reconcile(&self.finding.inventory, &self.config, self.clock, self.now);
            let expiry = self.finding.next(self.clock).1;
            if expiry.is_some_and(|at| at <= self.now) {
                moment.fault = Some("a wake-up stays in the past: what has expired is not forgotten".to_owned());
            }
        }
        let turn = self.probing.turn(world, self.clock, self.now);
        self.steps += turn.steps;
        moment.seen = turn.seen;
        if turn.bears || folded || self.wake <= self.now {
            self.decide(&mut moment);
        } else if !self.is_one_of_many && !moment.seen.is_empty() && self.rng.u8(0..8) == 0 {
            self.look_again(&mut moment);
        }
        if !self.is_one_of_many {
            self.writing.turn(self.clock, self.now);
        }
        moment.fault = moment.fault.take().or(self.writing.fault.take());
        moment
    }

    fn steered(&self, previous: Option<&Plan>) -> Steered {
        steer(&Inputs {
            inventory: &self.finding.inventory,
            health: &self.probing.view,
            host: &self.facts,
            overrides: &self.overrides,
            policy: &self.policy,
            previous,
            now: self.clock.at(self.now),
        })
    }

    fn decide(&mut self, moment: &mut Moment) {
        self.steps += 1;
        let steered = self.steered(self.plan.as_ref());
        let wake = steered.wake_at.map_or(Ms::MAX, |at| self.clock.world(at));
        if wake <= self.now {
            moment.fault = Some("a wake-up in the past: steering asks to be woken for what is over".to_owned());
        }
        self.wake = wake.max(self.now + 1).min(self.now + LOOK);
        if !self.is_one_of_many && self.rng.u8(0..8) == 0 {
            if self.steered(self.plan.as_ref()) != steered {
                moment.fault = Some("equal inputs give another plan".to_owned());
            }
            if self.steered(Some(&steered.plan)).plan.answers != steered.plan.answers {
                moment.fault = Some("a decision does not stand: the same look again gives another plan".to_owned());
            }
        }
        if !steered.ask.is_empty() {
            self.finding.hurry(self.clock, self.now);
        }
        if !self.is_one_of_many && self.plan.as_ref() != Some(&steered.plan) {
            self.writing.hear(&steered.plan, self.clock, self.now);
        }
        let before = self.plan.replace(steered.plan.clone());
        moment.decided = Some((before, steered.plan));
    }

    /// A result that woke nobody must change nothing.
    fn look_again(&self, moment: &mut Moment) {
        let Some(plan) = &self.plan else { return };
        let now = self.steered(Some(plan)).plan;
        let addresses = |p: &Plan| p.answers.values().map(|a| a.addresses.clone()).collect::<Vec<_>>();
        if addresses(&now) != addresses(plan) {
            moment.fault = Some(format!("a result woke nobody, and changes the plan to {:?}", addresses(&now)));
        }
    }
}

/// With the rhythm that the check of configs gives a deep check once a minute.
fn log_in(probe: &mut Arc<ProbeSpec>) {
    let [interval, fast_interval, timeout] = [60, 5, 15].map(Duration::from_secs);
    let schedule = Schedule { interval, fast_interval, timeout, ..probe.path };
    Arc::make_mut(probe).deep = Some(DeepSpec { depth: Depth::Login, schedule });
}

fn boot_id(boots: u32) -> String {
    format!("boot-{boots}")
}
