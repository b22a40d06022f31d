//! Datagrams by the batch: one system call reads many, one sends many (recvmmsg(2), sendmmsg(2)).

use std::fmt::Debug;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    MsgFlags, MultiHeaders, SockaddrIn, SockaddrIn6, SockaddrLike, SockaddrStorage, recvmmsg, sendmmsg, sendto,
};
use rustix::net::sockopt::{Ipv4PathMtuDiscovery, set_ip_mtu_discover};

/// Most datagrams of a batch.
pub const BATCH: usize = 32;
/// Most bytes of a datagram; the rest of a longer one is lost.
pub const LONGEST: usize = 4096;

/// Who sent a datagram, as the system writes it. Of one family: room for any is eight times as large, and copied for
/// each.
pub trait Peer: SockaddrLike + Copy + Debug {
    /// As an address and port.
    fn address(self) -> SocketAddr;
}

/// A peer of a socket of IPv4.
pub type V4 = SockaddrIn;
/// A peer of a socket of IPv6.
pub type V6 = SockaddrIn6;

impl Peer for V4 {
    fn address(self) -> SocketAddr {
        SocketAddrV4::from(self).into()
    }
}

impl Peer for V6 {
    fn address(self) -> SocketAddr {
        SocketAddrV6::from(self).into()
    }
}

/// Room for what is read from one socket.
#[derive(Debug)]
pub struct Inbox<P> {
    /// What the system fills in.
    headers: MultiHeaders<P>,
    packets: Box<[[u8; LONGEST]]>,
    /// The length and the sender of each of the latest batch.
    received: Vec<(usize, Option<P>)>,
}

impl<P: Peer> Default for Inbox<P> {
    fn default() -> Self {
        // Untouched pages of it cost nothing: most batches are of one.
        let packets = vec![[0; LONGEST]; BATCH].into_boxed_slice();
        Self { headers: MultiHeaders::preallocate(BATCH, None), packets, received: Vec::with_capacity(BATCH) }
    }
}

impl<P: Peer> Inbox<P> {
    /// Waits until there is something, and reads what there is, [`BATCH`] at most, in place of the batch before.
    ///
    /// # Errors
    /// What the system said; [`io::ErrorKind::WouldBlock`] if there was nothing for as long as the socket waits.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        self.received.clear();
        let mut packets = self.packets.iter_mut();
        let mut slices: [_; BATCH] =
            std::array::from_fn(|_| [IoSliceMut::new(packets.next().map_or(&mut [], |packet| &mut packet[..]))]);
        let flags = MsgFlags::MSG_WAITFORONE;
        let results = recvmmsg(socket.as_raw_fd(), &mut self.headers, slices.iter_mut(), flags, None)?;
        self.received.extend(results.map(|message| (message.bytes, message.address)));
        Ok(())
    }

    /// The latest batch: each packet and who sent it.
    pub fn packets(&self) -> impl Iterator<Item = (&[u8], P)> {
        let both = self.packets.iter().zip(&self.received);
        both.filter_map(|(packet, (length, peer))| Some((packet.get(..*length)?, (*peer)?)))
    }
}

/// Room for what is to be sent.
#[derive(Debug)]
pub struct Outbox<P> {
    headers: MultiHeaders<P>,
    /// The first of them are to be sent, the others are room.
    replies: Vec<Vec<u8>>,
    to: Vec<Option<P>>,
}

impl<P: Peer> Default for Outbox<P> {
    fn default() -> Self {
        Self { headers: MultiHeaders::preallocate(BATCH, None), replies: Vec::new(), to: Vec::with_capacity(BATCH) }
    }
}

impl<P: Peer> Outbox<P> {
    /// The place of the next one.
    pub fn place(&mut self) -> &mut Vec<u8> {
        let at = self.to.len();
        if self.replies.len() == at {
            self.replies.push(Vec::with_capacity(512));
        }
        &mut self.replies[at]
    }

    /// Takes what was written last for this receiver.
    pub fn commit(&mut self, to: P) {
        self.to.push(Some(to));
    }

    /// Sends all, and empties the box; returns how many were not sent. What can't be sent now is not sent later.
    pub fn send(&mut self, socket: BorrowedFd<'_>) -> usize {
        let (mut sent, mut failed) = (0, 0);
        while sent + failed < self.to.len() {
            let from = sent + failed;
            match self.send_from(socket, from) {
                // Never none without an error; and if so, it must end.
                Ok(n) => sent += n.max(1),
                Err(Errno::EINTR) => {}
                // It says that of the first one alone.
                Err(_) => failed += 1,
            }
        }
        self.to.clear();
        failed
    }

    /// At most [`BATCH`] of them.
    fn send_from(&mut self, socket: BorrowedFd<'_>, from: usize) -> nix::Result<usize> {
        let slices: Vec<_> = self.replies[from..self.to.len()].iter().map(|reply| [IoSlice::new(reply)]).collect();
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        sendmmsg(socket.as_raw_fd(), &mut self.headers, &slices, &self.to[from..], [], flags).map(Iterator::count)
    }
}

/// Never lets the network cut into fragments what this socket sends by IPv4: another host's could take their place
/// (RFC 9715), and each datagram that may be cut costs a number of its own.
///
/// # Errors
/// What the system said.
pub fn send_whole(socket: BorrowedFd<'_>) -> io::Result<()> {
    // Not DO, under which a stranger who forges an ICMP message makes a path seem too narrow for a reply.
    Ok(set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::PROBE)?)
}

/// Sends one, if that is possible at once.
///
/// # Errors
/// What the system said; [`io::ErrorKind::WouldBlock`] if its buffer is full.
pub fn send_to(socket: BorrowedFd<'_>, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    sendto(socket.as_raw_fd(), datagram, &SockaddrStorage::from(to), flags)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd as _;
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_sent_in_a_batch_comes_back_in_one() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut inbox = Inbox::<V4>::default();
        server.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let empty = inbox.receive(server.as_fd()).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
        for n in 0..40_u8 {
            client.send_to(&[n; 3], server.local_addr().unwrap()).unwrap();
        }
        let mut outbox = Outbox::default();
        let mut seen = Vec::new();
        while seen.len() < 40 {
            inbox.receive(server.as_fd()).unwrap();
            for (packet, peer) in inbox.packets() {
                assert_eq!(peer.address(), client.local_addr().unwrap());
                seen.push(packet[0]);
                outbox.place().clear();
                outbox.place().extend_from_slice(packet);
                outbox.commit(peer);
            }
            assert_eq!(outbox.send(server.as_fd()), 0);
        }
        assert_eq!(seen, (0..40).collect::<Vec<_>>());
        for n in 0..40_u8 {
            let mut back = [0; 10];
            let (length, from) = client.recv_from(&mut back).unwrap();
            assert_eq!((&back[..length], from), (&[n; 3][..], server.local_addr().unwrap()));
        }
    }

    #[test]
    fn one_that_can_not_be_sent_holds_up_no_other() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut outbox = Outbox::default();
        let SocketAddr::V4(there) = client.local_addr().unwrap() else { panic!("of IPv4") };
        let nowhere = SocketAddrV4::new(*there.ip(), 0);
        for to in [nowhere, there, nowhere] {
            outbox.place().clear();
            outbox.place().push(7);
            outbox.commit(V4::from(to));
        }
        assert_eq!(outbox.send(server.as_fd()), 2);
        assert_eq!(client.recv_from(&mut [0; 10]).unwrap().0, 1);
    }
}
