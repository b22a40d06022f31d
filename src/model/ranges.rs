//! Which addresses may be probed and published.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Kinds of addresses: those that are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Families {
    /// A records.
    pub ipv4: bool,
    /// AAAA records.
    pub ipv6: bool,
}

impl Families {
    /// True if addresses of this kind are published.
    #[must_use]
    pub fn has(self, address: IpAddr) -> bool {
        if address.is_ipv4() { self.ipv4 } else { self.ipv6 }
    }
}

/// Ranges that are never for an endpoint, unless an allowed range lies within one and so names it.
const SPECIAL: [(&str, IpNet); 11] = [
    ("a loopback address", v4(127, 0, 8)),
    ("a link-local address", v4(169, 254, 16)),
    ("a multicast address", v4(224, 0, 4)),
    ("an unspecified address", v4(0, 0, 8)),
    ("a reserved or broadcast address", v4(240, 0, 4)),
    ("an address of the cloud's own services", v4(100, 100, 16)),
    ("a loopback address", v6([0, 0, 0, 0, 0, 0, 0, 1], 128)),
    ("an unspecified address", v6([0; 8], 128)),
    ("a link-local address", v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10)),
    ("a multicast address", v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8)),
    ("an IPv4 address in IPv6 clothes", v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96)),
];

const fn v4(a: u8, b: u8, length: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, 0, 0), length))
}

const fn v6(s: [u16; 8], length: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]), length))
}

/// Why an address is left out. The text follows "ADDRESS is".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// Not in `allowed_ranges`.
    #[error("outside allowed_ranges")]
    Outside,
    /// In a range that must be allowed by name: it is never even probed.
    #[error("{0}, and no allowed range is for just these")]
    Special(&'static str),
}

/// Judges an address by `hosts.allowed_ranges`.
///
/// # Errors
/// Why it may not be published. What is [`BadAddress::Special`] may not be probed either.
pub fn judge(address: IpAddr, allowed: &[IpNet]) -> Result<(), BadAddress> {
    let special = SPECIAL.iter().find(|(_, net)| net.contains(&address));
    let mut allowing = allowed.iter().filter(|range| range.contains(&address));
    match special {
        Some((what, net)) if !allowing.any(|range| net.contains(range)) => Err(BadAddress::Special(what)),
        None if allowing.next().is_none() => Err(BadAddress::Outside),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_need_a_range_of_their_own() {
        let judge = |ranges: &[&str], a: &str| {
            let ranges: Vec<IpNet> = ranges.iter().map(|r| r.parse().unwrap()).collect();
            judge(a.parse().unwrap(), &ranges).is_ok()
        };
        let all = ["0.0.0.0/0", "::/0"];
        for special in [
            "127.0.0.1",
            "169.254.1.1",
            "224.0.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "100.100.2.136",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(!judge(&all, special), "{special}");
        }
        for fine in ["8.8.8.8", "100.101.0.1", "2001:db8::1"] {
            assert!(judge(&all, fine), "{fine}");
        }
        let named = ["127.0.0.0/8", "100.100.7.0/24"];
        assert!(judge(&named, "127.1.2.3") && judge(&named, "100.100.7.1"));
        assert!(!judge(&named, "100.100.2.136") && !judge(&named, "10.0.0.1"));
        let wider = ["100.64.0.0/10"];
        assert!(judge(&wider, "100.64.0.1") && !judge(&wider, "100.100.0.1"), "a wider range does not name them");
    }
}
