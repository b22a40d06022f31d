//! When to save again what could not be saved: a full disk has room again some day, and until then nothing else may
//! happen that would save it.

use std::io;
use std::time::Duration;

use super::tell_once::{FaultNews, TellOnce};
use crate::model::{Boottime, EventKind};

/// Until the second attempt; each later one waits twice as long as the one before.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// How the attempts at saving one thing went.
#[derive(Debug, Default)]
pub struct SaveAttempts {
    told: TellOnce,
    /// How long the latest failure was to be waited for; zero after a success.
    wait: Duration,
    due: Boottime,
}

impl SaveAttempts {
    /// Before that an attempt would only fail again.
    #[must_use]
    pub fn due(&self) -> Boottime {
        self.due
    }

    /// Takes in how an attempt ended, and returns what is worth telling of it: a failure once, and its end.
    #[must_use]
    pub fn note(&mut self, result: io::Result<()>, now: Boottime) -> Option<EventKind> {
        let fault = result.err();
        self.wait = match &fault {
            None => Duration::ZERO,
            Some(_) => (self.wait * 2).clamp(FIRST, LONGEST),
        };
        self.due = now.after(self.wait);
        Some(match self.told.news(fault.map(|error| error.to_string()))? {
            FaultNews::Fails(error) => EventKind::StateNotSaved { error },
            FaultNews::WorksAgain => EventKind::StateSaved,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_tried_again_more_and_more_rarely_and_told_twice() {
        let mut attempts = SaveAttempts::default();
        let full = || Err(io::Error::from(io::ErrorKind::StorageFull));
        let mut now = Boottime::default();
        let mut told = Vec::new();
        let mut waits = Vec::new();
        for _ in 0..8 {
            told.extend(attempts.note(full(), now));
            waits.push(attempts.due().since(now).as_secs());
            now = attempts.due();
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        told.extend(attempts.note(Ok(()), now));
        assert_eq!(attempts.due(), now);
        told.extend(attempts.note(Ok(()), now));
        assert_eq!(told, [EventKind::StateNotSaved { error: "no storage space".to_owned() }, EventKind::StateSaved]);
        let _ = attempts.note(full(), now);
        assert_eq!(attempts.due().since(now), FIRST);
    }
}
