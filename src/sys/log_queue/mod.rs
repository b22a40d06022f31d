//! Logging that never blocks who logs.
//!
//! [`QueueLayer`] copies each tracing event into an owned [`Record`] and puts it into a bounded queue; one thread takes
//! records out and gives them to a [`Sink`]: lines on stderr, or the journal. Where that stalls, the queue fills and
//! records are dropped and counted: a stuck journal or a full pipe on stderr costs lines, never a probe. The first line
//! after a loss says how much was lost.
//!
//! Others can make us log: a library warns of each packet that an outsider sends. Such events are limited by kind
//! before anything of them is formatted or copied, and have half of the queue: they never take the places of the rest.

mod journal;
mod limiter;
mod maker;
mod record;
mod shared;
mod sink;
mod style;
mod thread;

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tracing::{Event, Metadata, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::layer::{Context, Layer};

pub use self::maker::PROVOKED;
pub use self::record::{Record, Value};
pub use self::shared::Drops;
pub use self::sink::{Lines, Sink};
pub use self::style::{Style, stderr_is_the_journal};

use self::journal::Journal;
use self::maker::{Kind, Maker};
use self::shared::{Queued, Sample, Shared};
use super::clock::Clock;
use crate::model::{LogFormat, LogLevel, LogTarget, Now};
use crate::sys::lock::lock;

/// Records that wait at most.
pub const CAPACITY: usize = 1024;
/// How many of them may be of others' making, such as hundreds of targets that go down together. The other places are
/// for ours alone.
const CAPACITY_FOR_OTHERS: usize = CAPACITY / 2;
/// The handle on the queue and its thread.
#[derive(Debug, Clone)]
pub struct LogQueue {
    shared: Arc<Shared>,
}

/// The tracing side of the queue.
#[derive(Debug)]
pub struct QueueLayer {
    shared: Arc<Shared>,
    queue: SyncSender<Queued>,
    clock: Clock,
}

/// What [`LogQueue::install`] is to do.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// Events below are dropped.
    pub level: LogLevel,
    /// Where lines go.
    pub target: LogTarget,
    /// How a line looks.
    pub format: LogFormat,
    /// Which process this is, in the journal.
    pub identifier: &'static str,
}

impl LogQueue {
    /// Starts the thread. Records go to `sink` once the layer is part of a subscriber. The thread ends by itself when
    /// the layer is gone.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(level: LogLevel, sink: impl Sink) -> io::Result<(Self, QueueLayer)> {
        let shared = Arc::new(Shared { level: AtomicU8::new(level as u8), ..Shared::default() });
        let (queue, records) = sync_channel(CAPACITY);
        let thread = Arc::clone(&shared);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || thread::run(&records, &thread, sink))?;
        let layer = QueueLayer { shared: Arc::clone(&shared), queue, clock: Clock::System };
        Ok((Self { shared }, layer))
    }

    /// Starts the thread and makes the queue the process's subscriber. For `main`, once. Where the journal is asked for
    /// and can't be reached, stderr serves, and a warning says so.
    ///
    /// # Errors
    /// If the system gives no thread, or the process has a subscriber already.
    pub fn install(output: Output) -> io::Result<Self> {
        use tracing_subscriber::layer::SubscriberExt as _;
        let journal = wants_journal(output).then(|| Journal::connect(output.identifier));
        let (journal, refused) = journal.transpose().map_or_else(|e| (None, Some(e)), |journal| (journal, None));
        let (handle, layer) = match journal {
            Some(journal) => Self::start(output.level, journal)?,
            None => Self::start(output.level, Lines { style: Style::for_stderr(output.format), to: io::stderr() })?,
        };
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::set_global_default(subscriber).map_err(io::Error::other)?;
        if let Some(error) = refused {
            tracing::warn!(%error, "the journal can't be reached: the log goes to stderr");
        }
        Ok(handle)
    }

    /// Changes the level from now on.
    pub fn set_level(&self, level: LogLevel) {
        self.shared.level.store(level as u8, Ordering::Relaxed);
        // Call sites remember whether they are on.
        tracing::callsite::rebuild_interest_cache();
    }

    /// The counter of dropped records.
    #[must_use]
    pub fn drops(&self) -> Drops {
        self.shared.drops.clone()
    }

    /// Waits until everything queued so far is written, at most for `deadline`; false if it passed. Blocks: for the
    /// end of the process, outside the runtime.
    #[must_use]
    pub fn flush(&self, deadline: Duration) -> bool {
        let goal = self.shared.queued.load(Ordering::Acquire);
        let written = lock(&self.shared.written);
        let waited = self.shared.progress.wait_timeout_while(written, deadline, |written| *written < goal);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl QueueLayer {
    fn put(&self, record: Record, maker: Maker) {
        match self.queue.try_send(Queued::Record(record, maker)) {
            Ok(()) => _ = self.shared.queued.fetch_add(1, Ordering::Release),
            Err(_) => {
                self.shared.forget(maker);
                self.shared.overflow();
            }
        }
    }

    fn put_of_others(&self, event: &Event<'_>, now: Now) {
        let kind = Kind::new(event);
        if !self.shared.limiter().admits(kind.clone(), now.boottime) {
            self.shared.drops.add_one();
            if !self.shared.left_out.swap(true, Ordering::AcqRel) {
                // The thread may sleep. A full queue wakes it anyway.
                let _ = self.queue.try_send(Queued::LeftOut);
            }
            return;
        }
        let room = |waiting: usize| (waiting < CAPACITY_FOR_OTHERS).then_some(waiting + 1);
        if self.shared.of_others.fetch_update(Ordering::AcqRel, Ordering::Acquire, room).is_err() {
            return self.shared.overflow();
        }
        let record = Record::new(event, now.wall);
        self.shared.limiter().remember(&kind, Sample::new(&record));
        self.put(record, Maker::Others);
    }
}

impl<S: Subscriber> Layer<S> for QueueLayer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.shared.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.shared.level())
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let now = self.clock.now();
        match maker::maker(event.metadata()) {
            Maker::Us => self.put(Record::new(event, now.wall), Maker::Us),
            Maker::Others => self.put_of_others(event, now),
        }
    }
}

/// In the journal JSON would be one more wrapping; who asks for it under systemd finds it in the messages.
fn wants_journal(output: Output) -> bool {
    match output.target {
        LogTarget::Journald => true,
        LogTarget::Stderr => false,
        LogTarget::Auto => output.format == LogFormat::Text && style::stderr_is_the_journal(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::mpsc;

    use tracing::Level;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::model::Wall;

    /// A sink that gives each write to the test, and blocks while the test does not take it.
    struct Slow(mpsc::SyncSender<String>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let text = String::from_utf8_lossy(bytes).into_owned();
            self.0.send(text).map_err(io::Error::other)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn queue(level: LogLevel, style: Style) -> (LogQueue, QueueLayer, mpsc::Receiver<String>) {
        let (to_test, lines) = mpsc::sync_channel(0);
        let (handle, layer) = LogQueue::start(level, Lines { style, to: Slow(to_test) }).unwrap();
        (handle, layer, lines)
    }

    #[test]
    fn a_full_queue_drops_counts_and_never_blocks() {
        let (handle, layer, lines) = queue(LogLevel::Info, Style::Journal);
        let sent = CAPACITY as u64 + 500;
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            // No thread takes a line: if any of these blocked, the test would hang.
            for n in 0..sent {
                tracing::info!(n, "line");
            }
        });
        let dropped = handle.drops().get();
        // The thread holds one record in its hand, or has not taken it yet.
        assert!((499..=500).contains(&dropped), "{dropped}");
        assert!(!handle.flush(Duration::ZERO), "nothing can have been written");

        let all: String = lines.iter().collect();
        assert_eq!(all.lines().filter(|l| l.starts_with("<6>line n=")).count() as u64, sent - dropped);
        // Told once or twice, depending on when the thread took its first record.
        let told = all.lines().filter(|l| l.starts_with("<4>log lines were dropped"));
        let told: u64 = told.map(|l| l.rsplit_once("count=").unwrap().1.parse::<u64>().unwrap()).sum();
        assert_eq!(told, dropped);
        assert!(handle.flush(Duration::from_secs(60)));
    }

    #[test]
    fn the_level_can_change_and_other_crates_stay_quiet() {
        let (handle, layer, lines) = queue(LogLevel::Info, Style::Journal);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::debug!("hidden");
            handle.set_level(LogLevel::Debug);
            tracing::debug!("shown");
            tracing::info!(target: "hyper", "hidden too");
            tracing::warn!(target: "hyper", "theirs");
            handle.set_level(LogLevel::Error);
            tracing::warn!("hidden again");
        });
        assert_eq!(lines.iter().collect::<Vec<_>>(), ["<7>shown\n", "<4>theirs\n"]);
    }

    /// What hickory does for each packet of an attacker, while ours have something to say.
    #[test]
    fn a_flood_of_others_is_summed_up_and_displaces_none_of_ours() {
        for style in [Style::Text, Style::Journal, Style::Json] {
            let (handle, layer, lines) = queue(LogLevel::Info, style);
            tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
                // No thread takes a line meanwhile.
                for n in 0..800 {
                    for _ in 0..100 {
                        tracing::warn!(target: "hickory_proto::rr", state = ?n, "poor options {n}");
                        tracing::info!(target: PROVOKED, endpoint = "orders", "the check failed");
                    }
                    tracing::warn!(target: "hickory_net", "another kind");
                    tracing::info!(target: PROVOKED, endpoint = "ledger", "the check failed");
                    tracing::info!(n, "ours");
                }
            });
            let all: Vec<String> = lines.iter().collect();
            let count = |text: &str| all.iter().filter(|line| line.contains(text)).count();
            assert_eq!(count("ours"), 800, "{style:?}");
            // Ten, and what the others of the kind were like.
            assert_eq!([count("poor options"), count("another kind")], [11, 11], "{style:?}");
            assert_eq!(count("the check failed"), 2 * 11, "each subject has its own limit");
            assert_eq!(count("79990 more like it: poor options"), 1, "{:?}", all.last());
            assert_eq!(count("790 more like it: the check failed"), 1, "{:?}", all.last());
            assert_eq!(count("were dropped"), 0, "there was room for all");
            assert_eq!(handle.drops().get(), 2 * (79_990 + 790), "all that was left out is counted");
        }
    }

    #[test]
    fn kinds_without_number_leave_the_reserved_places_to_ours() {
        let (handle, layer, lines) = queue(LogLevel::Info, Style::Journal);
        let kinds: Vec<String> = (0..1_000).map(|n| n.to_string()).collect();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            for kind in &kinds {
                tracing::warn!(target: PROVOKED, endpoint = kind.as_str(), "theirs");
            }
            for n in 0..CAPACITY - CAPACITY_FOR_OTHERS - 1 {
                tracing::info!(n, "ours");
            }
        });
        let all: Vec<String> = lines.iter().collect();
        let count = |text: &str| all.iter().filter(|line| line.starts_with(text)).count();
        assert_eq!(count("<6>ours"), CAPACITY - CAPACITY_FOR_OTHERS - 1);
        // The thread holds one record in its hand, or has not taken it yet.
        let theirs = count("<4>theirs");
        assert!((CAPACITY_FOR_OTHERS..=CAPACITY_FOR_OTHERS + 1).contains(&theirs), "{theirs}");
        assert_eq!(handle.drops().get(), (kinds.len() - theirs) as u64);
    }

    #[test]
    fn the_module_stays_whoever_made_the_line() {
        let (_, layer, lines) = queue(LogLevel::Info, Style::Json);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::warn!(target: PROVOKED, "theirs");
        });
        let line: serde_json::Value = serde_json::from_str(&lines.recv().unwrap()).unwrap();
        assert_eq!(line["target"], module_path!());
    }

    fn record() -> Record {
        let text = |s: &str| Value::Text(s.to_owned());
        Record {
            at: Wall(1_795_316_400_000),
            level: Level::WARN,
            target: "privatelinkd::x",
            message: "a\x1b[31m \nb\u{202e}".to_owned(),
            fields: vec![
                ("name", text("gw.example.com\u{200b}")),
                ("error", text("no \"such\" \\ thing\r\n")),
                ("empty", text("")),
                ("n", Value::Integer(-3)),
                ("x", Value::Float(0.5)),
                ("ok", Value::Bool(true)),
            ],
        }
    }

    #[test]
    fn text_lines_are_one_line_without_control_characters() {
        let fields = r#"name=gw.example.com\u{200b} error="no \"such\" \\ thing\r\n" empty="" n=-3 x=0.5 ok=true"#;
        let line = Style::Text.line(&record());
        assert_eq!(line, format!("2026-11-22T03:00:00Z WARN a\\u{{1b}}[31m \\nb\\u{{202e}} {fields}\n"));
        assert!(Style::Journal.line(&record()).starts_with("<4>a\\u{1b}[31m"));
    }

    #[test]
    fn json_lines_are_objects() {
        let line = Style::Json.line(&record());
        assert_eq!(line.matches('\n').count(), 1);
        let v: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(v["level"], "warn");
        assert_eq!(v["message"], "a\u{1b}[31m \nb\u{202e}", "machines get what was said");
        assert_eq!(v["fields"]["n"], -3);
        assert_eq!(v["time"], "2026-11-22T03:00:00Z");
    }
}
