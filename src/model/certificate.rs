//! What a server's certificate says of itself.

use serde::{Deserialize, Serialize};

use super::Wall;

/// A certificate that a server has shown, whether it was trusted or not. Texts are bounded and printable.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Certificate {
    /// The names it is for, at most 20 of them.
    pub names: Vec<String>,
    /// Who issued it: the common name, else the organisation.
    pub issuer: String,
    /// From when on it is valid.
    pub not_before: Wall,
    /// When it ends.
    pub not_after: Wall,
}
