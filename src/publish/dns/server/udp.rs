//! Datagrams: the usual ones are answered where they are read, by the batch; the others by the reference, one after the other.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::sync::Arc;

use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Shared, forward};
use crate::publish::dns::reference::{Transport, Written};
use crate::sys::datagrams::{BATCH, Inbox, Outbox};

/// Unusual queries that wait. Those beyond are dropped, and whoever asked asks again.
const WAITING: usize = 256;

struct Unusual {
    packet: Vec<u8>,
    from: SocketAddr,
    read: Instant,
}

/// Queries that others are asked at a time.
const FORWARDED: usize = 256;

/// Serves until the socket fails.
pub(super) async fn serve(socket: UdpSocket, shared: &Shared) -> io::Result<()> {
    let socket = Arc::new(socket);
    let (unusual, waiting) = mpsc::channel(WAITING);
    tokio::select! {
        result = usual(&socket, shared, unusual) => result,
        () = others(&socket, shared, waiting) => Ok(()),
    }
}

async fn usual(socket: &UdpSocket, shared: &Shared, unusual: mpsc::Sender<Unusual>) -> io::Result<()> {
    let (mut inbox, mut outbox) = (Inbox::default(), Outbox::default());
    loop {
        socket.readable().await?;
        if let Err(e) = receive(socket, &mut inbox)
            && !is_of_one_packet(&e)
        {
            return Err(e);
        }
        answer(socket, shared, (&inbox, &mut outbox), &unusual);
        if inbox.is_full() {
            // Others of this thread have their turn between two batches. Else they have it while this one waits.
            tokio::task::yield_now().await;
        }
    }
}

/// Reads a batch. Where that empties the socket the runtime is told, which saves a call that finds nothing.
fn receive(socket: &UdpSocket, inbox: &mut Inbox) -> io::Result<()> {
    let mut received = 0;
    let read = socket.try_io(Interest::READABLE, || {
        received = inbox.receive(socket.as_fd())?;
        if received < BATCH { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    match read {
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
        other => other,
    }
}

fn answer(
    socket: &UdpSocket,
    shared: &Shared,
    (inbox, outbox): (&Inbox, &mut Outbox),
    unusual: &mpsc::Sender<Unusual>,
) {
    let read = Instant::now();
    let published = shared.answers.load();
    let mut answered = 0;
    for (packet, peer) in inbox.packets() {
        if let Some(code) = published.images.reply(packet, outbox.place()) {
            outbox.commit(peer);
            shared.counters.answered(Transport::Udp, code);
            answered += 1;
        } else {
            let waits = peer.address().map(|from| Unusual { packet: packet.to_vec(), from, read });
            if waits.is_none_or(|waits| unusual.try_send(waits).is_err()) {
                shared.counters.dropped(1);
            }
        }
    }
    if answered > 0 {
        // A full buffer loses replies, as the network may.
        shared.counters.dropped(outbox.send(socket.as_fd()));
        shared.counters.took(answered, read.elapsed());
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
        if socket.try_send_to(&reply.bytes, self.from).is_ok() {
            shared.counters.answered(Transport::Udp, reply.code);
            shared.counters.took(1, self.read.elapsed());
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
