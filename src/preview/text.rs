//! What both tables have in common.

use crate::observe::text_table::{Cell, Tone, line};

/// A line about something that is not as it should be.
pub(super) fn trouble(out: &mut String, indent: &str, text: &str, color: bool) {
    line(out, &[Cell::toned(format!("{indent}! {text}"), Tone::Warn)], &[], color);
}

/// "1 name", "2 names".
pub(super) fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
