//! Putting the block into a file, and taking it out.

use std::borrow::Cow;

use super::markers::{self, Found, Region, Unclear};
use super::{Block, OwnLines, Present, is_abandoned, present, whole_lines};

/// A file with the block that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spliced<'f> {
    /// Borrowed if it says so already.
    pub file: Cow<'f, [u8]>,
    /// Where our markers did not hold our lines any more: how many lines of ours, markers included, were gathered in
    /// from where they stood.
    pub gathered: Option<usize>,
}

/// The file with exactly this block in it; a block without names takes ours out. `own` is what is known of the lines
/// that we last wrote.
///
/// # Errors
/// Nobody can tell what is ours.
pub fn splice<'f>(file: &'f [u8], wanted: &Block, own: Option<&OwnLines>) -> Result<Spliced<'f>, Unclear> {
    let own = own.filter(|own| !own.is_empty());
    let found = match markers::find(file) {
        Found::Nothing => Broken { own, marks: Vec::new() },
        Found::Half(marks) if own.is_some() => Broken { own, marks },
        Found::Pair(region) if is_whole_in_itself(file, &region, own) => {
            return Ok(Spliced { file: in_place(file, wanted, region), gathered: None });
        }
        Found::Pair(region) => Broken { own, marks: ends(file, &region) },
        Found::Half(marks) => return Err(Unclear::NoRecord(from_one(marks))),
        Found::Unclear(marks) => return Err(Unclear::Repeated(from_one(marks))),
    };
    let (bytes, count) = found.take_out(file, room_for(wanted));
    let gathered = (count > 0).then_some(count);
    if gathered.is_none() && wanted.entries.is_empty() {
        return Ok(Spliced { file: Cow::Borrowed(file), gathered });
    }
    let place = bytes.len();
    Ok(Spliced { file: Cow::Owned(insert(bytes, place, wanted)), gathered })
}

/// The file without anything of ours. Borrowed if there is nothing.
///
/// # Errors
/// As [`splice`].
pub fn strip<'f>(file: &'f [u8], own: Option<&OwnLines>) -> Result<Cow<'f, [u8]>, Unclear> {
    splice(file, &Block::default(), own).map(|spliced| spliced.file)
}

/// The file without its block, and where that stood, if there is exactly one; else the file as it is.
#[must_use]
pub fn without(file: &[u8]) -> (Cow<'_, [u8]>, Option<usize>) {
    match markers::find(file) {
        Found::Pair(region) => {
            let (bytes, place) = cut(file, region, 0);
            (Cow::Owned(bytes), Some(place))
        }
        Found::Nothing | Found::Half(_) | Found::Unclear(_) => (Cow::Borrowed(file), None),
    }
}

/// The file with its foreign parts changed, where `change` gives another one: it is told the number of a part's first
/// line, from 1, and its bytes. What is ours stays where it stands between them, and a newline that we added goes on
/// being known as ours.
#[must_use]
pub fn with_foreign(file: &[u8], mut change: impl FnMut(usize, &[u8]) -> Option<Vec<u8>>) -> Cow<'_, [u8]> {
    let (mut out, mut changed) = (Vec::with_capacity(file.len()), false);
    let (mut from, mut line) = (0, 1);
    let mut copy = |out: &mut Vec<u8>, part: &[u8], line| match change(line, part) {
        Some(new) => {
            out.extend(new);
            changed = true;
        }
        None => out.extend_from_slice(part),
    };
    for region in markers::regions(file) {
        let Region { range, .. } = region.clone();
        // Two blocks may touch: then it is the other one's.
        match region.lent_newline(file).filter(|at| *at >= from) {
            Some(at) => {
                copy(&mut out, &file[from..at], line);
                let place = out.len();
                out.push(b'\n');
                out.extend(markers::with_newline_note(&file[range.clone()], place));
            }
            None => {
                copy(&mut out, &file[from..range.start], line);
                out.extend_from_slice(&file[range.clone()]);
            }
        }
        line += file[from..range.end].iter().filter(|b| **b == b'\n').count();
        from = range.end;
    }
    copy(&mut out, &file[from..], line);
    if changed { Cow::Owned(out) } else { Cow::Borrowed(file) }
}

fn from_one(marks: Vec<usize>) -> Vec<usize> {
    marks.into_iter().map(|line| line + 1).collect()
}

/// The numbers of the lines that hold the markers of a pair, from 0.
fn ends(file: &[u8], region: &Region) -> Vec<usize> {
    let count = |part| whole_lines(part).count();
    vec![count(&file[..region.range.start]), count(&file[..region.range.end]) - 1]
}

/// True unless lines of ours were parted from their markers.
fn is_whole_in_itself(file: &[u8], region: &Region, own: Option<&OwnLines>) -> bool {
    let elsewhere = [&file[..region.range.start], &file[region.range.end..]];
    own.is_none_or(|own| !own.scattered(&file[region.range.clone()], elsewhere))
}

/// The block in the place of the one that is there.
fn in_place<'f>(file: &'f [u8], wanted: &Block, region: Region) -> Cow<'f, [u8]> {
    if let Present::Whole(block) = present(file)
        && !wanted.entries.is_empty()
        && block.same_pairs(wanted)
        && !is_abandoned(file)
    {
        return Cow::Borrowed(file);
    }
    let (bytes, place) = cut(file, region, room_for(wanted));
    Cow::Owned(insert(bytes, place, wanted))
}

/// What the block takes up, so that a large file is not copied once more to make room for it.
fn room_for(wanted: &Block) -> usize {
    // The length of a file in decimal, at most, and a newline.
    const NOTE: usize = 64;
    if wanted.entries.is_empty() { 0 } else { wanted.render(None).len() + NOTE }
}

/// The file without this region, with this much room behind it, and where in the result that stood.
fn cut(file: &[u8], region: Region, room: usize) -> (Vec<u8>, usize) {
    let place = region.lent_newline(file).unwrap_or(region.range.start);
    let mut rest = Vec::with_capacity(file.len() + room);
    rest.extend_from_slice(&file[..place]);
    rest.extend_from_slice(&file[region.range.end..]);
    (rest, place)
}

/// Puts a block in at this place, the beginning of a line or the end of the file, if it has names.
pub(in crate::publish::hosts) fn insert(mut bytes: Vec<u8>, place: usize, wanted: &Block) -> Vec<u8> {
    if wanted.entries.is_empty() {
        return bytes;
    }
    if place == bytes.len() && bytes.last().is_some_and(|b| *b != b'\n') {
        bytes.push(b'\n');
        bytes.extend(wanted.render(Some(place)));
    } else {
        bytes.splice(place..place, wanted.render(None));
    }
    bytes
}

/// A file whose markers do not tell what is ours, but a record does.
struct Broken<'o> {
    own: Option<&'o OwnLines>,
    /// The lines that hold markers, from 0.
    marks: Vec<usize>,
}

impl Broken<'_> {
    /// The file without markers and lines of ours, with this much room behind it, and how many those were.
    fn take_out(&self, file: &[u8], room: usize) -> (Vec<u8>, usize) {
        let known = self.own.map(OwnLines::known);
        let is_known = |line: &[u8]| known.as_ref().is_some_and(|known| known(line).is_some());
        let is_ours = |(number, line): (usize, &[u8])| self.marks.contains(&number) || is_known(line);
        let mut out = Vec::with_capacity(file.len() + room);
        let mut count = 0;
        for (number, line) in whole_lines(file).enumerate() {
            if is_ours((number, line)) {
                count += 1;
            } else {
                out.extend_from_slice(line);
            }
        }
        (out, count)
    }
}
