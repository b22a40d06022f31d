//! Datagrams: answered where they are read, by the batch, on a thread that does nothing else. What others are to be
//! asked goes to the stub's thread.
//!
//! Each socket has such a thread, which sleeps in recvmmsg(2): one that epoll wakes costs more a query (measured), and
//! one that hands what is unusual to another thread costs two thirds more for each of these.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use hickory_server::proto::op::ResponseCode;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::forward;
use super::shared::{Shared, is_of_one_peer};
use crate::model::DnsTransport;
use crate::publish::dns::Published;
use crate::publish::dns::counters::Tally;
use crate::sys::datagrams::{self, Inbox, Outbox, Peer, V4, V6};

/// Queries for others that wait. Those beyond are dropped, and the client asks again.
const WAITING: usize = 256;
/// Queries that others are asked at a time.
const FORWARDED: usize = 256;
/// How long a thread without a query sleeps before it looks whether it is still wanted. Nothing can wake it earlier:
/// to shut a socket down would end it for the service manager too, whose socket it may be.
const NAP: Duration = Duration::from_secs(1);
/// Bytes of its stack. What is not touched costs nothing.
const STACK: usize = 256 << 10;

/// A query for others.
struct Foreign {
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
    let (foreign, waiting) = mpsc::channel(WAITING);
    let answerer = Answerer { socket: Arc::clone(&socket), shared: shared.clone(), foreign };
    let (tell, ended) = oneshot::channel();
    let is_ipv4 = socket.local_addr()?.is_ipv4();
    // The stub does not hear of it when it is not wanted any more.
    let work = move || drop(tell.send(if is_ipv4 { answerer.serve::<V4>() } else { answerer.serve::<V6>() }));
    std::thread::Builder::new().name("dns-udp".to_owned()).stack_size(STACK).spawn(work)?;
    // Until the thread ends. Where this future ends first, the thread finds its queue closed, and ends as well.
    forward_all(&socket, shared, waiting).await;
    ended.await.unwrap_or_else(|_| Err(io::Error::other("its thread ended")))
}

/// What the thread has.
struct Answerer {
    socket: Arc<UdpSocket>,
    shared: Shared,
    foreign: mpsc::Sender<Foreign>,
}

/// What becomes of a packet.
enum Outcome {
    Answered(ResponseCode),
    ForOthers,
    Dropped,
}

impl Answerer {
    fn serve<P: Peer>(self) -> io::Result<()> {
        let (mut inbox, mut outbox) = (Inbox::<P>::default(), Outbox::default());
        while !self.foreign.is_closed() {
            match inbox.receive(self.socket.as_fd()) {
                Ok(()) => self.answer(&inbox, &mut outbox),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock || is_of_one_peer(&e) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn answer<P: Peer>(&self, inbox: &Inbox<P>, outbox: &mut Outbox<P>) {
        let read = Instant::now();
        let published = self.shared.answers.load();
        let (mut replies, mut dropped) = (Tally::default(), 0);
        for (packet, peer) in inbox.packets() {
            match outcome(&published, packet, outbox.place()) {
                Outcome::Answered(code) => {
                    outbox.commit(peer);
                    replies.add(code);
                }
                Outcome::ForOthers => {
                    let foreign = Foreign { packet: packet.to_vec(), from: peer.address(), read };
                    dropped += usize::from(self.foreign.try_send(foreign).is_err());
                }
                Outcome::Dropped => dropped += 1,
            }
        }
        // A full buffer loses replies, as the network may.
        dropped += outbox.send(self.socket.as_fd());
        self.shared.counters.answered(DnsTransport::Udp, &replies, read.elapsed());
        self.shared.counters.dropped(dropped);
    }
}

/// Where it is answered, `reply` is the answer.
fn outcome(published: &Published, packet: &[u8], reply: &mut Vec<u8>) -> Outcome {
    if let Some(code) = published.images.reply(packet, reply) {
        return Outcome::Answered(code);
    }
    match published.reference.reply(packet, DnsTransport::Udp) {
        Some(written) if published.is_for_others(packet, &written) => Outcome::ForOthers,
        Some(written) => {
            *reply = written.bytes;
            Outcome::Answered(written.code)
        }
        None => Outcome::Dropped,
    }
}

async fn forward_all(socket: &Arc<UdpSocket>, shared: &Shared, mut waiting: mpsc::Receiver<Foreign>) {
    let mut forwarded = JoinSet::new();
    while let Some(foreign) = waiting.recv().await {
        while forwarded.try_join_next().is_some() {}
        if forwarded.len() >= FORWARDED {
            shared.counters.dropped(1);
        } else {
            forwarded.spawn_local(foreign.forward(Arc::clone(socket), shared.clone()));
        }
    }
}

impl Foreign {
    async fn forward(self, socket: Arc<UdpSocket>, shared: Shared) {
        let published = shared.answers.load_full();
        let reply = forward::reply(&shared.forwarders, &published.forward, &self.packet, DnsTransport::Udp).await;
        if datagrams::send_to(socket.as_fd(), &reply.bytes, self.from).is_ok() {
            shared.counters.answered(DnsTransport::Udp, &Tally::one(reply.code), self.read.elapsed());
        } else {
            shared.counters.dropped(1);
        }
    }
}
