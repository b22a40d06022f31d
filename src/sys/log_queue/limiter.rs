//! How many lines others can make us write. Pure: the time comes in.
//!
//! Every kind of line has a token bucket of its own, so that a flood of one kind hides no other kind. What finds its
//! bucket empty is left out and counted, and the count is told from time to time. The kinds are bounded, too.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use crate::model::Boottime;

/// Lines of one kind that may come at once.
pub(super) const BURST: u32 = 10;
/// After a burst, the time for each further line of the kind.
pub(super) const REFILL: Duration = Duration::from_secs(10);
/// Kinds that have a bucket of their own: what happens to each name and each target of the largest config is several of
/// them, and all may change in one moment. The others share one.
pub(super) const MAX_KINDS: usize = 32_768;

/// The buckets by kind. `S` is what a kind's summary is made of.
#[derive(Debug)]
pub(super) struct Limiter<K, S> {
    kinds: HashMap<K, Bucket<S>>,
    rest: Bucket<S>,
    /// When idle kinds may be looked for again: a flood of new ones must not make every line cost a look at all.
    next_sweep: Boottime,
}

/// Lines of one kind that were left out since the last summary.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Summary<S> {
    /// How many.
    pub(super) count: u64,
    /// What was remembered of the kind; `None` for lines of many kinds.
    pub(super) sample: Option<S>,
}

/// A token bucket, as the time at which it will be full again.
#[derive(Debug)]
struct Bucket<S> {
    full_at: Boottime,
    left_out: u64,
    sample: Option<S>,
}

impl<S> Default for Bucket<S> {
    fn default() -> Self {
        Self { full_at: Boottime::default(), left_out: 0, sample: None }
    }
}

impl<S> Bucket<S> {
    fn admits(&mut self, now: Boottime) -> bool {
        if self.full_at.since(now) > REFILL * (BURST - 1) {
            self.left_out += 1;
            return false;
        }
        self.full_at = self.full_at.max(now).after(REFILL);
        true
    }

    /// Full, and nothing to tell: a new one would be the same.
    fn is_idle(&self, now: Boottime) -> bool {
        self.full_at <= now && self.left_out == 0
    }
}

impl<S: Clone> Bucket<S> {
    fn summary(&mut self) -> Option<Summary<S>> {
        let count = std::mem::take(&mut self.left_out);
        (count > 0).then(|| Summary { count, sample: self.sample.clone() })
    }
}

impl<K, S> Default for Limiter<K, S> {
    fn default() -> Self {
        Self { kinds: HashMap::new(), rest: Bucket::default(), next_sweep: Boottime::default() }
    }
}

impl<K: Eq + Hash, S: Clone> Limiter<K, S> {
    /// Whether a line of this kind that comes now is written; else it is only counted.
    pub(super) fn admits(&mut self, kind: K, now: Boottime) -> bool {
        if let Some(bucket) = self.kinds.get_mut(&kind) {
            return bucket.admits(now);
        }
        if self.kinds.len() >= MAX_KINDS && self.next_sweep <= now {
            self.kinds.retain(|_, bucket| !bucket.is_idle(now));
            self.next_sweep = now.after(REFILL);
        }
        if self.kinds.len() >= MAX_KINDS {
            return self.rest.admits(now);
        }
        self.kinds.entry(kind).or_default().admits(now)
    }

    /// Remembers what an admitted line of this kind was like.
    pub(super) fn remember(&mut self, kind: &K, sample: S) {
        if let Some(bucket) = self.kinds.get_mut(kind) {
            bucket.sample = Some(sample);
        }
    }

    /// What was left out since the last call, by kind.
    pub(super) fn summaries(&mut self, now: Boottime) -> Vec<Summary<S>> {
        let buckets = self.kinds.values_mut().chain([&mut self.rest]);
        let summaries = buckets.filter_map(Bucket::summary).collect();
        self.kinds.retain(|_, bucket| !bucket.is_idle(now));
        summaries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Boottime {
        Boottime(Duration::from_secs(1_000_000 + seconds))
    }

    fn admitted(limiter: &mut Limiter<usize, &str>, kind: usize, now: Boottime, lines: u32) -> u32 {
        (0..lines).map(|_| u32::from(limiter.admits(kind, now))).sum()
    }

    #[test]
    fn a_burst_passes_then_one_each_time_and_the_rest_is_counted() {
        let mut limiter = Limiter::default();
        assert_eq!(admitted(&mut limiter, 1, at(0), 85_000), BURST);
        limiter.remember(&1, "options");
        assert_eq!(limiter.summaries(at(0)), [Summary { count: 85_000 - u64::from(BURST), sample: Some("options") }]);
        assert_eq!(limiter.summaries(at(1)), [], "told once");
        assert_eq!(admitted(&mut limiter, 1, at(9), 5), 0);
        assert_eq!(admitted(&mut limiter, 1, at(10), 5), 1);
        assert_eq!(admitted(&mut limiter, 1, at(30), 5), 2);
        assert_eq!(limiter.summaries(at(30)), [Summary { count: 5 + 4 + 3, sample: Some("options") }]);
        assert_eq!(admitted(&mut limiter, 1, at(10_000), 50), BURST, "a quiet kind has its burst again");
    }

    #[test]
    fn a_flood_of_one_kind_hides_no_other() {
        let mut limiter = Limiter::default();
        admitted(&mut limiter, 1, at(0), 1_000);
        assert_eq!(admitted(&mut limiter, 2, at(0), BURST), BURST);
    }

    #[test]
    fn a_slow_kind_is_never_limited() {
        let mut limiter = Limiter::default();
        for n in 0..100 {
            assert_eq!(admitted(&mut limiter, 1, at(10 * n), 1), 1, "{n}");
        }
    }

    #[test]
    fn kinds_without_number_share_one_bucket_until_others_are_idle() {
        let mut limiter = Limiter::default();
        let all: u32 = (0..50_000).map(|kind| admitted(&mut limiter, kind, at(0), 1)).sum();
        assert_eq!(all, u32::try_from(MAX_KINDS).unwrap() + BURST);
        assert_eq!(limiter.kinds.len(), MAX_KINDS);
        let left_out = 50_000 - u64::from(all);
        assert_eq!(limiter.summaries(at(0)), [Summary { count: left_out, sample: None }]);
        assert_eq!(admitted(&mut limiter, 50_000, at(10), BURST), BURST);
        assert_eq!(limiter.kinds.len(), 1);
        assert_eq!(limiter.summaries(at(1_000)), []);
        assert!(limiter.kinds.is_empty());
    }

    #[test]
    fn a_clock_that_goes_back_costs_a_burst_at_most() {
        let mut limiter = Limiter::default();
        admitted(&mut limiter, 1, at(1_000), 1);
        assert_eq!(admitted(&mut limiter, 1, at(0), 50), 0);
        assert_eq!(admitted(&mut limiter, 1, at(1_010), 50), BURST);
    }
}
