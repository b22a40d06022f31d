//! The clock, as a value that is passed in.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

use crate::model::{Boottime, Now, Wall, millis};

/// Where [`Now`] comes from.
#[derive(Debug, Clone, Copy)]
pub enum Clock {
    /// The kernel's: `CLOCK_BOOTTIME` and `CLOCK_REALTIME`.
    System,
    /// Tokio's, so that tests on paused time decide on paused time. Both clocks count from the instant of
    /// [`Clock::tokio`].
    Tokio(tokio::time::Instant),
}

impl Clock {
    /// A clock that follows tokio's, paused or not.
    #[must_use]
    pub fn tokio() -> Self {
        Self::Tokio(tokio::time::Instant::now())
    }

    /// Reads both clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        let [boottime, wall] = match self {
            Self::System => [ClockId::CLOCK_BOOTTIME, ClockId::CLOCK_REALTIME].map(read),
            Self::Tokio(start) => [start.elapsed(); 2],
        };
        Now { boottime: Boottime(boottime), wall: Wall(millis(wall)) }
    }

    /// How long ago a time of a file was, in whole milliseconds; `None` if it is in the future, so that a clock that
    /// was set back makes nothing look new.
    #[must_use]
    pub fn since(&self, then: SystemTime) -> Option<Duration> {
        let then = millis(then.duration_since(UNIX_EPOCH).ok()?);
        self.now().wall.0.checked_sub(then).map(Duration::from_millis)
    }
}

/// Zero where the kernel has no such clock, which no supported kernel lacks.
fn read(id: ClockId) -> Duration {
    clock_gettime(id).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_runs() {
        let (a, b) = (Clock::System.now(), Clock::System.now());
        assert!(b.boottime >= a.boottime);
        assert!(a.wall.0 > 1_700_000_000_000);
    }

    #[test]
    fn a_time_of_a_file_has_an_age_unless_it_is_to_come() {
        let now = UNIX_EPOCH + Duration::from_millis(Clock::System.now().wall.0);
        let age = Clock::System.since(now - Duration::from_secs(60)).unwrap();
        assert!((60..3600).contains(&age.as_secs()), "{age:?}");
        assert_eq!(Clock::System.since(now + Duration::from_secs(3600)), None);
        assert_eq!(Clock::System.since(UNIX_EPOCH - Duration::from_secs(1)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_paused_clock_moves_with_tokio() {
        let clock = Clock::tokio();
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(clock.now().boottime, Boottime(Duration::from_secs(5)));
    }
}
