//! Tells that files may have changed, whichever process changed them and however.
//!
//! The *folders* of the files are watched, never the files: a watch on a file dies at the first rename over it. What
//! it tells is a hint: who is told reads the file and compares content. It never keeps more than one bit a file, so a
//! storm of changes costs no memory, and a bit that is set stays set until the owner took it, so no change is lost
//! between two calls.
//!
//! A folder that is itself removed or replaced takes its watch along: the watch then says so, for ever
//! ([`DirWatch::is_broken`]), and its owner makes a new one. Owners poll slowly besides, for what no watch can see.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use nix::errno::Errno;
use notify::event::{EventKind, ModifyKind, RenameMode};
use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use super::atomic_file::parent;

/// Which files may have changed: one bit each, in the order they were named in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changes(u32);

impl Changes {
    /// No file.
    pub const NONE: Self = Self(0);
    /// Every file.
    pub const ALL: Self = Self(u32::MAX);
    /// How many files one watch tells apart.
    pub const MAX_FILES: usize = 32;

    /// Just the file at `index` in the order of naming; no file if the index is past [`Self::MAX_FILES`].
    #[must_use]
    pub fn one(index: usize) -> Self {
        Self(u32::try_from(index).ok().and_then(|i| 1u32.checked_shl(i)).unwrap_or(0))
    }

    /// True if the file at `index` may have changed.
    #[must_use]
    pub fn has(self, index: usize) -> bool {
        self.0 & Self::one(index).0 != 0
    }

    /// True if none did.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A watch over some files.
pub struct DirWatch {
    shared: Arc<Shared>,
    /// Lives as long as we do; dropping it ends its thread.
    _watcher: RecommendedWatcher,
}

#[derive(Default)]
struct Shared {
    changed: AtomicU32,
    broken: AtomicBool,
    wake: Notify,
}

impl Shared {
    fn set(&self, changes: Changes) {
        if !changes.is_empty() {
            self.changed.fetch_or(changes.0, Ordering::AcqRel);
            self.wake.notify_one();
        }
    }
}

impl DirWatch {
    /// Watches the folders of these files. The files need not exist, the folders must. `*` in the place of a file's
    /// name is any file of its folder.
    ///
    /// # Errors
    /// Why, in words: a folder is not there, the kernel's limit of watches or of inotify instances is used up
    /// (`fs.inotify.max_user_*`), or there are more files than [`Changes::MAX_FILES`]. Who wants a watch polls instead.
    pub fn new<P: AsRef<Path>>(files: impl IntoIterator<Item = P>) -> Result<Self, String> {
        // Events carry absolute paths.
        let absolute = |f: P| std::path::absolute(f.as_ref()).unwrap_or_else(|_| f.as_ref().to_owned());
        let files: Vec<PathBuf> = files.into_iter().map(absolute).collect();
        if files.len() > Changes::MAX_FILES {
            return Err(format!("{} files are more than one watch tells apart", files.len()));
        }
        let dirs: BTreeSet<PathBuf> = files.iter().map(|f| parent(f)).collect();
        let shared = Arc::new(Shared::default());
        let sink = Sink { shared: Arc::clone(&shared), files, dirs: dirs.clone() };
        let mut watcher = notify::recommended_watcher(move |event| sink.note(event)).map_err(|e| in_words(&e))?;
        for dir in &dirs {
            watcher.watch(dir, RecursiveMode::NonRecursive).map_err(|e| in_words(&e))?;
        }
        Ok(Self { shared, _watcher: watcher })
    }

    /// Waits until some file may have changed since the last call, and says which. Changes between two calls are
    /// kept. May be dropped at any time without losing one.
    pub async fn changed(&mut self) -> Changes {
        loop {
            let changes = Changes(self.shared.changed.swap(0, Ordering::AcqRel));
            if !changes.is_empty() {
                return changes;
            }
            self.shared.wake.notified().await;
        }
    }

    /// True once a watched folder was removed or replaced, or the watch failed: it tells nothing more of it.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.shared.broken.load(Ordering::Acquire)
    }
}

/// Names the limit that an admin would raise.
fn in_words(error: &notify::Error) -> String {
    match &error.kind {
        ErrorKind::MaxFilesWatch => "the kernel's limit of watches is used up (fs.inotify.max_user_watches)".to_owned(),
        ErrorKind::Io(e) if e.raw_os_error() == Some(Errno::EMFILE as i32) => {
            "the limit of inotify instances or of open files is used up (fs.inotify.max_user_instances)".to_owned()
        }
        _ => error.to_string(),
    }
}

/// The side of the watcher's own thread.
struct Sink {
    shared: Arc<Shared>,
    files: Vec<PathBuf>,
    dirs: BTreeSet<PathBuf>,
}

impl Sink {
    fn note(&self, event: notify::Result<notify::Event>) {
        let Ok(event) = event else { return self.breaks() };
        if event.need_rescan() {
            return self.shared.set(Changes::ALL);
        }
        // Every open of any file in the folder comes as `Access`: each name lookup on the host is one.
        if matches!(event.kind, EventKind::Access(_)) {
            return;
        }
        let gone = matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)));
        if gone && event.paths.iter().any(|p| self.dirs.contains(p)) {
            return self.breaks();
        }
        let is = |file: &Path, path: &PathBuf| match file.file_name() {
            Some(any) if any == "*" => path.parent() == file.parent(),
            _ => path == file,
        };
        let told = self.files.iter().enumerate().filter(|(_, file)| event.paths.iter().any(|path| is(file, path)));
        self.shared.set(told.fold(Changes::NONE, |all, (i, _)| all.and(Changes::one(i))));
    }

    fn breaks(&self) {
        self.shared.broken.store(true, Ordering::Release);
        self.shared.set(Changes::ALL);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A generous bound that only a fault reaches.
    async fn soon<T>(f: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(20), f).await.expect("nothing told within the deadline")
    }

    #[tokio::test]
    async fn every_kind_of_replacement_is_told_again_and_again() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        let mut watch = DirWatch::new([&a, &b]).unwrap();
        for round in 0..3 {
            std::fs::write(dir.path().join("new"), format!("{round}")).unwrap();
            std::fs::rename(dir.path().join("new"), &b).unwrap();
            let changes = soon(watch.changed()).await;
            assert!(changes.has(1) && !changes.has(0), "{changes:?}");
            std::fs::remove_file(&b).unwrap();
            assert!(soon(watch.changed()).await.has(1));
        }
        std::fs::write(&a, "x").unwrap();
        while !soon(watch.changed()).await.has(0) {}
    }

    #[tokio::test]
    async fn reads_and_other_files_are_not_told() {
        let dir = tempfile::tempdir().unwrap();
        let (a, last) = (dir.path().join("a"), dir.path().join("last"));
        std::fs::write(&a, "x").unwrap();
        let mut watch = DirWatch::new([&a, &last]).unwrap();
        for _ in 0..100 {
            std::fs::read(&a).unwrap();
        }
        std::fs::write(dir.path().join("other"), "x").unwrap();
        std::fs::write(&last, "x").unwrap();
        // Events come in order, so that the last file's tells that the others were seen.
        assert_eq!(soon(watch.changed()).await, Changes::one(1));
    }

    #[tokio::test]
    async fn a_star_stands_for_every_file_of_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let mut watch = DirWatch::new([dir.path().join("a"), dir.path().join("*")]).unwrap();
        std::fs::write(dir.path().join("new"), "x").unwrap();
        assert_eq!(soon(watch.changed()).await, Changes::one(1));
    }

    #[tokio::test]
    async fn a_change_before_the_call_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let a = dir.path().join("a");
        let mut watch = DirWatch::new([&a]).unwrap();
        for _ in 0..10_000 {
            watch.shared.set(Changes::one(0));
        }
        assert!(soon(watch.changed()).await.has(0));
    }

    #[tokio::test]
    async fn a_replaced_folder_breaks_the_watch_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let mut watch = DirWatch::new([inner.join("a")]).unwrap();
        std::fs::rename(&inner, dir.path().join("moved")).unwrap();
        assert!(soon(watch.changed()).await.has(0));
        assert!(watch.is_broken());
    }

    #[test]
    fn a_rescan_means_everything_and_errors_break() {
        let shared = Arc::new(Shared::default());
        let sink = Sink { shared: Arc::clone(&shared), files: vec!["/x/a".into()], dirs: BTreeSet::new() };
        sink.note(Ok(notify::Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan)));
        assert_eq!(shared.changed.swap(0, Ordering::AcqRel), u32::MAX);
        assert!(!shared.broken.load(Ordering::Acquire));
        sink.note(Err(notify::Error::generic("gone")));
        assert_eq!(shared.changed.swap(0, Ordering::AcqRel), u32::MAX);
        assert!(shared.broken.load(Ordering::Acquire));
    }

    #[test]
    fn a_missing_folder_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("none");
        assert!(DirWatch::new([missing.join("a")]).is_err());
        let too_many = DirWatch::new((0..33).map(|_| "a")).err();
        assert_eq!(too_many.as_deref(), Some("33 files are more than one watch tells apart"));
    }

    #[test]
    fn a_limit_that_is_used_up_is_named() {
        let watches = in_words(&notify::Error::new(ErrorKind::MaxFilesWatch));
        assert!(watches.ends_with("(fs.inotify.max_user_watches)"), "{watches}");
        let io = |errno: Errno| in_words(&notify::Error::io(std::io::Error::from(errno)));
        assert!(io(Errno::EMFILE).ends_with("(fs.inotify.max_user_instances)"));
        assert_eq!(io(Errno::EACCES), "Permission denied (os error 13)");
    }
}
