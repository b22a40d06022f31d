//! How keys are got, as an environment, a profile or the config says it.
//!
//! A recipe is a value; following it is another matter.

use std::path::PathBuf;

use crate::cloud::sign::Keys;
use crate::model::Wall;

/// How keys are got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipe {
    /// These keys.
    Given(Keys),
    /// These keys, up to a time.
    Temporary {
        /// The profile that has them.
        profile: String,
        /// The keys.
        keys: Keys,
        /// When they end.
        expires: Wall,
    },
    /// Those of the role that is attached to this ECS instance.
    EcsRole {
        /// The role's name; looked up if not given.
        role: Option<String>,
    },
    /// What a URI answers.
    Uri(String),
    /// A role is taken on, with keys that are got first.
    AssumeRole {
        /// How those are got.
        base: Box<Self>,
        /// The role.
        role: Role,
    },
    /// A role is taken on with a token of an identity provider, such as a Kubernetes service account's.
    OidcRole {
        /// The role.
        role: Role,
        /// The ARN of the identity provider.
        provider_arn: String,
        /// Where the token is; read anew at every refresh, because it is replaced there.
        token_file: PathBuf,
    },
}

/// A role to take on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Role {
    /// `acs:ram::{account}:role/{name}`.
    pub arn: String,
    /// The name that the session has in the audit log; made up if not given.
    pub session: Option<String>,
    /// How long the keys shall last, in seconds; 3600 if not given. STS takes 900 and more.
    pub seconds: Option<u32>,
    /// A policy that narrows the role, as JSON.
    pub policy: Option<String>,
    /// What the role's trust policy may ask for.
    pub external_id: Option<String>,
    /// Which STS is asked.
    pub sts: StsPlace,
}

/// Which STS is asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StsPlace {
    /// A host, or `http://…` for tests; goes before everything else.
    pub endpoint: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// Whether the region's host inside the VPC is asked; only where a region is known.
    pub vpc: bool,
}

/// Why a provider has no recipe, or its recipe no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WhyNot {
    /// It is not meant to.
    #[error("{0} not set")]
    NotSet(&'static str),
    /// It is told not to.
    #[error("disabled by {0}")]
    Disabled(&'static str),
    /// A file can't be read.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why it can't be read.
        reason: String,
    },
    /// A part of a profile is missing.
    #[error("expected {key} in profile {profile:?}, found none")]
    Incomplete {
        /// Which profile.
        profile: String,
        /// What is missing.
        key: &'static str,
    },
    /// Of a profile whose keys end, and that does not tell when in a way that can be read.
    #[error(
        "expected sts_expiration in profile {profile:?} in seconds since 1970, or as 2026-01-01T00:00:00Z, found \
         something else"
    )]
    BadExpiration {
        /// Which profile.
        profile: String,
    },
    /// Of a profile whose keys end, and have ended.
    #[error("the keys of profile {profile:?} ended at {expires}: write newer ones into it, or mend this host's clock")]
    Over {
        /// Which profile.
        profile: String,
        /// When they ended.
        expires: Wall,
    },
    /// There is no such profile.
    #[error("expected a profile {0:?}, found none")]
    NoProfile(String),
    /// A profile of a kind that a daemon can't use.
    #[error("profile {profile:?} is of kind {kind:?}, which needs a person or runs a command")]
    Unsupported {
        /// Which profile.
        profile: String,
        /// Its kind.
        kind: String,
    },
    /// Profiles that stand on one another in a circle.
    #[error("profile {0:?} stands on itself")]
    Circle(String),
    /// Not the format that it should be.
    #[error("expected {expected}, found an error in line {line}")]
    Syntax {
        /// The format.
        expected: &'static str,
        /// From 1.
        line: usize,
    },
    /// It was asked, and the answer was no.
    #[error("{0}")]
    Failed(String),
    /// STS was asked.
    #[error("{action}: {said}")]
    Sts {
        /// For what.
        action: &'static str,
        /// What came of it.
        said: String,
        /// The same for each call that fails so: nothing that belongs to one, such as a request id.
        general: String,
    },
}

impl WhyNot {
    /// The same at each attempt that fails so.
    pub(super) fn in_general(&self) -> String {
        match self {
            Self::Sts { action, general, .. } => format!("{action}: {general}"),
            _ => self.to_string(),
        }
    }

    /// A kind is quoted only if it looks like one: in a damaged file anything may stand there, a secret included.
    pub(super) fn unsupported(profile: &str, kind: &str) -> Self {
        let named = kind.len() <= 32 && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        Self::Unsupported { profile: profile.to_owned(), kind: if named { kind } else { "?" }.to_owned() }
    }
}
