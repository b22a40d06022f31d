//! Aligned columns for people, in colour where they may be.

use std::fmt::{Display, Write as _};

use crate::model::AnswerReason;
use crate::model::shown::escaped;

/// How a cell is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Tone {
    #[default]
    Plain,
    Head,
    Good,
    Warn,
    Bad,
}

impl Tone {
    /// The number of an ANSI "select graphic rendition".
    fn sgr(self) -> Option<u8> {
        match self {
            Self::Plain => None,
            Self::Head => Some(1),
            Self::Good => Some(32),
            Self::Warn => Some(33),
            Self::Bad => Some(31),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// Text comes from elsewhere, and what a terminal would obey is escaped here. A tab is one blank of its column.
    pub(crate) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        let text: String = text.into();
        Self { text: escaped(&text.replace('\t', " ")), tone }
    }

    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

pub(crate) fn head<const N: usize>(titles: [&str; N]) -> [Cell; N] {
    titles.map(|t| Cell::toned(t, Tone::Head))
}

/// A text for people that grows line by line, in colour where it may be.
#[derive(Debug)]
pub(crate) struct Page {
    text: String,
    color: bool,
}

impl Page {
    pub(crate) fn new(color: bool) -> Self {
        Self { text: String::new(), color }
    }

    /// All of it, with a final newline.
    pub(crate) fn into_text(self) -> String {
        self.text
    }

    pub(crate) fn blank(&mut self) {
        self.text.push('\n');
    }

    /// A line of plain text.
    pub(crate) fn say(&mut self, text: impl Into<String>) {
        self.line(&[Cell::plain(text)], &[]);
    }

    /// A line about something that is not as it should be.
    pub(crate) fn trouble(&mut self, indent: &str, text: &str) {
        self.line(&[Cell::toned(format!("{indent}! {text}"), Tone::Warn)], &[]);
    }

    /// Aligned columns; nothing if there is only the head.
    pub(crate) fn columns<const N: usize>(&mut self, rows: &[[Cell; N]]) {
        if rows.len() < 2 {
            return;
        }
        let mut widths = [0; N];
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.text.chars().count().max(*width);
            }
        }
        rows.iter().for_each(|row| self.line(row, &widths));
    }

    /// One line without trailing blanks.
    pub(crate) fn line(&mut self, cells: &[Cell], widths: &[usize]) {
        let Self { text: out, color } = self;
        let last = cells.iter().rposition(|c| !c.text.is_empty()).unwrap_or(0);
        for (i, Cell { text, tone }) in cells.iter().enumerate().take(last + 1) {
            match tone.sgr().filter(|_| *color && !text.is_empty()) {
                Some(sgr) => _ = write!(out, "\x1b[{sgr}m{text}\x1b[0m"),
                None => out.push_str(text),
            }
            if i < last {
                let width = widths.get(i).copied().unwrap_or(0);
                let pad = width.saturating_sub(text.chars().count()) + 2;
                out.extend(std::iter::repeat_n(' ', pad));
            }
        }
        out.push('\n');
    }
}

/// "1 name", "2 names".
pub(crate) fn count<N: Display + PartialEq + From<u8>>(n: N, what: &str) -> String {
    format!("{n} {what}{}", if n == N::from(1) { "" } else { "s" })
}

pub(crate) fn reason_tone(reason: AnswerReason) -> Tone {
    match reason {
        AnswerReason::Healthy | AnswerReason::Fixed | AnswerReason::Pinned => Tone::Good,
        AnswerReason::RemovalPending
        | AnswerReason::DrainedButNeeded
        | AnswerReason::Drained
        | AnswerReason::FailedOver
        | AnswerReason::DownKept
        | AnswerReason::Stale
        | AnswerReason::Unprobed => Tone::Warn,
        AnswerReason::LocalFaultHeld | AnswerReason::AllDownKept => Tone::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_cell_is_obeyed_or_unseen() {
        assert_eq!(Cell::plain("a\x1b[31m\nb\u{9b}\tc").text, r"a\u{1b}[31m\nb\u{9b} c");
        let mut page = Page::new(false);
        page.columns(&[head(["A", "B"]), ["1\u{202e}", "2\u{200b}"].map(Cell::plain)]);
        assert_eq!(page.into_text(), "A          B\n1\\u{202e}  2\\u{200b}\n", "as wide as it is shown");
    }
}
