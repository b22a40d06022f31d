//! A look at the hosts file, and what came of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{HostName, PublishErrorKind};
use crate::publish::hosts::block::{Block, Present};
use crate::publish::hosts::file::Change;
use crate::publish::hosts::policy::HostsPolicy;
use crate::sys::file_stamp::FileStamp;

/// One look at the file, and a write if it says something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// What the file should say.
    pub wanted: Block,
    /// What we last made it say, if we did.
    pub last: Option<Block>,
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
    /// Of the file as it was read last.
    pub stamp: Option<FileStamp>,
}

/// A job that did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssertError {
    /// The closed kind.
    pub kind: PublishErrorKind,
    /// For people.
    pub detail: String,
}
