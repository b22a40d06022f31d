//! How a line looks. Pure, but for the question whether stderr leads to the journal.

use std::fmt::{self, Write as _};
use std::io;

use tracing::Level;

use super::{Record, Value};
use crate::model::LogFormat;
use crate::model::shown::escaped;

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `2026-11-22T03:00:00Z WARN message key=value`
    Text,
    /// `<4>message key=value`: the journal has a clock of its own and takes the priority from the prefix.
    Journal,
    /// One JSON object a line.
    Json,
}

impl Style {
    /// The style for stderr: [`Style::Journal`] instead of text if stderr is the journal's.
    #[must_use]
    pub fn for_stderr(format: LogFormat) -> Self {
        match format {
            LogFormat::Json => Self::Json,
            LogFormat::Text if stderr_is_the_journal() => Self::Journal,
            LogFormat::Text => Self::Text,
        }
    }

    /// The line of a record, with its newline.
    #[must_use]
    pub fn line(self, record: &Record) -> String {
        match self {
            Self::Text => format!("{} {} {}\n", record.at, record.level, Plain(record)),
            Self::Journal => format!("<{}>{}\n", priority(record.level), Plain(record)),
            Self::Json => json(record),
        }
    }
}

/// systemd names the journal's stream as `device:inode`; comparing tells a service from a shell started below one
/// (systemd.exec(5), `$JOURNAL_STREAM`).
#[must_use]
pub fn stderr_is_the_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    rustix::fs::fstat(io::stderr()).is_ok_and(|s| stream == format!("{}:{}", s.st_dev, s.st_ino))
}

/// syslog's numbers (sd-daemon(3)).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// `message key=value key="a value"`, without anything that a terminal would obey.
pub(super) struct Plain<'a>(pub(super) &'a Record);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Record { at: _, level: _, target: _, message, fields } = self.0;
        f.write_str(&escaped(message))?;
        for (key, value) in fields {
            write!(f, " {key}=")?;
            match value {
                Value::Text(t) if t.is_empty() || t.contains([' ', '"', '=', '\\']) => {
                    f.write_char('"')?;
                    f.write_str(&escaped(&t.replace('\\', "\\\\").replace('"', "\\\"")))?;
                    f.write_char('"')?;
                }
                Value::Text(t) => f.write_str(&escaped(t))?,
                Value::Integer(n) => write!(f, "{n}")?,
                Value::Float(x) => write!(f, "{x}")?,
                Value::Bool(b) => write!(f, "{b}")?,
            }
        }
        Ok(())
    }
}

fn json(record: &Record) -> String {
    let Record { at, level, target, message, fields } = record;
    let value = |v: &Value| match v {
        Value::Text(t) => serde_json::Value::from(t.as_str()),
        Value::Integer(n) => i64::try_from(*n).map_or_else(|_| n.to_string().into(), serde_json::Value::from),
        Value::Float(x) => serde_json::Value::from(*x),
        Value::Bool(b) => serde_json::Value::from(*b),
    };
    let fields: serde_json::Map<_, _> = fields.iter().map(|(k, v)| ((*k).to_owned(), value(v))).collect();
    let level = level.as_str().to_ascii_lowercase();
    let line = serde_json::json!({
        "time": at.to_string(), "level": level, "target": target, "message": message, "fields": fields,
    });
    format!("{line}\n")
}
