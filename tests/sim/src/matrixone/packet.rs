//! MySQL's packets: three bytes of length, a sequence number, a payload.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A connection that carries packets.
pub(super) struct Wire<S> {
    pub(super) stream: S,
    /// Of the next packet, whoever sends it.
    pub(super) sequence: u8,
}

/// Why no packet was read.
#[derive(Debug)]
pub(super) enum Gone {
    /// The peer closed where a packet could have begun.
    Closed,
    /// It closed within a packet, or the connection broke.
    Broken,
    /// The packet is longer than it may be.
    TooLong,
    /// It didn't come in time.
    Late,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, sequence: 0 }
    }

    /// Reads one packet of at most `limit` bytes.
    pub(super) async fn read(&mut self, limit: usize) -> Result<Vec<u8>, Gone> {
        let mut header = [0; 4];
        let mut got = 0;
        while let Some(rest) = header.get_mut(got..).filter(|rest| !rest.is_empty()) {
            match self.stream.read(rest).await {
                Ok(0) if got == 0 => return Err(Gone::Closed),
                Ok(0) | Err(_) => return Err(Gone::Broken),
                Ok(n) => got += n,
            }
        }
        let [a, b, c, sequence] = header;
        let length = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
        self.sequence = sequence.wrapping_add(1);
        if length > limit {
            return Err(Gone::TooLong);
        }
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).await.map_err(|_| Gone::Broken)?;
        Ok(payload)
    }

    /// Writes packets with these payloads, in one piece.
    pub(super) async fn write(&mut self, payloads: &[Vec<u8>]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for payload in payloads {
            bytes.extend(framed(self.sequence, payload));
            self.sequence = self.sequence.wrapping_add(1);
        }
        self.stream.write_all(&bytes).await?;
        self.stream.flush().await
    }
}

/// A whole packet. What the stand-in says is always shorter than the longest one.
pub(super) fn framed(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let [a, b, c, ..] = payload.len().to_le_bytes();
    let mut bytes = vec![a, b, c, sequence];
    bytes.extend(payload);
    bytes
}

/// Takes a payload apart from its front; None where it is too short.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    /// Up to a NUL, which goes with it; the rest, if there is none.
    pub(super) fn text(&mut self) -> String {
        let length = self.0.iter().position(|byte| *byte == 0);
        let text = String::from_utf8_lossy(self.0.get(..length.unwrap_or(self.0.len())).unwrap_or_default());
        self.0 = length.and_then(|length| self.0.get(length + 1..)).unwrap_or_default();
        text.into_owned()
    }

    /// Bytes behind a length of MySQL's own encoding.
    pub(super) fn counted(&mut self) -> Option<&'a [u8]> {
        let length = match self.byte()? {
            0xfc => usize::from(u16::from_le_bytes(self.take(2)?.try_into().ok()?)),
            // Nothing in a login is longer.
            0xfb | 0xfd.. => return None,
            short => usize::from(short),
        };
        self.take(length)
    }
}

/// A number in MySQL's own encoding.
pub(super) fn number(value: usize) -> Vec<u8> {
    match u8::try_from(value) {
        Ok(short @ ..=0xfa) => vec![short],
        _ => {
            let [a, b, c, ..] = value.to_le_bytes();
            vec![0xfd, a, b, c]
        }
    }
}

/// Bytes behind a length of MySQL's own encoding.
pub(super) fn counted(bytes: &[u8]) -> Vec<u8> {
    [&number(bytes.len()), bytes].concat()
}
