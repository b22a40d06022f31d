//! The ECS instance that asks, and what it is told by metadata and DNS.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The ECS instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Host {
    /// Its zone.
    pub zone_id: String,
    /// Its VPC.
    pub vpc_id: String,
    /// The VPC's range.
    pub vpc_cidr: String,
    /// Its vSwitch.
    pub vswitch_id: String,
    /// The vSwitch's range.
    pub vswitch_cidr: String,
    /// Its id.
    pub instance_id: String,
    /// Its address.
    pub private_ipv4: String,
    /// The MAC address of its primary interface.
    pub mac: String,
    /// Its host name.
    pub hostname: String,
    /// The resolvers that metadata names.
    pub nameservers: Vec<String>,
    /// The RAM role attached to it.
    pub role: Option<String>,
    /// How long the role's credentials last, in seconds.
    pub role_seconds: u64,
    /// How long before they end metadata gives new ones, in seconds.
    pub role_renewed_before: u64,
    /// `Code` of the role's credentials.
    pub role_code: String,
    /// Whether metadata wants a token.
    pub tokens: Tokens,
    /// Other answers of metadata, by the path under `/latest/meta-data/`; null for 404.
    pub metadata: BTreeMap<String, Option<String>>,
}

/// Whether metadata wants a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tokens {
    /// Requests with and without one are answered.
    #[default]
    Optional,
    /// Hardened: those without one are refused.
    Required,
    /// There are none, as on old instances: asking for one is 404.
    Unsupported,
}

/// DNS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Names {
    /// The TTL of addresses, in seconds.
    pub ttl: u32,
    /// The TTL of "there is none", in seconds.
    pub negative_ttl: u32,
    /// Whether the resolver keeps an answer for its TTL, as the VPC's does, and counts the TTL down.
    pub cached: bool,
    /// Fixed answers by name, before all others: names of the API's hosts, lies about endpoint domains.
    pub fixed: BTreeMap<String, Vec<IpAddr>>,
    /// The zones of askers, by source address; of others it is the host's.
    pub askers: BTreeMap<IpAddr, String>,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            zone_id: "cn-hangzhou-h".to_owned(),
            vpc_id: "vpc-bp1standin0000000001".to_owned(),
            vpc_cidr: "127.0.0.0/8".to_owned(),
            vswitch_id: "vsw-bp1standin000000000h".to_owned(),
            vswitch_cidr: "127.0.0.0/8".to_owned(),
            instance_id: "i-bp1standin0000000001".to_owned(),
            private_ipv4: "127.0.0.1".to_owned(),
            mac: "00:16:3e:00:00:01".to_owned(),
            hostname: "standin".to_owned(),
            nameservers: Vec::new(),
            role: None,
            role_seconds: 6 * 3600,
            role_renewed_before: 3600,
            role_code: "Success".to_owned(),
            tokens: Tokens::Optional,
            metadata: BTreeMap::new(),
        }
    }
}

impl Default for Names {
    fn default() -> Self {
        Self { ttl: 60, negative_ttl: 10, cached: false, fixed: BTreeMap::new(), askers: BTreeMap::new() }
    }
}
