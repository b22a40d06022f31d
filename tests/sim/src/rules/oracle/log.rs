//! What every probe found, as an onlooker notes it.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use privatelinkd::model::{Check, FailureReason};

use super::super::history::Ms;
use super::super::probing::Seen;

/// Results in a row that take a path down, by default.
pub(super) const FALL: usize = 3;
/// Those that bring it up.
pub(super) const RISE: usize = 3;
/// Of so many results more than `fall` may tell of a link that loses packets.
const LOSSY: usize = 40;
/// Results kept of each check.
const KEEP: usize = 128;

#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) began: Ms,
    pub(super) ended: Ms,
    pub(super) found: Found,
    /// It shows that packets are lost.
    resent: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Good,
    /// What another address could mend.
    Bad,
    /// What none could: a wrong password, an overload.
    Vain,
}

/// By address and check, in the order of their beginnings. A fault of the host's own is no result.
#[derive(Debug, Default)]
pub(super) struct Log {
    entries: BTreeMap<(IpAddr, Check), VecDeque<Entry>>,
    /// When the first probe began that succeeded, which is never forgotten.
    worked: BTreeMap<IpAddr, Ms>,
}

impl Log {
    pub(super) fn note(&mut self, seen: &Seen, now: Ms) {
        let found = match seen.outcome {
            Ok(()) => Found::Good,
            Err(FailureReason::Local) => return,
            Err(
                FailureReason::Auth
                | FailureReason::Suspended
                | FailureReason::NotAllowed
                | FailureReason::Misconfigured
                | FailureReason::Blocked
                | FailureReason::Overloaded,
            ) => Found::Vain,
            Err(_) => Found::Bad,
        };
        if found == Found::Good {
            let first = self.worked.entry(seen.key.address).or_insert(seen.began);
            *first = seen.began.min(*first);
        }
        let of = self.entries.entry((seen.key.address, seen.check)).or_default();
        let at = of.partition_point(|e| e.began <= seen.began);
        of.insert(at, Entry { began: seen.began, ended: now, found, resent: seen.resent });
        if of.len() > KEEP {
            of.pop_front();
        }
    }

    /// Nobody remembers anything of this endpoint, or of any.
    pub(super) fn forget(&mut self, endpoint: Option<usize>) {
        let is_of = |address: &IpAddr| match (address, endpoint) {
            (IpAddr::V4(v4), Some(endpoint)) => usize::from(v4.octets()[1]) == endpoint,
            _ => true,
        };
        self.entries.retain(|(address, _), _| !is_of(address));
    }

    pub(super) fn of(&self, address: IpAddr, check: Check) -> impl DoubleEndedIterator<Item = Entry> + '_ {
        self.entries.get(&(address, check)).into_iter().flatten().copied()
    }

    /// The latest results that are no success, the latest first.
    pub(super) fn failing(&self, address: IpAddr, check: Check) -> impl Iterator<Item = Entry> + '_ {
        self.of(address, check).rev().take_while(|e| e.found != Found::Good)
    }

    /// The first and the number of the latest successes in a row.
    pub(super) fn passing(&self, address: IpAddr, check: Check) -> Option<(Ms, usize)> {
        let run = self.of(address, check).rev().take_while(|e| e.found == Found::Good);
        run.fold(None, |sum: Option<(Ms, usize)>, e| Some((e.began, sum.map_or(0, |s| s.1) + 1)))
    }

    /// When the last of those successes was known that made its path one that is up, by `rise`, and after which it has
    /// not gone down by `fall`.
    pub(super) fn up_since(&self, address: IpAddr) -> Option<Ms> {
        let (mut passed, mut failed, mut since) = (Vec::new(), 0, None);
        for e in self.of(address, Check::Path) {
            if e.found == Found::Good {
                failed = 0;
                passed.push(e.ended);
                since = since.or(passed.iter().max().copied().filter(|_| passed.len() >= RISE));
            } else {
                failed += 1;
                passed.clear();
                since = since.filter(|_| failed < FALL);
            }
        }
        since
    }

    /// It has passed, and not failed so often since that it must be down.
    pub(super) fn may_be_up(&self, address: IpAddr) -> bool {
        let up = |check| self.failing(address, check).count() < FALL;
        self.ever_passed(address) && (up(Check::Path) || self.passes(address, Check::Deep))
    }

    /// Failures that another address could mend and that took it down: `fall` of them, one right after the other, and
    /// no rise since; or, of a link that loses packets, those among the latest results, and what went through it late.
    /// The latest first.
    pub(super) fn charge(&self, address: IpAddr, check: Check, loses: bool) -> Vec<Entry> {
        let down = self.since_it_was_up(address, check);
        let decides = |run: &[Entry]| run.iter().all(|e| e.found == Found::Bad);
        if down.windows(FALL).any(decides) {
            return down.into_iter().filter(|e| e.found == Found::Bad).collect();
        }
        if !loses && !self.is_down_by_loss(address, check) {
            return self.signs_of_loss(address, check);
        }
        let bad = |e: &Entry| e.found == Found::Bad || e.resent;
        self.of(address, check).rev().take(LOSSY).filter(bad).collect()
    }

    /// What was sent again among the latest results, now and then: so many failures in a row are an outage instead,
    /// unless it goes on. The latest first.
    fn signs_of_loss(&self, address: IpAddr, check: Check) -> Vec<Entry> {
        let recent: Vec<_> = self.of(address, check).rev().take(LOSSY).collect();
        let runs = recent.chunk_by(|a, b| a.resent == b.resent).enumerate();
        let is_outage = |run: &[Entry]| run.windows(FALL).any(|some| some.iter().all(|e| e.found == Found::Bad));
        let signs = runs.filter(|(n, run)| run[0].resent && (*n == 0 || !is_outage(run)));
        signs.flat_map(|(_, run)| run.iter().copied()).collect()
    }

    /// The latest results, as far back as there is no rise among them. The latest first.
    fn since_it_was_up(&self, address: IpAddr, check: Check) -> Vec<Entry> {
        let rise = if check == Check::Path { RISE } else { 1 };
        let mut passed = 0;
        let below = |e: &Entry| {
            passed = if e.found == Found::Good { passed + 1 } else { 0 };
            passed < rise
        };
        self.of(address, check).rev().take_while(below).collect()
    }

    /// More than one result in nine has failed: the leaky counter is full, which is half full after each return. One
    /// failure less than that takes is enough here, since results may be known in another order.
    fn is_down_by_loss(&self, address: IpAddr, check: Check) -> bool {
        const LEAK: usize = 8;
        let rise = if check == Check::Path { RISE } else { 1 };
        let (mut level, mut passed, mut failed) = (0_usize, 0, 0);
        let (mut down, mut by_loss) = (false, false);
        for e in self.of(address, check) {
            if e.found == Found::Good {
                (passed, failed) = (passed + 1, 0);
                level = if down && passed >= rise { LEAK * FALL } else { level.saturating_sub(1) };
                down &= passed < rise;
            } else {
                (passed, failed) = (0, failed + 1);
                if !down {
                    level += LEAK;
                    by_loss = level >= LEAK * (2 * FALL - 1);
                    down = by_loss || failed >= FALL;
                }
            }
        }
        down && by_loss
    }

    /// The latest result is no clean success.
    pub(super) fn ails(&self, address: IpAddr, check: Check) -> bool {
        self.of(address, check).next_back().is_some_and(|e| e.resent || e.found != Found::Good)
    }

    /// When the first probe began that it has ever passed.
    pub(super) fn worked(&self, address: IpAddr) -> Option<Ms> {
        self.worked.get(&address).copied()
    }

    pub(super) fn has(&self, address: IpAddr, check: Check) -> bool {
        self.of(address, check).next().is_some()
    }

    pub(super) fn passes(&self, address: IpAddr, check: Check) -> bool {
        self.of(address, check).next_back().is_some_and(|e| e.found == Found::Good)
    }

    pub(super) fn ever_passed(&self, address: IpAddr) -> bool {
        [Check::Path, Check::Deep].iter().any(|check| self.of(address, *check).any(|e| e.found == Found::Good))
    }
}
