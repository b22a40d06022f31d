//! Packets of the MySQL protocol over any stream: three bytes of length, one of sequence, and the payload.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::model::Failure;
use crate::probe::dial;
use crate::probe::faults::protocol;

/// The length of a header.
pub(super) const HEADER: usize = 4;

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packet {
    /// Its place in the exchange.
    pub(super) sequence: u8,
    /// What it says.
    pub(super) payload: Bytes,
}

impl Packet {
    /// The payload, if the packet has its right place.
    pub(super) fn payload_at(self, sequence: u8) -> Result<Bytes, Failure> {
        if self.sequence == sequence {
            return Ok(self.payload);
        }
        let found = self.sequence;
        Err(protocol(format_args!("packets out of order: expected number {sequence}, found {found}")))
    }

    /// An error packet. Its number is not looked at: proxies that answer for a server that they could not reach get
    /// it wrong, and the error is what matters.
    pub(super) fn is_error(&self) -> bool {
        self.payload.first() == Some(&0xff)
    }
}

/// A stream of packets. What was read ahead stays with it.
#[derive(Debug)]
pub(super) struct Packets<S> {
    stream: S,
    ahead: BytesMut,
}

impl<S> Packets<S> {
    /// Packets over a stream on which nothing has been said yet.
    pub(super) fn new(stream: S) -> Self {
        Self { stream, ahead: BytesMut::new() }
    }

    /// The stream, if no byte was read ahead of the packets that were taken.
    pub(super) fn into_stream(self) -> Result<S, Failure> {
        if self.ahead.is_empty() { Ok(self.stream) } else { Err(protocol("the server spoke out of turn")) }
    }

    /// The stream below.
    pub(super) fn stream(&self) -> &S {
        &self.stream
    }

    /// The stream below.
    pub(super) fn stream_mut(&mut self) -> &mut S {
        &mut self.stream
    }
}

impl<S: AsyncRead + Unpin> Packets<S> {
    /// The next packet, of at most `most` bytes.
    pub(super) async fn read(&mut self, most: usize) -> Result<Packet, Failure> {
        // Most packets of a probe are far smaller.
        const ROOM: usize = 256;
        loop {
            let missing = match *self.ahead {
                [a, b, c, sequence, ..] => {
                    let length = u32::from_le_bytes([a, b, c, 0]) as usize;
                    if length > most {
                        let detail = format_args!("expected a packet of at most {most} bytes, found {length}");
                        return Err(protocol(detail));
                    }
                    if self.ahead.len() >= HEADER + length {
                        self.ahead.advance(HEADER);
                        let payload = self.ahead.split_to(length).freeze();
                        if self.ahead.is_empty() {
                            // Nothing is kept for a connection that waits.
                            self.ahead = BytesMut::new();
                        }
                        return Ok(Packet { sequence, payload });
                    }
                    HEADER + length - self.ahead.len()
                }
                _ => ROOM,
            };
            self.ahead.reserve(missing.max(ROOM));
            let read = self.stream.read_buf(&mut self.ahead).await.map_err(|e| dial::failure("read", &e))?;
            if read == 0 {
                return Err(dial::failure("read", &io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> Packets<S> {
    /// Sends a packet.
    pub(super) async fn write(&mut self, sequence: u8, payload: &[u8]) -> Result<(), Failure> {
        let packet = frame(sequence, payload);
        let sent = async {
            self.stream.write_all(&packet).await?;
            self.stream.flush().await
        };
        sent.await.map_err(|e| dial::failure("write", &e))
    }
}

/// A packet as it stands on the wire. Ours are far shorter than the longest that fits one.
pub(super) fn frame(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let [a, b, c, ..] = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes();
    let mut packet = Vec::with_capacity(HEADER + payload.len());
    packet.extend_from_slice(&[a, b, c, sequence]);
    packet.extend_from_slice(payload);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FailureReason;

    #[tokio::test]
    async fn packets_are_taken_whole_in_whatever_pieces_they_come() {
        let wire = [frame(0, b"hello"), frame(1, b""), frame(2, &[7; 600])].concat();
        for piece in [1, 3, 4, 5, 1000] {
            let (ours, mut theirs) = tokio::io::duplex(16);
            let wire = wire.clone();
            tokio::spawn(async move {
                for part in wire.chunks(piece) {
                    theirs.write_all(part).await.unwrap();
                }
            });
            let mut packets = Packets::new(ours);
            for (sequence, length) in [(0, 5), (1, 0), (2, 600)] {
                let packet = packets.read(600).await.unwrap();
                assert_eq!((packet.sequence, packet.payload.len()), (sequence, length));
            }
            assert_eq!(packets.read(600).await.unwrap_err().reason, FailureReason::Reset);
        }
    }

    #[tokio::test]
    async fn a_long_packet_is_refused_by_its_header() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        theirs.write_all(b"HTTP/1.1 400 Bad Request\r\n").await.unwrap();
        let refused = Packets::new(ours).read(1024).await.unwrap_err();
        assert_eq!(refused.to_string(), "protocol: expected a packet of at most 1024 bytes, found 5526600");
    }

    #[test]
    fn a_packet_has_one_place() {
        let packet = Packet { sequence: 2, payload: Bytes::from_static(b"x") };
        assert_eq!(packet.clone().payload_at(2).unwrap(), "x");
        assert_eq!(&*packet.payload_at(1).unwrap_err().detail, "packets out of order: expected number 1, found 2");
    }
}
