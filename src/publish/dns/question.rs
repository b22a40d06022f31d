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

/// Longest name, with its root (RFC 1035, section 2.3.4).
const LONGEST_NAME: usize = 255;

/// Where a name that is written out in full ends: the index after its root. `None` if it is none: cut off, too long, or with
/// a pointer or a label of another kind in it.
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
    let at = |start: usize| name.get(start).map(|length| usize::from(*length)).filter(|length| *length > 0);
    std::iter::successors(Some(0).filter(|start| at(*start).is_some()), move |start| {
        let next = start + 1 + at(*start)?;
        at(next).map(|_| next)
    })
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
    fn labels_begin_at_their_length() {
        assert_eq!(labels(b"\x02db\x03com\x00").collect::<Vec<_>>(), [0, 3]);
        assert_eq!(labels(b"\x00").count(), 0);
    }
}
