//! The OpenAPI gateway before PrivateLink and STS: version, signature, throttling, then the action.

use serde_json::{Value, json};

use super::auth::{Caller, authenticate, authorize};
use super::error::ApiError;
use super::request::Request;
use super::signature::{Claim, named_key};
use super::{Done, privatelink, sts, wrong};
use crate::cloud::stamp::Stamp;
use crate::cloud::state::State;
use crate::cloud::world::{Service, What};

/// A call that came through the gateway.
pub(super) struct Asked<'a> {
    pub(super) action: &'a str,
    parameters: std::collections::BTreeMap<String, String>,
    /// Who asks; nobody for the one action that needs no signature.
    pub(super) caller: Option<Caller>,
    pub(super) now: Stamp,
}

impl Asked<'_> {
    /// A parameter, if it was given and isn't empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A parameter that must be there.
    pub(super) fn need(&self, name: &str) -> Result<&str, ApiError> {
        self.get(name).ok_or_else(|| ApiError::missing(name))
    }

    /// A whole number within `range`, if it was given.
    pub(super) fn number(&self, name: &str, range: std::ops::RangeInclusive<u64>) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| ApiError::invalid(name))
    }

    /// All parameters.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether RAM lets the caller do this.
    pub(super) fn authorized(&self, state: &State, resource: &str) -> Result<(), ApiError> {
        let caller = self.caller.as_ref().ok_or_else(|| ApiError::missing("AccessKeyId"))?;
        let product = if sts::ACTIONS.contains(&self.action) { "sts" } else { "privatelink" };
        authorize(&state.world, caller, &format!("{product}:{}", self.action), resource)
    }
}

/// The action that a request names.
pub(super) fn action(request: &Request) -> String {
    let named = request.header("x-acs-action").map(str::to_owned);
    named.or_else(|| request.parameters().remove("Action")).unwrap_or_default()
}

pub(super) fn answer(state: &mut State, service: Service, request: &Request, struck: &[What], now: Stamp) -> Done {
    let request_id = state.ledger.request_id();
    let action = action(request);
    let mut asked = Asked { action: &action, parameters: request.parameters(), caller: None, now };
    let result = act(state, (service, request), struck, &mut asked);
    let caller = asked.caller.as_ref().map(|caller| caller.arn(&state.world));
    let (mut reply, outcome) = match result {
        Ok(mut value) => {
            if let Some(object) = value.as_object_mut() {
                object.insert("RequestId".to_owned(), json!(request_id));
            }
            wrong::edit(&mut value, struck);
            (super::Reply::json(200, &value), "ok".to_owned())
        }
        Err(error) => (error.reply(&request_id, service, request.header("host")), error.code),
    };
    reply.headers.push(("x-acs-request-id".to_owned(), request_id));
    let mut parameters = asked.parameters;
    parameters.retain(|name, _| !["Signature", "SecurityToken", "OIDCToken"].contains(&name.as_str()));
    let nonce = Claim::read(request).ok().flatten().map(|claim| claim.nonce);
    Done { reply, outcome, caller, key: named_key(request), nonce, parameters }
}

fn act(
    state: &mut State,
    (service, request): (Service, &Request),
    struck: &[What],
    asked: &mut Asked<'_>,
) -> Result<Value, ApiError> {
    if !["GET", "POST"].contains(&request.method.as_str()) || request.path != "/" {
        return Err(ApiError::no_such_action());
    }
    check_product(service, asked, request)?;
    if asked.action != sts::UNSIGNED {
        asked.caller = Some(authenticate(state, request, asked.now)?);
    }
    if let Some(error) = wrong::refusal(struck) {
        return Err(error);
    }
    if !state.ledger.within_quota(asked.action, &state.world.api, asked.now) {
        return Err(ApiError::throttled("Throttling.User", state.world.api.quota_retry_after_ms));
    }
    if service == Service::Sts { sts::act(state, asked) } else { privatelink::act(state, asked) }
}

fn check_product(service: Service, asked: &Asked<'_>, request: &Request) -> Result<(), ApiError> {
    let (actions, version): (&[&str], &str) = match service {
        Service::Sts => (&sts::ACTIONS, sts::VERSION),
        _ => (&privatelink::ACTIONS, privatelink::VERSION),
    };
    let found = request.header("x-acs-version").or_else(|| asked.get("Version")).unwrap_or_default();
    if found != version {
        return Err(ApiError::new(400, "NoSuchVersion", format!("The specified version {found} does not exist.")));
    }
    if actions.contains(&asked.action) { Ok(()) } else { Err(ApiError::no_such_action()) }
}
