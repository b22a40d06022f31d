//! Where our markers stand in a file, and what that says of what is between them.

use std::ops::Range;

const BEGIN: &str = "# BEGIN privatelinkd";
pub(super) const BEGIN_NOTE: &str = "# BEGIN privatelinkd (managed by ";
pub(super) const ABANDONED: &str = "# BEGIN privatelinkd (managed by nobody";
pub(super) const END: &str = "# END privatelinkd";
pub(super) const NEWLINE_NOTE: &str = "; newline added at ";

/// Markers from which nobody can tell what is ours. Each says what an admin is to do; lines are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    /// More than one BEGIN or END.
    #[error("{} hold markers of privatelinkd, expected one BEGIN and one END: {KEEP_ONE}", in_words(.0))]
    Repeated(Vec<usize>),
    /// Half a block, and no record of what we wrote.
    #[error("{} holds a marker of privatelinkd without its partner, and no record says which lines belong to it: {TAKE_OUT}", in_words(.0))]
    NoRecord(Vec<usize>),
}

const KEEP_ONE: &str = "delete all but one block, from BEGIN to END, markers included; the hosts writer then goes on by \
                        itself";
const TAKE_OUT: &str =
    "delete the marker and the lines of the block beside it; the hosts writer then puts a new block in";

/// So many line numbers at most are given.
const MOST_TOLD: usize = 6;

fn in_words(lines: &[usize]) -> String {
    let told: Vec<String> = lines.iter().take(MOST_TOLD).map(ToString::to_string).collect();
    let more = if lines.len() > MOST_TOLD { " and more" } else { "" };
    format!("{} {}{more}", if lines.len() == 1 { "line" } else { "lines" }, told.join(", "))
}

/// What the markers in a file say.
#[derive(Debug, Clone)]
pub(super) enum Found {
    /// There are none.
    Nothing,
    /// One BEGIN and behind it one END.
    Pair(Region),
    /// A BEGIN without END, an END without BEGIN, or END before BEGIN: the lines that hold them.
    Half(Vec<usize>),
    /// More than that: the lines that hold them.
    Unclear(Vec<usize>),
}

/// What our markers in this file say. Lines are counted from 0.
pub(super) fn find(file: &[u8]) -> Found {
    let marks: Vec<(Range<usize>, Marker)> = marked(file).collect();
    let places = || marks.iter().map(|(range, _)| whole_lines(&file[..range.start]).count()).collect();
    match marks.as_slice() {
        [] => Found::Nothing,
        [(begin, Marker::Begin { newline_added }), (end, Marker::End)] => {
            Found::Pair(Region { range: begin.start..end.end, pair: true, newline_added: *newline_added })
        }
        [_] | [(_, Marker::End), (_, Marker::Begin { .. })] => Found::Half(places()),
        _ => Found::Unclear(places()),
    }
}

/// The foreign parts of the file, which are whole lines, and where each begins: what lies before, between and after our
/// blocks.
pub fn foreign(file: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let ours = regions(file);
    let starts = std::iter::once(0).chain(ours.clone().into_iter().map(|r| r.range.end));
    let ends = ours.into_iter().map(|r| r.range.start).chain(std::iter::once(file.len()));
    starts.zip(ends).map(|(start, end)| (start, &file[start..end]))
}

/// A stretch of whole lines that are ours.
#[derive(Debug, Clone)]
pub(super) struct Region {
    pub(super) range: Range<usize>,
    /// BEGIN and END are both there.
    pub(super) pair: bool,
    /// What the BEGIN line says of a newline that we added.
    pub(super) newline_added: Option<usize>,
}

impl Region {
    /// Where the newline before it stands, if we added that one. Only where nothing foreign was put after our block,
    /// and nothing before it has moved, is it still ours.
    pub(super) fn lent_newline(&self, file: &[u8]) -> Option<usize> {
        let Range { start, end } = self.range;
        let ours = self.newline_added.and_then(|at| at.checked_add(1)) == Some(start);
        (ours && end == file.len() && file[..start].ends_with(b"\n")).then(|| start - 1)
    }
}

/// A region with another place in what its BEGIN line says of a newline that we added.
pub(super) fn with_newline_note(region: &[u8], place: usize) -> Vec<u8> {
    let begin = region.split(|b| *b == b'\n').next().unwrap_or_default();
    let Some(note) = begin.windows(NEWLINE_NOTE.len()).rposition(|w| w == NEWLINE_NOTE.as_bytes()) else {
        return region.to_vec();
    };
    let (head, tail) = region.split_at(note + NEWLINE_NOTE.len());
    let digits = tail.iter().take_while(|b| b.is_ascii_digit()).count();
    [head, place.to_string().as_bytes(), &tail[digits..]].concat()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    Begin { newline_added: Option<usize> },
    End,
}

/// Every pair of markers with no other between, and every other marker, in the order of the file.
pub(super) fn regions(file: &[u8]) -> Vec<Region> {
    let mut marked = marked(file).peekable();
    let mut regions = Vec::new();
    while let Some((range, marker)) = marked.next() {
        let region = match marker {
            Marker::Begin { newline_added } => {
                let partner = marked.next_if(|(_, m)| *m == Marker::End);
                let end = partner.as_ref().map_or(range.end, |(end, _)| end.end);
                Region { range: range.start..end, pair: partner.is_some(), newline_added }
            }
            Marker::End => Region { range, pair: false, newline_added: None },
        };
        regions.push(region);
    }
    regions
}

/// The lines that hold markers. Of a large file only those lines are looked at that begin as one.
fn marked(file: &[u8]) -> impl Iterator<Item = (Range<usize>, Marker)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let passed = from;
            from += skipped(&file[from..], b'#');
            if !file[passed..from].ends_with(b"#") {
                return None;
            }
            let start = from - 1;
            if start == 0 || file[start - 1] == b'\n' {
                from = start + skipped(&file[start..], b'\n');
                if let Some(marker) = marker(file[start..from].trim_ascii_end()) {
                    return Some((start..from, marker));
                }
            }
        }
    })
}

/// How many bytes there are to this one, which counts, or to the end.
fn skipped(file: &[u8], byte: u8) -> usize {
    memchr::memchr(byte, file).map_or(file.len(), |at| at + 1)
}

/// The lines of a file with their newlines. A large file has many: none is kept.
pub fn whole_lines(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = file;
    std::iter::from_fn(move || {
        let (line, after) = rest.split_at(skipped(rest, b'\n'));
        rest = after;
        (!line.is_empty()).then_some(line)
    })
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
