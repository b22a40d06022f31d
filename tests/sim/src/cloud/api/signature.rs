//! What a signed request claims, and whether its signature holds: ACS3-HMAC-SHA256 and the older HMAC-SHA1 of RPC.
//!
//! Written from the documents alone, so that it and the agent's signer vouch for each other.

use std::collections::BTreeMap;

use ring::digest::{SHA256, digest};
use ring::hmac;

use super::error::ApiError;
use super::request::Request;
use crate::cloud::stamp::Stamp;
use crate::cloud::state::hex;

/// What a signed request claims.
#[derive(Debug)]
pub(super) struct Claim {
    /// The access key.
    pub(super) key: String,
    /// The session's token, if the request has one.
    pub(super) token: Option<String>,
    /// When it was signed.
    pub(super) date: Stamp,
    /// Its nonce.
    pub(super) nonce: String,
    /// What should have been signed.
    pub(super) string_to_sign: String,
    /// The signature that came with it.
    given: String,
    algorithm: Algorithm,
}

#[derive(Debug, Clone, Copy)]
enum Algorithm {
    /// ACS3-HMAC-SHA256.
    Acs3,
    /// HMAC-SHA1 of signature version 1.0.
    Rpc,
}

impl Claim {
    /// What the request claims; none if it isn't signed at all.
    pub(super) fn read(request: &Request) -> Result<Option<Self>, ApiError> {
        if let Some(authorization) = request.header("authorization") {
            return acs3(request, authorization).map(Some);
        }
        let parameters = request.parameters();
        if parameters.contains_key("Signature") {
            return rpc(request, &parameters).map(Some);
        }
        Ok(None)
    }

    /// Whether the signature was made with this secret.
    pub(super) fn holds(&self, secret: &str) -> bool {
        // Comparing in constant time would protect secrets that open nothing.
        self.given == self.signature(secret)
    }

    pub(super) fn signature(&self, secret: &str) -> String {
        let sign = |algorithm, key: &[u8]| hmac::sign(&hmac::Key::new(algorithm, key), self.string_to_sign.as_bytes());
        match self.algorithm {
            Algorithm::Acs3 => hex(sign(hmac::HMAC_SHA256, secret.as_bytes()).as_ref()),
            Algorithm::Rpc => {
                base64(sign(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, format!("{secret}&").as_bytes()).as_ref())
            }
        }
    }
}

/// The access key that a request names, whatever else is wrong with it.
pub(super) fn named_key(request: &Request) -> Option<String> {
    match request.header("authorization") {
        Some(authorization) => Some(Authorization::parse(authorization)?.credential.to_owned()),
        None => request.parameters().remove("AccessKeyId"),
    }
}

struct Authorization<'a> {
    credential: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

impl<'a> Authorization<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let parts = text.strip_prefix("ACS3-HMAC-SHA256 ")?;
        let find = |name: &str| parts.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
        let (credential, signed_headers) = (find("Credential")?, find("SignedHeaders")?);
        Some(Self { credential, signed_headers, signature: find("Signature")? })
    }
}

/// The headers that every ACS3 request must have and sign.
const SIGNED: [&str; 6] =
    ["host", "x-acs-action", "x-acs-content-sha256", "x-acs-date", "x-acs-signature-nonce", "x-acs-version"];

fn acs3(request: &Request, authorization: &str) -> Result<Claim, ApiError> {
    let said = Authorization::parse(authorization).ok_or_else(|| {
        ApiError::incomplete("the Authorization header has no Credential, SignedHeaders and Signature")
    })?;
    let signed: Vec<&str> = said.signed_headers.split(';').collect();
    check_signed(request, &signed)?;
    let payload = hex(digest(&SHA256, &request.body).as_ref());
    if request.header("x-acs-content-sha256") != Some(payload.as_str()) {
        return Err(ApiError::incomplete("x-acs-content-sha256 is not the hash of the body"));
    }
    let canonical = canonical_request(request, &signed, &payload);
    let date = request.header("x-acs-date").unwrap_or_default();
    Ok(Claim {
        key: said.credential.to_owned(),
        token: request.header("x-acs-security-token").filter(|token| !token.is_empty()).map(str::to_owned),
        date: stamp("x-acs-date", date)?,
        nonce: request.header("x-acs-signature-nonce").unwrap_or_default().to_owned(),
        string_to_sign: format!("ACS3-HMAC-SHA256\n{}", hex(digest(&SHA256, canonical.as_bytes()).as_ref())),
        given: said.signature.to_owned(),
        algorithm: Algorithm::Acs3,
    })
}

/// The documents want host, content type and every `x-acs-*` header signed. Whatever the real API lets pass: a client
/// that leaves one out is to be found here.
fn check_signed(request: &Request, signed: &[&str]) -> Result<(), ApiError> {
    if !signed.is_sorted() {
        return Err(ApiError::incomplete("SignedHeaders is not sorted"));
    }
    for name in SIGNED {
        if request.header(name).is_none_or(str::is_empty) {
            return Err(ApiError::incomplete(&format!("the header {name} is missing")));
        }
    }
    let wanted = |name: &str| {
        name == "host" || name.starts_with("x-acs-") || (name == "content-type" && !request.body.is_empty())
    };
    for (name, _) in &request.headers {
        if wanted(name) && !signed.contains(&name.as_str()) {
            return Err(ApiError::incomplete(&format!("the header {name} is not signed")));
        }
    }
    match signed.iter().find(|&&name| request.header(name).is_none()) {
        Some(name) => Err(ApiError::incomplete(&format!("the signed header {name} is missing"))),
        None => Ok(()),
    }
}

fn canonical_request(request: &Request, signed: &[&str], payload: &str) -> String {
    let query = canonical_query(request.query_parameters());
    let mut headers = String::new();
    for &name in signed {
        let mut values: Vec<&str> =
            request.headers.iter().filter(|(header, _)| header == name).map(|(_, value)| value.trim()).collect();
        values.sort_unstable();
        headers.push_str(&format!("{name}:{}\n", values.join(",")));
    }
    [&request.method, &request.path, &query, &headers, &signed.join(";"), payload].join("\n")
}

fn rpc(request: &Request, parameters: &BTreeMap<String, String>) -> Result<Claim, ApiError> {
    let find = |name: &str| parameters.get(name).filter(|value| !value.is_empty());
    let need = |name: &str| find(name).cloned().ok_or_else(|| ApiError::missing(name));
    for (name, expected) in [("SignatureMethod", "HMAC-SHA1"), ("SignatureVersion", "1.0")] {
        if need(name)? != expected {
            return Err(ApiError::invalid(name));
        }
    }
    let signed = parameters.iter().filter(|(name, _)| *name != "Signature");
    let query = canonical_query(signed.map(|(name, value)| (name.clone(), value.clone())).collect());
    Ok(Claim {
        key: need("AccessKeyId")?,
        token: find("SecurityToken").cloned(),
        date: stamp("Timestamp", &need("Timestamp")?)?,
        nonce: need("SignatureNonce")?,
        string_to_sign: format!("{}&%2F&{}", request.method, percent(&query)),
        given: need("Signature")?,
        algorithm: Algorithm::Rpc,
    })
}

fn stamp(name: &str, text: &str) -> Result<Stamp, ApiError> {
    Stamp::parse(text).ok_or_else(|| {
        ApiError::new(
            400,
            "InvalidTimeStamp.Format",
            format!("Specified time stamp or date value {name} is not well formatted."),
        )
    })
}

fn canonical_query(mut pairs: Vec<(String, String)>) -> String {
    pairs.sort_unstable();
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", percent(name), percent(value))).collect();
    pairs.join("&")
}

/// RFC 3986: everything but letters, digits, `-`, `_`, `.` and `~`.
fn percent(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let three = [0, 1, 2].map(|at| u32::from(chunk.get(at).copied().unwrap_or(0)));
        let bits = three[0] << 16 | three[1] << 8 | three[2];
        for at in 0..4 {
            let six = (bits >> (18 - 6 * at) & 63) as usize;
            text.push(if at > chunk.len() { '=' } else { LETTERS.get(six).map_or('=', |&letter| letter.into()) });
        }
    }
    text
}

#[cfg(test)]
mod tests;
