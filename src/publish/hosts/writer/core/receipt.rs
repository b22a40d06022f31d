//! What the writer says about its work. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::job::AssertError;
use crate::model::{HostName, LeftOut, PublishErrorKind, Receipt, Verdict};
use crate::publish::admission::Refusal;
use crate::publish::hosts::block::Block;

/// Longest error text, in characters.
const MAX_DETAIL: usize = 500;
/// Of so many names at most it is told what was left out of their answers.
const MOST_LEFT_OUT: usize = 100;

/// True if the new receipt says something else than the time.
pub(in super::super) fn is_news(told: &Receipt, new: &Receipt) -> bool {
    let Receipt { format: _, digest, at: _, names, changed, error, error_detail, .. } = told;
    let Receipt { writes, failed_writes, conflicts, in_conflict, left_out, capped, .. } = told;
    *digest != new.digest
        || *names != new.names
        || *changed != new.changed
        || *error != new.error
        || *error_detail != new.error_detail
        || (*writes, *failed_writes) != (new.writes, new.failed_writes)
        || (*conflicts, *in_conflict) != (new.conflicts, new.in_conflict)
        || (left_out, capped) != (&new.left_out, &new.capped)
}

/// What is wrong at present.
pub(super) struct Wrong<'c> {
    pub(super) file: Option<&'c AssertError>,
    pub(super) handover: Option<&'c str>,
    pub(super) refused: &'c BTreeMap<HostName, Refusal>,
    pub(super) config: Option<&'c str>,
    pub(super) other_boot: bool,
}

/// The gravest of what is wrong. What keeps nothing from being published has no kind.
pub(super) fn error(wrong: &Wrong<'_>) -> (Option<PublishErrorKind>, Option<String>) {
    let Wrong { file, handover, refused, config, other_boot } = *wrong;
    let first = refused.iter().next().map(|(name, why)| match refused.len() {
        1 => format!("{name} refused: {why}"),
        n => format!("{n} names refused, the first: {name}: {why}"),
    });
    let (kind, detail) = match (file, handover, first, config) {
        (Some(e), ..) => (Some(e.kind), e.detail.clone()),
        (None, Some(detail), ..) => (Some(PublishErrorKind::BadHandover), detail.to_owned()),
        // Perhaps the newer config has what was refused.
        (None, None, Some(detail), Some(config)) => (Some(PublishErrorKind::Refused), format!("{config}; {detail}")),
        (None, None, Some(detail), None) => (Some(PublishErrorKind::Refused), detail),
        (None, None, None, Some(detail)) => (None, detail.to_owned()),
        (None, None, None, None) if other_boot => (None, "plan.json is of another boot and was not used".to_owned()),
        (None, None, None, None) => return (None, None),
    };
    (kind, Some(detail.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_DETAIL).collect()))
}

/// What was left out of the answers of names, of the first [`MOST_LEFT_OUT`] of them.
pub(super) fn left_out(all: &BTreeMap<HostName, LeftOut>) -> BTreeMap<HostName, String> {
    all.iter().take(MOST_LEFT_OUT).map(|(name, what)| (name.clone(), what.to_string())).collect()
}

/// What the verdict of a name depends on.
pub(super) struct ReceiptInputs<'c> {
    pub(super) publish: bool,
    pub(super) wanted: &'c Block,
    pub(super) says: Option<&'c Block>,
    pub(super) shadowed: &'c BTreeSet<HostName>,
    pub(super) error: Option<PublishErrorKind>,
    pub(super) in_conflict: bool,
    pub(super) agent_lost: bool,
    pub(super) refused: &'c BTreeMap<HostName, Refusal>,
}

impl ReceiptInputs<'_> {
    pub(super) fn verdict(&self, name: &HostName) -> Verdict {
        let addresses = |block: &Block| block.entries.get(name).map(|e| e.addresses.clone());
        let in_force = self.says.is_some_and(|says| addresses(says) == addresses(self.wanted));
        match () {
            () if self.refused.contains_key(name) => Verdict::Refused,
            () if !self.publish => Verdict::Pending,
            () if !in_force && self.error == Some(PublishErrorKind::UnsupportedMetadata) => {
                Verdict::UnsupportedMetadata
            }
            () if !in_force => Verdict::Pending,
            () if self.in_conflict => Verdict::Conflict,
            () if self.agent_lost => Verdict::AgentLost,
            () if self.shadowed.contains(name) => Verdict::Shadowed,
            () => Verdict::Published,
        }
    }
}
