//! The log thread: takes records out of the queue and puts them into the sink, until the layer is gone.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use tracing::Level;

use super::limiter::{self, Summary};
use super::record::{Record, Value};
use super::shared::{Queued, Sample, Shared};
use super::sink::Sink;
use crate::model::{Boottime, Wall, shown};
use crate::sys::clock::Clock;
use crate::sys::lock::lock;

pub(super) fn run(queue: &Receiver<Queued>, shared: &Shared, sink: impl Sink) {
    let mut thread = Thread { shared, sink, clock: Clock::System, told: 0, summaries_at: None };
    loop {
        let received = match thread.summaries_at {
            Some(at) => queue.recv_timeout(at.since(thread.clock.now().boottime)),
            None => queue.recv().map_err(RecvTimeoutError::from),
        };
        match received {
            Ok(Queued::Record(record, maker)) => {
                shared.forget(maker);
                thread.put(&record);
            }
            Ok(Queued::LeftOut) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        thread.tell_what_was_left_out();
    }
    thread.summaries();
}

struct Thread<'s, S> {
    shared: &'s Shared,
    sink: S,
    clock: Clock,
    /// Lost records that a line has told of.
    told: u64,
    /// When the next summaries are due, if any are.
    summaries_at: Option<Boottime>,
}

impl<S: Sink> Thread<'_, S> {
    fn put(&mut self, record: &Record) {
        let lost = self.shared.overflowed.load(Ordering::Relaxed);
        // What can't be said is counted instead.
        if lost != self.told && self.sink.put(&loss(record.at, lost - self.told)).is_ok() {
            self.told = lost;
        }
        if self.sink.put(record).is_err() {
            self.shared.overflow();
        }
        *lock(&self.shared.written) += 1;
        self.shared.progress.notify_all();
    }

    /// A while after the first line that was left out, so that one summary stands for many.
    fn tell_what_was_left_out(&mut self) {
        match self.summaries_at {
            None if self.shared.left_out.load(Ordering::Acquire) => {
                self.summaries_at = Some(self.clock.now().boottime.after(limiter::REFILL));
            }
            Some(at) if self.clock.now().boottime >= at => {
                self.summaries_at = None;
                self.shared.left_out.store(false, Ordering::Release);
                self.summaries();
            }
            None | Some(_) => {}
        }
    }

    fn summaries(&mut self) {
        let now = self.clock.now();
        let summaries = self.shared.limiter().summaries(now.boottime);
        for record in summaries.into_iter().map(|summary| more_like_it(summary, now.wall)) {
            if self.sink.put(&record).is_err() {
                self.shared.overflow();
            }
        }
    }
}

fn loss(at: Wall, count: u64) -> Record {
    let message = "log lines were dropped, because they were not taken fast enough".to_owned();
    let fields = vec![("count", Value::Integer(count.into()))];
    Record { at, level: Level::WARN, target: module_path!(), message, fields }
}

fn more_like_it(Summary { count, sample }: Summary<Sample>, at: Wall) -> Record {
    let (level, target, message) = match sample {
        Some(Sample { level, target, message }) => (level, target, format!("{count} more like it: {message}")),
        None => (Level::WARN, module_path!(), format!("{} of other kinds", shown::count(count, "more line"))),
    };
    Record { at, level, target, message, fields: vec![("count", Value::Integer(count.into()))] }
}
