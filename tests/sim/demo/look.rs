//! What the agent says of itself: over its status socket, and over HTTP.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use privatelinkd::observe::status::StatusReport;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// An agent that lives answers at once.
const PATIENCE: Duration = Duration::from_secs(2);

/// The report of the status socket, as `privatelinkd status` gets it.
pub(crate) async fn status(socket: &Path) -> io::Result<StatusReport> {
    let ask = async {
        let mut bytes = Vec::new();
        UnixStream::connect(socket).await?.read_to_end(&mut bytes).await?;
        Ok(serde_json::from_slice(&bytes)?)
    };
    timeout(PATIENCE, ask).await?
}

/// The reply to a GET, as Prometheus gets it.
pub(crate) async fn get(at: SocketAddr, path: &str) -> io::Result<String> {
    let ask = async {
        let mut stream = TcpStream::connect(at).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await?;
        Ok(reply)
    };
    timeout(PATIENCE, ask).await?
}
