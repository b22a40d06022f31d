//! The latest results in the order in which their probes started.

use std::collections::VecDeque;

use crate::model::{Boottime, FailureReason, Observation, Span};

/// Probes overlap at an edge, so results arrive out of order. They are kept sorted by start and every run is counted
/// on the sorted list: whatever the order of arrival, the same results give the same runs.
#[derive(Debug, Clone, Default)]
pub(super) struct Fold {
    results: VecDeque<Entry>,
    /// Start of the first failure of a run that is longer than what is kept.
    failing_since: Option<Boottime>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    started: Boottime,
    verdict: Verdict,
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
            let forgotten = self.results.pop_front().filter(|e| e.verdict != Verdict::Success);
            self.failing_since = forgotten.map(|e| self.failing_since.unwrap_or(e.started));
        }
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
            run.failing_since = self.failing_since.or(run.failing_since);
        }
        run
    }

    pub(super) fn runs(&self) -> Runs {
        let mut runs = Runs::default();
        let mut newer = None;
        for entry in self.results.iter().rev() {
            let succeeded = entry.verdict == Verdict::Success;
            let run = if succeeded { &mut runs.successes } else { &mut runs.failures };
            match run {
                Some(span) if newer == Some(succeeded) => span.first = entry.started,
                // An older run of this kind, behind one of the other.
                Some(_) => break,
                None => *run = Some(Span::at(entry.started)),
            }
            newer = Some(succeeded);
        }
        // A run of failures that is longer than what is kept has its beginning all the same.
        if let (Some(failures), Some(oldest)) = (&mut runs.failures, self.results.front())
            && oldest.verdict != Verdict::Success
            && failures.first == oldest.started
        {
            failures.first = self.failing_since.unwrap_or(failures.first);
        }
        runs
    }

    /// Start of the latest-begun success that is remembered.
    pub(super) fn last_success_started(&self) -> Option<Boottime> {
        self.results.iter().rev().find(|e| e.verdict == Verdict::Success).map(|e| e.started)
    }
}
