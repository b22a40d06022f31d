//! What came of a replacement, and of a displaced file.

use std::path::PathBuf;

use crate::sys::file_stamp::FileStamp;

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the file was replaced.
    pub change: Change,
    /// What it was seen to hold at the end: what was wanted, unless another program changed it right after.
    pub content: Vec<u8>,
    /// Of the file that held it; `None` if there is none.
    pub stamp: Option<FileStamp>,
    /// Late edits by other programs that were folded in.
    pub folded: Vec<LateEdit>,
}

/// Whether the file was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It held what it should.
    Unchanged,
    /// Replaced.
    Written,
    /// Written in place.
    Overwritten,
    /// It was not there and now is, with mode 0644.
    Created,
}

/// An edit that another program made in a file that we had replaced meanwhile: it is in the hosts file now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateEdit {
    /// If both had changed the same lines, so that both stand in the file: where the displaced file was saved.
    pub conflict: Option<PathBuf>,
    /// How many earlier ones that were saved had to go for it.
    pub gave_way: usize,
}

/// What became of a displaced file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It is gone: another process has settled it.
    Gone,
    /// Somebody writes into it, or did just now; or the hosts file changed all the time. It stays.
    NotQuiet,
    /// What had been edited in it is in the hosts file. It is deleted, unless that was folded in just now: then it
    /// stays for a while, and a later call folds in again what somebody undid who had read the hosts file before.
    Done(Vec<LateEdit>),
}
