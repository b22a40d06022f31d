//! Logging that never blocks who logs.
//!
//! [`QueueLayer`] copies each tracing event into an owned [`Record`] and puts it into a bounded queue; one thread takes
//! records out and writes lines. Where the reader of those lines stalls, the queue fills and records are dropped and
//! counted: a stuck journal or a full pipe on stderr costs lines, never a probe. The first line after a loss says how
//! much was lost.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::layer::{Context, Layer};

use super::clock::Clock;
use crate::model::Wall;
use crate::model::{LogFormat, LogLevel};

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

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `2026-11-22T03:00:00Z WARN message key=value`
    Text,
    /// `<4>message key=value`: the journal has a clock of its own and takes the priority from the prefix.
    Journal,
    /// One JSON object a line.
    Json,
}

impl Style {
    /// The style for stderr: [`Style::Journal`] instead of text if stderr is the journal's.
    #[must_use]
    pub fn for_stderr(format: LogFormat) -> Self {
        match format {
            LogFormat::Json => Self::Json,
            LogFormat::Text if stderr_is_the_journal() => Self::Journal,
            LogFormat::Text => Self::Text,
        }
    }
}

/// systemd names the journal's stream as `device:inode`; comparing tells a service from a shell started below one
/// (systemd.exec(5), `$JOURNAL_STREAM`).
fn stderr_is_the_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    rustix::fs::fstat(io::stderr()).is_ok_and(|s| stream == format!("{}:{}", s.st_dev, s.st_ino))
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

impl LogQueue {
    /// Starts the thread. Records go to `sink` in the given style once the layer is part of a subscriber. The thread
    /// ends by itself when the layer is gone.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(level: LogLevel, style: Style, sink: impl Write + Send + 'static) -> io::Result<(Self, QueueLayer)> {
        let shared = Arc::new(Shared {
            level: AtomicU8::new(level as u8),
            drops: Drops::default(),
            queued: AtomicU64::new(0),
            written: Mutex::new(0),
            progress: Condvar::new(),
        });
        let (queue, records) = sync_channel(CAPACITY);
        let thread = Arc::clone(&shared);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || write_all(&records, &thread, style, sink))?;
        let layer = QueueLayer { shared: Arc::clone(&shared), queue, clock: Clock::System };
        Ok((Self { shared }, layer))
    }

    /// Starts the thread on stderr and makes the queue the process's subscriber. For `main`, once.
    ///
    /// # Errors
    /// If the system gives no thread, or the process has a subscriber already.
    pub fn install(level: LogLevel, format: LogFormat) -> io::Result<Self> {
        use tracing_subscriber::layer::SubscriberExt as _;
        let (handle, layer) = Self::start(level, Style::for_stderr(format), io::stderr())?;
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::set_global_default(subscriber).map_err(io::Error::other)?;
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

/// The log thread: until the layer is gone.
fn write_all(records: &Receiver<Record>, shared: &Shared, style: Style, mut sink: impl Write) {
    let mut told = 0;
    while let Ok(record) = records.recv() {
        let dropped = shared.drops.get();
        let mut lines = String::new();
        if dropped != told {
            lines.push_str(&style.line(&loss(record.at, dropped - told)));
            told = dropped;
        }
        lines.push_str(&style.line(&record));
        if sink.write_all(lines.as_bytes()).and_then(|()| sink.flush()).is_err() {
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

impl Style {
    /// The line of a record, with its newline.
    #[must_use]
    pub fn line(self, record: &Record) -> String {
        match self {
            Self::Text => format!("{} {} {}\n", record.at, record.level, Plain(record)),
            Self::Journal => format!("<{}>{}\n", priority(record.level), Plain(record)),
            Self::Json => json(record),
        }
    }
}

/// syslog's numbers (sd-daemon(3)).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// `message key=value key="a value"`, without control characters.
struct Plain<'a>(&'a Record);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Record { at: _, level: _, target: _, message, fields } = self.0;
        escaped(f, message)?;
        for (key, value) in fields {
            write!(f, " {key}=")?;
            match value {
                Value::Text(t) if t.is_empty() || t.contains([' ', '"', '=', '\\']) => {
                    f.write_char('"')?;
                    escaped(f, &t.replace('\\', "\\\\").replace('"', "\\\""))?;
                    f.write_char('"')?;
                }
                Value::Text(t) => escaped(f, t)?,
                Value::Integer(n) => write!(f, "{n}")?,
                Value::Float(x) => write!(f, "{x}")?,
                Value::Bool(b) => write!(f, "{b}")?,
            }
        }
        Ok(())
    }
}

fn escaped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for c in text.chars() {
        if c.is_control() { write!(f, "{}", c.escape_default())? } else { f.write_char(c)? }
    }
    Ok(())
}

fn json(record: &Record) -> String {
    let Record { at, level, target, message, fields } = record;
    let value = |v: &Value| match v {
        Value::Text(t) => serde_json::Value::from(t.as_str()),
        Value::Integer(n) => i64::try_from(*n).map_or_else(|_| n.to_string().into(), serde_json::Value::from),
        Value::Float(x) => serde_json::Value::from(*x),
        Value::Bool(b) => serde_json::Value::from(*b),
    };
    let fields: serde_json::Map<_, _> = fields.iter().map(|(k, v)| ((*k).to_owned(), value(v))).collect();
    let level = level.as_str().to_ascii_lowercase();
    let line = serde_json::json!({
        "time": at.to_string(), "level": level, "target": target, "message": message, "fields": fields,
    });
    format!("{line}\n")
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
        let (handle, layer) = LogQueue::start(level, style, Slow(to_test)).unwrap();
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
