//! The loops of the stub: what fails is told, what is too much waits.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{Shutdown, shutdown};
use privatelink_sim::free_address;
use privatelinkd::model::{DnsCode, DnsTransport};
use privatelinkd::publish::dns::forwarders::Forwarders;
use privatelinkd::publish::dns::server::{self, Ended, Listener, Shared, Socket};
use privatelinkd::publish::dns::{Answers, Counters};
use privatelinkd::sys::clock::Clock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::dns_fixture::{ORDERS, published, query, wire_name};

const SOON: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(20);

struct Stub {
    counters: Arc<Counters>,
    listeners: mpsc::Sender<Listener>,
    ended: mpsc::UnboundedReceiver<Ended>,
}

impl Stub {
    /// On the runtime of the test.
    fn start() -> Self {
        let counters = Arc::new(Counters::default());
        let (listeners, handed) = mpsc::channel(8);
        let (report, ended) = mpsc::unbounded_channel();
        let answers = Answers::default();
        answers.store(Arc::new(published()));
        let forwarders = Arc::new(Forwarders::new(Clock::System));
        let shared = Shared { answers, counters: Arc::clone(&counters), forwarders };
        tokio::task::spawn_local(server::run(handed, shared, report, CancellationToken::new()));
        Self { counters, listeners, ended }
    }

    async fn serve(&self, address: SocketAddr, socket: Socket) {
        self.listeners.send(Listener { address, socket, token: CancellationToken::new() }).await.unwrap();
    }
}

fn listener(address: SocketAddr) -> TcpListener {
    let listener = TcpListener::bind(address).unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

fn framed() -> Vec<u8> {
    let query = query(&wire_name(ORDERS), 1, &[]);
    [&u16::try_from(query.len()).unwrap().to_be_bytes()[..], &query].concat()
}

async fn converse(stream: &mut TcpStream) -> Option<u16> {
    stream.write_all(&framed()).await.ok()?;
    let length = timeout(SOON, stream.read_u16()).await.ok()?.ok()?;
    stream.read_exact(&mut vec![0; usize::from(length)]).await.ok()?;
    Some(length)
}

#[tokio::test]
async fn a_listener_that_fails_is_told_and_another_one_is_served() {
    let test = async {
        let mut stub = Stub::start();
        let address = free_address(1053).unwrap();
        let broken = listener(address);
        let ours = broken.try_clone().unwrap();
        stub.serve(address, Socket::Tcp(broken)).await;
        assert!(converse(&mut TcpStream::connect(address).await.unwrap()).await.is_some());
        shutdown(ours.as_raw_fd(), Shutdown::Both).unwrap();
        let ended = timeout(PATIENCE, stub.ended.recv()).await.unwrap().unwrap();
        assert_eq!((ended.address, ended.transport), (address, DnsTransport::Tcp));
        drop(ours);
        stub.serve(address, Socket::Tcp(listener(address))).await;
        assert!(converse(&mut TcpStream::connect(address).await.unwrap()).await.is_some());
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_socket_that_can_not_be_read_is_told() {
    let test = async {
        let mut stub = Stub::start();
        let address = free_address(1053).unwrap();
        // Whoever reads it hears that it is not connected.
        let broken = UdpSocket::from(OwnedFd::from(TcpListener::bind(address).unwrap()));
        stub.serve(address, Socket::Udp(broken)).await;
        let ended = timeout(PATIENCE, stub.ended.recv()).await.unwrap().unwrap();
        assert_eq!((ended.address, ended.transport), (address, DnsTransport::Udp));
        assert_eq!(ended.error.kind(), std::io::ErrorKind::NotConnected);
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn connections_are_bounded_and_datagrams_are_answered_meanwhile() {
    let test = async {
        let stub = Stub::start();
        let address = free_address(1053).unwrap();
        stub.serve(address, Socket::Tcp(listener(address))).await;
        let udp = UdpSocket::bind(address).unwrap();
        stub.serve(address, Socket::Udp(udp)).await;
        let mut idle = Vec::new();
        for _ in 0..128 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            assert!(converse(&mut stream).await.is_some());
            idle.push(stream);
        }
        let mut late = TcpStream::connect(address).await.unwrap();
        late.write_all(&framed()).await.unwrap();
        assert!(timeout(Duration::from_millis(100), late.read_u16()).await.is_err(), "it waits");
        let client = tokio::net::UdpSocket::bind((address.ip(), 0)).await.unwrap();
        client.send_to(&query(&wire_name(ORDERS), 1, &[]), address).await.unwrap();
        timeout(PATIENCE, client.recv_from(&mut [0; 512])).await.unwrap().unwrap();
        // Ten seconds have those that came while there was room, half a second those that came into a crowd.
        assert!(timeout(Duration::from_secs(5), late.read_u16()).await.unwrap().is_ok(), "its turn has come");
        let mut first = idle.swap_remove(0);
        assert!(converse(&mut first).await.is_some(), "it is still open");
        let counts = stub.counters.read();
        assert_eq!(counts.answered[&(DnsTransport::Udp, DnsCode::NoError)], 1);
        assert_eq!(counts.answered[&(DnsTransport::Tcp, DnsCode::NoError)], 130);
        assert_eq!(counts.durations.iter().sum::<u64>(), 131);
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_token_ends_one_listener() {
    let test = async {
        let stub = Stub::start();
        let address = free_address(1053).unwrap();
        let token = CancellationToken::new();
        let socket = Socket::Tcp(listener(address));
        stub.listeners.send(Listener { address, socket, token: token.clone() }).await.unwrap();
        assert!(converse(&mut TcpStream::connect(address).await.unwrap()).await.is_some());
        token.cancel();
        timeout(PATIENCE, async {
            while TcpStream::connect(address).await.is_ok() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_token_ends_a_thread_and_leaves_the_socket_to_its_owner() {
    let test = async {
        let stub = Stub::start();
        let address = free_address(1053).unwrap();
        let ours = UdpSocket::bind(address).unwrap();
        let token = CancellationToken::new();
        let socket = Socket::Udp(ours.try_clone().unwrap());
        stub.listeners.send(Listener { address, socket, token: token.clone() }).await.unwrap();
        let client = tokio::net::UdpSocket::bind((address.ip(), 0)).await.unwrap();
        let asked = async |patience| {
            client.send_to(&query(&wire_name(ORDERS), 1, &[]), address).await.unwrap();
            timeout(patience, client.recv_from(&mut [0; 512])).await.is_ok()
        };
        assert!(asked(PATIENCE).await);
        token.cancel();
        timeout(PATIENCE, async { while asked(SOON).await {} }).await.unwrap();
        // What nobody has read waits for the next one.
        stub.serve(address, Socket::Udp(ours)).await;
        timeout(PATIENCE, client.recv_from(&mut [0; 512])).await.unwrap().unwrap();
    };
    LocalSet::new().run_until(test).await;
}
