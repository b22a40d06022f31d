//! Who may do what.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::cloud::stamp::Stamp;

/// A RAM user.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct User {
    /// Access keys by id.
    pub keys: BTreeMap<String, AccessKey>,
    /// What the user may do.
    pub policy: Policy,
}

/// A long-lived access key. Its secret is no secret: it opens nothing but the stand-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessKey {
    /// The secret.
    pub secret: String,
    /// False once somebody has disabled it.
    pub active: bool,
}

/// A RAM role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Role {
    /// Who may assume it: patterns for the ARN of a user, role or OIDC provider, or for a service's name.
    pub trust: BTreeSet<String>,
    /// What its sessions may do.
    pub policy: Policy,
    /// The longest session in seconds.
    pub max_session_seconds: u64,
}

impl Default for Role {
    fn default() -> Self {
        Self { trust: BTreeSet::new(), policy: Policy::default(), max_session_seconds: 3600 }
    }
}

/// An STS session: temporary credentials.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// The secret of its access key.
    pub secret: String,
    /// Its token.
    pub token: String,
    /// The role that was assumed.
    pub role: String,
    /// The name that whoever assumed it gave.
    pub name: String,
    /// Narrows the role's policy, if given.
    pub policy: Option<Policy>,
    /// From when on its token is refused.
    pub expires: Stamp,
}

/// An OIDC provider and the tokens that it has signed; the stand-in compares tokens and opens none.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OidcProvider {
    /// Its issuer.
    pub issuer: String,
    /// Its tokens by their text.
    pub tokens: BTreeMap<String, OidcToken>,
}

/// A token of an OIDC provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcToken {
    /// Whom it is about.
    pub subject: String,
    /// From when on it is refused.
    pub expires: Stamp,
}

/// A policy, in RAM's own JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// "1".
    #[serde(rename = "Version")]
    pub version: String,
    /// Its statements. A denial wins over a permission; what nothing allows is denied.
    #[serde(rename = "Statement")]
    pub statements: Vec<Statement>,
}

/// A statement of a policy. Conditions are not supported, and refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Statement {
    /// What it does.
    pub effect: Effect,
    /// Actions, `privatelink:List*`.
    pub action: OneOrMany,
    /// ARNs, `acs:privatelink:*:*:vpcendpoint/*`.
    pub resource: OneOrMany,
}

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// It allows.
    Allow,
    /// It denies, whatever others allow.
    Deny,
}

/// A text, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Many.
    Many(Vec<String>),
}

/// How a policy decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Allowed,
    /// Nothing allows it.
    ImplicitDeny,
    /// A statement denies it.
    ExplicitDeny,
}

impl Default for Policy {
    fn default() -> Self {
        Self { version: "1".to_owned(), statements: Vec::new() }
    }
}

impl Policy {
    /// Allows these actions on `resource`.
    #[must_use]
    pub fn allow(actions: &[&str], resource: &str) -> Self {
        Self::default().and(Effect::Allow, actions, resource)
    }

    /// With one more statement.
    #[must_use]
    pub fn and(mut self, effect: Effect, actions: &[&str], resource: &str) -> Self {
        let action = OneOrMany::Many(actions.iter().map(|&action| action.to_owned()).collect());
        let resource = OneOrMany::One(resource.to_owned());
        self.statements.push(Statement { effect, action, resource });
        self
    }

    pub(crate) fn decide(&self, action: &str, resource: &str) -> Decision {
        let mut decision = Decision::ImplicitDeny;
        for statement in &self.statements {
            if !statement.action.matches(action, true) || !statement.resource.matches(resource, false) {
                continue;
            }
            match statement.effect {
                Effect::Deny => return Decision::ExplicitDeny,
                Effect::Allow => decision = Decision::Allowed,
            }
        }
        decision
    }
}

impl OneOrMany {
    fn matches(&self, text: &str, any_case: bool) -> bool {
        let one = |pattern: &String| {
            if any_case { fits(&pattern.to_lowercase(), &text.to_lowercase()) } else { fits(pattern, text) }
        };
        match self {
            Self::One(pattern) => one(pattern),
            Self::Many(patterns) => patterns.iter().any(one),
        }
    }
}

/// Whether a text fits a pattern, in which `*` stands for any run of characters and `?` for one.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where to go on after the last star, should what follows it not fit.
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                back = Some((p + 1, t));
                p += 1;
            }
            Some(&c) if c == '?' || text.get(t) == Some(&c) => (p, t) = (p + 1, t + 1),
            _ => match back {
                Some((after, from)) => {
                    (p, t) = (after, from + 1);
                    back = Some((after, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("privatelink:List*", "privatelink:ListVpcEndpoints", true),
            ("privatelink:List*Zones", "privatelink:ListVpcEndpoints", false),
            ("a*b*c", "a-b-b-c", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_denial_wins() {
        let policy = Policy::allow(&["privatelink:*"], "*").and(Effect::Deny, &["privatelink:Get*"], "*/ep-1");
        assert_eq!(policy.decide("privatelink:ListVpcEndpoints", "x"), Decision::Allowed);
        assert_eq!(policy.decide("PrivateLink:GetVpcEndpointAttribute", "acs:x/ep-1"), Decision::ExplicitDeny);
        assert_eq!(policy.decide("privatelink:GetVpcEndpointAttribute", "acs:x/ep-2"), Decision::Allowed);
        assert_eq!(policy.decide("sts:AssumeRole", "x"), Decision::ImplicitDeny);
    }

    #[test]
    fn reads_rams_json() {
        let json = r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"sts:*","Resource":["*"]}]}"#;
        let policy: Policy = serde_json::from_str(json).unwrap();
        assert_eq!(policy.decide("sts:AssumeRole", "x"), Decision::Allowed);
    }
}
