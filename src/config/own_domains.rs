//! What the configuration tells of the names that the cloud gives an endpoint whose own domain is published.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::model::{HostName, ZoneId};

/// Of an endpoint with an `id` and `publish_domain`. A domain or region that is not known may be anything that has the
/// right form; a zone that is not named has no domain of ours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnDomains {
    /// `domain`: then the endpoint has no other.
    pub domain: Option<HostName>,
    /// The region that it is in: `[host].region`, else that of a zone that is named.
    pub region: Option<String>,
    /// Its zones, where `addresses` and `[[endpoint.zone]]` name some.
    pub zones: BTreeSet<ZoneId>,
}

impl OwnDomains {
    /// `region` and `zone` are those of the host: an endpoint is in the region of the host that uses it.
    pub(super) fn new(
        domain: Option<HostName>,
        zones: BTreeSet<ZoneId>,
        region: Option<String>,
        zone: Option<&ZoneId>,
    ) -> Self {
        let named = zone.into_iter().chain(&zones).find_map(region_of);
        Self { domain, region: region.or(named), zones }
    }
}

/// A zone's id is its region's and a letter, with or without a hyphen: `cn-hangzhou-h`, `us-east-1a`.
fn region_of(zone: &ZoneId) -> Option<String> {
    let region = zone.as_str().strip_suffix(|c: char| c.is_ascii_lowercase())?;
    let region = region.strip_suffix('-').unwrap_or(region);
    region.contains('-').then(|| region.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_tells_its_region() {
        for (zone, region) in [
            ("cn-hangzhou-h", Some("cn-hangzhou")),
            ("us-east-1a", Some("us-east-1")),
            ("cn-shanghai-finance-1b", Some("cn-shanghai-finance-1")),
            ("h", None),
            ("zone-1", None),
        ] {
            assert_eq!(region_of(&zone.parse().unwrap()).as_deref(), region, "{zone}");
        }
    }
}
