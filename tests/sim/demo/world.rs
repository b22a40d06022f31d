//! The stand-in world: a cloud on loopback, two endpoints in it, each with a network interface and a server behind it
//! in each of two zones.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use anyhow::{Context as _, bail};
use privatelink_sim::cloud::{self, Addresses, Cloud, Serve, Service, What, Zone};
use privatelink_sim::{LoginFault, MatrixoneMode, MatrixoneSetup, TdengineMode, TdengineSetup, free_address};

/// The cloud, what is in it, and what is wrong with that.
pub(crate) struct World {
    cloud: Cloud,
    faults: BTreeMap<(usize, usize), Fault>,
}

/// What an endpoint speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tdengine,
    Matrixone,
}

/// An endpoint.
pub(crate) struct Endpoint {
    /// Its label in the config.
    pub(crate) label: &'static str,
    /// The cloud's id of it.
    pub(crate) id: &'static str,
    /// The name that applications use.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) port: u16,
}

/// What can go wrong with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Refuses,
    Silent,
    /// The front end goes on greeting; the database behind it is gone.
    Hollow,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refuses => "refuses connections",
            Self::Silent => "falls silent",
            Self::Hollow => "greets, and has no database behind it",
        })
    }
}

/// Which server: the positions of endpoint and zone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At(pub(crate) usize, pub(crate) usize);

impl At {
    pub(crate) fn endpoint(self) -> &'static Endpoint {
        &World::ENDPOINTS[self.0]
    }

    pub(crate) fn zone(self) -> &'static str {
        World::ZONES[self.1]
    }
}

impl World {
    pub(crate) const ZONES: [&str; 2] = cloud::World::ZONES;
    pub(crate) const ENDPOINTS: [Endpoint; 2] = [
        Endpoint {
            label: "orders",
            id: cloud::World::ORDERS,
            name: "gw-orders.example.com",
            kind: Kind::Tdengine,
            port: 8443,
        },
        Endpoint {
            label: "ledger",
            id: cloud::World::LEDGER,
            name: "ledger-db.example.internal",
            kind: Kind::Matrixone,
            port: 6001,
        },
    ];
    pub(crate) const TARGETS: usize = Self::ENDPOINTS.len() * Self::ZONES.len();

    pub(crate) async fn start() -> anyhow::Result<Self> {
        let mut world = Self { cloud: Cloud::start().await?, faults: BTreeMap::new() };
        for at in
            (0..Self::ENDPOINTS.len()).flat_map(|endpoint| (0..Self::ZONES.len()).map(move |zone| At(endpoint, zone)))
        {
            world.set(at, None).await?;
        }
        Ok(world)
    }

    /// What TDengine's clients present.
    pub(crate) const TOKEN: &str = TdengineSetup::TOKEN;
    /// Who logs in to MatrixOne, and with what.
    pub(crate) const LOGIN: (&str, &str) = (MatrixoneSetup::USER, MatrixoneSetup::PASSWORD);

    /// The authority of every server.
    pub(crate) fn ca_pem(&self) -> String {
        self.cloud.ca_pem()
    }

    /// Where the API, the resolver and the metadata service are.
    pub(crate) fn cloud(&self) -> &Addresses {
        self.cloud.addresses()
    }

    /// Breaks or mends a server; returns when that is in force.
    pub(crate) async fn set(&mut self, at: At, fault: Option<Fault>) -> anyhow::Result<()> {
        let serve = serve(at.endpoint(), fault);
        self.change(at, |zone| zone.serve = Some(serve)).await?;
        match fault {
            Some(fault) => self.faults.insert((at.0, at.1), fault),
            None => self.faults.remove(&(at.0, at.1)),
        };
        Ok(())
    }

    /// Gives the network interface another address: the server is there from now on, and gone from the old one. Hands
    /// out the new one.
    pub(crate) async fn move_interface(&mut self, at: At) -> anyhow::Result<IpAddr> {
        let new = free_address(at.endpoint().port)?.ip();
        let IpAddr::V4(ip) = new else { bail!("expected an IPv4 address, found {new}") };
        self.change(at, |zone| zone.eni_ip = Some(ip)).await?;
        Ok(new)
    }

    async fn change(&self, at: At, change: impl FnOnce(&mut Zone)) -> anyhow::Result<()> {
        let found = self.cloud.world(|world| world.zone_mut(at.endpoint().id, at.zone()).map(change)).await?;
        found.with_context(|| format!("the stand-in has no zone {} of {}", at.zone(), at.endpoint().id))
    }

    /// The API answers nothing but that it had too many calls.
    pub(crate) fn throttle(&self) {
        self.cloud.fault(cloud::Fault::new(What::throttle(None)).service(Service::Privatelink));
    }

    /// The API is itself again.
    pub(crate) fn unthrottle(&self) {
        self.cloud.clear_faults(None);
    }

    pub(crate) fn address(&self, at: At) -> Option<IpAddr> {
        self.cloud.look(|world| world.endpoints.get(at.endpoint().id)?.zones.get(at.zone())?.eni_ip).map(IpAddr::V4)
    }

    /// Where each name should point: at the servers that work, or at all of them if none does.
    pub(crate) fn answers(&self) -> BTreeMap<String, Vec<IpAddr>> {
        (0..Self::ENDPOINTS.len()).map(|n| (Self::ENDPOINTS[n].name.to_owned(), self.answer(n))).collect()
    }

    fn answer(&self, endpoint: usize) -> Vec<IpAddr> {
        let all = || (0..Self::ZONES.len()).map(|zone| At(endpoint, zone));
        let works = |at: &At| !self.faults.contains_key(&(at.0, at.1));
        let mut addresses: Vec<_> = all().filter(works).filter_map(|at| self.address(at)).collect();
        if addresses.is_empty() {
            addresses = all().filter_map(|at| self.address(at)).collect();
        }
        addresses.sort();
        addresses
    }
}

fn serve(endpoint: &Endpoint, fault: Option<Fault>) -> Serve {
    let port = endpoint.port;
    match endpoint.kind {
        Kind::Tdengine => {
            // "Unable to establish connection" to the database.
            const NO_CONNECTION: u16 = 11;
            let mode = match fault {
                None => TdengineMode::Up,
                Some(Fault::Refuses) => TdengineMode::Refused,
                Some(Fault::Silent) => TdengineMode::Silent,
                Some(Fault::Hollow) => TdengineMode::Code(NO_CONNECTION),
            };
            Serve::Tdengine { port, mode }
        }
        Kind::Matrixone => {
            let mode = match fault {
                None => MatrixoneMode::Up,
                Some(Fault::Refuses) => MatrixoneMode::Refused,
                Some(Fault::Silent) => MatrixoneMode::Silent,
                Some(Fault::Hollow) => MatrixoneMode::Login(LoginFault::NoCn),
            };
            Serve::Matrixone { port, mode }
        }
    }
}
