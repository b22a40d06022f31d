//! What the writer says about its work. Pure.

use super::Core;
use crate::model::{HANDOVER_FORMAT, HostName, Now, PublishErrorKind, Receipt, Verdict, taken_out};
use crate::publish::admission::refusal;
use crate::publish::hosts::block::Block;

/// Longest error text, in characters.
const MAX_DETAIL: usize = 500;
/// Of so many names at most it is told what was left out of their answers, or which line shadows them.
const MOST_TOLD: usize = 100;

impl Core {
    /// What there is to tell.
    #[must_use]
    pub fn receipt(&self, now: Now) -> Receipt {
        let digest = self.admitted.digest();
        let (error, error_detail) = self.error();
        let left_out = self.admitted.left_out.iter().take(MOST_TOLD);
        Receipt {
            format: HANDOVER_FORMAT,
            at: now.wall,
            names: self.admitted.names().map(|name| (name.clone(), self.verdict(name))).collect(),
            changed: self.file.written_for.as_ref() == Some(&digest),
            digest,
            error,
            error_detail,
            writes: self.file.writes,
            failed_writes: self.file.failed_writes,
            conflicts: self.file.conflict.count,
            in_conflict: self.file.conflict.active,
            removed: self.removal.since,
            left_out: left_out.map(|(name, what)| (name.clone(), what.to_string())).collect(),
            shadowing: self.file.shadowed.iter().take(MOST_TOLD).map(|(name, line)| (name.clone(), *line)).collect(),
            rewriters: self.file.rewriters.iter().filter(|_| !self.file.shadowed.is_empty()).cloned().collect(),
            capped: self.admitted.capped.clone(),
            notices: self.notices.all(),
        }
    }

    /// The gravest of what is wrong at present. What keeps nothing from being published has no kind.
    fn error(&self) -> (Option<PublishErrorKind>, Option<String>) {
        let Some((kind, detail)) = self.gravest() else { return (None, None) };
        (kind, Some(detail.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_DETAIL).collect()))
    }

    fn gravest(&self) -> Option<(Option<PublishErrorKind>, String)> {
        let first = refusal::in_one_sentence(&self.admitted.refused);
        Some(match (&self.file.error, &self.admitted.bad_handover, first, &self.config_trouble) {
            (Some(e), ..) => (Some(e.kind), e.detail.clone()),
            (None, Some(detail), ..) => (Some(PublishErrorKind::BadHandover), detail.clone()),
            // Perhaps the newer config has what was refused.
            (None, None, Some(detail), Some(config)) => {
                (Some(PublishErrorKind::Refused), format!("{config}; {detail}"))
            }
            (None, None, Some(detail), None) => (Some(PublishErrorKind::Refused), detail),
            (None, None, None, config) => (None, self.remark(config.as_deref())?),
        })
    }

    /// What is no error and people should know all the same.
    fn remark(&self, config: Option<&str>) -> Option<String> {
        let of_root = match (self.removal.since.map(taken_out), self.removal.trouble.clone()) {
            (Some(kept_out), Some(trouble)) => Some(format!("{kept_out}; {trouble}")),
            (kept_out, trouble) => kept_out.or(trouble),
        };
        let other_boot = self.admitted.other_boot.then(|| "plan.json is of another boot and was not used".to_owned());
        of_root.or_else(|| config.map(ToOwned::to_owned)).or(other_boot)
    }

    fn verdict(&self, name: &HostName) -> Verdict {
        let addresses = |block: &Block| block.entries.get(name).map(|e| e.addresses.clone());
        let in_force = self.file.says.as_ref().is_some_and(|says| addresses(says) == addresses(self.wanted()));
        let error = self.file.error.as_ref().map(|e| e.kind);
        match () {
            () if self.removal.since.is_some() && self.file.holds(&self.nothing) => Verdict::Removed,
            () if self.admitted.refused.contains_key(name) => Verdict::Refused,
            () if !self.policy.publish => Verdict::Pending,
            () if !in_force && error == Some(PublishErrorKind::UnsupportedMetadata) => Verdict::UnsupportedMetadata,
            () if !in_force => Verdict::Pending,
            () if self.file.conflict.active => Verdict::Conflict,
            () if self.life.lost => Verdict::AgentLost,
            () if !self.file.is_for_all() => Verdict::Unreadable,
            () if self.file.shadowed.contains_key(name) => Verdict::Shadowed,
            () => Verdict::Published,
        }
    }
}
