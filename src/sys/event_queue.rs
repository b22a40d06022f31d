//! The queue between the stages, which tell what happened, and the log. A stage that tells never waits. The log takes
//! events out as fast as they come; only where it does not, for as long as thousands take, the newest are lost, and the
//! log tells how many.

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
    /// How many events found the queue full.
    lost: Arc<AtomicU64>,
}

/// The other end.
#[derive(Debug)]
pub struct EventReceiver {
    /// What waits. It ends when every sender is gone, or it is closed and empty.
    pub queue: mpsc::Receiver<Event>,
    lost: Arc<AtomicU64>,
}

/// A queue of [`CAPACITY`].
#[must_use]
pub fn queue() -> (EventSender, EventReceiver) {
    let (sender, receiver) = mpsc::channel(CAPACITY);
    let lost = Arc::<AtomicU64>::default();
    (EventSender { queue: sender, lost: lost.clone() }, EventReceiver { queue: receiver, lost })
}

impl EventSender {
    /// Tells what happened, and when. Where the queue is full that is counted; where the log has ended, the process is
    /// about to end as well: in neither case the stage that tells has anything to do.
    pub fn tell(&self, at: Now, kind: EventKind) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.queue.try_send(Event { at, kind }) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl EventReceiver {
    /// How many were lost since the last call.
    pub fn take_lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_finds_it_full_is_lost_and_counted_and_what_waits_stays() {
        let (sender, mut receiver) = queue();
        let event = |names| Event { at: Now::default(), kind: EventKind::CacheLoaded { names } };
        let tell = |sender: &EventSender, names| sender.tell(Now::default(), EventKind::CacheLoaded { names });
        for names in 0..CAPACITY {
            tell(&sender, names);
        }
        assert_eq!(receiver.take_lost(), 0);
        tell(&sender, 0);
        tell(&sender.clone(), 0);
        assert_eq!((receiver.take_lost(), receiver.take_lost()), (2, 0));
        assert_eq!(receiver.queue.recv().await, Some(event(0)));
        tell(&sender, 7);
        let mut batch = Vec::new();
        while receiver.queue.recv_many(&mut batch, CAPACITY).await != 0 && batch.len() < CAPACITY {}
        assert_eq!((batch[0].clone(), batch[CAPACITY - 1].clone()), (event(1), event(7)));
        receiver.queue.close();
        tell(&sender, 0);
        assert_eq!(receiver.queue.recv().await, None);
        assert_eq!(receiver.take_lost(), 0, "that is the end and no loss");
    }
}
