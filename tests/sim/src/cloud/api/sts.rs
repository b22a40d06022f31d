//! STS.

use std::time::Duration;

use serde_json::{Value, json};

use super::auth::Caller;
use super::error::ApiError;
use super::openapi::Asked;
use crate::cloud::state::State;
use crate::cloud::world::{Policy, Role, fits};

pub(super) const VERSION: &str = "2015-04-01";

const ASSUME: &str = "AssumeRole";
/// The action that needs no signature: its token proves who asks.
pub(super) const UNSIGNED: &str = "AssumeRoleWithOIDC";
const WHO: &str = "GetCallerIdentity";
pub(super) const ACTIONS: [&str; 3] = [ASSUME, UNSIGNED, WHO];

const SHORTEST_SECONDS: u64 = 900;
const DEFAULT_SECONDS: u64 = 3600;

pub(super) fn act(state: &mut State, asked: &Asked<'_>) -> Result<Value, ApiError> {
    match (asked.action, &asked.caller) {
        (ASSUME, Some(caller)) => assume(state, asked, caller),
        (WHO, Some(caller)) => Ok(who(state, caller)),
        (UNSIGNED, None) => assume_with_oidc(state, asked),
        _ => Err(ApiError::no_such_action()),
    }
}

/// A checked request for a session.
struct Wanted {
    role: String,
    session: String,
    policy: Option<Policy>,
    seconds: u64,
}

fn assume(state: &mut State, asked: &Asked<'_>, caller: &Caller) -> Result<Value, ApiError> {
    let (name, role) = role(state, asked)?;
    let unauthorized = || {
        ApiError::new(403, "NoPermission", "You are not authorized to do this action. You should be authorized by RAM.")
    };
    asked.authorized(state, &state.world.role_arn(&name)).map_err(|_| unauthorized())?;
    if !trusts(&role, &caller.principal(&state.world)) {
        return Err(unauthorized());
    }
    let wanted = wanted(asked, name, &role)?;
    Ok(open(state, asked, wanted))
}

fn assume_with_oidc(state: &mut State, asked: &Asked<'_>) -> Result<Value, ApiError> {
    let (name, role) = role(state, asked)?;
    let arn = asked.need("OIDCProviderArn")?;
    let provider = state.world.oidc_providers.iter().find(|(name, _)| state.world.oidc_arn(name) == arn);
    let (_, provider) = provider.ok_or_else(|| {
        ApiError::new(404, "EntityNotExist.OIDCProvider", "The specified OIDC provider does not exist.")
    })?;
    let failure = |kind: &str, message: &str| ApiError::new(400, &format!("AuthenticationFail.{kind}"), message);
    let token = provider.tokens.get(asked.need("OIDCToken")?);
    let token = token.ok_or_else(|| failure("OIDCToken.Invalid", "This OIDC token is invalid."))?;
    if token.expires <= asked.now {
        return Err(failure("OIDCToken.Expired", "This OIDC token is expired."));
    }
    if !trusts(&role, arn) {
        return Err(failure("NoPermission", "This operation is not permitted by the role's trust policy."));
    }
    let info = json!({
        "Subject": token.subject,
        "Issuer": provider.issuer,
        "ClientIds": "standin",
        "ExpirationTime": token.expires.iso(),
    });
    let wanted = wanted(asked, name, &role)?;
    let mut answer = open(state, asked, wanted);
    answer["OIDCTokenInfo"] = info;
    Ok(answer)
}

fn role(state: &State, asked: &Asked<'_>) -> Result<(String, Role), ApiError> {
    let arn = asked.need("RoleArn")?;
    let prefix = format!("acs:ram::{}:role/", state.world.account);
    let name = arn.strip_prefix(&prefix).filter(|name| !name.is_empty()).ok_or_else(|| ApiError::invalid("RoleArn"))?;
    let found = state.world.roles.iter().find(|(role, _)| role.eq_ignore_ascii_case(name));
    let (name, role) =
        found.ok_or_else(|| ApiError::new(404, "EntityNotExist.Role", format!("The role not exists: {arn}.")))?;
    Ok((name.clone(), role.clone()))
}

fn trusts(role: &Role, principal: &str) -> bool {
    role.trust.iter().any(|pattern| fits(pattern, principal))
}

fn wanted(asked: &Asked<'_>, role_name: String, role: &Role) -> Result<Wanted, ApiError> {
    let session = asked.need("RoleSessionName")?;
    let good = |c: char| c.is_ascii_alphanumeric() || ".@-_".contains(c);
    if !(2..=64).contains(&session.len()) || !session.chars().all(good) {
        return Err(ApiError::invalid("RoleSessionName"));
    }
    let most = role.max_session_seconds.max(SHORTEST_SECONDS);
    let seconds = asked.number("DurationSeconds", SHORTEST_SECONDS..=most)?.unwrap_or(DEFAULT_SECONDS.min(most));
    let policy = asked.get("Policy").map(serde_json::from_str).transpose();
    let policy = policy.map_err(|_| ApiError::invalid("PolicyGrammar"))?;
    Ok(Wanted { role: role_name, session: session.to_owned(), policy, seconds })
}

fn open(state: &mut State, asked: &Asked<'_>, wanted: Wanted) -> Value {
    let expires = asked.now.plus(Duration::from_secs(wanted.seconds));
    let arn = format!("{}/{}", state.world.role_arn(&wanted.role), wanted.session);
    let key = state.open_session((&wanted.role, &wanted.session), wanted.policy, expires);
    let session = state.world.sessions.get(&key);
    json!({
        "AssumedRoleUser": { "AssumedRoleId": format!("300000000000000001:{}", wanted.session), "Arn": arn },
        "Credentials": {
            "AccessKeyId": key,
            "AccessKeySecret": session.map(|session| session.secret.as_str()),
            "SecurityToken": session.map(|session| session.token.as_str()),
            "Expiration": expires.iso(),
        },
    })
}

fn who(state: &State, caller: &Caller) -> Value {
    let world = &state.world;
    let mut answer = json!({ "AccountId": world.account, "Arn": caller.arn(world) });
    match caller {
        Caller::User(_) => {
            answer["IdentityType"] = json!("RAMUser");
            answer["UserId"] = json!("200000000000000001");
            answer["PrincipalId"] = json!("200000000000000001");
        }
        Caller::Session { name, .. } => {
            answer["IdentityType"] = json!("AssumedRoleUser");
            answer["RoleId"] = json!("300000000000000001");
            answer["PrincipalId"] = json!(format!("300000000000000001:{name}"));
        }
    }
    answer
}
