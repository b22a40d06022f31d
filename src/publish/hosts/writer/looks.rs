//! What the loop looks at, and watches.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::apply;
use super::core::Input;
use crate::model::{Handover, Wall};
use crate::publish::file_watcher::FileWatcher;
use crate::publish::hosts::life_file::LifeFile;
use crate::publish::hosts::policy::HostsPolicy;
use crate::publish::hosts::{file, handover, removed};
use crate::sys::blocking::blocking;

/// Does not even begin before the pause is over.
pub(super) async fn after<T>(pause: Duration, work: impl Future<Output = T>) -> T {
    if !pause.is_zero() {
        sleep(pause).await;
    }
    work.await
}

/// The error in a sentence.
pub(super) async fn read_plan(policy: &HostsPolicy) -> Result<Option<Handover>, String> {
    let dir = policy.agent_run_dir.clone();
    blocking(move || handover::read(&dir)).await.map_err(|e| e.to_string())
}

pub(super) async fn look_at_life(policy: &HostsPolicy) -> Input {
    let alive = handover::alive_path(&policy.agent_run_dir);
    Input::AgentLiveness(blocking(move || LifeFile::read(&alive)).await)
}

pub(super) async fn watch_agent(policy: &HostsPolicy) -> FileWatcher {
    let dir = &policy.agent_run_dir;
    FileWatcher::new(vec![handover::plan_path(dir), handover::alive_path(dir)]).await
}

/// Without a path there is nothing to look at.
pub(super) async fn watch_hosts(policy: &HostsPolicy) -> FileWatcher {
    let path = policy.path.clone();
    let work = move || match path.as_os_str() {
        none if none.is_empty() => Vec::new(),
        _ => vec![path.clone(), std::fs::canonicalize(&path).unwrap_or(path)],
    };
    FileWatcher::new(blocking(work).await).await
}

/// Where the hosts file is, links followed.
pub(super) async fn real(policy: &HostsPolicy) -> Option<PathBuf> {
    let path = policy.path.clone();
    blocking(move || file::real(&path)).await
}

/// Settles what updates displaced beside a file that is looked after no longer, and tells what stays.
pub(super) async fn settle_closed(policy: &Arc<HostsPolicy>) {
    let policy = Arc::clone(policy);
    if let Some(stays) = blocking(move || apply::settle_what_is_closed(&policy)).await {
        tracing::warn!("hosts writer: {stays}");
    }
}

/// Follows root's order to keep the block out. Its folder need not be there, and costs nothing then.
pub(super) struct OrderWatch {
    admin_dir: PathBuf,
    watcher: Option<FileWatcher>,
}

impl OrderWatch {
    /// Nothing is seen before the first look.
    pub(super) fn new(policy: &HostsPolicy) -> Self {
        Self { admin_dir: policy.admin_dir.clone(), watcher: None }
    }

    /// Waits until a look may show something else than the last one. May be dropped at any time.
    pub(super) async fn changed(&mut self) {
        match &mut self.watcher {
            Some(watcher) => drop(watcher.changed().await),
            None => std::future::pending().await,
        }
    }

    /// Why it is not watched although it could be.
    pub(super) fn fault(&self) -> Option<String> {
        self.watcher.as_ref().and_then(FileWatcher::fault)
    }

    /// What stands there now.
    pub(super) async fn look(&mut self) -> Result<Option<Wall>, String> {
        let folder = self.admin_dir.clone();
        match blocking(move || folder.is_dir()).await {
            // The watch first, so that no change falls between it and the look.
            true if self.watcher.is_none() => {
                self.watcher = Some(FileWatcher::new(vec![removed::path(&self.admin_dir)]).await);
            }
            true => {}
            false => self.watcher = None,
        }
        let folder = self.admin_dir.clone();
        blocking(move || removed::since(&folder)).await
    }
}
