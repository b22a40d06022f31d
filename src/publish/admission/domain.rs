//! The names that the cloud gives an interface endpoint. They end alike, and begin with the endpoint's id:
//!
//! ```text
//! {EndpointId}.{ServiceId or product}.{region}.privatelink.aliyuncs.com
//! {EndpointId}-{ZoneId}.{ServiceId or product}.{region}.privatelink.aliyuncs.com
//! ```
//!
//! A zone's id is its region's and a letter, with or without a hyphen: `cn-hangzhou-h`, `us-east-1a`. (`EndpointDomain`
//! and `ZoneDomain` of the PrivateLink API, ListVpcEndpoints and ListVpcEndpointZones.)
//!
//! What only the cloud knows, such as the service, can't be told from the config: so one endpoint has one of it, and
//! what was admitted first counts. Otherwise every plan could add names.

use std::collections::BTreeMap;

use crate::config::OwnDomains;
use crate::model::{Answer, EndpointId, HostName};

const SUFFIX: &str = ".privatelink.aliyuncs.com";

/// A name that the cloud gave an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Domain<'n> {
    pub(super) id: &'n EndpointId,
    /// All but the first label: the same in every name of the endpoint.
    tail: &'n str,
}

/// The endpoint of `own` whose own domain, or a zone's domain, this may be.
pub(super) fn find<'n>(name: &'n HostName, own: &'n BTreeMap<EndpointId, OwnDomains>) -> Option<Domain<'n>> {
    let (first, tail) = name.as_str().split_once('.')?;
    let (service, region) = tail.strip_suffix(SUFFIX)?.split_once('.')?;
    if service.is_empty() || !is_region(region) {
        return None;
    }
    // The id may hold hyphens as the rest does.
    let mut ends = first.match_indices('-').map(|(at, _)| at).chain([first.len()]);
    ends.find_map(|end| {
        let (id, what) = own.get_key_value(&first[..end].parse::<EndpointId>().ok()?)?;
        let zone = first[end..].strip_prefix('-');
        let fits = fits(what, tail, region) && zone.is_none_or(|zone| has_zone(what, zone, region));
        fits.then_some(Domain { id, tail })
    })
}

fn fits(own: &OwnDomains, tail: &str, region: &str) -> bool {
    let ends_so = |domain: &HostName| domain.as_str().split_once('.').is_some_and(|(_, rest)| rest == tail);
    own.region.as_ref().is_none_or(|known| known == region) && own.domain.as_ref().is_none_or(ends_so)
}

fn has_zone(own: &OwnDomains, zone: &str, region: &str) -> bool {
    let letter = zone.strip_prefix(region).map(|rest| rest.strip_prefix('-').unwrap_or(rest));
    let is_one = letter.is_some_and(|l| matches!(l.as_bytes(), [b'a'..=b'z']));
    is_one && own.zones.iter().any(|named| named.as_str() == zone)
}

/// As in `cn-hangzhou` and `us-east-1`: one label.
fn is_region(text: &str) -> bool {
    text.contains('-') && !text.contains('.') && text.starts_with(|c: char| c.is_ascii_lowercase())
}

/// How the names of each endpoint end.
#[derive(Debug, Default)]
pub(super) struct Tails(BTreeMap<EndpointId, String>);

impl Tails {
    /// As they were admitted.
    pub(super) fn admitted(answers: &BTreeMap<HostName, Answer>, own: &BTreeMap<EndpointId, OwnDomains>) -> Self {
        let mut tails = Self::default();
        for domain in answers.keys().filter_map(|name| find(name, own)) {
            // More than one only if they were admitted under another config.
            let _ = tails.admit(domain);
        }
        tails
    }

    /// Remembers how the endpoint's names end.
    ///
    /// # Errors
    /// They end otherwise: so.
    pub(super) fn admit(&mut self, domain: Domain<'_>) -> Result<(), String> {
        let known = self.0.entry(domain.id.clone()).or_insert_with(|| domain.tail.to_owned());
        if known == domain.tail { Ok(()) } else { Err(known.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, own: OwnDomains) -> bool {
        let own = [("ep-bp1".parse().unwrap(), own)].into();
        find(&name.parse().unwrap(), &own).is_some_and(|domain| domain.id.as_str() == "ep-bp1")
    }

    fn zones(named: &[&str]) -> OwnDomains {
        OwnDomains { zones: named.iter().map(|zone| zone.parse().unwrap()).collect(), ..OwnDomains::default() }
    }

    fn plain(name: &str) -> bool {
        check(name, zones(&["cn-hangzhou-h", "us-east-1a", "cn-hangzhou-hh", "cn-hangzhou", "h"]))
    }

    /// The agent publishes none of the cloud's for zones: those that the config names may be meant by it.
    #[test]
    fn a_zone_that_the_config_does_not_name_has_no_domain() {
        for letter in 'a'..='z' {
            let name = format!("ep-bp1-cn-hangzhou-{letter}.epsrv-bp3x.cn-hangzhou.privatelink.aliyuncs.com");
            assert!(!check(&name, OwnDomains::default()), "{name}");
            assert_eq!(check(&name, zones(&["cn-hangzhou-h"])), letter == 'h', "{name}");
        }
    }

    #[test]
    fn an_endpoint_has_its_own_domain_and_those_of_its_zones() {
        for fine in [
            "ep-bp1.epsrv-bp3x.cn-hangzhou.privatelink.aliyuncs.com",
            "EP-bp1.dashscope.cn-beijing.privatelink.aliyuncs.com.",
            "ep-bp1-cn-hangzhou-h.epsrv-bp3x.cn-hangzhou.privatelink.aliyuncs.com",
            "ep-bp1-us-east-1a.epsrv-bp3x.us-east-1.privatelink.aliyuncs.com",
        ] {
            assert!(plain(fine), "{fine}");
        }
    }

    #[test]
    fn labels_are_compared_whole() {
        for other in [
            "ep-bp12.epsrv-bp3x.cn-hangzhou.privatelink.aliyuncs.com",
            "ep-bp1x.epsrv-bp3x.cn-hangzhou.privatelink.aliyuncs.com",
            "ep-bp.epsrv-bp3x.cn-hangzhou.privatelink.aliyuncs.com",
            "x-ep-bp1.epsrv-bp3x.cn-hangzhou.privatelink.aliyuncs.com",
            "ep-bp1cn-hangzhou-h.epsrv-bp3x.cn-hangzhou.privatelink.aliyuncs.com",
            "ep-bp1-cn-beijing-h.epsrv-bp3x.cn-hangzhou.privatelink.aliyuncs.com",
            "ep-bp1-cn-hangzhou.epsrv-bp3x.cn-hangzhou.privatelink.aliyuncs.com",
            "ep-bp1-cn-hangzhou-hh.epsrv-bp3x.cn-hangzhou.privatelink.aliyuncs.com",
            "ep-bp1-cn-hangzhou-h-2.epsrv-bp3x.cn-hangzhou.privatelink.aliyuncs.com",
            "ep-bp1-h.epsrv-bp3x.cn-hangzhou.privatelink.aliyuncs.com",
            "ep-bp1.cn-hangzhou.privatelink.aliyuncs.com",
            "ep-bp1.a.b.cn-hangzhou.privatelink.aliyuncs.com",
            "a.ep-bp1.epsrv-bp3x.cn-hangzhou.privatelink.aliyuncs.com",
            "ep-bp1.epsrv-bp3x.cn-hangzhou.privatelink.aliyuncs.com.evil",
            "ep-bp1.epsrv-bp3x.cn-hangzhou.privatelinkxaliyuncs.com",
            "ep-bp1.epsrv-bp3x.anything.privatelink.aliyuncs.com",
            "ep-bp1",
        ] {
            assert!(!plain(other), "{other}");
        }
    }

    #[test]
    fn what_the_config_tells_must_hold() {
        let name = |zone: &str, service: &str, region: &str| {
            format!("ep-bp1{zone}.{service}.{region}.privatelink.aliyuncs.com")
        };
        let region = || OwnDomains { region: Some("cn-hangzhou".into()), ..OwnDomains::default() };
        assert!(check(&name("", "s", "cn-hangzhou"), region()));
        assert!(!check(&name("", "s", "cn-beijing"), region()));
        let domain = || OwnDomains { domain: Some(name("", "s", "cn-hangzhou").parse().unwrap()), ..region() };
        assert!(check(&name("", "s", "cn-hangzhou"), domain()));
        assert!(!check(&name("", "t", "cn-hangzhou"), domain()));
        let zones = || OwnDomains { region: region().region, ..zones(&["cn-hangzhou-h"]) };
        assert!(
            check(&name("-cn-hangzhou-h", "s", "cn-hangzhou"), zones())
                && check(&name("", "s", "cn-hangzhou"), zones())
        );
        assert!(!check(&name("-cn-hangzhou-i", "s", "cn-hangzhou"), zones()));
    }
}
