//! Why the hosts file was left as it is.

use std::io;
use std::path::{Path, PathBuf};

use crate::model::PublishErrorKind;

/// Largest file that is written, in bytes, unless it was as large before. Name lookups would take a second each long
/// before.
pub const MAX_FILE: u64 = 8 * 1024 * 1024;

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
    #[error("{}: expected at most {MAX_FILE} bytes, found more", .0.display())]
    TooLarge(PathBuf),
    /// A rename can't replace it.
    #[error("{}: is a mount point of its own (as in containers), so it can't be replaced", .0.display())]
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

impl FileError {
    /// The closed kind that goes into a receipt.
    #[must_use]
    pub fn kind(&self) -> PublishErrorKind {
        match self {
            Self::Io { .. } | Self::NotRegular { .. } | Self::TooLarge(_) => PublishErrorKind::Io,
            Self::MountPoint(_) => PublishErrorKind::MountPoint,
            Self::UnsupportedMetadata { .. } => PublishErrorKind::UnsupportedMetadata,
            Self::Busy { .. } | Self::Locked { .. } => PublishErrorKind::Busy,
        }
    }

    pub(crate) fn io<E: Into<io::Error>>(doing: &'static str, path: &Path) -> impl FnOnce(E) -> Self {
        move |e| Self::Io { doing, path: path.to_owned(), source: e.into() }
    }
}
