//! Replies of the PrivateLink API, read leniently: counters may be numbers or texts, states come in any case, and a
//! field that makes no sense is as good as absent (the published sample has the text `false` for an IPv6 address).
//!
//! Strict in one thing: a list that is not there is no empty list. To take one for the other would take names
//! away (B1).

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use serde_json::Value;

use super::record::{EndpointRecord, Record, ZoneRecord};
use crate::cloud::openapi::error::Malformed;

/// The most pages that are read of one list: five times as many endpoints as a VPC may have.
pub const MOST_PAGES: usize = 100;
/// The longest text of the API that is kept, in characters.
const LONGEST_TEXT: usize = 256;

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// How many items on it had no usable id.
    pub unusable: usize,
    /// Where the list goes on.
    pub next: Option<String>,
    /// How long the whole list is, if the service says.
    pub total: Option<u64>,
}

/// A whole list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<T> {
    /// In the order of their keys.
    pub items: Vec<T>,
    /// Whether that is all there is: every item could be used, and there are as many as the service says. Only a
    /// complete list may count as evidence that something is gone.
    pub complete: bool,
}

/// The pages of one list so far.
#[derive(Debug)]
pub struct Pages<T: Record> {
    items: BTreeMap<T::Key, T>,
    unusable: usize,
    total: Option<u64>,
    tokens: BTreeSet<String>,
    pages: usize,
}

impl<T: Record> Default for Pages<T> {
    fn default() -> Self {
        Self { items: BTreeMap::new(), unusable: 0, total: None, tokens: BTreeSet::new(), pages: 0 }
    }
}

impl<T: Record> Pages<T> {
    /// Takes a page; returns the token of the next.
    ///
    /// # Errors
    /// If the list does not come to an end.
    pub fn add(&mut self, page: Page<T>) -> Result<Option<String>, Malformed> {
        self.pages += 1;
        self.unusable += page.unusable;
        self.total = page.total.or(self.total);
        self.items.extend(page.items.into_iter().map(|item| (item.key(), item)));
        let Some(token) = page.next else { return Ok(None) };
        if !self.tokens.insert(token.clone()) {
            return Err(Malformed::RepeatedToken);
        }
        if self.pages >= MOST_PAGES { Err(Malformed::TooManyPages(MOST_PAGES)) } else { Ok(Some(token)) }
    }

    /// The list, once there is no next page.
    #[must_use]
    pub fn listing(self) -> Listing<T> {
        let found = self.items.len() as u64;
        let complete = self.unusable == 0 && self.total.is_none_or(|total| total == found);
        Listing { items: self.items.into_values().collect(), complete }
    }
}

/// A page of ListVpcEndpoints.
///
/// # Errors
/// [`Malformed`]: no JSON, or no list.
pub fn endpoints(body: &[u8]) -> Result<Page<EndpointRecord>, Malformed> {
    page(&json(body)?, "Endpoints", endpoint_record)
}

/// A page of ListVpcEndpointZones.
///
/// # Errors
/// [`Malformed`]: no JSON, or no list.
pub fn zones(body: &[u8]) -> Result<Page<ZoneRecord>, Malformed> {
    page(&json(body)?, "Zones", zone_record)
}

fn json(body: &[u8]) -> Result<Value, Malformed> {
    match serde_json::from_slice(body) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(Malformed::NotJson("something else than an object".to_owned())),
        // The error carries a position, never content.
        Err(error) => Err(Malformed::NotJson(error.to_string())),
    }
}

fn page<T>(value: &Value, list: &'static str, read: fn(&Value) -> Option<T>) -> Result<Page<T>, Malformed> {
    let total = number(value, "TotalCount");
    let found = match value.get(list) {
        Some(Value::Array(found)) => found.as_slice(),
        Some(Value::Null) | None if total == Some(0) => &[],
        _ => return Err(Malformed::Missing(list)),
    };
    let items: Vec<T> = found.iter().filter_map(read).collect();
    let next = value.get("NextToken").and_then(Value::as_str).filter(|t| !t.is_empty()).map(str::to_owned);
    Ok(Page { unusable: found.len() - items.len(), items, next, total })
}

fn endpoint_record(value: &Value) -> Option<EndpointRecord> {
    Some(EndpointRecord {
        id: parsed(value, "EndpointId")?,
        name: text(value, "EndpointName"),
        description: text(value, "EndpointDescription"),
        domain: parsed(value, "EndpointDomain"),
        status: state(value, "EndpointStatus"),
        business: state(value, "EndpointBusinessStatus"),
        connection: state(value, "ConnectionStatus"),
        region: text(value, "RegionId"),
        vpc_id: text(value, "VpcId"),
        service_name: text(value, "ServiceName"),
    })
}

fn zone_record(value: &Value) -> Option<ZoneRecord> {
    Some(ZoneRecord {
        zone: parsed(value, "ZoneId")?,
        status: state(value, "ZoneStatus"),
        eni_id: text(value, "EniId"),
        ipv4: parsed(value, "EniIp"),
        ipv6: parsed(value, "ZoneIpv6Address"),
        domain: parsed(value, "ZoneDomain"),
    })
}

fn string<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name)?.as_str().map(str::trim).filter(|text| !text.is_empty())
}

fn parsed<T: FromStr>(value: &Value, name: &str) -> Option<T> {
    string(value, name)?.parse().ok()
}

fn state<T: From<String>>(value: &Value, name: &str) -> Option<T> {
    string(value, name).map(|word| T::from(word.to_owned()))
}

/// Fit for one line of a log.
fn text(value: &Value, name: &str) -> Option<String> {
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    Some(string(value, name)?.chars().map(visible).take(LONGEST_TEXT).collect())
}

fn number(value: &Value, name: &str) -> Option<u64> {
    match value.get(name)? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
