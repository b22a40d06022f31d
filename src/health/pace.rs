//! How often attempts may be made where each costs the other side something (pure).

use std::time::Duration;

/// How often attempts may be made, as the latest one has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pace {
    /// As the schedule has it.
    #[default]
    Scheduled,
    /// Seldom: each attempt that is answered leaves a trace on the other side, such as a refused login (B7). See
    /// [`Sparing`].
    Sparing(Sparing),
    /// Not before so long from now.
    Resting(Duration),
}

/// The rhythm of attempts that leave a trace: once a minute while all is well; `fast_interval` within an edge, which
/// `fall` failures end, and while a target that was down proves itself; every 5 s for two minutes after it went down or
/// a sibling fell into trouble, and once a minute from then on; never more often than the schedule has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sparing {
    /// The time between an attempt that was answered and the next one, at least: so that the attempts of a whole fleet
    /// stay few.
    pub apart: Duration,
}

impl Sparing {
    const SETTLED: Duration = Duration::from_secs(60);
    const DOWN: Duration = Duration::from_secs(5);
    const HOPEFUL: Duration = Duration::from_secs(120);

    /// The time between two attempts while nothing is amiss.
    pub(super) fn interval_while_settled(self, interval: Duration) -> Duration {
        Self::SETTLED.max(interval).max(self.apart)
    }

    /// The time between two attempts at a target that has been down, or asked for, since so long.
    pub(super) fn interval_while_down(since: Duration) -> Duration {
        if since < Self::HOPEFUL { Self::DOWN } else { Self::SETTLED }
    }
}
