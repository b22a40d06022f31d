//! A look at the hosts file, and what came of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{HostName, PublishErrorKind};
use crate::publish::hosts::adopt::{LinesOfOthers, TakenOver};
use crate::publish::hosts::block::{Block, OwnLines, Present};
use crate::publish::hosts::file::{Change, Displaced, LateEdit};
use crate::publish::hosts::policy::HostsPolicy;
use crate::sys::file_stamp::FileStamp;

/// One look at the file, and a write if it says something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// What the file should say.
    pub wanted: Block,
    /// What the lines of others in it should be.
    pub others: LinesOfOthers,
    /// The lines that we last wrote into it, as far as that is known.
    pub own: Option<OwnLines>,
    /// A file with this stamp is known to say what is wanted: it need not be read.
    pub known: Option<FileStamp>,
    /// Where everything is.
    pub policy: Arc<HostsPolicy>,
}

/// A job that worked: now the file says what was wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asserted {
    /// What of ours was there before.
    pub found: Present,
    /// Whether it had to be written.
    pub change: Change,
    /// Names that stand in foreign lines too, each with the number of the first one.
    pub shadowed: BTreeMap<HostName, usize>,
    /// What was taken out of lines of others.
    pub taken: TakenOver,
    /// Who would put lines with our names back, of those that are there or were taken over now, a sentence each.
    pub rewriters: Vec<String>,
    /// Of the file as it was read last.
    pub stamp: Option<FileStamp>,
    /// The lines in it that are ours.
    pub own: OwnLines,
    /// Those of the block that was there before: a command of ours may have written it.
    pub former: OwnLines,
    /// Lines that we had known as ours and that another wrote, too.
    pub theirs: OwnLines,
    /// How many lines of ours stood without their markers, and were taken out.
    pub gathered: Option<usize>,
    /// Edits by other programs that came in between, and are in the file now.
    pub folded: Vec<LateEdit>,
    /// The files that updates displaced, this one or others; `None` if that can't be told.
    pub displaced: Option<Vec<Displaced>>,
}

impl Asserted {
    /// Of a file that held this, and nothing else to tell.
    #[must_use]
    pub fn new(found: Present, change: Change) -> Self {
        Self {
            found,
            change,
            shadowed: BTreeMap::new(),
            taken: TakenOver::default(),
            rewriters: Vec::new(),
            stamp: None,
            own: OwnLines::default(),
            former: OwnLines::default(),
            theirs: OwnLines::default(),
            gathered: None,
            folded: Vec::new(),
            displaced: None,
        }
    }
}

/// A look at the displaced files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettleJob {
    /// Those that are to be folded in and deleted.
    pub ready: Vec<Settling>,
    /// Where everything is.
    pub policy: Arc<HostsPolicy>,
}

/// A displaced file that is to be folded in and deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settling {
    /// Which, as it was seen.
    pub file: Displaced,
    /// Also if somebody has it open for writing.
    pub even_if_open: bool,
}

/// What came of that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SettleReport {
    /// The displaced files that are there now.
    pub there: Vec<Displaced>,
    /// Edits that are in the hosts file now.
    pub folded: Vec<LateEdit>,
    /// How many were deleted although somebody has them open for writing.
    pub cut_off: usize,
    /// What could not be folded in, however often that was tried, and is kept as it is, a sentence each.
    pub given_up: Vec<String>,
    /// What went wrong, if anything did.
    pub fault: Option<String>,
}

/// A job that did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssertError {
    /// The closed kind.
    pub kind: PublishErrorKind,
    /// For people.
    pub detail: String,
    /// Lines that may have been written all the same, before something else went wrong.
    pub own: OwnLines,
}
