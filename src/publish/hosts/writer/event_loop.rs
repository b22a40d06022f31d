//! The writer's turns: what happened goes to the core, what it decides is carried out.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::core::{Action, AgentTurn, Core, Input, LookRate, Recalled, is_news};
use super::looks::{OrderWatch, after, look_at_life, read_plan, real, settle_closed, watch_agent, watch_hosts};
use super::policy_source::PolicySource;
use super::{FaultLog, Setup, TICK, apply, recall, store};
use crate::model::{Boottime, Digest, Handover};
use crate::publish::file_watcher::FileWatcher;
use crate::publish::hosts::handover;
use crate::publish::hosts::policy::HostsPolicy;
use crate::sys::blocking::blocking;
use crate::sys::dir_watch::Changes;
use crate::sys::log_queue::PROVOKED;

/// Between two readings of the config for names that it lacks: an agent that floods us with hand-overs can't make us
/// read for ever.
const REREAD: Duration = Duration::from_secs(5);
/// The order of the files that are watched in the agent's folder.
const PLAN: usize = 0;
const ALIVE: usize = 1;

/// What may have changed.
enum News {
    Policy,
    Agent(Changes),
    Hosts,
    Order,
    Nothing,
}

/// A writer at work.
struct Writer<P> {
    setup: Setup<P>,
    /// The agent's folder. A watcher of its own, so that a folder that is missing does not slow down the other's.
    agent: FileWatcher,
    /// The hosts file.
    hosts: FileWatcher,
    /// Root's order to keep the block out.
    order: OrderWatch,
    /// Where the hosts file was when it was looked at last, links followed.
    real: Option<PathBuf>,
    core: Core,
    /// The one that the core goes by.
    policy: Arc<HostsPolicy>,
    next_tick: Boottime,
    /// Of looks at what the agent left, which may touch its files as often as it likes.
    hears: LookRate,
    /// Of looks at the config without an order.
    rereads: LookRate,
    /// For which hand-over the config was read again, and when.
    reread: Option<(Digest, Boottime)>,
    faults: FaultLog,
    /// What earlier updates displaced, for the core to hear of; `None` if nobody has looked since it did.
    displaced: Option<Input>,
}

impl<P: PolicySource> Writer<P> {
    /// Begins with the last known good and what is in `/run`, the hand-over counting for more.
    async fn start(setup: Setup<P>) -> Self {
        let (policy, now) = (setup.policies.current(), setup.clock.now().boottime);
        let mut writer = Self {
            agent: watch_agent(&policy).await,
            hosts: watch_hosts(&policy).await,
            order: OrderWatch::new(&policy),
            real: None,
            core: Core::new(Arc::clone(&policy), setup.here.clone(), Recalled::Nothing, now),
            setup,
            policy,
            next_tick: now,
            hears: LookRate::default(),
            rereads: LookRate::default(),
            reread: None,
            faults: FaultLog::default(),
            displaced: None,
        };
        writer.settle().await;
        writer.recall().await;
        let mut known = vec![Input::ConfigTrouble(writer.setup.policies.trouble())];
        known.extend(writer.displaced.take());
        known.push(writer.look_at_order().await);
        known.push(look_at_life(&writer.policy).await);
        writer.take_plan(known).await;
        writer
    }

    fn now(&self) -> Boottime {
        self.setup.clock.now().boottime
    }

    /// How long to wait at most.
    fn pause(&self) -> Duration {
        let now = self.now();
        let next = self.core.wake_at().map_or(self.next_tick, |at| at.min(self.next_tick));
        next.since(now).min(TICK)
    }

    /// Waits for what the writer goes by to change, but for no longer than it may wait.
    async fn news(&mut self) -> News {
        let now = self.now();
        let [hears, rereads] = [&self.hears, &self.rereads].map(|rate| rate.next().since(now));
        let pause = self.pause();
        // Not biased: a flood of one source must not silence others. Changes wait for the process that asks for them,
        // so that of many that come together the last counts.
        tokio::select! {
            () = after(rereads, self.setup.policies.changed()) => News::Policy,
            changes = after(hears, self.agent.changed()) => News::Agent(changes),
            _ = self.hosts.changed() => News::Hosts,
            () = self.order.changed() => News::Order,
            () = sleep(pause) => News::Nothing,
        }
    }

    /// Takes in what there is.
    async fn heed(&mut self, news: News) {
        match news {
            News::Policy => self.reread_policy().await,
            News::Agent(changes) => self.hear(changes).await,
            News::Hosts => {
                self.follow_link().await;
                self.feed(vec![Input::FileTouched]).await;
            }
            News::Order => {
                let order = self.look_at_order().await;
                self.feed(vec![order]).await;
            }
            News::Nothing => {}
        }
    }

    /// A link in the path may lead elsewhere now: what was displaced where it led is settled there, and it is the other
    /// file that is watched.
    async fn follow_link(&mut self) {
        let real = real(&self.policy).await;
        if real.is_none() || real == self.real {
            return;
        }
        if let Some(before) = std::mem::replace(&mut self.real, real) {
            let policy = HostsPolicy { path: before, ..(*self.policy).clone() };
            settle_closed(&Arc::new(policy)).await;
            self.hosts = watch_hosts(&self.policy).await;
        }
    }

    async fn look_at_order(&mut self) -> Input {
        let seen = self.order.look().await;
        self.faults.tell("following what root ordered", seen.as_ref().err().cloned());
        self.faults.tell("watching what root ordered", self.order.fault());
        Input::Removal(seen)
    }

    /// Something changed in the agent's folder.
    async fn hear(&mut self, changes: Changes) {
        self.hears.spend(self.now());
        let mut inputs = Vec::new();
        if changes.has(ALIVE) {
            inputs.push(look_at_life(&self.policy).await);
        }
        if changes.has(PLAN) { self.take_plan(inputs).await } else { self.feed(inputs).await }
    }

    /// The policy may be another one now.
    async fn reread_policy(&mut self) {
        self.rereads.spend(self.now());
        self.setup.policies.reread().await;
        let (changed, inputs) = self.follow_policy().await;
        // A plan that was refused under the old one, or is in another place, may be good now.
        if changed { self.take_plan(inputs).await } else { self.feed(inputs).await }
    }

    /// Ends a turn, whatever began it: does what time brings.
    async fn turn(&mut self) {
        self.faults.tell("watching the agent's folder", self.agent.fault());
        self.faults.tell("watching the hosts file", self.hosts.fault());
        let now = self.now();
        if now >= self.next_tick {
            self.next_tick = now.after(TICK);
            self.follow_link().await;
            let mut inputs = vec![self.look_at_order().await, look_at_life(&self.policy).await, Input::Tick];
            let policy = Arc::clone(&self.policy);
            let touched = blocking(move || handover::touch_receipt(&policy.run_dir)).await;
            // Whatever is wrong with the old one: a new one is written, or says what is.
            inputs.extend(touched.is_err().then_some(Input::NotTold));
            self.feed(inputs).await;
        } else if self.core.wake_at().is_some_and(|at| at <= now) {
            self.feed(vec![Input::Tick]).await;
        }
    }

    /// Feeds events that were seen together to the core and carries out what follows, until nothing more does.
    async fn feed(&mut self, inputs: Vec<Input>) {
        let mut actions = VecDeque::from(self.core.step_all(inputs, self.setup.clock.now()));
        while let Some(action) = actions.pop_front() {
            if let Some(input) = self.carry_out(action).await {
                actions.extend(self.core.step(input, self.setup.clock.now()));
            }
        }
    }

    /// Reads the hand-over and takes it, together with what was seen before it. A name that the policy lacks may be in
    /// a config that came a moment before the plan: that is read before the name is refused.
    async fn take_plan(&mut self, mut inputs: Vec<Input>) {
        let mut read = read_plan(&self.policy).await;
        if let Ok(Some(handover)) = &read
            && self.may_reread_for(handover)
        {
            self.setup.policies.reread().await;
            let (changed, more) = self.follow_policy().await;
            inputs.extend(more);
            if changed {
                read = read_plan(&self.policy).await;
            }
        }
        inputs.push(Input::Handover(read));
        self.feed(inputs).await;
    }

    fn may_reread_for(&mut self, handover: &Handover) -> bool {
        let now = self.now();
        let spent = |(digest, at): &(Digest, Boottime)| *digest == handover.digest || now.since(*at) < REREAD;
        if self.reread.as_ref().is_some_and(spent) || !self.core.would_miss_a_name(handover) {
            return false;
        }
        self.reread = Some((handover.digest.clone(), now));
        true
    }

    /// Takes the policy over that is in force now. Gives whether it is another one, and what the core must hear.
    async fn follow_policy(&mut self) -> (bool, Vec<Input>) {
        let trouble = Input::ConfigTrouble(self.setup.policies.trouble());
        let policy = self.setup.policies.current();
        if policy == self.policy {
            return (false, vec![trouble]);
        }
        let old = std::mem::replace(&mut self.policy, Arc::clone(&policy));
        if old.publish && (!policy.publish || old.path != policy.path) {
            settle_closed(&old).await;
        }
        let paths = |p: &HostsPolicy| [&p.path, &p.agent_run_dir, &p.run_dir, &p.state_dir].map(Clone::clone);
        if paths(&old) != paths(&policy) || !old.publish {
            (self.agent, self.hosts) = (watch_agent(&policy).await, watch_hosts(&policy).await);
            self.settle().await;
        }
        if old.admin_dir != policy.admin_dir {
            self.order = OrderWatch::new(&policy);
        }
        let elsewhere = (&old.path, &old.state_dir) != (&policy.path, &policy.state_dir);
        let news = match elsewhere && self.core.remembers_nothing() {
            true => {
                self.recall().await;
                look_at_life(&self.policy).await
            }
            false => Input::Policy(policy),
        };
        let displaced = self.displaced.take();
        (true, [trouble, news, self.look_at_order().await].into_iter().chain(displaced).collect())
    }

    /// Makes the folders, and clears up after a crash.
    async fn settle(&mut self) {
        let policy = Arc::clone(&self.policy);
        let work = move || {
            let prepared = store::prepare(&policy);
            let own = store::clear_leftovers(&policy).map_err(|e| e.to_string());
            let ((displaced, folded), hosts) = match apply::recover_at_start(&policy) {
                Ok(found) => (found, Ok(())),
                Err(e) => (Default::default(), Err(e.to_string())),
            };
            let displaced = Input::Displaced(displaced, folded);
            (prepared.err().map(|e| e.to_string()), own.and(hosts).err(), displaced)
        };
        let (prepared, cleared, displaced) = blocking(work).await;
        self.displaced = Some(displaced);
        self.real = real(&self.policy).await;
        self.faults.tell("making its folders", prepared);
        self.faults.tell("clearing old temporary files", cleared);
    }

    /// Begins anew with the last known good.
    async fn recall(&mut self) {
        let (policy, here) = (Arc::clone(&self.policy), self.setup.here.clone());
        let work = move || {
            let (recalled, unusable) = recall(&policy, &here);
            if unusable.is_some() {
                store::put_aside(&store::block_path(&policy.state_dir));
            }
            (recalled, unusable)
        };
        let (recalled, unusable) = blocking(work).await;
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
        let now = self.now();
        self.core = Core::new(Arc::clone(&self.policy), self.setup.here.clone(), recalled, now);
    }

    /// Leaves nothing beside the hosts file that nobody has open any more: there may be no next start.
    async fn leave(self) {
        if !self.policy.path.as_os_str().is_empty() {
            settle_closed(&self.policy).await;
        }
    }

    /// Carries an action out. Gives what the core must hear of it.
    async fn carry_out(&mut self, action: Action) -> Option<Input> {
        match action {
            Action::Assert(job) => Some(blocking(move || apply::look(&job)).await),
            Action::Settle(job) => {
                let report = blocking(move || apply::settle(&job)).await;
                self.faults.tell("folding in what others edited meanwhile", report.fault.clone());
                Some(Input::Settled(report))
            }
            Action::Save(kept) => {
                let save = move |state_dir: &Path| store::save_block(state_dir, &kept);
                let saved = self.write("keeping the last known good", self.policy.state_dir.clone(), save).await;
                (!saved).then_some(Input::NotSaved)
            }
            Action::Tell(receipt) => {
                self.setup.receipts.send_if_modified(|told| {
                    let news = told.as_ref().is_none_or(|told| is_news(told, &receipt));
                    if news {
                        *told = Some(receipt.clone());
                    }
                    news
                });
                let put = move |run_dir: &Path| handover::write_receipt(run_dir, &receipt);
                let told = self.write("writing the receipt", self.policy.run_dir.clone(), put).await;
                (!told).then_some(Input::NotTold)
            }
            Action::Turned(AgentTurn::Lost(silent)) => {
                tracing::warn!(
                    target: PROVOKED,
                    "hosts writer: no sign of life of the agent for {} s: standby addresses are published too",
                    silent.as_secs()
                );
                None
            }
            Action::Turned(AgentTurn::Back) => {
                tracing::info!(target: PROVOKED, "hosts writer: the agent shows life again");
                None
            }
        }
    }

    /// Writes into one of the writer's folders, made if missing. True if that worked; else it is logged.
    async fn write(
        &mut self,
        what: &'static str,
        folder: PathBuf,
        write: impl FnOnce(&Path) -> io::Result<()> + Send + 'static,
    ) -> bool {
        let policy = Arc::clone(&self.policy);
        let work = move || {
            // What lacks its folder says so itself.
            let _ = store::prepare(&policy);
            write(&folder).map_err(|e| format!("{}: {e}", folder.display()))
        };
        let fault = blocking(work).await.err();
        let worked = fault.is_none();
        self.faults.tell(what, fault);
        worked
    }
}

/// Runs until cancelled.
///
/// First the last known good and the plan in `/run` are read, the plan counting for more, and the file made to say
/// the result; then it follows changes of the plan, the agent's sign of life, the file and the policy, and looks at
/// the file every `reassert_interval` in any case. What goes wrong is told in the receipt and tried again.
pub async fn run<P: PolicySource>(setup: Setup<P>, token: CancellationToken) {
    let mut writer = Writer::start(setup).await;
    loop {
        writer.setup.beat.now();
        let news = tokio::select! {
            () = token.cancelled() => return writer.leave().await,
            news = writer.news() => news,
        };
        writer.heed(news).await;
        writer.turn().await;
    }
}
