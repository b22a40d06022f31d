//! Publishing: what steering decided, made visible.
//!
//! A [`Publisher`] takes whole plans, one after the other; a [`Runner`] feeds it from the plan in force, tries again
//! what failed, and gives the sign of life. What became of a plan comes back as a receipt. [`admission`]
//! says which names and addresses of a plan are let in, whoever publishes it.

pub mod admission;
pub mod dns;
mod file_watcher;
pub mod hosts;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::model::{EventKind, Plan, PlanState};
use crate::sys::clock::Clock;
use crate::sys::event_queue::EventSender;
use crate::sys::heartbeat::Beat;
use crate::sys::tell_once::TellOnce;

/// Between two signs of life.
pub const ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(100);
const RETRY_AT_MOST: Duration = Duration::from_secs(5);

/// Somewhere that plans are published to.
pub trait Publisher: Send {
    /// The word for it in events.
    fn name(&self) -> &'static str;

    /// Publishes a plan, in place of the one before. Publishing the same plan again changes nothing.
    ///
    /// # Errors
    /// It was not published; the [`Runner`] tries again.
    fn publish(&mut self, plan: Arc<Plan>) -> impl Future<Output = io::Result<()>> + Send;

    /// Whether what was published last is still there: another process may have emptied the folder. For those that
    /// publish within this process it always is.
    ///
    /// # Errors
    /// That can't be told.
    fn stands(&mut self) -> impl Future<Output = io::Result<bool>> + Send {
        async { Ok(true) }
    }

    /// Shows that the agent lives, to those that publish in another process.
    ///
    /// # Errors
    /// It could not.
    fn show_life(&mut self) -> impl Future<Output = io::Result<()>> + Send {
        async { Ok(()) }
    }
}

/// Publishes each new plan as it comes, and shows life every [`ALIVE_INTERVAL`], until cancelled or until the sender
/// of plans is gone. What fails is tried again, at first soon and then every 5 s; a failure is told once, until
/// something else fails or all works again.
#[derive(Debug)]
pub struct Runner<P> {
    /// Where plans are published to.
    pub publisher: P,
    /// The plan in force.
    pub plan: watch::Receiver<PlanState>,
    /// Takes what happened.
    pub events: EventSender,
    /// The clock that events are stamped by.
    pub clock: Clock,
    /// The stage's sign of life.
    pub beat: Beat,
}

impl<P: Publisher> Runner<P> {
    /// Runs until cancelled.
    pub async fn run(self, token: CancellationToken) {
        let Self { publisher, plan: mut plans, events, clock, beat } = self;
        let mut feed = Feed { publisher, done: None, next_life: Instant::now() };
        let mut told = TellOnce::default();
        let mut pause = RETRY;
        loop {
            beat.now();
            let plan = plans.borrow_and_update().plan.clone();
            let error = feed.turn(plan).await.err().map(|e| e.to_string());
            let failed = error.is_some();
            if let Some(error) = told.new_fault(error) {
                events.tell(clock.now(), EventKind::PublishFailed { publisher: feed.publisher.name(), error });
            }
            let wake = if failed { Instant::now() + pause } else { feed.next_life };
            pause = if failed { (pause * 2).min(RETRY_AT_MOST) } else { RETRY };
            tokio::select! {
                biased;
                () = token.cancelled() => return,
                changed = plans.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }
}

/// A publisher and what it has done.
struct Feed<P> {
    publisher: P,
    done: Option<Arc<Plan>>,
    next_life: Instant,
}

impl<P: Publisher> Feed<P> {
    /// Does what is due. Life is shown even if publishing fails: it is the agent's, not the plan's.
    async fn turn(&mut self, plan: Option<Arc<Plan>>) -> io::Result<()> {
        let life_is_due = Instant::now() >= self.next_life;
        if life_is_due && self.done.is_some() && !self.publisher.stands().await? {
            self.done = None;
        }
        let published = match plan.filter(|plan| self.done.as_ref() != Some(plan)) {
            Some(plan) => {
                let result = self.publisher.publish(Arc::clone(&plan)).await;
                // After a failure nobody knows what stands there.
                self.done = result.is_ok().then_some(plan);
                result
            }
            None => Ok(()),
        };
        if life_is_due {
            self.publisher.show_life().await?;
            self.next_life = Instant::now() + ALIVE_INTERVAL;
        }
        published
    }
}

#[cfg(test)]
mod tests;
