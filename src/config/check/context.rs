//! What every rule has at hand: the world it may look at, and where it writes down what it finds.

use std::cell::RefCell;
use std::collections::BTreeSet;

pub(super) use crate::config::complaint::Bad;
use crate::config::complaint::Severity;
use crate::config::effective::{Effective, place};
use crate::config::facts::{Environment, OutsideFacts};
use crate::config::findings::{Finding, Findings};
use crate::config::raw::{Node, Origin};
use crate::config::source_text::SourceText;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Located<T> {
    pub(super) value: T,
    /// `None` for a default.
    pub(super) at: Option<Origin>,
}

impl<T> Located<T> {
    /// What is wrong with it.
    pub(super) fn bad(&self, expected: impl Into<String>, found: impl Into<String>) -> Bad {
        Bad::found_at(&self.at, expected, found)
    }
}

/// The values of a list, without their places.
pub(super) fn values<T: Clone, C: FromIterator<T>>(all: &[Located<T>]) -> C {
    all.iter().map(|located| located.value.clone()).collect()
}

/// What was gathered beforehand.
#[derive(Clone, Copy)]
pub(crate) struct World<'i> {
    pub(crate) environment: &'i Environment,
    /// What was found at each path that the tree names; `None` for the hosts writer, which opens none of them.
    pub(crate) facts: Option<&'i OutsideFacts>,
    /// `Some` if the tree is that of a configuration that was kept: what lost a value by that, as
    /// [`RedactedConfig`](crate::config::RedactedConfig) names it. A probe that can't be set up then costs the
    /// endpoint its probe alone.
    pub(crate) left_out: Option<&'i BTreeSet<String>>,
}

/// What every rule has at hand: what it may look at, and where it writes down what it finds. All sections share it, so
/// what is written down lies in cells.
pub(super) struct CheckContext<'i> {
    pub(super) world: World<'i>,
    texts: &'i [SourceText],
    pub(super) findings: RefCell<Findings>,
    pub(super) effective: RefCell<Effective>,
    /// What a kept configuration has to do without, a sentence each.
    pub(super) without: RefCell<Vec<String>>,
}

impl<'i> CheckContext<'i> {
    pub(super) fn new(world: World<'i>, texts: &'i [SourceText], findings: Findings) -> Self {
        let (effective, without) = (RefCell::default(), RefCell::default());
        Self { world, texts, findings: RefCell::new(findings), effective, without }
    }

    /// Takes down what was found.
    pub(super) fn add(&self, finding: Finding) {
        self.findings.borrow_mut().add(finding);
    }

    /// Takes a complaint down.
    pub(super) fn complain(&self, key: &str, bad: Bad) {
        self.add(Finding::new(Severity::Error, key, bad));
    }

    /// Takes a warning down.
    pub(super) fn warn(&self, key: &str, bad: Bad) {
        self.add(Finding::new(Severity::Warning, key, bad));
    }

    /// Takes a slip down: what reads well and an agent can run on, and can't be meant. Who writes it is refused. A
    /// configuration that was kept may be older than the rule: it is taken with a warning, since without it its names
    /// have no agent.
    pub(super) fn slip(&self, key: &str, bad: Bad) {
        let severity = if self.world.left_out.is_some() { Severity::Warning } else { Severity::Error };
        self.add(Finding::new(severity, key, bad));
    }

    /// Does something, and hands out what it finds instead of taking it down.
    pub(super) fn aside<T>(&self, work: impl FnOnce() -> T) -> (T, Findings) {
        let before = self.findings.take();
        let result = work();
        (result, self.findings.replace(before))
    }

    /// Notes what a kept configuration has to do without, once.
    pub(super) fn lack(&self, what: String) {
        let mut without = self.without.borrow_mut();
        if !without.contains(&what) {
            without.push(what);
        }
    }

    /// What `work` makes, unless it finds an error, or there is something else `amiss`: then nothing that it finds is
    /// taken down, and `Err` says why it can't be used.
    pub(super) fn attempt<T>(&self, work: impl FnOnce() -> T, amiss: Option<&str>) -> Result<T, String> {
        let lacked = self.without.borrow().len();
        let (made, findings) = self.aside(work);
        let wrong =
            |Finding { key, bad, .. }: &Finding| format!("of {key}: expected {}, found {}", bad.expected, bad.found);
        if let Some(why) = amiss.map(str::to_owned).or_else(|| findings.first_error().map(wrong)) {
            self.without.borrow_mut().truncate(lacked);
            return Err(why);
        }
        self.findings.borrow_mut().append(findings);
        Ok(made)
    }

    /// Takes a value down for `check --show`; without an origin it is the default.
    pub(super) fn show(&self, label: &str, node: Option<&Node>, origin: Option<&Origin>) {
        let origin = origin.map_or_else(|| "default".to_owned(), |origin| place(self.texts, origin));
        self.effective.borrow_mut().add(label, node, origin);
    }
}

/// Where slips of a value go that is being read.
pub(super) struct Slips<'c> {
    pub(super) context: &'c CheckContext<'c>,
    pub(super) key: String,
}

impl Slips<'_> {
    /// The value, unless there is a slip in it that has to be refused ([`CheckContext::slip`]).
    pub(super) fn weigh<T>(&self, value: T, slip: Option<Bad>) -> Read<T> {
        match slip {
            Some(bad) if self.context.world.left_out.is_none() => return Err(vec![bad]),
            slip => slip.into_iter().for_each(|bad| self.context.slip(&self.key, bad)),
        }
        Ok(value)
    }
}

/// Why something has to be done without that a kept configuration lacks.
pub(super) const NOT_KEPT: &str = "what stands in the config itself and may be secret is not kept";

/// A value, or everything that is wrong with it.
pub(super) type Read<T> = Result<T, Vec<Bad>>;
