//! A link that loses packets, seen by what TCP had to send again (pure).
//!
//! TCP hides loss: most probes over a link that loses four packets in ten each way succeed, only later, and the
//! clients' statements crawl. So what a retransmission timer had to send again counts, in a counter that leaks: eight
//! such probes fill it, or three that had to send more than once, if no clean ones make up for them. One packet in
//! fifty, each way, hardly ever does in a year; four in ten do within some seven connections or a dozen pings, which go
//! at `fast_interval` from the first sign on.
//!
//! A link over which nothing comes at all is cut, not lossy: what was counted while the server was not heard is
//! forgotten with the first success.
//!
//! Loss on this host's own side shows towards every address. So a sign of a sibling within ten seconds takes away what
//! was counted here, and both are let off.

use std::time::Duration;

use crate::model::{Boottime, Failure, FailureReason, Observation};

/// Counts the signs of loss of one check of one target.
#[derive(Debug, Clone, Default)]
pub(super) struct LossCounter {
    /// Full at `fall` times [`Self::WORST`].
    level: u32,
    /// Since when the link is taken for one that loses packets: from full until half full.
    losing_since: Option<Boottime>,
    /// When a sibling last showed loss.
    sibling_lost_at: Option<Boottime>,
    /// The latest success took a tail-loss probe.
    took_tail_loss_probe: bool,
    /// Something got through since the level was last 0.
    heard: bool,
    /// Failures in a row, whether they were counted or not.
    failures: u32,
    /// Probes with a sign and all probes since the level was last 0, for people.
    signs: u32,
    probes: u32,
}

impl LossCounter {
    /// What a probe adds that had to send one packet again, and one that had to send more or failed after it; or that
    /// heard nothing in time, where there are signs of loss.
    const ONCE: u32 = 4;
    const WORST: u32 = 10;
    /// What a clean success takes away.
    const CLEAN: u32 = 1;
    /// A sibling's sign of loss is about this host for so long before and after.
    const BESIDE: Duration = Duration::from_secs(10);

    /// Takes a result in. Returns the failure that a success is on a link that loses too much.
    pub(super) fn observe(&mut self, observation: &Observation, now: Boottime, fall: u32) -> Option<Failure> {
        let (again, failed) = (observation.retransmissions(), observation.outcome.is_err());
        let was_out = self.failures >= fall && !self.is_losing();
        self.failures = if failed { self.failures.saturating_add(1) } else { 0 };
        if !failed && was_out {
            self.begin_anew();
        }
        if self.sibling_lost_at.is_some_and(|at| now < at.after(Self::BESIDE)) {
            return None;
        }
        // What a connection that outlives its probe had to send again is not known yet.
        let silent = matches!(&observation.outcome, Err(failure) if failure.reason == FailureReason::Timeout);
        if again == 0 && failed && !(silent && self.suspects()) {
            // Says nothing of loss.
            return None;
        }
        self.took_tail_loss_probe = observation.took_a_tail_loss_probe();
        let full = Self::WORST.saturating_mul(fall);
        self.heard |= !failed;
        self.probes += 1;
        self.signs += u32::from(again > 0 || failed);
        self.level = match (again, failed) {
            (0, false) if self.took_tail_loss_probe => self.level,
            (0, false) => self.level.saturating_sub(Self::CLEAN),
            (1, false) => self.level + Self::ONCE,
            _ => self.level + Self::WORST,
        };
        self.level = self.level.min(full);
        if self.level == full && self.heard {
            self.losing_since = self.losing_since.or(Some(now));
        } else if self.level <= full / 2 {
            self.losing_since = None;
        }
        let verdict = (again > 0 && !failed && self.losing_since.is_some()).then(|| self.failure());
        if self.level == 0 {
            self.begin_anew();
        }
        verdict
    }

    /// Forgets what was counted.
    fn begin_anew(&mut self) {
        let Self { sibling_lost_at, took_tail_loss_probe, failures, .. } = *self;
        *self = Self { sibling_lost_at, took_tail_loss_probe, failures, ..Self::default() };
    }

    /// A sibling showed loss: what was seen here meanwhile may be this host's. A link that was found out before that
    /// stays so.
    pub(super) fn note_sibling_loss(&mut self, now: Boottime) {
        if self.losing_since.is_none_or(|since| now < since.after(Self::BESIDE)) {
            *self = Self { sibling_lost_at: Some(now), failures: self.failures, ..Self::default() };
        }
    }

    /// True if there are signs that clean probes have not made up for, or a tail-loss probe: that alone does not count,
    /// but the next probe is not to wait for its interval, since on a kept connection every other sign comes behind
    /// one.
    pub(super) fn suspects(&self) -> bool {
        self.level > 0 || self.took_tail_loss_probe
    }

    /// True while the link is taken for one that loses packets.
    pub(super) fn is_losing(&self) -> bool {
        self.losing_since.is_some()
    }

    fn failure(&self) -> Failure {
        let Self { signs, probes, .. } = self;
        let detail = format_args!(
            "packets are lost: in {signs} of the latest {probes} probes TCP had to send again, or nothing came"
        );
        Failure::new(FailureReason::Timeout, detail)
    }
}

#[cfg(test)]
mod tests;
