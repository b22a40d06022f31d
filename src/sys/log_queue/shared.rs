//! What the two ends of the queue share: its counts, its level, and how much of others' making there may be.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use tracing::{Level, Metadata, level_filters::LevelFilter};

use super::limiter::Limiter;
use super::maker::{self, Kind, Maker};
use super::record::Record;
use crate::model::LogLevel;
use crate::sys::lock::lock;

/// Ours are logged from the configured level on, other crates' only from here on.
const OTHERS: LevelFilter = LevelFilter::WARN;

/// How many records were dropped; clones share the count.
#[derive(Debug, Clone, Default)]
pub struct Drops(Arc<AtomicU64>);

impl Drops {
    /// Since the start.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What goes through the queue.
#[derive(Debug)]
pub(super) enum Queued {
    Record(Record, Maker),
    /// Lines were left out: their number is to be told.
    LeftOut,
}

/// What an event of others' making is limited by, and what tells of it.
pub(super) type OthersLimiter = Limiter<Kind, Sample>;

/// What a summary says of the lines that it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) level: Level,
    pub(super) target: &'static str,
    pub(super) message: String,
}

/// What the layer, the thread and the handle share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) level: AtomicU8,
    /// All that were not written.
    pub(super) drops: Drops,
    /// Those of them that the queue or the sink had no room for.
    pub(super) overflowed: AtomicU64,
    pub(super) limiter: Mutex<OthersLimiter>,
    /// A summary is owed.
    pub(super) left_out: AtomicBool,
    /// Records of others' making that wait.
    pub(super) of_others: AtomicUsize,
    pub(super) queued: AtomicU64,
    pub(super) written: Mutex<u64>,
    pub(super) progress: Condvar,
}

/// Longest text of a line that stands in a summary, in characters.
const MAX_SAMPLE: usize = 200;

impl Sample {
    pub(super) fn new(record: &Record) -> Self {
        let Record { at: _, level, target, message, fields: _ } = record;
        Self { level: *level, target, message: message.chars().take(MAX_SAMPLE).collect() }
    }
}

impl Shared {
    pub(super) fn level(&self) -> LevelFilter {
        const LEVELS: [(LogLevel, LevelFilter); 5] = [
            (LogLevel::Error, LevelFilter::ERROR),
            (LogLevel::Warn, LevelFilter::WARN),
            (LogLevel::Info, LevelFilter::INFO),
            (LogLevel::Debug, LevelFilter::DEBUG),
            (LogLevel::Trace, LevelFilter::TRACE),
        ];
        let stored = self.level.load(Ordering::Relaxed);
        LEVELS.iter().find(|(level, _)| *level as u8 == stored).map_or(LevelFilter::TRACE, |(_, filter)| *filter)
    }

    pub(super) fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let filter = if maker::is_ours(metadata) { self.level() } else { self.level().min(OTHERS) };
        *metadata.level() <= filter
    }

    pub(super) fn limiter(&self) -> MutexGuard<'_, OthersLimiter> {
        lock(&self.limiter)
    }

    /// A record of this making no longer waits.
    pub(super) fn forget(&self, maker: Maker) {
        match maker {
            Maker::Us => {}
            Maker::Others => _ = self.of_others.fetch_sub(1, Ordering::AcqRel),
        }
    }

    pub(super) fn overflow(&self) {
        self.overflowed.fetch_add(1, Ordering::Relaxed);
        self.drops.add_one();
    }
}
