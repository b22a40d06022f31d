//! How a server refuses the logins by which we decline handshakes (`decline`).

use std::sync::Mutex;
use std::time::Duration;

use crate::model::{Failure, FailureReason};
use crate::sys::lock::lock;

/// By how much later than the quickest refusal one comes that is held back on purpose.
const LATE: Duration = Duration::from_millis(500);
/// How long one keeps us from greeting the server again at first, and at most.
const PATIENCE: Duration = Duration::from_secs(300);
const MOST_PATIENCE: Duration = Duration::from_secs(12 * 3600);

/// How a server refuses logins.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// How long the quickest refusal took; absent before the first.
    quickest: Option<Duration>,
    /// How long the latest refusal took.
    latest: Duration,
    /// Whether refusals are held back on purpose.
    delays: bool,
    /// Declines that are in the way of others.
    awaited: u32,
    /// Declines in a row that were not answered for so long that others were made.
    endless: u32,
}

impl Refusals {
    /// What people should do where refusals are held back.
    pub(super) const DELAYED: &'static str = "the server delays refused logins: give a probe user";

    /// Whether it holds refusals back on purpose.
    pub(super) fn delays(&self) -> bool {
        lock(&self.0).delays
    }

    /// Whether a decline may be made.
    ///
    /// # Errors
    /// [`FailureReason::Local`], since it says nothing of the server, while an earlier one is not answered.
    pub(super) fn check_none_awaited(&self) -> Result<(), Failure> {
        if lock(&self.0).awaited == 0 {
            return Ok(());
        }
        Err(Failure::new(FailureReason::Local, format_args!("{}; the last refusal is still awaited", Self::DELAYED)))
    }

    /// A decline was refused, after so long; the server's answers take `normal` otherwise.
    pub(super) fn note_refused(&self, took: Duration, normal: Duration) {
        let mut known = lock(&self.0);
        let quickest = known.quickest.map_or(took, |quickest| quickest.min(took));
        // Where every refusal is held back, the greeting shows how quick the server is.
        known.delays = took > quickest.min(normal) + LATE;
        known.quickest = Some(quickest);
        known.latest = took;
        known.endless = 0;
    }

    /// How long a decline that is not answered is in the way of the next greeting.
    pub(super) fn patience(&self) -> Duration {
        let known = lock(&self.0);
        PATIENCE.saturating_mul(1 << known.endless.min(10)).max(known.latest * 2).min(MOST_PATIENCE)
    }

    /// One more decline is in the way of others.
    pub(super) fn begin_wait(&self) {
        lock(&self.0).awaited += 1;
    }

    /// One decline less is in the way of others.
    pub(super) fn end_wait(&self) {
        let mut known = lock(&self.0);
        known.awaited = known.awaited.saturating_sub(1);
    }

    /// A decline was not answered for so long that the server must hold its refusals back.
    pub(super) fn note_delay(&self) {
        lock(&self.0).delays = true;
    }

    /// A decline was not answered for so long that others are made.
    pub(super) fn note_endless(&self) {
        let mut known = lock(&self.0);
        known.endless = known.endless.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_that_comes_much_later_than_others_is_held_back() {
        let (ms, refusals) = (Duration::from_millis, Refusals::default());
        for (took, delays) in [(40, false), (530, false), (541, true), (2, false), (503, true), (501, false)] {
            refusals.note_refused(ms(took), ms(30));
            assert_eq!(refusals.delays(), delays, "{took} ms");
        }
    }

    #[test]
    fn the_patience_grows_with_each_that_is_not_answered_and_with_the_delay_of_the_last() {
        let (s, refusals) = (Duration::from_secs, Refusals::default());
        for expected in [300, 600, 1200] {
            assert_eq!(refusals.patience(), s(expected));
            lock(&refusals.0).endless += 1;
        }
        lock(&refusals.0).endless = u32::MAX;
        assert_eq!(refusals.patience(), MOST_PATIENCE);
        for (took, expected) in [(1, 300), (149, 300), (151, 302), (600, 1200), (50_000, 43_200)] {
            refusals.note_refused(s(took), s(0));
            assert_eq!(refusals.patience(), s(expected), "after one that took {took} s");
        }
    }
}
