//! The hosts block for people: what is there, what would change, and once by hand. All of it blocks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::ReadError;
use super::adopt;
use super::block;
use super::file::{self, FileError};
use super::handover;
use super::life_file::LifeFile;
use super::policy::HostsPolicy;
use super::removed;
use super::writer::core::{Action, Core, Input, Origin, Recalled, SettleJob, SettleReport, Settling, ThisHost};
use super::writer::{self, apply, store};
use crate::model::shown::count;
use crate::model::{HostName, Identity, IdentityPart, Plan, Receipt, Wall, taken_out};
use crate::publish::admission::{LastAdmitted, Refusal};
use crate::sys::clock::Clock;

/// How long a command waits until nobody writes any more into what it displaced; then that is the running writer's, or
/// the next one's.
const SETTLING_AT_MOST: Duration = Duration::from_secs(4);
/// Between two looks at that.
const SETTLING_LOOK: Duration = Duration::from_millis(50);

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The hosts file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The hand-over.
    #[error(transparent)]
    Handover(#[from] ReadError),
    /// The hand-over is not this machine's.
    #[error("{}: written on another machine: {part} differs", path.display())]
    Foreign {
        /// Which.
        path: std::path::PathBuf,
        /// What tells.
        part: IdentityPart,
    },
    /// Nobody can tell what is ours in the hosts file.
    #[error("{}: {unclear}", path.display())]
    Markers {
        /// Which.
        path: std::path::PathBuf,
        /// Why not.
        unclear: block::Unclear,
    },
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

/// Whether there is anything of ours in the file, whole or not; false where it can't be read.
#[must_use]
pub fn has_block(path: &Path) -> bool {
    block::present(&file::read(path).ok().flatten().unwrap_or_default()) != block::Present::Absent
}

/// The names that an agent handed over last or, after a boot, those of the block.
#[must_use]
pub fn handed_over(agent_run_dir: &Path, policy: Option<&HostsPolicy>) -> BTreeSet<HostName> {
    let answers = match handover::read(agent_run_dir) {
        Ok(Some(handover)) => handover.plan,
        Ok(None) | Err(_) => policy.and_then(last_plan).map(|plan| plan.answers).unwrap_or_default(),
    };
    answers.into_keys().collect()
}

/// What the block in the file says of the names of the config: the last plan, for an agent that lost its own. `None` if
/// there is no block that can be read.
#[must_use]
pub fn last_plan(policy: &HostsPolicy) -> Option<Plan> {
    let mut block = block::salvage(&file::read(&policy.path).ok()??)?;
    block.entries.retain(|name, _| policy.rules.has_name(name));
    let answers = block.entries.into_iter().map(|(name, entry)| (name, entry.into())).collect();
    Some(Plan { answers, ..Plan::default() })
}

/// What the writer would change now, as a unified diff; empty if nothing. Nothing is written. Bytes that are not
/// UTF-8 show as replacement characters.
///
/// # Errors
/// The file or the hand-over can't be read, or there is nothing to publish.
pub fn diff(policy: &Arc<HostsPolicy>, clock: Clock) -> Result<String, InspectError> {
    let (mut core, inputs) = begin(policy, clock)?;
    let order = Input::Removal(removed::since(&policy.admin_dir));
    core.step_all(inputs.into_iter().chain([order]), clock.now());
    compared(policy, &core)
}

/// As [`diff`], if the agent handed this plan over now.
///
/// # Errors
/// The file can't be read.
pub fn diff_of(policy: &Arc<HostsPolicy>, plan: &Plan, clock: Clock) -> Result<String, InspectError> {
    let here = ThisHost::of_this_machine();
    let known = handed_over(&policy.agent_run_dir, Some(policy));
    let handover = handover::make(&handover::fitting(plan, &known), &here.boot_id, &here.identity);
    let (recalled, _) = writer::recall(policy, &here);
    let mut core = Core::new(Arc::clone(policy), here, recalled, clock.now().boottime);
    let order = Input::Removal(removed::since(&policy.admin_dir));
    core.step_all([Input::Handover(Ok(Some(handover))), order], clock.now());
    compared(policy, &core)
}

/// Which answers of the plan the writer would refuse, and why.
#[must_use]
pub fn refused(policy: &HostsPolicy, plan: &Plan, clock: Clock) -> BTreeMap<HostName, Refusal> {
    let known = handed_over(&policy.agent_run_dir, Some(policy));
    let handover = handover::make(&handover::fitting(plan, &known), "", &Identity::default());
    policy.rules.admit(Some(&handover), &LastAdmitted::default(), clock.now().boottime).refused
}

fn compared(policy: &HostsPolicy, core: &Core) -> Result<String, InspectError> {
    let old = file::read(&policy.path)?.unwrap_or_default();
    let own = store::own_lines(policy, None);
    let new = adopt::wanted(&old, core.wanted(), own.as_ref(), core.others())
        .map_err(|unclear| InspectError::Markers { path: policy.path.clone(), unclear })?;
    Ok(unified_diff(&policy.path, &old, &new.file))
}

/// Bytes that are not UTF-8 show as replacement characters.
pub(super) fn unified_diff(path: &Path, old: &[u8], new: &[u8]) -> String {
    let (old, new) = (String::from_utf8_lossy(old), String::from_utf8_lossy(new));
    let path = path.display().to_string();
    let wanted = format!("{path} (wanted)");
    similar::TextDiff::from_lines(&*old, &*new).unified_diff().header(&path, &wanted).to_string()
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
    let (core, inputs) = begin(&policy, clock)?;
    carry_out(&policy, core, inputs, clock)
}

/// Takes the block out now, once, under the same lock, as the running writer would while root keeps it out. What is
/// known of its names stays known. For who runs no writer; the order is no notice to who gives it.
///
/// # Errors
/// A folder of the writer can't be used. What the file refused is in the receipt.
pub fn take_out_once(policy: &HostsPolicy, since: Wall, clock: Clock) -> Result<Receipt, InspectError> {
    let (policy, here) = (Arc::new(policy.clone()), ThisHost::of_this_machine());
    let (recalled, _) = writer::recall(&policy, &here);
    let core = Core::new(Arc::clone(&policy), here, recalled, clock.now().boottime);
    let mut receipt = carry_out(&policy, core, [Input::Removal(Ok(Some(since)))], clock)?;
    receipt.notices.retain(|notice| notice.what != taken_out(since));
    Ok(receipt)
}

/// Does what the core wants after these inputs, and gives the receipt.
fn carry_out(
    policy: &Arc<HostsPolicy>,
    mut core: Core,
    inputs: impl IntoIterator<Item = Input>,
    clock: Clock,
) -> Result<Receipt, InspectError> {
    store::prepare(policy).map_err(io(&policy.state_dir))?;
    if store::load_block(&policy.state_dir).is_err() {
        store::put_aside(&store::block_path(&policy.state_dir));
    }
    apply::recover(policy)?;
    let mut actions = VecDeque::from(core.step_all(inputs, clock.now()));
    while let Some(action) = actions.pop_front() {
        match action {
            Action::Assert(job) => actions.extend(core.step(apply::look(&job), clock.now())),
            Action::Save(kept) => store::save_block(&policy.state_dir, &kept).map_err(io(&policy.state_dir))?,
            // Given back instead, or told by the running writer; and settled below.
            Action::Tell(_) | Action::Turned(_) | Action::Settle(_) => {}
        }
    }
    let report = settle_soon(policy, clock);
    core.step(Input::Settled(report), clock.now());
    Ok(core.receipt(clock.now()))
}

/// A folder can't be used.
pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> InspectError {
    let path = path.to_owned();
    move |source| InspectError::Io { path, source }
}

/// Settles what was displaced as soon as nobody has it open for writing. Who lets a command wait does not wait for two
/// seconds of quiet as well: what is left then is the running writer's, or the next one's.
pub(super) fn settle_soon(policy: &Arc<HostsPolicy>, clock: Clock) -> SettleReport {
    let began = clock.now().boottime;
    let mut all = SettleReport::default();
    loop {
        let report = apply::settle_closed(policy);
        all.folded.extend(report.folded);
        (all.there, all.fault) = (report.there, report.fault);
        let over = all.there.is_empty() || all.fault.is_some();
        if over || clock.now().boottime.since(began) > SETTLING_AT_MOST {
            return all;
        }
        std::thread::sleep(SETTLING_LOOK);
    }
}

/// Settles everything that was displaced, also what somebody has open for writing; for who leaves nothing behind. Gives
/// how much of it was open, and what is to be said of what stays all the same, in sentences.
#[must_use]
pub fn settle_all(policy: &HostsPolicy) -> (usize, Vec<String>) {
    const PASSES: usize = 4;
    let policy = Arc::new(policy.clone());
    let (mut cut_off, mut said) = (0, Vec::new());
    let mut last = SettleReport { there: file::displaced(&policy.path).unwrap_or_default(), ..SettleReport::default() };
    // Folding an edit in displaces a file in its turn.
    for _ in 0..PASSES {
        let ready = last.there.into_iter().map(|file| Settling { file, even_if_open: true }).collect();
        last = apply::settle(&SettleJob { ready, policy: Arc::clone(&policy) });
        cut_off += last.cut_off;
        said.append(&mut last.given_up);
        if last.there.is_empty() {
            break;
        }
    }
    let path = policy.path.display();
    said.extend(match (last.there.len(), last.fault) {
        (0, fault) => fault,
        (n, fault) => {
            let why = fault.unwrap_or_else(|| "others change it all the time".to_owned());
            let left = count(n, "earlier file");
            Some(format!("{path}: {left} left beside it, with what others edited meanwhile: {why}"))
        }
    });
    (cut_off, said)
}

/// A core that remembers what the writer would, and what it would hear first.
fn begin(policy: &Arc<HostsPolicy>, clock: Clock) -> Result<(Core, [Input; 2]), InspectError> {
    let here = ThisHost::of_this_machine();
    let handover = handover::read(&policy.agent_run_dir)?;
    let origin = handover.as_ref().map(|h| here.origin(h));
    if let Some(Origin::OtherMachine(part)) = origin {
        return Err(InspectError::Foreign { path: handover::plan_path(&policy.agent_run_dir), part });
    }
    let (recalled, _) = writer::recall(policy, &here);
    if recalled == Recalled::Nothing && origin != Some(Origin::ThisHost) {
        return Err(InspectError::Nothing { agent: policy.agent_run_dir.clone(), writer: policy.state_dir.clone() });
    }
    let life = LifeFile::read(&handover::alive_path(&policy.agent_run_dir));
    let core = Core::new(Arc::clone(policy), here, recalled, clock.now().boottime);
    Ok((core, [Input::AgentLiveness(life), Input::Handover(Ok(handover))]))
}
