//! The source that asks the cloud's API: one call for the endpoint, one for its zones.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::source::{FoundZone, SourceAnswer, SourceError};
use crate::cloud::openapi::KeySource;
use crate::cloud::privatelink::{EndpointRecord, Filter, Listing, PrivateLink, ZoneRecord};
use crate::model::{CloudFacts, EndpointId, Families, Zone, ZoneFacts, ZoneStatus};

/// The API of one region, and who asks it.
#[derive(Debug)]
pub struct Api<K> {
    /// The client.
    pub client: PrivateLink,
    /// Whose keys sign.
    pub keys: K,
    /// Which addresses are of use.
    pub families: Families,
}

impl<K: KeySource> Api<K> {
    /// What the API says of the endpoint of this id. Filtered by the id, so that a VPC with a thousand endpoints costs
    /// no more, and an endpoint of another VPC of the account is found, too.
    ///
    /// # Errors
    /// [`SourceError`] if it can't tell at present.
    pub async fn find(&self, id: &EndpointId) -> Result<SourceAnswer, SourceError> {
        let endpoints = self.client.endpoints(&self.keys, Filter { id: Some(id), ..Filter::default() }).await?;
        match in_list(id, endpoints)? {
            Some(record) => Ok(from_records(&record, self.client.zones(&self.keys, id).await?, self.families)),
            None => Ok(SourceAnswer { gone: true, ..SourceAnswer::default() }),
        }
    }
}

/// What the list says of one endpoint: `None` if it is gone (pure).
///
/// # Errors
/// The list lacks the endpoint, and something else, too.
pub fn in_list(id: &EndpointId, endpoints: Listing<EndpointRecord>) -> Result<Option<EndpointRecord>, SourceError> {
    let Listing { items, complete } = endpoints;
    match items.into_iter().find(|record| record.id == *id) {
        None if !complete => Err(SourceError::IncompleteList),
        found => Ok(found),
    }
}

/// What the API's records say (pure).
#[must_use]
pub fn from_records(endpoint: &EndpointRecord, zones: Listing<ZoneRecord>, families: Families) -> SourceAnswer {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let cloud = CloudFacts {
        status: said_or_untold(&endpoint.status),
        business: said_or_untold(&endpoint.business),
        connection: said_or_untold(&endpoint.connection),
        service_name: text(&endpoint.service_name),
        region: text(&endpoint.region),
        vpc_id: text(&endpoint.vpc_id),
    };
    let mut found =
        SourceAnswer { gone: cloud.is_deleted(), domain: endpoint.domain.clone(), ..SourceAnswer::default() };
    found.cloud = Some(cloud);
    found.incomplete = (!zones.complete).then_some(SourceError::IncompleteList);
    for record in zones.items {
        let said = found_zone(&record, families);
        let known = found.zones.entry(Zone::Known(record.zone)).or_default();
        // Two network interfaces in one zone are unheard of, and no reason to lose one.
        known.addresses = known.addresses.take().into_iter().chain(said.addresses).reduce(|all, more| &all | &more);
        known.cloud = said.cloud;
        known.gone = said.gone;
    }
    found
}

/// The word for what the cloud did not say is the one that it has for an empty text.
fn said_or_untold<T: Clone + From<String>>(status: &Option<T>) -> T {
    status.clone().unwrap_or_else(|| T::from(String::new()))
}

/// A zone that is on its way keeps what it had until it tells an address; one that is taken down has none.
fn found_zone(record: &ZoneRecord, families: Families) -> FoundZone {
    let status: ZoneStatus = said_or_untold(&record.status);
    let down = matches!(status, ZoneStatus::Disconnected | ZoneStatus::Deleting | ZoneStatus::Deleted);
    let all = [record.ipv4.map(IpAddr::from), record.ipv6.map(IpAddr::from)];
    let told: BTreeSet<IpAddr> = all.into_iter().flatten().filter(|ip| !down && families.has(*ip)).collect();
    FoundZone {
        addresses: Some(told).filter(|told| down || !told.is_empty()),
        gone: matches!(status, ZoneStatus::Deleting | ZoneStatus::Deleted),
        cloud: Some(ZoneFacts { status, eni_id: record.eni_id.clone(), domain: record.domain.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::privatelink::parse;

    const V4: Families = Families { ipv4: true, ipv6: false };

    fn found(endpoint: &str, zones: &str, families: Families) -> SourceAnswer {
        let list = format!(r#"{{"Endpoints":[{endpoint}]}}"#);
        let record = parse::endpoints(list.as_bytes()).unwrap().items.remove(0);
        let mut pages = parse::Pages::default();
        assert_eq!(pages.add(parse::zones(zones.as_bytes()).unwrap()).unwrap(), None);
        from_records(&record, pages.listing(), families)
    }

    const ACTIVE: &str = r#"{"EndpointId":"ep-1","EndpointStatus":"Active","EndpointBusinessStatus":"Normal",
        "ConnectionStatus":"Connected","EndpointDomain":"ep-1.epsrv-1.r.privatelink.aliyuncs.com"}"#;

    fn addresses(found: &SourceAnswer, zone: &str) -> Option<Vec<String>> {
        let zone = &found.zones[&Zone::Known(zone.parse().unwrap())];
        zone.addresses.as_ref().map(|all| all.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn each_status_of_a_zone_has_its_effect() {
        let zones = r#"{"Zones":[
            {"ZoneId":"a","ZoneStatus":"Connected","EniIp":"10.0.0.1","EniId":"eni-1","ZoneIpv6Address":"fd00::1"},
            {"ZoneId":"b","ZoneStatus":"Migrating","EniIp":"10.0.0.2","ZoneIpv6Address":"false"},
            {"ZoneId":"c","ZoneStatus":"Creating"},
            {"ZoneId":"d","ZoneStatus":"Disconnected","EniIp":"10.0.0.4"},
            {"ZoneId":"e","ZoneStatus":"deleting","EniIp":"10.0.0.5"},
            {"ZoneId":"f","ZoneStatus":"Sleeping","EniIp":"10.0.0.6"},
            {"ZoneId":"g","EniIp":"10.0.0.7"}]}"#;
        let v4 = found(ACTIVE, zones, V4);
        let one = |ip: &str| Some(vec![ip.to_owned()]);
        for (zone, expected) in [
            ("a", one("10.0.0.1")),
            ("b", one("10.0.0.2")),
            ("c", None),
            ("d", Some(vec![])),
            ("e", Some(vec![])),
            ("f", one("10.0.0.6")),
            ("g", one("10.0.0.7")),
        ] {
            assert_eq!(addresses(&v4, zone), expected, "{zone}");
        }
        let gone: Vec<_> = v4.zones.iter().filter(|(_, z)| z.gone).map(|(zone, _)| zone.to_string()).collect();
        assert_eq!(gone, ["e"]);
        assert!(!v4.gone && v4.incomplete.is_none());
        assert_eq!(v4.domain.as_ref().unwrap().as_str(), "ep-1.epsrv-1.r.privatelink.aliyuncs.com");
        let both = found(ACTIVE, zones, Families { ipv4: true, ipv6: true });
        assert_eq!(addresses(&both, "a"), Some(vec!["10.0.0.1".to_owned(), "fd00::1".to_owned()]));
        assert_eq!(addresses(&found(ACTIVE, zones, Families { ipv4: false, ipv6: true }), "b"), None);
    }

    #[test]
    fn only_deleted_means_gone() {
        for (status, connection, gone) in [
            ("Active", "Connected", false),
            ("Deleting", "Connected", true),
            ("Active", "ServiceDeleted", true),
            ("Active", "Disconnected", false),
            ("Pending", "Pending", false),
            ("Active", "Deleting", false),
            ("", "", false),
        ] {
            let endpoint =
                format!(r#"{{"EndpointId":"ep-1","EndpointStatus":"{status}","ConnectionStatus":"{connection}"}}"#);
            assert_eq!(found(&endpoint, r#"{"Zones":[]}"#, V4).gone, gone, "{status} {connection}");
        }
    }

    #[test]
    fn a_list_that_lacks_something_says_so() {
        let zones = r#"{"TotalCount":2,"Zones":[{"ZoneId":"a","ZoneStatus":"Connected","EniIp":"10.0.0.1"}]}"#;
        assert_eq!(found(ACTIVE, zones, V4).incomplete, Some(SourceError::IncompleteList));
    }
}
