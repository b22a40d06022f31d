//! What there is to tell of one address that is probed, out of all its checks; and of times.

use std::time::Duration;

use super::schema::{FailureReport, When};
use crate::model::{Boottime, Check, CheckState, Now, TargetHealth};

/// An instant, and how long it is ago.
pub(super) fn when(then: Now, now: Now) -> When {
    When { at: then.wall.to_string(), ago_ms: millis(now.boottime.since(then.boottime)) }
}

/// Whole milliseconds.
pub(super) fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

/// Down since its first check went down; up or unknown since the last one became so.
pub(super) fn since(target: &TargetHealth) -> Option<Now> {
    let summary = target.summary().label();
    let deciding = target.checks.values().filter(|c| c.state.label() == summary).map(|c| c.since);
    match target.summary() {
        CheckState::Down { .. } => deciding.min_by_key(|t| t.boottime),
        CheckState::Up { .. } | CheckState::Unknown => deciding.max_by_key(|t| t.boottime),
    }
}

/// How long the latest probe of the path check took, if that succeeded.
pub(super) fn latency(target: &TargetHealth) -> Option<Duration> {
    let last = target.checks.get(&Check::Path)?.shown.last.as_ref()?;
    Some(last.outcome.as_ref().ok()?.total)
}

/// The latest failure of any check.
pub(super) fn latest_failure(target: &TargetHealth, now: Now) -> Option<FailureReport> {
    let failures = target.checks.iter().filter_map(|(check, h)| Some((*check, h.shown.last_failure.as_ref()?)));
    let (check, (at, failure)) = failures.max_by_key(|(_, (at, _))| at.boottime)?;
    let detail = failure.detail.to_string();
    Some(FailureReport { check, when: when(*at, now), reason: failure.reason, detail })
}

/// For how much longer it is on hold; `None` if it isn't.
pub(super) fn hold(target: &TargetHealth, now: Boottime) -> Option<Duration> {
    match target.summary() {
        CheckState::Up { hold_until: Some(until) } if until > now => Some(until.since(now)),
        _ => None,
    }
}
