//! The MySQL probers against servers that play a script: each thing that the login relay lets pass, and each that it
//! doesn't.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use privatelink_sim::free_address;
use privatelinkd::model::{
    Check, DeepSpec, Depth, Failure, FailureReason as R, FileSecret, MysqlLogin, MysqlSpec, MysqlTls, ProbeKind,
    ProbeSpec, Secret, TargetSpec, TlsSpec, Trust, TrustBundle, Wall,
};
use privatelinkd::probe::{AnyProber, Overlap, Prober, Probers};
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use crate::probe_tcp::{HASTY, PATIENT, probers, reason, target};

pub(crate) const PASSWORD: &str = "correct horse battery staple";
const NAME: &str = "db.example.com";
/// Everything but TLS, as MySQL 8 says it.
pub(crate) const CAPS: u32 = 0xdfff_f7ff;
pub(crate) const SSL: u32 = 0x0800;
pub(crate) const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
pub(crate) const EOF: &[u8] = &[0xfe, 0, 0, 2, 0];
const COLUMN: &[u8] = b"\x03def\0\0\0\x011\0\x0c\x3f\0\x01\0\0\0\x08\x81\0\0\0\0";
pub(crate) const REFUSED: &[u8] = b"\xff\x15\x04#28000Access denied";
const SCRAMBLE: &[u8] = b"bcdefghijklmnopqrstu\0";

pub(crate) fn login(password: &str) -> MysqlLogin {
    let secret = Secret::new(password.to_owned());
    let password = FileSecret { secret, path: "/etc/privatelinkd/db.pw".into(), written: Wall(1) };
    MysqlLogin { user: "acct:probe:readonly".into(), password: Some(password) }
}

pub(crate) fn spec(tls: MysqlTls) -> MysqlSpec {
    let login = Some(login(PASSWORD));
    MysqlSpec { tls, expiry_warning: Duration::ZERO, login, query: "SELECT 1".into(), expect: Some("1".into()) }
}

/// With a deep check of a statement.
pub(crate) fn deep(address: SocketAddr, kind: ProbeKind) -> TargetSpec {
    let target = target(address, kind);
    let deep = Some(DeepSpec { depth: Depth::Query, schedule: target.probe.path });
    TargetSpec { probe: Arc::new(ProbeSpec { deep, ..(*target.probe).clone() }), ..target }
}

pub(crate) fn greeting(version: &str, caps: u32, plugin: &str) -> Vec<u8> {
    let [a, b, c, d] = caps.to_le_bytes();
    let mut greeting = [&[10], version.as_bytes(), b"\0\x07\0\0\0abcdefgh\0"].concat();
    greeting.extend_from_slice(&[a, b, 45, 2, 0, c, d, 21]);
    greeting.extend_from_slice(&[0; 10]);
    greeting.extend_from_slice(b"ijklmnopqrst\0");
    greeting.extend_from_slice(plugin.as_bytes());
    greeting.push(0);
    greeting
}

pub(crate) fn switch(plugin: &str) -> Vec<u8> {
    [b"\xfe", plugin.as_bytes(), b"\0", SCRAMBLE].concat()
}

/// One side of a connection that speaks in packets.
pub(crate) struct Peer<S>(pub(crate) S);

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub(crate) async fn say(&mut self, number: u8, payload: &[u8]) {
        let [a, b, c, _] = u32::try_from(payload.len()).unwrap().to_le_bytes();
        // A client that has hung up is a client's right.
        let _ = self.0.write_all(&[&[a, b, c, number], payload].concat()).await;
    }

    /// The next packet, or none at the end of the connection.
    pub(crate) async fn hear(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut header = [0; 4];
        self.0.read_exact(&mut header).await.ok()?;
        let mut payload = vec![0; usize::from(header[0]) + 256 * usize::from(header[1])];
        self.0.read_exact(&mut payload).await.ok()?;
        Some((header[3], payload))
    }

    /// Accepts a login that comes as packet `number`, and answers whatever follows like a healthy server. Returns what
    /// it heard.
    pub(crate) async fn serve(&mut self, number: u8, accept: &[u8]) -> Vec<Vec<u8>> {
        let Some((found, login)) = self.hear().await else { return vec![] };
        assert_eq!(found, number);
        self.say(number + 1, accept).await;
        self.answer(vec![login]).await
    }

    /// Answers whatever comes like a healthy server, until the end of the connection.
    pub(crate) async fn answer(&mut self, mut heard: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        while let Some((_, packet)) = self.hear().await {
            match packet[0] {
                3 => self.result(b"\x011").await,
                0x0e => self.say(1, OK).await,
                _ => {}
            }
            heard.push(packet);
        }
        heard
    }

    async fn result(&mut self, row: &[u8]) {
        for (number, payload) in (1..).zip([&[1], COLUMN, EOF, row, EOF]) {
            self.say(number, payload).await;
        }
    }
}

/// A server: what each connection heard, and how many there were.
pub(crate) struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    heard: Arc<Mutex<Vec<Vec<Vec<u8>>>>>,
    accepting: tokio::task::AbortHandle,
}

impl Server {
    /// Each connection is played by `script`, which returns what it heard.
    pub(crate) async fn start<F, W>(script: F) -> Self
    where
        F: Fn(Peer<TcpStream>) -> W + Send + Sync + 'static,
        W: Future<Output = Vec<Vec<u8>>> + Send + 'static,
    {
        let listener = TcpListener::bind(free_address(3306).unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, heard) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (count, all) = (connections.clone(), heard.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let (playing, all) = (script(Peer(stream)), all.clone());
                tokio::spawn(async move {
                    let heard = playing.await;
                    all.lock().unwrap().push(heard);
                });
            }
        });
        Self { address, connections, heard, accepting: accepting.abort_handle() }
    }

    /// Nobody listens any more; what is open stays open.
    pub(crate) fn stop(&self) {
        self.accepting.abort();
    }

    /// One that says `packets` after the login, numbered from 2, and notes what it hears then.
    pub(crate) async fn scripted(greeting: Vec<u8>, packets: &[&[u8]]) -> Self {
        let packets: Vec<Vec<u8>> = packets.iter().map(|packet| packet.to_vec()).collect();
        Self::start(move |mut peer| {
            let (greeting, packets) = (greeting.clone(), packets.clone());
            async move {
                peer.say(0, &greeting).await;
                let mut heard = Vec::new();
                for packet in packets {
                    let Some((number, payload)) = peer.hear().await else { return heard };
                    heard.push(payload);
                    peer.say(number + 1, &packet).await;
                }
                while let Some((_, payload)) = peer.hear().await {
                    heard.push(payload);
                }
                heard
            }
        })
        .await
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// What the connections heard that have ended, once there are `n` of them.
    pub(crate) async fn heard(&self, n: usize) -> Vec<Vec<Vec<u8>>> {
        for _ in 0..2000 {
            if self.heard.lock().unwrap().len() >= n {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        let heard = self.heard.lock().unwrap().clone();
        assert_eq!(heard.len(), n);
        let flat = heard.concat().concat();
        assert!(!contains(&flat, PASSWORD.as_bytes()), "no password in clear");
        heard
    }
}

pub(crate) fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

pub(crate) fn mysql(address: SocketAddr, check: Check) -> AnyProber {
    probers().prober(&deep(address, ProbeKind::Mysql(spec(MysqlTls::Preferred))), check)
}

pub(crate) async fn healthy() -> Server {
    Server::start(|mut peer| async move {
        peer.say(0, &greeting("8.0.36", CAPS, "mysql_native_password")).await;
        peer.serve(1, OK).await
    })
    .await
}

#[tokio::test]
async fn a_deep_check_logs_in_asks_and_says_goodbye() {
    let server = healthy().await;
    let prober = mysql(server.address, Check::Deep);
    assert_eq!(prober.overlap(), Overlap::OneAwaited);
    let timings = prober.probe(PATIENT).await.unwrap();
    let phases = [Some(timings.tcp), timings.answer, timings.login, timings.query];
    assert_eq!(timings.total, phases.map(Option::unwrap).iter().sum::<Duration>());
    assert_eq!(timings.tls, None);
    let [login, query, quit] = &server.heard(1).await[0][..] else { panic!("login, statement, goodbye") };
    assert!(contains(login, b"acct:probe:readonly\0\x14"), "twenty bytes of scramble");
    let caps = u32::from_le_bytes(login[..4].try_into().unwrap());
    // No TLS, no files, no compression, no several statements or results.
    assert_eq!(caps & (SSL | 0x80 | 0x20 | 0x0003_0000 | 0x0400_0000), 0);
    assert_eq!((&query[..], &quit[..]), (&b"\x03SELECT 1"[..], &b"\x01"[..]));
}

#[tokio::test]
async fn a_path_check_pings_one_connection_and_says_goodbye_when_it_goes() {
    let server = healthy().await;
    let prober = mysql(server.address, Check::Path);
    assert_eq!(prober.overlap(), Overlap::Hedged);
    let first = prober.probe(PATIENT).await.unwrap();
    assert!(first.login.is_some());
    for _ in 0..3 {
        let ping = prober.probe(PATIENT).await.unwrap();
        assert_eq!((ping.login, ping.answer), (None, Some(ping.total)));
    }
    assert_eq!(server.connections(), 1);
    drop(prober);
    let heard = server.heard(1).await;
    let commands: Vec<&[u8]> = heard[0][1..].iter().map(Vec::as_slice).collect();
    assert_eq!(commands, [b"\x0e", b"\x0e", b"\x0e", &b"\x01"[..]]);
}

#[tokio::test]
async fn a_lost_connection_is_replaced_within_one_probe() {
    // It answers one ping each; the second finds an end, or a goodbye that came before it.
    for goodbye in [None, Some(&b"\xff\xbf\x0f#HY000The client was disconnected because of inactivity."[..])] {
        let server = Server::start(move |mut peer| async move {
            peer.say(0, &greeting("8.0.36", CAPS, "mysql_native_password")).await;
            let login = peer.hear().await.unwrap().1;
            peer.say(2, OK).await;
            let ping = peer.hear().await.unwrap().1;
            peer.say(1, OK).await;
            if let Some(goodbye) = goodbye {
                peer.say(0, goodbye).await;
            }
            vec![login, ping]
        })
        .await;
        let prober = mysql(server.address, Check::Path);
        for connections in [1, 1, 2, 2, 3] {
            prober.probe(PATIENT).await.unwrap();
            assert_eq!(server.connections(), connections);
            sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn what_a_login_may_not_be_answered_with_has_its_reason() {
    let native = || greeting("8.0.36", CAPS, "mysql_native_password");
    let sha2 = || greeting("8.0.36", CAPS, "caching_sha2_password");
    let plain = |plugin: &str| [b"\xfe", plugin.as_bytes(), b"\0"].concat();
    let long = vec![0; 5000];
    type Row<'a> = (Vec<u8>, &'a [&'a [u8]], R, &'a str);
    let table: [Row<'_>; 14] = [
        (native(), &[b"\xff\x15\x04#28000Access denied"], R::Auth, "1045 (28000): Access denied"),
        (sha2(), &[b"\xff\x10\x04Too many connections"], R::Overloaded, "1040: Too many connections"),
        (native(), &[b"\xff\x69\x04Host 'x' is blocked"], R::Blocked, "1129: Host 'x' is blocked; run FLUSH HOSTS"),
        (native(), &[&switch("mysql_clear_password"), REFUSED], R::Auth, "the server wants the password in clear"),
        (sha2(), &[b"\x01\x04", REFUSED], R::Auth, "the server wants the password in clear"),
        (
            native(),
            &[&switch("caching_sha2_password"), b"\x01\x04", REFUSED],
            R::Auth,
            "the server wants the password in clear",
        ),
        (native(), &[&switch("client_ed25519"), REFUSED], R::Misconfigured, "the user logs in by \"client_ed25519\""),
        (
            native(),
            &[&plain("mysql_native_password"), REFUSED],
            R::Protocol,
            "the server asks for a password without a proper",
        ),
        (
            native(),
            &[&plain("caching_sha2_password"), REFUSED],
            R::Protocol,
            "the server asks for a password without a proper",
        ),
        (native(), &[b"\x01\x04"], R::Protocol, "expected the answer to a login"),
        (native(), &[b"\xfe", REFUSED], R::Misconfigured, "the user logs in by \"mysql_old_password\""),
        (native(), &[b"\x01\x03"], R::Protocol, "expected the answer to a login"),
        (native(), &[b""], R::Protocol, "expected the answer to a login"),
        (native(), &[&long], R::Protocol, "expected a packet of at most 4096 bytes, found 5000"),
    ];
    for (greeting, packets, expected, detail) in table {
        for check in [Check::Path, Check::Deep] {
            let server = Server::scripted(greeting.clone(), packets).await;
            let prober = mysql(server.address, check);
            let outcome = prober.probe(PATIENT).await;
            if check == Check::Path && matches!(expected, R::Auth | R::Misconfigured) {
                // The fault is our login's: the verdict is the greeting, and what is wrong is said.
                assert!(outcome.is_ok(), "{outcome:?}");
                let remark = prober.remark().unwrap();
                assert!(remark.contains(&format!("{expected}: {detail}")), "{remark}");
            } else {
                let failure = outcome.unwrap_err();
                assert_eq!(failure.reason, expected, "{failure}");
                assert!(failure.detail.starts_with(detail), "{failure}");
                assert_eq!(prober.remark(), None);
            }
            server.heard(1).await;
        }
    }
}

#[tokio::test]
async fn what_wants_the_password_in_clear_is_declined_and_left_alone() {
    for packets in [&[&switch("mysql_clear_password")[..]][..], &[&switch("caching_sha2_password"), b"\x01\x04"]] {
        let refusal: &[u8] = b"\xff\x15\x04#28000Access denied";
        let server =
            Server::scripted(greeting("8.0.36", CAPS, "mysql_native_password"), &[packets, &[refusal]].concat()).await;
        let prober = mysql(server.address, Check::Deep);
        let first = prober.probe(PATIENT).await.unwrap_err();
        let heard = server.heard(1).await;
        assert_eq!(heard[0].last().unwrap(), b"\0", "an empty password, for the server to refuse");
        for _ in 0..3 {
            assert_eq!(prober.probe(PATIENT).await, Err(first.clone()));
        }
        assert_eq!(server.connections(), 1, "not again for a while");
    }
}

#[tokio::test]
async fn the_methods_that_hide_the_password_are_followed() {
    let native = || greeting("8.0.36", CAPS, "mysql_native_password");
    let table: [(Vec<u8>, &[&[u8]]); 4] = [
        (greeting("8.0.36", CAPS, "caching_sha2_password"), &[b"\x01\x03"]),
        (native(), &[&switch("caching_sha2_password"), b"\x01\x03"]),
        (greeting("11.4.2-MariaDB", CAPS, "caching_sha2_password"), &[&switch("mysql_native_password")]),
        (greeting("5.7.44", CAPS, "sha256_password"), &[&switch("mysql_native_password")]),
    ];
    for (greeting, packets) in table {
        let packets: Vec<Vec<u8>> = packets.iter().map(|packet| packet.to_vec()).collect();
        let server = Server::start(move |mut peer| {
            let (greeting, packets) = (greeting.clone(), packets.clone());
            async move {
                peer.say(0, &greeting).await;
                let (mut number, login) = peer.hear().await.unwrap();
                for packet in packets {
                    peer.say(number + 1, &packet).await;
                    number += 1;
                    if packet[0] == 0xfe {
                        let (found, answer) = peer.hear().await.unwrap();
                        assert_eq!(found, number + 1);
                        assert!(matches!(answer.len(), 20 | 32), "a scramble");
                        number = found;
                    }
                }
                peer.say(number + 1, OK).await;
                assert_eq!(peer.hear().await.unwrap().1, b"\x03SELECT 1");
                peer.result(b"\x011").await;
                vec![login, peer.hear().await.unwrap().1]
            }
        })
        .await;
        mysql(server.address, Check::Deep).probe(PATIENT).await.unwrap();
        assert_eq!(server.heard(1).await[0][1], b"\x01");
    }
}

#[tokio::test]
async fn what_a_statement_may_not_be_answered_with_has_its_reason() {
    let result = |row: &'static [u8]| vec![&[1][..], COLUMN, EOF, row, EOF];
    let table: Vec<(Vec<&[u8]>, R, &str)> = vec![
        (vec![b"\xfb/etc/shadow"], R::Protocol, "the server asked for a file of this host (LOCAL INFILE)"),
        (vec![b"\xff\x7a\x04#42S02no such table"], R::Misconfigured, "1146 (42S02): no such table"),
        (vec![b"\xff\x25\x05#70100interrupted"], R::Query, "1317 (70100): interrupted"),
        (vec![OK], R::Result, "expected \"1\", found no row"),
        (vec![&[1], COLUMN, EOF, EOF], R::Result, "expected \"1\", found no row"),
        (result(b"\x012"), R::Result, "expected \"1\", found \"2\""),
        (result(b"\xfb"), R::Result, "expected \"1\", found NULL"),
        (result(b"\x051"), R::Protocol, "expected what MySQL sends"),
        (vec![b""], R::Misconfigured, "the statement's result is larger"),
        (vec![b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f"], R::Protocol, "expected a number of columns"),
        (vec![&[1], OK], R::Protocol, "expected the description of a column"),
        (vec![&[1], b"\x03def"], R::Protocol, "expected what MySQL sends"),
        (vec![&[1], COLUMN, COLUMN], R::Protocol, "expected the end of the columns"),
        (vec![&[1], COLUMN, EOF, b"\xff\x25\x05#70100interrupted"], R::Query, "1317 (70100): interrupted"),
    ];
    for (packets, expected, detail) in table {
        let answer: Vec<Vec<u8>> = packets.iter().map(|packet| packet.to_vec()).collect();
        let server = Server::start(move |mut peer| {
            let answer = answer.clone();
            async move {
                peer.say(0, &greeting("8.0.36", CAPS, "mysql_native_password")).await;
                peer.hear().await.unwrap();
                peer.say(2, OK).await;
                peer.hear().await.unwrap();
                for (number, packet) in (1..).zip(&answer) {
                    peer.say(number, packet).await;
                }
                let mut heard = Vec::new();
                while let Some((_, packet)) = peer.hear().await {
                    if packet.is_empty() {
                        peer.say(3, OK).await;
                    }
                    heard.push(packet);
                }
                heard
            }
        })
        .await;
        let failure = mysql(server.address, Check::Deep).probe(PATIENT).await.unwrap_err();
        assert_eq!(failure.reason, expected, "{failure}");
        assert!(failure.detail.starts_with(detail), "{failure}");
        let infile = packets[0][..].starts_with(b"\xfb");
        let expected: &[&[u8]] = if infile { &[b"", b"\x01"] } else { &[b"\x01"] };
        assert_eq!(server.heard(1).await[0], expected, "{failure}: no file, and a goodbye");
    }
}

#[tokio::test]
async fn a_refused_secret_is_not_tried_again_by_anybody() {
    let refusal: &[u8] = b"\xff\x15\x04#28000Access denied for user. internal error: check password failed";
    let start = || greeting("8.0.36", CAPS, "mysql_native_password");
    let (first, second) = (Server::scripted(start(), &[refusal]).await, Server::scripted(start(), &[refusal]).await);
    let probers = probers();
    let prober = |server: &Server, check| {
        probers.prober(&deep(server.address, ProbeKind::Mysql(spec(MysqlTls::Preferred))), check)
    };
    assert_eq!(reason(prober(&first, Check::Deep).probe(PATIENT).await), R::Auth);
    let refused = "auth: not tried again until /etc/privatelinkd/db.pw changes: 1045";
    for server in [&first, &second] {
        let failure = prober(server, Check::Deep).probe(PATIENT).await.unwrap_err();
        assert!(failure.to_string().starts_with(refused), "{failure}");
    }
    assert_eq!((first.connections(), second.connections()), (1, 0));
    // The path check goes on by the greeting, and leaves politely.
    for server in [&first, &second] {
        let prober = prober(server, Check::Path);
        prober.probe(PATIENT).await.unwrap();
        assert!(prober.remark().unwrap().contains(refused));
    }
    for (server, connections) in [(&first, 2), (&second, 1)] {
        let heard = server.heard(connections).await;
        assert!(contains(&heard.last().unwrap()[0], b"privatelinkd-declines\0"));
        assert!(!contains(&heard.last().unwrap().concat(), b"acct"), "nothing of ours");
    }
}

/// A server that says nothing until it is let.
async fn frozen() -> (Server, Arc<Notify>) {
    let thaw = Arc::new(Notify::new());
    let wait = thaw.clone();
    let server = Server::start(move |mut peer| {
        let wait = wait.clone();
        async move {
            wait.notified().await;
            peer.say(0, &greeting("8.0.36", CAPS, "mysql_native_password")).await;
            peer.serve(1, OK).await
        }
    })
    .await;
    (server, thaw)
}

#[tokio::test]
async fn a_late_handshake_is_awaited_and_the_only_one() {
    let (server, thaw) = frozen().await;
    let probers = probers();
    let target = deep(server.address, ProbeKind::Mysql(spec(MysqlTls::Preferred)));
    let [path, deep, other] = [Check::Path, Check::Deep, Check::Deep].map(|check| probers.prober(&target, check));
    for _ in 0..3 {
        let late = path.probe(HASTY).await.unwrap_err();
        assert_eq!(late, Failure::new(R::Timeout, "no greeting after 200ms").met_on_the_way());
        let waiting = deep.probe(HASTY).await.unwrap_err();
        assert_eq!(waiting, Failure::new(R::Timeout, "an earlier handshake with this server not finished after 200ms"));
    }
    assert_eq!(server.connections(), 1, "one unfinished handshake a server");
    // Whoever goes has no turn any more.
    assert!(other.probe(HASTY).await.is_err());
    drop(other);
    for _ in 0..2 {
        thaw.notify_one();
        sleep(Duration::from_millis(50)).await;
    }
    assert!(path.probe(PATIENT).await.unwrap().login.is_none(), "what ended in time for nobody is kept");
    thaw.notify_one();
    deep.probe(PATIENT).await.unwrap();
    drop((path, deep));
    let heard = server.heard(3).await;
    assert!(heard.iter().all(|packets| packets.last().unwrap() == b"\x01"), "each says goodbye: {heard:?}");
}

#[tokio::test]
async fn a_late_handshake_of_a_target_that_has_gone_ends_without_a_secret() {
    let (server, thaw) = frozen().await;
    let prober = mysql(server.address, Check::Path);
    assert_eq!(reason(prober.probe(HASTY).await), R::Timeout);
    drop(prober);
    sleep(Duration::from_millis(50)).await;
    assert!(server.heard.lock().unwrap().is_empty(), "it goes on");
    thaw.notify_one();
    let heard = server.heard(1).await;
    assert!(contains(&heard[0][0], b"privatelinkd-declines\0"));
    assert!(!contains(&heard[0].concat(), b"acct"));
}

#[tokio::test]
async fn a_late_ping_is_awaited() {
    let thaw = Arc::new(Notify::new());
    let wait = thaw.clone();
    let server = Server::start(move |mut peer| {
        let wait = wait.clone();
        async move {
            peer.say(0, &greeting("8.0.36", CAPS, "mysql_native_password")).await;
            peer.hear().await;
            peer.say(2, OK).await;
            let mut heard = Vec::new();
            while let Some((_, packet)) = peer.hear().await {
                if packet == b"\x0e" {
                    wait.notified().await;
                    peer.say(1, OK).await;
                }
                heard.push(packet);
            }
            heard
        }
    })
    .await;
    let prober = mysql(server.address, Check::Path);
    prober.probe(PATIENT).await.unwrap();
    for _ in 0..3 {
        let late = prober.probe(HASTY).await.unwrap_err();
        assert_eq!(late, Failure::new(R::Timeout, "no answer to a ping after 200ms"));
    }
    thaw.notify_one();
    assert!(prober.probe(PATIENT).await.unwrap().login.is_none());
    drop(prober);
    assert_eq!(server.heard(1).await[0], [&b"\x0e"[..], b"\x01"], "one ping was under way");
}

fn matrixone(address: SocketAddr, tls: MysqlTls, check: Check) -> AnyProber {
    let spec = MysqlSpec { login: (check == Check::Deep).then(|| login(PASSWORD)), ..spec(tls) };
    probers().prober(&deep(address, ProbeKind::Matrixone(spec)), check)
}

#[tokio::test]
async fn the_greeting_of_matrixone_is_all_its_path_check_wants() {
    let version = "8.0.30-MatrixOne-v3.0.9";
    let server = Server::start(move |mut peer| async move {
        peer.say(0, &greeting(version, 0x013b_a68f, "mysql_native_password")).await;
        peer.serve(1, OK).await
    })
    .await;
    let prober = matrixone(server.address, MysqlTls::Preferred, Check::Path);
    assert_eq!(prober.overlap(), Overlap::Hedged);
    let timings = prober.probe(PATIENT).await.unwrap();
    assert_eq!(timings.total, timings.tcp + timings.answer.unwrap());
    assert!(server.heard(1).await[0].is_empty(), "not a byte");
    let required = matrixone(server.address, MysqlTls::Required, Check::Path).probe(PATIENT).await.unwrap_err();
    assert_eq!(required, Failure::new(R::TlsHandshake, format!("{version:?} offers no TLS")));
    matrixone(server.address, MysqlTls::Preferred, Check::Deep).probe(PATIENT).await.unwrap();
}

#[tokio::test]
async fn another_product_is_told_from_matrixone_and_not_left_hanging() {
    for check in [Check::Path, Check::Deep] {
        let server = Server::scripted(
            greeting("10.11.19-MariaDB", CAPS, "mysql_native_password"),
            &[b"\xff\x15\x04#28000Access denied"],
        )
        .await;
        let failure = matrixone(server.address, MysqlTls::Preferred, check).probe(PATIENT).await.unwrap_err();
        assert!(
            failure.to_string().starts_with("protocol: expected MatrixOne, found \"10.11.19-MariaDB\""),
            "{failure}"
        );
        let heard = server.heard(1).await;
        assert!(contains(&heard[0][0], b"privatelinkd-declines\0"), "a login to refuse");
        assert!(!contains(&heard[0][0], b"acct"), "that says nothing of ours");
    }
}

#[tokio::test]
async fn what_is_no_greeting_has_its_reason() {
    for (bytes, expected) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], R::Protocol),
        (b"\x17\0\0\0\xff\x10\x04Too many connections", R::Overloaded),
        (b"\x1d\0\0\0\xff\x10\x04#08004Too many connections", R::Overloaded),
        (b"\x01\0\0\x01\x0a", R::Protocol),
        (b"\0\0\0\0", R::Protocol),
        (b"\x05\0\0\0\x0a8", R::Reset),
        (b"", R::Reset),
    ] {
        let server = Server::start(move |mut peer| async move {
            let _ = peer.0.write_all(bytes).await;
            vec![]
        })
        .await;
        for prober in [
            mysql(server.address, Check::Path),
            mysql(server.address, Check::Deep),
            matrixone(server.address, MysqlTls::Preferred, Check::Path),
        ] {
            let failure = prober.probe(PATIENT).await.unwrap_err();
            assert_eq!(failure.reason, expected, "{failure}");
        }
    }
}

/// A server's TLS, and the trust that knows it.
pub(crate) fn tls(name: &str) -> (TlsAcceptor, Trust) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let bundle = TrustBundle { path: "/etc/ca.pem".into(), certificates: vec![certificate.der().to_vec()] };
    (TlsAcceptor::from(Arc::new(config)), Trust::File(Arc::new(bundle)))
}

pub(crate) fn verify(trust: Trust) -> MysqlTls {
    MysqlTls::Verify(TlsSpec { server_name: NAME.parse().unwrap(), trust, expiry_warning: Duration::ZERO })
}

/// A server with TLS that wants the whole password, and takes it.
pub(crate) async fn sealed(acceptor: TlsAcceptor) -> (Server, Arc<Mutex<Vec<Vec<u8>>>>) {
    let within = Arc::new(Mutex::new(Vec::new()));
    let seen = within.clone();
    let server = Server::start(move |mut peer| {
        let (acceptor, seen) = (acceptor.clone(), seen.clone());
        async move {
            peer.say(0, &greeting("8.0.30-MatrixOne-v3", CAPS | SSL, "caching_sha2_password")).await;
            let Some((_, request)) = peer.hear().await else { return vec![] };
            let heard = vec![request];
            let Ok(stream) = acceptor.accept(peer.0).await else { return heard };
            let mut peer = Peer(stream);
            let Some((number, login)) = peer.hear().await else { return heard };
            assert_eq!(number, 2);
            seen.lock().unwrap().push(login);
            peer.say(3, b"\x01\x04").await;
            let Some((4, password)) = peer.hear().await else { return heard };
            let right = password == [PASSWORD.as_bytes(), b"\0"].concat();
            seen.lock().unwrap().push(password);
            peer.say(5, if right { OK } else { b"\xff\x15\x04#28000Access denied" }).await;
            while let Some((_, packet)) = peer.hear().await {
                if packet[0] == 3 {
                    peer.result(b"\x011").await;
                }
                seen.lock().unwrap().push(packet);
            }
            heard
        }
    })
    .await;
    (server, within)
}

#[tokio::test]
async fn a_password_in_clear_goes_only_to_who_has_proved_its_name() {
    let (acceptor, trust) = tls(NAME);
    let (server, within) = sealed(acceptor).await;
    let probe = |tls| {
        let prober = probers().prober(&deep(server.address, ProbeKind::Mysql(spec(tls))), Check::Deep);
        async move { prober.probe(PATIENT).await }
    };
    for (n, tls) in [(1, MysqlTls::Preferred), (2, MysqlTls::Required)] {
        let failure = probe(tls).await.unwrap_err();
        assert_eq!(failure.reason, R::Auth);
        assert!(failure.detail.contains("tls = \"verify\""), "{failure}");
        server.heard(n).await;
        assert_eq!(within.lock().unwrap().pop().unwrap(), b"\0", "an empty password");
    }
    let timings = probe(verify(trust)).await.unwrap();
    assert!(timings.tls.is_some());
    let heard = server.heard(3).await;
    assert_eq!(heard[2][0].len(), 32, "a request for TLS is all that crosses before it");
    let within = within.lock().unwrap();
    assert!(contains(&within.concat(), PASSWORD.as_bytes()));
    assert_eq!(&heard[2][0][..4], &within[2][..4], "the same capabilities before and within");
    assert_eq!(within.last().unwrap(), b"\x01");
}

#[tokio::test]
async fn a_bad_certificate_gets_no_secret_and_no_broken_handshake() {
    let (right, trust) = tls(NAME);
    let (elsewhere, other) = tls("elsewhere.example.com");
    for (acceptor, trust, expected) in [(elsewhere, other, R::TlsName), (right, tls(NAME).1, R::TlsHandshake)] {
        let (server, within) = sealed(acceptor).await;
        for check in [Check::Path, Check::Deep] {
            let kind = ProbeKind::Mysql(spec(verify(trust.clone())));
            let failure = probers().prober(&deep(server.address, kind), check).probe(PATIENT).await.unwrap_err();
            assert_eq!(failure.reason, expected, "{failure}");
        }
        server.heard(2).await;
        let within = within.lock().unwrap();
        assert!(contains(&within[0], b"privatelinkd-declines\0"), "a login to refuse");
        assert!(!contains(&within.concat(), b"acct") && !contains(&within.concat(), PASSWORD.as_bytes()));
    }
    // MatrixOne's path check sees it, too, as long as it lasts.
    let (acceptor, trust) = (tls("elsewhere.example.com").0, trust);
    let (server, _) = sealed(acceptor).await;
    let prober = matrixone(server.address, verify(trust), Check::Path);
    for _ in 0..2 {
        assert_eq!(reason(prober.probe(PATIENT).await), R::TlsHandshake);
    }
}

#[tokio::test]
async fn the_certificate_of_matrixone_is_looked_at_now_and_then() {
    let (acceptor, trust) = tls(NAME);
    let (server, within) = sealed(acceptor).await;
    let prober = matrixone(server.address, verify(trust), Check::Path);
    assert!(prober.probe(PATIENT).await.unwrap().tls.is_some());
    for _ in 0..3 {
        assert!(prober.probe(PATIENT).await.unwrap().tls.is_none());
    }
    let requests: usize = server.heard(4).await.iter().map(Vec::len).sum();
    assert_eq!(requests, 1);
    assert!(within.lock().unwrap().is_empty(), "nobody logged in");
}

#[tokio::test]
async fn no_message_shows_a_secret() {
    let server = healthy().await;
    let kind = ProbeKind::Mysql(spec(MysqlTls::Preferred));
    let probers: Probers = probers();
    for check in [Check::Path, Check::Deep] {
        let prober = probers.prober(&deep(server.address, kind.clone()), check);
        prober.probe(PATIENT).await.unwrap();
        assert!(!format!("{prober:?} {probers:?}").contains(PASSWORD));
    }
}
