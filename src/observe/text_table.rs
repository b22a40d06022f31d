//! Aligned columns for people, in colour and within the width of a terminal where there is one.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::model::AnswerReason;
pub(crate) use crate::model::shown::count;
use crate::model::shown::{escaped, hanging, shortened, wrapped};

/// Between two columns.
const GAP: usize = 2;
/// Columns that go beneath the others begin here.
const BENEATH: usize = 4;
/// A name is made no shorter than this for the sake of other columns.
const SHORTEST_NAME: usize = 16;
/// A text behind a label goes on beneath its own beginning if that is no further in than this.
const FURTHEST_IN: usize = 24;

/// What a text is shown on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Screen {
    /// ANSI colours: for terminals only.
    pub color: bool,
    /// The columns of a terminal; `None` where a line may be as long as it is.
    pub width: Option<usize>,
}

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

/// What may be done to a cell where there is too little room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Fit {
    #[default]
    Whole,
    /// Its middle may be left out.
    Name,
    /// It may be broken at blanks.
    Prose,
}

#[derive(Debug, Default)]
pub(crate) struct Cell {
    /// Its lines.
    text: String,
    tone: Tone,
    fit: Fit,
}

impl Cell {
    /// Text comes from elsewhere, and what a terminal would obey is escaped here. A tab is one blank of its column.
    pub(crate) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        let text: String = text.into();
        Self { text: escaped(&text.replace('\t', " ")), tone, fit: Fit::Whole }
    }

    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self::toned(text, Tone::Plain)
    }

    /// A name, of which beginning and end say enough.
    pub(crate) fn name(text: impl Into<String>) -> Self {
        Self { fit: Fit::Name, ..Self::plain(text) }
    }

    /// Words.
    pub(crate) fn prose(text: impl Into<String>, tone: Tone) -> Self {
        Self { fit: Fit::Prose, ..Self::toned(text, tone) }
    }

    /// Things beneath each other.
    pub(crate) fn list(things: Vec<String>) -> Self {
        let lines: Vec<String> = things.into_iter().map(|thing| Self::plain(thing).text).collect();
        Self { text: lines.join("\n"), ..Self::default() }
    }

    /// Its lines in a column of this width.
    fn lines(&self, width: usize) -> Vec<String> {
        let fit = |line| match self.fit {
            Fit::Whole => vec![String::from(line)],
            Fit::Name => vec![shortened(line, width)],
            Fit::Prose => wrapped(line, width, 0),
        };
        self.text.split('\n').flat_map(fit).collect()
    }

    fn width(&self) -> usize {
        self.text.split('\n').map(length).max().unwrap_or(0)
    }

    /// How narrow its column may become, with names as they are or shortened.
    fn narrowest(&self, shortens: bool) -> usize {
        match self.fit {
            Fit::Prose => self.text.split([' ', '\n']).map(length).max().unwrap_or(0),
            Fit::Name if shortens => self.width().min(SHORTEST_NAME),
            Fit::Name | Fit::Whole => self.width(),
        }
    }
}

fn length(text: &str) -> usize {
    text.chars().count()
}

pub(crate) fn head<const N: usize>(titles: [&str; N]) -> [Cell; N] {
    titles.map(|title| Cell::prose(title, Tone::Head))
}

/// Columns of a table that stand beside each other, and how wide each is.
struct Group(Vec<(usize, usize)>);

/// A text for people that grows line by line.
#[derive(Debug)]
pub(crate) struct Page {
    text: String,
    screen: Screen,
}

impl Page {
    pub(crate) fn new(screen: Screen) -> Self {
        Self { text: String::new(), screen }
    }

    /// All of it, with a final newline.
    pub(crate) fn into_text(self) -> String {
        self.text
    }

    pub(crate) fn blank(&mut self) {
        self.text.push('\n');
    }

    /// A line of text; where it has to be broken it goes on a little further in.
    pub(crate) fn say(&mut self, text: impl Into<String>) {
        self.say_toned(text, Tone::Plain);
    }

    pub(crate) fn say_toned(&mut self, text: impl Into<String>, tone: Tone) {
        let Cell { text, .. } = Cell::plain(text);
        let lines = self.screen.width.map_or_else(|| vec![text.clone()], |width| hanging(&text, width));
        lines.iter().for_each(|line| self.line(&[(line, tone, 0)]));
    }

    /// A line about something that is not as it should be.
    pub(crate) fn trouble(&mut self, indent: &str, text: &str) {
        self.say_toned(format!("{indent}! {text}"), Tone::Warn);
    }

    /// A label at least so wide, and a text behind it.
    pub(crate) fn labelled(&mut self, label: &Cell, width: usize, Cell { text, tone, .. }: &Cell) {
        let begin = width.max(label.width()) + GAP;
        let indent = if begin <= FURTHEST_IN { begin } else { BENEATH };
        let room = self.screen.width.unwrap_or(usize::MAX);
        // The blanks are the label's place.
        let lines = wrapped(&format!("{:begin$}{text}", ""), room, indent);
        let (first, more) = match lines.split_first() {
            Some((first, more)) if length(first) <= room => (first.trim_start_matches(' '), more.to_vec()),
            // A word that has no room there begins beneath.
            _ => ("", wrapped(&format!("{:BENEATH$}{text}", ""), room, BENEATH)),
        };
        self.line(&[(&label.text, label.tone, width), (first, *tone, 0)]);
        more.iter().for_each(|line| self.line(&[(line, *tone, 0)]));
    }

    /// Aligned columns; nothing if there is only the head.
    pub(crate) fn columns<const N: usize>(&mut self, rows: &[[Cell; N]]) {
        if rows.len() < 2 {
            return;
        }
        let groups = arranged(rows, self.screen.width);
        for row in rows {
            for (n, Group(columns)) in groups.iter().enumerate() {
                self.row(row, columns, if n == 0 { 0 } else { BENEATH });
            }
        }
    }

    /// Some columns of a row, as many lines as they take; none where there is nothing in them.
    fn row(&mut self, row: &[Cell], columns: &[(usize, usize)], indent: usize) {
        let cells: Vec<_> = columns.iter().map(|(at, width)| (row[*at].lines(*width), row[*at].tone, *width)).collect();
        for n in 0..height(row, columns) {
            let mut line = vec![("", Tone::Plain, indent.saturating_sub(GAP))];
            line.extend(
                cells.iter().map(|(lines, tone, width)| (lines.get(n).map_or("", String::as_str), *tone, *width)),
            );
            self.line(if indent == 0 { &line[1..] } else { &line });
        }
    }

    /// One line without trailing blanks, of texts that are each padded to a width.
    fn line(&mut self, parts: &[(&str, Tone, usize)]) {
        let Self { text: out, screen } = self;
        let last = parts.iter().rposition(|(text, ..)| !text.is_empty()).unwrap_or(0);
        for (i, (text, tone, width)) in parts.iter().enumerate().take(last + 1) {
            match tone.sgr().filter(|_| screen.color && !text.is_empty()) {
                Some(sgr) => _ = write!(out, "\x1b[{sgr}m{text}\x1b[0m"),
                None => out.push_str(text),
            }
            if i < last {
                let pad = width.saturating_sub(length(text)) + GAP;
                out.extend(std::iter::repeat_n(' ', pad));
            }
        }
        out.push('\n');
    }
}

/// All columns beside each other if there is room for that. Else those go that say nothing, prose is broken into lines,
/// names are shortened, and the last columns go beneath the others: whatever takes the fewest lines.
fn arranged<const N: usize>(rows: &[[Cell; N]], room: Option<usize>) -> Vec<Group> {
    let natural = |at: usize| rows.iter().map(|row| row[at].width()).max().unwrap_or(0);
    let whole: Vec<_> = (0..N).map(|at| (at, natural(at))).collect();
    let Some(room) = room.filter(|room| taken(&whole) > *room) else { return vec![Group(whole)] };
    let says_something = |at: &usize| rows.iter().skip(1).any(|row| !row[*at].text.is_empty());
    let shown: Vec<usize> = (0..N).filter(says_something).collect();
    let lines = |groups: &[Group]| -> usize {
        rows.iter().flat_map(|row| groups.iter().map(move |Group(columns)| height(row, columns))).sum()
    };
    let candidates = (1..=shown.len()).rev().filter_map(|beside| {
        let mut groups = vec![fitting(rows, &shown[..beside], room)?];
        let mut rest = &shown[beside..];
        while !rest.is_empty() {
            let room = room.saturating_sub(BENEATH);
            let longest = (1..=rest.len()).rev().find_map(|n| Some((n, fitting(rows, &rest[..n], room)?)));
            let (n, group) = longest?;
            groups.push(group);
            rest = &rest[n..];
        }
        Some(groups)
    });
    candidates.min_by_key(|groups| lines(groups)).unwrap_or_else(|| vec![Group(whole)])
}

/// How wide these columns are beside each other, if there is room for them; for one alone there is.
fn fitting<const N: usize>(rows: &[[Cell; N]], columns: &[usize], room: usize) -> Option<Group> {
    let most = |at: usize, of: &dyn Fn(&Cell) -> usize| rows.iter().map(|row| of(&row[at])).max().unwrap_or(0);
    let mut widths: Vec<_> = columns.iter().map(|at| (*at, most(*at, &Cell::width))).collect();
    for shortens in [false, true] {
        let least: Vec<_> = columns.iter().map(|at| most(*at, &|cell| cell.narrowest(shortens))).collect();
        while taken(&widths) > room {
            let spare = widths.iter_mut().zip(&least).filter(|((_, width), least)| width > *least);
            let Some(((_, width), _)) = spare.max_by_key(|((_, width), _)| *width) else { break };
            *width -= 1;
        }
    }
    let told_apart = |(at, width): &(usize, usize)| {
        let names: BTreeSet<_> =
            rows.iter().map(|row| &row[*at]).filter(|c| c.fit == Fit::Name).map(|c| &c.text).collect();
        names.iter().map(|name| shortened(name, *width)).collect::<BTreeSet<_>>().len() == names.len()
    };
    if let [(_, width)] = widths.as_mut_slice() {
        // Its longest word may go on beyond it.
        *width = (*width).min(room);
    } else if taken(&widths) > room || !widths.iter().all(told_apart) {
        return None;
    }
    Some(Group(widths))
}

/// The length of a line of these columns.
fn taken(columns: &[(usize, usize)]) -> usize {
    columns.iter().map(|(_, width)| width + GAP).sum::<usize>().saturating_sub(GAP)
}

/// The lines that these columns of a row take.
fn height(row: &[Cell], columns: &[(usize, usize)]) -> usize {
    let cells = columns.iter().map(|(at, width)| (&row[*at], *width)).filter(|(cell, _)| !cell.text.is_empty());
    cells.map(|(cell, width)| cell.lines(width).len()).max().unwrap_or(0)
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

    fn page(width: usize) -> Page {
        Page::new(Screen { color: false, width: Some(width) })
    }

    #[test]
    fn columns_that_say_nothing_go_and_the_last_ones_go_beneath() {
        let list = |all: &[&str]| Cell::list(all.iter().map(|one| (*one).to_owned()).collect());
        let why = || Cell::prose("refused: no one listens", Tone::Bad);
        let rows = [
            head(["ZONE", "ADDRESSES", "EMPTY", "WHY NOT"]),
            [Cell::plain("h"), list(&["10.0.0.1", "10.0.0.2"]), Cell::default(), why()],
            [Cell::plain("i"), list(&["10.0.1.1"]), Cell::default(), Cell::default()],
        ];
        for (width, text) in [
            (
                33,
                "ZONE  ADDRESSES  WHY NOT\nh     10.0.0.1   refused: no one\n      10.0.0.2   listens\ni     10.0.1.1\n",
            ),
            (
                22,
                "ZONE  ADDRESSES\n    WHY NOT\nh     10.0.0.1\n      10.0.0.2\n    refused: no one\n    listens\n\
                 i     10.0.1.1\n",
            ),
        ] {
            let mut page = page(width);
            page.columns(&rows);
            assert_eq!(page.into_text(), text);
        }
    }

    #[test]
    fn names_are_never_shortened_to_the_same() {
        let row = |name, address| [Cell::name(name), Cell::plain(address)];
        let rows = [
            head(["NAME", "WHERE"]),
            row("gateway-of-the-a-database.example", "10.0.0.1 (cn-hangzhou-h)"),
            row("gateway-of-the-b-database.example", "10.0.0.2 (cn-hangzhou-h)"),
        ];
        for (width, first) in [(58, "gateway-of-the-a…atabase.example  10.0.0.1 (cn-hangzhou-h)"), (57, "    WHERE")]
        {
            let mut page = page(width);
            page.columns(&rows);
            let text = page.into_text();
            assert_eq!(text.lines().nth(1), Some(first), "{text}");
        }
    }

    #[test]
    fn a_text_goes_on_beneath_its_beginning_and_a_long_word_beneath_its_label() {
        let mut page = page(30);
        page.labelled(&Cell::plain("orders:"), 0, &Cell::plain("not found: no zone has an address"));
        page.labelled(&Cell::plain("  domain"), 9, &Cell::plain("ep-1.epsrv-1.cn-hangzhou.example"));
        page.trouble("  ", "source api: denied: no permission");
        let text = "\
orders:  not found: no zone
         has an address
  domain
    ep-1.epsrv-1.cn-hangzhou.example
  ! source api: denied: no
    permission
";
        assert_eq!(page.into_text(), text);
    }

    #[test]
    fn nothing_in_a_cell_is_obeyed_or_unseen() {
        assert_eq!(Cell::plain("a\x1b[31m\nb\u{9b}\tc").text, r"a\u{1b}[31m\nb\u{9b} c");
        let mut page = Page::new(Screen::default());
        page.columns(&[head(["A", "B"]), ["1\u{202e}", "2\u{200b}"].map(Cell::plain)]);
        assert_eq!(page.into_text(), "A          B\n1\\u{202e}  2\\u{200b}\n", "as wide as it is shown");
    }
}
