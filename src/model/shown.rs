//! What others said, as it may reach a terminal: nothing in it is obeyed, and nothing stays unseen.
//!
//! JSON keeps what was said as it is. Everything that is made for people goes through here where it leaves: the cells
//! of a table, the lines of the log, what the commands print and complain of.

use std::fmt::Display;

/// Whether a terminal would obey this character, or show nothing of it: control characters, those that turn the
/// direction of the text around them, and those without any width.
#[must_use]
pub fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// As one line: `\u{202e}` for what would not be seen, `\n` for the end of a line.
#[must_use]
pub fn escaped(text: &str) -> String {
    escaped_but(text, &[])
}

/// As the lines that it has; tabs stay, too.
#[must_use]
pub fn escaped_lines(text: &str) -> String {
    escaped_but(text, &['\n', '\t'])
}

fn escaped_but(text: &str, kept: &[char]) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unseen(c) && !kept.contains(&c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// Who owns a file: "root", or the number that the kernel knows.
#[must_use]
pub fn owner_in_words(uid: u32) -> String {
    if uid == 0 { "root".to_owned() } else { uid.to_string() }
}

/// Some names, and how many there are beside them.
#[must_use]
pub fn few<N: Display>(names: &[N]) -> String {
    const MOST: usize = 5;
    let shown: Vec<_> = names.iter().take(MOST).map(ToString::to_string).collect();
    match names.len().checked_sub(MOST) {
        None | Some(0) => shown.join(", "),
        Some(more) => format!("{} and {more} more", shown.join(", ")),
    }
}

/// "1 name", "2 names", "2 addresses".
#[must_use]
pub fn count<N: Display + PartialEq + From<u8>>(n: N, what: &str) -> String {
    let many = if what.ends_with('s') { "es" } else { "s" };
    format!("{n} {what}{}", if n == N::from(1) { "" } else { many })
}

/// Lines of at most `width` characters, broken at blanks; a word that is longer has a line of its own. All but the
/// first begin with `indent` blanks. Blanks within a line stay as they are.
#[must_use]
pub fn wrapped(text: &str, width: usize, indent: usize) -> Vec<String> {
    let (mut lines, mut line, mut taken) = (Vec::new(), String::new(), 0);
    let mut begun = false;
    for piece in text.split_inclusive(' ') {
        let word = piece.trim_end_matches(' ');
        let long = word.chars().count();
        if begun && !word.is_empty() && taken + long > width {
            lines.push(std::mem::take(&mut line).trim_end().to_owned());
            line.extend(std::iter::repeat_n(' ', indent));
            taken = indent;
        }
        begun |= !word.is_empty();
        line.push_str(piece);
        taken += long + (piece.len() - word.len());
    }
    lines.push(line.trim_end().to_owned());
    lines
}

/// As [`wrapped`]; but for the first, lines begin a little further in than that one.
#[must_use]
pub fn hanging(line: &str, width: usize) -> Vec<String> {
    let blanks = line.len() - line.trim_start_matches(' ').len();
    wrapped(line, width, blanks + 2)
}

/// At most `width` characters, of which `…` stands for what is left out in the middle: beginning and end tell names
/// apart.
#[must_use]
pub fn shortened(name: &str, width: usize) -> String {
    let length = name.chars().count();
    if length <= width {
        return name.to_owned();
    }
    let (first, last) = (width / 2, width.saturating_sub(1) / 2);
    name.chars().take(first).chain(['…']).chain(name.chars().skip(length - last)).collect()
}

/// A complaint about a config as one line: its place, which it says on its second line, comes first.
#[must_use]
pub fn complaint_in_a_line(complaint: &str) -> String {
    let mut lines = complaint.lines();
    let what = lines.next().unwrap_or_default();
    let place = lines.next().and_then(|line| line.trim_start().strip_prefix("--> "));
    place.map_or_else(|| what.to_owned(), |place| format!("{place}: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_blanks_and_names_in_their_middle() {
        for (text, width, indent, lines) in [
            ("", 10, 2, &[""][..]),
            ("all is well", 11, 2, &["all is well"]),
            ("all is well", 10, 2, &["all is", "  well"]),
            ("  - one two  three", 9, 4, &["  - one", "    two", "    three"]),
            ("10.0.0.1  db.internal.example", 12, 2, &["10.0.0.1", "  db.internal.example"]),
            ("internationalisation of it", 5, 0, &["internationalisation", "of it"]),
        ] {
            assert_eq!(wrapped(text, width, indent), lines, "{text:?} in {width}");
        }
        for (width, name) in [(30, "gw-orders.example.com"), (11, "gw-or…e.com"), (10, "gw-or….com"), (1, "…")] {
            assert_eq!(shortened("gw-orders.example.com", width), name);
        }
    }

    #[test]
    fn a_complaint_in_a_line_begins_with_its_place() {
        let whole = "error: log.level: expected one of \"debug\", found 3\n  --> /etc/config.toml:7:18\n   |\n";
        let line = "/etc/config.toml:7:18: error: log.level: expected one of \"debug\", found 3";
        assert_eq!(complaint_in_a_line(whole), line);
        assert_eq!(complaint_in_a_line("log.target can't change"), "log.target can't change");
    }

    #[test]
    fn what_would_not_be_seen_is_escaped() {
        for (said, shown) in [
            ("\u{1b}[2J\u{1b}]0;title\u{7}", r"\u{1b}[2J\u{1b}]0;title\u{7}"),
            ("\0\u{7f}\u{9b}31m\u{9d}", r"\u{0}\u{7f}\u{9b}31m\u{9d}"),
            ("a\nb\r\tc", r"a\nb\r\tc"),
            ("10.0.0.1\u{202e}1.0.0.01\u{202c}", r"10.0.0.1\u{202e}1.0.0.01\u{202c}"),
            ("\u{2066}\u{2069}\u{200e}\u{200f}\u{61c}", r"\u{2066}\u{2069}\u{200e}\u{200f}\u{61c}"),
            ("db\u{200b}.x\u{ad}\u{feff}\u{2060}", r"db\u{200b}.x\u{ad}\u{feff}\u{2060}"),
            ("\u{2028}\u{2029}\u{e0041}\u{e007f}", r"\u{2028}\u{2029}\u{e0041}\u{e007f}"),
            ("gw-订单 é \u{1f600} \\u{202e} …", "gw-订单 é \u{1f600} \\u{202e} …"),
        ] {
            assert_eq!(escaped(said), shown);
        }
    }

    #[test]
    fn one_thing_is_no_things() {
        assert_eq!([0_u64, 1, 2].map(|n| count(n, "write")), ["0 writes", "1 write", "2 writes"]);
        assert_eq!([1_usize, 3].map(|n| count(n, "address")), ["1 address", "3 addresses"]);
    }

    #[test]
    fn lines_stay_lines() {
        assert_eq!(escaped_lines("a\tb\n\u{1b}c\r\n"), "a\tb\n\\u{1b}c\\r\n");
    }
}
