//! A body that is delivered as told.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::cloud::api::How;

/// A body that comes whole, in drips or cut off.
pub(super) struct Told {
    rest: Bytes,
    how: How,
    sent: usize,
    pause: Option<Pin<Box<Sleep>>>,
}

/// What was sent before a cut reaches the peer before the connection closes.
const BEFORE_A_CUT: Duration = Duration::from_millis(20);

impl Told {
    pub(super) fn new(body: Vec<u8>, how: How) -> Self {
        Self { rest: body.into(), how, sent: 0, pause: None }
    }

    /// The next piece; an empty one is the end.
    fn piece(&mut self) -> io::Result<Bytes> {
        let length = match self.how {
            How::Drip { bytes, .. } => bytes.max(1),
            How::Cut { after } if self.sent >= after => return Err(io::ErrorKind::UnexpectedEof.into()),
            How::Cut { after } => after - self.sent,
            // What is never sent has no body.
            How::Whole | How::Never | How::HangUp | How::Reset => usize::MAX,
        };
        let piece = self.rest.split_to(length.min(self.rest.len()));
        self.sent += piece.len();
        Ok(piece)
    }

    fn pause(&self) -> Option<Duration> {
        match self.how {
            How::Drip { every, .. } if self.sent > 0 => Some(every),
            How::Cut { after } if self.sent >= after => Some(BEFORE_A_CUT),
            _ => None,
        }
    }
}

impl Body for Told {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            return Poll::Ready(None);
        }
        if this.pause.is_none() {
            this.pause = this.pause().map(|pause| Box::pin(sleep(pause)));
        }
        if let Some(pause) = &mut this.pause {
            if pause.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            this.pause = None;
        }
        Poll::Ready(Some(this.piece().map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    /// Exact, so that the length is announced, also of a body that will be cut.
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
