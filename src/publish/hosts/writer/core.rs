//! What the writer does next: events in, actions out. Pure.
//!
//! Level, not edge: whatever happened, the question is what the file should say and what it was last seen to say. An
//! event only makes the next look come sooner.
//!
//! With `publish = false` the writer is idle: the file stays as it is, block included, nothing is looked at, and every
//! name is `pending`. What the hand-over says is still judged, so that switching on again publishes at once. While root
//! keeps the block out (`hosts remove`), the file should say nothing of ours, whatever else is so.

mod agent_liveness;
mod conflict;
mod desired;
mod displaced;
mod file_state;
mod job;
mod notices;
mod provenance;
mod rate;
mod receipt;
mod removal;

use std::sync::Arc;

use self::agent_liveness::AgentLiveness;
pub use self::agent_liveness::AgentTurn;
use self::desired::Desired;
use self::displaced::DisplacedFiles;
pub(super) use self::file_state::FORMER;
use self::file_state::FileState;
pub use self::job::{AssertError, Asserted, Job, SettleJob, SettleReport, Settling};
use self::notices::Notices;
pub use self::provenance::{LastGood, Origin, OwnRecord, Recalled, ThisHost};
pub(super) use self::rate::LookRate;
use self::removal::Removal;
use crate::model::{Boottime, Handover, Now, Receipt, Wall};
use crate::publish::hosts::adopt::LinesOfOthers;
use crate::publish::hosts::block::Block;
use crate::publish::hosts::file::{Displaced, LateEdit};
use crate::publish::hosts::life_file::LifeFile;
use crate::publish::hosts::policy::HostsPolicy;

/// What happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// Another policy is in force.
    Policy(Arc<HostsPolicy>),
    /// What keeps the config from being used, in a sentence, if anything does: the policy is an older one then.
    ConfigTrouble(Option<String>),
    /// `plan.json` was read, or the error in a sentence. A missing file is no news.
    Handover(Result<Option<Handover>, String>),
    /// What is there as the agent's sign of life was looked at. Only such a look makes the agent lost or found (B17).
    AgentLiveness(Option<LifeFile>),
    /// A look at root's order: since when the block is to be kept out, if it is; or why what is there doesn't count.
    Removal(Result<Option<Wall>, String>),
    /// The hosts file may have been changed.
    FileTouched,
    /// The job of the last [`Action::Assert`] is done.
    Asserted(Result<Asserted, AssertError>),
    /// The file is the one that the job knew: it was not read.
    FoundTheSame,
    /// Files that earlier updates displaced are there, and edits were folded in when that was looked up.
    Displaced(Vec<Displaced>, Vec<LateEdit>),
    /// The job of the last [`Action::Settle`] is done.
    Settled(SettleReport),
    /// The last [`Action::Save`] failed: it is due again.
    NotSaved,
    /// The last [`Action::Tell`] failed, or what it put in place is gone: it is due again.
    NotTold,
    /// Time has passed.
    Tick,
}

/// What to do now, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make the file say this, and come back with [`Input::Asserted`] or [`Input::FoundTheSame`] before anything else.
    Assert(Job),
    /// Look at the displaced files and fold in those that are quiet; come back with [`Input::Settled`].
    Settle(SettleJob),
    /// Keep this as last known good.
    Save(LastGood),
    /// Put this receipt in place.
    Tell(Receipt),
    /// Say that the agent is lost, or back.
    Turned(AgentTurn),
}

/// The writer's state.
#[derive(Debug)]
pub struct Core {
    policy: Arc<HostsPolicy>,
    config_trouble: Option<String>,
    here: ThisHost,
    admitted: Desired,
    removal: Removal,
    /// What the file should say while the block is kept out.
    nothing: Block,
    life: AgentLiveness,
    file: FileState,
    displaced: DisplacedFiles,
    notices: Notices,
    saved: Option<LastGood>,
    told: Option<Receipt>,
}

impl Core {
    /// Begins with what is remembered.
    #[must_use]
    pub fn new(policy: Arc<HostsPolicy>, here: ThisHost, recalled: Recalled, now: Boottime) -> Self {
        let saved = match &recalled {
            Recalled::Own(kept) => Some(kept.clone()),
            Recalled::Nothing | Recalled::InFile(_) | Recalled::Foreign(_) => None,
        };
        let record = saved.as_ref().and_then(|kept| kept.own.clone());
        let own = record.filter(|own| own.path == policy.path).map(|own| own.lines);
        let mut core = Self {
            policy,
            config_trouble: None,
            here,
            admitted: Desired::new(recalled),
            removal: Removal::default(),
            nothing: Block::default(),
            life: AgentLiveness::new(now),
            file: FileState::knowing(own),
            displaced: DisplacedFiles::default(),
            notices: Notices::default(),
            saved,
            told: None,
        };
        core.judge(now);
        core
    }

    /// Takes one event and says what to do.
    pub fn step(&mut self, input: Input, now: Now) -> Vec<Action> {
        self.step_all([input], now)
    }

    /// Takes events that were seen together, so that nothing is done for the first that the next makes obsolete.
    pub fn step_all(&mut self, inputs: impl IntoIterator<Item = Input>, now: Now) -> Vec<Action> {
        let at = now.boottime;
        let mut actions = Vec::new();
        let mut only_failures = true;
        for input in inputs {
            only_failures &= matches!(input, Input::NotSaved | Input::NotTold);
            actions.extend(self.take_in(input, now));
        }
        if only_failures {
            // Not at once: what failed just now would fail again.
            return actions;
        }
        self.file.conflict.refresh(at);
        if self.admitted.grace_ends.is_some_and(|end| end <= at) {
            self.judge(at);
        }
        if self.assert_at().is_some_and(|due| due <= at) {
            actions.push(Action::Assert(self.begin(now.boottime)));
            return actions;
        }
        self.tell_and_save(now, &mut actions);
        // Also where nothing is published any more: what others edited belongs into the file.
        if let Some(ready) = self.displaced.begin(at) {
            actions.push(Action::Settle(SettleJob { ready, policy: Arc::clone(&self.policy) }));
        }
        actions
    }

    fn take_in(&mut self, input: Input, now: Now) -> Option<Action> {
        let at = now.boottime;
        match input {
            Input::Policy(policy) => self.take_policy(policy, now),
            Input::ConfigTrouble(trouble) => self.config_trouble = trouble,
            Input::Handover(read) => {
                if self.admitted.take_handover(read, &self.here) {
                    self.judge(at);
                }
            }
            Input::AgentLiveness(sign) => return self.take_life(sign, now),
            Input::Removal(seen) => self.take_removal(seen, now.wall),
            Input::FileTouched => self.file.touch(at),
            Input::Asserted(result) => self.take_result(result, now),
            Input::Displaced(there, folded) => {
                self.notices.folded(&folded, now.wall);
                self.displaced.take(&there, at);
            }
            Input::Settled(report) => {
                self.notices.settled(&report, now.wall);
                self.displaced.settled(report.fault.is_none().then_some(&report.there), at);
            }
            Input::FoundTheSame => self.file.found_the_same(at),
            Input::NotSaved => self.saved = None,
            Input::NotTold => self.told = None,
            Input::Tick => {}
        }
        None
    }

    /// When [`Self::step`] has something to do without any event.
    #[must_use]
    pub fn wake_at(&self) -> Option<Boottime> {
        [self.assert_at(), self.displaced.due(), self.admitted.grace_ends, self.file.conflict.ends_at()]
            .into_iter()
            .flatten()
            .min()
    }

    /// What the file should say.
    #[must_use]
    pub fn wanted(&self) -> &Block {
        if self.removal.since.is_some() { &self.nothing } else { &self.admitted.wanted }
    }

    /// What the lines of others in it should be.
    #[must_use]
    pub fn others(&self) -> LinesOfOthers {
        match (self.removal.since, self.policy.adopt) {
            (Some(_), _) => LinesOfOthers::GivenBack,
            (None, true) => LinesOfOthers::TakenOver,
            (None, false) => LinesOfOthers::Kept,
        }
    }

    /// True if this hand-over counts here and has a name that the policy lacks: a newer config might have it.
    #[must_use]
    pub fn would_miss_a_name(&self, handover: &Handover) -> bool {
        self.here.origin(handover) == Origin::ThisHost
            && self.policy.rules.lacks_a_name_of(handover, &self.admitted.last)
    }

    /// True if no name has ever been admitted, or all are gone.
    #[must_use]
    pub fn remembers_nothing(&self) -> bool {
        self.admitted.last.answers.is_empty()
    }

    fn take_policy(&mut self, policy: Arc<HostsPolicy>, now: Now) {
        if self.policy.holds_every_name() {
            // It may have lacked anything for however long: the grace counts from when it is over.
            self.admitted.last.lacking.clear();
        }
        let same_file = policy.path == self.policy.path;
        if !same_file || !policy.publish {
            let own = self.file.own.take().filter(|_| same_file);
            self.file.forget(own);
        }
        if !same_file {
            self.displaced.forget();
        }
        if policy.adopt != self.policy.adopt {
            self.file.read_anew();
        }
        if same_file && self.policy.adopt && !policy.adopt {
            self.notices.adopts_no_more(now.wall);
        }
        self.policy = policy;
        self.file.look_soon();
        self.judge(now.boottime);
    }

    fn take_removal(&mut self, seen: Result<Option<Wall>, String>, now: Wall) {
        if self.removal.take(seen) {
            self.notices.ordered(self.removal.since, now);
            self.file.forgive();
            self.file.look_soon();
        }
    }

    /// An idle writer has no agent to lose.
    fn take_life(&mut self, sign: Option<LifeFile>, now: Now) -> Option<Action> {
        self.life.look(sign, now);
        let patience = self.policy.publish.then_some(self.policy.agent_lost_after);
        let turn = self.life.judge(patience, now.boottime)?;
        if self.admitted.show(self.life.lost) {
            self.file.forgive();
        }
        Some(Action::Turned(turn)).filter(|_| self.policy.publish)
    }

    fn judge(&mut self, now: Boottime) {
        if self.admitted.judge(&self.policy, self.life.lost, now) {
            self.file.forgive();
        }
    }

    /// When the file is to be looked at next; `None` if idle or at work.
    fn assert_at(&self) -> Option<Boottime> {
        let active = self.policy.publish && self.admitted.had_names;
        let keeps_out = self.removal.since.is_some() && !self.policy.path.as_os_str().is_empty();
        (active || keeps_out).then(|| self.file.look_at(self.wanted(), self.policy.reassert_interval)).flatten()
    }

    fn take_result(&mut self, result: Result<Asserted, AssertError>, now: Now) {
        if let Ok(asserted) = &result {
            self.notices.asserted(asserted, now.wall);
            if let Some(there) = &asserted.displaced {
                self.displaced.take(there, now.boottime);
            }
        }
        self.file.take_result(result, self.admitted.digest(), now.boottime);
    }

    fn begin(&mut self, now: Boottime) -> Job {
        let (wanted, others) = (self.wanted().clone(), self.others());
        let known = self.file.begin(&wanted);
        Job { wanted, others, own: self.file.lines(now), known, policy: Arc::clone(&self.policy) }
    }

    fn tell_and_save(&mut self, now: Now, actions: &mut Vec<Action>) {
        // The file is visible by now: who waits for that need not wait for the disk.
        let receipt = self.receipt(now);
        if self.told.as_ref().is_none_or(|told| is_news(told, &receipt)) {
            self.told = Some(receipt.clone());
            actions.push(Action::Tell(receipt));
        }
        let Desired { last, marks, .. } = &self.admitted;
        let (identity, answers) = (&self.here.identity, &last.answers);
        let own = self.file.lines(now.boottime).map(|lines| OwnRecord { path: self.policy.path.clone(), lines });
        let is_saved = |saved: &LastGood| saved.same(identity, answers) && saved.marks == *marks && saved.own == own;
        // Who only takes out what others left has nothing to remember.
        let worth = self.removal.since.is_none() || !answers.is_empty() || self.saved.is_some();
        if worth && self.file.holds(self.wanted()) && !self.saved.as_ref().is_some_and(is_saved) {
            let kept = LastGood { identity: identity.clone(), answers: answers.clone(), marks: marks.clone(), own };
            self.saved = Some(kept.clone());
            actions.push(Action::Save(kept));
        }
    }
}

/// True if the new receipt says something else than the time.
pub(super) fn is_news(told: &Receipt, new: &Receipt) -> bool {
    Receipt { at: told.at, ..new.clone() } != *told
}

#[cfg(test)]
mod tests;
