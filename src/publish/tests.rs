use std::sync::Mutex;

use super::*;
use crate::model::{Answer, AnswerReason};
use crate::sys::event_queue;
use crate::sys::heartbeat::Stages;

/// Fails as often as told, and keeps what it was given.
#[derive(Clone, Default)]
struct Fake {
    log: Arc<Mutex<Vec<(Duration, String)>>>,
    fail: Arc<Mutex<u32>>,
    emptied: Arc<Mutex<bool>>,
    start: Option<Instant>,
}

impl Fake {
    fn new() -> Self {
        Self { start: Some(Instant::now()), ..Self::default() }
    }
    fn note(&self, what: String) {
        self.log.lock().unwrap().push((self.start.unwrap().elapsed(), what));
    }
    fn plans(&self) -> Vec<(Duration, String)> {
        self.log.lock().unwrap().iter().filter(|(_, w)| w != "life").cloned().collect()
    }
}

impl Publisher for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }
    async fn publish(&mut self, plan: Arc<Plan>) -> io::Result<()> {
        *self.emptied.lock().unwrap() = false;
        let mut fail = self.fail.lock().unwrap();
        if *fail > 0 {
            *fail -= 1;
            return Err(io::Error::other("no"));
        }
        self.note(plan.answers.keys().map(ToString::to_string).collect());
        Ok(())
    }
    async fn stands(&mut self) -> io::Result<bool> {
        Ok(!*self.emptied.lock().unwrap())
    }
    async fn show_life(&mut self) -> io::Result<()> {
        self.note("life".into());
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
async fn each_plan_is_published_once_and_failures_are_tried_again() {
    let fake = Fake::new();
    let (plans, receiver) = watch::channel(PlanState::default());
    let (sender, mut events) = event_queue::queue();
    let token = CancellationToken::new();
    let clock = Clock::tokio();
    let beat = Stages::new(clock).add("publish", Duration::from_secs(30));
    let runner = Runner { publisher: fake.clone(), plan: receiver, events: sender, clock, beat };
    let task = tokio::spawn(runner.run(token.clone()));
    tokio::time::sleep(Duration::from_secs(25)).await;
    assert_eq!(fake.plans(), [], "no plan, nothing to publish");
    assert_eq!(fake.log.lock().unwrap().len(), 3, "a sign of life at 0, 10 and 20 s");

    *fake.fail.lock().unwrap() = 2;
    plans.send_replace(state("a.x"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(fake.plans(), [(Duration::from_millis(25_300), "a.x".to_owned())], "after 100 and 200 ms");
    plans.send_replace(state("a.x"));
    plans.send_replace(state("b.x"));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(fake.plans().len(), 2, "an equal plan is not handed over again");

    *fake.emptied.lock().unwrap() = true;
    tokio::time::sleep(ALIVE_INTERVAL).await;
    assert_eq!(fake.plans().len(), 3, "what somebody took away is handed over again");

    token.cancel();
    task.await.unwrap();
    let told = events.queue.recv().await.unwrap().kind;
    assert_eq!(told, EventKind::PublishFailed { publisher: "fake", error: "no".into() });
    assert!(events.queue.recv().await.is_none(), "two failures alike are told once");
}
