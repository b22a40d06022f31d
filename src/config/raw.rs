//! TOML text to a tree of our own in which everything remembers where it stands.
//!
//! toml's recoverable parse reports every syntax error, not only the first, and keeps what it understood. What it
//! then invents for a broken value, or loses behind one, must not draw complaints of its own: see [`Mistake`] and
//! `complaint::Findings`.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::lookalikes::{self, Slip};
use super::source_text::quote;
use crate::model::HIDDEN;
use crate::model::secret_parts::{SecretParts, masked, of_url};

/// Where something stands: a file, by its number, and the bytes in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Index into the documents that were read.
    pub(crate) file: usize,
    /// Bytes.
    pub(crate) span: Range<usize>,
}

/// A value and where it stands; nowhere if it is a default.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) at: Option<Origin>,
    pub(crate) value: Value,
    pub(crate) hidden: Hidden,
}

/// What of a value may be secret, so that no message shows it and no copy keeps it: `redaction` knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Hidden {
    #[default]
    Nothing,
    /// Of a text.
    Parts(SecretParts),
    Whole,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    /// `None` if it does not fit.
    Integer(Option<i64>),
    Float,
    Bool(bool),
    Datetime,
    List(Vec<Node>),
    Table(Table),
}

impl Hidden {
    pub(crate) fn of(parts: SecretParts) -> Self {
        if parts.is_empty() { Self::Nothing } else { Self::Parts(parts) }
    }
}

/// A table, by key.
pub(crate) type Table = BTreeMap<String, Entry>;

/// A key's own place, and its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: Option<Origin>,
    pub(crate) node: Node,
}

/// A table's entries as they were written down, file after file.
pub(crate) fn written_order(table: &Table) -> Vec<(&String, &Entry)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(_, e)| e.key.as_ref().map(|o| (o.file, o.span.start)));
    entries
}

/// A place where the text is not TOML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) span: Range<usize>,
    pub(crate) expected: String,
    pub(crate) found: String,
    /// What to do about it, if that is known.
    pub(crate) help: Option<String>,
}

/// What one text holds.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// Always a table; what was understood.
    pub(crate) root: Node,
    /// At most one a line, in the order of the text.
    pub(crate) mistakes: Vec<Mistake>,
}

/// No key of ours lies deeper than half of this.
const DEEPEST: usize = 16;

/// Reads a text that is file number `file`.
pub(crate) fn parse(file: usize, text: &str) -> Parsed {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut mistakes = first_of_each_line(&errors, text);
    let mut reader = Reader { file: Some(file), too_deep: Vec::new() };
    let root = reader.table(table.get_ref(), 0);
    mistakes.extend(reader.too_deep.into_iter().map(|span| Mistake {
        span,
        expected: format!("at most {DEEPEST} tables or lists inside one another"),
        found: "more".to_owned(),
        help: None,
    }));
    mistakes.sort_by_key(|m| m.span.start);
    Parsed { root: Node::new(None, Value::Table(root)), mistakes }
}

/// Reads one value that stands in no file: a default.
pub(crate) fn parse_value(text: &str) -> Option<Node> {
    let value = DeValue::parse(text).ok()?;
    Some(Reader { file: None, too_deep: Vec::new() }.node(&value, 0))
}

struct Reader {
    file: Option<usize>,
    too_deep: Vec<Range<usize>>,
}

impl Reader {
    fn origin(&self, span: Range<usize>) -> Option<Origin> {
        self.file.map(|file| Origin { file, span })
    }

    fn table(&mut self, table: &DeTable<'_>, depth: usize) -> Table {
        let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let name: &std::borrow::Cow<'_, str> = key.get_ref();
            (name.to_string(), Entry { key: self.origin(key.span()), node: self.node(value, depth + 1) })
        };
        table.iter().map(entry).collect()
    }

    fn node(&mut self, value: &Spanned<DeValue<'_>>, depth: usize) -> Node {
        let at = self.origin(value.span());
        let value = match value.get_ref() {
            DeValue::String(s) => Value::Text(s.to_string()),
            DeValue::Integer(i) => Value::Integer(i64::from_str_radix(i.as_str(), i.radix()).ok()),
            DeValue::Float(_) => Value::Float,
            DeValue::Boolean(b) => Value::Bool(*b),
            DeValue::Datetime(_) => Value::Datetime,
            DeValue::Array(_) | DeValue::Table(_) if depth > DEEPEST => {
                self.too_deep.push(value.span());
                Value::List(Vec::new())
            }
            DeValue::Array(items) => Value::List(items.iter().map(|v| self.node(v, depth + 1)).collect()),
            DeValue::Table(table) => Value::Table(self.table(table, depth)),
        };
        Node::new(at, value)
    }
}

/// toml says "what is wrong, expected X, Y": turned into our form.
fn mistake(error: &toml::de::Error, text: &str) -> Mistake {
    let message = error.message();
    let (found, expected) = message.split_once(", expected ").unwrap_or((message, "valid TOML"));
    let (expected, found) = match found {
        "duplicate key" => ("each key and table once in a file", "it twice"),
        "string values must be quoted" => ("a value (text goes in quotes)", "none"),
        _ => (expected, found),
    };
    let span = error.span().unwrap_or(text.len()..text.len());
    slip(&span, text).unwrap_or_else(|| Mistake {
        span,
        expected: expected.to_owned(),
        found: found.to_owned(),
        help: None,
    })
}

/// A person's slip on the line that the parser stumbles on: it says more than what the parser makes of it.
fn slip(error: &Range<usize>, text: &str) -> Option<Mistake> {
    let (before, behind) = text.split_at_checked(error.start.min(text.len()))?;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let end = behind.find('\n').map_or(text.len(), |newline| before.len() + newline);
    let line = text.get(start..end)?;
    let Slip { span, expected, found, help } =
        [lookalikes::on_line, lookalikes::bare_address, lookalikes::colon].into_iter().find_map(|slip| slip(line))?;
    Some(Mistake { span: start + span.start..start + span.end, expected, found, help: Some(help) })
}

/// The parser trips several times over one slip; only the first helps.
fn first_of_each_line(errors: &[toml::de::Error], text: &str) -> Vec<Mistake> {
    let start = |e: &toml::de::Error| e.span().map_or(text.len(), |s| s.start.min(text.len()));
    let mut sorted: Vec<_> = errors.iter().collect();
    sorted.sort_by_key(|e| start(e));
    let mut last: Option<usize> = None;
    sorted.retain(|e| {
        let other_line = |last: usize| text.as_bytes()[last..start(e)].contains(&b'\n');
        let first = last.is_none_or(other_line);
        if first {
            last = Some(start(e));
        }
        first
    });
    sorted.into_iter().map(|e| mistake(e, text)).collect()
}

impl Node {
    /// A value of which nothing is hidden.
    pub(crate) fn new(at: Option<Origin>, value: Value) -> Self {
        Self { at, value, hidden: Hidden::Nothing }
    }

    /// What it is, in words, for "found …".
    pub(crate) fn found(&self) -> String {
        match &self.value {
            Value::Text(_) if self.hidden == Hidden::Whole => HIDDEN.to_owned(),
            Value::Text(s) => quote(&self.shown_text(s)),
            _ if self.hidden != Hidden::Nothing => self.type_name().to_owned(),
            Value::Integer(Some(i)) => i.to_string(),
            Value::Bool(b) => b.to_string(),
            _ => self.type_name().to_owned(),
        }
    }

    /// Its type, in words.
    pub(crate) fn type_name(&self) -> &'static str {
        match &self.value {
            Value::Text(_) => "a string",
            Value::Integer(Some(_)) => "an integer",
            Value::Integer(None) => "an integer of more than 64 bits",
            Value::Float => "a decimal number",
            Value::Bool(_) => "true or false",
            Value::Datetime => "a date or time",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    /// Its text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        if let Value::Text(s) = &self.value { Some(s) } else { None }
    }

    /// Its entries, if it is a table.
    pub(crate) fn table(&self) -> Option<&Table> {
        if let Value::Table(t) = &self.value { Some(t) } else { None }
    }

    /// Its `text` without what is hidden of it.
    fn shown_text(&self, text: &str) -> String {
        match &self.hidden {
            Hidden::Nothing => text.to_owned(),
            Hidden::Parts(parts) => masked(text, parts),
            Hidden::Whole => HIDDEN.to_owned(),
        }
    }

    /// The same without what is hidden of it.
    pub(crate) fn shown(&self) -> Self {
        let value = match &self.value {
            Value::Text(text) => Value::Text(self.shown_text(text)),
            Value::List(items) => Value::List(items.iter().map(Self::shown).collect()),
            Value::Table(table) => {
                let entry = |(name, entry): (&String, &Entry)| {
                    (shown_name(name), Entry { key: None, node: entry.node.shown() })
                };
                Value::Table(table.iter().map(entry).collect())
            }
            _ if self.hidden == Hidden::Whole => Value::Text(HIDDEN.to_owned()),
            other => other.clone(),
        };
        Self::new(None, value)
    }

    /// As one line of TOML.
    pub(crate) fn to_toml(&self) -> String {
        match &self.value {
            Value::Text(s) => toml_string(s),
            Value::Integer(i) => i.map_or_else(String::new, |i| i.to_string()),
            Value::Bool(b) => b.to_string(),
            Value::Float | Value::Datetime => String::new(),
            Value::List(items) => format!("[{}]", items.iter().map(Self::to_toml).collect::<Vec<_>>().join(", ")),
            Value::Table(table) if table.is_empty() => "{}".to_owned(),
            Value::Table(table) => {
                let pair = |(k, e): (&String, &Entry)| format!("{} = {}", toml_key(k), e.node.to_toml());
                format!("{{ {} }}", table.iter().map(pair).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// A key's name as a message shows it: people write whole headers and URLs there, too.
pub(crate) fn shown_name(name: &str) -> String {
    masked(name, &of_url(name))
}

/// A key, in quotes if it needs them.
pub(crate) fn toml_key(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !key.is_empty() && key.chars().all(bare) { key.to_owned() } else { toml_string(key) }
}

fn toml_string(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_remember_their_places() {
        let parsed = parse(3, "[log]\nlevel = \"info\"\n");
        assert!(parsed.mistakes.is_empty());
        let log = &parsed.root.table().unwrap()["log"];
        let level = &log.node.table().unwrap()["level"];
        assert_eq!(level.key, Some(Origin { file: 3, span: 6..11 }));
        assert_eq!(level.node.at, Some(Origin { file: 3, span: 14..20 }));
        assert_eq!(level.node.text(), Some("info"));
    }

    #[test]
    fn every_line_has_its_own_first_mistake() {
        let lines = |text: &str| parse(0, text).mistakes.iter().map(|m| m.span.start).collect::<Vec<_>>();
        assert_eq!(lines("a = \nb = nope\nc = 1\n").len(), 2);
        assert_eq!(lines("a = 1\na = 2\n"), [6]);
        assert_eq!(lines("probe = { kind = \n").len(), 1);
        assert_eq!(lines("=\n".repeat(1_000).as_str()).len(), 1_000);
    }

    #[test]
    fn depth_is_bounded() {
        let deep = format!("a = {}{}", "[".repeat(40), "]".repeat(40));
        assert_eq!(parse(0, &deep).mistakes.len(), 1);
        let dotted = format!("{} = 1", vec!["a"; 60].join("."));
        assert_eq!(parse(0, &dotted).mistakes.len(), 1);
    }

    #[test]
    fn values_are_written_back_as_toml() {
        for text in [r#"[1, "a\"b", true]"#, r#"{ "a.b" = "x", c = [] }"#, "{}", r#""\u0007""#] {
            assert_eq!(parse_value(text).unwrap().to_toml(), text);
        }
    }
}
