//! One connection: TLS, HTTP, and what else can become of it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, LOCATION};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::answer::{Asked, How, answer, takes_gzip};
use super::body::{Told, gzip};
use super::mode::TdengineMode;
use super::{Shared, TdengineRequest};
use crate::identity::Handshake;
use crate::pki::Certificate;
use crate::tcp::{hold, reset};

/// Much more than any statement of ours.
const LONGEST_BODY: usize = 1 << 20;

/// Serves one connection.
pub(super) async fn serve(shared: Arc<Shared>, mut stream: TcpStream, mode: Arc<TdengineMode>) {
    let _ = stream.set_nodelay(true);
    // A failed connection is the client's to report.
    let _ = match &*mode {
        TdengineMode::Refused | TdengineMode::Silent | TdengineMode::StallTls => {
            hold(stream).await;
            Ok(())
        }
        TdengineMode::Reset => reset(stream),
        TdengineMode::HangUp => Ok(()),
        TdengineMode::Garbage => {
            let said = stream.write_all(b"SSH-2.0-OpenSSH_9.2p1 and no TLS at all\r\n").await;
            hold(stream).await;
            said
        }
        _ => secured(&shared, stream, &mode).await,
    };
}

async fn secured(shared: &Shared, stream: TcpStream, mode: &TdengineMode) -> io::Result<()> {
    let certificate = match mode {
        TdengineMode::Certificate(certificate) => *certificate,
        _ => Certificate::Good,
    };
    let accepted = shared.identity.accept(certificate, stream).await;
    shared.count(|counts| match &accepted {
        Ok((_, handshake)) if handshake.resumed => counts.tls_resumed += 1,
        Ok(_) => counts.tls_full += 1,
        Err(_) => counts.tls_failed += 1,
    });
    let (mut stream, handshake) = accepted?;
    match mode {
        TdengineMode::StallHttp => {
            drain(&mut stream).await;
            Ok(())
        }
        TdengineMode::GarbageHttp => {
            stream.write_all(b"\x00\xff no HTTP in here\r\n\r\n").await?;
            stream.flush().await?;
            drain(&mut stream).await;
            Ok(())
        }
        TdengineMode::HangUpOnRequest => {
            // Any beginning of a request will do.
            let _some = stream.read(&mut [0; 4096]).await?;
            stream.shutdown().await
        }
        _ => {
            let respond = |request| respond(shared, mode, &handshake, request);
            let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(respond)).await;
            served.map_err(io::Error::other)
        }
    }
}

/// Reads until the peer hangs up.
async fn drain(stream: &mut TlsStream<TcpStream>) {
    let mut buffer = [0; 1024];
    while let Ok(1..) = stream.read(&mut buffer).await {}
}

async fn respond(
    shared: &Shared,
    mode: &TdengineMode,
    handshake: &Handshake,
    request: Request<Incoming>,
) -> io::Result<Response<Told>> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, LONGEST_BODY).collect().await.map_err(io::Error::other)?.to_bytes();
    let asked = Asked {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        headers: &parts.headers,
        body: &body,
    };
    let mut reply = answer(&asked, &shared.setup(), mode);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers: BTreeMap<String, String> =
        parts.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect();
    shared.saw(TdengineRequest {
        server_name: handshake.server_name.clone(),
        resumed: handshake.resumed,
        line: format!("{} {}", parts.method, parts.uri),
        headers,
        body: text(&body),
        status: reply.status,
        authenticated: reply.authenticated,
    });
    let zipped = reply.how == How::Whole && !reply.body.is_empty() && takes_gzip(&parts.headers);
    if zipped {
        reply.body = gzip(&reply.body);
    }
    let mut response = Response::new(Told::new(reply.body, reply.how, reply.chunked));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply.kind));
    if zipped {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    // What a test made up may be no header.
    if let Some(location) = reply.location.and_then(|location| HeaderValue::try_from(location).ok()) {
        headers.insert(LOCATION, location);
    }
    Ok(response)
}
