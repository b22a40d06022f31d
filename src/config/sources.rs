//! The files behind a configuration, and whether they are still what was read.

use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::drop_ins::drop_ins;

/// Every file that was read, or looked for: the main one, the drop-ins and the files that they name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// The folder of drop-ins and what was in it.
    folder: Option<(PathBuf, Vec<OsString>)>,
    /// `None` if it could not be opened.
    files: Vec<(PathBuf, Option<Fingerprint>)>,
    /// Those of the files that hold a secret.
    secrets: Vec<(PathBuf, Option<Fingerprint>)>,
}

/// What changes when a file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    /// Mode, owner and group: whether it may be used goes by them.
    access: (u32, u32, u32),
}

impl Fingerprint {
    pub(super) fn from_metadata(status: &Metadata) -> Self {
        Self {
            device: status.dev(),
            inode: status.ino(),
            size: status.size(),
            modified: (status.mtime(), status.mtime_nsec()),
            access: (status.mode(), status.uid(), status.gid()),
        }
    }
}

impl Sources {
    pub(super) fn note_folder(&mut self, folder: &Path, names: &[OsString]) {
        self.folder = Some((folder.to_owned(), names.to_vec()));
    }

    pub(super) fn note_file(&mut self, path: &Path, fingerprint: Option<Fingerprint>) {
        self.files.push((path.to_owned(), fingerprint));
    }

    /// The file that was noted last holds a secret.
    pub(super) fn mark_secret(&mut self) {
        self.secrets.extend(self.files.last().cloned());
    }

    /// Of all files only those that hold a secret: what a kept configuration is compared with.
    pub(super) fn secrets_only(self) -> Self {
        Self { secrets: self.secrets, ..Self::default() }
    }

    /// The secrets were read again: they are what was found then.
    pub fn renew_secrets(&mut self, read: Self) {
        for (path, fingerprint) in &read.secrets {
            self.files.iter_mut().filter(|(file, _)| file == path).for_each(|(_, known)| *known = *fingerprint);
        }
        self.secrets = read.secrets;
    }

    /// The paths of the files that hold a secret.
    pub fn secrets(&self) -> impl Iterator<Item = &Path> {
        self.secrets.iter().map(|(path, _)| path.as_path())
    }

    /// The files that hold a secret as they are now, if any is another one than was read. Asks for the status of each.
    /// Blocks.
    #[must_use]
    pub fn secrets_on_disk(&self) -> Option<Self> {
        let now = |(path, _): &(PathBuf, _)| (path.clone(), fingerprint(path));
        let secrets: Vec<_> = self.secrets.iter().map(now).collect();
        (secrets != self.secrets).then(|| Self { secrets, ..Self::default() })
    }

    /// The folder of drop-ins, whether there is one or not.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.folder.as_ref().map(|(folder, _)| folder.as_path())
    }

    /// The paths of all files, in the order in which they were read.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|(path, _)| path.as_path())
    }

    /// True if a file is another one than was read, or a drop-in came or went. Lists a folder and asks for the
    /// status of each file; opens none. Blocks.
    #[must_use]
    pub fn changed_on_disk(&self) -> bool {
        let other_listing =
            self.folder.as_ref().is_some_and(|(folder, names)| drop_ins(folder).unwrap_or_default() != *names);
        other_listing || self.files.iter().any(|(path, read)| fingerprint(path) != *read)
    }
}

fn fingerprint(path: &Path) -> Option<Fingerprint> {
    std::fs::metadata(path).ok().as_ref().map(Fingerprint::from_metadata)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::config::facts::Environment;
    use crate::config::load;

    #[test]
    fn every_kind_of_change_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let main = folder.path().join("config.toml");
        let drop_in = folder.path().join("conf.d/10.toml");
        fs::create_dir(folder.path().join("conf.d")).unwrap();
        fs::write(&main, "").unwrap();
        let changed_by = |change: &dyn Fn()| {
            let sources = load(&main, &Environment::default()).unwrap().sources;
            assert!(!sources.changed_on_disk());
            change();
            sources.changed_on_disk()
        };
        assert!(changed_by(&|| fs::write(&drop_in, "").unwrap()));
        assert!(changed_by(&|| fs::write(&drop_in, "[log]").unwrap()));
        assert!(changed_by(&|| {
            fs::write(folder.path().join("new"), "[log]").unwrap();
            fs::rename(folder.path().join("new"), &drop_in).unwrap();
        }));
        assert!(changed_by(&|| fs::remove_file(&drop_in).unwrap()));
        assert!(changed_by(&|| fs::write(&main, "[host]").unwrap()));
        assert!(!changed_by(&|| fs::write(folder.path().join("conf.d/.swp"), "x").unwrap()));
    }
}
