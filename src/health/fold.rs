//! The latest results in the order in which their probes started.

use std::collections::VecDeque;

use crate::model::{Boottime, FailureReason, Observation, Span};

/// Probes overlap at an edge, so results arrive out of order. They are kept sorted by start and every run is counted
/// on the sorted list: whatever the order of arrival, the same results give the same runs.
#[derive(Debug, Clone, Default)]
pub(super) struct Fold {
    results: VecDeque<Entry>,
    /// Start of the first result of the run that the oldest kept one belongs to, if that is longer than what is kept.
    began: Option<Boottime>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    started: Boottime,
    verdict: Verdict,
}

impl Entry {
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
    /// Those among the failures that another zone can mend.
    pub(super) moving: u32,
    /// Start of the first failure of the run.
    pub(super) failing_since: Option<Boottime>,
}

/// The latest run of either kind, as far back as results are remembered. One of the two is still going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Runs {
    pub(super) successes: Option<Span>,
    pub(super) failures: Option<Span>,
}

impl Fold {
    /// More than any threshold plus all that can be in flight (both at most 20).
    const KEEP: usize = 64;

    /// Takes a result in. A fault of our own says nothing about the target and is left out.
    pub(super) fn insert(&mut self, observation: &Observation) {
        let verdict = match &observation.outcome {
            Ok(_) => Verdict::Success,
            Err(f) if f.reason == FailureReason::Local => return,
            Err(f) if f.reason.moves_a_name() => Verdict::Moving,
            Err(_) => Verdict::Staying,
        };
        let at = self.results.partition_point(|e| e.started <= observation.started);
        self.results.insert(at, Entry { started: observation.started, verdict });
        if self.results.len() > Self::KEEP {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(forgotten) = self.results.pop_front() else { return };
        let same_run = self.results.front().is_some_and(|oldest| oldest.succeeded() == forgotten.succeeded());
        self.began = same_run.then(|| self.began.unwrap_or(forgotten.started));
    }

    pub(super) fn run(&self) -> Run {
        let mut run = Run::default();
        for entry in self.results.iter().rev() {
            match entry.verdict {
                Verdict::Success if run.failures > 0 => break,
                Verdict::Success => run.successes += 1,
                _ if run.successes > 0 => break,
                failure => {
                    run.failures += 1;
                    run.moving += u32::from(failure == Verdict::Moving);
                    run.failing_since = Some(entry.started);
                }
            }
        }
        if run.failures > 0 && run.failures as usize == self.results.len() {
            run.failing_since = self.began.or(run.failing_since);
        }
        run
    }

    pub(super) fn runs(&self) -> Runs {
        let mut runs = Runs::default();
        let mut newer = None;
        for (i, entry) in self.results.iter().enumerate().rev() {
            let succeeded = entry.succeeded();
            // A run that is longer than what is kept has its beginning all the same.
            let started = self.began.filter(|_| i == 0).unwrap_or(entry.started);
            let run = if succeeded { &mut runs.successes } else { &mut runs.failures };
            match run {
                Some(span) if newer == Some(succeeded) => span.first = started,
                // An older run of this kind, behind one of the other.
                Some(_) => break,
                None => *run = Some(Span { first: started, last: entry.started }),
            }
            newer = Some(succeeded);
        }
        runs
    }

    /// Start of the latest-begun success that is remembered.
    pub(super) fn last_success_started(&self) -> Option<Boottime> {
        self.results.iter().rev().find(|e| e.verdict == Verdict::Success).map(|e| e.started)
    }
}
