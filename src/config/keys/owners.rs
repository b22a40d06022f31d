//! Keys that not every provider, or not every kind of probe, has.

use crate::model::{ProbeKindName, ProviderName};

/// The word of a provider, or kind of probe, and the keys that not all of them have.
pub type Owner = (&'static str, &'static [&'static str]);

/// The providers of `[cloud.credentials]`; each key belongs to some of them.
#[must_use]
pub fn providers() -> Vec<Owner> {
    ProviderName::WORDS.iter().map(|(word, provider)| (*word, provider_keys(*provider))).collect()
}

/// The kinds of `[endpoint.probe]`.
#[must_use]
pub fn probe_kinds() -> Vec<Owner> {
    ProbeKindName::WORDS.iter().map(|(word, kind)| (*word, probe_keys(*kind))).collect()
}

fn provider_keys(provider: ProviderName) -> &'static [&'static str] {
    match provider {
        ProviderName::Auto | ProviderName::Environment => &[],
        ProviderName::OidcRole => &[
            "role_arn",
            "oidc_provider_arn",
            "oidc_token_file",
            "role_session_name",
            "duration",
            "policy",
            "sts_endpoint",
        ],
        ProviderName::CliConfig | ProviderName::CredentialsFile => &["file", "profile"],
        ProviderName::EcsRole => &["role_name"],
        ProviderName::Uri => &["url"],
        ProviderName::AccessKey => &["access_key_id", "access_key_secret_file", "security_token_file"],
        ProviderName::RamRoleArn => &[
            "access_key_id",
            "access_key_secret_file",
            "security_token_file",
            "role_name",
            "role_arn",
            "role_session_name",
            "duration",
            "policy",
            "external_id",
            "sts_endpoint",
        ],
    }
}

fn probe_keys(kind: ProbeKindName) -> &'static [&'static str] {
    match kind {
        ProbeKindName::Matrixone | ProbeKindName::Mysql => &[
            "server_name",
            "ca_file",
            "expiry_warning",
            "depth",
            "deep_interval",
            "deep_timeout",
            "user",
            "password_file",
            "tls",
            "query",
            "expect",
        ],
        ProbeKindName::Tdengine => &[
            "server_name",
            "path",
            "ca_file",
            "expiry_warning",
            "depth",
            "deep_interval",
            "deep_timeout",
            "user",
            "password_file",
            "token_file",
            "sql",
            "expect",
        ],
        ProbeKindName::Https => &[
            "server_name",
            "method",
            "path",
            "headers",
            "body",
            "expect_status",
            "expect_body",
            "ca_file",
            "expiry_warning",
        ],
        ProbeKindName::Tcp => &[],
    }
}
