//! Names: what may be published, what endpoints and zones are called.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// Why a string is not a name. Read as "expected …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("expected a name, found an empty string")]
    Empty,
    /// Longer than allowed.
    #[error("expected at most {max} characters, found {found}")]
    TooLong {
        /// The limit.
        max: usize,
        /// What was there.
        found: usize,
    },
    /// A character outside the allowed ones.
    #[error("expected only {allowed}, found {found:?}")]
    BadCharacter {
        /// The allowed ones, in words.
        allowed: &'static str,
        /// The first other one.
        found: char,
    },
    /// A label that is empty, too long, or begins or ends with a hyphen.
    #[error("expected labels of 1 to 63 characters that neither begin nor end with a hyphen, found {0:?}")]
    BadLabel(String),
    /// An endpoint id without its prefix.
    #[error("expected an id that begins with \"ep-\", found {0:?}")]
    NotAnEndpointId(String),
    /// No digest of a plan.
    #[error("expected 32 lower-case hexadecimal digits")]
    NotADigest,
}

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(::std::sync::Arc<str>);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(s: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> Result<String, NameError> = $check;
                Ok(Self(check(s)?.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(s: String) -> Result<Self, NameError> {
                s.parse()
            }
        }

        impl From<$name> for String {
            fn from(n: $name) -> String {
                n.0.as_ref().to_owned()
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(&self.0)
            }
        }

        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

pub(super) use text_type;

text_type!(
    /// A host name that we may publish: letters, digits and hyphens, kept in lower case, without a trailing dot, at
    /// most 253 characters. Resolvers skip or misread anything else in `/etc/hosts`.
    HostName,
    host_name
);

text_type!(
    /// The admin's name for an endpoint: a label in metrics, logs and commands. Lower-case letters, digits, `-` and
    /// `_`, at most 63.
    EndpointName,
    |s| label(s, 63)
);

text_type!(
    /// The cloud's id of an interface endpoint, `ep-…`.
    EndpointId,
    |s| {
        let id = label(s, 64)?;
        if id.len() > 3 && id.starts_with("ep-") { Ok(id) } else { Err(NameError::NotAnEndpointId(id)) }
    }
);

text_type!(
    /// The cloud's id of an availability zone, such as `cn-hangzhou-h`.
    ZoneId,
    |s| label(s, 64)
);

impl HostName {
    /// True for a name without a dot.
    #[must_use]
    pub fn is_single_label(&self) -> bool {
        !self.0.contains('.')
    }
}

fn host_name(s: &str) -> Result<String, NameError> {
    const MAX: usize = 253;
    let s = s.strip_suffix('.').unwrap_or(s);
    check_length(s, MAX)?;
    if let Some(found) = s.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))) {
        return Err(NameError::BadCharacter { allowed: "letters, digits, hyphens and dots", found });
    }
    let good = |l: &str| (1..=63).contains(&l.len()) && !l.starts_with('-') && !l.ends_with('-');
    match s.split('.').find(|l| !good(l)) {
        Some(bad) => Err(NameError::BadLabel(bad.to_owned())),
        None => Ok(s.to_ascii_lowercase()),
    }
}

fn label(s: &str, max: usize) -> Result<String, NameError> {
    check_length(s, max)?;
    match s.chars().find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'))) {
        Some(found) => Err(NameError::BadCharacter { allowed: "lower-case letters, digits, '-' and '_'", found }),
        None => Ok(s.to_owned()),
    }
}

fn check_length(s: &str, max: usize) -> Result<(), NameError> {
    match s.chars().count() {
        0 => Err(NameError::Empty),
        found if found > max => Err(NameError::TooLong { max, found }),
        _ => Ok(()),
    }
}

/// The availability zone of an address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Zone {
    /// The cloud (or the config) told which.
    Known(ZoneId),
    /// Only the endpoint's own domain gave the address. Counts as not local.
    Unknown,
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(id) => id.fmt(f),
            Self::Unknown => f.pad("unknown"),
        }
    }
}

impl From<Zone> for String {
    fn from(z: Zone) -> Self {
        z.to_string()
    }
}

impl TryFrom<String> for Zone {
    type Error = NameError;
    fn try_from(s: String) -> Result<Self, NameError> {
        if s == "unknown" { Ok(Self::Unknown) } else { Ok(Self::Known(s.parse()?)) }
    }
}

/// The host of `host`, `host:port` or `[address]:port`, if that is what it is.
#[must_use]
pub fn host_of(text: &str) -> Option<&str> {
    let port = |port: &str| port.parse::<u16>().is_ok_and(|port| port != 0);
    let (host, rest) = match text.strip_prefix('[') {
        Some(inner) => inner.split_once(']').filter(|(host, _)| host.parse::<Ipv6Addr>().is_ok())?,
        None => text.find(':').map_or((text, ""), |at| text.split_at(at)),
    };
    let good_host = host.parse::<IpAddr>().is_ok() || host.parse::<HostName>().is_ok();
    let good_port = rest.is_empty() || rest.strip_prefix(':').is_some_and(port);
    (good_host && good_port).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_origin_is_found() {
        for (text, host) in [
            ("a.example.com", Some("a.example.com")),
            ("127.0.0.1:8080", Some("127.0.0.1")),
            ("[::1]:80", Some("::1")),
            ("[::1]", Some("::1")),
            ("a.example.com/path", None),
            ("a.example.com:0", None),
            ("a.example.com:x", None),
            ("user@a.example.com", None),
            ("[a]:80", None),
            ("[::1]x", None),
            ("", None),
        ] {
            assert_eq!(host_of(text), host, "{text}");
        }
    }

    #[test]
    fn host_names_are_lower_case_ldh() {
        assert_eq!("GW.Example.COM.".parse::<HostName>().unwrap().as_str(), "gw.example.com");
        for bad in ["", ".", "a..b", "-a.b", "a-.b", "a b", "a\nb", "a#b", "*.b", "ä.b", "a_b.c"] {
            assert!(bad.parse::<HostName>().is_err(), "{bad:?}");
        }
        assert!(format!("{}.com", "a".repeat(64)).parse::<HostName>().is_err());
        assert!(vec!["a"; 128].join(".").parse::<HostName>().is_err());
    }

    #[test]
    fn endpoint_ids_have_their_prefix() {
        assert!("ep-bp1i2x3y4z".parse::<EndpointId>().is_ok());
        assert!("vpc-1".parse::<EndpointId>().is_err());
        assert!("ep-".parse::<EndpointId>().is_err());
    }

    #[test]
    fn zones_survive_json() {
        for zone in [Zone::Unknown, Zone::Known("cn-hangzhou-h".parse().unwrap())] {
            let json = serde_json::to_string(&zone).unwrap();
            assert_eq!(serde_json::from_str::<Zone>(&json).unwrap(), zone);
        }
        assert!(serde_json::from_str::<Zone>("\"a b\"").is_err());
    }
}
