//! The writer's turns: what happened goes to the core, what it decides is carried out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::core::{Action, AgentTurn, Core, Input, LastGood, Rate, Recalled, ThisHost, is_news};
use super::policy_source::PolicySource;
use super::{FaultLog, Setup, TICK, WriterError, apply, recall, store};
use crate::model::{Boottime, Digest, Handover, Receipt};
use crate::publish::file_watcher::FileWatcher;
use crate::publish::hosts::file::{self, NoHook, Target};
use crate::publish::hosts::handover;
use crate::publish::hosts::life_file::LifeFile;
use crate::publish::hosts::policy::HostsPolicy;
use crate::sys::clock::Clock;
use crate::sys::dir_watch::Changes;
use crate::sys::heartbeat::Beat;
use crate::sys::log_queue::PROVOKED;

/// Between two readings of the config for names that it lacks: whoever writes hand-overs can't make us read for ever.
const REREAD: Duration = Duration::from_secs(5);
/// The order of the files that are watched in the agent's folder.
const PLAN: usize = 0;
const ALIVE: usize = 1;

/// What may have changed.
enum News {
    Policy,
    Agent(Changes),
    Hosts,
    Nothing,
}

/// A writer at work.
struct Writer<P> {
    policies: P,
    beat: Beat,
    /// The agent's folder. A watcher of its own, so that a folder that is missing does not slow down the other's.
    agent: FileWatcher,
    /// The hosts file.
    hosts: FileWatcher,
    core: Core,
    here: ThisHost,
    /// The one that the core goes by.
    policy: Arc<HostsPolicy>,
    clock: Clock,
    receipts: watch::Sender<Option<Receipt>>,
    next_tick: Boottime,
    /// Of looks at what the agent left, which may touch its files as often as it likes.
    hears: Rate,
    /// Of looks at the config without an order.
    rereads: Rate,
    /// For which hand-over the config was read again, and when.
    reread: Option<(Digest, Boottime)>,
    faults: FaultLog,
}

impl<P: PolicySource> Writer<P> {
    /// Begins with the last known good and what is in `/run`, the hand-over counting for more.
    async fn start(setup: Setup<P>) -> Result<Self, WriterError> {
        let Setup { policies, here, clock, beat, receipts } = setup;
        let policy = policies.current();
        let (agent, hosts) = (look_at_agent(&policy).await, look_at_hosts(&policy).await?);
        let core = Core::new(Arc::clone(&policy), here.clone(), Recalled::Nothing, clock.now().boottime);
        let mut writer = Self {
            policies,
            beat,
            agent,
            hosts,
            core,
            here,
            policy,
            clock,
            receipts,
            next_tick: clock.now().boottime,
            hears: Rate::LOOKS,
            rereads: Rate::LOOKS,
            reread: None,
            faults: FaultLog::default(),
        };
        writer.settle().await?;
        writer.recall().await?;
        let known = vec![Input::ConfigTrouble(writer.policies.trouble()), look_at_life(&writer.policy).await?];
        writer.take_plan(known).await?;
        Ok(writer)
    }

    /// How long to wait at most.
    fn pause(&self) -> Duration {
        let now = self.clock.now().boottime;
        let until = |at: Boottime| at.since(now);
        self.core.wake_at().map_or(TICK, until).min(until(self.next_tick)).min(TICK)
    }

    /// Waits for what the writer goes by to change, but for no longer than it may wait.
    async fn news(&mut self) -> News {
        let now = self.clock.now().boottime;
        let [hears, rereads] = [&self.hears, &self.rereads].map(|rate| rate.next().since(now));
        let pause = self.pause();
        // Not biased: whoever floods one source must not silence the others. Changes wait for whoever asks for them,
        // so that of many that come together the last counts.
        tokio::select! {
            () = after(rereads, self.policies.changed()) => News::Policy,
            changes = after(hears, self.agent.changed()) => News::Agent(changes),
            _ = self.hosts.changed() => News::Hosts,
            () = sleep(pause) => News::Nothing,
        }
    }

    /// Takes in what there is.
    async fn heed(&mut self, news: News) -> Result<(), WriterError> {
        match news {
            News::Policy => self.reread_policy().await,
            News::Agent(changes) => self.hear(changes).await,
            News::Hosts => self.take(vec![Input::FileTouched]).await,
            News::Nothing => Ok(()),
        }
    }

    /// Something changed in the agent's folder.
    async fn hear(&mut self, changes: Changes) -> Result<(), WriterError> {
        self.hears.spend(self.clock.now().boottime);
        let mut inputs = Vec::new();
        if changes.has(ALIVE) {
            inputs.push(look_at_life(&self.policy).await?);
        }
        if changes.has(PLAN) { self.take_plan(inputs).await } else { self.take(inputs).await }
    }

    /// The policy may be another one now.
    async fn reread_policy(&mut self) -> Result<(), WriterError> {
        self.rereads.spend(self.clock.now().boottime);
        self.policies.reread().await;
        let (changed, inputs) = self.follow_policy().await?;
        // A plan that was refused under the old one, or is in another place, may be good now.
        if changed { self.take_plan(inputs).await } else { self.take(inputs).await }
    }

    /// Ends a turn, whatever began it: does what time brings.
    async fn turn(&mut self) -> Result<(), WriterError> {
        let now = self.clock.now().boottime;
        if now >= self.next_tick {
            self.next_tick = now.after(TICK);
            let mut inputs = vec![look_at_life(&self.policy).await?, Input::Tick];
            let policy = Arc::clone(&self.policy);
            let touched = spawn_blocking(move || handover::touch_receipt(&policy.run_dir)).await?;
            // Whatever is wrong with the old one: a new one is written, or says what is.
            inputs.extend(touched.is_err().then_some(Input::NotTold));
            self.take(inputs).await
        } else if self.core.wake_at().is_some_and(|at| at <= now) {
            self.take(vec![Input::Tick]).await
        } else {
            Ok(())
        }
    }

    /// Feeds events that were seen together to the core and carries out what follows, until nothing more does.
    async fn take(&mut self, inputs: Vec<Input>) -> Result<(), WriterError> {
        let mut actions = VecDeque::from(self.core.step_all(inputs, self.clock.now()));
        while let Some(action) = actions.pop_front() {
            if let Some(input) = self.carry_out(action).await? {
                actions.extend(self.core.step(input, self.clock.now()));
            }
        }
        Ok(())
    }

    /// Reads the hand-over and takes it, together with what was seen before it. A name that the policy lacks may be in
    /// a config that came a moment before the plan: that is read before the name is refused.
    async fn take_plan(&mut self, mut inputs: Vec<Input>) -> Result<(), WriterError> {
        let mut read = read_plan(&self.policy).await?;
        if let Ok(Some(handover)) = &read
            && self.may_reread_for(handover)
        {
            self.policies.reread().await;
            let (changed, more) = self.follow_policy().await?;
            inputs.extend(more);
            if changed {
                read = read_plan(&self.policy).await?;
            }
        }
        inputs.push(Input::Handover(read));
        self.take(inputs).await
    }

    fn may_reread_for(&mut self, handover: &Handover) -> bool {
        let now = self.clock.now().boottime;
        let spent = |(digest, at): &(Digest, Boottime)| *digest == handover.digest || now.since(*at) < REREAD;
        if self.reread.as_ref().is_some_and(spent) || !self.core.would_miss_a_name(handover) {
            return false;
        }
        self.reread = Some((handover.digest.clone(), now));
        true
    }

    /// Takes the policy over that is in force now. Gives whether it is another one, and what the core must hear.
    async fn follow_policy(&mut self) -> Result<(bool, Vec<Input>), WriterError> {
        let trouble = Input::ConfigTrouble(self.policies.trouble());
        let policy = self.policies.current();
        if policy == self.policy {
            return Ok((false, vec![trouble]));
        }
        let old = std::mem::replace(&mut self.policy, Arc::clone(&policy));
        let paths = |p: &HostsPolicy| [&p.path, &p.agent_run_dir, &p.run_dir, &p.state_dir].map(Clone::clone);
        if paths(&old) != paths(&policy) || !old.publish {
            (self.agent, self.hosts) = (look_at_agent(&policy).await, look_at_hosts(&policy).await?);
            self.settle().await?;
        }
        let elsewhere = (&old.path, &old.state_dir) != (&policy.path, &policy.state_dir);
        if elsewhere && self.core.remembers_nothing() {
            self.recall().await?;
            return Ok((true, vec![trouble, look_at_life(&self.policy).await?]));
        }
        Ok((true, vec![trouble, Input::Policy(policy)]))
    }

    /// Makes the folders, and clears up after a crash.
    async fn settle(&mut self) -> Result<(), WriterError> {
        let policy = Arc::clone(&self.policy);
        let work = move || {
            let prepared = store::prepare(&policy);
            let cleared = store::clear_leftovers(&policy);
            let lock = apply::lock_path(&policy);
            let target = Target { path: &policy.path, lock: &lock };
            let hosts = if policy.publish { file::clear_leftovers(target).map(drop) } else { Ok(()) };
            [
                prepared.err().map(|e| e.to_string()),
                cleared.err().map(|e| e.to_string()),
                hosts.err().map(|e| e.to_string()),
            ]
        };
        let [prepared, cleared, hosts] = spawn_blocking(work).await?;
        self.faults.tell("making its folders", prepared);
        self.faults.tell("clearing old temporary files", cleared.or(hosts));
        Ok(())
    }

    /// Begins anew with the last known good.
    async fn recall(&mut self) -> Result<(), WriterError> {
        let (policy, here) = (Arc::clone(&self.policy), self.here.clone());
        let work = move || {
            let (recalled, unusable) = recall(&policy, &here);
            if unusable.is_some() {
                store::put_aside(&store::block_path(&policy.state_dir));
            }
            (recalled, unusable)
        };
        let (recalled, unusable) = spawn_blocking(work).await?;
        if let Some(why) = unusable {
            tracing::warn!("hosts writer: last known good can't be used, kept aside: {why}");
        }
        if let Recalled::Foreign(part) = &recalled {
            tracing::warn!(
                "hosts writer: the last known good in {} is another machine's ({part} differs): it is not used, and its \
                 block goes",
                self.policy.state_dir.display()
            );
        }
        let now = self.clock.now().boottime;
        self.core = Core::new(Arc::clone(&self.policy), self.here.clone(), recalled, now);
        Ok(())
    }

    async fn carry_out(&mut self, action: Action) -> Result<Option<Input>, WriterError> {
        match action {
            Action::Assert(job) => Ok(Some(spawn_blocking(move || apply::look(&job, &mut NoHook)).await?)),
            Action::Save(kept) => self.save(kept).await,
            Action::Tell(receipt) => self.tell(receipt).await,
            Action::Turned(turn) => {
                match turn {
                    AgentTurn::Lost(silent) => tracing::warn!(
                        target: PROVOKED,
                        "hosts writer: no sign of life of the agent for {} s: standby addresses are published too",
                        silent.as_secs()
                    ),
                    AgentTurn::Back => tracing::info!(target: PROVOKED, "hosts writer: the agent shows life again"),
                }
                Ok(None)
            }
        }
    }

    async fn save(&mut self, kept: LastGood) -> Result<Option<Input>, WriterError> {
        let policy = Arc::clone(&self.policy);
        let work = move || {
            // What lacks its folder says so itself.
            let _ = store::prepare(&policy);
            store::save_block(&policy.state_dir, &kept)
        };
        let fault = spawn_blocking(work).await?.err().map(|e| format!("{}: {e}", self.policy.state_dir.display()));
        let again = fault.is_some().then_some(Input::NotSaved);
        self.faults.tell("keeping the last known good", fault);
        Ok(again)
    }

    async fn tell(&mut self, receipt: Receipt) -> Result<Option<Input>, WriterError> {
        self.receipts.send_if_modified(|told| {
            let news = told.as_ref().is_none_or(|told| is_news(told, &receipt));
            if news {
                *told = Some(receipt.clone());
            }
            news
        });
        let policy = Arc::clone(&self.policy);
        let work = move || {
            // What lacks its folder says so itself.
            let _ = store::prepare(&policy);
            handover::write_receipt(&policy.run_dir, &receipt)
        };
        let fault = spawn_blocking(work).await?.err().map(|e| format!("{}: {e}", self.policy.run_dir.display()));
        let again = fault.is_some().then_some(Input::NotTold);
        self.faults.tell("writing the receipt", fault);
        Ok(again)
    }
}

/// Runs until cancelled.
///
/// First the last known good and the plan in `/run` are read, the plan counting for more, and the file made to say
/// the result; then it follows changes of the plan, the agent's sign of life, the file and the policy, and looks at
/// the file every `reassert_interval` in any case. What goes wrong is told in the receipt and tried again.
///
/// # Errors
/// Only a fault of ours ends it.
pub async fn run<P: PolicySource>(setup: Setup<P>, token: CancellationToken) -> Result<(), WriterError> {
    let mut writer = Writer::start(setup).await?;
    loop {
        writer.beat.now();
        let news = tokio::select! {
            () = token.cancelled() => return Ok(()),
            news = writer.news() => news,
        };
        writer.heed(news).await?;
        writer.turn().await?;
    }
}

/// Does not even begin before the pause is over.
async fn after<T>(pause: Duration, work: impl Future<Output = T>) -> T {
    if !pause.is_zero() {
        sleep(pause).await;
    }
    work.await
}

/// The error in a sentence.
async fn read_plan(policy: &HostsPolicy) -> Result<Result<Option<Handover>, String>, WriterError> {
    let dir = policy.agent_run_dir.clone();
    Ok(spawn_blocking(move || handover::read(&dir)).await?.map_err(|e| e.to_string()))
}

async fn look_at_life(policy: &HostsPolicy) -> Result<Input, WriterError> {
    let dir = policy.agent_run_dir.clone();
    Ok(Input::AgentLiveness(spawn_blocking(move || LifeFile::read(&handover::alive_path(&dir))).await?))
}

async fn look_at_agent(policy: &HostsPolicy) -> FileWatcher {
    FileWatcher::new(vec![handover::plan_path(&policy.agent_run_dir), handover::alive_path(&policy.agent_run_dir)])
        .await
}

/// Without a path there is nothing to look at.
async fn look_at_hosts(policy: &HostsPolicy) -> Result<FileWatcher, WriterError> {
    let path = policy.path.clone();
    let work = move || match path.as_os_str() {
        none if none.is_empty() => Vec::new(),
        _ => vec![path.clone(), std::fs::canonicalize(&path).unwrap_or(path)],
    };
    Ok(FileWatcher::new(spawn_blocking(work).await?).await)
}
