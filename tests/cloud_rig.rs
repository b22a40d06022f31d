//! A scripted HTTP server on loopback, and clients of it on a hurried clock.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use privatelinkd::cloud::http::{Http, Setup, Timeouts};
use privatelinkd::cloud::openapi::Client;
use privatelinkd::cloud::openapi::api_hosts::{Hosts, Origin};
use privatelinkd::cloud::openapi::retry::RetryPolicy;
use privatelinkd::cloud::sign::Keys;
use privatelinkd::model::{Secret, Trust};
use privatelinkd::sys::clock::Clock;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// A request as the server saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
    pub(crate) at: Instant,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// A parameter of the query, as it is encoded.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        let query = self.line.split(' ').nth(1)?.split_once('?')?.1;
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }
}

/// How the server answers.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// These bytes, then the connection is closed.
    Bytes(Vec<u8>),
    /// These bytes, then one more every so often, for ever.
    Drip(Vec<u8>, Duration),
    /// Nothing, and the connection stays open.
    Silence,
}

/// A whole answer.
pub(crate) fn answer(status: u16, headers: &str, body: &str) -> Answer {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n");
    Answer::Bytes([head.as_bytes(), body.as_bytes()].concat())
}

/// A JSON answer.
pub(crate) fn json(status: u16, body: &str) -> Answer {
    answer(status, "content-type: application/json\r\n", body)
}

type Script = dyn Fn(&Seen, usize) -> Answer + Send + Sync;

/// The server. It lives as long as the test's runtime.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// Answers the n-th request (from 0) with what the script says.
    pub(crate) async fn start(script: impl Fn(&Seen, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (log, script): (_, Arc<Script>) = (seen.clone(), Arc::new(script));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, log.clone(), script.clone()));
            }
        });
        Self { address, seen }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn origin(&self) -> Origin {
        Origin::parse(&format!("http://{}", self.address)).unwrap()
    }
}

async fn serve(mut stream: TcpStream, log: Arc<Mutex<Vec<Seen>>>, script: Arc<Script>) {
    let Some(seen) = read(&mut stream).await else { return };
    let number = {
        let mut log = log.lock().unwrap();
        log.push(seen.clone());
        log.len() - 1
    };
    // A client that has heard enough hangs up.
    let _ = match script(&seen, number) {
        Answer::Bytes(bytes) => stream.write_all(&bytes).await,
        Answer::Drip(bytes, every) => {
            let mut written = stream.write_all(&bytes).await;
            while written.is_ok() {
                tokio::time::sleep(every).await;
                written = stream.write_all(b" ").await;
            }
            written
        }
        Answer::Silence => std::future::pending().await,
    };
}

async fn read(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        stream.read_buf(&mut bytes).await.ok().filter(|n| *n > 0)?;
    };
    let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap().to_owned();
    let headers: BTreeMap<_, _> =
        lines.filter_map(|l| l.split_once(": ")).map(|(n, v)| (n.to_ascii_lowercase(), v.to_owned())).collect();
    let length: usize = headers.get("content-length").map_or(0, |l| l.parse().unwrap());
    while bytes.len() < head + 4 + length {
        stream.read_buf(&mut bytes).await.ok().filter(|n| *n > 0)?;
    }
    let body = String::from_utf8(bytes[head + 4..].to_vec()).unwrap();
    Some(Seen { line, headers, body, at: Instant::now() })
}

/// Lets the paused clock run fifty times as fast as the real one. Left alone it would jump over whatever the kernel
/// still has in flight between two sockets.
pub(crate) fn hurry() {
    tokio::spawn(async {
        loop {
            std::thread::sleep(Duration::from_micros(200));
            tokio::time::advance(Duration::from_millis(10)).await;
        }
    });
}

/// Names that lead to loopback; any other has no address.
pub(crate) struct Names(pub(crate) &'static [&'static str]);

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let known = self.0.contains(&name.as_str());
        Box::pin(async move {
            if !known {
                return Err("no such name".into());
            }
            Ok(Box::new(std::iter::once(SocketAddr::from(([127, 0, 0, 1], 0)))) as Addrs)
        })
    }
}

pub(crate) const TIMEOUTS: Timeouts =
    Timeouts { connect: Duration::from_secs(3), read: Duration::from_secs(10), whole: Duration::from_secs(20) };

pub(crate) fn http(names: &'static [&'static str], trust: Option<Trust>) -> Arc<Http> {
    Arc::new(Http::new(Setup { trust, resolver: Arc::new(Names(names)), timeouts: TIMEOUTS, proxy: None }))
}

pub(crate) fn client(hosts: Hosts) -> Client {
    Client::new(http(&[], None), hosts, RetryPolicy::default(), Clock::tokio())
}

pub(crate) fn keys(id: &str) -> Keys {
    Keys { id: id.to_owned(), secret: Secret::new("hunter2".to_owned()), token: None }
}

/// An address where nobody listens.
pub(crate) async fn closed() -> Origin {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Origin::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap()
}
