//! An address that attempts are made at, and whether they get a connection there.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};

use super::dial::{self, Connected, Deadline};
use crate::model::Failure;

/// Where a prober's attempts go. Of attempts that overlap the one that was heard of last is told.
#[derive(Debug)]
pub struct Remote {
    address: SocketAddr,
    connection: AtomicU8,
}

/// No attempt has been made.
const NONE: u8 = 0;
/// One is under way, and not connected.
const SOUGHT: u8 = 1;
/// It failed.
const FAILED: u8 = 2;
/// It got a connection, whatever came of that.
const MADE: u8 = 3;

impl Remote {
    /// An address and port that was not tried yet.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, connection: AtomicU8::new(NONE) }
    }

    /// See [`dial::connect`].
    ///
    /// # Errors
    /// Why there is no connection.
    pub async fn connect(&self, deadline: Deadline) -> Result<Connected, Failure> {
        self.connection.store(SOUGHT, Ordering::Relaxed);
        let connected = dial::connect(self.address, deadline).await;
        self.connection.store(if connected.is_ok() { MADE } else { FAILED }, Ordering::Relaxed);
        connected
    }

    /// Whether the latest attempt has got a connection; `None` before the first one.
    #[must_use]
    pub fn is_reached(&self) -> Option<bool> {
        match self.connection.load(Ordering::Relaxed) {
            NONE => None,
            found => Some(found == MADE),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn whether_a_connection_was_got_is_known_while_it_is_sought_and_afterwards() {
        let soon = || Deadline::after(Duration::from_secs(5));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let remote = Remote::new(listener.local_addr().unwrap());
        assert_eq!(remote.is_reached(), None);
        let attempt = remote.connect(soon());
        assert_eq!(remote.is_reached(), None, "nothing has begun");
        attempt.await.unwrap();
        assert_eq!(remote.is_reached(), Some(true));
        drop(listener);
        remote.connect(soon()).await.unwrap_err();
        assert_eq!(remote.is_reached(), Some(false));
        // No server takes from this queue, and there is room for one in it.
        let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        full.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        full.listen(0).unwrap();
        let address = full.local_addr().unwrap().as_socket().unwrap();
        let _first = tokio::net::TcpStream::connect(address).await.unwrap();
        let remote = Remote::new(address);
        let sought = tokio::time::timeout(Duration::from_millis(100), remote.connect(soon())).await;
        assert!(sought.is_err() && remote.is_reached() == Some(false), "{sought:?}");
    }
}
