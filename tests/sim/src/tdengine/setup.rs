//! Who may ask the stand-in, and how requests prove it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::mode::TdengineRefusal;

/// What a TDengine gateway is, and whom it knows. Its secrets are none: they open nothing but the stand-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TdengineSetup {
    /// Tokens that are good in a URL, or as `Bearer`.
    pub tokens: BTreeSet<String>,
    /// Passwords by user, for Basic.
    pub users: BTreeMap<String, String>,
    /// The version.
    pub version: String,
    /// Databases beside the two that are always there.
    pub databases: BTreeSet<String>,
    /// The adapter's setting of that name: whether errors of the database have an HTTP status of their own.
    pub http_code_server_error: bool,
}

impl TdengineSetup {
    /// The one token of the default.
    pub const TOKEN: &'static str = "5ca1ab1e0standin0token0of0the0agent0001";
    /// The one user of the default.
    pub const USER: &'static str = "root";
    /// That user's password.
    pub const PASSWORD: &'static str = "standin-password-of-root-01";
}

impl Default for TdengineSetup {
    fn default() -> Self {
        Self {
            tokens: BTreeSet::from([Self::TOKEN.to_owned()]),
            users: BTreeMap::from([(Self::USER.to_owned(), Self::PASSWORD.to_owned())]),
            version: "3.3.6.0".to_owned(),
            databases: BTreeSet::new(),
            http_code_server_error: false,
        }
    }
}

/// How a request's credentials are not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stranger {
    /// The gateway or the adapter refuses it.
    Refused(TdengineRefusal),
    /// The database does, with this code.
    Unknown(u16),
}

impl TdengineSetup {
    /// Checks the token of a URL, if there is one: before anything else.
    pub(super) fn check_token(&self, token: Option<&str>) -> Result<(), Stranger> {
        match token {
            Some(token) if !self.tokens.contains(token) => Err(Stranger::Refused(TdengineRefusal::BadToken)),
            _ => Ok(()),
        }
    }

    /// Checks all that a request has for credentials.
    pub(super) fn check(&self, token: Option<&str>, header: Option<&str>) -> Result<(), Stranger> {
        let refused = |refusal| Err(Stranger::Refused(refusal));
        self.check_token(token)?;
        let (scheme, value) = match header {
            None if token.is_some() => return Ok(()),
            None => return refused(TdengineRefusal::NoAuth),
            Some(header) => header.split_once(' ').unwrap_or((header, "")),
        };
        match scheme {
            "Basic" => {
                let decoded = base64(value.trim()).and_then(|bytes| String::from_utf8(bytes).ok());
                let Some((user, password)) = decoded.as_deref().and_then(|text| text.split_once(':')) else {
                    return refused(TdengineRefusal::BadBasic);
                };
                match self.users.get(user) {
                    None => Err(Stranger::Unknown(849)),
                    Some(known) if known != password => Err(Stranger::Unknown(855)),
                    Some(_) => Ok(()),
                }
            }
            "Taosd" => refused(TdengineRefusal::BadTaosd),
            "Bearer" if token.is_none() => match self.tokens.contains(value.trim()) {
                true => Ok(()),
                false => refused(TdengineRefusal::BadToken),
            },
            _ => refused(TdengineRefusal::UnknownScheme),
        }
    }
}

/// Decodes base64 with its padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| -> Option<u32> {
        Some(u32::from(match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        }))
    };
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let digits = text.trim_end_matches('=');
    if text.len() - digits.len() > 2 {
        return None;
    }
    let mut bytes = Vec::new();
    for four in digits.as_bytes().chunks(4) {
        let bits = four.iter().try_fold(0, |bits, byte| Some(bits << 6 | digit(*byte)?))?;
        let bits = bits << (6 * (4 - four.len()));
        let [_, three @ ..] = bits.to_be_bytes();
        bytes.extend(three.iter().take(four.len() - 1));
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_decoded() {
        for (text, expected) in [
            ("", Some("")),
            ("cm9vdDp0YW9zZGF0YQ==", Some("root:taosdata")),
            ("YTpi", Some("a:b")),
            ("YTo=", Some("a:")),
            ("YTo", None),
            ("Y===", None),
            ("====", None),
            ("a b=", None),
        ] {
            assert_eq!(base64(text).map(|bytes| String::from_utf8(bytes).unwrap()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn strangers_are_told_what_is_wrong() {
        let setup = TdengineSetup { users: [("a".to_owned(), "b".to_owned())].into(), ..TdengineSetup::default() };
        let (good, bad) = (Some(TdengineSetup::TOKEN), Some("nonsense"));
        let bearer = format!("Bearer {}", TdengineSetup::TOKEN);
        let refused = |refusal| Err(Stranger::Refused(refusal));
        for (token, header, expected) in [
            (good, None, Ok(())),
            (bad, None, refused(TdengineRefusal::BadToken)),
            (bad, Some("Basic YTpi"), refused(TdengineRefusal::BadToken)),
            (None, None, refused(TdengineRefusal::NoAuth)),
            (None, Some("Basic YTpi"), Ok(())),
            (None, Some("Basic YTpj"), Err(Stranger::Unknown(855))),
            (None, Some("Basic Yjpi"), Err(Stranger::Unknown(849))),
            (None, Some("Basic ????"), refused(TdengineRefusal::BadBasic)),
            (None, Some("Basic"), refused(TdengineRefusal::BadBasic)),
            (None, Some("Taosd x"), refused(TdengineRefusal::BadTaosd)),
            (None, Some("Digest x"), refused(TdengineRefusal::UnknownScheme)),
            (None, Some(bearer.as_str()), Ok(())),
            (good, Some(bearer.as_str()), refused(TdengineRefusal::UnknownScheme)),
            (None, Some("Bearer x"), refused(TdengineRefusal::BadToken)),
        ] {
            assert_eq!(setup.check(token, header), expected, "{token:?} {header:?}");
        }
    }
}
