//! The stand-in world: two endpoints, each with a server in each of two zones.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use privatelink_sim::{HttpsMode, HttpsService, Pki, TcpMode, TcpService, free_address};

/// The servers, and what they are for.
pub(crate) struct World {
    authority: Pki,
    endpoints: Vec<Endpoint>,
}

/// What an endpoint speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Https,
    Tcp,
}

/// An endpoint.
pub(crate) struct Endpoint {
    /// Its label in the config.
    pub(crate) label: &'static str,
    /// The name that applications use.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) port: u16,
    pub(crate) zones: Vec<ZoneServer>,
}

/// The server of one endpoint in one zone; its address is what an ENI's is in the cloud.
pub(crate) struct ZoneServer {
    pub(crate) zone: &'static str,
    service: Service,
    fault: Option<Fault>,
}

/// What can go wrong with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Refuses,
    Silent,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refuses => "refuses connections",
            Self::Silent => "falls silent",
        })
    }
}

/// Which server: the positions of endpoint and zone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At(pub(crate) usize, pub(crate) usize);

enum Service {
    Https(HttpsService),
    Tcp(TcpService),
}

impl World {
    pub(crate) const ZONES: [&str; 2] = ["cn-hangzhou-h", "cn-hangzhou-i"];

    pub(crate) async fn start() -> io::Result<Self> {
        let authority = Pki::new("privatelinkd demo")?;
        let mut endpoints = Vec::new();
        for (label, name, kind, port) in [
            ("orders", "gw-orders.cloud.example.internal", Kind::Https, 8443),
            ("ledger", "ledger-db.example.internal", Kind::Tcp, 5432),
        ] {
            let mut endpoint = Endpoint { label, name, kind, port, zones: Vec::new() };
            for zone in Self::ZONES {
                let service = serve(&authority, &endpoint).await?;
                endpoint.zones.push(ZoneServer { zone, service, fault: None });
            }
            endpoints.push(endpoint);
        }
        Ok(Self { authority, endpoints })
    }

    pub(crate) fn ca_pem(&self) -> String {
        self.authority.ca_pem()
    }

    pub(crate) fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    pub(crate) fn server(&self, At(endpoint, zone): At) -> (&Endpoint, &ZoneServer) {
        let endpoint = &self.endpoints[endpoint];
        (endpoint, &endpoint.zones[zone])
    }

    /// Breaks or mends a server; returns when that is in force.
    pub(crate) async fn set(&mut self, At(endpoint, zone): At, fault: Option<Fault>) -> io::Result<()> {
        let server = &mut self.endpoints[endpoint].zones[zone];
        server.service.set(fault).await?;
        server.fault = fault;
        Ok(())
    }

    /// Gives the endpoint another address in the zone, with a server behind it. Hands out the old server, which goes
    /// on serving while it is held.
    pub(crate) async fn move_server(&mut self, At(endpoint, zone): At) -> io::Result<ZoneServer> {
        let endpoint = &mut self.endpoints[endpoint];
        let service = serve(&self.authority, endpoint).await?;
        let new = ZoneServer { zone: endpoint.zones[zone].zone, service, fault: None };
        Ok(std::mem::replace(&mut endpoint.zones[zone], new))
    }

    pub(crate) fn targets(&self) -> usize {
        self.endpoints.iter().map(|e| e.zones.len()).sum()
    }

    /// Where each name should point: at the servers that work, or at all of them if none does.
    pub(crate) fn answers(&self) -> BTreeMap<String, Vec<IpAddr>> {
        self.endpoints.iter().map(|e| (e.name.to_owned(), e.answer())).collect()
    }
}

impl Endpoint {
    fn answer(&self) -> Vec<IpAddr> {
        let works = |z: &&ZoneServer| z.fault.is_none();
        let mut addresses: Vec<_> = self.zones.iter().filter(works).map(ZoneServer::address).collect();
        if addresses.is_empty() {
            addresses = self.zones.iter().map(ZoneServer::address).collect();
        }
        addresses.sort();
        addresses
    }
}

impl ZoneServer {
    pub(crate) fn address(&self) -> IpAddr {
        match &self.service {
            Service::Https(service) => service.address().ip(),
            Service::Tcp(service) => service.address().ip(),
        }
    }
}

impl Service {
    async fn set(&self, fault: Option<Fault>) -> io::Result<()> {
        match self {
            Self::Https(service) => {
                let mode = match fault {
                    None => HttpsMode::Up,
                    Some(Fault::Refuses) => HttpsMode::Refused,
                    Some(Fault::Silent) => HttpsMode::Silent,
                };
                service.set(mode).await
            }
            Self::Tcp(service) => {
                let mode = match fault {
                    None => TcpMode::Up,
                    Some(Fault::Refuses) => TcpMode::Refused,
                    Some(Fault::Silent) => TcpMode::Silent,
                };
                service.set(mode).await
            }
        }
    }
}

async fn serve(authority: &Pki, endpoint: &Endpoint) -> io::Result<Service> {
    let at: SocketAddr = free_address(endpoint.port)?;
    Ok(match endpoint.kind {
        Kind::Https => Service::Https(HttpsService::start(at, authority.leaf(&[endpoint.name])?).await?),
        Kind::Tcp => Service::Tcp(TcpService::start(at).await?),
    })
}
