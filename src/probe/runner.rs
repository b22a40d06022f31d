//! Keeps one task a target, and collects what they find into one [`HealthView`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::target::{Report, Target};
use super::{Prober, Work};
use crate::health::Signal;
use crate::model::{
    Check, CheckHealth, EndpointName, Event, EventKind, HealthView, Inventory, ProbeSpec, TargetHealth, TargetKey,
    TargetSpec,
};
use crate::sys::clock::Clock;
use crate::sys::heartbeat::Beat;

/// However little happens, the collector shows life this often.
const LOOK: Duration = Duration::from_secs(10);

/// How each endpoint is probed. An endpoint that is missing here is not.
pub type Probes = BTreeMap<EndpointName, Arc<ProbeSpec>>;

/// A target's task ended although nobody told it to.
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
    /// What there is.
    pub inventory: watch::Receiver<Arc<Inventory>>,
    /// How to probe it.
    pub probes: watch::Receiver<Arc<Probes>>,
    /// What was found.
    pub view: watch::Sender<Arc<HealthView>>,
    /// What happened.
    pub events: mpsc::UnboundedSender<Event>,
}

/// A target at work, by a task for each of its checks.
struct Running {
    spec: Arc<TargetSpec>,
    nudges: BTreeMap<Check, Arc<Notify>>,
    token: CancellationToken,
}

/// The collector's state.
struct Collector {
    running: BTreeMap<TargetKey, Running>,
    work: Work,
    view: HealthView,
    tasks: JoinSet<()>,
    reports: mpsc::UnboundedSender<Report>,
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
    pub async fn run(mut self, token: CancellationToken) -> Result<(), TaskEnded> {
        // Unbounded, because every target is bounded by its own schedule and the collector never waits.
        let (reports, mut incoming) = mpsc::unbounded_channel();
        let mut collector = Collector {
            running: BTreeMap::new(),
            work: Work::default(),
            view: HealthView::default(),
            tasks: JoinSet::new(),
            reports,
        };
        self.reconcile(&mut collector);
        loop {
            self.beat.now();
            tokio::select! {
                // Told to stop: the targets stop with us.
                () = token.cancelled() => return Ok(()),
                // Some target has a result. All that wait are taken before the view is published, so nobody sees half.
                Some(report) = incoming.recv() => {
                    self.take(&mut collector, report);
                    while let Ok(report) = incoming.try_recv() {
                        self.take(&mut collector, report);
                    }
                    self.view.send_replace(Arc::new(collector.view.clone()));
                }
                // There is something else to probe, or another way to.
                Ok(()) = self.inventory.changed() => self.reconcile(&mut collector),
                Ok(()) = self.probes.changed() => self.reconcile(&mut collector),
                // However little happens, it is time for a sign of life.
                () = tokio::time::sleep(LOOK) => {}
                // A task ended: one that was cancelled, or a fault.
                Some(ended) = collector.tasks.join_next() => if ended.is_err() { return Err(TaskEnded) },
            }
        }
    }

    /// Stops what left, starts what came, leaves the rest alone.
    fn reconcile(&mut self, collector: &mut Collector) {
        let work = Work::of(&self.inventory.borrow_and_update(), &self.probes.borrow_and_update());
        let Collector { running, view, .. } = collector;
        running.retain(|key, r| {
            let stays = work.targets.get(key).is_some_and(|spec| *spec == *r.spec);
            if !stays {
                r.token.cancel();
                view.targets.remove(key);
            }
            stays
        });
        for spec in work.targets.values() {
            if collector.running.contains_key(&spec.key) {
                continue;
            }
            let started = self.start(spec, collector);
            collector.running.insert(spec.key.clone(), started);
            let unknown = |(check, _)| (check, CheckHealth::unknown(self.clock.now()));
            let health = TargetHealth { checks: spec.probe.checks().map(unknown).collect() };
            collector.view.targets.insert(spec.key.clone(), Arc::new(health));
        }
        collector.work = work;
        self.view.send_replace(Arc::new(collector.view.clone()));
    }

    fn start(&self, spec: &TargetSpec, collector: &mut Collector) -> Running {
        let (spec, token) = (Arc::new(spec.clone()), CancellationToken::new());
        let mut start = |(check, schedule)| {
            let nudge = Arc::new(Notify::new());
            let target = Target {
                prober: Arc::new((self.make)(&spec, check)),
                spec: spec.clone(),
                check,
                schedule,
                clock: self.clock,
                seed: self.seed,
                nudge: nudge.clone(),
                reports: collector.reports.clone(),
            };
            collector.tasks.spawn(target.run(token.clone()));
            (check, nudge)
        };
        let nudges = spec.probe.checks().map(&mut start).collect();
        Running { spec, nudges, token }
    }

    /// Takes one result in. One of an older spec is dropped.
    fn take(&self, collector: &mut Collector, report: Report) {
        let key = &report.spec.key;
        if !collector.running.get(key).is_some_and(|r| Arc::ptr_eq(&r.spec, &report.spec)) {
            return;
        }
        let health = collector.view.targets.entry(key.clone()).or_default();
        Arc::make_mut(health).checks.insert(report.check, report.health);
        let Some(signal) = report.signal else { return };
        if signal.concerns_siblings() {
            for sibling in collector.work.siblings.get(key).into_iter().flatten() {
                if let Some(nudge) = collector.running.get(sibling).and_then(|r| r.nudges.get(&report.check)) {
                    nudge.notify_one();
                }
            }
        }
        let (target, check) = (key.clone(), report.check);
        let kind = match signal {
            Signal::EdgeBegan(failure) => EventKind::EdgeBegan { target, check, failure },
            Signal::WentDown(failure) => EventKind::TargetDown { target, check, failure },
            // Nothing that people are told: it is still down.
            Signal::Answers => return,
            Signal::CameUp { recovered } => EventKind::TargetUp { target, check, recovered },
        };
        // Without a listener there is nobody to tell.
        let _ = self.events.send(Event { at: report.at, kind });
    }
}
