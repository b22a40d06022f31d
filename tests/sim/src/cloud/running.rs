//! The listeners, kept as the world declares them.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use super::listen::dns::{Datagrams, Resolver};
use super::listen::enis::{Enis, wanted};
use super::world::{Certificate, DoorMode, Service, World};
use crate::gate::{Door, Gate, Handler};
use crate::pki::Pki;

/// The listeners.
pub(super) struct Running {
    doors: Vec<Listener>,
    resolver: Resolver,
    dns: SocketAddr,
    datagrams: Option<(DoorMode, Datagrams)>,
    pub(super) enis: Enis,
}

/// One listening address.
pub(super) struct Listener {
    service: Service,
    gate: Gate,
    handler: Maker,
    /// What it was set to last.
    set: Option<(DoorMode, Certificate)>,
}

/// Makes a handler that proves itself so.
pub(super) type Maker = Box<dyn Fn(Certificate) -> io::Result<Handler> + Send + Sync>;

/// What the listeners follow: taken while the world is locked, followed when it no longer is.
pub(super) struct Aim {
    doors: BTreeMap<Service, (DoorMode, Certificate)>,
    enis: BTreeMap<(String, String), super::listen::enis::Wanted>,
}

impl Aim {
    pub(super) fn of(world: &World) -> Self {
        let services = [Service::Privatelink, Service::Sts, Service::Metadata, Service::Dns];
        let doors =
            services.into_iter().map(|service| (service, (world.door(service), world.certificate(service)))).collect();
        Self { doors, enis: wanted(world) }
    }

    fn door(&self, service: Service) -> (DoorMode, Certificate) {
        self.doors.get(&service).copied().unwrap_or_default()
    }
}

impl Listener {
    pub(super) fn new(service: Service, address: SocketAddr, handler: Maker) -> Self {
        Self { service, gate: Gate::closed(address), handler, set: None }
    }

    async fn settle(&mut self, wanted: (DoorMode, Certificate)) -> io::Result<()> {
        if self.set == Some(wanted) {
            return Ok(());
        }
        let (mode, certificate) = wanted;
        let door = match mode {
            DoorMode::Open => Door::Open((self.handler)(certificate)?),
            DoorMode::Refused => Door::Closed,
            DoorMode::Silent => Door::Silent,
        };
        self.gate.set(door).await.map_err(|error| at(self.gate.address(), &error))?;
        self.set = Some(wanted);
        Ok(())
    }
}

fn at(address: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{address}: {error}"))
}

impl Running {
    pub(super) fn new(doors: Vec<Listener>, dns: SocketAddr, resolver: Resolver) -> Self {
        Self { doors, resolver, dns, datagrams: None, enis: Enis::default() }
    }

    /// Returns when everything is as aimed at.
    pub(super) async fn settle(&mut self, aim: Aim, pki: &Pki) -> io::Result<()> {
        for listener in &mut self.doors {
            listener.settle(aim.door(listener.service)).await?;
        }
        self.settle_datagrams(aim.door(Service::Dns).0).await.map_err(|error| at(self.dns, &error))?;
        self.enis.settle(aim.enis, pki).await
    }

    async fn settle_datagrams(&mut self, mode: DoorMode) -> io::Result<()> {
        if matches!(&self.datagrams, Some((now, _)) if *now == mode) {
            return Ok(());
        }
        if let Some((_, datagrams)) = self.datagrams.take() {
            datagrams.close().await;
        }
        let resolver = match mode {
            DoorMode::Refused => return Ok(()),
            DoorMode::Silent => None,
            DoorMode::Open => Some(self.resolver.clone()),
        };
        self.datagrams = Some((mode, Datagrams::open(self.dns, resolver).await?));
        Ok(())
    }
}
