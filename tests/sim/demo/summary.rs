//! What was shown, for people and for scripts.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::folder::Folder;
use crate::screen::millis;
use crate::world::Fault;

/// What came of the scenes.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) targets: usize,
    pub(crate) names: usize,
    pub(crate) failovers: Vec<Failover>,
    /// Times that something was broken, and times that all was well again afterwards.
    pub(crate) faults: usize,
    pub(crate) recoveries: usize,
    /// The name of an endpoint whose zones were all dead stayed.
    pub(crate) kept: bool,
    /// Nothing moved while the API was throttled.
    pub(crate) throttled_kept: bool,
    /// How long a deleted block was away.
    pub(crate) restored: Option<Duration>,
    /// From the change in the cloud to the file that shows the new address and no longer the old one.
    pub(crate) ip_change: Option<Duration>,
    pub(crate) foreign_lines: usize,
    pub(crate) foreign_intact: bool,
    /// The hosts file at the end.
    pub(crate) hosts: String,
    pub(crate) skipped: Vec<&'static str>,
    pub(crate) failures: Vec<String>,
    pub(crate) interrupted: bool,
}

/// One name that left a dead zone.
#[derive(Debug)]
pub(crate) struct Failover {
    pub(crate) name: &'static str,
    pub(crate) fault: Fault,
    /// From the fault to the visible file.
    pub(crate) took: Duration,
    pub(crate) promise: Duration,
}

impl Summary {
    /// True if all that was played went as it should.
    pub(crate) fn holds(&self) -> bool {
        self.failures.is_empty()
    }

    /// The last line of `--json`.
    pub(crate) fn json(&self, folder: &Folder) -> Value {
        let each = |time: fn(&Failover) -> Duration| -> Vec<_> { self.failovers.iter().map(|f| ms(time(f))).collect() };
        json!({
            "event": "result",
            "ok": self.holds(),
            "targets": self.targets,
            "names": self.names,
            "failovers": self.failovers.len(),
            "failover_ms": each(|f| f.took),
            "failover_promise_ms": each(|f| f.promise),
            "ip_change_ms": self.ip_change.map(ms),
            "block_restored_ms": self.restored.map(ms),
            "all_down_kept": self.kept,
            "throttled_kept": self.throttled_kept,
            "recovered": self.faults > 0 && self.recoveries == self.faults,
            "foreign_intact": self.foreign_intact,
            "hosts_path": folder.hosts(),
            "metrics_url": metrics_url(folder),
            "skipped": self.skipped,
            "failures": self.failures,
            "interrupted": self.interrupted,
        })
    }

    /// The end for people.
    pub(crate) fn text(&self, folder: &Folder) -> String {
        let mut text = String::from("\nWhat was shown, on real sockets and with measured times:\n");
        for line in self.lines() {
            line_to(&mut text, &format!("  - {line}"));
        }
        for scene in &self.skipped {
            line_to(&mut text, &format!("  - skipped, for lack of time: {scene}"));
        }
        line_to(&mut text, "");
        line_to(&mut text, "The hosts file now that the agent has ended:");
        for line in self.hosts.lines() {
            line_to(&mut text, &format!("  | {line}"));
        }
        line_to(&mut text, "");
        if folder.is_kept() {
            line_to(
                &mut text,
                &format!("Everything is in {} (agent.log tells the agent's side).", folder.path().display()),
            );
        } else {
            line_to(&mut text, "The temporary folder is removed; --keep leaves it, --stay lets the agent go on.");
        }
        if self.interrupted {
            line_to(&mut text, "Interrupted: the rest was not played.");
        }
        for failure in &self.failures {
            line_to(&mut text, &format!("DID NOT HOLD: {failure}"));
        }
        text
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for Failover { name, fault, took, promise } in &self.failovers {
            let (took, promise) = (millis(*took), millis(*promise));
            lines.push(format!("a zone {fault}: {name} left it after {took} (promise: {promise} and a check)"));
        }
        if self.recoveries > 0 {
            lines
                .push(format!("what broke came back: {} of {} times all was well again", self.recoveries, self.faults));
        }
        if self.kept {
            lines.push("all zones of an endpoint dead: its name stayed, and never became empty".to_owned());
        }
        lines.extend(self.restored.map(|took| format!("the block deleted: back after {}", millis(took))));
        lines.extend(self.ip_change.map(|took| format!("another address in the cloud: in use {} later", millis(took))));
        if self.throttled_kept {
            lines.push("the API throttled: said in status, and nothing moved".to_owned());
        }
        let intact = if self.foreign_intact { "unchanged, byte for byte" } else { "CHANGED" };
        lines.push(format!("{} foreign lines in the hosts file: {intact}", self.foreign_lines));
        lines
    }
}

pub(crate) fn metrics_url(folder: &Folder) -> String {
    format!("http://{}/metrics", folder.metrics())
}

pub(crate) fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn line_to(text: &mut String, line: &str) {
    // Writing to a string can't fail.
    let _ = writeln!(text, "{line}");
}
