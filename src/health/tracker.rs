//! One check of one target: hysteresis, edges, and when to probe next.

use std::time::Duration;

use super::flaps::Flaps;
use super::load::Loads;
use super::loss::LossCounter;
use super::pace::{Pace, Sparing};
use super::result_history::{ResultHistory, Run};
use crate::model::{
    Boottime, Check, CheckHealth, CheckState, Failure, FailureReason, LastResult, Now, Observation, Returns, Schedule,
    Span,
};

mod rhythm;
mod signal;

pub use signal::Signal;

/// What a tracker goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Which question is put: each fails by what is of its own layer, and not every one is asked as often.
    pub check: Check,
    /// Rhythm and thresholds.
    pub schedule: Schedule,
    /// How long a recovered target stays on hold, at first.
    pub hold: Duration,
    /// What else its way back depends on; of the spread this host's own share.
    pub returns: Returns,
    /// Probes that may be unanswered at the same time: `fall` where probes may overlap, else 1.
    pub in_flight: u32,
}

/// What follows from a probe's begin or end.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// When to begin the next probe.
    pub next: Next,
    /// What changed, for the log and for the siblings.
    pub signal: Option<Signal>,
    /// The probe lost packets on a link that is not known for it. Siblings should be probed, and told: if they lose
    /// some, too, that is this host's fault.
    pub lost: bool,
}

/// When the next probe is to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// In the settled rhythm: the runner may jitter it.
    Regular(Duration),
    /// At an edge: exactly then.
    Edge(Duration),
    /// Not before some probe in flight is answered.
    OnAnswer,
}

/// Folds the observations of one check of one target.
#[derive(Debug, Clone)]
pub struct Tracker {
    rules: Rules,
    history: ResultHistory,
    loads: Loads,
    /// The latest results that are all alike.
    run: Run,
    /// The verdict as far as it does not follow from all of the others.
    health: CheckHealth,
    /// In units of 1/[`Self::LEAK`] failure: each failure adds a whole one, each success takes one unit away. Full at
    /// twice `fall`: catches a link that loses more than one probe in nine, and so never `fall` in a row.
    loss: u32,
    flaps: Flaps,
    /// It has been up since it was last decidedly down.
    was_up: bool,
    /// When the present run of successes was known to end the outage; absent while it does not.
    risen_at: Option<Boottime>,
    /// Of a path check on hold: from when on a probe has to begin whose success ends the hold.
    hold_ends: Option<Boottime>,
    /// Failures since the target went down, or since a probe was last called for.
    retries: u32,
    packets: LossCounter,
    /// Attempts in a row that this host forbade.
    forbidden_in_a_row: u32,
    /// When an attempt last ended by a fault of this host; absent once one that was begun since has succeeded.
    interrupted: Option<Boottime>,
    /// What passed before says nothing of the time until then: this host could not ask, or what it sent was lost.
    unbroken_since: Boottime,
    /// Decidedly down, and failing since by what no other zone mends: what fails from now on has to be decided anew.
    undecided: bool,
    /// Starts of the probes that have not ended.
    in_flight: Vec<Boottime>,
    last_begun: Boottime,
    pace: Pace,
    /// When `pace` was last set.
    pace_set_at: Boottime,
    /// Start of the latest-begun probe to which the other side said something.
    last_answered: Option<Boottime>,
    /// When a sibling last was in trouble, or the secret changed; absent before that.
    proof_wanted_since: Option<Boottime>,
    /// When the latest attempt was seen to have no connection; absent if it has one, or that can't be told.
    unconnected_since: Option<Boottime>,
}

impl Tracker {
    const LEAK: u32 = 8;

    /// A tracker that knows nothing yet.
    #[must_use]
    pub fn new(rules: Rules, now: Now) -> Self {
        Self {
            rules,
            history: ResultHistory::default(),
            loads: Loads::for_check(rules.check),
            run: Run::default(),
            health: CheckHealth::unknown(now),
            loss: 0,
            flaps: Flaps::new(rules.returns.damping),
            was_up: false,
            risen_at: None,
            hold_ends: None,
            retries: 0,
            packets: LossCounter::default(),
            forbidden_in_a_row: 0,
            interrupted: None,
            unbroken_since: Boottime::default(),
            undecided: false,
            in_flight: Vec::new(),
            last_begun: now.boottime,
            pace: Pace::Scheduled,
            pace_set_at: now.boottime,
            last_answered: None,
            proof_wanted_since: None,
            unconnected_since: None,
        }
    }

    /// True if a further probe may begin beside those in flight.
    #[must_use]
    pub fn may_begin(&self) -> bool {
        self.in_flight.len() < self.rules.in_flight as usize
    }

    /// How often probes may begin from now on, as the latest one has shown. Say so before its result is told.
    pub fn set_pace(&mut self, pace: Pace, now: Now) {
        (self.pace, self.pace_set_at) = (pace, now.boottime);
    }

    /// Whether the latest attempt has got a connection, if that can be told. Say so before its result is told.
    pub fn note_connection(&mut self, reached: Option<bool>, now: Now) {
        self.unconnected_since = (reached == Some(false)).then_some(now.boottime);
    }

    /// A sibling is in trouble, or there is another secret: a probe is called for. Returns how long it may be put off
    /// at random, so that a fleet does not come at one instant.
    pub fn call_for_proof(&mut self, now: Now) -> Duration {
        self.proof_wanted_since = Some(now.boottime);
        self.retries = 0;
        let own = if self.rules.check == Check::Deep { self.rules.returns.apart } else { Duration::ZERO };
        if let Pace::Sparing(Sparing { apart }) = self.pace { apart.max(own) } else { own }
    }

    /// A sibling has lost packets. Returns how long a probe that is called for by that is put off: they go at no faster
    /// pace than at an edge.
    pub fn sibling_lost(&mut self, now: Now) -> Duration {
        self.packets.note_sibling_loss(now.boottime);
        self.last_begun.after(self.rules.schedule.fast_interval).since(now.boottime)
    }

    /// How long a probe that is called for has to wait yet.
    #[must_use]
    pub fn wait_before_called_probe(&self, now: Now) -> Duration {
        match self.pace {
            Pace::Scheduled if self.rules.check == Check::Deep => {
                self.last_begun.after(self.rules.returns.apart).since(now.boottime)
            }
            Pace::Scheduled => Duration::ZERO,
            Pace::Sparing(Sparing { apart }) => {
                let fast = self.rules.schedule.fast_interval.max(apart);
                self.last_answered.map_or(Duration::ZERO, |at| at.after(fast).since(now.boottime))
            }
            Pace::Resting(rest) => self.pace_set_at.after(rest).since(now.boottime),
        }
    }

    /// A probe begins, `late` after it should have.
    pub fn begin(&mut self, now: Now, late: Duration) -> Next {
        self.in_flight.push(now.boottime);
        self.last_begun = now.boottime;
        self.health.shown.stats.late = late;
        self.next(now.boottime)
    }

    /// A probe ended.
    pub fn observe(&mut self, observation: &Observation, now: Now) -> Step {
        let lost = observation.retransmissions() > 0 && !self.is_down();
        let oldest = self.in_flight.iter().copied().filter(|began| *began != observation.started).min();
        match self.packets.observe(observation, oldest, now.boottime, self.rules.schedule.fall) {
            Some(failure) => Step { lost, ..self.fold_in(&Observation { outcome: Err(failure), ..*observation }, now) },
            None => Step { lost, ..self.fold_in(observation, now) },
        }
    }

    fn fold_in(&mut self, observation: &Observation, now: Now) -> Step {
        if let Some(i) = self.in_flight.iter().position(|s| *s == observation.started) {
            self.in_flight.swap_remove(i);
        }
        if observation.outcome.as_ref().err().is_none_or(|failure| failure.reason.is_an_answer()) {
            self.last_answered = self.last_answered.max(Some(observation.started));
        }
        self.health.shown.stats.count(&observation.outcome);
        self.health.shown.last = Some(LastResult { at: now, outcome: observation.outcome.clone() });
        let is_local_fault = self.is_local_fault(observation);
        if is_local_fault {
            self.interrupted = Some(observation.ended);
            self.risen_at = None;
        } else {
            self.history.insert(observation);
        }
        self.loads.observe(observation, now.boottime);
        let before = std::mem::replace(&mut self.run, self.history.present_run());
        let signal = match &observation.outcome {
            Ok(_) => {
                self.note_proof(observation);
                self.succeeded(now, before)
            }
            Err(f) => {
                self.health.shown.last_failure = Some((now, f.clone()));
                if is_local_fault { None } else { self.failed(f, observation.ended, now, before) }
            }
        };
        Step { next: self.next(now.boottime), signal, lost: false }
    }

    /// True for a fault of this host's own, which says nothing about the target; unless it has forbidden connections to
    /// this one address for `fall` attempts: that will not pass by itself, and only an address that may be connected to
    /// serves.
    fn is_local_fault(&mut self, observation: &Observation) -> bool {
        let local = observation.outcome.as_ref().err().filter(|failure| failure.reason == FailureReason::Local);
        self.forbidden_in_a_row = match local {
            Some(failure) if failure.forbidden => self.forbidden_in_a_row.saturating_add(1),
            Some(_) => self.forbidden_in_a_row,
            None => 0,
        };
        local.is_some_and(|failure| !failure.forbidden || self.forbidden_in_a_row < self.rules.schedule.fall)
    }

    /// The verdict as it stands.
    #[must_use]
    pub fn health(&self) -> CheckHealth {
        CheckHealth {
            failing_since: self.run.failing_since,
            successes_in_a_row: self.run.successes,
            successes: self.history.latest_successes().map(|run| self.unbroken(run)),
            moving: self.history.latest_moving().filter(|_| !self.undecided),
            decisive: self.history.first_of_latest_moving(self.rules.schedule.fall),
            on_the_way: self.run.on_the_way,
            never_reached: self.unconnected_since.filter(|_| self.health.state == CheckState::Unknown),
            overloaded: self.health.shown.failing().is_some_and(|failure| failure.reason == FailureReason::Overloaded),
            load: self.loads.load(),
            ..self.health.clone()
        }
    }

    /// What of a run of successes is known to have been one.
    fn unbroken(&self, run: Span) -> Span {
        Span { first: run.first.max(self.unbroken_since.min(run.last)), ..run }
    }

    /// A probe has succeeded.
    fn note_proof(&mut self, observation: &Observation) {
        let started = observation.started;
        if let Some(at) = self.interrupted.take_if(|at| *at <= started) {
            self.unbroken_since = self.unbroken_since.max(at);
        }
        if observation.retransmissions() > 0 {
            // Whatever has swallowed its packets may have swallowed those of the siblings' failures before it.
            self.unbroken_since = self.unbroken_since.max(started);
        }
        if self.proof_wanted_since.is_some_and(|called| started >= called)
            && self.health.proved < self.proof_wanted_since
        {
            self.health.proved = Some(started);
        }
    }

    fn succeeded(&mut self, now: Now, before: Run) -> Option<Signal> {
        let latest = self.history.latest_successes().map(|run| run.last);
        self.health.last_success_started = self.health.last_success_started.max(latest);
        self.loss = self.loss.saturating_sub(1);
        self.risen_at = self.risen_at.or(Some(now.boottime)).filter(|_| self.run.successes >= self.successes_to_rise());
        if self.hold_ends.take_if(|ends| latest >= Some(*ends)).is_some() {
            self.health.state = CheckState::Up { hold_until: None };
        }
        match self.health.state {
            CheckState::Unknown => {
                self.was_up = true;
                self.set_state(CheckState::Up { hold_until: None }, now);
                Some(Signal::CameUp { recovered: false })
            }
            CheckState::Down { .. } if self.risen_at.is_some() && !self.packets.is_losing() => {
                // From what moved no name there is no return.
                let stayed = std::mem::replace(&mut self.was_up, true);
                let hold = match stayed {
                    true => Duration::ZERO,
                    false => self.flaps.hold_after_return(self.rules.hold, now.boottime) + self.rules.returns.spread,
                };
                // How long it had to show that the link loses nothing any more, it has answered as in a hold.
                let earned = self.risen_at.map(|risen| risen.after(hold));
                let ends = earned.filter(|ends| *ends > now.boottime);
                let hold_until = ends.map(|ends| ends.after(self.time_to_prove_itself()));
                self.set_state(CheckState::Up { hold_until }, now);
                self.hold_ends = ends;
                // Half full: a link that still loses probes falls again soon.
                self.loss = Self::LEAK * self.rules.schedule.fall;
                self.health.shown.stats.transitions += 1;
                Some(Signal::CameUp { recovered: true })
            }
            CheckState::Up { .. } | CheckState::Down { .. } => {
                (before.successes == 0 && self.run.successes > 0).then_some(Signal::Answers)
            }
        }
    }

    fn failed(&mut self, failure: &Failure, ended: Boottime, now: Now, before: Run) -> Option<Signal> {
        let fall = self.rules.schedule.fall;
        self.risen_at = None;
        // A login that was met by its own layer says that the path, by which it was decided before, is no hindrance.
        let arrived = self.rules.check == Check::Deep && before.on_the_way && !self.run.on_the_way;
        let moved = self.run.moving >= fall;
        if let CheckState::Down { decided } = self.health.state {
            self.retries = self.retries.saturating_add(1);
            let open = decided.is_none() || self.undecided;
            self.undecided = decided.is_some() && (self.undecided || self.run.staying > 0) && !moved;
            return match decided {
                _ if open && moved => {
                    self.health.state = CheckState::Down { decided: Some(ended) };
                    self.count_departure(now);
                    Some(Signal::WentDown(failure.clone()))
                }
                // What it fails by now no other zone would mend: nothing is decided any more.
                Some(_) if self.run.staying >= fall || (arrived && self.run.staying > 0) => {
                    self.health.state = CheckState::Down { decided: None };
                    None
                }
                None | Some(_) => None,
            };
        }
        self.undecided = false;
        self.loss += Self::LEAK;
        let lossy = self.loss >= 2 * Self::LEAK * fall || self.packets.is_losing();
        if self.run.failures >= fall || lossy {
            let decided = (moved || (lossy && failure.reason.moves_a_name())).then_some(ended);
            self.health.shown.stats.transitions += u64::from(self.health.state.is_up());
            self.set_state(CheckState::Down { decided }, now);
            self.retries = 0;
            if decided.is_some() {
                self.count_departure(now);
            }
            return Some(Signal::WentDown(failure.clone()));
        }
        // A late failure from before the latest success is no edge.
        (before.failures == 0 && self.run.failures > 0).then(|| Signal::EdgeBegan(failure.clone()))
    }

    /// Successes in a row that end an outage. One login proves a database; more would only be more logins.
    fn successes_to_rise(&self) -> u32 {
        match self.rules.check {
            Check::Path => self.rules.schedule.rise,
            Check::Deep => 1,
        }
    }

    /// Decidedly down: a departure, if it was up before.
    fn count_departure(&mut self, now: Now) {
        if std::mem::take(&mut self.was_up) {
            self.flaps.note_departure(now.boottime);
        }
    }

    fn set_state(&mut self, state: CheckState, now: Now) {
        self.health.state = state;
        self.health.since = now;
        self.hold_ends = None;
    }

    /// Down, and the latest result was a success.
    fn is_rising(&self) -> bool {
        self.is_down() && self.run.successes > 0
    }

    fn is_down(&self) -> bool {
        self.health.state.is_down()
    }
}

#[cfg(test)]
mod tests;
