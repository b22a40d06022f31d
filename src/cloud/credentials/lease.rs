//! When temporary keys are replaced. Pure.
//!
//! The end of keys is a wall time. It is turned into boot times once, when they are fetched: a wall clock that jumps
//! afterwards neither ends them early nor keeps them too long.

use std::time::Duration;

use crate::model::{Boottime, Now, Wall};

/// How long before their end keys are replaced, as the SDK has it; a third of their life if that is shorter.
const MARGIN: Duration = Duration::from_secs(15 * 60);
/// The keys of an instance's role are asked for again after an hour: the platform rotates them early.
const ROLE_REFRESH: Duration = Duration::from_secs(3600);
/// The longest life that is believed: the longest session that STS gives.
const LONGEST_LIFE: Duration = Duration::from_secs(12 * 3600);
/// Keys that are over already by our clock are used for about a minute: the service knows better than the clock.
const SHORTEST_LIFE: Duration = Duration::from_secs(50);

/// Until when keys are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    refresh: Boottime,
    over: Boottime,
}

/// What to do about keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Serve them.
    No,
    /// Get new ones; serve these as long as that fails.
    Soon,
    /// They are over.
    Over,
}

impl Lease {
    /// Of keys that never end.
    pub const FOREVER: Self = Self { refresh: Boottime(Duration::MAX), over: Boottime(Duration::MAX) };

    /// Of keys that were fetched now. `rotated`: they may be replaced well before their end. `chance` is at random
    /// from 0 to 1, so that hosts that began together do not refresh together.
    #[must_use]
    pub fn new(expires: Wall, fetched: Now, rotated: bool, chance: f64) -> Self {
        let chance = if chance.is_nan() { 0.0 } else { chance.clamp(0.0, 1.0) };
        let left = Duration::from_millis(expires.0.saturating_sub(fetched.wall.0)).min(LONGEST_LIFE);
        let life = left.max(SHORTEST_LIFE + Duration::from_secs(20).mul_f64(chance));
        let margin = MARGIN.min(life / 3);
        let mut refresh = life - margin - (margin / 3).mul_f64(chance);
        if rotated {
            refresh = refresh.min(ROLE_REFRESH - ROLE_REFRESH.mul_f64(chance / 10.0));
        }
        Self { refresh: fetched.boottime.after(refresh), over: fetched.boottime.after(life) }
    }

    /// What to do about them.
    #[must_use]
    pub fn due(self, now: Boottime) -> Due {
        match now {
            now if now >= self.over => Due::Over,
            now if now >= self.refresh => Due::Soon,
            _ => Due::No,
        }
    }
}

/// How long to wait after so many failures in a row: at random between 1 s and 10 s, later up to 2 minutes.
#[must_use]
pub fn pause(failures: u32, chance: f64) -> Duration {
    const SHORTEST: Duration = Duration::from_secs(1);
    let chance = if chance.is_nan() { 0.0 } else { chance.clamp(0.0, 1.0) };
    let doubled = Duration::from_millis(100).saturating_mul(1 << failures.saturating_sub(1).min(16));
    let longest = doubled.clamp(Duration::from_secs(10), Duration::from_secs(120));
    SHORTEST + (longest - SHORTEST).mul_f64(chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(secs: u64) -> Boottime {
        Boottime(Duration::from_secs(secs))
    }

    fn lease(life_secs: u64, rotated: bool) -> Lease {
        let fetched = Now { boottime: at(1000), wall: Wall(5_000_000) };
        Lease::new(Wall(5_000_000 + life_secs * 1000), fetched, rotated, 0.0)
    }

    fn dues(lease: Lease, times: &[u64]) -> Vec<Due> {
        times.iter().map(|t| lease.due(at(1000 + t))).collect()
    }

    #[test]
    fn keys_are_replaced_a_quarter_of_an_hour_before_their_end() {
        use Due::{No, Over, Soon};
        assert_eq!(dues(lease(3600, false), &[0, 2699, 2700, 3599, 3600]), [No, No, Soon, Soon, Over]);
        assert_eq!(dues(lease(900, false), &[0, 599, 600, 900]), [No, No, Soon, Over], "the shortest session");
        assert_eq!(dues(lease(6 * 3600, true), &[3599, 3600, 6 * 3600]), [No, Soon, Over], "an instance's role");
        assert_eq!(Lease::FOREVER.due(at(u64::MAX)), No);
    }

    #[test]
    fn a_wall_clock_that_is_off_neither_ends_nor_keeps_keys() {
        use Due::{No, Over};
        let past = Lease::new(Wall(0), Now { boottime: at(1000), wall: Wall(9_000_000) }, true, 0.0);
        assert_eq!(dues(past, &[0, 49, 50]), [No, Due::Soon, Over]);
        assert_eq!(dues(lease(99 * 3600, false), &[12 * 3600]), [Over]);
    }

    #[test]
    fn chance_moves_refreshes_apart_but_never_past_the_end() {
        for step in 0..=10 {
            let chance = f64::from(step) / 10.0;
            let lease = Lease::new(Wall(3_600_000), Now::default(), false, chance);
            assert!(lease.refresh <= at(2700) && lease.refresh >= at(2400), "{lease:?}");
            assert!((1..=120).contains(&pause(step, chance).as_secs()));
        }
        assert_eq!(pause(1, 1.0), Duration::from_secs(10));
        assert_eq!(pause(99, 1.0), Duration::from_secs(120));
        assert_eq!(pause(1, f64::NAN), Duration::from_secs(1));
    }
}
