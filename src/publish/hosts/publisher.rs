//! The agent's side of publishing to the hosts file: hands plans over to the writer.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::policy::HostsPolicy;
use super::{handover, inspect};
use crate::model::limits::{CapCounts, Capped};
use crate::model::{CutShort, EventKind, HostName, Identity, Plan, Receipts, Wall};
use crate::publish::{self, Publisher};
use crate::sys::atomic_file;
use crate::sys::clock::Clock;
use crate::sys::event_queue::EventSender;

/// How old a sign of life is at least when it is given anew: with each look of the runner, not with plans in between,
/// since each wakes the writer.
const LIFE: Duration = Duration::from_secs(publish::LOOK_INTERVAL.as_secs() - 1);

/// Publishes by way of the hosts writer: `plan.json` and `alive` in the agent's run folder.
pub struct HostsPublisher {
    run_dir: PathBuf,
    boot_id: String,
    identity: Identity,
    /// What was handed over last; `None` before the first plan, and after a failure, when what stands there is unknown.
    handed_over: Option<Arc<Plan>>,
    /// When the latest sign of life was given.
    shown_life: Option<Instant>,
    /// Names of the plan that were handed over before; `None` until the first plan.
    known: Option<BTreeSet<HostName>>,
    /// Answers of the last plan that its hand-over had no room for.
    left_out: usize,
    reporting: Option<HandoverReporting>,
}

/// Where a [`HostsPublisher`] reports what it hands over, and that a plan is too large for that.
pub struct HandoverReporting {
    /// Reads the policy in force; while it publishes nothing there is nothing to report.
    pub policy: Box<dyn Fn() -> HostsPolicy + Send + Sync>,
    /// Tells when the answers in force changed last, those of which that is known.
    pub changed: Box<dyn Fn() -> BTreeMap<HostName, Wall> + Send + Sync>,
    /// Gets what was handed over of a plan that is too large.
    pub receipts: watch::Sender<Receipts>,
    /// Counts the answers that were left out.
    pub capped: watch::Sender<CapCounts>,
    /// Takes the event that answers were left out.
    pub events: EventSender,
    /// The clock that events are stamped by.
    pub clock: Clock,
}

impl HostsPublisher {
    /// Makes one that writes into `run_dir` (made if missing) as this boot of this machine.
    #[must_use]
    pub fn new(run_dir: PathBuf, boot_id: String, identity: Identity) -> Self {
        Self {
            run_dir,
            boot_id,
            identity,
            handed_over: None,
            shown_life: None,
            known: None,
            left_out: 0,
            reporting: None,
        }
    }

    /// Counts and reports what it leaves out.
    #[must_use]
    pub fn reporting_to(self, reporting: HandoverReporting) -> Self {
        Self { reporting: Some(reporting), ..self }
    }

    /// Names that were handed over before: at first those of the agent before this one or, after a boot, of the block.
    async fn known(&self) -> io::Result<BTreeSet<HostName>> {
        if let Some(known) = &self.known {
            return Ok(known.clone());
        }
        let run_dir = self.run_dir.clone();
        let policy = self.reporting.as_ref().map(|to| (to.policy)());
        let look = move || inspect::handed_over(&run_dir, policy.as_ref());
        spawn_blocking(look).await.map_err(io::Error::other)
    }

    /// Reports what is handed over of a plan.
    fn report(&mut self, plan: &Plan, fit: &Plan) {
        let left_out = plan.answers.len() - fit.answers.len();
        let before = std::mem::replace(&mut self.left_out, left_out);
        let Some(to) = &self.reporting else { return };
        let cut = (plan != fit).then(|| CutShort { plan: plan.digest(), handed_over: fit.digest() });
        to.receipts.send_if_modified(|receipts| {
            let known = &mut receipts.state_mut(Self::NAME).cut_short;
            std::mem::replace(known, cut.clone()) != cut
        });
        if left_out != 0 && left_out != before && (to.policy)().publish {
            to.capped.send_modify(|counts| counts.add(Capped::Handover, left_out as u64));
            let kind = EventKind::HandoverFull { names: plan.answers.len(), left_out };
            to.events.tell(to.clock.now(), kind);
        }
    }

    /// True if this plan was handed over last, and is there yet: another process may have emptied the folder.
    async fn stands(&self, plan: &Arc<Plan>) -> bool {
        self.handed_over.as_ref() == Some(plan)
            && tokio::fs::try_exists(handover::plan_path(&self.run_dir)).await.unwrap_or(false)
    }

    async fn hand_over(&mut self, plan: Arc<Plan>) -> io::Result<()> {
        if self.handed_over.take().as_ref() == Some(&plan) {
            // What took the plan away took the sign of life along.
            self.shown_life = None;
        }
        let known = self.known().await?;
        let fit = handover::fitting(&plan, &known);
        self.report(&plan, &fit);
        let changed = self.reporting.as_ref().map(|to| (to.changed)()).unwrap_or_default();
        let handover = handover::dated(handover::make(&fit, &self.boot_id, &self.identity), changed);
        self.in_run_dir(move |run_dir| {
            atomic_file::remove_leftovers(&handover::plan_path(run_dir))?;
            handover::write(run_dir, &handover)
        })
        .await?;
        // A name that was handed over once stays known for as long as the plan has it.
        let stay = known.into_iter().filter(|name| plan.answers.contains_key(name));
        self.known = Some(stay.chain(fit.answers.keys().cloned()).collect());
        self.handed_over = Some(plan);
        Ok(())
    }

    /// Works in the run folder, made if missing, on a blocking thread.
    async fn in_run_dir(&self, work: impl Fn(&Path) -> io::Result<()> + Send + 'static) -> io::Result<()> {
        let run_dir = self.run_dir.clone();
        spawn_blocking(move || in_folder(&run_dir, || work(&run_dir))).await.map_err(io::Error::other)?
    }
}

impl Publisher for HostsPublisher {
    const NAME: &'static str = Receipts::HOSTS;

    async fn publish(&mut self, plan: Option<Arc<Plan>>) -> io::Result<()> {
        let handed_over = match plan {
            Some(plan) if !self.stands(&plan).await => self.hand_over(plan).await,
            Some(_) | None => Ok(()),
        };
        // Even if that failed: it is the agent's life, not the plan's.
        if self.shown_life.is_none_or(|at| at.elapsed() >= LIFE) {
            self.in_run_dir(handover::touch_alive).await?;
            self.shown_life = Some(Instant::now());
        }
        handed_over
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
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;
    use crate::model::{Answer, AnswerReason};
    use crate::publish::hosts::policy::Folders;
    use crate::sys::event_queue;

    fn answer() -> Answer {
        Answer { addresses: vec!["10.0.0.1".parse().unwrap()], standby: Vec::new(), reason: AnswerReason::Healthy }
    }

    /// Of a writer that publishes.
    fn policy(dir: &Path) -> HostsPolicy {
        let at = |name: &str| dir.join(name);
        let folders = Folders { agent_run_dir: at("a"), run_dir: at("b"), state_dir: at("c"), admin_dir: at("d") };
        HostsPolicy { publish: true, path: at("hosts"), ..HostsPolicy::idle(folders) }
    }

    #[tokio::test]
    async fn the_hosts_publisher_makes_its_folder_and_files() {
        let dir = tempfile::tempdir().unwrap();
        let run_dir = dir.path().join("run");
        let mut publisher = HostsPublisher::new(run_dir.clone(), "boot".into(), Identity::default());
        let plan = Plan { answers: [("a.x".parse().unwrap(), answer())].into(), ..Plan::default() };
        let inode = || std::fs::metadata(handover::plan_path(&run_dir)).unwrap().ino();
        publisher.publish(None).await.unwrap();
        publisher.publish(Some(Arc::new(plan.clone()))).await.unwrap();
        let mut names: Vec<_> = std::fs::read_dir(&run_dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["alive", "plan.json"]);
        let first = inode();
        publisher.publish(Some(Arc::new(plan.clone()))).await.unwrap();
        assert_eq!(inode(), first, "an equal plan is not handed over again");
        std::fs::remove_dir_all(&run_dir).unwrap();
        publisher.publish(Some(Arc::new(plan))).await.unwrap();
        assert!(handover::read(&run_dir).unwrap().is_some(), "what another process took away is handed over again");
        assert!(run_dir.join("alive").exists());
    }

    /// Newcomers that sort before all others don't displace what was handed over, not even after a restart; and the
    /// digest that receipts are compared with is that of what was handed over.
    #[tokio::test]
    async fn of_a_plan_that_is_too_large_what_was_handed_over_stays() {
        let dir = tempfile::tempdir().unwrap();
        let long = ["x".repeat(60), "y".repeat(60), "z".repeat(60), "w".repeat(50)].join(".");
        let answer = answer();
        let named = |what: char| {
            let answer = answer.clone();
            let long = long.clone();
            (0..5_000).map(move |n| (format!("{what}{n:05}.{long}").parse::<HostName>().unwrap(), answer.clone()))
        };
        let old = Plan { answers: named('n').collect(), ..Plan::default() };
        let both = Plan { answers: named('a').chain(named('n')).collect(), ..Plan::default() };
        let (policies, read) = watch::channel(policy(dir.path()));
        let (events, mut heard) = event_queue::queue();
        let (receipts, capped) = (watch::Sender::default(), watch::Sender::default());
        let reporting = HandoverReporting {
            policy: Box::new(move || read.borrow().clone()),
            changed: Box::new(BTreeMap::new),
            receipts: receipts.clone(),
            capped: capped.clone(),
            events,
            clock: Clock::System,
        };
        let made = || HostsPublisher::new(dir.path().to_owned(), "boot".into(), Identity::default());
        made().publish(Some(Arc::new(old.clone()))).await.unwrap();
        let mut publisher = made().reporting_to(reporting);
        publisher.publish(Some(Arc::new(both.clone()))).await.unwrap();

        let handed = handover::read(dir.path()).unwrap().unwrap();
        assert!(old.answers.keys().all(|name| handed.plan.contains_key(name)));
        let whole = both.digest();
        assert_eq!(receipts.borrow().0[HostsPublisher::NAME].expected(Some(&whole)), Some(&handed.digest));
        let left_out = both.answers.len() - handed.plan.len();
        assert_eq!(capped.borrow().get(Capped::Handover), left_out as u64);
        let kind = EventKind::HandoverFull { names: both.answers.len(), left_out };
        assert_eq!(heard.queue.recv().await.unwrap().kind, kind);

        publisher.publish(Some(Arc::new(old.clone()))).await.unwrap();
        let digest = old.digest();
        assert_eq!(receipts.borrow().0[HostsPublisher::NAME].expected(Some(&digest)), Some(&digest));
        // Where the hosts file is not published there is nothing to say and to count.
        policies.send_modify(|policy| policy.publish = false);
        publisher.publish(Some(Arc::new(both))).await.unwrap();
        assert_eq!(capped.borrow().get(Capped::Handover), left_out as u64);
        assert!(heard.queue.try_recv().is_err());
    }

    #[tokio::test]
    async fn an_error_names_the_folder() {
        let mut publisher = HostsPublisher::new("/proc/nowhere".into(), "boot".into(), Identity::default());
        let error = publisher.publish(None).await.unwrap_err().to_string();
        assert!(error.starts_with("/proc/nowhere: "), "{error}");
    }
}
