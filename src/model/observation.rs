//! What one probe saw.

use std::sync::Arc;
use std::time::Duration;

use super::{Boottime, Certificate, Check, Failure, TargetKey};

/// The result of one check of one target, with when it started and ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// When the probe began. Observations are folded in this order, whatever the order they arrive in.
    pub started: Boottime,
    /// When its result was known.
    pub ended: Boottime,
    /// Phase times, or why not.
    pub outcome: Result<Timings, Failure>,
}

impl Observation {
    /// True if it succeeded after a tail-loss probe of TCP's that no timer followed.
    #[must_use]
    pub fn took_a_tail_loss_probe(&self) -> bool {
        self.outcome.as_ref().is_ok_and(|timings| timings.tail_loss_probe)
    }

    /// How often TCP had to send something again because its timer ran out.
    #[must_use]
    pub fn retransmissions(&self) -> u32 {
        self.outcome.as_ref().map_or_else(|failure| failure.retransmissions, |timings| timings.retransmissions)
    }
}

/// How long each phase of a successful probe took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timings {
    /// From the SYN to the open connection.
    pub tcp: Duration,
    /// The TLS handshake, where there is one.
    pub tls: Option<Duration>,
    /// From the request to the first byte of the answer (a greeting counts as an answer), where there is one.
    pub answer: Option<Duration>,
    /// From the first byte of the login to its acceptance, where there is one of its own.
    pub login: Option<Duration>,
    /// The statement, from sending it to its whole result, where there is one of its own.
    pub query: Option<Duration>,
    /// Everything.
    pub total: Duration,
    /// How often TCP had to send something again because its timer ran out; 0 where the kernel does not tell.
    pub retransmissions: u32,
    /// Whether TCP sent a tail-loss probe and nothing else again: a sign of a lost packet or of a slow answer.
    pub tail_loss_probe: bool,
}

/// One check that was made once, for an admin who asked.
#[derive(Debug, Clone)]
pub struct Probed {
    /// Of which target.
    pub target: TargetKey,
    /// Which check.
    pub check: Check,
    /// What was seen.
    pub outcome: Result<Timings, Failure>,
    /// The certificate that was shown, trusted or not.
    pub certificate: Option<Certificate>,
    /// What people should know of how the target is asked.
    pub remark: Option<Arc<str>>,
}
