//! The budget of TLS handshakes that break off, shared by all checks of all endpoints, and by all processes that keep it
//! in the same file.
//!
//! The file is the truth: each change is made to what stands there, under a lock. Where it can't be written, what this
//! process knows goes on counting.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::tls_book::{Advice, End, TlsBook, Wish};
use crate::model::{EndpointName, Failure, FailureReason};
use crate::probe::tls::lock;
use crate::sys::atomic_file::{self, Durability};
use crate::sys::{file_lock, regular_file};

/// Larger files are not ours.
const MAX_BYTES: u64 = 16 << 20;
/// How long another process may hold the file up.
const PATIENCE: Duration = Duration::from_secs(1);

/// The budget.
#[derive(Debug, Default)]
pub struct TlsBudget {
    memory: Arc<Mutex<Memory>>,
    /// Where it is kept, if it is.
    path: Option<PathBuf>,
    /// When the first handshake with a server in a mode is due.
    firsts: Mutex<HashMap<(SocketAddr, &'static str), Instant>>,
}

#[derive(Debug, Default)]
struct Memory {
    book: TlsBook,
    /// What the probers of this process want of TLS.
    ways: BTreeMap<EndpointName, String>,
    /// The file that the book was last read from or written to.
    stamp: Option<Stamp>,
}

/// What tells one version of the file from another: each is a file of its own.
type Stamp = (u64, SystemTime);

/// What may be done about TLS.
#[derive(Debug)]
pub(super) enum Permit {
    /// A handshake may begin, and its end must be told.
    Begin(Begun),
    /// A login may go without TLS, where the config leaves that open.
    Plain(Failure),
    /// Nothing.
    Stop(Failure),
}

/// A handshake that may begin.
#[derive(Debug)]
pub(super) struct Begun {
    wish: Wish,
    noted: bool,
}

impl TlsBudget {
    /// One that ends with this process.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::default()
    }

    /// One that is kept in `path`. Reads nothing yet.
    #[must_use]
    pub fn kept(path: PathBuf) -> Self {
        Self { path: Some(path), ..Self::default() }
    }

    /// A prober of an endpoint will use TLS so.
    pub(super) fn enrol(&self, endpoint: &EndpointName, config: &str) {
        lock(&self.memory).ways.insert(endpoint.clone(), config.to_owned());
    }

    /// Whether a handshake may begin. In a mode that is not proven yet the first one comes at a random time within
    /// `spread`, so that not all hosts of a fleet, which the server may see as one, find the same fault at once.
    pub(super) async fn begin(&self, wish: Wish, spread: Duration) -> Permit {
        self.refresh().await;
        let settled = lock(&self.memory).book.settled(&wish);
        let advice = match settled {
            Some(advice) => advice,
            None => {
                if let Some(wait) = self.wait(&wish, spread) {
                    return Permit::Stop(waiting(wait));
                }
                let wish = wish.clone();
                self.exchange(move |book| book.begin(&wish)).await
            }
        };
        match advice {
            Advice::Begin { noted } => Permit::Begin(Begun { wish, noted }),
            Advice::Plain(failure) => Permit::Plain(failure),
            Advice::Stop(failure) => Permit::Stop(failure),
        }
    }

    /// How a handshake has ended.
    pub(super) async fn end(&self, begun: Begun, end: End) {
        let Begun { wish, noted } = begun;
        // Of a server that is proven there is nothing new to tell but a fault.
        if noted || matches!(end, End::Broken { .. }) {
            self.exchange(move |book| book.end(&wish, noted, &end)).await;
        }
    }

    /// A login to this server has succeeded.
    pub(super) async fn logged_in(&self, server: SocketAddr) {
        if lock(&self.memory).book.has_broken(server) {
            self.exchange(move |book| book.logged_in(server)).await;
        }
    }

    /// How long the first handshake with a server in a mode has to wait yet.
    fn wait(&self, wish: &Wish, spread: Duration) -> Option<Duration> {
        if spread.is_zero() || lock(&self.memory).book.is_proven(wish.server, wish.mode) {
            return None;
        }
        let draw = || Instant::now() + spread.mul_f64(fastrand::f64());
        let due = *lock(&self.firsts).entry((wish.server, wish.mode)).or_insert_with(draw);
        Some(due.saturating_duration_since(Instant::now())).filter(|wait| !wait.is_zero())
    }

    /// Takes in what another process has written.
    async fn refresh(&self) {
        let Some(path) = self.path.clone() else { return };
        let memory = self.memory.clone();
        let look = move || take_in(&path, &mut lock(&memory));
        // It ends early only with the runtime.
        let _ = tokio::task::spawn_blocking(look).await;
    }

    /// Changes the book.
    async fn exchange<T: Default + Send + 'static>(
        &self,
        change: impl FnOnce(&mut TlsBook) -> T + Send + 'static,
    ) -> T {
        let Some(path) = self.path.clone() else { return change_memory(&mut lock(&self.memory), change) };
        let memory = self.memory.clone();
        let work = move || {
            let locked = file_lock::take(&path.with_extension("lock"), PATIENCE);
            let mut memory = lock(&memory);
            if locked.is_ok() {
                take_in(&path, &mut memory);
            }
            let before = memory.book.clone();
            let result = change_memory(&mut memory, change);
            if locked.is_ok() && (memory.book != before || memory.stamp.is_none()) && write(&path, &memory.book).is_ok()
            {
                memory.stamp = stamp(&path).ok();
            }
            result
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_default()
    }
}

fn change_memory<T>(memory: &mut Memory, change: impl FnOnce(&mut TlsBook) -> T) -> T {
    for (endpoint, config) in &memory.ways {
        memory.book.enrol(endpoint, config);
    }
    change(&mut memory.book)
}

fn waiting(wait: Duration) -> Failure {
    let wait = humantime::format_duration(Duration::from_secs(wait.as_secs() + 1));
    Failure::new(
        FailureReason::Local,
        format_args!("the first TLS handshake of this fleet's hosts is spread: in {wait}"),
    )
}

/// Takes in what another process has written. Where the file was deleted, nothing is remembered any more; where it can't
/// be read, what we know stands.
fn take_in(path: &Path, memory: &mut Memory) {
    match stamp(path) {
        Ok(stamp) if memory.stamp != Some(stamp) => {
            if let Ok(book) = read(path) {
                (memory.book, memory.stamp) = (book, Some(stamp));
            }
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound && memory.stamp.is_some() => {
            (memory.book, memory.stamp) = (TlsBook::default(), None);
        }
        _ => {}
    }
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let found = std::fs::symlink_metadata(path)?;
    Ok((found.ino(), found.modified()?))
}

/// Reads the file, and puts aside what is none of ours.
fn read(path: &Path) -> io::Result<TlsBook> {
    let bytes = regular_file::read(path, MAX_BYTES)?;
    TlsBook::read(&bytes).map_err(|error| {
        let _ = std::fs::rename(path, path.with_extension("json.unusable"));
        io::Error::new(io::ErrorKind::InvalidData, error)
    })
}

fn write(path: &Path, book: &TlsBook) -> io::Result<()> {
    let json = serde_json::to_vec(book).map_err(io::Error::other)?;
    atomic_file::write_for_owner(path, &json, 0o640, Durability::Synced)
}
