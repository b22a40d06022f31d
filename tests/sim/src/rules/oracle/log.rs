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
/// Results kept of each check.
const KEEP: usize = 128;

#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) began: Ms,
    pub(super) ended: Ms,
    pub(super) found: Found,
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
        of.insert(at, Entry { began: seen.began, ended: now, found });
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

    /// When the first of those successes began that made its path one that is up, by `rise`, and after which it has not
    /// gone down by `fall`.
    pub(super) fn up_since(&self, address: IpAddr) -> Option<Ms> {
        let (mut passed, mut failed, mut since) = (Vec::new(), 0, None);
        for e in self.of(address, Check::Path) {
            if e.found == Found::Good {
                failed = 0;
                passed.push(e.began);
                since = since.or(passed.first().copied().filter(|_| passed.len() >= RISE));
            } else {
                failed += 1;
                passed.clear();
                since = since.filter(|_| failed < FALL);
            }
        }
        since
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
