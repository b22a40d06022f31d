//! What every prober can do.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::health::Pace;
use crate::model::{Certificate, Failure, Timings};

/// One attempt at one check of one target. The runner owns the schedule; a prober makes one attempt and never
/// retries.
pub trait Prober: Send + Sync + 'static {
    /// Whether a second attempt may start while one is unanswered.
    fn overlap(&self) -> Overlap;

    /// The certificate that the server has shown last, if it has shown one.
    fn certificate(&self) -> Option<Arc<Certificate>> {
        None
    }

    /// How often attempts may be made, as the latest one has shown.
    fn pace(&self) -> Pace {
        Pace::Scheduled
    }

    /// What people should know of how this target is asked, although nothing is wrong with its answers.
    fn remark(&self) -> Option<Arc<str>> {
        None
    }

    /// Whether the latest attempt has got a connection, be it over or under way; `None` if that can't be told.
    fn is_reached(&self) -> Option<bool> {
        None
    }

    /// One attempt, over at the latest when `deadline` has passed.
    ///
    /// # Errors
    /// What was seen instead of success; a passed deadline is a [`Timeout`](crate::model::FailureReason::Timeout)
    /// that says which phase did not end.
    fn probe(&self, deadline: Duration) -> impl Future<Output = Result<Timings, Failure>> + Send
    where
        Self: Sized;
}

/// Whether attempts at one target may overlap (B6, B7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// They may: an unfinished attempt costs the server nothing, or further ones share its answer.
    Hedged,
    /// They may not: an unanswered attempt is awaited to its deadline first.
    OneAwaited,
}
