//! What is remembered of TLS with each server, and what follows from it (pure).
//!
//! A MySQL server counts each TLS handshake that breaks off, and after enough of them refuses this host, with all its
//! programs, until an administrator lifts that. Its count is a sum: only a login from this address that succeeds sets
//! it back. So there is a budget a server, however often we are started.
//!
//! A change of the config gives a new budget, a change back within a day does not: else two processes with different
//! configs, such as the agent and a command, would renew it for each other for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::model::{Failure, FailureReason, Wall};
use crate::probe::faults::{local, misconfigured};

#[cfg(test)]
mod tests;

/// The format that this version writes and reads.
const FORMAT: u32 = 1;
/// Handshakes with one server, and one greeting of it, that may break off before nothing more is tried.
const BUDGET: u8 = 2;
/// Greetings of one server that are told apart: a server that greets otherwise each time gets no more budgets.
const MOST_GREETINGS: usize = 4;
/// Ways to use TLS with one server that are remembered.
const MOST_WAYS: usize = 16;
/// Servers that are.
const MOST_SERVERS: usize = 10_000;
/// How long a way to use TLS is remembered after another has taken its place, in milliseconds.
const REMEMBERED: u64 = 24 * 3600 * 1000;
/// How exactly it is known when one was last used, in milliseconds: each note of it costs a write.
const NOTED_EVERY: u64 = 6 * 3600 * 1000;

/// What is remembered of all servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsBook {
    format: u32,
    servers: BTreeMap<SocketAddr, ServerBudget>,
}

/// What is remembered of one server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerBudget {
    /// Whether TLS with it was ever completed, whatever the config and the greeting are now.
    completed: bool,
    /// How TLS is used with it, by digests of what configs say.
    ways: BTreeMap<String, Way>,
    faults: Vec<Fault>,
}

/// A way to use TLS with a server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Way {
    /// When a prober of ours last wanted it so.
    seen: Wall,
    /// The mode in which TLS was completed so, with no fault since.
    proven: Option<String>,
}

/// What went wrong with TLS while the server greeted so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fault {
    /// A digest of what it said of itself.
    greeting: String,
    /// Handshakes that broke off since the last login that succeeded.
    broken: u8,
    /// Handshakes begun with a server that is not proven yet, and not ended: should we be killed now, they have broken.
    open: u8,
    /// Whether our TLS library lacks what the server wants, so that trying again mends nothing.
    lack: bool,
    /// What was seen.
    detail: String,
}

/// A handshake that a prober wants to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) server: SocketAddr,
    /// A digest of what the config says of TLS.
    pub(super) config: String,
    /// `preferred`, `required`, `verify_ca` or `verify`.
    pub(super) mode: &'static str,
    /// A digest of what the server says of itself.
    pub(super) greeting: String,
    /// Whether the server counts handshakes that are never ended. MatrixOne does not.
    pub(super) counts: bool,
}

/// What may be done: a handshake may begin, and how it ends must be told; or what speaks against that.
pub(super) type Advice = Result<Note, Objection>;

/// Why no handshake may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Objection {
    /// No TLS. A login may do without it, where the config leaves that open.
    Plain(Failure),
    /// No TLS, and no login either.
    Stop(Failure),
}

/// What the book knows of a handshake that may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Note {
    /// That the last ones went well: there is nothing new to tell but a fault.
    Proven,
    /// Nothing yet.
    New,
    /// That it has begun, and counts as broken until its end is told.
    Open,
}

/// How a handshake ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// With a session.
    Completed,
    /// It broke off, by our doing or by the server's; `lack` if our library lacks what the server wants.
    Broken { lack: bool, detail: String },
    /// Neither side broke it off: the time was over, or the network failed.
    Lost,
}

impl Default for TlsBook {
    fn default() -> Self {
        Self { format: FORMAT, servers: BTreeMap::new() }
    }
}

impl TlsBook {
    /// Reads a book.
    ///
    /// # Errors
    /// What is wrong with it; the place, and nothing of its content.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let position = |e: &serde_json::Error| format!("found an error at {}:{}", e.line(), e.column());
        match serde_json::from_slice::<Format>(bytes) {
            Ok(Format { format: FORMAT }) => {}
            Ok(Format { format }) => return Err(format!("expected format {FORMAT}, found {format}")),
            Err(e) => return Err(format!("expected JSON with a format, {}", position(&e))),
        }
        serde_json::from_slice(bytes).map_err(|e| format!("expected the shape of format {FORMAT}, {}", position(&e)))
    }

    /// What may be done, where nothing needs to be noted for that.
    pub(super) fn settled_advice(&self, wish: &Wish, now: Wall) -> Option<Advice> {
        let budget = self.servers.get(&wish.server)?;
        budget.ways.get(&wish.config).filter(|way| now.0.abs_diff(way.seen.0) < NOTED_EVERY)?;
        budget.settled_advice(wish)
    }

    /// What may be done, where probers want TLS with the server in the `wanted` ways; a handshake that would count if
    /// it were never ended is noted before it begins.
    pub(super) fn begin(&mut self, wish: &Wish, wanted: &BTreeSet<String>, now: Wall) -> Advice {
        if !self.servers.contains_key(&wish.server) && !self.has_room() {
            return Err(Objection::Stop(local("TLS with too many servers has failed to try it with one more")));
        }
        let budget = self.servers.entry(wish.server).or_default();
        budget.note_wanted(wanted, now);
        if let Some(advice) = budget.settled_advice(wish) {
            return advice;
        }
        match budget.fault_for_greeting(&wish.greeting) {
            Some(fault) if wish.counts => {
                fault.open = fault.open.saturating_add(1);
                Ok(Note::Open)
            }
            Some(_) => Ok(Note::New),
            None => Err(Objection::Stop(local("the server greets in too many ways to try TLS with each"))),
        }
    }

    /// How a handshake ended that was begun so.
    pub(super) fn note_end(&mut self, wish: &Wish, note: Note, end: &End) {
        let Some(budget) = self.servers.get_mut(&wish.server) else { return };
        if note == Note::Open
            && let Some(fault) = budget.fault_for_greeting(&wish.greeting)
        {
            fault.open = fault.open.saturating_sub(1);
        }
        match end {
            End::Completed => {
                budget.completed = true;
                if let Some(way) = budget.ways.get_mut(&wish.config) {
                    way.proven = Some(wish.mode.to_owned());
                }
            }
            End::Broken { lack, detail } => {
                // What never went well so says nothing of what does in another way.
                if budget.is_proven(&wish.config) {
                    budget.ways.values_mut().for_each(|way| way.proven = None);
                }
                if let Some(fault) = budget.fault_for_greeting(&wish.greeting) {
                    fault.broken = fault.broken.saturating_add(1);
                    (fault.lack, fault.detail) = (*lack, detail.clone());
                }
            }
            End::Lost => {}
        }
        budget.faults.retain(|fault| fault.broken > 0 || fault.open > 0 || fault.lack);
    }

    /// Whether a login has something to set back.
    pub(super) fn has_broken(&self, server: SocketAddr) -> bool {
        let counts = |fault: &Fault| fault.broken > 0 || fault.open > 0;
        self.servers.get(&server).is_some_and(|budget| budget.faults.iter().any(counts))
    }

    /// A login succeeded: the server has set its count back, also of what was begun and never ended, as by a process
    /// that was killed. What our library lacks, it still lacks.
    pub(super) fn note_login(&mut self, server: SocketAddr) {
        let Some(budget) = self.servers.get_mut(&server) else { return };
        budget.faults.iter_mut().for_each(|fault| (fault.broken, fault.open) = (0, 0));
        budget.faults.retain(|fault| fault.lack);
    }

    /// Whether TLS with a server was completed in a mode, with no fault since.
    pub(super) fn is_proven(&self, server: SocketAddr, mode: &str) -> bool {
        let proven = |way: &Way| way.proven.as_deref() == Some(mode);
        self.servers.get(&server).is_some_and(|budget| budget.ways.values().any(proven))
    }

    /// Whether TLS with a server was ever completed.
    pub(super) fn was_completed(&self, server: SocketAddr) -> bool {
        self.servers.get(&server).is_some_and(|budget| budget.completed)
    }

    /// Probers want TLS in these ways with servers, of which those count that are known.
    pub(super) fn note_wanted(&mut self, wanted: &BTreeMap<SocketAddr, BTreeSet<String>>, now: Wall) {
        for (server, budget) in &mut self.servers {
            if let Some(wanted) = wanted.get(server) {
                budget.note_wanted(wanted, now);
            }
        }
    }

    /// Takes over what another book knows beyond this one: of each count the higher one.
    pub(super) fn merge(&mut self, other: &Self) {
        for (server, theirs) in &other.servers {
            if self.servers.contains_key(server) || self.has_room() {
                self.servers.entry(*server).or_default().merge(theirs);
            }
        }
    }

    /// Makes room for one more server, at the cost of one with which nothing went wrong; best of one that never did
    /// TLS.
    fn has_room(&mut self) -> bool {
        if self.servers.len() < MOST_SERVERS {
            return true;
        }
        let well = self.servers.iter().filter(|(_, budget)| budget.faults.is_empty());
        let least = well.min_by_key(|(_, budget)| (budget.completed, budget.last_wanted())).map(|(server, _)| *server);
        least.is_some_and(|server| self.servers.remove(&server).is_some())
    }
}

impl ServerBudget {
    /// When a prober last wanted TLS with it.
    fn last_wanted(&self) -> Option<Wall> {
        self.ways.values().map(|way| way.seen).max()
    }

    fn is_proven(&self, config: &str) -> bool {
        self.ways.get(config).is_some_and(|way| way.proven.is_some())
    }

    /// Probers want TLS in these ways. One that is new, or that others took the place of a day ago, is a change, which
    /// may have mended everything.
    fn note_wanted(&mut self, wanted: &BTreeSet<String>, now: Wall) {
        let seen = self.last_wanted();
        let is_old = |way: &Way| now.0.saturating_sub(way.seen.0) >= REMEMBERED;
        let is_change = |config| self.ways.get(config).is_none_or(|way| is_old(way) && Some(way.seen) < seen);
        if wanted.iter().any(is_change) {
            self.faults.clear();
            self.ways.retain(|config, way| wanted.contains(config) || !is_old(way));
        }
        for config in wanted {
            self.ways.entry(config.clone()).or_default().seen = now;
        }
        while self.ways.len() > MOST_WAYS {
            // Those that are wanted now are bounded by the config; one that went would be new again, with a new budget.
            let others = self.ways.iter().filter(|(config, _)| !wanted.contains(*config));
            let Some(oldest) = others.min_by_key(|(_, way)| way.seen).map(|(config, _)| config.clone()) else { break };
            self.ways.remove(&oldest);
        }
    }

    /// What may be done, where nothing needs to be noted for that.
    fn settled_advice(&self, wish: &Wish) -> Option<Advice> {
        if self.is_proven(&wish.config) { Some(Ok(Note::Proven)) } else { self.objection(&wish.greeting).map(Err) }
    }

    /// What speaks against TLS while the server greets so.
    fn objection(&self, greeting: &str) -> Option<Objection> {
        let fault = self.faults.iter().find(|fault| fault.greeting == greeting)?;
        let detail = &fault.detail;
        let lacking = format!("not tried again before greeting or config change: {detail}");
        match (fault.lack, self.completed) {
            (true, true) => Some(Objection::Stop(misconfigured(format_args!(
                "TLS with this server was completed before, so that no login goes without it; {lacking}"
            )))),
            (true, false) => Some(Objection::Plain(misconfigured(lacking))),
            (false, _) if fault.broken.saturating_add(fault.open) >= BUDGET => {
                let broken = if detail.is_empty() { "TLS handshakes were begun and not ended" } else { detail };
                let text = format_args!("not tried again before a login succeeds: {broken}");
                Some(Objection::Stop(Failure::new(FailureReason::TlsHandshake, text)))
            }
            (false, _) => None,
        }
    }

    fn merge(&mut self, other: &Self) {
        self.completed |= other.completed;
        for (config, theirs) in &other.ways {
            let ours = self.ways.entry(config.clone()).or_insert_with(|| theirs.clone());
            ours.seen = ours.seen.max(theirs.seen);
            // What has ceased to go well is proven no more.
            if theirs.proven.is_none() && other.faults.iter().any(|fault| fault.broken > 0 || fault.lack) {
                ours.proven = None;
            }
        }
        for theirs in &other.faults {
            let Some(ours) = self.fault_for_greeting(&theirs.greeting) else { continue };
            (ours.broken, ours.open) = (ours.broken.max(theirs.broken), ours.open.max(theirs.open));
            if theirs.broken > 0 || theirs.lack {
                (ours.lack, ours.detail) = (theirs.lack, theirs.detail.clone());
            }
        }
    }

    /// The faults while the server greets so; none if it has greeted in too many other ways.
    fn fault_for_greeting(&mut self, greeting: &str) -> Option<&mut Fault> {
        if let Some(at) = self.faults.iter().position(|fault| fault.greeting == greeting) {
            return self.faults.get_mut(at);
        }
        if self.faults.len() >= MOST_GREETINGS {
            return None;
        }
        let greeting = greeting.to_owned();
        self.faults.push(Fault { greeting, broken: 0, open: 0, lack: false, detail: String::new() });
        self.faults.last_mut()
    }
}
