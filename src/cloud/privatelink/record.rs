//! Endpoints and zones as the API tells of them.
//!
//! Every field but the ids may be missing; a zone that is being created has no address yet.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::model::{BusinessStatus, ConnectionStatus, EndpointId, EndpointStatus, HostName, ZoneId, ZoneStatus};

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointRecord {
    /// `ep-…`.
    pub id: EndpointId,
    /// The name that people gave it.
    pub name: Option<String>,
    /// What people wrote about it.
    pub description: Option<String>,
    /// Its domain: public DNS that leads to its ENIs.
    pub domain: Option<HostName>,
    /// Its state.
    pub status: Option<EndpointStatus>,
    /// Whether the bill is paid.
    pub business: Option<BusinessStatus>,
    /// Whether it is let in.
    pub connection: Option<ConnectionStatus>,
    /// The region.
    pub region: Option<String>,
    /// The VPC.
    pub vpc_id: Option<String>,
    /// `com.aliyuncs.privatelink.…`.
    pub service_name: Option<String>,
}

/// One zone of an endpoint, with its ENI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneRecord {
    /// Such as `cn-hangzhou-i`.
    pub zone: ZoneId,
    /// Its state.
    pub status: Option<ZoneStatus>,
    /// `eni-…`.
    pub eni_id: Option<String>,
    /// The ENI's IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// The zone's own domain.
    pub domain: Option<HostName>,
}

/// Something that comes in pages.
pub trait Record {
    /// What tells one from another.
    type Key: Ord;

    /// Its key.
    fn key(&self) -> Self::Key;
}

impl Record for EndpointRecord {
    type Key = EndpointId;

    fn key(&self) -> EndpointId {
        self.id.clone()
    }
}

impl Record for ZoneRecord {
    type Key = (ZoneId, Option<String>);

    fn key(&self) -> Self::Key {
        (self.zone.clone(), self.eni_id.clone())
    }
}
