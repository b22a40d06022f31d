//! Calls of the OpenAPI: signed, bounded, retried where that helps.
//!
//! [`Client::call`] is the loop that touches the world. What it decides by is pure and beside it: [`refusal`] reads
//! what an error means, [`retry`] says whether and when to try again and what to change first, [`api_hosts`] knows
//! where a product answers, [`courtesy`] waits where a person looks on, [`advice`] says what to do about a failure.

pub mod advice;
pub mod api_hosts;
pub mod courtesy;
pub mod error;
pub mod refusal;
pub mod retry;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};

use percent_encoding::percent_decode_str;
use ring::rand::{SecureRandom as _, SystemRandom};

pub use super::sign::Call;
pub use error::{CallError, Malformed, NoKeys};

use super::http::{self, Http, Method};
use super::reply::{Reply, TransportError, TransportKind};
use super::sign::{Keys, Moment, Signed};
use crate::model::{Now, Secret, Wall, hex, millis};
use crate::sys::clock::Clock;
use crate::sys::lock::lock;
use api_hosts::{Hosts, Origin};
use courtesy::Courtesy;
use retry::{Change, Retry, RetryPolicy, Step};

/// Where the keys of a call come from.
pub trait KeySource: Sync {
    /// The keys to sign with; none for an anonymous call.
    ///
    /// # Errors
    /// Why there are none.
    fn keys(&self) -> impl Future<Output = Result<Option<Keys>, NoKeys>> + Send;

    /// The service refused these: get others, unless others are already there.
    fn refused(&self, keys: &Keys) -> impl Future<Output = ()> + Send;
}

/// These keys, whatever the service says.
impl KeySource for Keys {
    async fn keys(&self) -> Result<Option<Self>, NoKeys> {
        Ok(Some(self.clone()))
    }

    async fn refused(&self, _: &Keys) {}
}

/// No keys.
#[derive(Debug, Clone, Copy)]
pub struct Anonymous;

impl KeySource for Anonymous {
    async fn keys(&self) -> Result<Option<Keys>, NoKeys> {
        Ok(None)
    }

    async fn refused(&self, _: &Keys) {}
}

/// A client of one product.
#[derive(Debug)]
pub struct Client {
    http: Arc<Http>,
    hosts: Hosts,
    patience: RetryPolicy,
    courtesy: Option<Courtesy>,
    clock: Clock,
    random: SystemRandom,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What the server's clock said once ours was refused, and when that was.
    server_clock: Option<Now>,
    counts: BTreeMap<(&'static str, &'static str), u64>,
}

/// What the server's clock says now. Counted on by boot time from what it `said`, so that a jump of the wall clock does
/// not matter.
fn server_time(said: Now, now: Now) -> Wall {
    Wall(said.wall.0.saturating_add(millis(now.boottime.since(said.boottime))))
}

impl Client {
    /// A client. Opens nothing yet.
    #[must_use]
    pub fn new(http: Arc<Http>, hosts: Hosts, patience: RetryPolicy, clock: Clock) -> Self {
        let (random, state) = (SystemRandom::new(), Mutex::default());
        Self { http, hosts, patience, courtesy: None, clock, random, state }
    }

    /// The same, which also waits as long as the API asks for where it has too many calls.
    #[must_use]
    pub fn with_courtesy(self, courtesy: Option<Courtesy>) -> Self {
        Self { courtesy, ..self }
    }

    /// Asks, and reads the answer with `read`. An answer that can't be read is asked for again. The deadline of the
    /// [`RetryPolicy`] covers attempts and waits; a refresh of the keys comes on top and has its own.
    ///
    /// # Errors
    /// The failure of the last attempt.
    pub async fn call<T>(
        &self,
        keys: &impl KeySource,
        call: &Call<'_>,
        read: fn(&[u8]) -> Result<T, Malformed>,
    ) -> Result<T, CallError> {
        let mut retry = Retry::new(self.patience, self.hosts.count(), self.clock.now().boottime);
        let mut shift = 0;
        loop {
            let signing = keys.keys().await.map_err(CallError::NoKeys)?;
            let (number, origin) = self.hosts.choose(shift);
            let outcome = self.attempt(origin, signing.as_ref(), call, &retry).await;
            if !matches!(&outcome, Err(CallError::Transport(_))) {
                self.hosts.remember(number);
                shift = 0;
            }
            let outcome = outcome.and_then(|reply| read(&reply.body).map_err(CallError::Malformed));
            self.count(call.action, outcome.as_ref().map_or_else(CallError::label, |_| "ok"));
            let failure = match outcome {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let asked_for = self.courtesy.as_ref().and_then(|courtesy| courtesy.after(&failure));
            let step = asked_for.unwrap_or_else(|| retry.after(&failure, self.clock.now().boottime, fastrand::f64()));
            let Step::Again { change, wait } = step else { return Err(failure) };
            match change {
                Change::Nothing => {}
                Change::Host => shift += 1,
                Change::Clock(wall) => self.state().server_clock = Some(Now { wall, ..self.clock.now() }),
                Change::Keys => {
                    if let Some(refused) = &signing {
                        keys.refused(refused).await;
                    }
                }
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Attempts so far, by action and outcome; an outcome is `ok` or [`CallError::label`].
    #[must_use]
    pub fn counts(&self) -> BTreeMap<(&'static str, &'static str), u64> {
        self.state().counts.clone()
    }

    async fn attempt(
        &self,
        origin: &Origin,
        keys: Option<&Keys>,
        call: &Call<'_>,
        retry: &Retry,
    ) -> Result<Reply, CallError> {
        let transport = |kind, detail: String| {
            let host = origin.authority().to_owned();
            CallError::Transport(Box::new(TransportError { kind, host, detail }))
        };
        let Some(nonce) = self.nonce() else {
            return Err(transport(TransportKind::Local, "the system gave no random bytes".to_owned()));
        };
        let moment = Moment { date: self.date(), nonce };
        let signed = call.sign(origin.authority(), keys, &moment);
        let (url, headers) = (origin.url(&signed.query), signed.headers.as_slice());
        let request = http::Request { method: Method::POST, url, headers, body: call.form };
        let left = retry.until.since(self.clock.now().boottime);
        let reply = match tokio::time::timeout(left, self.http.send(&request)).await {
            Ok(sent) => sent.map_err(|error| CallError::Transport(Box::new(error)))?,
            Err(_) => {
                let detail = format!("the call took longer than {} s", self.patience.deadline.as_secs());
                return Err(transport(TransportKind::Timeout, detail));
            }
        };
        match reply.status {
            200..=299 => Ok(reply),
            300..=399 => Err(transport(TransportKind::Redirect, format!("status {}", reply.status))),
            _ => Err(CallError::Refused(Box::new(refusal::read(&reply, &secrets(keys, call, &signed))))),
        }
    }

    /// 128 random bits as 32 lower-case hexadecimal digits, as the SDK's are.
    fn nonce(&self) -> Option<String> {
        let mut bytes = [0; 16];
        self.random.fill(&mut bytes).ok()?;
        Some(hex(&bytes))
    }

    fn date(&self) -> Wall {
        let now = self.clock.now();
        self.state().server_clock.map_or(now.wall, |said| server_time(said, now))
    }

    fn count(&self, action: &'static str, outcome: &'static str) {
        *self.state().counts.entry((action, outcome)).or_default() += 1;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// What an answer may not make us say: all that proves who we are, as we have it and as it went out.
fn secrets(keys: Option<&Keys>, call: &Call<'_>, signed: &Signed) -> Vec<Secret> {
    let own = keys.into_iter().flat_map(|keys| keys.token.iter().chain([&keys.secret])).cloned();
    let sent = signed.headers.iter().filter_map(|(_, value)| value.expose().split_once("Signature="));
    let form = std::str::from_utf8(call.form).unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let form =
        form.flat_map(|(_, value)| [value.to_owned(), percent_decode_str(value).decode_utf8_lossy().into_owned()]);
    own.chain(sent.map(|(_, signature)| signature.to_owned()).chain(form).map(Secret::new)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::Boottime;

    #[test]
    fn the_servers_clock_runs_on_by_boot_time() {
        let said = Now { boottime: Boottime(Duration::from_secs(5)), wall: Wall(1_000_000) };
        let now = Now { boottime: Boottime(Duration::from_secs(7)), wall: Wall(9) };
        assert_eq!(server_time(said, now), Wall(1_002_000));
    }
}
