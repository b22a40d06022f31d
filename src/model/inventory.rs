//! What discovery knows: every endpoint, its zones, its addresses, and how fresh that is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::ranges::BadAddress;
use super::{
    Boottime, BusinessStatus, ConnectionStatus, EndpointId, EndpointName, EndpointStatus, HostName, LeftOut, Now, Zone,
    ZoneStatus, worded,
};

/// Every endpoint by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// By the admin's name.
    pub endpoints: BTreeMap<EndpointName, Endpoint>,
    /// What was recalled at the start turned out to be another machine's and is not in here any more (B12). Said
    /// together with what is left, so that no reader takes the one for the other.
    #[serde(skip)]
    pub disowned: bool,
}

impl Inventory {
    /// The endpoints that the config has.
    pub fn configured(&self) -> impl Iterator<Item = (&EndpointName, &Endpoint)> {
        self.endpoints.iter().filter(|(_, endpoint)| endpoint.presence == Presence::Configured)
    }

    /// The zone of an address among the endpoints of a name.
    #[must_use]
    pub fn zone_of(&self, name: &HostName, address: IpAddr) -> Option<&Zone> {
        let zones = self.endpoints.values().flat_map(|e| {
            let whole = e.names.contains(name) || e.leaving.contains_key(name) || e.domain.as_ref() == Some(name);
            e.zones.iter().filter(move |(_, z)| whole || z.names.contains(name) || z.leaving.contains_key(name))
        });
        zones.filter(|(_, entry)| entry.addresses.contains_key(&address)).map(|(zone, _)| zone).next()
    }
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// What the config says it is.
    #[serde(default)]
    pub identity: EndpointIdentity,
    /// The cloud's id, if known.
    pub id: Option<EndpointId>,
    /// Its own domain name, if known.
    pub domain: Option<HostName>,
    /// Names that point at the whole endpoint.
    pub names: BTreeSet<HostName>,
    /// Names that did and have left the config, with when: they stay for `removal_grace`.
    pub leaving: BTreeMap<HostName, Boottime>,
    /// Where several endpoints share a name: lower first.
    pub priority: i32,
    /// Its zones, in the order of their ids.
    pub zones: BTreeMap<Zone, ZoneEntry>,
    /// Whether anything probes its addresses; if nothing does, they are trusted as they are.
    pub probed: bool,
    /// Its path check is answered over TLS that is verified for the endpoint's own name: a success tells whose address
    /// it is.
    #[serde(default)]
    pub proves_itself: bool,
    /// Still in the config, or leaving.
    pub presence: Presence,
    /// How fresh each source is that speaks of it.
    pub sources: BTreeMap<SourceKind, Freshness>,
    /// What the cloud's API said of it last; `None` where it was never asked or never answered.
    pub cloud: Option<CloudFacts>,
    /// Set while the cloud's API lacks it or calls it deleted.
    pub missing: Option<Missing>,
    /// Sources that answered that there is no such endpoint, and never told of one: it is not gone, it was never there.
    #[serde(default)]
    pub not_found: BTreeSet<SourceKind>,
    /// What was left out of the latest answer of each source.
    #[serde(skip)]
    pub left_out: BTreeMap<SourceKind, LeftOut>,
    /// Addresses of its zones that may not be probed as things stand, and why.
    #[serde(skip)]
    pub barred: BTreeMap<IpAddr, BadAddress>,
}

impl Endpoint {
    /// Each address that some source gives at present, with its zone.
    pub fn current_addresses(&self) -> impl Iterator<Item = (&Zone, IpAddr)> {
        self.zones.iter().flat_map(|(zone, entry)| entry.current().map(move |(address, _)| (zone, *address)))
    }

    /// Whether any address is known, retired ones included.
    #[must_use]
    pub fn has_addresses(&self) -> bool {
        self.zones.values().any(|zone| !zone.addresses.is_empty())
    }

    /// The names that lead to the whole endpoint, and those of each zone's own.
    pub fn all_names(&self) -> impl Iterator<Item = &HostName> {
        self.names.iter().chain(self.zones.values().flat_map(|zone| &zone.names))
    }

    /// Whether the whole endpoint, or one of its zones, has this name.
    #[must_use]
    pub fn carries(&self, name: &HostName) -> bool {
        self.names.contains(name) || self.zones.values().any(|zone| zone.names.contains(name))
    }

    /// Whether the last successful answers still have this address. One that they lack may be kept, since it is the
    /// last (B1); but it may be another server's by now, and no secret goes there. What the API's last answer lacks,
    /// another source has to tell now: what a failing one once told is no word against it.
    #[must_use]
    pub fn vouches_for(&self, entry: &AddressEntry) -> bool {
        let works = |kind: &SourceKind| self.sources.get(kind).is_some_and(|source| !source.is_stale());
        let lacked = self.cloud.is_some() && !entry.given.contains(&SourceKind::Api);
        self.missing.is_none() && entry.given.iter().any(|kind| !lacked || works(kind))
    }
}

/// What the config says an endpoint is. With another one it is another endpoint, whatever the admin calls it: its
/// addresses are found out anew, and nothing that belongs to it is sent to the old ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointIdentity {
    /// `id`
    pub id: Option<EndpointId>,
    /// `domain`
    pub domain: Option<HostName>,
    /// `[host].region`, in which the API is asked for the id; `None` without an id, too.
    pub region: Option<String>,
}

/// What the cloud's API says of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudFacts {
    /// Whether it is there.
    pub status: EndpointStatus,
    /// Whether it is paid for.
    pub business: BusinessStatus,
    /// Whether it is connected to its service.
    pub connection: ConnectionStatus,
    /// `com.aliyuncs.privatelink.…`; empty if the API did not say.
    pub service_name: String,
    /// Its region; empty if the API did not say.
    pub region: String,
    /// Its VPC; empty if the API did not say.
    pub vpc_id: String,
}

impl CloudFacts {
    /// The three statuses in the cloud's words.
    #[must_use]
    pub fn words(&self) -> String {
        let Self { status, business, connection, service_name: _, region: _, vpc_id: _ } = self;
        format!("{status}, {business}, {connection}")
    }

    /// What keeps the endpoint from working, or soon will, and what to do about it.
    #[must_use]
    pub fn trouble(&self) -> Option<&'static str> {
        let Self { status, business, connection, service_name: _, region: _, vpc_id: _ } = self;
        let of_status = match status {
            EndpointStatus::Creating => Some("the endpoint is still being made"),
            EndpointStatus::Deleting => Some("somebody is deleting the endpoint"),
            EndpointStatus::Active | EndpointStatus::Pending | EndpointStatus::Other(_) => None,
        };
        let of_connection = match connection {
            ConnectionStatus::Pending => Some(
                "the provider of the service has not accepted the connection: ask it to accept it, or to add this account to its list",
            ),
            ConnectionStatus::Connecting => Some("the connection is being set up"),
            ConnectionStatus::Disconnecting | ConnectionStatus::Disconnected => {
                Some("the connection was taken down: ask the provider of the service to accept it again")
            }
            ConnectionStatus::Deleting => Some("the connection is being deleted"),
            ConnectionStatus::ServiceDeleted => Some("the provider has deleted the service"),
            ConnectionStatus::Connected | ConnectionStatus::Other(_) => None,
        };
        let of_business = match business {
            BusinessStatus::FinancialLocked => Some("payment is overdue, and the cloud may stop the traffic"),
            BusinessStatus::Normal | BusinessStatus::Other(_) => None,
        };
        of_status.or(of_connection).or(of_business)
    }

    /// Whether this means that the endpoint is as good as deleted.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.status == EndpointStatus::Deleting || self.connection == ConnectionStatus::ServiceDeleted
    }
}

impl ZoneFacts {
    /// What keeps the zone from working, or soon will.
    #[must_use]
    pub fn trouble(&self) -> Option<&'static str> {
        match self.status {
            ZoneStatus::Creating | ZoneStatus::Wait | ZoneStatus::Connecting => Some("the zone is being connected"),
            ZoneStatus::Migrating => Some("the provider moves the zone to another resource"),
            ZoneStatus::Disconnecting | ZoneStatus::Disconnected => Some("the zone was disconnected"),
            ZoneStatus::Deleting | ZoneStatus::Deleted => Some("the zone is being deleted"),
            ZoneStatus::Connected | ZoneStatus::Migrated | ZoneStatus::Other(_) => None,
        }
    }
}

/// What the cloud's API says of one zone of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneFacts {
    /// Whether it is connected.
    pub status: ZoneStatus,
    /// Its network interface, `eni-…`; `None` while it has none.
    pub eni_id: Option<String>,
    /// Its own domain name.
    pub domain: Option<HostName>,
}

/// Something that complete passes of the cloud's API lack or call deleted. One pass proves nothing (B1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// When the first such pass since the host booted ended; `None` if that was in an earlier boot, whose times mean
    /// nothing: two passes of this one have to agree then.
    pub first: Option<Boottime>,
    /// When a later one agreed: the thing is gone, and goes from what is published once one more has agreed after
    /// `gone_grace`.
    pub confirmed: Option<Boottime>,
    /// When the latest one ended.
    pub latest: Option<Boottime>,
}

/// One zone of an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneEntry {
    /// Names of this zone's own: they only ever point at this zone.
    pub names: BTreeSet<HostName>,
    /// Such names that have left the config, with when.
    pub leaving: BTreeMap<HostName, Boottime>,
    /// Its addresses; normally one.
    pub addresses: BTreeMap<IpAddr, AddressEntry>,
    /// What the cloud's API said of it last.
    pub cloud: Option<ZoneFacts>,
    /// Set while the cloud's API lacks it or calls it deleted.
    pub missing: Option<Missing>,
}

impl ZoneEntry {
    /// The addresses that some source gives at present.
    pub fn current(&self) -> impl Iterator<Item = (&IpAddr, &AddressEntry)> {
        self.addresses.iter().filter(|(_, entry)| entry.retired.is_none())
    }
}

/// One address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressEntry {
    /// The best source that gives it, or the one that gave it last.
    pub source: SourceKind,
    /// Every source that gives it.
    pub given: BTreeSet<SourceKind>,
    /// Set once every source that gave it stopped to: it is no longer probed and leaves the answers as soon as
    /// another address of the name has proved itself, or after the grace.
    pub retired: Option<Boottime>,
    /// It is retired because it was found by what the config no longer says of the endpoint (another id): it may lead
    /// to another database. It stays published until an address of the new one has passed a probe, however long that
    /// takes.
    #[serde(default)]
    pub former: bool,
}

impl AddressEntry {
    /// One that `source` gives.
    #[must_use]
    pub fn given_by(source: SourceKind) -> Self {
        Self { source, given: [source].into(), retired: None, former: false }
    }
}

/// Whether the config still has an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// It has.
    Configured,
    /// It has not; its names stay for `removal_grace` from then on.
    Removed {
        /// When it left.
        since: Boottime,
    },
}

worded! {
    /// Where addresses come from. Earlier ones outrank later ones.
    SourceKind {
        /// `addresses` in the config.
        Fixed = "fixed",
        /// The cloud's API.
        Api = "api",
        /// The domain name of one zone of the endpoint, asked of the VPC's resolvers.
        ZoneDomain = "zone_domain",
        /// The domain name of the whole endpoint, likewise. It may give only some of the addresses.
        EndpointDomain = "endpoint_domain",
    }
}

/// How fresh a source is. A failing source goes stale; it never empties a set (B1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Freshness {
    /// The latest round succeeded.
    Fresh {
        /// When.
        at: Now,
    },
    /// It failed; what is shown is from an earlier round, or from the cache.
    Stale {
        /// When the shown data was last confirmed.
        since: Now,
        /// Why there is nothing newer.
        error: String,
    },
}

impl Freshness {
    /// True if stale.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        matches!(self, Self::Stale { .. })
    }

    /// When the data was last confirmed.
    #[must_use]
    pub fn confirmed(&self) -> Now {
        match self {
            Self::Fresh { at } => *at,
            Self::Stale { since, .. } => *since,
        }
    }
}
