//! Listeners, opened so that others only have to serve on them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpSocket, UdpSocket, UnixListener, UnixStream};

/// Why a listener could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another process listens there.
    #[error("expected {address} to be free, found another process listening on it")]
    Taken {
        /// An address and port, or a path.
        address: String,
    },
    /// No interface of this host has the address, at least not yet.
    #[error("expected {address} to be an address of this host, found none such")]
    NotHere {
        /// An address and port.
        address: String,
    },
    /// Ports below 1024, or a folder that is not ours.
    #[error("expected to be allowed to listen on {address}, found permission denied")]
    Denied {
        /// An address and port, or a path.
        address: String,
    },
    /// Something that is no socket is in the way; it is left alone.
    #[error("expected {} to be a socket or nothing, found another kind of file", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// Anything else.
    #[error("can't listen on {address}: {source}")]
    Io {
        /// An address and port, or a path.
        address: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Pending connections that the kernel keeps for us.
const BACKLOG: u32 = 128;

/// Listens on a TCP address.
///
/// # Errors
/// The situations of [`ListenError`]; the caller may try again later.
pub fn listen_tcp(address: SocketAddr) -> Result<TcpListener, ListenError> {
    let open = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A restart must not wait for old connections in TIME_WAIT.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    open().map_err(|source| classify(address.to_string(), source))
}

/// The same for another runtime: a listener that does not block.
///
/// # Errors
/// The situations of [`ListenError`].
pub fn bind_tcp(address: SocketAddr) -> Result<std::net::TcpListener, ListenError> {
    listen_tcp(address)?.into_std().map_err(|source| classify(address.to_string(), source))
}

/// Bytes of datagrams that may wait: some thousands of small ones. The system may give less (`net.core.rmem_max`).
const RECEIVE_BUFFER: usize = 1 << 20;

/// Binds a UDP socket.
///
/// # Errors
/// The situations of [`ListenError`]; the caller may try again later.
pub fn bind_udp(address: SocketAddr) -> Result<std::net::UdpSocket, ListenError> {
    let open = || {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        // Less room is no reason not to serve.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        socket.bind(&address.into())?;
        Ok(socket.into())
    };
    open().map_err(|source| classify(address.to_string(), source))
}

/// A UDP socket with a port of its own that hears only `peer`.
///
/// # Errors
/// What the system said.
pub async fn udp_to(peer: SocketAddr) -> io::Result<UdpSocket> {
    let any = if peer.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { IpAddr::from(Ipv6Addr::UNSPECIFIED) };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(peer).await?;
    Ok(socket)
}

/// A socket that the service manager bound and handed over (sd_listen_fds(3)). It stays bound while the process
/// restarts.
#[derive(Debug)]
pub enum HandedOver {
    /// For datagrams.
    Udp(std::net::UdpSocket),
    /// Listening for streams, not blocking.
    Tcp(std::net::TcpListener),
}

impl HandedOver {
    /// Where it is bound.
    ///
    /// # Errors
    /// What the system said.
    pub fn address(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Udp(socket) => socket.local_addr(),
            Self::Tcp(listener) => listener.local_addr(),
        }
    }
}

/// Takes every socket that was handed over to this process, listeners not blocking; those of other kinds are left
/// alone. To be called once, before there is a second thread.
#[must_use]
pub fn handed_over() -> Vec<HandedOver> {
    let mut handed = listenfd::ListenFd::from_env();
    let mut taken = Vec::new();
    for i in 0..handed.len() {
        // A socket of another type is an error, and stays where it is.
        if let Ok(Some(socket)) = handed.take_udp_socket(i) {
            taken.push(HandedOver::Udp(socket));
        } else if let Ok(Some(listener)) = handed.take_tcp_listener(i) {
            taken.extend(listener.set_nonblocking(true).map(|()| HandedOver::Tcp(listener)));
        }
    }
    taken
}

/// Listens on a Unix socket that every user may connect to (mode 0666).
///
/// A socket that no process serves any more is replaced; a served one is [`ListenError::Taken`], and a file of another
/// kind is never touched. The new socket is bound beside the path and renamed over it, so that who connects meets the
/// old one or the new one and never a gap or a wrong mode.
///
/// # Errors
/// The situations of [`ListenError`].
pub async fn listen_unix(path: &Path) -> Result<UnixListener, ListenError> {
    let failed = |source| classify(path.display().to_string(), source);
    let at = path.to_owned();
    match blocking(move || std::fs::symlink_metadata(at)).await {
        Ok(found) if !found.file_type().is_socket() => return Err(ListenError::NotASocket { path: path.to_owned() }),
        Ok(_) => match UnixStream::connect(path).await.map_err(|e| (e.kind(), e)) {
            Err((io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound, _)) => {}
            // WouldBlock: its queue is full, so it lives.
            Ok(_) | Err((io::ErrorKind::WouldBlock, _)) => return Err(failed(io::ErrorKind::AddrInUse.into())),
            Err((_, e)) => return Err(failed(e)),
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(failed(e)),
    }
    let at = path.to_owned();
    let listener = blocking(move || bind_and_rename(&at)).await.map_err(failed)?;
    UnixListener::from_std(listener).map_err(failed)
}

fn bind_and_rename(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{}", std::process::id()));
    let beside = path.with_file_name(name);
    match std::fs::remove_file(&beside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = std::os::unix::net::UnixListener::bind(&beside)?;
    let publish = || {
        listener.set_nonblocking(true)?;
        std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o666))?;
        std::fs::rename(&beside, path)
    };
    if let Err(e) = publish() {
        // The first error is the one to tell; a left-over file is removed at the next start.
        let _ = std::fs::remove_file(&beside);
        return Err(e);
    }
    Ok(listener)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(io::Error::other(e)))
}

fn classify(address: String, source: io::Error) -> ListenError {
    match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::Taken { address },
        io::ErrorKind::AddrNotAvailable => ListenError::NotHere { address },
        io::ErrorKind::PermissionDenied => ListenError::Denied { address },
        _ => ListenError::Io { address, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_an_error_value() {
        let first = listen_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        let error = listen_tcp(address).unwrap_err();
        assert!(matches!(error, ListenError::Taken { .. }), "{error}");
        assert!(error.to_string().contains(&address.to_string()));
    }

    #[tokio::test]
    async fn an_address_of_nobody_is_not_here() {
        let error = listen_tcp("192.0.2.1:9965".parse().unwrap()).unwrap_err();
        assert!(matches!(error, ListenError::NotHere { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_served_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("status.sock");
        drop(listen_unix(&path).await.unwrap());
        assert!(path.exists(), "dropping leaves a stale socket behind");

        let _served = listen_unix(&path).await.unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o666);
        let error = listen_unix(&path).await.unwrap_err();
        assert!(matches!(error, ListenError::Taken { .. }), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[tokio::test]
    async fn other_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("status.sock");
        std::fs::write(&path, "mine").unwrap();
        let error = listen_unix(&path).await.unwrap_err();
        assert!(matches!(error, ListenError::NotASocket { .. }), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
        let error = listen_unix(&folder.path().join("missing/status.sock")).await.unwrap_err();
        assert!(matches!(error, ListenError::Io { .. }), "{error}");
    }
}
