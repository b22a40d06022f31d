//! The queue between the stages, which tell what happened, and the log. Whoever tells never waits. The log takes events
//! out as fast as they come; only where it does not, for as long as thousands take, the newest are lost, and the log
//! tells how many.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use crate::model::{Event, EventKind, Now};

/// Events that wait at most: more than the largest config has names, each of which may change in one moment.
pub const CAPACITY: usize = 16_384;

/// Where a stage puts what happened. Clones lead to the same queue.
#[derive(Debug, Clone)]
pub struct EventSender {
    queue: mpsc::Sender<Event>,
    lost: Lost,
}

/// How many events found the queue full; clones share the count.
#[derive(Debug, Clone, Default)]
pub struct Lost(Arc<AtomicU64>);

/// The other end.
#[derive(Debug)]
pub struct EventReceiver {
    queue: mpsc::Receiver<Event>,
    lost: Lost,
}

/// An event was not put into the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// It is full; that was counted.
    #[error("too many events wait")]
    Full,
    /// Nobody listens any more.
    #[error("nobody listens")]
    Closed,
}

/// A queue of [`CAPACITY`].
#[must_use]
pub fn queue() -> (EventSender, EventReceiver) {
    let (sender, receiver) = mpsc::channel(CAPACITY);
    let lost = Lost::default();
    (EventSender { queue: sender, lost: lost.clone() }, EventReceiver { queue: receiver, lost })
}

impl EventSender {
    /// Tells what happened, and when. Where the queue is full that is counted; where the log has ended, the process is
    /// about to end as well: in neither case the stage that tells has anything to do.
    pub fn tell(&self, at: Now, kind: EventKind) {
        let _ = self.send(Event { at, kind });
    }

    /// Puts one into the queue, without waiting.
    ///
    /// # Errors
    /// It is lost.
    pub fn send(&self, event: Event) -> Result<(), NotSent> {
        self.queue.try_send(event).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                self.lost.0.fetch_add(1, Ordering::Relaxed);
                NotSent::Full
            }
            mpsc::error::TrySendError::Closed(_) => NotSent::Closed,
        })
    }
}

impl EventReceiver {
    /// The next one; `None` when every sender is gone, or the queue is closed and empty.
    pub async fn recv(&mut self) -> Option<Event> {
        self.queue.recv().await
    }

    /// The next one, if there is one already.
    pub fn try_recv(&mut self) -> Option<Event> {
        self.queue.try_recv().ok()
    }

    /// The next ones, `most` at most, behind those that `batch` has. Gives how many; 0 is the end, as of
    /// [`Self::recv`].
    pub async fn recv_many(&mut self, batch: &mut Vec<Event>, most: usize) -> usize {
        self.queue.recv_many(batch, most).await
    }

    /// Takes no more in; what waits still comes out.
    pub fn close(&mut self) {
        self.queue.close();
    }

    /// Whether it is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    /// How many were lost since the last call.
    pub fn take_lost(&self) -> u64 {
        self.lost.0.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_finds_it_full_is_lost_and_counted_and_what_waits_stays() {
        let (sender, mut receiver) = queue();
        let event = |names| Event { at: Now::default(), kind: EventKind::CacheLoaded { names } };
        for names in 0..CAPACITY {
            sender.send(event(names)).unwrap();
        }
        assert_eq!(receiver.take_lost(), 0);
        assert_eq!([sender.send(event(0)), sender.clone().send(event(0))], [Err(NotSent::Full); 2]);
        assert_eq!((receiver.take_lost(), receiver.take_lost()), (2, 0));
        assert_eq!(receiver.recv().await, Some(event(0)));
        sender.send(event(7)).unwrap();
        let mut batch = Vec::new();
        while receiver.recv_many(&mut batch, CAPACITY).await != 0 && batch.len() < CAPACITY {}
        assert_eq!((batch[0].clone(), batch[CAPACITY - 1].clone()), (event(1), event(7)));
        receiver.close();
        assert_eq!(sender.send(event(0)), Err(NotSent::Closed));
        assert_eq!(receiver.take_lost(), 0, "that is the end and no loss");
    }
}
