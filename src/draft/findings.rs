//! What was seen of an endpoint.

use std::net::IpAddr;

use crate::cloud::privatelink::record::{EndpointRecord, ZoneRecord};

/// Where MatrixOne and TDengine are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// MatrixOne's greeting.
    pub matrixone: u16,
    /// TDengine's gateway.
    pub tdengine: u16,
}

impl Ports {
    /// Those of the clouds of both.
    pub const DEFAULT: Self = Self { matrixone: 6001, tdengine: 443 };
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointFindings {
    /// What the API tells of it.
    pub record: EndpointRecord,
    /// What the API tells of its zones, or why it does not.
    pub zones: Result<Vec<ZoneRecord>, String>,
    /// The first words at MatrixOne's port.
    pub greeting: PortReply<Greeting>,
    /// What the gateway at TDengine's port says.
    pub gateway: PortReply<Gateway>,
}

/// What a port says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortReply<T> {
    /// It was not asked.
    NotAsked,
    /// Nothing: why.
    Nothing(String),
    /// This, at this address.
    Said(IpAddr, T),
}

/// The first packet of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Greeting {
    /// MySQL's, of this version.
    MySql(String),
    /// MySQL's refusal: its number and text.
    Refusal(u16, String),
    /// Something else.
    Other,
}

/// A TLS server, and what it answers to a statement without a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// The names that its certificate is for.
    pub names: Vec<String>,
    /// Whether an authority that this system trusts signed it, whatever the name.
    pub trusted: bool,
    /// What it answered, or why not.
    pub answer: Result<HttpReply, String>,
}

/// An answer over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpReply {
    /// The status.
    pub status: u16,
    /// Whether the body is one of TDengine's: an object with a number `code` and a text `desc`.
    pub tdengine: bool,
}

impl HttpReply {
    /// Reads what was answered off a status and a body.
    #[must_use]
    pub fn read(status: u16, body: &[u8]) -> Self {
        let value = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
        let has = |name: &str, is: fn(&serde_json::Value) -> bool| value.get(name).is_some_and(is);
        let tdengine = has("code", |v| v.is_u64()) && has("desc", serde_json::Value::is_string);
        Self { status, tdengine }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tdengine_answers_with_a_code_and_a_text() {
        for (body, tdengine) in [
            (&br#"{"code":4357,"desc":"no auth info input","timing":1}"#[..], true),
            (br#"{"code":855,"desc":"Authentication failure"}"#, true),
            (br#"{"code":"x","desc":"y"}"#, false),
            (br#""memory exceeds threshold""#, false),
            (b"<html>401</html>", false),
            (b"", false),
        ] {
            assert_eq!(HttpReply::read(401, body), HttpReply { status: 401, tdengine }, "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = HttpReply::read(200, &bytes);
        }
    }
}
