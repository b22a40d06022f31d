//! A connection to a MySQL server, plain or within TLS.

use std::io::{self, Write};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::packet::frame;

/// The command that ends a connection.
const QUIT: [u8; 1] = [1];

/// A connection: as it was dialled on the left, after the TLS handshake on the right.
pub(super) type Transport = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// What carries a connection.
pub(super) fn tcp(transport: &Transport) -> &TcpStream {
    match transport {
        Transport::Left(tcp) => tcp,
        Transport::Right(tls) => tls.get_ref().0,
    }
}

/// How long a peer may be gone before the kernel gives the connection up, and how soon it begins to ask. A peer whose
/// process is frozen is not gone: its kernel answers.
pub(super) fn give_up_after(transport: &Transport, gone: Duration, ask_after: Duration) {
    let socket = SockRef::from(tcp(transport));
    let keepalive = TcpKeepalive::new().with_time(ask_after).with_interval(Duration::from_secs(1));
    // Without them a dead peer is noticed later; nothing else depends on them.
    let _ = socket.set_tcp_keepalive(&keepalive);
    let _ = socket.set_tcp_user_timeout(Some(gone));
}

/// Says goodbye without waiting: on a connection with nothing under way the few bytes fit the socket's buffer.
pub(super) fn quit(transport: &mut Transport) {
    let quit = frame(0, &QUIT);
    match transport {
        Transport::Left(tcp) => {
            let _ = Now(tcp).write(&quit);
        }
        Transport::Right(tls) => {
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
