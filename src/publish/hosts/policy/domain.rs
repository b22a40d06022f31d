//! The names that the cloud gives an interface endpoint. They end alike, and begin with the endpoint's id:
//!
//! ```text
//! {EndpointId}.{ServiceId or product}.{region}.privatelink.aliyuncs.com
//! {EndpointId}-{ZoneId}.{ServiceId or product}.{region}.privatelink.aliyuncs.com
//! ```
//!
//! A zone's id is its region's and a letter, with or without a hyphen: `cn-hangzhou-h`, `us-east-1a`. (`EndpointDomain`
//! and `ZoneDomain` of the PrivateLink API, ListVpcEndpoints and ListVpcEndpointZones.)

use crate::model::{EndpointId, HostName};

const SUFFIX: [&str; 3] = ["privatelink", "aliyuncs", "com"];

/// True if `name` is the endpoint domain or a zone domain of this endpoint. Label by label, so that `ep-1` has no part
/// in the names of `ep-12`.
pub(super) fn is_of(name: &HostName, id: &EndpointId) -> bool {
    let labels: Vec<&str> = name.as_str().split('.').collect();
    let [first, _service, region, suffix @ ..] = labels.as_slice() else { return false };
    suffix == SUFFIX && first.strip_prefix(id.as_str()).is_some_and(|zone| zone.is_empty() || is_zone(zone, region))
}

/// `zone` with the hyphen that parts it from the endpoint's id.
fn is_zone(zone: &str, region: &str) -> bool {
    let letter = zone.strip_prefix('-').and_then(|zone| zone.strip_prefix(region));
    let letter = letter.map(|rest| rest.strip_prefix('-').unwrap_or(rest));
    letter.is_some_and(|l| !l.is_empty() && l.bytes().all(|b| b.is_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str) -> bool {
        is_of(&name.parse().unwrap(), &"ep-bp1".parse().unwrap())
    }

    #[test]
    fn an_endpoint_has_its_own_domain_and_those_of_its_zones() {
        for fine in [
            "ep-bp1.epsrv-bp3x.cn-hangzhou.privatelink.aliyuncs.com",
            "EP-bp1.dashscope.cn-beijing.privatelink.aliyuncs.com.",
            "ep-bp1-cn-hangzhou-h.epsrv-bp3x.cn-hangzhou.privatelink.aliyuncs.com",
            "ep-bp1-us-east-1a.epsrv-bp3x.us-east-1.privatelink.aliyuncs.com",
        ] {
            assert!(check(fine), "{fine}");
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
            "ep-bp1-cn-hangzhou-h-2.epsrv-bp3x.cn-hangzhou.privatelink.aliyuncs.com",
            "ep-bp1-h.epsrv-bp3x.cn-hangzhou.privatelink.aliyuncs.com",
            "ep-bp1.cn-hangzhou.privatelink.aliyuncs.com",
            "ep-bp1.a.b.cn-hangzhou.privatelink.aliyuncs.com",
            "a.ep-bp1.epsrv-bp3x.cn-hangzhou.privatelink.aliyuncs.com",
            "ep-bp1.epsrv-bp3x.cn-hangzhou.privatelink.aliyuncs.com.evil",
            "ep-bp1.epsrv-bp3x.cn-hangzhou.privatelinkxaliyuncs.com",
            "ep-bp1",
        ] {
            assert!(!check(other), "{other}");
        }
    }
}
