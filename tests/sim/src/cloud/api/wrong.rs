//! Which faults strike a request, and what they do to its answer.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::error::ApiError;
use super::reply::{How, Reply};
use crate::cloud::world::{Fault, Match, Service, What, fits};

/// The token that names its own page.
pub(super) const REPEATED_TOKEN: &str = "repeated";

/// What a request is about, as far as faults ask.
pub(in crate::cloud) struct About<'a> {
    pub(in crate::cloud) service: Service,
    pub(in crate::cloud) action: &'a str,
    pub(in crate::cloud) endpoint: Option<&'a str>,
    pub(in crate::cloud) key: Option<&'a str>,
}

/// Counts the request against the faults that match it, and returns what strikes. Spent faults go.
pub(in crate::cloud) fn strike(faults: &mut BTreeMap<String, Fault>, about: &About<'_>) -> Vec<What> {
    let matching = faults.values_mut().filter(|fault| matches(&fault.on, about));
    let struck = matching.filter_map(|fault| fault.strikes().then(|| fault.what.clone())).collect();
    faults.retain(|_, fault| fault.times != Some(0));
    struck
}

fn matches(on: &Match, about: &About<'_>) -> bool {
    let Match { service, action, endpoint, key } = on;
    service.is_none_or(|service| service == about.service)
        && action.as_ref().is_none_or(|pattern| fits(pattern, about.action))
        && endpoint.as_ref().is_none_or(|endpoint| about.endpoint == Some(endpoint))
        && key.as_ref().is_none_or(|key| about.key == Some(key))
}

/// The error that a fault answers with instead of acting.
pub(super) fn refusal(struck: &[What]) -> Option<ApiError> {
    struck.iter().find_map(|what| match what {
        What::Throttle { code, retry_after_ms } => Some(ApiError::throttled(code, *retry_after_ms)),
        What::Error { status, code, message, xml } => {
            let message = if message.is_empty() { "The request has failed by the stand-in's will." } else { message };
            Some(ApiError::new(*status, code, message).in_xml(*xml))
        }
        _ => None,
    })
}

/// Edits a successful answer.
pub(super) fn edit(value: &mut Value, struck: &[What]) {
    for what in struck {
        match what {
            What::EmptyList => keep(value, 0, true),
            What::PartialList { keep: first } => keep(value, *first, false),
            What::RepeatToken => put(value, "NextToken", json!(REPEATED_TOKEN)),
            What::Patch { at, value: new } => patch(value, at, new.clone()),
            What::Huge { bytes } => put(value, "Padding", json!("x".repeat(*bytes))),
            _ => {}
        }
    }
}

/// As [`edit`], for a reply that may be no JSON.
pub(super) fn edited(mut reply: Reply, struck: &[What]) -> Reply {
    let mut value = reply.value();
    if reply.status == 200 && value.is_object() {
        edit(&mut value, struck);
        reply.body = value.to_string().into_bytes();
    }
    reply
}

/// Leaves the first entries of the list, which then looks complete.
fn keep(value: &mut Value, first: usize, total: bool) {
    let Some(answer) = value.as_object_mut() else { return };
    let mut lists = answer.values_mut().filter_map(Value::as_array_mut);
    let Some(list) = lists.next() else { return };
    list.truncate(first);
    let left = list.len();
    answer.remove("NextToken");
    if total {
        answer.insert("TotalCount".to_owned(), json!(left));
    }
}

fn put(value: &mut Value, name: &str, new: Value) {
    if let Some(object) = value.as_object_mut() {
        object.insert(name.to_owned(), new);
    }
}

fn patch(value: &mut Value, at: &str, new: Option<Value>) {
    let Some((parent, last)) = at.rsplit_once('/') else { return };
    match (value.pointer_mut(parent), new) {
        (Some(Value::Object(object)), None) => drop(Map::remove(object, last)),
        (Some(Value::Object(object)), Some(new)) => drop(object.insert(last.to_owned(), new)),
        (Some(Value::Array(list)), new) => {
            let Some(entry) = last.parse().ok().filter(|at| *at < list.len()) else { return };
            match new {
                Some(new) => list.splice(entry..=entry, [new]).for_each(drop),
                None => drop(list.remove(entry)),
            }
        }
        _ => {}
    }
}

/// Spoils a reply on its way. Returns what the list of calls says of it, if that is no longer what it was.
pub(super) fn spoil(reply: &mut Reply, struck: &[What]) -> Option<String> {
    let mut outcome = None;
    for what in struck {
        let how = &mut reply.delivery.how;
        match what {
            What::Delay { ms } => reply.delivery.delay += Duration::from_millis(*ms),
            What::Hang => *how = How::Never,
            What::HangUp => *how = How::HangUp,
            What::Reset => *how = How::Reset,
            What::Drip { bytes, every_ms } => {
                *how = How::Drip { bytes: *bytes, every: Duration::from_millis(*every_ms) };
            }
            What::Cut { after } => *how = How::Cut { after: *after },
            What::Garbage => reply.body = b"\x00\xff<html>no JSON in here".to_vec(),
            What::Status { status, body } => {
                let kind = ("content-type".to_owned(), "text/html".to_owned());
                *reply = Reply { status: *status, headers: vec![kind], body: body.clone().into(), ..reply.clone() };
            }
            What::Redirect { location } => {
                let location = ("location".to_owned(), location.clone());
                *reply = Reply { status: 302, headers: vec![location], body: Vec::new(), ..reply.clone() };
            }
            // Done before, or only for DNS.
            What::Throttle { .. } | What::Error { .. } | What::Huge { .. } | What::EmptyList => continue,
            What::PartialList { .. } | What::RepeatToken | What::Patch { .. } | What::Rcode { .. } => continue,
        }
        if !matches!(what, What::Delay { .. } | What::Drip { .. }) {
            outcome = Some(what.name().to_owned());
        }
    }
    outcome
}
