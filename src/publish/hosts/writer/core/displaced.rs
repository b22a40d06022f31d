//! When a file that an update displaced is folded in and deleted: once it is quiet.
//!
//! Quiet is what nobody has open for writing and nobody has changed for two seconds. Who keeps it open is borne with
//! for a minute; what he writes after that is lost. What an edit was folded in of stays for two seconds more: somebody
//! who had read the hosts file before may have put that back meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use super::job::Settling;
use crate::model::Boottime;
use crate::publish::hosts::file::Displaced;

/// Unchanged for so long is quiet, unless somebody has it open for writing.
const QUIET: Duration = Duration::from_secs(2);
/// After so long it is taken as it is.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at what somebody has open.
const LOOK: Duration = Duration::from_secs(2);
/// After a look or a folding that failed.
const RETRY: Duration = Duration::from_secs(10);

/// The displaced files that are there.
#[derive(Debug, Default)]
pub(super) struct DisplacedFiles {
    seen: BTreeMap<u64, Seen>,
    /// No look before this.
    not_before: Boottime,
    /// Those that the look under way folds in.
    running: Option<Vec<u64>>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    file: Displaced,
    first: Boottime,
    unchanged_since: Boottime,
}

impl Seen {
    fn is_overdue(&self, now: Boottime) -> bool {
        now >= self.first.after(PATIENCE)
    }

    fn is_ready(&self, now: Boottime) -> bool {
        let quiet = self.file.open == Some(false) && now >= self.unchanged_since.after(QUIET);
        quiet || self.is_overdue(now)
    }

    fn due(&self, not_before: Boottime) -> Boottime {
        let end = self.first.after(PATIENCE);
        let next = match self.file.open {
            Some(false) => self.unchanged_since.after(QUIET).min(end),
            // Somebody may let go of it at any time; or nobody can tell.
            Some(true) => end.min(not_before.after(LOOK)),
            None => end,
        };
        next.max(not_before)
    }
}

impl DisplacedFiles {
    /// Another hosts file is looked after.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// These are there.
    pub(super) fn take(&mut self, there: &[Displaced], now: Boottime) {
        let seen = |file: &Displaced| {
            let known = self.seen.get(&file.id);
            let first = known.filter(|known| known.file.stamp.file == file.stamp.file).map_or(now, |known| known.first);
            let same = known.filter(|known| known.file.stamp == file.stamp);
            (file.id, Seen { file: *file, first, unchanged_since: same.map_or(now, |same| same.unchanged_since) })
        };
        self.seen = there.iter().map(seen).collect();
    }

    /// A look is over.
    pub(super) fn settled(&mut self, there: Option<&[Displaced]>, now: Boottime) {
        let ready = self.running.take().unwrap_or_default();
        match there {
            Some(there) => {
                self.take(there, now);
                self.not_before = now;
                // What is still there though it was ready holds an edit that was folded in just now, or another one.
                let stays = self.seen.iter_mut().filter(|(id, _)| ready.contains(id));
                stays.for_each(|(_, seen)| seen.unchanged_since = now);
            }
            None => self.not_before = now.after(RETRY),
        }
    }

    /// When there is something to do; `None` while that is under way.
    pub(super) fn due(&self) -> Option<Boottime> {
        let due = self.seen.values().map(|seen| seen.due(self.not_before)).min();
        due.filter(|_| self.running.is_none())
    }

    /// Begins a look, if it is due: what is ready is folded in.
    pub(super) fn begin(&mut self, now: Boottime) -> Option<Vec<Settling>> {
        if self.due().is_none_or(|due| due > now) {
            return None;
        }
        let ready = self.seen.values().filter(|seen| seen.is_ready(now));
        let ready: Vec<_> =
            ready.map(|seen| Settling { file: seen.file, even_if_open: seen.is_overdue(now) }).collect();
        self.running = Some(ready.iter().map(|settling| settling.file.id).collect());
        Some(ready)
    }
}
