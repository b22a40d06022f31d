//! What is in force, held by a watch: its readers are woken when it is another, or just the part that they need.

use std::pin::Pin;

use tokio::sync::watch;

/// Changes what a watch holds, and wakes its readers if it is another one then.
pub fn modify<T: Clone + PartialEq>(watch: &watch::Sender<T>, change: impl FnOnce(&mut T)) {
    watch.send_if_modified(|present| {
        let before = present.clone();
        change(present);
        *present != before
    });
}

/// What the value of a watch comes to for one of its readers, as the reader saw it last.
pub struct Projection<T> {
    source: Box<dyn Source<T>>,
    seen: T,
}

/// A watch of whatever type, read as that reader wants it.
trait Source<T>: Send + Sync {
    fn read(&mut self) -> T;
    fn changed(&mut self) -> Pin<Box<dyn Future<Output = Result<(), watch::error::RecvError>> + Send + '_>>;
}

impl<V, T, F> Source<T> for (watch::Receiver<V>, F)
where
    V: Clone + Send + Sync,
    F: Fn(&V) -> T + Send + Sync,
{
    fn read(&mut self) -> T {
        // Not under the watch's lock, since it may take a while.
        let value = self.0.borrow_and_update().clone();
        (self.1)(&value)
    }

    fn changed(&mut self) -> Pin<Box<dyn Future<Output = Result<(), watch::error::RecvError>> + Send + '_>> {
        Box::pin(self.0.changed())
    }
}

impl<T: PartialEq> Projection<T> {
    /// What `part` makes of what the watch holds.
    #[must_use]
    pub fn new<V, F>(watch: watch::Receiver<V>, part: F) -> Self
    where
        V: Clone + Send + Sync + 'static,
        F: Fn(&V) -> T + Send + Sync + 'static,
    {
        let mut source = (watch, part);
        let seen = source.read();
        Self { source: Box::new(source), seen }
    }

    /// As it was seen last.
    #[must_use]
    pub fn seen(&self) -> &T {
        &self.seen
    }

    /// As it is now.
    pub fn look(&mut self) -> &T {
        self.seen = self.source.read();
        &self.seen
    }

    /// Waits until it is another one than was seen last, and sees it; for ever, once nothing can change it any more.
    /// May be dropped at any time without losing a change.
    pub async fn changed(&mut self) {
        while self.source.changed().await.is_ok() {
            let now = self.source.read();
            if now != self.seen {
                self.seen = now;
                return;
            }
        }
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn is_woken(part: &mut Projection<usize>) -> bool {
        tokio::time::timeout(Duration::from_secs(1), part.changed()).await.is_ok()
    }

    #[test]
    fn what_stays_as_it_is_wakes_no_reader() {
        let (number, watch) = watch::channel(1);
        modify(&number, |number| *number = 1);
        assert!(!watch.has_changed().unwrap());
        modify(&number, |number| *number += 1);
        assert_eq!((watch.has_changed().unwrap(), *watch.borrow()), (true, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_change_of_the_part_wakes_its_reader() {
        let (text, watch) = watch::channel("a");
        let mut length = Projection::new(watch, |text: &&str| text.len());
        assert_eq!(*length.seen(), 1);
        text.send_replace("b");
        assert!(!is_woken(&mut length).await);
        text.send_replace("bc");
        assert!(is_woken(&mut length).await);
        assert_eq!(*length.seen(), 2);
        text.send_replace("bcd");
        assert_eq!((*length.seen(), *length.look()), (2, 3));
        assert!(!is_woken(&mut length).await, "it was seen");
        text.send_replace("e");
        text.send_replace("fgh");
        assert!(!is_woken(&mut length).await, "it is as it was");
        drop(text);
        assert!(!is_woken(&mut length).await, "nothing can change it any more");
        assert_eq!(*length.look(), 3);
    }
}
