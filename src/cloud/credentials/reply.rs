//! Temporary keys, as the metadata service, a credentials URI and STS hand them out.

use serde::Deserialize;

use crate::cloud::sign::Keys;
use crate::model::{Secret, Wall};

/// Keys that end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Temporary {
    /// The keys; always with a token.
    pub keys: Keys,
    /// When they end.
    pub expires: Wall,
}

/// What is wrong with a reply. Never with its content: that is secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// No JSON, or of another shape.
    #[error("expected credentials in JSON, found an error in line {line}, column {column}")]
    NotJson {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// It says that it failed.
    #[error("expected the code Success, found {0:?}")]
    Code(String),
    /// A part that has to be there is not.
    #[error("expected {0} in the credentials, found none")]
    Missing(&'static str),
    /// Not a time.
    #[error("expected a time such as 2026-01-01T00:00:00Z for Expiration, found something else")]
    Expiration,
}

/// The reply of the metadata service or of a credentials URI.
///
/// # Errors
/// The situations of [`ReplyError`].
pub fn plain(body: &[u8]) -> Result<Temporary, ReplyError> {
    let raw: Raw = json(body)?;
    match &raw.code {
        Some(code) if code != "Success" => {
            Err(ReplyError::Code(code.chars().filter(|c| !c.is_control()).take(64).collect()))
        }
        // The Node SDK does not look at it, so a URI may leave it out.
        Some(_) | None => raw.temporary(),
    }
}

/// The reply of AssumeRole and AssumeRoleWithOIDC.
///
/// # Errors
/// The situations of [`ReplyError`].
pub fn sts(body: &[u8]) -> Result<Temporary, ReplyError> {
    let Sts { credentials } = json(body)?;
    credentials.ok_or(ReplyError::Missing("Credentials"))?.temporary()
}

#[derive(Deserialize)]
struct Sts {
    #[serde(rename = "Credentials")]
    credentials: Option<Raw>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Raw {
    code: Option<String>,
    access_key_id: Option<String>,
    access_key_secret: Option<Secret>,
    security_token: Option<Secret>,
    expiration: Option<String>,
}

impl Raw {
    fn temporary(self) -> Result<Temporary, ReplyError> {
        // A helper behind a URI may have filled them from files, with the newline at their end.
        let some = |secret: Option<Secret>| secret.map(|s| s.trimmed()).filter(|s| !s.expose().is_empty());
        let id = self.access_key_id.map(|id| id.trim().to_owned()).filter(|id| !id.is_empty());
        let id = id.ok_or(ReplyError::Missing("AccessKeyId"))?;
        let secret = some(self.access_key_secret).ok_or(ReplyError::Missing("AccessKeySecret"))?;
        let token = some(self.security_token).ok_or(ReplyError::Missing("SecurityToken"))?;
        let expiration = self.expiration.ok_or(ReplyError::Missing("Expiration"))?;
        let expires = Wall::parse(expiration.trim()).ok_or(ReplyError::Expiration)?;
        Ok(Temporary { keys: Keys { id, secret, token: Some(token) }, expires })
    }
}

/// serde's own messages quote what they found, so only the place is told.
fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ReplyError> {
    serde_json::from_slice(body).map_err(|e| ReplyError::NotJson { line: e.line(), column: e.column() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"Code":"Success","AccessKeyId":"STS.x","AccessKeySecret":"hunter2","SecurityToken":"tok",
        "Expiration":"2026-01-01T00:00:00Z","LastUpdated":"2025-12-31T18:00:00Z"}"#;

    #[test]
    fn keys_come_with_token_and_end() {
        let found = plain(GOOD.as_bytes()).unwrap();
        assert_eq!(found.expires.to_string(), "2026-01-01T00:00:00Z");
        assert_eq!(found.keys.token.as_ref().map(Secret::expose), Some("tok"));
        assert!(!format!("{found:?}").contains("hunter2"));
        assert_eq!(sts(format!(r#"{{"Credentials":{GOOD}}}"#).as_bytes()).unwrap(), found);
    }

    #[test]
    fn white_space_around_a_key_is_none_of_it() {
        let padded =
            GOOD.replace("STS.x\"", "STS.x\\n\"").replace("hunter2", " hunter2\\n").replace("\"tok", "\"\\ttok");
        assert_eq!(plain(padded.as_bytes()), plain(GOOD.as_bytes()));
    }

    #[test]
    fn what_is_missing_is_named() {
        let without = |name: &str| plain(GOOD.replace(name, "X").as_bytes()).unwrap_err();
        for name in ["AccessKeyId", "AccessKeySecret", "SecurityToken", "Expiration"] {
            assert_eq!(without(name).to_string(), format!("expected {name} in the credentials, found none"));
        }
        assert_eq!(without("Success"), ReplyError::Code("X".into()));
        assert_eq!(without("2026-01-01T"), ReplyError::Expiration);
        assert_eq!(sts(b"{}"), Err(ReplyError::Missing("Credentials")));
    }

    #[test]
    fn an_error_quotes_no_secret() {
        for odd in
            [r#"{"AccessKeyId":1,"x":"hunter2"}"#, r#"{"AccessKeyId":{"x":"hunter2"}}"#, r#""hunter2""#, "hunter2"]
        {
            let error = plain(odd.as_bytes()).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
