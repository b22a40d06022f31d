//! An address that attempts are made at, and whether they get a connection there.

use std::net::SocketAddr;
use std::sync::Mutex;

use super::dial::{self, Connected, Deadline};
use crate::model::Failure;
use crate::sys::lock::lock;

/// Where a prober's attempts go. Of attempts that overlap the one that was heard of last is told.
#[derive(Debug)]
pub(super) struct Remote {
    address: SocketAddr,
    /// Whether the latest attempt has got a connection, whatever came of that; absent before the first one.
    is_reached: Mutex<Option<bool>>,
}

impl Remote {
    /// An address and port that was not tried yet.
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, is_reached: Mutex::default() }
    }

    /// See [`dial::connect`].
    ///
    /// # Errors
    /// Why there is no connection.
    pub(super) async fn connect(&self, deadline: Deadline) -> Result<Connected, Failure> {
        *lock(&self.is_reached) = Some(false);
        let connected = dial::connect(self.address, deadline).await;
        *lock(&self.is_reached) = Some(connected.is_ok());
        connected
    }

    /// Whether the latest attempt has got a connection; `None` before the first one.
    pub(super) fn is_reached(&self) -> Option<bool> {
        *lock(&self.is_reached)
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
