//! What an admin can do where nothing is registered for him: what his resolver must be told. Pure.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::model::HostName;

/// Without it dnsmasq (2.90) answers our names from the hosts file as it was when it last read that, and never asks.
const NO_HOSTS: &str = "\
# dnsmasq reads the hosts file before it asks anybody, and again only at SIGHUP: without this line it would stay on an
# address that is dead. The cost: it serves no other name of the hosts file any more. Programs of this host read that
# file themselves; for others such a name goes here as host-record=NAME,ADDRESS
no-hosts
";

/// How the resolvers that people run beside systemd-resolved are told, with these names and this server.
pub(super) fn advice(names: &BTreeSet<HostName>, server: SocketAddr) -> String {
    let (ip, port) = (server.ip(), server.port());
    // The second, like unbound's private-domain, is for those that refuse private addresses from elsewhere.
    let served = |name| format!("server=/{name}/{ip}#{port}\nrebind-domain-ok=/{name}/\n");
    let dnsmasq: String = names.iter().map(served).collect();
    let private = |name| format!("    domain-insecure: \"{name}\"\n    private-domain: \"{name}\"\n");
    let private: String = names.iter().map(private).collect();
    let zone = |name| format!("stub-zone:\n    name: \"{name}\"\n    stub-addr: {ip}@{port}\n");
    let zones: String = names.iter().map(zone).collect();
    format!(
        "Programs that read the hosts file need nothing of this. For others the resolver of this host has to ask the \
         stub\nfor these names and for no others; privatelinkd changes neither it nor /etc/resolv.conf.\n\
         \n# dnsmasq: /etc/dnsmasq.d/privatelinkd.conf; NetworkManager with dns=dnsmasq: \
         /etc/NetworkManager/dnsmasq.d/privatelinkd.conf\n{NO_HOSTS}{dnsmasq}\
         \n# unbound: /etc/unbound/unbound.conf.d/privatelinkd.conf\nserver:\n    do-not-query-localhost: no\n\
         {private}{zones}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_resolver_gets_its_own_words() {
        let names = ["b.x", "a.x"].map(|n| n.parse().unwrap()).into();
        let text = advice(&names, "127.0.0.153:53".parse().unwrap());
        for line in [
            "no-hosts",
            "server=/a.x/127.0.0.153#53",
            "rebind-domain-ok=/a.x/",
            "server=/b.x/127.0.0.153#53",
            "rebind-domain-ok=/b.x/",
            "    domain-insecure: \"a.x\"",
            "    name: \"b.x\"",
        ] {
            assert_eq!(text.lines().filter(|l| *l == line).count(), 1, "{line} in {text}");
        }
        assert_eq!(text.lines().filter(|l| *l == "    stub-addr: 127.0.0.153@53").count(), 2, "one a name: {text}");
        let why = "# dnsmasq reads the hosts file before it asks anybody, and again only at SIGHUP";
        let (before, after) = (text.find(why).unwrap(), text.find("\nno-hosts\n").unwrap());
        assert!(before < after && after < text.find("# unbound:").unwrap(), "{text}");
        let said = &text[before..text.find("\n\n# unbound:").unwrap()];
        assert!(said.lines().all(|l| l.starts_with('#') || !l.contains(' ')), "settings and comments: {said}");
    }
}
