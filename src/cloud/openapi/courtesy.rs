//! Waiting where a person looks on: a command that asks once comes again when the API says that it may.
//!
//! The agent gives up at the first throttled answer instead: its next round thinks of the whole fleet.

use std::sync::Mutex;
use std::time::Duration;

use super::error::CallError;
use super::refusal::Class;
use super::retry::SHORTEST_THROTTLE;
use crate::sys::lock::lock;

/// What all waits of a client may take together; a person has not much more patience.
const MOST: Duration = Duration::from_secs(10);

/// What is left of the patience of a client's user, who is told of each wait.
#[derive(Debug)]
pub struct Courtesy {
    left: Mutex<Duration>,
    tell: fn(Duration),
}

impl Courtesy {
    /// `tell` is called before each wait, with its length.
    #[must_use]
    pub fn new(tell: fn(Duration)) -> Self {
        Self { left: Mutex::new(MOST), tell }
    }

    /// How long to wait before the same call; `None` if the API does not say when to come again, or later than there is
    /// patience for.
    pub(super) fn wait_after(&self, failure: &CallError) -> Option<Duration> {
        let CallError::Refused(refusal) = failure else { return None };
        let Class::Throttled { retry_after: Some(asked) } = refusal.class else { return None };
        let wait = asked.max(SHORTEST_THROTTLE);
        {
            let mut left = lock(&self.left);
            *left = left.checked_sub(wait)?;
        }
        (self.tell)(wait);
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let waits = |ms| courtesy.wait_after(&throttled(ms)).map(|wait| wait.as_millis());
        assert_eq!(waits(60_000), None, "what is too long costs nothing of the rest");
        assert_eq!([waits(300), waits(9_000), waits(1)], [Some(300), Some(9_000), Some(100)]);
        assert_eq!([waits(601), waits(600), waits(1)], [None, Some(600), None]);
    }

    #[test]
    fn only_an_answer_that_says_when_is_waited_for() {
        let courtesy = Courtesy::new(|_| unreachable!());
        let failures = [Class::Throttled { retry_after: None }, Class::Server, Class::NotFound].map(refused);
        for failure in failures.into_iter().chain([CallError::NoKeys(String::new())]) {
            assert_eq!(courtesy.wait_after(&failure), None, "{failure:?}");
        }
    }
}
