//! Rounds: one question after the other, or many side by side, and each answer told as it comes.
//!
//! The API is asked one question at a time, for its quota is the whole account's; the resolvers are asked side by side,
//! for one name that they don't answer for must not hold up the others. Who answered last time is asked first.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::api::Api;
use super::dns::Lookups;
use super::lookup_pool::SOCKETS;
use super::merge::Round;
use super::source::{FoundZone, SourceAnswer, SourceError, Wanted, failure};
use crate::cloud::credentials::Credentials;
use crate::cloud::openapi::CallError;
use crate::cloud::openapi::refusal::Class;
use crate::config::{Config, EndpointConfig};
use crate::model::{EndpointName, Inventory, SourceKind, Zone, ZoneId};

/// Whom the runner asks. Each call is one attempt; the runner owns when, in which order and how often.
pub trait Cloud: Clone + Send + Sync + 'static {
    /// What one source says of one endpoint; `None` if it has nothing to go by.
    fn ask(&self, question: &Question) -> impl Future<Output = Option<Result<SourceAnswer, SourceError>>> + Send;
}

/// What one source is asked of one endpoint.
#[derive(Debug, Clone)]
pub struct Question {
    /// Which source.
    pub kind: SourceKind,
    /// Which endpoint.
    pub name: EndpointName,
    /// The config in force when the round began.
    pub config: Arc<Config>,
    /// What was known then.
    pub known: Arc<Inventory>,
    /// Whether steering waits for the answer.
    pub urgent: bool,
}

impl Question {
    /// What the source goes by; `None` if the config has no such endpoint.
    #[must_use]
    pub fn wanted(&self) -> Option<Wanted<'_>> {
        let config = self.config.endpoints.get(&self.name)?;
        Some(Wanted { config, known: self.known.endpoints.get(&self.name), urgent: self.urgent })
    }

    /// Whether it would be asked so under this config, too.
    #[must_use]
    pub fn stands_in(&self, config: &Config) -> bool {
        asks_the_same(&self.name, &self.config, config)
    }
}

/// Whether two configs have the same asked of an endpoint. How it is probed, steered and called is nothing to the
/// sources.
pub(super) fn asks_the_same(name: &EndpointName, one: &Config, other: &Config) -> bool {
    let asked = |config: &Config| {
        let endpoint = config.endpoints.get(name)?;
        let zones: Vec<_> = endpoint.zone_names.keys().cloned().collect();
        Some((endpoint.identity(), endpoint.addresses.clone(), zones))
    };
    asked(one).is_some_and(|asked_of| asked(other) == Some(asked_of))
}

/// An answer.
#[derive(Debug)]
pub struct Said {
    /// To what.
    pub question: Question,
    /// What was said.
    pub said: Result<SourceAnswer, SourceError>,
}

/// What the answers of a round have in common.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Some answer failed, or lacked something.
    pub failed: bool,
    /// The API had too many calls, and how long it wants to be left alone, if it said so.
    pub throttled: Option<Option<Duration>>,
    /// The shortest time for which a resolver would say the same.
    pub ttl: Option<Duration>,
}

impl Summary {
    fn note(&mut self, said: &Result<SourceAnswer, SourceError>) {
        let (error, ttl) = (failure(said), said.as_ref().ok().and_then(|found| found.ttl));
        self.extend(Self { failed: error.is_some(), throttled: error.and_then(SourceError::throttled), ttl });
    }

    fn extend(&mut self, other: Self) {
        self.failed |= other.failed;
        self.throttled = self.throttled.or(other.throttled);
        self.ttl = self.ttl.into_iter().chain(other.ttl).min();
    }
}

/// The questions of a round to these sources about all endpoints, or about `only` some: those that answered last time
/// come first, and those that failed last.
#[must_use]
pub fn questions(
    kinds: &[SourceKind],
    config: &Arc<Config>,
    known: &Arc<Inventory>,
    only: Option<&BTreeSet<EndpointName>>,
) -> Vec<Question> {
    let names = config.endpoints.keys().filter(|name| only.is_none_or(|only| only.contains(*name)));
    let question = |(kind, name): (SourceKind, &EndpointName)| {
        let (config, known, urgent) = (config.clone(), known.clone(), only.is_some());
        Question { kind, name: name.clone(), config, known, urgent }
    };
    let mut all: Vec<_> = names.flat_map(|name| kinds.iter().map(move |kind| (*kind, name))).map(question).collect();
    all.sort_by_cached_key(|question| {
        let last = known.endpoints.get(&question.name).and_then(|e| e.sources.get(&question.kind));
        last.map_or(1, |freshness| if freshness.is_stale() { 2 } else { 0 })
    });
    all
}

/// Asks one question after the other. What fails for a reason that has nothing to do with the endpoint fails for those
/// after it, too, and they are not asked.
pub async fn one_by_one<C: Cloud>(cloud: C, questions: Vec<Question>, tell: mpsc::UnboundedSender<Said>) -> Summary {
    let (mut summary, mut general) = (Summary::default(), None);
    for question in questions {
        let said = match &general {
            Some(error) if question.wanted().is_some_and(|w| w.config.has_source(question.kind)) => {
                Some(Err(SourceError::clone(error)))
            }
            Some(_) => None,
            None => cloud.ask(&question).await,
        };
        let Some(said) = said else { continue };
        summary.note(&said);
        general = said.as_ref().err().filter(|error| is_general(error)).cloned();
        // The receiver is gone only when discovery ends.
        let _ = tell.send(Said { question, said });
    }
    summary
}

/// Asks all questions side by side, as many at a time as could have a socket, in their order.
pub async fn side_by_side<C: Cloud>(cloud: C, questions: Vec<Question>, tell: mpsc::UnboundedSender<Said>) -> Summary {
    let (mut summary, mut flights) = (Summary::default(), JoinSet::<Summary>::new());
    for question in questions {
        if flights.len() >= SOCKETS as usize
            && let Some(ended) = flights.join_next().await
        {
            // A lookup that panicked is a fault of the agent's.
            summary.extend(ended.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic())));
        }
        let (cloud, tell) = (cloud.clone(), tell.clone());
        flights.spawn(async move {
            let mut summary = Summary::default();
            if let Some(said) = cloud.ask(&question).await {
                summary.note(&said);
                // The receiver is gone only when discovery ends.
                let _ = tell.send(Said { question, said });
            }
            summary
        });
    }
    flights.join_all().await.into_iter().for_each(|ended| summary.extend(ended));
    summary
}

/// The real ones, or why they can't be asked.
#[derive(Debug, Clone)]
pub struct Askers {
    /// The API.
    pub api: Result<Arc<Api<Credentials>>, SourceError>,
    /// The resolvers.
    pub dns: Result<Lookups, SourceError>,
}

impl Cloud for Askers {
    async fn ask(&self, question: &Question) -> Option<Result<SourceAnswer, SourceError>> {
        let wanted = question.wanted()?;
        match (question.kind, wanted.config.id.as_ref()) {
            (SourceKind::Api, Some(id)) => match &self.api {
                Ok(api) => Some(api.find(id).await),
                Err(error) => Some(Err(error.clone())),
            },
            (SourceKind::Fixed | SourceKind::Api, _) => None,
            (SourceKind::ZoneDomain, _) => self.dns.as_ref().ok()?.zone_domains(wanted).await,
            (SourceKind::EndpointDomain, _) => self.dns.as_ref().ok()?.endpoint_domain(wanted).await,
        }
    }
}

/// What the config itself gives of every endpoint.
#[must_use]
pub fn fixed(config: &Config) -> Round {
    let given = config.endpoints.iter().filter(|(_, e)| e.has_source(SourceKind::Fixed));
    let zone = |(zone, list): (&ZoneId, &Vec<IpAddr>)| {
        (Zone::Known(zone.clone()), FoundZone::from_addresses(list.iter().copied()))
    };
    let answer = |e: &EndpointConfig| {
        let zones = e.addresses.iter().map(zone).collect();
        [(SourceKind::Fixed, Ok(SourceAnswer { zones, ..SourceAnswer::default() }))].into()
    };
    given.map(|(name, e)| (name.clone(), answer(e))).collect()
}

/// True if asking for another endpoint would fail, too.
fn is_general(error: &SourceError) -> bool {
    match error {
        SourceError::NoApi(_) | SourceError::Call(CallError::Transport(_) | CallError::NoKeys(_)) => true,
        SourceError::Call(CallError::Refused(refusal)) => !matches!(refusal.class, Class::NotFound | Class::BadCall),
        SourceError::Call(CallError::Malformed(_)) | SourceError::IncompleteList | SourceError::Resolve(_) => false,
    }
}
