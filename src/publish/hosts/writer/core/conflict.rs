//! Is another program taking our block out again and again? (B11)

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::Boottime;

/// Removals within [`WINDOW`] that make a conflict.
const LIMIT: usize = 3;
/// How long a removal counts; and the quiet time that ends a conflict.
const WINDOW: Duration = Duration::from_secs(600);
/// Between two writes in a conflict.
const RATE: Duration = Duration::from_secs(5);

/// The removals of late, and what follows from them.
#[derive(Debug, Clone, Default)]
pub(super) struct Conflict {
    /// The latest [`LIMIT`] at most.
    removals: VecDeque<Boottime>,
    /// True during a conflict.
    pub(super) active: bool,
    /// Conflicts so far.
    pub(super) count: u64,
}

impl Conflict {
    /// Another program, or an admin, removed or changed our block.
    pub(super) fn removed(&mut self, now: Boottime) {
        self.refresh(now);
        self.removals.push_back(now);
        if self.removals.len() > LIMIT {
            self.removals.pop_front();
        }
        if self.removals.len() == LIMIT && !self.active {
            self.active = true;
            self.count += 1;
        }
    }

    /// Forgets what is over.
    pub(super) fn refresh(&mut self, now: Boottime) {
        while self.removals.front().is_some_and(|r| now.since(*r) >= WINDOW) {
            self.removals.pop_front();
        }
        self.active &= !self.removals.is_empty();
    }

    /// The earliest time for the next write after one at `last`.
    pub(super) fn may_write_at(&self, last: Option<Boottime>) -> Boottime {
        match last {
            Some(last) if self.active => last.after(RATE),
            _ => Boottime::default(),
        }
    }

    /// When the conflict ends if nothing more is removed.
    pub(super) fn ends_at(&self) -> Option<Boottime> {
        self.removals.back().filter(|_| self.active).map(|r| r.after(WINDOW))
    }
}
