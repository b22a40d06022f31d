//! Names that may be published, and those that must not be.

use super::context::{Bad, Read};
use super::read;
use crate::config::facts::Environment;
use crate::config::raw::Node;
use crate::model::HostName;

/// Products whose API the agent itself, or the tools beside it, call: to steer their names would cut us off.
/// Sources: the endpoint lists of the SDKs; `-vpc`, `-internal` and region forms are covered by [`is_api_host`].
const API_PRODUCTS: &[&str] = &["alidns", "ecs", "location", "privatelink", "pvtz", "ram", "sts", "vpc"];

/// A name that this host's names may be: see [`refusal`].
pub(super) fn published(node: &Node, environment: &Environment) -> Read<HostName> {
    if node.text().is_some_and(|t| t.contains('*')) {
        let bad = Bad::new("a whole host name", node).help("a hosts file knows no wildcards; list each name");
        return Err(vec![bad]);
    }
    let name = read::host_name(node)?;
    match refusal(&name, environment) {
        None => Ok(name),
        Some((expected, help)) => Err(vec![Bad::new(expected, node).help(help)]),
    }
}

/// Why a name must not be steered, if so: what is expected, and why.
pub(super) fn refusal(name: &HostName, environment: &Environment) -> Option<(&'static str, &'static str)> {
    let text = name.as_str();
    if text == "localhost" || text.ends_with(".localhost") {
        return Some(("a name of the endpoint", "localhost is this host itself"));
    }
    if environment.hostname.as_ref() == Some(name) {
        return Some(("a name of the endpoint", "this is the host's own name"));
    }
    if name.is_single_label() {
        return Some(("a name with at least one dot", "a single label means another host in each search domain"));
    }
    if is_api_host(text) {
        let help = "this is a host of the cloud's API, not of an endpoint; endpoint domains begin with \"ep-\"";
        return Some(("a name of the endpoint", help));
    }
    None
}

/// `sts.aliyuncs.com`, `ecs-cn-hangzhou.aliyuncs.com`, `privatelink-vpc.cn-hangzhou.aliyuncs.com`,
/// `pvtz.vpc-proxy.aliyuncs.com`, …
fn is_api_host(name: &str) -> bool {
    let Some(front) = name.strip_suffix(".aliyuncs.com") else { return name == "aliyuncs.com" };
    let mut labels = front.split('.');
    let first = labels.next().unwrap_or_default();
    let product = |p: &str| first.strip_prefix(p).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    labels.count() <= 1 && API_PRODUCTS.iter().any(|p| product(p))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_hosts_are_told_from_endpoint_domains() {
        for api in [
            "sts.aliyuncs.com",
            "sts-vpc.cn-hangzhou.aliyuncs.com",
            "ecs-cn-hangzhou.aliyuncs.com",
            "privatelink.cn-hangzhou.aliyuncs.com",
            "privatelink-vpc.cn-hangzhou.aliyuncs.com",
            "pvtz.vpc-proxy.aliyuncs.com",
        ] {
            assert!(is_api_host(api), "{api}");
        }
        for fine in [
            "ep-1.epsrv-2.cn-hangzhou.privatelink.aliyuncs.com",
            "ep-1-cn-hangzhou-h.epsrv-2.cn-hangzhou.privatelink.aliyuncs.com",
            "bucket.oss-cn-hangzhou.aliyuncs.com",
            "ecs.example.com",
            "ecstatic.cn-hangzhou.aliyuncs.com",
        ] {
            assert!(!is_api_host(fine), "{fine}");
        }
    }
}
