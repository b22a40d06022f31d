//! Keeps the last known good on disk: whenever something of substance changed, but while answers come in one after the
//! other only once a second.

use std::sync::Arc;
use std::time::Duration;

use super::cache::Cache;
use crate::model::{Boottime, EventKind, Freshness, Inventory, Now, SourceKind};
use crate::sys::save_attempts::SaveAttempts;

/// Between two writes while answers come in.
const APART: Duration = Duration::from_secs(1);

/// What of the inventory is on disk.
#[derive(Debug)]
pub(super) struct Keeper {
    cache: Arc<Cache>,
    saved: Option<Inventory>,
    saved_at: Option<Boottime>,
    /// Something may have changed since.
    stale: bool,
    attempts: SaveAttempts,
}

impl Keeper {
    pub(super) fn new(cache: Arc<Cache>) -> Self {
        Self { cache, saved: None, saved_at: None, stale: false, attempts: SaveAttempts::default() }
    }

    /// There may be something new to keep.
    pub(super) fn note(&mut self) {
        self.stale = true;
    }

    /// When it is to be written, if at all.
    pub(super) fn due(&self) -> Option<Boottime> {
        self.stale.then(|| self.saved_at.map_or(Boottime::default(), |at| at.after(APART)).max(self.attempts.due()))
    }

    /// Writes it if that is due, or at once if `calm`: no answer is awaited. What can't be written is tried again
    /// later. Returns what is worth telling of it.
    pub(super) async fn save(&mut self, inventory: Arc<Inventory>, calm: bool, now: Now) -> Option<EventKind> {
        let due = self.due()?;
        if due > now.boottime && !(calm && self.attempts.due() <= now.boottime) {
            return None;
        }
        self.stale = false;
        let substance = substance(&inventory);
        if self.saved.as_ref() == Some(&substance) {
            return None;
        }
        self.saved_at = Some(now.boottime);
        let result = self.cache.clone().save(inventory, now).await;
        self.stale = result.is_err();
        // What a failure leaves on disk is not known.
        self.saved = Some(substance).filter(|_| !self.stale);
        self.attempts.note(result, now.boottime)
    }
}

/// The inventory without what is no reason to write: how fresh it is, which changes every few seconds, and what is not
/// kept. Whether the API fails, and why, is one: after a restart it may not be asked for minutes.
fn substance(inventory: &Inventory) -> Inventory {
    let mut substance = inventory.clone();
    for endpoint in substance.endpoints.values_mut() {
        endpoint.sources.retain(|kind, _| *kind == SourceKind::Api);
        for freshness in endpoint.sources.values_mut() {
            let (Freshness::Fresh { at } | Freshness::Stale { since: at, error: _ }) = freshness;
            *at = Now::default();
        }
        endpoint.left_out.clear();
        endpoint.barred.clear();
    }
    substance
}
