//! One HTTP/1.1 request over a stream that is already open, and the answer to it, bounded.
//!
//! Nothing is judged here. No redirect is followed, no compression asked for, and no message ever shows the request: a
//! token may stand in its target, a secret in its headers.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::future::{Future, pending};
use std::io;
use std::iter::successors;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout_at};

use super::dial::{self, Deadline, Stream};
use super::faults::{misconfigured, protocol};
use crate::model::{Failure, FailureReason};

/// The most of an answer's head that is read.
const MAX_HEAD: usize = 8 * 1024;
/// The most of a body that is kept.
pub(crate) const MAX_BODY: usize = 64 * 1024;
/// How long a polite end is waited for, so that the server is not cut off.
pub(super) const GRACE: Duration = Duration::from_millis(100);

/// A request, to be sent any number of times.
pub(crate) struct Exchange(pub(super) Request<Full<Bytes>>);

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exchange({} …)", self.0.method())
    }
}

/// How much of an answer's body is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// None: the status decides, whatever comes behind it.
    Head,
    /// All of it, up to [`MAX_BODY`].
    Body,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    /// The status code.
    pub(crate) status: u16,
    /// The body; empty if it was not wanted.
    pub(crate) body: Vec<u8>,
    /// Whether the body goes on after [`MAX_BODY`].
    pub(crate) cut: bool,
    /// From the request to the end of the answer's head.
    pub(crate) took: Duration,
    /// From the request to the end of the answer.
    pub(crate) whole: Duration,
}

impl Exchange {
    /// A request. `content-length` and `connection` are set here.
    ///
    /// # Errors
    /// [`FailureReason::Misconfigured`] for a method or target that HTTP can't carry.
    pub(crate) fn new(method: &str, target: &str, headers: HeaderMap, body: Bytes) -> Result<Self, Failure> {
        let wrong = |what: &str| misconfigured(format_args!("{what}: HTTP can't carry it"));
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::from_bytes(method.as_bytes()).map_err(|_| wrong("method"))?;
        *request.uri_mut() = Uri::try_from(target).map_err(|_| wrong("path"))?;
        *request.headers_mut() = headers;
        let agent = header::HeaderValue::from_static(concat!("privatelinkd/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().entry(header::USER_AGENT).or_insert(agent);
        // Said, since a front may else ask what is behind it for gzip, and hand that on.
        let plain = header::HeaderValue::from_static("identity");
        request.headers_mut().entry(header::ACCEPT_ENCODING).or_insert(plain);
        request.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
        Ok(Self(request))
    }

    /// Sends the request and reads the answer. Once enough is known the rest of a short answer is read and the stream
    /// shut down politely, 100 ms at most.
    ///
    /// # Errors
    /// No answer, no HTTP, or a body that breaks off where it was wanted.
    pub(crate) async fn run(
        &self,
        stream: &mut impl Stream,
        wanted: Wanted,
        deadline: Deadline,
    ) -> Result<Response, Failure> {
        let mut client = http1::Builder::new();
        client.max_buf_size(MAX_HEAD);
        let shaken = client.handshake::<_, Full<Bytes>>(TokioIo::new(&mut *stream)).await;
        let (mut sender, connection) = shaken.map_err(|e| failure_of(&e))?;
        let ask = async {
            let started = Instant::now();
            let send = async { sender.send_request(self.0.clone()).await.map_err(|e| failure_of(&e)) };
            let response = deadline.cover("no HTTP answer", send).await?;
            let (took, status) = (started.elapsed(), response.status().as_u16());
            let mut answer = Response { status, body: Vec::new(), cut: false, took, whole: took };
            match wanted {
                Wanted::Head => {
                    let _ = timeout_at(deadline.at_most(GRACE), read_body(response.into_body(), MAX_HEAD)).await;
                }
                Wanted::Body => {
                    let body = read_body(response.into_body(), MAX_BODY);
                    (answer.body, answer.cut) = deadline.cover("the answer's body has no end", body).await?;
                    answer.whole = started.elapsed();
                }
            }
            Ok(answer)
        };
        let outcome = tokio::select! {
            biased;
            outcome = ask => outcome,
            never = run_connection(connection) => match never {},
        };
        if outcome.is_ok() {
            let _ = timeout_at(deadline.at_most(GRACE), stream.shutdown()).await;
        }
        outcome
    }
}

/// Moves bytes until the connection ends. How it ended is told to the waiting request.
async fn run_connection(connection: impl Future<Output = hyper::Result<()>>) -> Infallible {
    let _ = connection.await;
    pending().await
}

/// Reads a body of at most `most` bytes to its end, and the beginning of a longer one, of which it says so.
async fn read_body(mut body: Incoming, most: usize) -> Result<(Vec<u8>, bool), Failure> {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| failure_of(&e))?;
        let data = frame.data_ref().map_or(&[] as &[u8], |data| data);
        if read.len() + data.len() > most {
            read.extend_from_slice(&data[..most - read.len()]);
            return Ok((read, true));
        }
        read.extend_from_slice(data);
        if body.is_end_stream() {
            break;
        }
    }
    Ok((read, false))
}

/// What a status says that moves no name, because every zone would say it: HTTP itself calls it the request's or its
/// sender's fault, or says where else to ask and how. Not so a 404, or a redirect that makes a page for browsers of the
/// request: a front says that, too, that has lost what was behind it.
pub(crate) fn reason_of_request_fault(status: u16) -> Option<FailureReason> {
    Some(match status {
        401 => FailureReason::Auth,
        402 => FailureReason::Suspended,
        403 | 451 => FailureReason::NotAllowed,
        429 => FailureReason::Overloaded,
        404 | 408 => return None,
        307 | 308 | 400..=499 | 501 | 505 => FailureReason::Misconfigured,
        _ => return None,
    })
}

/// The `Host` header of a name and port.
///
/// # Errors
/// [`FailureReason::Misconfigured`] if it can't be one.
pub(crate) fn host_header(name: &str, port: u16) -> Result<header::HeaderValue, Failure> {
    let host = if port == 443 { name.to_owned() } else { format!("{name}:{port}") };
    header::HeaderValue::try_from(host).map_err(|e| misconfigured(format_args!("server_name: {e}")))
}

/// The reason is somewhere down the chain of causes: an I/O error if there is one, else the innermost.
fn failure_of(error: &hyper::Error) -> Failure {
    let causes = || successors(Some(error as &(dyn Error + 'static)), |&cause| cause.source());
    match causes().find_map(<dyn Error>::downcast_ref::<io::Error>) {
        // What hyper says of chunks, or of trailers, that are none; a socket's errors have numbers.
        Some(io) if io.kind() == io::ErrorKind::InvalidInput && io.raw_os_error().is_none() => {
            return protocol(format_args!("HTTP exchange: {io}"));
        }
        Some(io) => return dial::failure("HTTP exchange", io),
        None => {}
    }
    let innermost = causes().last().unwrap_or(error);
    let reason = match innermost.downcast_ref::<hyper::Error>() {
        Some(e) if e.is_incomplete_message() || e.is_closed() || e.is_canceled() => FailureReason::Reset,
        _ => FailureReason::Protocol,
    };
    Failure::new(reason, format_args!("HTTP exchange: {innermost}"))
}
