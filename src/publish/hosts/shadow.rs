//! Which of our names stand in lines that are not ours.
//!
//! Resolvers take the first line of a name, or merge all of them; either way another program's line for a name of ours
//! sends clients where steering does not want them, so it is reported.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Range;

use super::block;
use crate::model::HostName;

/// A file is searched for so few names at most, one after the other, before its lines are read.
const FEW: usize = 8;

/// The names of `ours` that a foreign line of the file gives an address to: as its first name or as an alias, in any
/// case, with or without a final dot; each with the number of the first such line, counted from 1. Comments and lines
/// that no resolver reads do not count.
#[must_use]
pub fn shadowed<'n>(file: &[u8], ours: impl IntoIterator<Item = &'n HostName>) -> BTreeMap<HostName, usize> {
    let mut left: BTreeSet<&HostName> = ours.into_iter().collect();
    if left.len() <= FEW {
        left.retain(|name| block::foreign(file).any(|(_, part)| may_hold(part, name.as_str().as_bytes())));
    }
    if left.is_empty() {
        return BTreeMap::new();
    }
    let lengths: BTreeSet<usize> = left.iter().map(|name| name.as_str().len()).collect();
    // With a final dot or without. Of a large file most lines have no word as long as any of our names.
    let is_as_long = |word: &[u8]| [0, 1].iter().any(|dot| lengths.contains(&word.len().saturating_sub(*dot)));
    let mut found = BTreeMap::new();
    for (start, part) in block::foreign(file) {
        let first = 1 + block::whole_lines(&file[..start]).count();
        for (line, number) in block::whole_lines(part).zip(first..) {
            if left.is_empty() {
                return found;
            }
            let names = names_among(line, &is_as_long).filter_map(|(_, name)| name);
            found.extend(names.filter(|name| left.remove(name)).map(|name| (name, number)));
        }
    }
    found
}

/// False where this name does not stand, in any case: of a large file that is told much sooner than by its words.
fn may_hold(part: &[u8], name: &[u8]) -> bool {
    let Some(first) = name.first() else { return true };
    let starts = memchr::memchr2_iter(first.to_ascii_lowercase(), first.to_ascii_uppercase(), part);
    let mut words = starts.filter_map(|start| part.get(start..start + name.len()));
    words.any(|word| word.eq_ignore_ascii_case(name))
}

/// Where the names stand that a line of a hosts file gives an address to, and which they are; `None` for a word that no
/// resolver takes for a name. Nothing for a line that no resolver reads.
pub(super) fn names(line: &[u8]) -> impl Iterator<Item = (Range<usize>, Option<HostName>)> {
    names_among(line, |_| true)
}

/// Of those words that may be one that is looked for: large files have many others.
fn names_among(line: &[u8], may_be: impl Fn(&[u8]) -> bool) -> impl Iterator<Item = (Range<usize>, Option<HostName>)> {
    let read = line.split(|b| *b == b'#').next().unwrap_or_default();
    let mut end = 0;
    let words = read.split(|b| parts_words(*b)).map(move |word| {
        let start = end;
        end += word.len() + 1;
        (start, word)
    });
    let mut words = words.filter(|(_, word)| !word.is_empty());
    let first = words.next().map_or(&b""[..], |(_, word)| word);
    let words = words.filter(move |(_, word)| may_be(word) && is_address(first));
    words.map(|(start, w)| (start..start + w.len(), std::str::from_utf8(w).ok().and_then(|w| w.parse().ok())))
}

/// What parts words for any resolver: isspace(3) of the C library, and a NUL, at which that ends while others read on.
fn parts_words(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, 0x0b | 0)
}

fn is_address(word: &[u8]) -> bool {
    // A scope, as in fe80::1%eth0, is no part of what `IpAddr` reads.
    let bare = word.split(|b| *b == b'%').next().unwrap_or_default();
    std::str::from_utf8(bare).is_ok_and(|s| s.parse::<IpAddr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(file: &[u8], expected: &[&str]) {
        let ours: Vec<HostName> = ["db.internal", "gw.internal"].iter().map(|n| n.parse().unwrap()).collect();
        let found: Vec<String> = shadowed(file, &ours).iter().map(|(name, line)| format!("{name}:{line}")).collect();
        assert_eq!(found, expected, "{}", String::from_utf8_lossy(file));
    }

    #[test]
    fn foreign_lines_are_read_as_resolvers_read_them() {
        check(b"10.0.0.1 db.internal\n", &["db.internal:1"]);
        check(b"  \t10.0.0.1\tother DB.Internal. GW.internal\r\n", &["db.internal:1", "gw.internal:1"]);
        check(b"fe80::1%eth0 gw.internal", &["gw.internal:1"]);
        check(b"#\n\n10.0.0.1 db.internal\n10.0.0.2 db.internal gw.internal\n", &["db.internal:3", "gw.internal:4"]);
        check(b"10.0.0.1 other # db.internal\n#10.0.0.1 gw.internal\n", &[]);
        check(b"10.0.0.1#db.internal\ndb.internal gw.internal\n10.0.0 db.internal\n", &[]);
        check(b"10.0.0.1 xdb.internal db.internal.example\n\xff 10.0.0.1 db.internal\n", &[]);
        check(b"\xff\x00\n10.0.0.1 \xff db.internal", &["db.internal:2"]);
        check(b"10.0.0.1\x0bdb.internal\n10.0.0.1 gw.internal\0x\n", &["db.internal:1", "gw.internal:2"]);
    }

    #[test]
    fn our_own_block_shadows_nothing() {
        let block = b"# BEGIN privatelinkd\n10.0.0.1 db.internal\n# END privatelinkd\n";
        check(block, &[]);
        check(&[&block[..], b"10.0.0.2 db.internal\n"].concat(), &["db.internal:4"]);
        check(&[&b"10.0.0.2 gw.internal\n"[..], block].concat(), &["gw.internal:1"]);
    }
}
