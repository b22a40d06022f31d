//! The configuration as it came out, each value with where it came from: for `check --show`.

use std::fmt;

use serde::Serialize;

use super::raw::{Node, Origin};
use super::source_text::SourceText;

/// Every value, in the order in which the rules took them. Its `Display` is one line a value, each with its origin
/// as a comment; secrets show as `[secret]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Effective {
    /// All keys of this configuration.
    pub values: Vec<EffectiveValue>,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EffectiveValue {
    /// Its path, with the names of endpoints and zones: `endpoint.orders.probe.kind`.
    pub key: String,
    /// As TOML; `None` if it is not set and has no default.
    pub value: Option<String>,
    /// `default`, `config.toml:12`, or what it follows from.
    pub origin: String,
}

impl Effective {
    /// Takes a value down.
    pub(crate) fn add(&mut self, key: &str, node: Option<&Node>, origin: String) {
        let value = node.map(|node| node.shown().to_toml());
        let origin = if value.is_some() { origin } else { "not set".to_owned() };
        self.values.push(EffectiveValue { key: key.to_owned(), value, origin });
    }

    /// Replaces a value that was not set by what follows from others.
    pub(crate) fn derive(&mut self, key: &str, value: &str, from: &str) {
        if let Some(found) = self.values.iter_mut().rev().find(|v| v.key == key) {
            found.value = Some(value.to_owned());
            found.origin = from.to_owned();
        }
    }
}

/// The short form of a place: `config.toml:12`, `conf.d/10-zone.toml:3`.
pub(crate) fn place(texts: &[SourceText], origin: &Origin) -> String {
    let Some(text) = texts.get(origin.file) else { return String::new() };
    let main = texts.first().map_or("", |t| t.name.as_str());
    let folder = main.rsplit_once('/').map_or("", |(folder, _)| folder);
    let name = text.name.strip_prefix(folder).map_or(text.name.as_str(), |n| n.trim_start_matches('/'));
    format!("{name}:{}", text.position(origin.span.start).0)
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for EffectiveValue { key, value, origin, .. } in &self.values {
            match value {
                Some(value) => writeln!(f, "{key} = {value}   # {origin}")?,
                None => writeln!(f, "# {key} is {origin}")?,
            }
        }
        Ok(())
    }
}
