//! Where the writer's policy comes from.

use std::future::Future;
use std::sync::Arc;

use crate::publish::hosts::policy::HostsPolicy;
use crate::sys::in_force::Projection;

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
impl PolicySource for Projection<Arc<HostsPolicy>> {
    fn current(&self) -> Arc<HostsPolicy> {
        Arc::clone(self.seen())
    }

    async fn changed(&mut self) {
        Self::changed(self).await;
    }

    async fn reread(&mut self) {
        self.look();
    }

    fn trouble(&self) -> Option<String> {
        None
    }
}
