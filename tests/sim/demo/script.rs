//! Plays the scenes one after the other, and waits for what each of them has to bring about, never for ever.

use std::time::Duration;

use anyhow::{Context as _, bail};
use privatelinkd::model::{AnswerReason, Boottime};
use privatelinkd::observe::status::{AddressState, State, StatusReport};
use privatelinkd::sys::clock::Clock;
use tokio::time::{Instant, sleep};

use crate::folder::Folder;
use crate::hosts::{Answers, HostsFile, Mark};
use crate::look;
use crate::scenes::Scene;
use crate::screen::Screen;
use crate::summary::Summary;
use crate::world::World;

/// Many times what anything here takes: what has not come by then does not come.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at the status.
const LOOK: Duration = Duration::from_millis(20);

/// The script with everything that it acts on and looks at.
pub(crate) struct Script<'a> {
    pub(crate) world: World,
    pub(crate) hosts: HostsFile,
    pub(crate) folder: &'a Folder,
    pub(crate) screen: Screen,
    /// When the agent was started.
    pub(crate) started: Boottime,
    /// When the time is up.
    pub(crate) end: Option<Instant>,
    pub(crate) summary: Summary,
}

impl Script<'_> {
    /// Plays what fits. Ends with the first scene that does not go as it should.
    pub(crate) async fn play(&mut self) {
        self.summary.targets = World::TARGETS;
        self.summary.names = World::ENDPOINTS.len();
        for scene in Scene::ALL {
            if self.time_left() < scene.takes() {
                self.screen.note(&format!("Skipped, for lack of time: {}.", scene.title()));
                self.summary.skipped.push(scene.title());
                continue;
            }
            let played = match self.scene(scene).await {
                Ok(()) if !self.hosts.foreign_is_intact() => Err(anyhow::anyhow!("a foreign byte changed")),
                played => played,
            };
            if let Err(error) = played {
                let failure = format!("{}: {error:#}", scene.title());
                self.screen.note(&format!("This did not go as it should: {failure}"));
                self.summary.failures.push(failure);
                return;
            }
        }
    }

    /// The last look, when the agent has ended: what it published is still there.
    pub(crate) fn end(mut self) -> (Summary, Screen) {
        self.summary.foreign_lines = self.hosts.foreign_lines();
        self.summary.foreign_intact = self.hosts.foreign_is_intact();
        self.summary.hosts = self.hosts.text();
        if !self.summary.foreign_intact {
            self.summary.failures.push("at the end a foreign byte of the hosts file is not as it was".to_owned());
        }
        if self.summary.failures.is_empty() && !self.summary.interrupted && self.hosts.answers() != self.world.answers()
        {
            self.summary.failures.push("what was published did not outlive the agent".to_owned());
        }
        (self.summary, self.screen)
    }

    fn time_left(&self) -> Duration {
        self.end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()))
    }

    fn patience(&self) -> Duration {
        PATIENCE.min(self.time_left())
    }

    /// Waits until the hosts file, in a state after the mark, leads where the working servers are. How long that took.
    pub(super) async fn file_shows(&self, after: Mark, from: Boottime) -> anyhow::Result<Duration> {
        let (wanted, patience) = (self.world.answers(), self.patience());
        match self.hosts.shows(after, &wanted, patience).await {
            Some(at) => Ok(at.since(from)),
            None => bail!(
                "expected {} in the hosts file within {patience:.1?}, found {}",
                in_words(&wanted),
                in_words(&self.hosts.answers())
            ),
        }
    }

    /// Waits until the agent itself says so.
    pub(super) async fn status_shows(&self, what: &str, is_so: impl Fn(&StatusReport) -> bool) -> anyhow::Result<()> {
        let socket = self.folder.status_socket();
        let ask = async {
            // Until the agent has opened its socket there is no answer.
            while !look::status(&socket).await.is_ok_and(|report| is_so(&report)) {
                sleep(LOOK).await;
            }
        };
        let patience = self.patience();
        tokio::time::timeout(patience, ask).await.with_context(|| format!("expected {what} within {patience:.1?}"))
    }

    pub(super) async fn reason_is(&self, name: &str, reason: AnswerReason) -> anyhow::Result<()> {
        let is_so = |report: &StatusReport| report.names.iter().any(|(n, r)| n.as_str() == name && r.reason == reason);
        self.status_shows(&format!("the reason {reason} for {name}"), is_so).await
    }

    pub(super) async fn all_is_well(&self) -> anyhow::Result<()> {
        self.status_shows("all to be well", all_is_well).await
    }
}

pub(super) fn now() -> Boottime {
    Clock::System.now().boottime
}

fn all_is_well(report: &StatusReport) -> bool {
    let zones = report.endpoints.values().flat_map(|e| e.zones.values());
    let mut current = zones.flat_map(|z| z.values()).filter(|a| !a.retired);
    report.state == State::Ok
        && report.names.values().all(|n| n.reason == AnswerReason::Healthy)
        && current.all(|a| a.state == AddressState::Up && a.hold_ms.is_none())
}

fn in_words(answers: &Answers) -> String {
    let word = |(name, addresses): (&String, &Vec<std::net::IpAddr>)| {
        let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        format!("{name} at {}", addresses.join(" and "))
    };
    if answers.is_empty() { "no name".to_owned() } else { answers.iter().map(word).collect::<Vec<_>>().join(", ") }
}
