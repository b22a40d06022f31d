//! The policy out of the config, for a writer that is a process of its own.
//!
//! A config that can't be used changes nothing: the last good policy stays in force, and is kept on disk for the next
//! start. Without any the writer is idle until the config can be used.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::policy_source::PolicySource;
use super::store;
use super::{FaultLog, TAKING_OVER};
use crate::config::{self, Complaint, Complaints, Environment, LoadedWriter, Severity, Sources};
use crate::publish::file_watcher::FileWatcher;
use crate::publish::hosts::policy::{Folders, HostsPolicy};
use crate::sys::blocking::blocking;

/// Between two looks at the files behind the watch: for what no watch can see, and for what failed.
const POLL: Duration = Duration::from_secs(10);

/// Makes the folders of a policy this process's alone, for as long as it runs. Blocks.
///
/// # Errors
/// Another process has one of them, in a sentence.
pub type ClaimFolders = Arc<dyn Fn(&HostsPolicy) -> Result<(), String> + Send + Sync>;

/// Follows the config files.
pub struct FromConfig {
    path: PathBuf,
    environment: Environment,
    claim: ClaimFolders,
    current: Arc<HostsPolicy>,
    /// There is a good policy, from now or from before.
    has_policy: bool,
    /// What is on disk for the next start.
    saved: Option<HostsPolicy>,
    /// The files behind the policy; `None` while they can't be used.
    sources: Option<Sources>,
    trouble: Option<String>,
    watcher: FileWatcher,
    watches_drop_ins: bool,
    next_poll: Instant,
    faults: FaultLog,
}

impl FromConfig {
    /// Reads the config at `path`, as [`config::load_writer`] does. `folders` are those that it names as far as can be
    /// told, however wrong the rest of it is: with a config that can't be used the last good policy is looked for
    /// there. No policy comes into force whose folders can't be claimed.
    pub async fn new(path: PathBuf, environment: Environment, folders: Folders, claim: ClaimFolders) -> Self {
        let (state_dir, claims) = (folders.state_dir.clone(), Arc::clone(&claim));
        let load = move || {
            let put_aside = |_: &String| store::put_aside(&store::policy_path(&state_dir));
            let loaded = store::load_policy(&state_dir).inspect_err(put_aside)?;
            loaded.map(|policy| claims(&policy).map(|()| policy)).transpose()
        };
        let saved = blocking(load).await.unwrap_or_else(|why: String| {
            tracing::warn!("hosts writer: the last good policy can't be used: {why}");
            None
        });
        let mut this = Self {
            current: Arc::new(saved.clone().unwrap_or_else(|| HostsPolicy::idle(folders))),
            watcher: FileWatcher::new(watched(&path, false)).await,
            has_policy: saved.is_some(),
            path,
            environment,
            claim,
            saved,
            sources: None,
            trouble: None,
            watches_drop_ins: false,
            next_poll: Instant::now(),
            faults: FaultLog::default(),
        };
        this.reread().await;
        this
    }

    /// The folder of drop-ins may come and go.
    async fn follow_folders(&mut self) {
        self.faults.tell("watching the config", self.watcher.fault());
        let folder = drop_ins(&self.path);
        let there = blocking(move || folder.is_dir()).await;
        if there != self.watches_drop_ins {
            self.watches_drop_ins = there;
            self.watcher = FileWatcher::new(watched(&self.path, there)).await;
        }
    }

    async fn accept(&mut self, loaded: LoadedWriter) {
        let LoadedWriter { config, whole, sources } = loaded;
        let mut policy = HostsPolicy::new(config);
        if !whole {
            policy.rules.hold_on_to(&self.current.rules);
        }
        let (claim, folders) = (Arc::clone(&self.claim), policy.clone());
        if let Err(why) = blocking(move || claim(&folders)).await {
            return self.refuse(&why, &why, 1);
        }
        (self.sources, self.trouble) = (Some(sources), None);
        self.faults.tell(TAKING_OVER, None);
        if self.saved.as_ref() != Some(&policy) {
            self.save(policy.clone()).await;
        }
        (self.current, self.has_policy) = (Arc::new(policy), true);
    }

    async fn save(&mut self, policy: HostsPolicy) {
        let save = move || store::prepare(&policy).and_then(|()| store::save_policy(&policy)).map(|()| policy);
        let result = blocking(save).await;
        self.faults.tell("keeping the policy for the next start", result.as_ref().err().map(ToString::to_string));
        self.saved = result.ok();
    }

    /// `place` and `what` speak of the first complaint; only `what` says what was found.
    fn refuse(&mut self, place: &str, what: &str, count: usize) {
        let more = match count {
            0 | 1 => String::new(),
            n => format!(" (the first of {n} complaints)"),
        };
        let meanwhile = match self.has_policy {
            true => "the last good policy stays in force",
            false => "nothing is published until it can be used",
        };
        self.faults.tell(TAKING_OVER, Some(format!("{what}{more}; {meanwhile}")));
        self.trouble = Some(format!("the config can't be used: {place}{more}; {meanwhile}"));
        self.sources = None;
    }

    fn refuse_complaints(&mut self, complaints: &Complaints) {
        let mut errors = complaints.complaints.iter().filter(|c| c.severity == Severity::Error);
        let (first, more) = (errors.next(), errors.count());
        let none = "no complaint was given";
        let Some(Complaint { file, line, column, key, expected, found, .. }) = first else {
            return self.refuse(none, none, complaints.omitted);
        };
        let number = |n: &Option<usize>| n.map(|n| format!(":{n}")).unwrap_or_default();
        let key = if key.is_empty() { String::new() } else { format!("{key}: ") };
        let place = format!("{file}{}{}", number(line), number(column));
        let what = format!("{place}: {key}expected {expected}, found {found}");
        self.refuse(&place, &what, 1 + more + complaints.omitted);
    }

    /// True if it is worth reading again without having been told so.
    async fn is_due(&self) -> bool {
        match self.sources.clone() {
            Some(sources) if self.saved.is_some() => blocking(move || sources.changed_on_disk()).await,
            _ => true,
        }
    }
}

impl PolicySource for FromConfig {
    fn current(&self) -> Arc<HostsPolicy> {
        Arc::clone(&self.current)
    }

    async fn changed(&mut self) {
        loop {
            tokio::select! {
                _ = self.watcher.changed() => return,
                () = sleep_until(self.next_poll) => {}
            }
            if self.is_due().await {
                return;
            }
            self.next_poll = Instant::now() + POLL;
        }
    }

    async fn reread(&mut self) {
        // The watch first, so that no change falls between it and the look.
        self.follow_folders().await;
        let (path, environment) = (self.path.clone(), self.environment.clone());
        match blocking(move || config::load_writer(&path, &environment)).await {
            Ok(loaded) => self.accept(loaded).await,
            Err(complaints) => self.refuse_complaints(&complaints),
        }
        self.next_poll = Instant::now() + POLL;
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.clone()
    }
}

fn drop_ins(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).join("conf.d")
}

fn watched(path: &Path, with_drop_ins: bool) -> Vec<PathBuf> {
    let folder = drop_ins(path);
    let every = with_drop_ins.then(|| folder.join("*"));
    [path.to_owned(), folder].into_iter().chain(every).collect()
}
