//! A value that no log, error, status or metric ever shows (B15).

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

/// What stands for a secret.
pub const HIDDEN: &str = "[secret]";

/// A secret text. `Debug` shows only that there is one; it has no `Display` and no `Serialize`; the memory is wiped
/// when the last clone goes.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// Takes a text over.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Arc::new(Zeroizing::new(text)))
    }

    /// The same without white space around it, such as the newline at the end of a file that it was taken from.
    #[must_use]
    pub fn trimmed(&self) -> Self {
        Self::new(self.expose().trim().to_owned())
    }

    /// The text itself: for the wire, nowhere else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// A text from outside without these secrets, should it repeat one. To be done before anything is cut off: half a
/// secret would not be found any more.
#[must_use]
pub fn hide<'a>(text: &str, secrets: impl IntoIterator<Item = &'a str>) -> String {
    let mut secrets: Vec<&str> = secrets.into_iter().filter(|secret| !secret.is_empty()).collect();
    // One may be the beginning of another.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.into_iter().fold(text.to_owned(), |text, secret| text.replace(secret, HIDDEN))
}

/// Taken over at once, so that no copy stays behind.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl Hash for Secret {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.expose().hash(state);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_text() {
        assert_eq!(format!("{:?}", Some(Secret::new("hunter2".into()))), "Some([secret])");
    }

    #[test]
    fn what_is_repeated_is_hidden_whole() {
        assert_eq!(hide("a hunter2, a hunter2b", ["hunter2", "", "hunter2b"]), "a [secret], a [secret]");
        assert_eq!(hide("nothing", []), "nothing");
    }
}
