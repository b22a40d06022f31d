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
pub fn configured(config: &CredentialsConfig, mut environment: Environment) -> (Vec<Provider>, Environment) {
    let provider = match config {
        CredentialsConfig::Auto => return (Provider::CHAIN.to_vec(), environment),
        CredentialsConfig::Environment => Provider::Environment,
        CredentialsConfig::OidcRole(config) => oidc_role(config, &mut environment),
        CredentialsConfig::CliConfig(ProfileConfig { file, profile }) => {
            overwrite(&mut environment.cli_config, file);
            overwrite(&mut environment.profile, profile);
            Provider::CliConfig
        }
        CredentialsConfig::CredentialsFile(ProfileConfig { file, profile }) => {
            if let Some(file) = file {
                environment.credentials_files = vec![file.clone()];
            }
            overwrite(&mut environment.profile, profile);
            Provider::CredentialsFile
        }
        CredentialsConfig::EcsRole { name } => {
            overwrite(&mut environment.ecs_role, name);
            Provider::EcsRole
        }
        CredentialsConfig::Uri { url } => {
            overwrite(&mut environment.credentials_uri, url);
            Provider::Uri
        }
        CredentialsConfig::AccessKey(key) => Provider::Configured(ProviderName::AccessKey, Box::new(given_keys(key))),
        CredentialsConfig::RamRoleArn { base, arn, role } => {
            let base = Box::new(match base {
                BaseConfig::AccessKey(key) => given_keys(key),
                BaseConfig::EcsRole { name } => Recipe::EcsRole { role: name.clone() },
            });
            let role = role_to_assume(arn.clone(), role, environment.sts());
            Provider::Configured(ProviderName::RamRoleArn, Box::new(Recipe::AssumeRole { base, role }))
        }
        CredentialsConfig::Lost => Provider::Lost,
    };
    (vec![provider], environment)
}

/// What the config says goes before what the environment has.
fn overwrite<T: Clone>(found: &mut Option<T>, configured: &Option<T>) {
    if configured.is_some() {
        found.clone_from(configured);
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

fn oidc_role(config: &OidcRoleConfig, environment: &mut Environment) -> Provider {
    let OidcRoleConfig { arn, provider_arn, token_file, role } = config;
    overwrite(&mut environment.role_arn, arn);
    overwrite(&mut environment.oidc_provider_arn, provider_arn);
    overwrite(&mut environment.oidc_token_file, token_file);
    match environment.oidc_role() {
        Ok(Recipe::OidcRole { role: found, provider_arn, token_file }) => {
            let role = role_to_assume(found.arn, role, environment.sts());
            let recipe = Recipe::OidcRole { role, provider_arn, token_file };
            Provider::Configured(ProviderName::OidcRole, Box::new(recipe))
        }
        // It says which variable lacks.
        _ => Provider::OidcRole,
    }
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
