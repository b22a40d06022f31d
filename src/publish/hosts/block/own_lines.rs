//! The lines that we wrote, to be known again where their markers are gone.

use std::collections::BTreeSet;

use memchr::{memchr, memmem, memrchr};
use serde::{Deserialize, Serialize};

use super::{Block, foreign, whole_lines};

/// A part of a file is searched for the names of so few lines at most, one after the other; for more it is read by
/// lines.
const FEW: usize = 8;

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
        let all = Self::all(block);
        let theirs = all.outside(file);
        all.without(&theirs)
    }

    /// All lines of this block, wherever else they stand.
    #[must_use]
    pub fn all(block: &Block) -> Self {
        Self(block.lines().into_iter().collect())
    }

    /// Those of them that stand outside of our block, too.
    #[must_use]
    pub fn outside(&self, file: &[u8]) -> Self {
        let found = foreign(file).flat_map(|(_, part)| self.within(part));
        Self(found.map(ToOwned::to_owned).collect())
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

    /// Those that are among others, too.
    #[must_use]
    pub fn among(mut self, others: &Self) -> Self {
        self.0.retain(|line| others.0.contains(line));
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
        let inside = self.within(block);
        elsewhere.into_iter().any(|part| !self.within(part).is_subset(&inside))
    }

    /// Those that stand in this part of a file.
    fn within(&self, part: &[u8]) -> BTreeSet<&str> {
        if self.is_empty() {
            return BTreeSet::new();
        }
        let names: BTreeSet<&str> = self.0.iter().map(|line| name_in(line)).collect();
        match names.len() > FEW || names.contains("") {
            true => whole_lines(part).filter_map(self.known()).collect(),
            false => names.iter().flat_map(|name| lines_with(part, name)).filter_map(self.known()).collect(),
        }
    }
}

/// What most lines of others lack. Our lines and comments have it behind their first space.
fn name_in(line: &str) -> &str {
    line.split(' ').nth(1).unwrap_or(line).trim_end_matches(':')
}

/// The lines that hold this, without their newlines. A large file is searched for it sooner than it is parted into
/// lines.
fn lines_with<'f>(part: &'f [u8], what: &str) -> impl Iterator<Item = &'f [u8]> {
    let finder = memmem::Finder::new(what).into_owned();
    let mut from = 0;
    std::iter::from_fn(move || {
        let at = from + finder.find(&part[from..])?;
        let start = memrchr(b'\n', &part[from..at]).map_or(from, |newline| from + newline + 1);
        let end = memchr(b'\n', &part[at..]).map_or(part.len(), |newline| at + newline);
        from = part.len().min(end + 1);
        Some(&part[start..end])
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    const OWN: [&str; 6] = ["10.0.0.1 a.x", "10.0.0.2 a.x", "# a.x: healthy", "10.0.0.1 b.x", "word", ""];
    const PIECES: [&str; 7] = ["10.0.0.1 a.x\n", "10.0.0.1 a.x", "# a.x: healthy\n", "word\n", " a.x\n", "a.x", "\n"];

    proptest! {
        /// Whether a file is searched for the names of the lines, or read by lines.
        #[test]
        fn lines_are_found_where_they_stand(
            own in vec(select(&OWN[..]), 0..5),
            pieces in vec(select(&PIECES[..]), 0..12),
            many in any::<bool>(),
        ) {
            let others = (0..=FEW).filter(|_| many).map(|n| format!("10.0.0.9 n{n}.x"));
            let own = OwnLines(own.into_iter().map(ToOwned::to_owned).chain(others).collect());
            let file = pieces.concat();
            let there: Vec<&str> = file.split_inclusive('\n').map(|line| line.trim_end_matches('\n')).collect();
            let expected = own.0.iter().map(String::as_str).filter(|line| there.contains(line));
            prop_assert_eq!(own.within(file.as_bytes()), expected.collect());
        }
    }
}
