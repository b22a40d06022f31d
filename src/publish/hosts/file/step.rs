//! The named steps of a replacement, at each of which a hook is called.

use std::io;

use super::error::FileError;
use super::place::Place;

/// Where in the work a hook is called: right after what the name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The lock is ours.
    Locked,
    /// The content was read.
    Read,
    /// Nothing speaks against replacing it.
    Checked,
    /// The temporary file holds the new content.
    TempWritten,
    /// It has the owner, mode and attributes of the old file.
    MetadataCopied,
    /// It is on disk, under the name of its inode.
    TempSynced,
    /// The old file is still the one that was read.
    Rechecked,
    /// What it held is kept; the new one is stamped.
    Kept,
    /// The new file is in place.
    Swapped,
    /// The displaced file was compared with what was read.
    Compared,
    /// The folder is on disk.
    DirSynced,
    /// What is in place now was read.
    ReadBack,
    /// A displaced file holds nothing any more that is not in place.
    Folded,
}

/// A hook at each step, in order; from [`Step::Read`] on again for each attempt. An error from it ends the work as a
/// fault of the system at that place would.
pub type Hook<'h> = &'h mut dyn FnMut(Step) -> io::Result<()>;

/// For those who hook nothing.
///
/// # Errors
/// None.
pub fn no_hook(_: Step) -> io::Result<()> {
    Ok(())
}

/// Calls the hook.
pub(super) fn hook(steps: Hook<'_>, step: Step, place: &Place) -> Result<(), FileError> {
    steps(step).map_err(FileError::io("go on with replacing", &place.path))
}
