//! All targets at work, and the view of their health: what the agent's probe runner does (`probe::runner`).

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use privatelinkd::config::Config;
use privatelinkd::health::{Bearing, Signal};
use privatelinkd::model::{
    Check, CheckHealth, FailureReason, HealthView, Inventory, TargetHealth, TargetKey, TargetSpec,
};
use privatelinkd::probe::Work;
use privatelinkd::probe::runner::{Probes, Probing as HowProbed};

use super::check::CheckTask;
use super::clock::HostClock;
use super::history::Ms;
use super::world::World;

pub(super) struct Probing {
    tasks: Vec<CheckTask>,
    running: BTreeMap<TargetKey, TargetSpec>,
    work: Work,
    bearing: Bearing,
    pub(super) view: HealthView,
    rng: Rng,
}

/// A result, for whoever keeps a log.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) key: TargetKey,
    pub(super) check: Check,
    pub(super) began: Ms,
    pub(super) outcome: Result<(), FailureReason>,
}

/// What came of a moment.
#[derive(Default)]
pub(super) struct Turn {
    pub(super) seen: Vec<Seen>,
    /// A decision could depend on one of these results.
    pub(super) bears: bool,
    /// Probes that began or ended.
    pub(super) steps: u64,
}

impl Probing {
    pub(super) fn new(rng: Rng) -> Self {
        Self {
            tasks: Vec::new(),
            running: BTreeMap::new(),
            work: Work::default(),
            bearing: Bearing::default(),
            view: HealthView::default(),
            rng,
        }
    }

    pub(super) fn next(&self) -> Ms {
        self.tasks.iter().map(CheckTask::next).min().unwrap_or(Ms::MAX)
    }

    pub(super) fn sleep(&mut self, lasted: Ms) {
        self.tasks.iter_mut().for_each(|task| task.sleep(lasted));
    }

    /// Stops what left, starts what came, leaves the rest alone.
    pub(super) fn reconcile(&mut self, inventory: &Inventory, config: &Config, clock: HostClock, now: Ms) {
        let how = |e: &privatelinkd::config::EndpointConfig| {
            Some(HowProbed { identity: e.identity(), spec: e.probe.clone()? })
        };
        let probes: Probes = config.endpoints.iter().filter_map(|(n, e)| Some((n.clone(), how(e)?))).collect();
        let work = Work::of(inventory, &probes);
        let grid = work.grid();
        self.running.retain(|key, spec| work.targets.get(key) == Some(spec));
        self.tasks.retain(|task| self.running.contains_key(&task.key));
        self.view.targets.retain(|key, _| self.running.contains_key(key));
        for spec in work.targets.values() {
            if self.running.contains_key(&spec.key) {
                continue;
            }
            for check in spec.probe.checks() {
                let rng = self.rng.fork();
                self.tasks.push(CheckTask::new(spec, check, (grid, clock), (rng, now)));
            }
            let unknown = |(check, _)| (check, CheckHealth::unknown(clock.at(now)));
            let health = TargetHealth { checks: spec.probe.checks().map(unknown).collect() };
            self.view.targets.insert(spec.key.clone(), Arc::new(health));
            self.running.insert(spec.key.clone(), spec.clone());
        }
        self.work = work;
    }

    /// Everything that is due.
    pub(super) fn turn(&mut self, world: &mut World, clock: HostClock, now: Ms) -> Turn {
        let mut turn = Turn::default();
        for n in 0..self.tasks.len() {
            while let Some(landed) = self.tasks[n].land(world, clock, now) {
                let (key, check) = (self.tasks[n].key.clone(), self.tasks[n].check);
                let health = self.tasks[n].tracker.health();
                turn.bears |= self.take(&key, check, health);
                if let Some(signal) = landed.step.signal {
                    self.nudge_siblings((&key, check), &signal, clock, now);
                }
                turn.steps += 1;
                turn.seen.push(Seen { key, check, began: landed.began, outcome: landed.outcome });
            }
        }
        for task in &mut self.tasks {
            turn.steps += u64::from(task.set_out(clock, now));
        }
        turn
    }

    fn take(&mut self, key: &TargetKey, check: Check, health: CheckHealth) -> bool {
        let Some(known) = self.view.targets.get_mut(key).and_then(|h| Arc::make_mut(h).checks.get_mut(&check)) else {
            return false;
        };
        let bears = self.bearing.of(check, known, &health);
        *known = health;
        bears
    }

    fn nudge_siblings(&mut self, (key, check): (&TargetKey, Check), signal: &Signal, clock: HostClock, now: Ms) {
        for sibling in self.work.siblings(key) {
            let health = self.view.targets.get(sibling).and_then(|health| health.checks.get(&check));
            if !health.is_some_and(|health| signal.concerns(health.state)) {
                continue;
            }
            let tasks = self.tasks.iter_mut().filter(|task| task.key == *sibling && task.check == check);
            tasks.for_each(|task| task.nudge(clock, now));
        }
    }
}
