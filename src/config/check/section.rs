//! A table that is taken apart key by key: what no taker took is unknown.

use super::{CheckContext, Located};
use crate::config::complaint::Severity;
use crate::config::effective::Source;
use crate::config::findings::{About, Finding};
use crate::config::keys::{self, join};
use crate::config::raw::{Node, Origin, Table, Value, parse_value};
use crate::config::source_text::quote;

/// Why a value is not what a taker wants.
#[derive(Debug, Clone)]
pub(super) struct Bad {
    pub(super) expected: String,
    pub(super) found: String,
    pub(super) help: Option<String>,
    /// The element that is meant, if it is not the whole value.
    pub(super) at: Option<Origin>,
}

impl Bad {
    pub(super) fn new(expected: impl Into<String>, node: &Node) -> Self {
        Self { expected: expected.into(), found: node.found(), help: None, at: node.at.clone() }
    }

    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// A value, or everything that is wrong with it.
pub(super) type Read<T> = Result<T, Vec<Bad>>;

/// A table being taken apart.
#[derive(Debug)]
pub(super) struct Section {
    /// Its path in the table of keys: `endpoint.probe`.
    pattern: String,
    /// Its path for `check --show`: `endpoint.orders.probe`.
    label: String,
    /// Where it stands; `None` if it is absent or was put together from several places.
    pub(super) at: Option<Origin>,
    /// What no taker took yet.
    rest: Table,
}

impl Section {
    /// The whole configuration.
    pub(super) fn root(rest: Table) -> Self {
        Self { pattern: String::new(), label: String::new(), at: None, rest }
    }

    /// A section of this one; empty if it is absent, so that its defaults are taken.
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
                context.complain(&pattern, Bad::of_type(format!("a table [{pattern}]"), &entry.node));
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
            let bad = Bad::of_type(expected(), &entry.node).help("write it with two brackets on each side");
            context.complain(&pattern, bad);
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (i, item) in items.into_iter().enumerate() {
            let label = format!("{label}.{i}");
            match item.value {
                Value::Table(rest) => sections.push(Self { pattern: pattern.clone(), label, at: item.at, rest }),
                _ => context.complain(&pattern, Bad::of_type(expected(), &item)),
            }
        }
        sections
    }

    /// Lets `check --show` call this section by what `name` says, instead of a number.
    pub(super) fn label_by(&mut self, name: &str) {
        if let Some(text) = self.text(name).map(str::to_owned) {
            let parent = self.label.rsplit_once('.').map_or("", |(parent, _)| parent);
            self.label = join(parent, &crate::config::raw::toml_key(&text));
        }
    }

    /// True if the key is there and was not taken yet.
    pub(super) fn has(&self, name: &str) -> bool {
        self.rest.contains_key(name)
    }

    /// A text, without taking it.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.rest.get(name)?.node.text()
    }

    /// Takes a value, or its default. `None` if it is absent and has none, or if it is not what is wanted (then that
    /// was said).
    pub(super) fn take<T>(
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
                let source = Source::at(entry.node.at.as_ref().or(entry.key.as_ref()));
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

    /// Takes a value that must be there; says so if it is not.
    pub(super) fn required<T>(
        &mut self,
        context: &mut CheckContext<'_>,
        name: &str,
        read: impl FnOnce(&Node) -> Read<T>,
    ) -> Option<Located<T>> {
        if !self.has(name) {
            self.miss(context, name, None);
        }
        self.take(context, name, read)
    }

    /// Says that a key lacks.
    pub(super) fn miss(&self, context: &mut CheckContext<'_>, name: &str, help: Option<&str>) {
        let kind = keys::find(&join(&self.pattern, name)).map_or("a value", |k| k.kind);
        self.lack(context, name, format!("`{name}`, {kind}"), help);
    }

    /// Says that something lacks that `name`, among others, could give.
    pub(super) fn lack(&self, context: &mut CheckContext<'_>, name: &str, expected: String, help: Option<&str>) {
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
    pub(super) fn clash(
        &self,
        context: &mut CheckContext<'_>,
        name: &str,
        (expected, found): (String, &str),
        help: &str,
    ) {
        let bad = Bad { expected, found: found.to_owned(), help: Some(help.to_owned()), at: self.at.clone() };
        context.complain(&join(&self.pattern, name), bad);
    }

    /// Says a value that was derived from others, for `check --show`.
    pub(super) fn derived(&self, context: &mut CheckContext<'_>, name: &str, value: &str, from: &'static str) {
        context.derive(&join(&self.label, name), value, from);
    }

    /// Drops keys that can't be judged.
    pub(super) fn forget(&mut self, names: &[&str]) {
        names.iter().for_each(|name| drop(self.rest.remove(*name)));
    }

    /// Complains of every key that no taker took.
    pub(super) fn finish(mut self, context: &mut CheckContext<'_>) {
        self.finish_rest(context);
    }

    /// The same, where the section is only lent.
    pub(super) fn finish_rest(&mut self, context: &mut CheckContext<'_>) {
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

impl Bad {
    /// For a value of the wrong type: does not show its text.
    pub(super) fn of_type(expected: impl Into<String>, node: &Node) -> Self {
        Self { found: node.type_name().to_owned(), ..Self::new(expected, node) }
    }
}
