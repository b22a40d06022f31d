//! Bodies that come as they are told to, and gzip without compression.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::answer::How;

/// A body.
pub(super) struct Told {
    rest: Bytes,
    how: How,
    chunked: bool,
    begun: bool,
    pause: Option<Pin<Box<Sleep>>>,
}

/// What was sent before a cut reaches the peer before the connection closes.
const BEFORE_A_CUT: Duration = Duration::from_millis(20);
/// The pieces of a huge body.
const FILLING: &[u8] = &[b'x'; 16 << 10];

impl Told {
    pub(super) fn new(body: Vec<u8>, how: How, chunked: bool) -> Self {
        Self { rest: body.into(), how, chunked, begun: false, pause: None }
    }

    fn pause(&self) -> Option<Duration> {
        match self.how {
            How::Drip { every_ms } if self.begun && !self.rest.is_empty() => Some(Duration::from_millis(every_ms)),
            How::Cut if self.rest.is_empty() => Some(BEFORE_A_CUT),
            _ => None,
        }
    }

    /// The next piece; none is the end.
    fn piece(&mut self) -> Option<io::Result<Bytes>> {
        self.begun = true;
        if !self.rest.is_empty() {
            let length = if matches!(self.how, How::Drip { .. }) { 1 } else { self.rest.len() };
            return Some(Ok(self.rest.split_to(length)));
        }
        match &mut self.how {
            How::Cut => Some(Err(io::ErrorKind::UnexpectedEof.into())),
            How::Filled { bytes: 0 } => {
                self.how = How::Whole;
                Some(Ok(Bytes::from_static(b"\"")))
            }
            How::Filled { bytes } => {
                let length = usize::try_from(*bytes).unwrap_or(usize::MAX).min(FILLING.len());
                *bytes -= length as u64;
                Some(Ok(Bytes::from_static(FILLING).slice(..length)))
            }
            How::Whole | How::Drip { .. } => None,
        }
    }
}

impl Body for Told {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if this.pause.is_none() {
            this.pause = this.pause().map(|pause| Box::pin(sleep(pause)));
        }
        if let Some(pause) = &mut this.pause {
            if pause.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            this.pause = None;
        }
        Poll::Ready(this.piece().map(|piece| piece.map(Frame::data)))
    }

    /// Unknown, where the body is to come in chunks.
    fn size_hint(&self) -> SizeHint {
        if self.chunked { SizeHint::default() } else { SizeHint::with_exact(self.rest.len() as u64) }
    }
}

/// A gzip file that holds `bytes` as they are.
pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let mut blocks = bytes.chunks(0xffff).peekable();
    if blocks.peek().is_none() {
        file.extend([1, 0, 0, 0xff, 0xff]);
    }
    while let Some(block) = blocks.next() {
        let [low, high, ..] = block.len().to_le_bytes();
        file.extend([u8::from(blocks.peek().is_none()), low, high, !low, !high]);
        file.extend(block);
    }
    let crc = !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    });
    file.extend(crc.to_le_bytes());
    let [a, b, c, d, ..] = bytes.len().to_le_bytes();
    file.extend([a, b, c, d]);
    file
}
