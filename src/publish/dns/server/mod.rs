//! The stub's threads: sockets that were bound elsewhere, and what goes in and out of them.
//!
//! Each UDP socket has a thread that reads and answers. TCP, and what others are to be asked, is for one thread with a
//! runtime, the stub's. Every queue and every number of connections is bounded, so that a client that floods
//! the stub loses packets and no other does.

mod forward;
mod shared;
mod tcp;
mod udp;

use std::io;
use std::net::SocketAddr;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use self::shared::Shared;
use crate::model::DnsTransport;

/// A bound socket.
#[derive(Debug)]
pub enum Socket {
    /// For datagrams.
    Udp(std::net::UdpSocket),
    /// Listening for streams, not blocking.
    Tcp(std::net::TcpListener),
}

impl Socket {
    /// What it serves.
    #[must_use]
    pub fn transport(&self) -> DnsTransport {
        match self {
            Self::Udp(_) => DnsTransport::Udp,
            Self::Tcp(_) => DnsTransport::Tcp,
        }
    }
}

/// A socket that was handed in, as who handed it in knows it.
#[derive(Debug)]
pub struct Listener {
    /// Where it listens.
    pub address: SocketAddr,
    /// The socket.
    pub socket: Socket,
    /// Ends its service.
    pub token: CancellationToken,
}

/// A socket that can't be served any more.
#[derive(Debug)]
pub struct Ended {
    /// Where it listened.
    pub address: SocketAddr,
    /// What it served.
    pub transport: DnsTransport,
    /// Why.
    pub error: io::Error,
}

/// Within a [`LocalSet`](tokio::task::LocalSet), serves each listener that comes until its token or `token` is
/// cancelled, and reports those that fail.
pub async fn run(
    mut listeners: mpsc::Receiver<Listener>,
    shared: Shared,
    ended: mpsc::UnboundedSender<Ended>,
    token: CancellationToken,
) {
    let mut serving = JoinSet::new();
    loop {
        tokio::select! {
            () = token.cancelled() => return,
            Some(_) = serving.join_next() => {}
            listener = listeners.recv() => {
                let Some(listener) = listener else { return };
                serving.spawn_local(serve(listener, shared.clone(), ended.clone()));
            }
        }
    }
}

async fn serve(listener: Listener, shared: Shared, ended: mpsc::UnboundedSender<Ended>) {
    let Listener { address, socket, token } = listener;
    let transport = socket.transport();
    let serving = async {
        match socket {
            Socket::Udp(socket) => udp::serve(socket, &shared).await,
            Socket::Tcp(socket) => tcp::serve(tokio::net::TcpListener::from_std(socket)?, &shared).await,
        }
    };
    let result: io::Result<()> = tokio::select! {
        () = token.cancelled() => return,
        result = serving => result,
    };
    if let Err(error) = result {
        // The stub is not there to hear it only when the agent ends.
        let _ = ended.send(Ended { address, transport, error });
    }
}
