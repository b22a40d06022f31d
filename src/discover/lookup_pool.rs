//! How many lookups are under way at a time.
//!
//! A resolver that does not answer for one name must not hold up the others. So a lookup keeps one of few slots only
//! until it has waited for longer than answers usually take; then the next one begins, and this one goes on waiting.
//! All together never have more than [`SOCKETS`] sockets. Lookups that steering waits for have a few of both to
//! themselves.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::sys::lock::lock;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

/// Lookups that begin at a time.
const SLOTS: u32 = 64;
/// Sockets of all lookups together. A lookup takes one for each resolver that it asks at the same time, so with two of
/// them no more than some 250 unanswered lookups wait at once, and the others for their turn.
pub const SOCKETS: u32 = 512;
/// Of both, what only urgent lookups use.
const URGENT: u32 = 8;
/// A lookup that has waited for so long gives its slot back.
const LONGEST_TURN: Duration = Duration::from_millis(500);
/// Where answers come quickly, it does so earlier, but never before this.
const SHORTEST_TURN: Duration = Duration::from_millis(100);
/// A turn is so many times as long as answers lately took.
const PATIENCE: u32 = 8;

/// Slots and sockets, shared by all lookups of a process.
#[derive(Debug, Clone)]
pub struct LookupPool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    routine: Lane,
    urgent: Lane,
    usual: Mutex<Usual>,
}

/// What lookups of one kind have to themselves.
#[derive(Debug)]
struct Lane {
    slots: Semaphore,
    sockets: Semaphore,
}

impl Lane {
    fn new(slots: u32, sockets: u32) -> Self {
        let permits = |n: u32| Semaphore::new(n as usize);
        Self { slots: permits(slots), sockets: permits(sockets) }
    }
}

/// How long answers take: the longest of late, which fades.
#[derive(Debug, Clone, Copy, Default)]
struct Usual(Option<Duration>);

impl Usual {
    fn note(&mut self, took: Duration) {
        let faded = self.0.map_or(took, |usual| (usual * 7 + took) / 8);
        self.0 = Some(faded.max(took));
    }

    fn turn(self) -> Duration {
        self.0.map_or(LONGEST_TURN, |usual| (usual * PATIENCE).clamp(SHORTEST_TURN, LONGEST_TURN))
    }
}

impl Default for LookupPool {
    fn default() -> Self {
        let (routine, urgent) = (Lane::new(SLOTS - URGENT, SOCKETS - URGENT), Lane::new(URGENT, URGENT));
        Self(Arc::new(Shared { routine, urgent, usual: Mutex::default() }))
    }
}

impl LookupPool {
    /// Makes a lookup that takes so many sockets, as soon as it is its turn. Turns are in the order of the calls.
    pub async fn run<T>(&self, urgent: bool, sockets: u32, lookup: impl Future<Output = T>) -> T {
        let lane = if urgent { &self.0.urgent } else { &self.0.routine };
        // Neither is ever closed.
        let _sockets = lane.sockets.acquire_many(sockets.clamp(1, URGENT)).await;
        let slot = lane.slots.acquire().await;
        let (began, mut lookup) = (Instant::now(), pin!(lookup));
        let turn = lock(&self.0.usual).turn();
        match timeout(turn, lookup.as_mut()).await {
            Ok(said) => {
                lock(&self.0.usual).note(began.elapsed());
                said
            }
            Err(_) => {
                drop(slot);
                lookup.await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use tokio::task::JoinSet;

    use super::*;

    const SILENT: Duration = Duration::from_secs(6);

    #[test]
    fn turns_are_shorter_where_answers_are_quick() {
        let mut usual = Usual::default();
        assert_eq!(usual.turn(), LONGEST_TURN);
        usual.note(Duration::from_millis(2));
        assert_eq!(usual.turn(), SHORTEST_TURN);
        usual.note(Duration::from_millis(40));
        assert_eq!(usual.turn(), Duration::from_millis(320));
        (0..100).for_each(|_| usual.note(Duration::from_millis(1)));
        assert_eq!(usual.turn(), SHORTEST_TURN);
    }

    #[tokio::test(start_paused = true)]
    async fn who_gets_no_answer_holds_nobody_up() {
        let (pool, began) = (LookupPool::default(), Instant::now());
        let mut flights = JoinSet::new();
        // Every second one is silent, the first of all among them.
        for n in 0..1000 {
            let pool = pool.clone();
            flights.spawn(async move {
                let wait = if n % 2 == 0 { SILENT } else { Duration::from_millis(2) };
                pool.run(false, 1, tokio::time::sleep(wait)).await;
                (n % 2 == 1).then(Instant::now)
            });
        }
        let answered: Vec<Instant> = flights.join_all().await.into_iter().flatten().collect();
        assert_eq!(answered.len(), 500);
        let last = answered.into_iter().max().unwrap() - began;
        assert!(last < Duration::from_secs(2), "{last:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_never_more_sockets_than_allowed_and_urgent_lookups_have_some_left() {
        let (pool, open, most) = (LookupPool::default(), Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let mut flights = JoinSet::new();
        let run = |urgent: bool, sockets: u32, wait: Duration| {
            let (pool, open, most) = (pool.clone(), open.clone(), most.clone());
            async move {
                let lookup = async {
                    most.fetch_max(open.fetch_add(sockets, SeqCst) + sockets, SeqCst);
                    tokio::time::sleep(wait).await;
                    open.fetch_sub(sockets, SeqCst);
                };
                pool.run(urgent, sockets, lookup).await;
            }
        };
        for _ in 0..2000 {
            flights.spawn(run(false, 2, SILENT));
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        let began = Instant::now();
        run(true, 2, Duration::from_millis(1)).await;
        assert!(began.elapsed() < Duration::from_millis(10));
        flights.join_all().await;
        assert!(most.load(SeqCst) <= SOCKETS, "{most:?}");
    }
}
