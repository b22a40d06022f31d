//! What tells one plan from another in a few bytes.

use std::fmt::Write as _;

use serde::Serialize;

use super::name::{NameError, text_type};

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // A String takes everything.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

text_type!(
    /// A digest, of a plan mostly: 32 hexadecimal digits.
    Digest,
    |s| {
        let good = s.len() == 32 && s.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if good { Ok(s.to_owned()) } else { Err(NameError::NotADigest) }
    }
);

impl Digest {
    /// Takes 16 bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 16]) -> Self {
        Self(hex(bytes).into())
    }

    /// SHA-256, cut to 16 bytes.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let mut short = [0; 16];
        short.copy_from_slice(&ring::digest::digest(&ring::digest::SHA256, bytes).as_ref()[..16]);
        Self::from_bytes(&short)
    }

    /// Of the JSON without white space; maps are sorted, so equal plans are equal bytes.
    pub(super) fn of_json(value: &impl Serialize) -> Self {
        // Serialising closed types with string keys into memory can't fail.
        Self::of_bytes(&serde_json::to_vec(value).unwrap_or_default())
    }
}
