//! Keeps one task a target, and collects what they find into one [`HealthView`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::check_task::{CheckResult, CheckTask, ProbeRequests};
use super::prober::Prober;
use super::target_set::TargetSet;
pub use super::target_set::{Probes, Probing};
use crate::health::{Relevance, Signal, slow};
use crate::model::{
    Check, CheckHealth, CheckState, Checks, EventKind, HealthView, Inventory, Now, Presence, Slowness, TargetHealth,
    TargetKey, TargetSpec,
};
use crate::sys::clock::Clock;
use crate::sys::event_queue::EventSender;
use crate::sys::heartbeat::{Beat, LOOK};
use crate::sys::in_force::Projection;

/// A target's task ended although the runner did not tell it to.
#[derive(Debug, thiserror::Error)]
#[error("a probe task ended by itself")]
pub struct TaskEnded;

/// The probe runner.
pub struct Runner<F> {
    /// Makes the prober of a check of a target.
    pub make: F,
    /// The clock that decisions go by.
    pub clock: Clock,
    /// Its sign of life.
    pub beat: Beat,
    /// Of this host: gives every (host, target) a phase of its own.
    pub seed: u64,
    /// The endpoints and their addresses.
    pub inventory: watch::Receiver<Arc<Inventory>>,
    /// How each endpoint is probed.
    pub probes: Projection<Probes>,
    /// Where the health of all targets is published.
    pub view: watch::Sender<Arc<HealthView>>,
    /// Where events are told.
    pub events: EventSender,
}

/// A target at work, by a task for each of its checks.
struct Running<P> {
    /// How it is probed now.
    spec: TargetSpec,
    /// The spec that its results carry: those of an older one are dropped.
    tag: Arc<TargetSpec>,
    checks: Checks<Handle<P>>,
    token: CancellationToken,
}

/// How a task is reached.
struct Handle<P> {
    requests: Arc<ProbeRequests>,
    prober: Arc<ArcSwap<P>>,
}

/// The collector's state.
struct Collector<P> {
    running: BTreeMap<TargetKey, Running<P>>,
    targets: TargetSet,
    relevance: Relevance,
    tasks: JoinSet<()>,
    reports: mpsc::UnboundedSender<CheckResult>,
}

impl<F, P> Runner<F>
where
    F: Fn(&TargetSpec, Check) -> P + Send,
    P: Prober,
{
    /// Runs until cancelled.
    ///
    /// # Errors
    /// A target's task that ends by itself is a fault.
    pub async fn run(self, token: CancellationToken) -> Result<(), TaskEnded> {
        // Told to stop, the targets stop with us.
        token.run_until_cancelled(self.work()).await.unwrap_or(Ok(()))
    }

    async fn work(mut self) -> Result<(), TaskEnded> {
        // Unbounded, because every target is bounded by its own schedule and the collector never waits.
        let (reports, mut incoming) = mpsc::unbounded_channel();
        let mut collector = Collector {
            running: BTreeMap::new(),
            targets: TargetSet::default(),
            relevance: Relevance::default(),
            tasks: JoinSet::new(),
            reports,
        };
        self.reconcile(&mut collector);
        let mut beat_due = tokio::time::interval(LOOK);
        let mut lagged = false;
        loop {
            self.beat.now();
            tokio::select! {
                // Some target has a result.
                Some(report) = incoming.recv() => self.apply_results(&mut collector, report, &mut incoming),
                // There is something else to probe, or another way to.
                Ok(()) = self.inventory.changed() => self.reconcile(&mut collector),
                () = self.probes.changed() => if !self.inventory_lags() { self.reconcile(&mut collector) },
                // However little happens, it is time for a sign of life. Discovery that does not follow, because its
                // disk hangs, keeps no old probe and no old secret in use.
                _ = beat_due.tick() => {
                    let lags = self.inventory_lags();
                    if lags && lagged {
                        self.reconcile(&mut collector);
                    }
                    lagged = lags;
                }
                // A task ended: one that was cancelled, or a fault.
                Some(ended) = collector.tasks.join_next() => if ended.is_err() { return Err(TaskEnded) },
            }
        }
    }

    /// True while a name means another endpoint to the config than to the inventory, which is about to follow: an
    /// endpoint that only got an id goes on unhindered.
    fn inventory_lags(&self) -> bool {
        let (inventory, probes) = (self.inventory.borrow(), self.probes.seen());
        let mut configured = inventory.endpoints.iter().filter(|(_, e)| e.presence == Presence::Configured);
        configured.any(|(name, e)| probes.get(name).is_some_and(|probing| probing.identity != e.identity))
    }

    /// Stops what left, starts what came, leaves the rest alone.
    fn reconcile(&mut self, collector: &mut Collector<P>) {
        let wanted = TargetSet::from_inventory(&self.inventory.borrow_and_update(), self.probes.look());
        let grid = wanted.grid();
        let mut view = HealthView::clone(&self.view.borrow());
        collector.running.retain(|key, r| {
            let stays = wanted.targets.get(key).is_some_and(|spec| self.stays(r, spec, view.targets.get(key)));
            if !stays {
                r.token.cancel();
                view.targets.remove(key);
            }
            stays
        });
        for spec in wanted.targets.values() {
            if collector.running.contains_key(&spec.key) {
                continue;
            }
            let started = self.start_target(spec, grid, collector);
            collector.running.insert(spec.key.clone(), started);
            let unknown = |(check, _)| (check, CheckHealth::unknown(self.clock.now()));
            let health = TargetHealth { checks: spec.probe.checks().map(unknown).collect() };
            view.targets.insert(spec.key.clone(), Arc::new(health));
        }
        collector.targets = wanted;
        self.view.send_replace(Arc::new(view));
    }

    /// Whether a target can go on as it is. One that only has another secret goes on with that: nothing is forgotten of
    /// what is known of it, and it is asked at once. Unless that may just be what was wrong: then it begins anew, and
    /// the first success is enough.
    fn stays(&self, running: &mut Running<P>, spec: &TargetSpec, health: Option<&Arc<TargetHealth>>) -> bool {
        if *spec == running.spec {
            return true;
        }
        let down = |decided: bool| {
            let mut states = health.into_iter().flat_map(|health| health.checks.values()).map(|check| check.state);
            states.any(|state| matches!(state, CheckState::Down { decided: at } if at.is_some() == decided))
        };
        let undecided = down(false) && !down(true);
        let same = !undecided
            && spec.key == running.spec.key
            && spec.probe.with_secrets_of(&running.spec.probe) == *running.spec.probe;
        if same {
            running.spec = spec.clone();
            for (check, Handle { requests, prober }) in running.checks.iter() {
                prober.store(Arc::new((self.make)(spec, *check)));
                requests.ask_for_proof();
            }
        }
        same
    }

    fn start_target(&self, spec: &TargetSpec, grid: Duration, collector: &mut Collector<P>) -> Running<P> {
        let (tag, token) = (Arc::new(spec.clone()), CancellationToken::new());
        let mut start = |(check, schedule)| {
            let requests = Arc::new(ProbeRequests::default());
            let prober = Arc::new(ArcSwap::from_pointee((self.make)(spec, check)));
            let target = CheckTask {
                prober: prober.clone(),
                spec: tag.clone(),
                check,
                schedule,
                grid,
                clock: self.clock,
                seed: self.seed,
                requests: requests.clone(),
                reports: collector.reports.clone(),
            };
            collector.tasks.spawn(target.run(token.clone()));
            (check, Handle { requests, prober })
        };
        let checks = spec.probe.checks().map(&mut start).collect();
        Running { spec: spec.clone(), tag, checks, token }
    }

    /// Takes in all results that wait, in one go, so that no reader sees half. The view always has the latest of each
    /// target; its readers are woken only if a decision could depend on one.
    fn apply_results(
        &self,
        collector: &mut Collector<P>,
        first: CheckResult,
        incoming: &mut mpsc::UnboundedReceiver<CheckResult>,
    ) {
        self.view.send_if_modified(|view| {
            // A copy only while some reader holds the one before.
            let view = Arc::make_mut(view);
            let mut matters = false;
            let mut next = Some(first);
            while let Some(report) = next {
                matters |= self.apply_result(collector, view, report);
                next = incoming.try_recv().ok();
            }
            matters
        });
    }

    /// Takes one result in; true if a decision could depend on it. One of an older spec is dropped.
    fn apply_result(&self, collector: &mut Collector<P>, view: &mut HealthView, report: CheckResult) -> bool {
        let key = &report.spec.key;
        if !collector.running.get(key).is_some_and(|r| Arc::ptr_eq(&r.tag, &report.spec)) {
            return false;
        }
        let slow = slowness(collector, view, &report);
        let Some(known) = view.targets.get_mut(key).and_then(|h| Arc::make_mut(h).checks.get_mut(&report.check)) else {
            return false;
        };
        let is_slow = |slow: Option<Slowness>| slow.is_some_and(|slow| slow.until.is_none());
        let turned = is_slow(slow) != is_slow(known.slow);
        let matters = collector.relevance.changes_a_decision(report.check, known, &report.health) || turned;
        *known = CheckHealth { slow, ..report.health };
        if let Some(slow) = slow.filter(|_| turned) {
            self.announce_slowness(key, report.check, report.at, slow);
        }
        if report.lost {
            // What is down shows no loss that could be this host's.
            let is_heard = |state| !matches!(state, CheckState::Down { .. });
            for requests in siblings((collector, view), (key, report.check), is_heard) {
                requests.tell_of_sibling_loss();
            }
        }
        if let Some(signal) = report.signal {
            self.announce_signal((collector, view), &report.spec.key, report.check, (report.at, signal));
        }
        matters
    }

    fn announce_slowness(&self, key: &TargetKey, check: Check, at: Now, slow: Slowness) {
        let (target, Slowness { median, beside, until, .. }) = (key.clone(), slow);
        let kind = match until {
            None => EventKind::TargetSlow { target, check, median, beside },
            Some(_) => EventKind::TargetSlowOver { target, check },
        };
        self.events.tell(at, kind);
    }

    /// Nudges the siblings, and tells what happened.
    fn announce_signal(
        &self,
        (collector, view): (&Collector<P>, &HealthView),
        key: &TargetKey,
        check: Check,
        (at, signal): (Now, Signal),
    ) {
        let own = view.targets.get(key).and_then(|health| health.checks.get(&Check::Deep));
        if check == Check::Path
            && own.is_some_and(|deep| signal.calls_for_deep_check(deep.state))
            && let Some(handle) = collector.running.get(key).and_then(|r| r.checks.get(&Check::Deep))
        {
            handle.requests.ask_for_proof();
        }
        for requests in siblings((collector, view), (key, check), |state| signal.calls_for_sibling(state)) {
            requests.ask_for_proof();
        }
        let target = key.clone();
        let kind = match signal {
            Signal::EdgeBegan(failure) => EventKind::EdgeBegan { target, check, failure },
            Signal::WentDown(failure) => EventKind::TargetDown { target, check, failure },
            // Nothing that people are told: it is still down, or up as before.
            Signal::Answers => return,
            Signal::CameUp { recovered } => EventKind::TargetUp { target, check, recovered },
        };
        self.events.tell(at, kind);
    }
}

/// How the same check of those siblings is called for which it stands so.
fn siblings<'a, P>(
    (collector, view): (&'a Collector<P>, &'a HealthView),
    (key, check): (&'a TargetKey, Check),
    stands: impl Fn(CheckState) -> bool + 'a,
) -> impl Iterator<Item = &'a ProbeRequests> {
    let stands = move |key: &TargetKey| view.targets.get(key)?.checks.get(&check).map(|health| stands(health.state));
    let asked = collector.targets.siblings(key).filter(move |sibling| stands(sibling) == Some(true));
    asked.filter_map(move |sibling| Some(&*collector.running.get(sibling)?.checks.get(&check)?.requests))
}

/// Whether the check that a report is of is much slower than the same one of its siblings.
fn slowness<P>(collector: &Collector<P>, view: &HealthView, report: &CheckResult) -> Option<Slowness> {
    let health = |key: &TargetKey| view.targets.get(key)?.checks.get(&report.check);
    let (key, median) = (&report.spec.key, report.health.load.median);
    let before = health(key).and_then(|before| before.slow);
    // Nearly always no sibling's times need to be looked at.
    if before.is_none() && median.is_none_or(|median| median <= slow::NEVER_BELOW) {
        return None;
    }
    let up = |health: &&CheckHealth| matches!(health.state, CheckState::Up { .. });
    let siblings = collector.targets.siblings(key).filter_map(health).filter(up);
    slow::judge(before, median, siblings.filter_map(|health| health.load.median).min(), report.at.boottime)
}
