//! What is remembered of TLS with each server, and what follows from it (pure).
//!
//! A MySQL server counts each TLS handshake that breaks off, and after enough of them refuses this host, with all its
//! programs, until an administrator lifts that. Its count is a sum: only a login from this address that succeeds sets it
//! back. So there is a budget a server, however often we are started.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::model::{EndpointName, Failure, FailureReason};

/// The format that this version writes and reads.
const FORMAT: u32 = 1;
/// Handshakes with one server, and one greeting of it, that may break off before nothing more is tried.
const BUDGET: u8 = 2;
/// Greetings of one server that are told apart: a server that greets otherwise each time gets no more budgets.
const MOST_GREETINGS: usize = 4;
/// Servers that are remembered.
const MOST_SERVERS: usize = 10_000;
/// Endpoints that are.
const MOST_ENDPOINTS: usize = 20_000;

/// What is remembered of all servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsBook {
    format: u32,
    /// How often the way to use TLS has changed in the config.
    changes: u64,
    endpoints: BTreeMap<EndpointName, Way>,
    servers: BTreeMap<SocketAddr, Standing>,
}

/// How an endpoint's probes use TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Way {
    /// A digest of what the config says.
    config: String,
    /// Since which change.
    since: u64,
}

/// What is remembered of one server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Standing {
    /// Which change of the config its faults are younger than.
    since: u64,
    /// Whether TLS with it was ever completed.
    completed: bool,
    /// The modes in which it was, with no fault since.
    proven: BTreeSet<String>,
    faults: Vec<Fault>,
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

/// A handshake that somebody wants to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) server: SocketAddr,
    pub(super) endpoint: EndpointName,
    /// A digest of what the config says of TLS.
    pub(super) config: String,
    /// `preferred`, `required`, `verify_ca` or `verify`.
    pub(super) mode: &'static str,
    /// A digest of what the server says of itself.
    pub(super) greeting: String,
}

/// What may be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Advice {
    /// Begin, and say how it ended. `noted` if the book has to know.
    Begin { noted: bool },
    /// No TLS. A login may do without it, where the config leaves that open.
    Plain(Failure),
    /// No TLS, and no login either.
    Stop(Failure),
}

impl Default for Advice {
    /// Where nobody is left to ask.
    fn default() -> Self {
        Self::Stop(Failure::new(FailureReason::Local, "the agent is stopping"))
    }
}

/// How a handshake ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// With a session.
    Completed,
    /// It broke off, by our doing or by the server's; `lack` if our library lacks what the server wants.
    Broken { lack: bool, detail: String },
    /// Nobody broke it off: the time was over, or the network failed.
    Lost,
}

impl Default for TlsBook {
    fn default() -> Self {
        Self { format: FORMAT, changes: 0, endpoints: BTreeMap::new(), servers: BTreeMap::new() }
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
        let at = |e: &serde_json::Error| format!("found an error at {}:{}", e.line(), e.column());
        match serde_json::from_slice::<Format>(bytes) {
            Ok(Format { format: FORMAT }) => {}
            Ok(Format { format }) => return Err(format!("expected format {FORMAT}, found {format}")),
            Err(e) => return Err(format!("expected JSON with a format, {}", at(&e))),
        }
        serde_json::from_slice(bytes).map_err(|e| format!("expected the shape of format {FORMAT}, {}", at(&e)))
    }

    /// What may be done, where nothing needs to be noted for that.
    pub(super) fn settled(&self, wish: &Wish) -> Option<Advice> {
        let way = self.endpoints.get(&wish.endpoint).filter(|way| way.config == wish.config)?;
        let standing = self.servers.get(&wish.server).filter(|standing| standing.since >= way.since)?;
        match standing.objection(&wish.greeting) {
            Some(advice) => Some(advice),
            None => standing.proven.contains(wish.mode).then_some(Advice::Begin { noted: false }),
        }
    }

    /// What may be done; a handshake with a server that is not proven is noted before it begins.
    pub(super) fn begin(&mut self, wish: &Wish) -> Advice {
        let since = self.enrol(&wish.endpoint, &wish.config);
        if !self.servers.contains_key(&wish.server) && !self.has_room() {
            return Advice::Stop(stop("TLS with too many servers has failed to try it with one more"));
        }
        let fresh = Standing { since: self.changes, ..Standing::default() };
        let standing = self.servers.entry(wish.server).or_insert(fresh);
        if since > standing.since {
            standing.since = self.changes;
            standing.faults.clear();
        }
        if let Some(advice) = standing.objection(&wish.greeting) {
            return advice;
        }
        if standing.proven.contains(wish.mode) {
            return Advice::Begin { noted: false };
        }
        match standing.fault(&wish.greeting) {
            Some(fault) => fault.open += 1,
            None => return Advice::Stop(stop("the server greets in too many ways to try TLS with each")),
        }
        Advice::Begin { noted: true }
    }

    /// How a handshake ended that was begun so.
    pub(super) fn end(&mut self, wish: &Wish, noted: bool, end: &End) {
        let Some(standing) = self.servers.get_mut(&wish.server) else { return };
        if noted && let Some(fault) = standing.fault(&wish.greeting) {
            fault.open = fault.open.saturating_sub(1);
        }
        match end {
            End::Completed => {
                standing.completed = true;
                standing.proven.insert(wish.mode.to_owned());
            }
            End::Broken { lack, detail } => {
                standing.proven.clear();
                if let Some(fault) = standing.fault(&wish.greeting) {
                    fault.broken = fault.broken.saturating_add(1);
                    (fault.lack, fault.detail) = (*lack, detail.clone());
                }
            }
            End::Lost => {}
        }
        standing.faults.retain(|fault| fault.broken > 0 || fault.open > 0 || fault.lack);
    }

    /// Whether a login has something to set back.
    pub(super) fn has_broken(&self, server: SocketAddr) -> bool {
        let counts = |fault: &Fault| fault.broken > 0 || fault.open > 0;
        self.servers.get(&server).is_some_and(|standing| standing.faults.iter().any(counts))
    }

    /// A login succeeded: the server has set its count back, also of what was begun and never ended, as by a process that
    /// was killed. What our library lacks, it still lacks.
    pub(super) fn logged_in(&mut self, server: SocketAddr) {
        let Some(standing) = self.servers.get_mut(&server) else { return };
        standing.faults.iter_mut().for_each(|fault| (fault.broken, fault.open) = (0, 0));
        standing.faults.retain(|fault| fault.lack);
    }

    /// Whether TLS with a server was completed in a mode, with no fault since.
    pub(super) fn is_proven(&self, server: SocketAddr, mode: &str) -> bool {
        self.servers.get(&server).is_some_and(|standing| standing.proven.contains(mode))
    }

    /// Notes how an endpoint uses TLS, and returns since which change of the config it does.
    pub(super) fn enrol(&mut self, endpoint: &EndpointName, config: &str) -> u64 {
        let known = self.endpoints.get(endpoint);
        if let Some(way) = known.filter(|way| way.config == config) {
            return way.since;
        }
        // Another endpoint with the same way, or the same one under another name, is no change.
        let same = self.endpoints.values().find(|way| known.is_none() && way.config == config).cloned();
        if let Some(same) = same {
            let since = same.since;
            if self.endpoints.len() < MOST_ENDPOINTS {
                self.endpoints.insert(endpoint.clone(), same);
            }
            return since;
        }
        self.changes += 1;
        if self.endpoints.len() >= MOST_ENDPOINTS && !self.endpoints.contains_key(endpoint) {
            let oldest = self.endpoints.iter().min_by_key(|(_, way)| way.since).map(|(name, _)| name.clone());
            oldest.map(|name| self.endpoints.remove(&name));
        }
        self.endpoints.insert(endpoint.clone(), Way { config: config.to_owned(), since: self.changes });
        self.changes
    }

    /// Makes room for one more server, at the cost of one with which nothing went wrong.
    fn has_room(&mut self) -> bool {
        if self.servers.len() < MOST_SERVERS {
            return true;
        }
        let well = self.servers.iter().find(|(_, standing)| standing.faults.is_empty()).map(|(server, _)| *server);
        well.is_some_and(|server| self.servers.remove(&server).is_some())
    }
}

impl Standing {
    /// What speaks against TLS while the server greets so.
    fn objection(&self, greeting: &str) -> Option<Advice> {
        let fault = self.faults.iter().find(|fault| fault.greeting == greeting)?;
        let detail = &fault.detail;
        if fault.lack && !self.completed {
            let text = format_args!("not tried again before greeting or config change: {detail}");
            return Some(Advice::Plain(Failure::new(FailureReason::Misconfigured, text)));
        }
        if fault.lack || fault.broken.saturating_add(fault.open) >= BUDGET {
            let broken = if detail.is_empty() { "TLS handshakes were begun and not ended" } else { detail };
            return Some(Advice::Stop(stop(format_args!("not tried again before a login succeeds: {broken}"))));
        }
        None
    }

    /// The faults while the server greets so; none if it has greeted in too many other ways.
    fn fault(&mut self, greeting: &str) -> Option<&mut Fault> {
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

fn stop(detail: impl std::fmt::Display) -> Failure {
    Failure::new(FailureReason::TlsHandshake, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(endpoint: &str, config: &str, greeting: &str) -> Wish {
        Wish {
            server: "10.0.0.1:3306".parse().unwrap(),
            endpoint: endpoint.parse().unwrap(),
            config: config.to_owned(),
            mode: "preferred",
            greeting: greeting.to_owned(),
        }
    }

    fn broken(lack: bool) -> End {
        End::Broken { lack, detail: "alert".to_owned() }
    }

    /// How many handshakes break off if each does that is begun.
    fn all_break(book: &mut TlsBook, wish: &Wish) -> usize {
        let mut count = 0;
        while let Advice::Begin { noted } = book.begin(wish) {
            book.end(wish, noted, &broken(false));
            count += 1;
            assert!(count < 100);
        }
        count
    }

    #[test]
    fn two_may_break_off_whoever_begins_them_and_however_often_we_start() {
        let mut book = TlsBook::default();
        let (a, b) = (wish("a", "x", "g"), wish("b", "y", "g"));
        book.enrol(&a.endpoint, &a.config);
        book.enrol(&b.endpoint, &b.config);
        let first = book.begin(&a);
        book.end(&a, first == Advice::Begin { noted: true }, &broken(false));
        let mut book = TlsBook::read(&serde_json::to_vec(&book).unwrap()).unwrap();
        assert_eq!(all_break(&mut book, &b), 1);
        assert_eq!(all_break(&mut book, &a), 0);
        assert_eq!(all_break(&mut book, &b), 0);
        let Some(Advice::Stop(failure)) = book.settled(&a) else { panic!("stopped") };
        assert_eq!(failure.to_string(), "tls_handshake: not tried again before a login succeeds: alert");
    }

    #[test]
    fn a_login_another_greeting_and_another_config_give_a_new_budget() {
        let mut book = TlsBook::default();
        assert_eq!(all_break(&mut book, &wish("a", "x", "g")), 2);
        assert!(book.has_broken(wish("a", "x", "g").server));
        book.logged_in(wish("a", "x", "g").server);
        assert_eq!(all_break(&mut book, &wish("a", "x", "g")), 2);
        assert_eq!(all_break(&mut book, &wish("a", "x", "h")), 2);
        assert_eq!(all_break(&mut book, &wish("a", "y", "h")), 2);
        assert_eq!(all_break(&mut book, &wish("a", "y", "h")), 0);
        // Back again is a change, too.
        assert_eq!(all_break(&mut book, &wish("a", "x", "h")), 2);
    }

    #[test]
    fn a_server_that_greets_otherwise_each_time_gets_no_end_of_budgets() {
        let mut book = TlsBook::default();
        let all: usize = (0..50).map(|n| all_break(&mut book, &wish("a", "x", &n.to_string()))).sum();
        assert_eq!(all, usize::from(BUDGET) * MOST_GREETINGS);
    }

    #[test]
    fn what_our_library_lacks_lets_a_login_go_plain_unless_tls_was_ever_completed() {
        let (mut book, wish) = (TlsBook::default(), wish("a", "x", "g"));
        assert_eq!(book.begin(&wish), Advice::Begin { noted: true });
        book.end(&wish, true, &broken(true));
        let Advice::Plain(failure) = book.begin(&wish) else { panic!("plain") };
        assert_eq!(failure.reason, FailureReason::Misconfigured);
        book.logged_in(wish.server);
        assert!(matches!(book.settled(&wish), Some(Advice::Plain(_))), "it still lacks it");

        let mut book = TlsBook::default();
        book.begin(&wish);
        book.end(&wish, true, &End::Completed);
        assert_eq!(book.settled(&wish), Some(Advice::Begin { noted: false }));
        book.end(&wish, false, &broken(true));
        let Some(Advice::Stop(failure)) = book.settled(&wish) else { panic!("stopped") };
        assert_eq!(failure.reason, FailureReason::TlsHandshake);
    }

    #[test]
    fn what_nobody_broke_off_costs_nothing_and_who_is_killed_has_broken_off() {
        let (mut book, wish) = (TlsBook::default(), wish("a", "x", "g"));
        for _ in 0..10 {
            assert_eq!(book.begin(&wish), Advice::Begin { noted: true });
            book.end(&wish, true, &End::Lost);
        }
        // Killed in the middle of each.
        assert_eq!(
            [book.begin(&wish), book.begin(&wish)],
            [Advice::Begin { noted: true }, Advice::Begin { noted: true }]
        );
        assert!(matches!(book.begin(&wish), Advice::Stop(_)));
    }
}
