//! What others said, as it may reach a terminal: nothing in it is obeyed, and nothing stays unseen.
//!
//! JSON keeps what was said as it is. Everything that is made for people goes through here where it leaves: the cells
//! of a table, the lines of the log, what the commands print and complain of.

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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn lines_stay_lines() {
        assert_eq!(escaped_lines("a\tb\n\u{1b}c\r\n"), "a\tb\n\\u{1b}c\\r\n");
    }
}
