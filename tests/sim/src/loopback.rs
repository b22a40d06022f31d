//! Loopback addresses that nobody else uses.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use tokio::net::TcpSocket;

static TAKEN: Mutex<Option<HashSet<Ipv4Addr>>> = Mutex::new(None);

/// A random `127.x.y.z` on which `port` is free; no two calls of a process return the same one. A `port` below the
/// ephemeral range (32768) stays free while the service there is closed.
///
/// # Errors
/// If nothing can be bound there, say for lack of rights (`port` under 1024).
pub fn free_address(port: u16) -> io::Result<SocketAddr> {
    const ATTEMPTS: usize = 100;
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..ATTEMPTS {
        let ip = random_ip();
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        if !taken.get_or_insert_default().insert(ip) {
            continue;
        }
        let address = SocketAddr::new(IpAddr::V4(ip), port);
        match try_to_bind(address) {
            Ok(()) => return Ok(address),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Without listening: a child that is being started at this moment has the socket, too, until it runs its program, and
/// an address on which somebody listens can't be bound by who asked for it.
fn try_to_bind(address: SocketAddr) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)
}

/// Away from 127.0.0.0/15, where hosts keep their own names and stub resolvers.
fn random_ip() -> Ipv4Addr {
    let [a, b, c, ..] = RandomState::new().hash_one(()).to_le_bytes();
    Ipv4Addr::new(127, a.max(2), b, c.clamp(1, 254))
}
