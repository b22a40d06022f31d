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

/// Of a writer that publishes.
fn policy(dir: &Path) -> HostsPolicy {
    let at = |name: &str| dir.join(name);
    let folders = hosts::policy::Folders { agent_run_dir: at("a"), run_dir: at("b"), state_dir: at("c") };
    HostsPolicy { publish: true, path: at("hosts"), ..HostsPolicy::idle(folders) }
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
    let told = events.recv().await.unwrap().kind;
    assert_eq!(told, EventKind::PublishFailed { publisher: "fake", error: "no".into() });
    assert!(events.recv().await.is_none(), "two failures alike are told once");
}

#[tokio::test]
async fn the_hosts_publisher_makes_its_folder_and_files() {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    let mut publisher = HostsPublisher::new(run_dir.clone(), "boot".into(), Identity::default());
    publisher.publish(state("a.x").plan.unwrap()).await.unwrap();
    publisher.show_life().await.unwrap();
    let mut names: Vec<_> = std::fs::read_dir(&run_dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["alive", "plan.json"]);
}

/// Newcomers that sort before all others don't displace what was handed over, not even after a restart; and the digest
/// that receipts are compared with is that of what was handed over.
#[tokio::test]
async fn of_a_plan_that_is_too_large_what_was_handed_over_stays() {
    let dir = tempfile::tempdir().unwrap();
    let long = ["x".repeat(60), "y".repeat(60), "z".repeat(60), "w".repeat(50)].join(".");
    let answer = state("a.x").plan.unwrap().answers.values().next().unwrap().clone();
    let named = |what: char| {
        let answer = answer.clone();
        let long = long.clone();
        (0..5_000).map(move |n| (format!("{what}{n:05}.{long}").parse::<HostName>().unwrap(), answer.clone()))
    };
    let old = Plan { answers: named('n').collect(), ..Plan::default() };
    let both = Plan { answers: named('a').chain(named('n')).collect(), ..Plan::default() };
    let (policies, policy) = watch::channel(Arc::new(policy(dir.path())));
    let (events, mut heard) = event_queue::queue();
    let (receipts, capped) = (watch::Sender::default(), watch::Sender::default());
    let told = Told { policy, receipts: receipts.clone(), capped: capped.clone(), events, clock: Clock::System };
    let made = || HostsPublisher::new(dir.path().to_owned(), "boot".into(), Identity::default());
    made().publish(Arc::new(old.clone())).await.unwrap();
    let mut publisher = made().telling(told);
    publisher.publish(Arc::new(both.clone())).await.unwrap();

    let handed = hosts::handover::read(dir.path()).unwrap().unwrap();
    assert!(old.answers.keys().all(|name| handed.plan.contains_key(name)));
    let whole = hosts::handover::digest(&both);
    assert_eq!(receipts.borrow().of_hosts(Some(&whole)), Some(&handed.digest));
    let left_out = both.answers.len() - handed.plan.len();
    assert_eq!(capped.borrow().get(Capped::Handover), left_out as u64);
    let kind = EventKind::HandoverFull { names: both.answers.len(), left_out };
    assert_eq!(heard.recv().await.unwrap().kind, kind);

    publisher.publish(Arc::new(old.clone())).await.unwrap();
    let digest = hosts::handover::digest(&old);
    assert_eq!(receipts.borrow().of_hosts(Some(&digest)), Some(&digest));
    // Where the hosts file is not published there is nothing to say and to count.
    policies.send_modify(|policy| Arc::make_mut(policy).publish = false);
    publisher.publish(Arc::new(both)).await.unwrap();
    assert_eq!(capped.borrow().get(Capped::Handover), left_out as u64);
    assert_eq!(heard.try_recv(), None);
}

#[tokio::test]
async fn an_error_names_the_folder() {
    let mut publisher = HostsPublisher::new("/proc/nowhere".into(), "boot".into(), Identity::default());
    let error = publisher.show_life().await.unwrap_err().to_string();
    assert!(error.starts_with("/proc/nowhere: "), "{error}");
}
