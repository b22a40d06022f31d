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
impl PolicySource for watch::Receiver<Arc<HostsPolicy>> {
    fn current(&self) -> Arc<HostsPolicy> {
        Arc::clone(&self.borrow())
    }

    async fn changed(&mut self) {
        // The channel's own `changed`.
        if Self::changed(self).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    async fn reread(&mut self) {
        self.mark_unchanged();
    }

    fn trouble(&self) -> Option<String> {
        None
    }
}
