//! What asking the cloud's API came to.

use std::collections::BTreeMap;

use super::Wall;

/// Attempts by action and outcome, both out of closed sets.
pub type ApiCounts = BTreeMap<(&'static str, &'static str), u64>;

/// How every error begins that says that there is nothing to sign calls with.
pub const NO_CREDENTIALS: &str = "no credentials";

/// What asking the cloud's API came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiState {
    /// Attempts since the start, over all reloads: they only grow.
    pub requests: ApiCounts,
    /// Whose keys sign; `None` if the API is not asked.
    pub credentials: Option<CredentialsState>,
}

/// Whose keys sign the calls. Holds no secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CredentialsState {
    /// The provider whose keys are in use.
    pub provider: Option<&'static str>,
    /// Enough of the AccessKey id to tell it from others.
    pub key_id: Option<String>,
    /// When the keys end, if they do.
    pub expires: Option<Wall>,
    /// Who was asked before and had none, and why.
    pub tried: Vec<(&'static str, String)>,
    /// Why there are no newer keys, while the old ones serve.
    pub failing: Option<String>,
}

impl CredentialsState {
    /// The first and last four characters of an AccessKey id; nothing of one that is too short for that.
    #[must_use]
    pub fn shortened(id: &str) -> String {
        const SHOWN: usize = 4;
        let chars: Vec<char> = id.chars().collect();
        match (chars.first_chunk::<SHOWN>(), chars.last_chunk::<SHOWN>()) {
            (Some(first), Some(last)) if chars.len() > 3 * SHOWN => first.iter().chain(&['…']).chain(last).collect(),
            _ => "…".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_shortened() {
        assert_eq!(CredentialsState::shortened("LTAI5tStandInAgent000001"), "LTAI…0001");
        for short in ["", "LTAI", "LTAI12345678", "ééé"] {
            assert_eq!(CredentialsState::shortened(short), "…");
        }
    }
}
