//! Lists by the page.

use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use super::error::ApiError;
use super::openapi::Asked;
use super::wrong::REPEATED_TOKEN;
use crate::cloud::state::hex;
use crate::cloud::world::{Api, LastToken};

const DEFAULT_RESULTS: u64 = 50;

/// The page of `entries` that was asked for, as an answer with them under `name`.
pub(super) fn page(asked: &Asked<'_>, api: &Api, name: &str, entries: Vec<Value>) -> Result<Value, ApiError> {
    let most = api.most_results.max(1);
    let results = asked.number("MaxResults", 1..=most)?.unwrap_or(DEFAULT_RESULTS.min(most));
    let list = fingerprint(asked);
    let from = match asked.get("NextToken") {
        None => 0,
        Some(REPEATED_TOKEN) => 0,
        Some(token) => offset(token, &list).ok_or_else(|| ApiError::invalid("NextToken"))?,
    };
    let (total, size) = (entries.len(), usize::try_from(results.min(api.page_cap.max(1))).unwrap_or(usize::MAX));
    let page: Vec<Value> = entries.into_iter().skip(from).take(size).collect();
    let next = from + page.len();
    let mut answer = Map::new();
    answer.insert(name.to_owned(), Value::Array(page));
    answer.insert("MaxResults".to_owned(), json!(results));
    answer.insert("TotalCount".to_owned(), json!(total));
    let token = match api.last_token {
        _ if next < total => Some(json!(format!("{list}{next:x}"))),
        LastToken::Absent => None,
        LastToken::Empty => Some(json!("")),
        LastToken::Null => Some(Value::Null),
    };
    answer.extend(token.map(|token| ("NextToken".to_owned(), token)));
    Ok(Value::Object(answer))
}

/// A token is only good for the list that it came from.
fn fingerprint(asked: &Asked<'_>) -> String {
    const OF_THE_REQUEST: [&str; 7] =
        ["NextToken", "MaxResults", "Signature", "SignatureNonce", "Timestamp", "SecurityToken", "AccessKeyId"];
    let mut text = asked.action.to_owned();
    for (name, value) in asked.all().filter(|(name, _)| !OF_THE_REQUEST.contains(name)) {
        text.push_str(&format!("\n{name}={value}"));
    }
    hex(digest(&SHA256, text.as_bytes()).as_ref()).chars().take(24).collect()
}

fn offset(token: &str, list: &str) -> Option<usize> {
    usize::from_str_radix(token.strip_prefix(list)?, 16).ok()
}
