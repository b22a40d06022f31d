//! Discovery on virtual time: when sources are asked, what they say, and what becomes of it. The paces and the fold are
//! the agent's own; what lies between them does as its runner does (`discover::runner`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use privatelinkd::cloud::resolve::ResolveError;
use privatelinkd::config::Config;
use privatelinkd::discover::schedule::{ApiPace, DnsPace, Fleet};
use privatelinkd::discover::{FoundZone, Round, SourceAnswer, SourceError, fold, next_expiry, rounds};
use privatelinkd::model::{
    Boottime, BusinessStatus, CloudFacts, ConnectionStatus, EndpointName, EndpointStatus, HostName, Inventory,
    SourceKind, Zone, ZoneFacts, ZoneStatus,
};

use super::clock::HostClock;
use super::history::{Ms, SECOND, Spot};
use super::world::{Place, SourceName, World, address, zone_id};

/// From question to answer, and how long nobody answers.
const ANSWER: Ms = 80;
const NO_ANSWER: Ms = 5 * SECOND;

pub(super) struct Finding {
    pub(super) inventory: Inventory,
    pub(super) config: Arc<Config>,
    /// When by the inventory's own word something expires.
    expiry: Option<Boottime>,
    api: ApiPace,
    dns: DnsPace,
    flights: Vec<Flight>,
}

struct Flight {
    source: SourceName,
    lands: Ms,
    round: Round,
    failed: bool,
    /// The API has had too many calls of the whole account.
    throttled: bool,
}

/// A pass of the API over one endpoint, for whoever counts what it lacked.
pub(super) struct Pass {
    pub(super) source: SourceName,
    pub(super) endpoint: usize,
    /// The zones that it has, with their addresses; `None` if there was no complete answer.
    pub(super) has: Option<BTreeMap<Spot, Place>>,
}

impl Finding {
    pub(super) fn new(inventory: Inventory, config: Arc<Config>, seed: u64, clock: HostClock, now: Ms) -> Self {
        let at = clock.at(now).boottime;
        let known =
            config.endpoints.keys().all(|name| inventory.endpoints.get(name).is_some_and(|e| e.has_addresses()));
        Self {
            api: ApiPace::new(fleet(&config), known, seed, at),
            dns: DnsPace::new(config.cloud.dns_interval, known, seed.rotate_left(32), at),
            expiry: next_expiry(&inventory, config.graces()),
            inventory,
            config,
            flights: Vec::new(),
        }
    }

    pub(super) fn sleep(&mut self, lasted: Ms) {
        self.flights.iter_mut().for_each(|flight| flight.lands = flight.lands.saturating_add(lasted));
    }

    /// When something is due; and when by the inventory's own word something expires.
    pub(super) fn next(&self, clock: HostClock) -> (Ms, Option<Ms>) {
        let idle = |source| !self.flights.iter().any(|flight| flight.source == source);
        let uses = |kind| self.config.endpoints.values().any(|e| e.has_source(kind));
        let api = (idle(SourceName::Api) && uses(SourceKind::Api)).then(|| clock.world(self.api.next()));
        let dns = (idle(SourceName::Dns) && uses(SourceKind::ZoneDomain)).then(|| clock.world(self.dns.next()));
        let expiry = self.expiry.map(|at| clock.world(at));
        let lands = self.flights.iter().map(|flight| flight.lands).min();
        (api.into_iter().chain(dns).chain(lands).min().unwrap_or(Ms::MAX), expiry)
    }

    /// What the config gives by itself.
    pub(super) fn fixed(&mut self, clock: HostClock, now: Ms) {
        self.fold(rounds::fixed(&self.config), clock, now);
    }

    /// The config is another one.
    pub(super) fn follow(&mut self, config: Arc<Config>, clock: HostClock, now: Ms) {
        self.config = config;
        self.fixed(clock, now);
        let at = clock.at(now).boottime;
        let lacks = |name| !self.inventory.endpoints.get(name).is_some_and(|e| e.has_addresses());
        let news = self.config.endpoints.keys().any(lacks);
        self.api.follow(fleet(&self.config), news, at);
        self.dns.follow(self.config.cloud.dns_interval, at);
    }

    /// Some endpoint lost an address.
    pub(super) fn hurry(&mut self, clock: HostClock, now: Ms) {
        self.dns.hurry(clock.at(now).boottime);
        self.api.hurry(clock.at(now).boottime);
    }

    /// Everything that is due. Gives the passes that landed, if any did, and whether anything was folded in.
    pub(super) fn turn(&mut self, world: &mut World, clock: HostClock, now: Ms) -> (Vec<Pass>, bool) {
        let mut passes = Vec::new();
        let mut folded = false;
        while let Some(n) = self.flights.iter().position(|flight| flight.lands <= now) {
            let flight = self.flights.swap_remove(n);
            passes.extend(flight.round.iter().flat_map(|(name, said)| passed(flight.source, name, said)));
            self.land(flight, clock, now);
            folded = true;
        }
        if self.expiry.is_some_and(|at| at <= clock.at(now).boottime) {
            self.fold(Round::new(), clock, now);
            folded = true;
        }
        let idle = |flights: &[Flight], source| !flights.iter().any(|flight| flight.source == source);
        let at = clock.at(now).boottime;
        if idle(&self.flights, SourceName::Api) && self.uses(SourceKind::Api) && self.api.may_begin(at) {
            self.launch(SourceName::Api, world, now);
        }
        if idle(&self.flights, SourceName::Dns) && self.uses(SourceKind::ZoneDomain) && self.dns.next() <= at {
            self.dns.began();
            self.launch(SourceName::Dns, world, now);
        }
        (passes, folded)
    }

    fn uses(&self, kind: SourceKind) -> bool {
        self.config.endpoints.values().any(|e| e.has_source(kind))
    }

    fn launch(&mut self, source: SourceName, world: &mut World, now: Ms) {
        let asked = self.config.endpoints.values().filter(|e| e.has_source(SourceKind::Api)).count();
        let throttled = source == SourceName::Api && !world.is_called(asked, now);
        let (mut round, mut failed) = (Round::new(), false);
        for (name, config) in self.config.endpoints.iter().filter(|(_, e)| e.has_source(SourceKind::Api)) {
            let Some(endpoint) = index(name) else { continue };
            let known = self.inventory.endpoints.get(name).is_some_and(|e| e.cloud.is_some());
            let said = if throttled { silence(source) } else { said(source, endpoint, world) };
            failed |= said.values().any(|said| !matches!(said, Ok(found) if found.incomplete.is_none()));
            let asked =
                said.into_iter().filter(|(kind, _)| config.has_source(*kind) && (known || *kind == SourceKind::Api));
            round.insert(name.clone(), asked.collect());
        }
        let lands = now + if failed { NO_ANSWER } else { ANSWER };
        self.flights.push(Flight { source, lands, round, failed, throttled });
    }

    fn land(&mut self, flight: Flight, clock: HostClock, now: Ms) {
        let Flight { source, mut round, failed, throttled, .. } = flight;
        // What was asked for another config's sake is no answer for this one.
        round.retain(|name, _| self.config.endpoints.get(name).is_some_and(|e| e.has_source(SourceKind::Api)));
        let before = self.addresses();
        self.fold(round, clock, now);
        let at = clock.at(now).boottime;
        match source {
            SourceName::Api if failed => self.api.failed(None, throttled, at),
            SourceName::Api => {
                self.api.succeeded(at);
                if before.is_empty() {
                    self.dns.hurry(at);
                }
            }
            SourceName::Dns => {
                self.dns.ended(None, at);
                if self.addresses().difference(&before).next().is_some() {
                    self.api.hurry(at);
                }
            }
        }
    }

    fn addresses(&self) -> BTreeSet<std::net::IpAddr> {
        let zones = self.inventory.endpoints.values().flat_map(|e| e.zones.values());
        zones.flat_map(|zone| zone.addresses.keys().copied()).collect()
    }

    fn fold(&mut self, round: Round, clock: HostClock, now: Ms) {
        self.inventory = fold(&self.inventory, &self.config, round, clock.at(now)).inventory;
        self.expiry = next_expiry(&self.inventory, self.config.graces());
    }
}

fn fleet(config: &Config) -> Fleet {
    let asked = config.endpoints.values().filter(|e| e.has_source(SourceKind::Api)).count();
    Fleet {
        hosts: config.host.fleet_size,
        endpoints: u32::try_from(asked).unwrap_or(u32::MAX).max(1),
        interval: config.cloud.refresh_interval.max(Duration::from_secs(1)),
    }
}

/// `e3` is the fourth.
pub(super) fn index(name: &EndpointName) -> Option<usize> {
    name.as_str().strip_prefix('e')?.parse().ok()
}

/// What one source says of one endpoint, by the names that the agent has for its parts.
fn said(source: SourceName, endpoint: usize, world: &World) -> BTreeMap<SourceKind, Result<SourceAnswer, SourceError>> {
    let incomplete = world.is_incomplete(source);
    let Some(zones) = world.tells(source, endpoint) else {
        return silence(source);
    };
    let zones = if incomplete { BTreeMap::new() } else { zones };
    match source {
        SourceName::Api => [(SourceKind::Api, Ok(by_api(endpoint, &zones, incomplete)))].into(),
        SourceName::Dns if zones.is_empty() => {
            let none = || SourceError::Resolve(ResolveError::NoSuchName("x".to_owned()));
            [(SourceKind::ZoneDomain, Err(none())), (SourceKind::EndpointDomain, Err(none()))].into()
        }
        SourceName::Dns => {
            let of =
                |(spot, place): (&Spot, &Place)| (zone(*spot), FoundZone::from_addresses([address(*spot, *place)]));
            let by_zone = SourceAnswer { zones: zones.iter().map(of).collect(), ..SourceAnswer::default() };
            let all = FoundZone::from_addresses(zones.iter().map(|(spot, place)| address(*spot, *place)));
            let whole = SourceAnswer { zones: [(Zone::Unknown, all)].into(), ..SourceAnswer::default() };
            [(SourceKind::ZoneDomain, Ok(by_zone)), (SourceKind::EndpointDomain, Ok(whole))].into()
        }
    }
}

/// What a source says that does not answer.
fn silence(source: SourceName) -> BTreeMap<SourceKind, Result<SourceAnswer, SourceError>> {
    let silent = || SourceError::Resolve(ResolveError::Failed("x".to_owned(), "no answer".to_owned()));
    match source {
        SourceName::Api => [(SourceKind::Api, Err(SourceError::NoApi("no answer".to_owned())))].into(),
        SourceName::Dns => {
            [(SourceKind::ZoneDomain, Err(silent())), (SourceKind::EndpointDomain, Err(silent()))].into()
        }
    }
}

fn by_api(endpoint: usize, zones: &BTreeMap<Spot, Place>, incomplete: bool) -> SourceAnswer {
    let of = |(spot, place): (&Spot, &Place)| {
        let facts = ZoneFacts {
            status: ZoneStatus::Connected,
            eni_id: Some(format!("eni-{}-{}", spot.zone, place.generation)),
            domain: domain(&format!("{}.ep-bp1search{endpoint}", zone_id(spot.zone))),
        };
        (zone(*spot), FoundZone { cloud: Some(facts), ..FoundZone::from_addresses([address(*spot, *place)]) })
    };
    let cloud = CloudFacts {
        status: EndpointStatus::Active,
        business: BusinessStatus::Normal,
        connection: ConnectionStatus::Connected,
        service_name: String::new(),
        region: "cn-hangzhou".to_owned(),
        vpc_id: String::new(),
    };
    let gone = zones.is_empty() && !incomplete;
    SourceAnswer {
        zones: zones.iter().map(of).collect(),
        cloud: (!gone).then_some(cloud),
        gone,
        incomplete: incomplete.then_some(SourceError::IncompleteList),
        domain: domain(&format!("ep-bp1search{endpoint}")),
        ..SourceAnswer::default()
    }
}

fn domain(of: &str) -> Option<HostName> {
    format!("{of}.cn-hangzhou.privatelink.aliyuncs.com").parse().ok()
}

fn zone(spot: Spot) -> Zone {
    zone_id(spot.zone).parse().map_or(Zone::Unknown, Zone::Known)
}

/// As an observer notes it.
fn passed(
    source: SourceName,
    name: &EndpointName,
    said: &BTreeMap<SourceKind, Result<SourceAnswer, SourceError>>,
) -> Option<Pass> {
    let endpoint = index(name)?;
    let found = said.values().next()?.as_ref().ok().filter(|found| found.incomplete.is_none());
    let has = found.map(|found| {
        let of = |(zone, found): (&Zone, &FoundZone)| {
            let known = (0..8).find(|n| matches!(zone, Zone::Known(id) if id.as_str() == zone_id(*n)))?;
            let std::net::IpAddr::V4(v4) = *found.addresses.as_ref()?.first()? else { return None };
            let generation = v4.octets()[3].saturating_sub(1);
            let place =
                Place { generation, listed: true, path: super::history::Path::Up, login: super::history::Login::Right };
            Some((Spot { endpoint, zone: known }, place))
        };
        found.zones.iter().filter_map(of).collect()
    });
    Some(Pass { source, endpoint, has })
}
