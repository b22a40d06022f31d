//! The lines that we wrote, to be known again where their markers are gone.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Block, foreign, whole_lines};

/// The lines of the block that was last seen in the file, and of those that it replaced of late, without markers and
/// newlines; but for those that stood outside of it, too, when it was written: of such a line nobody can tell which is
/// ours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OwnLines(BTreeSet<String>);

impl OwnLines {
    /// Of a file that holds this block.
    #[must_use]
    pub fn of(block: &Block, file: &[u8]) -> Self {
        let written = Self(block.lines().into_iter().collect());
        let theirs = written.outside(file);
        written.without(&theirs)
    }

    /// Those of them that stand outside of our block, too.
    #[must_use]
    pub fn outside(&self, file: &[u8]) -> Self {
        if self.is_empty() {
            return Self::default();
        }
        let known = self.known();
        let lines = foreign(file).flat_map(|(_, part)| whole_lines(part)).filter_map(known);
        Self(lines.map(ToOwned::to_owned).collect())
    }

    /// Those of others besides.
    #[must_use]
    pub fn with<'o>(mut self, others: impl IntoIterator<Item = &'o Self>) -> Self {
        others.into_iter().for_each(|other| self.0.extend(other.0.iter().cloned()));
        self
    }

    /// Those that are not among others.
    #[must_use]
    pub fn without(mut self, others: &Self) -> Self {
        self.0.retain(|line| !others.0.contains(line));
        self
    }

    /// How many they are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if all of these are among them.
    #[must_use]
    pub fn has_all(&self, others: &Self) -> bool {
        self.0.is_superset(&others.0)
    }

    /// True if no line is known as ours.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells of a line, with its newline or without, whether it is one of ours, byte for byte, and which. Of most lines
    /// of a large file their length is enough to tell that they are not.
    pub(super) fn known<'s>(&'s self) -> impl Fn(&[u8]) -> Option<&'s str> {
        const LONGEST: usize = 255;
        let mut lengths = [false; LONGEST + 1];
        self.0.iter().for_each(|line| lengths[line.len().min(LONGEST)] = true);
        move |line| {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let text = lengths[line.len().min(LONGEST)].then(|| std::str::from_utf8(line).ok()).flatten()?;
            self.0.get(text).map(String::as_str)
        }
    }

    /// True if a line that the block lacks stands elsewhere: somebody parted our lines from their markers.
    pub(super) fn scattered(&self, block: &[u8], elsewhere: [&[u8]; 2]) -> bool {
        let known = self.known();
        let inside: BTreeSet<&str> = whole_lines(block).filter_map(&known).collect();
        let mut outside = elsewhere.into_iter().flat_map(whole_lines).filter_map(&known);
        !self.is_empty() && outside.any(|line| !inside.contains(line))
    }
}
