//! Which results could change a decision: pure.
//!
//! Nearly every result confirms what is known. Steering need not look again for those, and with a thousand
//! targets that is most of what there is to do.

use crate::model::{Boottime, Check, CheckHealth, CheckState};

/// Tells the results that a decision could depend on from those that only confirm. One for all checks of all targets,
/// shown each of their results.
///
/// A decision goes by the state of a check, by whether its latest result was a success, and by overload
/// (`steer::shed`); by whether its latest success was begun before or after some failure, of whatever target: after one
/// that decided (B4), or after the first of a run (B5); and by whether a failure that another address could mend was
/// begun before or after the same, or some success: the first of a run (which it then lies beside), or, of a login, the
/// latest one; of a login that got no further than the connection, the first of those that decide. A login that was
/// begun after the path's latest failure ends what that says, and the path's next failure says it anew.
#[derive(Debug, Clone, Default)]
pub struct Relevance {
    /// The latest of the times that a success may have to be begun after, of all targets ever. It never goes back:
    /// too late a time costs a look, too early a one would miss evidence.
    failed_at: Option<Boottime>,
    /// The latest of the times that a failure may have to be begun after: when the latest run of successes began, or
    /// the check that it belongs to came up.
    came_up_at: Option<Boottime>,
    /// As `came_up_at`, for failures of deep checks alone: when the latest login that succeeded began.
    logged_in_at: Option<Boottime>,
    /// When the latest failure of a path check began that another address could mend: a login begun since ends it.
    path_failed_at: Option<Boottime>,
}

impl Relevance {
    /// True if a decision could change because a check of this kind that stood as `before` stands as `after` now.
    pub fn changes_a_decision(&mut self, check: Check, before: &CheckHealth, after: &CheckHealth) -> bool {
        self.remember(check, after);
        let success = before.last_success_started;
        let is_evidence = success < after.last_success_started && success < self.failed_at;
        let logged_in = self.logged_in_at.filter(|_| check == Check::Deep);
        let failure = before.moving.map(|run| run.last);
        let decides_anew = check == Check::Deep && after.on_the_way && before.decisive < self.came_up_at;
        let latest = self.failed_at.max(self.came_up_at).max(logged_in);
        let is_beside = before.moving != after.moving && (failure < latest || decides_anew);
        let reaches = check == Check::Deep && success < after.last_success_started && success < self.path_failed_at;
        let fails_again = check == Check::Path
            && before.moving != after.moving
            && self.logged_in_at.is_some_and(|login| failure <= Some(login));
        is_evidence
            || is_beside
            || reaches
            || fails_again
            || Self::decision_inputs(before) != Self::decision_inputs(after)
    }

    /// Keeps the times that later results are compared with.
    fn remember(&mut self, check: Check, after: &CheckHealth) {
        let decided = if let CheckState::Down { decided } = after.state { decided } else { None };
        self.failed_at = self.failed_at.max(decided).max(after.failing_since).max(after.moving.map(|run| run.first));
        let up_since = after.state.is_up().then_some(after.since.boottime);
        self.came_up_at = self.came_up_at.max(up_since).max(after.successes.map(|run| run.first));
        match check {
            Check::Deep => self.logged_in_at = self.logged_in_at.max(after.last_success_started),
            Check::Path => self.path_failed_at = self.path_failed_at.max(after.moving.map(|run| run.last)),
        }
    }

    /// What a decision goes by as it stands.
    fn decision_inputs(check: &CheckHealth) -> impl PartialEq + use<> {
        let overload = check.load.overload.map(|run| (run.kind, run.first, run.third, run.lasts));
        let load = (overload, check.overloaded, check.load.passing_since.is_some());
        let runs = (check.successes.map(|run| run.first), check.moving.map(|run| run.first), check.on_the_way);
        (check.state, check.failing_since, check.successes_in_a_row > 0, check.never_reached, runs, load)
    }
}
