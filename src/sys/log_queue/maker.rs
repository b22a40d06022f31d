//! Who makes a log line: we, or an outsider by what it sends.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata};

/// The tracing target of our own lines that an outsider can cause as often as it likes, such as a server that fails
/// at every other probe, and of what became of targets and names. They are limited as the lines of libraries are; the
/// module stays in the record.
pub const PROVOKED: &str = "privatelinkd::provoked";

/// Fields that say whom a line of ours is about. Their values come from the config, the inventory or the code.
const SUBJECT: [&str; 6] = ["event", "endpoint", "zone", "address", "name", "check"];

/// Who.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Maker {
    /// This program, of its own accord.
    Us,
    /// A library, or an outsider through a line of ours.
    Others,
}

/// Lines of one kind share their limit: those of one call site and, where the line is ours, about one subject. What a
/// library puts into its fields may be the outsider's text, so it makes no kind of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    call_site: Identifier,
    subject: Option<u64>,
}

/// True for the lines of this crate.
pub(super) fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with(env!("CARGO_PKG_NAME"))
}

pub(super) fn maker(metadata: &Metadata<'_>) -> Maker {
    if is_ours(metadata) && metadata.target() != PROVOKED { Maker::Us } else { Maker::Others }
}

/// The module that logged, whatever the target says of the maker.
pub(super) fn module(metadata: &'static Metadata<'static>) -> &'static str {
    let target = metadata.target();
    if target == PROVOKED { metadata.module_path().unwrap_or(target) } else { target }
}

impl Kind {
    pub(super) fn new(event: &Event<'_>) -> Self {
        let metadata = event.metadata();
        let subject = is_ours(metadata).then(|| {
            let mut subject = Subject(DefaultHasher::new());
            event.record(&mut subject);
            subject.0.finish()
        });
        Self { call_site: metadata.callsite(), subject }
    }
}

struct Subject(DefaultHasher);

impl Visit for Subject {
    /// Subjects are text. Anything else would have to be formatted first.
    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}

    fn record_str(&mut self, field: &Field, value: &str) {
        if SUBJECT.contains(&field.name()) {
            (field.name(), value).hash(&mut self.0);
        }
    }
}
