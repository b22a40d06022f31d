//! The budget of TLS handshakes that break off, shared by all checks of all endpoints, and by all processes that keep
//! it in the same file.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::tls_book::{Advice, End, Note, TlsBook, Wish};
use super::tls_ledger::{Ledger, Want, Wanted};
use crate::model::{Failure, FailureReason};
use crate::sys::clock::Clock;
use crate::sys::lock::lock;

/// The budget.
#[derive(Debug)]
pub struct TlsBudget {
    ledger: Arc<Ledger>,
    /// When the first handshake with a server in a mode is due.
    first_due: Mutex<HashMap<(SocketAddr, &'static str), Instant>>,
}

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

impl Default for Permit {
    /// The answer while the agent stops.
    fn default() -> Self {
        Self::Stop(Failure::new(FailureReason::Local, "the agent is stopping"))
    }
}

/// A handshake that may begin. Dropped before its end is told, it was lost: the prober that waited for the permit, or
/// for the handshake with a server that counts none, has gone. What does count is never dropped but with the process,
/// and then stands in the file as begun.
#[derive(Debug)]
pub(super) struct Begun {
    wish: Option<Wish>,
    note: Note,
    ledger: Arc<Ledger>,
}

impl Begun {
    /// How it has ended.
    pub(super) async fn end(mut self, end: End) {
        let (Some(wish), note) = (self.wish.take(), self.note) else { return };
        if is_news(note, &end) {
            self.ledger.exchange(move |book, _, _| book.note_end(&wish, note, &end)).await;
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let (Some(wish), note) = (self.wish.take(), self.note) else { return };
        if let Ok(runtime) = Handle::try_current()
            && is_news(note, &End::Lost)
        {
            let ledger = self.ledger.clone();
            runtime.spawn_blocking(move || ledger.exchange_now(|book, _, _| book.note_end(&wish, note, &End::Lost)));
        }
    }
}

/// Whether the book has to be told of an end.
fn is_news(note: Note, end: &End) -> bool {
    match end {
        End::Completed => note != Note::Proven,
        End::Broken { .. } => true,
        End::Lost => note == Note::Open,
    }
}

impl TlsBudget {
    /// One that ends with this process.
    #[must_use]
    pub fn in_memory(clock: Clock) -> Self {
        Self { ledger: Arc::new(Ledger::new(None, clock)), first_due: Mutex::default() }
    }

    /// One that is kept in `path`. Reads nothing yet.
    #[must_use]
    pub fn kept(path: PathBuf, clock: Clock) -> Self {
        Self { ledger: Arc::new(Ledger::new(Some(path), clock)), first_due: Mutex::default() }
    }

    /// A prober wants TLS with a server in this way, for as long as it holds what is returned.
    pub(super) fn register_want(&self, server: SocketAddr, config: &str) -> Want {
        self.ledger.register_want(server, config)
    }

    /// Whether a handshake may begin. In a mode that is not proven yet the first one comes at a random time within
    /// `spread`, so that not all hosts of a fleet, which the server may see as one, find the same fault at once.
    pub(super) async fn begin(&self, wish: Wish, spread: Duration) -> Permit {
        self.ledger.refresh().await;
        // What could not be written is tried again.
        let settled = match self.ledger.unsaved() {
            None => self.ledger.with_book(|book| book.settled_advice(&wish, self.ledger.now())),
            Some(_) => None,
        };
        if let Some(advice) = settled {
            return permit(advice, wish, &self.ledger);
        }
        if let Some(wait) = self.wait_before_first(&wish, spread) {
            return Permit::Stop(first_is_spread(wait));
        }
        let ledger = self.ledger.clone();
        let begin = move |book: &mut TlsBook, wanted: &Wanted, now| {
            let none = BTreeSet::new();
            let advice = book.begin(&wish, wanted.get(&wish.server).unwrap_or(&none), now);
            permit(advice, wish, &ledger)
        };
        self.ledger.exchange(begin).await
    }

    /// A login to this server has succeeded.
    pub(super) async fn note_login(&self, server: SocketAddr) {
        if self.ledger.with_book(|book| book.has_broken(server)) {
            self.ledger.exchange(move |book, _, _| book.note_login(server)).await;
        }
    }

    /// Whether TLS with a server was ever completed.
    pub(super) async fn was_completed(&self, server: SocketAddr) -> bool {
        self.ledger.refresh().await;
        self.ledger.with_book(|book| book.was_completed(server))
    }

    /// Whether TLS with a server was completed in a mode, with no fault since.
    pub(super) fn is_proven(&self, server: SocketAddr, mode: &str) -> bool {
        self.ledger.with_book(|book| book.is_proven(server, mode))
    }

    /// Why what is known will be forgotten when this process ends, if it will against the plan.
    pub(super) fn unsaved(&self) -> Option<Arc<str>> {
        self.ledger.unsaved()
    }

    /// How long the first handshake with a server in a mode has to wait yet.
    fn wait_before_first(&self, wish: &Wish, spread: Duration) -> Option<Duration> {
        if spread.is_zero() || self.is_proven(wish.server, wish.mode) {
            return None;
        }
        let draw = || Instant::now() + spread.mul_f64(fastrand::f64());
        let due = *lock(&self.first_due).entry((wish.server, wish.mode)).or_insert_with(draw);
        Some(due.saturating_duration_since(Instant::now())).filter(|wait| !wait.is_zero())
    }
}

fn permit(advice: Advice, wish: Wish, ledger: &Arc<Ledger>) -> Permit {
    match advice {
        Advice::Begin(note) => Permit::Begin(Begun { wish: Some(wish), note, ledger: ledger.clone() }),
        Advice::Plain(failure) => Permit::Plain(failure),
        Advice::Stop(failure) => Permit::Stop(failure),
    }
}

fn first_is_spread(wait: Duration) -> Failure {
    let wait = humantime::format_duration(Duration::from_secs(wait.as_secs() + 1));
    Failure::new(
        FailureReason::Local,
        format_args!("the first TLS handshake of this fleet's hosts is spread: in {wait}"),
    )
}
