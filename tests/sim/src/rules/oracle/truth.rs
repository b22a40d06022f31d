//! How long things have been as they are, and what the host can know of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::super::finding::Pass;
use super::super::history::{Event, Kind, Login, Ms, Path, SECOND, Spot};
use super::super::world::{Host, Place, SHARED, SourceName, World, address};

/// Two passes of the API that agree on an absence lie so far apart.
const APART: Ms = 300 * SECOND;
/// How long what the config no longer has is kept.
const REMOVAL: Ms = 600 * SECOND;

/// What an address is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Healthy,
    /// Nobody gets through to it.
    DeadPath,
    /// It can be reached, and what is behind it is dead.
    DeadDeep,
    /// It can be reached, and a login fails for a reason that no other address mends.
    Vain,
    /// Now so, now otherwise.
    Noisy,
}

impl State {
    pub(super) fn of(place: Place, kind: Kind) -> Self {
        match (place.path, place.login) {
            (Path::Refused | Path::Silent, _) => Self::DeadPath,
            (Path::Lossy(_), _) => Self::Noisy,
            (Path::Slow(ms), _) if ms > 900 => Self::Noisy,
            (Path::Up | Path::Slow(_), Login::BackendDown) if kind == Kind::Deep => Self::DeadDeep,
            (Path::Up | Path::Slow(_), Login::Right) => Self::Healthy,
            (Path::Up | Path::Slow(_), _) if kind == Kind::Deep => Self::Vain,
            (Path::Up | Path::Slow(_), _) => Self::Healthy,
        }
    }

    pub(super) fn path_is_up(self) -> bool {
        matches!(self, Self::Healthy | Self::DeadDeep | Self::Vain)
    }

    pub(super) fn is_dead(self) -> bool {
        matches!(self, Self::DeadPath | Self::DeadDeep)
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Since {
    pub(super) state: State,
    pub(super) since: Ms,
    /// Since when nobody could say that it is dead, by its path.
    pub(super) reachable: Option<Ms>,
    /// When it last stopped to come and go by chance.
    pub(super) noisy_until: Option<Ms>,
}

#[derive(Debug)]
pub(super) struct Truth {
    pub(super) spots: BTreeMap<Spot, Since>,
    /// Since when the host has been well and awake, and its processes running.
    pub(super) calm: Option<Ms>,
    /// When the admin last changed something.
    pub(super) settled: Ms,
    /// When each drain ends.
    pub(super) drains: BTreeMap<usize, Ms>,
    /// When the address of a zone was first told that it has now.
    known: BTreeMap<Spot, Option<Ms>>,
    /// The latest complete answers.
    told: BTreeMap<(SourceName, usize), BTreeMap<Spot, Place>>,
    /// Passes of the API of this boot that lacked the endpoint, since one that did not.
    lacked: BTreeMap<usize, Vec<Ms>>,
    lacked_zone: BTreeMap<Spot, Vec<Ms>>,
    /// When the config began to lack an endpoint.
    removed: BTreeMap<usize, Ms>,
    /// Since when an address has been given up.
    given_up: BTreeMap<IpAddr, Ms>,
}

impl Truth {
    pub(super) fn new(world: &World) -> Self {
        let mut truth = Self {
            spots: BTreeMap::new(),
            calm: Some(0),
            settled: 0,
            drains: BTreeMap::new(),
            known: BTreeMap::new(),
            told: BTreeMap::new(),
            lacked: BTreeMap::new(),
            lacked_zone: BTreeMap::new(),
            removed: BTreeMap::new(),
            given_up: BTreeMap::new(),
        };
        truth.look(world, 0);
        truth
    }

    fn look(&mut self, world: &World, now: Ms) {
        for (spot, place) in &world.spots {
            let state = State::of(*place, world.kind(*spot));
            let reachable = state.path_is_up().then_some(now);
            let known = self.spots.entry(*spot).or_insert(Since { state, since: now, reachable, noisy_until: None });
            if known.state != state {
                let reachable = known.reachable.filter(|_| state.path_is_up()).or(reachable);
                let noisy_until = if known.state == State::Noisy { Some(now) } else { known.noisy_until };
                *known = Since { state, since: now, reachable, noisy_until };
            }
            if !world.is_cloud(spot.endpoint) {
                self.known.entry(*spot).or_insert(Some(now)).get_or_insert(now);
            }
        }
    }

    pub(super) fn suffer(&mut self, event: Event, world: &World, now: Ms) {
        match event {
            Event::Suspend(_) | Event::Restart => self.calm = self.calm.map(|_| now),
            Event::Reboot => {
                self.calm = self.calm.map(|_| now);
                // Times of another boot mean nothing.
                self.lacked.clear();
                self.lacked_zone.clear();
                self.removed.values_mut().for_each(|since| *since = now);
            }
            Event::One(_) | Event::Priority(..) => self.settled = now,
            Event::Remove(endpoint, gone) => {
                self.settled = now;
                if gone {
                    self.removed.entry(endpoint).or_insert(now);
                } else {
                    self.removed.remove(&endpoint);
                }
            }
            Event::Drain(zone, _) => {
                self.settled = now;
                self.drains.extend(world.drains.get(&zone).map(|until| (zone, *until)));
            }
            Event::Replace(spot) => {
                self.known.remove(&spot);
                self.spots.remove(&spot);
                self.note_given_up(spot.endpoint, world, now);
            }
            _ => {}
        }
        if event == Event::Heal || world.host != Host::Well {
            self.calm = (world.host == Host::Well).then_some(now);
        }
        self.look(world, now);
    }

    pub(super) fn passed(&mut self, pass: &Pass, world: &World, now: Ms) {
        let Some(has) = &pass.has else { return };
        for (spot, place) in has {
            if world.address(*spot) == Some(address(*spot, *place)) {
                self.known.entry(*spot).or_default().get_or_insert(now);
            }
        }
        self.told.insert((pass.source, pass.endpoint), has.clone());
        self.note_given_up(pass.endpoint, world, now);
        if pass.source != SourceName::Api {
            return;
        }
        let lacked = self.lacked.entry(pass.endpoint).or_default();
        if has.is_empty() {
            lacked.push(now);
        } else {
            lacked.clear();
        }
        for spot in world.spots.keys().filter(|spot| spot.endpoint == pass.endpoint) {
            let lacked = self.lacked_zone.entry(*spot).or_default();
            if has.contains_key(spot) { lacked.clear() } else { lacked.push(now) }
        }
    }

    fn note_given_up(&mut self, endpoint: usize, world: &World, now: Ms) {
        for (spot, place) in world.spots.iter().filter(|(spot, _)| spot.endpoint == endpoint) {
            for generation in 0..=place.generation {
                let of = address(*spot, Place { generation, ..*place });
                if self.is_given_up(*spot, of, world) {
                    self.given_up.entry(of).or_insert(now);
                } else {
                    self.given_up.remove(&of);
                }
            }
        }
    }

    /// It has been given up for longer than what is retired is kept.
    pub(super) fn is_long_given_up(&self, (spot, of): (Spot, IpAddr), world: &World, now: Ms) -> bool {
        let grace = if world.is_cloud(spot.endpoint) { grace(world) } else { REMOVAL };
        self.given_up.get(&of).is_some_and(|since| since + grace <= now)
    }

    /// Since when the host has known where the zone is, if it does.
    pub(super) fn known(&self, spot: Spot) -> Option<Ms> {
        self.known.get(&spot).copied().flatten()
    }

    /// Whose database is dead, as a login sees it.
    pub(super) fn with_dead_logins(&self) -> BTreeSet<Spot> {
        self.spots.iter().filter(|(_, s)| s.state == State::DeadDeep).map(|(spot, _)| *spot).collect()
    }

    /// Some source's latest complete answer lacks this address, or has another one for its zone; or the config does.
    pub(super) fn is_given_up(&self, spot: Spot, of: IpAddr, world: &World) -> bool {
        let lacks = |told: &BTreeMap<Spot, Place>| told.get(&spot).is_none_or(|place| address(spot, *place) != of);
        let told = self.told.iter().filter(|((_, endpoint), _)| *endpoint == spot.endpoint);
        world.removed.contains(&spot.endpoint) || world.address(spot) != Some(of) || told.map(|(_, t)| t).any(lacks)
    }

    /// Some source told something else of the endpoint when it last told anything: news is under way.
    pub(super) fn is_behind(&self, endpoint: usize, world: &World) -> bool {
        let listed = |spots: &BTreeMap<Spot, Place>| -> BTreeSet<(Spot, u8)> {
            let of = spots.iter().filter(|(spot, place)| spot.endpoint == endpoint && place.listed);
            of.map(|(spot, place)| (*spot, place.generation)).collect()
        };
        let now = listed(&world.spots);
        self.told.iter().any(|((_, of), told)| *of == endpoint && listed(told) != now)
    }

    /// The cloud's latest list lacks the whole endpoint, and not for so long that it may go: it stays as it was.
    pub(super) fn is_missed(&self, endpoint: usize, world: &World, now: Ms) -> bool {
        let lacks = self.told.get(&(SourceName::Api, endpoint)).is_some_and(BTreeMap::is_empty);
        lacks && !self.is_endpoint_over(endpoint, world, now)
    }

    /// The cloud has lacked the endpoint, or this zone of it, for long enough.
    pub(super) fn is_over(&self, spot: Spot, world: &World, now: Ms) -> bool {
        let zone = self.lacked_zone.get(&spot).is_some_and(|passes| is_over(passes, world, now));
        zone || self.is_endpoint_over(spot.endpoint, world, now)
    }

    fn is_endpoint_over(&self, endpoint: usize, world: &World, now: Ms) -> bool {
        self.lacked.get(&endpoint).is_some_and(|passes| is_over(passes, world, now))
    }

    /// Who may make up the answer of a name, as the config has it.
    pub(super) fn claims(name: &str, world: &World) -> BTreeSet<Spot> {
        let carries = |spot: &Spot| {
            let Some(e) = world.setup.endpoints.get(spot.endpoint) else { return false };
            let n = spot.endpoint;
            !world.removed.contains(&n)
                && (name == format!("e{n}.example.com")
                    || (e.shares && name == SHARED)
                    || (e.zone_name && spot.zone == 0 && name == format!("z0.e{n}.example.com")))
        };
        world.spots.keys().copied().filter(carries).collect()
    }

    /// Whether a name may go: the config has lacked each of its endpoints, or the cloud has, for long enough.
    pub(super) fn may_go(&self, name: &str, world: &World, now: Ms) -> bool {
        let carried = |n: usize, e: &super::super::history::EndpointSetup| {
            name == format!("e{n}.example.com")
                || (e.shares && name == SHARED)
                || name == format!("z0.e{n}.example.com")
        };
        let pinned = name.starts_with("z0.");
        world.setup.endpoints.iter().enumerate().filter(|(n, e)| carried(*n, e)).all(|(n, _)| {
            let removed = self.removed.get(&n).is_some_and(|since| since + REMOVAL <= now);
            let gone = match pinned {
                true => self.is_over(Spot { endpoint: n, zone: 0 }, world, now),
                false => self.is_endpoint_over(n, world, now),
            };
            removed || gone
        })
    }
}

/// How long what is gone or retired is kept.
fn grace(world: &World) -> Ms {
    if world.setup.short_graces { 300 * SECOND } else { 3600 * SECOND }
}

/// These passes agree on an absence, and so does one after the grace that follows.
fn is_over(passes: &[Ms], world: &World, now: Ms) -> bool {
    let grace = grace(world);
    let first = passes.first().copied().unwrap_or(now);
    let over = passes.iter().find(|at| **at >= first + APART).map(|at| at + grace);
    over.is_some_and(|over| over <= now) && passes.last().copied() >= over
}
