//! Where a product's API answers.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::model::secret_parts::{masked, of_url};
use crate::model::{HostName, NameError};

/// Scheme and authority of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    https: bool,
    authority: String,
}

/// Why a text is no origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Another scheme, or none.
    #[error("expected a host, https://… or http://…, found {0:?}")]
    Scheme(String),
    /// Something behind the host.
    #[error("expected nothing but host and port, found {0:?}")]
    More(String),
    /// Not a host name or address.
    #[error("expected a host name or an address: {0}")]
    Name(#[from] NameError),
    /// Not a port.
    #[error("expected a port, found {0:?}")]
    Port(String),
}

impl Origin {
    /// A host, or a URL of nothing but a host. Without a scheme it is HTTPS.
    ///
    /// # Errors
    /// The situations of [`OriginError`].
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        let (https, rest) = match text.split_once("://") {
            None => (true, text),
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            Some(_) => return Err(OriginError::Scheme(shown(text))),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@']) {
            return Err(OriginError::More(shown(text)));
        }
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
            _ => (rest, None),
        };
        let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        if bracketed.is_none_or(|h| h.parse::<std::net::Ipv6Addr>().is_err()) {
            host.parse::<HostName>()?;
        }
        if let Some(port) = port.filter(|p| p.parse::<u16>().is_err()) {
            return Err(OriginError::Port(shown(port)));
        }
        Ok(Self { https, authority: rest.to_ascii_lowercase() })
    }

    /// The value of the `Host` header, which is signed.
    #[must_use]
    pub fn authority(&self) -> &str {
        let default = if self.https { ":443" } else { ":80" };
        self.authority.strip_suffix(default).unwrap_or(&self.authority)
    }

    /// The URL of a query that is already encoded.
    #[must_use]
    pub fn url(&self, query: &str) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://{}/{}{query}", self.authority(), if query.is_empty() { "" } else { "?" })
    }
}

/// People write whole URLs in the place of a host, and what is in them is theirs.
fn shown(text: &str) -> String {
    masked(text, &of_url(text))
}

/// The hosts of a product, in the order of preference, and which one answered last.
#[derive(Debug)]
pub struct Hosts {
    origins: Vec<Origin>,
    at: AtomicUsize,
}

impl Hosts {
    /// The regional hosts: `{product}-vpc.{region}.aliyuncs.com`, which needs no way to the internet, then
    /// `{product}.{region}.aliyuncs.com`. The rule has no exception in any region that has PrivateLink.
    ///
    /// # Errors
    /// If the region is not one that fits into a host name.
    pub fn regional(product: &str, region: &str) -> Result<Self, OriginError> {
        let public = Origin::parse(&format!("{product}.{region}.aliyuncs.com"))?;
        let vpc = Origin::parse(&format!("{product}-vpc.{region}.aliyuncs.com"))?;
        Ok(Self::new(vpc, vec![public]))
    }

    /// These and no others.
    #[must_use]
    pub fn new(first: Origin, others: Vec<Origin>) -> Self {
        let mut origins = vec![first];
        origins.extend(others);
        Self { origins, at: AtomicUsize::new(0) }
    }

    /// How many there are; at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.origins.len()
    }

    /// The one to ask, `shift` places after the one that answered last; its number, too.
    #[must_use]
    pub fn choose(&self, shift: usize) -> (usize, &Origin) {
        let at = (self.at.load(Ordering::Relaxed) + shift) % self.origins.len();
        (at, &self.origins[at])
    }

    /// That one answered.
    pub fn remember(&self, number: usize) {
        self.at.store(number, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_hosts_and_nothing_more() {
        let url = |text| Origin::parse(text).unwrap().url("a=1");
        assert_eq!(url("Privatelink.cn-hangzhou.aliyuncs.com"), "https://privatelink.cn-hangzhou.aliyuncs.com/?a=1");
        assert_eq!(url("http://127.0.0.1:8080/"), "http://127.0.0.1:8080/?a=1");
        assert_eq!(url("http://[::1]:8080"), "http://[::1]:8080/?a=1");
        assert_eq!(url("https://[::1]"), "https://[::1]/?a=1");
        assert_eq!(Origin::parse("https://a.example:443").unwrap().authority(), "a.example");
        assert_eq!(Origin::parse("https://a.example:80").unwrap().authority(), "a.example:80");
        for odd in
            ["", "ftp://a", "https://a/b", "https://a?b", "https://u:p@a", "a:b", "a:70000", "a b", "::1", "https://"]
        {
            assert!(Origin::parse(odd).is_err(), "{odd:?}");
        }
        let whole_url = Origin::parse("https://u:hunter2@a.example/x?token=hunter2").unwrap_err().to_string();
        let expected = r#"expected nothing but host and port, found "https://[secret]@a.example/x?token=[secret]""#;
        assert_eq!(whole_url, expected);
    }

    #[test]
    fn the_vpc_host_comes_first_and_the_winner_is_remembered() {
        let hosts = Hosts::regional("privatelink", "cn-hangzhou").unwrap();
        let name = |shift| hosts.choose(shift).1.authority();
        assert_eq!(name(0), "privatelink-vpc.cn-hangzhou.aliyuncs.com");
        assert_eq!(name(1), "privatelink.cn-hangzhou.aliyuncs.com");
        assert_eq!(name(2), "privatelink-vpc.cn-hangzhou.aliyuncs.com");
        hosts.remember(hosts.choose(1).0);
        assert_eq!(name(0), "privatelink.cn-hangzhou.aliyuncs.com");
        assert_eq!(name(1), "privatelink-vpc.cn-hangzhou.aliyuncs.com");
    }

    #[test]
    fn a_region_cannot_lead_elsewhere() {
        for region in ["", "evil.example/", "a@b", "a#", "a b", "-", "a\n"] {
            assert!(Hosts::regional("privatelink", region).is_err(), "{region:?}");
        }
    }
}
