//! What crosses to the log thread: an event's copy, bounded in size.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::maker;
use crate::model::Wall;

/// Longest kept text of a message or a field, in bytes.
const MAX_TEXT: usize = 4096;

/// One event, owned and closed, so that it can cross to the log thread and into any sink.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// When.
    pub at: Wall,
    /// How loud.
    pub level: Level,
    /// The module that logged.
    pub target: &'static str,
    /// The sentence.
    pub message: String,
    /// The fields, in the order of the call.
    pub fields: Vec<(&'static str, Value)>,
}

/// A field's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Any text, or the debug form of what has no other.
    Text(String),
    /// A whole number.
    Integer(i128),
    /// A fraction.
    Float(f64),
    /// Yes or no.
    Bool(bool),
}

impl Record {
    /// The event's copy. Here its values are formatted.
    pub(super) fn new(event: &Event<'_>, at: Wall) -> Self {
        let metadata = event.metadata();
        let (level, target) = (*metadata.level(), maker::module(metadata));
        let mut record = Self { at, level, target, message: String::new(), fields: Vec::new() };
        event.record(&mut record);
        record
    }

    fn text(&mut self, field: &Field, text: String) {
        match field.name() {
            "message" => self.message = text,
            name => self.fields.push((name, Value::Text(text))),
        }
    }
}

impl Visit for Record {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, bounded(format_args!("{value:?}")));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, bounded(format_args!("{value}")));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.push((field.name(), Value::Integer(value.into())));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.push((field.name(), Value::Integer(value.into())));
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.fields.push((field.name(), Value::Float(value)));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.push((field.name(), Value::Bool(value)));
    }
}

/// Formats at most [`MAX_TEXT`] bytes, so that the queue's memory is bounded.
fn bounded(text: fmt::Arguments<'_>) -> String {
    struct Bounded(String);
    impl fmt::Write for Bounded {
        fn write_str(&mut self, s: &str) -> fmt::Result {
            let room = MAX_TEXT - self.0.len();
            if s.len() <= room {
                self.0.push_str(s);
                return Ok(());
            }
            let whole = s.char_indices().map(|(start, c)| start + c.len_utf8()).take_while(|end| *end <= room);
            self.0.push_str(&s[..whole.last().unwrap_or(0)]);
            Err(fmt::Error)
        }
    }
    let mut out = Bounded(String::new());
    if out.write_fmt(text).is_err() {
        out.0.push('…');
    }
    out.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_at_a_character() {
        let cut = bounded(format_args!("a{}", "ä".repeat(MAX_TEXT)));
        assert!(cut.len() <= MAX_TEXT + '…'.len_utf8() && cut.ends_with("ä…"), "{}", cut.len());
        assert_eq!(bounded(format_args!("{}", "x".repeat(MAX_TEXT))).len(), MAX_TEXT);
    }
}
