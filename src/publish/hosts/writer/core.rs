//! What the writer does next: events in, actions out. Pure.
//!
//! Level, not edge: whatever happened, the question is what the file should say and what it was last seen to say. An
//! event only makes the next look come sooner.
//!
//! With `publish = false` the writer is idle: the file stays as it is, block included, nothing is looked at, and every
//! name is `pending`. What the hand-over says is still judged, so that switching on again publishes at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::conflict::Conflict;
use super::receipt;
use crate::model::{Boottime, Digest, Handover, HostName, Now, PublishErrorKind, Receipt};
use crate::publish::hosts::block::{Block, Present};
use crate::publish::hosts::file::Change;
use crate::publish::hosts::policy::{HostsPolicy, LastAdmitted, Refusal};

/// After a change of the file by somebody else we wait until it has been quiet for this long, since many editors
/// empty a file first and fill it then.
const QUIET: Duration = Duration::from_millis(30);
/// But never longer than this in all: an absent block is back within 200 ms.
const QUIET_AT_MOST: Duration = Duration::from_millis(120);
/// Between two attempts after a failed one; doubled each time up to [`RETRY_AT_MOST`].
const RETRY: Duration = Duration::from_millis(100);
const RETRY_AT_MOST: Duration = Duration::from_secs(5);

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// Another policy is in force.
    Policy(Arc<HostsPolicy>),
    /// `plan.json` was read, or the error in a sentence. A missing file is no news.
    Handover(Result<Option<Handover>, String>),
    /// The hosts file may have been changed.
    FileTouched,
    /// The job of the last [`Action::Assert`] is done.
    Asserted(Result<Asserted, AssertError>),
    /// The last [`Action::Save`] failed: it is due again.
    NotSaved,
    /// The last [`Action::Tell`] failed: it is due again.
    NotTold,
    /// Time has passed.
    Tick,
}

/// What to do now, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make the file say this, and come back with [`Input::Asserted`] before anything else.
    Assert(Job),
    /// Keep this as last known good.
    Save(Block),
    /// Put this receipt in place.
    Tell(Receipt),
}

/// One look at the file, and a write if it says something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// What the file should say.
    pub wanted: Block,
    /// What we last made it say, if we did.
    pub last: Option<Block>,
    /// Where everything is.
    pub policy: Arc<HostsPolicy>,
}

/// A job that worked: now the file says what was wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asserted {
    /// What of ours was there before.
    pub found: Present,
    /// Whether it had to be written.
    pub change: Change,
    /// Names that stand in foreign lines too.
    pub shadowed: BTreeSet<HostName>,
}

/// A job that did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssertError {
    /// The closed kind.
    pub kind: PublishErrorKind,
    /// For people.
    pub detail: String,
}

/// The writer's state.
#[derive(Debug)]
pub struct Core {
    policy: Arc<HostsPolicy>,
    admitted: LastAdmitted,
    refused: BTreeMap<HostName, Refusal>,
    grace_ends: Option<Boottime>,
    handover: Option<Handover>,
    bad_handover: Option<String>,
    /// Only who has had something to say may take it out again.
    had_names: bool,
    file: FileState,
    conflict: Conflict,
    counts: Counts,
    saved: Option<Block>,
    told: Option<Receipt>,
}

/// What is known of the file.
#[derive(Debug, Default)]
struct FileState {
    /// What we last made it say or saw it say.
    says: Option<Block>,
    shadowed: BTreeSet<HostName>,
    /// What the job under way wants.
    running: Option<Block>,
    looked: Option<Boottime>,
    written: Option<Boottime>,
    /// First and latest touch by others since the last look.
    touched: Option<(Boottime, Boottime)>,
    error: Option<AssertError>,
    retry: Option<Boottime>,
    failures: u32,
}

#[derive(Debug, Default)]
struct Counts {
    writes: u64,
    failed_writes: u64,
    /// For which hand-over the latest write was.
    written_for: Option<Option<Digest>>,
}

impl Core {
    /// `saved` is the last known good on disk; `file_says` what the file was found to say where there is none.
    #[must_use]
    pub fn new(policy: Arc<HostsPolicy>, saved: Option<Block>, file_says: Option<Block>, now: Boottime) -> Self {
        let block = saved.clone().or(file_says).unwrap_or_default();
        let mut core = Self {
            policy,
            had_names: !block.entries.is_empty(),
            admitted: LastAdmitted { block, lacking: BTreeMap::new() },
            refused: BTreeMap::new(),
            grace_ends: None,
            handover: None,
            bad_handover: None,
            file: FileState::default(),
            conflict: Conflict::default(),
            counts: Counts::default(),
            saved,
            told: None,
        };
        core.admit(now);
        core
    }

    /// Takes one event and says what to do.
    pub fn step(&mut self, input: Input, now: Now) -> Vec<Action> {
        let now_at = now.boottime;
        let mut actions = Vec::new();
        match input {
            Input::Policy(policy) => self.take_policy(policy, now_at),
            Input::Handover(read) => self.take_handover(read, now_at),
            Input::FileTouched => {
                let first = self.file.touched.map_or(now_at, |(first, _)| first);
                self.file.touched = Some((first, now_at));
            }
            Input::Asserted(result) => self.take_result(result, now_at),
            // Not at once: what failed just now would fail again.
            Input::NotSaved => {
                self.saved = None;
                return actions;
            }
            Input::NotTold => {
                self.told = None;
                return actions;
            }
            Input::Tick => {}
        }
        self.conflict.refresh(now_at);
        if self.grace_ends.is_some_and(|end| end <= now_at) {
            self.admit(now_at);
        }
        if self.assert_at().is_some_and(|at| at <= now_at) {
            actions.push(Action::Assert(self.begin()));
            return actions;
        }
        self.tell_and_save(now, &mut actions);
        actions
    }

    /// When [`Self::step`] has something to do without any event.
    #[must_use]
    pub fn wake_at(&self) -> Option<Boottime> {
        [self.assert_at(), self.grace_ends, self.conflict.ends_at()].into_iter().flatten().min()
    }

    /// What the file should say.
    #[must_use]
    pub fn wanted(&self) -> &Block {
        &self.admitted.block
    }

    fn take_policy(&mut self, policy: Arc<HostsPolicy>, now: Boottime) {
        if policy.path != self.policy.path || !policy.publish {
            // Another file, or one that we no longer look after: what we know of it ends here.
            self.file = FileState::default();
        }
        self.policy = policy;
        self.file.looked = None;
        self.admit(now);
    }

    fn take_handover(&mut self, read: Result<Option<Handover>, String>, now: Boottime) {
        match read {
            Ok(None) => self.bad_handover = None,
            Ok(Some(handover)) => {
                self.bad_handover = None;
                self.had_names |= !handover.withdrawn.is_empty();
                self.handover = Some(handover);
                self.admit(now);
            }
            Err(detail) => self.bad_handover = Some(detail),
        }
    }

    fn admit(&mut self, now: Boottime) {
        let admission = self.policy.admit(self.handover.as_ref(), &self.admitted, now);
        if !admission.admitted.block.same_pairs(&self.admitted.block) {
            // What failed for the old content need not fail for the new.
            self.file.retry = None;
        }
        self.admitted = admission.admitted;
        self.refused = admission.refused;
        self.grace_ends = admission.next_deadline;
        self.had_names |= !self.admitted.block.entries.is_empty();
    }

    fn take_result(&mut self, result: Result<Asserted, AssertError>, now: Boottime) {
        let Some(wanted) = self.file.running.take() else { return };
        self.file.looked = Some(now);
        match result {
            Ok(asserted) => self.take_success(wanted, asserted, now),
            Err(error) => {
                self.counts.failed_writes += 1;
                let pause = RETRY.saturating_mul(1 << self.file.failures.min(10)).min(RETRY_AT_MOST);
                self.file.failures += 1;
                self.file.retry = Some(now.after(pause));
                self.file.error = Some(error);
            }
        }
    }

    fn take_success(&mut self, wanted: Block, Asserted { found, change, shadowed }: Asserted, now: Boottime) {
        let says = |block: &Block| match &found {
            Present::Whole(there) => there.same_pairs(block),
            Present::Absent => block.entries.is_empty(),
            Present::Damaged => false,
        };
        let ours_before = self.file.says.as_ref().filter(|b| !b.entries.is_empty());
        if ours_before.is_some_and(|before| !says(before)) && !says(&wanted) {
            self.conflict.removed(now);
        }
        if change != Change::Unchanged {
            self.counts.writes += 1;
            self.counts.written_for = Some(self.digest());
            self.file.written = Some(now);
        }
        self.file.says = Some(wanted);
        self.file.shadowed = shadowed;
        (self.file.error, self.file.retry, self.file.failures) = (None, None, 0);
    }

    /// When the file is to be looked at next; `None` if idle or at work.
    fn assert_at(&self) -> Option<Boottime> {
        let file = &self.file;
        if !self.policy.publish || !self.had_names || file.running.is_some() {
            return None;
        }
        let changed = file.says.as_ref().is_none_or(|says| !says.same_pairs(self.wanted()));
        let now = Boottime::default();
        let regular = file.looked.map_or(now, |looked| looked.after(self.policy.reassert_interval));
        let quiet = file.touched.map(|(first, latest)| first.after(QUIET_AT_MOST).min(latest.after(QUIET)));
        let at_once = file.retry.or(changed.then_some(now));
        let due = [Some(regular), quiet, at_once].into_iter().flatten().min()?;
        Some(due.max(self.conflict.may_write_at(file.written)))
    }

    fn begin(&mut self) -> Job {
        self.file.touched = None;
        self.file.running = Some(self.wanted().clone());
        Job { wanted: self.wanted().clone(), last: self.file.says.clone(), policy: Arc::clone(&self.policy) }
    }

    fn tell_and_save(&mut self, now: Now, actions: &mut Vec<Action>) {
        // The file is visible by now: who waits for that need not wait for the disk.
        let receipt = self.receipt(now);
        if self.told.as_ref().is_none_or(|told| receipt::is_news(told, &receipt)) {
            self.told = Some(receipt.clone());
            actions.push(Action::Tell(receipt));
        }
        if let Some(says) = &self.file.says
            && self.saved.as_ref().is_none_or(|saved| !saved.same_pairs(says))
        {
            self.saved = Some(says.clone());
            actions.push(Action::Save(says.clone()));
        }
    }

    fn digest(&self) -> Option<Digest> {
        self.handover.as_ref().map(|h| h.digest.clone())
    }

    /// What there is to tell.
    #[must_use]
    pub fn receipt(&self, now: Now) -> Receipt {
        let digest = self.digest();
        let (error, error_detail) =
            receipt::error(self.file.error.as_ref(), self.bad_handover.as_deref(), &self.refused);
        Receipt {
            format: crate::model::HANDOVER_FORMAT,
            at: now.wall,
            names: self.verdicts(),
            changed: self.counts.written_for.as_ref() == Some(&digest),
            digest,
            error,
            error_detail,
            writes: self.counts.writes,
            failed_writes: self.counts.failed_writes,
            conflicts: self.conflict.count(),
            in_conflict: self.conflict.is_active(),
        }
    }

    fn verdicts(&self) -> BTreeMap<HostName, crate::model::Verdict> {
        let facts = receipt::Facts {
            publish: self.policy.publish,
            wanted: self.wanted(),
            says: self.file.says.as_ref(),
            shadowed: &self.file.shadowed,
            error: self.file.error.as_ref().map(|e| e.kind),
            in_conflict: self.conflict.is_active(),
            refused: &self.refused,
        };
        let planned = self.handover.iter().flat_map(|h| h.plan.keys());
        let names = self.wanted().entries.keys().chain(planned);
        names.map(|name| (name.clone(), facts.verdict(name))).collect()
    }
}

#[cfg(test)]
mod tests;
