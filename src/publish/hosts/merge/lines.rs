//! A three-way merge by line.
//!
//! Lines that all three versions have keep their place and cut the file into stretches. In a stretch each line is there
//! as often as the side says that changed its number, or as the greater number if both did: so nothing that anybody
//! added is lost, and what either removed goes unless the other wrote it anew. Whether the last line has its newline is
//! no part of it: that, too, is as the side says that changed it.

use std::collections::{BTreeMap, HashMap};

use crate::publish::hosts::block::whole_lines;

/// Largest product of the lengths of two stretches without a line of their own in common that are compared line by
/// line: larger ones count as changed from end to end, so that no file costs more than its sorting.
const MOST_COMPARED: usize = 250_000;

/// What a merge came to.
pub(super) struct Merged {
    pub(super) bytes: Vec<u8>,
    /// Where in it the place in the present file is that was asked for.
    pub(super) place: usize,
    /// In some stretch both sides removed a line of the base, and put other ones in.
    pub(super) conflict: bool,
}

pub(super) type Lines<'f> = Vec<&'f [u8]>;

/// Without their newlines.
pub(super) fn lines(file: &[u8]) -> Lines<'_> {
    whole_lines(file).map(|line| line.strip_suffix(b"\n").unwrap_or(line)).collect()
}

/// Merges; `place` is an offset in `current` at the beginning of a line, or its end. Without a base, what both have
/// counts for one.
pub(super) fn merge<'f>(base: Option<&'f [u8]>, current: &'f [u8], late: &'f [u8], place: usize) -> Merged {
    // What all have at their beginnings and ends is not taken apart: a large file costs no more than what differs.
    let others = [base.unwrap_or(late), late];
    let head = others.iter().map(|other| same_head(current, other)).min().unwrap_or(0);
    let rests = others.map(|other| &other[head..]);
    let tail = rests.iter().map(|rest| same_tail(&current[head..], rest)).min().unwrap_or(0);
    let (has_head, has_tail) = (head > 0, tail > 0);
    let middle = |file: &'f [u8]| Middle { bytes: &file[head..file.len() - tail], has_head, has_tail };
    let inside = place.clamp(head, current.len() - tail) - head;
    let merged = merge_middles(base.map(middle), &middle(current), &middle(late), inside);
    let bytes = [&current[..head], &merged.bytes, &current[current.len() - tail..]].concat();
    let place = match place {
        before if before < head => before,
        behind if behind > current.len() - tail => bytes.len() - (current.len() - behind),
        _ => head + merged.place,
    };
    Merged { bytes, place, conflict: merged.conflict }
}

/// How many bytes both begin with.
#[must_use]
pub fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    const PIECE: usize = 1024;
    let whole = a.chunks(PIECE).zip(b.chunks(PIECE)).take_while(|(a, b)| a == b);
    let same: usize = whole.map(|(a, _)| a.len()).sum();
    same + a[same..].iter().zip(&b[same..]).take_while(|(a, b)| a == b).count()
}

/// How many bytes both end with.
pub(super) fn common_suffix(a: &[u8], b: &[u8]) -> usize {
    const PIECE: usize = 1024;
    let whole = a.rchunks(PIECE).zip(b.rchunks(PIECE)).take_while(|(a, b)| a == b);
    let same: usize = whole.map(|(a, _)| a.len()).sum();
    let (a, b) = (&a[..a.len() - same], &b[..b.len() - same]);
    same + a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count()
}

/// The length of the whole lines that both begin with.
fn same_head(a: &[u8], b: &[u8]) -> usize {
    let same = common_prefix(a, b);
    a[..same].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
}

/// The length of the whole lines that both end with. A line without one before it in a file may be half of another's.
fn same_tail(a: &[u8], b: &[u8]) -> usize {
    let same = common_suffix(a, b);
    let tail = &a[a.len() - same..];
    tail.iter().position(|byte| *byte == b'\n').map_or(0, |at| same - at - 1)
}

/// What differs of a file.
struct Middle<'f> {
    bytes: &'f [u8],
    has_head: bool,
    has_tail: bool,
}

impl Middle<'_> {
    /// Whether its last line has a newline; `None` without any line.
    fn ends_in_newline(&self) -> Option<bool> {
        match self.bytes.last() {
            _ if self.has_tail => Some(true),
            None => self.has_head.then_some(true),
            Some(last) => Some(*last == b'\n'),
        }
    }
}

fn merge_middles(base: Option<Middle<'_>>, current: &Middle<'_>, late: &Middle<'_>, place: usize) -> Merged {
    let newlines = [base.as_ref().and_then(Middle::ends_in_newline), current.ends_in_newline(), late.ends_in_newline()];
    let newline = match newlines {
        [base, current, late] if late == base || late.is_none() => current.or(base),
        [None, current, late] => current.max(late),
        [.., late] => late,
    };
    let (base, current, late) = (base.map(|base| base.bytes), current.bytes, late.bytes);
    let before = lines(&current[..place]).len();
    let (current, late) = (lines(current), lines(late));
    let base = base.map_or_else(|| common(&current, &late), lines);
    let in_late: BTreeMap<usize, usize> = matches(&base, &late).into_iter().collect();
    let fixed = matches(&base, &current).into_iter().filter_map(|(b, c)| Some([b, c, *in_late.get(&b)?]));
    let ends = [base.len(), current.len(), late.len()];
    let mut out =
        Output { lines: Vec::new(), place: None, before, missing: missing([&base, &current, &late]), conflict: false };
    let mut from = [0; 3];
    for [b, c, l] in fixed.chain([ends]) {
        out.stretch(&base[from[0]..b], (&current[from[1]..c], from[1]), &late[from[2]..l]);
        if let Some(line) = current.get(c) {
            out.push_current(c, line);
        }
        from = [b + 1, c + 1, l + 1];
    }
    out.finish(newline.unwrap_or(true))
}

/// True if the present file lacks a line that the late one added, and has one that the late one removed, if any. Of
/// what is `ours` only the former counts.
pub(super) fn is_undone(versions: [&[u8]; 3], ours: impl Fn(&[u8]) -> bool) -> bool {
    let [base, current, late] = versions.map(lines);
    let counts = counts([&base, &current, &late]);
    let lacks = |[b, c, l]: &[usize; 3]| l > b && c < l;
    let mut removed = counts.iter().filter(|(line, [b, _, l])| l < b && !ours(line)).peekable();
    let knew_of_it = removed.peek().is_some() && removed.all(|(_, [b, c, _])| c < b);
    counts.values().any(lacks) && !knew_of_it
}

/// What is written, line by line.
struct Output<'f> {
    lines: Lines<'f>,
    /// How many lines stand before the place that was asked for, once that is known.
    place: Option<usize>,
    /// The line of the present file at that place.
    before: usize,
    /// Of lines that the base lacks: how many more the late file has than the present one. An edit that comes twice, or
    /// that both made in different places, adds none.
    missing: HashMap<&'f [u8], usize>,
    conflict: bool,
}

impl<'f> Output<'f> {
    /// The line with this number in the present file is reached, and stays.
    fn push_current(&mut self, number: usize, line: &'f [u8]) {
        self.reach(number);
        self.lines.push(line);
    }

    fn reach(&mut self, number: usize) {
        if number >= self.before && self.place.is_none() {
            self.place = Some(self.lines.len());
        }
    }

    /// Merges what lies between two lines that all versions have.
    fn stretch(&mut self, base: &[&'f [u8]], (current, first): (&[&'f [u8]], usize), late: &[&'f [u8]]) {
        if base == late || current == late {
            (first..).zip(current).for_each(|(number, line)| self.push_current(number, line));
            return;
        }
        let mut left: HashMap<&[u8], usize> = HashMap::new();
        let (mut both_removed, mut added_apart) = (false, false);
        for (line, [b, c, l]) in counts([base, current, late]) {
            both_removed |= c < b && l < b;
            added_apart |= c != l && (c > b || l > b);
            left.insert(
                line,
                if c == b {
                    l
                } else if l == b {
                    c
                } else {
                    c.max(l)
                },
            );
        }
        self.conflict |= both_removed && added_apart;
        for (number, line) in (first..).zip(current) {
            self.reach(number);
            if take(&mut left, line) {
                self.lines.push(line);
            }
        }
        for line in late {
            if take(&mut left, line) && (!self.missing.contains_key(line) || take(&mut self.missing, line)) {
                self.lines.push(line);
            }
        }
    }

    /// With a newline behind the last line or without; an empty one would not be there without.
    fn finish(self, newline: bool) -> Merged {
        let mut bytes = Vec::new();
        let place = self.place.unwrap_or(self.lines.len());
        let mut at = None;
        for (number, line) in self.lines.iter().enumerate() {
            if number == place {
                at = Some(bytes.len());
            }
            bytes.extend_from_slice(line);
            let is_last = number + 1 == self.lines.len();
            if !is_last || newline || line.is_empty() {
                bytes.push(b'\n');
            }
        }
        let place = at.unwrap_or(bytes.len());
        Merged { bytes, place, conflict: self.conflict }
    }
}

/// Takes one of these lines, if there is one left.
fn take(left: &mut HashMap<&[u8], usize>, line: &[u8]) -> bool {
    match left.get_mut(line) {
        Some(n) if *n > 0 => {
            *n -= 1;
            true
        }
        _ => false,
    }
}

/// Of each line that the base lacks and the late file has: how many of it the present file lacks.
fn missing<'f>(files: [&[&'f [u8]]; 3]) -> HashMap<&'f [u8], usize> {
    let new = counts(files).into_iter().filter(|(_, [base, _, late])| *base == 0 && *late > 0);
    new.map(|(line, [_, current, late])| (line, late.saturating_sub(current))).collect()
}

/// How often each line stands in each of three stretches.
fn counts<'f>(stretches: [&[&'f [u8]]; 3]) -> HashMap<&'f [u8], [usize; 3]> {
    let mut counts: HashMap<&[u8], [usize; 3]> = HashMap::new();
    for (which, stretch) in stretches.into_iter().enumerate() {
        for line in stretch {
            counts.entry(line).or_default()[which] += 1;
        }
    }
    counts
}

/// The lines that both have, in one order.
fn common<'f>(a: &[&'f [u8]], b: &[&'f [u8]]) -> Lines<'f> {
    matches(a, b).into_iter().map(|(i, _)| a[i]).collect()
}

/// Pairs of equal lines, rising on both sides: many of them, though not always the most that there are.
fn matches(a: &[&[u8]], b: &[&[u8]]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut from = (0, 0);
    for (i, j) in anchors(a, b).into_iter().chain([(a.len(), b.len())]) {
        between(&a[from.0..i], &b[from.1..j], from, &mut found);
        if i < a.len() {
            found.push((i, j));
        }
        from = (i + 1, j + 1);
    }
    found
}

/// The longest rising sequence of lines that stand once in each.
fn anchors(a: &[&[u8]], b: &[&[u8]]) -> Vec<(usize, usize)> {
    let (in_a, in_b) = (once(a), once(b));
    let pairs: Vec<(usize, usize)> = a
        .iter()
        .enumerate()
        .filter(|(i, line)| in_a.get(**line) == Some(&Some(*i)))
        .filter_map(|(i, line)| Some((i, (*in_b.get(*line)?)?)))
        .collect();
    // Patience: the ends of rising sequences by length, and the pair before each.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(pairs.len());
    for (at, (_, j)) in pairs.iter().enumerate() {
        let length = ends.partition_point(|end| pairs[*end].1 < *j);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        match ends.get_mut(length) {
            Some(end) => *end = at,
            None => ends.push(at),
        }
    }
    let mut sequence: Vec<_> =
        std::iter::successors(ends.last().copied(), |at| before[*at]).map(|at| pairs[at]).collect();
    sequence.reverse();
    sequence
}

/// Where each line stands; `None` of one that stands there more than once.
fn once<'f>(lines: &[&'f [u8]]) -> HashMap<&'f [u8], Option<usize>> {
    let mut places = HashMap::new();
    for (i, line) in lines.iter().enumerate() {
        places.entry(*line).and_modify(|place| *place = None).or_insert(Some(i));
    }
    places
}

/// The equal lines of two stretches that have no line of their own in common.
fn between(a: &[&[u8]], b: &[&[u8]], (i, j): (usize, usize), found: &mut Vec<(usize, usize)>) {
    let head = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (rest_a, rest_b) = (&a[head..], &b[head..]);
    let tail = rest_a.iter().rev().zip(rest_b.iter().rev()).take_while(|(x, y)| x == y).count();
    let (middle_a, middle_b) = (&rest_a[..rest_a.len() - tail], &rest_b[..rest_b.len() - tail]);
    found.extend((0..head).map(|n| (i + n, j + n)));
    if middle_a.len().saturating_mul(middle_b.len()) <= MOST_COMPARED {
        for op in similar::capture_diff_slices(similar::Algorithm::Myers, middle_a, middle_b) {
            if let similar::DiffOp::Equal { old_index, new_index, len } = op {
                found.extend((0..len).map(|n| (i + head + old_index + n, j + head + new_index + n)));
            }
        }
    }
    let (end_a, end_b) = (i + a.len() - tail, j + b.len() - tail);
    found.extend((0..tail).map(|n| (end_a + n, end_b + n)));
}
