//! The task of one check of one target: begins probes when the tracker says so, and hands every result to it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::prober::{Overlap, Prober};
use crate::health::{Next, Rules, Signal, Tracker};
use crate::model::{
    Boottime, Check, CheckHealth, Failure, FailureReason, Now, Observation, Returns, Schedule, TargetSpec, Timings,
};
use crate::sys::clock::Clock;

/// A timer may be this late without this host having stood still.
const STALL: Duration = Duration::from_secs(1);

/// What a target's task tells the collector after each result.
#[derive(Debug)]
pub(super) struct CheckResult {
    pub(super) spec: Arc<TargetSpec>,
    pub(super) check: Check,
    pub(super) health: CheckHealth,
    pub(super) signal: Option<Signal>,
    /// Siblings are to be told that packets were lost.
    pub(super) lost: bool,
    pub(super) at: Now,
}

/// How a target's task is called from outside.
#[derive(Debug, Default)]
pub(super) struct ProbeRequests {
    wake: Notify,
    proof_wanted: AtomicBool,
    sibling_lost: AtomicBool,
}

impl ProbeRequests {
    /// A probe is wanted now.
    pub(super) fn ask_for_proof(&self) {
        self.proof_wanted.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// A sibling has lost packets. A probe is wanted soon, which will tell whether they are lost here as well.
    pub(super) fn tell_of_sibling_loss(&self) {
        self.sibling_lost.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Whether a sibling has lost packets, and whether a probe is wanted for another reason.
    fn take_requests(&self) -> (bool, bool) {
        (self.sibling_lost.swap(false, Ordering::AcqRel), self.proof_wanted.swap(false, Ordering::AcqRel))
    }
}

pub(super) struct CheckTask<P> {
    pub(super) spec: Arc<TargetSpec>,
    pub(super) check: Check,
    /// The rhythm of this check.
    pub(super) schedule: Schedule,
    /// Between two instants at which checks of this host begin ([`super::TargetSet::grid`]).
    pub(super) grid: Duration,
    /// The prober of the next attempt: another one may take its place.
    pub(super) prober: Arc<ArcSwap<P>>,
    pub(super) clock: Clock,
    /// Of this host: gives each (host, target, check) a phase of its own.
    pub(super) seed: u64,
    pub(super) requests: Arc<ProbeRequests>,
    pub(super) reports: mpsc::UnboundedSender<CheckResult>,
}

/// When the next probe is due, and whether that was an ordinary appointment.
#[derive(Clone, Copy)]
struct Due {
    at: Instant,
    regular: bool,
}

impl<P: Prober> CheckTask<P> {
    /// Runs until cancelled. Dropping it drops the probes in flight.
    #[expect(clippy::manual_async_fn, reason = "which would have room for what it is called with twice")]
    pub(super) fn run(self, token: CancellationToken) -> impl Future<Output = ()> {
        async move {
            // Not `run_until_cancelled`, which has room for the work twice.
            tokio::select! {
                biased;
                () = token.cancelled() => {}
                () = self.work() => {}
            }
        }
    }

    async fn work(&self) {
        let mut rng = fastrand::Rng::with_seed(self.phase_seed());
        let mut tracker = Tracker::new(self.rules(&mut rng), self.clock.now());
        let mut probes = JoinSet::new();
        let first = self.schedule.fast_interval.mul_f64(rng.f64());
        let mut due = Some(Due { at: Instant::now() + first, regular: false });
        // When a sibling's trouble calls for a probe, if it does.
        let mut called: Option<Instant> = None;
        // Kept, since most turns of the loop leave it as it is.
        let alarm = tokio::time::sleep(first);
        let (first_look, mut has_looked) = (tokio::time::sleep(first + self.schedule.fast_interval), false);
        tokio::pin!(alarm, first_look);
        loop {
            let alarmed = due.map(|due| due.at).into_iter().chain(called).min();
            if let Some(at) = alarmed.filter(|at| *at != alarm.deadline()) {
                alarm.as_mut().reset(at);
            }
            let next = tokio::select! {
                biased;
                // A probe ended.
                Some(ended) = probes.join_next() => {
                    // A probe that panicked is a fault of the agent, not of the target.
                    let observation = ended.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()));
                    Some(self.take_result(&mut tracker, &observation))
                }
                // A sibling is in trouble, or there is another secret.
                () = self.requests.wake.notified() => {
                    called = called.into_iter().chain(self.handle_request(&mut tracker, &mut rng)).min();
                    None
                }
                // The first attempt has had its time to get a connection.
                () = &mut first_look, if !has_looked => {
                    has_looked = true;
                    self.check_first_connection(&mut tracker);
                    None
                }
                // The next probe is due.
                () = &mut alarm, if alarmed.is_some() && tracker.may_begin() => None,
            };
            if let Some(next) = next {
                due = self.appointment(next, &mut rng);
            }
            let is_due = due.is_some_and(|d| d.at <= Instant::now());
            let requested_probe_is_due = self.requested_probe_is_due(&mut called, &tracker);
            if (is_due || requested_probe_is_due) && tracker.may_begin() {
                let late = due.filter(|d| is_due && d.regular).map_or(Duration::ZERO, |d| d.at.elapsed());
                let now = self.clock.now();
                let next = tracker.begin(now, late);
                self.begin_probe(&mut probes, now);
                called = None;
                due = self.appointment(next, &mut rng);
            } else if is_due {
                due = None;
            }
        }
    }

    /// Whether a probe that was called for may begin now; it is put off if not yet.
    fn requested_probe_is_due(&self, called: &mut Option<Instant>, tracker: &Tracker) -> bool {
        let now = Instant::now();
        if called.is_none_or(|at| at > now) {
            return false;
        }
        let wait = tracker.wait_before_called_probe(self.clock.now());
        *called = Some(now + wait);
        wait.is_zero()
    }

    fn begin_probe(&self, probes: &mut JoinSet<Observation>, started: Now) {
        let (prober, clock, deadline, check) = (self.prober.load_full(), self.clock, self.schedule.timeout, self.check);
        probes.spawn(async move {
            // The prober keeps the deadline; this is for one that doesn't.
            let outcome = tokio::time::timeout(deadline * 2, prober.probe(deadline)).await.unwrap_or_else(|_| {
                let detail = format_args!("no result after twice the {deadline:?} allowed");
                Err(Failure::new(FailureReason::Timeout, detail))
            });
            let ended = clock.now().boottime;
            let outcome = local_if_stalled(outcome, ended.since(started.boottime), deadline);
            let outcome = if check == Check::Deep { without_retransmissions(outcome) } else { outcome };
            Observation { started: started.boottime, ended, outcome }
        });
    }

    fn take_result(&self, tracker: &mut Tracker, observation: &Observation) -> Next {
        let at = self.clock.now();
        let prober = self.prober.load_full();
        tracker.set_pace(prober.pace(), at);
        tracker.note_connection(prober.is_reached(), at);
        let step = tracker.observe(observation, at);
        self.report(tracker, step.signal, step.lost, at);
        step.next
    }

    /// The first attempt has gone on for `fast_interval`.
    fn check_first_connection(&self, tracker: &mut Tracker) {
        let now = self.clock.now();
        tracker.note_connection(self.prober.load_full().is_reached(), now);
        if tracker.health().never_reached.is_some() {
            self.report(tracker, None, false, now);
        }
    }

    fn report(&self, tracker: &Tracker, signal: Option<Signal>, lost: bool, at: Now) {
        let prober = self.prober.load_full();
        let mut health = tracker.health();
        (health.shown.certificate, health.shown.remark) = (prober.certificate(), prober.remark());
        // The collector outlives its targets; if it is gone, so are we, soon.
        let _ = self.reports.send(CheckResult { spec: self.spec.clone(), check: self.check, health, signal, lost, at });
    }

    /// A sibling is in trouble, or there is another secret: when the target has to prove itself.
    fn handle_request(&self, tracker: &mut Tracker, rng: &mut fastrand::Rng) -> Option<Instant> {
        let now = self.clock.now();
        let (lost, prove) = self.requests.take_requests();
        // What the prober before found out may not hold for this one.
        tracker.set_pace(self.prober.load_full().pace(), now);
        // Two that lose packets must not call each other without a pause.
        let lost = lost.then(|| tracker.sibling_lost(now));
        let wait = if prove { Some(tracker.call_for_proof(now).mul_f64(rng.f64())) } else { lost };
        wait.map(|wait| Instant::now() + wait)
    }

    fn rules(&self, rng: &mut fastrand::Rng) -> Rules {
        let in_flight = match self.prober.load_full().overlap() {
            Overlap::Hedged => self.schedule.fall,
            Overlap::OneAwaited => 1,
        };
        // Not every host of a fleet returns to a recovered zone in the same instant.
        let all = self.spec.probe.returns;
        let returns = Returns { spread: all.spread.mul_f64(rng.f64()), ..all };
        Rules { check: self.check, schedule: self.schedule, hold: self.spec.probe.hold, returns, in_flight }
    }

    /// Regular appointments are jittered by a tenth to either side, so that no two checkers stay in step.
    fn appointment(&self, next: Next, rng: &mut fastrand::Rng) -> Option<Due> {
        let now = Instant::now();
        match next {
            Next::Regular(wait) => {
                let boottime = self.clock.now().boottime;
                let at = boottime.after(wait.mul_f64(0.9 + 0.2 * rng.f64()));
                let at = rounded_to_grid(at, self.grid, self.schedule.interval);
                Some(Due { at: now + at.since(boottime), regular: true })
            }
            Next::Edge(wait) => Some(Due { at: now + wait, regular: false }),
            Next::OnAnswer => None,
        }
    }

    fn phase_seed(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.seed, &self.spec.key, self.check).hash(&mut hasher);
        hasher.finish()
    }
}

/// A timeout that is noticed long after its time says that this host stood still (a suspended or migrated machine, no
/// CPU to be had), not that the target is silent.
fn local_if_stalled(outcome: Result<Timings, Failure>, took: Duration, deadline: Duration) -> Result<Timings, Failure> {
    match outcome {
        Err(f) if f.reason == FailureReason::Timeout && took > deadline * 2 + STALL => {
            Err(Failure::new(FailureReason::Local, format_args!("this host stood still: {took:?} for {deadline:?}")))
        }
        other => other,
    }
}

/// A link is judged by the path check alone: logins don't go at a faster pace for it.
fn without_retransmissions(outcome: Result<Timings, Failure>) -> Result<Timings, Failure> {
    match outcome {
        Ok(timings) => Ok(Timings { retransmissions: 0, tail_loss_probe: false, ..timings }),
        Err(failure) => Err(failure.with_retransmissions(0)),
    }
}

/// Rounds to a grid that is counted from the boot of each host, and so brings no two hosts into step. Never coarser
/// than a tenth of the interval: nothing would be left of the jitter.
fn rounded_to_grid(at: Boottime, grid: Duration, interval: Duration) -> Boottime {
    let grid = grid.min(interval / 10).as_nanos().max(1);
    let at = (at.0.as_nanos() + grid / 2) / grid * grid;
    Boottime(Duration::from_nanos(u64::try_from(at).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_long_after_its_time_is_our_own_fault() {
        let timeout = || Err(Failure::new(FailureReason::Timeout, "x"));
        let (deadline, second) = (Duration::from_secs(2), Duration::from_secs(1));
        let reason = |took| local_if_stalled(timeout(), took, deadline).unwrap_err().reason;
        assert_eq!(reason(deadline + second), FailureReason::Timeout);
        assert_eq!(reason(deadline * 20), FailureReason::Local);
        assert!(local_if_stalled(Ok(Timings::default()), deadline * 20, deadline).is_ok());
    }

    #[test]
    fn appointments_meet_on_a_grid() {
        let ms = Duration::from_millis;
        for (interval, table) in [
            // The grid of the host.
            (60_000, [(0, 0), (249, 0), (250, 500), (749, 500), (123_456, 123_500)]),
            (5_000, [(0, 0), (249, 0), (250, 500), (749, 500), (123_456, 123_500)]),
            // A tenth of the interval.
            (1_000, [(0, 0), (49, 0), (50, 100), (149, 100), (123_456, 123_500)]),
            (0, [(0, 0), (1, 1), (49, 49), (50, 50), (123_456, 123_456)]),
        ] {
            for (at, expected) in table {
                let found = rounded_to_grid(Boottime(ms(at)), ms(500), ms(interval));
                assert_eq!(found, Boottime(ms(expected)), "{at} ms, every {interval} ms");
            }
        }
    }
}
