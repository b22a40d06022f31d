//! The hosts block for people: what is there, what would change, and once by hand. All of it blocks.

use std::path::Path;
use std::sync::Arc;

use super::ReadError;
use super::block;
use super::file::{self, FileError, NoHook};
use super::handover;
use super::policy::HostsPolicy;
use super::writer::core::{Action, Core, Input};
use super::writer::{self, perform, store};
use crate::model::{Plan, Receipt};
use crate::sys::clock::Clock;

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The hosts file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The hand-over.
    #[error(transparent)]
    Handover(#[from] ReadError),
    /// Neither the agent nor the writer has left anything to publish.
    #[error("nothing to publish yet: no hand-over in {} and no last known good in {}", agent.display(), writer.display())]
    Nothing {
        /// The agent's run folder.
        agent: std::path::PathBuf,
        /// The writer's state folder.
        writer: std::path::PathBuf,
    },
    /// A folder of the writer can't be used.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: std::path::PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// The bytes of our block in the file, with its markers; `None` if there is no whole one.
///
/// # Errors
/// The file can't be read.
pub fn show(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    let bytes = file::read(path)?.unwrap_or_default();
    Ok(block::find(&bytes).map(<[u8]>::to_vec))
}

/// What the block in the file says of the names of the config: the last plan, for an agent that lost its own. `None` if
/// there is no block that can be read.
#[must_use]
pub fn last_plan(policy: &HostsPolicy) -> Option<Plan> {
    let mut block = block::salvage(&file::read(&policy.path).ok()??)?;
    block.entries.retain(|name, _| policy.names.contains(name));
    let answers = block.entries.into_iter().map(|(name, entry)| (name, entry.into())).collect();
    Some(Plan { answers, ..Plan::default() })
}

/// What the writer would change now, as a unified diff; empty if nothing. Nothing is written. Bytes that are not
/// UTF-8 show as replacement characters.
///
/// # Errors
/// The file or the hand-over can't be read, or there is nothing to publish.
pub fn diff(policy: &Arc<HostsPolicy>, clock: Clock) -> Result<String, InspectError> {
    let handover = handover::read(&policy.agent_run_dir)?;
    let old = file::read(&policy.path)?.unwrap_or_default();
    let (saved, file_says) = match store::peek(&policy.state_dir) {
        Some(block) => (Some(block), None),
        None => (None, block::salvage(&old)),
    };
    if handover.is_none() && saved.is_none() && file_says.is_none() {
        return Err(nothing(policy));
    }
    let mut core = Core::new(Arc::clone(policy), saved.clone(), file_says, clock.now().boottime);
    core.step(Input::Handover(Ok(handover)), clock.now());
    let new = block::splice(&old, core.wanted(), saved.as_ref());
    let (old, new) = (String::from_utf8_lossy(&old), String::from_utf8_lossy(&new));
    let path = policy.path.display().to_string();
    let wanted = format!("{path} (wanted)");
    Ok(similar::TextDiff::from_lines(&*old, &*new).unified_diff().header(&path, &wanted).to_string())
}

/// Does what the running writer would do now, once, under the same lock, whether one runs or not, and whatever
/// `publish` says: it was asked for by hand. Keeps the last known good; leaves the receipt to the running writer and
/// gives it back instead (`changed`, `error`, a verdict a name).
///
/// # Errors
/// There is nothing to publish, the hand-over can't be read, or what was published can't be saved. What the file
/// refused is in the receipt.
pub fn apply_once(policy: &HostsPolicy, clock: Clock) -> Result<Receipt, InspectError> {
    let policy = Arc::new(HostsPolicy { publish: true, ..policy.clone() });
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| InspectError::Io { path, source }
    };
    store::prepare(&policy).map_err(io(&policy.state_dir))?;
    let handover = handover::read(&policy.agent_run_dir)?;
    let (saved, file_says) = writer::recall(&policy);
    if handover.is_none() && saved.is_none() && file_says.is_none() {
        return Err(nothing(&policy));
    }
    let mut core = Core::new(Arc::clone(&policy), saved, file_says, clock.now().boottime);
    let mut actions = core.step(Input::Handover(Ok(handover)), clock.now());
    if let [Action::Assert(job)] = actions.as_slice() {
        let result = perform::assert(job, &mut NoHook);
        actions = core.step(Input::Asserted(result), clock.now());
    }
    for action in actions {
        if let Action::Save(block) = action {
            store::save(&policy.state_dir, &block).map_err(io(&policy.state_dir))?;
        }
    }
    Ok(core.receipt(clock.now()))
}

fn nothing(policy: &HostsPolicy) -> InspectError {
    InspectError::Nothing { agent: policy.agent_run_dir.clone(), writer: policy.state_dir.clone() }
}
