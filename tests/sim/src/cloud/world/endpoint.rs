//! Endpoints, their zones and ENIs.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::https::HttpsMode;
use crate::tcp::TcpMode;
use crate::{MatrixoneMode, TdengineMode};

/// A PrivateLink endpoint. Statuses are words of the API: `Creating`, `Active`, `Pending`, `Deleting`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Endpoint {
    /// Its name in the console.
    pub name: String,
    /// Its description.
    pub description: String,
    /// The VPC it is in.
    pub vpc_id: String,
    /// The service it leads to: `epsrv-…`, or the name of a product of the cloud's own.
    pub service_id: String,
    /// The service's region, if it is another.
    pub service_region: Option<String>,
    /// `Interface`, `Reverse`, `GatewayLoadBalancer`.
    pub endpoint_type: String,
    /// `Creating`, `Active`, `Pending`, `Deleting`.
    pub status: String,
    /// `Normal`, `FinancialLocked`.
    pub business_status: String,
    /// `Pending`, `Connecting`, `Connected`, `Disconnecting`, `Disconnected`, `Deleting`, `ServiceDeleted`.
    pub connection_status: String,
    /// Whether the endpoint domain prefers the zone of who asks.
    pub zone_affinity: bool,
    /// `IPv4`, `DualStack`.
    pub address_ip_version: String,
    /// The resource group.
    pub resource_group_id: String,
    /// When it was made.
    pub create_time: String,
    /// Mbit/s.
    pub bandwidth: u32,
    /// Security groups by id, each with its status: `Attaching`, `Attached`, `Detaching`.
    pub security_groups: BTreeMap<String, String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// The names that applications use, which the certificates of its servers bear beside its domains.
    pub private_dns: Vec<String>,
    /// Zones by id.
    pub zones: BTreeMap<String, Zone>,
    /// False once the API has lost it; its ENIs and names stay, so that only the list says so.
    pub listed: bool,
}

/// An endpoint's part in one zone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Zone {
    /// `Creating`, `Wait`, `Connecting`, `Connected`, `Disconnecting`, `Disconnected`, `Deleting`, `Migrating`,
    /// `Migrated`.
    pub status: String,
    /// The ENI's id; none while the zone is being made.
    pub eni_id: Option<String>,
    /// The ENI's address.
    pub eni_ip: Option<Ipv4Addr>,
    /// The ENI's IPv6 address; the API says `false` if there is none.
    pub eni_ipv6: Option<Ipv6Addr>,
    /// The vSwitch.
    pub vswitch_id: String,
    /// What answers at the ENI's address, if that is a loopback one.
    pub serve: Option<Serve>,
    /// False once the API has lost it.
    pub listed: bool,
}

/// What answers at an ENI's address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Serve {
    /// A [`TcpService`](crate::TcpService).
    Tcp {
        /// Its port.
        port: u16,
        /// Its mode.
        mode: TcpMode,
    },
    /// An [`HttpsService`](crate::HttpsService).
    Https {
        /// Its port.
        port: u16,
        /// Its mode.
        mode: HttpsMode,
    },
    /// A [`MatrixoneService`](crate::MatrixoneService), with TLS under the endpoint's names.
    Matrixone {
        /// Its port.
        port: u16,
        /// Its mode.
        mode: MatrixoneMode,
    },
    /// A [`TdengineService`](crate::TdengineService) under the endpoint's names.
    Tdengine {
        /// Its port.
        port: u16,
        /// Its mode.
        mode: TdengineMode,
    },
}

impl Serve {
    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        let (Self::Tcp { port, .. }
        | Self::Https { port, .. }
        | Self::Matrixone { port, .. }
        | Self::Tdengine { port, .. }) = self;
        *port
    }
}

impl Default for Endpoint {
    fn default() -> Self {
        Self {
            name: String::new(),
            description: String::new(),
            vpc_id: String::new(),
            service_id: "epsrv-bp1standin0000000000".to_owned(),
            service_region: None,
            endpoint_type: "Interface".to_owned(),
            status: "Active".to_owned(),
            business_status: "Normal".to_owned(),
            connection_status: "Connected".to_owned(),
            zone_affinity: false,
            address_ip_version: "IPv4".to_owned(),
            resource_group_id: "rg-acfm000000000000".to_owned(),
            create_time: "2026-01-02T03:04:05Z".to_owned(),
            bandwidth: 3072,
            security_groups: BTreeMap::new(),
            tags: BTreeMap::new(),
            private_dns: Vec::new(),
            zones: BTreeMap::new(),
            listed: true,
        }
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self {
            status: "Connected".to_owned(),
            eni_id: None,
            eni_ip: None,
            eni_ipv6: None,
            vswitch_id: String::new(),
            serve: None,
            listed: true,
        }
    }
}

impl Endpoint {
    /// The endpoint domain of the endpoint with this id.
    #[must_use]
    pub fn domain(&self, id: &str, region: &str) -> String {
        format!("{id}.{}.{region}.privatelink.aliyuncs.com", self.service_id)
    }

    /// The domain of one of its zones.
    #[must_use]
    pub fn zone_domain(&self, id: &str, zone: &str, region: &str) -> String {
        format!("{id}-{zone}.{}.{region}.privatelink.aliyuncs.com", self.service_id)
    }

    /// Whether its names lead anywhere. Before the connection stands they don't.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.connection_status.eq_ignore_ascii_case("Connected")
    }
}

impl Zone {
    /// Whether its name leads anywhere.
    #[must_use]
    pub fn connected(&self) -> bool {
        ["Connected", "Migrating", "Migrated"].iter().any(|status| self.status.eq_ignore_ascii_case(status))
    }
}
