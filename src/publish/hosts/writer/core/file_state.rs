//! What is known of the hosts file, and when it is to be looked at next.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::conflict::Conflict;
use super::job::{AssertError, Asserted};
use super::rate::WriteRate;
use crate::model::{Boottime, Digest, HostName};
use crate::publish::hosts::block::{Block, OwnLines, Present};
use crate::publish::hosts::file::Change;
use crate::sys::file_stamp::FileStamp;

/// After a change of the file by another program we wait until it has been quiet for this long, since many editors
/// empty a file first and fill it then.
const QUIET: Duration = Duration::from_millis(30);
/// But never longer than this in all: an absent block is back within 200 ms.
const QUIET_AT_MOST: Duration = Duration::from_millis(120);
/// Between two attempts after a failed one; doubled each time up to [`RETRY_AT_MOST`].
const RETRY: Duration = Duration::from_millis(100);
const RETRY_AT_MOST: Duration = Duration::from_secs(5);
/// Lines of a block that was replaced are known as ours for so long: longer than a displaced file stays, which may hold
/// them.
pub(crate) const FORMER: Duration = Duration::from_secs(120);
/// So many of them at most: the comments and lines of a block of 8,192 names with two addresses each.
const MOST_FORMER: usize = 3 * 8192;
/// A file that was read so long after its stamp was first seen can't have been changed since without another stamp:
/// the kernel's clock has ticked in between.
const SETTLED: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(super) struct FileState {
    /// What we last made it say or saw it say.
    pub(super) says: Option<Block>,
    /// The lines in it that are ours, as far as that is known.
    pub(super) own: Option<OwnLines>,
    /// Those of blocks that were replaced, each with when that was seen: an editor who had read one writes it back.
    former: VecDeque<(Boottime, OwnLines)>,
    pub(super) shadowed: BTreeMap<HostName, usize>,
    /// Who would put lines with our names back.
    pub(super) rewriters: Vec<String>,
    /// The last look took names out of lines of others: who put them there may do so again.
    took_over: bool,
    pub(super) error: Option<AssertError>,
    pub(super) conflict: Conflict,
    pub(super) writes: u64,
    pub(super) failed_writes: u64,
    /// For which hand-over the latest write was.
    pub(super) written_for: Option<Option<Digest>>,
    /// What the job under way wants.
    running: Option<Block>,
    looked: Option<Boottime>,
    read: Option<Read>,
    written: Option<Boottime>,
    /// Of writes, those included that failed: an agent that floods us with plans can't make us write for ever.
    rate: WriteRate,
    /// First and latest touch by others since the last look.
    touched: Option<(Boottime, Boottime)>,
    retry: Option<Boottime>,
    failures: u32,
}

/// The file as it was read last.
#[derive(Debug, Clone, Copy)]
struct Read {
    stamp: FileStamp,
    /// When this stamp was first seen.
    since: Boottime,
    /// The stamp alone tells that the file still is what was read.
    settled: bool,
}

impl FileState {
    /// Of a file into which these lines were written before the start, as far as that is known.
    pub(super) fn knowing(own: Option<OwnLines>) -> Self {
        Self { own, ..Self::default() }
    }

    /// Another file, or one that we no longer look after: what we know of it ends here, but for our lines in it.
    pub(super) fn forget(&mut self, own: Option<OwnLines>) {
        *self = Self {
            former: if own.is_some() { std::mem::take(&mut self.former) } else { VecDeque::new() },
            own,
            conflict: std::mem::take(&mut self.conflict),
            writes: self.writes,
            failed_writes: self.failed_writes,
            written_for: self.written_for.take(),
            rate: self.rate,
            ..Self::default()
        };
    }

    /// Looks as soon as may be.
    pub(super) fn look_soon(&mut self) {
        self.looked = None;
    }

    /// What was read before does not tell any more what is to be done.
    pub(super) fn read_anew(&mut self) {
        self.read = None;
    }

    /// The lines that are ours wherever they stand.
    pub(super) fn lines(&self, now: Boottime) -> Option<OwnLines> {
        let former = self.former.iter().filter(|(at, _)| now.since(*at) < FORMER);
        let own = self.own.clone().unwrap_or_default().with(former.map(|(_, lines)| lines));
        Some(own).filter(|own| !own.is_empty())
    }

    /// What failed for the old content need not fail for the new.
    pub(super) fn forgive(&mut self) {
        self.retry = None;
    }

    /// Another program may have changed it.
    pub(super) fn touch(&mut self, now: Boottime) {
        let first = self.touched.map_or(now, |(first, _)| first);
        self.touched = Some((first, now));
    }

    /// When the file is to be looked at next; `None` while a look is under way.
    pub(super) fn look_at(&self, wanted: &Block, interval: Duration) -> Option<Boottime> {
        if self.running.is_some() {
            return None;
        }
        let now = Boottime::default();
        // What is likely to be written waits for its turn; the latest of what is wanted wins.
        let turn = if self.holds(wanted) && !self.took_over { now } else { self.rate.next() };
        let regular = self.looked.map_or(now, |looked| looked.after(interval));
        let quiet = self.touched.map(|(first, latest)| first.after(QUIET_AT_MOST).min(latest.after(QUIET)));
        let at_once = self.retry.or((!self.holds(wanted)).then_some(now));
        let due = [Some(regular), quiet, at_once].into_iter().flatten().min()?;
        Some(due.max(self.conflict.may_write_at(self.written)).max(turn))
    }

    /// True if the file was last seen to say this.
    pub(super) fn holds(&self, wanted: &Block) -> bool {
        self.says.as_ref().is_some_and(|says| says.same_pairs(wanted))
    }

    /// True unless the file was last seen with a mode that keeps it from some users. An ACL says no more of others than
    /// the mode does.
    pub(super) fn is_for_all(&self) -> bool {
        const OTHERS_READ: u32 = 0o004;
        self.read.is_none_or(|read| read.stamp.mode & OTHERS_READ != 0)
    }

    /// Begins a look. Gives the stamp by which the file need not be read again, if nothing else speaks for reading.
    pub(super) fn begin(&mut self, wanted: &Block) -> Option<FileStamp> {
        let only_time = self.touched.is_none() && self.error.is_none() && self.holds(wanted);
        self.touched = None;
        self.running = Some(wanted.clone());
        self.read.filter(|read| only_time && read.settled).map(|read| read.stamp)
    }

    /// The look found the very file that was read before.
    pub(super) fn found_the_same(&mut self, now: Boottime) {
        if self.running.take().is_some() {
            self.looked = Some(now);
        }
    }

    /// The look is over. `digest` is that of the hand-over it was for.
    pub(super) fn take_result(&mut self, result: Result<Asserted, AssertError>, digest: Option<Digest>, now: Boottime) {
        let Some(wanted) = self.running.take() else { return };
        self.looked = Some(now);
        match result {
            Ok(asserted) => self.succeed(wanted, asserted, digest, now),
            Err(mut error) => {
                self.note_former(std::mem::take(&mut error.own), now);
                self.failed_writes += 1;
                self.rate.spend(now);
                let pause = RETRY.saturating_mul(1 << self.failures.min(10)).min(RETRY_AT_MOST);
                self.failures += 1;
                self.retry = Some(now.after(pause));
                self.error = Some(error);
            }
        }
    }

    fn succeed(&mut self, wanted: Block, asserted: Asserted, digest: Option<Digest>, now: Boottime) {
        let Asserted { found, change, shadowed, taken, rewriters, stamp, own, former, theirs, .. } = asserted;
        let file_has = |block: &Block| match &found {
            Present::Whole(there) => there.same_pairs(block),
            Present::Absent => block.entries.is_empty(),
            Present::Damaged => false,
        };
        let ours_before = self.says.as_ref().filter(|b| !b.entries.is_empty());
        let removed = ours_before.is_some_and(|before| !file_has(before)) && !file_has(&wanted);
        // Who puts back what we took over fights with us no less.
        if removed || taken.again > 0 {
            self.conflict.removed(now);
        }
        self.took_over = !taken.lines.is_empty();
        if change != Change::Unchanged {
            self.writes += 1;
            self.rate.spend(now);
            self.written_for = Some(digest);
            self.written = Some(now);
        }
        self.read = stamp.map(|stamp| match self.read.filter(|read| read.stamp == stamp) {
            Some(read) => Read { settled: read.settled || now.since(read.since) >= SETTLED, ..read },
            None => Read { stamp, since: now, settled: false },
        });
        self.says = Some(wanted);
        self.replace_own(&own, former, &theirs, now);
        (self.shadowed, self.rewriters) = (shadowed, rewriters);
        (self.error, self.retry, self.failures) = (None, None, 0);
    }

    /// A line that another wrote, too, is never taken out again.
    fn replace_own(&mut self, own: &OwnLines, former: OwnLines, theirs: &OwnLines, now: Boottime) {
        for (_, lines) in &mut self.former {
            *lines = std::mem::take(lines).without(theirs);
        }
        let before = std::mem::replace(&mut self.own, Some(own.clone()).filter(|own| !own.is_empty()));
        self.note_former(former.with(&before).without(own).without(theirs), now);
    }

    fn note_former(&mut self, lines: OwnLines, now: Boottime) {
        if !lines.is_empty() {
            self.former.push_back((now, lines));
        }
        let count = |former: &VecDeque<(_, OwnLines)>| former.iter().map(|(_, lines)| lines.len()).sum::<usize>();
        let is_over = |(at, _): &(Boottime, _)| now.since(*at) >= FORMER;
        while self.former.front().is_some_and(is_over) || count(&self.former) > MOST_FORMER {
            self.former.pop_front();
        }
    }
}
