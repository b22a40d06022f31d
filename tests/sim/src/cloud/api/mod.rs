//! What the services answer: from a request, the state and the time to a reply. No I/O, no clock.

mod auth;
mod error;
mod metadata;
mod openapi;
mod page;
mod privatelink;
mod reply;
mod request;
mod signature;
mod sts;
mod wrong;

use std::collections::BTreeMap;

use super::stamp::Stamp;
use super::state::{Call, State};
use super::world::{Service, What};

pub use reply::{Delivery, How, Reply};
pub use request::Request;

/// What became of a request, before faults of delivery.
struct Done {
    reply: Reply,
    outcome: String,
    caller: Option<String>,
    key: Option<String>,
    nonce: Option<String>,
    parameters: BTreeMap<String, String>,
}

/// Answers a request to one of the HTTP services at `now`, and remembers the call.
pub fn answer(state: &mut State, service: Service, request: &Request, now: Stamp) -> Reply {
    let (action, endpoint, key) = match service {
        Service::Metadata => (format!("{} {}", request.method, request.path), None, None),
        _ => (openapi::action(request), request.parameters().get("EndpointId").cloned(), signature::named_key(request)),
    };
    let about = wrong::About { service, action: &action, endpoint: endpoint.as_deref(), key: key.as_deref() };
    let struck = wrong::strike(&mut state.world.faults, &about);
    let done = match service {
        Service::Metadata => metadata::answer(state, request, &struck, now),
        _ => openapi::answer(state, service, request, &struck, now),
    };
    let mut reply = done.reply;
    reply.headers.push(("date".to_owned(), now.http_date()));
    let spoiled = wrong::spoil(&mut reply, &struck);
    state.ledger.record(Call {
        number: 0,
        at: now,
        service,
        action,
        caller: done.caller,
        key: done.key,
        nonce: done.nonce,
        host: request.header("host").map(str::to_owned),
        parameters: done.parameters,
        status: reply.status,
        outcome: spoiled.unwrap_or(done.outcome),
        faults: names(&struck),
    });
    reply
}

pub(super) use wrong::{About, strike};

/// The names of faults, for the list of calls.
pub(super) fn names(struck: &[What]) -> Vec<String> {
    struck.iter().map(|what| what.name().to_owned()).collect()
}

#[cfg(test)]
mod tests;
