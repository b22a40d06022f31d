//! Which results could change a decision: pure.
//!
//! Nearly every result confirms what is known. Whoever decides need not look again for those, and with a thousand
//! targets that is most of what there is to do.

use crate::model::{Boottime, CheckHealth, CheckState, Span};

/// Tells the results that a decision could depend on from those that only confirm. One for all checks of all targets,
/// shown each of their results.
///
/// A decision goes by the state of a check, since when it fails and whether its latest result was a success; and by
/// whether its latest success was begun before or after some failure, of whatever target: after one that decided (B4),
/// or after the first of a run (B5); and by whether anybody succeeded while a target failed, which is told by where
/// runs begin and how far they go; and by overload that lasts here and successes in turn there (`steer::shed`).
#[derive(Debug, Clone, Default)]
pub struct Bearing {
    /// The latest of the times that a success may have to be begun after, of all targets ever. It never goes back:
    /// too late a time costs a look, too early a one would miss evidence.
    latest: Option<Boottime>,
    /// When the latest run of successes began: a failure after it is beside a success.
    begun: Option<Boottime>,
}

impl Bearing {
    /// True if a decision could change because a check that stood as `before` stands as `after` now.
    pub fn of(&mut self, before: &CheckHealth, after: &CheckHealth) -> bool {
        let decided = if let CheckState::Down { decided } = after.state { decided } else { None };
        self.latest = self.latest.max(decided).max(after.failing_since);
        self.begun = self.begun.max(after.successes.map(|run| run.first));
        let beside = before.moving != after.moving && before.moving.map(|run| run.last) < self.begun;
        let first = |run: Option<Span>| run.map(|run| run.first);
        let facts = |c: &CheckHealth| {
            let overload = c.load.overload.map(|run| (run.kind, run.first, run.third, run.lasts));
            let load = (overload, c.load.passing_since.is_some());
            (
                c.state,
                c.failing_since,
                (c.successes_in_a_row > 0, c.on_the_way),
                first(c.successes),
                first(c.moving),
                load,
            )
        };
        let success = before.last_success_started;
        let evidence = success < after.last_success_started && success < self.latest;
        evidence || beside || facts(before) != facts(after)
    }
}
