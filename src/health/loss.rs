//! A link that loses packets, seen by what TCP had to send again (pure).
//!
//! TCP hides loss: most probes over a link that loses four packets in ten each way succeed, only later, and the
//! clients' statements crawl. So what a retransmission timer had to send again counts, in a counter that leaks: eight
//! such probes fill it, or three that had to send more than once, if no clean ones make up for them. One packet in
//! fifty, each way, hardly ever does in a year; four in ten do within some seven connections or a dozen pings, which go
//! at `fast_interval` from the first sign on.
//!
//! A link over which nothing comes at all is cut, not lossy: what was counted before `fall` failures in a row, and in
//! them, is forgotten with the first success. Results count in the order in which their probes began, so that those of
//! a short outage stand in a row although some end later than what was begun after it.
//!
//! Loss on this host's own side shows towards every address. So a sign of a sibling within ten seconds takes away what
//! was counted here, and both are let off.

use std::time::Duration;

use crate::model::{Boottime, Failure, FailureReason, Observation};

/// What a result says of loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Clean,
    /// A success with a tail-loss probe.
    TailLossProbe,
    /// A success for which one packet had to be sent again.
    ResentOnce,
    ResentOften,
    /// A failure after which something had been sent again.
    ResentInVain,
    Silence,
    /// A failure that was an answer, or this host's.
    None,
}

impl Sign {
    fn new(observation: &Observation) -> Self {
        match (&observation.outcome, observation.retransmissions()) {
            (Ok(_), 0) if observation.took_a_tail_loss_probe() => Self::TailLossProbe,
            (Ok(_), 0) => Self::Clean,
            (Ok(_), 1) => Self::ResentOnce,
            (Ok(_), _) => Self::ResentOften,
            // What a connection that outlives its probe had to send again is not known yet.
            (Err(failure), 0) if failure.reason == FailureReason::Timeout => Self::Silence,
            (Err(_), 0) => Self::None,
            (Err(_), _) => Self::ResentInVain,
        }
    }

    fn is_failure(self) -> bool {
        matches!(self, Self::ResentInVain | Self::Silence | Self::None)
    }
}

/// What the results up to some point come to.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    /// Full at `fall` times [`Self::WORST`].
    level: u32,
    /// From full until half full.
    is_losing: bool,
    /// The latest success took a tail-loss probe.
    took_tail_loss_probe: bool,
    /// Something got through since the level was last 0.
    heard: bool,
    /// Failures in a row.
    failures: u32,
    /// Probes with a sign and all probes since the level was last 0, for people.
    signs: u32,
    probes: u32,
}

impl Count {
    /// What a probe adds that had to send one packet again, and one that had to send more or failed after it; or that
    /// heard nothing in time, where there are signs of loss.
    const ONCE: u32 = 4;
    const WORST: u32 = 10;
    /// What a clean success takes away.
    const CLEAN: u32 = 1;

    fn with(self, sign: Sign, fall: u32) -> Self {
        let failed = sign.is_failure();
        let was_out = self.failures >= fall && !self.is_losing;
        let mut count = if was_out && !failed { self.anew() } else { self };
        count.failures = if failed { count.failures.saturating_add(1) } else { 0 };
        if sign == Sign::None || (sign == Sign::Silence && !count.suspects()) {
            return count;
        }
        let full = Self::WORST.saturating_mul(fall);
        count.took_tail_loss_probe = sign == Sign::TailLossProbe;
        count.heard |= !failed;
        count.probes += 1;
        count.signs += u32::from(!matches!(sign, Sign::Clean | Sign::TailLossProbe));
        count.level = match sign {
            Sign::TailLossProbe | Sign::None => count.level,
            Sign::Clean => count.level.saturating_sub(Self::CLEAN),
            Sign::ResentOnce => count.level + Self::ONCE,
            Sign::ResentOften | Sign::ResentInVain | Sign::Silence => count.level + Self::WORST,
        };
        count.level = count.level.min(full);
        count.is_losing = (count.level == full && count.heard) || (count.is_losing && count.level > full / 2);
        if count.level == 0 { count.anew() } else { count }
    }

    /// With what was counted forgotten.
    fn anew(self) -> Self {
        let Self { took_tail_loss_probe, failures, .. } = self;
        Self { took_tail_loss_probe, failures, ..Self::default() }
    }

    fn suspects(self) -> bool {
        self.level > 0 || self.took_tail_loss_probe
    }
}

/// Counts the signs of loss of one check of one target.
#[derive(Debug, Clone, Default)]
pub(super) struct LossCounter {
    /// Of the results that no probe in flight began before.
    settled: Count,
    /// The others, in the order in which their probes began.
    open: Vec<(Boottime, Sign)>,
    /// With those.
    count: Count,
    /// Since when the link is taken for one that loses packets.
    losing_since: Option<Boottime>,
    /// When a sibling last showed loss.
    sibling_lost_at: Option<Boottime>,
}

impl LossCounter {
    /// A sibling's sign of loss is about this host for so long before and after.
    const BESIDE: Duration = Duration::from_secs(10);

    /// Takes a result in, while the earliest of the probes that are still in flight began at `oldest`. Returns the
    /// failure that a success is on a link that loses too much.
    pub(super) fn observe(
        &mut self,
        observation: &Observation,
        oldest: Option<Boottime>,
        now: Boottime,
        fall: u32,
    ) -> Option<Failure> {
        let sign = Sign::new(observation);
        let is_ours = self.sibling_lost_at.is_some_and(|at| now < at.after(Self::BESIDE));
        // Whatever it says of loss: a failure is one of an outage, and a success ends that.
        let sign = match sign {
            _ if !is_ours => sign,
            failure if failure.is_failure() => Sign::None,
            _ => Sign::Clean,
        };
        let at = self.open.partition_point(|(began, _)| *began <= observation.started);
        self.open.insert(at, (observation.started, sign));
        let over = self.open.partition_point(|(began, _)| oldest.is_none_or(|oldest| *began < oldest));
        self.settled = self.open.drain(..over).fold(self.settled, |count, (_, sign)| count.with(sign, fall));
        self.count = self.open.iter().fold(self.settled, |count, (_, sign)| count.with(*sign, fall));
        self.losing_since = self.count.is_losing.then(|| self.losing_since.unwrap_or(now));
        let is_late = matches!(sign, Sign::ResentOnce | Sign::ResentOften);
        (is_late && self.is_losing()).then(|| self.failure())
    }

    /// A sibling showed loss: what was seen here meanwhile may be this host's. A link that was found out before that
    /// stays so.
    pub(super) fn note_sibling_loss(&mut self, now: Boottime) {
        if self.losing_since.is_none_or(|since| now < since.after(Self::BESIDE)) {
            let failures = self.count.failures;
            let settled = Count { failures, ..Count::default() };
            *self = Self { sibling_lost_at: Some(now), settled, count: settled, ..Self::default() };
        }
    }

    /// True if there are signs that clean probes have not made up for, or a tail-loss probe: that alone does not count,
    /// but the next probe is not to wait for its interval, since on a kept connection every other sign comes behind
    /// one.
    pub(super) fn suspects(&self) -> bool {
        self.count.suspects()
    }

    /// True while the link is taken for one that loses packets.
    pub(super) fn is_losing(&self) -> bool {
        self.count.is_losing
    }

    fn failure(&self) -> Failure {
        let Count { signs, probes, .. } = self.count;
        let detail = format_args!(
            "packets are lost: in {signs} of the latest {probes} probes TCP had to send again, or nothing came"
        );
        Failure::new(FailureReason::Timeout, detail)
    }
}

#[cfg(test)]
mod tests;
