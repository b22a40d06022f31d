//! The sources that ask the VPC's resolvers for the domain names of an endpoint and of its zones. They need no
//! credentials, and no quota.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use tokio::task::JoinSet;

use super::lookup_pool::LookupPool;
use super::source::{FoundZone, SourceAnswer, SourceError, Wanted};
use crate::cloud::resolve::{Family, ResolveError, Resolver};
use crate::model::{Families, HostName, Zone, ZoneId};

/// Who is asked for domain names, and how.
#[derive(Debug, Clone)]
pub struct Lookups {
    /// Who is asked.
    pub resolver: Resolver,
    /// How many lookups are under way at a time.
    pub pool: LookupPool,
    /// For which addresses.
    pub families: Families,
}

impl Lookups {
    /// What each zone's own domain name says; `None` if there is none.
    pub async fn zone_domains(&self, wanted: Wanted<'_>) -> Option<Result<SourceAnswer, SourceError>> {
        let domains = zone_domains(wanted);
        if domains.is_empty() {
            return None;
        }
        let mut lookups = JoinSet::new();
        for (zone, domain) in domains {
            let (lookup, urgent) = (self.clone(), wanted.urgent);
            lookups.spawn(async move { (zone, lookup.addresses(&domain, urgent).await) });
        }
        let mut found = SourceAnswer::default();
        // A lookup that panics is a fault of the agent's: the panic goes on here.
        for (zone, said) in lookups.join_all().await {
            match said {
                Ok((addresses, ttl)) => {
                    found.ttl = found.ttl.into_iter().chain([ttl]).min();
                    found.zones.insert(Zone::Known(zone), FoundZone::from_addresses(addresses));
                }
                Err(error) => found.incomplete = Some(error.into()),
            }
        }
        Some(match found.incomplete.take() {
            Some(error) if found.zones.is_empty() => Err(error),
            incomplete => Ok(SourceAnswer { incomplete, ..found }),
        })
    }

    /// What the domain name of the whole endpoint says; `None` if it has none. With zone affinity it may give only the
    /// asker's zone.
    pub async fn endpoint_domain(&self, wanted: Wanted<'_>) -> Option<Result<SourceAnswer, SourceError>> {
        let said = self.addresses(domain(wanted)?, wanted.urgent).await;
        let found = |(addresses, ttl)| SourceAnswer {
            zones: [(Zone::Unknown, FoundZone::from_addresses(addresses))].into(),
            ttl: Some(ttl),
            ..SourceAnswer::default()
        };
        Some(said.map(found).map_err(SourceError::from))
    }

    /// Every address of the families in use. A family without an address is no failure if the other has some.
    async fn addresses(&self, name: &HostName, urgent: bool) -> Result<(BTreeSet<IpAddr>, Duration), ResolveError> {
        let wanted = [(self.families.ipv4, Family::V4), (self.families.ipv6, Family::V6)];
        let (mut all, mut shortest, mut first_error) = (BTreeSet::new(), Duration::MAX, None);
        for (_, family) in wanted.into_iter().filter(|(wanted, _)| *wanted) {
            let lookup = self.resolver.addresses(name.as_str(), family);
            match self.pool.run(urgent, self.resolver.sockets(), lookup).await {
                Ok(found) => {
                    all.extend(found.addresses);
                    shortest = shortest.min(found.ttl);
                }
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        match first_error {
            Some(error) if all.is_empty() => Err(error),
            _ => Ok((all, shortest)),
        }
    }
}

/// The one of the config, else the one that the API told.
fn domain(wanted: Wanted<'_>) -> Option<&HostName> {
    wanted.config.domain.as_ref().or_else(|| wanted.known?.domain.as_ref())
}

/// Those that the API told; for other zones that the config names, what the domain of the endpoint makes likely.
fn zone_domains(wanted: Wanted<'_>) -> BTreeMap<ZoneId, HostName> {
    let mut domains = BTreeMap::new();
    for (zone, entry) in wanted.known.into_iter().flat_map(|known| &known.zones) {
        if let (Zone::Known(id), Some(domain)) = (zone, entry.cloud.as_ref().and_then(|c| c.domain.as_ref())) {
            domains.insert(id.clone(), domain.clone());
        }
    }
    for zone in wanted.config.zone_names.keys() {
        let likely = || wanted.config.domain.as_ref().and_then(|domain| zone_domain(domain, zone));
        if let Some(domain) = domains.get(zone).cloned().or_else(likely) {
            domains.insert(zone.clone(), domain);
        }
    }
    domains
}

/// `ep-….epsrv-….region.…` has `ep-…-zone.epsrv-….region.…` for each zone (the API's own documentation).
fn zone_domain(domain: &HostName, zone: &ZoneId) -> Option<HostName> {
    let (first, rest) = domain.as_str().split_once('.')?;
    format!("{first}-{zone}.{rest}").parse().ok().filter(|_| first.starts_with("ep-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domain_of_a_zone_is_that_of_the_endpoint_with_the_zone_in_it() {
        let of = |domain: &str| zone_domain(&domain.parse().unwrap(), &"cn-hangzhou-h".parse().unwrap());
        let expected = "ep-1-cn-hangzhou-h.epsrv-2.cn-hangzhou.privatelink.aliyuncs.com";
        assert_eq!(of("ep-1.epsrv-2.cn-hangzhou.privatelink.aliyuncs.com").unwrap().as_str(), expected);
        assert_eq!(of("db.example.com"), None);
    }
}
