//! One check of one target at work on virtual time: what the agent's task for it does (`probe::check_task`), around the
//! same tracker.

use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use privatelinkd::health::{Next, Rules, Step, Tracker};
use privatelinkd::model::{
    Check, Failure, FailureReason, FileSecret, Observation, Overload, Returns, Schedule, TargetKey, TargetSpec, Timings,
};

use super::clock::{HostClock, after};
use super::history::{Ms, SECOND};
use super::vault::Vault;
use super::world::{AWAITED, Fate, World};

/// A packet that is not answered is sent again after so long, and then after twice as long (RFC 6298).
const AGAIN: Ms = SECOND;
/// A login takes so long.
const LOGIN: Ms = 20;

pub(super) struct CheckTask {
    pub(super) key: TargetKey,
    pub(super) check: Check,
    pub(super) tracker: Tracker,
    schedule: Schedule,
    grid: Duration,
    rng: Rng,
    due: Option<Due>,
    /// When a sibling's trouble calls for a probe, if it does.
    called: Option<Ms>,
    flights: Vec<Flight>,
    /// What it logs in with, and where it is known what became of that.
    login: Option<(FileSecret, Rc<Vault>)>,
}

#[derive(Debug, Clone, Copy)]
struct Due {
    at: Ms,
    regular: bool,
}

/// A probe under way.
#[derive(Debug, Clone, Copy)]
struct Flight {
    began: Ms,
    /// When something happens to it.
    next: Ms,
    /// When it has lasted for too long.
    deadline: Ms,
    sent: u32,
    /// The connection has been opened, and the login is what is awaited.
    is_open: bool,
    /// Somebody has answered to the packet that opens a connection.
    is_reached: bool,
    phase: Phase,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// It waits for an answer to a packet.
    Opening,
    /// The connection is open, and the login under way.
    LoggingIn,
    Over(Result<Ms, FailureReason>),
}

/// A probe that has ended.
pub(super) struct Landed {
    pub(super) began: Ms,
    pub(super) outcome: Result<(), FailureReason>,
    pub(super) resent: bool,
    pub(super) step: Step,
}

impl CheckTask {
    pub(super) fn new(
        spec: &TargetSpec,
        (check, schedule): (Check, Schedule),
        (grid, clock): (Duration, HostClock),
        (mut rng, now): (Rng, Ms),
    ) -> Self {
        let awaited = spec.probe.port == AWAITED || check == Check::Deep;
        let in_flight = if awaited { 1 } else { schedule.fall };
        let all = spec.probe.returns;
        let returns = Returns { spread: all.spread.mul_f64(rng.f64()), ..all };
        let tracker = Tracker::new(Rules { check, schedule, hold: spec.probe.hold, returns, in_flight }, clock.at(now));
        let first = after(now, schedule.fast_interval.mul_f64(rng.f64()));
        Self {
            key: spec.key.clone(),
            check,
            tracker,
            schedule,
            grid,
            rng,
            due: Some(Due { at: first, regular: false }),
            called: None,
            flights: Vec::new(),
            login: None,
        }
    }

    /// With this secret from now on.
    pub(super) fn log_in_with(&mut self, secret: FileSecret, vault: Rc<Vault>) {
        self.login = Some((secret, vault));
    }

    /// When something is to be done for it.
    pub(super) fn next(&self) -> Ms {
        let flights = self.flights.iter().map(|flight| flight.next);
        let may_begin = self.tracker.may_begin();
        let begins = self.due.map(|due| due.at).into_iter().chain(self.called).filter(|_| may_begin);
        flights.chain(begins).min().unwrap_or(Ms::MAX)
    }

    /// The host slept: its timers stood still, and what was sent meanwhile is lost.
    pub(super) fn sleep(&mut self, lasted: Ms) {
        let later = |at: Ms| at.saturating_add(lasted);
        if let Some(due) = &mut self.due {
            due.at = later(due.at);
        }
        self.called = self.called.map(later);
        for flight in &mut self.flights {
            flight.deadline = later(flight.deadline);
            flight.next = flight.deadline;
            flight.phase = Phase::Opening;
        }
    }

    /// A sibling is in trouble.
    pub(super) fn nudge(&mut self, clock: HostClock, now: Ms) {
        let put_off = self.tracker.call_for_proof(clock.at(now)).mul_f64(self.rng.f64());
        let at = after(now, put_off);
        self.called = Some(self.called.map_or(at, |earlier| earlier.min(at)));
    }

    /// A sibling has lost packets.
    pub(super) fn tell_of_loss(&mut self, clock: HostClock, now: Ms) {
        let at = after(now, self.tracker.sibling_lost(clock.at(now)));
        self.called = Some(self.called.map_or(at, |earlier| earlier.min(at)));
    }

    /// Takes the next probe that has ended by now.
    pub(super) fn land(&mut self, world: &mut World, clock: HostClock, now: Ms) -> Option<Landed> {
        loop {
            let n = self.flights.iter().position(|flight| flight.next <= now)?;
            let mut flight = self.flights.swap_remove(n);
            if let Phase::Over(outcome) = flight.phase {
                let overload = world.overload(self.key.address);
                return Some(self.landed(flight, (outcome, overload), (clock, now)));
            }
            flight = self.go_on(flight, world, now);
            self.flights.push(flight);
        }
    }

    fn go_on(&self, flight: Flight, world: &mut World, now: Ms) -> Flight {
        if now >= flight.deadline {
            return Flight { next: now, phase: Phase::Over(Err(FailureReason::Timeout)), ..flight };
        }
        if let Phase::LoggingIn = flight.phase {
            let outcome = match world.packet(self.key.address) {
                Fate::Lost => return Flight { next: flight.deadline, phase: Phase::LoggingIn, ..flight },
                Fate::Answered(_, Err(reason)) => Err(reason),
                Fate::Answered(..) => self.log_in(world, now),
            };
            return Flight { phase: Phase::Over(outcome.map(|()| now - flight.began)), ..flight };
        }
        match world.opens(self.key.address) {
            Fate::Lost => {
                let again = now + (AGAIN << flight.sent.min(10));
                Flight { next: again.min(flight.deadline), sent: flight.sent + 1, ..flight }
            }
            Fate::Answered(takes, _) if now + takes > flight.deadline => {
                Flight { next: flight.deadline, is_reached: true, ..flight }
            }
            Fate::Answered(takes, Ok(())) if self.check == Check::Deep => {
                Flight { next: now + takes + LOGIN, is_open: true, is_reached: true, phase: Phase::LoggingIn, ..flight }
            }
            Fate::Answered(takes, outcome) => {
                let at = now + takes;
                Flight { next: at, phase: Phase::Over(outcome.map(|()| at - flight.began)), ..flight }
            }
        }
    }

    fn log_in(&self, world: &mut World, now: Ms) -> Result<(), FailureReason> {
        let address = self.key.address;
        match &self.login {
            None => world.login(address, None),
            Some((secret, vault)) => vault.send(secret, now, || world.login(address, Some(secret.secret.expose()))),
        }
    }

    fn landed(
        &mut self,
        flight: Flight,
        (outcome, overload): (Result<Ms, FailureReason>, Overload),
        (clock, now): (HostClock, Ms),
    ) -> Landed {
        let deadline = self.schedule.timeout;
        // As the agent does: a timeout that is noticed too late says that this host stood still.
        let slept = now - flight.began > 2 * after(0, deadline) + SECOND;
        let outcome =
            outcome.map_err(|why| if why == FailureReason::Timeout && slept { FailureReason::Local } else { why });
        // A link is judged by the path check alone.
        let seen = u32::from(self.check == Check::Path);
        let observed = match outcome {
            Ok(took) => {
                let total = Duration::from_millis(took);
                Ok(Timings { total, retransmissions: flight.sent * seen, ..Timings::default() })
            }
            Err(reason) if flight.is_open => Err(Failure::new(reason, "x").with_overload(overload)),
            // The packet that was sent first is none that was sent again.
            Err(reason) => {
                let again = flight.sent.saturating_sub(1) * seen;
                Err(Failure::new(reason, "x").met_on_the_way().with_retransmissions(again))
            }
        };
        let (started, at) = (clock.at(flight.began).boottime, clock.at(now));
        self.tracker.note_connection(Some(flight.is_reached || outcome.is_ok()), at);
        let observation = Observation { started, ended: at.boottime, outcome: observed };
        let resent = observation.retransmissions() > 0;
        let step = self.tracker.observe(&observation, at);
        self.due = self.appointment(step.next, clock, now);
        Landed { began: flight.began, outcome: outcome.map(|_| ()), resent, step }
    }

    /// Begins a probe if one is due or called for; true if it did.
    pub(super) fn set_out(&mut self, clock: HostClock, now: Ms) -> bool {
        let is_due = self.due.is_some_and(|due| due.at <= now);
        let is_called = self.is_called(clock, now);
        if !(is_due || is_called) || !self.tracker.may_begin() {
            if is_due {
                self.due = None;
            }
            return false;
        }
        let late = self.due.filter(|due| is_due && due.regular).map_or(0, |due| now - due.at);
        let next = self.tracker.begin(clock.at(now), Duration::from_millis(late));
        let deadline = after(now, self.schedule.timeout);
        // A secret that was refused is not sent again, and nobody is dialled for it.
        let refused = self.login.as_ref().and_then(|(secret, vault)| vault.allows(secret, now).err());
        let phase = refused.map_or(Phase::Opening, |reason| Phase::Over(Err(reason)));
        let is_open = refused.is_some();
        self.flights.push(Flight { began: now, next: now, deadline, sent: 0, is_open, is_reached: false, phase });
        self.called = None;
        self.due = self.appointment(next, clock, now);
        true
    }

    fn is_called(&mut self, clock: HostClock, now: Ms) -> bool {
        if self.called.is_none_or(|at| at > now) {
            return false;
        }
        let wait = self.tracker.wait_before_called_probe(clock.at(now));
        self.called = Some(after(now, wait));
        wait.is_zero()
    }

    fn appointment(&mut self, next: Next, clock: HostClock, now: Ms) -> Option<Due> {
        match next {
            Next::Regular(wait) => {
                let boottime = clock.at(now).boottime;
                let at = boottime.after(wait.mul_f64(0.9 + 0.2 * self.rng.f64())).0.as_nanos();
                let grid = self.grid.min(self.schedule.interval / 10).as_nanos().max(1);
                let at = (at + grid / 2) / grid * grid;
                let wait = Duration::from_nanos(u64::try_from(at).unwrap_or(u64::MAX)).saturating_sub(boottime.0);
                Some(Due { at: after(now, wait), regular: true })
            }
            Next::Edge(wait) => Some(Due { at: after(now, wait), regular: false }),
            Next::OnAnswer => None,
        }
    }
}
