//! Logging that never blocks who logs.
//!
//! [`QueueLayer`] copies each tracing event into an owned [`Record`] and puts it into a bounded queue; one thread takes
//! records out and gives them to a [`Sink`]: lines on stderr, or the journal. Where that stalls, the queue fills and
//! records are dropped and counted: a stuck journal or a full pipe on stderr costs lines, never a probe. The first line
//! after a loss says how much was lost.

mod journal;
mod style;

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::layer::{Context, Layer};

pub use self::style::Style;

use self::journal::Journal;
use super::clock::Clock;
use crate::model::{LogFormat, LogLevel, LogTarget, Wall};

/// Records that wait at most.
pub const CAPACITY: usize = 1024;
/// Longest kept text of a message or a field, in bytes.
const MAX_TEXT: usize = 4096;
/// Ours are logged from the configured level on, other crates' only from here on.
const OTHERS: LevelFilter = LevelFilter::WARN;

/// One event, owned and closed, so that it can cross to the log thread and into any sink.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// When.
    pub at: Wall,
    /// How loud.
    pub level: Level,
    /// The module that logged.
    pub target: &'static str,
    /// The sentence.
    pub message: String,
    /// The fields, in the order of the call.
    pub fields: Vec<(&'static str, Value)>,
}

/// A field's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Any text, or the debug form of what has no other.
    Text(String),
    /// A whole number.
    Integer(i128),
    /// A fraction.
    Float(f64),
    /// Yes or no.
    Bool(bool),
}

/// How many records were dropped; clones share the count.
#[derive(Debug, Clone, Default)]
pub struct Drops(Arc<AtomicU64>);

impl Drops {
    /// Since the start.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The handle on the queue and its thread.
#[derive(Debug, Clone)]
pub struct LogQueue {
    shared: Arc<Shared>,
}

/// The tracing side of the queue.
#[derive(Debug)]
pub struct QueueLayer {
    shared: Arc<Shared>,
    queue: SyncSender<Record>,
    clock: Clock,
}

#[derive(Debug)]
struct Shared {
    level: AtomicU8,
    drops: Drops,
    queued: AtomicU64,
    written: Mutex<u64>,
    progress: Condvar,
}

/// Where the log thread puts records. It may block.
pub trait Sink: Send + 'static {
    /// Puts one away.
    ///
    /// # Errors
    /// It is lost.
    fn put(&mut self, record: &Record) -> io::Result<()>;
}

/// Lines of text.
#[derive(Debug)]
pub struct Lines<W> {
    /// How they look.
    pub style: Style,
    /// Where they go; each is flushed.
    pub to: W,
}

impl<W: Write + Send + 'static> Sink for Lines<W> {
    fn put(&mut self, record: &Record) -> io::Result<()> {
        self.to.write_all(self.style.line(record).as_bytes())?;
        self.to.flush()
    }
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
        let shared = Arc::new(Shared {
            level: AtomicU8::new(level as u8),
            drops: Drops::default(),
            queued: AtomicU64::new(0),
            written: Mutex::new(0),
            progress: Condvar::new(),
        });
        let (queue, records) = sync_channel(CAPACITY);
        let thread = Arc::clone(&shared);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || put_all(&records, &thread, sink))?;
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

    /// How many records were dropped since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.drops.get()
    }

    /// Waits until everything queued so far is written, at most for `deadline`; false if it passed. Blocks: for the
    /// end of the process, outside the runtime.
    #[must_use]
    pub fn flush(&self, deadline: Duration) -> bool {
        let goal = self.shared.queued.load(Ordering::Acquire);
        let written = self.shared.written.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.shared.progress.wait_timeout_while(written, deadline, |written| *written < goal);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl Shared {
    fn level(&self) -> LevelFilter {
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

    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let ours = metadata.target().starts_with(env!("CARGO_PKG_NAME"));
        let filter = if ours { self.level() } else { self.level().min(OTHERS) };
        *metadata.level() <= filter
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
        let metadata = event.metadata();
        let mut record = Record {
            at: self.clock.now().wall,
            level: *metadata.level(),
            target: metadata.target(),
            message: String::new(),
            fields: Vec::new(),
        };
        event.record(&mut record);
        match self.queue.try_send(record) {
            Ok(()) => _ = self.shared.queued.fetch_add(1, Ordering::Release),
            Err(_) => self.shared.drops.add_one(),
        }
    }
}

impl Record {
    fn text(&mut self, field: &Field, text: String) {
        match field.name() {
            "message" => self.message = text,
            name => self.fields.push((name, Value::Text(text))),
        }
    }
}

impl Visit for Record {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, bounded(format_args!("{value:?}")));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, bounded(format_args!("{value}")));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.push((field.name(), Value::Integer(value.into())));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.push((field.name(), Value::Integer(value.into())));
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.fields.push((field.name(), Value::Float(value)));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.push((field.name(), Value::Bool(value)));
    }
}

/// Formats at most [`MAX_TEXT`] bytes, so that the queue's memory is bounded.
fn bounded(text: fmt::Arguments<'_>) -> String {
    struct Bounded(String);
    impl fmt::Write for Bounded {
        fn write_str(&mut self, s: &str) -> fmt::Result {
            let room = MAX_TEXT - self.0.len();
            if s.len() <= room {
                self.0.push_str(s);
                return Ok(());
            }
            let whole = s.char_indices().map(|(start, c)| start + c.len_utf8()).take_while(|end| *end <= room);
            self.0.push_str(&s[..whole.last().unwrap_or(0)]);
            Err(fmt::Error)
        }
    }
    let mut out = Bounded(String::new());
    if out.write_fmt(text).is_err() {
        out.0.push('…');
    }
    out.0
}

/// In the journal JSON would be one more wrapping; who asks for it under systemd finds it in the messages.
fn wants_journal(output: Output) -> bool {
    match output.target {
        LogTarget::Journald => true,
        LogTarget::Stderr => false,
        LogTarget::Auto => output.format == LogFormat::Text && style::stderr_is_the_journal(),
    }
}

/// The log thread: until the layer is gone.
fn put_all(records: &Receiver<Record>, shared: &Shared, mut sink: impl Sink) {
    let mut told = 0;
    while let Ok(record) = records.recv() {
        let dropped = shared.drops.get();
        // What can't be said is counted instead.
        if dropped != told && sink.put(&loss(record.at, dropped - told)).is_ok() {
            told = dropped;
        }
        if sink.put(&record).is_err() {
            shared.drops.add_one();
        }
        *shared.written.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        shared.progress.notify_all();
    }
}

fn loss(at: Wall, count: u64) -> Record {
    let message = "log lines were dropped, because they were not taken fast enough".to_owned();
    let fields = vec![("count", Value::Integer(count.into()))];
    Record { at, level: Level::WARN, target: module_path!(), message, fields }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

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
            // Nobody takes a line: if any of these blocked, the test would hang.
            for n in 0..sent {
                tracing::info!(n, "line");
            }
        });
        let dropped = handle.dropped();
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

    fn record() -> Record {
        let text = |s: &str| Value::Text(s.to_owned());
        Record {
            at: Wall(1_795_316_400_000),
            level: Level::WARN,
            target: "privatelinkd::x",
            message: "a\x1b[31m \nb".to_owned(),
            fields: vec![
                ("name", text("gw.example.com")),
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
        let fields = r#"name=gw.example.com error="no \"such\" \\ thing\r\n" empty="" n=-3 x=0.5 ok=true"#;
        let line = Style::Text.line(&record());
        assert_eq!(line, format!("2026-11-22T03:00:00Z WARN a\\u{{1b}}[31m \\nb {fields}\n"));
        assert!(Style::Journal.line(&record()).starts_with("<4>a\\u{1b}[31m"));
    }

    #[test]
    fn json_lines_are_objects() {
        let line = Style::Json.line(&record());
        assert_eq!(line.matches('\n').count(), 1);
        let v: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(v["level"], "warn");
        assert_eq!(v["message"], "a\u{1b}[31m \nb");
        assert_eq!(v["fields"]["n"], -3);
        assert_eq!(v["time"], "2026-11-22T03:00:00Z");
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        let cut = bounded(format_args!("a{}", "ä".repeat(MAX_TEXT)));
        assert!(cut.len() <= MAX_TEXT + '…'.len_utf8() && cut.ends_with("ä…"), "{}", cut.len());
        assert_eq!(bounded(format_args!("{}", "x".repeat(MAX_TEXT))).len(), MAX_TEXT);
    }
}
