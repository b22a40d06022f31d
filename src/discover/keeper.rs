//! Keeps the last known good on disk: whenever something of substance changed, but while answers come in one after the
//! other only once a second.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::cache::Cache;
use crate::model::{Boottime, Inventory, Now};

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
}

impl Keeper {
    pub(super) fn new(cache: Arc<Cache>) -> Self {
        Self { cache, saved: None, saved_at: None, stale: false }
    }

    /// There may be something new to keep.
    pub(super) fn note(&mut self) {
        self.stale = true;
    }

    /// When it is to be written, if at all.
    pub(super) fn due(&self) -> Option<Boottime> {
        self.stale.then(|| self.saved_at.map_or(Boottime::default(), |at| at.after(APART)))
    }

    /// Writes it if that is due, or at once if `calm`: no answer is awaited.
    ///
    /// # Errors
    /// What the file system says. It is tried again when something changes.
    pub(super) async fn save(&mut self, inventory: Arc<Inventory>, calm: bool, now: Now) -> io::Result<()> {
        if !self.stale || !(calm || self.due().is_some_and(|at| at <= now.boottime)) {
            return Ok(());
        }
        self.stale = false;
        let substance = substance(&inventory);
        if self.saved.as_ref() == Some(&substance) {
            return Ok(());
        }
        self.saved_at = Some(now.boottime);
        self.cache.clone().save(inventory, now).await?;
        self.saved = Some(substance);
        Ok(())
    }
}

/// The inventory without what is no reason to write: how fresh it is, which changes every few seconds, and what is not
/// kept.
fn substance(inventory: &Inventory) -> Inventory {
    let mut substance = inventory.clone();
    for endpoint in substance.endpoints.values_mut() {
        endpoint.sources.clear();
        endpoint.left_out.clear();
        endpoint.barred.clear();
    }
    substance
}
