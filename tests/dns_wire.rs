//! The hot path says what the reference says, byte for byte; and neither minds what it is sent.

use fastrand::Rng;
use hickory_server::proto::op::Message;
use privatelinkd::model::DnsTransport;

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
        let reference = published.reference.reply(&packet, DnsTransport::Udp);
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

/// In a process of its own: tests beside it grow for reasons of their own.
#[test]
fn fuzzed_packets_leave_nothing_behind() {
    const ALONE: &str = "PRIVATELINKD_TEST_ALONE";
    const MOST: u64 = 1024;
    if std::env::var_os(ALONE).is_none() {
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", "dns_wire::fuzzed_packets_leave_nothing_behind", "--nocapture"]).env(ALONE, "yes");
        let said = again.output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&[said.stdout, said.stderr].concat()));
        return;
    }
    let published = published();
    let (mut rng, mut reply) = (Rng::new(), Vec::new());
    let packets = u64::from(cases()) * EACH;
    let mut early = 0;
    for n in 0..packets {
        if n == packets / 10 {
            early = resident_kib();
        }
        let packet = packet(&mut rng);
        let _ = published.images.reply(&packet, &mut reply);
        for transport in [DnsTransport::Udp, DnsTransport::Tcp] {
            let _ = published.reference.reply(&packet, transport);
        }
    }
    let late = resident_kib();
    assert!(late <= early + MOST, "expected at most {early} + {MOST} KiB, found {late}");
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// hickory would make room for as many questions as are promised.
#[test]
fn promised_questions_cost_nothing() {
    let published = published();
    let mut packet = query(&wire_name(ORDERS), 1, &[]);
    for count in [2_u16, 3, 65_535] {
        packet[4..6].copy_from_slice(&count.to_be_bytes());
        let reply = published.reference.reply(&packet, DnsTransport::Udp).unwrap();
        assert_eq!((reply.bytes.len(), reply.bytes[3] & 0x0f), (12, 1), "{count}");
    }
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
        for transport in [DnsTransport::Udp, DnsTransport::Tcp] {
            let reply = published.reference.reply(&noise, transport);
            assert_eq!(reply.is_some(), noise.len() >= 12 && noise[2] & 0x80 == 0, "{noise:02x?}");
        }
    }
}
