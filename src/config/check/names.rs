//! Names that may be published, and those that must not be.

use super::context::{Bad, Read, Slips};
use super::read;
use crate::config::facts::Environment;
use crate::config::raw::Node;
use crate::model::HostName;

/// Products whose API the agent itself calls: to steer their names would cut us off from what tells us where they are.
/// What is beside them, such as another product that a customer reaches through PrivateLink, is as good as any name.
const API_PRODUCTS: [&str; 2] = ["privatelink", "sts"];

/// Domains under which no name leads to a server, and why.
const NEVER_HOSTS: [(&str, &str); 3] = [
    ("in-addr.arpa", "names under in-addr.arpa tell which name an address has; write the name itself"),
    ("ip6.arpa", "names under ip6.arpa tell which name an address has; write the name itself"),
    ("invalid", "names under invalid never exist (RFC 6761), and resolvers answer so without asking"),
];

/// Why a name must not be steered, or can't be meant to be.
pub(super) struct Refusal {
    pub(super) expected: &'static str,
    pub(super) help: &'static str,
    /// It does no harm ([`super::context::CheckContext::slip`]).
    pub(super) is_slip: bool,
}

/// A name that this host's names may be: see [`refusal`].
pub(super) fn published(node: &Node, slips: &Slips<'_>) -> Read<HostName> {
    if node.text().is_some_and(|t| t.contains('*')) {
        let bad = Bad::new("a whole host name", node).help("a hosts file knows no wildcards; list each name");
        return Err(vec![bad]);
    }
    let name = read::host_name(node, slips)?;
    let refusal = refusal(&name, slips.context.world.environment);
    let bad = |Refusal { expected, help, .. }: &Refusal| Bad::new(*expected, node).help(*help);
    match refusal {
        Some(hard) if !hard.is_slip => Err(vec![bad(&hard)]),
        slip => slips.weigh(name, slip.as_ref().map(bad)),
    }
}

/// What is expected in place of a name, and why, if it is refused.
pub(super) fn refusal(name: &HostName, environment: &Environment) -> Option<Refusal> {
    let text = name.as_str();
    let refuse = |expected, help| Some(Refusal { expected, help, is_slip: false });
    if text == "localhost" || text.ends_with(".localhost") {
        return refuse("a name of the endpoint", "localhost is this host itself");
    }
    if environment.hostname.as_ref() == Some(name) {
        return refuse("a name of the endpoint", "this is the host's own name");
    }
    let lies_in = |domain: &str| text.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    if let Some((_, why)) = NEVER_HOSTS.iter().find(|(domain, _)| lies_in(domain)) {
        return Some(Refusal { expected: "a name of a server", help: why, is_slip: true });
    }
    if name.is_single_label() {
        return refuse("a name with at least one dot", "a single label means another host in each search domain");
    }
    if is_api_host(text) {
        let help = "the agent asks this host of the cloud's API where your endpoints are; steered, it would cut us off";
        return refuse("a name of the endpoint", help);
    }
    None
}

/// `privatelink.cn-hangzhou.aliyuncs.com`, `sts-vpc.cn-hangzhou.aliyuncs.com`, `sts.aliyuncs.com`.
fn is_api_host(name: &str) -> bool {
    let Some(front) = name.strip_suffix(".aliyuncs.com") else { return name == "aliyuncs.com" };
    let (first, region) = front.split_once('.').unwrap_or((front, ""));
    let product = first.strip_suffix("-vpc").unwrap_or(first);
    !region.contains('.') && API_PRODUCTS.contains(&product)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_hosts_are_told_from_endpoint_domains() {
        for api in [
            "sts.aliyuncs.com",
            "sts-vpc.cn-hangzhou.aliyuncs.com",
            "sts.cn-hangzhou.aliyuncs.com",
            "privatelink.aliyuncs.com",
            "privatelink.cn-hangzhou.aliyuncs.com",
            "privatelink-vpc.cn-hangzhou.aliyuncs.com",
        ] {
            assert!(is_api_host(api), "{api}");
        }
        for fine in [
            "ep-1.epsrv-2.cn-hangzhou.privatelink.aliyuncs.com",
            "ep-1-cn-hangzhou-h.epsrv-2.cn-hangzhou.privatelink.aliyuncs.com",
            "bucket.oss-cn-hangzhou.aliyuncs.com",
            "vpc-cn-beijing.dashscope.aliyuncs.com",
            "ecs-cn-hangzhou.aliyuncs.com",
            "pvtz.vpc-proxy.aliyuncs.com",
            "sts.example.com",
            "ecstatic.cn-hangzhou.aliyuncs.com",
        ] {
            assert!(!is_api_host(fine), "{fine}");
        }
    }
}
