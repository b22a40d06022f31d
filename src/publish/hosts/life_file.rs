//! A sign of life: a file that is touched again and again. The agent leaves `alive`, the writer its receipt.

use std::path::Path;
use std::time::Duration;

use crate::model::Now;
use crate::sys::file_stamp::FileStamp;

/// What tells one sign of life from the next: the stamp of the file that it left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LifeFile(pub FileStamp);

impl LifeFile {
    /// The sign at `path`; `None` if there is none. Only a regular file is one. Opens nothing: it may be anything.
    /// Blocks.
    #[must_use]
    pub fn read(path: &Path) -> Option<Self> {
        let metadata = std::fs::symlink_metadata(path).ok()?;
        metadata.is_file().then(|| Self((&metadata).into()))
    }

    /// How old it says it is; nothing if it says it is from the future.
    #[must_use]
    pub fn age(&self, now: Now) -> Duration {
        let part = |n: i64| u64::try_from(n).unwrap_or(0);
        let at = part(self.0.modified.0).saturating_mul(1000).saturating_add(part(self.0.modified.1) / 1_000_000);
        Duration::from_millis(now.wall.0.saturating_sub(at))
    }
}
