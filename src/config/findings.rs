//! Collects what the rules find, and turns it into complaints once everything is known that must not be shown.

use std::borrow::Cow;
use std::ops::Range;

use super::complaint::{Bad, Complaint, Complaints, Severity};
use super::keys;
use super::merge::Repeat;
use super::raw::{Mistake, Origin};
use super::redaction::Redaction;
use super::source_text::SourceText;

/// One thing that a rule found.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    pub(crate) key: String,
    pub(crate) about: About,
    pub(crate) bad: Bad,
}

impl Finding {
    /// About something that is written.
    pub(crate) fn new(severity: Severity, key: impl Into<String>, bad: Bad) -> Self {
        Self { severity, key: key.into(), about: About::Written, bad }
    }
}

/// What kind of thing was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// Something that is written.
    Written,
    /// Something lacks. Not to be trusted where part of a text could not be read.
    Absence,
    /// A key that this version does not know.
    Unknown,
}

impl From<Repeat> for Finding {
    fn from(Repeat { key, identity, at }: Repeat) -> Self {
        let bad = Bad::found_at(&at, "each one once in a file", format!("{identity} twice"));
        Self::new(Severity::Error, key, bad.help("only drop-ins, in other files, add to an entry"))
    }
}

/// What was found so far.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    kept: Vec<Finding>,
    omitted: usize,
    errors: usize,
    for_writer: bool,
    /// Errors that don't concern the hosts writer.
    tolerated: usize,
}

impl Findings {
    /// Those that concern the hosts writer: an error in what it needs. Of a newer version's keys it need not know.
    pub(crate) fn for_writer() -> Self {
        Self { for_writer: true, ..Self::default() }
    }

    /// Adds what was found aside.
    pub(crate) fn append(&mut self, other: Self) {
        let errors = self.errors + other.errors;
        self.omitted += other.omitted;
        other.kept.into_iter().for_each(|finding| self.add(finding));
        self.errors = errors;
    }

    /// Drops what concerns the agent alone, and remembers only whether there was an error.
    pub(crate) fn tolerate(&mut self, of_agent: &Self) {
        self.tolerated += of_agent.errors;
    }

    /// True once an error was dropped that only the agent minds.
    pub(crate) fn has_tolerated(&self) -> bool {
        self.tolerated > 0
    }

    /// The first error.
    pub(crate) fn first_error(&self) -> Option<&Finding> {
        self.kept.iter().find(|f| f.severity == Severity::Error)
    }

    /// Adds one. Past the limit they are only counted, but an error takes the place of a warning.
    pub(crate) fn add(&mut self, finding: Finding) {
        let is_error = finding.severity == Severity::Error;
        let concerns_writer = || is_error && finding.about != About::Unknown && keys::concerns_writer(&finding.key);
        if self.for_writer && !concerns_writer() {
            self.tolerated += usize::from(is_error);
            return;
        }
        self.errors += usize::from(is_error);
        if !self.is_full() {
            self.kept.push(finding);
            return;
        }
        self.omitted += 1;
        let warning = self.kept.iter_mut().find(|f| is_error && f.severity == Severity::Warning);
        if let Some(warning) = warning {
            *warning = finding;
        }
    }

    /// True once more are only counted, so that their words are not needed.
    pub(crate) fn is_full(&self) -> bool {
        self.kept.len() >= Complaints::LIMIT
    }

    /// True once an error was added.
    pub(crate) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Everything found, and every place where a text is not TOML, as complaints in the order of the files.
    pub(crate) fn into_complaints(
        self,
        texts: &[SourceText],
        mistakes: &[Vec<Mistake>],
        hidden: &Redaction,
    ) -> Complaints {
        let broken = Broken::new(texts, mistakes);
        let mut omitted = if broken.any() { 0 } else { self.omitted };
        let mut placed: Vec<(Option<Origin>, Complaint)> = Vec::new();
        let mut place = |at: Option<Origin>, make: &dyn Fn() -> Complaint| {
            if placed.len() < Complaints::LIMIT { placed.push((at, make())) } else { omitted += 1 }
        };
        // Where the text is no TOML comes first: the rest may follow from it.
        for (file, (text, list)) in texts.iter().zip(mistakes).enumerate() {
            for Mistake { span, expected, found, help } in list {
                let at = Some(Origin { file, span: span.clone() });
                let bad = || Bad { help: help.clone(), ..Bad::found_at(&at, expected, found) };
                let syntax = || Finding::new(Severity::Error, "", bad());
                let hide = || hidden.ranges_in_broken_line(file, text, span.start);
                place(at.clone(), &|| complaint(syntax(), texts, &hide()));
            }
        }
        for finding in self.kept.into_iter().filter(|f| broken.trusts(f)) {
            let at = finding.bad.at.clone();
            let hide = hidden_around(at.as_ref(), texts, mistakes, hidden);
            place(at, &|| complaint(finding.clone(), texts, &hide));
        }
        placed.sort_by_key(|(at, _)| at.as_ref().map_or((0, 0), |a| (a.file, a.span.start)));
        Complaints { complaints: placed.into_iter().map(|(_, c)| c).collect(), omitted }
    }
}

/// What to hide on a line. Where a text is not TOML elsewhere, the tree may lack parts of this line, too.
fn hidden_around<'h>(
    at: Option<&Origin>,
    texts: &[SourceText],
    mistakes: &[Vec<Mistake>],
    hidden: &'h Redaction,
) -> Cow<'h, [Range<usize>]> {
    let Some(at) = at else { return Cow::default() };
    match texts.get(at.file).filter(|_| mistakes.get(at.file).is_some_and(|list| !list.is_empty())) {
        Some(text) => hidden.ranges_in_broken_line(at.file, text, at.span.start).into(),
        None => hidden.ranges_in(at.file).into(),
    }
}

fn complaint(finding: Finding, texts: &[SourceText], hidden: &[Range<usize>]) -> Complaint {
    let Finding { severity, key, about: _, bad: Bad { expected, found, help, at } } = finding;
    let place = at.and_then(|at| texts.get(at.file).map(|text| (text, at)));
    let file = place.as_ref().map(|(text, _)| *text).or(texts.first()).map(|t| t.name.clone()).unwrap_or_default();
    let (line, column) = place.as_ref().map(|(text, at)| text.position(at.span.start)).unzip();
    let excerpt = place.map(|(text, at)| text.excerpt(&at.span, hidden));
    Complaint { severity, file, line, column, key, expected, found, help, excerpt }
}

/// Where the texts are not TOML: what the parser made of such a place is its own invention.
struct Broken<'t> {
    texts: &'t [SourceText],
    /// By file: the lines that can't be trusted.
    lines: Vec<Vec<Range<usize>>>,
}

impl<'t> Broken<'t> {
    fn new(texts: &'t [SourceText], mistakes: &[Vec<Mistake>]) -> Self {
        let of_file = |(text, list): (&SourceText, &Vec<Mistake>)| list.iter().map(|m| region(text, m)).collect();
        Self { texts, lines: texts.iter().zip(mistakes).map(of_file).collect() }
    }

    fn any(&self) -> bool {
        self.lines.iter().any(|l| !l.is_empty())
    }

    /// Whether a finding stands on what was written, not on what the parser made up.
    fn trusts(&self, finding: &Finding) -> bool {
        if !self.any() {
            return true;
        }
        let Some(at) = finding.bad.at.as_ref().filter(|_| finding.about != About::Absence) else { return false };
        let (Some(text), Some(lines)) = (self.texts.get(at.file), self.lines.get(at.file)) else { return true };
        let (first, last) = (text.line_of(at.span.start), text.line_of(at.span.end));
        !lines.iter().any(|r| r.start <= last && first < r.end)
    }
}

/// The lines that one mistake spoils.
fn region(text: &SourceText, mistake: &Mistake) -> Range<usize> {
    let from = text.line_of(mistake.span.start);
    let mut to = text.line_of(mistake.span.end).max(from) + 1;
    // Behind a broken table header every key may have landed in the wrong table.
    if text.line(from).trim_start().starts_with('[') {
        while to < text.line_count() && !text.line(to).trim_start().starts_with('[') {
            to += 1;
        }
    }
    from..to
}
