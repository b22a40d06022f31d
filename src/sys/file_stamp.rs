//! What tells one state of a file from another without reading it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The stamp of a file. Only a change within the same tick of the kernel's clock (1 to 10 ms) as the one before it can
/// go unseen, if it keeps the size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FileStamp {
    /// Device and inode.
    pub file: (u64, u64),
    /// In bytes.
    pub size: u64,
    /// When its content was modified, in wall time: seconds since the epoch, and nanoseconds.
    pub modified: (i64, i64),
    /// When its content or its metadata was changed, likewise.
    pub changed: (i64, i64),
    /// Its permissions.
    pub mode: u32,
}

impl FileStamp {
    /// Of the file at `path`, where links lead; `None` if there is none that could be asked. Opens nothing. Blocks.
    #[must_use]
    pub fn read(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().as_ref().map(Self::from)
    }
}

impl From<&Metadata> for FileStamp {
    fn from(m: &Metadata) -> Self {
        Self {
            file: (m.dev(), m.ino()),
            size: m.size(),
            modified: (m.mtime(), m.mtime_nsec()),
            changed: (m.ctime(), m.ctime_nsec()),
            mode: m.mode() & 0o7777,
        }
    }
}
