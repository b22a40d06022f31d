//! A login that one server or gateway does not let in, without a word on the secret: it is asked again, later and
//! later, and no other target is silenced by it.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{Failure, FailureReason};
use crate::sys::lock::lock;

/// After the first refusal, and at most: ten minutes of wrong answers are no burglary yet.
const FIRST: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(600);

/// How long one check of one target logs in no more.
#[derive(Debug, Default)]
pub(super) struct Backoff(Mutex<Option<Pause>>);

#[derive(Debug, Clone)]
struct Pause {
    until: Instant,
    wait: Duration,
    said: Failure,
}

impl Backoff {
    /// Whether to ask now.
    ///
    /// # Errors
    /// What was said last, while it is too early.
    pub(super) fn check(&self) -> Result<(), Failure> {
        match &*lock(&self.0) {
            Some(Pause { until, wait, said }) if Instant::now() < *until => {
                let wait = humantime::format_duration(*wait);
                Err(Failure::new(said.reason, format_args!("no login for {wait} after {}", said.detail)))
            }
            _ => Ok(()),
        }
    }

    /// It was refused again: the pause doubles. Once for attempts that overlap.
    fn note_refused(&self, said: &Failure) {
        let mut pause = lock(&self.0);
        if pause.as_ref().is_some_and(|pause| Instant::now() < pause.until) {
            return;
        }
        let wait = pause.as_ref().map_or(FIRST, |pause| (pause.wait * 2).min(LONGEST));
        // Not all hosts of a fleet in one instant.
        let until = Instant::now() + wait.mul_f64(0.8 + 0.2 * fastrand::f64());
        *pause = Some(Pause { until, wait, said: said.clone() });
    }

    /// How an attempt with the login has ended. One that was not answered, or by something in front of a backend that
    /// is gone, says nothing of the login, and so ends no pause.
    pub(super) fn note_outcome<T>(&self, outcome: &Result<T, Failure>) {
        match outcome {
            Err(failure) if failure.reason == FailureReason::Auth => self.note_refused(failure),
            Err(failure) if !failure.reason.is_an_answer() || failure.reason == FailureReason::BackendDown => {}
            _ => *lock(&self.0) = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_refused_login_waits_twice_as_long_each_time_and_ten_minutes_at_most() {
        let backoff = Backoff::default();
        let mut asked = Vec::new();
        for second in 0..3600 {
            if backoff.check().is_ok() {
                asked.push(second);
                backoff.note_refused(&Failure::new(FailureReason::Auth, "HTTP 401 with a page"));
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!((8..=11).contains(&asked.len()), "{asked:?}");
        assert!(asked[1] >= 24 && asked[1] <= 30 && asked[2] - asked[1] >= 48, "{asked:?}");
        let said = backoff.check().unwrap_err();
        assert_eq!(said.to_string(), "auth: no login for 10m after HTTP 401 with a page");
        for reason in [FailureReason::Timeout, FailureReason::Reset, FailureReason::BackendDown] {
            backoff.note_outcome::<()>(&Err(Failure::new(reason, "x")));
            assert!(backoff.check().is_err(), "{reason} is no word on the login");
        }
        backoff.note_outcome(&Ok(()));
        assert!(backoff.check().is_ok());
        backoff.note_refused(&said);
        backoff.note_refused(&said);
        assert!(backoff.check().unwrap_err().detail.starts_with("no login for 30s after "));
    }
}
