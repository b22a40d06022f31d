//! Gives lines of others back what was taken out of them, by hand: `hosts unadopt`. It needs neither an agent nor
//! state: the file tells all. All of it blocks.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use super::adopt;
use super::file::{self, FileError, no_hook};
use super::inspect::{InspectError, io, settle_soon, unified_diff};
use super::policy::HostsPolicy;
use super::writer::{apply, store};
use crate::sys::clock::Clock;

/// What came of it, or would.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unadopted {
    /// How many lines are as they were again.
    pub lines: usize,
    /// The numbers of the lines, from 1, that somebody changed since something was taken out of them: they stay.
    pub changed: Vec<usize>,
}

impl Unadopted {
    /// What is to be said of the lines that stay, a sentence each.
    pub fn stays(&self, path: &Path) -> impl Iterator<Item = String> {
        let what = "somebody changed it since names of ours were taken out of it, and it stays as it is";
        self.changed.iter().map(move |line| format!("{}: line {line}: {what}", path.display()))
    }
}

/// What would come of [`once`] now. Nothing is written.
///
/// # Errors
/// The file can't be read.
pub fn look(path: &Path) -> Result<Unadopted, FileError> {
    let file = file::read(path)?.unwrap_or_default();
    let adopt::GivenBack { lines, changed, .. } = adopt::unadopt(&file);
    Ok(Unadopted { lines, changed })
}

/// What [`once`] would change now, as a unified diff, empty if nothing; and what would come of it. Nothing is written.
///
/// # Errors
/// The file can't be read.
pub fn diff(path: &Path) -> Result<(String, Unadopted), FileError> {
    let old = file::read(path)?.unwrap_or_default();
    let adopt::GivenBack { file, lines, changed } = adopt::unadopt(&old);
    Ok((unified_diff(path, &old, &file), Unadopted { lines, changed }))
}

/// Gives them back once, under the lock of all writers of ours and by the same exchange.
///
/// # Errors
/// What the file refused, or a folder of the writer can't be used.
pub fn once(policy: &Arc<HostsPolicy>, clock: Clock) -> Result<Unadopted, InspectError> {
    store::prepare(policy).map_err(io(&policy.state_dir))?;
    apply::recover(policy)?;
    let lock = apply::lock_path(policy);
    let mut done = Unadopted::default();
    file::replace::<FileError>(apply::target(policy, &lock), &mut no_hook, |content| {
        let adopt::GivenBack { file, lines, changed } = adopt::unadopt(content);
        done = Unadopted { lines, changed };
        Ok(match file {
            Cow::Borrowed(_) => None,
            Cow::Owned(new) => Some(new),
        })
    })?;
    settle_soon(policy, clock);
    Ok(done)
}
