//! What the file should say, and what of the hand-over was not let in.

use std::collections::BTreeMap;

use super::provenance::{Origin, Recalled, ThisHost};
use crate::model::limits::CapCounts;
use crate::model::{Boottime, Digest, Handover, HostName, LeftOut};
use crate::publish::admission::{LastAdmitted, Refusal};
use crate::publish::hosts::block::Block;
use crate::publish::hosts::policy::HostsPolicy;

/// What was admitted up to now, and why not more.
#[derive(Debug, Default)]
pub(super) struct Desired {
    pub(super) last: LastAdmitted,
    /// What the file should say of it.
    pub(super) wanted: Block,
    pub(super) refused: BTreeMap<HostName, Refusal>,
    pub(super) left_out: BTreeMap<HostName, LeftOut>,
    /// What was left out since the start because there was too much of it.
    pub(super) capped: CapCounts,
    /// When a name that the config lacks must go.
    pub(super) grace_ends: Option<Boottime>,
    /// Only who has had something to say may take it out again.
    pub(super) had_names: bool,
    /// Why the hand-over that is there was refused whole.
    pub(super) bad_handover: Option<String>,
    /// The hand-over that is there is of another boot.
    pub(super) other_boot: bool,
    handover: Option<Handover>,
    /// What was too much of that hand-over has not been counted yet.
    uncounted: bool,
}

impl Desired {
    pub(super) fn new(recalled: Recalled) -> Self {
        let foreign = matches!(recalled, Recalled::Foreign(_));
        let answers = match recalled {
            Recalled::Nothing | Recalled::Foreign(_) => BTreeMap::new(),
            Recalled::Own(kept) => kept.answers,
            Recalled::InFile(block) => block.entries.into_iter().map(|(name, entry)| (name, entry.into())).collect(),
        };
        let had_names = foreign || !answers.is_empty();
        Self { last: LastAdmitted { answers, ..LastAdmitted::default() }, had_names, ..Self::default() }
    }

    /// Takes over what was read of `plan.json`; true if there is something new to judge.
    pub(super) fn take_handover(&mut self, read: Result<Option<Handover>, String>, here: &ThisHost) -> bool {
        (self.bad_handover, self.other_boot) = (None, false);
        match read.map(|found| found.map(|handover| (here.origin(&handover), handover))) {
            Ok(None) => {}
            Err(detail) => self.bad_handover = Some(detail),
            Ok(Some((Origin::OtherBoot, _))) => self.other_boot = true,
            Ok(Some((Origin::OtherMachine(part), _))) => {
                self.bad_handover = Some(format!("plan.json: written on another machine: {part} differs"));
            }
            Ok(Some((Origin::ThisHost, handover))) => {
                self.had_names |= !handover.withdrawn.is_empty();
                (self.handover, self.uncounted) = (Some(handover), true);
                return true;
            }
        }
        false
    }

    /// Judges all anew; true if the file should say something else now.
    pub(super) fn judge(&mut self, policy: &HostsPolicy, agent_lost: bool, now: Boottime) -> bool {
        let admission = policy.rules.admit(self.handover.as_ref(), &self.last, now);
        self.last = admission.admitted;
        for (name, refusal) in &admission.refused {
            let news = self.refused.get(name) != Some(refusal);
            refusal.capped().filter(|_| news).into_iter().for_each(|what| self.capped.add(what, 1));
        }
        self.refused = admission.refused;
        self.left_out = admission.left_out;
        if std::mem::take(&mut self.uncounted) {
            self.capped.extend(&admission.capped);
        }
        self.grace_ends = admission.next_deadline;
        self.had_names |= !self.last.answers.is_empty();
        self.show(agent_lost)
    }

    /// Says it with the standby addresses or without; true if the file should say something else now.
    pub(super) fn show(&mut self, agent_lost: bool) -> bool {
        let before = std::mem::replace(&mut self.wanted, Block::from_answers(&self.last.answers, agent_lost));
        !before.same_pairs(&self.wanted)
    }

    /// Of the hand-over that is followed.
    pub(super) fn digest(&self) -> Option<Digest> {
        self.handover.as_ref().map(|h| h.digest.clone())
    }

    /// Every name that there is a verdict about.
    pub(super) fn names(&self) -> impl Iterator<Item = &HostName> {
        self.last.answers.keys().chain(self.handover.iter().flat_map(|h| h.plan.keys()))
    }
}
