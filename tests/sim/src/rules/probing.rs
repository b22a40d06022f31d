//! All targets at work, and the view of their health: what the agent's probe runner does (`probe::runner`).

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use fastrand::Rng;
use privatelinkd::config::Config;
use privatelinkd::health::{Relevance, Signal};
use privatelinkd::model::{
    Check, CheckHealth, CheckState, FailureReason, HealthView, Inventory, TargetHealth, TargetKey, TargetSpec,
};
use privatelinkd::probe::TargetSet;
use privatelinkd::probe::runner::{Probes, Probing as HowProbed};

use super::check::{CheckTask, Landed};
use super::clock::HostClock;
use super::history::Ms;
use super::vault::Vault;
use super::world::World;

pub(super) struct Probing {
    tasks: Vec<CheckTask>,
    running: BTreeMap<TargetKey, TargetSpec>,
    work: TargetSet,
    relevance: Relevance,
    pub(super) view: HealthView,
    rng: Rng,
    vault: Option<Rc<Vault>>,
}

/// A result, for whoever keeps a log.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) key: TargetKey,
    pub(super) check: Check,
    pub(super) began: Ms,
    pub(super) outcome: Result<(), FailureReason>,
    /// Some packet of it had to be sent again, as TCP tells of the path check.
    pub(super) resent: bool,
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
    pub(super) fn new(rng: Rng, vault: Option<Rc<Vault>>) -> Self {
        Self {
            tasks: Vec::new(),
            running: BTreeMap::new(),
            work: TargetSet::default(),
            relevance: Relevance::default(),
            view: HealthView::default(),
            rng,
            vault,
        }
    }

    /// Of the next process, which remembers nothing.
    pub(super) fn anew(&self, rng: Rng) -> Self {
        Self::new(rng, self.vault.as_ref().map(|vault| Rc::new(vault.anew())))
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
        let work = TargetSet::from_inventory(inventory, &probes);
        let grid = work.grid();
        self.renew(&work, clock, now);
        self.running.retain(|key, spec| work.targets.get(key) == Some(spec));
        self.tasks.retain(|task| self.running.contains_key(&task.key));
        self.view.targets.retain(|key, _| self.running.contains_key(key));
        for spec in work.targets.values() {
            if self.running.contains_key(&spec.key) {
                continue;
            }
            for check in spec.probe.checks() {
                let rng = self.rng.fork();
                let mut task = CheckTask::new(spec, check, (grid, clock), (rng, now));
                arm(&mut task, spec, self.vault.as_ref());
                self.tasks.push(task);
            }
            let unknown = |(check, _)| (check, CheckHealth::unknown(clock.at(now)));
            let health = TargetHealth { checks: spec.probe.checks().map(unknown).collect() };
            self.view.targets.insert(spec.key.clone(), Arc::new(health));
            self.running.insert(spec.key.clone(), spec.clone());
        }
        self.work = work;
    }

    /// Targets of which only the secret is another one go on with that, and are asked at once; unless it may be what
    /// was wrong: those begin anew.
    fn renew(&mut self, work: &TargetSet, clock: HostClock, now: Ms) {
        for (key, running) in &mut self.running {
            let Some(spec) = work.targets.get(key).filter(|spec| *spec != running) else { continue };
            let checks = self.view.targets.get(key).into_iter().flat_map(|health| health.checks.values());
            let down: Vec<bool> = checks
                .filter_map(|check| match check.state {
                    CheckState::Down { decided } => Some(decided.is_some()),
                    CheckState::Unknown | CheckState::Up { .. } => None,
                })
                .collect();
            let undecided = down.contains(&false) && !down.contains(&true);
            if !undecided && spec.probe.with_secrets_of(&running.probe) == *running.probe {
                *running = spec.clone();
                for task in self.tasks.iter_mut().filter(|task| task.key == *key) {
                    arm(task, spec, self.vault.as_ref());
                    task.nudge(clock, now);
                }
            }
        }
    }

    /// Everything that is due.
    pub(super) fn turn(&mut self, world: &mut World, clock: HostClock, now: Ms) -> Turn {
        let mut turn = Turn::default();
        for n in 0..self.tasks.len() {
            while let Some(landed) = self.tasks[n].land(world, clock, now) {
                let (key, check) = (self.tasks[n].key.clone(), self.tasks[n].check);
                let health = self.tasks[n].tracker.health();
                turn.bears |= self.take(&key, check, health);
                if landed.step.lost {
                    self.tell_siblings_of_loss((&key, check), clock, now);
                }
                if let Some(signal) = landed.step.signal {
                    self.nudge_siblings((&key, check), &signal, clock, now);
                }
                turn.steps += 1;
                let Landed { began, outcome, resent, .. } = landed;
                turn.seen.push(Seen { key, check, began, outcome, resent });
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
        let bears = self.relevance.changes_a_decision(check, known, &health);
        *known = health;
        bears
    }

    fn tell_siblings_of_loss(&mut self, (key, check): (&TargetKey, Check), clock: HostClock, now: Ms) {
        for sibling in self.work.siblings(key) {
            let health = self.view.targets.get(sibling).and_then(|health| health.checks.get(&check));
            if health.is_some_and(|health| !health.state.is_down()) {
                let tasks = self.tasks.iter_mut().filter(|task| task.key == *sibling && task.check == check);
                tasks.for_each(|task| task.tell_of_loss(clock, now));
            }
        }
    }

    fn nudge_siblings(&mut self, (key, check): (&TargetKey, Check), signal: &Signal, clock: HostClock, now: Ms) {
        let deep = self.view.targets.get(key).and_then(|health| health.checks.get(&Check::Deep));
        if check == Check::Path && deep.is_some_and(|deep| signal.calls_for_deep_check(deep.state)) {
            let own = self.tasks.iter_mut().filter(|task| task.key == *key && task.check == Check::Deep);
            own.for_each(|task| task.nudge(clock, now));
        }
        for sibling in self.work.siblings(key) {
            let health = self.view.targets.get(sibling).and_then(|health| health.checks.get(&check));
            if !health.is_some_and(|health| signal.calls_for_sibling(health.state)) {
                continue;
            }
            let tasks = self.tasks.iter_mut().filter(|task| task.key == *sibling && task.check == check);
            tasks.for_each(|task| task.nudge(clock, now));
        }
    }
}

/// Gives a check that logs in its secret, where there is one.
fn arm(task: &mut CheckTask, spec: &TargetSpec, vault: Option<&Rc<Vault>>) {
    if let (Check::Deep, Some(secret), Some(vault)) = (task.check, spec.probe.kind.secret(), vault) {
        task.log_in_with(secret.clone(), vault.clone());
    }
}
