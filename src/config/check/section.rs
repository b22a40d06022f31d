//! A table that is taken apart key by key: what no rule read is an unknown key.

use super::context::{Bad, CheckContext, Located, Read, Slips};
use crate::config::complaint::Severity;
use crate::config::findings::{About, Finding};
use crate::config::keys::{self, join};
use crate::config::raw::{Node, Origin, Table, Value, parse_value, shown_name, toml_key};
use crate::config::source_text::quote;

/// A table being taken apart.
pub(super) struct Section<'c> {
    /// Where what is found is written down.
    pub(super) context: &'c CheckContext<'c>,
    /// Its path in the table of keys: `endpoint.probe`.
    pattern: String,
    /// Its path for `check --show`: `endpoint.orders.probe`.
    label: String,
    /// Where it stands; `None` if it is absent or was put together from several places.
    pub(super) at: Option<Origin>,
    /// What was not read yet.
    rest: Table,
}

impl<'c> Section<'c> {
    /// The whole configuration.
    pub(super) fn root(context: &'c CheckContext<'c>, rest: Table) -> Self {
        Self { context, pattern: String::new(), label: String::new(), at: None, rest }
    }

    /// The section `name` of this one.
    fn inner(&self, name: &str, at: Option<Origin>, rest: Table) -> Self {
        Self { context: self.context, pattern: self.key(name), label: join(&self.label, name), at, rest }
    }

    /// The path of `name` in the table of keys.
    fn key(&self, name: &str) -> String {
        join(&self.pattern, name)
    }

    /// A section of this one; empty if it is absent, so that its defaults count.
    pub(super) fn section(&mut self, name: &str) -> Self {
        self.optional_section(name).unwrap_or_else(|| self.inner(name, self.at.clone(), Table::new()))
    }

    /// A section of this one, if it is there.
    pub(super) fn optional_section(&mut self, name: &str) -> Option<Self> {
        let entry = self.rest.remove(name)?;
        match entry.node.value {
            Value::Table(rest) => Some(self.inner(name, entry.node.at.or(entry.key), rest)),
            _ => {
                self.complain(name, Bad::wrong_type(format!("a table [{}]", self.key(name)), &entry.node));
                None
            }
        }
    }

    /// The sections of a list of tables.
    pub(super) fn sections(&mut self, name: &str) -> Vec<Self> {
        let Some(entry) = self.rest.remove(name) else { return Vec::new() };
        let expected = || format!("tables [[{}]]", self.key(name));
        let Value::List(items) = entry.node.value else {
            let bad = Bad::wrong_type(expected(), &entry.node).help("write it with two brackets on each side");
            self.complain(name, bad);
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (i, item) in items.into_iter().enumerate() {
            match item.value {
                Value::Table(rest) => {
                    let section = self.inner(name, item.at, rest);
                    sections.push(Self { label: format!("{}.{i}", section.label), ..section });
                }
                _ => self.complain(name, Bad::wrong_type(expected(), &item)),
            }
        }
        sections
    }

    /// Lets `check --show` call this section by what `name` says, instead of a number.
    pub(super) fn label_by(&mut self, name: &str) {
        if let Some(text) = self.rest.get(name).and_then(|entry| entry.node.text()) {
            let parent = self.label.rsplit_once('.').map_or("", |(parent, _)| parent);
            self.label = join(parent, &toml_key(text));
        }
    }

    /// True if the key is there and was not read yet.
    pub(super) fn has(&self, name: &str) -> bool {
        self.rest.contains_key(name)
    }

    /// Reads a value, or its default, and keeps it no longer. `None` if it is absent and has no default, or if it is
    /// not what is wanted, which was complained about then.
    pub(super) fn read<T>(&mut self, name: &str, read: impl FnOnce(&Node) -> Read<T>) -> Option<Located<T>> {
        let path = self.key(name);
        let key = keys::find(&path);
        debug_assert!(key.is_some(), "{path} is not in the table of keys");
        let written = self.rest.remove(name);
        let origin = written.as_ref().and_then(|entry| entry.node.at.clone().or_else(|| entry.key.clone()));
        let default = || key.and_then(|k| k.default).and_then(parse_value);
        let node = written.map_or_else(default, |entry| Some(entry.node));
        self.context.show(&join(&self.label, name), node.as_ref(), origin.as_ref());
        let node = node?;
        match read(&node) {
            Ok(value) => Some(Located { value, at: node.at }),
            Err(all) => {
                for bad in all {
                    let at = bad.at.clone().or_else(|| node.at.clone());
                    self.context.complain(&path, Bad { at, ..bad });
                }
                None
            }
        }
    }

    /// As [`Section::read`], without the place.
    pub(super) fn value<T>(&mut self, name: &str, read: impl FnOnce(&Node) -> Read<T>) -> Option<T> {
        self.read(name, read).map(|located| located.value)
    }

    /// As [`Section::read`], for what may be read and be a slip.
    pub(super) fn read_weighed<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&Node, &Slips<'_>) -> Read<T>,
    ) -> Option<Located<T>> {
        let slips = self.slips(name);
        self.read(name, |node| read(node, &slips))
    }

    /// As [`Section::value`], but `default`, if there is one, where the value is absent.
    pub(super) fn value_or<T>(
        &mut self,
        name: &str,
        default: Option<T>,
        read: impl FnOnce(&Node) -> Read<T>,
    ) -> Option<T> {
        if default.is_some() && !self.has(name) { default } else { self.value(name, read) }
    }

    /// Reads a value that may be absent and has no default: `Some(None)` if it is. The outer `None` if it is wrong,
    /// which was complained about.
    pub(super) fn optional<T>(&mut self, name: &str, read: impl FnOnce(&Node) -> Read<T>) -> Option<Option<T>> {
        let written = self.has(name);
        let value = self.value(name, read);
        (value.is_some() || !written).then_some(value)
    }

    /// As [`Section::read`], and complains if the value is absent.
    pub(super) fn required<T>(&mut self, name: &str, read: impl FnOnce(&Node) -> Read<T>) -> Option<Located<T>> {
        if !self.has(name) {
            self.report_missing(name, None);
        }
        self.read(name, read)
    }

    /// Complains of the value of `name`.
    pub(super) fn complain(&self, name: &str, bad: Bad) {
        self.context.complain(&self.key(name), bad);
    }

    /// Where slips in the value of `name` go.
    pub(super) fn slips(&self, name: &str) -> Slips<'c> {
        Slips { context: self.context, key: self.key(name) }
    }

    /// Warns of the value of `name`.
    pub(super) fn warn(&self, name: &str, bad: Bad) {
        self.context.warn(&self.key(name), bad);
    }

    /// Complains that a key is missing.
    pub(super) fn report_missing(&self, name: &str, help: Option<&str>) {
        let kind = keys::find(&self.key(name)).map_or("a value", |k| k.kind);
        self.report_absence(name, format!("`{name}`, {kind}"), help);
    }

    /// Complains that something is missing that `name`, among others, could give.
    pub(super) fn report_absence(&self, name: &str, expected: impl Into<String>, help: Option<&str>) {
        let bad = Bad { help: help.map(str::to_owned), ..Bad::found_at(&self.at, expected, "none") };
        let finding = Finding::new(Severity::Error, self.key(name), bad);
        self.context.add(Finding { about: About::Absence, ..finding });
    }

    /// Complains of the value of `name` where another key asks for a different one.
    pub(super) fn report_conflict(&self, name: &str, expected: impl Into<String>, found: &str, help: &str) {
        self.complain(name, Bad::found_at(&self.at, expected, found).help(help));
    }

    /// Has `check --show` tell a value that was derived from others.
    pub(super) fn show_derived(&self, name: &str, value: &str, from: &str) {
        self.context.effective.borrow_mut().derive(&join(&self.label, name), value, from);
    }

    /// Drops keys that can't be judged.
    pub(super) fn forget(&mut self, names: &[&str]) {
        names.iter().for_each(|name| drop(self.rest.remove(*name)));
    }

    /// Complains of every key that was not read.
    pub(super) fn finish(&mut self) {
        for (name, entry) in std::mem::take(&mut self.rest) {
            let is_full = self.context.findings.borrow().is_full();
            let help = if is_full { None } else { keys::help_for_unknown(&self.pattern, &name) };
            let expected = if self.pattern.is_empty() { "a known table" } else { "a known key" };
            let bad = Bad { help, ..Bad::found_at(&entry.key, expected, quote(&shown_name(&name))) };
            let severity = if self.can_do_without(&name) { Severity::Warning } else { Severity::Error };
            let finding = Finding::new(severity, self.pattern.as_str(), bad);
            self.context.add(Finding { about: About::Unknown, ..finding });
        }
    }

    /// Whether an unknown key is passed over: a configuration that was kept may be of a later version, and what the
    /// rules here know of it keeps the names. Not where the key may narrow what is published or who is asked.
    fn can_do_without(&self, name: &str) -> bool {
        let passes = self.context.world.left_out.is_some() && keys::PASSED_OVER.contains(&self.pattern.as_str());
        if passes {
            let key = toml_key(&shown_name(name));
            let what = if self.pattern.is_empty() { key } else { format!("{}.{key}", self.pattern) };
            let why = keys::of_another(&self.pattern, name);
            let why = why.unwrap_or_else(|| "this version does not know it".to_owned());
            self.context.lack(format!("{what} is not in force: {why}"));
        }
        passes
    }
}
