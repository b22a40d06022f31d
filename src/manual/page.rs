//! What all pages have in common.

use roff::{Inline, Roff, bold, roman};

/// Who is told at the foot of each page to have made it.
pub(super) const SOURCE: &str = concat!("privatelinkd ", env!("CARGO_PKG_VERSION"));
/// What is told at the head of each page to be the book that it belongs to.
pub(super) const MANUAL: &str = "privatelinkd manual";

/// The pages that are written by hand, and the config file's, which every page names.
pub(super) const OTHERS: [(&str, u8); 3] =
    [("privatelinkd.toml", 5), ("privatelinkd-guides", 7), ("privatelinkd-operations", 7)];

/// A manual page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// What `man` is asked for: `privatelinkd-hosts-apply`.
    pub name: String,
    /// The section of the manual: 5 (files) or 8 (what admins run).
    pub section: u8,
    /// The page in roff, all ASCII.
    pub text: String,
}

impl Page {
    /// The name of its file: `privatelinkd-hosts-apply.8`.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.{}", self.name, self.section)
    }
}

/// Before everything: who made it, and that no name is cut in two at the end of a line.
pub(super) const HEAD: &str = ".\\\" Made by `privatelinkd man`.\n.nr HY 0\n";

/// A document without the lines that each one begins with.
pub(super) fn body(document: &str) -> &str {
    document.strip_prefix(Roff::new().render().as_str()).unwrap_or(document)
}

/// A whole page of its parts, the first of which has the title.
pub(super) fn assemble(title: &str, parts: &[String]) -> String {
    let common = Roff::new().render();
    let parts = parts.iter().map(|part| body(part));
    // A line can be broken at a zero-width space.
    format!("{HEAD}{common}{}.ad l\n{}", body(title), parts.collect::<String>()).replace('\u{200b}', "\\:")
}

/// Adds a heading.
pub(super) fn heading(roff: &mut Roff, text: &str) {
    roff.control("SH", text.split(' '));
}

/// Adds paragraphs. In each what stands in backquotes is bold; a line that begins with two
/// spaces is an example.
pub(super) fn paragraphs(roff: &mut Roff, text: &str) {
    let mut shown = false;
    for line in text.lines() {
        let example = line.strip_prefix("  ");
        match (example.is_some(), shown) {
            (true, false) => {
                roff.control("PP", []).control("RS", ["2"]).control("EX", []);
            }
            (false, true) => {
                roff.control("EE", []).control("RE", []);
                if !line.is_empty() {
                    roff.control("PP", []);
                }
            }
            _ => {}
        }
        shown = example.is_some();
        match example {
            Some(example) => roff.text([roman(example)]),
            None if line.is_empty() => roff.control("PP", []),
            None => roff.text(marked(line)),
        };
    }
    if shown {
        roff.control("EE", []).control("RE", []);
    }
}

/// A line in which what stands in backquotes is bold.
pub(super) fn marked(line: &str) -> Vec<Inline> {
    let pieces = line.split('`').enumerate();
    pieces.map(|(at, piece)| if at % 2 == 1 { bold(breakable(piece)) } else { roman(piece) }).collect()
}

/// A text whose long words can be broken.
pub(super) fn breakable(text: &str) -> String {
    const LONG: usize = 50;
    let word = |word: &str| match word.len() {
        ..LONG => word.to_owned(),
        _ => word.replace('.', ".\u{200b}").replace('/', "/\u{200b}").replace(':', ":\u{200b}"),
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Adds the heading under which other pages are named.
pub(super) fn see_also(roff: &mut Roff, pages: &[(String, u8)]) {
    heading(roff, "SEE ALSO");
    for (at, (name, section)) in pages.iter().enumerate() {
        let end = if at + 1 < pages.len() { "," } else { "" };
        roff.text([bold(name), roman(format!("({section}){end}"))]);
    }
}
