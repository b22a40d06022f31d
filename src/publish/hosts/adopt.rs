//! Our names in lines of others: taken out of them, and given back. Pure, and over bytes.
//!
//! The vendors' guides had everybody write `{address} {name}` by hand, and such a line keeps a dead address alive
//! beside our block. What is taken out is told by the line itself ([`record`]), so that nothing else is needed to give
//! the very bytes back, however long after, and on whichever machine the file is by then:
//!
//! ```text
//! 10.0.1.15 db.internal        # by hand
//! 10.0.1.9  other db.internal
//!
//! # privatelinkd took this line over ("hosts unadopt" undoes it; 5d0b…): 10.0.1.15 db.internal        # by hand
//! 10.0.1.9  other  # privatelinkd took out 16:db.internal ("hosts unadopt" undoes it; 91ac…)
//! ```
//!
//! One line stays one line. All else of it stays, byte for byte: its address, the names of others, white space, comment
//! and the end of the line. A line that somebody changed since is known by the digest, and left to him.
//!
//! Who puts a line back that we took over finds it taken over again, and its old record goes: however often he does so,
//! the file does not grow by that.

pub mod record;
pub mod rewriters;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use self::record::Record;
use super::block::{self, Block, OwnLines, Unclear};
use super::shadow;
use crate::model::HostName;

/// So many lines are taken over at most: who adds another line each time would make the file grow for ever. More than
/// one for every name of the largest configuration.
const MOST_RECORDS: usize = 10_000;

/// A file without our names in lines of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted<'f> {
    /// Borrowed if it was so already.
    pub file: Cow<'f, [u8]>,
    /// What was done for it.
    pub taken: TakenOver,
}

/// What was taken out of lines of others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TakenOver {
    /// The numbers of the lines that lost names, from 1, in the file as it was.
    pub lines: Vec<usize>,
    /// How many of them were taken over before, as they were, and have been put back since.
    pub again: usize,
    /// How many lines still have names of ours, because too many are taken over already.
    pub left: usize,
}

/// A file with what was taken out of lines of others put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenBack<'f> {
    /// Borrowed if there was nothing to give back.
    pub file: Cow<'f, [u8]>,
    /// How many lines are as they were again.
    pub lines: usize,
    /// The numbers of the lines, from 1, that somebody changed since we took something out of them: they stay.
    pub changed: Vec<usize>,
}

/// A file as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted<'f> {
    /// Borrowed if it is so already.
    pub file: Cow<'f, [u8]>,
    /// See [`block::Spliced`].
    pub gathered: Option<usize>,
    /// What was taken out of lines of others.
    pub taken: TakenOver,
}

/// What becomes of the lines of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinesOfOthers {
    /// They stay as they are.
    Kept,
    /// The names of the block are taken out of them.
    TakenOver,
    /// What was taken out of them is put back.
    GivenBack,
}

/// The file with exactly this block in it, and the lines of others as they should be. Only a name that the block has is
/// taken out of another line: none ever ends without an address by that.
///
/// # Errors
/// As [`block::splice`].
pub fn wanted<'f>(
    file: &'f [u8],
    block: &Block,
    own: Option<&OwnLines>,
    others: LinesOfOthers,
) -> Result<Wanted<'f>, Unclear> {
    let block::Spliced { file, gathered } = block::splice(file, block, own)?;
    let (changed, taken) = match others {
        LinesOfOthers::Kept => (None, TakenOver::default()),
        LinesOfOthers::TakenOver => {
            let Adopted { file, taken } = adopt(&file, block.entries.keys());
            (owned(file), taken)
        }
        LinesOfOthers::GivenBack => (owned(unadopt(&file).file), TakenOver::default()),
    };
    Ok(Wanted { file: changed.map_or(file, Cow::Owned), gathered, taken })
}

fn owned(file: Cow<'_, [u8]>) -> Option<Vec<u8>> {
    match file {
        Cow::Owned(new) => Some(new),
        Cow::Borrowed(_) => None,
    }
}

/// The file without these names in any line that is not ours.
#[must_use]
pub fn adopt<'f, 'n>(file: &'f [u8], ours: impl IntoIterator<Item = &'n HostName>) -> Adopted<'f> {
    let ours: BTreeSet<&HostName> = ours.into_iter().collect();
    let mut taken = TakenOver::default();
    if shadow::shadowed(file, ours.iter().copied()).is_empty() {
        return Adopted { file: Cow::Borrowed(file), taken };
    }
    let mut put_back = put_back(file, &ours);
    let mut room = MOST_RECORDS.saturating_sub(record_lines(file).count());
    let file = block::with_foreign(file, |first, part| {
        let mut out = Vec::with_capacity(part.len());
        for (line, number) in part.split_inclusive(|b| *b == b'\n').zip(first..) {
            let (body, end) = body_and_end(line);
            match (Record::read(body), names_of(body, &ours)) {
                (None, Some(_)) if room == 0 => {
                    taken.left += 1;
                    out.extend_from_slice(line);
                }
                (None, Some(fresh)) => {
                    room -= 1;
                    taken.lines.push(number);
                    out.extend([&fresh.write()[..], end].concat());
                }
                (Some(old), _) if put_back.get(&old.original).is_some_and(|n| *n > 0) => {
                    put_back.entry(old.original).and_modify(|n| *n -= 1);
                    taken.again += 1;
                    room += 1;
                }
                // It has lost a name already, and loses another.
                (Some(old), Some(_)) => {
                    taken.lines.push(number);
                    out.extend([&old.and(&ours).write()[..], end].concat());
                }
                (_, None) => out.extend_from_slice(line),
            }
        }
        (out != part).then_some(out)
    });
    Adopted { file, taken }
}

/// The file with every line as it was before we took something out of it.
#[must_use]
pub fn unadopt(file: &[u8]) -> GivenBack<'_> {
    let (mut lines, mut changed) = (0, Vec::new());
    if !record::may_be_in(file) {
        return GivenBack { file: Cow::Borrowed(file), lines, changed };
    }
    let file = block::with_foreign(file, |first, part| {
        let mut out = Vec::with_capacity(part.len());
        for (line, number) in part.split_inclusive(|b| *b == b'\n').zip(first..) {
            let (body, end) = body_and_end(line);
            match Record::read(body) {
                Some(record) => {
                    lines += 1;
                    out.extend([&record.original[..], end].concat());
                }
                None => {
                    changed.extend(record::looks_like_one(body).then_some(number));
                    out.extend_from_slice(line);
                }
            }
        }
        (out != part).then_some(out)
    });
    GivenBack { file, lines, changed }
}

/// The lines of a block that are known as ours in this file. Of one that another wrote, too, nobody could tell that
/// once it is given back: so it is not, as if it stood there.
#[must_use]
pub fn own_lines(block: &Block, file: &[u8]) -> OwnLines {
    OwnLines::of(block, &unadopt(file).file)
}

/// Those of these lines that another wrote, too, also if they are taken over.
#[must_use]
pub fn lines_outside(lines: &OwnLines, file: &[u8]) -> OwnLines {
    lines.outside(&unadopt(file).file)
}

/// The numbers of the lines of others, from 1, that lack names of ours because we took these out.
pub fn record_lines(file: &[u8]) -> impl Iterator<Item = usize> {
    foreign_bodies(file).filter(|(_, body)| Record::read(body).is_some()).map(|(number, _)| number)
}

/// The numbers of the lines of others, from 1, that name one of these.
pub fn naming_lines<'f, 'n>(file: &'f [u8], ours: impl IntoIterator<Item = &'n HostName>) -> BTreeSet<usize> {
    let ours = ours.into_iter().collect();
    foreign_bodies(file).filter(|(_, body)| names_of(body, &ours).is_some()).map(|(number, _)| number).collect()
}

/// Lines that are to be taken over, as often as each is, if they were before.
fn put_back(file: &[u8], ours: &BTreeSet<&HostName>) -> BTreeMap<Vec<u8>, usize> {
    let mut fresh = BTreeMap::new();
    for (_, body) in foreign_bodies(file).filter(|(_, body)| Record::read(body).is_none()) {
        if names_of(body, ours).is_some() {
            *fresh.entry(body.to_vec()).or_default() += 1;
        }
    }
    fresh
}

/// Each line of others with its number, without its end.
fn foreign_bodies(file: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let (mut from, mut first) = (0, 1);
    block::foreign(file).flat_map(move |(start, part)| {
        first += file[from..start].iter().filter(|b| **b == b'\n').count();
        from = start;
        (first..).zip(part.split_inclusive(|b| *b == b'\n').map(|line| body_and_end(line).0))
    })
}

/// What taking these names out of this line comes to; `None` if it has none of them.
fn names_of(body: &[u8], ours: &BTreeSet<&HostName>) -> Option<Record> {
    let names = shadow::names(body).filter(|(_, name)| name.as_ref().is_some_and(|name| ours.contains(name)));
    let taken: Vec<_> = names.map(|(place, _)| place).collect();
    (!taken.is_empty()).then(|| Record { original: body.to_vec(), taken })
}

/// A line without its end, and that: a newline, perhaps behind a carriage return, or neither.
fn body_and_end(line: &[u8]) -> (&[u8], &[u8]) {
    let body = line.strip_suffix(b"\n").unwrap_or(line);
    let body = body.strip_suffix(b"\r").unwrap_or(body);
    line.split_at(body.len())
}

#[cfg(test)]
mod tests;
