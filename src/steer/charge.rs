//! What speaks against an address.

use std::time::Duration;

use crate::model::{Boottime, Check, CheckHealth, CheckState, Span, TargetHealth};

/// A charge lasts so long before an address that nothing probes is taken to be better.
const TRUST_AFTER: Duration = Duration::from_secs(60);

/// A check by which an address is decidedly down and goes on failing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Charge {
    pub(super) check: Check,
    /// When that was decided.
    pub(super) decided: Boottime,
    /// The latest failures, as far back as each is of the kind that another address mends.
    pub(super) failures: Span,
}

/// The gravest charge against an address, if there is one. A target that has accepted a login since the path's latest
/// failure has been reached: that failure says nothing of now.
pub(super) fn charge(health: Option<&TargetHealth>) -> Option<Charge> {
    let charge_by = |(check, health): (Check, &CheckHealth)| match (health.state, health.moving) {
        (CheckState::Down { decided: Some(decided) }, Some(failures)) if health.successes_in_a_row == 0 => {
            // The path may have been up since that was decided.
            let anew = health.decisive.filter(|_| health.on_the_way && check == Check::Deep);
            Some(Charge { check, decided: anew.map_or(decided, |at| decided.max(at)), failures })
        }
        _ => None,
    };
    let health = health?;
    let logged_in = health.checks.get(&Check::Deep).and_then(|deep| deep.last_success_started);
    let is_over = |charge: &Charge| charge.check == Check::Path && logged_in >= Some(charge.failures.last);
    // In the order of the checks: what is nearer to the wire is graver.
    in_force(health).filter_map(charge_by).find(|charge| !is_over(charge))
}

/// The checks whose verdict is about what they check. A login that got no further than the connection speaks of the
/// path, and what it said is out of date once the path check has come up: from then on it has to be met often enough to
/// decide anew.
pub(super) fn in_force(health: &TargetHealth) -> impl Iterator<Item = (Check, &CheckHealth)> {
    let path_up = health.checks.get(&Check::Path).and_then(|path| match path.state {
        CheckState::Up { .. } => Some(path.since.boottime),
        CheckState::Unknown | CheckState::Down { .. } => None,
    });
    let is_over = move |check: &CheckHealth| {
        let is_old =
            matches!(check.state, CheckState::Down { decided } if decided <= path_up && check.decisive <= path_up);
        path_up.is_some() && check.on_the_way && (is_old || check.moving.map(|run| run.last) <= path_up)
    };
    let checks = health.checks.iter().map(|(check, health)| (*check, health));
    checks.filter(move |(check, health)| *check == Check::Path || !is_over(health))
}

impl Charge {
    /// When an address that nothing probes is taken to be better.
    pub(super) fn trust_at(&self) -> Boottime {
        self.decided.after(TRUST_AFTER)
    }

    /// When the failures began that count.
    pub(super) fn since(&self) -> Boottime {
        self.failures.first
    }
}
