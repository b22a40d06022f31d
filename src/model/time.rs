//! Time as values. Who decides is handed a [`Now`]; only `sys::clock` makes one.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Time since the host booted, suspension included (`CLOCK_BOOTTIME`). All durations are measured on it, so that a
/// wall clock that jumps a year changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Boottime(pub Duration);

impl Boottime {
    /// This instant, `d` later.
    #[must_use]
    pub fn after(self, d: Duration) -> Self {
        Self(self.0.saturating_add(d))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Whole milliseconds.
#[must_use]
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Stored as milliseconds.
impl Serialize for Boottime {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(millis(self.0))
    }
}

impl<'de> Deserialize<'de> for Boottime {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(Self(Duration::from_millis(u64::deserialize(d)?)))
    }
}

/// Wall time in milliseconds since the Unix epoch: for display and for the expiry of certificates, never for
/// measuring a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Wall(pub u64);

impl Wall {
    /// Reads RFC 3339 in UTC, as it is shown; `None` if it is not that.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let since = humantime::parse_rfc3339(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(Self(millis(since)))
    }

    /// Whole days from `earlier` to this, rounded down; negative if this is the earlier one.
    #[must_use]
    pub fn days_after(self, earlier: Self) -> i64 {
        const DAY_MS: i64 = 24 * 3600 * 1000;
        let millis = |wall: Self| i64::try_from(wall.0).unwrap_or(i64::MAX);
        (millis(self) - millis(earlier)).div_euclid(DAY_MS)
    }

    /// Seconds since the epoch with their fraction, as Prometheus wants timestamps.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of this era fit an f64's 53 bits")]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

/// RFC 3339 in UTC, to the second. A value past the year 9999 shows as its number of milliseconds.
impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const YEAR_9999_MS: u64 = 253_402_300_799_000;
        if self.0 > YEAR_9999_MS {
            return write!(f, "{}ms", self.0);
        }
        humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(self.0)).fmt(f)
    }
}

/// One reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
pub struct Now {
    /// For decisions.
    pub boottime: Boottime,
    /// For people.
    pub wall: Wall,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_shows_as_rfc3339_and_never_panics() {
        assert_eq!(Wall(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Wall(u64::MAX).to_string(), format!("{}ms", u64::MAX));
    }

    #[test]
    fn wall_is_read_back_to_the_second() {
        let at = Wall(1_767_600_000_999);
        assert_eq!(Wall::parse(&at.to_string()), Some(Wall(1_767_600_000_000)));
        for bad in ["", "yesterday", "18446744073709551615ms", "1960-01-01T00:00:00Z"] {
            assert_eq!(Wall::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations_never_go_negative() {
        let (a, b) = (Boottime(Duration::from_secs(1)), Boottime(Duration::from_secs(3)));
        assert_eq!(b.since(a), Duration::from_secs(2));
        assert_eq!(a.since(b), Duration::ZERO);
    }
}
