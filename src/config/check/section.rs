//! A table that is taken apart key by key: what no rule read is an unknown key.

use super::context::{Bad, CheckContext, Located, Read};
use crate::config::complaint::Severity;
use crate::config::effective::Source;
use crate::config::findings::{About, Finding};
use crate::config::keys::{self, join};
use crate::config::raw::{Node, Origin, Table, Value, parse_value};
use crate::config::source_text::quote;

/// A table being taken apart.
#[derive(Debug)]
pub(super) struct Section {
    /// Its path in the table of keys: `endpoint.probe`.
    pattern: String,
    /// Its path for `check --show`: `endpoint.orders.probe`.
    label: String,
    /// Where it stands; `None` if it is absent or was put together from several places.
    pub(super) at: Option<Origin>,
    /// What was not read yet.
    rest: Table,
}

/// Why two keys do not go together.
pub(super) struct Conflict<'c> {
    pub(super) expected: String,
    pub(super) found: &'c str,
    pub(super) help: &'c str,
}

impl Section {
    /// The whole configuration.
    pub(super) fn root(rest: Table) -> Self {
        Self { pattern: String::new(), label: String::new(), at: None, rest }
    }

    /// A section of this one; empty if it is absent, so that its defaults count.
    pub(super) fn section(&mut self, context: &mut CheckContext<'_>, name: &str) -> Self {
        self.optional_section(context, name).unwrap_or_else(|| Self {
            pattern: join(&self.pattern, name),
            label: join(&self.label, name),
            at: self.at.clone(),
            rest: Table::new(),
        })
    }

    /// A section of this one, if it is there.
    pub(super) fn optional_section(&mut self, context: &mut CheckContext<'_>, name: &str) -> Option<Self> {
        let entry = self.rest.remove(name)?;
        let (pattern, label) = (join(&self.pattern, name), join(&self.label, name));
        match entry.node.value {
            Value::Table(rest) => Some(Self { pattern, label, at: entry.node.at.or(entry.key), rest }),
            _ => {
                context.complain(&pattern, Bad::wrong_type(format!("a table [{pattern}]"), &entry.node));
                None
            }
        }
    }

    /// The sections of a list of tables.
    pub(super) fn sections(&mut self, context: &mut CheckContext<'_>, name: &str) -> Vec<Self> {
        let Some(entry) = self.rest.remove(name) else { return Vec::new() };
        let (pattern, label) = (join(&self.pattern, name), join(&self.label, name));
        let expected = || format!("tables [[{pattern}]]");
        let Value::List(items) = entry.node.value else {
            let bad = Bad::wrong_type(expected(), &entry.node).help("write it with two brackets on each side");
            context.complain(&pattern, bad);
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (i, item) in items.into_iter().enumerate() {
            let label = format!("{label}.{i}");
            match item.value {
                Value::Table(rest) => sections.push(Self { pattern: pattern.clone(), label, at: item.at, rest }),
                _ => context.complain(&pattern, Bad::wrong_type(expected(), &item)),
            }
        }
        sections
    }

    /// Lets `check --show` call this section by what `name` says, instead of a number.
    pub(super) fn label_by(&mut self, name: &str) {
        if let Some(text) = self.peek_text(name).map(str::to_owned) {
            let parent = self.label.rsplit_once('.').map_or("", |(parent, _)| parent);
            self.label = join(parent, &crate::config::raw::toml_key(&text));
        }
    }

    /// True if the key is there and was not read yet.
    pub(super) fn has(&self, name: &str) -> bool {
        self.rest.contains_key(name)
    }

    /// A text, which stays to be read.
    pub(super) fn peek_text(&self, name: &str) -> Option<&str> {
        self.rest.get(name)?.node.text()
    }

    /// Reads a value, or its default, and keeps it no longer. `None` if it is absent and has no default, or if it is
    /// not what is wanted, which was complained about then.
    pub(super) fn read<T>(
        &mut self,
        context: &mut CheckContext<'_>,
        name: &str,
        read: impl FnOnce(&Node) -> Read<T>,
    ) -> Option<Located<T>> {
        let path = join(&self.pattern, name);
        let key = keys::find(&path);
        debug_assert!(key.is_some(), "{path} is not in the table of keys");
        let (node, source) = match self.rest.remove(name) {
            Some(entry) => {
                let source = Source::from_origin(entry.node.at.as_ref().or(entry.key.as_ref()));
                (Some(entry.node), source)
            }
            None => (key.and_then(|k| k.default).and_then(parse_value), Source::Default),
        };
        context.show(&join(&self.label, name), &path, node.as_ref(), source);
        let node = node?;
        match read(&node) {
            Ok(value) => Some(Located { value, at: node.at }),
            Err(all) => {
                for bad in all {
                    let at = bad.at.clone().or_else(|| node.at.clone());
                    context.complain(&path, Bad { at, ..bad });
                }
                None
            }
        }
    }

    /// As [`Section::read`], without the place.
    pub(super) fn value<T>(
        &mut self,
        context: &mut CheckContext<'_>,
        name: &str,
        read: impl FnOnce(&Node) -> Read<T>,
    ) -> Option<T> {
        self.read(context, name, read).map(|located| located.value)
    }

    /// Reads a value that may be absent and has no default: `Some(None)` if it is. The outer `None` if it is wrong,
    /// which was complained about.
    pub(super) fn optional<T>(
        &mut self,
        context: &mut CheckContext<'_>,
        name: &str,
        read: impl FnOnce(&Node) -> Read<T>,
    ) -> Option<Option<T>> {
        let written = self.has(name);
        let value = self.value(context, name, read);
        (value.is_some() || !written).then_some(value)
    }

    /// As [`Section::read`], and complains if the value is absent.
    pub(super) fn required<T>(
        &mut self,
        context: &mut CheckContext<'_>,
        name: &str,
        read: impl FnOnce(&Node) -> Read<T>,
    ) -> Option<Located<T>> {
        if !self.has(name) {
            self.report_missing(context, name, None);
        }
        self.read(context, name, read)
    }

    /// Complains that a key is missing.
    pub(super) fn report_missing(&self, context: &mut CheckContext<'_>, name: &str, help: Option<&str>) {
        let kind = keys::find(&join(&self.pattern, name)).map_or("a value", |k| k.kind);
        self.report_absence(context, name, format!("`{name}`, {kind}"), help);
    }

    /// Complains that something is missing that `name`, among others, could give.
    pub(super) fn report_absence(
        &self,
        context: &mut CheckContext<'_>,
        name: &str,
        expected: String,
        help: Option<&str>,
    ) {
        context.findings.add(Finding {
            severity: Severity::Error,
            expected,
            key: join(&self.pattern, name),
            found: "none".to_owned(),
            help: help.map(str::to_owned),
            at: self.at.clone(),
            about: About::Absence,
        });
    }

    /// Complains of the value of `name` where another key asks for a different one.
    pub(super) fn report_conflict(&self, context: &mut CheckContext<'_>, name: &str, conflict: Conflict<'_>) {
        let Conflict { expected, found, help } = conflict;
        let bad = Bad { expected, found: found.to_owned(), help: Some(help.to_owned()), at: self.at.clone() };
        context.complain(&join(&self.pattern, name), bad);
    }

    /// Has `check --show` tell a value that was derived from others.
    pub(super) fn show_derived(&self, context: &mut CheckContext<'_>, name: &str, value: &str, from: &'static str) {
        context.derive(&join(&self.label, name), value, from);
    }

    /// Drops keys that can't be judged.
    pub(super) fn forget(&mut self, names: &[&str]) {
        names.iter().for_each(|name| drop(self.rest.remove(*name)));
    }

    /// Complains of every key that was not read.
    pub(super) fn finish(&mut self, context: &mut CheckContext<'_>) {
        for (name, entry) in std::mem::take(&mut self.rest) {
            let help = if context.findings.is_full() { None } else { keys::help_for_unknown(&self.pattern, &name) };
            let expected = if self.pattern.is_empty() { "a known table" } else { "a known key" };
            context.findings.add(Finding {
                severity: Severity::Error,
                key: self.pattern.clone(),
                expected: expected.to_owned(),
                found: quote(&name),
                help,
                at: entry.key,
                about: About::Unknown,
            });
        }
    }
}
