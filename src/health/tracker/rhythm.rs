//! When a check is to be made next.

use std::time::Duration;

use super::super::pace::{Pace, Sparing};
use super::{Next, Tracker};
use crate::model::{Boottime, Check, CheckState, Returns, Schedule};

impl Tracker {
    pub(super) fn next(&self, now: Boottime) -> Next {
        match self.pace {
            Pace::Scheduled => self.no_later_than_the_hold_ends(self.scheduled(now), now),
            _ if !self.may_begin() => Next::OnAnswer,
            Pace::Sparing(sparing) => self.sparing(sparing, now),
            Pace::Resting(rest) => {
                let rest = self.pace_set_at.after(rest).since(now);
                match self.scheduled(now) {
                    Next::Regular(wait) if wait > rest => Next::Regular(wait),
                    Next::Regular(_) | Next::Edge(_) | Next::OnAnswer => Next::Edge(rest),
                }
            }
        }
    }

    /// See [`Sparing`].
    fn sparing(&self, sparing: Sparing, now: Boottime) -> Next {
        let Schedule { interval, fast_interval, .. } = self.rules.schedule;
        let until = |wait: Duration| {
            let apart = self.last_answered.map_or(now, |at| at.after(sparing.apart));
            self.last_begun.after(wait).max(apart).since(now)
        };
        if self.is_rising() || (!self.is_down() && self.run.failures > 0) {
            Next::Edge(until(fast_interval))
        } else if self.is_down() {
            let since = self.health.since.boottime.max(self.proof_wanted_since.unwrap_or_default());
            Next::Regular(until(Sparing::interval_while_down(now.since(since)).max(interval)))
        } else {
            Next::Regular(until(sparing.interval_while_settled(interval)))
        }
    }

    /// An edge begins with a failure, or with a probe unanswered for `fast_interval`; then the next probe starts
    /// every `fast_interval` without waiting. A success ends it, and so does the verdict.
    fn scheduled(&self, now: Boottime) -> Next {
        let Schedule { interval, fast_interval, .. } = self.rules.schedule;
        let until = |wait: Duration| self.last_begun.after(wait).since(now);
        let newest_success = self.health.last_success_started;
        let unanswered = self.in_flight.iter().any(|s| newest_success.is_none_or(|n| *s > n));
        let settled_down = matches!(self.health.state, CheckState::Down { decided: Some(_) });
        let hedged = !settled_down && (unanswered || (self.run.failures > 0 && !self.is_down()));
        // The next results tell whether the link loses packets.
        let suspicious = self.packets.suspects() && !self.is_down();
        if !self.may_begin() || (settled_down && unanswered) {
            Next::OnAnswer
        } else if self.is_rising() || hedged || suspicious {
            Next::Edge(until(fast_interval))
        } else if self.proves_itself(now) {
            Next::Edge(until(interval.min(2 * fast_interval)))
        } else if settled_down && self.rules.check == Check::Deep {
            Next::Regular(until(self.retry().min(interval)))
        } else {
            Next::Regular(until(interval))
        }
    }

    /// The success that ends a hold is of a probe that begins as soon as it may.
    fn no_later_than_the_hold_ends(&self, next: Next, now: Boottime) -> Next {
        let ends = self.hold_ends.filter(|ends| self.last_begun < *ends && self.rules.check == Check::Path);
        match (ends.map(|ends| ends.since(now)), next) {
            (Some(rest), Next::Regular(wait) | Next::Edge(wait)) if rest < wait => Next::Edge(rest),
            (_, next) => next,
        }
    }

    /// How long the end of a hold is put off for the result of the probe that begins then: the target may have died a
    /// moment before. A login is too rare for that.
    pub(super) fn time_to_prove_itself(&self) -> Duration {
        match self.rules.check {
            Check::Path => self.rules.schedule.timeout + self.rules.schedule.fast_interval,
            Check::Deep => Duration::ZERO,
        }
    }

    /// How long after a login that failed the next one is due.
    fn retry(&self) -> Duration {
        let Returns { retry, apart, .. } = self.rules.returns;
        retry.saturating_mul(1 << self.retries.min(30)).max(apart)
    }

    /// Up again for so short a time that what flaps would show: a hold is worth what is probed meanwhile.
    fn proves_itself(&self, now: Boottime) -> bool {
        const LONGEST: Duration = Duration::from_secs(10);
        let held = matches!(self.health.state, CheckState::Up { hold_until: Some(until) } if until > now);
        held && self.rules.check == Check::Path && now.since(self.health.since.boottime) < self.rules.hold.min(LONGEST)
    }
}
