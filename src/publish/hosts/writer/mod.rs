//! The writer: keeps one block in the hosts file what the hand-over and its own policy say it should be.
//!
//! [`core`] decides, on values; this file only waits, reads and carries out, one thing at a time. The same code over
//! the same files runs inside the agent (`run --all-in-one`) and as a privileged process of its own.

mod conflict;
pub mod core;
pub(crate) mod perform;
mod receipt;
pub(crate) mod store;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use self::core::{Action, Core, Input};
pub use self::store::parse as parse_state;
use super::block::{self, Block};
use super::file::{self, NoHook, Target};
use super::handover;
use super::policy::HostsPolicy;
use crate::model::Boottime;
use crate::publish::lookout::Lookout;
use crate::sys::clock::Clock;

/// However little there is to do, the core is asked this often: level, not edge.
const TICK: Duration = Duration::from_secs(5);

/// Why the writer ended without being asked to.
#[derive(Debug, thiserror::Error)]
pub enum WriterError {
    /// A fault of ours in file work.
    #[error("the hosts writer's file work ended by itself: {0}")]
    Panicked(#[from] tokio::task::JoinError),
}

/// Runs until cancelled. The policy may change at any time; if its sender goes, the last one stays in force.
///
/// First the last known good and the plan in `/run` are read, the plan counting for more, and the file made to say
/// the result; then it follows changes of the plan, the file and the policy, and looks at the file every
/// `reassert_interval` in any case. What goes wrong is told in the receipt and tried again.
///
/// # Errors
/// Only a fault of ours ends it.
pub async fn run(
    mut settings: watch::Receiver<Arc<HostsPolicy>>,
    clock: Clock,
    token: CancellationToken,
) -> Result<(), WriterError> {
    let policy = settings.borrow_and_update().clone();
    let mut writer = Writer::start(policy, clock).await?;
    let plan = writer.read_plan().await?;
    writer.take(plan).await?;
    let mut settings_end = false;
    loop {
        let pause = writer.pause();
        let input = tokio::select! {
            biased;
            () = token.cancelled() => return Ok(()),
            changed = settings.changed(), if !settings_end => {
                settings_end = changed.is_err();
                let policy = settings.borrow_and_update().clone();
                writer.look_after(policy).await?
            }
            changes = writer.lookout.changed() => {
                if changes.has(PLAN) {
                    let plan = writer.read_plan().await?;
                    writer.take(plan).await?;
                }
                if changes.has(HOSTS) || changes.has(HOSTS_REAL) { Input::FileTouched } else { Input::Tick }
            }
            () = tokio::time::sleep(pause) => Input::Tick,
        };
        writer.take(input).await?;
    }
}

/// The order of the files that the lookout watches.
const PLAN: usize = 0;
const HOSTS: usize = 1;
const HOSTS_REAL: usize = 2;

struct Writer {
    core: Core,
    policy: Arc<HostsPolicy>,
    clock: Clock,
    lookout: Lookout,
}

impl Writer {
    async fn start(policy: Arc<HostsPolicy>, clock: Clock) -> Result<Self, WriterError> {
        let p = Arc::clone(&policy);
        let begin = move || {
            prepare(&p);
            clear_leftovers(&p);
            recall(&p)
        };
        let (saved, file_says) = spawn_blocking(begin).await?;
        let lookout = open_lookout(&policy).await?;
        let core = Core::new(Arc::clone(&policy), saved, file_says, clock.now().boottime);
        Ok(Self { core, policy, clock, lookout })
    }

    /// Takes another policy over.
    async fn look_after(&mut self, policy: Arc<HostsPolicy>) -> Result<Input, WriterError> {
        let paths = |p: &HostsPolicy| [&p.path, &p.agent_run_dir, &p.run_dir, &p.state_dir].map(Clone::clone);
        let moved = paths(&policy) != paths(&self.policy);
        self.policy = Arc::clone(&policy);
        if moved {
            let p = Arc::clone(&policy);
            spawn_blocking(move || prepare(&p)).await?;
            self.lookout = open_lookout(&policy).await?;
        }
        self.take(Input::Policy(policy)).await?;
        // A plan that was refused under the old owner or in the old place may be good now.
        self.read_plan().await
    }

    async fn read_plan(&self) -> Result<Input, WriterError> {
        let policy = Arc::clone(&self.policy);
        let read = spawn_blocking(move || handover::read(&policy.agent_run_dir)).await?;
        Ok(Input::Handover(read.map_err(|e| e.to_string())))
    }

    /// Feeds one event to the core and carries out what follows, until nothing more does.
    async fn take(&mut self, input: Input) -> Result<(), WriterError> {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for action in self.core.step(input, self.clock.now()) {
                let policy = Arc::clone(&self.policy);
                inputs.extend(spawn_blocking(move || carry_out(action, &policy)).await?);
            }
        }
        Ok(())
    }

    fn pause(&self) -> Duration {
        let now: Boottime = self.clock.now().boottime;
        self.core.wake_at().map_or(TICK, |at| at.since(now).min(TICK))
    }
}

fn carry_out(action: Action, policy: &HostsPolicy) -> Option<Input> {
    match action {
        Action::Assert(job) => Some(Input::Asserted(perform::assert(&job, &mut NoHook))),
        Action::Save(block) => {
            let error = store::save(&policy.state_dir, &block).err()?;
            tracing::warn!("hosts writer: last known good not saved in {}: {error}", policy.state_dir.display());
            Some(Input::NotSaved)
        }
        Action::Tell(receipt) => {
            let error = handover::write_receipt(&policy.run_dir, &receipt).err()?;
            tracing::warn!("hosts writer: receipt not written in {}: {error}", policy.run_dir.display());
            Some(Input::NotTold)
        }
    }
}

async fn open_lookout(policy: &HostsPolicy) -> Result<Lookout, WriterError> {
    let path = policy.path.clone();
    let real = spawn_blocking(move || std::fs::canonicalize(&path).unwrap_or(path)).await?;
    Ok(Lookout::new(vec![handover::plan_path(&policy.agent_run_dir), policy.path.clone(), real]).await)
}

fn prepare(policy: &HostsPolicy) {
    if let Err(error) = store::prepare(policy) {
        tracing::warn!("hosts writer: {} or {}: {error}", policy.run_dir.display(), policy.state_dir.display());
    }
}

/// Clears up after a crash.
fn clear_leftovers(policy: &HostsPolicy) {
    if let Err(error) = store::clear_leftovers(policy) {
        tracing::warn!("hosts writer: old temporary files not cleared: {error}");
    }
    let lock = perform::lock_path(policy);
    if let Err(error) = file::clear_leftovers(Target { path: &policy.path, lock: &lock }) {
        tracing::warn!("hosts writer: {error}");
    }
}

/// Finds the last known good: our own, else what the block in the file says.
pub(crate) fn recall(policy: &HostsPolicy) -> (Option<Block>, Option<Block>) {
    match store::load(&policy.state_dir) {
        store::Loaded::Block(block) => return (Some(block), None),
        store::Loaded::Nothing => {}
        store::Loaded::Unusable(why) => {
            tracing::warn!("hosts writer: last known good can't be used, kept aside: {why}");
        }
    }
    let file = file::read(&policy.path).ok().flatten().unwrap_or_default();
    (None, block::salvage(&file))
}
