//! An HTTPS service with a certificate of its own.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::server::NoServerSessionStorage;
use rustls::{HandshakeKind, ServerConfig};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::gate::{Door, Gate};
use crate::pki::Leaf;
use crate::tcp::{hold, reset};

/// What a connection to an [`HttpsService`] meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpsMode {
    /// Every request is answered with 200.
    Up,
    /// It is refused.
    Refused,
    /// Its TCP handshake is never answered.
    Silent,
    /// It is accepted, and its TLS handshake never answered.
    StallTls,
    /// Every request is answered with this status; 500 if it is none.
    Status(u16),
    /// TLS works, and no request is ever answered.
    StallHttp,
    /// Bytes that are no TLS.
    Garbage,
    /// TLS works, and what it carries is no HTTP.
    GarbageHttp,
    /// It is reset before TLS.
    Reset,
    /// TLS works, then the request is read and the connection closed.
    HangUp,
}

/// What the last request looked like to the server.
#[derive(Debug, Clone)]
pub struct SeenRequest {
    /// The name of the TLS client hello.
    pub server_name: Option<String>,
    /// Method and target, "GET /".
    pub line: String,
    /// All headers.
    pub headers: HeaderMap,
    /// True if the TLS session was resumed, so that no certificate was shown.
    pub resumed: bool,
}

/// An HTTPS service.
pub struct HttpsService {
    gate: Gate,
    shared: Arc<Shared>,
}

struct Shared {
    tls: TlsAcceptor,
    body: Bytes,
    last: Mutex<Option<SeenRequest>>,
}

impl HttpsService {
    /// Starts a service, [`HttpsMode::Up`], that answers with a short body.
    ///
    /// # Errors
    /// If the address can't be bound, or certificate and key don't fit.
    pub async fn start(address: SocketAddr, leaf: Leaf) -> io::Result<Self> {
        Self::with_body(address, leaf, Bytes::from_static(b"hello\n")).await
    }

    /// As [`start`](Self::start), and no session is ever resumed: each handshake is a full one.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn forgetful(address: SocketAddr, leaf: Leaf) -> io::Result<Self> {
        let mut config = server_config(leaf)?;
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Self::serving(address, TlsAcceptor::from(Arc::new(config)), Bytes::from_static(b"hello\n")).await
    }

    /// As [`start`](Self::start), with another body.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn with_body(address: SocketAddr, leaf: Leaf, body: Bytes) -> io::Result<Self> {
        Self::serving(address, acceptor(leaf)?, body).await
    }

    async fn serving(address: SocketAddr, tls: TlsAcceptor, body: Bytes) -> io::Result<Self> {
        let shared = Shared { tls, body, last: Mutex::default() };
        let service = Self { gate: Gate::closed(address), shared: Arc::new(shared) };
        service.set(HttpsMode::Up).await?;
        Ok(service)
    }

    /// Switches the mode and closes all connections; returns when it is in force.
    ///
    /// # Errors
    /// If the address can't be bound again.
    pub async fn set(&self, mode: HttpsMode) -> io::Result<()> {
        let door = match mode {
            HttpsMode::Refused => Door::Closed,
            HttpsMode::Silent => Door::Silent,
            _ => {
                let shared = self.shared.clone();
                Door::Open(Arc::new(move |stream| Box::pin(serve(shared.clone(), stream, mode))))
            }
        };
        self.gate.set(door).await
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.gate.address()
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.gate.accepted()
    }

    /// The last request that was answered.
    #[must_use]
    pub fn last_request(&self) -> Option<SeenRequest> {
        self.shared.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub(crate) fn acceptor(leaf: Leaf) -> io::Result<TlsAcceptor> {
    Ok(TlsAcceptor::from(Arc::new(server_config(leaf)?)))
}

fn server_config(leaf: Leaf) -> io::Result<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(leaf.chain, leaf.key)
        .map_err(io::Error::other)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

async fn serve(shared: Arc<Shared>, stream: TcpStream, mode: HttpsMode) {
    // A failed connection is the client's to report.
    let _ = match mode {
        HttpsMode::Up => answer(&shared, stream, StatusCode::OK).await,
        HttpsMode::Status(code) => {
            let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            answer(&shared, stream, status).await
        }
        HttpsMode::Garbage => garbage(stream).await,
        HttpsMode::Reset => reset(stream),
        HttpsMode::StallHttp => stall(&shared, stream).await,
        HttpsMode::GarbageHttp => garbage_http(&shared, stream).await,
        HttpsMode::HangUp => hang_up(&shared, stream).await,
        // The first two have no connections to serve.
        HttpsMode::Refused | HttpsMode::Silent | HttpsMode::StallTls => {
            hold(stream).await;
            Ok(())
        }
    };
}

async fn answer(shared: &Shared, stream: TcpStream, status: StatusCode) -> io::Result<()> {
    let stream = shared.tls.accept(stream).await?;
    let session = stream.get_ref().1;
    let server_name = session.server_name().map(str::to_owned);
    let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
    let reply = |request: Request<Incoming>| {
        let (parts, _body) = request.into_parts();
        let line = format!("{} {}", parts.method, parts.uri);
        let seen = SeenRequest { server_name: server_name.clone(), line, headers: parts.headers, resumed };
        *shared.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
        let mut response = Response::new(Full::new(shared.body.clone()));
        *response.status_mut() = status;
        async { Ok::<_, Infallible>(response) }
    };
    http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(reply)).await.map_err(io::Error::other)
}

async fn garbage(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(b"SSH-2.0-OpenSSH_9.2p1 and no TLS at all\r\n").await?;
    hold(stream).await;
    Ok(())
}

async fn stall(shared: &Shared, stream: TcpStream) -> io::Result<()> {
    drain(&mut shared.tls.accept(stream).await?).await;
    Ok(())
}

async fn garbage_http(shared: &Shared, stream: TcpStream) -> io::Result<()> {
    let mut stream = shared.tls.accept(stream).await?;
    stream.write_all(b"\x00\xff no HTTP in here\r\n\r\n").await?;
    stream.flush().await?;
    drain(&mut stream).await;
    Ok(())
}

async fn hang_up(shared: &Shared, stream: TcpStream) -> io::Result<()> {
    let mut stream = shared.tls.accept(stream).await?;
    // Any beginning of a request will do.
    let _some = stream.read(&mut [0; 4096]).await?;
    stream.shutdown().await
}

/// Reads until the peer hangs up.
async fn drain(stream: &mut TlsStream<TcpStream>) {
    let mut buffer = [0; 1024];
    while let Ok(1..) = stream.read(&mut buffer).await {}
}
