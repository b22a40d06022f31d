//! What TCP had to send again on a connection: `TCP_INFO`, see tcp(7) and `struct tcp_info` in linux/tcp.h.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};

use nix::errno::Errno;
use nix::libc;

/// What has been sent again since the connection was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SentAgain {
    /// Segments, for whatever reason; tail-loss probes (RFC 8985) are among them.
    segments: u32,
    /// How often a retransmission timer ran out, that of the SYN included. `None` from kernels before 6.7.
    timeouts: Option<u16>,
}

impl SentAgain {
    /// Where the two counters stand in what the kernel writes. The layout only ever grows at its end.
    const SEGMENTS: usize = 100;
    const TIMEOUTS: usize = 240;

    /// Of the socket of a connection, or of one that is under way.
    ///
    /// # Errors
    /// What the kernel says of a socket that is none of TCP's.
    pub fn on(socket: &impl AsFd) -> io::Result<Self> {
        // Room for more than any kernel writes today.
        let mut room = [0; 512];
        let written = tcp_info(socket.as_fd(), &mut room)?;
        Self::parse(room.get(..written).unwrap_or(&room)).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn parse(info: &[u8]) -> Option<Self> {
        let segments = u32::from_ne_bytes(*info.get(Self::SEGMENTS..)?.first_chunk()?);
        let timeouts = info.get(Self::TIMEOUTS..).and_then(<[u8]>::first_chunk).copied().map(u16::from_ne_bytes);
        Some(Self { segments, timeouts })
    }

    /// Segments of the SYN, where nothing else has been sent yet: it has a timer and no other reason to be repeated.
    #[must_use]
    pub fn of_the_syn(self) -> u32 {
        self.segments
    }

    /// Segments since `earlier`, for whatever reason.
    #[must_use]
    pub fn since(self, earlier: Self) -> u32 {
        self.segments.saturating_sub(earlier.segments)
    }

    /// Segments since `earlier` if a retransmission timer ran out meanwhile, else 0: a tail-loss probe alone is none,
    /// which an answer that takes its time calls forth as well. One that a timer followed has been lost itself, and
    /// counts.
    ///
    /// A kernel before 6.7 does not count timers. A probe sends little and waits for the answer, so there only the
    /// second segment that is sent again is taken for a timer's: the first may have been a tail-loss probe.
    #[must_use]
    pub fn by_a_timer_since(self, earlier: Self) -> u32 {
        let segments = self.since(earlier);
        let by_a_timer = match (self.timeouts, earlier.timeouts) {
            (Some(now), Some(then)) => now != then,
            _ => segments > 1,
        };
        if by_a_timer { segments } else { 0 }
    }
}

/// Returns how many bytes were written.
#[expect(unsafe_code, reason = "no crate at hand reads TCP_INFO")]
fn tcp_info(socket: BorrowedFd<'_>, room: &mut [u8]) -> io::Result<usize> {
    let mut length = libc::socklen_t::try_from(room.len()).unwrap_or(libc::socklen_t::MAX);
    // SAFETY: the kernel writes at most `length` bytes, which is no more than `room` has, and then how many they were.
    let said = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            room.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    Errno::result(said)?;
    Ok(usize::try_from(length).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;

    fn sent(segments: u32, timeouts: Option<u16>) -> SentAgain {
        SentAgain { segments, timeouts }
    }

    #[test]
    fn counters_stand_where_the_kernel_writes_them() {
        assert_eq!(offset_of!(libc::tcp_info, tcpi_total_retrans), SentAgain::SEGMENTS);
        let mut info = [0_u8; 248];
        info[100..104].copy_from_slice(&7_u32.to_ne_bytes());
        info[240..242].copy_from_slice(&2_u16.to_ne_bytes());
        assert_eq!(SentAgain::parse(&info), Some(sent(7, Some(2))));
        for (length, expected) in [(103, None), (104, Some(sent(7, None))), (241, Some(sent(7, None)))] {
            assert_eq!(SentAgain::parse(&info[..length]), expected, "{length} bytes");
        }
    }

    #[test]
    fn a_tail_loss_probe_alone_is_no_loss() {
        for (earlier, later, expected) in [
            (sent(0, Some(0)), sent(0, Some(0)), 0),
            (sent(0, Some(0)), sent(1, Some(0)), 0),
            (sent(1, Some(1)), sent(2, Some(1)), 0),
            (sent(0, Some(0)), sent(1, Some(1)), 1),
            (sent(3, Some(2)), sent(6, Some(4)), 3),
            // The counter of timers has 16 bits.
            (sent(9, Some(u16::MAX)), sent(11, Some(0)), 2),
            (sent(0, None), sent(1, None), 0),
            (sent(5, None), sent(7, None), 2),
        ] {
            assert_eq!(later.by_a_timer_since(earlier), expected, "{earlier:?} to {later:?}");
        }
    }

    #[test]
    fn a_connection_that_lost_nothing_sent_nothing_again_and_other_sockets_have_no_counters() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let found = SentAgain::on(&stream).unwrap();
        assert_eq!((found.of_the_syn(), found.by_a_timer_since(SentAgain::default())), (0, 0));
        assert!(SentAgain::on(&UdpSocket::bind("127.0.0.1:0").unwrap()).is_err());
    }
}
