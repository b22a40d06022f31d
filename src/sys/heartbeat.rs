//! Signs of life: each stage stamps a counter of its own, observers read them.
//!
//! A stamp is one atomic store, so that a stage can give one on every turn of its loop. What is kept is boot time in
//! milliseconds: a wall clock that jumps makes no stage overdue.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::clock::Clock;
use crate::model::{Boottime, millis};

/// However little happens, each stage looks around, and gives a sign of life, this often.
pub const LOOK: Duration = Duration::from_secs(10);

/// The stages of one agent and how long each may be silent. Clones share the stamps, not later additions: add every
/// stage before handing clones out.
#[derive(Debug, Clone)]
pub struct Stages {
    clock: Clock,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    name: &'static str,
    allowed: Duration,
    last: Arc<AtomicU64>,
}

/// A stage's own handle: [`Beat::now`] is its sign of life.
#[derive(Debug, Clone)]
pub struct Beat {
    clock: Clock,
    last: Arc<AtomicU64>,
}

impl Beat {
    /// "I am alive now."
    pub fn now(&self) {
        self.last.store(millis(self.clock.now().boottime.0), Ordering::Relaxed);
    }
}

/// What an observer sees of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageLife {
    /// Which stage.
    pub name: &'static str,
    /// Since its latest sign of life.
    pub silent: Duration,
    /// How long it may be silent.
    pub allowed: Duration,
}

impl StageLife {
    /// True if it has been silent for longer than it may.
    #[must_use]
    pub fn is_overdue(&self) -> bool {
        self.silent > self.allowed
    }
}

impl Stages {
    /// No stages yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, entries: Vec::new() }
    }

    /// Adds a stage that may be silent for `allowed`; its first sign of life is now.
    #[must_use = "without its handle the stage is overdue soon"]
    pub fn add(&mut self, name: &'static str, allowed: Duration) -> Beat {
        let beat = Beat { clock: self.clock, last: Arc::default() };
        beat.now();
        self.entries.push(Entry { name, allowed, last: Arc::clone(&beat.last) });
        beat
    }

    /// Every stage, in the order in which they were added.
    #[must_use]
    pub fn read(&self) -> Vec<StageLife> {
        let now = self.clock.now().boottime;
        let life = |e: &Entry| {
            let last = Boottime(Duration::from_millis(e.last.load(Ordering::Relaxed)));
            StageLife { name: e.name, silent: now.since(last), allowed: e.allowed }
        };
        self.entries.iter().map(life).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stage_is_overdue_until_it_beats_again() {
        let mut stages = Stages::new(Clock::tokio());
        let probe = stages.add("probe", Duration::from_secs(5));
        let _steer = stages.add("steer", Duration::from_secs(60));
        tokio::time::advance(Duration::from_secs(6)).await;
        let overdue = |s: &Stages| s.read().iter().filter(|l| l.is_overdue()).map(|l| l.name).collect::<Vec<_>>();
        assert_eq!(overdue(&stages), ["probe"]);
        probe.now();
        assert_eq!(overdue(&stages.clone()), [""; 0]);
        assert_eq!(stages.read()[1].silent, Duration::from_secs(6));
    }
}
