//! The listening side of a service: open, closed or silent.

use std::future::Future;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener as StdListener};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::{CancellationToken, DropGuard};

/// What is done with an accepted connection; it is closed when the future ends or the door moves.
pub(crate) type Handler = Arc<dyn Fn(TcpStream) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// What a new connection meets.
pub(crate) enum Door {
    /// It is accepted and handled.
    Open(Handler),
    /// It is refused.
    Closed,
    /// It hangs: the accept queue is full.
    Silent,
}

/// One address with a door.
pub(crate) struct Gate {
    address: SocketAddr,
    accepted: Arc<AtomicU64>,
    state: Mutex<State>,
}

enum State {
    Open { task: JoinHandle<TcpListener>, stop: DropGuard },
    Closed,
    Silent { listener: StdListener, queue: Vec<Socket> },
}

impl Gate {
    pub(crate) fn closed(address: SocketAddr) -> Self {
        Self { address, accepted: Arc::default(), state: Mutex::new(State::Closed) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections handed to a handler so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Moves the door and closes what is open; returns when new connections meet the new state. The listening socket
    /// is kept where it can be, so that nobody is refused between two other states.
    pub(crate) async fn set(&self, door: Door) -> io::Result<()> {
        let mut state = self.state.lock().await;
        let listener = leave(std::mem::replace(&mut *state, State::Closed)).await?;
        *state = match door {
            Door::Open(handler) => self.open(listener, handler)?,
            Door::Closed => {
                // Not only ours: a child of this process may hold it, until it has become another program.
                listener.map_or(Ok(()), |listener| SockRef::from(&listener).shutdown(Shutdown::Both))?;
                State::Closed
            }
            Door::Silent => self.silence(listener).await?,
        };
        Ok(())
    }

    fn open(&self, listener: Option<StdListener>, handler: Handler) -> io::Result<State> {
        let listener = listener.map_or_else(|| bind(self.address), Ok)?;
        SockRef::from(&listener).listen(BACKLOG)?;
        let listener = TcpListener::from_std(listener)?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(accept(listener, handler, self.accepted.clone(), stop.clone()));
        Ok(State::Open { task, stop: stop.drop_guard() })
    }

    async fn silence(&self, listener: Option<StdListener>) -> io::Result<State> {
        let listener = listener.map_or_else(|| bind(self.address), Ok)?;
        SockRef::from(&listener).listen(0)?;
        let address = self.address;
        // Real sockets and real time, also where tokio's clock is paused.
        let queue = tokio::task::spawn_blocking(move || fill(address)).await.map_err(io::Error::other)??;
        Ok(State::Silent { listener, queue })
    }
}

const BACKLOG: i32 = 1024;

/// Ends a state. Returns the listening socket if there is one, with nothing in its queue.
async fn leave(state: State) -> io::Result<Option<StdListener>> {
    let listener = match state {
        State::Closed => return Ok(None),
        State::Open { task, stop } => {
            drop(stop);
            task.await.map_err(io::Error::other)?.into_std()?
        }
        State::Silent { listener, queue } => {
            drop(queue);
            listener
        }
    };
    while listener.accept().is_ok() {}
    Ok(Some(listener))
}

fn bind(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // Closed and opened again at once, whatever connections of before are still in TIME_WAIT.
    socket.set_reuse_address(true)?;
    bind_soon(&socket, address)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// A child of this process holds what was open here a moment ago, until it has become another program.
fn bind_soon(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    const TRIES: usize = 20;
    for _ in 1..TRIES {
        match socket.bind(&address.into()) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => std::thread::sleep(Duration::from_millis(5)),
            other => return other,
        }
    }
    socket.bind(&address.into())
}

/// Fills the accept queue of a `listen(0)` socket, which on Linux takes one connection, and sees the next one hang.
fn fill(address: SocketAddr) -> io::Result<Vec<Socket>> {
    const MOST: usize = 8;
    // On loopback the handshake is done within `connect`, so this waits only for what will not come.
    const HANGS: Duration = Duration::from_millis(25);
    let mut queue = Vec::new();
    while queue.len() < MOST {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        match socket.connect_timeout(&address.into(), HANGS) {
            Ok(()) => queue.push(socket),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Ok(queue),
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other(format!("the accept queue of {address} does not fill")))
}

async fn accept(
    listener: TcpListener,
    handler: Handler,
    accepted: Arc<AtomicU64>,
    stop: CancellationToken,
) -> TcpListener {
    let mut serving = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = serving.join_next() => {}
            connection = listener.accept() => match connection {
                Ok((stream, _)) => {
                    accepted.fetch_add(1, Ordering::Relaxed);
                    serving.spawn(handler(stream));
                }
                // Out of sockets, say: leave the runtime to others for a moment.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
        }
    }
    serving.shutdown().await;
    listener
}
