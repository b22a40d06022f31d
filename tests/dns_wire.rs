//! The hot path says what the reference says, byte for byte; and neither minds what it is sent.

use fastrand::Rng;
use hickory_server::proto::op::Message;
use privatelinkd::publish::dns::reference::Transport;

use crate::dns_fixture::{ORDERS, packet, published, query, wire_name};
use crate::support::cases;

/// Packets for each case of other fuzz tests: these are cheap.
const EACH: u64 = 10;

#[test]
fn the_hot_path_and_the_reference_give_the_same_bytes() {
    let published = published();
    let (mut hot, mut replies) = (0_u64, 0_u64);
    let mut reply = Vec::new();
    let seed = fastrand::u64(..);
    let mut rng = Rng::with_seed(seed);
    let packets = u64::from(cases()) * EACH;
    for n in 0..packets {
        let packet = packet(&mut rng);
        let reference = published.reference.reply(&packet, Transport::Udp);
        if let Some(reference) = &reference {
            replies += 1;
            let bytes = &reference.bytes;
            assert!(
                bytes.len() <= 1232 && bytes[..2] == packet[..2] && bytes[2] & 0x80 != 0,
                "seed {seed}: {packet:02x?}"
            );
            assert!(Message::from_vec(bytes).is_ok(), "seed {seed}, packet {n}: {packet:02x?} gave {bytes:02x?}");
        }
        if let Some(code) = published.images.reply(&packet, &mut reply) {
            hot += 1;
            let reference = reference.map(|r| (r.code, r.bytes));
            assert_eq!(reference, Some((code, reply.clone())), "seed {seed}, packet {n}: {packet:02x?}");
        }
    }
    // Else it would prove nothing.
    assert!(hot > packets / 10 && replies > packets / 2, "{hot} and {replies} of {packets}");
}

#[test]
fn usual_queries_take_the_hot_path() {
    let published = published();
    for (name, kind) in
        [(ORDERS, 1), (ORDERS, 28), ("GW-Orders.Cloud.TAOSdata.com", 1), (ORDERS, 65), ("example.org", 1)]
    {
        let packet = query(&wire_name(name), kind, &[]);
        assert!(published.images.reply(&packet, &mut Vec::new()).is_some(), "{name} {kind}");
    }
}

#[test]
fn packets_of_noise_are_answered_or_dropped() {
    let published = published();
    let mut rng = Rng::new();
    for _ in 0..cases() {
        let noise: Vec<u8> = (0..rng.usize(..80)).map(|_| rng.u8(..)).collect();
        for transport in [Transport::Udp, Transport::Tcp] {
            let reply = published.reference.reply(&noise, transport);
            assert_eq!(reply.is_some(), noise.len() >= 12 && noise[2] & 0x80 == 0, "{noise:02x?}");
        }
    }
}
