//! The environment that the official SDKs look at, gathered once.
//!
//! Nothing in here reads a variable or a folder by itself: which files count is for the caller that fills this in.
//! Under systemd there is no home directory, and none is searched.

use std::path::{Path, PathBuf};

use super::recipe::{Recipe, Role, StsPlace, WhyNot};
use crate::cloud::sign::Keys;
use crate::model::Secret;

/// What is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// `ALIBABA_CLOUD_ACCESS_KEY_ID`.
    pub access_key_id: Option<String>,
    /// `ALIBABA_CLOUD_ACCESS_KEY_SECRET`.
    pub access_key_secret: Option<Secret>,
    /// `ALIBABA_CLOUD_SECURITY_TOKEN`.
    pub security_token: Option<Secret>,
    /// `ALIBABA_CLOUD_PROFILE`.
    pub profile: Option<String>,
    /// `ALIBABA_CLOUD_ROLE_ARN`.
    pub role_arn: Option<String>,
    /// `ALIBABA_CLOUD_OIDC_PROVIDER_ARN`.
    pub oidc_provider_arn: Option<String>,
    /// `ALIBABA_CLOUD_OIDC_TOKEN_FILE`.
    pub oidc_token_file: Option<PathBuf>,
    /// `ALIBABA_CLOUD_ROLE_SESSION_NAME`.
    pub role_session_name: Option<String>,
    /// `ALIBABA_CLOUD_ECS_METADATA`: the name of the role.
    pub ecs_role: Option<String>,
    /// `ALIBABA_CLOUD_ECS_METADATA_DISABLED`.
    pub ecs_disabled: bool,
    /// `ALIBABA_CLOUD_IMDSV1_DISABLED`: heeded where the [`Metadata`](crate::cloud::metadata::Metadata) is made.
    pub plain_metadata_disabled: bool,
    /// `ALIBABA_CLOUD_CREDENTIALS_URI`.
    pub credentials_uri: Option<String>,
    /// `ALIBABA_CLOUD_STS_REGION`.
    pub sts_region: Option<String>,
    /// `ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED`.
    pub sts_vpc: bool,
    /// `ALIBABA_CLOUD_CLI_PROFILE_DISABLED`.
    pub cli_config_disabled: bool,
    /// The `config.json` of the official command line tool.
    pub cli_config: Option<PathBuf>,
    /// Where the shared credentials file may be, the first that exists counts; `ALIBABA_CLOUD_CREDENTIALS_FILE` alone
    /// if that is set.
    pub credentials_files: Vec<PathBuf>,
}

impl Environment {
    /// Takes the variables from `lookup`, and from `home`, if there is one, the files that the SDKs look for there. An
    /// empty variable counts as not set. White space around a value, such as the newline at the end of a file that a
    /// variable was filled from, is none of it.
    #[must_use]
    pub fn gather(lookup: impl Fn(&str) -> Option<String>, home: Option<&Path>) -> Self {
        let text = |name: &str| lookup(&format!("ALIBABA_CLOUD_{name}")).map(trimmed);
        let text = |name: &str| text(name).filter(|text| !text.is_empty());
        let flag = |name: &str| text(name).is_some_and(|text| text.eq_ignore_ascii_case("true"));
        let credentials_files = match (text("CREDENTIALS_FILE"), home) {
            (Some(file), _) => vec![file.into()],
            // The Node SDK has the first name, the Python SDK the second.
            (None, Some(home)) => ["credentials", "credentials.ini"].map(|f| home.join(".alibabacloud").join(f)).into(),
            (None, None) => Vec::new(),
        };
        Self {
            access_key_id: text("ACCESS_KEY_ID"),
            access_key_secret: text("ACCESS_KEY_SECRET").map(Secret::new),
            security_token: text("SECURITY_TOKEN").map(Secret::new),
            profile: text("PROFILE"),
            role_arn: text("ROLE_ARN"),
            oidc_provider_arn: text("OIDC_PROVIDER_ARN"),
            oidc_token_file: text("OIDC_TOKEN_FILE").map(PathBuf::from),
            role_session_name: text("ROLE_SESSION_NAME"),
            ecs_role: text("ECS_METADATA"),
            ecs_disabled: flag("ECS_METADATA_DISABLED"),
            plain_metadata_disabled: flag("IMDSV1_DISABLED"),
            credentials_uri: text("CREDENTIALS_URI"),
            sts_region: text("STS_REGION"),
            sts_vpc: flag("VPC_ENDPOINT_ENABLED"),
            cli_config_disabled: flag("CLI_PROFILE_DISABLED"),
            cli_config: home.map(|home| home.join(".aliyun/config.json")),
            credentials_files,
        }
    }

    /// The first provider: keys in variables.
    ///
    /// # Errors
    /// Which variable is not set.
    pub fn keys(&self) -> Result<Recipe, WhyNot> {
        let id = self.access_key_id.clone().ok_or(WhyNot::NotSet("ALIBABA_CLOUD_ACCESS_KEY_ID"))?;
        let secret = self.access_key_secret.clone().ok_or(WhyNot::NotSet("ALIBABA_CLOUD_ACCESS_KEY_SECRET"))?;
        Ok(Recipe::Given(Keys { id, secret, token: self.security_token.clone() }))
    }

    /// The second: a role taken on with the token of a service account.
    ///
    /// # Errors
    /// Which of the three variables is not set.
    pub fn oidc_role(&self) -> Result<Recipe, WhyNot> {
        let arn = self.role_arn.clone().ok_or(WhyNot::NotSet("ALIBABA_CLOUD_ROLE_ARN"))?;
        let provider = self.oidc_provider_arn.clone().ok_or(WhyNot::NotSet("ALIBABA_CLOUD_OIDC_PROVIDER_ARN"))?;
        let token_file = self.oidc_token_file.clone().ok_or(WhyNot::NotSet("ALIBABA_CLOUD_OIDC_TOKEN_FILE"))?;
        let role = Role { arn, session: self.role_session_name.clone(), sts: self.sts(), ..Role::default() };
        Ok(Recipe::OidcRole { role, provider_arn: provider, token_file })
    }

    /// What a profile leaves open, and whether it may be followed here: the official providers look at the same
    /// variables in every provider.
    ///
    /// # Errors
    /// If it stands on the role of the instance, and that is disabled.
    pub fn complete(&self, recipe: Recipe) -> Result<Recipe, WhyNot> {
        let named = |role: Role| Role { session: role.session.or_else(|| self.role_session_name.clone()), ..role };
        Ok(match recipe {
            Recipe::AssumeRole { base, role } => {
                Recipe::AssumeRole { base: Box::new(self.complete(*base)?), role: named(role) }
            }
            Recipe::OidcRole { role, provider_arn, token_file } => {
                Recipe::OidcRole { role: named(role), provider_arn, token_file }
            }
            Recipe::EcsRole { .. } if self.ecs_disabled => {
                return Err(WhyNot::Disabled("ALIBABA_CLOUD_ECS_METADATA_DISABLED"));
            }
            Recipe::EcsRole { role } => Recipe::EcsRole { role: role.or_else(|| self.ecs_role.clone()) },
            Recipe::Given(_) | Recipe::Temporary { .. } | Recipe::Uri(_) => recipe,
        })
    }

    /// The last: a URI.
    ///
    /// # Errors
    /// If there is none.
    pub fn uri(&self) -> Result<Recipe, WhyNot> {
        self.credentials_uri.clone().map(Recipe::Uri).ok_or(WhyNot::NotSet("ALIBABA_CLOUD_CREDENTIALS_URI"))
    }

    /// Which STS to ask where a profile does not say.
    #[must_use]
    pub fn sts(&self) -> StsPlace {
        StsPlace { endpoint: None, region: self.sts_region.clone(), vpc: self.sts_vpc }
    }
}

/// In place: of a secret no copy is left behind.
fn trimmed(mut text: String) -> String {
    text.truncate(text.trim_end().len());
    text.drain(..text.len() - text.trim_start().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gather(set: &[(&str, &str)], home: Option<&str>) -> Environment {
        let lookup = |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Environment::gather(lookup, home.map(Path::new))
    }

    #[test]
    fn without_a_home_no_file_counts() {
        let environment = gather(&[], None);
        assert_eq!(environment, Environment::default());
        assert_eq!(environment.keys(), Err(WhyNot::NotSet("ALIBABA_CLOUD_ACCESS_KEY_ID")));
        assert_eq!(environment.oidc_role(), Err(WhyNot::NotSet("ALIBABA_CLOUD_ROLE_ARN")));
        let ecs_role = || Recipe::EcsRole { role: None };
        assert_eq!(environment.complete(ecs_role()), Ok(ecs_role()));
        assert_eq!(environment.uri(), Err(WhyNot::NotSet("ALIBABA_CLOUD_CREDENTIALS_URI")));
    }

    #[test]
    fn white_space_around_a_value_is_none_of_it() {
        let (id, secret) = ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET");
        let environment = gather(&[(id, " LTAI1\r\n"), (secret, "hunter2\n"), ("ALIBABA_CLOUD_PROFILE", "\n")], None);
        assert_eq!(environment.access_key_id.as_deref(), Some("LTAI1"));
        assert_eq!(environment.access_key_secret.as_ref().map(Secret::expose), Some("hunter2"));
        assert_eq!(environment.profile, None);
    }

    #[test]
    fn a_named_file_goes_before_the_homes() {
        let at_home = gather(&[("ALIBABA_CLOUD_CREDENTIALS_FILE", "")], Some("/home/a"));
        assert_eq!(at_home.cli_config, Some("/home/a/.aliyun/config.json".into()));
        let files: [PathBuf; 2] =
            ["/home/a/.alibabacloud/credentials".into(), "/home/a/.alibabacloud/credentials.ini".into()];
        assert_eq!(at_home.credentials_files, files);
        let named = gather(&[("ALIBABA_CLOUD_CREDENTIALS_FILE", "/etc/x")], Some("/home/a"));
        assert_eq!(named.credentials_files, [PathBuf::from("/etc/x")]);
    }

    #[test]
    fn keys_may_have_a_token_and_show_none() {
        let set = [
            ("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAI"),
            ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "hunter2"),
            ("ALIBABA_CLOUD_SECURITY_TOKEN", "hunter3"),
            ("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "TRUE"),
        ];
        let environment = gather(&set, None);
        let Ok(Recipe::Given(keys)) = environment.keys() else { panic!("{environment:?}") };
        assert_eq!(keys.token, Some(Secret::new("hunter3".into())));
        assert!(!format!("{environment:?}").contains("hunter"));
        let disabled = environment.complete(Recipe::EcsRole { role: None });
        assert_eq!(disabled, Err(WhyNot::Disabled("ALIBABA_CLOUD_ECS_METADATA_DISABLED")));
    }

    #[test]
    fn what_a_profile_leaves_open_is_filled_in() {
        let role = || Role { arn: "acs:ram::1:role/r".into(), ..Role::default() };
        let chain = || Recipe::AssumeRole { base: Box::new(Recipe::EcsRole { role: None }), role: role() };
        let set = [("ALIBABA_CLOUD_ROLE_SESSION_NAME", "s"), ("ALIBABA_CLOUD_ECS_METADATA", "Reader")];
        let Ok(Recipe::AssumeRole { base, role: taken }) = gather(&set, None).complete(chain()) else { panic!() };
        assert_eq!(taken.session.as_deref(), Some("s"));
        assert_eq!(*base, Recipe::EcsRole { role: Some("Reader".into()) });
        let named = Role { session: Some("own".into()), ..role() };
        let oidc = Recipe::OidcRole { role: named, provider_arn: "p".into(), token_file: "/t".into() };
        assert_eq!(gather(&set, None).complete(oidc.clone()), Ok(oidc));
        let off = gather(&[("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")], None);
        assert_eq!(off.complete(chain()), Err(WhyNot::Disabled("ALIBABA_CLOUD_ECS_METADATA_DISABLED")));
    }

    #[test]
    fn the_token_of_a_service_account_needs_three_variables() {
        let set = [
            ("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::1:role/r"),
            ("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "acs:ram::1:oidc-provider/p"),
            ("ALIBABA_CLOUD_OIDC_TOKEN_FILE", "/var/run/token"),
            ("ALIBABA_CLOUD_STS_REGION", "cn-hangzhou"),
            ("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED", "true"),
        ];
        let Ok(Recipe::OidcRole { role, token_file, .. }) = gather(&set, None).oidc_role() else { panic!() };
        assert_eq!(token_file, Path::new("/var/run/token"));
        assert_eq!(role.sts, StsPlace { endpoint: None, region: Some("cn-hangzhou".into()), vpc: true });
        assert!(gather(&set[1..], None).oidc_role().is_err());
        assert!(gather(&set[..2], None).oidc_role().is_err());
    }
}
