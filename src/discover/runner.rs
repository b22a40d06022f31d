//! Asks the sources when it is time, and hands the merged inventory on.
//!
//! Fixed addresses are there at once. What has to be asked for is asked by tasks of its own, one round of the API and
//! one of DNS at a time, so that an API that hangs holds up neither DNS nor a reload.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::pace::{ApiPace, DnsPace, Fleet};
use super::rounds::{self, Cloud};
use super::{Cache, Fixed, Round, SourceError, merge, next_expiry};
use crate::config::Config;
use crate::model::{Boottime, EndpointName, Event, EventKind, HostFacts, Inventory, SourceKind};
use crate::sys::clock::Clock;
use crate::sys::heartbeat::Beat;

/// However little happens, discovery shows life this often.
const LOOK: Duration = Duration::from_secs(10);

/// What the discovery runner is made of.
pub struct Setup<M> {
    /// The clock that decisions go by.
    pub clock: Clock,
    /// Its sign of life.
    pub beat: Beat,
    /// This host's own number, for its phase.
    pub seed: u64,
    /// Whom to ask under this config, on this host.
    pub connect: M,
    /// What to find.
    pub config: watch::Receiver<Arc<Config>>,
    /// Where we are.
    pub host: watch::Receiver<Arc<HostFacts>>,
    /// Wishes of steering: endpoints that just lost an address.
    pub asked: mpsc::Receiver<BTreeSet<EndpointName>>,
    /// What there is. Its first value is the last known good.
    pub inventory: watch::Sender<Arc<Inventory>>,
    /// Where the last known good is kept.
    pub cache: Arc<Cache>,
    /// What happened.
    pub events: mpsc::UnboundedSender<Event>,
}

/// The discovery runner.
pub struct Runner<M, C> {
    setup: Setup<M>,
    cloud: C,
    api: ApiPace,
    dns: DnsPace,
    flights: JoinSet<Landed>,
    in_flight: BTreeSet<Flight>,
    saved: Option<Inventory>,
}

/// What is asked by a task of its own, one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Flight {
    Api,
    Dns,
}

/// A round that came back, and under which config it set out.
struct Landed {
    flight: Flight,
    config: Arc<Config>,
    round: Round,
}

impl<M, C> Runner<M, C>
where
    M: Fn(&Config, &HostFacts) -> C,
    C: Cloud,
{
    /// Asks nobody yet.
    pub fn new(setup: Setup<M>) -> Self {
        let config = setup.config.borrow().clone();
        let cloud = (setup.connect)(&config, &setup.host.borrow());
        let (now, seed) = (setup.clock.now().boottime, setup.seed);
        let known = lacking(&config, &setup.inventory.borrow()).is_empty();
        let api = ApiPace::new(fleet(&config), known, seed, now);
        let dns = DnsPace::new(config.cloud.dns_interval, known, seed.rotate_left(32), now);
        Self { setup, cloud, api, dns, flights: JoinSet::new(), in_flight: BTreeSet::new(), saved: None }
    }

    /// Runs until cancelled.
    pub async fn run(mut self, token: CancellationToken) {
        self.fixed().await;
        loop {
            self.setup.beat.now();
            self.set_out();
            let wait = self.next().since(self.setup.clock.now().boottime).min(LOOK);
            tokio::select! {
                // Told to stop.
                () = token.cancelled() => return,
                // There is something else to find, or it is to be found elsewhere.
                Ok(()) = self.setup.config.changed() => self.follow().await,
                Ok(()) = self.setup.host.changed() => self.follow().await,
                // A zone failed: perhaps the cloud knows why.
                Some(_) = self.setup.asked.recv() => self.hurry(),
                // A round came back.
                Some(landed) = self.flights.join_next() => {
                    // A round that panicked is a fault of the agent's.
                    let landed = landed.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()));
                    self.land(landed).await;
                }
                // A round is due, something retired is to be forgotten, or it is time for a sign of life.
                () = tokio::time::sleep(wait) => self.expire().await,
            }
        }
    }

    /// When something is due by itself.
    fn next(&self) -> Boottime {
        let config = self.setup.config.borrow();
        let expiry = next_expiry(&self.setup.inventory.borrow(), config.graces());
        let due = |flight, next: Boottime, kinds: &[SourceKind]| {
            (!self.in_flight.contains(&flight) && uses(&config, kinds)).then_some(next)
        };
        let api = due(Flight::Api, self.api.next(), API);
        let dns = due(Flight::Dns, self.dns.next(), DNS);
        expiry.into_iter().chain(api).chain(dns).min().unwrap_or(Boottime(Duration::MAX))
    }

    /// Begins the rounds that are due.
    fn set_out(&mut self) {
        let now = self.setup.clock.now().boottime;
        let config = self.setup.config.borrow().clone();
        let known = self.setup.inventory.borrow().clone();
        if uses(&config, API) && !self.in_flight.contains(&Flight::Api) && self.api.may_begin(now) {
            let (cloud, config, known) = (self.cloud.clone(), config.clone(), known.clone());
            self.launch(Flight::Api, config.clone(), async move { cloud.api(config, known).await });
        }
        if uses(&config, DNS) && !self.in_flight.contains(&Flight::Dns) && self.dns.next() <= now {
            let cloud = self.cloud.clone();
            self.launch(Flight::Dns, config.clone(), async move { cloud.dns(config, known).await });
        }
    }

    fn launch(&mut self, flight: Flight, config: Arc<Config>, round: impl Future<Output = Round> + Send + 'static) {
        self.in_flight.insert(flight);
        self.flights.spawn(async move { Landed { flight, config, round: round.await } });
    }

    async fn land(&mut self, landed: Landed) {
        let Landed { flight, config, mut round } = landed;
        self.in_flight.remove(&flight);
        let now = self.setup.clock.now().boottime;
        let errors: Vec<SourceError> = errors(&round).cloned().collect();
        match flight {
            Flight::Api if errors.is_empty() => self.api.succeeded(now),
            Flight::Api => {
                let throttled = errors.iter().find_map(SourceError::throttled);
                self.api.failed(throttled.flatten(), throttled.is_some(), now);
            }
            Flight::Dns => self.dns.ended(shortest_ttl(&round), now),
        }
        // What was asked of an endpoint that the config now describes otherwise says nothing of it.
        let present = self.setup.config.borrow().clone();
        round.retain(|name, _| present.endpoints.get(name) == config.endpoints.get(name));
        let before = self.setup.inventory.borrow().clone();
        self.fold(&round).await;
        if flight == Flight::Dns && has_news(&before, &self.setup.inventory.borrow()) {
            self.api.hurry(now);
        }
        if flight == Flight::Api {
            // It may have told domain names that were not known before.
            let lacks = lacking(&present, &before).len() > lacking(&present, &self.setup.inventory.borrow()).len();
            if lacks {
                self.dns.hurry(now);
            }
            // It set out for what the config meant then.
            let unasked = present.endpoints != config.endpoints;
            if unasked && !lacking(&present, &self.setup.inventory.borrow()).is_empty() {
                self.api.follow(fleet(&present), true, now);
            }
        }
    }

    /// The config or the host is another one.
    async fn follow(&mut self) {
        let config = self.setup.config.borrow_and_update().clone();
        let host = self.setup.host.borrow_and_update().clone();
        if host.foreign_cache.is_some() && !self.setup.inventory.borrow().disowned {
            // Another machine's (B12). What was found out since the start is found out again, and soon.
            self.setup.inventory.send_replace(Arc::new(Inventory { disowned: true, ..Inventory::default() }));
        }
        self.cloud = (self.setup.connect)(&config, &host);
        self.fixed().await;
        let now = self.setup.clock.now().boottime;
        let news = !lacking(&config, &self.setup.inventory.borrow()).is_empty();
        self.api.follow(fleet(&config), news, now);
        self.dns.follow(config.cloud.dns_interval, now);
    }

    fn hurry(&mut self) {
        let now = self.setup.clock.now().boottime;
        self.dns.hurry(now);
        self.api.hurry(now);
    }

    /// What the config itself gives.
    async fn fixed(&mut self) {
        let (config, known) = (self.setup.config.borrow_and_update().clone(), self.setup.inventory.borrow().clone());
        let mut round = Round::new();
        rounds::ask(&Fixed, &config, &known, &mut round).await;
        self.fold(&round).await;
    }

    /// What time brings.
    async fn expire(&mut self) {
        let graces = self.setup.config.borrow().graces();
        let due = next_expiry(&self.setup.inventory.borrow(), graces);
        if due.is_some_and(|at| at <= self.setup.clock.now().boottime) {
            self.fold(&Round::new()).await;
        }
    }

    async fn fold(&mut self, round: &Round) {
        let config = self.setup.config.borrow().clone();
        let now = self.setup.clock.now();
        let previous = self.setup.inventory.borrow().clone();
        let (inventory, events) = merge(&previous, &config.endpoints, round, config.graces(), now);
        for kind in events {
            self.tell(kind);
        }
        let inventory = Arc::new(inventory);
        self.setup.inventory.send_replace(inventory.clone());
        // How fresh it is changes every few seconds, and is no reason to write.
        let substance = substance(&inventory);
        if self.saved.as_ref() == Some(&substance) {
            return;
        }
        match self.setup.cache.clone().save_inventory(inventory, now).await {
            Ok(()) => self.saved = Some(substance),
            Err(error) => self.tell(EventKind::StateNotSaved { error: error.to_string() }),
        }
    }

    fn tell(&self, kind: EventKind) {
        // Without a listener there is nobody to tell.
        let _ = self.setup.events.send(Event { at: self.setup.clock.now(), kind });
    }
}

const API: &[SourceKind] = &[SourceKind::Api];
const DNS: &[SourceKind] = &[SourceKind::ZoneDomain, SourceKind::EndpointDomain];

/// Whether any endpoint has one of these sources.
fn uses(config: &Config, kinds: &[SourceKind]) -> bool {
    config.endpoints.values().any(|e| kinds.iter().any(|kind| e.has_source(*kind)))
}

fn fleet(config: &Config) -> Fleet {
    let asked = config.endpoints.values().filter(|e| e.has_source(SourceKind::Api)).count();
    let endpoints = u32::try_from(asked).unwrap_or(u32::MAX).max(1);
    Fleet { hosts: config.host.fleet_size, endpoints, interval: config.cloud.refresh_interval }
}

/// Endpoints of which no address is known, though there is somebody to ask.
fn lacking(config: &Config, inventory: &Inventory) -> BTreeSet<EndpointName> {
    let known = |name: &EndpointName| {
        let zones = inventory.endpoints.get(name).into_iter().flat_map(|e| e.zones.values());
        zones.flat_map(|z| z.addresses.values()).any(|a| a.retired.is_none())
    };
    config.endpoints.keys().filter(|name| !known(name)).cloned().collect()
}

fn errors(round: &Round) -> impl Iterator<Item = &SourceError> {
    round.values().flat_map(|said| said.values()).filter_map(|said| match said {
        Ok(found) => found.incomplete.as_ref(),
        Err(error) => Some(error),
    })
}

fn shortest_ttl(round: &Round) -> Option<Duration> {
    round.values().flat_map(|said| said.values()).filter_map(|said| said.as_ref().ok()?.ttl).min()
}

/// Whether an address turned up that the API, which is asked for its endpoint, has not told of.
fn has_news(before: &Inventory, after: &Inventory) -> bool {
    let endpoints = after.endpoints.iter().filter(|(_, e)| e.id.is_some());
    let mut new = endpoints.flat_map(|(name, e)| {
        let old = before.endpoints.get(name);
        e.zones.iter().flat_map(move |(zone, z)| {
            let old = old.and_then(|o| o.zones.get(zone));
            z.addresses.iter().filter(move |(ip, a)| {
                a.source > SourceKind::Api && !old.is_some_and(|o| o.addresses.contains_key(*ip))
            })
        })
    });
    new.next().is_some()
}

/// The inventory without how fresh it is.
fn substance(inventory: &Inventory) -> Inventory {
    let mut substance = inventory.clone();
    substance.endpoints.values_mut().for_each(|e| e.sources.clear());
    substance
}
