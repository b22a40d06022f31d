//! Datagrams: the usual ones are answered where they are read, by the batch, on a thread that does nothing else; the others by
//! the reference, one after the other, on the stub's thread.
//!
//! Each socket has such a thread, which sleeps in recvmmsg(2): one that epoll wakes costs more a query (measured).

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Shared, forward};
use crate::publish::dns::counters::Tally;
use crate::publish::dns::reference::{Transport, Written};
use crate::sys::datagrams::{self, Inbox, Outbox, Peer, V4, V6};

/// Unusual queries that wait. Those beyond are dropped, and whoever asked asks again.
const WAITING: usize = 256;
/// Queries that others are asked at a time.
const FORWARDED: usize = 256;
/// How long a thread that nobody asks sleeps before it looks whether it is still wanted. Nothing can wake it earlier: to shut a
/// socket down would end it for the service manager too, whose socket it may be.
const NAP: Duration = Duration::from_secs(1);
/// Bytes of its stack: it calls little.
const STACK: usize = 128 << 10;

struct Unusual {
    packet: Vec<u8>,
    from: SocketAddr,
    read: Instant,
}

/// Serves until the socket fails.
pub(super) async fn serve(socket: UdpSocket, shared: &Shared) -> io::Result<()> {
    // The flag is shared with the service manager, where the socket is its own. It hands sockets over without it, too
    // (systemd.service(5), NonBlocking=), and reads none itself.
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(Some(NAP))?;
    // No reply is longer than what every path carries. Where it can't be had, things are as they are elsewhere.
    let _ = datagrams::send_whole(socket.as_fd());
    let socket = Arc::new(socket);
    let (unusual, waiting) = mpsc::channel(WAITING);
    let usual = Usual { socket: Arc::clone(&socket), shared: shared.clone(), unusual };
    let (tell, ended) = oneshot::channel();
    let is_ipv4 = socket.local_addr()?.is_ipv4();
    // Nobody hears of it when it is not wanted any more.
    let work = move || drop(tell.send(if is_ipv4 { usual.serve::<V4>() } else { usual.serve::<V6>() }));
    std::thread::Builder::new().name("dns-udp".to_owned()).stack_size(STACK).spawn(work)?;
    // Until the thread ends. Where this future ends first, the thread finds its queue closed, and ends as well.
    others(&socket, shared, waiting).await;
    ended.await.unwrap_or_else(|_| Err(io::Error::other("its thread ended")))
}

/// What the thread has.
struct Usual {
    socket: Arc<UdpSocket>,
    shared: Shared,
    unusual: mpsc::Sender<Unusual>,
}

impl Usual {
    fn serve<P: Peer>(self) -> io::Result<()> {
        let (mut inbox, mut outbox) = (Inbox::<P>::default(), Outbox::default());
        while !self.unusual.is_closed() {
            match inbox.receive(self.socket.as_fd()) {
                Ok(()) => self.answer(&inbox, &mut outbox),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock || is_of_one_packet(&e) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn answer<P: Peer>(&self, inbox: &Inbox<P>, outbox: &mut Outbox<P>) {
        let read = Instant::now();
        let counters = &self.shared.counters;
        let published = self.shared.answers.load();
        let mut replies = Tally::default();
        for (packet, peer) in inbox.packets() {
            if let Some(code) = published.images.reply(packet, outbox.place()) {
                outbox.commit(peer);
                replies.add(code);
            } else {
                let unusual = Unusual { packet: packet.to_vec(), from: peer.address(), read };
                if self.unusual.try_send(unusual).is_err() {
                    counters.dropped(1);
                }
            }
        }
        if !replies.is_empty() {
            // A full buffer loses replies, as the network may.
            counters.dropped(outbox.send(self.socket.as_fd()));
            counters.answered(Transport::Udp, &replies, read.elapsed());
        }
    }
}

async fn others(socket: &Arc<UdpSocket>, shared: &Shared, mut waiting: mpsc::Receiver<Unusual>) {
    let mut forwarded = JoinSet::new();
    while let Some(unusual) = waiting.recv().await {
        while forwarded.try_join_next().is_some() {}
        let published = shared.answers.load_full();
        match published.reference.reply(&unusual.packet, Transport::Udp) {
            Some(reply) if published.is_for_others(&unusual.packet, &reply) => {
                if forwarded.len() >= FORWARDED {
                    shared.counters.dropped(1);
                    continue;
                }
                let (socket, shared) = (Arc::clone(socket), shared.clone());
                forwarded.spawn_local(async move {
                    let reply = forward::reply(&published.forward, &unusual.packet, Transport::Udp).await;
                    unusual.answer(&socket, &shared, &reply);
                });
            }
            Some(reply) => unusual.answer(socket, shared, &reply),
            None => shared.counters.dropped(1),
        }
    }
}

impl Unusual {
    fn answer(&self, socket: &UdpSocket, shared: &Shared, reply: &Written) {
        if datagrams::send_to(socket.as_fd(), &reply.bytes, self.from).is_ok() {
            shared.counters.answered(Transport::Udp, &Tally::of(reply.code), self.read.elapsed());
        } else {
            shared.counters.dropped(1);
        }
    }
}

/// True for what an earlier reply brought back from the network (ip(7)): the socket is as good as before.
fn is_of_one_packet(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted, NetworkUnreachable};
    matches!(error.kind(), ConnectionRefused | ConnectionReset | HostUnreachable | Interrupted | NetworkUnreachable)
}
