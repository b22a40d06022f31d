//! When to ask the cloud (B14). Pure: time and chance come in as values.
//!
//! The quota of the API belongs to the whole account: every host, user and tool of it shares 1,000 calls a minute of
//! each action (the documented quota pages). So all hosts of a fleet together keep to a small part of it, and nothing
//! that hits all of them at once (a restart, a zone outage, the end of an outage of the API) makes them ask at once:
//! what is not urgent waits for the host's own phase, and what is urgent waits for a random part of a time that grows
//! with the fleet. DNS has no such quota; it is what notices changes.

use std::time::Duration;

use fastrand::Rng;

use crate::model::Boottime;

/// Calls of one action a minute that all hosts make together in a steady state: a tenth of the quota.
const STEADY_CALLS: u32 = 100;
/// Calls a minute that all hosts make together, beside the steady ones, when something happens to all of them.
const HURRIED_CALLS: u32 = 40;
/// After the first failure; doubled with each one that follows.
const BACK_OFF: Duration = Duration::from_secs(5);
/// A zone that fails makes us ask at most so often.
const HURRY_APART: Duration = Duration::from_secs(600);
/// DNS is asked at the very moment; the API may take its time, the more so as the fleet may be larger than it says.
const SHORTEST_HURRY: Duration = Duration::from_secs(30);
/// Rounds that may follow each other, whatever asks for them, and how soon one more may at the latest.
const BURST: u32 = 4;
const REFILL: Duration = Duration::from_secs(60);
const MINUTE: Duration = Duration::from_secs(60);

/// What the pace depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fleet {
    /// Hosts with the same config.
    pub hosts: u32,
    /// Endpoints that each of them asks for: one call of each action an endpoint and round.
    pub endpoints: u32,
    /// Between two rounds, if the fleet is small.
    pub interval: Duration,
}

impl Fleet {
    /// All hosts' calls of one round, at so many a minute.
    fn spread(self, calls_a_minute: u32) -> Duration {
        MINUTE.mul_f64(f64::from(self.hosts) * f64::from(self.endpoints) / f64::from(calls_a_minute))
    }

    /// Between two rounds of one host: the interval, stretched so that the fleet stays within its part of the quota.
    #[must_use]
    pub fn stretched(self) -> Duration {
        self.interval.max(self.spread(STEADY_CALLS))
    }
}

/// The pace of the API.
#[derive(Debug)]
pub struct ApiPace {
    fleet: Fleet,
    rng: Rng,
    next: Boottime,
    failures: u32,
    /// Before that the API does not want to be asked again, whatever happens here.
    not_before: Boottime,
    hurried: Option<Boottime>,
    tokens: u32,
    refilled: Boottime,
}

impl ApiPace {
    /// Begins. A host that `knows` its addresses already, from the cache, waits for its phase; one that knows nothing
    /// asks at once. `seed` is the host's own.
    #[must_use]
    pub fn new(fleet: Fleet, knows: bool, seed: u64, now: Boottime) -> Self {
        let mut rng = Rng::with_seed(seed);
        let phase = fleet.stretched().mul_f64(rng.f64());
        let next = if knows { now.after(phase) } else { now };
        Self { fleet, rng, next, failures: 0, not_before: now, hurried: None, tokens: BURST, refilled: now }
    }

    /// When the next round is due.
    #[must_use]
    pub fn next(&self) -> Boottime {
        self.next
    }

    /// The config changed. What a new endpoint needs is asked at once; where the API fails, the change may be what
    /// mends it, such as other credentials, and is tried soon, but not before the API wants to be asked again.
    pub fn follow(&mut self, fleet: Fleet, news: bool, now: Boottime) {
        self.fleet = fleet;
        let latest =
            if self.failures > 0 { now.after(self.soon()).max(self.not_before) } else { now.after(fleet.stretched()) };
        self.next = if news { now } else { self.next.min(latest) };
    }

    /// Takes a token for a round that is due; without one it waits until there is one.
    pub fn may_begin(&mut self, now: Boottime) -> bool {
        if now < self.next {
            return false;
        }
        // An admin who wants it more often gets it.
        let refill = REFILL.min(self.fleet.interval);
        let earned = now.since(self.refilled).as_millis() / refill.as_millis().max(1);
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(BURST);
            self.tokens = self.tokens.saturating_add(earned).min(BURST);
            self.refilled = now;
        }
        if self.tokens == 0 {
            self.next = self.refilled.after(refill);
            return false;
        }
        self.tokens -= 1;
        true
    }

    /// A round succeeded.
    pub fn succeeded(&mut self, now: Boottime) {
        self.failures = 0;
        self.next = now.after(self.jittered(self.fleet.stretched()));
    }

    /// A round failed. `after` is how long the API asked us to wait, if it did; `throttled` that it had too many calls.
    pub fn failed(&mut self, after: Option<Duration>, throttled: bool, now: Boottime) {
        const LONGEST_EXPONENT: u32 = 16;
        let longest = self.fleet.stretched();
        // A large fleet's retries are calls like others.
        let first = BACK_OFF.max(self.fleet.spread(STEADY_CALLS));
        let doubled = first.saturating_mul(1 << self.failures.min(LONGEST_EXPONENT));
        self.failures = self.failures.saturating_add(1);
        let wait = if throttled { doubled.saturating_mul(2) } else { doubled }.min(longest);
        let wait = wait.mul_f64(0.75 + 0.25 * self.rng.f64());
        self.next = now.after(wait.max(after.unwrap_or_default()));
        self.not_before = if throttled { self.next } else { now.after(after.unwrap_or_default()) };
    }

    /// Something happened that the API may explain: a zone failed, or DNS gives another address.
    pub fn hurry(&mut self, now: Boottime) {
        if self.hurried.is_some_and(|at| now.since(at) < HURRY_APART) || self.failures > 0 {
            return;
        }
        self.hurried = Some(now);
        self.next = self.next.min(now.after(self.soon()));
    }

    /// So that all hosts of the fleet together, if all want it now, keep to their part.
    fn soon(&mut self) -> Duration {
        let within = self.fleet.spread(HURRIED_CALLS).max(SHORTEST_HURRY);
        within.mul_f64(self.rng.f64())
    }

    /// A tenth more or less, so that hosts which once fell into step get out of it.
    fn jittered(&mut self, wait: Duration) -> Duration {
        wait.mul_f64(0.9 + 0.2 * self.rng.f64())
    }
}

/// The pace of DNS.
#[derive(Debug)]
pub struct DnsPace {
    interval: Duration,
    rng: Rng,
    next: Boottime,
    round: DnsRound,
}

/// How the latest round of DNS stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DnsRound {
    Over,
    UnderWay,
    /// Something came up that it did not set out for.
    Outdated,
}

impl DnsPace {
    /// A resolver that says that nothing changes for longer than this is asked all the same.
    const LONGEST_TTL: Duration = Duration::from_secs(300);

    /// Begins. A host that `knows` its addresses waits for its phase.
    #[must_use]
    pub fn new(interval: Duration, knows: bool, seed: u64, now: Boottime) -> Self {
        let mut rng = Rng::with_seed(seed);
        let phase = interval.mul_f64(rng.f64());
        Self { interval, rng, next: if knows { now.after(phase) } else { now }, round: DnsRound::Over }
    }

    /// When the next round is due.
    #[must_use]
    pub fn next(&self) -> Boottime {
        self.next
    }

    /// The config changed.
    pub fn follow(&mut self, interval: Duration, now: Boottime) {
        self.interval = interval;
        self.hurry(now);
    }

    /// Now; while a round is under way, which set out before this was known, as soon as that is over.
    pub fn hurry(&mut self, now: Boottime) {
        self.next = now;
        if self.round == DnsRound::UnderWay {
            self.round = DnsRound::Outdated;
        }
    }

    /// A round began.
    pub fn began(&mut self) {
        self.round = DnsRound::UnderWay;
    }

    /// A round ended. `ttl` is the shortest of what it found: before that is over the resolver would say the same.
    pub fn ended(&mut self, ttl: Option<Duration>, now: Boottime) {
        let outdated = std::mem::replace(&mut self.round, DnsRound::Over) == DnsRound::Outdated;
        let wait = self.interval.max(ttl.unwrap_or_default().min(Self::LONGEST_TTL));
        self.next = if outdated { now } else { now.after(wait.mul_f64(0.9 + 0.2 * self.rng.f64())) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN_MINUTES: Duration = Duration::from_secs(600);

    fn at(secs: u64) -> Boottime {
        Boottime(Duration::from_secs(secs))
    }

    fn fleet(hosts: u32) -> Fleet {
        Fleet { hosts, endpoints: 2, interval: TEN_MINUTES }
    }

    fn waits(pace: &ApiPace, now: Boottime) -> f64 {
        pace.next().since(now).as_secs_f64()
    }

    #[test]
    fn a_host_that_knows_nothing_asks_at_once_and_one_that_knows_in_its_phase() {
        assert_eq!(ApiPace::new(fleet(1), false, 1, at(5)).next(), at(5));
        let phases: Vec<_> = (0..100).map(|seed| waits(&ApiPace::new(fleet(1), true, seed, at(5)), at(5))).collect();
        assert!(phases.iter().all(|p| (0.0..600.0).contains(p)));
        assert!(phases.iter().filter(|p| **p < 300.0).count().abs_diff(50) < 20);
        assert_eq!(DnsPace::new(TEN_MINUTES, false, 1, at(5)).next(), at(5));
    }

    #[test]
    fn the_interval_is_stretched_by_the_fleet() {
        assert_eq!(fleet(1).stretched(), TEN_MINUTES);
        assert_eq!(fleet(500).stretched(), TEN_MINUTES);
        assert_eq!(fleet(3_000).stretched(), Duration::from_secs(3_600));
        let mut pace = ApiPace::new(fleet(3_000), false, 1, at(0));
        pace.succeeded(at(0));
        assert!((3_240.0..3_960.0).contains(&waits(&pace, at(0))));
    }

    #[test]
    fn failures_back_off_and_a_success_forgets_them() {
        let mut pace = ApiPace::new(fleet(1), false, 7, at(0));
        for longest in [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 600.0, 600.0] {
            pace.failed(None, false, at(0));
            assert!((longest * 0.75..=longest).contains(&waits(&pace, at(0))), "{longest}");
        }
        pace.succeeded(at(0));
        pace.failed(Some(Duration::from_secs(120)), true, at(0));
        assert!((120.0..121.0).contains(&waits(&pace, at(0))), "as long as it was asked to");
    }

    #[test]
    fn a_failing_zone_hurries_once_in_ten_minutes() {
        let mut pace = ApiPace::new(fleet(1), false, 3, at(0));
        pace.succeeded(at(0));
        pace.hurry(at(10));
        assert!(waits(&pace, at(10)) <= 30.0);
        pace.succeeded(at(40));
        pace.hurry(at(300));
        assert!(waits(&pace, at(300)) > 200.0);
        pace.hurry(at(611));
        assert!(waits(&pace, at(611)) <= 30.0);
        // An API that fails is not asked sooner for it.
        pace.failed(None, true, at(700));
        let before = pace.next();
        pace.hurry(at(5_000));
        assert_eq!(pace.next(), before);
    }

    #[test]
    fn a_reload_tries_a_failing_api_soon_but_not_a_throttling_one() {
        let mut pace = ApiPace::new(fleet(1), false, 3, at(0));
        (0..8).for_each(|_| pace.failed(None, false, at(0)));
        assert!(waits(&pace, at(0)) > 400.0);
        pace.follow(fleet(1), false, at(10));
        assert!(waits(&pace, at(10)) <= 30.0);
        (0..3).for_each(|_| pace.failed(Some(Duration::from_secs(300)), true, at(20)));
        let before = pace.next();
        pace.follow(fleet(1), false, at(30));
        assert_eq!(pace.next(), before);
    }

    #[test]
    fn whatever_asks_for_rounds_they_are_few() {
        let mut pace = ApiPace::new(fleet(1), false, 3, at(0));
        let mut begun = 0;
        for secs in 0..600 {
            pace.follow(fleet(1), true, at(secs));
            begun += u32::from(pace.may_begin(at(secs)));
        }
        assert!((BURST..=BURST + 10).contains(&begun), "{begun}");
    }

    #[test]
    fn dns_is_asked_when_the_interval_and_the_ttl_are_over() {
        let mut pace = DnsPace::new(Duration::from_secs(30), false, 3, at(0));
        for (ttl, low, high) in
            [(None, 27.0, 33.0), (Some(5), 27.0, 33.0), (Some(60), 54.0, 66.0), (Some(86_400), 270.0, 330.0)]
        {
            pace.ended(ttl.map(Duration::from_secs), at(0));
            let waits = pace.next().since(at(0)).as_secs_f64();
            assert!((low..=high).contains(&waits), "{ttl:?}: {waits}");
        }
        pace.hurry(at(3));
        assert_eq!(pace.next(), at(3));
    }

    #[test]
    fn what_comes_up_during_a_round_of_dns_is_asked_right_after_it_and_once() {
        let (thirty, forty) = (Duration::from_secs(30), Duration::from_secs(40));
        for come_up in [
            |pace: &mut DnsPace| pace.hurry(at(2)),
            |pace: &mut DnsPace| {
                pace.follow(Duration::from_secs(40), at(2));
            },
        ] as [fn(&mut DnsPace); 2]
        {
            let mut pace = DnsPace::new(thirty, false, 3, at(0));
            pace.began();
            come_up(&mut pace);
            pace.ended(Some(forty), at(6));
            assert_eq!(pace.next(), at(6));
            pace.began();
            pace.ended(Some(forty), at(7));
            assert!((36.0..=44.0).contains(&pace.next().since(at(7)).as_secs_f64()));
        }
    }
}
