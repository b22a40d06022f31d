//! What every rule has at hand: the world it may look at, and where it writes down what it finds.

use std::collections::BTreeSet;

use crate::config::complaint::Severity;
use crate::config::effective::{Effective, Source, place};
use crate::config::facts::{Environment, OutsideFacts};
use crate::config::findings::{About, Finding, Findings};
use crate::config::raw::{Node, Origin};
use crate::config::source_text::SourceText;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Located<T> {
    pub(super) value: T,
    /// `None` for a default.
    pub(super) at: Option<Origin>,
}

/// What was gathered beforehand.
#[derive(Clone, Copy)]
pub(crate) struct World<'i> {
    pub(crate) environment: &'i Environment,
    /// What was found at each path that the tree names; `None` for the hosts writer, which opens none of them.
    pub(crate) facts: Option<&'i OutsideFacts>,
    /// `Some` if the tree is that of a configuration that was kept: the names of the endpoints that lost a header
    /// value by that. A probe that can't be set up then costs the endpoint its probe alone.
    pub(crate) left_out: Option<&'i BTreeSet<String>>,
}

/// What every rule has at hand: what it may look at, and where it writes down what it finds.
pub(super) struct CheckContext<'i> {
    pub(super) world: World<'i>,
    texts: &'i [SourceText],
    pub(super) findings: Findings,
    pub(super) effective: Effective,
    /// What a kept configuration has to do without, a sentence each.
    pub(super) without: Vec<String>,
}

impl<'i> CheckContext<'i> {
    pub(super) fn new(world: World<'i>, texts: &'i [SourceText], findings: Findings) -> Self {
        Self { world, texts, findings, effective: Effective::default(), without: Vec::new() }
    }
}

impl CheckContext<'_> {
    /// Takes a complaint down.
    pub(super) fn complain(&mut self, key: &str, bad: Bad) {
        self.find(Severity::Error, key, bad);
    }

    /// Takes a warning down.
    pub(super) fn warn(&mut self, key: &str, bad: Bad) {
        self.find(Severity::Warning, key, bad);
    }

    fn find(&mut self, severity: Severity, key: &str, bad: Bad) {
        let Bad { expected, found, help, at } = bad;
        self.findings.add(Finding { severity, key: key.to_owned(), expected, found, help, at, about: About::Written });
    }

    /// Does something, and hands out what it finds instead of taking it down.
    pub(super) fn aside<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> (T, Findings) {
        let before = std::mem::take(&mut self.findings);
        let result = work(self);
        (result, std::mem::replace(&mut self.findings, before))
    }

    pub(super) fn show(&mut self, label: &str, pattern: &str, node: Option<&Node>, source: Source) {
        let origin = match source {
            Source::Default => "default".to_owned(),
            Source::Written(origin) => place(self.texts, &origin),
        };
        self.effective.add(label, pattern, node, origin);
    }

    pub(super) fn derive(&mut self, label: &str, value: &str, from: &str) {
        self.effective.derive(label, value, from);
    }
}

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

    /// For a value of the wrong type: does not show its text.
    pub(super) fn wrong_type(expected: impl Into<String>, node: &Node) -> Self {
        Self { found: node.type_name().to_owned(), ..Self::new(expected, node) }
    }

    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// A value, or everything that is wrong with it.
pub(super) type Read<T> = Result<T, Vec<Bad>>;
