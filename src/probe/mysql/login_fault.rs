//! What the relays of a login and of a statement share: how either fails, and what they say.

use std::time::Duration;

use crate::model::Failure;
use crate::probe::secret_guard::LoginResult;

/// How long the server's word on a login that we break off is waited for.
pub(super) const FAREWELL: Duration = Duration::from_secs(5);

/// The packet that says that all is well.
pub(super) const OK: [u8; 7] = [0, 0, 0, 2, 0, 0, 0];

/// Why a login was not accepted, or is of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LoginFault {
    pub(super) failure: Failure,
    pub(super) kind: FaultKind,
}

/// What a failed login says of the next ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// Nothing: it failed for a reason that may pass.
    MayPass,
    /// The secret itself was refused, with this word on it.
    SecretRefused(LoginResult),
    /// The user has as many connections as it may have.
    Crowded,
    /// The server wants something that it does not get from us, now or later.
    Unanswerable,
}

impl From<Failure> for LoginFault {
    fn from(failure: Failure) -> Self {
        Self { failure, kind: FaultKind::MayPass }
    }
}
