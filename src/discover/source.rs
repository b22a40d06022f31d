//! What a source is asked, and what it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::cloud::openapi::CallError;
use crate::cloud::openapi::refusal::Class;
use crate::cloud::resolve::ResolveError;
use crate::config::EndpointConfig;
use crate::model::{CloudFacts, Endpoint, HostName, LeftOut, Zone, ZoneFacts};

/// What a source goes by.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// What the config says of the endpoint.
    pub config: &'a EndpointConfig,
    /// What is known of it, which tells the domain names of its zones.
    pub known: Option<&'a Endpoint>,
    /// Whether steering waits for the answer: a name just lost an address, or has none.
    pub urgent: bool,
}

/// What a source says of one endpoint. "The endpoint has no address" is an answer, not an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceAnswer {
    /// By zone.
    pub zones: BTreeMap<Zone, FoundZone>,
    /// What the API says of the endpoint as a whole.
    pub cloud: Option<CloudFacts>,
    /// A complete pass of the API lacks it or calls it deleted. What else is here does not count then.
    pub gone: bool,
    /// What could not be found out. The rest counts all the same, but proves nothing of what is not in it.
    pub incomplete: Option<SourceError>,
    /// The endpoint's own domain name, as the API tells it.
    pub domain: Option<HostName>,
    /// For how long a resolver would say the same.
    pub ttl: Option<Duration>,
    /// What was not let in of it.
    pub left_out: LeftOut,
    /// What it lacks proves nothing: too much of it was left out.
    pub keeps: bool,
}

/// What a source says of one zone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundZone {
    /// Its addresses; `None` if the source can't tell at present.
    pub addresses: Option<BTreeSet<IpAddr>>,
    /// What the API says of it.
    pub cloud: Option<ZoneFacts>,
    /// The API calls it deleted.
    pub gone: bool,
}

impl FoundZone {
    /// A zone with just these addresses.
    #[must_use]
    pub fn from_addresses(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        Self { addresses: Some(addresses.into_iter().collect()), ..Self::default() }
    }
}

/// Why a source can't tell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The API was asked for, and there is no way to ask it.
    #[error("{0}")]
    NoApi(String),
    /// The API did not answer, or not with what was asked.
    #[error("{0}")]
    Call(#[from] CallError),
    /// Some of the list could not be used, so what it lacks may be there all the same.
    #[error("expected a complete list from the API, found one that lacks something")]
    IncompleteList,
    /// A resolver did not answer, or not with an address.
    #[error("{0}")]
    Resolve(#[from] ResolveError),
}

/// What could not be found out by an attempt, wholly or in part.
pub(super) fn failure(said: &Result<SourceAnswer, SourceError>) -> Option<&SourceError> {
    match said {
        Ok(found) => found.incomplete.as_ref(),
        Err(error) => Some(error),
    }
}

impl SourceError {
    /// How long the API wants us to wait, and whether it had too many calls.
    #[must_use]
    pub fn throttled(&self) -> Option<Option<Duration>> {
        let Self::Call(CallError::Refused(refusal)) = self else { return None };
        match refusal.class {
            Class::Throttled { retry_after } => Some(retry_after),
            _ => None,
        }
    }
}
