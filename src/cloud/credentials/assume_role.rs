//! A role taken on with other keys.

use super::recipe::{Role, WhyNot};
use super::{FetchContext, Got, sts};
use crate::cloud::openapi::Call;
use crate::cloud::sign::Keys;

/// The role's keys.
pub(super) async fn fetch(role: &Role, keys: &Keys, means: &FetchContext) -> Result<Got, WhyNot> {
    let mut params = sts::params(role, means);
    if let Some(id) = &role.external_id {
        params.insert("ExternalId".to_owned(), id.clone());
    }
    let call = Call { action: "AssumeRole", version: sts::VERSION, params: &params, form: b"" };
    sts::ask(&role.sts, keys, &call, means).await
}
