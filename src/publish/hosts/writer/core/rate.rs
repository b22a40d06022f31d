//! A bound on work that others can make us do: some times at once, then at a steady pace. Pure.

use std::time::Duration;

use crate::model::Boottime;

/// A bucket of `BURST`, full after quiet, that fills by one each `MILLIS` milliseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(in super::super) struct Rate<const BURST: u32, const MILLIS: u64> {
    /// When it will be full again.
    full_at: Boottime,
}

/// For rewrites of the hosts file, each of which waits for the disk: ten at once, then one a second.
pub(super) type WriteRate = Rate<10, 1000>;
/// For looks at what the agent or an admin may have changed. One change may be told more than once, so there are more
/// of these.
pub(in super::super) type LookRate = Rate<40, 250>;

impl<const BURST: u32, const MILLIS: u64> Rate<BURST, MILLIS> {
    const INTERVAL: Duration = Duration::from_millis(MILLIS);

    /// It was done once more.
    pub(in super::super) fn spend(&mut self, now: Boottime) {
        self.full_at = self.full_at.max(now).after(Self::INTERVAL);
    }

    /// The earliest time for the next.
    pub(in super::super) fn next(&self) -> Boottime {
        Boottime(self.full_at.0.saturating_sub(Self::INTERVAL * BURST.saturating_sub(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_at_once_then_one_a_second_and_quiet_fills_it() {
        let mut rate = WriteRate::default();
        let mut times = Vec::new();
        for step in 0..15_000 {
            let now = Boottime(Duration::from_secs(100) + Duration::from_millis(step));
            if rate.next() <= now {
                rate.spend(now);
                times.push(step);
            }
        }
        assert_eq!(times, (0..10).chain((1..15).map(|s| s * 1000)).collect::<Vec<u64>>());
        let now = Boottime(Duration::from_secs(200));
        (0..10).for_each(|_| {
            assert!(rate.next() <= now);
            rate.spend(now);
        });
        assert_eq!(rate.next(), now.after(Duration::from_secs(1)));
    }
}
