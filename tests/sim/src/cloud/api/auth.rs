//! Who asks, and whether they may.

use super::error::ApiError;
use super::request::Request;
use super::signature::Claim;
use crate::cloud::stamp::Stamp;
use crate::cloud::state::{State, TOLERANCE};
use crate::cloud::world::{Decision, Session, World};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Caller {
    /// A RAM user, by name.
    User(String),
    /// A session, by its access key.
    Session { key: String, role: String, name: String },
}

impl Caller {
    pub(super) fn arn(&self, world: &World) -> String {
        match self {
            Self::User(name) => format!("acs:ram::{}:user/{name}", world.account),
            Self::Session { role, name, .. } => format!("acs:ram::{}:assumed-role/{role}/{name}", world.account),
        }
    }

    /// What role policies name: users as such, sessions by their role.
    pub(super) fn principal(&self, world: &World) -> String {
        match self {
            Self::User(_) => self.arn(world),
            Self::Session { role, .. } => world.role_arn(role),
        }
    }
}

/// Proves who signed the request, as the API does: key, time, signature, nonce, token.
pub(super) fn authenticate(state: &mut State, request: &Request, now: Stamp) -> Result<Caller, ApiError> {
    let claim = Claim::read(request)?.ok_or_else(|| ApiError::missing("AccessKeyId"))?;
    let (caller, secret) = holder(&state.world, &claim.key)?;
    if now.apart(claim.date) > TOLERANCE {
        return Err(ApiError::new(400, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired."));
    }
    if !claim.holds(&secret) {
        return Err(ApiError::wrong_signature(&claim.string_to_sign));
    }
    if !state.ledger.take_nonce(&claim.key, &claim.nonce, now) {
        return Err(ApiError::new(400, "SignatureNonceUsed", "Specified signature nonce was used already."));
    }
    check_token(&state.world, &claim, now)?;
    Ok(caller)
}

fn holder(world: &World, key: &str) -> Result<(Caller, String), ApiError> {
    if let Some((user, access_key)) = world.access_key(key) {
        if !access_key.active {
            return Err(ApiError::new(400, "InvalidAccessKeyId.Inactive", "Specified access key is disabled."));
        }
        return Ok((Caller::User(user.to_owned()), access_key.secret.clone()));
    }
    let session = world.sessions.get(key).ok_or_else(ApiError::no_such_key)?;
    let Session { role, name, secret, .. } = session.clone();
    Ok((Caller::Session { key: key.to_owned(), role, name }, secret))
}

fn check_token(world: &World, claim: &Claim, now: Stamp) -> Result<(), ApiError> {
    let session = world.sessions.get(&claim.key);
    let Some(token) = &claim.token else {
        return match session {
            Some(_) => {
                Err(ApiError::new(400, "MissingSecurityToken", "SecurityToken is required for this access key."))
            }
            None => Ok(()),
        };
    };
    if !world.sessions.values().any(|session| session.token == *token) {
        return Err(ApiError::token("Malformed", "Specified SecurityToken is malformed."));
    }
    match session.filter(|session| session.token == *token) {
        None => Err(ApiError::token("MismatchWithAccessKey", "Specified SecurityToken mismatch with the AccessKeyId.")),
        Some(session) if session.expires <= now => {
            Err(ApiError::token("Expired", "Specified SecurityToken is expired."))
        }
        Some(_) => Ok(()),
    }
}

/// Whether RAM lets the caller do it.
pub(super) fn authorize(world: &World, caller: &Caller, action: &str, resource: &str) -> Result<(), ApiError> {
    let decision = match caller {
        Caller::User(name) => world.users.get(name).map(|user| user.policy.decide(action, resource)),
        Caller::Session { key, role, .. } => {
            let of_role = world.roles.get(role).map(|role| role.policy.decide(action, resource));
            let narrowed = world.sessions.get(key).and_then(|session| session.policy.as_ref());
            // Both must allow.
            match (of_role, narrowed) {
                (Some(Decision::Allowed), Some(policy)) => Some(policy.decide(action, resource)),
                (of_role, _) => of_role,
            }
        }
    };
    let (kind, name) = match caller {
        Caller::User(name) => ("SubUser", name.clone()),
        Caller::Session { role, name, .. } => ("AssumedRoleUser", format!("{role}:{name}")),
    };
    match decision {
        Some(Decision::Allowed) => Ok(()),
        other => Err(ApiError::denied(action, (kind, &name), other == Some(Decision::ExplicitDeny))),
    }
}
