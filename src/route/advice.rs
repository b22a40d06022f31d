//! What an admin can do where nothing is registered for him: what his resolver must be told. Pure.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::model::HostName;

/// How the resolvers that people run beside systemd-resolved are told, with these names and this server.
pub(super) fn advice(names: &BTreeSet<HostName>, server: SocketAddr) -> String {
    let (ip, port) = (server.ip(), server.port());
    let dnsmasq: String = names.iter().map(|name| format!("server=/{name}/{ip}#{port}\n")).collect();
    let private = |name| format!("    domain-insecure: \"{name}\"\n    private-domain: \"{name}\"\n");
    let private: String = names.iter().map(private).collect();
    let zone = |name| format!("stub-zone:\n    name: \"{name}\"\n    stub-addr: {ip}@{port}\n");
    let zones: String = names.iter().map(zone).collect();
    format!(
        "Programs that read the hosts file need nothing of this. For others the resolver of this host has to ask the \
         stub\nfor these names and for no others; privatelinkd changes neither it nor /etc/resolv.conf.\n\
         \n# dnsmasq: /etc/dnsmasq.d/privatelinkd.conf; NetworkManager with dns=dnsmasq: \
         /etc/NetworkManager/dnsmasq.d/privatelinkd.conf\n{dnsmasq}\
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
            "server=/a.x/127.0.0.153#53",
            "server=/b.x/127.0.0.153#53",
            "    domain-insecure: \"a.x\"",
            "    name: \"b.x\"",
            "    stub-addr: 127.0.0.153@53",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in {text}");
        }
    }
}
