//! What the trackers concluded: one view of all targets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::{Boottime, Certificate, Check, Checks, Failure, FailureReason, Now, Overload, TargetKey, Timings};

/// Every target's health. One `Arc` of it crosses to steering, so that no stage sees half a change.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HealthView {
    /// By target. A target without a probe is absent.
    pub targets: BTreeMap<TargetKey, Arc<TargetHealth>>,
}

/// One target's health, check by check.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TargetHealth {
    /// By check. A success of one check never clears another.
    pub checks: Checks<CheckHealth>,
}

impl TargetHealth {
    /// The check that is much slower than a sibling's at present, the slowest if there are two.
    #[must_use]
    pub fn slow(&self) -> Option<(Check, Slowness)> {
        let slow = self.checks.iter().filter_map(|(check, health)| Some((*check, health.slow?)));
        slow.filter(|(_, slow)| slow.until.is_none()).max_by_key(|(_, slow)| slow.median)
    }

    /// Up only if some check is up and none is down; down if any is; else unknown.
    #[must_use]
    pub fn summary(&self) -> CheckState {
        Self::summary_of(self.checks.values())
    }

    /// The certificate that ends first, with what leads from it to a root, of those its checks were shown last.
    #[must_use]
    pub fn certificate(&self) -> Option<&Certificate> {
        self.checks.values().filter_map(|c| c.shown.certificate.as_deref()).min_by_key(|c| c.ends())
    }

    /// The same of some of the checks.
    pub fn summary_of<'a>(checks: impl IntoIterator<Item = &'a CheckHealth>) -> CheckState {
        let mut summary = CheckState::Unknown;
        for check in checks {
            summary = match (summary, check.state) {
                (_, down @ CheckState::Down { .. }) => return down,
                (CheckState::Unknown, other) => other,
                (CheckState::Up { hold_until: a }, CheckState::Up { hold_until: b }) => {
                    CheckState::Up { hold_until: a.max(b) }
                }
                (up, _) => up,
            };
        }
        summary
    }
}

/// A run of like results of one check: from the start of its first probe to the start of its last one. A long run is
/// remembered by its latest results only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Start of the first probe.
    pub first: Boottime,
    /// Start of the last probe.
    pub last: Boottime,
}

/// Within so long all hosts of a fleet leave an overloaded target one after the other, and come back.
pub const OVERLOAD_RAMP: Duration = Duration::from_secs(300);

/// What tells overload that lasts from overload that passes, of one check. A run is of like results, one after the
/// other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Load {
    /// The latest run of an overload that can be as good as an outage, over or not. Forgotten once successes have gone
    /// on for [`OVERLOAD_RAMP`].
    pub overload: Option<OverloadRun>,
    /// When the third success in turn was known, of the present run of successes.
    pub passing_since: Option<Boottime>,
    /// One of the latest three successes took more than twice the median of those before, and more than 500 ms above
    /// it.
    pub slow: bool,
    /// The median of the latest ten successes, once there are as many.
    pub median: Option<Duration>,
    /// Starts of the latest results of the present run, the oldest first; a long run is remembered by its latest ones.
    pub starts: Arc<[Boottime]>,
}

/// A run of overload of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverloadRun {
    /// Which kind.
    pub kind: Overload,
    /// Start of the first probe that met it.
    pub first: Boottime,
    /// When the third in turn was known.
    pub third: Option<Boottime>,
    /// The latest result is one of it.
    pub lasts: bool,
}

/// How much more slowly a check is answered than the same check of a sibling, by medians of ten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slowness {
    /// Since when it is so.
    pub since: Boottime,
    /// Until when it was, if it is over.
    pub until: Option<Boottime>,
    /// The latest median while it was so.
    pub median: Duration,
    /// The quickest sibling's.
    pub beside: Duration,
}

/// Up or down, after hysteresis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CheckState {
    /// Not yet decided.
    #[default]
    Unknown,
    /// Answers.
    Up {
        /// Set while a recovered target is still on hold: names return to it from then on.
        hold_until: Option<Boottime>,
    },
    /// Does not answer as it should.
    Down {
        /// When the deciding (`fall`-th) failure that can move a name was known. `None` while the latest ones are of
        /// the kind that no other zone mends, however it began.
        decided: Option<Boottime>,
    },
}

impl CheckState {
    /// True for [`Self::Up`], on hold or not.
    #[must_use]
    pub fn is_up(self) -> bool {
        matches!(self, Self::Up { .. })
    }

    /// True for [`Self::Down`], decidedly or not.
    #[must_use]
    pub fn is_down(self) -> bool {
        matches!(self, Self::Down { .. })
    }

    /// `unknown`, `up` or `down`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up { .. } => "up",
            Self::Down { .. } => "down",
        }
    }
}

/// One check of one target: what decisions go by, and apart from it what is only shown.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CheckHealth {
    /// After hysteresis.
    pub state: CheckState,
    /// Since when it is so.
    pub since: Now,
    /// Start of the first failure of the present run of failures, if the latest result is a failure.
    pub failing_since: Option<Boottime>,
    /// Successes in a row up to the latest result, in the order of starts.
    pub successes_in_a_row: u32,
    /// Start of the latest-begun probe that succeeded: what counts as evidence (B4).
    pub last_success_started: Option<Boottime>,
    /// The latest run of successes, over or not.
    pub successes: Option<Span>,
    /// Start of the first probe that succeeded after a sibling's trouble called for one, the latest such call.
    pub proved: Option<Boottime>,
    /// The latest run of failures that another address could mend, over or not. It ends with a success, and with a
    /// failure of another kind: what came before that is no evidence of now.
    pub moving: Option<Span>,
    /// Start of the first of its latest failures that are enough to decide (`fall`); absent while it has fewer.
    pub decisive: Option<Boottime>,
    /// The check fails at present, and each of `moving` was met on the way: it says nothing of what the check is about,
    /// and nothing at all once the path check has passed since.
    pub on_the_way: bool,
    /// Of a check that is not judged yet and has never passed: when it was last seen that an attempt has no connection,
    /// since that failed or has been sought for `fast_interval`. Not set once one is connected.
    pub never_reached: Option<Boottime>,
    /// The latest result says that the target is overloaded.
    pub overloaded: bool,
    /// Overload that lasts.
    pub load: Load,
    /// Set while it is much slower than a sibling's, and for a while after.
    pub slow: Option<Slowness>,
    /// What observers show besides.
    pub shown: CheckShown,
}

impl CheckHealth {
    /// A check that has no result yet.
    #[must_use]
    pub fn unknown(since: Now) -> Self {
        Self { since, ..Self::default() }
    }
}

/// What observers show of a check. No decision goes by it, so a change of it wakes no stage that decides.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CheckShown {
    /// The latest result.
    pub last: Option<LastResult>,
    /// The latest failure, kept after the recovery for people.
    pub last_failure: Option<(Now, Failure)>,
    /// The certificate that was shown last, of a check with TLS.
    pub certificate: Option<Arc<Certificate>>,
    /// What people should know of how this target is asked, although nothing is wrong with its answers.
    pub remark: Option<Arc<str>>,
    /// Counters since the probe task began.
    pub stats: CheckStats,
}

impl CheckShown {
    /// Why the latest result is a failure, if it is one.
    #[must_use]
    pub fn failing(&self) -> Option<&Failure> {
        self.last.as_ref()?.outcome.as_ref().err()
    }
}

/// The result of the latest finished probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastResult {
    /// When it was known.
    pub at: Now,
    /// Phase times, or why not.
    pub outcome: Result<Timings, Failure>,
}

/// Upper bounds of the buckets of `probe_duration_seconds`; the last is +Inf, unwritten.
pub const DURATION_BUCKETS: [Duration; 7] = [
    Duration::from_micros(500),
    Duration::from_millis(2),
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(5),
];

/// What is counted for metrics.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CheckStats {
    /// Finished probes.
    pub probes: u64,
    /// Failed ones by reason.
    pub failures: BTreeMap<FailureReason, u64>,
    /// Durations of the successful ones: a count a bucket (not cumulative), +Inf last.
    pub durations: [u64; DURATION_BUCKETS.len() + 1],
    /// Sum of the durations of the successful ones.
    pub duration_sum: Duration,
    /// Times the state changed between up and down.
    pub transitions: u64,
    /// By how much the latest regular probe started later than scheduled.
    pub late: Duration,
}

impl CheckStats {
    /// Counts one finished probe.
    pub fn count(&mut self, outcome: &Result<Timings, Failure>) {
        self.probes += 1;
        match outcome {
            Ok(t) => {
                let bucket = DURATION_BUCKETS.iter().position(|b| t.total <= *b).unwrap_or(DURATION_BUCKETS.len());
                self.durations[bucket] += 1;
                self.duration_sum += t.total;
            }
            Err(f) => *self.failures.entry(f.reason).or_default() += 1,
        }
    }
}
