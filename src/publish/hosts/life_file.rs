//! A sign of life: a file that is touched again and again. The agent leaves `alive`, the writer its receipt.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use crate::model::Now;

/// What tells one sign of life from the next: the file that it left, without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LifeFile {
    /// Device and inode.
    pub file: (u64, u64),
    /// When it was modified, in wall time: seconds since the epoch, and nanoseconds.
    pub modified: (i64, i64),
    /// When anything of it was changed, likewise.
    pub changed: (i64, i64),
}

impl LifeFile {
    /// What is there now. Only a regular file is a sign. Opens nothing: it may be anything. Blocks.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        let m = std::fs::symlink_metadata(path).ok()?;
        m.is_file().then(|| Self {
            file: (m.dev(), m.ino()),
            modified: (m.mtime(), m.mtime_nsec()),
            changed: (m.ctime(), m.ctime_nsec()),
        })
    }

    /// How old it says it is; nothing if it says it is from the future.
    #[must_use]
    pub fn age(&self, now: Now) -> Duration {
        let part = |n: i64| u64::try_from(n).unwrap_or(0);
        let at = part(self.modified.0).saturating_mul(1000).saturating_add(part(self.modified.1) / 1_000_000);
        Duration::from_millis(now.wall.0.saturating_sub(at))
    }
}
