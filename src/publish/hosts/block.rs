//! Our block in a file of other programs: render, find, splice, strip. Pure, and over bytes: the file may hold
//! anything.
//!
//! ```text
//! # BEGIN privatelinkd (managed by privatelinkd: changes in here are overwritten)
//! # db.internal: healthy at 2026-01-05T08:00:00Z
//! 10.0.1.15 db.internal
//! 10.0.2.15 db.internal
//! # END privatelinkd
//! ```
//!
//! Some resolvers take the first name of an address for its canonical one and answer the others with CNAMEs
//! (systemd-resolved 257): a name whose addresses have different first names resolves to nothing, or to half. So the
//! order of the names counts, and is part of what a block says: names that lead to several zones first.
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

mod entry;

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Range;

pub use self::entry::{Entry, EntryReason};
use crate::model::{Answer, AnswerReason, HostName, Wall};

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
    /// The names as they follow each other; empty if that is their own order.
    order: Vec<HostName>,
}

/// What is known of the names of a block beside their answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    /// Names of one zone each: they stand behind the others.
    pub zone_names: BTreeSet<HostName>,
    /// When a name's answer changed last; a name is absent where that is not known.
    pub changed: BTreeMap<HostName, Wall>,
}

/// In the order of the names.
impl From<BTreeMap<HostName, Entry>> for Block {
    fn from(entries: BTreeMap<HostName, Entry>) -> Self {
        Self { entries, order: Vec::new() }
    }
}

impl Block {
    /// What the file should say of these answers; with the standby addresses if the agent is lost (B17). A zone's own
    /// names come last, and of the others those with more addresses first: they take the shared ones for theirs.
    #[must_use]
    pub fn from_answers(answers: &BTreeMap<HostName, Answer>, marks: &Marks, agent_lost: bool) -> Self {
        let entry = |(name, answer): (&HostName, &Answer)| {
            let entry = match agent_lost {
                false => Entry { changed: marks.changed.get(name).copied(), ..Entry::from(answer) },
                true => Entry {
                    addresses: [answer.addresses.as_slice(), &answer.standby].concat(),
                    reason: EntryReason::AgentLost,
                    changed: None,
                },
            };
            (name.clone(), entry)
        };
        let entries: BTreeMap<_, _> = answers.iter().map(entry).collect();
        let mut order: Vec<HostName> = entries.keys().cloned().collect();
        let addresses = |name: &HostName| entries.get(name).map(|e| e.addresses.len());
        order.sort_by_key(|name| (marks.zone_names.contains(name), Reverse(addresses(name))));
        Self::in_order(entries, order)
    }

    /// The same, in the order of another block as far as that has the names.
    #[must_use]
    pub(super) fn ordered_like(self, other: &Self) -> Self {
        let places: BTreeMap<_, _> = other.names().enumerate().map(|(place, name)| (name, place)).collect();
        let mut order: Vec<HostName> = self.names().cloned().collect();
        order.sort_by_key(|name| places.get(name).copied().unwrap_or(usize::MAX));
        Self::in_order(self.entries, order)
    }

    /// Equal blocks are equal values: an order is only kept where it is not that of the names.
    fn in_order(entries: BTreeMap<HostName, Entry>, mut order: Vec<HostName>) -> Self {
        if order.is_sorted() {
            order.clear();
        }
        Self { entries, order }
    }

    /// The names as they follow each other.
    pub fn names(&self) -> impl Iterator<Item = &HostName> {
        self.in_turn().map(|(name, _)| name)
    }

    /// Name by name, as they follow each other.
    fn in_turn(&self) -> impl Iterator<Item = (&HostName, &Entry)> {
        let listed = self.order.iter().filter_map(|name| self.entries.get_key_value(name));
        listed.chain(self.entries.iter().filter(|_| self.order.is_empty()))
    }

    /// Every (address, name) pair, in the order of the lines.
    pub fn pairs(&self) -> impl Iterator<Item = (IpAddr, &HostName)> {
        self.in_turn().flat_map(|(name, e)| e.addresses.iter().map(move |a| (*a, name)))
    }

    /// True if both say the same to a resolver, whatever the reasons and times: in the same order, which
    /// some resolvers go by.
    #[must_use]
    pub fn same_pairs(&self, other: &Self) -> bool {
        self.pairs().eq(other.pairs())
    }

    /// The lines between the markers, without their newlines.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, entry) in self.in_turn() {
            lines.push(entry.comment(name));
            lines.extend(entry.addresses.iter().map(|a| format!("{a} {name}")));
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
    /// Repeated blocks, a marker without its partner, or lines in the block that we do not write, or not so.
    Damaged,
}

/// What of ours the file holds, by its markers alone.
#[must_use]
pub fn present(file: &[u8]) -> Present {
    match regions(file, &BTreeSet::new()).as_slice() {
        [] => Present::Absent,
        [Region { range, pair: true, .. }] => match parse(&file[range.clone()]) {
            Some(Parsed { block, grouped: true }) => Present::Whole(block),
            Some(Parsed { grouped: false, .. }) | None => Present::Damaged,
        },
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
    regions(file, &BTreeSet::new()).into_iter().filter(|r| r.pair).find_map(|r| parse(&file[r.range])).map(|p| p.block)
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

/// True if the first whole block says that no agent manages it any more: the package was removed.
fn is_abandoned(file: &[u8]) -> bool {
    find(file).is_some_and(|block| block.starts_with(ABANDONED.as_bytes()))
}

/// The file without anything of ours. Borrowed if there is nothing.
#[must_use]
pub fn strip<'f>(file: &'f [u8], last: Option<&Block>) -> Cow<'f, [u8]> {
    splice(file, &Block::default(), last)
}

/// The foreign parts of the file, which are whole lines, and where each begins: what lies before, between and after our
/// blocks.
pub(crate) fn foreign(file: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let ours = regions(file, &BTreeSet::new());
    let starts = std::iter::once(0).chain(ours.clone().into_iter().map(|r| r.range.end));
    let ends = ours.into_iter().map(|r| r.range.start).chain(std::iter::once(file.len()));
    starts.zip(ends).map(|(start, end)| (start, &file[start..end]))
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

/// A block as it was read.
struct Parsed {
    block: Block,
    /// The lines of each name stand together, as we write them.
    grouped: bool,
}

/// Reads a whole block back. `None` if a line between the markers is not one that we write.
fn parse(region: &[u8]) -> Option<Parsed> {
    let lines = lines(region);
    let inner = lines.get(1..lines.len().checked_sub(1)?)?;
    let (mut entries, mut comments) = (BTreeMap::new(), BTreeMap::new());
    let (mut order, mut grouped) = (Vec::new(), true);
    for line in inner {
        let text = std::str::from_utf8(line.text).ok()?;
        if let Some(comment) = text.strip_prefix('#') {
            let comment = comment.trim();
            let (name, why) = comment.split_once(": ").unwrap_or((comment, ""));
            comments.insert(name, why);
            continue;
        }
        let (address, name) = text.split_once(' ')?;
        let (address, name) = (address.parse::<IpAddr>().ok()?, name.parse::<HostName>().ok()?);
        grouped &= !entries.contains_key(&name) || order.last() == Some(&name);
        let unknown = EntryReason::Answer(AnswerReason::Stale);
        let new = || {
            order.push(name.clone());
            Entry { addresses: Vec::new(), reason: unknown, changed: None }
        };
        entries.entry(name.clone()).or_insert_with(new).addresses.push(address);
    }
    for (name, entry) in &mut entries {
        comments.get(name.as_str()).into_iter().for_each(|why| entry.read_comment(why));
    }
    Some(Parsed { block: Block::in_order(entries, order), grouped })
}

#[cfg(test)]
mod tests;
