//! Asks the sources when it is time, and hands the inventory on as the answers come.
//!
//! Fixed addresses are there at once. What has to be asked for is asked by tasks of its own, one round of the API and
//! one of DNS at a time, so that an API that hangs holds up neither DNS nor a reload. Each answer is folded in when it
//! lands, so that an endpoint about which nothing can be told holds up no other. What steering waits for is asked
//! beside a round that is under way.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::cache::Cache;
use super::fold::{Folded, fold};
use super::keeper::Keeper;
use super::merge::{Round, drop_former, next_expiry};
use super::news::{has_news, lacking};
use super::rounds::{self, Cloud, Said, Summary};
use super::schedule::{ApiPace, DnsPace, Fleet};
use crate::config::Config;
use crate::model::limits::CapCounts;
use crate::model::{Boottime, EndpointName, HostFacts, Inventory, PlanState, SourceKind};
use crate::sys::clock::Clock;
use crate::sys::event_queue::EventSender;
use crate::sys::heartbeat::{Beat, LOOK};

/// Answers that land within so long after the ones before are folded in together: each fold makes every stage look.
const GATHER: Duration = Duration::from_millis(50);

/// A change of the config has no more endpoints than these asked for beside a round that is under way.
const FEW: usize = 8;

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
    /// What is left out of the answers because there is too much of it.
    pub capped: watch::Sender<CapCounts>,
    /// What is published: of an endpoint's former addresses those are kept that a name still points at.
    pub plan: watch::Receiver<PlanState>,
    /// Where the last known good is kept.
    pub cache: Arc<Cache>,
    /// What happened.
    pub events: EventSender,
}

/// The discovery runner.
pub struct Runner<M, C> {
    setup: Setup<M>,
    cloud: C,
    api: ApiPace,
    dns: DnsPace,
    rounds: JoinSet<Ended>,
    in_flight: BTreeSet<Flight>,
    /// Where rounds tell their answers.
    tell: mpsc::UnboundedSender<Said>,
    /// What they told. Bounded by what they ask.
    heard: mpsc::UnboundedReceiver<Said>,
    /// Answers that land earlier wait until then.
    next_fold: Instant,
    /// Endpoints that are to be asked for beside the round of DNS that is under way.
    wished: BTreeSet<EndpointName>,
    /// The config that was followed last.
    followed: Arc<Config>,
    /// The round of the API that is under way gave addresses to an endpoint that had none.
    api_has_news: bool,
    keeper: Keeper,
}

/// What is asked by a task of its own, one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Flight {
    Api,
    Dns,
    /// Of DNS, beside the other, for endpoints that steering waits for.
    Urgent,
}

/// A round that ended.
struct Ended {
    flight: Flight,
    /// What it set out for.
    config: Arc<Config>,
    summary: Summary,
}

impl<M, C> Runner<M, C>
where
    M: Fn(&Config, &HostFacts) -> C,
    C: Cloud,
{
    /// Asks no source yet.
    pub fn new(setup: Setup<M>) -> Self {
        let config = setup.config.borrow().clone();
        let cloud = (setup.connect)(&config, &setup.host.borrow());
        let (now, seed) = (setup.clock.now().boottime, setup.seed);
        let known = lacking(&config, &setup.inventory.borrow()).is_empty();
        let (tell, heard) = mpsc::unbounded_channel();
        Self {
            cloud,
            api: ApiPace::new(fleet(&config), known, seed, now),
            dns: DnsPace::new(config.cloud.dns_interval, known, seed.rotate_left(32), now),
            rounds: JoinSet::new(),
            in_flight: BTreeSet::new(),
            tell,
            heard,
            next_fold: Instant::now(),
            wished: BTreeSet::new(),
            followed: config,
            api_has_news: false,
            keeper: Keeper::new(setup.cache.clone()),
            setup,
        }
    }

    /// Runs until cancelled.
    pub async fn run(mut self, token: CancellationToken) {
        self.fixed();
        if self.setup.config.has_changed().unwrap_or(false) || self.setup.host.has_changed().unwrap_or(false) {
            // Since this was made, so that the very first questions go to the right place.
            self.follow();
        }
        loop {
            self.setup.beat.now();
            self.set_out();
            self.save().await;
            let wait = self.next().since(self.setup.clock.now().boottime).min(LOOK);
            let answers = async {
                tokio::time::sleep_until(self.next_fold).await;
                self.heard.recv().await
            };
            tokio::select! {
                // Told to stop.
                () = token.cancelled() => return,
                // There is something else to find, or it is to be found elsewhere.
                Ok(()) = self.setup.config.changed() => self.follow(),
                Ok(()) = self.setup.host.changed() => self.follow(),
                // A zone failed: perhaps the cloud knows why.
                Some(endpoints) = self.setup.asked.recv() => self.hurry(endpoints),
                // Answers came.
                Some(said) = answers => self.hear(Some(said)),
                // A round is over.
                Some(ended) = self.rounds.join_next() => {
                    // A round that panicked is a fault of the agent's.
                    self.end(ended.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic())));
                }
                // A round is due, something retired is to be forgotten, or it is time for a sign of life.
                () = tokio::time::sleep(wait) => self.expire(),
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
        let api = due(Flight::Api, self.api.next(), API).filter(|_| !self.setup.host.borrow().awaits_region());
        let dns = due(Flight::Dns, self.dns.next(), DNS);
        let times = expiry.into_iter().chain(api).chain(dns).chain(self.keeper.due());
        times.min().unwrap_or(Boottime(Duration::MAX))
    }

    /// Begins the rounds that are due.
    fn set_out(&mut self) {
        let now = self.setup.clock.now().boottime;
        let config = self.setup.config.borrow().clone();
        // Before it is known whether there is a region to ask in, a question would fail for no fault of anybody's.
        let asks = uses(&config, API) && !self.setup.host.borrow().awaits_region();
        if asks && !self.in_flight.contains(&Flight::Api) && self.api.may_begin(now) {
            self.launch(Flight::Api, &config);
        }
        if !uses(&config, DNS) {
            self.wished.clear();
            return;
        }
        if !self.in_flight.contains(&Flight::Dns) && self.dns.next() <= now {
            // It asks for all of them.
            self.wished.clear();
            self.launch(Flight::Dns, &config);
        }
        if !self.wished.is_empty() && !self.in_flight.contains(&Flight::Urgent) {
            self.launch(Flight::Urgent, &config);
        }
    }

    fn launch(&mut self, flight: Flight, config: &Arc<Config>) {
        let known = self.setup.inventory.borrow().clone();
        let (cloud, tell) = (self.cloud.clone(), self.tell.clone());
        self.in_flight.insert(flight);
        let config = config.clone();
        let (kinds, only) = match flight {
            Flight::Api => (API, None),
            Flight::Dns => (DNS, None),
            Flight::Urgent => (DNS, Some(std::mem::take(&mut self.wished))),
        };
        match flight {
            Flight::Api => self.api_has_news = false,
            Flight::Dns => self.dns.began(),
            Flight::Urgent => {}
        }
        let questions = rounds::questions(kinds, &config, &known, only.as_ref());
        self.rounds.spawn(async move {
            let summary = match flight {
                Flight::Api => rounds::one_by_one(cloud, questions, tell).await,
                Flight::Dns | Flight::Urgent => rounds::side_by_side(cloud, questions, tell).await,
            };
            Ended { flight, config, summary }
        });
    }

    /// Folds in what was told since.
    fn hear(&mut self, first: Option<Said>) {
        let present = self.setup.config.borrow().clone();
        let mut round = Round::new();
        let others = std::iter::from_fn(|| self.heard.try_recv().ok());
        for Said { question, said } in first.into_iter().chain(others) {
            // What was asked of an endpoint that is another one by now says nothing of it.
            if question.stands_in(&present) {
                round.entry(question.name).or_default().insert(question.kind, said);
            }
        }
        if round.is_empty() {
            return;
        }
        let of_api = round.values().any(|said| said.contains_key(&SourceKind::Api));
        let of_dns = round.values().any(|said| DNS.iter().any(|kind| said.contains_key(kind)));
        let before = self.setup.inventory.borrow().clone();
        self.fold(round);
        let after = self.setup.inventory.borrow().clone();
        self.api_has_news |= of_api && lacking(&present, &before).len() > lacking(&present, &after).len();
        if of_dns && has_news(&before, &after) {
            self.api.hurry(self.setup.clock.now().boottime);
        }
        self.next_fold = Instant::now() + GATHER;
    }

    fn end(&mut self, Ended { flight, config, summary }: Ended) {
        // All its answers were told before.
        self.hear(None);
        self.in_flight.remove(&flight);
        let now = self.setup.clock.now().boottime;
        match flight {
            Flight::Api if summary.failed => {
                self.api.failed(summary.throttled.flatten(), summary.throttled.is_some(), now);
            }
            Flight::Api => self.api.succeeded(now),
            Flight::Dns => self.dns.ended(summary.ttl, now),
            Flight::Urgent => {}
        }
        if flight == Flight::Api && std::mem::take(&mut self.api_has_news) {
            // It may have told domain names that were not known before.
            self.dns.hurry(now);
        }
        if flight == Flight::Api {
            // It set out for what the config meant then.
            let present = self.setup.config.borrow().clone();
            let mut lacking = lacking(&present, &self.setup.inventory.borrow()).into_iter();
            if lacking.any(|name| !rounds::asks_the_same(&name, &present, &config)) {
                self.api.follow(fleet(&present), true, now);
            }
        }
    }

    /// The config or the host is another one.
    fn follow(&mut self) {
        let config = self.setup.config.borrow_and_update().clone();
        let host = self.setup.host.borrow_and_update().clone();
        if host.foreign_cache.is_some() && !self.setup.inventory.borrow().disowned {
            // Another machine's (B12). What was found out since the start is found out again, and soon.
            self.setup.inventory.send_replace(Arc::new(Inventory { disowned: true, ..Inventory::default() }));
        }
        self.cloud = (self.setup.connect)(&config, &host);
        let followed = std::mem::replace(&mut self.followed, config.clone());
        let before = lacking(&followed, &self.setup.inventory.borrow());
        self.fixed();
        let now = self.setup.clock.now().boottime;
        let mut lacking = lacking(&config, &self.setup.inventory.borrow());
        self.api.follow(fleet(&config), !lacking.is_empty(), now);
        self.dns.follow(config.cloud.dns_interval, now);
        // The others are being asked for as it is.
        lacking.retain(|name| !before.contains(name) || !rounds::asks_the_same(name, &config, &followed));
        // Many silent ones would keep what steering wishes waiting: they have a round to themselves after this one.
        if lacking.len() <= FEW {
            self.wish(lacking);
        }
    }

    /// Some endpoints just lost an address.
    fn hurry(&mut self, endpoints: BTreeSet<EndpointName>) {
        let now = self.setup.clock.now().boottime;
        self.wish(endpoints);
        self.dns.hurry(now);
        self.api.hurry(now);
    }

    /// Beside a round of DNS that is under way; one that has yet to begin asks for all.
    fn wish(&mut self, endpoints: BTreeSet<EndpointName>) {
        if self.in_flight.contains(&Flight::Dns) {
            self.wished.extend(endpoints);
        }
    }

    /// What the config itself gives.
    fn fixed(&mut self) {
        let round = rounds::fixed(&self.setup.config.borrow());
        self.fold(round);
    }

    /// What time brings.
    fn expire(&mut self) {
        let graces = self.setup.config.borrow().graces();
        let due = next_expiry(&self.setup.inventory.borrow(), graces);
        if due.is_some_and(|at| at <= self.setup.clock.now().boottime) {
            self.fold(Round::new());
        }
        let Some(plan) = self.setup.plan.borrow().plan.clone() else { return };
        let published = plan.answers.values().flat_map(|a| &a.addresses).copied().collect();
        let now = self.setup.clock.now().boottime;
        let left = drop_former(&self.setup.inventory.borrow(), &published, graces, now);
        if let Some(left) = left {
            self.setup.inventory.send_replace(Arc::new(left));
            self.keeper.note();
        }
    }

    fn fold(&mut self, round: Round) {
        let config = self.setup.config.borrow().clone();
        let previous = self.setup.inventory.borrow().clone();
        let Folded { inventory, events, capped } = fold(&previous, &config, round, self.setup.clock.now());
        for kind in events {
            self.setup.events.tell(self.setup.clock.now(), kind);
        }
        if !capped.is_empty() {
            self.setup.capped.send_modify(|counts| counts.extend(&capped));
        }
        self.setup.inventory.send_replace(Arc::new(inventory));
        self.keeper.note();
    }

    async fn save(&mut self) {
        let (inventory, now) = (self.setup.inventory.borrow().clone(), self.setup.clock.now());
        if let Some(kind) = self.keeper.save(inventory, self.in_flight.is_empty(), now).await {
            self.setup.events.tell(self.setup.clock.now(), kind);
        }
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
