//! What answers at the ENIs' addresses: kept as the world declares it.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::cloud::world::{Serve, World};
use crate::https::{HttpsMode, HttpsService};
use crate::pki::Pki;
use crate::tcp::{TcpMode, TcpService};

/// An ENI: the endpoint and the zone.
type Eni = (String, String);

/// What the world wants at an ENI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cloud) struct Wanted {
    address: SocketAddr,
    serve: Serve,
    /// The names of its certificate.
    names: Vec<String>,
}

/// The services at the ENIs.
#[derive(Default)]
pub(in crate::cloud) struct Enis(BTreeMap<Eni, Running>);

struct Running {
    wanted: Wanted,
    service: Service,
}

enum Service {
    Tcp(TcpService),
    Https(HttpsService),
}

/// What the world wants at every ENI.
pub(in crate::cloud) fn wanted(world: &World) -> BTreeMap<Eni, Wanted> {
    let mut all = BTreeMap::new();
    for (id, endpoint) in &world.endpoints {
        for (name, zone) in &endpoint.zones {
            // The API may tell of any address; served is only loopback.
            let (Some(ip), Some(serve)) = (zone.eni_ip.filter(Ipv4Addr::is_loopback), zone.serve) else { continue };
            let (Serve::Tcp { port, .. } | Serve::Https { port, .. }) = serve;
            let mut names = endpoint.private_dns.clone();
            names.push(endpoint.domain(id, &world.region));
            names.push(endpoint.zone_domain(id, name, &world.region));
            names.push(ip.to_string());
            let address = SocketAddr::new(IpAddr::V4(ip), port);
            all.insert((id.clone(), name.clone()), Wanted { address, serve, names });
        }
    }
    all
}

impl Enis {
    /// Makes the services what is wanted; returns when they are.
    pub(in crate::cloud) async fn settle(&mut self, wanted: BTreeMap<Eni, Wanted>, pki: &Pki) -> io::Result<()> {
        // First all that close, so that two ENIs can swap their addresses.
        let goes = |(eni, running): (&Eni, &Running)| {
            let kept = wanted.get(eni).is_some_and(|wanted| wanted.keeps(&running.wanted));
            (!kept).then(|| eni.clone())
        };
        let going: Vec<Eni> = self.0.iter().filter_map(goes).collect();
        for eni in going {
            if let Some(running) = self.0.remove(&eni) {
                running.service.close().await?;
            }
        }
        for (eni, wanted) in wanted {
            match self.0.get_mut(&eni) {
                Some(running) if running.wanted == wanted => {}
                Some(running) => {
                    running.service.set(wanted.serve).await?;
                    running.wanted = wanted;
                }
                None => {
                    let service = Service::start(&wanted, pki).await.map_err(|error| at(&wanted, &error))?;
                    self.0.insert(eni, Running { wanted, service });
                }
            }
        }
        Ok(())
    }

    /// Connections so far to each ENI's present service, by endpoint and zone.
    pub(in crate::cloud) fn connections(&self) -> BTreeMap<String, BTreeMap<String, u64>> {
        let mut all: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for ((endpoint, zone), running) in &self.0 {
            let count = match &running.service {
                Service::Tcp(service) => service.connections(),
                Service::Https(service) => service.connections(),
            };
            all.entry(endpoint.clone()).or_default().insert(zone.clone(), count);
        }
        all
    }
}

fn at(wanted: &Wanted, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", wanted.address))
}

impl Wanted {
    /// Whether a service of before can go on as this one, in another mode at most.
    fn keeps(&self, before: &Self) -> bool {
        let same_kind = matches!(
            (self.serve, before.serve),
            (Serve::Tcp { .. }, Serve::Tcp { .. }) | (Serve::Https { .. }, Serve::Https { .. })
        );
        same_kind && self.address == before.address && self.names == before.names
    }
}

impl Service {
    async fn start(wanted: &Wanted, pki: &Pki) -> io::Result<Self> {
        let service = match wanted.serve {
            Serve::Tcp { .. } => Self::Tcp(TcpService::start(wanted.address).await?),
            Serve::Https { .. } => {
                let names: Vec<&str> = wanted.names.iter().map(String::as_str).collect();
                Self::Https(HttpsService::start(wanted.address, pki.leaf(&names)?).await?)
            }
        };
        if !matches!(wanted.serve, Serve::Tcp { mode: TcpMode::Up, .. } | Serve::Https { mode: HttpsMode::Up, .. }) {
            service.set(wanted.serve).await?;
        }
        Ok(service)
    }

    /// Returns when the address is free; merely dropping the service doesn't.
    async fn close(self) -> io::Result<()> {
        match self {
            Self::Tcp(service) => service.set(TcpMode::Refused).await,
            Self::Https(service) => service.set(HttpsMode::Refused).await,
        }
    }

    async fn set(&self, serve: Serve) -> io::Result<()> {
        match (self, serve) {
            (Self::Tcp(service), Serve::Tcp { mode, .. }) => service.set(mode).await,
            (Self::Https(service), Serve::Https { mode, .. }) => service.set(mode).await,
            // A service of another kind is started anew.
            _ => Ok(()),
        }
    }
}
