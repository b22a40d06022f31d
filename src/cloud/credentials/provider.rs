//! The providers of the chain.

use super::recipe::{Recipe, WhyNot};
use super::{Environment, FetchContext, Got, assume_role, cli_config, ecs_role, file, ini, oidc_role, uri};

/// Somebody who may know how keys are got.
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
    /// Our own config, with the word that it has there.
    Configured(&'static str, Box<Recipe>),
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
            Self::Environment => "environment",
            Self::OidcRole => "oidc_role",
            Self::CliConfig => "cli_config",
            Self::CredentialsFile => "credentials_file",
            Self::EcsRole => "ecs_role",
            Self::Uri => "uri",
            Self::Configured(word, _) => word,
            Self::Lost => "config",
        }
    }

    /// Keys, or why there are none.
    pub(super) async fn fetch(&self, environment: &Environment, means: &FetchContext) -> Result<Got, WhyNot> {
        let recipe = environment.settle(self.recipe(environment).await?)?;
        follow(&recipe, means).await
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
            Self::EcsRole => environment.ecs_role(),
            Self::Uri => environment.uri(),
            Self::Configured(_, recipe) => Ok((**recipe).clone()),
            Self::Lost => Err(WhyNot::Failed("what the config names for it is gone".to_owned())),
        }
    }
}

/// Follows a recipe: from the bottom of a stack of roles to its top.
async fn follow(recipe: &Recipe, means: &FetchContext) -> Result<Got, WhyNot> {
    let (mut bottom, mut roles) = (recipe, Vec::new());
    while let Recipe::AssumeRole { base, role } = bottom {
        roles.push(role);
        bottom = base;
    }
    let mut got = match bottom {
        Recipe::Given(keys) => Got { keys: keys.clone(), expires: None, rotated: false },
        Recipe::EcsRole { role } => ecs_role::fetch(role.as_deref(), means).await?,
        Recipe::Uri(uri) => uri::fetch(uri, means).await?,
        Recipe::OidcRole { role, provider_arn, token_file } => {
            oidc_role::fetch(role, provider_arn, token_file, means).await?
        }
        // The loop above leaves none.
        Recipe::AssumeRole { .. } => return Err(WhyNot::Failed("roles without a base".to_owned())),
    };
    while let Some(role) = roles.pop() {
        got = assume_role::fetch(role, &got.keys, means).await?;
    }
    Ok(got)
}
