//! The budget of TLS handshakes that break off, shared by all checks of all endpoints, and by all processes that keep
//! it in the same file.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::tls_book::{End, Note, Objection, TlsBook, Wish};
use super::tls_ledger::{TlsBudget, Wanted};
use crate::probe::faults::local;
use crate::sys::lock::lock;

/// A handshake that may begin. Dropped before its end is told, it was lost: the prober that waited for the permit, or
/// for the handshake with a server that counts none, has gone. What does count is never dropped but with the process,
/// and then stands in the file as begun.
#[derive(Debug)]
pub(super) struct Begun {
    wish: Option<Wish>,
    note: Note,
    budget: Arc<TlsBudget>,
}

impl Begun {
    fn new(note: Note, wish: Wish, budget: Arc<TlsBudget>) -> Self {
        Self { wish: Some(wish), note, budget }
    }

    /// How it has ended.
    pub(super) async fn end(mut self, end: End) {
        let (Some(wish), note) = (self.wish.take(), self.note) else { return };
        if is_news(note, &end) {
            // What fails, fails as the agent stops.
            let _ = self.budget.exchange(move |book, _, _| book.note_end(&wish, note, &end)).await;
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let (Some(wish), note) = (self.wish.take(), self.note) else { return };
        if let Ok(runtime) = Handle::try_current()
            && is_news(note, &End::Lost)
        {
            let budget = self.budget.clone();
            runtime.spawn_blocking(move || budget.exchange_now(|book, _, _| book.note_end(&wish, note, &End::Lost)));
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
    /// Whether a handshake may begin. In a mode that is not proven yet the first one comes at a random time within
    /// `spread`, so that not all hosts of a fleet, which the server may see as one, find the same fault at once.
    pub(super) async fn begin(self: &Arc<Self>, wish: Wish, spread: Duration) -> Result<Begun, Objection> {
        self.refresh().await;
        // What could not be written is tried again.
        let settled = match self.unsaved() {
            None => self.with_book(|book| book.settled_advice(&wish, self.now())),
            Some(_) => None,
        };
        let budget = self.clone();
        if let Some(advice) = settled {
            return advice.map(|note| Begun::new(note, wish, budget));
        }
        if let Some(wait) = self.wait_before_first(&wish, spread) {
            let wait = humantime::format_duration(Duration::from_secs(wait.as_secs() + 1));
            let detail = format_args!("the first TLS handshake of this fleet's hosts is spread: in {wait}");
            return Err(Objection::Stop(local(detail)));
        }
        let begin = move |book: &mut TlsBook, wanted: &Wanted, now| {
            let none = BTreeSet::new();
            let advice = book.begin(&wish, wanted.get(&wish.server).unwrap_or(&none), now);
            advice.map(|note| Begun::new(note, wish, budget))
        };
        self.exchange(begin).await.unwrap_or_else(|stopping| Err(Objection::Stop(stopping)))
    }

    /// A login to this server has succeeded.
    pub(super) async fn note_login(self: &Arc<Self>, server: SocketAddr) {
        if self.with_book(|book| book.has_broken(server)) {
            let _ = self.exchange(move |book, _, _| book.note_login(server)).await;
        }
    }

    /// Whether TLS with a server was ever completed.
    pub(super) async fn was_completed(self: &Arc<Self>, server: SocketAddr) -> bool {
        self.refresh().await;
        self.with_book(|book| book.was_completed(server))
    }

    /// Whether TLS with a server was completed in a mode, with no fault since.
    pub(super) fn is_proven(&self, server: SocketAddr, mode: &str) -> bool {
        self.with_book(|book| book.is_proven(server, mode))
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
