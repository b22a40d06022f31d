//! The two clocks of the host, told from the world's own time.

use std::time::Duration;

use privatelinkd::model::{Boottime, Now, Wall};

use super::history::{Ms, SECOND};

/// The wall clock when the world begins.
const EPOCH: Ms = 1_750_000_000_000;
/// How old a boot is when its agent starts.
const BOOT: Ms = 20 * SECOND;

#[derive(Debug, Clone, Copy)]
pub(super) struct HostClock {
    booted: Ms,
    /// How old the boot was then.
    age: Ms,
}

impl HostClock {
    /// Of a host whose agent starts now for the first time since it booted.
    pub(super) fn booted(now: Ms) -> Self {
        Self { booted: now, age: BOOT }
    }

    /// Of a host that booted so long before: no two hosts of a fleet count from the same instant.
    pub(super) fn aged(now: Ms, age: Ms) -> Self {
        Self { booted: now, age }
    }

    pub(super) fn at(self, world: Ms) -> Now {
        let boottime = Boottime(Duration::from_millis(world.saturating_sub(self.booted) + self.age));
        Now { boottime, wall: Wall(EPOCH + world) }
    }

    /// When that is in the world's time: the first millisecond at which it has come.
    pub(super) fn world(self, at: Boottime) -> Ms {
        let ms = at.0.as_nanos().div_ceil(1_000_000);
        (Ms::try_from(ms).unwrap_or(Ms::MAX) + self.booted).saturating_sub(self.age)
    }
}

/// The first whole millisecond that is so far away.
pub(super) fn after(now: Ms, wait: Duration) -> Ms {
    now.saturating_add(Ms::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(Ms::MAX))
}
