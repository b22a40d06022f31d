//! Endpoints and zones as the API tells of them.
//!
//! States are closed sets with a door: what a later version of the API says is kept as it came. Every field but the
//! ids may be missing; a zone that is being created has no address yet.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::model::{EndpointId, HostName, ZoneId};

/// The longest unknown state that is kept, in characters.
const LONGEST_STATE: usize = 64;

macro_rules! states {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
            /// What this table does not have, as it came.
            Other(String),
        }

        impl $name {
            /// Reads a state; upper and lower case are alike.
            #[must_use]
            pub fn parse(text: &str) -> Self {
                $(if text.eq_ignore_ascii_case(stringify!($variant)) {
                    return Self::$variant;
                })+
                Self::Other(text.chars().filter(|c| !c.is_control()).take(LONGEST_STATE).collect())
            }

            /// The API's word.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => stringify!($variant),)+
                    Self::Other(text) => text,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

states! {
    /// What is going on with the endpoint itself.
    EndpointStatus {
        /// Being made.
        Creating,
        /// There.
        Active,
        /// Being modified.
        Pending,
        /// Going.
        Deleting,
    }
}

states! {
    /// Whether the bill is paid.
    BusinessStatus {
        /// It is.
        Normal,
        /// It is not: traffic stops.
        FinancialLocked,
    }
}

states! {
    /// Whether the service's owner has let the endpoint in.
    ConnectionStatus {
        /// Not yet: the owner has to accept it or put the account on the white list.
        Pending,
        /// On its way.
        Connecting,
        /// Let in.
        Connected,
        /// On its way out.
        Disconnecting,
        /// Turned out.
        Disconnected,
        /// The endpoint is going.
        Deleting,
        /// The service is gone.
        ServiceDeleted,
    }
}

states! {
    /// The state of one zone of an endpoint.
    ZoneStatus {
        /// Its ENI is being made.
        Creating,
        /// It awaits the connection.
        Wait,
        /// On its way.
        Connecting,
        /// Traffic flows.
        Connected,
        /// On its way out.
        Disconnecting,
        /// No traffic.
        Disconnected,
        /// Its ENI is going.
        Deleting,
        /// Its ENI is gone.
        Deleted,
        /// Being moved to another resource of the service.
        Migrating,
        /// Moved; traffic flows.
        Migrated,
    }
}

states! {
    /// What kind of endpoint.
    EndpointType {
        /// With ENIs in the VPC: ours.
        Interface,
        /// For services that come into the VPC.
        Reverse,
        /// For appliances.
        GatewayLoadBalancer,
    }
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointRecord {
    /// `ep-…`.
    pub id: EndpointId,
    /// The name that people gave it.
    pub name: Option<String>,
    /// Its domain: public DNS that leads to its ENIs.
    pub domain: Option<HostName>,
    /// Its state.
    pub status: Option<EndpointStatus>,
    /// Whether the bill is paid.
    pub business: Option<BusinessStatus>,
    /// Whether it is let in.
    pub connection: Option<ConnectionStatus>,
    /// Its kind.
    pub kind: Option<EndpointType>,
    /// The region.
    pub region: Option<String>,
    /// The VPC.
    pub vpc_id: Option<String>,
    /// `epsrv-…`.
    pub service_id: Option<String>,
    /// `com.aliyuncs.privatelink.…`.
    pub service_name: Option<String>,
    /// The service's region, which differs for one of another region.
    pub service_region: Option<String>,
    /// In Mbit/s.
    pub bandwidth: Option<u64>,
    /// Whether it has IPv6 addresses, too.
    pub dual_stack: Option<bool>,
    /// Whether endpoint and service belong to the same account.
    pub same_account: Option<bool>,
    /// Whether its domain prefers the asker's zone, so that its answers may lack the other zones.
    pub zone_affinity: Option<bool>,
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
    /// The subnet.
    pub vswitch_id: Option<String>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read_in_any_case_and_new_ones_are_kept() {
        assert_eq!(ConnectionStatus::parse("connected"), ConnectionStatus::Connected);
        assert_eq!(BusinessStatus::parse("FINANCIALLOCKED").to_string(), "FinancialLocked");
        assert_eq!(ZoneStatus::parse("Paused"), ZoneStatus::Other("Paused".into()));
        assert_eq!(ZoneStatus::parse(&"\nx".repeat(999)).as_str(), "x".repeat(LONGEST_STATE));
    }
}
