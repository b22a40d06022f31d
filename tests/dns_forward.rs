//! Names of others: whatever mood the resolvers of `[dns] forward` are in, the list serves as well as the same list in
//! resolv.conf(5) would.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use privatelink_sim::free_address;
use privatelinkd::publish::dns::forwarders::Forwarders;
use privatelinkd::publish::dns::server::{self, Listener, Shared, Socket};
use privatelinkd::publish::dns::{Answers, Counters, Published};
use privatelinkd::sys::clock::Clock;
use tokio::net::UdpSocket as TokioUdp;
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::dns_fixture::{published, query, wire_name};

const SERVFAIL: u8 = 2;
const NXDOMAIN: u8 = 3;
const NOTIMP: u8 = 4;
const REFUSED: u8 = 5;
/// Recursion is available.
const RA: u8 = 0x80;

/// How a resolver takes a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Silent,
    /// Nothing listens there.
    Dead,
    /// Replies with this in the second byte of its flags, and one address if that is [`RA`].
    Flags(u8),
    /// Answers well, so late.
    Late(Duration),
    /// Replies to another question, again and again.
    Garbage,
}

const WELL: Mood = Mood::Flags(RA);
const BAD: [Mood; 6] = [
    Mood::Silent,
    Mood::Dead,
    Mood::Flags(RA | SERVFAIL),
    Mood::Flags(RA | REFUSED),
    Mood::Flags(RA | NOTIMP),
    // Neither an answer nor recursion.
    Mood::Flags(0),
];

/// A resolver in this mood, until the test ends.
fn resolver(mood: Mood) -> SocketAddr {
    let at = free_address(5453).unwrap();
    if mood == Mood::Dead {
        return at;
    }
    let socket = UdpSocket::bind(at).unwrap();
    socket.set_nonblocking(true).unwrap();
    let socket = Arc::new(TokioUdp::from_std(socket).unwrap());
    tokio::task::spawn_local(async move {
        let mut packet = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut packet).await {
            let (question, socket) = (packet[..length].to_vec(), Arc::clone(&socket));
            tokio::task::spawn_local(async move { take(mood, question, &socket, from).await });
        }
    });
    at
}

async fn take(mood: Mood, mut message: Vec<u8>, socket: &TokioUdp, from: SocketAddr) {
    const RESPONSE: u8 = 0x80;
    message[2] |= RESPONSE;
    match mood {
        Mood::Silent | Mood::Dead => return,
        Mood::Flags(flags) => message[3] = flags,
        Mood::Late(by) => {
            tokio::time::sleep(by).await;
            message[3] = RA;
        }
        Mood::Garbage => {
            message[3] = RA;
            message[0] ^= 0xff;
        }
    }
    if message[3] == RA {
        message[7] = 1;
        message.extend_from_slice(b"\xc0\x0c\0\x01\0\x01\0\0\0\x05\0\x04\xc0\0\x02\x01");
    }
    let _ = socket.send_to(&message, from).await;
}

/// A stub that asks these for names of others.
struct Stub {
    at: SocketAddr,
    forwarders: Arc<Forwarders>,
    listeners: mpsc::Sender<Listener>,
}

impl Stub {
    async fn start(forward: &[SocketAddr]) -> Self {
        let (listeners, handed) = mpsc::channel(8);
        let (report, _) = mpsc::unbounded_channel();
        let answers = Answers::default();
        answers.store(Arc::new(Published { forward: forward.to_vec(), ..asked_of_others() }));
        let forwarders = Arc::new(Forwarders::new(Clock::System));
        let shared = Shared { answers, counters: Arc::new(Counters::default()), forwarders: Arc::clone(&forwarders) };
        tokio::task::spawn_local(server::run(handed, shared, report, CancellationToken::new()));
        let at = free_address(1053).unwrap();
        let tcp = TcpListener::bind(at).unwrap();
        tcp.set_nonblocking(true).unwrap();
        for socket in [Socket::Udp(UdpSocket::bind(at).unwrap()), Socket::Tcp(tcp)] {
            listeners.send(Listener { address: at, socket, token: CancellationToken::new() }).await.unwrap();
        }
        Self { at, forwarders, listeners }
    }

    /// The code of the reply, and how long it took.
    async fn ask(&self) -> (u8, Duration) {
        let socket = TokioUdp::bind((self.at.ip(), 0)).await.unwrap();
        let began = Instant::now();
        socket.send_to(&query(&wire_name("www.example.org"), 1, &[]), self.at).await.unwrap();
        let mut reply = [0; 512];
        let length = timeout(Duration::from_secs(20), socket.recv(&mut reply)).await.unwrap().unwrap();
        assert!(length > 12 && reply[..2] == [0x12, 0x34], "{reply:?}");
        (reply[3] & 0x0f, began.elapsed())
    }

    fn ill(&self) -> Vec<SocketAddr> {
        assert!(!self.listeners.is_closed());
        self.forwarders.ill().borrow().keys().copied().collect()
    }
}

/// What is published, where names of others are not refused.
fn asked_of_others() -> Published {
    let one = "192.0.2.1:53".parse().unwrap();
    let published = published();
    let zones = published.reference.zones().as_ref().clone();
    published.next(zones, vec![one])
}

async fn locally(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn whoever_fails_is_passed_over() {
    locally(async {
        for bad in BAD.into_iter().chain([Mood::Garbage]) {
            let stub = Stub::start(&[resolver(bad), resolver(WELL)]).await;
            let (code, took) = stub.ask().await;
            assert_eq!(code, 0, "{bad:?}");
            assert!(took < Duration::from_secs(2), "{bad:?}: a libc waits five seconds, and musl not at all: {took:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_resolver_that_is_slow_is_waited_for_as_a_libc_waits() {
    locally(async {
        let slow = Mood::Late(Duration::from_secs(3));
        let stub = Stub::start(&[resolver(slow)]).await;
        assert_eq!(stub.ask().await.0, 0);
        let stub = Stub::start(&[resolver(slow), resolver(Mood::Dead), resolver(Mood::Silent)]).await;
        assert_eq!(stub.ask().await.0, 0, "though others were asked meanwhile");
    })
    .await;
}

#[tokio::test]
async fn that_there_is_no_such_name_is_an_answer() {
    locally(async {
        let none = Mood::Flags(RA | NXDOMAIN);
        let stub = Stub::start(&[resolver(none), resolver(WELL)]).await;
        assert_eq!(stub.ask().await.0, NXDOMAIN);
        // Not where one before it in the list knows better, and takes its time.
        let slow = Mood::Late(Duration::from_secs(1));
        let stub = Stub::start(&[resolver(slow), resolver(none)]).await;
        assert_eq!(stub.ask().await.0, 0);
        let stub = Stub::start(&[resolver(Mood::Dead), resolver(none)]).await;
        assert_eq!(stub.ask().await.0, NXDOMAIN);
    })
    .await;
}

#[tokio::test]
async fn where_none_answers_the_first_reply_goes_back() {
    locally(async {
        let refuses = resolver(Mood::Flags(RA | REFUSED));
        let stub = Stub::start(&[resolver(Mood::Dead), refuses, resolver(Mood::Flags(RA | SERVFAIL))]).await;
        assert_eq!(stub.ask().await.0, REFUSED);
        let stub = Stub::start(&[resolver(Mood::Dead)]).await;
        assert_eq!(stub.ask().await.0, SERVFAIL);
    })
    .await;
}

/// In which order they are asked then is told by `publish::dns::forwarders::tests`.
#[tokio::test]
async fn who_goes_on_failing_is_said_to_be_ill_and_others_answer() {
    locally(async {
        let (silent, well) = (resolver(Mood::Silent), resolver(WELL));
        let stub = Stub::start(&[silent, well]).await;
        let deadline = Instant::now() + Duration::from_secs(40);
        while stub.ill().is_empty() {
            assert!(Instant::now() < deadline, "a silent resolver is never found to be ill");
            assert_eq!(stub.ask().await.0, 0);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert_eq!(stub.ill(), [silent]);
        assert_eq!(stub.ask().await.0, 0);
        // Whose names can't be resolved is not told by codes that may be the name's own.
        let stub = Stub::start(&[resolver(Mood::Flags(RA | SERVFAIL))]).await;
        for _ in 0..5 {
            assert_eq!(stub.ask().await.0, SERVFAIL);
        }
        assert_eq!(stub.ill(), []);
    })
    .await;
}
