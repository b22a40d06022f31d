//! The world, and what has happened in it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::stamp::Stamp;
use super::world::{Api, Policy, Service, Session, World};

/// The world, and what has happened in it. Everything that answers works on this, given the time.
#[derive(Debug)]
pub struct State {
    /// The world.
    pub world: World,
    pub(crate) ledger: Ledger,
}

/// What was asked of a service, and how it went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Counts from 1, over all services, and never starts again.
    pub number: u64,
    /// When it was answered, by the cloud's clock.
    pub at: Stamp,
    /// Who was asked.
    pub service: Service,
    /// The action; a method and path for metadata, a type and name for DNS.
    pub action: String,
    /// The ARN of who asked, where a signature proved it.
    pub caller: Option<String>,
    /// The access key that the request named, proved or not.
    pub key: Option<String>,
    /// The nonce of the signature.
    pub nonce: Option<String>,
    /// The `Host` header.
    pub host: Option<String>,
    /// Its parameters, without signatures and tokens; of metadata whether there was a token, of DNS who asked.
    pub parameters: BTreeMap<String, String>,
    /// The HTTP status; of DNS the code's number.
    pub status: u16,
    /// `ok`, an error's code, or what else became of it: `hang`, `reset`, `status`.
    pub outcome: String,
    /// The kinds of the faults that struck it.
    pub faults: Vec<String>,
}

/// What has happened.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    seed: u64,
    serial: u64,
    /// Until when a nonce may not be seen again, by key and nonce.
    nonces: HashMap<(String, String), Stamp>,
    quotas: HashMap<String, VecDeque<Stamp>>,
    calls: VecDeque<Call>,
    recorded: u64,
    /// Until when a metadata token holds.
    pub(super) metadata_tokens: HashMap<String, Stamp>,
    /// The session whose credentials metadata gives.
    pub(super) host_session: Option<String>,
    /// What the resolver remembers, by name, type and zone.
    pub(super) remembered: HashMap<(String, u16, String), Remembered>,
}

/// An answer that the resolver keeps.
#[derive(Debug, Clone)]
pub(crate) struct Remembered {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) exists: bool,
    pub(super) until: Stamp,
}

/// How many calls are remembered.
const CALLS: usize = 10_000;

/// Alibaba Cloud refuses a request whose time is further off, so a nonce older than this can't come again.
pub(crate) const TOLERANCE: Duration = Duration::from_secs(15 * 60);

impl State {
    /// Nothing has happened yet. Ids and secrets that the stand-in makes follow from `seed`.
    #[must_use]
    pub fn new(world: World, seed: u64) -> Self {
        Self { world, ledger: Ledger { seed, ..Ledger::default() } }
    }

    /// The calls whose number is greater than `since`; the oldest of very many are forgotten.
    #[must_use]
    pub fn calls(&self, since: u64) -> Vec<Call> {
        self.ledger.calls.iter().filter(|call| call.number > since).cloned().collect()
    }

    /// Opens a session of a role, as AssumeRole does, and returns its access key id.
    pub fn open_session(&mut self, of: (&str, &str), policy: Option<Policy>, expires: Stamp) -> String {
        let key = format!("STS.NT{}", self.ledger.invent("key", 22));
        let session = Session {
            secret: self.ledger.invent("secret", 40),
            // As long as real ones are.
            token: format!("CAIS{}{}", self.ledger.invent("token", 64), "8hq2Pk".repeat(90)),
            role: of.0.to_owned(),
            name: of.1.to_owned(),
            policy,
            expires,
        };
        self.world.sessions.insert(key.clone(), session);
        key
    }
}

impl Ledger {
    /// A hexadecimal text that was never there before, of at most 64 characters.
    pub(super) fn invent(&mut self, what: &str, length: usize) -> String {
        self.serial += 1;
        let mut text = hex(digest(&SHA256, format!("{}/{}/{what}", self.seed, self.serial).as_bytes()).as_ref());
        text.truncate(length);
        text
    }

    /// In the form of the API's request ids.
    pub(super) fn request_id(&mut self) -> String {
        let text = self.invent("request", 32).to_uppercase();
        let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default().to_owned();
        [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
    }

    /// Whether this nonce is new; from now on it isn't.
    pub(super) fn take_nonce(&mut self, key: &str, nonce: &str, now: Stamp) -> bool {
        self.nonces.retain(|_, until| *until > now);
        let until = now.plus(TOLERANCE * 2);
        self.nonces.insert((key.to_owned(), nonce.to_owned()), until).is_none()
    }

    /// Whether one more call of this action is within the account's quota.
    pub(super) fn within_quota(&mut self, action: &str, api: &Api, now: Stamp) -> bool {
        let calls = self.quotas.entry(action.to_owned()).or_default();
        let begins = now.millis().saturating_sub(i64::try_from(api.quota_window_ms).unwrap_or(i64::MAX));
        while calls.front().is_some_and(|call| call.millis() <= begins) {
            calls.pop_front();
        }
        let within = api.quota_calls == 0 || calls.len() < api.quota_calls as usize;
        if within {
            calls.push_back(now);
        }
        within
    }

    /// Remembers a call, and numbers it.
    pub(super) fn record(&mut self, mut call: Call) {
        self.recorded += 1;
        call.number = self.recorded;
        if self.calls.len() == CALLS {
            self.calls.pop_front();
        }
        self.calls.push_back(call);
    }

    /// Forgets the calls; numbers go on.
    pub(super) fn forget_calls(&mut self) {
        self.calls.clear();
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
