use std::sync::Mutex;

use super::*;
use crate::model::{Answer, AnswerReason};
use crate::sys::event_queue;
use crate::sys::heartbeat::Stages;

/// When it was asked, and for which names; `None` without a plan.
type Asked = (Duration, Option<String>);

/// Fails as often as told, and keeps what it was asked for.
#[derive(Clone, Default)]
struct Fake {
    log: Arc<Mutex<Vec<Asked>>>,
    fail: Arc<Mutex<u32>>,
    start: Option<Instant>,
}

impl Fake {
    fn new() -> Self {
        Self { start: Some(Instant::now()), ..Self::default() }
    }
    /// What it was asked for since the last time, and when.
    fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.log.lock().unwrap())
    }
}

impl Publisher for Fake {
    const NAME: &'static str = "fake";

    async fn publish(&mut self, plan: Option<Arc<Plan>>) -> io::Result<()> {
        let mut fail = self.fail.lock().unwrap();
        if *fail > 0 {
            *fail -= 1;
            return Err(io::Error::other("no"));
        }
        let names = plan.map(|plan| plan.answers.keys().map(ToString::to_string).collect());
        self.log.lock().unwrap().push((self.start.unwrap().elapsed(), names));
        Ok(())
    }
}

fn state(name: &str) -> PlanState {
    let answer =
        Answer { addresses: vec!["10.0.0.1".parse().unwrap()], standby: Vec::new(), reason: AnswerReason::Healthy };
    let plan = Plan { answers: [(name.parse().unwrap(), answer)].into(), ..Plan::default() };
    PlanState { plan: Some(Arc::new(plan)), ..PlanState::default() }
}

#[tokio::test(start_paused = true)]
async fn each_plan_is_asked_for_at_once_and_every_ten_seconds_and_soon_after_a_failure() {
    let fake = Fake::new();
    let (plans, receiver) = watch::channel(PlanState::default());
    let (sender, mut events) = event_queue::queue();
    let token = CancellationToken::new();
    let clock = Clock::tokio();
    let beat = Stages::new(clock).add("publish", Duration::from_secs(30));
    let runner = Runner { publisher: fake.clone(), plan: receiver, events: sender, clock, beat };
    let task = tokio::spawn(runner.run(token.clone()));
    let at = |millis, name: Option<&str>| (Duration::from_millis(millis), name.map(str::to_owned));
    tokio::time::sleep(Duration::from_secs(25)).await;
    assert_eq!(fake.asked(), [0, 10_000, 20_000].map(|millis| at(millis, None)), "no plan yet: for a sign of life");

    *fake.fail.lock().unwrap() = 2;
    plans.send_replace(state("a.x"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(fake.asked(), [at(25_300, Some("a.x"))], "after 100 and 200 ms");
    plans.send_replace(state("a.x"));
    plans.send_replace(state("b.x"));
    tokio::time::sleep(Duration::from_secs(60)).await;
    let again = [26, 30, 40, 50, 60, 70, 80].map(|seconds| at(seconds * 1000, Some("b.x")));
    assert_eq!(fake.asked(), again, "another process may have taken it away");

    token.cancel();
    task.await.unwrap();
    let told = events.queue.recv().await.unwrap().kind;
    assert_eq!(told, EventKind::PublishFailed { publisher: "fake", error: "no".into() });
    assert!(events.queue.recv().await.is_none(), "two failures alike are told once");
}
