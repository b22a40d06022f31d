//! Why a call has no answer.

use crate::cloud::reply::TransportError;

use super::refusal::Refusal;
use crate::model::NO_CREDENTIALS;

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The service answered, with an error.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// The service could not be reached, or not in time.
    #[error("{0}")]
    Transport(Box<TransportError>),
    /// The service answered with something that is no answer.
    #[error("{0}")]
    Malformed(Malformed),
    /// There is nothing to sign with.
    #[error("{what}: {said}", what = NO_CREDENTIALS, said = .0.said)]
    NoKeys(NoKeys),
}

/// Why there is nothing to sign with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NoKeys {
    /// Which providers were tried, and what each said.
    pub said: String,
    /// The same for each attempt that fails so: nothing that belongs to one, such as a request id.
    pub general: String,
}

impl CallError {
    /// What all calls have in common that fail so: nothing that belongs to one of them, such as its request id. Where
    /// the code says it all the service's own words are left out, too: some repeat a part of the request.
    #[must_use]
    pub fn in_general(&self) -> String {
        match self {
            Self::Refused(refusal) => refusal.in_general().to_string(),
            Self::NoKeys(NoKeys { general, .. }) => format!("{NO_CREDENTIALS}: {general}"),
            Self::Transport(_) | Self::Malformed(_) => self.to_string(),
        }
    }

    /// The word in metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.class.label(),
            Self::Transport(error) => error.kind.label(),
            Self::Malformed(_) => "malformed",
            Self::NoKeys(_) => "no_credentials",
        }
    }
}

/// What is wrong with a reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not JSON, or cut short.
    #[error("expected a reply in JSON, found {0}")]
    NotJson(String),
    /// A part that has to be there is not.
    #[error("expected {0} in the reply, found none")]
    Missing(&'static str),
    /// JSON, and yet of no use.
    #[error("{0}")]
    Unusable(String),
    /// The list never ends.
    #[error("expected a new page token, found one that was seen before")]
    RepeatedToken,
    /// The list never ends.
    #[error("expected at most {0} pages, found more")]
    TooManyPages(usize),
}
