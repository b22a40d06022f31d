//! Whose the lines of a hosts file are that read as ours do.

use super::core::{FORMER, Job};
use super::store;
use crate::publish::hosts::adopt::{self, Wanted};
use crate::publish::hosts::block::{OwnLines, Present};

/// What is known of such lines before a look changes anything.
#[derive(Debug)]
pub(super) struct WhoseLines {
    /// Those of the block that is there, and those that a command has kept as its own.
    pub(super) former: OwnLines,
    /// Those of the block that is wanted, and of what earlier attempts of the same look wrote.
    pub(super) own: OwnLines,
    /// All that are known as ours.
    pub(super) known: OwnLines,
    /// Those that stand outside of the block, too, of all that were searched for.
    outside: OwnLines,
    /// All that are known were searched for.
    has_all: bool,
}

impl WhoseLines {
    /// In this file, of which `found` is the block. `before` is what earlier attempts of the same look may have
    /// written, which an editor may have taken up from there.
    pub(super) fn of(job: &Job, found: &Present, content: &[u8], before: &OwnLines) -> Self {
        let there = match found {
            Present::Whole(there) => OwnLines::all(there),
            Present::Absent | Present::Damaged => OwnLines::default(),
        };
        let wanted = OwnLines::all(&job.wanted);
        // For all of them at once, since the file may be large.
        let outside = adopt::lines_outside(&there.clone().with([&wanted, before]).with(&job.own), content);
        let former = there.without(&outside);
        let kept = kept(job, &former);
        let former = former.with(&kept);
        let known = former.clone().with(&job.own).with([before]);
        Self { own: wanted.without(&outside).with([before]), former, known, outside, has_all: kept.is_none() }
    }

    /// Those that this look leaves outside of the block: they are another's, whatever we wrote before.
    pub(super) fn theirs(&self, wanted: &Wanted<'_>) -> OwnLines {
        if self.has_all && wanted.gathered.is_none() {
            return self.outside.clone().among(&self.known);
        }
        adopt::lines_outside(&self.known, &wanted.file)
    }
}

/// What a command has kept as its own lines, where the job does not know those of the block that is there.
fn kept(job: &Job, there: &OwnLines) -> Option<OwnLines> {
    match &job.own {
        _ if there.is_empty() => store::own_lines(&job.policy, Some(FORMER)),
        Some(own) if own.has_all(there) => None,
        _ => store::own_lines(&job.policy, None),
    }
}
