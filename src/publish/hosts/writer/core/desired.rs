//! What the file should say, and what of the hand-over was not let in.

use std::collections::BTreeMap;

use super::provenance::{Origin, Recalled, ThisHost};
use crate::model::limits::CapCounts;
use crate::model::{Boottime, Digest, Handover, HostName, LeftOut};
use crate::publish::admission::{LastAdmitted, Refusal};
use crate::publish::hosts::block::{Block, Entry, Marks};
use crate::publish::hosts::policy::HostsPolicy;

/// What was admitted up to now, and why not more.
#[derive(Debug, Default)]
pub(super) struct Desired {
    pub(super) last: LastAdmitted,
    /// What is known of its names beside that.
    pub(super) marks: Marks,
    /// What the file said at the start, where nothing but that told what to publish; until a hand-over comes. Only the
    /// agent knows which names are zones' own.
    recalled: Option<Block>,
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
        let (mut marks, mut in_file) = (Marks::default(), None);
        let answers = match recalled {
            Recalled::Nothing | Recalled::Foreign(_) => BTreeMap::new(),
            Recalled::Own(kept) => {
                marks = kept.marks;
                kept.answers
            }
            Recalled::InFile(block) => {
                let changed = |(name, entry): (&HostName, &Entry)| Some((name.clone(), entry.changed?));
                marks.changed = block.entries.iter().filter_map(changed).collect();
                in_file = Some(block.clone());
                block.entries.into_iter().map(|(name, entry)| (name, entry.into())).collect()
            }
        };
        let had_names = foreign || !answers.is_empty();
        let last = LastAdmitted { answers, ..LastAdmitted::default() };
        Self { last, marks, recalled: in_file, had_names, ..Self::default() }
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
                (self.handover, self.uncounted, self.recalled) = (Some(handover), true, None);
                return true;
            }
        }
        false
    }

    /// Judges all anew; true if the file should say something else now.
    pub(super) fn judge(&mut self, policy: &HostsPolicy, agent_lost: bool, now: Boottime) -> bool {
        let admission = policy.rules.admit(self.handover.as_ref(), &self.last, now);
        let before = std::mem::replace(&mut self.last, admission.admitted);
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
        self.mark(&before);
        self.show(agent_lost)
    }

    /// Takes over what the hand-over says of the names that follow it. A time of which it says nothing (the agent has
    /// been started since) holds on for as long as the addresses do.
    fn mark(&mut self, before: &LastAdmitted) {
        let Self { last, marks, handover, refused, .. } = self;
        for handover in handover.iter() {
            for name in handover.plan.keys().filter(|name| !refused.contains_key(*name)) {
                match handover.zone_names.contains(name) {
                    true => marks.zone_names.insert(name.clone()),
                    false => marks.zone_names.remove(name),
                };
                let addresses = |last: &LastAdmitted| last.answers.get(name).map(|a| a.addresses.clone());
                if let Some(at) = handover.changed.get(name) {
                    marks.changed.insert(name.clone(), *at);
                } else if addresses(before) != addresses(last) {
                    marks.changed.remove(name);
                }
            }
        }
        marks.zone_names.retain(|name| last.answers.contains_key(name));
        marks.changed.retain(|name, _| last.answers.contains_key(name));
    }

    /// Says it with the standby addresses or without; true if the file should say something else now.
    pub(super) fn show(&mut self, agent_lost: bool) -> bool {
        let mut wanted = Block::from_answers(&self.last.answers, &self.marks, agent_lost);
        if let Some(recalled) = &self.recalled {
            wanted = wanted.ordered_like(recalled);
        }
        let before = std::mem::replace(&mut self.wanted, wanted);
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
