//! What the two long-running processes share: how their stages are held together, and what the service manager hears
//! of them.

pub mod forget;
pub mod hosts_writer;
pub mod service;
pub mod sole;
pub mod supervise;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use supervise::Fault;

/// Orders from outside.
#[derive(Debug)]
pub struct Orders {
    /// Stop.
    pub stop: CancellationToken,
    /// Load the config again.
    pub reload: mpsc::Receiver<()>,
}
