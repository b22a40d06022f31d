//! A connection to a MySQL server, plain or within TLS.

use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::packet::frame;

/// The command that ends a connection.
const QUIT: [u8; 1] = [1];

/// A connection.
#[derive(Debug)]
pub(super) enum Transport {
    /// As it was dialled.
    Plain(TcpStream),
    /// After the TLS handshake.
    Sealed(Box<TlsStream<TcpStream>>),
}

impl Transport {
    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Sealed(tls) => tls.get_ref().0,
        }
    }

    /// How long a peer may be gone before the kernel gives the connection up, and how soon it begins to ask. A peer
    /// whose process is frozen is not gone: its kernel answers.
    pub(super) fn give_up_after(&self, gone: Duration, ask_after: Duration) {
        let socket = SockRef::from(self.tcp());
        let keepalive = TcpKeepalive::new().with_time(ask_after).with_interval(Duration::from_secs(1));
        // Without them a dead peer is noticed later; nothing else depends on them.
        let _ = socket.set_tcp_keepalive(&keepalive);
        let _ = socket.set_tcp_user_timeout(Some(gone));
    }

    /// Says goodbye without waiting: on a connection with nothing under way the few bytes fit the socket's buffer.
    pub(super) fn quit(&mut self) {
        let quit = frame(0, &QUIT);
        match self {
            Self::Plain(tcp) => {
                let _ = Now(tcp).write(&quit);
            }
            Self::Sealed(tls) => {
                let (tcp, session) = tls.get_mut();
                let _ = session.writer().write_all(&quit);
                session.send_close_notify();
                while session.wants_write() {
                    match session.write_tls(&mut Now(tcp)) {
                        Ok(1..) => {}
                        Ok(0) | Err(_) => return,
                    }
                }
            }
        }
    }
}

/// Writes what the socket takes at once, without a runtime: for a session that is being dropped.
struct Now<'a>(&'a TcpStream);

impl Write for Now<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        SockRef::from(self.0).send(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Sealed(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Sealed(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Sealed(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Sealed(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
