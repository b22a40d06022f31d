//! What may change in an answer, and what must.

use std::collections::BTreeSet;
use std::net::IpAddr;

use privatelinkd::model::{Answer, Check};

use super::log::{FALL, Found, RISE};
use super::truth::{Since, State};
use super::{Case, Oracle, Promise, told};
use crate::rules::history::{Event, Kind, Login, Ms, Path, SECOND, Spot};
use crate::rules::world::{Place, World};

/// From the last probe before a path dies: an interval with its jitter, `fall` probes, the deadline of the last one, a
/// sibling's answer, and the next regular look.
const SOON_GONE: Ms = 25 * SECOND;
/// The same where all else is well: the interval with its jitter, two probes that follow the first half a second apart,
/// and the deadline of the last one.
const GONE_IF_ALONE: Ms = 9500;
/// For so long a link that lost packets may still be known for it.
const LOSSY: Ms = 600 * SECOND;
/// Until things that were otherwise are noticed by everybody.
const NOTICED: Ms = 60 * SECOND;
const MOST_HOLD: Ms = 300 * SECOND;
/// Until `fall` logins have failed, a minute apart.
const DEEP_DEATH: Ms = 240 * SECOND;
/// `flap_max`: how long who comes and goes is kept out at most.
const MOST_DAMPED: Ms = 600 * SECOND;

type Broken = Option<(Promise, String)>;

impl Oracle {
    pub(super) fn moved(&mut self, case: &Case<'_>, old: &Answer, new: &Answer) -> Broken {
        let set = |a: &Answer| a.addresses.iter().copied().collect::<BTreeSet<_>>();
        let (before, after) = (set(old), set(new));
        let change = || format!("{}: {} -> {}", case.name, told(old), told(new));
        if before == after {
            let reordered = old.addresses != new.addresses && self.truth.settled != case.now;
            return reordered.then(|| (Promise::OrderIsNoChange, change()));
        }
        if let Some(stable) = self.names.get(case.name).and_then(|watch| watch.stable.as_ref())
            && *stable != after
        {
            return Some((Promise::NeedlessMove, change()));
        }
        for gone in before.difference(&after) {
            if let Err(why) = self.justified(case, *gone, &after, before.len()) {
                return Some((Promise::Evidence, format!("{}: {gone} {why}", change())));
            }
        }
        if let Some((spot, since)) = self.died_alone
            && let Some(gone) = before.difference(&after).find(|gone| case.world.address(spot) == Some(**gone))
            && case.now > since + GONE_IF_ALONE
        {
            return Some((Promise::SoonGone, format!("{}: {gone} leaves late, though it died alone", change())));
        }
        for came in after.difference(&before) {
            if self.is_no_better(case, *came, &before) {
                let text = format!("{}: {came} joins and fails, though what was given may stay", change());
                return Some((Promise::NeedlessMove, text));
            }
            if let Some((promise, why)) = self.premature(case, *came, &before, &after) {
                return Some((promise, format!("{}: {came} {why}", change())));
            }
        }
        // A drain is no departure of what merely is not known yet.
        let drained = |gone: &IpAddr| case.world.spot(*gone).is_some_and(|(spot, _)| self.key(spot, case).0);
        let down = |gone: &IpAddr| self.fails(*gone) || (self.log.up_since(*gone).is_none() && !drained(gone));
        let down: Vec<_> = before.difference(&after).copied().filter(down).map(|gone| (gone, case.now)).collect();
        let deaths: Vec<_> = before.difference(&after).copied().filter(|gone| self.fails(*gone)).collect();
        let watch = self.names.entry(case.name.to_owned()).or_default();
        watch.left.extend(down);
        for _ in deaths {
            watch.departures.push(case.now);
        }
        None
    }

    /// A path whose probes overlap falls silent while all addresses of its endpoint are well, and have been for long.
    pub(super) fn dies_alone(&self, event: Event, world: &World, now: Ms) -> Option<(Spot, Ms)> {
        let Event::Path(spot, Path::Silent) = event else { return None };
        let long = |since: Ms| since + 2 * NOTICED <= now;
        let quiet = long(self.last_event) && self.truth.calm.is_some_and(long) && self.truth.drains.is_empty();
        let is_well = |(other, place): (&Spot, &Place)| {
            let healthy = self.truth.spots.get(other).is_some_and(|s| s.state == State::Healthy && long(s.since));
            *other == spot || (place.path == Path::Up && healthy)
        };
        let of_endpoint = |(other, _): &(&Spot, &Place)| other.endpoint == spot.endpoint;
        let was_well = self.truth.spots.get(&spot).is_some_and(|s| s.state == State::Healthy && long(s.since));
        let well = was_well && world.spots.iter().filter(of_endpoint).all(is_well);
        (quiet && well && world.kind(spot) == Kind::Overlapping).then_some((spot, now))
    }

    fn fails(&self, address: IpAddr) -> bool {
        [Check::Path, Check::Deep].iter().any(|check| self.log.ails(address, *check))
    }

    /// Whether an address may leave.
    fn justified(
        &self,
        case: &Case<'_>,
        gone: IpAddr,
        after: &BTreeSet<IpAddr>,
        many: usize,
    ) -> Result<(), &'static str> {
        let Some((spot, _)) = case.world.spot(gone) else { return Ok(()) };
        let given_up = self.truth.is_given_up(spot, gone, case.world) || !case.claims.contains(&spot);
        let siblings: Vec<_> = case.addresses().map(|(_, a)| a).filter(|a| *a != gone).collect();
        let checks = self.checks(spot, case.world);
        let loses = self.was_noisy(spot, case.now.saturating_sub(LOSSY));
        let disproved = checks.iter().any(|check| self.is_disproved((gone, loses), *check, &siblings));
        // Of several only one is wanted.
        let too_many = case.world.setup.one && many > 1;
        if given_up && !disproved && !too_many && !self.may_be_given_up(case, (spot, gone), after) {
            return Err("is given up, though nothing that is left works, and it need not go yet");
        }
        // The admin said otherwise just now.
        let told_so = case.now.saturating_sub(self.truth.settled) < SECOND || too_many;
        if told_so && !given_up && self.log.may_be_up(gone) && !after.iter().any(|a| self.log.may_be_up(*a)) {
            return Err("leaves, and nothing that is left works");
        }
        if given_up || told_so || self.is_outranked(case, spot, after) {
            return Ok(());
        }
        if disproved || self.never_worked(gone, &siblings) {
            return Ok(());
        }
        Err("leaves, and no failure of its own lies at or after a success of a sibling")
    }

    /// What is given up stays while nothing else may work, until its grace is over.
    fn may_be_given_up(&self, case: &Case<'_>, (spot, gone): (Spot, IpAddr), after: &BTreeSet<IpAddr>) -> bool {
        let over = case.world.removed.contains(&spot.endpoint)
            || !case.claims.contains(&spot)
            || self.truth.is_over(spot, case.world, case.now)
            || self.truth.is_long_given_up((spot, gone), case.world, case.now);
        let works = |address: &IpAddr| {
            let noisy = case.world.spot(*address).is_some_and(|(spot, _)| self.was_noisy(spot, case.now));
            noisy || self.log.may_be_up(*address)
        };
        over || after.iter().any(works)
    }

    /// It was given before anything was known, and failed while a sibling worked.
    fn never_worked(&self, gone: IpAddr, siblings: &[IpAddr]) -> bool {
        let Some(failed) = self.log.failing(gone, Check::Path).find(|e| e.found == Found::Bad) else { return false };
        let works =
            |sibling: &IpAddr| self.log.passing(*sibling, Check::Path).is_some_and(|(at, _)| at <= failed.ended);
        self.log.worked(gone).is_none() && siblings.iter().any(works)
    }

    /// Only better ones are left, and one of them works.
    fn is_outranked(&self, case: &Case<'_>, spot: Spot, after: &BTreeSet<IpAddr>) -> bool {
        let left: Vec<_> = after.iter().filter_map(|a| case.world.spot(*a)).map(|(s, _)| self.key(s, case)).collect();
        // A login proves the path before the path check has been made.
        let logged_in = |a: IpAddr| !self.log.has(a, Check::Path) && self.log.passes(a, Check::Deep);
        let works = after.iter().any(|a| self.log.passes(*a, Check::Path) || logged_in(*a));
        works && !left.is_empty() && left.iter().all(|key| *key < self.key(spot, case))
    }

    /// A charge, and a sibling that passes and did so meanwhile: once since the first failure began, or without a
    /// failure from before the last until after it.
    fn is_disproved(&self, (gone, loses): (IpAddr, bool), check: Check, siblings: &[IpAddr]) -> bool {
        let bad = self.log.charge(gone, check, loses);
        let (Some(first), Some(last), true) = (bad.last(), bad.first(), bad.len() >= FALL) else { return false };
        let (first, last) = (first.began, last.ended);
        let passed = |sibling: &IpAddr| {
            [Check::Path, Check::Deep].iter().filter(|own| self.log.passes(*sibling, **own)).any(|own| {
                let mut results = self.log.of(*sibling, *own);
                let beside = self.log.passing(*sibling, *own).is_some_and(|(since, _)| since <= last);
                results.any(|e| e.found == Found::Good && e.began >= first && (e.began <= last || beside))
            })
        };
        siblings.iter().any(passed)
    }

    /// Its path fails just now, and something that was given may stay.
    fn is_no_better(&self, case: &Case<'_>, came: IpAddr, before: &BTreeSet<IpAddr>) -> bool {
        let fails = self.log.failing(came, Check::Path).next().is_some_and(|e| e.found == Found::Bad);
        let may_stay = |address: &IpAddr| {
            let spot = case.world.spot(*address).filter(|(_, is_now)| *is_now).map(|(spot, _)| spot);
            spot.is_some_and(|s| case.claims.contains(&s) && !self.truth.is_given_up(s, *address, case.world))
        };
        let told_so = case.now.saturating_sub(self.truth.settled) < SECOND;
        fails && !told_so && before.iter().any(may_stay)
    }

    /// Whether an address joins, or comes back, before it should.
    fn premature(
        &self,
        case: &Case<'_>,
        came: IpAddr,
        before: &BTreeSet<IpAddr>,
        after: &BTreeSet<IpAddr>,
    ) -> Option<(Promise, &'static str)> {
        let (spot, is_now) = case.world.spot(came)?;
        // Until then what else answers comes in at once.
        let risen = |a: &IpAddr| self.log.passing(*a, Check::Path).is_some_and(|(_, many)| many >= RISE);
        let works = |a: &IpAddr| risen(a) && self.checks_pass(case, *a) && self.truth.known_healthy(case, *a);
        let served = before.intersection(after).any(works);
        // What comes and goes by chance is up for a while in between.
        let hold = case.world.setup.hold * SECOND;
        let lately = |until: Ms| until + hold >= case.now;
        let noisy = |s: &Since| s.state == State::Noisy || s.noisy_until.is_some_and(lately);
        let noisy = self.truth.spots.get(&spot).is_none_or(noisy);
        if noisy || !served || case.now.saturating_sub(self.truth.settled) < NOTICED || !is_now {
            return None;
        }
        if !self.log.ever_passed(came) {
            return Some((Promise::ProvenFirst, "joins without one success, though another works"));
        }
        self.names.get(case.name)?.left.get(&came)?;
        // What has never worked before has nothing to make up for.
        let is_new = self.log.worked(came) >= self.log.passing(came, Check::Path).map(|(first, _)| first);
        let earned = is_new || self.log.up_since(came).is_some_and(|since| since + hold <= case.now);
        (!earned && case.world.kind(spot) != Kind::Deep)
            .then_some((Promise::EarnedReturn, "comes back before it has earned it, though another works"))
    }

    /// It has come and gone by chance since then, or does so.
    fn was_noisy(&self, spot: Spot, since: Ms) -> bool {
        let noisy = |own: &Since| own.state == State::Noisy || own.noisy_until.is_some_and(|until| until >= since);
        self.truth.spots.get(&spot).is_some_and(noisy)
    }

    fn checks_pass(&self, case: &Case<'_>, address: IpAddr) -> bool {
        let Some((spot, _)) = case.world.spot(address) else { return false };
        self.checks(spot, case.world).iter().all(|check| self.log.passes(address, *check))
    }

    /// What must have left or come by now.
    pub(super) fn bounds(&self, case: &Case<'_>, new: &Answer) -> Broken {
        let calm = self.truth.calm? + NOTICED;
        let from = calm.max(self.truth.settled + NOTICED);
        let dead = new.addresses.iter().find(|a| self.outstays(case, **a, from));
        if let Some(dead) = dead {
            return Some((Promise::SoonGone, format!("{} still leads to dead {dead}: {}", case.name, told(new))));
        }
        let late =
            case.addresses().find(|(spot, a)| !new.addresses.contains(a) && self.is_late(case, *spot, new, from));
        late.map(|(_, a)| (Promise::SoonBack, format!("{} still lacks {a}: {}", case.name, told(new))))
    }

    /// It is dead by its path, and a sibling of the same name passes, for longer than that takes to be noticed.
    fn outstays(&self, case: &Case<'_>, dead: IpAddr, from: Ms) -> bool {
        let Some((spot, true)) = case.world.spot(dead) else { return false };
        let Some(own) = self.truth.spots.get(&spot).filter(|own| own.state == State::DeadPath) else { return false };
        let known = self.truth.known(spot);
        let since = |other: &Spot| {
            let theirs = self.truth.spots.get(other)?;
            let since = match theirs.state {
                State::Healthy => theirs.since,
                _ if self.key(*other, case) > self.key(spot, case) => return None,
                _ => theirs.reachable?,
            };
            let address = case.world.address(*other)?;
            let there = !self.truth.is_given_up(*other, address, case.world);
            let known = self.truth.known(*other).filter(|_| there)?;
            Some(since.max(known) + NOTICED)
        };
        let sibling = case.claims.iter().filter(|other| **other != spot).filter_map(since).min();
        let counted = sibling.zip(known).map(|(sibling, known)| sibling.max(own.since).max(known).max(from));
        counted.is_some_and(|at| at + SOON_GONE < case.now)
    }

    /// It is well, as good as any other, and has been for longer than a return takes.
    fn is_late(&self, case: &Case<'_>, spot: Spot, new: &Answer, from: Ms) -> bool {
        let Some(own) = self.truth.spots.get(&spot).filter(|own| own.state == State::Healthy) else { return false };
        let there = case.world.address(spot).is_some_and(|a| !self.truth.is_given_up(spot, a, case.world));
        let Some(known) = self.truth.known(spot).filter(|_| there) else { return false };
        let theirs = |a: &IpAddr| {
            let other = case.world.spot(*a).filter(|(_, is_now)| *is_now);
            other.and_then(|(s, _)| self.truth.spots.get(&s)).copied()
        };
        let served = new.addresses.iter().any(|a| theirs(a).is_some_and(|s| !s.state.is_dead()));
        let outranked = case.claims.iter().any(|other| self.key(*other, case) < self.key(spot, case));
        if served && (case.world.setup.one && !case.pinned() || outranked) {
            return false;
        }
        // Logins are rare: a database that died behind a published address is known for dead by its deep check alone.
        let dead_deep = new.addresses.iter().any(|a| theirs(a).is_some_and(|s| s.state == State::DeadDeep));
        let more = if served { self.longest_hold(case, own) } else { Ms::from(dead_deep) * DEEP_DEATH };
        let bound = self.answers_after(case, spot) + more;
        // When the last that served died is not told by those that are published.
        let from = if served { from } else { from.max(self.last_event) };
        own.since.max(from).max(known) + bound < case.now
    }
}

impl Oracle {
    /// How long an address that is well again takes to be seen to be, at most.
    fn answers_after(&self, case: &Case<'_>, spot: Spot) -> Ms {
        30 * SECOND + if case.world.kind(spot) == Kind::Deep { 240 * SECOND } else { 0 }
    }

    /// How long it may then be on hold.
    fn longest_hold(&self, case: &Case<'_>, own: &Since) -> Ms {
        let hour = case.now.saturating_sub(3600 * SECOND);
        let left = self.names.get(case.name).map(|watch| &watch.departures);
        let departures = left.into_iter().flatten().chain(&self.cuts).filter(|at| **at > hour).count();
        let hold = case.world.setup.hold * SECOND;
        let hold = hold.max((hold << departures.min(8)).min(MOST_HOLD)) * 6 / 5;
        // What comes and goes by chance goes down more often than names leave it.
        let noisy = own.noisy_until.is_some_and(|until| until > hour);
        if noisy || departures > 1 { hold.max(MOST_DAMPED) } else { hold }
    }

    /// It can be reached, and its login has been refused for so long that nothing else is remembered of it.
    pub(super) fn is_long_refused(&self, case: &Case<'_>, spot: Spot) -> bool {
        let Some(own) = self.truth.spots.get(&spot).filter(|own| own.state == State::Vain) else { return false };
        let login = case.world.spots.get(&spot).map(|place| place.login);
        let refused = matches!(login, Some(Login::Wrong | Login::NotAllowed | Login::Suspended));
        let from = own.since.max(self.truth.calm.unwrap_or(case.now));
        refused && from + self.answers_after(case, spot) + DEEP_DEATH + self.longest_hold(case, own) < case.now
    }

    /// It is well, was down or came and went before, and may still be on hold for that.
    pub(super) fn may_be_held(&self, case: &Case<'_>, spot: Spot, address: IpAddr) -> bool {
        let Some(own) = self.truth.spots.get(&spot).filter(|own| own.state == State::Healthy) else { return false };
        let left = self.names.get(case.name).is_some_and(|w| w.left.contains_key(&address));
        let from = own.since.max(self.truth.calm.unwrap_or(case.now));
        (left || own.noisy_until.is_some())
            && from + self.answers_after(case, spot) + self.longest_hold(case, own) >= case.now
    }
}

impl super::truth::Truth {
    fn known_healthy(&self, case: &Case<'_>, address: IpAddr) -> bool {
        let spot = case.world.spot(address).filter(|(_, is_now)| *is_now).map(|(spot, _)| spot);
        spot.and_then(|spot| self.spots.get(&spot)).is_some_and(|s| s.state == State::Healthy)
    }
}
