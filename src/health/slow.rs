//! A target that answers, and much more slowly than a sibling (pure). It is shown, and is not taken for down: steering
//! makes of it what it makes (`steer::slow`).

use std::time::Duration;

use crate::model::{Boottime, Slowness};

/// So many times as long as a sibling's median, and so much longer.
const TIMES: u32 = 5;
const LONGER: Duration = Duration::from_millis(500);
/// How long the end of it is remembered: all of a fleet have returned by then.
const MEMORY: Duration = Duration::from_secs(300);

/// Anything below can't be slow.
pub const NEVER_BELOW: Duration = LONGER;

/// What is to be said of a check with this median, the quickest of its siblings having that one.
#[must_use]
pub fn judge(
    before: Option<Slowness>,
    median: Option<Duration>,
    quickest_sibling: Option<Duration>,
    now: Boottime,
) -> Option<Slowness> {
    let is_slow = |median: &Duration, beside: &Duration| *median > *beside * TIMES && *median > *beside + LONGER;
    match median.zip(quickest_sibling).filter(|(median, beside)| is_slow(median, beside)) {
        Some((median, beside)) => {
            let lasting = before.filter(|slow| slow.until.is_none());
            Some(Slowness { since: lasting.map_or(now, |slow| slow.since), until: None, median, beside })
        }
        None => {
            let over = before.map(|slow| Slowness { until: slow.until.or(Some(now)), ..slow });
            over.filter(|slow| slow.until.is_some_and(|until| now < until.after(MEMORY)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Boottime {
        Boottime(Duration::from_secs(secs))
    }

    #[test]
    fn slow_is_five_times_and_half_a_second_longer_than_a_sibling() {
        let ms = Duration::from_millis;
        for (median, beside, slow) in [
            (Some(1500), Some(2), true),
            (Some(502), Some(2), false),
            (Some(503), Some(2), true),
            (Some(1000), Some(200), false),
            (Some(1001), Some(200), true),
            (Some(1500), None, false),
            (None, Some(2), false),
        ] {
            let found = judge(None, median.map(ms), beside.map(ms), at(1));
            assert_eq!(found.is_some(), slow, "{median:?} beside {beside:?}");
        }
    }

    #[test]
    fn its_beginning_and_its_end_are_remembered_and_the_end_for_five_minutes() {
        let (slow, quick) = (Some(Duration::from_secs(1)), Some(Duration::from_millis(1)));
        let first = judge(None, slow, quick, at(10));
        let later = judge(first, slow, quick, at(20)).unwrap();
        assert_eq!((later.since, later.until), (at(10), None));
        let over = judge(Some(later), quick, quick, at(30));
        assert_eq!(over.map(|s| (s.since, s.until)), Some((at(10), Some(at(30)))));
        assert_eq!(judge(over, quick, quick, at(329)), over);
        assert_eq!(judge(over, quick, quick, at(330)), None);
        assert_eq!(judge(over, slow, quick, at(40)).map(|s| (s.since, s.until)), Some((at(40), None)));
    }
}
