//! `[cloud.credentials]`

use std::time::Duration;

use super::context::{Bad, NOT_KEPT, Read};
use super::origin::{self, Scheme};
use super::section::Section;
use super::{read, secret};
use crate::config::credentials::{
    AccessKeyConfig, BaseConfig, CredentialsConfig, OidcRoleConfig, ProfileConfig, RoleConfig,
};
use crate::config::keys;
use crate::config::raw::Node;
use crate::model::ProviderName;

/// What STS takes at all; a role may allow less than the longest.
const SESSION: std::ops::RangeInclusive<Duration> = Duration::from_secs(900)..=Duration::from_secs(12 * 3600);
/// The longest policy that STS takes is shorter.
const LONGEST_POLICY: usize = 8_000;

/// `[cloud.credentials]`. Of a configuration that was kept, keys that are gone cost the API alone.
pub(super) fn credentials(mut section: Section<'_>) -> Option<CredentialsConfig> {
    let context = section.context;
    let Some(left_out) = context.world.left_out else { return provider(&mut section) };
    let amiss = left_out.contains("[cloud]").then_some(NOT_KEPT);
    context.attempt(|| provider(&mut section), amiss).unwrap_or_else(|why| {
        context.without.borrow_mut().push(format!("the cloud's API: no credentials, because {why}"));
        Some(CredentialsConfig::Lost)
    })
}

fn provider(section: &mut Section<'_>) -> Option<CredentialsConfig> {
    let provider = section.value("provider", |n| read::word(n, ProviderName::WORDS));
    let config = match provider {
        Some(provider) => provider_keys(provider, section),
        None => {
            // Which keys belong here is not known: only those of no provider at all are unknown.
            keys::providers().iter().for_each(|(_, keys)| section.forget(keys));
            None
        }
    };
    section.finish();
    config
}

fn provider_keys(provider: ProviderName, section: &mut Section<'_>) -> Option<CredentialsConfig> {
    Some(match provider {
        ProviderName::Auto => CredentialsConfig::Auto,
        ProviderName::Environment => CredentialsConfig::Environment,
        ProviderName::OidcRole => CredentialsConfig::OidcRole(oidc_role(section)?),
        ProviderName::CliConfig => CredentialsConfig::CliConfig(profile(section)?),
        ProviderName::CredentialsFile => CredentialsConfig::CredentialsFile(profile(section)?),
        ProviderName::EcsRole => CredentialsConfig::EcsRole { name: section.optional("role_name", role_name)? },
        ProviderName::Uri => CredentialsConfig::Uri { url: section.optional("url", url)? },
        ProviderName::AccessKey => CredentialsConfig::AccessKey(access_key(section)?),
        ProviderName::RamRoleArn => {
            let base = base(section);
            let arn = section.required("role_arn", role_arn);
            let external_id = section.optional("external_id", |n| plain(n, "an external id", 1224));
            let role = role(section);
            let role = RoleConfig { external_id: external_id?, ..role? };
            CredentialsConfig::RamRoleArn { base: base?, arn: arn?.value, role }
        }
    })
}

/// Keys if any of theirs is there, else the role of the instance.
fn base(section: &mut Section<'_>) -> Option<BaseConfig> {
    let of_a_key = ["access_key_id", "access_key_secret_file", "security_token_file"];
    if of_a_key.iter().any(|name| section.has(name)) {
        let key = access_key(section);
        let also = section.has("role_name");
        let name = section.read("role_name", role_name);
        if also {
            let bad = Bad::found_at(&name.and_then(|n| n.at), "keys or the role of the instance", "both");
            let help = "the role is taken on with the keys, or with what `role_name` gives";
            section.complain("role_name", bad.help(help));
        }
        return key.map(BaseConfig::AccessKey);
    }
    for name in of_a_key {
        // Only for `check --show`: none of them is there.
        let _ = section.read(name, |_| Read::Ok(()));
    }
    Some(BaseConfig::EcsRole { name: section.optional("role_name", role_name)? })
}

fn access_key(section: &mut Section<'_>) -> Option<AccessKeyConfig> {
    let world = section.context.world;
    let id = section.required("access_key_id", |n| plain(n, "an AccessKey id", 128));
    let secret = section.required("access_key_secret_file", |n| secret::file(n, world));
    let token = section.optional("security_token_file", |n| secret::file(n, world));
    Some(AccessKeyConfig { id: id?.value, secret: secret?.value.secret, token: token?.map(|file| file.secret) })
}

fn profile(section: &mut Section<'_>) -> Option<ProfileConfig> {
    let file = section.optional("file", read::path);
    let profile = section.optional("profile", |n| plain(n, "the name of a profile", 128));
    Some(ProfileConfig { file: file?, profile: profile? })
}

fn oidc_role(section: &mut Section<'_>) -> Option<OidcRoleConfig> {
    let arn = section.optional("role_arn", role_arn);
    let provider_arn = section.optional("oidc_provider_arn", |n| {
        self::arn(n, ":oidc-provider/", "the ARN of an OIDC provider, \"acs:ram::ACCOUNT:oidc-provider/NAME\"")
    });
    let world = section.context.world;
    let token_file = section.optional("oidc_token_file", |n| secret::place(n, world));
    let role = role(section);
    Some(OidcRoleConfig { arn: arn?, provider_arn: provider_arn?, token_file: token_file?, role: role? })
}

fn role(section: &mut Section<'_>) -> Option<RoleConfig> {
    let session = section.optional("role_session_name", session_name);
    let duration = section.value("duration", |n| read::duration(n, SESSION));
    let policy = section.optional("policy", policy);
    let sts_endpoint = section.optional("sts_endpoint", sts_endpoint);
    // The range fits.
    let seconds = u32::try_from(duration?.as_secs()).ok()?;
    Some(RoleConfig { session: session?, seconds, policy: policy?, external_id: None, sts_endpoint: sts_endpoint? })
}

fn sts_endpoint(node: &Node) -> Read<String> {
    const EXPECTED: &str = "an https URL without a path, such as \"https://sts-vpc.cn-hangzhou.aliyuncs.com\"";
    let said = |bad: Bad| Bad { expected: EXPECTED.to_owned(), ..bad };
    origin::origin(node, Scheme::Https).map_err(|all| all.into_iter().map(said).collect())
}

/// Printable ASCII without spaces.
fn plain(node: &Node, what: &str, longest: usize) -> Read<String> {
    let good = |t: &str| (1..=longest).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_graphic());
    read::text_that(node, format!("{what}: printable ASCII without spaces, at most {longest} of it"), good)
}

fn arn(node: &Node, middle: &str, expected: &str) -> Read<String> {
    read::text_that(node, expected, |t| {
        let named = t.strip_prefix("acs:ram::").and_then(|rest| rest.split_once(middle));
        named.is_some_and(|(account, name)| !account.is_empty() && !name.is_empty())
            && t.len() <= 512
            && t.bytes().all(|b| b.is_ascii_graphic())
    })
}

fn role_arn(node: &Node) -> Read<String> {
    arn(node, ":role/", "the ARN of a role, \"acs:ram::ACCOUNT:role/NAME\"")
}

/// Whether a text is of letters, digits and some other characters, and so many of them.
fn has_only(text: &str, others: &[u8], lengths: std::ops::RangeInclusive<usize>) -> bool {
    lengths.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || others.contains(&b))
}

/// It goes into a path of the metadata service.
fn role_name(node: &Node) -> Read<String> {
    const EXPECTED: &str = "the name of a role: letters, digits, `.`, `_` and `-`, at most 64";
    read::text_that(node, EXPECTED, |t| has_only(t, b"._-", 1..=64) && !t.starts_with('.'))
}

fn session_name(node: &Node) -> Read<String> {
    const EXPECTED: &str = "a session name: letters, digits, `.`, `@`, `_` and `-`, 2 to 64";
    read::text_that(node, EXPECTED, |t| has_only(t, b".@_-", 2..=64))
}

fn policy(node: &Node) -> Read<String> {
    let good = |t: &&str| {
        t.len() <= LONGEST_POLICY && serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(t).is_ok()
    };
    let bad = || vec![Bad::wrong_type("a policy in JSON, such as '{\"Version\": \"1\", \"Statement\": []}'", node)];
    node.text().filter(good).map(str::to_owned).ok_or_else(bad)
}

/// Its answer is keys, so a URL with a user or a fragment in it is a misunderstanding.
fn url(node: &Node) -> Read<String> {
    read::text_that(node, "a URL, such as \"http://127.0.0.1:8080/credentials\"", |t| {
        let rest = t.strip_prefix("http://").or_else(|| t.strip_prefix("https://"));
        let host = rest.map(|rest| rest.split(['/', '?']).next().unwrap_or_default());
        t.len() <= 2_000
            && t.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
            && host.and_then(origin::host_of).is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::raw::Value;

    fn text(text: &str) -> Node {
        Node::new(None, Value::Text(text.to_owned()))
    }

    #[test]
    fn shapes() {
        for (good, bad) in [("acs:ram::1:role/r", "acs:ram::1:user/r"), ("acs:ram::1:role/a/b", "acs:ram:::role/r")] {
            assert!(role_arn(&text(good)).is_ok() && role_arn(&text(bad)).is_err(), "{good} {bad}");
        }
        for (good, bad) in [("My.Role_1-x", "a/b"), ("r", "..")] {
            assert!(role_name(&text(good)).is_ok() && role_name(&text(bad)).is_err(), "{good} {bad}");
        }
        for (good, bad) in
            [("http://127.0.0.1:1/x?y=1", "ftp://a.example.com"), ("https://a.example.com", "http://u@a.example.com/")]
        {
            assert!(url(&text(good)).is_ok() && url(&text(bad)).is_err(), "{good} {bad}");
        }
        assert!(policy(&text("{\"Version\": \"1\"}")).is_ok() && policy(&text("[]")).is_err());
        assert!(session_name(&text("a@b")).is_ok() && session_name(&text("a")).is_err());
    }
}
