//! Published names, and packets about them: usual, unusual and broken.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fastrand::Rng;
use privatelinkd::model::{Answer, AnswerReason, HostName, Wall};
use privatelinkd::publish::dns::Published;
use privatelinkd::publish::dns::zone::Zones;

pub(crate) const ORDERS: &str = "gw-orders.cloud.taosdata.com";
pub(crate) const LEDGER: &str = "ledger.db.example.com";
/// Beneath LEDGER, two labels down.
pub(crate) const NESTED: &str = "replica.eu.ledger.db.example.com";
/// Configured, and no address is known yet.
pub(crate) const WAITING: &str = "waiting.db.example.com";
/// With more addresses than 512 bytes hold.
pub(crate) const WIDE: &str = "wide.example.com";

/// When everything was published.
pub(crate) const SINCE: Wall = Wall(1_795_000_000_000);

pub(crate) fn answer(addresses: &[String], reason: AnswerReason) -> Answer {
    Answer { addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(), standby: Vec::new(), reason }
}

pub(crate) fn answers() -> BTreeMap<HostName, Answer> {
    let wide: Vec<_> = (1..=60).map(|n| format!("10.9.0.{n}")).collect();
    let of = |addresses: &[&str]| addresses.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>();
    [
        (ORDERS, answer(&of(&["10.0.1.15", "10.0.2.15"]), AnswerReason::Healthy)),
        (LEDGER, answer(&of(&["10.1.1.2", "fc00::2"]), AnswerReason::FailedOver)),
        (NESTED, answer(&of(&["fc00::9"]), AnswerReason::Pinned)),
        (WIDE, answer(&wide, AnswerReason::Unprobed)),
    ]
    .map(|(name, answer)| (name.parse().unwrap(), answer))
    .into()
}

pub(crate) fn published() -> Published {
    Published::default().next(
        Zones::default().next((&answers(), &BTreeSet::from([WAITING.parse().unwrap()])), Duration::from_secs(5), SINCE),
        Vec::new(),
    )
}

/// A name on the wire.
pub(crate) fn wire_name(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|l| !l.is_empty());
    let label = |l: &str| [&[u8::try_from(l.len()).unwrap()], l.as_bytes()].concat();
    labels.flat_map(label).chain([0]).collect()
}

/// A query: id, two bytes of flags, name, type, class, and what follows it with its count.
pub(crate) fn query(name: &[u8], kind: u16, more: &[u8]) -> Vec<u8> {
    let header = [0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, u8::from(!more.is_empty())];
    [&header[..], name, &kind.to_be_bytes(), &[0, 1], more].concat()
}

/// An OPT record.
pub(crate) fn opt(size: u16, version: u8, flags: u8, options: &[u8]) -> Vec<u8> {
    let length = u16::try_from(options.len()).unwrap().to_be_bytes();
    let [high, low] = size.to_be_bytes();
    [&[0, 0, 41, high, low, 0, version, flags, 0][..], &length, options].concat()
}

const KINDS: [u16; 24] =
    [1, 28, 1, 28, 1, 28, 2, 5, 6, 12, 15, 16, 33, 35, 41, 43, 46, 64, 65, 249, 251, 252, 255, 65_280];

/// A packet that is mostly a query.
pub(crate) fn packet(rng: &mut Rng) -> Vec<u8> {
    let name = some_name(rng);
    let kind = if rng.u8(..) < 240 { KINDS[rng.usize(..KINDS.len())] } else { rng.u16(..) };
    let more = match rng.u8(..8) {
        0..=2 => Vec::new(),
        3 | 4 => opt([0, 512, 1232, 4096, 65_535][rng.usize(..5)], 0, [0, 0x80][rng.usize(..2)], &[]),
        5 => opt(1232, 0, 0, &[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]),
        6 => opt(rng.u16(..), rng.u8(..3), rng.u8(..), &random_bytes(rng, 24)),
        _ => random_bytes(rng, 40),
    };
    let mut packet = query(&name, kind, &more);
    packet[0] = rng.u8(..);
    packet[2] = [0x00, 0x01, 0x01, 0x01, 0x03, 0x20, 0x28, 0x80][rng.usize(..8)];
    packet[3] = [0x00, 0x20, 0x10, 0x30, 0x40][rng.usize(..5)];
    if rng.u8(..16) == 0 {
        // Another class.
        let at = 12 + name.len() + 3;
        packet[at] = [3, 255, 254, 0][rng.usize(..4)];
    }
    for _ in 0..[0, 0, 0, 0, 1, 2, 5][rng.usize(..7)] {
        damage(rng, &mut packet);
    }
    packet
}

fn some_name(rng: &mut Rng) -> Vec<u8> {
    let ours = [ORDERS, LEDGER, NESTED, WIDE, WAITING][rng.usize(..5)];
    let name = match rng.u8(..16) {
        0..=9 => ours.to_owned(),
        10 => format!("x{}.{ours}", rng.u8(..)),
        11 => format!("a.b.c.d.e.f.g.h.i.j.k.l.m.{ours}"),
        12 => "eu.ledger.db.example.com".to_owned(),
        13 => ["example.com", "com", "", "www.example.org", "*.example.com", "localhost", "invalid"][rng.usize(..7)]
            .to_owned(),
        14 => ours.split_once('.').unwrap().1.to_owned(),
        _ => return random_bytes(rng, 20).into_iter().chain([0]).collect(),
    };
    let mut wire = wire_name(&name);
    for byte in &mut wire {
        if rng.bool() {
            byte.make_ascii_uppercase();
        }
    }
    wire
}

fn random_bytes(rng: &mut Rng, most: usize) -> Vec<u8> {
    (0..rng.usize(..most)).map(|_| rng.u8(..)).collect()
}

fn damage(rng: &mut Rng, packet: &mut Vec<u8>) {
    let at = rng.usize(..=packet.len());
    match rng.u8(..6) {
        0 => packet.truncate(at),
        1 => packet.insert(at, rng.u8(..)),
        2 => packet.extend(random_bytes(rng, 30)),
        // A count, or a pointer.
        3 if packet.len() > 11 => packet[4 + rng.usize(..8)] = rng.u8(..4),
        _ if at < packet.len() => packet[at] = [0, 0xc0, 0x3f, 0x40, 0xff, rng.u8(..)][rng.usize(..6)],
        _ => {}
    }
}
