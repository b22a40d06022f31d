//! Carries the renderings to clients, on listeners that are handed in already open.
//!
//! What comes in is not trusted and hardly read: no request body, no more than 8 KiB of headers, nothing at all on the
//! status socket. Clients that are slow, silent or many cost a bounded number of connections for a bounded time; the
//! oldest connection makes room for a new one, so that slow clients can't keep a scraper out.

mod deadline;
mod http;
mod request;

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::{Pages, Views, status};
use crate::sys::log_queue::PROVOKED;

pub use http::http;
pub use request::Access;

/// Connections at once, a listener.
pub const MAX_CONNECTIONS: usize = 32;
/// How long a client may take to send its request, and how long to take the answer.
pub const CLIENT_DEADLINE: Duration = Duration::from_secs(5);
/// After a failed `accept`, such as for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Writes the report as JSON to each client that connects, and closes. Reads nothing.
pub async fn status_socket(listener: UnixListener, views: Views, token: CancellationToken) {
    let mut connections = Connections::default();
    while let Some((stream, _)) = next_connection("the status socket", || listener.accept(), &token).await {
        connections.spawn(write_report(stream, views.clone()));
    }
}

async fn write_report(mut stream: UnixStream, views: Views) {
    let mut report = report_json(&views);
    let write = async {
        stream.write_all_buf(&mut report).await?;
        stream.shutdown().await
    };
    // A client that went away or does not read is no business of ours.
    let _ = tokio::time::timeout(CLIENT_DEADLINE, write).await;
}

/// The JSON of `status --json`, with a newline.
fn report_json(views: &Views) -> Pages {
    let report = status::report(&views.snapshot());
    let mut json = Pages::default();
    // Every key of the report is a string, so that it can always be written, and pages take everything.
    let _ = serde_json::to_writer(&mut json, &report);
    json.append(b"\n");
    json
}

/// What the listener accepts next; `None` once the token is cancelled.
async fn next_connection<C, F>(listener: &str, accept: impl Fn() -> F, token: &CancellationToken) -> Option<C>
where
    F: Future<Output = std::io::Result<C>>,
{
    loop {
        match token.run_until_cancelled(accept()).await? {
            Ok(connection) => return Some(connection),
            Err(error) => tracing::warn!(target: PROVOKED, %error, "{listener} can't accept a connection"),
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

/// The running connections of one listener: bounded, and gone with it.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    oldest_first: std::collections::VecDeque<AbortHandle>,
}

impl Connections {
    /// Runs one more; the oldest makes room for it.
    fn spawn(&mut self, connection: impl Future<Output = ()> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        self.oldest_first.retain(|c| !c.is_finished());
        if self.oldest_first.len() >= MAX_CONNECTIONS
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            oldest.abort();
        }
        self.oldest_first.push_back(self.tasks.spawn(connection));
    }

    /// Waits until all have ended, at most for `limit`.
    async fn drain(mut self, limit: Duration) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        // What is left is aborted with the set.
        let _ = tokio::time::timeout(limit, all).await;
    }
}
