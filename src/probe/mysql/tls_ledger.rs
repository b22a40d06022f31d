//! The book of TLS handshakes that broke off, in this process and in a file that others share.
//!
//! The file is the truth: each change is made to what stands there, under its lock. Where it can't be written, what
//! this process knows goes on counting, is written as soon as that works, and people are told. Who only looks at
//! the memory does not wait for the disk.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::inflight_attempt::finished_task;
use super::tls_book::TlsBook;
use crate::model::{Failure, Wall};
use crate::probe::in_use;
use crate::sys::atomic_file::{self, Durability};
use crate::sys::clock::Clock;
use crate::sys::lock::lock;
use crate::sys::{file_lock, regular_file};

/// Larger files are not ours.
const MAX_BYTES: u64 = 16 << 20;
/// How long another process may hold the file up.
const PATIENCE: Duration = Duration::from_secs(1);

/// The ways in which the probers of this process want TLS with servers, by digests of what the config says.
pub(super) type Wanted = BTreeMap<SocketAddr, BTreeSet<String>>;

/// The budget of TLS handshakes that break off: the book and its file.
#[derive(Debug)]
pub struct TlsBudget {
    clock: Clock,
    /// Where the book is kept; absent if it ends with this process.
    path: Option<PathBuf>,
    memory: Mutex<Memory>,
    /// Held through a change, the disk included; only by threads that may block. True if another process held the file
    /// up to the end the last time: it is not waited for again.
    stuck: Mutex<bool>,
    /// When the first handshake with a server in a mode is due.
    pub(super) first_due: Mutex<HashMap<(SocketAddr, &'static str), Instant>>,
}

/// A prober wants TLS with a server in a way until this is dropped.
pub(super) type Want = Arc<(SocketAddr, String)>;

#[derive(Debug, Default)]
struct Memory {
    book: TlsBook,
    /// Counts what was made of the book.
    version: u64,
    wants: HashMap<(SocketAddr, String), Weak<(SocketAddr, String)>>,
    /// The file that the book was last read from or written to.
    file_version: Option<FileVersion>,
    /// Why the file does not have what the book has.
    unsaved: Option<Arc<str>>,
}

/// What tells one version of the file from another: each is a file of its own.
type FileVersion = (u64, SystemTime);

impl TlsBudget {
    /// One that ends with this process.
    #[must_use]
    pub fn in_memory(clock: Clock) -> Self {
        Self { clock, path: None, memory: Mutex::default(), stuck: Mutex::default(), first_due: Mutex::default() }
    }

    /// One that is kept in `path`. Reads nothing yet.
    #[must_use]
    pub fn kept(path: PathBuf, clock: Clock) -> Self {
        Self { path: Some(path), ..Self::in_memory(clock) }
    }

    /// What the clock of the book shows.
    pub(super) fn now(&self) -> Wall {
        self.clock.now().wall
    }

    /// A prober wants TLS with a server in this way, for as long as it holds what is returned.
    pub(super) fn register_want(&self, server: SocketAddr, config: &str) -> Want {
        let key = (server, config.to_owned());
        in_use::get_or_make(&mut lock(&self.memory).wants, key.clone(), || key)
    }

    /// Looks at what is known.
    pub(super) fn with_book<T>(&self, look: impl FnOnce(&TlsBook) -> T) -> T {
        look(&lock(&self.memory).book)
    }

    /// Why what is known will be forgotten when this process ends, if it will against the plan.
    pub(super) fn unsaved(&self) -> Option<Arc<str>> {
        lock(&self.memory).unsaved.clone()
    }

    /// Takes in what another process has written.
    pub(super) async fn refresh(self: &Arc<Self>) {
        if self.path.is_none() {
            return;
        }
        let budget = self.clone();
        let look = move || budget.path.as_deref().is_none_or(|path| budget.take_in(path, Damaged::Stays));
        // It ends early only with the runtime.
        let _ = finished_task(tokio::task::spawn_blocking(look).await);
    }

    /// Changes the book. A caller that stops waiting for that does not stop it.
    ///
    /// # Errors
    /// The agent is stopping.
    pub(super) async fn exchange<T: Send + 'static>(
        self: &Arc<Self>,
        change: impl FnOnce(&mut TlsBook, &Wanted, Wall) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        if self.path.is_none() {
            return Ok(self.change(change).0);
        }
        let budget = self.clone();
        finished_task(tokio::task::spawn_blocking(move || budget.exchange_now(change)).await)
    }

    /// The same at once, by a thread that may block.
    pub(super) fn exchange_now<T>(&self, change: impl FnOnce(&mut TlsBook, &Wanted, Wall) -> T) -> T {
        let Some(path) = &self.path else { return self.change(change).0 };
        let mut stuck = lock(&self.stuck);
        let patience = if *stuck { Duration::ZERO } else { PATIENCE };
        let locked = file_lock::acquire(&path.with_extension("lock"), patience);
        *stuck = matches!(&locked, Err(e) if e.kind() == io::ErrorKind::TimedOut);
        // Who only looks may have taken the same in meanwhile.
        while locked.is_ok() && !self.take_in(path, Damaged::GoesAside) {}
        let (result, unwritten) = self.change(change);
        if let Some(book) = unwritten {
            let written = locked.as_ref().map_err(|e| io::Error::new(e.kind(), e.to_string()));
            let written = written.and_then(|_| write(path, &book)).and_then(|()| file_version(path));
            let mut memory = lock(&self.memory);
            match written {
                Ok(file_version) => (memory.file_version, memory.unsaved) = (Some(file_version), None),
                Err(e) => memory.unsaved = Some(unsaved(path, &e)),
            }
        }
        result
    }

    /// Changes what is in memory. Returns the book, too, if the file does not have it so.
    fn change<T>(&self, change: impl FnOnce(&mut TlsBook, &Wanted, Wall) -> T) -> (T, Option<TlsBook>) {
        let now = self.now();
        let mut memory = lock(&self.memory);
        let before = memory.book.clone();
        let mut wanted = Wanted::new();
        for (server, config) in memory.wants.values().filter_map(Weak::upgrade).map(|want| (*want).clone()) {
            wanted.entry(server).or_default().insert(config);
        }
        memory.book.note_wanted(&wanted, now);
        let result = change(&mut memory.book, &wanted, now);
        memory.version += 1;
        let is_unwritten = memory.book != before || memory.file_version.is_none() || memory.unsaved.is_some();
        let unwritten = (is_unwritten && self.path.is_some()).then(|| memory.book.clone());
        (result, unwritten)
    }

    /// Takes in what another process has written. Where the file was deleted, nothing is remembered any more; where it
    /// can't be read, what we know stands, and is written anew. Returns false if the memory changed meanwhile, and
    /// nothing was taken in.
    fn take_in(&self, path: &Path, damaged: Damaged) -> bool {
        let (version, known) = {
            let memory = lock(&self.memory);
            (memory.version, memory.file_version)
        };
        let (mut book, file_version) = match file_version(path) {
            Ok(file_version) if known != Some(file_version) => match read(path) {
                Ok(book) => (book, Some(file_version)),
                Err(e) => {
                    if e.kind() == io::ErrorKind::InvalidData && damaged == Damaged::GoesAside {
                        let _ = std::fs::rename(path, path.with_extension("json.unusable"));
                        // The file was not deleted.
                        lock(&self.memory).file_version = None;
                    }
                    return true;
                }
            },
            Err(e) if e.kind() == io::ErrorKind::NotFound && known.is_some() => (TlsBook::default(), None),
            _ => return true,
        };
        let mut memory = lock(&self.memory);
        if memory.version != version {
            return false;
        }
        if memory.unsaved.is_some() {
            book.merge(&memory.book);
        }
        (memory.book, memory.file_version) = (book, file_version);
        memory.version += 1;
        true
    }
}

fn unsaved(path: &Path, error: &io::Error) -> Arc<str> {
    let path = path.display();
    format!("how many TLS handshakes with MySQL servers broke off is forgotten with this process: {path}: {error}")
        .into()
}

fn file_version(path: &Path) -> io::Result<FileVersion> {
    let found = std::fs::symlink_metadata(path)?;
    Ok((found.ino(), found.modified()?))
}

/// What becomes of a file that is none of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damaged {
    /// It is another process's, which may be about to write another one: only looked at.
    Stays,
    /// We have the lock, so no other process writes there.
    GoesAside,
}

fn read(path: &Path) -> io::Result<TlsBook> {
    let bytes = regular_file::read(path, MAX_BYTES)?;
    TlsBook::read(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn write(path: &Path, book: &TlsBook) -> io::Result<()> {
    let json = serde_json::to_vec(book).map_err(io::Error::other)?;
    atomic_file::write_for_owner(path, &json, 0o640, Durability::Synced)
}
