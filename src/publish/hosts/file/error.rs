//! Why the hosts file was left as it is.

use std::io;
use std::path::{Path, PathBuf};

use crate::model::PublishErrorKind;

/// Largest file that is written, in bytes, unless it was as large before. Name lookups take a tenth of a second each
/// long before.
pub const MAX_FILE: u64 = 64 * 1024 * 1024;
/// Largest file that is read, in bytes: what has grown too large can still be made smaller.
pub(super) const MAX_READ: u64 = MAX_FILE + 16 * 1024 * 1024;

/// Why the file was left as it is.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system said no.
    #[error("{}: can't {doing}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Not a file that can be replaced.
    #[error("{}: expected a regular file, found {found}", path.display())]
    NotRegular {
        /// Which.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// Larger than [`MAX_FILE`] with what was to be written; or so large that it is not even read.
    #[error("{}: expected at most {} MiB, found {size} bytes: it stays as it is", path.display(), limit >> 20)]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// The limit, in bytes.
        limit: u64,
        /// What it has, or would have, as far as that was looked at.
        size: u64,
    },
    /// A late edit that is in conflict with another could not be saved.
    #[error("{}: an edit that is in conflict can't be saved: {source}", path.display())]
    NotSaved {
        /// As what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A rename can't replace it, and it may not be written in place.
    #[error(
        "{}: is a mount point of its own (as in containers), so it can't be replaced, and `hosts.in_place` forbids to \
         write it in place",
        .0.display()
    )]
    MountPoint(PathBuf),
    /// It has something that the new file would lack.
    #[error("{}: can't be replaced without losing {what}", path.display())]
    UnsupportedMetadata {
        /// Which.
        path: PathBuf,
        /// What would be lost, and why.
        what: String,
    },
    /// Another program changed it in every attempt.
    #[error("{}: changed by somebody else in each of {attempts} attempts", path.display())]
    Busy {
        /// Which.
        path: PathBuf,
        /// How many.
        attempts: u32,
    },
    /// Another writer of ours does not let go.
    #[error("{}: the lock {} is held by another process", path.display(), lock.display())]
    Locked {
        /// Which.
        path: PathBuf,
        /// Its lock.
        lock: PathBuf,
    },
}

/// What has grown too large can still be made smaller.
pub(super) fn refuse_large(path: &Path, old: &[u8], new: &[u8]) -> Result<(), FileError> {
    let size = new.len() as u64;
    match size > MAX_FILE && new.len() > old.len() {
        true => Err(FileError::TooLarge { path: path.to_owned(), limit: MAX_FILE, size }),
        false => Ok(()),
    }
}

impl FileError {
    /// The closed kind that goes into a receipt.
    #[must_use]
    pub fn kind(&self) -> PublishErrorKind {
        match self {
            Self::Io { .. } | Self::NotRegular { .. } | Self::NotSaved { .. } | Self::TooLarge { .. } => {
                PublishErrorKind::Io
            }
            Self::MountPoint(_) => PublishErrorKind::MountPoint,
            Self::UnsupportedMetadata { .. } => PublishErrorKind::UnsupportedMetadata,
            Self::Busy { .. } | Self::Locked { .. } => PublishErrorKind::Busy,
        }
    }

    /// True for what speaks against folding a displaced file in, and would go on doing so.
    #[must_use]
    pub fn is_of_the_edit(&self) -> bool {
        matches!(self, Self::TooLarge { .. } | Self::NotSaved { .. })
    }

    pub(crate) fn io<E: Into<io::Error>>(doing: &'static str, path: &Path) -> impl FnOnce(E) -> Self {
        move |e| Self::Io { doing, path: path.to_owned(), source: e.into() }
    }
}
