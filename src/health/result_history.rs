//! The latest results in the order in which their probes started.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::{Boottime, FailureReason, Observation, Span};

/// Probes overlap at an edge, so results arrive out of order. They are kept sorted by start and every run is counted
/// on the sorted list: whatever the order of arrival, the same results give the same runs.
#[derive(Debug, Clone, Default)]
pub(super) struct ResultHistory {
    results: VecDeque<Entry>,
    /// Start of the first result of the run that the oldest kept one belongs to, if that is longer than what is kept.
    began: Option<Boottime>,
    /// The same of the run of results with the same verdict.
    verdict_began: Option<Boottime>,
}

/// Kept by the dozen for each check, and so no larger than it has to be.
#[derive(Debug, Clone, Copy)]
struct Entry {
    started_ns: u64,
    verdict: Verdict,
    on_the_way: bool,
}

impl Entry {
    fn new(started: Boottime, verdict: Verdict, on_the_way: bool) -> Self {
        Self { started_ns: u64::try_from(started.0.as_nanos()).unwrap_or(u64::MAX), verdict, on_the_way }
    }

    fn started(self) -> Boottime {
        Boottime(Duration::from_nanos(self.started_ns))
    }

    fn succeeded(self) -> bool {
        self.verdict == Verdict::Success
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Success,
    /// A failure that another zone can mend.
    Moving,
    /// One that it can't: a wrong password, an overload.
    Staying,
}

/// The results up to the latest-begun one that are all alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Run {
    pub(super) successes: u32,
    pub(super) failures: u32,
    /// The latest of the failures, as far back as another zone could mend each of them.
    pub(super) moving: u32,
    /// The latest of the failures, as far back as no other zone could mend any of them.
    pub(super) staying: u32,
    /// Each of `moving` was met on the way to what is checked.
    pub(super) on_the_way: bool,
    /// Start of the first failure of the run.
    pub(super) failing_since: Option<Boottime>,
}

impl ResultHistory {
    /// More than any threshold plus all that can be in flight (both at most 20).
    const KEEP: usize = 64;

    /// Takes a result in that says something about the target.
    pub(super) fn insert(&mut self, observation: &Observation) {
        let verdict = match &observation.outcome {
            Ok(_) => Verdict::Success,
            // Of our own only what holds for this one address is said of it.
            Err(f) if f.reason.moves_a_name() || f.reason == FailureReason::Local => Verdict::Moving,
            Err(_) => Verdict::Staying,
        };
        let on_the_way = observation.outcome.as_ref().is_err_and(|f| f.on_the_way);
        let entry = Entry::new(observation.started, verdict, on_the_way);
        let at = self.results.partition_point(|e| e.started_ns <= entry.started_ns);
        if self.results.len() < Self::KEEP {
            self.results.insert(at, entry);
            return;
        }
        // Room is made first: for one more than is kept the list would take twice the memory.
        let forgotten = match at.checked_sub(1) {
            Some(at) => {
                let forgotten = self.results.pop_front();
                self.results.insert(at, entry);
                forgotten.unwrap_or(entry)
            }
            None => entry,
        };
        self.note_forgotten(forgotten);
    }

    fn note_forgotten(&mut self, forgotten: Entry) {
        let Some(oldest) = self.results.front() else { return };
        let began = |same: bool, began: Option<Boottime>| same.then(|| began.unwrap_or(forgotten.started()));
        self.began = began(oldest.succeeded() == forgotten.succeeded(), self.began);
        self.verdict_began = began(oldest.verdict == forgotten.verdict, self.verdict_began);
    }

    pub(super) fn present_run(&self) -> Run {
        let mut run = Run::default();
        for entry in self.results.iter().rev() {
            match entry.verdict {
                Verdict::Success if run.failures > 0 => break,
                Verdict::Success => run.successes += 1,
                _ if run.successes > 0 => break,
                failure => {
                    let (moving, staying) =
                        (u32::from(failure == Verdict::Moving), u32::from(failure == Verdict::Staying));
                    if failure == Verdict::Moving && run.moving == run.failures {
                        run.on_the_way = entry.on_the_way && (run.on_the_way || run.moving == 0);
                    }
                    run.moving += moving * u32::from(run.moving == run.failures);
                    run.staying += staying * u32::from(run.staying == run.failures);
                    run.failures += 1;
                    run.failing_since = Some(entry.started());
                }
            }
        }
        if run.failures > 0 && run.failures as usize == self.results.len() {
            run.failing_since = self.began.or(run.failing_since);
        }
        run
    }

    /// The latest run of successes, as far back as results are remembered, over or not.
    pub(super) fn latest_successes(&self) -> Option<Span> {
        self.latest_run(Verdict::Success)
    }

    /// The same of failures that another zone could mend, one right after the other.
    pub(super) fn latest_moving(&self) -> Option<Span> {
        self.latest_run(Verdict::Moving)
    }

    /// Start of the first of so many latest failures that another zone could mend, one right after the other; `None` if
    /// the latest such run has fewer.
    pub(super) fn first_of_latest_moving(&self, many: u32) -> Option<Boottime> {
        let end = self.results.iter().rposition(|entry| entry.verdict == Verdict::Moving)?;
        let first = (end + 1).checked_sub(many as usize)?;
        let all = self.results.range(first..=end).all(|entry| entry.verdict == Verdict::Moving);
        all.then(|| self.results[first].started())
    }

    /// The latest results of this verdict, one right after the other.
    fn latest_run(&self, verdict: Verdict) -> Option<Span> {
        let end = self.results.iter().rposition(|entry| entry.verdict == verdict)?;
        let first =
            self.results.range(..end).rposition(|entry| entry.verdict != verdict).map_or(0, |before| before + 1);
        // A run that is longer than what is kept has its beginning all the same.
        let began = self.verdict_began.filter(|_| first == 0).unwrap_or(self.results[first].started());
        Some(Span { first: began, last: self.results[end].started() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Failure, Timings};

    fn at(secs: u64) -> Boottime {
        Boottime(Duration::from_millis(secs * 1_000 + 1))
    }

    fn insert(history: &mut ResultHistory, secs: u64, outcome: Result<(), FailureReason>) {
        let outcome = outcome.map(|()| Timings::default()).map_err(|reason| Failure::new(reason, "x"));
        history.insert(&Observation { started: at(secs), ended: at(secs), outcome });
    }

    #[test]
    fn a_full_history_takes_a_kilobyte_and_knows_how_its_run_began() {
        let mut history = ResultHistory::default();
        insert(&mut history, 0, Err(FailureReason::Refused));
        (1..1_000).for_each(|secs| insert(&mut history, secs, Ok(())));
        assert_eq!((history.results.len(), history.results.capacity()), (ResultHistory::KEEP, ResultHistory::KEEP));
        assert_eq!(size_of::<Entry>(), 16);
        assert_eq!(history.latest_successes(), Some(Span { first: at(1), last: at(999) }));
        assert_eq!(history.latest_moving(), None);
    }

    #[test]
    fn a_full_history_takes_late_results_in_where_they_belong() {
        let full = || {
            let mut history = ResultHistory::default();
            (100..164).for_each(|n| insert(&mut history, n * 10, Err(FailureReason::Refused)));
            history
        };
        let mut older_than_all = full();
        insert(&mut older_than_all, 1, Ok(()));
        assert_eq!(older_than_all.present_run(), full().present_run());
        let mut older = full();
        insert(&mut older, 1, Err(FailureReason::Refused));
        assert_eq!(older.present_run().failing_since, Some(at(1)), "of the same run");
        let mut second = full();
        insert(&mut second, 1_001, Ok(()));
        assert_eq!(second.present_run().failing_since, Some(at(1_010)), "what came before is forgotten");
        let mut latest = full();
        insert(&mut latest, 2_000, Ok(()));
        assert_eq!((latest.present_run().successes, latest.results.len()), (1, ResultHistory::KEEP));
        assert_eq!(latest.latest_moving(), Some(Span { first: at(1_000), last: at(1_630) }));
    }
}
