//! The hot path: answers that were written beforehand. Pure.
//!
//! For each published name the [reference](super::reference) writes its replies once a plan; a query of the usual form
//! gets one of them, with its own id, flags and question put in. Whatever is not of that form is left to the reference.
//! So nothing here decides what is answered, and a property test holds both to the same bytes (`tests/dns_wire.rs`).
//!
//! Why by hand: hickory-server's own path costs 1.8 times the CPU of the cheapest server of the field, written images
//! the same as that one (`tests/e2e/dns_cost`).

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use hickory_server::proto::op::{Edns, Message, Query, ResponseCode};
use hickory_server::proto::rr::{LowerName, Name, RecordType};
use hickory_server::proto::serialize::binary::BinEncodable;

use super::answer::{LARGEST_UDP, SMALLEST_UDP};
use super::question;
use super::reference::Reference;
use super::zone::Node;
use crate::model::DnsTransport;

const HEADER: usize = question::HEADER;
/// Root, type, class, extended code, version, flags and length: an OPT record without options (RFC 6891, section
/// 6.1.2).
const OPT: usize = 11;
/// Where its DO flag is.
const FLAGS_OF_OPT: usize = 7;
const DO: u8 = 0x80;
/// RD, in the first byte of the flags.
const RECURSION_DESIRED: u8 = 0x01;
/// Names of more labels are looked up by the reference: the hot path is for those that ask in earnest.
const MOST_LABELS: usize = 12;

/// One reply, apart from its id and question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Image {
    /// The header after the id.
    header: [u8; HEADER - 2],
    /// What follows the question.
    tail: Box<[u8]>,
    /// How many bytes of that, from its end, are the record of EDNS: it comes last.
    opt: usize,
}

impl Image {
    /// What the reference says to this question; `None` if that is nothing to be cut into an image.
    fn render(reference: &Reference, name: &Name, kind: RecordType, edns: bool) -> Option<Self> {
        let query = query(name, kind, edns)?;
        let question = question::AT + question::name_end(query.get(question::AT..)?)? + question::TYPE_AND_CLASS;
        let reply = reference.reply(&query, DnsTransport::Udp)?.bytes;
        if reply.get(question::AT..question) != query.get(question::AT..question) {
            return None;
        }
        let tail = reply.get(question..)?;
        let opt = if edns { length_of_opt(tail)? } else { 0 };
        Some(Self { header: reply.get(2..HEADER)?.try_into().ok()?, tail: tail.into(), opt })
    }

    fn code(&self) -> ResponseCode {
        ResponseCode::from(0, self.header[1] & 0x0f)
    }
}

/// The length of the record of EDNS at the end of a reply of ours, which has at most one short option.
fn length_of_opt(tail: &[u8]) -> Option<usize> {
    const LONGEST_OPTION: usize = 16;
    (OPT..=OPT + LONGEST_OPTION).find(|length| {
        let fixed = tail.len().checked_sub(*length).and_then(|at| tail.get(at..at + OPT));
        let Some([0, 0, 41, .., high, low]) = fixed else { return false };
        usize::from(u16::from_be_bytes([*high, *low])) == length - OPT
    })
}

/// A reply to who has EDNS, and one to who has not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Pair {
    plain: Image,
    edns: Image,
}

impl Pair {
    fn render(reference: &Reference, name: &Name, kind: RecordType) -> Option<Self> {
        let image = |edns| Image::render(reference, name, kind, edns);
        Some(Self { plain: image(false)?, edns: image(true)? })
    }
}

/// The replies of one name.
#[derive(Debug)]
struct Replies {
    /// What they were written of.
    node: Arc<Node>,
    a: Pair,
    aaaa: Pair,
    /// To types that no name has.
    nothing: Pair,
}

/// Every reply that was written beforehand.
#[derive(Debug, Clone, Default)]
pub struct Images {
    /// By name as it is on the wire, in lower case.
    names: HashMap<Box<[u8]>, Arc<Replies>, BuildHasherDefault<NameHasher>>,
    /// To names that are not ours, if they are refused.
    elsewhere: Option<Pair>,
    /// Configured names without an answer, of which the reference speaks, and of what lies beneath.
    unresolved: HashSet<Box<[u8]>, BuildHasherDefault<NameHasher>>,
    ttl: u32,
}

/// Multiplies eight bytes at a time. The standard hasher costs more than the rest of a lookup, for the sake of maps
/// that strangers put keys into; here the configuration does.
#[derive(Debug, Clone, Copy, Default)]
struct NameHasher(u64);

impl NameHasher {
    fn add(&mut self, word: u64) {
        // Odd, with as many ones as zeros: 2^64 divided by the golden ratio.
        const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
        let product = u128::from(self.0 ^ word) * u128::from(MULTIPLIER);
        #[expect(clippy::cast_possible_truncation, reason = "both halves of the product are folded")]
        let folded = product as u64 ^ (product >> 64) as u64;
        self.0 = folded;
    }
}

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.add(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.add(u64::from_le_bytes(last) ^ (bytes.len() as u64) << 56);
    }

    /// The length of a slice, which [`write`](Self::write) takes into account.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Images {
    /// What comes after these images when the reference is another one, which `refuses` names of others or not. What is
    /// unchanged is not written again.
    #[must_use]
    pub fn next(&self, reference: &Reference, refuses: bool) -> Self {
        let zones = reference.zones();
        let same_ttl = self.ttl == zones.ttl();
        let names = zones.nodes().filter_map(|(name, node)| {
            let key = name.to_bytes().ok()?.into_boxed_slice();
            let before = self.names.get(&key).filter(|replies| same_ttl && Arc::ptr_eq(&replies.node, node));
            let replies = match before {
                Some(replies) => Arc::clone(replies),
                None => Arc::new(Replies::render(reference, name, node)?),
            };
            Some((key, replies))
        });
        let refusal = || Pair::render(&Reference::default(), &Name::root(), RecordType::A);
        let elsewhere = refuses.then(refusal).flatten();
        let unresolved = zones.unresolved().filter_map(|name| Some(name.to_bytes().ok()?.into_boxed_slice())).collect();
        Self { names: names.collect(), elsewhere, unresolved, ttl: zones.ttl() }
    }

    /// Writes the reply to `packet` into `reply`, and returns its code; `None`, with nothing of use in `reply`, if the
    /// packet is not of the usual form.
    #[must_use]
    pub fn reply(&self, packet: &[u8], reply: &mut Vec<u8>) -> Option<ResponseCode> {
        let asked = Asked::read(packet)?;
        let pair = self.pair(&asked)?;
        let image = if asked.edns.is_some() { &pair.edns } else { &pair.plain };
        let largest = asked.edns.as_ref().map_or(SMALLEST_UDP, |e| e.largest);
        reply.clear();
        reply.extend_from_slice(&packet[..2]);
        reply.extend_from_slice(&image.header);
        reply[2] |= packet[2] & RECURSION_DESIRED;
        reply.extend_from_slice(asked.question);
        reply.extend_from_slice(&image.tail);
        if asked.edns.is_some_and(|e| e.dnssec_ok) {
            let at = reply.len().checked_sub(image.opt)? + FLAGS_OF_OPT;
            *reply.get_mut(at)? |= DO;
        }
        (reply.len() <= usize::from(largest)).then(|| image.code())
    }

    fn pair(&self, asked: &Asked<'_>) -> Option<&Pair> {
        let mut lower = [0; 256];
        let name = lower.get_mut(..asked.name.len())?;
        name.copy_from_slice(asked.name);
        // A length is below 64, and no upper-case letter.
        name.make_ascii_lowercase();
        if let Some(replies) = self.names.get(&*name) {
            return replies.to(asked.kind);
        }
        // The first is the name itself, which is not published.
        for (i, start) in question::labels(name).enumerate() {
            let (ours, unresolved) =
                (self.names.contains_key(&name[start..]), self.unresolved.contains(&name[start..]));
            if i > MOST_LABELS || ours || unresolved {
                return None;
            }
        }
        self.elsewhere.as_ref().filter(|_| is_usual(asked.kind))
    }
}

impl Replies {
    fn render(reference: &Reference, name: &LowerName, node: &Arc<Node>) -> Option<Self> {
        let name = Name::from(name);
        let pair = |kind| Pair::render(reference, &name, kind);
        // Any type that no name has will do for nothing.
        let (a, aaaa, nothing) = (pair(RecordType::A)?, pair(RecordType::AAAA)?, pair(RecordType::HTTPS)?);
        Some(Self { node: Arc::clone(node), a, aaaa, nothing })
    }

    fn to(&self, kind: u16) -> Option<&Pair> {
        const A: u16 = 1;
        const AAAA: u16 = 28;
        match kind {
            A => Some(&self.a),
            AAAA => Some(&self.aaaa),
            // NS, SOA, TXT, and DS, which may be asked of the zone above.
            2 | 6 | 16 | 43 => None,
            kind => is_usual(kind).then_some(&self.nothing),
        }
    }
}

/// True for types of data; 0, OPT and those from 128 to 255 are for something else (RFC 6895, section 3.1).
fn is_usual(kind: u16) -> bool {
    matches!(kind, 1..=40 | 42..=127 | 256..)
}

fn query(name: &Name, kind: RecordType, edns: bool) -> Option<Vec<u8>> {
    let mut message = Message::query();
    message.metadata.recursion_desired = false;
    message.add_query(Query::query(name.clone(), kind));
    if edns {
        let mut edns = Edns::new();
        edns.set_max_payload(LARGEST_UDP).set_version(0);
        message.edns = Some(edns);
    }
    message.to_vec().ok()
}

/// A query of the usual form.
struct Asked<'p> {
    /// As it was written, with its root.
    name: &'p [u8],
    kind: u16,
    /// Name, type and class.
    question: &'p [u8],
    edns: Option<AskedEdns>,
}

struct AskedEdns {
    largest: u16,
    dnssec_ok: bool,
}

impl<'p> Asked<'p> {
    /// One question of class IN, no records but an OPT one of version 0, and nothing after it.
    fn read(packet: &'p [u8]) -> Option<Self> {
        const QUERY: u8 = 0;
        const RESPONSE_AND_OPCODE: u8 = 0xf8;
        let (header, rest) = packet.split_at_checked(HEADER)?;
        let one_question = header[4..10] == [0, 1, 0, 0, 0, 0];
        if header[2] & RESPONSE_AND_OPCODE != QUERY || !one_question || header[10] != 0 {
            return None;
        }
        let name_end = question::name_end(rest)?;
        let (question, rest) = rest.split_at_checked(name_end + question::TYPE_AND_CLASS)?;
        let (name, [kind @ .., class_high, class]) = question.split_at(name_end) else { return None };
        if (*class_high, *class) != (0, 1) {
            return None;
        }
        let edns = match (header[11], rest) {
            (0, []) => None,
            (1, rest) => Some(AskedEdns::read(rest)?),
            _ => return None,
        };
        Some(Self { name, kind: u16::from_be_bytes(kind.try_into().ok()?), question, edns })
    }
}

impl AskedEdns {
    fn read(record: &[u8]) -> Option<Self> {
        let (fixed, options) = record.split_at_checked(OPT)?;
        let &[0, 0, 41, size_high, size_low, 0, 0, flags, _, length_high, length_low] = fixed else { return None };
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        if length != options.len() || !are_cookies(options) {
            return None;
        }
        let largest = u16::from_be_bytes([size_high, size_low]).clamp(SMALLEST_UDP, LARGEST_UDP);
        Some(Self { largest, dnssec_ok: flags & DO != 0 })
    }
}

/// True for no option, and for the one that clients send of themselves (RFC 7873, section 4): who has no cookies
/// ignores it.
fn are_cookies(options: &[u8]) -> bool {
    matches!(options, [] | [0, 10, 0, 8, _, _, _, _, _, _, _, _])
}
