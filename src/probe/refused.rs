//! Secrets that a server has refused: none is sent again, to anybody, before its file changes (B7).
//!
//! A database that counts wrong passwords would lock the account that applications use, too, if every host of a fleet
//! went on with an old one.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::{Failure, FailureReason, FileSecret, Secret, Wall};
use crate::sys::clock::Clock;

/// The secrets that were refused, by all probers of a process.
#[derive(Debug)]
pub struct RefusedSecrets {
    clock: Clock,
    refused: Mutex<HashMap<Secret, Refusal>>,
}

/// When a secret was refused, and what was said.
#[derive(Debug, Clone)]
struct Refusal {
    /// A file written later than this is another try.
    until: Wall,
    detail: String,
}

impl RefusedSecrets {
    /// Nothing is refused yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, refused: Mutex::default() }
    }

    /// Whether a secret may be sent.
    ///
    /// # Errors
    /// [`FailureReason::Auth`], with what the server said, if it was refused since its file was last written.
    pub fn check(&self, secret: &FileSecret) -> Result<(), Failure> {
        match self.lock().get(&secret.secret) {
            Some(refusal) if secret.written <= refusal.until => {
                let path = secret.path.display();
                let detail = format_args!("not tried again until {path} changes: {}", refusal.detail);
                Err(Failure::new(FailureReason::Auth, detail))
            }
            _ => Ok(()),
        }
    }

    /// A server refused a secret with this failure.
    pub fn note(&self, secret: &FileSecret, failure: &Failure) {
        // Other files may hold the same secret, so their times don't matter; but this clock may be behind this one's.
        let until = self.clock.now().wall.max(secret.written);
        self.lock().insert(secret.secret.clone(), Refusal { until, detail: failure.detail.to_string() });
    }

    /// A poisoned lock is taken over: each holder writes whole values only.
    fn lock(&self) -> MutexGuard<'_, HashMap<Secret, Refusal>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str, path: &str, written: u64) -> FileSecret {
        FileSecret { secret: Secret::new(text.into()), path: path.into(), written: Wall(written) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_secret_waits_for_its_file_wherever_it_is_used() {
        let refused = RefusedSecrets::new(Clock::tokio());
        tokio::time::advance(std::time::Duration::from_secs(10)).await;
        refused.note(&secret("old", "/a", 5_000), &Failure::new(FailureReason::Auth, "1045: check password failed"));
        let said = refused.check(&secret("old", "/a", 5_000)).unwrap_err();
        assert_eq!(said.to_string(), "auth: not tried again until /a changes: 1045: check password failed");
        assert!(refused.check(&secret("old", "/b", 9_000)).is_err(), "another file with the same secret");
        assert!(refused.check(&secret("new", "/a", 5_000)).is_ok(), "another secret, whenever it was written");
        assert!(refused.check(&secret("old", "/a", 10_001)).is_ok(), "written since");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_from_the_future_is_not_tried_for_ever() {
        let refused = RefusedSecrets::new(Clock::tokio());
        refused.note(&secret("old", "/a", 5_000), &Failure::new(FailureReason::Auth, "no"));
        assert!(refused.check(&secret("old", "/a", 5_000)).is_err());
        assert!(refused.check(&secret("old", "/a", 5_001)).is_ok());
    }
}
