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
//! What is ours: every line from the BEGIN to the END that follows it. All else is foreign and stays, byte for byte.
//! Where other programs left the markers without our lines (`sort -u`, `sed /^#/d`, a hand that deleted one of them),
//! ours are the markers that are left and the lines that are byte for byte those that we last wrote ([`OwnLines`]),
//! wherever they stand, so that none stays behind to keep a dead address; a fresh block is appended. What could be
//! anybody's is nobody's to take: two blocks, one within another, or half a block of which no record tells what stood
//! in it ([`Unclear`]).
//!
//! Where the package was removed and the block stays, its maintainer scripts (packaging/leaving.sh) put "managed by
//! nobody any more" into the BEGIN line. It is a BEGIN line all the same, and the next block that is put in has the
//! usual one.
//!
//! A file that does not end in a newline gets one before our block. The BEGIN line remembers where, so that taking
//! the block out gives the very bytes back.

mod entry;
mod markers;
mod own_lines;
mod splice;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub use self::entry::{Entry, EntryReason};
use self::markers::{ABANDONED, BEGIN_NOTE, END, Found, NEWLINE_NOTE};
pub use self::markers::{Unclear, foreign, whole_lines};
pub use self::own_lines::OwnLines;
pub(super) use self::splice::insert;
pub use self::splice::{Spliced, splice, strip, with_foreign, without};
use crate::model::{Answer, AnswerReason, HostName, Wall};

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
    /// Several blocks, a marker without its partner, or lines in the block that we do not write, or not so.
    Damaged,
}

/// What of ours the file holds, by its markers alone.
#[must_use]
pub fn present(file: &[u8]) -> Present {
    match markers::find(file) {
        Found::Nothing => Present::Absent,
        Found::Pair(region) => match parse(&file[region.range]) {
            Some(Parsed { block, grouped: true }) => Present::Whole(block),
            Some(Parsed { grouped: false, .. }) | None => Present::Damaged,
        },
        Found::Half(_) | Found::Unclear(_) => Present::Damaged,
    }
}

/// The bytes of the first whole block with its markers, if there is one.
#[must_use]
pub fn find(file: &[u8]) -> Option<&[u8]> {
    markers::regions(file).into_iter().find(|r| r.pair).map(|r| &file[r.range])
}

/// What the first whole block says, whatever else of ours is damaged: last known good for a writer that lost its own.
#[must_use]
pub fn salvage(file: &[u8]) -> Option<Block> {
    markers::regions(file).into_iter().filter(|r| r.pair).find_map(|r| parse(&file[r.range])).map(|p| p.block)
}

/// True if the first whole block says that no agent manages it any more: the package was removed.
fn is_abandoned(file: &[u8]) -> bool {
    find(file).is_some_and(|block| block.starts_with(ABANDONED.as_bytes()))
}

/// A block as it was read.
struct Parsed {
    block: Block,
    /// The lines of each name stand together, as we write them.
    grouped: bool,
}

/// Reads a whole block back. `None` if a line between the markers is not one that we write.
fn parse(region: &[u8]) -> Option<Parsed> {
    // Without white space at their ends.
    let lines: Vec<&[u8]> = whole_lines(region).map(<[u8]>::trim_ascii_end).collect();
    let inner = lines.get(1..lines.len().checked_sub(1)?)?;
    let (mut entries, mut comments) = (BTreeMap::new(), BTreeMap::new());
    let (mut order, mut grouped) = (Vec::new(), true);
    for line in inner {
        let text = std::str::from_utf8(line).ok()?;
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
