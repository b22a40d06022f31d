//! What is not well with what discovery found, in sentences.

use std::collections::BTreeMap;

use crate::model::shown::few;
use crate::model::{CloudFacts, Endpoint, EndpointName, Freshness, NO_CREDENTIALS, SourceKind};
use crate::observe::Snapshot;

/// What sources and the cloud itself say is wrong with an endpoint.
pub(super) fn found(snapshot: &Snapshot) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, endpoint) in snapshot.inventory.configured() {
        problems.extend(endpoint.not_found.iter().map(|kind| not_found(snapshot, (name, endpoint), *kind)));
        if endpoint.names.is_empty() && endpoint.not_found.is_empty() && !endpoint.has_addresses() {
            problems.push(format!("{name}: no address is known yet"));
        }
        problems.extend(gone(endpoint).map(|fate| format!("{name}: the endpoint is gone; {fate}")));
        let trouble = endpoint.cloud.as_ref().and_then(CloudFacts::trouble);
        problems.extend(trouble.map(|trouble| format!("{name}: {trouble}")));
        let zones = endpoint.zones.iter().filter_map(|(zone, e)| Some((zone, e.cloud.as_ref()?.trouble()?)));
        problems.extend(zones.map(|(zone, trouble)| format!("{name}: {zone}: {trouble}")));
        problems.extend(endpoint.left_out.iter().map(|(kind, what)| format!("{name}: source {kind}: {what}")));
        let barred = endpoint.barred.iter().next();
        problems.extend(barred.map(|(address, why)| {
            let more = match endpoint.barred.len() {
                1 => String::new(),
                n => format!(", and so for {} more", n - 1),
            };
            format!("{name}: {address} is not probed any more: it is {why}{more}")
        }));
    }
    problems
}

/// What becomes of the names of an endpoint that the cloud no longer has.
fn gone(endpoint: &Endpoint) -> Option<&'static str> {
    endpoint.missing?.confirmed?;
    Some(if endpoint.proves_itself {
        "its names go after the grace; if it still proves its name by then, a day later at most"
    } else {
        "its names go, too, after the grace"
    })
}

/// It was never there. What to compare.
fn not_found(snapshot: &Snapshot, (name, endpoint): (&EndpointName, &Endpoint), kind: SourceKind) -> String {
    let shown = |text: Option<String>| text.map(|text| format!(" {text}")).unwrap_or_default();
    match kind {
        SourceKind::Api => {
            let id = shown(endpoint.id.as_ref().map(ToString::to_string));
            let region = shown(snapshot.host.region.clone());
            let keys = snapshot.api.credentials.as_ref();
            let whose = [keys.and_then(|k| k.provider.map(str::to_owned)), keys.and_then(|k| k.key_id.clone())];
            let whose = whose.into_iter().flatten().collect::<Vec<_>>().join(" ");
            let whose = if whose.is_empty() { whose } else { format!(" ({whose})") };
            format!(
                "{name}: not found: the API has no endpoint{id} in the region{region} of the account whose keys \
                 sign{whose}; compare id, region and account with the console"
            )
        }
        SourceKind::Fixed | SourceKind::ZoneDomain | SourceKind::EndpointDomain => {
            let domain = shown(endpoint.domain.as_ref().map(ToString::to_string));
            format!(
                "{name}: not found: the resolvers know no domain{domain}; compare it with the endpoint's page in the \
                 console"
            )
        }
    }
}

/// Sources of configured endpoints that fail: what concerns many of them is one problem.
pub(super) fn sources(snapshot: &Snapshot) -> Vec<String> {
    let mut stale: BTreeMap<(SourceKind, &str), Vec<&EndpointName>> = BTreeMap::new();
    for (name, endpoint) in snapshot.inventory.configured() {
        for (source, freshness) in &endpoint.sources {
            if let Freshness::Stale { error, .. } = freshness {
                stale.entry((*source, error)).or_default().push(name);
            }
        }
    }
    let problem = |((source, error), names): ((SourceKind, &str), Vec<&EndpointName>)| {
        format!("{}: source {source} is stale: {error}", few(&names))
    };
    stale.into_iter().map(problem).collect()
}

/// Whether the sources say already that there is nothing to sign calls with, and to whom that matters.
pub(super) fn lacks_credentials(snapshot: &Snapshot) -> bool {
    let of_api = snapshot.inventory.configured().filter_map(|(_, endpoint)| endpoint.sources.get(&SourceKind::Api));
    let mut errors = of_api.filter_map(|freshness| match freshness {
        Freshness::Stale { error, .. } => Some(error),
        Freshness::Fresh { .. } => None,
    });
    errors.any(|error| error.starts_with(NO_CREDENTIALS))
}
