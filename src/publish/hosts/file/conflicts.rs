//! Late edits that are in conflict with others: saved beside what the hosts file holds now, in a bounded number.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::error::FileError;
use crate::sys::atomic_file::{self, Durability};

/// So many are kept, and so many bytes of them in all; of more the oldest go.
const MOST: usize = 16;
const MOST_BYTES: u64 = 64 * 1024 * 1024;
/// What their names begin with.
const NAME: &str = "hosts.conflict.";

/// The name for a new one: an inode's number comes again, and an earlier edit stays.
pub(super) fn unused_name(folder: &Path, id: u64) -> PathBuf {
    let name = |n| folder.join(if n == 0 { format!("{NAME}{id}") } else { format!("{NAME}{id}-{n}") });
    (0..MOST).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(MOST))
}

/// Saves one (0600, synced). Gives how many earlier ones had to go for it.
///
/// # Errors
/// [`FileError::NotSaved`]. Then nothing went.
pub(super) fn save(path: &Path, bytes: &[u8]) -> Result<usize, FileError> {
    let failed = |source| FileError::NotSaved { path: path.to_owned(), source };
    atomic_file::write(path, bytes, 0o600, Durability::Synced).map_err(failed)?;
    Ok(prune(path))
}

/// Deletes the oldest until few enough are left; never the newest, `newest`. What can't be deleted stays.
fn prune(newest: &Path) -> usize {
    let entries = std::fs::read_dir(atomic_file::parent(newest)).into_iter().flatten().filter_map(Result::ok);
    let others = entries.filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(NAME)));
    let mut all: Vec<_> = others
        .filter_map(|entry| {
            let facts = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
            Some(((facts.mtime(), facts.mtime_nsec()), facts.len(), entry.path()))
        })
        .filter(|(.., path)| path != newest)
        .collect();
    all.sort_unstable();
    let (mut count, mut bytes) = (1, std::fs::metadata(newest).map_or(0, |facts| facts.len()));
    let stays = all.iter().rev().take_while(|(_, size, _)| {
        (count, bytes) = (count + 1, bytes.saturating_add(*size));
        count <= MOST && bytes <= MOST_BYTES
    });
    let gone = all.len() - stays.count();
    all[..gone].iter().filter(|(.., path)| std::fs::remove_file(path).is_ok()).count()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn the_oldest_go_by_number_and_by_size_and_the_newest_never() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("hosts.orig"), "not one").unwrap();
        let (mut went, mut paths) = (0, Vec::new());
        for n in 0..20 {
            let path = unused_name(dir.path(), 7);
            assert!(!path.exists());
            went += save(&path, b"edit").unwrap();
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(UNIX_EPOCH + Duration::from_secs(n)).unwrap();
            paths.push(path);
        }
        let there = || std::fs::read_dir(dir.path()).unwrap().count() - 1;
        assert_eq!((went, there()), (4, MOST));
        assert!(dir.path().join("hosts.orig").exists());
        // One that is larger than all may be is alone then.
        let large = unused_name(dir.path(), 8);
        let file = std::fs::File::create(&large).unwrap();
        file.set_len(MOST_BYTES + 1).unwrap();
        assert_eq!((prune(&large), there()), (MOST, 1));
        assert!(large.exists());
    }
}
