//! The providers of the chain.

use super::environment::Environment;
use super::fetch::{FetchContext, FetchedKeys, follow};
use super::recipe::{Recipe, WhyNot};
use super::{cli_config, file, ini};
use crate::model::ProviderName;

/// One way to find out how keys are got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provider {
    /// Keys in variables.
    Environment,
    /// A role and a service account's token, named by variables.
    OidcRole,
    /// A profile of the official command line tool.
    CliConfig,
    /// A profile of the shared credentials file.
    CredentialsFile,
    /// The role of the instance.
    EcsRole,
    /// A URI, named by a variable.
    Uri,
    /// Our own config, which names this provider.
    Configured(ProviderName, Box<Recipe>),
    /// Our own config, of which what gives the keys is gone.
    Lost,
}

impl Provider {
    /// The default chain of the official SDKs.
    pub const CHAIN: [Self; 6] =
        [Self::Environment, Self::OidcRole, Self::CliConfig, Self::CredentialsFile, Self::EcsRole, Self::Uri];

    /// The word in config, status and messages.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Environment => ProviderName::Environment.label(),
            Self::OidcRole => ProviderName::OidcRole.label(),
            Self::CliConfig => ProviderName::CliConfig.label(),
            Self::CredentialsFile => ProviderName::CredentialsFile.label(),
            Self::EcsRole => ProviderName::EcsRole.label(),
            Self::Uri => ProviderName::Uri.label(),
            Self::Configured(name, _) => name.label(),
            Self::Lost => "config",
        }
    }

    /// Keys, or why there are none.
    pub(super) async fn fetch(&self, environment: &Environment, context: &FetchContext) -> Result<FetchedKeys, WhyNot> {
        let recipe = environment.complete(self.recipe(environment).await?)?;
        follow(&recipe, context).await
    }

    async fn recipe(&self, environment: &Environment) -> Result<Recipe, WhyNot> {
        match self {
            Self::Environment => environment.keys(),
            Self::OidcRole => environment.oidc_role(),
            Self::CliConfig => {
                if environment.cli_config_disabled {
                    return Err(WhyNot::Disabled("ALIBABA_CLOUD_CLI_PROFILE_DISABLED"));
                }
                let path = environment.cli_config.as_deref().ok_or(WhyNot::NotSet("a home directory"))?;
                let json = file::bytes(path).await?;
                cli_config::recipe(&json, environment.profile.as_deref(), &environment.sts())
            }
            Self::CredentialsFile => {
                let text = file::first(&environment.credentials_files).await?;
                let profile = environment.profile.as_deref().unwrap_or(ini::DEFAULT_PROFILE);
                ini::recipe(&text, profile, &environment.sts())
            }
            Self::EcsRole => Ok(Recipe::EcsRole { role: None }),
            Self::Uri => environment.uri(),
            Self::Configured(_, recipe) => Ok((**recipe).clone()),
            Self::Lost => Err(WhyNot::Failed("what the config names for it is gone".to_owned())),
        }
    }
}
