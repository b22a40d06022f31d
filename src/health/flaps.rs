//! What a target's past says of its next return: the hold that doubles, and the penalty that decays (pure).

use std::time::Duration;

use crate::model::{Boottime, Damping};

/// A departure within so long of the latest return doubles the next hold; as much clean time halves it.
const CLEAN: Duration = Duration::from_secs(3600);
/// A hold never doubles beyond that.
const LONGEST_HOLD: Duration = Duration::from_secs(300);

/// The departures of one check of one target, and its returns.
#[derive(Debug, Clone)]
pub(super) struct Flaps {
    damping: Damping,
    /// The penalty as it stood at `counted_at`.
    penalty: f64,
    counted_at: Boottime,
    /// When it last came up after a departure; absent before the first return.
    returned_at: Option<Boottime>,
    /// How often the next hold is doubled.
    doublings: u32,
}

impl Flaps {
    pub(super) fn new(damping: Damping) -> Self {
        Self { damping, penalty: 0.0, counted_at: Boottime::default(), returned_at: None, doublings: 0 }
    }

    /// The target was up, and is down by what another address would mend.
    pub(super) fn note_departure(&mut self, now: Boottime) {
        let Damping { penalty, suppress, reuse, half_life, max } = self.damping;
        // What decays to `reuse` within `max`, and no more, unless that would suppress nothing.
        let most = f64::from(reuse) * (max.as_secs_f64() / half_life.as_secs_f64()).exp2();
        let most = most.max(f64::from(suppress) + f64::from(penalty));
        self.penalty = (self.penalty_at(now) + f64::from(penalty)).min(most);
        self.counted_at = now;
        let clean = self.returned_at.map(|at| now.since(at).as_secs() / CLEAN.as_secs());
        self.doublings = match clean {
            Some(0) => self.doublings.saturating_add(1).min(30),
            Some(hours) => self.doublings.saturating_sub(u32::try_from(hours).unwrap_or(u32::MAX)),
            None => 0,
        };
    }

    /// The target comes up again. Returns how long it stays on hold, without what this host adds.
    pub(super) fn hold_after_return(&mut self, hold: Duration, now: Boottime) -> Duration {
        self.returned_at = Some(now);
        let doubled = hold.saturating_mul(1 << self.doublings).min(LONGEST_HOLD.max(hold));
        doubled.max(self.suppressed_for(now))
    }

    /// How long it takes the penalty to decay to `reuse`, if it is high enough to count.
    fn suppressed_for(&self, now: Boottime) -> Duration {
        let Damping { suppress, reuse, half_life, max, .. } = self.damping;
        let penalty = self.penalty_at(now);
        if penalty < f64::from(suppress) {
            return Duration::ZERO;
        }
        half_life.mul_f64((penalty / f64::from(reuse)).log2().max(0.0)).min(max)
    }

    fn penalty_at(&self, now: Boottime) -> f64 {
        let half_lives = now.since(self.counted_at).as_secs_f64() / self.damping.half_life.as_secs_f64();
        self.penalty * (-half_lives).exp2()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Duration = Duration::from_secs(5);

    fn at(secs: u64) -> Boottime {
        Boottime(Duration::from_secs(secs))
    }

    /// Leaves at each of these times and returns ten seconds later: the holds, in seconds.
    fn holds(left: &[u64]) -> Vec<u64> {
        let mut flaps = Flaps::new(Damping::default());
        let hold = |secs: &u64| {
            flaps.note_departure(at(*secs));
            flaps.hold_after_return(HOLD, at(secs + 10)).as_secs()
        };
        left.iter().map(hold).collect()
    }

    #[test]
    fn a_hold_doubles_with_each_departure_and_clean_time_halves_it() {
        assert_eq!(holds(&[0, 3000, 6000]), [5, 10, 20]);
        assert_eq!(holds(&[0, 3000, 6000, 9700, 16_000, 20_000]), [5, 10, 20, 10, 5, 5]);
        let often: Vec<u64> = (0..12).map(|n| n * 3000).collect();
        assert_eq!(holds(&often)[7..], [300; 5], "and never grows beyond five minutes");
    }

    #[test]
    fn a_penalty_suppresses_until_it_has_decayed() {
        // 1000, then 1000 × 2^(-1/2) + 1000 = 1707, then 1707 × 0.707 + 1000 = 2207: 2208 × 2^(-1/12) = 2083 at the
        // return, and log2(2083 / 750) = 1.47 half-lives of two minutes.
        assert_eq!(holds(&[0, 60, 120]), [5, 10, 176]);
        let often: Vec<u64> = (0..600).map(|n| n * 11).collect();
        // The sum of all 1000 × 2^(-11 n / 120) is 16,260: 4.44 half-lives less the ten seconds since.
        assert_eq!(holds(&often).last(), Some(&522));
        let mut flaps = Flaps::new(Damping { max: Duration::from_secs(60), ..Damping::default() });
        (0..9).for_each(|n| flaps.note_departure(at(n)));
        assert_eq!(flaps.hold_after_return(HOLD, at(10)).as_secs(), 60, "a minute at most");
        let mut flaps = Flaps::new(Damping { penalty: 0, ..Damping::default() });
        (0..9).for_each(|n| flaps.note_departure(at(n)));
        assert_eq!(flaps.hold_after_return(Duration::ZERO, at(9)), Duration::ZERO);
    }
}
