//! Judges what a host published against what was true and what its probes had seen. It shares no code with the rules:
//! it knows the world, which they do not, and says only what they promise.

mod log;
mod moves;
mod reasons;
mod truth;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use privatelinkd::model::{Answer, Check, Plan};

use self::log::Log;
use self::truth::{State, Truth};
use super::finding::Pass;
use super::history::{Event, Kind, Ms, SECOND, Spot};
use super::probing::Seen;
use super::world::World;

/// Which promise was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Promise {
    NeverEmpty,
    Evidence,
    SoonGone,
    SoonBack,
    EarnedReturn,
    ProvenFirst,
    NeedlessMove,
    OrderIsNoChange,
    TrueReason,
    Converges,
    Machinery,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NeverEmpty => "never empty",
            Self::Evidence => "no departure without younger evidence",
            Self::SoonGone => "bounded departure",
            Self::SoonBack => "bounded return",
            Self::EarnedReturn => "a return is earned",
            Self::ProvenFirst => "nobody joins unproven",
            Self::NeedlessMove => "no needless move",
            Self::OrderIsNoChange => "order is no change",
            Self::TrueReason => "reasons are true",
            Self::Converges => "convergence",
            Self::Machinery => "wake-ups, equal inputs, the hosts file",
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) promise: Promise,
    pub(super) at: Ms,
    pub(super) text: String,
}

/// What is remembered of a name.
#[derive(Debug, Default)]
struct Watch {
    /// The addresses that were right when all was quiet, and stay so until something happens to one of them.
    stable: Option<BTreeSet<IpAddr>>,
    stable_since: Ms,
    /// Addresses that left as dead, and when each did so last.
    left: BTreeMap<IpAddr, Ms>,
    departures: Vec<Ms>,
}

pub(super) struct Oracle {
    truth: Truth,
    log: Log,
    names: BTreeMap<String, Watch>,
    last_event: Ms,
    /// When the host was cut off: each is a departure of whatever it could not reach.
    cuts: Vec<Ms>,
    decisions: (Ms, u32),
    /// What the processes knew was lost since the start.
    restarted: Option<Ms>,
    /// Who died alone, while all was well and had been for long.
    died_alone: Option<(Spot, Ms)>,
}

/// One name at one moment.
struct Case<'a> {
    name: &'a str,
    claims: &'a BTreeSet<Spot>,
    world: &'a World,
    now: Ms,
}

impl Case<'_> {
    fn pinned(&self) -> bool {
        self.name.starts_with("z0.")
    }

    fn addresses(&self) -> impl Iterator<Item = (Spot, IpAddr)> {
        self.claims.iter().filter_map(|spot| Some((*spot, self.world.address(*spot)?)))
    }
}

impl Oracle {
    pub(super) fn new(world: &World) -> Self {
        Self {
            truth: Truth::new(world),
            log: Log::default(),
            names: BTreeMap::new(),
            last_event: 0,
            cuts: Vec::new(),
            decisions: (0, 0),
            restarted: None,
            died_alone: None,
        }
    }

    pub(super) fn suffered(&mut self, event: Event, world: &World, now: Ms) {
        // What fails by a cut that follows at once upon the end of another may have been seen to work in between.
        let in_between = matches!(event, Event::Cut(_)) && now.saturating_sub(self.last_event) < SECOND;
        self.died_alone = self.dies_alone(event, world, now);
        self.last_event = now;
        if let Event::Cut(_) | Event::NoSockets = event {
            self.cuts.push(now);
        }
        let before = self.truth.with_dead_logins();
        self.truth.suffer(event, world, now);
        // Whose login fails by now by what no other address mends is decided no more: it comes back.
        let undecided: BTreeSet<_> = before.difference(&self.truth.with_dead_logins()).copied().collect();
        match event {
            Event::Restart | Event::Reboot => {
                self.log.forget(None);
                self.restarted = Some(now);
                self.names.values_mut().for_each(|watch| watch.left.clear());
            }
            Event::Remove(endpoint, true) => self.log.forget(Some(endpoint)),
            _ => {}
        }
        for (name, watch) in &mut self.names {
            if in_between || !leaves_alone(event, name, world) || !Truth::claims(name, world).is_disjoint(&undecided) {
                watch.stable = None;
            }
        }
    }

    pub(super) fn saw(&mut self, seen: &Seen, now: Ms) {
        self.log.note(seen, now);
    }

    pub(super) fn passed(&mut self, pass: &Pass, world: &World, now: Ms) {
        self.truth.passed(pass, world, now);
    }

    /// A decision was made.
    pub(super) fn decided(
        &mut self,
        (before, plan): (Option<&Plan>, &Plan),
        world: &World,
        now: Ms,
    ) -> Option<Violation> {
        let fault = self.count(now);
        let of = |p: &Plan| p.answers.keys().map(|name| name.as_str().to_owned()).collect::<BTreeSet<_>>();
        let mut names = of(plan);
        names.extend(before.map(of).unwrap_or_default());
        let mut found = fault;
        for name in names {
            let claims = Truth::claims(&name, world);
            let case = Case { name: &name, claims: &claims, world, now };
            let parsed = name.parse().ok();
            let of = |p: &Plan| parsed.as_ref().and_then(|name| p.answers.get(name)).cloned();
            let (old, new) = (before.and_then(of), of(plan));
            found = found.or_else(|| self.judge(&case, old.as_ref(), new.as_ref()));
        }
        found
    }

    /// No storm: so many decisions a second have no reason.
    fn count(&mut self, now: Ms) -> Option<Violation> {
        const MOST: u32 = 60;
        let second = now / SECOND;
        self.decisions = if self.decisions.0 == second { (second, self.decisions.1 + 1) } else { (second, 1) };
        let text = format!("{} decisions within a second", self.decisions.1);
        (self.decisions.1 > MOST).then_some(Violation { promise: Promise::Machinery, at: now, text })
    }

    fn judge(&mut self, case: &Case<'_>, old: Option<&Answer>, new: Option<&Answer>) -> Option<Violation> {
        let broken = |(promise, text): (Promise, String)| Violation { promise, at: case.now, text };
        let Some(new) = new else {
            let may_go = old.is_none() || self.truth.may_go(case.name, case.world, case.now);
            self.names.remove(case.name);
            let text = || format!("{} is given up", case.name);
            return (!may_go).then(|| broken((Promise::NeverEmpty, text())));
        };
        if new.addresses.is_empty() {
            return Some(broken((Promise::NeverEmpty, format!("{} is empty", case.name))));
        }
        let moved = old.and_then(|old| self.moved(case, old, new));
        let judged = moved.or_else(|| self.bounds(case, new)).or_else(|| self.reason(case, new));
        self.settle(case, new);
        judged.map(broken)
    }

    /// Whether all is as it should be by now; then it stays so.
    fn settle(&mut self, case: &Case<'_>, new: &Answer) {
        let quiet = case.now.saturating_sub(self.last_event) >= 90 * SECOND;
        let right = quiet && self.wrong(case, new).is_none() && self.is_final(case, new);
        let watch = self.names.entry(case.name.to_owned()).or_default();
        if right && watch.stable.is_none() {
            watch.stable = Some(new.addresses.iter().copied().collect());
            watch.stable_since = case.now;
        }
    }

    /// What is wrong with an answer that had time enough, if anything is.
    fn wrong(&self, case: &Case<'_>, new: &Answer) -> Option<String> {
        let known: Vec<_> = case.addresses().filter(|(spot, _)| self.is_settled(case, *spot)).collect();
        let state = |spot: &Spot| self.truth.spots.get(spot).map(|s| s.state);
        let healthy: Vec<_> = known.iter().filter(|(spot, _)| state(spot) == Some(State::Healthy)).collect();
        let is_published = |address: &IpAddr| new.addresses.contains(address);
        let dead = known.iter().find(|(spot, a)| is_published(a) && state(spot).is_some_and(State::is_dead));
        let unreachable = known.iter().find(|(spot, a)| is_published(a) && state(spot) == Some(State::DeadPath));
        let reachable = known.iter().any(|(spot, _)| state(spot).is_some_and(State::path_is_up));
        if let (Some((spot, _)), false) = (dead, healthy.is_empty()) {
            return Some(format!("{} leads to {spot:?}, which is dead, though another is well", case.name));
        }
        if let (Some((spot, _)), true) = (unreachable, reachable) {
            return Some(format!("{} leads to {spot:?}, which nobody reaches, though another can be", case.name));
        }
        let best =
            known.iter().filter(|(spot, _)| state(spot) != Some(State::DeadPath)).map(|(s, _)| self.key(*s, case));
        let best = best.min();
        let lacks = |(spot, a): &(Spot, IpAddr)| !is_published(a) && !self.may_be_held(case, *spot, *a);
        // Where nobody is well, who is refused a login everywhere alike is as good as any.
        let refused: Vec<_> = known.iter().filter(|(spot, _)| self.is_long_refused(case, *spot)).collect();
        let wanted = if healthy.is_empty() { &refused } else { &healthy };
        let lacking = wanted.iter().find(|of| Some(self.key(of.0, case)) == best && lacks(of));
        let is_kept = |(spot, _): &(Spot, bool)| self.truth.is_missed(spot.endpoint, case.world, case.now);
        // Sources may differ: what one of them still has, and can be reached, may stay.
        let works = |(spot, is_now): (Spot, bool)| is_now && state(&spot).is_some_and(|s| s != State::DeadPath);
        let published = || new.addresses.iter().filter_map(|a| case.world.spot(*a));
        let mut kept = published().filter(|of| is_kept(of) || works(*of));
        if let Some((spot, _)) = lacking
            && !kept.any(|(missed, _)| self.key(missed, case) < self.key(*spot, case))
            && !(case.world.setup.one && new.addresses.len() == 1)
        {
            return Some(format!("{} lacks {spot:?}, which has long been well", case.name));
        }
        (case.world.setup.one && !case.pinned() && new.addresses.len() > 1 && !healthy.is_empty())
            .then(|| format!("{} has more than one address", case.name))
    }

    /// Nothing is left that could change it without an event.
    fn is_final(&self, case: &Case<'_>, new: &Answer) -> bool {
        let is_noisy = |spot: &Spot| self.truth.spots.get(spot).is_none_or(|s| s.state == State::Noisy);
        let is_well = |spot: &Spot| self.truth.spots.get(spot).is_some_and(|s| s.state == State::Healthy);
        let nobody_well = !new.addresses.iter().filter_map(|a| case.world.spot(*a)).any(|(spot, _)| is_well(&spot));
        let undecided = |(spot, address): (Spot, IpAddr)| {
            let state = self.truth.spots.get(&spot).map(|s| s.state);
            // What fails in vain may come in yet, and what is unknown may turn up.
            // Where nobody is well, whoever can be reached is as good as those that are published.
            let as_good = nobody_well && state.is_some_and(State::path_is_up);
            let may_come = state == Some(State::Vain) || as_good || self.may_be_held(case, spot, address);
            (may_come && !new.addresses.contains(&address)) || !self.is_settled(case, spot)
        };
        // What comes first may take the place of what is published as soon as it is seen to work.
        let published =
            || new.addresses.iter().filter_map(|a| case.world.spot(*a)).map(|(spot, _)| self.key(spot, case));
        let first = case.claims.iter().filter(|spot| is_well(spot)).map(|spot| self.key(*spot, case)).min();
        let outranked = first.is_some_and(|first| published().any(|key| key > first));
        let all_known = new.addresses.iter().all(|a| case.addresses().any(|(_, known)| known == *a));
        // Who wants one address gets it as soon as something answers.
        let too_many = case.world.setup.one && !case.pinned() && new.addresses.len() > 1;
        let draining = self.truth.drains.values().any(|until| *until > case.now);
        let behind = case.claims.iter().any(|spot| self.truth.is_behind(spot.endpoint, case.world));
        all_known
            && !draining
            && !behind
            && !outranked
            && !too_many
            && !case.claims.iter().any(is_noisy)
            && !case.addresses().any(undecided)
    }

    /// The host has known for long enough where the zone is, and nobody says that it is gone.
    fn is_settled(&self, case: &Case<'_>, spot: Spot) -> bool {
        let known = self.truth.known(spot).is_some_and(|at| at + 60 * SECOND <= case.now);
        let address = case.world.address(spot);
        known && address.is_some_and(|a| !self.truth.is_given_up(spot, a, case.world))
    }

    /// What comes first in the admin's eyes; the smaller, the better.
    fn key(&self, spot: Spot, case: &Case<'_>) -> (bool, i32, bool) {
        let setup = &case.world.setup;
        let drained = self.truth.drains.get(&spot.zone).is_some_and(|until| *until > case.now);
        if case.pinned() {
            return (drained, 0, false);
        }
        let priority = setup.endpoints.get(spot.endpoint).map_or(0, |e| e.priority);
        (drained, priority, setup.prefer_local && setup.local != Some(spot.zone))
    }

    fn checks(&self, spot: Spot, world: &World) -> &'static [Check] {
        if world.kind(spot) == Kind::Deep { &[Check::Path, Check::Deep] } else { &[Check::Path] }
    }

    /// At the end: whether every name came to rest, and what is wrong with those that did not.
    pub(super) fn unsettled(&self, plan: &Plan, world: &World, now: Ms) -> Option<Violation> {
        plan.answers.iter().find_map(|(name, answer)| {
            let claims = Truth::claims(name.as_str(), world);
            let case = Case { name: name.as_str(), claims: &claims, world, now };
            let text = self.wrong(&case, answer)?;
            Some(Violation { promise: Promise::Converges, at: now, text: format!("{text}: {}", told(answer)) })
        })
    }

    /// Every name is as it should be, and has been for a while.
    pub(super) fn is_at_rest(&self, world: &World, now: Ms) -> bool {
        let noisy = self.truth.spots.values().any(|s| s.state == State::Noisy);
        let passed = now.saturating_sub(self.last_event);
        let long = passed > 300 * SECOND;
        let claimed = |name: &String| !Truth::claims(name, world).is_empty();
        let stable = |watch: &Watch| watch.stable.is_some() && watch.stable_since + 60 * SECOND <= now;
        // The writer waits until whoever edits the file has done with it.
        (noisy && long)
            || passed >= 5 * SECOND
                && self.names.iter().filter(|(name, _)| claimed(name)).all(|(_, watch)| stable(watch))
    }
}

/// Whether an event is none that could make a right answer wrong.
fn leaves_alone(event: Event, name: &str, world: &World) -> bool {
    use super::history::Login;
    let mine = |endpoint: usize| {
        let shares = world.setup.endpoints.get(endpoint).is_some_and(|e| e.shares);
        name.contains(&format!("e{endpoint}.")) || (shares && name == super::world::SHARED)
    };
    match event {
        Event::Cut(_)
        | Event::NoSockets
        | Event::Heal
        | Event::Suspend(_)
        | Event::Restart
        | Event::Reboot
        | Event::Vandal => true,
        Event::Login(None, login) => !matches!(login, Login::Right | Login::BackendDown),
        Event::Login(Some(spot), login) => !mine(spot.endpoint) || !matches!(login, Login::Right | Login::BackendDown),
        Event::Path(spot, _) | Event::Replace(spot) | Event::Unlist(spot, _) => !mine(spot.endpoint),
        Event::UnlistAll(endpoint, _) | Event::Priority(endpoint, _) | Event::Remove(endpoint, _) => !mine(endpoint),
        Event::Answers(_, super::history::Answering::NotAtAll | super::history::Answering::Incomplete) => true,
        Event::Answers(..) | Event::One(_) | Event::Drain(..) => false,
    }
}

pub(super) fn told(answer: &Answer) -> String {
    format!("{:?} {}", answer.addresses, answer.reason)
}
