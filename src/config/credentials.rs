//! `[cloud.credentials]`, typed: whose keys sign the calls to the cloud.

use std::path::PathBuf;

use crate::model::Secret;

/// `[cloud.credentials]`. What a provider is not told here it takes from the environment, as the official SDKs do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CredentialsConfig {
    /// The default chain of the official SDKs.
    #[default]
    Auto,
    /// Keys in variables.
    Environment,
    /// A role taken on with a service account's token.
    OidcRole(OidcRoleConfig),
    /// A profile of the official command line tool.
    CliConfig(ProfileConfig),
    /// A profile of the shared credentials file.
    CredentialsFile(ProfileConfig),
    /// The role of the instance.
    EcsRole {
        /// `role_name`; looked up if it is not given.
        name: Option<String>,
    },
    /// What a URI answers.
    Uri {
        /// `url`
        url: Option<String>,
    },
    /// These keys.
    AccessKey(AccessKeyConfig),
    /// A role taken on with other keys.
    RamRoleArn {
        /// The keys that the role is taken on with.
        base: BaseConfig,
        /// `role_arn`
        arn: String,
        /// The rest of the role.
        role: RoleConfig,
    },
    /// Of a configuration that was kept: what it names is gone, so there are no keys. No other provider is asked
    /// instead.
    Lost,
}

/// Keys that the configuration names the files of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessKeyConfig {
    /// `access_key_id`
    pub id: String,
    /// What is in `access_key_secret_file`.
    pub secret: Secret,
    /// What is in `security_token_file`.
    pub token: Option<Secret>,
}

/// Whose keys a role is taken on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaseConfig {
    /// Keys that the config names.
    AccessKey(AccessKeyConfig),
    /// Those of the instance's role.
    EcsRole {
        /// `role_name`; looked up if it is not given.
        name: Option<String>,
    },
}

/// A profile in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProfileConfig {
    /// `file`
    pub file: Option<PathBuf>,
    /// `profile`
    pub profile: Option<String>,
}

/// A role that is taken on with a service account's token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcRoleConfig {
    /// `role_arn`
    pub arn: Option<String>,
    /// `oidc_provider_arn`
    pub provider_arn: Option<String>,
    /// `oidc_token_file`: read anew at every refresh.
    pub token_file: Option<PathBuf>,
    /// The rest of the role.
    pub role: RoleConfig,
}

/// How a role is taken on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleConfig {
    /// `role_session_name`
    pub session: Option<String>,
    /// `duration`, in seconds: 900 to 43,200.
    pub seconds: u32,
    /// `policy`: JSON.
    pub policy: Option<String>,
    /// `external_id`
    pub external_id: Option<String>,
    /// `sts_endpoint`: an origin without a slash at the end.
    pub sts_endpoint: Option<String>,
}
