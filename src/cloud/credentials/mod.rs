//! Who we are to the cloud: keys, and where they come from.
//!
//! The default chain of the official SDKs, in their order: keys in the environment, a service account's role, the
//! command line tool's profile, the shared credentials file, the instance's role, a URI. The first that yields keys
//! wins and is asked again before they end. What each of the others said is kept, because "no credentials" helps
//! no admin.
//!
//! [`configured`](configured()) says who is asked. [`environment`], [`cli_config`] and [`ini`] say how keys are got
//! ([`recipe`]), [`lease`] when they are replaced; these are pure. `fetch` follows recipes.

pub mod cli_config;
mod configured;
pub mod environment;
mod fetch;
mod file;
pub mod ini;
pub mod lease;
mod provider;
pub mod recipe;
pub mod reply;

use std::sync::{Mutex, MutexGuard};

pub use configured::configured;
pub use environment::Environment;
pub use fetch::FetchContext;
pub use provider::Provider;

use super::openapi::{KeySource, NoKeys};
use super::sign::Keys;
use crate::model::{Boottime, CredentialsState, Wall};
use crate::sys::lock::lock;
use fetch::FetchedKeys;
use lease::{Due, Lease};
use recipe::WhyNot;

/// Keys from the first provider that has some, kept fresh.
#[derive(Debug)]
pub struct Credentials {
    providers: Vec<Provider>,
    environment: Environment,
    context: FetchContext,
    state: Mutex<State>,
    /// Held by the call that fetches new keys.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    held: Option<Held>,
    /// What the others said when the chain was walked the last time, in their order.
    tried: Vec<(&'static str, WhyNot)>,
    /// Why the latest refresh failed, while the old keys are served.
    failing: Option<WhyNot>,
    /// Failures in a row.
    failures: u32,
    /// Nothing is tried before.
    next_try: Boottime,
}

#[derive(Debug, Clone)]
struct Held {
    keys: Keys,
    expires: Option<Wall>,
    lease: Lease,
    /// The provider that gave them, by its number in the chain.
    provider: usize,
}

impl Credentials {
    /// Asks these providers in this order; [`Provider::CHAIN`] is the official one. Asks none yet.
    #[must_use]
    pub fn new(providers: Vec<Provider>, environment: Environment, context: FetchContext) -> Self {
        let (state, turn) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { providers, environment, context, state, turn }
    }

    /// Which provider answered, and what the others said.
    #[must_use]
    pub fn report(&self) -> CredentialsState {
        let state = self.state();
        let tried = state.tried.iter().map(|(label, why)| (*label, why.to_string())).collect();
        let Some(held) = &state.held else { return CredentialsState { tried, ..CredentialsState::default() } };
        CredentialsState {
            provider: self.providers.get(held.provider).map(Provider::label),
            key_id: Some(CredentialsState::shortened(&held.keys.id)),
            expires: held.expires,
            tried,
            failing: state.failing.as_ref().map(ToString::to_string),
        }
    }

    /// What is held, and what to do about it.
    fn due(&self) -> (Option<Held>, Due) {
        let now = self.context.clock.now().boottime;
        let state = self.state();
        let due = state.held.as_ref().map_or(Due::Over, |held| held.lease.due(now));
        // Not again so soon after a failure.
        let due = if due == Due::Soon && now < state.next_try { Due::No } else { due };
        (state.held.clone(), due)
    }

    /// Newer keys from the provider that has answered.
    async fn refresh(&self, number: usize) {
        let Some(provider) = self.providers.get(number) else { return };
        match provider.fetch(&self.environment, &self.context).await {
            Ok(got) => self.hold(number, got, None),
            Err(why) => self.failed(|state| state.failing = Some(why)),
        }
    }

    /// Keys from the first provider that has some.
    async fn walk(&self) {
        let mut tried = Vec::new();
        for (number, provider) in self.providers.iter().enumerate() {
            match provider.fetch(&self.environment, &self.context).await {
                Ok(got) => return self.hold(number, got, Some(tried)),
                Err(why) => tried.push((provider.label(), why)),
            }
        }
        // What was held is over, or was refused.
        self.failed(|state| (state.held, state.failing, state.tried) = (None, None, tried));
    }

    fn hold(&self, provider: usize, got: FetchedKeys, tried: Option<Vec<(&'static str, WhyNot)>>) {
        let FetchedKeys { keys, expires, rotated } = got;
        let now = self.context.clock.now();
        let lease = expires.map_or(Lease::FOREVER, |e| Lease::new(e, now, rotated, fastrand::f64()));
        let mut state = self.state();
        let tried = tried.unwrap_or_else(|| std::mem::take(&mut state.tried));
        *state = State { held: Some(Held { keys, expires, lease, provider }), tried, ..State::default() };
    }

    fn failed(&self, note: impl FnOnce(&mut State)) {
        let now = self.context.clock.now().boottime;
        let mut state = self.state();
        note(&mut state);
        state.failures = state.failures.saturating_add(1);
        state.next_try = now.after(lease::pause(state.failures, fastrand::f64()));
    }

    /// Keys that are not over.
    fn served(&self) -> Option<Keys> {
        match self.due() {
            (Some(held), Due::No | Due::Soon) => Some(held.keys),
            _ => None,
        }
    }

    fn complaint(&self) -> NoKeys {
        let state = self.state();
        let said: Vec<_> = state.tried.iter().map(|(label, why)| format!("{label}: {why}")).collect();
        let general = match &state.tried[..] {
            [(label, why)] => format!("{label}: {}", why.in_general()),
            // Each of several is quoted where the credentials are shown.
            _ => "no provider has any".to_owned(),
        };
        NoKeys { said: said.join("; "), general }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl KeySource for Credentials {
    async fn keys(&self) -> Result<Option<Keys>, NoKeys> {
        match self.due() {
            (Some(held), Due::No) => return Ok(Some(held.keys)),
            (Some(held), Due::Soon) => match self.turn.try_lock() {
                // Another call is at it; these still serve.
                Err(_) => return Ok(Some(held.keys)),
                Ok(_turn) => self.refresh(held.provider).await,
            },
            _ => {
                let _turn = self.turn.lock().await;
                let paused = self.context.clock.now().boottime < self.state().next_try;
                // A call that waited for the turn may find that it is done, or has just failed.
                if self.served().is_none() && !paused {
                    self.walk().await;
                }
            }
        }
        self.served().map(Some).ok_or_else(|| self.complaint())
    }

    async fn refused(&self, keys: &Keys) {
        let mut state = self.state();
        if state.held.as_ref().is_some_and(|held| held.keys == *keys) {
            *state = State { tried: std::mem::take(&mut state.tried), ..State::default() };
        }
    }
}
