//! Notices changes of files for as long as it lives, with a watch where one can be had and by polling besides.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use crate::sys::atomic_file::parent;
use crate::sys::blocking::blocking;
use crate::sys::dir_watch::{Changes, DirWatch};
use crate::sys::file_stamp::FileStamp;

/// Between two polls behind a watch: for what no watch can see.
const BEHIND_A_WATCH: Duration = Duration::from_secs(15);
/// Between two polls where there is no watch.
const WITHOUT_A_WATCH: Duration = Duration::from_millis(100);
/// Between two tries to make a watch where none could be made: each may cost a thread.
const BETWEEN_TRIES: Duration = Duration::from_secs(15);
/// The same after one that broke, since its folder was replaced: as a rule a new one is there.
const AFTER_A_BREAK: Duration = Duration::from_secs(1);

/// Looks after some files, whatever becomes of their folders.
pub(super) struct FileWatcher {
    files: Vec<PathBuf>,
    watch: Option<DirWatch>,
    /// Why no watch could be made.
    fault: Option<String>,
    seen: Vec<Option<FileStamp>>,
    next_poll: Instant,
    next_try: Instant,
}

impl FileWatcher {
    /// Begins to look. A folder that is not there is watched once it is.
    pub(super) async fn new(files: Vec<PathBuf>) -> Self {
        let (seen, now) = (vec![None; files.len()], Instant::now());
        let mut watcher = Self { files, watch: None, fault: None, seen, next_poll: now, next_try: now };
        watcher.poll().await;
        watcher
    }

    /// Why there is no watch, and what is done instead, if one could not be made.
    pub(super) fn fault(&self) -> Option<String> {
        let why = self.fault.as_ref()?;
        Some(format!("{why}; it is looked at every {} ms instead", WITHOUT_A_WATCH.as_millis()))
    }

    /// Waits until some file may have changed since the last call, and says which, in the order they were named in.
    /// May be dropped at any time without losing a change.
    pub(super) async fn changed(&mut self) -> Changes {
        loop {
            let told = tokio::select! {
                changes = told_by(&mut self.watch) => changes,
                () = tokio::time::sleep_until(self.next_poll) => Changes::NONE,
            };
            if !told.is_empty() {
                if self.watch.as_ref().is_some_and(DirWatch::is_broken) {
                    // Not at once: the folder may come back a moment later, and go again.
                    self.watch = None;
                    self.next_try = Instant::now() + AFTER_A_BREAK;
                    self.rest();
                }
                return told;
            }
            let polled = self.poll().await;
            if !polled.is_empty() {
                return polled;
            }
        }
    }

    async fn poll(&mut self) -> Changes {
        let files = self.files.clone();
        let seen = if self.watch.is_some() || Instant::now() < self.next_try {
            blocking(move || stamps(&files)).await
        } else {
            let (watch, seen) = open(files).await;
            let (watch, fault) = watch.map_or_else(|why| (None, Some(why)), |watch| (watch, None));
            if fault.is_some() {
                self.next_try = Instant::now() + BETWEEN_TRIES;
            }
            (self.watch, self.fault) = (watch, fault);
            seen
        };
        let changed = |i: &usize| self.seen.get(*i) != seen.get(*i);
        let changes = (0..self.files.len()).filter(changed).fold(Changes::NONE, |all, i| all.and(Changes::one(i)));
        self.seen = seen;
        self.rest();
        changes
    }

    fn rest(&mut self) {
        let pause = if self.watch.is_some() { BEHIND_A_WATCH } else { WITHOUT_A_WATCH };
        self.next_poll = Instant::now() + pause;
    }
}

async fn told_by(watch: &mut Option<DirWatch>) -> Changes {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

/// The watch first, so that no change falls between it and the first look. Making one costs a thread: not for a folder
/// that is not there.
async fn open(files: Vec<PathBuf>) -> (Result<Option<DirWatch>, String>, Vec<Option<FileStamp>>) {
    let work = move || {
        let there = || files.iter().all(|file| parent(file).is_dir());
        let watch = if there() { DirWatch::new(&files).map(Some) } else { Ok(None) };
        // A folder that went meanwhile is no fault.
        (watch.or_else(|why| if there() { Err(why) } else { Ok(None) }), stamps(&files))
    };
    blocking(work).await
}

fn stamps(files: &[PathBuf]) -> Vec<Option<FileStamp>> {
    files.iter().map(|file| FileStamp::read(file)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn soon<T>(f: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(20), f).await.expect("nothing told within the deadline")
    }

    #[tokio::test]
    async fn without_a_watch_it_says_why_and_looks_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let files: Vec<_> = (0..33).map(|n| dir.path().join(n.to_string())).collect();
        let mut watcher = FileWatcher::new(files.clone()).await;
        let expected = "33 files are more than one watch tells apart; it is looked at every 100 ms instead";
        assert_eq!(watcher.fault().as_deref(), Some(expected));
        std::fs::write(&files[7], "x").unwrap();
        assert_eq!(soon(watcher.changed()).await, Changes::one(7));
        assert_eq!(FileWatcher::new(files[..1].to_vec()).await.fault(), None);
        assert_eq!(FileWatcher::new(vec![dir.path().join("none/a")]).await.fault(), None, "it is not there yet");
    }

    #[tokio::test]
    async fn a_folder_that_comes_later_and_goes_is_coped_with() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("run");
        let file = inner.join("plan.json");
        let mut watcher = FileWatcher::new(vec![file.clone()]).await;
        assert!(watcher.watch.is_none());
        for round in 0..2 {
            std::fs::create_dir(&inner).unwrap();
            std::fs::write(&file, format!("{round}")).unwrap();
            assert!(soon(watcher.changed()).await.has(0));
            std::fs::remove_dir_all(&inner).unwrap();
            while std::fs::exists(&file).unwrap() || watcher.watch.is_some() {
                soon(watcher.changed()).await;
            }
        }
    }
}
