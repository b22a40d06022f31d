//! What of the latest results tells overload that lasts from overload that passes (pure). Steering makes of it what it
//! makes (`steer::shed`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Boottime, Check, FailureReason, Load, OVERLOAD_RAMP, Observation, Overload, OverloadRun};

/// What a result says of the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LoadSign {
    Passed,
    Overloaded(Overload),
    /// Any other failure, or an overload that soon passes.
    Failed,
}

/// Keeps the present run of like results, the latest run of overload, and how long successes took.
#[derive(Debug, Clone, Default)]
pub(super) struct Loads {
    /// How many results are remembered.
    keep: usize,
    /// What each result of the present run says; absent before the first result.
    run: Option<LoadSign>,
    /// Start of the first result of the run.
    began_at: Boottime,
    /// Starts of the latest results of the run, the oldest first; shared with who is told the load.
    starts: Arc<[Boottime]>,
    /// When the third in turn of the run was known.
    third_at: Option<Boottime>,
    /// The latest run of overload, over or not; absent without one since all hosts are back.
    overload: Option<OverloadRun>,
    /// How long the latest successes took, in microseconds, the oldest first.
    durations: VecDeque<u32>,
}

impl Loads {
    /// Results kept of the deep check, by which alone a whole endpoint is overloaded: enough to see three of another
    /// endpoint's in turn, which may run ten times as rarely.
    const KEEP_DEEP: usize = 40;
    /// Results kept of the path check: enough for a median.
    const KEEP_PATH: usize = 10;
    /// How many of the latest successes tell how quick a target is.
    const MEDIAN_OF: usize = Self::KEEP_PATH;
    /// How many like results in turn count, of this target and of its siblings.
    const IN_TURN: usize = 3;
    /// A server that takes so much longer than before is no worse for it, however fast it was.
    const SLOWER: Duration = Duration::from_millis(500);

    pub(super) fn for_check(check: Check) -> Self {
        let keep = match check {
            Check::Path => Self::KEEP_PATH,
            Check::Deep => Self::KEEP_DEEP,
        };
        Self { keep, ..Self::default() }
    }

    /// Takes a result in. A fault of our own says nothing, and one that was overtaken comes too late.
    pub(super) fn observe(&mut self, observation: &Observation, now: Boottime) {
        let said = match &observation.outcome {
            Ok(_) => LoadSign::Passed,
            Err(failure) if failure.reason == FailureReason::Local => return,
            Err(failure) => match failure.overload() {
                Some(kind @ (Overload::NoComputeNode | Overload::WholeAdapter)) => LoadSign::Overloaded(kind),
                Some(Overload::Passing) | None => LoadSign::Failed,
            },
        };
        if self.starts.last().is_some_and(|last| *last > observation.started) {
            return;
        }
        if self.run != Some(said) {
            (self.run, self.began_at, self.third_at) = (Some(said), observation.started, None);
            self.starts = Arc::default();
            if let Some(run) = &mut self.overload {
                run.lasts = false;
            }
        }
        let latest = self.starts.get((self.starts.len() + 1).saturating_sub(self.keep)..).unwrap_or_default();
        self.starts = latest.iter().copied().chain([observation.started]).collect();
        if self.starts.len() == Self::IN_TURN {
            self.third_at = self.third_at.or(Some(now));
        }
        if let LoadSign::Overloaded(kind) = said {
            let first = self.overload.filter(|run| run.lasts).map_or(observation.started, |run| run.first);
            self.overload = Some(OverloadRun { kind, first, third: self.third_at, lasts: true });
        }
        if let Ok(timings) = &observation.outcome {
            let micros = u32::try_from(timings.total.as_micros()).unwrap_or(u32::MAX);
            if self.durations.len() == self.keep {
                self.durations.pop_front();
            }
            self.durations.push_back(micros);
            if observation.started.since(self.began_at) >= OVERLOAD_RAMP {
                // All hosts that left are back: what fails next has nothing to do with it.
                self.overload = None;
            }
        }
    }

    pub(super) fn load(&self) -> Load {
        Load {
            overload: self.overload,
            passing_since: self.third_at.filter(|_| self.run == Some(LoadSign::Passed)),
            slow: self.is_slower_than_before(),
            median: self.median(),
            starts: self.starts.clone(),
        }
    }

    /// The median time of the latest ten successes; absent before there are as many.
    fn median(&self) -> Option<Duration> {
        let latest = self.durations.len().checked_sub(Self::MEDIAN_OF)?;
        let mut latest: Vec<u32> = self.durations.range(latest..).copied().collect();
        latest.sort_unstable();
        latest.get(Self::MEDIAN_OF / 2).map(|micros| Duration::from_micros(u64::from(*micros)))
    }

    /// Whether one of the latest three successes took more than twice the median of those before, and more than half a
    /// second more than it.
    fn is_slower_than_before(&self) -> bool {
        let mut before = Vec::from(self.durations.clone());
        let latest = before.split_off(before.len().saturating_sub(Self::IN_TURN));
        before.sort_unstable();
        let usual = u64::from(before.get(before.len() / 2).copied().unwrap_or_default());
        let slower = u64::try_from(Self::SLOWER.as_micros()).unwrap_or(u64::MAX);
        latest.iter().any(|took| u64::from(*took) > (2 * usual).max(usual + slower))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Failure, Timings};

    fn at(secs: u64) -> Boottime {
        Boottime(Duration::from_secs(secs))
    }

    fn seen(loads: &mut Loads, secs: u64, outcome: Result<u64, Failure>) {
        let outcome = outcome.map(|ms| Timings { total: Duration::from_millis(ms), ..Timings::default() });
        loads.observe(&Observation { started: at(secs), ended: at(secs), outcome }, at(secs));
    }

    fn dead() -> Result<u64, Failure> {
        Err(Failure::overloaded(Overload::NoComputeNode, "x"))
    }

    #[test]
    fn a_run_of_overload_is_told_from_its_beginning_and_remembered() {
        let mut loads = Loads::for_check(Check::Deep);
        assert_eq!(loads.load(), Load::default());
        for secs in [1, 2, 3] {
            assert_eq!(loads.load().passing_since, None);
            seen(&mut loads, secs, Ok(1));
        }
        assert_eq!(loads.load().passing_since, Some(at(3)));
        for secs in 10..200 {
            seen(&mut loads, secs, dead());
        }
        let run = OverloadRun { kind: Overload::NoComputeNode, first: at(10), third: Some(at(12)), lasts: true };
        assert_eq!((loads.load().overload, loads.load().passing_since), (Some(run), None));
        assert_eq!((loads.load().starts.len(), loads.load().starts.last()), (Loads::KEEP_DEEP, Some(&at(199))));
        seen(&mut loads, 200, Err(Failure::new(FailureReason::Local, "x")));
        assert_eq!(loads.load().overload, Some(run), "a fault of our own says nothing");
        seen(&mut loads, 150, Ok(1));
        assert_eq!(loads.load().overload, Some(run), "nor does one that was overtaken");
        seen(&mut loads, 201, Ok(1));
        assert_eq!(loads.load().overload, Some(OverloadRun { lasts: false, ..run }));
        seen(&mut loads, 202, Err(Failure::new(FailureReason::Overloaded, "too many connections")));
        assert_eq!(loads.load().overload, Some(OverloadRun { lasts: false, ..run }), "what passes is no run");
    }

    #[test]
    fn the_median_is_that_of_the_latest_ten() {
        let mut loads = Loads::for_check(Check::Path);
        for n in 1..=9 {
            seen(&mut loads, n, Ok(1));
            assert_eq!(loads.load().median, None);
        }
        seen(&mut loads, 10, Ok(1));
        assert_eq!(loads.load().median, Some(Duration::from_millis(1)));
        for (n, median) in [(11, 1), (12, 1), (13, 1), (14, 1), (15, 1500), (30, 1500)] {
            seen(&mut loads, n, Ok(1500));
            assert_eq!(loads.load().median, Some(Duration::from_millis(median)), "{n}");
        }
        seen(&mut loads, 31, dead());
        assert_eq!(loads.load().median, Some(Duration::from_millis(1500)), "a failure has no time");
    }

    #[test]
    fn an_overload_is_forgotten_once_all_are_back() {
        let mut loads = Loads::for_check(Check::Deep);
        seen(&mut loads, 10, dead());
        for secs in (20..320).step_by(60) {
            seen(&mut loads, secs, Ok(1));
            assert!(loads.load().overload.is_some(), "hosts come back yet at {secs}");
        }
        seen(&mut loads, 319, Err(Failure::new(FailureReason::Refused, "x")));
        seen(&mut loads, 320, Ok(1));
        assert!(loads.load().overload.is_some(), "the way back began anew");
        seen(&mut loads, 620, Ok(1));
        assert_eq!(loads.load().overload, None);
    }

    #[test]
    fn a_path_check_remembers_no_more_than_a_median_needs() {
        let mut loads = Loads::for_check(Check::Path);
        (0..100).for_each(|secs| seen(&mut loads, secs, Ok(1)));
        assert_eq!((loads.starts.len(), loads.durations.len()), (Loads::KEEP_PATH, Loads::KEEP_PATH));
        assert_eq!(loads.load().passing_since, Some(at(2)));
    }

    #[test]
    fn slow_is_what_takes_much_longer_than_before() {
        for (before, latest, slow) in [
            (&[][..], [500, 500, 500], false),
            (&[][..], [501, 1, 1], true),
            (&[10, 10, 10, 900][..], [510, 10, 10], false),
            (&[10, 10, 10, 900][..], [511, 10, 10], true),
            (&[2000, 2000][..], [4000, 4000, 4000], false),
            (&[2000, 2000][..], [2000, 4001, 2000], true),
        ] {
            let mut loads = Loads::for_check(Check::Deep);
            for (secs, ms) in (1..).zip(before.iter().chain(&latest)) {
                seen(&mut loads, secs, Ok(*ms));
            }
            assert_eq!(loads.load().slow, slow, "{latest:?} after {before:?}");
        }
    }
}
