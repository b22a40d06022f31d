//! Which of the resolvers that others' names are asked of are ill, and in which order they are asked.
//!
//! A list of them never serves worse than the same list in resolv.conf(5) would. One that fails several times in a row
//! is asked last; and beside the first now and then, so that its recovery is seen and no client waits for it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use crate::model::{Boottime, Wall};
use crate::sys::clock::Clock;
use crate::sys::lock::lock;

/// Failures in a row that make a resolver ill: a single packet gets lost, and a single name can't be resolved.
const FAILURES: u32 = 3;
/// How often one that is ill is asked all the same.
const LOOK: Duration = Duration::from_secs(30);

/// What is known of each resolver that has failed lately.
#[derive(Debug)]
pub struct Forwarders {
    clock: Clock,
    known: Mutex<BTreeMap<SocketAddr, Record>>,
    ill: watch::Sender<BTreeMap<SocketAddr, Illness>>,
}

/// What a resolver fails by, several times in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Illness {
    /// When it was found to be ill.
    pub since: Wall,
    /// In words.
    pub error: String,
}

#[derive(Debug, Default)]
struct Record {
    failures: u32,
    /// What it was asked when it last failed by what may be the name's own fault.
    failed_at: Option<Question>,
    /// A question to it is being seen to its end, though another server has answered it.
    watched: bool,
    /// When one that is ill was last asked beside the first.
    looked: Boottime,
}

/// Whom to ask.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Order {
    /// At the same time.
    pub(super) at_once: Vec<SocketAddr>,
    /// One after the other, as long as none of those before has answered.
    pub(super) in_turn: Vec<SocketAddr>,
}

/// Tells questions apart: their hash.
pub(super) type Question = u64;

/// While it lives, no other question to this resolver is seen to its end.
#[derive(Debug)]
pub(super) struct Watched {
    forwarders: Arc<Forwarders>,
    resolver: SocketAddr,
}

impl Forwarders {
    /// None has failed yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, known: Mutex::default(), ill: watch::Sender::default() }
    }

    /// Those that are ill, and what they fail by.
    #[must_use]
    pub fn ill(&self) -> watch::Receiver<BTreeMap<SocketAddr, Illness>> {
        self.ill.subscribe()
    }

    /// Forgets those that are not asked any more.
    pub fn retain(&self, resolvers: &[SocketAddr]) {
        lock(&self.known).retain(|resolver, _| resolvers.contains(resolver));
        self.ill.send_if_modified(|ill| {
            let before = ill.len();
            ill.retain(|resolver, _| resolvers.contains(resolver));
            ill.len() != before
        });
    }

    /// Those that are well first, each in the order of the list.
    pub(super) fn order(&self, resolvers: &[SocketAddr]) -> Order {
        let now = self.clock.now().boottime;
        let mut known = lock(&self.known);
        let is_ill = |resolver: &SocketAddr| known.get(resolver).is_some_and(|r| r.failures >= FAILURES);
        let (ill, well): (Vec<_>, Vec<_>) = resolvers.iter().copied().partition(is_ill);
        let mut at_once: Vec<_> = well.iter().chain(&ill).take(1).copied().collect();
        let in_turn: Vec<_> = well.into_iter().chain(ill.iter().copied()).collect();
        for resolver in ill {
            if let Some(record) = known.get_mut(&resolver)
                && !at_once.contains(&resolver)
                && now.since(record.looked) >= LOOK
            {
                record.looked = now;
                at_once.push(resolver);
            }
        }
        let in_turn = in_turn.into_iter().filter(|resolver| !at_once.contains(resolver)).collect();
        Order { at_once, in_turn }
    }

    /// `None` if another question to it is being seen to its end already.
    pub(super) fn watch(self: &Arc<Self>, resolver: SocketAddr) -> Option<Watched> {
        let mut known = lock(&self.known);
        let record = known.entry(resolver).or_default();
        let free = !std::mem::replace(&mut record.watched, true);
        free.then(|| Watched { forwarders: Arc::clone(self), resolver })
    }

    /// It answered.
    pub(super) fn answered(&self, resolver: SocketAddr) {
        if let Some(record) = lock(&self.known).get_mut(&resolver) {
            (record.failures, record.failed_at) = (0, None);
        }
        self.ill.send_if_modified(|ill| ill.remove(&resolver).is_some());
    }

    /// It failed. What may be the fault of the name that it was asked for counts once for each name, one after the
    /// other.
    pub(super) fn failed(&self, resolver: SocketAddr, error: &str, question: Option<Question>) {
        let now = self.clock.now();
        let failures = {
            let mut known = lock(&self.known);
            let record = known.entry(resolver).or_default();
            if question.is_some() && record.failed_at == question {
                return;
            }
            record.failed_at = question.or(record.failed_at);
            record.failures = record.failures.saturating_add(1);
            if record.failures == FAILURES {
                record.looked = now.boottime;
            }
            record.failures
        };
        if failures < FAILURES {
            return;
        }
        self.ill.send_if_modified(|ill| match ill.get_mut(&resolver) {
            Some(fault) if fault.error == error => false,
            Some(fault) => {
                error.clone_into(&mut fault.error);
                true
            }
            None => ill.insert(resolver, Illness { since: now.wall, error: error.to_owned() }).is_none(),
        });
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(record) = lock(&self.forwarders.known).get_mut(&self.resolver) {
            record.watched = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolvers() -> [SocketAddr; 3] {
        ["10.0.0.1:53", "10.0.0.2:53", "10.0.0.3:53"].map(|r| r.parse().unwrap())
    }

    fn order(at_once: &[SocketAddr], in_turn: &[SocketAddr]) -> Order {
        Order { at_once: at_once.to_vec(), in_turn: in_turn.to_vec() }
    }

    #[tokio::test(start_paused = true)]
    async fn the_ill_are_asked_last_and_now_and_then_beside_the_first() {
        let [a, b, c] = resolvers();
        let forwarders = Forwarders::new(Clock::tokio());
        tokio::time::advance(LOOK).await;
        assert_eq!(forwarders.order(&[a, b, c]), order(&[a], &[b, c]));
        for _ in 0..FAILURES {
            assert!(forwarders.ill().borrow().is_empty());
            assert_eq!(forwarders.order(&[a, b, c]), order(&[a], &[b, c]), "one failure says nothing");
            forwarders.failed(a, "no reply within 5 s", None);
        }
        assert_eq!(forwarders.ill().borrow()[&a].error, "no reply within 5 s");
        assert_eq!(forwarders.order(&[a, b, c]), order(&[b], &[c, a]));
        tokio::time::advance(LOOK).await;
        assert_eq!(forwarders.order(&[a, b, c]), order(&[b, a], &[c]));
        assert_eq!(forwarders.order(&[a, b, c]), order(&[b], &[c, a]), "not with every question");
        forwarders.answered(a);
        assert_eq!(forwarders.order(&[a, b, c]), order(&[a], &[b, c]));
        assert!(forwarders.ill().borrow().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_are_ill_the_list_is_asked_as_it_stands() {
        let [a, b, _] = resolvers();
        let forwarders = Forwarders::new(Clock::tokio());
        for resolver in [a, b].repeat(FAILURES as usize) {
            forwarders.failed(resolver, "refused", None);
        }
        assert_eq!(forwarders.order(&[a, b]), order(&[a], &[b]));
        forwarders.retain(&[b]);
        assert_eq!(forwarders.ill().borrow().keys().copied().collect::<Vec<_>>(), [b]);
    }

    #[test]
    fn one_name_that_cant_be_resolved_makes_no_resolver_ill() {
        let [a, ..] = resolvers();
        let forwarders = Forwarders::new(Clock::System);
        for _ in 0..10 {
            forwarders.failed(a, "SERVFAIL", Some(1));
        }
        assert!(forwarders.ill().borrow().is_empty());
        forwarders.failed(a, "SERVFAIL", Some(2));
        forwarders.failed(a, "SERVFAIL", Some(3));
        assert_eq!(forwarders.ill().borrow().len(), 1);
    }

    #[test]
    fn one_question_at_a_time_is_seen_to_its_end() {
        let [a, b, _] = resolvers();
        let forwarders = Arc::new(Forwarders::new(Clock::System));
        let first = forwarders.watch(a).unwrap();
        assert!(forwarders.watch(a).is_none() && forwarders.watch(b).is_some());
        drop(first);
        assert!(forwarders.watch(a).is_some());
    }
}
