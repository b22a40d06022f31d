//! What changed with one result, and who should be asked because of it.

use crate::model::{CheckState, Failure};

/// What an observation changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Signal {
    /// The first failure of a target that was not down. Siblings should be probed.
    EdgeBegan(Failure),
    /// The deciding failure. Siblings must be probed: only a probe begun from now on is evidence (B4).
    WentDown(Failure),
    /// The first success after a failure. Siblings that are down should be probed: what they failed by may have been a
    /// fault of this host that is over now, and if not, they have to fail beside a success before any name leaves them.
    Answers,
    /// Up; `recovered` if it had been down.
    CameUp {
        /// False for the first verdict.
        recovered: bool,
    },
}

impl Signal {
    /// True if the deep check of the same target, which stands so, should be made at once, of what the path check
    /// found: it answers again.
    #[must_use]
    pub fn calls_for_deep_check(&self, deep: CheckState) -> bool {
        matches!(self, Self::Answers | Self::CameUp { .. }) && deep.is_down()
    }

    /// True if a sibling whose check stands so should be probed at once.
    #[must_use]
    pub fn calls_for_sibling(&self, sibling: CheckState) -> bool {
        match self {
            Self::EdgeBegan(_) | Self::WentDown(_) => true,
            // With `rise` 1, or from unknown, the latter is the first success.
            Self::Answers | Self::CameUp { .. } => sibling.is_down(),
        }
    }
}
