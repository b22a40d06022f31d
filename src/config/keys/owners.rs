//! Keys that not every provider, or not every kind of probe, has.

use crate::model::ProbeKindName::{self, Https, Matrixone, Mysql, Tdengine};
use crate::model::ProviderName::{self, AccessKey, CliConfig, CredentialsFile, EcsRole, OidcRole, RamRoleArn, Uri};

/// The word of a provider, or kind of probe, and the keys that not all of them have.
pub type Owner = (&'static str, Vec<&'static str>);

/// Keys, and who has them.
type Owned<K> = (&'static [&'static str], &'static [K]);

const PROVIDER_KEYS: &[Owned<ProviderName>] = &[
    (&["access_key_id", "access_key_secret_file", "security_token_file"], &[AccessKey, RamRoleArn]),
    (&["role_arn", "role_session_name", "duration", "policy", "sts_endpoint"], &[OidcRole, RamRoleArn]),
    (&["external_id"], &[RamRoleArn]),
    (&["oidc_provider_arn", "oidc_token_file"], &[OidcRole]),
    (&["file", "profile"], &[CliConfig, CredentialsFile]),
    (&["role_name"], &[EcsRole, RamRoleArn]),
    (&["url"], &[Uri]),
];

const PROBE_KEYS: &[Owned<ProbeKindName>] = &[
    (&["server_name", "ca_file", "expiry_warning"], &[Matrixone, Mysql, Tdengine, Https]),
    (&["depth", "deep_interval", "deep_timeout"], &[Matrixone, Mysql, Tdengine]),
    (&["user", "password_file", "expect"], &[Matrixone, Mysql, Tdengine]),
    (&["tls", "query"], &[Matrixone, Mysql]),
    (&["token_file", "sql"], &[Tdengine]),
    (&["path"], &[Tdengine, Https]),
    (&["method", "headers", "body", "expect_status", "expect_body"], &[Https]),
];

/// The providers of `[cloud.credentials]`; each key belongs to some of them.
#[must_use]
pub fn providers() -> Vec<Owner> {
    owners(ProviderName::WORDS, PROVIDER_KEYS)
}

/// The kinds of `[endpoint.probe]`.
#[must_use]
pub fn probe_kinds() -> Vec<Owner> {
    owners(ProbeKindName::WORDS, PROBE_KEYS)
}

fn owners<K: PartialEq>(words: &[(&'static str, K)], table: &[Owned<K>]) -> Vec<Owner> {
    let keys_of = |owner: &K| {
        let theirs = table.iter().filter(|(_, owners)| owners.contains(owner));
        theirs.flat_map(|(keys, _)| *keys).copied().collect()
    };
    words.iter().map(|(word, owner)| (*word, keys_of(owner))).collect()
}
