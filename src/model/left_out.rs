//! What was not taken of something that was taken otherwise.

use std::fmt;
use std::net::IpAddr;

use super::limits::{ADDRESSES_A_NAME, ZONES_AN_ENDPOINT};
use super::ranges::BadAddress;

/// What was left out of an answer: it costs itself and nothing else. Bounded, however much that was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// The first bad address, what is wrong with it, and how many there are.
    pub bad: Option<(IpAddr, BadAddress, usize)>,
    /// Addresses over the cap.
    pub addresses: usize,
    /// Zones over the cap.
    pub zones: usize,
}

impl LeftOut {
    /// One more bad address.
    pub fn add_bad(&mut self, address: IpAddr, why: BadAddress) {
        match &mut self.bad {
            Some((.., count)) => *count += 1,
            none => *none = Some((address, why, 1)),
        }
    }

    /// True if all was taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One sentence.
impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bad, addresses, zones } = self;
        let mut parts = Vec::new();
        if let Some((address, why, count)) = bad {
            let more = match count {
                1 => String::new(),
                n => format!(", and so for {} more", n - 1),
            };
            parts.push(format!("{address} is left out: it is {why}{more}"));
        }
        let counted = |n: usize, [one, more]: [&str; 2]| match n {
            1 => format!("1 {one} is left out"),
            n => format!("{n} {more} are left out"),
        };
        if *addresses > 0 {
            let counted = counted(*addresses, ["address", "addresses"]);
            parts.push(format!("{counted}: there may be {ADDRESSES_A_NAME}"));
        }
        if *zones > 0 {
            parts.push(format!("{}: there may be {ZONES_AN_ENDPOINT}", counted(*zones, ["zone", "zones"])));
        }
        f.write_str(&parts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sentence_says_all_that_was_left_out() {
        let mut left_out = LeftOut::default();
        assert!(left_out.is_empty());
        left_out.add_bad("8.8.8.8".parse().unwrap(), BadAddress::Outside);
        assert_eq!(left_out.to_string(), "8.8.8.8 is left out: it is outside allowed_ranges");
        left_out.add_bad("127.0.0.1".parse().unwrap(), BadAddress::Special("a loopback address"));
        (left_out.addresses, left_out.zones) = (3, 2);
        let expected = "8.8.8.8 is left out: it is outside allowed_ranges, and so for 1 more; 3 addresses are left \
                        out: there may be 64; 2 zones are left out: there may be 32";
        assert_eq!(left_out.to_string(), expected);
        let one_of_each = LeftOut { addresses: 1, zones: 1, ..LeftOut::default() };
        let expected = "1 address is left out: there may be 64; 1 zone is left out: there may be 32";
        assert_eq!(one_of_each.to_string(), expected);
    }
}
