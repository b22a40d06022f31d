//! What tells one plan from another in a few bytes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A digest of a plan: 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(Box<str>);

impl Digest {
    /// Takes 16 bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 16]) -> Self {
        Self(bytes.iter().map(|b| format!("{b:02x}")).collect::<String>().into())
    }

    /// SHA-256, cut to 16 bytes, of the JSON without white space; maps are sorted, so equal plans are equal bytes.
    pub(super) fn of_json(value: &impl Serialize) -> Self {
        // Serialising closed types with string keys into memory can't fail.
        let json = serde_json::to_vec(value).unwrap_or_default();
        let mut short = [0; 16];
        short.copy_from_slice(&ring::digest::digest(&ring::digest::SHA256, &json).as_ref()[..16]);
        Self::from_bytes(&short)
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Digest {
    type Error = &'static str;
    fn try_from(s: String) -> Result<Self, Self::Error> {
        if s.len() == 32 && s.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(s.into()))
        } else {
            Err("expected 32 lower-case hexadecimal digits")
        }
    }
}

impl From<Digest> for String {
    fn from(d: Digest) -> Self {
        d.0.into()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
