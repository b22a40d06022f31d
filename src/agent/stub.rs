//! The stub: its thread, its sockets, and the publisher that feeds it.
//!
//! Sockets are bound here, or were handed over by the service manager, and served by the thread and those that it
//! starts. One that is not there, or not any more, is tried again every second; that is told once, and the others are
//! served meanwhile. Nothing is bound before there is a plan to answer from: until then a client would hear that
//! there are no such names.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::settings::{self, follow};
use crate::config::Config;
use crate::model::{DnsTransport, EventKind, PlanState, PublisherState, Receipt, Receipts};
use crate::publish::dns::forwarders::{Forwarders, Illness};
use crate::publish::dns::server::{self, Ended, Listener, Shared, Socket};
use crate::publish::dns::{Answers, Counters, DnsPublisher, How};
use crate::publish::{self, Publisher as _};
use crate::sys::clock::Clock;
use crate::sys::event_queue::EventSender;
use crate::sys::heartbeat::{Beat, LOOK};
use crate::sys::sockets::{self, HandedOver, ListenError};

/// Between two tries to bind.
const RETRY: Duration = Duration::from_secs(1);
/// Sockets on their way to the thread.
const HANDING: usize = 64;

/// What is served, and what became of the plan that it is of.
type Served = (Answers, watch::Sender<Option<Receipt>>);

/// What the stub needs.
#[derive(Debug)]
pub(super) struct Stub {
    pub(super) config: watch::Receiver<Arc<Config>>,
    pub(super) plan: watch::Receiver<PlanState>,
    pub(super) receipts: watch::Sender<Receipts>,
    pub(super) counters: Arc<Counters>,
    /// From the service manager.
    pub(super) handed_over: Vec<HandedOver>,
    pub(super) clock: Clock,
    pub(super) beat: Beat,
    pub(super) events: EventSender,
}

impl Stub {
    /// Serves while `[dns].publish` says so, until cancelled.
    pub(super) async fn run(self, token: CancellationToken) -> Result<(), io::Error> {
        let served = Served::default();
        let mut publish = follow(self.config.clone(), |config| config.dns.publish);
        while !token.is_cancelled() {
            let publishes = *publish.seen();
            let work =
                async { if publishes { self.serve(&served, token.child_token()).await } else { self.beat_on().await } };
            tokio::select! {
                () = publish.changed() => {}
                () = token.cancelled() => {}
                result = work => result?,
            }
            self.receipts.send_if_modified(|receipts| receipts.0.remove(DnsPublisher::NAME).is_some());
        }
        Ok(())
    }

    async fn beat_on(&self) -> ! {
        loop {
            self.beat.now();
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Publishes and listens; ends with the thread, which is a fault.
    async fn serve(&self, served: &Served, token: CancellationToken) -> Result<(), io::Error> {
        // The thread ends with this future, however that ends.
        let _ends = token.clone().drop_guard();
        let forwarders = Arc::new(Forwarders::new(self.clock));
        let shared = Shared {
            answers: Arc::clone(&served.0),
            counters: Arc::clone(&self.counters),
            forwarders: Arc::clone(&forwarders),
        };
        let (listeners, handed) = mpsc::channel(HANDING);
        let (ended, reports) = mpsc::unbounded_channel();
        let thread = thread(server::run(handed, shared, ended, token.clone()))?;
        let table = ListenerTable {
            stub: self,
            listeners,
            reports,
            open: BTreeMap::new(),
            served: served.1.subscribe(),
            ill: forwarders.ill(),
            forwarders,
            next_try: Instant::now(),
        };
        tokio::select! {
            () = self.publish(served, &token) => Ok(()),
            () = table.run() => Ok(()),
            // Told to end, it may be gone before anybody looks here.
            () = thread => {
                if token.is_cancelled() { Ok(()) } else { Err(io::Error::other("the stub's thread ended")) }
            }
        }
    }

    /// Feeds the answers, anew under each config that changes how.
    async fn publish(&self, served: &Served, token: &CancellationToken) {
        let mut how = follow(self.config.clone(), how);
        loop {
            let runner = publish::Runner {
                publisher: DnsPublisher::new(how.seen().clone(), self.clock, served.clone()),
                plan: self.plan.clone(),
                events: self.events.clone(),
                clock: self.clock,
                beat: self.beat.clone(),
            };
            tokio::select! {
                () = runner.run(token.clone()) => return,
                () = how.changed() => {}
            }
        }
    }
}

fn how(config: &Config) -> How {
    How { rules: settings::policy(config).rules, ttl: config.dns.ttl, forward: config.dns.forward.clone() }
}

/// A thread with a runtime of its own, and when it has ended.
fn thread(work: impl Future<Output = ()> + Send + 'static) -> io::Result<impl Future<Output = ()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (living, dead) = tokio::sync::oneshot::channel::<()>();
    std::thread::Builder::new().name("dns".to_owned()).spawn(move || {
        let _living = living;
        tokio::task::LocalSet::new().block_on(&runtime, work);
    })?;
    Ok(async move {
        // Its end is that the other half is gone.
        let _ = dead.await;
    })
}

/// What listens, and what is to.
struct ListenerTable<'s> {
    stub: &'s Stub,
    listeners: mpsc::Sender<Listener>,
    reports: mpsc::UnboundedReceiver<Ended>,
    open: BTreeMap<(SocketAddr, DnsTransport), State>,
    served: watch::Receiver<Option<Receipt>>,
    forwarders: Arc<Forwarders>,
    ill: watch::Receiver<BTreeMap<SocketAddr, Illness>>,
    next_try: Instant,
}

enum State {
    Served { _until_dropped: DropGuard },
    Failed(String),
}

impl ListenerTable<'_> {
    async fn run(mut self) {
        if self.served.wait_for(Option::is_some).await.is_err() {
            return;
        }
        let mut forward = follow(self.stub.config.clone(), |config| config.dns.forward.clone());
        let mut addresses = follow(self.stub.config.clone(), |config| config.dns.listen.clone());
        loop {
            self.forwarders.retain(forward.seen());
            self.listen(addresses.seen()).await;
            self.tell();
            let waits = self.open.values().any(|state| matches!(state, State::Failed(_)));
            tokio::select! {
                () = addresses.changed() => {}
                () = forward.changed() => {}
                changed = self.served.changed() => if changed.is_err() { return },
                changed = self.ill.changed() => if changed.is_err() { return },
                Some(Ended { address, transport, error }) = self.reports.recv() => {
                    self.failed((address, transport), error.to_string());
                }
                () = sleep_until(self.next_try), if waits => {}
            }
        }
    }

    /// Opens what the config has and is not open, and closes what it has not.
    async fn listen(&mut self, addresses: &[SocketAddr]) {
        self.open.retain(|(address, _), _| addresses.contains(address));
        let due = Instant::now() >= self.next_try;
        for key in addresses.iter().flat_map(|address| DnsTransport::ALL.map(|t| (*address, t))) {
            let try_it = match self.open.get(&key) {
                None => true,
                Some(State::Failed(_)) => due,
                Some(State::Served { .. }) => false,
            };
            if try_it {
                self.open(key).await;
            }
        }
        if due {
            self.next_try = Instant::now() + RETRY;
        }
    }

    async fn open(&mut self, (address, transport): (SocketAddr, DnsTransport)) {
        let socket = match self.stub.socket(address, transport) {
            Ok(socket) => socket,
            Err(error) => return self.failed((address, transport), error),
        };
        let token = CancellationToken::new();
        if self.listeners.send(Listener { address, socket, token: token.clone() }).await.is_ok() {
            let served = State::Served { _until_dropped: token.drop_guard() };
            if let Some(State::Failed(_)) = self.open.insert((address, transport), served) {
                let listener = in_words((address, transport));
                self.stub.events.tell(self.stub.clock.now(), EventKind::ListenerBack { listener });
            }
        }
    }

    /// Told once, until it is another failure or none.
    fn failed(&mut self, key: (SocketAddr, DnsTransport), error: String) {
        let before = self.open.insert(key, State::Failed(error.clone()));
        if !matches!(before, Some(State::Failed(told)) if told == error) {
            let listener = in_words(key);
            self.stub.events.tell(self.stub.clock.now(), EventKind::ListenerFailed { listener, error });
        }
    }

    fn tell(&mut self) {
        let place = |((address, transport), state): (&(SocketAddr, DnsTransport), &State)| match state {
            State::Served { .. } => Ok(()),
            State::Failed(error) => Err(format!("the DNS stub does not serve {address} ({transport}): {error}")),
        };
        let receipt = self.served.borrow().clone().unwrap_or_default();
        let places = self.open.iter().map(place).collect();
        let ill = |(resolver, illness): (&SocketAddr, &Illness)| {
            format!("names of others: {resolver} ([dns] forward) fails since {}: {}", illness.since, illness.error)
        };
        let remarks = self.ill.borrow_and_update().iter().map(ill).collect();
        let state = PublisherState { receipt: Some(receipt), places, remarks, ..PublisherState::default() };
        self.stub.receipts.send_if_modified(|receipts| {
            let news = receipts.0.get(DnsPublisher::NAME) != Some(&state);
            receipts.0.insert(DnsPublisher::NAME, state);
            news
        });
    }
}

/// A listener, in events.
fn in_words((address, transport): (SocketAddr, DnsTransport)) -> String {
    format!("[dns] listen {address} ({transport})")
}

impl Stub {
    /// The one that was handed over for this address, else a new one.
    fn socket(&self, address: SocketAddr, transport: DnsTransport) -> Result<Socket, String> {
        let mut handed = self.handed_over.iter().filter(|h| h.address().is_ok_and(|at| at == address));
        // Ours stays open, for the next time.
        let handed = handed.find_map(|handed| match (handed, transport) {
            (HandedOver::Udp(socket), DnsTransport::Udp) => Some(socket.try_clone().map(Socket::Udp)),
            (HandedOver::Tcp(listener), DnsTransport::Tcp) => Some(listener.try_clone().map(Socket::Tcp)),
            _ => None,
        });
        if let Some(socket) = handed {
            return socket.map_err(|e| e.to_string());
        }
        let opened = match transport {
            DnsTransport::Udp => sockets::bind_udp(address).map(Socket::Udp),
            DnsTransport::Tcp => sockets::bind_tcp(address).map(Socket::Tcp),
        };
        opened.map_err(|e| match e {
            ListenError::Denied { .. } => format!("{e}; enable privatelinkd.socket, which binds it"),
            other => other.to_string(),
        })
    }
}
