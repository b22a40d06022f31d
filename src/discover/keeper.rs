//! Keeps the last known good on disk: whenever something of substance changed, but while answers come in one after the
//! other only once a second.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::cache::Cache;
use crate::model::{Boottime, Endpoint, EndpointName, EventKind, Freshness, Inventory, Now, SourceKind};
use crate::sys::save_attempts::SaveAttempts;

/// Between two writes while answers come in.
const APART: Duration = Duration::from_secs(1);

/// What of the inventory is on disk.
#[derive(Debug)]
pub(super) struct Keeper {
    cache: Arc<Cache>,
    /// What was written last, or a later one of the same substance: mostly the one in force, so that no copy is kept.
    saved: Option<Arc<Inventory>>,
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
        if self.saved.as_ref().is_some_and(|saved| same_substance(saved, &inventory)) {
            self.saved = Some(inventory);
            return None;
        }
        self.saved_at = Some(now.boottime);
        let result = self.cache.clone().save(inventory.clone(), now).await;
        self.stale = result.is_err();
        // What a failure leaves on disk is not known.
        self.saved = Some(inventory).filter(|_| !self.stale);
        self.attempts.note(result, now.boottime)
    }
}

/// Whether two inventories differ in nothing that is a reason to write. How fresh they are, which changes every few
/// seconds, is none, nor is what is not kept. Whether the API fails, and why, is one: after a restart it may not be
/// asked for minutes.
fn same_substance(a: &Inventory, b: &Inventory) -> bool {
    let timeless = |mut freshness: Freshness| {
        let (Freshness::Fresh { at } | Freshness::Stale { since: at, error: _ }) = &mut freshness;
        *at = Now::default();
        freshness
    };
    let api = |(kind, freshness): (&SourceKind, &Freshness)| (*kind, timeless(freshness.clone()));
    let kept = |endpoint: &Endpoint| Endpoint {
        sources: endpoint.sources.iter().filter(|(kind, _)| **kind == SourceKind::Api).map(api).collect(),
        left_out: BTreeMap::new(),
        barred: BTreeMap::new(),
        ..endpoint.clone()
    };
    let alike = |(a, b): ((&EndpointName, &Endpoint), (&EndpointName, &Endpoint))| a.0 == b.0 && kept(a.1) == kept(b.1);
    a.disowned == b.disowned
        && a.endpoints.len() == b.endpoints.len()
        && a.endpoints.iter().zip(&b.endpoints).all(alike)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EndpointIdentity, Presence};

    fn inventory(change: impl FnOnce(&mut Endpoint)) -> Inventory {
        let mut endpoint = Endpoint {
            identity: EndpointIdentity::default(),
            id: None,
            domain: None,
            names: ["db.example.com".parse().unwrap()].into(),
            leaving: BTreeMap::new(),
            priority: 0,
            zones: BTreeMap::new(),
            probed: true,
            proves_itself: false,
            presence: Presence::Configured,
            sources: [(SourceKind::Fixed, Freshness::Fresh { at: Now::default() })].into(),
            cloud: None,
            missing: None,
            not_found: [].into(),
            left_out: BTreeMap::new(),
            barred: BTreeMap::new(),
        };
        change(&mut endpoint);
        Inventory { endpoints: [("orders".parse().unwrap(), endpoint)].into(), disowned: false }
    }

    #[test]
    fn how_fresh_an_inventory_is_is_no_reason_to_write_it() {
        let before = inventory(|_| {});
        let fresher = Freshness::Fresh { at: Now { boottime: Boottime(APART), ..Now::default() } };
        assert!(same_substance(&before, &inventory(|e| drop(e.sources.insert(SourceKind::Fixed, fresher)))));
        for after in [
            inventory(|e| e.names.clear()),
            inventory(|e| e.presence = Presence::Removed { since: Boottime::default() }),
            Inventory { disowned: true, ..before.clone() },
            Inventory::default(),
            inventory(|e| drop(e.sources.insert(SourceKind::Api, Freshness::Fresh { at: Now::default() }))),
        ] {
            assert!(!same_substance(&before, &after) && !same_substance(&after, &before), "{after:?}");
        }
    }
}
