//! placeholder until merged
pub mod runner;
mod target;
mod work;

use std::future::Future;
use std::time::Duration;

use crate::model::{Failure, Timings};
pub use work::Work;

/// Whether probes of one target may overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// They may.
    Hedged,
    /// One at a time, awaited.
    OneAwaited,
}

/// One attempt.
pub trait Prober: Send + Sync + 'static {
    /// Overlap.
    fn overlap(&self) -> Overlap;
    /// One attempt.
    fn probe(&self, deadline: Duration) -> impl Future<Output = Result<Timings, Failure>> + Send;
}
