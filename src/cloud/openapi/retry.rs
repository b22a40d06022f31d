//! Whether to try again, when, and what to change first. Pure: time and chance come in as values.
//!
//! Every new attempt is signed anew, with another nonce and date: the service refuses a nonce that it has seen.

use std::time::Duration;

use super::error::CallError;
use super::refusal::Class;
use crate::cloud::reply::TransportKind;
use crate::model::{Boottime, Wall};

/// How patient a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Rounds over the hosts, the first included. A throttled attempt counts as any other.
    pub rounds: u32,
    /// The longest first back-off; it doubles from round to round.
    pub first_backoff: Duration,
    /// The longest back-off.
    pub longest_backoff: Duration,
    /// The whole call, waits included. Nothing is waited for that would end later.
    pub deadline: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            rounds: 4,
            first_backoff: Duration::from_secs(1),
            longest_backoff: Duration::from_secs(20),
            deadline: Duration::from_secs(60),
        }
    }
}

/// The shortest wait after throttling that named none; the SDK's floor.
pub(super) const SHORTEST_THROTTLE: Duration = Duration::from_millis(100);

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Change something, wait, and ask again.
    Again {
        /// What to change before.
        change: Change,
        /// How long.
        wait: Duration,
    },
    /// The failure stands.
    GiveUp,
}

/// What to change before the next attempt, besides the signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    Nothing,
    /// Take the other host.
    Host,
    /// Take the server's clock for ours.
    Clock(Wall),
    /// Tell the credentials that these keys were refused, and take what they have then.
    Keys,
}

/// One call's tries so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retry {
    patience: RetryPolicy,
    hosts: usize,
    /// When the call has to be over.
    pub(super) until: Boottime,
    /// Rounds that are over.
    rounds: u32,
    /// Hosts of this round that could not be reached.
    unreached: usize,
    /// What helps once or not at all.
    clock_set: bool,
    nonce_changed: bool,
    keys_refused: bool,
}

impl Retry {
    /// A call that begins at `now` and may go to `hosts` hosts.
    #[must_use]
    pub fn new(patience: RetryPolicy, hosts: usize, now: Boottime) -> Self {
        Self { patience, hosts, until: now.after(patience.deadline), ..Self::default() }
    }

    /// What to do after a failure. `chance` is at random from 0 to 1.
    pub fn after(&mut self, failure: &CallError, now: Boottime, chance: f64) -> Step {
        match failure {
            CallError::Refused(refusal) => match &refusal.class {
                Class::Throttled { retry_after } => self.throttled(*retry_after, now, chance),
                Class::ClockSkew => match refusal.date {
                    Some(date) => at_once(Change::Clock(date), &mut self.clock_set),
                    None => Step::GiveUp,
                },
                Class::NonceUsed => at_once(Change::Nothing, &mut self.nonce_changed),
                // Keys that were rotated under us look like wrong ones, too.
                Class::Token | Class::BadCredentials => at_once(Change::Keys, &mut self.keys_refused),
                Class::Server => self.back_off(Change::Nothing, now, chance),
                Class::Denied { .. }
                | Class::NotFound
                | Class::Busy
                | Class::ProductOff
                | Class::BadCall
                | Class::Other => Step::GiveUp,
            },
            CallError::Transport(error) => match error.kind {
                TransportKind::TooLarge | TransportKind::Local => Step::GiveUp,
                _ => self.unreached(now, chance),
            },
            // A reply that was cut short on the way.
            CallError::Malformed(_) => self.back_off(Change::Nothing, now, chance),
            CallError::NoKeys(_) => Step::GiveUp,
        }
    }

    /// The other host at once; when none is left, all of them again later.
    fn unreached(&mut self, now: Boottime, chance: f64) -> Step {
        self.unreached += 1;
        match self.unreached < self.hosts {
            false => self.back_off(Change::Host, now, chance),
            true if now < self.until => Step::Again { change: Change::Host, wait: Duration::ZERO },
            true => Step::GiveUp,
        }
    }

    /// Exponential, with full jitter: hosts that failed together must not come back together.
    fn back_off(&mut self, change: Change, now: Boottime, chance: f64) -> Step {
        let wait = self.longest().mul_f64(share(chance));
        self.wait(change, wait, now)
    }

    fn throttled(&mut self, retry_after: Option<Duration>, now: Boottime, chance: f64) -> Step {
        let wait = match retry_after {
            // All hosts of the account are told the same: spread over a quarter more.
            Some(wait) => wait + wait.mul_f64(share(chance) / 4.0),
            None => self.longest().mul_f64(share(chance)).max(SHORTEST_THROTTLE),
        };
        self.wait(Change::Nothing, wait, now)
    }

    fn longest(&self) -> Duration {
        let doubled = self.patience.first_backoff.saturating_mul(1 << self.rounds.min(16));
        doubled.min(self.patience.longest_backoff)
    }

    fn wait(&mut self, change: Change, wait: Duration, now: Boottime) -> Step {
        self.rounds += 1;
        self.unreached = 0;
        if self.rounds >= self.patience.rounds || now.after(wait) >= self.until {
            return Step::GiveUp;
        }
        Step::Again { change, wait }
    }
}

/// From 0 to 1, whatever came in.
fn share(chance: f64) -> f64 {
    if chance.is_nan() { 0.0 } else { chance.clamp(0.0, 1.0) }
}

/// Once, and without a wait: what failed was not the service.
fn at_once(change: Change, done: &mut bool) -> Step {
    if std::mem::replace(done, true) { Step::GiveUp } else { Step::Again { change, wait: Duration::ZERO } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::openapi::refusal::Refusal;
    use crate::cloud::reply::TransportError;

    const START: Boottime = Boottime(Duration::from_secs(1000));

    fn retry() -> Retry {
        Retry::new(RetryPolicy::default(), 2, START)
    }

    fn refused(class: Class) -> CallError {
        let (code, message) = (String::new(), String::new());
        let date = Some(Wall(42_000));
        CallError::Refused(Box::new(Refusal { class, status: 400, code, message, request_id: None, date }))
    }

    fn unreached(kind: TransportKind) -> CallError {
        CallError::Transport(Box::new(TransportError { kind, host: "h".into(), detail: String::new() }))
    }

    fn again(change: Change, wait: Duration) -> Step {
        Step::Again { change, wait }
    }

    const fn secs(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn what_the_service_asks_for_is_waited_at_least() {
        let throttled = refused(Class::Throttled { retry_after: Some(secs(8)) });
        assert_eq!(retry().after(&throttled, START, 0.0), again(Change::Nothing, secs(8)));
        assert_eq!(retry().after(&throttled, START, 1.0), again(Change::Nothing, secs(10)));
    }

    #[test]
    fn a_wait_past_the_deadline_is_not_begun() {
        let throttled = refused(Class::Throttled { retry_after: Some(secs(60)) });
        assert_eq!(retry().after(&throttled, START, 0.0), Step::GiveUp);
        let server = refused(Class::Server);
        assert_eq!(retry().after(&server, START.after(secs(60)), 0.0), Step::GiveUp);
    }

    #[test]
    fn throttling_counts() {
        let mut retry = retry();
        let throttled = refused(Class::Throttled { retry_after: None });
        let steps: Vec<_> = (0..4).map(|_| retry.after(&throttled, START, 1.0)).collect();
        let wait = |s| again(Change::Nothing, secs(s));
        assert_eq!(steps, [wait(1), wait(2), wait(4), Step::GiveUp]);
        assert_eq!(self::retry().after(&throttled, START, 0.0), again(Change::Nothing, SHORTEST_THROTTLE));
    }

    #[test]
    fn back_off_has_full_jitter_and_a_ceiling() {
        let patience = RetryPolicy { rounds: 40, deadline: secs(10_000), ..RetryPolicy::default() };
        let mut retry = Retry::new(patience, 1, START);
        for expected in [1, 2, 4, 8, 16, 20, 20, 20] {
            let mut other = retry;
            assert_eq!(other.after(&refused(Class::Server), START, 0.0), again(Change::Nothing, secs(0)));
            assert_eq!(retry.after(&refused(Class::Server), START, 1.0), again(Change::Nothing, secs(expected)));
        }
        assert_eq!(retry.after(&refused(Class::Server), START, f64::NAN), again(Change::Nothing, secs(0)));
    }

    #[test]
    fn the_other_host_is_tried_at_once_and_both_again_later() {
        let mut retry = retry();
        let error = unreached(TransportKind::Connect);
        assert_eq!(retry.after(&error, START, 1.0), again(Change::Host, Duration::ZERO));
        assert_eq!(retry.after(&error, START, 1.0), again(Change::Host, secs(1)));
        assert_eq!(retry.after(&error, START, 1.0), again(Change::Host, Duration::ZERO));
        assert_eq!(retry.after(&error, START, 1.0), again(Change::Host, secs(2)));
        for kind in [TransportKind::TooLarge, TransportKind::Local] {
            assert_eq!(self::retry().after(&unreached(kind), START, 1.0), Step::GiveUp);
        }
    }

    #[test]
    fn clock_nonce_and_keys_are_changed_once() {
        let cases = [
            (Class::ClockSkew, Change::Clock(Wall(42_000))),
            (Class::NonceUsed, Change::Nothing),
            (Class::Token, Change::Keys),
            (Class::BadCredentials, Change::Keys),
        ];
        for (class, change) in cases {
            let mut retry = retry();
            assert_eq!(retry.after(&refused(class.clone()), START, 1.0), again(change, Duration::ZERO));
            assert_eq!(retry.after(&refused(class), START, 1.0), Step::GiveUp);
        }
    }

    #[test]
    fn without_a_date_the_clock_stays() {
        let CallError::Refused(mut refusal) = refused(Class::ClockSkew) else { unreachable!() };
        refusal.date = None;
        assert_eq!(retry().after(&CallError::Refused(refusal), START, 1.0), Step::GiveUp);
    }

    #[test]
    fn what_will_not_change_is_not_asked_again() {
        let classes = [
            Class::Denied { action: None },
            Class::NotFound,
            Class::Busy,
            Class::ProductOff,
            Class::BadCall,
            Class::Other,
        ];
        for class in classes {
            assert_eq!(retry().after(&refused(class.clone()), START, 1.0), Step::GiveUp, "{class:?}");
        }
    }

    /// Whatever the order of failures, a call ends.
    #[test]
    fn every_call_ends() {
        let failures = [
            refused(Class::Throttled { retry_after: Some(secs(1)) }),
            refused(Class::ClockSkew),
            refused(Class::NonceUsed),
            refused(Class::Token),
            refused(Class::Server),
            unreached(TransportKind::Dns),
        ];
        for seed in 0..2000 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut retry = retry();
            let mut tries = 1;
            while let Step::Again { .. } = retry.after(&failures[rng.usize(..failures.len())], START, rng.f64()) {
                tries += 1;
                assert!(tries <= 12, "{seed}");
            }
        }
    }
}
