//! The scenes.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use privatelinkd::model::AnswerReason;
use privatelinkd::observe::status::StatusReport;

use crate::agent::{HOLD, REFRESH, promise};
use crate::hosts::Mark;
use crate::look;
use crate::screen::millis;
use crate::script::{Script, now};
use crate::summary::Failover;
use crate::world::{At, Endpoint, Fault, World};

/// One thing that happens, with its return to normal, so that each scene begins where all is well.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scene {
    Start,
    Refuses,
    FallsSilent,
    Hollow,
    BothDie,
    Edited,
    Moves,
    Throttled,
}

impl Scene {
    pub(crate) const ALL: [Self; 8] = [
        Self::Start,
        Self::Refuses,
        Self::Moves,
        Self::FallsSilent,
        Self::Hollow,
        Self::BothDie,
        Self::Edited,
        Self::Throttled,
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Start => "the start",
            Self::Refuses => "a zone refuses connections",
            Self::FallsSilent => "a zone falls silent",
            Self::Hollow => "a zone greets without a database behind it",
            Self::BothDie => "both zones of an endpoint die",
            Self::Edited => "somebody else edits the hosts file",
            Self::Moves => "a network interface gets another address",
            Self::Throttled => "the cloud's API throttles",
        }
    }

    /// Rather too much, with the pause after it.
    pub(crate) fn takes(self) -> Duration {
        Duration::from_secs(match self {
            Self::Start | Self::Edited => 4,
            Self::Refuses | Self::FallsSilent | Self::Hollow | Self::Moves | Self::Throttled => 7,
            Self::BothDie => 8,
        })
    }
}

impl Script<'_> {
    pub(super) async fn scene(&mut self, scene: Scene) -> anyhow::Result<()> {
        match scene {
            Scene::Start => self.start().await,
            Scene::Refuses => self.zone_fails(At(0, 0), Fault::Refuses).await,
            Scene::FallsSilent => self.zone_fails(At(1, 1), Fault::Silent).await,
            Scene::Hollow => self.zone_fails(At(1, 0), Fault::Hollow).await,
            Scene::BothDie => self.both_zones_die(0).await,
            Scene::Edited => self.file_is_edited().await,
            Scene::Moves => self.address_moves(At(0, 1)).await,
            Scene::Throttled => self.api_throttles().await,
        }
    }

    async fn start(&mut self) -> anyhow::Result<()> {
        self.screen.act("start", "The agent starts. It knows two endpoints by their ids, and none of their addresses.");
        let took = self.file_shows(Mark::START, self.started).await?;
        self.screen.saw(
            "start",
            "it had found every address through the API, and the hosts file had them for both names.",
            Some(took),
        );
        self.all_is_well().await?;
        let took = now().since(self.started);
        self.screen.saw("start", "every address had proved that it answers.", Some(took));
        let ready = look::get(self.folder.metrics(), "/readyz").await.context("can't ask /readyz")?;
        ensure!(ready.starts_with("HTTP/1.1 200 "), "expected /readyz to say 200, found {:?}", ready.lines().next());
        let metrics = look::get(self.folder.metrics(), "/metrics").await.context("can't ask /metrics")?;
        let is_up = |line: &&str| line.starts_with("privatelink_target_up{") && line.ends_with(" 1");
        let up = metrics.lines().filter(is_up).count();
        let targets = World::TARGETS;
        ensure!(up == targets, "expected {targets} targets up in /metrics, found {up}");
        self.screen.show_table().await;
        Ok(())
    }

    async fn zone_fails(&mut self, at: At, fault: Fault) -> anyhow::Result<()> {
        let scene = match fault {
            Fault::Refuses => "refuses",
            Fault::Silent => "silent",
            Fault::Hollow => "hollow",
        };
        let (label, name, zone, address) = self.place(at)?;
        self.summary.faults += 1;
        let mark = self.hosts.mark();
        self.world.set(at, Some(fault)).await?;
        let from = now();
        self.screen.act(scene, &format!("Zone {zone} of {label} ({address}) {fault}."));
        let took = self.file_shows(mark, from).await?;
        let limit = promise(fault);
        let text = format!("{name} no longer led there (promise: {} and a check).", millis(limit));
        self.screen.saw(scene, &text, Some(took));
        self.summary.failovers.push(Failover { name, fault, took, promise: limit });
        self.reason_is(name, AnswerReason::FailedOver).await?;
        self.screen.show_table().await;

        let mark = self.hosts.mark();
        self.world.set(at, None).await?;
        let from = now();
        self.screen.act(scene, &format!("Zone {zone} of {label} answers again."));
        let took = self.file_shows(mark, from).await?;
        ensure!(
            took >= HOLD,
            "expected the name to stay away for the hold of {HOLD:?}, found it back after {took:.1?}"
        );
        let text = format!("{name} led there again, after three answers in a row and a hold of {HOLD:?}.");
        self.screen.saw(scene, &text, Some(took));
        self.all_is_well().await?;
        self.screen.breathe().await;
        self.summary.recoveries += 1;
        Ok(())
    }

    async fn both_zones_die(&mut self, endpoint: usize) -> anyhow::Result<()> {
        const SCENE: &str = "both_die";
        let both = [At(endpoint, 0), At(endpoint, 1)];
        let Endpoint { label, name, .. } = World::ENDPOINTS[endpoint];
        let before = self.world.answers().remove(name).unwrap_or_default();
        self.summary.faults += 1;
        let mark = self.hosts.mark();
        for at in both {
            self.world.set(at, Some(Fault::Refuses)).await?;
        }
        let from = now();
        self.screen.act(SCENE, &format!("Both zones of {label} refuse connections at once."));
        self.reason_is(name, AnswerReason::AllDownKept).await?;
        let took = now().since(from);
        // Long enough for something wrong to show itself.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let stayed = self.hosts.always_showed(mark, name, &before);
        ensure!(stayed, "expected {name} to stay at every address, found it moved onto a dead one");
        let text = format!("the agent knew; {name} stays as it is (all_down_kept), rather than empty.");
        self.screen.saw(SCENE, &text, Some(took));
        self.summary.kept = true;
        self.screen.show_table().await;

        for at in both {
            self.world.set(at, None).await?;
        }
        let from = now();
        self.screen.act(SCENE, &format!("Both zones of {label} answer again."));
        self.all_is_well().await?;
        // Perhaps without any change of the file, if both came back within one look.
        self.file_shows(self.hosts.latest(), from).await?;
        self.screen.saw(SCENE, &format!("all was well, and {name} led to both zones."), Some(now().since(from)));
        self.screen.breathe().await;
        self.summary.recoveries += 1;
        Ok(())
    }

    async fn file_is_edited(&mut self) -> anyhow::Result<()> {
        const SCENE: &str = "edited";
        let mark = self.hosts.mark();
        self.hosts.rewrite_without_block("10.20.30.41   scanner.example.internal   # added by somebody in a hurry")?;
        let from = now();
        self.screen.act(SCENE, "Somebody adds a line of their own to the hosts file, and deletes the agent's block.");
        let took = self.file_shows(mark, from).await?;
        self.screen.saw(SCENE, "the block was back; every foreign line is as they left it.", Some(took));
        self.summary.restored = Some(took);
        self.all_is_well().await?;
        self.screen.breathe().await;
        Ok(())
    }

    async fn address_moves(&mut self, at: At) -> anyhow::Result<()> {
        const SCENE: &str = "moves";
        let (label, name, zone, old) = self.place(at)?;
        let mark = self.hosts.mark();
        let new = self.world.move_interface(at).await?;
        let changed = now();
        self.screen.act(SCENE, &format!("In the cloud, the interface of {label} in {zone} moves from {old} to {new}."));
        let took = self.file_shows(mark, changed).await?;
        let text = format!("{name} led to the new address, which had proved itself first, and not to the old one.");
        self.screen.saw(SCENE, &text, Some(took));
        self.summary.ip_change = Some(took);
        self.all_is_well().await?;
        self.screen.show_table().await;
        Ok(())
    }

    async fn api_throttles(&mut self) -> anyhow::Result<()> {
        const SCENE: &str = "throttled";
        let answers = self.world.answers();
        let mark = self.hosts.mark();
        self.world.throttle();
        let from = now();
        self.screen.act(SCENE, "The API refuses every call: too many of them, it says.");
        let stale = |report: &StatusReport| report.problems.iter().any(|p| p.contains("Throttling"));
        self.status_shows("status to say that the API throttles", stale).await?;
        let took = now().since(from);
        // For some more refused rounds.
        tokio::time::sleep(REFRESH).await;
        for (name, addresses) in &answers {
            let stayed = self.hosts.always_showed(mark, name, addresses);
            ensure!(stayed, "expected {name} to stay where it was, found it moved");
        }
        self.screen.saw(SCENE, "status said so; every name stayed where it was.", Some(took));
        self.summary.throttled_kept = true;
        self.screen.show_table().await;

        self.world.unthrottle();
        let from = now();
        self.screen.act(SCENE, "The API answers again.");
        self.all_is_well().await?;
        self.screen.saw(SCENE, "all was well.", Some(now().since(from)));
        self.screen.breathe().await;
        Ok(())
    }

    /// Label, name, zone and present address.
    fn place(&self, at: At) -> anyhow::Result<(&'static str, &'static str, &'static str, IpAddr)> {
        let Endpoint { label, name, .. } = at.endpoint();
        let address = self.world.address(at).with_context(|| format!("{label} has no address in {}", at.zone()))?;
        Ok((label, name, at.zone(), address))
    }
}
