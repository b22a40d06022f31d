//! What the demo prints: a story with a live table below it on a terminal, the same without redrawing elsewhere, or
//! JSON. One task owns stdout, so that nothing is mixed up.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use privatelinkd::model::shown::{hanging, wrapped};
use privatelinkd::observe::status::{self, Style, table};
use privatelinkd::sys::terminal;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::folder::Folder;
use crate::look;
use crate::summary::{Summary, metrics_url, ms};
use crate::world::World;

/// Between two pictures of the live table.
const REDRAW: Duration = Duration::from_millis(150);
/// For people, between two things that happen.
const BREATH: Duration = Duration::from_millis(1500);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Json,
    Plain,
    Live,
}

/// The hand that everybody writes with.
pub(crate) struct Screen {
    mode: Mode,
    color: bool,
    opened: Instant,
    orders: mpsc::UnboundedSender<Order>,
    painter: JoinHandle<()>,
}

enum Order {
    Print(String),
    /// Print the table as it is now, and say when that is done.
    Table(oneshot::Sender<()>),
}

impl Screen {
    pub(crate) fn open(json: bool, status_socket: PathBuf) -> Self {
        let terminal = io::stdout().is_terminal() && std::env::var_os("TERM").is_some_and(|t| t != "dumb");
        let mode = match (json, terminal) {
            (true, _) => Mode::Json,
            (false, true) => Mode::Live,
            (false, false) => Mode::Plain,
        };
        // no-color.org
        let color = mode == Mode::Live && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        let (orders, received) = mpsc::unbounded_channel();
        let painter = Painter { mode, color, status_socket, picture: String::new(), drawn: 0 };
        let painter = tokio::spawn(painter.run(received));
        Self { mode, color, opened: Instant::now(), orders, painter }
    }

    /// Lets people look: a moment on a terminal; elsewhere nothing is redrawn and nobody waits.
    pub(crate) async fn breathe(&self) {
        if self.mode == Mode::Live {
            sleep(BREATH).await;
        }
    }

    /// Lets people look at the table: where it is not redrawn all the time, it is printed now.
    pub(crate) async fn show_table(&self) {
        if self.mode == Mode::Plain {
            let (done, is_done) = oneshot::channel();
            self.order(Order::Table(done));
            // A painter that is gone has nothing left to paint.
            let _ = is_done.await;
        }
        self.breathe().await;
    }

    /// Where everything is.
    pub(crate) fn begin(&self, folder: &Folder) {
        let (hosts, metrics, socket) = (folder.hosts(), metrics_url(folder), folder.status_socket());
        if self.mode == Mode::Json {
            let log = folder.log();
            return self.object(json!({
                "event": "started", "hosts_path": hosts, "metrics_url": metrics, "status_socket": socket, "log": log,
                "targets": World::TARGETS, "names": World::ENDPOINTS.len(),
            }));
        }
        let (hosts, socket) = (hosts.display(), socket.display());
        self.print(format!(
            "A stand-in cloud on loopback with two endpoints, each with a network interface and\n\
             a server in two zones; one agent, which asks the cloud every 2 s and probes\n\
             every 500 ms. Look for yourself meanwhile:\n  cat {hosts}\n  curl -s {metrics}\n  \
             cargo run -q -- status --socket {socket}\n\n"
        ));
    }

    /// Something is done to the world.
    pub(crate) fn act(&self, scene: &str, text: &str) {
        match self.mode {
            Mode::Json => self.object(json!({ "event": "act", "scene": scene, "text": text })),
            Mode::Plain | Mode::Live => self.story(text, true),
        }
    }

    /// Something was seen, so long after it was done.
    pub(crate) fn saw(&self, scene: &str, text: &str, took: Option<Duration>) {
        let later = took.map(|took| format!("{} later ", millis(took))).unwrap_or_default();
        match self.mode {
            Mode::Json => {
                self.object(json!({ "event": "saw", "scene": scene, "text": text, "ms": took.map(ms) }));
            }
            Mode::Plain | Mode::Live => self.story(&format!("  {later}{text}"), false),
        }
    }

    /// A remark.
    pub(crate) fn note(&self, text: &str) {
        match self.mode {
            Mode::Json => self.object(json!({ "event": "note", "text": text })),
            Mode::Plain | Mode::Live => self.story(text, false),
        }
    }

    /// Prints the result, and waits until everything is printed.
    pub(crate) async fn end(self, summary: &Summary, folder: &Folder) {
        if self.mode == Mode::Json {
            self.object(summary.json(folder));
        }
        let Self { mode, orders, painter, .. } = self;
        drop(orders);
        // It ends by itself once nobody can order anything any more.
        let _ = painter.await;
        if mode != Mode::Json {
            let text = summary.text(folder);
            let width = terminal::width(&io::stdout()).filter(|_| mode == Mode::Live);
            put(&match width {
                Some(width) => text.lines().flat_map(|line| hanging(line, width)).map(|line| line + "\n").collect(),
                None => text,
            });
        }
    }

    /// A line with its time; on a terminal as many as it takes.
    fn story(&self, text: &str, bold: bool) {
        let line = format!("{:5.1} s  {text}", self.opened.elapsed().as_secs_f64());
        // Behind the time, and behind what is further in.
        let indent = 9 + text.len() - text.trim_start().len();
        let lines = match terminal::width(&io::stdout()).filter(|_| self.mode == Mode::Live) {
            Some(width) => wrapped(&line, width, indent).join("\n"),
            None => line,
        };
        let (begin, end) = if bold && self.color { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        self.print(format!("{begin}{lines}{end}\n"));
    }

    fn object(&self, value: Value) {
        self.print(format!("{value}\n"));
    }

    fn print(&self, text: String) {
        self.order(Order::Print(text));
    }

    fn order(&self, order: Order) {
        // The painter outlives its orders.
        let _ = self.orders.send(order);
    }
}

/// Owns stdout.
struct Painter {
    mode: Mode,
    color: bool,
    status_socket: PathBuf,
    /// The latest table.
    picture: String,
    /// Lines of the table on the terminal, to be drawn over.
    drawn: usize,
}

impl Painter {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        loop {
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    None => return,
                    Some(Order::Print(text)) => self.print(&text),
                    Some(Order::Table(done)) => {
                        self.look().await;
                        put(&format!("\n{}\n", indented(&self.picture)));
                        // Nobody waits any more if the demo was interrupted.
                        let _ = done.send(());
                    }
                },
                () = sleep(REDRAW), if self.mode == Mode::Live => {
                    self.look().await;
                    self.print("");
                }
            }
        }
    }

    /// An agent that does not answer leaves the picture as it was.
    async fn look(&mut self) {
        if let Ok(mut report) = look::status(&self.status_socket).await {
            let out = io::stdout();
            if self.mode == Mode::Live {
                // The story is not about them, and there is little room.
                report.credentials = None;
            }
            let (width, height) = match self.mode {
                Mode::Live => (terminal::width(&out), terminal::height(&out)),
                Mode::Plain | Mode::Json => (None, None),
            };
            let screen = status::Screen { color: self.color, width };
            let picture = table(&report, Style { screen, events: false });
            // What has scrolled away can't be drawn over. The line before it and the one with the cursor are there,
            // too.
            let most = height.map_or(usize::MAX, |rows| rows.saturating_sub(2));
            self.picture = picture.split_inclusive('\n').take(most).collect();
        }
    }

    /// Prints above the table.
    fn print(&mut self, text: &str) {
        if self.mode != Mode::Live {
            return put(text);
        }
        let mut frame = String::new();
        if self.drawn > 0 {
            // To the table's first line, and everything from there on cleared.
            let _ = write!(frame, "\x1b[{}F\x1b[J", self.drawn);
        }
        // Words that are too long for a line are cut by the terminal, so that the number of lines is known.
        let _ = write!(frame, "{text}\x1b[?7l\n{}\x1b[?7h", self.picture);
        self.drawn = 1 + self.picture.lines().count();
        put(&frame);
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("         {line}\n") }).collect()
}

/// A reader that went away is no reason to stop.
fn put(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// For what can't be told on the screen.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// `734 ms`, `2.31 s`.
pub(crate) fn millis(time: Duration) -> String {
    if time < Duration::from_secs(2) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.2} s", time.as_secs_f64())
    }
}
