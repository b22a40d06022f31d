//! Rounds: one source asked for every endpoint that it has something to go by for.

use std::future::Future;
use std::sync::Arc;

use super::{Api, EndpointDomains, Round, Source, SourceError, Wanted, ZoneDomains};
use crate::cloud::openapi::refusal::Class;
use crate::cloud::openapi::{CallError, KeySource};
use crate::config::Config;
use crate::model::Inventory;

/// Whom the runner asks. Each call is one attempt at everything; the runner owns when and how often.
pub trait Cloud: Clone + Send + Sync + 'static {
    /// What the API says.
    fn api(&self, config: Arc<Config>, known: Arc<Inventory>) -> impl Future<Output = Round> + Send;

    /// What the resolvers say.
    fn dns(&self, config: Arc<Config>, known: Arc<Inventory>) -> impl Future<Output = Round> + Send;
}

/// The real ones, or why they can't be asked.
#[derive(Debug)]
pub struct Askers<K> {
    /// The API.
    pub api: Result<Arc<Api<K>>, SourceError>,
    /// The resolvers.
    pub dns: Result<(ZoneDomains, EndpointDomains), SourceError>,
}

/// Keys need not be copied for that.
impl<K> Clone for Askers<K> {
    fn clone(&self) -> Self {
        Self { api: self.api.clone(), dns: self.dns.clone() }
    }
}

impl<K: KeySource + Send + 'static> Cloud for Askers<K> {
    async fn api(&self, config: Arc<Config>, known: Arc<Inventory>) -> Round {
        let mut round = Round::new();
        match &self.api {
            Ok(api) => ask(api.as_ref(), &config, &known, &mut round).await,
            Err(error) => {
                let asked = config.endpoints.iter().filter(|(_, e)| e.has_source(crate::model::SourceKind::Api));
                for (name, _) in asked {
                    round.entry(name.clone()).or_default().insert(crate::model::SourceKind::Api, Err(error.clone()));
                }
            }
        }
        round
    }

    async fn dns(&self, config: Arc<Config>, known: Arc<Inventory>) -> Round {
        let mut round = Round::new();
        if let Ok((zones, endpoints)) = &self.dns {
            ask(zones, &config, &known, &mut round).await;
            ask(endpoints, &config, &known, &mut round).await;
        }
        round
    }
}

/// Asks one source. What fails for a reason that has nothing to do with the endpoint fails for those after it, too, and
/// they are not asked.
pub async fn ask<S: Source + Sync>(source: &S, config: &Config, known: &Inventory, round: &mut Round) {
    let mut general = None;
    for (name, endpoint) in &config.endpoints {
        let wanted = Wanted { config: endpoint, known: known.endpoints.get(name) };
        if !source.applies(wanted) {
            continue;
        }
        let said = match &general {
            Some(error) => Err(SourceError::clone(error)),
            None => source.find(wanted).await,
        };
        general = said.as_ref().err().filter(|error| is_general(error)).cloned();
        round.entry(name.clone()).or_default().insert(source.kind(), said);
    }
}

/// True if asking for another endpoint would fail, too.
fn is_general(error: &SourceError) -> bool {
    match error {
        SourceError::NoApi(_) | SourceError::Call(CallError::Transport(_) | CallError::NoKeys(_)) => true,
        SourceError::Call(CallError::Refused(refusal)) => !matches!(refusal.class, Class::NotFound | Class::BadCall),
        SourceError::Call(CallError::Malformed(_))
        | SourceError::IncompleteList
        | SourceError::NotConfigured(_)
        | SourceError::Resolve(_) => false,
    }
}
