//! Forgetting what was left in a folder: the files that are ours, and no other.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use crate::sys::atomic_file;

/// What became of a folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// What was deleted.
    pub deleted: Vec<PathBuf>,
    /// What is not ours, and stays.
    pub stays: Vec<PathBuf>,
}

/// Deletes the files of these names in a folder, with what a version that could not use one put aside
/// (`….unusable`), and what a write that was killed left of one. A name that ends in `*` is any that begins so. A
/// folder that is not there holds nothing. Blocks.
///
/// # Errors
/// What can't be listed or deleted. What was deleted by then is gone.
pub fn forget(folder: &Path, ours: &[&str]) -> io::Result<Forgotten> {
    let at = |path: &Path, e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
    let entries = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Forgotten::default()),
        entries => entries.map_err(|e| at(folder, e))?,
    };
    let mut all = Vec::new();
    for entry in entries {
        all.push(entry.map_err(|e| at(folder, e))?);
    }
    all.sort_by_key(std::fs::DirEntry::file_name);
    let mut forgotten = Forgotten::default();
    for entry in all {
        let path = entry.path();
        let is_folder = entry.file_type().map_err(|e| at(&path, e))?.is_dir();
        if is_folder || !ours.iter().any(|name| is_of(&entry.file_name(), name)) {
            forgotten.stays.push(path);
        } else {
            std::fs::remove_file(&path).map_err(|e| at(&path, e))?;
            forgotten.deleted.push(path);
        }
    }
    Ok(forgotten)
}

fn is_of(found: &OsStr, name: &str) -> bool {
    let is_temp = atomic_file::is_temp_of(found, OsStr::new(name));
    let Some(found) = found.to_str() else { return is_temp };
    match name.strip_suffix('*') {
        Some(beginning) => found.starts_with(beginning),
        None => is_temp || found.strip_suffix(".unusable").unwrap_or(found) == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_goes_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let ours = ["a.json", "a.json.unusable", ".a.json.privatelinkd-0123456789abcdef.tmp", "kept.1", "kept.2"];
        let theirs = ["a.json.bak", "b.json", "kept"];
        ours.iter().chain(&theirs).for_each(|name| std::fs::write(at(name), "").unwrap());
        std::fs::create_dir(at("kept.folder")).unwrap();
        let Forgotten { deleted, stays } = forget(dir.path(), &["a.json", "kept.*"]).unwrap();
        assert_eq!(deleted.len(), ours.len());
        assert!(ours.iter().all(|name| deleted.contains(&at(name)) && !at(name).exists()), "{deleted:?}");
        assert_eq!(stays, ["a.json.bak", "b.json", "kept", "kept.folder"].map(at));
        assert_eq!(forget(&at("none"), &["x"]).unwrap(), Forgotten::default());
        assert!(forget(&at("b.json"), &["x"]).unwrap_err().to_string().contains("b.json: "));
    }
}
