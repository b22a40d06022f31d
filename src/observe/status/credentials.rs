//! Whose keys sign the calls to the cloud: what there is to tell, and what is not well.

use super::discovery;
use super::schema::{CredentialsReport, TriedReport};
use crate::model::{ApiState, CredentialsState, Now};
use crate::observe::Snapshot;

/// `credentials` of the report; nothing where the API is not asked.
pub(super) fn report(api: &ApiState, now: Now) -> Option<CredentialsReport> {
    let CredentialsState { provider, key_id, expires, tried, failing } = api.credentials.as_ref()?;
    let tried = tried.iter().map(|(provider, why)| TriedReport { provider: (*provider).to_owned(), why: why.clone() });
    Some(CredentialsReport {
        provider: provider.map(ToOwned::to_owned),
        key_id: key_id.clone(),
        expires: expires.map(|at| at.to_string()),
        expires_in_ms: expires.map(|at| at.0.saturating_sub(now.wall.0)),
        tried: tried.collect(),
        failing: failing.clone(),
    })
}

/// No provider has keys, unless the sources say so already, or there are no newer ones. Before any was asked nothing is
/// wrong yet.
pub(super) fn problem(snapshot: &Snapshot) -> Option<String> {
    let CredentialsState { provider, key_id: _, expires, tried, failing } = snapshot.api.credentials.as_ref()?;
    match (provider, failing, tried.as_slice()) {
        (None, _, []) | (Some(_), None, _) => None,
        (None, ..) if discovery::lacks_credentials(snapshot) => None,
        (None, _, [(only, why)]) => Some(format!("no credentials for the cloud's API: {only}: {why}")),
        (None, _, all) => Some(format!("no credentials for the cloud's API: none of {} providers has any", all.len())),
        (Some(provider), Some(why), _) => {
            let until = expires.map(|at| format!(" until {at}")).unwrap_or_default();
            Some(format!("the credentials of {provider} can't be refreshed, the old ones serve{until}: {why}"))
        }
    }
}
