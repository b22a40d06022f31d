//! What is wrong with a configuration, and how a person is told: where, what was expected, what was found, and what
//! to do.

use std::fmt;

use serde::Serialize;

use super::lookalikes;
use super::raw::{Node, Origin};
use super::source_text::Excerpt;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration is taken, but probably not what was meant.
    Warning,
}

/// What is wrong with a value.
#[derive(Debug, Clone)]
pub(crate) struct Bad {
    pub(crate) expected: String,
    pub(crate) found: String,
    pub(crate) help: Option<String>,
    /// Where it stands. `None`: the main file as a whole or, of a value that is being read, all of that value.
    pub(crate) at: Option<Origin>,
}

impl Bad {
    pub(crate) fn found_at(at: &Option<Origin>, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { expected: expected.into(), found: found.into(), help: None, at: at.clone() }
    }

    /// For a value that is read: names a character in it that only looks right.
    pub(crate) fn new(expected: impl Into<String>, node: &Node) -> Self {
        let help = node.text().and_then(lookalikes::help);
        Self { help, ..Self::found_at(&node.at, expected, node.found()) }
    }

    /// For a value of the wrong type: does not show its text.
    pub(crate) fn wrong_type(expected: impl Into<String>, node: &Node) -> Self {
        Self::found_at(&node.at, expected, node.type_name())
    }

    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// With another help, unless it has one.
    pub(crate) fn or_help(self, help: Option<String>) -> Self {
        Self { help: self.help.or(help), ..self }
    }
}

/// One thing that is wrong. Its `Display` is the whole message, with the line and a mark under the part that is
/// meant, of which a width such as `{:80}` leaves no more than has room; it never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Complaint {
    /// How bad it is.
    pub severity: Severity,
    /// The file, as it was opened.
    pub file: String,
    /// Counted from 1; `None` if the file as a whole is meant.
    pub line: Option<usize>,
    /// In characters, counted from 1.
    pub column: Option<usize>,
    /// The key without numbers of array elements, such as `endpoint.probe.kind`; empty if no key is meant.
    pub key: String,
    /// What would have been right.
    pub expected: String,
    /// What is there.
    pub found: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The line itself.
    #[serde(skip)]
    pub(crate) excerpt: Option<Excerpt>,
}

impl Complaint {
    /// A complaint about a file as a whole.
    pub(crate) fn about_file(file: impl Into<String>, Bad { expected, found, help, at: _ }: Bad) -> Self {
        let (severity, file, key) = (Severity::Error, file.into(), String::new());
        Self { severity, file, line: None, column: None, key, expected, found, help, excerpt: None }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.severity {
            Severity::Error => "error: ",
            Severity::Warning => "warning: ",
        })?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        writeln!(f, "expected {}, found {}", self.expected, self.found)?;
        let number = self.line.map(|l| l.to_string()).unwrap_or_default();
        let gutter = number.len().max(1) + 1;
        write!(f, "{:gutter$}--> {}", "", self.file)?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, ":{line}:{column}")?;
        }
        writeln!(f)?;
        let room = f.width().map_or(usize::MAX, |width| width.saturating_sub(gutter + 3));
        if let Some(Excerpt { text, indent, width }) = self.excerpt.as_ref().map(|excerpt| excerpt.within(room)) {
            writeln!(f, "{:gutter$} |", "")?;
            writeln!(f, " {number} | {text}")?;
            writeln!(f, "{:gutter$} | {:indent$}{:^<width$}", "", "", "")?;
        }
        match &self.help {
            Some(help) => writeln!(f, "{:gutter$} = help: {help}", ""),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong at once, in the order of the files. Its `Display` is all messages, a blank line between
/// them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Complaints {
    /// At most [`Complaints::LIMIT`].
    pub complaints: Vec<Complaint>,
    /// How many more there are.
    pub omitted: usize,
}

impl Complaints {
    /// How many are told; the rest is counted. More than these help no reader.
    pub const LIMIT: usize = 100;

    /// True if at least one of them is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.first_error().is_some()
    }

    /// The first that is no mere warning.
    #[must_use]
    pub fn first_error(&self) -> Option<&Complaint> {
        self.complaints.iter().find(|c| c.severity == Severity::Error)
    }
}

impl fmt::Display for Complaints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, complaint) in self.complaints.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            complaint.fmt(f)?;
        }
        if self.omitted > 0 {
            writeln!(f, "\n… and {} more", self.omitted)?;
        }
        Ok(())
    }
}

impl std::error::Error for Complaints {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_its_line_and_a_mark() {
        let complaint = Complaint {
            severity: Severity::Error,
            file: "/etc/privatelinkd/config.toml".into(),
            line: Some(7),
            column: Some(18),
            key: "endpoint.probe.kind".into(),
            expected: "one of \"tcp\", \"https\"".into(),
            found: "\"tpc\"".into(),
            help: Some("did you mean \"tcp\"?".into()),
            excerpt: Some(Excerpt { text: "probe = { kind = \"tpc\", port = 5432 }".into(), indent: 17, width: 5 }),
        };
        let expected = r#"error: endpoint.probe.kind: expected one of "tcp", "https", found "tpc"
  --> /etc/privatelinkd/config.toml:7:18
   |
 7 | probe = { kind = "tpc", port = 5432 }
   |                  ^^^^^
   = help: did you mean "tcp"?
"#;
        assert_eq!(complaint.to_string(), expected);
        let json = serde_json::to_value(&complaint).unwrap();
        assert_eq!(json["column"], 18);
        assert_eq!(json["severity"], "error");
    }

    #[test]
    fn a_width_cuts_the_line_around_its_mark() {
        let text = "probe = { kind = \"tpc\", port = 5432, interval = \"5s\" }".to_owned();
        let mut complaint = Complaint::about_file("/x", Bad::found_at(&None, "tcp", "tpc"));
        complaint.excerpt = Some(Excerpt { text, indent: 17, width: 5 });
        (complaint.line, complaint.column) = (Some(7), Some(18));
        // Five characters are before the text.
        assert_eq!(
            format!("{complaint:25}").lines().skip(2).collect::<Vec<_>>(),
            ["   |", " 7 | …{ kind = \"tpc\", po…", "   |           ^^^^^"]
        );
        assert_eq!(format!("{complaint:99}"), complaint.to_string());
    }

    #[test]
    fn a_file_without_a_line_is_named() {
        let complaint = Complaint::about_file("/x", Bad::found_at(&None, "a file", "none"));
        assert_eq!(complaint.to_string(), "error: expected a file, found none\n  --> /x\n");
    }
}
