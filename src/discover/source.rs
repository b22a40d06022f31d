//! What a source is asked, and what it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::cloud::openapi::CallError;
use crate::cloud::openapi::advice::advise;
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
    /// In a sentence, with what to do about it if that is known.
    #[must_use]
    pub fn with_advice(&self) -> String {
        self.advised(self.to_string())
    }

    /// The same for every endpoint and every attempt that fail so, so that it is told as one problem, and is no news
    /// while it lasts.
    #[must_use]
    pub fn in_general(&self) -> String {
        self.advised(match self {
            Self::Call(error) => error.in_general(),
            other => other.to_string(),
        })
    }

    fn advised(&self, said: String) -> String {
        let advice = match self {
            Self::Call(error) => advise(error),
            Self::IncompleteList | Self::NoApi(_) | Self::Resolve(_) => None,
        };
        match advice {
            Some(advice) => format!("{said}: {advice}"),
            None => said,
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::openapi::NoKeys;
    use crate::cloud::openapi::refusal::Refusal;

    fn refused(class: Class, request: &str) -> SourceError {
        let (code, message) = ("Some.Code".to_owned(), format!("the string to sign was {request}"));
        let request_id = Some(request.to_owned());
        let refusal = Refusal { class, status: 403, code, message, request_id, date: None };
        SourceError::Call(CallError::Refused(Box::new(refusal)))
    }

    #[test]
    fn calls_that_fail_alike_say_the_same_with_what_to_do() {
        let action = Some("privatelink:ListVpcEndpoints".to_owned());
        for class in [
            Class::Denied { action },
            Class::Throttled { retry_after: None },
            Class::BadCredentials,
            Class::Token,
            Class::ProductOff,
        ] {
            let [one, other] = ["R-1", "R-2"].map(|request| refused(class.clone(), request));
            assert_eq!(one.in_general(), other.in_general(), "{class:?}");
            assert!(one.with_advice().contains("request R-1"), "{one}");
            assert!(one.in_general().contains("Some.Code (status 403)") && one.in_general().len() > 60, "{one}");
        }
        let denied = refused(Class::Denied { action: None }, "R").in_general();
        let remedy = "permission denied: Some.Code (status 403): allow privatelink:ListVpcEndpoints and ";
        assert!(denied.starts_with(remedy), "{denied}");
        let server = refused(Class::Server, "R").in_general();
        assert_eq!(server, "the service failed: Some.Code (status 403): the string to sign was R");
        assert_eq!(SourceError::IncompleteList.with_advice(), SourceError::IncompleteList.to_string());
    }

    #[test]
    fn of_keys_that_are_lacking_only_what_lasts_is_told_of_each_endpoint() {
        let (said, general) = ("oidc_role: no, request R".to_owned(), "oidc_role: no".to_owned());
        let error = SourceError::Call(CallError::NoKeys(NoKeys { said, general }));
        assert_eq!(error.to_string(), "no credentials: oidc_role: no, request R");
        assert!(error.in_general().starts_with("no credentials: oidc_role: no: attach a RAM role"));
    }
}
