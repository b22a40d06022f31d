//! Asks the cloud, and tells observers what came of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use crate::config::{Config, CredentialsConfig};
use crate::discover::rounds::{Askers, Cloud, Question};
use crate::discover::{SourceAnswer, SourceError};
use crate::model::{ApiCounts, ApiState, SourceKind};
use crate::sys::in_force::modify;
use crate::sys::lock::lock;

/// What observers see of the API, over all configs.
#[derive(Debug, Clone)]
pub(super) struct ApiAccounting {
    state: watch::Sender<Arc<ApiState>>,
    /// The number of the askers that are in force.
    present: Arc<AtomicU64>,
    /// Whose keys they were told to use.
    told: Arc<Mutex<Option<CredentialsConfig>>>,
}

/// The askers of one config, whose every question to the API is told.
#[derive(Clone)]
pub(super) struct ApiReport {
    askers: Askers,
    number: u64,
    /// What its client had counted when that was told last.
    counted: Arc<Mutex<ApiCounts>>,
    ledger: ApiAccounting,
}

impl ApiAccounting {
    pub(super) fn new(state: watch::Sender<Arc<ApiState>>) -> Self {
        Self { state, present: Arc::default(), told: Arc::default() }
    }

    /// From now on these are in force. Those before may still come back from a round: their requests count, but whose
    /// keys they had is no longer of interest. Under the same credentials what was seen last stands until these have
    /// asked, so that a reload leaves no gap.
    pub(super) fn put_in_force(&self, askers: Askers, config: &Config) -> ApiReport {
        let number = self.present.fetch_add(1, Ordering::SeqCst) + 1;
        let asks = config.endpoints.values().any(|e| e.has_source(SourceKind::Api));
        let told = Some(config.cloud.credentials.clone());
        let same = std::mem::replace(&mut *lock(&self.told), told.clone()) == told;
        self.change(|state| {
            let seen = state.credentials.take().filter(|_| same);
            state.credentials = asks.then(|| seen.unwrap_or_default());
        });
        ApiReport { askers, number, counted: Arc::default(), ledger: self.clone() }
    }

    fn change(&self, change: impl FnOnce(&mut ApiState)) {
        modify(&self.state, |state| change(Arc::make_mut(state)));
    }
}

impl ApiReport {
    fn tell(&self) {
        let Ok(api) = &self.askers.api else { return };
        let new = self.uncounted(api.client.client.counts());
        let credentials = api.keys.report();
        self.ledger.change(|state| {
            for (which, more) in new {
                *state.requests.entry(which).or_default() += more;
            }
            if self.ledger.present.load(Ordering::SeqCst) == self.number {
                state.credentials = Some(credentials);
            }
        });
    }

    /// What was counted since the last time. A client counts for itself alone, so a reload must not begin at nought.
    fn uncounted(&self, counts: ApiCounts) -> ApiCounts {
        let mut counted = lock(&self.counted);
        let more = counts.iter().map(|(which, n)| (*which, n.saturating_sub(counted.get(which).copied().unwrap_or(0))));
        let new = more.filter(|(_, n)| *n > 0).collect();
        *counted = counts;
        new
    }
}

impl Cloud for ApiReport {
    async fn ask(&self, question: &Question) -> Option<Result<SourceAnswer, SourceError>> {
        let said = self.askers.ask(question).await;
        if question.kind == SourceKind::Api {
            self.tell();
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(n: u64) -> ApiCounts {
        [(("ListVpcEndpoints", "ok"), n)].into()
    }

    fn told() -> (ApiReport, watch::Receiver<Arc<ApiState>>) {
        let state = watch::Sender::default();
        let seen = state.subscribe();
        let none = || SourceError::NoApi(String::new());
        let config = crate::config::from_toml("").unwrap();
        (ApiAccounting::new(state).put_in_force(Askers { api: Err(none()), dns: Err(none()) }, &config), seen)
    }

    #[test]
    fn each_request_is_counted_once() {
        let (told, _) = told();
        assert_eq!(told.uncounted(counts(2)), counts(2));
        assert_eq!(told.uncounted(counts(2)), ApiCounts::new());
        assert_eq!(told.clone().uncounted(counts(5)), counts(3));
    }

    #[test]
    fn nobody_who_cant_ask_has_credentials() {
        let (told, seen) = told();
        told.tell();
        assert_eq!(**seen.borrow(), ApiState::default());
    }
}
