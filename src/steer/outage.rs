//! What the addresses of a name say when none of them answers: for the event that calls an admin.

use std::fmt::Write as _;

use super::candidate::{Candidate, Candidates};
use crate::model::{Answer, AnswerReason, CheckState, Outage, TargetHealth};

/// Of so many addresses at most.
const MOST: usize = 8;

/// True if this answer tells of an outage. A zone's own name tells of none: that its zone is down need not trouble any
/// other. What fails where it is published may work where no name leads for that: that is none either.
pub(super) fn is_out(candidates: &Candidates, answer: &Answer) -> bool {
    let works = |c: &Candidate| c.health.as_deref().is_some_and(|health| down_since(health).is_none());
    !candidates.pinned && answer.reason == AnswerReason::AllDownKept && !live(candidates).any(works)
}

/// What the addresses of a name say that is out.
pub(super) fn outage(candidates: &Candidates) -> Outage {
    let down = live(candidates).filter_map(|c| c.health.as_deref()).filter_map(down_since);
    let since = down.max_by_key(|since| since.boottime).map(|since| since.wall);
    let mut says: Vec<String> = live(candidates).take(MOST).map(word).collect();
    if let Some(more) = live(candidates).count().checked_sub(MOST).filter(|more| *more > 0) {
        says.push(format!("and {more} more"));
    }
    Outage { since, says }
}

fn live(candidates: &Candidates) -> impl Iterator<Item = &Candidate> {
    candidates.list.iter().filter(|c| !c.is_retired())
}

/// Since when some check of it has been down.
fn down_since(health: &TargetHealth) -> Option<crate::model::Now> {
    health.checks.values().filter(|check| check.state.is_down()).map(|check| check.since).min_by_key(|at| at.boottime)
}

fn word(candidate: &Candidate) -> String {
    let mut word = format!("{} in {}: ", candidate.key.address, candidate.key.zone);
    let checks = candidate.health.iter().flat_map(|health| health.checks.iter());
    let down = checks.clone().find(|(_, check)| check.state.is_down());
    // Writing into a text can't fail.
    let _ = match down.map(|(check, health)| (check, &health.shown.last_failure)) {
        Some((check, Some((_, failure)))) => write!(word, "{check} check: {failure}"),
        Some((check, None)) => write!(word, "{check} check: down"),
        None if checks.clone().any(|(_, check)| matches!(check.state, CheckState::Up { .. })) => write!(word, "up"),
        None => write!(word, "not judged"),
    };
    word
}
