//! Notices that a file which holds a secret may have been written anew.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::sys::atomic_file::parent;
use crate::sys::dir_watch::{Changes, DirWatch};
use crate::sys::heartbeat::LOOK;
use crate::sys::tell_once::TellOnce;

/// How long nothing may have happened before a file is read: half a secret would be a wrong one. At most, since others
/// may write in the same folder all the time.
const QUIET: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(2);
/// The kernel's own limit of links that are followed (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// A watch over the folders of some files, and of what they are links to. What it can't watch is for its owner's slow
/// look.
#[derive(Default)]
pub(super) struct SecretFiles {
    folders: BTreeSet<PathBuf>,
    watch: Option<DirWatch>,
    told: TellOnce,
    stirred: Option<Stirred>,
}

/// When something happened in the folders.
#[derive(Clone, Copy)]
struct Stirred {
    first: Instant,
    last: Instant,
}

impl SecretFiles {
    /// From now on these. Says why they can't be watched, once.
    pub(super) async fn follow<'a>(&mut self, files: impl Iterator<Item = &'a Path>) -> Option<String> {
        let files: Vec<PathBuf> = files.map(Path::to_owned).collect();
        let watched = self.watch.as_ref().is_some_and(|watch| !watch.is_broken());
        let known = self.folders.clone();
        // A slow disk must not hold the runtime up.
        let look = move || {
            let all: BTreeSet<PathBuf> = files.iter().flat_map(|file| folders_to(file)).collect();
            let folders: BTreeSet<PathBuf> = all.into_iter().take(Changes::MAX_FILES).collect();
            if folders == known && (watched || folders.is_empty()) {
                return None;
            }
            // One that can't be watched must not keep the others from it.
            let there = folders.iter().filter(|folder| folder.is_dir()).map(|folder| folder.join("*"));
            let watch = if folders.is_empty() { Ok(None) } else { DirWatch::new(there).map(Some) };
            Some((folders, watch))
        };
        let Ok(Some((folders, watch))) = tokio::task::spawn_blocking(look).await else { return None };
        let (watch, fault) = watch.map_or_else(|why| (None, Some(why)), |watch| (watch, None));
        (self.folders, self.watch) = (folders, watch);
        let why = self.told.new_fault(fault)?;
        let every = LOOK.as_secs();
        Some(format!("the folders of secret files can't be watched: {why}; they are looked at every {every} s instead"))
    }

    /// Waits until something has happened and has come to rest. May be dropped at any time without losing it.
    pub(super) async fn rest(&mut self) {
        loop {
            let rested = self.stirred.map(|Stirred { first, last }| (last + QUIET).min(first + LONGEST));
            tokio::select! {
                () = stir(&mut self.watch) => {
                    let last = Instant::now();
                    self.stirred = Some(Stirred { first: self.stirred.map_or(last, |stirred| stirred.first), last });
                }
                () = sleep_until(rested.unwrap_or_else(Instant::now)), if rested.is_some() => {
                    self.stirred = None;
                    return;
                }
            }
        }
    }

    /// True while something happens that has not come to rest.
    pub(super) fn is_stirred(&self) -> bool {
        self.stirred.is_some()
    }
}

async fn stir(watch: &mut Option<DirWatch>) {
    match watch {
        Some(watch) if !watch.is_broken() => {
            watch.changed().await;
        }
        _ => std::future::pending().await,
    }
}

/// The folder of a file, and those of what it leads through.
fn folders_to(file: &Path) -> Vec<PathBuf> {
    let mut at = file.to_owned();
    let mut folders = vec![parent(&at)];
    for _ in 0..MOST_LINKS {
        let Ok(target) = std::fs::read_link(&at) else { break };
        at = parent(&at).join(target);
        folders.push(parent(&at));
    }
    // Kubernetes and others swap the folder beneath: a link, too.
    let swapped: Vec<_> = folders.iter().filter(|folder| folder.is_symlink()).map(|folder| parent(folder)).collect();
    folders.extend(swapped);
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn soon(files: &mut SecretFiles) {
        tokio::time::timeout(Duration::from_secs(20), files.rest()).await.expect("nothing noticed");
    }

    #[tokio::test]
    async fn every_way_to_write_a_file_anew_is_noticed_once_it_has_come_to_rest() {
        let folder = tempfile::tempdir().unwrap();
        let (file, linked) = (folder.path().join("a"), folder.path().join("b"));
        let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
        for version in [&one, &two] {
            std::fs::create_dir(version).unwrap();
            std::fs::write(version.join("b"), "x").unwrap();
        }
        std::fs::write(&file, "x").unwrap();
        std::os::unix::fs::symlink(&one, folder.path().join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/b", &linked).unwrap();
        let mut files = SecretFiles::default();
        files.follow([file.as_path(), linked.as_path()].into_iter()).await;
        std::fs::write(&file, "y").unwrap();
        soon(&mut files).await;
        std::fs::write(folder.path().join("new"), "z").unwrap();
        std::fs::rename(folder.path().join("new"), &file).unwrap();
        soon(&mut files).await;
        // As Kubernetes does it.
        std::os::unix::fs::symlink(&two, folder.path().join("..new")).unwrap();
        std::fs::rename(folder.path().join("..new"), folder.path().join("..data")).unwrap();
        soon(&mut files).await;
        assert!(!files.is_stirred());
        // A folder that is not there is for a later look.
        files.follow([Path::new("/no/such/folder/a"), file.as_path()].into_iter()).await;
        std::fs::write(&file, "y").unwrap();
        soon(&mut files).await;
    }
}
