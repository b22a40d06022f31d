//! A service that accepts connections and says nothing.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use socket2::SockRef;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::gate::{Door, Gate};

/// What a connection to a [`TcpService`] meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TcpMode {
    /// It is accepted, and kept until the peer hangs up.
    Up,
    /// It is refused.
    Refused,
    /// Its handshake is never answered.
    Silent,
}

/// A plain TCP service.
pub struct TcpService {
    gate: Gate,
}

impl TcpService {
    /// Starts a service, [`TcpMode::Up`].
    ///
    /// # Errors
    /// If the address can't be bound.
    pub async fn start(address: SocketAddr) -> io::Result<Self> {
        let service = Self { gate: Gate::closed(address) };
        service.set(TcpMode::Up).await?;
        Ok(service)
    }

    /// Switches the mode and closes all connections; returns when it is in force.
    ///
    /// # Errors
    /// If the address can't be bound again.
    pub async fn set(&self, mode: TcpMode) -> io::Result<()> {
        let door = match mode {
            TcpMode::Up => Door::Open(Arc::new(|stream| Box::pin(hold(stream)))),
            TcpMode::Refused => Door::Closed,
            TcpMode::Silent => Door::Silent,
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
}

/// Reads until the peer hangs up.
pub(crate) async fn hold(mut stream: TcpStream) {
    let mut buffer = [0; 1024];
    while let Ok(1..) = stream.read(&mut buffer).await {}
}

/// Closes a connection by a reset.
pub(crate) fn reset(stream: TcpStream) -> io::Result<()> {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))
}
