//! The hosts writer on virtual time, over a file of bytes that holds somebody else's lines, too.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use privatelinkd::config::Config;
use privatelinkd::model::{Handover, Identity, Plan, PublishErrorKind};
use privatelinkd::publish::hosts::block::{self, Block, OwnLines};
use privatelinkd::publish::hosts::file::Change;
use privatelinkd::publish::hosts::writer::core::{
    Action, AssertError, Asserted, Core, Input, Job, LastGood, Recalled, ThisHost,
};
use privatelinkd::publish::hosts::{HostsPolicy, handover, shadow};

use super::clock::HostClock;
use super::history::Ms;

/// What was in the file before, and stays.
const FOREIGN: &[&[u8]] = &[
    b"127.0.0.1 localhost\n::1 localhost\n",
    b"127.0.0.1\tlocalhost # \xff\xfe\r\n\n\n# END of nothing",
    b"",
    b"10.9.9.9 other.example.com e9.example.com\n# BEGIN somebody else\n",
];

pub(super) struct Writing {
    core: Core,
    policy: Arc<HostsPolicy>,
    identity: Identity,
    boot_id: String,
    kept: Option<LastGood>,
    pub(super) file: Vec<u8>,
    foreign: &'static [u8],
    /// What went wrong, in a sentence.
    pub(super) fault: Option<String>,
    pub(super) writes: u64,
}

impl Writing {
    pub(super) fn new(
        config: &Config,
        (identity, boot_id): (Identity, String),
        seed: u64,
        clock: HostClock,
        now: Ms,
    ) -> Self {
        let foreign = usize::try_from(seed % 4).ok().and_then(|n| FOREIGN.get(n)).copied().unwrap_or_default();
        let policy = Arc::new(HostsPolicy::new(config.for_writer()));
        let here = ThisHost { identity: identity.clone(), boot_id: boot_id.clone() };
        let core = Core::new(Arc::clone(&policy), here, Recalled::Nothing, clock.at(now).boottime);
        Self { core, policy, identity, boot_id, kept: None, file: foreign.to_vec(), foreign, fault: None, writes: 0 }
    }

    /// Begins anew with what it kept.
    pub(super) fn restart(&mut self, boot_id: String, clock: HostClock, now: Ms) {
        self.boot_id = boot_id;
        let here = ThisHost { identity: self.identity.clone(), boot_id: self.boot_id.clone() };
        let recalled = self.kept.clone().map_or(Recalled::Nothing, Recalled::Own);
        self.core = Core::new(Arc::clone(&self.policy), here, recalled, clock.at(now).boottime);
        self.take(Input::Tick, clock, now);
    }

    pub(super) fn follow(&mut self, config: &Config, clock: HostClock, now: Ms) {
        self.policy = Arc::new(HostsPolicy::new(config.for_writer()));
        self.take(Input::Policy(Arc::clone(&self.policy)), clock, now);
    }

    pub(super) fn next(&self, clock: HostClock) -> Ms {
        self.core.wake_at().map_or(Ms::MAX, |at| clock.world(at))
    }

    pub(super) fn turn(&mut self, clock: HostClock, now: Ms) {
        if self.next(clock) <= now {
            self.take(Input::Tick, clock, now);
        }
    }

    /// A plan is handed over, by way of the bytes that it is on disk.
    pub(super) fn hear(&mut self, plan: &Plan, clock: HostClock, now: Ms) {
        let made = handover::make(plan, &self.boot_id, &self.identity);
        let read: Result<Handover, String> = serde_json::to_vec(&made)
            .map_err(|e| e.to_string())
            .and_then(|bytes| handover::parse(Path::new("plan.json"), &bytes).map_err(|e| e.to_string()));
        if read.as_ref() != Ok(&made) {
            self.fault = Some(format!("a plan does not arrive as it was sent: {read:?}"));
        }
        self.take(Input::Handover(read.map(Some)), clock, now);
    }

    /// Somebody takes the block out.
    pub(super) fn vandal(&mut self, clock: HostClock, now: Ms) {
        self.file = self.foreign.to_vec();
        self.take(Input::FileTouched, clock, now);
    }

    fn take(&mut self, input: Input, clock: HostClock, now: Ms) {
        let at = clock.at(now);
        let mut actions = VecDeque::from(self.core.step(input, at));
        while let Some(action) = actions.pop_front() {
            match action {
                Action::Assert(job) => {
                    let asserted = self.assert(&job);
                    actions.extend(self.core.step(Input::Asserted(asserted), at));
                }
                Action::Save(kept) => self.kept = Some(kept),
                // No update here displaces a file.
                Action::Settle(_) => {}
                Action::Tell(_) | Action::Turned(_) => {}
            }
        }
    }

    fn assert(&mut self, job: &Job) -> Result<Asserted, AssertError> {
        let found = block::present(&self.file);
        let file = std::mem::take(&mut self.file);
        let change = match block::splice(&file, &job.wanted, job.own.as_ref()).map(|spliced| spliced.file) {
            Ok(Cow::Borrowed(_)) => {
                self.file = file;
                Change::Unchanged
            }
            Ok(Cow::Owned(new)) => {
                self.judge(&new, &job.wanted);
                self.file = new;
                self.writes += 1;
                Change::Written
            }
            Err(unclear) => {
                self.fault = Some(format!("nobody damages markers here: {unclear}"));
                let (kind, detail) = (PublishErrorKind::UnclearMarkers, unclear.to_string());
                return Err(AssertError { kind, detail, own: OwnLines::default() });
            }
        };
        let shadowed = shadow::shadowed(&self.file, job.wanted.entries.keys());
        let own = OwnLines::of(&job.wanted, &self.file);
        Ok(Asserted { shadowed, own, ..Asserted::new(found, change) })
    }

    fn judge(&mut self, new: &[u8], wanted: &Block) {
        let own = OwnLines::of(wanted, new);
        if !matches!(block::splice(new, wanted, Some(&own)).map(|spliced| spliced.file), Ok(Cow::Borrowed(_))) {
            self.fault = Some("a block that was just put in is put in again".to_owned());
        }
        if block::strip(new, Some(&own)).is_ok_and(|foreign| *foreign != *self.foreign) {
            self.fault = Some("the lines of others are not what they were".to_owned());
        }
    }

    /// What a resolver finds in the file under a name.
    pub(super) fn finds(&self, name: &str) -> Vec<std::net::IpAddr> {
        let text = String::from_utf8_lossy(&self.file);
        let of = |line: &str| {
            let mut words = line.split('#').next()?.split_ascii_whitespace();
            let address = words.next()?.parse().ok()?;
            words.any(|word| word == name).then_some(address)
        };
        text.lines().filter_map(of).collect()
    }
}
