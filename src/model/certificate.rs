//! What a server's certificate says of itself.

use super::Wall;

/// A certificate that a server has shown, whether it was trusted or not. Texts are bounded and printable.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Certificate {
    /// The names it is for, at most 20 of them.
    pub names: Vec<String>,
    /// Who issued it: the common name, else the organisation.
    pub issuer: String,
    /// From when on it is valid.
    pub not_before: Wall,
    /// When it ends by itself.
    pub not_after: Wall,
    /// The intermediate that ends before it, of those on the way to a trusted root that was verified.
    pub ends_earlier: Option<Intermediate>,
    /// What the server has sent beside it that is not on that way, at most 10 of them.
    pub unused: Vec<Intermediate>,
}

/// A certificate that a server has sent beside its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Intermediate {
    /// Whose it is: the common name, else the organisation.
    pub name: String,
    /// When it ends.
    pub not_after: Wall,
}

impl Certificate {
    /// When it is of no use any more: the first end on the way from it to a trusted root, as that was verified. Its own
    /// end where nothing was.
    #[must_use]
    pub fn ends(&self) -> Wall {
        self.ends_earlier.as_ref().map_or(self.not_after, |intermediate| intermediate.not_after)
    }
}
