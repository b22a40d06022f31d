//! How things really are, and what the world answers to whoever asks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use fastrand::Rng;
use privatelinkd::model::{FailureReason, Overload};

use super::history::{Answering, Event, Kind, Login, Ms, Path, SECOND, Setup, Source, Spot};

/// Everything outside of the host, and what its admin wants.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) setup: Setup,
    pub(super) spots: BTreeMap<Spot, Place>,
    pub(super) host: Host,
    pub(super) answering: BTreeMap<SourceName, Answering>,
    /// Endpoints that the config lacks.
    pub(super) removed: BTreeSet<usize>,
    /// By zone, until when.
    pub(super) drains: BTreeMap<usize, Ms>,
    /// Beyond one host.
    pub(super) fleet: Option<FleetWorld>,
    /// What sources tell that have old news.
    old_news: BTreeMap<SourceName, BTreeMap<Spot, Place>>,
    rng: Rng,
}

/// What a world has for many hosts: the account's quota, a database that knows passwords, and a count of what comes.
#[derive(Debug, Clone)]
pub(super) struct FleetWorld {
    /// What their config says of their number.
    pub(super) said: u32,
    /// Where they have their password.
    pub(super) file: PathBuf,
    /// What the config has beside, in its `[endpoint.probe]`.
    pub(super) probe: String,
    /// Those that the database takes.
    pub(super) passwords: Vec<String>,
    /// What has come since somebody last looked.
    pub(super) arrivals: Vec<Arrival>,
    /// The minute, and the calls within it.
    used: (Ms, usize),
}

impl FleetWorld {
    pub(super) fn new(said: u32, file: PathBuf, password: String) -> Self {
        Self { said, file, probe: String::new(), passwords: vec![password], arrivals: Vec::new(), used: (0, 0) }
    }

    /// A probe that logs in.
    fn login(&self) -> String {
        let Self { file, probe, .. } = self;
        let file = file.display();
        format!("kind = \"matrixone\", port = {DEEP}, user = \"a:probe:r\", password_file = \"{file}\"{probe}")
    }
}

/// Something that somebody else than the host feels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    Connection(Spot),
    Login(Spot),
    /// One call of each action of the API.
    Call,
}

/// Calls of one action a minute and account.
pub(super) const QUOTA: usize = 1_000;

/// `Source`, in an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SourceName {
    Api,
    Dns,
}

impl From<Source> for SourceName {
    fn from(source: Source) -> Self {
        match source {
            Source::Api => Self::Api,
            Source::Dns => Self::Dns,
        }
    }
}

/// One zone of one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) path: Path,
    pub(super) login: Login,
    /// How often its address was replaced.
    pub(super) generation: u8,
    /// The cloud has it.
    pub(super) listed: bool,
}

/// How this host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Host {
    Well,
    /// It reaches nobody; `told` so by its own network.
    Cut {
        told: bool,
    },
    NoSockets,
}

/// What a packet comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// An answer after so long.
    Answered(Ms, Result<(), FailureReason>),
    Lost,
}

impl World {
    pub(super) fn new(setup: Setup, seed: u64) -> Self {
        let place = Place { path: Path::Up, login: Login::Right, generation: 0, listed: true };
        Self {
            spots: setup.spots().map(|spot| (spot, place)).collect(),
            setup,
            host: Host::Well,
            answering: BTreeMap::new(),
            removed: BTreeSet::new(),
            drains: BTreeMap::new(),
            fleet: None,
            old_news: BTreeMap::new(),
            rng: Rng::with_seed(seed ^ 0x0077_6f72_6c64),
        }
    }

    /// What becomes of it. What happens to the host's own processes is not the world's.
    pub(super) fn suffer(&mut self, event: Event, now: Ms) {
        match event {
            Event::Path(spot, path) => self.change(spot, |place| place.path = path),
            Event::Login(Some(spot), login) => self.change(spot, |place| place.login = login),
            Event::Login(None, login) => self.spots.values_mut().for_each(|place| place.login = login),
            Event::Cut(told) => self.host = Host::Cut { told },
            Event::NoSockets => self.host = Host::NoSockets,
            Event::Heal => self.host = Host::Well,
            Event::Replace(spot) => self.change(spot, |place| {
                *place = Place { generation: place.generation.saturating_add(1).min(200), path: Path::Up, ..*place };
            }),
            Event::Unlist(spot, gone) => self.change(spot, |place| place.listed = !gone),
            Event::UnlistAll(endpoint, gone) => {
                let of = self.spots.iter_mut().filter(|(spot, _)| spot.endpoint == endpoint);
                of.for_each(|(_, place)| place.listed = !gone);
            }
            Event::Answers(source, how) => {
                self.old_news.insert(source.into(), self.spots.clone());
                self.answering.insert(source.into(), how);
            }
            Event::One(one) => self.setup.one = one,
            Event::Priority(endpoint, priority) => {
                if let Some(e) = self.setup.endpoints.get_mut(endpoint) {
                    e.priority = priority;
                }
            }
            Event::Remove(endpoint, true) => drop(self.removed.insert(endpoint)),
            Event::Remove(endpoint, false) => drop(self.removed.remove(&endpoint)),
            Event::Drain(zone, secs) => drop(self.drains.insert(zone, now + secs * SECOND)),
            Event::Suspend(_) | Event::Restart | Event::Reboot | Event::Vandal => {}
        }
    }

    fn change(&mut self, spot: Spot, change: impl FnOnce(&mut Place)) {
        if let Some(place) = self.spots.get_mut(&spot) {
            change(place);
        }
    }

    pub(super) fn kind(&self, spot: Spot) -> Kind {
        self.setup.endpoints.get(spot.endpoint).map_or(Kind::Overlapping, |e| e.kind)
    }

    pub(super) fn is_cloud(&self, endpoint: usize) -> bool {
        self.setup.endpoints.get(endpoint).is_some_and(|e| e.cloud)
    }

    /// Where the zone is now.
    pub(super) fn address(&self, spot: Spot) -> Option<IpAddr> {
        self.spots.get(&spot).map(|place| address(spot, *place))
    }

    /// Whose address this is or was, and whether it still is.
    pub(super) fn spot(&self, address: IpAddr) -> Option<(Spot, bool)> {
        let IpAddr::V4(v4) = address else { return None };
        let [_, endpoint, zone, _] = v4.octets();
        let spot = Spot { endpoint: usize::from(endpoint), zone: usize::from(zone) };
        self.address(spot).map(|now| (spot, now == address))
    }

    /// What a packet to an address comes to that is sent now.
    pub(super) fn packet(&mut self, address: IpAddr) -> Fate {
        match self.host {
            Host::NoSockets => return Fate::Answered(0, Err(FailureReason::Local)),
            Host::Cut { told: true } => return Fate::Answered(0, Err(FailureReason::Unreachable)),
            Host::Cut { told: false } => return Fate::Lost,
            Host::Well => {}
        }
        let path = match self.spot(address) {
            Some((spot, true)) => self.spots.get(&spot).map(|place| place.path),
            // An address that was replaced leads nowhere.
            Some((_, false)) | None => None,
        };
        match path {
            Some(Path::Up) => Fate::Answered(1, Ok(())),
            Some(Path::Refused) => Fate::Answered(1, Err(FailureReason::Refused)),
            Some(Path::Lossy(percent)) if self.rng.u8(0..100) >= percent => Fate::Answered(1, Ok(())),
            Some(Path::Slow(ms)) => Fate::Answered(Ms::from(ms), Ok(())),
            Some(Path::Silent | Path::Lossy(_)) | None => Fate::Lost,
        }
    }

    /// The same of one that opens a connection.
    pub(super) fn opens(&mut self, address: IpAddr) -> Fate {
        let fate = self.packet(address);
        if let Fate::Answered(_, Ok(())) = fate {
            self.arrives(address, Arrival::Connection);
        }
        fate
    }

    fn arrives(&mut self, address: IpAddr, of: fn(Spot) -> Arrival) {
        if let (Some((spot, true)), Some(fleet)) = (self.spot(address), &mut self.fleet) {
            fleet.arrivals.push(of(spot));
        }
    }

    /// Calls of the API, as many of each action; false if the account has no more of them in this minute.
    pub(super) fn is_called(&mut self, calls: usize, now: Ms) -> bool {
        let Some(fleet) = &mut self.fleet else { return true };
        let minute = now / (60 * SECOND);
        let used = if fleet.used.0 == minute { fleet.used.1 } else { 0 };
        let served = used + calls <= QUOTA;
        // What is refused stops at its first call.
        let made = if served { calls } else { 1 };
        fleet.used = (minute, used + made);
        fleet.arrivals.extend(std::iter::repeat_n(Arrival::Call, made));
        served
    }

    /// How a login ends that is sent now on an open connection.
    pub(super) fn login(&mut self, address: IpAddr, password: Option<&str>) -> Result<(), FailureReason> {
        self.arrives(address, Arrival::Login);
        if self.fleet.as_ref().zip(password).is_some_and(|(fleet, given)| !fleet.passwords.iter().any(|p| p == given)) {
            return Err(FailureReason::Auth);
        }
        let place = self.spot(address).and_then(|(spot, _)| self.spots.get(&spot));
        match place.map_or(Login::Right, |place| place.login) {
            Login::Right => Ok(()),
            Login::Wrong => Err(FailureReason::Auth),
            Login::NotAllowed => Err(FailureReason::NotAllowed),
            Login::Suspended => Err(FailureReason::Suspended),
            Login::Overloaded | Login::NoComputeNode => Err(FailureReason::Overloaded),
            Login::BackendDown => Err(FailureReason::BackendDown),
        }
    }

    /// Which overload it is, where a login finds one.
    pub(super) fn overload(&self, address: IpAddr) -> Overload {
        let place = self.spot(address).and_then(|(spot, _)| self.spots.get(&spot));
        let lasts = place.is_some_and(|place| place.login == Login::NoComputeNode);
        if lasts { Overload::NoComputeNode } else { Overload::Passing }
    }

    /// What a source tells of the zones that the cloud has; `None` if it does not answer.
    pub(super) fn tells(&self, source: SourceName, endpoint: usize) -> Option<BTreeMap<Spot, Place>> {
        let truth = match (self.host, self.answering.get(&source)) {
            (Host::Cut { .. } | Host::NoSockets, _) | (_, Some(Answering::NotAtAll)) => return None,
            (_, Some(Answering::OldNews)) => self.old_news.get(&source).unwrap_or(&self.spots),
            (_, Some(Answering::Truly | Answering::Incomplete) | None) => &self.spots,
        };
        let listed = truth.iter().filter(|(spot, place)| spot.endpoint == endpoint && place.listed);
        Some(listed.map(|(spot, place)| (*spot, *place)).collect())
    }

    pub(super) fn is_incomplete(&self, source: SourceName) -> bool {
        self.answering.get(&source) == Some(&Answering::Incomplete)
    }

    /// The config as it is now.
    pub(super) fn config(&self) -> String {
        let Setup { one, prefer_local, local, hold, short_graces, endpoints } = &self.setup;
        let mut text = String::from("[host]\nregion = \"cn-hangzhou\"\n");
        // Writing to a string can't fail.
        if let Some(zone) = local {
            let _ = writeln!(text, "zone = \"{}\"", zone_id(*zone));
        }
        if let Some(fleet) = &self.fleet {
            let _ = writeln!(text, "fleet_size = {}", fleet.said);
        }
        let grace = if *short_graces { "5m" } else { "1h" };
        let refresh = if *short_graces { "2m" } else { "10m" };
        let answers = if *one { "one" } else { "all" };
        let prefer = if *prefer_local { "local_zone" } else { "any" };
        let _ = write!(
            text,
            "[cloud]\nrefresh_interval = \"{refresh}\"\ngone_grace = \"{grace}\"\n\
             [hosts]\nreassert_interval = \"5s\"\n\
             [steering]\nanswers = \"{answers}\"\nprefer = \"{prefer}\"\n"
        );
        for (n, e) in endpoints.iter().enumerate().filter(|(n, _)| !self.removed.contains(n)) {
            let names =
                if e.shares { format!("\"e{n}.example.com\", \"{SHARED}\"") } else { format!("\"e{n}.example.com\"") };
            let _ = writeln!(text, "[[endpoint]]\nname = \"e{n}\"\nprivate_dns = [{names}]\npriority = {}", e.priority);
            if e.cloud {
                let _ = writeln!(text, "id = \"ep-bp1search{n}\"");
            } else {
                let zones = self.spots.iter().filter(|(spot, _)| spot.endpoint == n);
                let zones: Vec<_> =
                    zones.map(|(s, p)| format!("{} = \"{}\"", zone_id(s.zone), address(*s, *p))).collect();
                let _ = writeln!(text, "addresses = {{ {} }}", zones.join(", "));
            }
            // A kind that would log in needs a file with a secret: its deep check is put in later.
            let probe = match (e.kind, &self.fleet) {
                (Kind::Overlapping, _) => "kind = \"matrixone\", port = 9000".to_owned(),
                (Kind::Awaited, _) => "kind = \"matrixone\", port = 3306".to_owned(),
                (Kind::Deep, None) => "kind = \"matrixone\", port = 6001".to_owned(),
                (Kind::Deep, Some(fleet)) => fleet.login(),
            };
            let _ = writeln!(text, "probe = {{ {probe}, hold = \"{hold}s\" }}");
            if e.zone_name {
                let zone = zone_id(0);
                let _ = writeln!(text, "[[endpoint.zone]]\nid = \"{zone}\"\nprivate_dns = [\"z0.e{n}.example.com\"]");
            }
        }
        text
    }
}

/// Where servers listen whose checks are awaited, and those that are logged in to.
pub(super) const AWAITED: u16 = 3306;
pub(super) const DEEP: u16 = 6001;

pub(super) const SHARED: &str = "shared.example.com";

pub(super) fn zone_id(zone: usize) -> String {
    format!("cn-hangzhou-{}", char::from(b'h' + u8::try_from(zone).unwrap_or_default()))
}

pub(super) fn address(spot: Spot, place: Place) -> IpAddr {
    let octet = |n: usize| u8::try_from(n).unwrap_or(u8::MAX);
    Ipv4Addr::new(10, octet(spot.endpoint), octet(spot.zone), place.generation + 1).into()
}
