//! The lines that we wrote, to be known again where their markers are gone.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Block, foreign};

/// The lines of the block that was last seen in the file, without markers and newlines; but for those that stood
/// outside of it, too, when it was written: of such a line nobody can tell which is ours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OwnLines(BTreeSet<String>);

impl OwnLines {
    /// Of a file that holds this block.
    #[must_use]
    pub fn of(block: &Block, file: &[u8]) -> Self {
        let mut lines: BTreeSet<String> = block.lines().into_iter().collect();
        for line in foreign(file).flat_map(|(_, part)| part.split(|b| *b == b'\n')) {
            if let Ok(line) = std::str::from_utf8(line) {
                lines.remove(line);
            }
        }
        Self(lines)
    }

    /// True if no line is known as ours.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True for a line of ours, byte for byte; with its newline or without.
    pub(super) fn has(&self, line: &[u8]) -> bool {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        std::str::from_utf8(line).is_ok_and(|line| self.0.contains(line))
    }

    /// True if a line that the block lacks stands elsewhere: somebody parted our lines from their markers.
    pub(super) fn scattered(&self, block: &[u8], elsewhere: [&[u8]; 2]) -> bool {
        let inside: BTreeSet<&[u8]> = block.split(|b| *b == b'\n').collect();
        let mut outside = elsewhere.into_iter().flat_map(|part| part.split(|b| *b == b'\n'));
        !self.is_empty() && outside.any(|line| self.has(line) && !inside.contains(line))
    }
}
