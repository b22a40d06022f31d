//! Where we are: what the config says, and else what the metadata service tells.
//!
//! The cloud's half of the identity (B12) becomes known here, too: an image that was made on another instance carries
//! that one's cache, and the ids of instance, VPC and region show it where the machine's own ids do not.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::cloud::{self, CredentialScope};
use super::settings::Settings;
use super::start::{host_facts, needs_to_ask};
use crate::cloud::metadata::InstanceFacts;
use crate::discover::Cache;
use crate::model::{EventKind, HostFacts, Identity};
use crate::sys::clock::Clock;
use crate::sys::event_queue::EventSender;
use crate::sys::heartbeat::{Beat, LOOK};

/// Between two questions that were not answered: the first pause, doubled up to the last. On a host that is no ECS
/// instance no server ever answers.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// Finds out where we are.
pub(super) struct Finder {
    pub(super) settings: Settings,
    pub(super) cache: Arc<Cache>,
    /// Who wrote down what was found in the cache.
    pub(super) written_by: Option<Identity>,
    pub(super) scope: CredentialScope,
    pub(super) clock: Clock,
    pub(super) beat: Beat,
    pub(super) events: EventSender,
}

impl Finder {
    /// Asks until it is answered, and again when the config changes. Runs until cancelled.
    pub(super) async fn run(self, token: CancellationToken) {
        let mut config = self.settings.config.subscribe();
        let (mut wait, mut next) = (RETRY.0, Instant::now());
        loop {
            self.beat.now();
            let present = config.borrow_and_update().clone();
            let asks = self.settings.told.borrow().is_none() && needs_to_ask(&present);
            if asks && next <= Instant::now() {
                match cloud::instance_facts(&present, self.scope, self.clock).await {
                    // Whatever answers there without a region is no metadata service.
                    Ok(InstanceFacts { region: None, .. }) => self.untold("it tells no region"),
                    Ok(facts) => self.tell(facts),
                    Err(error) => self.untold(&error),
                }
                next = Instant::now() + wait;
                wait = (wait * 2).min(RETRY.1);
            }
            let look = Instant::now() + LOOK;
            tokio::select! {
                () = token.cancelled() => return,
                Ok(()) = config.changed() => (wait, next) = (RETRY.0, Instant::now()),
                () = sleep_until(look.min(if asks { next } else { look })) => {}
            }
        }
    }

    /// Whoever waits for the answer waits no longer.
    fn untold(&self, why: &str) {
        tracing::debug!("the metadata service does not tell where we are: {why}");
        let known = HostFacts::clone(&self.settings.host.borrow());
        self.settings.take_host(HostFacts { awaited: false, ..known });
    }

    fn tell(&self, facts: InstanceFacts) {
        let config = self.settings.config.borrow().clone();
        let host = host_facts(&config, Some(&facts));
        let foreign_cache = self.written_by.as_ref().and_then(|by| host.identity.mismatch(by));
        if let Some(part) = foreign_cache {
            self.events.tell(self.clock.now(), EventKind::CacheForeign { part });
        }
        self.cache.learn(host.identity.clone());
        self.settings.told.send_replace(Some(Arc::new(facts)));
        self.settings.take_host(HostFacts { foreign_cache, ..host });
    }
}
