//! The role that is attached to this ECS instance.

use super::recipe::WhyNot;
use super::{FetchContext, Got};

/// The role's keys.
pub(super) async fn fetch(role: Option<&str>, means: &FetchContext) -> Result<Got, WhyNot> {
    let failed = |e: crate::cloud::metadata::MetadataError| WhyNot::Failed(e.to_string());
    let name = match role {
        Some(name) => Some(name.to_owned()),
        None => means.metadata.role_name().await.map_err(failed)?,
    };
    let name = name.ok_or_else(|| WhyNot::Failed("no RAM role is attached to this instance".to_owned()))?;
    let found = means.metadata.role_credentials(&name).await.map_err(failed)?;
    Ok(Got { keys: found.keys, expires: Some(found.expires), rotated: true })
}
