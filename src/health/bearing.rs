//! Which results could change a decision: pure.
//!
//! Nearly every result confirms what is known. Whoever decides need not look again for those, and with a thousand
//! targets that is most of what there is to do.

use crate::model::{Boottime, CheckHealth, CheckState, FailureReason};

/// Tells the results that a decision could depend on from those that only confirm. One for all checks of all targets,
/// shown each of their results.
///
/// A decision goes by the state of a check, by whether its latest result was a success, and by overload (`steer::shed`);
/// by each failure that another address could mend, which may be one beside a success; and by whether its latest success
/// was begun before or after some failure, of whatever target: after one that decided (B4), or after the first of a run
/// (B5).
#[derive(Debug, Clone, Default)]
pub struct Bearing {
    /// The latest of the times that a success may have to be begun after, of all targets ever. It never goes back:
    /// too late a time costs a look, too early a one would miss evidence.
    latest: Option<Boottime>,
}

impl Bearing {
    /// True if a decision could change because a check that stood as `before` stands as `after` now.
    pub fn of(&mut self, before: &CheckHealth, after: &CheckHealth) -> bool {
        let decided = if let CheckState::Down { decided } = after.state { decided } else { None };
        self.latest = self.latest.max(decided).max(after.failing_since).max(after.moving.map(|run| run.first));
        let facts = |c: &CheckHealth| {
            let overload = c.load.overload.map(|run| (run.kind, run.first, run.third, run.lasts));
            let says = c.last.as_ref().and_then(|last| last.outcome.as_ref().err()).map(|failure| failure.reason);
            let load = (overload, says == Some(FailureReason::Overloaded), c.load.passing_since.is_some());
            let runs = (c.successes.map(|run| run.first), c.moving, c.on_the_way);
            (c.state, c.failing_since, c.successes_in_a_row > 0, runs, load)
        };
        let success = before.last_success_started;
        let evidence = success < after.last_success_started && success < self.latest;
        evidence || facts(before) != facts(after)
    }
}
