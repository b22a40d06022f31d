//! Plays a history out.

use privatelinkd::model::Plan;

use super::history::{Event, History, Ms, SECOND};
use super::host::{Broken, Host, Workshop};
use super::oracle::{Oracle, Promise, Violation, told};
use super::world::World;

/// After the last event everything has come to rest within so long.
const REST: Ms = 900 * SECOND;

/// So many wake-ups at one instant are a busy loop.
const STUCK: u32 = 200;

/// How it went.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) steps: u64,
    pub(super) violation: Option<Violation>,
    /// What happened, where somebody wants to read it.
    pub(super) trace: Vec<String>,
}

struct Play<'w> {
    world: World,
    host: Host,
    workshop: &'w mut Workshop,
    oracle: Oracle,
    traced: bool,
    outcome: Outcome,
}

/// Plays it out up to the first violation.
pub(super) fn play(history: &History, workshop: &mut Workshop, traced: bool) -> Result<Outcome, Broken> {
    let world = World::new(history.setup.clone(), history.seed);
    let host = Host::new(workshop, &world, history.seed)?;
    let oracle = Oracle::new(&world);
    let mut play = Play { world, host, workshop, oracle, traced, outcome: Outcome::default() };
    for (at, event) in &history.events {
        play.run_until(*at, false);
        if play.outcome.violation.is_some() {
            break;
        }
        play.happens(*event)?;
    }
    if play.outcome.violation.is_none() {
        let end = play.host.now + REST;
        play.run_until(end, true);
        play.end();
    }
    play.outcome.steps = play.host.steps;
    Ok(play.outcome)
}

impl Play<'_> {
    fn happens(&mut self, event: Event) -> Result<(), Broken> {
        let now = self.host.now;
        self.world.suffer(event, now);
        self.host.suffer(event, &self.world, self.workshop)?;
        let now = self.host.now;
        self.note(|| format!("{event:?}"));
        self.oracle.suffered(event, &self.world, now);
        Ok(())
    }

    /// Lets time pass; `resting`: no longer than until everything has come to rest.
    fn run_until(&mut self, end: Ms, resting: bool) {
        let mut here = (self.host.now, 0);
        loop {
            let next = self.host.next();
            if next > end {
                self.host.now = end.max(self.host.now);
                return;
            }
            let moment = self.host.moment(next, &mut self.world);
            let now = self.host.now;
            here = if here.0 == now { (now, here.1 + 1) } else { (now, 0) };
            for pass in &moment.passes {
                self.oracle.passed(pass, &self.world, now);
            }
            for seen in &moment.seen {
                self.oracle.saw(seen, now);
                self.note(|| format!("  {} {} began {} {:?}", seen.key, seen.check, seen.began, seen.outcome));
            }
            let judged = moment.decided.as_ref().and_then(|(before, plan)| {
                self.tell(before.as_ref(), plan);
                self.oracle.decided((before.as_ref(), plan), &self.world, now)
            });
            let stuck = (here.1 > STUCK).then(|| "a busy loop: time stands still".to_owned());
            let fault = moment.fault.or(stuck).map(|text| Violation { promise: Promise::Machinery, at: now, text });
            self.outcome.violation = judged.or(fault);
            if self.outcome.violation.is_some() || (resting && self.oracle.is_at_rest(&self.world, now)) {
                return;
            }
        }
    }

    fn end(&mut self) {
        let Some(plan) = self.host.plan.as_ref().filter(|_| self.outcome.violation.is_none()) else { return };
        let now = self.host.now;
        self.outcome.violation = self.oracle.unsettled(plan, &self.world, now);
        let shows = |name: &str| self.host.writing.finds(name);
        let odd = plan.answers.iter().find(|(name, a)| {
            let shown = shows(name.as_str());
            !a.addresses.iter().all(|address| shown.contains(address))
        });
        if let (None, Some((name, answer))) = (&self.outcome.violation, odd) {
            let text = format!("the hosts file has {:?} for {name}: {}", shows(name.as_str()), told(answer));
            self.outcome.violation = Some(Violation { promise: Promise::Machinery, at: now, text });
        }
    }

    fn tell(&mut self, before: Option<&Plan>, plan: &Plan) {
        if before == Some(plan) {
            return;
        }
        for (name, answer) in &plan.answers {
            if before.and_then(|p| p.answers.get(name)) != Some(answer) {
                self.note(|| format!("{name}: {}", told(answer)));
            }
        }
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        if self.traced {
            let now = self.host.now;
            self.outcome.trace.push(format!("{:>5}.{:03} {}", now / SECOND, now % SECOND, what()));
        }
    }
}
