//! The one question that the stub is asked before other clients are sent there. Pure.
//!
//! RFC 1035, §4.1: twelve octets of header, one question. By hand, because these are all that is needed of DNS here,
//! and the DNS library stays in the rooms that live by it.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::model::HostName;

/// Octets of a header.
const HEADER: usize = 12;
/// QTYPE A. A name that has only IPv6 addresses answers NOERROR, too, without a record.
const TYPE_A: u16 = 1;
const CLASS_IN: u16 = 1;
/// Larger than what the stub says over UDP.
pub(super) const LARGEST: usize = 1_500;

/// The names that may be registered at present.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    /// Those that have an answer in the agent's plan.
    pub planned: BTreeSet<HostName>,
    /// Those that the config has and the plan lacks: nothing is known of their endpoint yet.
    pub without_answer: BTreeSet<HostName>,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Round {
    /// The servers that serve some name.
    pub(super) servers: Vec<SocketAddr>,
    /// The names that each of those serves.
    pub(super) names: BTreeSet<HostName>,
}

/// A query for the addresses of a name, without recursion.
pub(super) fn query(id: u16, name: &HostName) -> Vec<u8> {
    let mut wire = Vec::with_capacity(HEADER + name.as_str().len() + 6);
    wire.extend(id.to_be_bytes());
    // No flag; one question; no record.
    wire.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    wire.extend(question(name));
    wire
}

fn question(name: &HostName) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name.as_str().split('.') {
        // A label of a HostName has at most 63 octets.
        wire.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
        wire.extend(label.as_bytes());
    }
    wire.push(0);
    wire.extend(TYPE_A.to_be_bytes());
    wire.extend(CLASS_IN.to_be_bytes());
    wire
}

/// Whether the server serves the name, as a packet answers our question; `None` if it answers another one, or none. It
/// does not with any other answer: `REFUSED` from a stub without a plan, say, or not its own (no AA).
pub(super) fn serves(packet: &[u8], id: u16, name: &HostName) -> Option<bool> {
    let (header, rest) = packet.split_at_checked(HEADER)?;
    let is_answer = header[..2] == id.to_be_bytes() && header[2] & 0b1000_0000 != 0 && header[2] & 0b0111_1000 == 0;
    let question = question(name);
    let same = rest.get(..question.len())?.eq_ignore_ascii_case(&question);
    let (authoritative, code) = (header[2] & 0b0000_0100 != 0, header[3] & 0b0000_1111);
    (is_answer && header[4..6] == [0, 1] && same).then_some(authoritative && code == 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> HostName {
        text.parse().unwrap()
    }

    #[test]
    fn the_query_is_what_the_rfc_says() {
        let expected = b"\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02gw\x07example\x00\x00\x01\x00\x01";
        assert_eq!(query(0x1234, &name("gw.example")), expected);
    }

    #[test]
    fn only_an_authoritative_answer_counts() {
        let name = name("gw.example");
        let reply = |second: u8, third: u8| {
            let mut packet = query(7, &name);
            (packet[2], packet[3]) = (second, third);
            packet
        };
        assert_eq!(serves(&reply(0x84, 0), 7, &name), Some(true));
        assert_eq!(serves(&reply(0x84, 0).to_ascii_uppercase(), 7, &name), Some(true));
        assert_eq!(serves(&reply(0x80, 0), 7, &name), Some(false));
        assert_eq!(serves(&reply(0x84, 3), 7, &name), Some(false));
        assert_eq!(serves(&reply(0x80, 5), 7, &name), Some(false));
        assert_eq!(serves(&reply(0x04, 0), 7, &name), None, "a query");
        assert_eq!(serves(&reply(0xa4, 0), 7, &name), None, "NOTIFY");
        assert_eq!(serves(&reply(0x84, 0), 8, &name), None, "another id");
        assert_eq!(serves(&reply(0x84, 0), 7, &"gw.examplf".parse().unwrap()), None);
        assert_eq!(serves(&reply(0x84, 0)[..12], 7, &name), None);
    }

    proptest! {
        #[test]
        fn no_packet_is_too_strange(packet: Vec<u8>, id: u16) {
            let _ = serves(&packet, id, &name("gw.example"));
        }

        /// Cut anywhere within the question it is no answer.
        #[test]
        fn what_is_cut_is_no_answer(cut in 0..28_usize) {
            let name = name("gw.example");
            let mut packet = query(7, &name);
            packet[2] = 0x84;
            prop_assert_eq!(serves(&packet[..cut.min(packet.len() - 1)], 7, &name), None);
        }
    }
}
