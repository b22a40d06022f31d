//! The whole stand-in, and the handle on it.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::addresses::Addresses;
use super::api::{Reply, Request, answer};
use super::control;
use super::listen::enis::Counts;
use super::listen::{dns, web};
use super::names::resolve;
use super::running::{Aim, Listener, Maker, Running};
use super::stamp::Stamp;
use super::state::{Call, State};
use super::world::{Fault, Service, World};
use crate::gate::{Door, Gate};
use crate::https::acceptor;
use crate::loopback::free_address;
use crate::pki::Pki;

/// The stand-in: everything runs on the caller's runtime and ends when this is dropped.
pub struct Cloud {
    shared: Arc<Shared>,
    /// Of the control address; always open.
    _control: Gate,
}

/// Temporary credentials of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The access key's id.
    pub key: String,
    /// Its secret.
    pub secret: String,
    /// The session's token.
    pub token: String,
}

pub(super) struct Shared {
    state: Arc<Mutex<State>>,
    /// As it was at the start.
    initial: World,
    pub(super) addresses: Addresses,
    pki: Arc<Pki>,
    /// Locked while listeners follow the world, so that whoever comes later finds them settled.
    running: tokio::sync::Mutex<Running>,
}

impl Cloud {
    /// Starts [`World::small`] on random addresses.
    ///
    /// # Errors
    /// If an address can't be bound.
    pub async fn start() -> io::Result<Self> {
        let mut enis = Vec::new();
        for port in [8443, 8443, 5432, 5432] {
            match free_address(port)?.ip() {
                IpAddr::V4(ip) => enis.push(ip),
                IpAddr::V6(ip) => return Err(io::Error::other(format!("expected an IPv4 address, found {ip}"))),
            }
        }
        let enis = enis.try_into().map_err(|_| io::Error::other("expected four addresses"))?;
        Self::with(Addresses::random()?, World::small(enis)).await
    }

    /// Starts a world. The resolver's address and the names of the API's hosts are added to it.
    ///
    /// # Errors
    /// If an address is none of loopback's or can't be bound.
    pub async fn with(addresses: Addresses, mut world: World) -> io::Result<Self> {
        addresses.check()?;
        introduce(&mut world, &addresses);
        let pki = Arc::new(Pki::new("privatelink-sim cloud")?);
        let state = Arc::new(Mutex::new(State::new(world.clone(), RandomState::new().hash_one(()))));
        let resolver = resolver(&state);
        let doors = listeners(&state, &addresses, &pki, &resolver);
        let running = Running::new(doors, addresses.dns, resolver);
        let shared =
            Arc::new(Shared { state, initial: world, addresses, pki, running: tokio::sync::Mutex::new(running) });
        shared.settle().await?;
        let control = Gate::closed(shared.addresses.control);
        control.set(Door::Open(web::handler(controller(&shared), None))).await?;
        Ok(Self { shared, _control: control })
    }

    /// Where everything is.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.shared.addresses
    }

    /// The authority that signed all certificates, as a `ca_file` has it.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        self.shared.ca_pem()
    }

    /// The same authority in DER.
    #[must_use]
    pub fn ca_der(&self) -> Vec<u8> {
        self.shared.pki.ca_der()
    }

    /// The time in the cloud.
    #[must_use]
    pub fn now(&self) -> Stamp {
        self.shared.now()
    }

    /// Changes the world; returns when the change is in force, listeners included.
    ///
    /// # Errors
    /// If an address can't be bound. The change is made all the same.
    pub async fn world<T>(&self, change: impl FnOnce(&mut World) -> T) -> io::Result<T> {
        let result = change(&mut self.shared.lock().world);
        self.shared.settle().await?;
        Ok(result)
    }

    /// Looks at the world.
    pub fn look<T>(&self, look: impl FnOnce(&World) -> T) -> T {
        look(&self.shared.lock().world)
    }

    /// Adds a fault, in force at once; returns its id.
    pub fn fault(&self, fault: Fault) -> String {
        self.shared.lock().world.add_fault(fault)
    }

    /// Takes a fault away, or all without an id.
    pub fn clear_faults(&self, id: Option<&str>) {
        self.shared.lock().world.faults.retain(|fault, _| id.is_some_and(|id| id != fault));
    }

    /// What was asked so far, the oldest of very many calls forgotten.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.shared.lock().calls(0)
    }

    /// What was asked after the call with this number.
    #[must_use]
    pub fn calls_since(&self, number: u64) -> Vec<Call> {
        self.shared.lock().calls(number)
    }

    /// Opens a session of a role, as AssumeRole would.
    #[must_use]
    pub fn open_session(&self, role: &str, name: &str, lasts: Duration) -> Credentials {
        let now = self.shared.now();
        let mut state = self.shared.lock();
        let key = state.open_session((role, name), None, now.plus(lasts));
        let session = state.world.sessions.get(&key);
        let (secret, token) = session.map(|s| (s.secret.clone(), s.token.clone())).unwrap_or_default();
        Credentials { key, secret, token }
    }

    /// Connections so far to what answers at an ENI.
    pub async fn connections(&self, endpoint: &str, zone: &str) -> Option<u64> {
        self.shared.connections().await.get(endpoint)?.get(zone).copied()
    }

    /// What has happened so far at what answers at an ENI.
    pub async fn counts(&self, endpoint: &str, zone: &str) -> Option<Counts> {
        self.shared.counts().await.get(endpoint)?.get(zone).cloned()
    }
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn now(&self) -> Stamp {
        now(&self.lock())
    }

    pub(super) fn ca_pem(&self) -> String {
        self.pki.ca_pem()
    }

    /// Makes the listeners follow the world; returns when they do.
    pub(super) async fn settle(&self) -> io::Result<()> {
        let mut running = self.running.lock().await;
        let aim = Aim::of(&self.lock().world);
        running.settle(aim, &self.pki).await
    }

    /// Connections so far to what answers at the ENIs, by endpoint and zone.
    pub(super) async fn connections(&self) -> BTreeMap<String, BTreeMap<String, u64>> {
        self.running.lock().await.enis.connections()
    }

    /// What has happened so far at what answers at the ENIs, by endpoint and zone.
    pub(super) async fn counts(&self) -> BTreeMap<String, BTreeMap<String, Counts>> {
        self.running.lock().await.enis.counts()
    }

    /// Makes the world what it was at the start.
    pub(super) async fn reset(&self) -> io::Result<()> {
        self.lock().world = self.initial.clone();
        self.settle().await
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The one place that reads the clock.
fn now(state: &State) -> Stamp {
    #[expect(clippy::disallowed_methods, reason = "the stand-in has no part of the agent's, and so none of its clock")]
    let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Stamp::from_millis(0).plus(wall).shifted(state.world.clock_offset_ms)
}

/// Lets the world know where it is.
fn introduce(world: &mut World, addresses: &Addresses) {
    world.host.nameservers = vec![addresses.dns.ip().to_string()];
    for (hosts, address) in [
        (Addresses::privatelink_hosts(&world.region), addresses.privatelink),
        (Addresses::sts_hosts(&world.region), addresses.sts),
    ] {
        world.names.fixed.extend(hosts.into_iter().map(|host| (host, vec![address.ip()])));
    }
}

fn resolver(state: &Arc<Mutex<State>>) -> dns::Resolver {
    let state = state.clone();
    Arc::new(move |question| {
        let mut state = lock(&state);
        let now = now(&state);
        resolve(&mut state, &question, now)
    })
}

fn answerer(state: &Arc<Mutex<State>>, service: Service) -> web::Answerer {
    let state = state.clone();
    Arc::new(move |request: Request| {
        let reply = {
            let mut state = lock(&state);
            let now = now(&state);
            answer(&mut state, service, &request, now)
        };
        Box::pin(std::future::ready(reply))
    })
}

/// Knows the stand-in only weakly: it is a part of it.
fn controller(shared: &Arc<Shared>) -> web::Answerer {
    let shared: Weak<Shared> = Arc::downgrade(shared);
    Arc::new(move |request| {
        let shared = shared.upgrade();
        Box::pin(async move {
            match shared {
                Some(shared) => control::answer(&shared, &request).await,
                None => Reply::text(503, "the stand-in is going\n"),
            }
        })
    })
}

fn listeners(state: &Arc<Mutex<State>>, at: &Addresses, pki: &Arc<Pki>, resolver: &dns::Resolver) -> Vec<Listener> {
    let region = lock(state).world.region.clone();
    let plain = |service| -> Maker {
        let answerer = answerer(state, service);
        Box::new(move |_| Ok(web::handler(answerer.clone(), None)))
    };
    let tls = |service, mut hosts: Vec<String>, address: SocketAddr| -> Maker {
        hosts.extend([address.ip().to_string(), "localhost".to_owned()]);
        let (answerer, pki) = (answerer(state, service), pki.clone());
        Box::new(move |certificate| {
            let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
            Ok(web::handler(answerer.clone(), Some(acceptor(pki.prove(&hosts, certificate)?)?)))
        })
    };
    let privatelink = tls(Service::Privatelink, Addresses::privatelink_hosts(&region), at.privatelink_tls);
    let sts = tls(Service::Sts, Addresses::sts_hosts(&region), at.sts_tls);
    let resolver = resolver.clone();
    vec![
        Listener::new(Service::Privatelink, at.privatelink, plain(Service::Privatelink)),
        Listener::new(Service::Privatelink, at.privatelink_tls, privatelink),
        Listener::new(Service::Sts, at.sts, plain(Service::Sts)),
        Listener::new(Service::Sts, at.sts_tls, sts),
        Listener::new(Service::Metadata, at.metadata, plain(Service::Metadata)),
        Listener::new(Service::Dns, at.dns, Box::new(move |_| Ok(dns::handler(resolver.clone())))),
    ]
}
