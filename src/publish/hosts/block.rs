//! Our block in a file of other programs: render, find, splice, strip. Pure, and over bytes: the file may hold
//! anything.
//!
//! ```text
//! # BEGIN privatelinkd (managed by privatelinkd: changes in here are overwritten)
//! # db.internal: healthy
//! 10.0.1.15 db.internal
//! 10.0.2.15 db.internal
//! # END privatelinkd
//! ```
//!
//! What is ours: every line from a BEGIN to the END that follows it with no marker between; and a marker without its
//! partner, with the lines next to it that we wrote or are about to write. All else is foreign and stays, byte for
//! byte. Putting the block in is taking out all that is ours, then inserting at the place of the first pair, so that
//! repeated and damaged blocks become one.
//!
//! Where the package was removed and the block stays, its maintainer scripts (packaging/leaving.sh) put "managed by
//! nobody any more" into the BEGIN line. It is a BEGIN line all the same, and the next block that is put in has the
//! usual one.
//!
//! A file that does not end in a newline gets one before our block. The BEGIN line remembers where, so that taking
//! the block out gives the very bytes back.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Range;

use crate::model::{Answer, AnswerReason, HostName};

const BEGIN: &str = "# BEGIN privatelinkd";
const BEGIN_NOTE: &str = "# BEGIN privatelinkd (managed by ";
const ABANDONED: &str = "# BEGIN privatelinkd (managed by nobody";
const END: &str = "# END privatelinkd";
const NEWLINE_NOTE: &str = "; newline added at ";

/// What we want a block to say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Block {
    /// By name. A block without names is no block: splicing it takes ours out.
    pub entries: BTreeMap<HostName, Entry>,
}

/// One name's part of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// In the order of their lines; never empty.
    pub addresses: Vec<IpAddr>,
    /// For people only: it never makes two blocks differ.
    pub reason: EntryReason,
}

/// Why a name's entry says what it says (B16).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryReason {
    /// Steering's reason for the answer, which the entry follows.
    Answer(AnswerReason),
    /// The agent gave no sign of life: the standby addresses stand behind the others (B17).
    AgentLost,
}

impl EntryReason {
    /// The word in the block.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Answer(reason) => reason.label(),
            Self::AgentLost => "agent_lost",
        }
    }

    fn from_label(label: &str) -> Option<Self> {
        let mut all = AnswerReason::ALL.into_iter().map(Self::Answer).chain([Self::AgentLost]);
        all.find(|reason| reason.label() == label)
    }
}

impl From<&Answer> for Entry {
    fn from(a: &Answer) -> Self {
        Self { addresses: a.addresses.clone(), reason: EntryReason::Answer(a.reason) }
    }
}

/// Which of the addresses were standby, a block does not tell.
impl From<Entry> for Answer {
    fn from(e: Entry) -> Self {
        let reason = match e.reason {
            EntryReason::Answer(reason) => reason,
            EntryReason::AgentLost => AnswerReason::Stale,
        };
        Self { addresses: e.addresses, standby: Vec::new(), reason }
    }
}

impl Block {
    /// What the file should say of these answers; with the standby addresses if the agent is lost (B17).
    #[must_use]
    pub fn from_answers(answers: &BTreeMap<HostName, Answer>, agent_lost: bool) -> Self {
        let entry = |answer: &Answer| match agent_lost {
            false => Entry::from(answer),
            true => Entry {
                addresses: [answer.addresses.as_slice(), &answer.standby].concat(),
                reason: EntryReason::AgentLost,
            },
        };
        Self { entries: answers.iter().map(|(name, answer)| (name.clone(), entry(answer))).collect() }
    }

    /// Every (address, name) pair, in the order of the lines.
    pub fn pairs(&self) -> impl Iterator<Item = (IpAddr, &HostName)> {
        self.entries.iter().flat_map(|(name, e)| e.addresses.iter().map(move |a| (*a, name)))
    }

    /// True if both say the same to a resolver, whatever the reasons.
    #[must_use]
    pub fn same_pairs(&self, other: &Self) -> bool {
        self.pairs().eq(other.pairs())
    }

    /// The lines between the markers, without their newlines.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, Entry { addresses, reason }) in &self.entries {
            lines.push(format!("# {name}: {}", reason.label()));
            lines.extend(addresses.iter().map(|a| format!("{a} {name}")));
        }
        lines
    }

    /// The whole block with its markers. `newline_added` is the length that the file had before we gave it a final
    /// newline.
    #[must_use]
    pub fn render(&self, newline_added: Option<usize>) -> Vec<u8> {
        let note = newline_added.map(|at| format!("{NEWLINE_NOTE}{at}")).unwrap_or_default();
        let mut lines = vec![format!("{BEGIN_NOTE}privatelinkd: changes in here are overwritten{note})")];
        lines.extend(self.lines());
        lines.push(format!("{END}\n"));
        lines.join("\n").into_bytes()
    }
}

/// What of ours a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Present {
    /// Nothing.
    Absent,
    /// One whole block that says this.
    Whole(Block),
    /// Repeated blocks, a marker without its partner, or lines in the block that we do not write.
    Damaged,
}

/// What of ours the file holds, by its markers alone.
#[must_use]
pub fn present(file: &[u8]) -> Present {
    match regions(file, &BTreeSet::new()).as_slice() {
        [] => Present::Absent,
        [Region { range, pair: true, .. }] => parse(&file[range.clone()]).map_or(Present::Damaged, Present::Whole),
        _ => Present::Damaged,
    }
}

/// The bytes of the first whole block with its markers, if there is one.
#[must_use]
pub fn find(file: &[u8]) -> Option<&[u8]> {
    regions(file, &BTreeSet::new()).into_iter().find(|r| r.pair).map(|r| &file[r.range])
}

/// What the first whole block says, whatever else of ours is damaged: last known good for a writer that lost its own.
#[must_use]
pub fn salvage(file: &[u8]) -> Option<Block> {
    regions(file, &BTreeSet::new()).into_iter().filter(|r| r.pair).find_map(|r| parse(&file[r.range]))
}

/// The file with exactly this block in it. Borrowed if the file says so already. `last` is the block we last wrote,
/// whose lines are known as ours beside a damaged marker.
#[must_use]
pub fn splice<'f>(file: &'f [u8], wanted: &Block, last: Option<&Block>) -> Cow<'f, [u8]> {
    match present(file) {
        Present::Absent if wanted.entries.is_empty() => return Cow::Borrowed(file),
        Present::Whole(block) if !wanted.entries.is_empty() && block.same_pairs(wanted) && !is_abandoned(file) => {
            return Cow::Borrowed(file);
        }
        _ => {}
    }
    let known = [Some(wanted), last].into_iter().flatten().flat_map(Block::lines).map(String::into_bytes);
    let (mut bytes, place) = take_out(file, &known.collect());
    if wanted.entries.is_empty() {
        return Cow::Owned(bytes);
    }
    let place = place.unwrap_or(bytes.len());
    if place == bytes.len() && bytes.last().is_some_and(|b| *b != b'\n') {
        bytes.push(b'\n');
        bytes.extend(wanted.render(Some(place)));
    } else {
        bytes.splice(place..place, wanted.render(None));
    }
    Cow::Owned(bytes)
}

/// True if the first whole block says that it is managed by nobody any more: the package was removed.
fn is_abandoned(file: &[u8]) -> bool {
    find(file).is_some_and(|block| block.starts_with(ABANDONED.as_bytes()))
}

/// The file without anything of ours. Borrowed if there is nothing.
#[must_use]
pub fn strip<'f>(file: &'f [u8], last: Option<&Block>) -> Cow<'f, [u8]> {
    splice(file, &Block::default(), last)
}

/// The foreign parts of the file: what lies before, between and after our blocks.
pub(crate) fn foreign(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ours = regions(file, &BTreeSet::new());
    let starts = std::iter::once(0).chain(ours.clone().into_iter().map(|r| r.range.end));
    let ends = ours.into_iter().map(|r| r.range.start).chain(std::iter::once(file.len()));
    starts.zip(ends).map(|(start, end)| &file[start..end])
}

/// A stretch of whole lines that are ours.
#[derive(Debug, Clone)]
struct Region {
    range: Range<usize>,
    /// BEGIN and END are both there.
    pair: bool,
    /// What the BEGIN line says of a newline that we added.
    newline_added: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marker {
    Begin { newline_added: Option<usize> },
    End,
}

struct Line<'f> {
    range: Range<usize>,
    text: &'f [u8],
    marker: Option<Marker>,
}

/// Everything of ours in the order of the file. `known` lines count beside a marker without its partner.
fn regions(file: &[u8], known: &BTreeSet<Vec<u8>>) -> Vec<Region> {
    let lines = lines(file);
    let marks: Vec<(usize, Marker)> = lines.iter().enumerate().filter_map(|(i, l)| Some((i, l.marker?))).collect();
    let mut regions: Vec<Region> = Vec::new();
    // The first line that no region has taken yet.
    let mut free = 0;
    let mut marks = marks.into_iter().peekable();
    while let Some((at, marker)) = marks.next() {
        let next_mark = marks.peek().map_or(lines.len(), |(i, _)| *i);
        let is_known = |l: &&Line<'_>| known.contains(l.text);
        let (first, end, pair, newline_added) = match marker {
            Marker::Begin { newline_added } => {
                let partner = marks.next_if(|(_, m)| *m == Marker::End);
                let known_after = || lines[at + 1..next_mark].iter().take_while(is_known).count();
                let end = partner.map_or_else(|| at + 1 + known_after(), |(end, _)| end + 1);
                (at, end, partner.is_some(), newline_added)
            }
            Marker::End => {
                let before = lines[free..at].iter().rev().take_while(is_known).count();
                (at - before, at + 1, false, None)
            }
        };
        free = end;
        regions.push(Region { range: lines[first].range.start..lines[end - 1].range.end, pair, newline_added });
    }
    regions
}

fn lines(file: &[u8]) -> Vec<Line<'_>> {
    let mut end = 0;
    let line = |bytes| {
        let (start, text) = (end, <[u8]>::trim_ascii_end(bytes));
        end += bytes.len();
        Line { range: start..end, text, marker: marker(text) }
    };
    file.split_inclusive(|b| *b == b'\n').map(line).collect()
}

/// Strict, so that a foreign comment that mentions us is no marker; but for white space at the end of the line, which
/// editors change.
fn marker(text: &[u8]) -> Option<Marker> {
    if text == END.as_bytes() {
        return Some(Marker::End);
    }
    if text == BEGIN.as_bytes() {
        return Some(Marker::Begin { newline_added: None });
    }
    let note = text.strip_prefix(BEGIN_NOTE.as_bytes())?.strip_suffix(b")")?;
    let added = note.windows(NEWLINE_NOTE.len()).rposition(|w| w == NEWLINE_NOTE.as_bytes());
    let digits = added.and_then(|at| std::str::from_utf8(&note[at + NEWLINE_NOTE.len()..]).ok());
    Some(Marker::Begin { newline_added: digits.and_then(|d| d.parse().ok()) })
}

/// The file without our regions, and where in the result the block belongs if there was one.
fn take_out(file: &[u8], known: &BTreeSet<Vec<u8>>) -> (Vec<u8>, Option<usize>) {
    let regions = regions(file, known);
    let home = regions.iter().position(|r| r.pair).unwrap_or(0);
    let mut out = Vec::with_capacity(file.len());
    let (mut kept_to, mut place, mut last_added) = (0, None, None);
    for (i, region) in regions.iter().enumerate() {
        let before = &file[kept_to..region.range.start];
        out.extend_from_slice(before);
        if i == home {
            place = Some(out.len());
        }
        // What a run of regions says of the newline before it, only its first can know.
        if !before.is_empty() || i == 0 {
            last_added = region.newline_added.filter(|at| at.checked_add(1) == Some(region.range.start));
        }
        kept_to = region.range.end;
    }
    out.extend_from_slice(&file[kept_to..]);
    // Only where nothing foreign was put after our block, and nothing before it has moved, is the newline still ours.
    if last_added.is_some() && kept_to == file.len() && out.last() == Some(&b'\n') {
        out.pop();
        place = place.map(|p| p.min(out.len()));
    }
    (out, place)
}

/// Reads a whole block back. `None` if a line between the markers is not one that we write.
fn parse(region: &[u8]) -> Option<Block> {
    let lines = lines(region);
    let inner = lines.get(1..lines.len().checked_sub(1)?)?;
    let mut block = Block::default();
    let mut reasons = BTreeMap::new();
    for line in inner {
        let text = std::str::from_utf8(line.text).ok()?;
        if let Some(comment) = text.strip_prefix('#') {
            if let Some((name, reason)) = comment.trim().split_once(": ") {
                reasons.insert(name, reason);
            }
            continue;
        }
        let (address, name) = text.split_once(' ')?;
        let (address, name) = (address.parse::<IpAddr>().ok()?, name.parse::<HostName>().ok()?);
        let unknown = EntryReason::Answer(AnswerReason::Stale);
        let entry = block.entries.entry(name);
        entry.or_insert(Entry { addresses: Vec::new(), reason: unknown }).addresses.push(address);
    }
    for (name, entry) in &mut block.entries {
        let known = reasons.get(name.as_str()).and_then(|label| EntryReason::from_label(label));
        entry.reason = known.unwrap_or(entry.reason);
    }
    Some(block)
}

#[cfg(test)]
mod tests;
