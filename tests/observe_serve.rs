//! The listeners: who is answered with what, and that nobody can keep others out.

use std::net::SocketAddr;
use std::time::Duration;

use privatelinkd::observe::Snapshot;
use privatelinkd::observe::metrics::Format;
use privatelinkd::observe::serve::{Access, MAX_CONNECTIONS, http, status_socket};
use privatelinkd::observe::status::{State, StatusReport};
use privatelinkd::sys::sockets::{listen_tcp, listen_unix};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::observe_fixture::{degraded, healthy, views};
use crate::support::cases;

struct Server {
    address: SocketAddr,
    token: CancellationToken,
    task: JoinHandle<()>,
}

fn start(snapshot: &Snapshot) -> Server {
    let listener = listen_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let access = Access { hosts: vec!["node1.internal".parse().unwrap()], expose_status: false };
    let token = CancellationToken::new();
    let task = tokio::spawn(http(listener, access, views(snapshot), token.clone()));
    Server { address, token, task }
}

impl Server {
    /// Sends bytes, then no more, and reads the answer to its end.
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        exchange(&mut stream, bytes).await
    }

    async fn ask(&self, method: &str, path: &str, headers: &str) -> (u16, String, String) {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
        split(&self.raw(request.as_bytes()).await)
    }
}

/// A server that answers early may reset the connection while we still write: what it said counts.
async fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> String {
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

fn split(answer: &str) -> (u16, String, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    (code, head.to_ascii_lowercase(), body.to_owned())
}

#[tokio::test]
async fn each_path_has_its_answer() {
    let server = start(&healthy());
    let (code, head, body) = server.ask("GET", "/metrics", "Accept: application/openmetrics-text\r\n").await;
    assert_eq!(code, 200);
    let content_type = format!("content-type: {}\r\n", Format::OpenMetrics.content_type());
    assert!(head.contains(&content_type) && body.ends_with("# EOF\n"), "{head}");
    let (_, head, body) = server.ask("GET", "/metrics", "").await;
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{head}");
    assert!(body.contains("\nprocess_open_fds ") && !body.contains("# EOF"), "{body}");

    assert_eq!(server.ask("GET", "/healthz", "").await.2, "ok\n");
    let (code, head, body) = server.ask("GET", "/readyz", "").await;
    assert_eq!((code, body.as_str()), (200, "ok\n"));
    assert!(head.contains("cache-control: no-store") && head.contains("x-content-type-options: nosniff"));
    let (code, head, body) = server.ask("GET", "/status", "").await;
    assert!(code == 200 && head.contains("content-type: application/json\r\n"), "{head}");
    assert_eq!(serde_json::from_str::<StatusReport>(&body).unwrap().state, State::Ok);
    let (_, _, index) = server.ask("GET", "/", "").await;
    for path in ["/metrics", "/healthz", "/readyz", "/status"] {
        assert!(index.contains(path));
    }
}

#[tokio::test]
async fn readiness_says_why_not() {
    let server = start(&degraded());
    let (code, _, body) = server.ask("GET", "/readyz", "").await;
    assert_eq!(code, 503);
    assert!(body.contains("gw-ledger.example.com is shadowed"), "{body}");
    assert_eq!(server.ask("GET", "/healthz", "").await.0, 200, "the parts are alive all the same");
}

#[tokio::test]
async fn other_hosts_methods_and_paths_are_refused() {
    let server = start(&healthy());
    for (host, code) in [
        ("Host: evil.example\r\n", 421),
        ("Host: node1.internal:9965\r\n", 200),
        ("Host: 127.0.0.1\r\n", 200),
        ("Host: localhost\r\nHost: localhost\r\n", 400),
        ("Host: \x7f\u{e4}\r\n", 400),
        ("", 400),
    ] {
        let request = format!("GET /healthz HTTP/1.1\r\n{host}Connection: close\r\n\r\n");
        assert_eq!(split(&server.raw(request.as_bytes()).await).0, code, "{host:?}");
    }
    assert_eq!(split(&server.raw(b"GET /healthz HTTP/1.0\r\n\r\n").await).0, 200);
    let (code, head, _) = server.ask("POST", "/metrics", "Content-Length: 1000000\r\n").await;
    assert!(code == 405 && head.contains("allow: get, head"), "{head}");
    assert_eq!(server.ask("GET", "/nothing", "").await.0, 404);
}

#[tokio::test]
async fn a_head_has_the_same_head_and_no_body() {
    let server = start(&healthy());
    let (code, head, body) = server.ask("HEAD", "/", "").await;
    let (_, get, index) = server.ask("GET", "/", "").await;
    assert_eq!((code, body.as_str()), (200, ""));
    let length = format!("content-length: {}", index.len());
    assert!(head.contains(&length) && get.contains(&length), "{head}");
}

#[tokio::test]
async fn bodies_are_never_read() {
    let server = start(&healthy());
    // The announced body never comes: whoever waited for it would hang.
    let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n";
    let (code, head, _) = split(&server.raw(request.as_bytes()).await);
    assert!(code == 200 && head.contains("connection: close"), "{head}");
}

#[tokio::test]
async fn a_connection_can_be_used_again() {
    let server = start(&healthy());
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    for _ in 0..3 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nok\n") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
        }
    }
}

#[tokio::test]
async fn idle_clients_make_room() {
    let server = start(&healthy());
    let mut idle = Vec::new();
    for _ in 0..MAX_CONNECTIONS + 8 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
        idle.push(stream);
    }
    assert_eq!(server.ask("GET", "/healthz", "").await.0, 200, "a scraper is answered while others dawdle");
    for stream in &mut idle[..9] {
        assert!(matches!(stream.read(&mut [0; 64]).await, Ok(0) | Err(_)), "the oldest had to go");
    }
    let last = idle.last_mut().unwrap();
    assert_eq!(split(&exchange(last, b"Host: localhost\r\nConnection: close\r\n\r\n").await).0, 200);
}

#[tokio::test(start_paused = true)]
async fn who_never_finishes_a_request_is_cut_off() {
    let server = start(&healthy());
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: loc").await.unwrap();
    let mut answer = Vec::new();
    // Hangs if the server does not close.
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).contains(" 200 "));
}

#[tokio::test]
async fn huge_headers_are_refused() {
    let server = start(&healthy());
    let request = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    let answer = server.raw(request.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert_eq!(server.ask("GET", "/healthz", "").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn the_listener_ends_with_its_token() {
    let server = start(&healthy());
    let _idle = TcpStream::connect(server.address).await.unwrap();
    server.token.cancel();
    server.task.await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn the_status_socket_tells_and_never_listens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("status.sock");
    let listener = listen_unix(&path).await.unwrap();
    let token = CancellationToken::new();
    let task = tokio::spawn(status_socket(listener, views(&degraded()), token.clone()));
    let _silent: Vec<_> = {
        let mut silent = Vec::new();
        for _ in 0..MAX_CONNECTIONS + 8 {
            silent.push(UnixStream::connect(&path).await.unwrap());
        }
        silent
    };
    let mut stream = UnixStream::connect(&path).await.unwrap();
    // Noise is left unread; the report comes all the same.
    let _ = stream.write_all(b"DROP TABLE names;").await;
    let mut json = Vec::new();
    let _ = stream.read_to_end(&mut json).await;
    let report: StatusReport = serde_json::from_slice(&json).unwrap();
    assert_eq!((report.schema, report.state), (1, State::Degraded));
    token.cancel();
    task.await.unwrap();
}

/// Requests in pieces, right and wrong ones mixed.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "GET ",
        "HEAD ",
        "POST ",
        "/metrics",
        "/status",
        "http://localhost/",
        " HTTP/1.1\r\n",
        " HTTP/1.0\r\n",
        "Host: localhost\r\n",
        "Host: [::1]:9965\r\n",
        "Host: ",
        "Accept: application/openmetrics-text;q=0.5\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close\r\n",
        "Expect: 100-continue\r\n",
        "\r\n",
        "\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ])
    .prop_map(|s| s.as_bytes().to_vec());
    let piece = prop_oneof![6 => known, 1 => prop::collection::vec(any::<u8>(), 0..40)];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

#[test]
fn random_requests_neither_break_nor_hang_the_server() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = runtime.block_on(async { start(&healthy()) });
    // Each case is a connection of its own, some ten times dearer than a pure one.
    let mut runner = TestRunner::new(Config { cases: (cases() / 5).max(100), ..Config::default() });
    let outcome = runner.run(&noise(), |bytes| {
        let answer = runtime.block_on(async {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            let talk = async {
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
                let mut answer = Vec::new();
                let _ = stream.read_to_end(&mut answer).await;
                answer
            };
            // Only a guard against a hang: the end of the request is told at once, so nothing waits for it.
            tokio::time::timeout(Duration::from_secs(60), talk).await
        });
        let answer = answer.map_err(|_| TestCaseError::fail("no end"))?;
        prop_assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{:?}", String::from_utf8_lossy(&answer));
        Ok(())
    });
    outcome.unwrap();
    runtime.block_on(async { assert_eq!(server.ask("GET", "/healthz", "").await.0, 200) });
    assert!(!server.task.is_finished());
}

proptest! {
    #![proptest_config(Config { cases: cases(), ..Config::default() })]

    #[test]
    fn any_accept_header_gives_a_format(accept in "([a-z/*;=q0-9.,-]{0,20}(application/openmetrics-text|text/plain)?[;q=01.]{0,8}){0,3}") {
        let format = Format::negotiate(Some(&accept));
        prop_assert!(format == Format::Text || accept.contains("openmetrics"));
    }
}
