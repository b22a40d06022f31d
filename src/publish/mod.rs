//! Publishing: what steering decided, made visible.
//!
//! A [`Publisher`] takes whole plans, one after the other; a [`Runner`] feeds it from the plan in force, tries again
//! what failed, and gives the sign of life. What became of a plan comes back as a receipt, which [`receipts`] follows.
//! Neither side asks the other: plans go one way, receipts the other, both as files.

pub mod dns;
mod file_watcher;
pub mod hosts;
pub mod receipts;

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::hosts::HostsPolicy;
use crate::model::limits::{CapCounts, Capped};
use crate::model::{CutShort, EventKind, HostName, Identity, Plan, PlanState, Receipts};
use crate::sys::atomic_file;
use crate::sys::clock::Clock;
use crate::sys::event_queue::EventSender;
use crate::sys::heartbeat::Beat;
use crate::sys::tell_once::TellOnce;

/// Between two signs of life.
pub const ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(100);
const RETRY_AT_MOST: Duration = Duration::from_secs(5);

/// Somewhere that plans are published to.
pub trait Publisher: Send {
    /// The word for it in events.
    fn name(&self) -> &'static str;

    /// Hands one plan over. Handing the same plan over again changes nothing.
    ///
    /// # Errors
    /// It was not handed over; it will be asked again.
    fn publish(&mut self, plan: Arc<Plan>) -> impl Future<Output = io::Result<()>> + Send;

    /// Whether what was handed over last is still there: somebody may have emptied the folder.
    ///
    /// # Errors
    /// That can't be told.
    fn stands(&mut self) -> impl Future<Output = io::Result<bool>> + Send;

    /// Shows that the agent lives.
    ///
    /// # Errors
    /// It could not.
    fn show_life(&mut self) -> impl Future<Output = io::Result<()>> + Send;
}

/// Publishes each new plan as it comes, and shows life every [`ALIVE_INTERVAL`], until cancelled or until the sender
/// of plans is gone. What fails is tried again, at first soon and then every 5 s; a failure is told once, until
/// something else fails or all works again.
#[derive(Debug)]
pub struct Runner<P> {
    /// Where to.
    pub publisher: P,
    /// The plan in force.
    pub plan: watch::Receiver<PlanState>,
    /// What happened.
    pub events: EventSender,
    /// The time.
    pub clock: Clock,
    /// Its sign of life.
    pub beat: Beat,
}

impl<P: Publisher> Runner<P> {
    /// Runs until cancelled.
    pub async fn run(self, token: CancellationToken) {
        let Self { publisher, plan: mut plans, events, clock, beat } = self;
        let mut feed = Feed { publisher, done: None, next_life: Instant::now() };
        let mut told = TellOnce::default();
        let mut pause = RETRY;
        loop {
            beat.now();
            let plan = plans.borrow_and_update().plan.clone();
            let error = feed.turn(plan).await.err().map(|e| e.to_string());
            let failed = error.is_some();
            if let Some(error) = told.new_fault(error) {
                events.tell(clock.now(), EventKind::PublishFailed { publisher: feed.publisher.name(), error });
            }
            let wake = if failed { Instant::now() + pause } else { feed.next_life };
            pause = if failed { (pause * 2).min(RETRY_AT_MOST) } else { RETRY };
            tokio::select! {
                biased;
                () = token.cancelled() => return,
                changed = plans.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }
}

/// A publisher and what it has done.
struct Feed<P> {
    publisher: P,
    done: Option<Arc<Plan>>,
    next_life: Instant,
}

impl<P: Publisher> Feed<P> {
    /// Does what is due. Life is shown even if publishing fails: it is the agent's, not the plan's.
    async fn turn(&mut self, plan: Option<Arc<Plan>>) -> io::Result<()> {
        let life_is_due = Instant::now() >= self.next_life;
        if life_is_due && self.done.is_some() && !self.publisher.stands().await? {
            self.done = None;
        }
        let published = match plan.filter(|plan| self.done.as_ref() != Some(plan)) {
            Some(plan) => {
                let result = self.publisher.publish(Arc::clone(&plan)).await;
                // After a failure nobody knows what stands there.
                self.done = result.is_ok().then_some(plan);
                result
            }
            None => Ok(()),
        };
        if life_is_due {
            self.publisher.show_life().await?;
            self.next_life = Instant::now() + ALIVE_INTERVAL;
        }
        published
    }
}

/// Publishes by way of the hosts writer: `plan.json` and `alive` in the agent's run folder.
#[derive(Debug, Clone)]
pub struct HostsPublisher {
    run_dir: PathBuf,
    boot_id: String,
    identity: Identity,
    /// Names of the plan that were handed over before; `None` until the first plan.
    known: Option<BTreeSet<HostName>>,
    /// Answers of the last plan that its hand-over had no room for.
    left_out: usize,
    told: Option<Told>,
}

/// Whom a [`HostsPublisher`] tells what it hands over, and that a plan is too large for that.
#[derive(Debug, Clone)]
pub struct Told {
    /// While it publishes nothing there is nothing to tell.
    pub policy: watch::Receiver<Arc<HostsPolicy>>,
    /// Gets what was handed over of a plan that is too large.
    pub receipts: watch::Sender<Receipts>,
    /// Counts it.
    pub capped: watch::Sender<CapCounts>,
    /// Hears of it.
    pub events: EventSender,
    /// The time.
    pub clock: Clock,
}

impl HostsPublisher {
    /// The word for it in events.
    pub const NAME: &'static str = "hosts";

    /// Makes one that writes into `run_dir` (made if missing) as this boot of this machine.
    #[must_use]
    pub fn new(run_dir: PathBuf, boot_id: String, identity: Identity) -> Self {
        Self { run_dir, boot_id, identity, known: None, left_out: 0, told: None }
    }

    /// Counts and tells what it leaves out.
    #[must_use]
    pub fn telling(self, told: Told) -> Self {
        Self { told: Some(told), ..self }
    }

    /// Names that were handed over before: at first those of the agent before this one or, after a boot, of the block.
    async fn known(&self) -> io::Result<BTreeSet<HostName>> {
        if let Some(known) = &self.known {
            return Ok(known.clone());
        }
        let run_dir = self.run_dir.clone();
        let policy = self.told.as_ref().map(|told| Arc::clone(&told.policy.borrow()));
        let look = move || hosts::inspect::handed_over(&run_dir, policy.as_deref());
        spawn_blocking(look).await.map_err(io::Error::other)
    }

    /// Tells what is handed over of a plan.
    fn tell(&mut self, plan: &Plan, fit: &Plan) {
        let left_out = plan.answers.len() - fit.answers.len();
        let before = std::mem::replace(&mut self.left_out, left_out);
        let Some(told) = &self.told else { return };
        let cut = (plan != fit)
            .then(|| CutShort { plan: hosts::handover::digest(plan), handed_over: hosts::handover::digest(fit) });
        told.receipts.send_if_modified(|receipts| std::mem::replace(&mut receipts.cut_short, cut.clone()) != cut);
        if left_out != 0 && left_out != before && told.policy.borrow().publish {
            told.capped.send_modify(|counts| counts.add(Capped::Handover, left_out as u64));
            let kind = EventKind::HandoverFull { names: plan.answers.len(), left_out };
            told.events.tell(told.clock.now(), kind);
        }
    }

    /// Works in the run folder, made if missing, on a blocking thread.
    async fn in_run_dir(&self, work: impl Fn(&Path) -> io::Result<()> + Send + 'static) -> io::Result<()> {
        let run_dir = self.run_dir.clone();
        spawn_blocking(move || in_folder(&run_dir, || work(&run_dir))).await.map_err(io::Error::other)?
    }
}

impl Publisher for HostsPublisher {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    async fn publish(&mut self, plan: Arc<Plan>) -> io::Result<()> {
        let known = self.known().await?;
        let fit = hosts::handover::fitting(&plan, &known);
        self.tell(&plan, &fit);
        let handover = hosts::handover::make(&fit, &self.boot_id, &self.identity);
        self.in_run_dir(move |run_dir| {
            atomic_file::remove_leftovers(&hosts::handover::plan_path(run_dir))?;
            hosts::handover::write(run_dir, &handover)
        })
        .await?;
        // Whoever was handed over once stays known for as long as the plan has it.
        let stay = known.into_iter().filter(|name| plan.answers.contains_key(name));
        self.known = Some(stay.chain(fit.answers.keys().cloned()).collect());
        Ok(())
    }

    async fn stands(&mut self) -> io::Result<bool> {
        tokio::fs::try_exists(hosts::handover::plan_path(&self.run_dir)).await
    }

    async fn show_life(&mut self) -> io::Result<()> {
        self.in_run_dir(hosts::handover::touch_alive).await
    }
}

/// Does it, and once more if the folder had to be made; errors say which folder.
fn in_folder(dir: &Path, work: impl Fn() -> io::Result<()>) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let result = match work() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            std::fs::DirBuilder::new().recursive(true).mode(0o755).create(dir).and_then(|()| work())
        }
        other => other,
    };
    result.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", dir.display())))
}

#[cfg(test)]
mod tests;
