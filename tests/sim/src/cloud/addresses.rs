//! Where the services are.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::Serialize;

use crate::loopback::free_address;

/// Where the services are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Addresses {
    /// The PrivateLink API over plain HTTP.
    pub privatelink: SocketAddr,
    /// The PrivateLink API over TLS.
    pub privatelink_tls: SocketAddr,
    /// STS over plain HTTP.
    pub sts: SocketAddr,
    /// STS over TLS.
    pub sts_tls: SocketAddr,
    /// The metadata server, plain HTTP.
    pub metadata: SocketAddr,
    /// The resolver, UDP and TCP.
    pub dns: SocketAddr,
    /// The control of the stand-in, plain HTTP.
    pub control: SocketAddr,
}

const HTTP: u16 = 8080;
const HTTPS: u16 = 8443;
const DNS: u16 = 5353;
/// Where the metadata service is in every VPC.
const METADATA: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)), 80);

impl Addresses {
    /// Random loopback addresses that nobody else has.
    ///
    /// # Errors
    /// If none can be bound.
    pub fn random() -> io::Result<Self> {
        let (privatelink, sts) = (free_address(HTTP)?, free_address(HTTP)?);
        Ok(Self {
            privatelink,
            privatelink_tls: SocketAddr::new(privatelink.ip(), HTTPS),
            sts,
            sts_tls: SocketAddr::new(sts.ip(), HTTPS),
            metadata: free_address(HTTP)?,
            dns: free_address(DNS)?,
            control: free_address(HTTP)?,
        })
    }

    /// The same addresses at each start, in 127.84.0.0/24, for use by hand.
    #[must_use]
    pub fn fixed() -> Self {
        let at = |last: u8, port: u16| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 84, 0, last)), port);
        Self {
            privatelink: at(10, HTTP),
            privatelink_tls: at(10, HTTPS),
            sts: at(20, HTTP),
            sts_tls: at(20, HTTPS),
            metadata: at(30, HTTP),
            dns: at(40, DNS),
            control: at(1, HTTP),
        }
    }

    /// As [`Self::fixed`], but metadata and STS over TLS where clients that can't be told otherwise look for them: the
    /// cloud's own address, and the port of HTTPS. Only in a network namespace of its own that has this address.
    #[must_use]
    pub fn official() -> Self {
        let fixed = Self::fixed();
        Self { sts_tls: SocketAddr::new(fixed.sts_tls.ip(), 443), metadata: METADATA, ..fixed }
    }

    /// Refuses addresses that others could reach. That of metadata is nobody's who is not in such a namespace.
    pub(super) fn check(&self) -> io::Result<()> {
        let Self { privatelink, privatelink_tls, sts, sts_tls, metadata, dns, control } = self;
        for address in [privatelink, privatelink_tls, sts, sts_tls, metadata, dns, control] {
            if !address.ip().is_loopback() && *address != METADATA {
                return Err(io::Error::other(format!("expected a loopback address, found {address}")));
            }
        }
        Ok(())
    }

    /// The names that lead to the PrivateLink API in a region.
    pub(super) fn privatelink_hosts(region: &str) -> Vec<String> {
        ["privatelink", "privatelink-vpc"].map(|host| format!("{host}.{region}.aliyuncs.com")).to_vec()
    }

    /// The names that lead to STS in a region.
    pub(super) fn sts_hosts(region: &str) -> Vec<String> {
        let mut hosts = ["sts", "sts-vpc"].map(|host| format!("{host}.{region}.aliyuncs.com")).to_vec();
        hosts.push("sts.aliyuncs.com".to_owned());
        hosts
    }
}
