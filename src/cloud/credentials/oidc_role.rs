//! A role taken on with a token of an identity provider.

use std::path::Path;

use zeroize::Zeroizing;

use super::file;
use super::recipe::{Role, WhyNot};
use super::{FetchContext, Got, sts};
use crate::cloud::openapi::{Anonymous, Call};
use crate::cloud::sign::{Params, encoded_query};

/// The role's keys. The token is read anew, because whoever put it there replaces it.
pub(super) async fn fetch(role: &Role, provider: &str, token_file: &Path, means: &FetchContext) -> Result<Got, WhyNot> {
    let token = file::text(token_file).await?;
    let mut params = sts::params(role, means);
    let mut set = |name: &str, value: &str| drop(params.insert(name.to_owned(), value.to_owned()));
    set("OIDCProviderArn", provider);
    // Unsigned, the call has the older form, in which these are parameters.
    set("Action", "AssumeRoleWithOIDC");
    set("Version", sts::VERSION);
    set("Format", "JSON");
    set("Timestamp", &means.clock.now().wall.to_string());
    // In the body, so that no log of a URL has it.
    let form = Params::from([("OIDCToken".to_owned(), token.trim().to_owned())]);
    let body = Zeroizing::new(encoded_query(&form));
    form.into_values().map(Zeroizing::new).for_each(drop);
    let call = Call { action: "AssumeRoleWithOIDC", version: sts::VERSION, params: &params, form: body.as_bytes() };
    sts::ask(&role.sts, &Anonymous, &call, means).await
}
