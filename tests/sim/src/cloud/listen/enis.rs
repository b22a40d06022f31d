//! What answers at the ENIs' addresses: kept as the world declares it.

use std::collections::BTreeMap;
use std::io;
use std::mem::discriminant;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::Serialize;

use crate::cloud::world::{Databases, Serve, World};
use crate::https::{HttpsMode, HttpsService};
use crate::identity::Identity;
use crate::pki::Pki;
use crate::tcp::{TcpMode, TcpService};
use crate::{
    MatrixoneCounts, MatrixoneMode, MatrixoneService, SeenLogin, TdengineCounts, TdengineMode, TdengineRequest,
    TdengineService,
};

/// An ENI: the endpoint and the zone.
type Eni = (String, String);

/// What the world wants at an ENI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cloud) struct Wanted {
    address: SocketAddr,
    serve: Serve,
    /// The names of its certificate.
    names: Vec<String>,
    /// Whom it knows, if it is a database; nothing of the others, whose changes are none of its concern.
    databases: Databases,
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
    Matrixone(MatrixoneService),
    Tdengine(TdengineService),
}

/// What has happened at an ENI's present service.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Counts {
    /// At a [`TcpService`].
    Tcp {
        /// Connections accepted.
        connections: u64,
    },
    /// At an [`HttpsService`].
    Https {
        /// Connections accepted.
        connections: u64,
    },
    /// At a [`MatrixoneService`].
    Matrixone {
        /// What it counts.
        #[serde(flatten)]
        counts: MatrixoneCounts,
        /// The last login that could be read.
        last_login: Option<SeenLogin>,
        /// The last statements, oldest first.
        statements: Vec<String>,
    },
    /// At a [`TdengineService`].
    Tdengine {
        /// What it counts.
        #[serde(flatten)]
        counts: TdengineCounts,
        /// The last request that was answered.
        last_request: Option<TdengineRequest>,
    },
}

/// What the world wants at every ENI.
pub(in crate::cloud) fn wanted(world: &World) -> BTreeMap<Eni, Wanted> {
    let mut all = BTreeMap::new();
    for (id, endpoint) in &world.endpoints {
        for (name, zone) in &endpoint.zones {
            // The API may tell of any address; served is only loopback.
            let (Some(ip), Some(serve)) = (zone.eni_ip.filter(Ipv4Addr::is_loopback), &zone.serve) else { continue };
            let mut names = endpoint.private_dns.clone();
            names.push(endpoint.domain(id, &world.region));
            names.push(endpoint.zone_domain(id, name, &world.region));
            names.push(ip.to_string());
            let address = SocketAddr::new(IpAddr::V4(ip), serve.port());
            let databases = known_to(serve, &world.databases);
            all.insert((id.clone(), name.clone()), Wanted { address, serve: serve.clone(), names, databases });
        }
    }
    all
}

fn known_to(serve: &Serve, all: &Databases) -> Databases {
    match serve {
        Serve::Matrixone { .. } => Databases { matrixone: all.matrixone.clone(), ..Databases::default() },
        Serve::Tdengine { .. } => Databases { tdengine: all.tdengine.clone(), ..Databases::default() },
        Serve::Tcp { .. } | Serve::Https { .. } => Databases::default(),
    }
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
                    running.service.follow(&wanted, &running.wanted).await?;
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
        self.each(|service| match service {
            Service::Tcp(service) => service.connections(),
            Service::Https(service) => service.connections(),
            Service::Matrixone(service) => service.counts().connections,
            Service::Tdengine(service) => service.counts().connections,
        })
    }

    /// What has happened at each ENI's present service, by endpoint and zone.
    pub(in crate::cloud) fn counts(&self) -> BTreeMap<String, BTreeMap<String, Counts>> {
        self.each(|service| match service {
            Service::Tcp(service) => Counts::Tcp { connections: service.connections() },
            Service::Https(service) => Counts::Https { connections: service.connections() },
            Service::Matrixone(service) => Counts::Matrixone {
                counts: service.counts(),
                last_login: service.last_login(),
                statements: service.statements(),
            },
            Service::Tdengine(service) => {
                Counts::Tdengine { counts: service.counts(), last_request: service.last_request() }
            }
        })
    }

    fn each<T>(&self, of: impl Fn(&Service) -> T) -> BTreeMap<String, BTreeMap<String, T>> {
        let mut all: BTreeMap<String, BTreeMap<String, T>> = BTreeMap::new();
        for ((endpoint, zone), running) in &self.0 {
            all.entry(endpoint.clone()).or_default().insert(zone.clone(), of(&running.service));
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
        let same_kind = discriminant(&self.serve) == discriminant(&before.serve);
        same_kind && self.address == before.address && self.names == before.names
    }
}

impl Service {
    async fn start(wanted: &Wanted, pki: &Pki) -> io::Result<Self> {
        let names: Vec<&str> = wanted.names.iter().map(String::as_str).collect();
        let databases = wanted.databases.clone();
        let (service, up) = match &wanted.serve {
            Serve::Tcp { mode, .. } => (Self::Tcp(TcpService::start(wanted.address).await?), *mode == TcpMode::Up),
            Serve::Https { mode, .. } => {
                let service = HttpsService::start(wanted.address, pki.leaf(&names)?).await?;
                (Self::Https(service), *mode == HttpsMode::Up)
            }
            Serve::Matrixone { mode, .. } => {
                let identity = Some(Identity::new(pki, &names)?);
                let service = MatrixoneService::start(wanted.address, databases.matrixone, identity).await?;
                (Self::Matrixone(service), *mode == MatrixoneMode::Up)
            }
            Serve::Tdengine { mode, .. } => {
                let identity = Identity::new(pki, &names)?;
                let service = TdengineService::start(wanted.address, databases.tdengine, identity).await?;
                (Self::Tdengine(service), *mode == TdengineMode::Up)
            }
        };
        if !up {
            service.set(&wanted.serve).await?;
        }
        Ok(service)
    }

    /// Returns when the address is free; merely dropping the service doesn't.
    async fn close(self) -> io::Result<()> {
        match self {
            Self::Tcp(service) => service.set(TcpMode::Refused).await,
            Self::Https(service) => service.set(HttpsMode::Refused).await,
            Self::Matrixone(service) => service.set(MatrixoneMode::Refused).await,
            Self::Tdengine(service) => service.set(TdengineMode::Refused).await,
        }
    }

    /// Goes on as another, with other accounts and in another mode.
    async fn follow(&self, wanted: &Wanted, before: &Wanted) -> io::Result<()> {
        if wanted.databases != before.databases {
            match self {
                Self::Matrixone(service) => service.set_up(wanted.databases.matrixone.clone()).await?,
                Self::Tdengine(service) => service.set_up(wanted.databases.tdengine.clone()).await?,
                Self::Tcp(_) | Self::Https(_) => {}
            }
        }
        self.set(&wanted.serve).await
    }

    async fn set(&self, serve: &Serve) -> io::Result<()> {
        match (self, serve) {
            (Self::Tcp(service), Serve::Tcp { mode, .. }) => service.set(*mode).await,
            (Self::Https(service), Serve::Https { mode, .. }) => service.set(*mode).await,
            (Self::Matrixone(service), Serve::Matrixone { mode, .. }) => service.set(mode.clone()).await,
            (Self::Tdengine(service), Serve::Tdengine { mode, .. }) => service.set(mode.clone()).await,
            // A service of another kind is started anew.
            _ => Ok(()),
        }
    }
}
