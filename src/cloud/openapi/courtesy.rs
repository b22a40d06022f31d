//! Waiting where a person looks on: a command that asks once comes again when the API says that it may.
//!
//! The agent gives up at the first throttled answer instead: its next round thinks of the whole fleet.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::error::CallError;
use super::refusal::Class;
use super::retry::{Change, SHORTEST_THROTTLE, Step};
use crate::sys::lock::lock;

/// What all waits of a command may take together; a person has not much more patience.
const MOST: Duration = Duration::from_secs(10);

/// What is left of the patience of a command's user, who is told of each wait. All clones share it: a command that asks
/// STS for keys and the API for endpoints waits no longer than one that has its keys.
#[derive(Debug, Clone)]
pub struct Courtesy {
    left: Arc<Mutex<Duration>>,
    tell: fn(Duration),
}

impl Courtesy {
    /// `tell` is called before each wait, with its length.
    #[must_use]
    pub fn new(tell: fn(Duration)) -> Self {
        Self { left: Arc::new(Mutex::new(MOST)), tell }
    }

    /// What to do where the API says when to come again: the same call then, or nothing if that is later than there is
    /// patience for. `None` if it says no such thing.
    pub(super) fn after(&self, failure: &CallError) -> Option<Step> {
        let CallError::Refused(refusal) = failure else { return None };
        let Class::Throttled { retry_after: Some(asked) } = refusal.class else { return None };
        let wait = asked.max(SHORTEST_THROTTLE);
        {
            let mut left = lock(&self.left);
            let Some(rest) = left.checked_sub(wait) else { return Some(Step::GiveUp) };
            *left = rest;
        }
        (self.tell)(wait);
        Some(Step::Again { change: Change::Nothing, wait })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::openapi::NoKeys;
    use crate::cloud::openapi::refusal::Refusal;

    fn refused(class: Class) -> CallError {
        let (code, message) = (String::new(), String::new());
        CallError::Refused(Box::new(Refusal { class, status: 400, code, message, request_id: None, date: None }))
    }

    fn throttled(ms: u64) -> CallError {
        refused(Class::Throttled { retry_after: Some(Duration::from_millis(ms)) })
    }

    #[test]
    fn all_waits_together_have_an_end() {
        let courtesy = Courtesy::new(|_| ());
        let waits = |ms| match courtesy.after(&throttled(ms)) {
            Some(Step::Again { change: Change::Nothing, wait }) => Some(wait.as_millis()),
            Some(Step::GiveUp) => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(waits(60_000), None, "what is too long costs nothing of the rest");
        assert_eq!([waits(300), waits(9_000), waits(1)], [Some(300), Some(9_000), Some(100)]);
        assert_eq!(courtesy.clone().after(&throttled(601)), Some(Step::GiveUp), "a clone has no more of it");
        assert_eq!([waits(601), waits(600), waits(1)], [None, Some(600), None]);
    }

    #[test]
    fn only_an_answer_that_says_when_is_waited_for() {
        let courtesy = Courtesy::new(|_| unreachable!());
        let failures = [Class::Throttled { retry_after: None }, Class::Server, Class::NotFound].map(refused);
        for failure in failures.into_iter().chain([CallError::NoKeys(NoKeys::default())]) {
            assert_eq!(courtesy.after(&failure), None, "{failure:?}");
        }
    }
}
