//! The configuration, typed: what the rules make of the files, and what everyone else reads.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::credentials::CredentialsConfig;
use super::own_domains::OwnDomains;
use crate::model::{
    EndpointId, EndpointIdentity, EndpointName, Families, Graces, HostName, InPlace, LogFormat, LogLevel, LogTarget,
    ProbeSpec, ProxyChoice, SourceKind, Steering, ZoneId,
};

/// A whole, valid configuration with every default filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `[host]`
    pub host: HostConfig,
    /// `[[endpoint]]`, the enabled ones, in the order of their names.
    pub endpoints: BTreeMap<EndpointName, EndpointConfig>,
    /// `[steering]`
    pub steering: Steering,
    /// `[cloud]`
    pub cloud: CloudConfig,
    /// `[hosts]`
    pub hosts: HostsConfig,
    /// `[dns]`
    pub dns: DnsConfig,
    /// `[metrics]`
    pub metrics: MetricsConfig,
    /// `[log]`
    pub log: LogConfig,
}

/// `[host]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostConfig {
    /// The zone that counts as local.
    pub zone: Option<ZoneId>,
    /// The region.
    pub region: Option<String>,
    /// The VPC.
    pub vpc_id: Option<String>,
    /// The ECS instance.
    pub instance_id: Option<String>,
    /// Where the agent keeps what must survive a restart.
    pub state_dir: PathBuf,
    /// Where the hand-over and the status socket are.
    pub run_dir: PathBuf,
    /// Where root leaves orders as files.
    pub admin_dir: PathBuf,
    /// How many hosts have this config; never 0.
    pub fleet_size: u32,
}

/// `[cloud]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudConfig {
    /// The API's origin, without a slash at the end; `None` for the region's own.
    pub api_endpoint: Option<String>,
    /// The metadata server's origin, without a slash at the end.
    pub metadata_endpoint: String,
    /// Between two rounds of the API, before it is stretched.
    pub refresh_interval: Duration,
    /// Between two rounds of DNS.
    pub dns_interval: Duration,
    /// Never empty.
    pub resolvers: Vec<SocketAddr>,
    /// For one connection.
    pub connect_timeout: Duration,
    /// For one answer.
    pub read_timeout: Duration,
    /// How long what the cloud no longer has stays published.
    pub gone_grace: Duration,
    /// Whom calls to the API go through; nothing else ever does.
    pub proxy: ProxyChoice,
    /// Whose keys sign the calls.
    pub credentials: CredentialsConfig,
}

/// `[[endpoint]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointConfig {
    /// `id`
    pub id: Option<EndpointId>,
    /// `domain`
    pub domain: Option<HostName>,
    /// `[host].region`: where the API is asked for the id, if the config says so.
    pub region: Option<String>,
    /// `private_dns`, and `domain` if `publish_domain`.
    pub names: BTreeSet<HostName>,
    /// `publish_domain`: a domain that only the API tells is published, too.
    pub publish_domain: bool,
    /// `addresses`: by zone, in the order of the config, without duplicates, no zone's empty.
    pub addresses: BTreeMap<ZoneId, Vec<IpAddr>>,
    /// `[[endpoint.zone]]`: the names of one zone's own.
    pub zone_names: BTreeMap<ZoneId, BTreeSet<HostName>>,
    /// `priority`
    pub priority: i32,
    /// `[endpoint.probe]`; `None` if nothing probes it.
    pub probe: Option<Arc<ProbeSpec>>,
    /// `[endpoint.steering]` over `[steering]`.
    pub steering: Steering,
}

/// `[hosts]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostsConfig {
    /// Whether to publish there at all.
    pub publish: bool,
    /// The file.
    pub path: PathBuf,
    /// Whether published names are taken out of lines of others.
    pub adopt: bool,
    /// Addresses outside are never written.
    pub allowed_ranges: Vec<IpNet>,
    /// Which families are written.
    pub families: Families,
    /// How often the block is looked after without any event.
    pub reassert_interval: Duration,
    /// How long a name that left the config stays.
    pub removal_grace: Duration,
    /// After so long without a sign of life the agent counts as lost.
    pub agent_lost_after: Duration,
    /// Whether the file is written in place.
    pub in_place: InPlace,
    /// Where the receipt is written.
    pub run_dir: PathBuf,
    /// Where the writer keeps its own last known good.
    pub state_dir: PathBuf,
}

/// `[dns]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsConfig {
    /// Whether names are served by the stub.
    pub publish: bool,
    /// Where it listens, by UDP and TCP alike: never empty, no wildcard address, no duplicates.
    pub listen: Vec<SocketAddr>,
    /// How long clients may keep an answer: whole seconds, 0 allowed.
    pub ttl: Duration,
    /// How this host's resolver is told of it.
    pub route: RouteMode,
    /// Whom it asks for names of others; empty: they are refused.
    pub forward: Vec<SocketAddr>,
}

/// `route`: how this host's resolver learns to ask the stub for our names, and for no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteMode {
    /// A link where this host uses systemd-resolved, else not at all.
    Auto,
    /// A `dns-delegate.d` file, which systemd-resolved 258 and newer reads.
    DnsDelegate,
    /// A link of its own with routing domains.
    Resolved,
    /// Not at all: the admin does it, or no client needs it.
    None,
}

/// `[metrics]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsConfig {
    /// `listen`; `None` if off.
    pub listen: Option<SocketAddr>,
    /// `expose = ["status"]`: `/status` is served beyond loopback too.
    pub expose_status: bool,
    /// The other entries of `expose`: host names that a `Host` header may carry, beside the listen address and the
    /// loopback names.
    pub expose_hosts: Vec<HostName>,
}

/// `[log]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogConfig {
    /// Events below are dropped.
    pub level: LogLevel,
    /// Where lines go.
    pub target: LogTarget,
    /// How a line looks.
    pub format: LogFormat,
}

/// What the privileged side needs of a configuration, and all that it may know of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriterConfig {
    /// `[hosts]`
    pub hosts: HostsConfig,
    /// `[host].run_dir`: where the hand-over is.
    pub agent_run_dir: PathBuf,
    /// `[host].admin_dir`: where root's orders are.
    pub admin_dir: PathBuf,
    /// Every name of an enabled endpoint and of its zones.
    pub names: BTreeSet<HostName>,
    /// Of the enabled endpoints with an `id` and `publish_domain`: their own domain and their zones' domains may be
    /// published, too.
    pub own_domains: BTreeMap<EndpointId, OwnDomains>,
    /// `[dns]`: not for the writer, but for the service that, as root too, tells this host's resolver of the same names
    /// (`route`). `None` if it can't be used, which is nothing to the writer.
    pub dns: Option<DnsConfig>,
    /// `[log]`
    pub log: LogConfig,
}

/// The five folders of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    /// `[host].state_dir`
    pub state_dir: PathBuf,
    /// `[host].run_dir`
    pub run_dir: PathBuf,
    /// `[hosts].run_dir`
    pub hosts_run_dir: PathBuf,
    /// `[hosts].state_dir`
    pub hosts_state_dir: PathBuf,
    /// `[host].admin_dir`
    pub admin_dir: PathBuf,
}

impl EndpointConfig {
    /// What the endpoint is.
    #[must_use]
    pub fn identity(&self) -> EndpointIdentity {
        let region = self.region.clone().filter(|_| self.id.is_some());
        EndpointIdentity { id: self.id.clone(), domain: self.domain.clone(), region }
    }

    /// Whether a source has anything to go by.
    #[must_use]
    pub fn has_source(&self, kind: SourceKind) -> bool {
        match kind {
            SourceKind::Fixed => !self.addresses.is_empty(),
            SourceKind::Api => self.id.is_some(),
            // The API tells the domains, too.
            SourceKind::ZoneDomain | SourceKind::EndpointDomain => self.id.is_some() || self.domain.is_some(),
        }
    }

    /// What the names that the cloud gives it may be, if they are published.
    pub(super) fn own_domains(&self, host: &HostConfig) -> Option<(EndpointId, OwnDomains)> {
        let id = self.id.clone().filter(|_| self.publish_domain)?;
        let zones = self.addresses.keys().chain(self.zone_names.keys()).cloned().collect();
        Some((id, OwnDomains::new(self.domain.clone(), zones, host.region.clone(), host.zone.as_ref())))
    }
}

/// So many hosts return to a zone one after the other, within a minute at most.
pub(crate) fn spread(hosts: u32) -> Duration {
    const A_HOST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(60);
    A_HOST.saturating_mul(hosts).min(LONGEST)
}

impl Config {
    /// How long what is given up is kept.
    #[must_use]
    pub fn graces(&self) -> Graces {
        Graces { removal: self.hosts.removal_grace, gone: self.cloud.gone_grace }
    }

    /// Within how long the hosts of the fleet do what they must not do at one instant, beside what is theirs alone to
    /// wait for: at once where there is but this one.
    #[must_use]
    pub fn spread(&self) -> Duration {
        spread(self.host.fleet_size.saturating_sub(1))
    }

    /// The writer's part.
    #[must_use]
    pub fn for_writer(&self) -> WriterConfig {
        let enabled = || self.endpoints.values();
        let of_zones = enabled().flat_map(|e| e.zone_names.values().flatten());
        WriterConfig {
            hosts: self.hosts.clone(),
            agent_run_dir: self.host.run_dir.clone(),
            admin_dir: self.host.admin_dir.clone(),
            names: enabled().flat_map(|e| &e.names).chain(of_zones).cloned().collect(),
            own_domains: enabled().filter_map(|e| e.own_domains(&self.host)).collect(),
            dns: Some(self.dns.clone()),
            log: self.log,
        }
    }
}
