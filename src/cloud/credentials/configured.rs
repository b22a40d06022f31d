//! Whom `[cloud.credentials]` means.
//!
//! What it does not say is taken from the environment, as the official providers do.

use super::environment::Environment;
use super::provider::Provider;
use super::recipe::{Recipe, Role, StsPlace};
use crate::cloud::sign::Keys;
use crate::config::{AccessKeyConfig, BaseConfig, CredentialsConfig, OidcRoleConfig, ProfileConfig, RoleConfig};
use crate::model::ProviderName;

/// The providers to ask, in their order, and the environment that they find.
#[must_use]
pub fn configured(config: &CredentialsConfig, environment: Environment) -> (Vec<Provider>, Environment) {
    match config {
        CredentialsConfig::Auto => (Provider::CHAIN.to_vec(), environment),
        CredentialsConfig::Environment => (vec![Provider::Environment], environment),
        CredentialsConfig::OidcRole(config) => oidc_role(config, environment),
        CredentialsConfig::CliConfig(ProfileConfig { file, profile }) => {
            let (cli_config, profile) =
                (file.clone().or(environment.cli_config), profile.clone().or(environment.profile));
            (vec![Provider::CliConfig], Environment { cli_config, profile, ..environment })
        }
        CredentialsConfig::CredentialsFile(ProfileConfig { file, profile }) => {
            let credentials_files = file.clone().map_or(environment.credentials_files, |file| vec![file]);
            let profile = profile.clone().or(environment.profile);
            (vec![Provider::CredentialsFile], Environment { credentials_files, profile, ..environment })
        }
        CredentialsConfig::EcsRole { name } => {
            let ecs_role = name.clone().or(environment.ecs_role);
            (vec![Provider::EcsRole], Environment { ecs_role, ..environment })
        }
        CredentialsConfig::Uri { url } => {
            let credentials_uri = url.clone().or(environment.credentials_uri);
            (vec![Provider::Uri], Environment { credentials_uri, ..environment })
        }
        CredentialsConfig::AccessKey(key) => {
            (vec![Provider::Configured(ProviderName::AccessKey, Box::new(given_keys(key)))], environment)
        }
        CredentialsConfig::RamRoleArn { base, arn, role } => {
            let base = match base {
                BaseConfig::AccessKey(key) => given_keys(key),
                BaseConfig::EcsRole { name } => Recipe::EcsRole { role: name.clone() },
            };
            let recipe =
                Recipe::AssumeRole { base: Box::new(base), role: role_to_assume(arn.clone(), role, environment.sts()) };
            (vec![Provider::Configured(ProviderName::RamRoleArn, Box::new(recipe))], environment)
        }
        CredentialsConfig::Lost => (vec![Provider::Lost], environment),
    }
}

fn given_keys(key: &AccessKeyConfig) -> Recipe {
    let AccessKeyConfig { id, secret, token } = key.clone();
    Recipe::Given(Keys { id, secret, token })
}

fn role_to_assume(arn: String, config: &RoleConfig, sts: StsPlace) -> Role {
    let RoleConfig { session, seconds, policy, external_id, sts_endpoint } = config.clone();
    let sts = StsPlace { endpoint: sts_endpoint.or(sts.endpoint), ..sts };
    Role { arn, session, seconds: Some(seconds), policy, external_id, sts }
}

fn oidc_role(config: &OidcRoleConfig, environment: Environment) -> (Vec<Provider>, Environment) {
    let OidcRoleConfig { arn, provider_arn, token_file, role } = config.clone();
    let environment = Environment {
        role_arn: arn.or(environment.role_arn),
        oidc_provider_arn: provider_arn.or(environment.oidc_provider_arn),
        oidc_token_file: token_file.or(environment.oidc_token_file),
        ..environment
    };
    let provider = match environment.oidc_role() {
        Ok(Recipe::OidcRole { role: found, provider_arn, token_file }) => {
            let role = role_to_assume(found.arn, &role, environment.sts());
            let recipe = Recipe::OidcRole { role, provider_arn, token_file };
            Provider::Configured(ProviderName::OidcRole, Box::new(recipe))
        }
        // It says which variable lacks.
        _ => Provider::OidcRole,
    };
    (vec![provider], environment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Secret;

    fn environment() -> Environment {
        let set = [
            ("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::1:role/theirs"),
            ("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "acs:ram::1:oidc-provider/theirs"),
            ("ALIBABA_CLOUD_PROFILE", "theirs"),
            ("ALIBABA_CLOUD_STS_REGION", "cn-beijing"),
        ];
        let lookup = |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Environment::gather(lookup, Some("/home/a".as_ref()))
    }

    fn role() -> RoleConfig {
        RoleConfig {
            session: Some("s".into()),
            seconds: 900,
            policy: Some("{}".into()),
            external_id: None,
            sts_endpoint: Some("https://sts.test".into()),
        }
    }

    #[test]
    fn auto_is_the_official_chain() {
        let (providers, found) = configured(&CredentialsConfig::Auto, environment());
        assert_eq!((providers, found), (Provider::CHAIN.to_vec(), environment()));
    }

    #[test]
    fn what_is_configured_goes_before_the_environment() {
        let file = ProfileConfig { file: Some("/etc/x".into()), profile: Some("ours".into()) };
        let (providers, found) = configured(&CredentialsConfig::CliConfig(file.clone()), environment());
        assert_eq!(providers, [Provider::CliConfig]);
        assert_eq!((found.cli_config, found.profile.as_deref()), (Some("/etc/x".into()), Some("ours")));
        let (_, found) = configured(&CredentialsConfig::CredentialsFile(file), environment());
        assert_eq!(found.credentials_files, [std::path::PathBuf::from("/etc/x")]);
        let (_, found) = configured(&CredentialsConfig::CredentialsFile(ProfileConfig::default()), environment());
        assert_eq!((found.credentials_files.len(), found.profile.as_deref()), (2, Some("theirs")));
    }

    #[test]
    fn a_service_accounts_role_is_put_together_from_both() {
        let config = OidcRoleConfig { arn: None, provider_arn: None, token_file: Some("/t".into()), role: role() };
        let (providers, _) = configured(&CredentialsConfig::OidcRole(config.clone()), environment());
        let [Provider::Configured(ProviderName::OidcRole, recipe)] = providers.as_slice() else {
            panic!("{providers:?}")
        };
        let Recipe::OidcRole { role, provider_arn, .. } = recipe.as_ref() else { panic!("{recipe:?}") };
        assert_eq!(
            (role.arn.as_str(), provider_arn.as_str()),
            ("acs:ram::1:role/theirs", "acs:ram::1:oidc-provider/theirs")
        );
        assert_eq!((role.seconds, role.policy.as_deref()), (Some(900), Some("{}")));
        assert_eq!(role.sts.endpoint.as_deref(), Some("https://sts.test"));
        let lacking = configured(&CredentialsConfig::OidcRole(config), Environment::default()).0;
        assert_eq!(lacking, [Provider::OidcRole]);
    }

    #[test]
    fn a_role_stands_on_keys_or_on_the_instances_role() {
        let key = AccessKeyConfig { id: "LTAI".into(), secret: Secret::new("hunter2".into()), token: None };
        for (base, expected) in [
            (BaseConfig::AccessKey(key.clone()), given_keys(&key)),
            (BaseConfig::EcsRole { name: None }, Recipe::EcsRole { role: None }),
        ] {
            let config = CredentialsConfig::RamRoleArn { base, arn: "acs:ram::1:role/r".into(), role: role() };
            let (providers, _) = configured(&config, environment());
            let [Provider::Configured(ProviderName::RamRoleArn, recipe)] = providers.as_slice() else {
                panic!("{providers:?}")
            };
            let Recipe::AssumeRole { base, role } = recipe.as_ref() else { panic!("{recipe:?}") };
            assert_eq!((base.as_ref(), role.sts.region.as_deref()), (&expected, Some("cn-beijing")));
            assert!(!format!("{providers:?}").contains("hunter2"));
        }
    }
}
