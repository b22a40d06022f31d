//! Where things stand in a DNS message (RFC 1035, section 4.1). Pure.

use std::ops::Range;

/// Bytes of a header.
pub const HEADER: usize = 12;

/// Where the question begins.
pub const AT: usize = HEADER;

/// Where the counts of answers, authorities and additional records stand.
pub const COUNTS_OF_RECORDS: Range<usize> = 6..12;

/// Bytes of a question after its name.
pub const TYPE_AND_CLASS: usize = 4;

/// Where the counts of questions and records stand.
const COUNTS: Range<usize> = 4..12;

/// The type of the record that carries EDNS.
const OPT: u16 = 41;

/// Longest name, with its root (RFC 1035, section 2.3.4).
const LONGEST_NAME: usize = 255;

/// Where a name that is written out in full ends: the index after its root. `None` if it is none: cut off, too long, or
/// with a pointer or a label of another kind in it.
#[must_use]
pub fn name_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1;
        match length {
            0 => return Some(at),
            1..=63 if at + length < LONGEST_NAME => at += length,
            _ => return None,
        }
    }
}

/// Where each label of a name that is written out in full begins, its root left out.
pub fn labels(name: &[u8]) -> impl Iterator<Item = usize> {
    let length = |start: usize| name.get(start).map(|length| usize::from(*length)).filter(|length| *length > 0);
    std::iter::successors(Some(0).filter(|start| length(*start).is_some()), move |start| {
        let next = start + 1 + length(*start)?;
        length(next).map(|_| next)
    })
}

/// False if an option of EDNS is cut off by the end of its record, or a record by the end of the message. hickory-proto
/// 0.26.3 takes the former for no options at all; it is a format error (RFC 6891, sections 6.1.2 and 7).
#[must_use]
pub fn has_whole_options(message: &[u8]) -> bool {
    have_whole_options(message).unwrap_or(false)
}

fn have_whole_options(message: &[u8]) -> Option<bool> {
    let count = |n: usize| Some(u16::from_be_bytes(*message.get(COUNTS)?.as_chunks().0.get(n)?));
    let mut rest = message.get(HEADER..)?;
    for _ in 0..count(0)? {
        rest = after_name(rest)?.get(TYPE_AND_CLASS..)?;
    }
    for _ in 0..u32::from(count(1)?) + u32::from(count(2)?) + u32::from(count(3)?) {
        let (fixed, more) = after_name(rest)?.split_first_chunk::<10>()?;
        let (data, more) = more.split_at_checked(usize::from(u16::from_be_bytes([fixed[8], fixed[9]])))?;
        if fixed[..2] == OPT.to_be_bytes() && !are_whole(data) {
            return Some(false);
        }
        rest = more;
    }
    Some(true)
}

/// What follows a name, whose end may be a pointer.
fn after_name(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        let (length, rest) = bytes.split_first()?;
        match length {
            0 => return Some(rest),
            0xc0.. => return rest.get(1..),
            length => bytes = rest.get(usize::from(*length)..)?,
        }
    }
}

fn are_whole(mut options: &[u8]) -> bool {
    while let Some((head, rest)) = options.split_first_chunk::<4>() {
        let Some(rest) = rest.get(usize::from(u16::from_be_bytes([head[2], head[3]]))..) else { return false };
        options = rest;
    }
    options.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_where_their_root_is() {
        assert_eq!(name_end(b"\x02db\x03com\x00rest"), Some(8));
        assert_eq!(name_end(b"\x00"), Some(1));
        for bad in [&b""[..], b"\x02d", b"\x02db", b"\x02db\xc0\x0c", b"\x40a", &[1; 400]] {
            assert_eq!(name_end(bad), None, "{bad:?}");
        }
        // Four labels of 63, 63, 63 and 61 bytes are 255 bytes with the root; one byte more is too much.
        let name = |last: usize| -> Vec<u8> {
            let label = |n: usize| std::iter::once(n as u8).chain(std::iter::repeat_n(b'a', n));
            [63, 63, 63, last].into_iter().flat_map(label).chain([0]).collect()
        };
        assert_eq!(name_end(&name(61)), Some(255));
        assert_eq!(name_end(&name(62)), None);
    }

    #[test]
    fn options_end_within_their_record() {
        let message = |options: &[u8]| {
            let length = [0, u8::try_from(options.len()).unwrap()];
            let head = [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 1, b'a', 0, 0, 1, 0, 1];
            let address = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 7];
            [&head[..], &address, &[0, 0, 41, 4, 208, 0, 0, 0, 0], &length, options].concat()
        };
        for whole in [&b""[..], b"\0\x03\0\0", b"\0\x0a\0\x02ab\0\x03\0\0"] {
            assert!(has_whole_options(&message(whole)), "{whole:?}");
        }
        for cut in [&b"\0"[..], b"\0\x03", b"\0\x03\0\x01", b"\0\x03\0\0\0\x0a\0\x03ab"] {
            assert!(!has_whole_options(&message(cut)), "{cut:?}");
        }
    }

    #[test]
    fn labels_begin_at_their_length() {
        assert_eq!(labels(b"\x02db\x03com\x00").collect::<Vec<_>>(), [0, 3]);
        assert_eq!(labels(b"\x00").count(), 0);
    }
}
