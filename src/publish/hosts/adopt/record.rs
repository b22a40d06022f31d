//! How a line of another tells what we took out of it.

use std::collections::BTreeSet;
use std::ops::Range;

use memchr::memmem;

use crate::model::{Digest, HostName};
use crate::publish::hosts::shadow;

/// Before a line of which nothing is left that a resolver reads.
const WHOLE: &str = "# privatelinkd took this line over (\"hosts unadopt\" undoes it; ";
/// Behind a line that lost some of its names.
const PART: &str = " # privatelinkd took out ";
/// What both have in common.
const COMMON: &str = "# privatelinkd took ";
/// Behind the names.
const UNDO: &str = " (\"hosts unadopt\" undoes it; ";
/// So many digits of the digest are written: enough to know a line again that nobody has changed.
const DIGITS: usize = 8;

/// A line as it was, and what of it is taken out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The line, without its end.
    pub original: Vec<u8>,
    /// Where the names stand in it that are taken out, in their order. There is one.
    pub taken: Vec<Range<usize>>,
}

impl Record {
    /// The line as it stands in the file. Of the names that are taken out, where they stood and how they were spelled;
    /// never the whole line behind its rest: a resolver that reads long lines in pieces (musl, 511 bytes) could take a
    /// piece of that for an entry.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let digest = digest(&self.original);
        if shadow::names(&self.original).all(|(place, _)| self.taken.contains(&place)) {
            return [WHOLE.as_bytes(), digest.as_bytes(), b"): ", &self.original].concat();
        }
        let (mut line, mut names, mut from) = (Vec::new(), Vec::new(), 0);
        for place in &self.taken {
            line.extend_from_slice(&self.original[from..place.start]);
            from = place.end;
            let name = String::from_utf8_lossy(&self.original[place.clone()]);
            names.push(format!("{}:{name}", place.start));
        }
        line.extend_from_slice(&self.original[from..]);
        line.extend(format!("{PART}{}{UNDO}{digest})", names.join(" ")).into_bytes());
        line
    }

    /// Reads a line of the file; `None` if it is no such line, or somebody changed it.
    #[must_use]
    pub fn read(line: &[u8]) -> Option<Self> {
        let record = match line.strip_prefix(WHOLE.as_bytes()) {
            Some(rest) => {
                let original = rest.get(DIGITS..)?.strip_prefix(b"): ")?.to_vec();
                let taken = shadow::names(&original).map(|(place, _)| place).collect();
                Self { original, taken }
            }
            None => read_part(line)?,
        };
        // Whatever it says, it counts only if it is what we would have written.
        (!record.taken.is_empty() && record.write() == line).then_some(record)
    }

    /// The same line without these names, too.
    #[must_use]
    pub fn and(self, ours: &BTreeSet<&HostName>) -> Self {
        let Self { original, taken } = self;
        let is_taken = |place: &Range<usize>, name: Option<&HostName>| {
            taken.contains(place) || name.is_some_and(|name| ours.contains(name))
        };
        let names = shadow::names(&original).filter(|(place, name)| is_taken(place, name.as_ref()));
        let taken = names.map(|(place, _)| place).collect();
        Self { taken, original }
    }
}

/// False for a file without any line that [`looks_like_one`]: of a large file that is told much sooner than by its
/// lines.
#[must_use]
pub fn may_be_in(file: &[u8]) -> bool {
    memmem::find(file, COMMON.as_bytes()).is_some()
}

/// True for a line that names itself one of which we took something out, whether or not it is still what we wrote.
#[must_use]
pub fn looks_like_one(line: &[u8]) -> bool {
    line.starts_with(WHOLE.as_bytes()) || part_at(line).is_some()
}

fn part_at(line: &[u8]) -> Option<usize> {
    // Behind it there is no other: neither names nor digests have one.
    let at = line.iter().rposition(|b| *b == b'#')?.checked_sub(1)?;
    line[at..].starts_with(PART.as_bytes()).then_some(at)
}

fn read_part(line: &[u8]) -> Option<Record> {
    let (rest, told) = line.split_at(part_at(line)?);
    let told = std::str::from_utf8(told).ok()?.strip_prefix(PART)?;
    let (names, _) = told.split_once(UNDO)?;
    let (mut original, mut taken, mut used) = (Vec::new(), Vec::new(), 0_usize);
    for name in names.split(' ') {
        let (start, name) = name.split_once(':')?;
        let start: usize = start.parse().ok()?;
        let before = start.checked_sub(original.len())?;
        let until = used.checked_add(before)?;
        original.extend_from_slice(rest.get(used..until)?);
        original.extend_from_slice(name.as_bytes());
        used = until;
        taken.push(start..original.len());
    }
    original.extend_from_slice(&rest[used..]);
    Some(Record { original, taken })
}

fn digest(line: &[u8]) -> String {
    Digest::of_bytes(line).as_str()[..DIGITS].to_owned()
}
