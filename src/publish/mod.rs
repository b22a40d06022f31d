//! Publishing: what steering decided, made visible.
//!
//! A [`Publisher`] takes whole plans, one after the other; a [`Runner`] asks it for the plan in force, again and again,
//! and soon after a failure. What became of a plan comes back as a receipt. [`admission`] says which names and
//! addresses of a plan are let in, by whichever publisher.

pub mod admission;
pub mod dns;
mod file_watcher;
pub mod hosts;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::model::{EventKind, Plan, PlanState};
use crate::sys::clock::Clock;
use crate::sys::event_queue::EventSender;
use crate::sys::heartbeat::Beat;
use crate::sys::tell_once::TellOnce;

/// Between two times that a publisher is asked for a plan that stays the same, at most.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(100);
const RETRY_AT_MOST: Duration = Duration::from_secs(5);

/// Somewhere that plans are published to.
pub trait Publisher: Send {
    /// The word for it in events, and its name among the receipts.
    const NAME: &'static str;

    /// Sees to it that the plan in force is published, in place of the one before; and shows that the agent lives,
    /// where another process wants to see that. Asked with each plan and every [`LOOK_INTERVAL`], `None` before the
    /// first plan: what stands already is left as it is, what another process took away is published anew.
    ///
    /// # Errors
    /// It was not published; the [`Runner`] asks again soon.
    fn publish(&mut self, plan: Option<Arc<Plan>>) -> impl Future<Output = io::Result<()>> + Send;
}

/// Asks for each new plan as it comes, and for the present one every [`LOOK_INTERVAL`], until cancelled or until the
/// sender of plans is gone. What fails is tried again, at first soon and then every 5 s; a failure is told once, until
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
        let Self { mut publisher, plan: mut plans, events, clock, beat } = self;
        let mut looks = interval_at(Instant::now() + LOOK_INTERVAL, LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = TellOnce::default();
        let mut pause = RETRY;
        loop {
            beat.now();
            let plan = plans.borrow_and_update().plan.clone();
            let error = publisher.publish(plan).await.err().map(|e| e.to_string());
            let failed = error.is_some();
            if let Some(error) = told.new_fault(error) {
                events.tell(clock.now(), EventKind::PublishFailed { publisher: P::NAME, error });
            }
            let retry = Instant::now() + pause;
            pause = if failed { (pause * 2).min(RETRY_AT_MOST) } else { RETRY };
            tokio::select! {
                biased;
                () = token.cancelled() => return,
                changed = plans.changed() => if changed.is_err() { return },
                _ = looks.tick() => {}
                () = sleep_until(retry), if failed => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
