//! Where the writer's policy comes from.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;

use crate::publish::hosts::policy::HostsPolicy;

/// A source of policies. There is always one in force; what is refused leaves the last good one in force.
pub trait PolicySource: Send {
    /// The one in force.
    fn current(&self) -> Arc<HostsPolicy>;

    /// Waits until another one may be there to be read. May be dropped at any time without losing that.
    fn changed(&mut self) -> impl Future<Output = ()> + Send;

    /// Takes what is there now into force, if it can be used.
    fn reread(&mut self) -> impl Future<Output = ()> + Send;

    /// What keeps the newest one from being used, in a sentence without anything that it holds.
    fn trouble(&self) -> Option<String>;
}

/// Given by the process around (`run --all-in-one`), which judged it. If that gives no more, the last one stays.
#[derive(Debug, Clone)]
pub struct FixedPolicy(watch::Receiver<Arc<HostsPolicy>>);

impl FixedPolicy {
    /// Follows what is sent.
    #[must_use]
    pub fn new(policies: watch::Receiver<Arc<HostsPolicy>>) -> Self {
        Self(policies)
    }
}

impl PolicySource for FixedPolicy {
    fn current(&self) -> Arc<HostsPolicy> {
        Arc::clone(&self.0.borrow())
    }

    async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    async fn reread(&mut self) {
        self.0.mark_unchanged();
    }

    fn trouble(&self) -> Option<String> {
        None
    }
}
