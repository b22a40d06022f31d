//! One file of the configuration as text: where its lines are, and how a piece of it is shown to a person.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::model::HIDDEN;
use crate::model::shown::is_unseen;

/// A file's name and text.
#[derive(Debug, Clone)]
pub(crate) struct SourceText {
    /// As it is shown in complaints.
    pub(crate) name: String,
    /// The whole text.
    pub(crate) text: String,
    /// Where each line begins.
    starts: Vec<usize>,
}

/// What a configuration was made of.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    pub(super) documents: Arc<[SourceText]>,
    /// What lost a value when the configuration was kept, as `RedactedConfig` names it.
    pub(super) left_out: BTreeSet<String>,
}

impl Texts {
    pub(super) fn new(documents: Vec<SourceText>, left_out: BTreeSet<String>) -> Self {
        Self { documents: documents.into(), left_out }
    }
}

/// A piece of one line as it is shown: control characters escaped, secrets hidden, cut to a sane width.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Excerpt {
    /// The line, or a window of it.
    pub(crate) text: String,
    /// Characters before the marked part.
    pub(crate) indent: usize,
    /// Characters of the marked part, at least one.
    pub(crate) width: usize,
}

impl Excerpt {
    /// In at most so many characters, around where the marked part begins.
    pub(crate) fn within(&self, room: usize) -> Self {
        let all: Vec<char> = self.text.chars().collect();
        if all.len() <= room {
            return self.clone();
        }
        // An ellipsis at each end that is cut; enough of what follows the begin stays.
        let from = self.indent.saturating_sub(room / 2);
        let to = all.len().min(from + room);
        let mut shown = all[from..to].to_vec();
        if let Some(first) = shown.first_mut().filter(|_| from > 0) {
            *first = '…';
        }
        if let Some(last) = shown.last_mut().filter(|_| to < all.len()) {
            *last = '…';
        }
        let (indent, end) = (self.indent - from, self.indent + self.width);
        Self { text: shown.into_iter().collect(), indent, width: end.min(to).saturating_sub(self.indent).max(1) }
    }
}

/// Bytes of a line that are looked at on each side of the marked part, and characters that are shown of them.
const SCAN: usize = 400;
const BEFORE: usize = 60;
const SHOWN: usize = 120;

impl SourceText {
    /// Takes a text over.
    pub(crate) fn new(name: String, text: String) -> Self {
        let after_newlines = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1);
        let starts = std::iter::once(0).chain(after_newlines).collect();
        Self { name, text, starts }
    }

    /// The line of a byte, counted from 0. Past the end is the last line.
    pub(crate) fn line_of(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset).saturating_sub(1)
    }

    /// How many lines there are, the empty one behind the last newline included.
    pub(crate) fn line_count(&self) -> usize {
        self.starts.len()
    }

    /// The bytes of a line, without its end.
    pub(crate) fn line_range(&self, line: usize) -> Range<usize> {
        let start = self.starts.get(line).copied().unwrap_or(self.text.len());
        let end = self.starts.get(line + 1).map_or(self.text.len(), |next| next - 1);
        let text = self.text.get(start..end).unwrap_or_default();
        start..start + text.strip_suffix('\r').unwrap_or(text).len()
    }

    /// A line's text, without its end.
    pub(crate) fn line(&self, line: usize) -> &str {
        self.text.get(self.line_range(line)).unwrap_or_default()
    }

    /// Line and column of a byte, both counted from 1, the column in characters.
    pub(crate) fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.line_of(offset);
        let range = self.line_range(line);
        let end = floor(&self.text, offset.clamp(range.start, range.end));
        let before = self.text.get(range.start..end).unwrap_or_default();
        (line + 1, before.chars().count() + 1)
    }

    /// Shows the line on which `span` begins, with `span` marked and everything in `hidden` (sorted) replaced.
    pub(crate) fn excerpt(&self, span: &Range<usize>, hidden: &[Range<usize>]) -> Excerpt {
        let line = self.line_range(self.line_of(span.start));
        let marked = span.start.clamp(line.start, line.end)..span.end.clamp(line.start, line.end);
        let from = floor(&self.text, line.start.max(marked.start.saturating_sub(SCAN)));
        let to = floor(&self.text, line.end.min(marked.start + 2 * SCAN));
        let mut shown = Shown::new(marked, from, hidden);
        for (i, c) in self.text.get(from..to).unwrap_or_default().char_indices() {
            shown.push(from + i, c);
        }
        shown.window(from > line.start, to < line.end)
    }
}

/// An excerpt in the making.
struct Shown<'h> {
    text: Vec<char>,
    marked: Range<usize>,
    /// The marked part in characters of `text`, once it has begun and once it is over.
    begin: Option<usize>,
    end: Option<usize>,
    hidden: &'h [Range<usize>],
    /// Whether the character before was hidden.
    hiding: Option<usize>,
}

impl<'h> Shown<'h> {
    fn new(marked: Range<usize>, from: usize, hidden: &'h [Range<usize>]) -> Self {
        let first = hidden.partition_point(|h| h.end <= from);
        Self { text: Vec::new(), marked, begin: None, end: None, hidden: &hidden[first..], hiding: None }
    }

    fn push(&mut self, offset: usize, c: char) {
        self.note(offset);
        while self.hidden.first().is_some_and(|h| h.end <= offset) {
            self.hidden = &self.hidden[1..];
        }
        match self.hidden.first().filter(|h| h.start <= offset) {
            Some(h) if self.hiding == Some(h.start) => {}
            Some(h) => {
                self.hiding = Some(h.start);
                self.text.extend(HIDDEN.chars());
            }
            None => show(c, |c| self.text.push(c)),
        }
    }

    fn note(&mut self, offset: usize) {
        if self.begin.is_none() && offset >= self.marked.start {
            // A part inside a secret is marked from where its replacement begins.
            let inside = self.hidden.first().is_some_and(|h| h.start < offset && offset < h.end);
            let back = if inside && self.hiding.is_some() { HIDDEN.len() } else { 0 };
            self.begin = Some(self.text.len().saturating_sub(back));
        }
        if self.end.is_none() && offset >= self.marked.end {
            self.end = Some(self.text.len());
        }
    }

    /// Cuts what was gathered to what is shown.
    fn window(self, cut_before: bool, cut_after: bool) -> Excerpt {
        let total = self.text.len();
        let begin = self.begin.unwrap_or(total);
        let end = self.end.unwrap_or(total).max(begin);
        let from = if total <= SHOWN && !cut_before { 0 } else { begin.saturating_sub(BEFORE) };
        let to = total.min(from + SHOWN);
        let mut text = String::new();
        let mut indent = begin - from;
        if from > 0 || cut_before {
            text.push('…');
            indent += 1;
        }
        text.extend(&self.text[from..to]);
        if to < total || cut_after {
            text.push('…');
        }
        Excerpt { text: text.trim_end().to_owned(), indent, width: end.min(to).saturating_sub(begin).max(1) }
    }
}

/// The begin of the character that byte `offset` belongs to.
fn floor(text: &str, offset: usize) -> usize {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Writes a character so that a terminal shows it and does nothing else with it.
fn show(c: char, mut out: impl FnMut(char)) {
    if c == '\t' {
        out(' ');
    } else if is_unseen(c) {
        c.escape_unicode().for_each(out);
    } else {
        out(c);
    }
}

/// A text in quotes as a message shows it: escaped, and cut when it is long. Nothing of ours has more than one line:
/// where there are more, a lost quote has swallowed what follows, and that may be a secret.
pub(crate) fn quote(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut out = String::from('"');
    let shown = text.split(['\r', '\n']).next().unwrap_or_default();
    for c in shown.chars().take(LONGEST) {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\t' => out.push_str("\\t"),
            _ => show(c, |c| out.push(c)),
        }
    }
    out.push('"');
    if shown.len() < text.len() || shown.chars().nth(LONGEST).is_some() {
        out.push('…');
    }
    out
}

/// A text as a message shows it, without quotes.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::new();
    text.chars().for_each(|c| show(c, |c| out.push(c)));
    out
}

/// As [`quote`], for a path.
pub(crate) fn quote_path(path: &Path) -> String {
    quote(&path.to_string_lossy())
}

/// As [`plain`], for a path.
pub(crate) fn plain_path(path: &Path) -> String {
    plain(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;

    fn doc(text: &str) -> SourceText {
        SourceText::new("x".into(), text.into())
    }

    #[test]
    fn positions_count_characters_from_one() {
        let d = doc("ä = 1\r\nb = 2\n");
        assert_eq!(d.position(0), (1, 1));
        assert_eq!(d.position(2), (1, 2));
        assert_eq!(d.position(1), (1, 1), "inside a character");
        assert_eq!(d.position(8), (2, 1));
        assert_eq!(d.position(10_000), (3, 1));
        assert_eq!(d.line(0), "ä = 1");
    }

    #[test]
    fn marks_stand_under_their_text() {
        let e = doc("a = 1\n\tkind = \"täp\"").excerpt(&(14..20), &[]);
        assert_eq!((e.text.as_str(), e.indent, e.width), (" kind = \"täp\"", 8, 5));
        let e = doc("a = ").excerpt(&(4..4), &[]);
        assert_eq!((e.indent, e.width), (4, 1));
    }

    #[test]
    fn controls_are_shown_and_not_obeyed() {
        let e = doc("a = \"\u{1b}[2J\u{202e}\" x").excerpt(&(14..15), &[]);
        assert_eq!(e.text, "a = \"\\u{1b}[2J\\u{202e}\" x");
        assert!(e.text[e.indent..].starts_with('x') || e.width == 1);
        assert_eq!(quote("a\"\u{7}"), "\"a\\\"\\u{7}\"");
        assert_eq!(quote("a\nb"), "\"a\"…");
        assert_eq!(quote(&"x".repeat(100)).chars().count(), 63);
    }

    #[test]
    fn secrets_are_replaced_whole() {
        let text = "h = { a = \"hunter2\", b = 1 }";
        let e = doc(text).excerpt(&(21..22), from_ref(&(10..19)));
        assert_eq!(e.text, "h = { a = [secret], b = 1 }");
        assert_eq!(e.indent, 20);
        let e = doc(text).excerpt(&(10..19), from_ref(&(10..19)));
        assert_eq!((e.indent, e.width), (10, 8));
        let inside = doc(text).excerpt(&(12..14), from_ref(&(10..19)));
        assert_eq!(inside.indent, 10);
    }

    #[test]
    fn long_lines_are_cut_around_the_mark() {
        let text = format!("{} = 1 {}", "a".repeat(5_000), "b".repeat(5_000));
        let e = doc(&text).excerpt(&(5_003..5_004), &[]);
        assert!(e.text.starts_with('…') && e.text.ends_with('…'));
        assert_eq!(e.text.chars().nth(e.indent), Some('1'));
        assert!(e.text.chars().count() <= SHOWN + 2);
        let all = doc(&text).excerpt(&(0..10_000), &[]);
        assert_eq!((all.indent, all.width), (0, SHOWN));
    }
}
