//! HTTP, plain and over TLS.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use super::delivery::Told;
use crate::cloud::api::{How, Reply, Request};
use crate::gate::Handler;

/// What answers requests.
pub(in crate::cloud) type Answerer = Arc<dyn Fn(Request) -> Pin<Box<dyn Future<Output = Reply> + Send>> + Send + Sync>;

/// Much more than any request of ours has.
const LONGEST_BODY: usize = 1 << 20;

/// Serves connections, over TLS if an acceptor is given.
pub(in crate::cloud) fn handler(answerer: Answerer, tls: Option<TlsAcceptor>) -> Handler {
    Arc::new(move |stream| Box::pin(connection(answerer.clone(), tls.clone(), stream)))
}

async fn connection(answerer: Answerer, tls: Option<TlsAcceptor>, stream: TcpStream) {
    // A failed connection is the client's to report.
    let Ok(socket) = stream.as_fd().try_clone_to_owned() else { return };
    let _ = stream.set_nodelay(true);
    match tls {
        None => serve(answerer, stream, socket).await,
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => serve(answerer, stream, socket).await,
            Err(_) => drop(socket),
        },
    }
}

/// `socket` is the connection's own, to set how it ends.
async fn serve<S>(answerer: Answerer, stream: S, socket: OwnedFd)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let respond = |request: hyper::Request<Incoming>| {
        let (answerer, socket) = (&answerer, &socket);
        async move { deliver(answerer(read(request).await?).await, socket).await }
    };
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(respond)).await;
}

async fn read(request: hyper::Request<Incoming>) -> io::Result<Request> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, LONGEST_BODY).collect().await.map_err(io::Error::other)?.to_bytes().to_vec();
    let header = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    Ok(Request {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers.iter().map(header).collect(),
        body,
    })
}

/// An error closes the connection without an answer.
async fn deliver(reply: Reply, socket: &OwnedFd) -> io::Result<Response<Told>> {
    sleep(reply.delivery.delay).await;
    match reply.delivery.how {
        How::Never => std::future::pending().await,
        How::HangUp => return Err(io::ErrorKind::ConnectionAborted.into()),
        How::Reset => {
            SockRef::from(socket).set_linger(Some(Duration::ZERO))?;
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        How::Whole | How::Drip { .. } | How::Cut { .. } => {}
    }
    let mut response = Response::new(Told::new(reply.body, reply.delivery.how));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in reply.headers {
        // What a fault made up may be no header.
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(&value)) {
            response.headers_mut().append(name, value);
        }
    }
    Ok(response)
}
