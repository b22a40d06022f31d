//! Mending a file that was being overwritten in place when the work ended. Pure.
//!
//! The new content goes over the old one from the front, and what the old one is longer is cut off then. So a kill
//! leaves the first bytes of the new and the rest of the old one; a power cut any of both. Who edited the file after
//! that took this for its content: his edit is what the file differs in from what the kill left, and is folded into the
//! new one as any late edit is.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::Folded;
use super::lines::{self, common_prefix, common_suffix};
use crate::publish::hosts::block::whole_lines;

/// So many lines at most are looked at for the one in which the overwriting ended, and so many places.
const MOST_TORN: usize = 64;

/// What the file should hold, of which `old` was being overwritten by `new` when the work ended; `None` if it is not
/// torn: it holds either, with or without edits, or something else altogether.
#[must_use]
pub fn mend<'n>(old: &[u8], new: &'n [u8], found: &[u8]) -> Option<Folded<'n>> {
    if found == old || found == new {
        return None;
    }
    if is_mixture(old, new, found) {
        return Some(Folded { file: Cow::Borrowed(new), conflict: false });
    }
    let wholes = [new, old].map(|whole| likeness(whole, found));
    let torn = ends(old, new, found).into_iter().map(|end| torn_at(old, new, end));
    let (like, base) = torn.map(|torn| (likeness(&torn, found), torn)).max_by_key(|(like, _)| *like)?;
    if wholes.iter().any(|whole| *whole >= like) {
        return None;
    }
    let half = appended_to(&base, found);
    let base = &base[..base.len() - half];
    let lines::Merged { bytes, conflict, .. } = lines::merge(Some(base), new, found, new.len());
    Some(Folded { file: Cow::Owned(bytes), conflict: conflict || half > 0 })
}

/// The length of the half of a line at the end of the base to which somebody appended: which part of that line is whose
/// nobody can tell.
fn appended_to(base: &[u8], edited: &[u8]) -> usize {
    let is_half = !base.ends_with(b"\n") && edited.starts_with(base);
    match edited.get(base.len()) {
        Some(next) if is_half && *next != b'\n' => base.rsplit(|b| *b == b'\n').next().map_or(0, <[u8]>::len),
        _ => 0,
    }
}

/// What is there once so many bytes of the new content are.
fn torn_at(old: &[u8], new: &[u8], end: usize) -> Vec<u8> {
    [&new[..end], old.get(end..).unwrap_or_default()].concat()
}

/// True if every byte is one of either; beyond the old file's end it may be one that nothing was written to.
fn is_mixture(old: &[u8], new: &[u8], found: &[u8]) -> bool {
    let lengths = old.len().min(new.len())..=old.len().max(new.len());
    let mut bytes = found.iter().enumerate();
    lengths.contains(&found.len())
        && bytes.all(|(i, byte)| {
            let [in_old, in_new] = [old, new].map(|file| file.get(i));
            in_new == Some(byte) || in_old.map_or(*byte == 0, |old| old == byte)
        })
}

/// Where the overwriting may have ended, as far as an edited file tells: by its beginning, by its end, behind the last
/// line that only the new content has, and in a line that begins as a new one and ends as an old one.
fn ends(old: &[u8], new: &[u8], found: &[u8]) -> Vec<usize> {
    let by_end = old.len() - common_suffix(old, found);
    let mut ends = vec![common_prefix(new, found), by_end.min(new.len())];
    let [in_old, in_new, in_found]: [HashSet<&[u8]>; 3] =
        [old, new, found].map(|f| lines::lines(f).into_iter().collect());
    let starts = line_starts(new, common_prefix(old, new));
    let is_only_new = |line: &[u8]| !in_old.contains(line) && in_found.contains(line);
    let line_at = |start: usize| new[start..].split(|b| *b == b'\n').next().unwrap_or_default();
    if let Some(last) = starts.iter().rev().find(|start| is_only_new(line_at(**start))) {
        let end = last + line_at(*last).len();
        ends.extend([end, (end + 1).min(new.len())]);
    }
    let strange = lines::lines(found).into_iter().filter(|line| !in_old.contains(line) && !in_new.contains(line));
    for line in strange.take(MOST_TORN) {
        ends.extend(starts.iter().filter_map(|start| {
            let (head, end) = (common_prefix(&new[*start..], line), start + line.len());
            let rest = old.get(start + head..).unwrap_or_default();
            let is_old = rest.starts_with(&line[head..]) && matches!(old.get(end), None | Some(b'\n'));
            is_old.then_some(start + head)
        }));
    }
    ends.sort_unstable();
    ends.dedup();
    ends.truncate(MOST_TORN);
    ends
}

/// Where the lines begin of which a part lies at this place or behind it.
fn line_starts(file: &[u8], from: usize) -> Vec<usize> {
    let first = file[..from].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let mut next = first;
    let after = |line: &[u8]| {
        next += line.len();
        next
    };
    std::iter::once(first).chain(whole_lines(&file[first..]).map(after)).collect()
}

/// How like an edited file is to what it may have been made of: by how many bytes more of that one's lines it has, in
/// whatever order, than it lacks; and by how many bytes both begin and end with.
fn likeness(base: &[u8], edited: &[u8]) -> (i64, [usize; 2]) {
    let mut left = counted(edited);
    let mut balance = 0;
    for line in lines::lines(&base[..base.len() - appended_to(base, edited)]) {
        let bytes = i64::try_from(line.len() + 1).unwrap_or(i64::MAX);
        match left.get_mut(line).filter(|n| **n > 0) {
            Some(n) => {
                *n -= 1;
                balance += bytes;
            }
            None => balance -= bytes,
        }
    }
    (balance, [common_prefix(base, edited), common_suffix(base, edited)])
}

/// How often each line is there, whether with a newline or without.
fn counted(file: &[u8]) -> HashMap<&[u8], usize> {
    let mut counted = HashMap::new();
    lines::lines(file).into_iter().for_each(|line| *counted.entry(line).or_default() += 1);
    counted
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "127.0.0.1 localhost\n\u{fffd}\n";
    const EDIT: &str = "10.8.8.8 added.by.an.editor\n";

    fn block(lines: &str) -> String {
        format!("# BEGIN privatelinkd\n{lines}# END privatelinkd\n")
    }

    /// An old and a new content: longer, shorter, as long, first of all, at the end and with others' lines behind.
    fn changes() -> Vec<[String; 2]> {
        let [one, two, three] = ["10.0.0.1 a.x\n", "10.0.0.2 a.x\n", "10.0.0.1 a.x\n10.0.0.3 a.x\n"].map(block);
        let tail = "10.1.1.1 first.example\n10.1.1.2 second.example\n# no newline";
        vec![
            [HEAD.to_owned(), format!("{HEAD}{one}")],
            [format!("{HEAD}{one}"), format!("{HEAD}{two}")],
            [format!("{HEAD}{one}"), format!("{HEAD}{three}")],
            [format!("{HEAD}{three}{tail}"), format!("{HEAD}{two}{tail}")],
            [format!("{HEAD}{two}{tail}"), format!("{HEAD}{three}{tail}")],
            [format!("{HEAD}{one}{tail}"), format!("{HEAD}{tail}")],
            [format!("{one}{tail}"), format!("{two}{tail}\n")],
        ]
    }

    fn sorted(text: &[u8]) -> Vec<&[u8]> {
        let mut lines: Vec<&[u8]> = text.split(|b| *b == b'\n').filter(|line| !line.is_empty()).collect();
        lines.sort_unstable();
        lines
    }

    #[test]
    fn what_a_kill_at_any_byte_leaves_is_finished() {
        for [old, new] in changes() {
            let (old, new) = (old.as_bytes(), new.as_bytes());
            for end in 0..=new.len() {
                let torn = torn_at(old, new, end);
                let mended = mend(old, new, &torn).map_or(torn.clone(), |m| m.file.into_owned());
                assert!(mended == new || (mended == old && torn == old), "{end}: {:?}", String::from_utf8_lossy(&torn));
            }
        }
    }

    #[test]
    fn what_a_power_cut_leaves_is_finished() {
        for [old, new] in changes() {
            let (old, new) = (old.as_bytes(), new.as_bytes());
            for seed in 0..500_u64 {
                let mut random = fastrand::Rng::with_seed(seed);
                let length = random.usize(old.len().min(new.len())..=old.len().max(new.len()));
                // In sectors of eight bytes.
                let sectors: Vec<bool> = (0..=length / 8).map(|_| random.bool()).collect();
                let byte = |i: usize| match (sectors[i / 8], old.get(i), new.get(i)) {
                    (true, _, Some(new)) => *new,
                    (_, old, _) => old.copied().unwrap_or(0),
                };
                let torn: Vec<u8> = (0..length).map(byte).collect();
                let mended = mend(old, new, &torn).map_or(torn.clone(), |m| m.file.into_owned());
                assert!(mended == new || mended == old, "{seed}: {:?}", String::from_utf8_lossy(&torn));
            }
        }
    }

    #[test]
    fn what_others_wrote_into_a_torn_file_is_there_with_all_that_was() {
        for [old, new] in changes() {
            let (old, new) = (old.as_bytes(), new.as_bytes());
            for end in 0..=new.len() {
                let torn = torn_at(old, new, end);
                let newline: &[u8] = if torn.ends_with(b"\n") { b"" } else { b"\n" };
                let edits = [
                    [&torn, newline, EDIT.as_bytes()].concat(),
                    [EDIT.as_bytes(), &torn].concat(),
                    [EDIT.as_bytes(), &torn, newline, b"# and here\n"].concat(),
                ];
                for edited in edits {
                    let found = mend(old, new, &edited);
                    let mended = found.as_ref().map_or(&edited[..], |m| &m.file);
                    let theirs = |whole: &[u8]| {
                        let extra = if edited.ends_with(b"# and here\n") { &b"\n# and here\n"[..] } else { b"" };
                        [EDIT.as_bytes(), whole, extra].concat()
                    };
                    let wholes = [theirs(old), theirs(new)];
                    let is_whole = wholes.iter().any(|whole| sorted(mended) == sorted(whole));
                    let [shown, from] = [mended, &edited].map(|file| String::from_utf8_lossy(file).into_owned());
                    assert!(is_whole, "{end}:\n{shown}\nof\n{from}");
                }
            }
        }
    }

    /// `>>` into a file that ends in the middle of a line glues the two together: which part is whose nobody can tell.
    #[test]
    fn what_was_appended_to_half_a_line_stays_and_is_told() {
        let [old, new] = [HEAD.to_owned(), format!("{HEAD}{}", block("10.0.0.1 a.x\n"))];
        for end in old.len() + 1..new.len() {
            let torn = &new[..end];
            let found = format!("{torn}{EDIT}");
            let mended = mend(old.as_bytes(), new.as_bytes(), found.as_bytes()).unwrap();
            let text = String::from_utf8_lossy(&mended.file).into_owned();
            assert!(text.starts_with(&new) && text.contains(EDIT), "{end}: {text}");
            // What was appended may go on as our line would have.
            assert!(mended.conflict || torn.ends_with('\n'), "{end}: {text}");
        }
    }

    #[test]
    fn another_file_is_left_alone() {
        for [old, new] in changes() {
            for other in ["", "127.0.0.1 localhost\n", "::1 other\n10.0.0.9 b.x\n"] {
                let mended = mend(old.as_bytes(), new.as_bytes(), other.as_bytes());
                assert!(mended.is_none_or(|m| m.file == new.as_bytes()), "{other:?}");
            }
        }
    }
}
