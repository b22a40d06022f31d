//! The HTTP listener.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::deadline::WriteDeadline;
use super::request::{Access, Ends, Route, route};
use super::{CLIENT_DEADLINE, Connections, next_connection, report_json};
use crate::observe::{Pages, Views, metrics, status};
use crate::sys::process_stats::ProcessStats;

/// hyper's smallest buffer; it bounds the headers of a request, too.
const BUFFER: usize = 8 * 1024;
/// For answers under way when the agent stops.
const DRAIN: Duration = Duration::from_millis(500);
const TEXT: &str = "text/plain; charset=utf-8";

/// Answers on the listener until the token is cancelled.
pub async fn http(listener: TcpListener, access: Access, views: Views, token: CancellationToken) {
    let site = Arc::new(Site { access, views });
    let mut connections = Connections::default();
    while let Some((stream, _)) = next_connection("the HTTP listener", || listener.accept(), &token).await {
        connections.spawn(serve(stream, Arc::clone(&site), token.clone()));
    }
    drop(listener);
    connections.drain(DRAIN).await;
}

struct Site {
    access: Access,
    views: Views,
}

async fn serve(stream: TcpStream, site: Arc<Site>, token: CancellationToken) {
    let (Ok(local), Ok(peer)) = (stream.local_addr(), stream.peer_addr()) else { return };
    let ends = Ends::new(local, peer);
    let service = service_fn(|request| {
        let site = Arc::clone(&site);
        async move { Ok::<_, Infallible>(site.answer(request, ends).await) }
    });
    let io = TokioIo::new(WriteDeadline::new(stream, CLIENT_DEADLINE));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(CLIENT_DEADLINE)
        .max_buf_size(BUFFER)
        .serve_connection(io, service);
    tokio::pin!(connection);
    // How a connection ends, well or not, is its client's affair.
    tokio::select! {
        _ = &mut connection => {}
        () = token.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

impl Site {
    async fn answer(&self, request: Request<Incoming>, ends: Ends) -> Response<Full<Pages>> {
        let (parts, body) = request.into_parts();
        let mut response = match route(&parts, ends, &self.access) {
            Route::Metrics(format) => self.metrics(format).await,
            Route::Healthz => verdict(status::healthy(&self.views.snapshot())),
            Route::Readyz => verdict(status::ready(&self.views.snapshot())),
            Route::Status => text(StatusCode::OK, "application/json", report_json(&self.views)),
            Route::Index => text(StatusCode::OK, TEXT, INDEX.to_owned()),
            Route::Refuse(code, why) => text(code, TEXT, format!("{why}\n")),
        };
        let headers = response.headers_mut();
        if !body.is_end_stream() {
            // The body is not read, so that nothing can follow it.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }

    async fn metrics(&self, format: metrics::Format) -> Response<Full<Pages>> {
        let process = tokio::task::spawn_blocking(ProcessStats::read).await.unwrap_or_default();
        let body = metrics::render(&self.views.snapshot(), &process, format);
        text(StatusCode::OK, format.content_type(), body)
    }
}

const INDEX: &str = "\
privatelinkd
  /metrics  for Prometheus
  /healthz  are all parts alive?
  /readyz   is the plan published, and does nothing shadow it?
  /status   everything known, as JSON
";

fn verdict(verdict: Result<(), Vec<String>>) -> Response<Full<Pages>> {
    match verdict {
        Ok(()) => text(StatusCode::OK, TEXT, "ok\n".to_owned()),
        Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, TEXT, why.join("\n") + "\n"),
    }
}

fn text(code: StatusCode, content_type: &'static str, body: impl Into<Pages>) -> Response<Full<Pages>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if code == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}
