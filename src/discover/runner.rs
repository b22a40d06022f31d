//! Asks the sources when it is time, and hands the merged inventory on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{Cache, Fixed, Round, Source, Wanted, merge, next_expiry};
use crate::config::Config;
use crate::model::{EndpointName, Event, EventKind, Inventory};
use crate::sys::clock::Clock;
use crate::sys::heartbeat::Beat;

/// However little happens, discovery shows life this often.
const LOOK: Duration = Duration::from_secs(10);

/// The discovery runner.
pub struct Runner {
    /// The clock that decisions go by.
    pub clock: Clock,
    /// Its sign of life.
    pub beat: Beat,
    /// What to find.
    pub config: watch::Receiver<Arc<Config>>,
    /// Wishes of steering: endpoints that just lost an address.
    pub asked: mpsc::Receiver<BTreeSet<EndpointName>>,
    /// What there is. Its first value is the last known good.
    pub inventory: watch::Sender<Arc<Inventory>>,
    /// Where the last known good is kept.
    pub cache: Arc<Cache>,
    /// What happened.
    pub events: mpsc::UnboundedSender<Event>,
}

impl Runner {
    /// Runs until cancelled.
    pub async fn run(mut self, token: CancellationToken) {
        loop {
            self.round().await;
            self.wait(&token).await;
            if token.is_cancelled() {
                return;
            }
        }
    }

    /// Until there is a reason for another round.
    async fn wait(&mut self, token: &CancellationToken) {
        loop {
            self.beat.now();
            let graces = self.config.borrow().graces();
            let expiry = next_expiry(&self.inventory.borrow(), graces);
            let wait = expiry.map_or(Duration::from_secs(3600), |at| at.since(self.clock.now().boottime));
            tokio::select! {
                // Told to stop.
                () = token.cancelled() => return,
                // There is something else to find.
                Ok(()) = self.config.changed() => return,
                // A zone failed: perhaps the cloud knows why.
                Some(_) = self.asked.recv() => return,
                // Something retired is to be forgotten, or it is time for a sign of life.
                () = tokio::time::sleep(wait.min(LOOK)) => if wait <= LOOK { return },
            }
        }
    }

    async fn round(&mut self) {
        let config = self.config.borrow_and_update().clone();
        let mut round = Round::new();
        for (name, endpoint) in &config.endpoints {
            let said = Fixed.find(Wanted { config: endpoint, known: None }).await;
            round.entry(name.clone()).or_default().insert(Fixed.kind(), said);
        }
        let now = self.clock.now();
        let previous = self.inventory.borrow().clone();
        let (inventory, events) = merge(&previous, &config.endpoints, &round, config.graces(), now);
        for kind in events {
            self.tell(kind);
        }
        let inventory = Arc::new(inventory);
        self.inventory.send_replace(inventory.clone());
        if let Err(error) = self.cache.clone().save_inventory(inventory, now).await {
            self.tell(EventKind::StateNotSaved { error: error.to_string() });
        }
    }

    fn tell(&self, kind: EventKind) {
        // Without a listener there is nobody to tell.
        let _ = self.events.send(Event { at: self.clock.now(), kind });
    }
}
