//! What the stand-in's cloud is made of: declared, compared, written as JSON, changed at will. No I/O, no clock.

mod account;
mod databases;
mod endpoint;
mod fault;
mod host;
mod small;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use account::{AccessKey, Effect, OidcProvider, OidcToken, OneOrMany, Policy, Role, Session, Statement, User};
pub(crate) use account::{Decision, fits};
pub use databases::Databases;
pub use endpoint::{Endpoint, Serve, Zone};
pub use fault::{Fault, Match, Rcode, What};
pub use host::{Host, Names, Tokens};

pub use crate::pki::Certificate;

/// One account in one region, what it has there, and how the stand-in behaves.
///
/// Everything is declared, so that one JSON merge patch can change anything. Statuses are texts, not enums: tests send
/// the ones that nobody has documented too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct World {
    /// The region, `cn-hangzhou`.
    pub region: String,
    /// The account's number.
    pub account: String,
    /// RAM users by name.
    pub users: BTreeMap<String, User>,
    /// RAM roles by name.
    pub roles: BTreeMap<String, Role>,
    /// OIDC providers of the account, by name.
    pub oidc_providers: BTreeMap<String, OidcProvider>,
    /// STS sessions by their access key id.
    pub sessions: BTreeMap<String, Session>,
    /// Endpoints by id.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// The databases that ENIs can lead to.
    pub databases: Databases,
    /// The ECS instance that everybody on loopback seems to run on.
    pub host: Host,
    /// DNS.
    pub names: Names,
    /// The API's limits.
    pub api: Api,
    /// What is wrong, by an id of the fault's own; all that match a request apply, in this order.
    pub faults: BTreeMap<String, Fault>,
    /// What a connection to each service meets.
    pub doors: Doors,
    /// What the services prove themselves with over TLS.
    pub certificates: Certificates,
    /// How much the cloud's clock is ahead of this machine's, in milliseconds. Everything follows it: signatures,
    /// expiry, the `Date` header.
    pub clock_offset_ms: i64,
}

/// The services of the stand-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// The PrivateLink API.
    Privatelink,
    /// STS.
    Sts,
    /// The metadata server of the ECS instance.
    Metadata,
    /// The VPC's resolver.
    Dns,
}

/// What a connection to a service meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DoorMode {
    /// It is served.
    #[default]
    Open,
    /// It is refused.
    Refused,
    /// Its handshake is never answered; a datagram is swallowed.
    Silent,
}

/// The doors of all services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Doors {
    /// The PrivateLink API's, plain and TLS.
    pub privatelink: DoorMode,
    /// That of STS, plain and TLS.
    pub sts: DoorMode,
    /// The metadata server's.
    pub metadata: DoorMode,
    /// The resolver's, UDP and TCP.
    pub dns: DoorMode,
}

/// The certificates of all services that have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Certificates {
    /// The PrivateLink API's.
    pub privatelink: Certificate,
    /// That of STS.
    pub sts: Certificate,
}

/// How the last page says that it is the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastToken {
    /// No `NextToken`.
    #[default]
    Absent,
    /// An empty one.
    Empty,
    /// A `null`.
    Null,
}

/// The API's limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Api {
    /// The greatest `MaxResults`; older documents say 50.
    pub most_results: u64,
    /// The greatest page that is really given, however much was asked for.
    pub page_cap: u64,
    /// How lists end.
    pub last_token: LastToken,
    /// Calls of one action and account within `quota_window_ms` before `Throttling.User`; 0 for no limit.
    pub quota_calls: u32,
    /// The window of `quota_calls`.
    pub quota_window_ms: u64,
    /// `x-acs-retry-after` of an exceeded quota, in milliseconds, if it is to say so.
    pub quota_retry_after_ms: Option<u64>,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            most_results: 1000,
            page_cap: 1000,
            last_token: LastToken::Absent,
            quota_calls: 1000,
            quota_window_ms: 60_000,
            quota_retry_after_ms: None,
        }
    }
}

impl World {
    /// A zone of an endpoint.
    pub fn zone_mut(&mut self, endpoint: &str, zone: &str) -> Option<&mut Zone> {
        self.endpoints.get_mut(endpoint)?.zones.get_mut(zone)
    }

    /// Adds a fault and returns its id, which is greater than those of all others.
    pub fn add_fault(&mut self, fault: Fault) -> String {
        let last = self.faults.keys().filter_map(|id| id.strip_prefix('f')?.parse::<u32>().ok()).max();
        let id = format!("f{:04}", last.map_or(1, |last| last + 1));
        self.faults.insert(id.clone(), fault);
        id
    }

    /// The user who has this key, and the key.
    #[must_use]
    pub fn access_key(&self, id: &str) -> Option<(&str, &AccessKey)> {
        self.users.iter().find_map(|(name, user)| Some((name.as_str(), user.keys.get(id)?)))
    }

    /// The ARN of an endpoint, or of all for `*`.
    #[must_use]
    pub fn endpoint_arn(&self, id: &str) -> String {
        format!("acs:privatelink:{}:{}:vpcendpoint/{id}", self.region, self.account)
    }

    /// The ARN of a role.
    #[must_use]
    pub fn role_arn(&self, name: &str) -> String {
        format!("acs:ram::{}:role/{}", self.account, name.to_lowercase())
    }

    /// The ARN of an OIDC provider.
    #[must_use]
    pub fn oidc_arn(&self, name: &str) -> String {
        format!("acs:ram::{}:oidc-provider/{name}", self.account)
    }

    /// What a service proves itself with.
    #[must_use]
    pub fn certificate(&self, service: Service) -> Certificate {
        match service {
            Service::Privatelink => self.certificates.privatelink,
            Service::Sts => self.certificates.sts,
            Service::Metadata | Service::Dns => Certificate::Good,
        }
    }

    /// What a service's connections meet.
    #[must_use]
    pub fn door(&self, service: Service) -> DoorMode {
        match service {
            Service::Privatelink => self.doors.privatelink,
            Service::Sts => self.doors.sts,
            Service::Metadata => self.doors.metadata,
            Service::Dns => self.doors.dns,
        }
    }
}
