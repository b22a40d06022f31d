//! The resolver against a scripted name server.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use privatelinkd::cloud::resolve::{Family, ResolveError, Resolver};
use tokio::net::UdpSocket;

/// Knows `zone.example`, with two addresses; `empty.example` has none, and nothing else exists.
async fn name_server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        loop {
            let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
            socket.send_to(&answer(&buffer[..length]), peer).await.unwrap();
        }
    });
    address
}

fn answer(query: &[u8]) -> Vec<u8> {
    let name_end = 12 + query[12..].iter().position(|b| *b == 0).unwrap() + 1;
    let (name, question) = (&query[12..name_end], &query[12..name_end + 4]);
    let is_a = question[question.len() - 4..] == [0, 1, 0, 1];
    let records: Vec<(u8, [u8; 4])> = match name {
        b"\x04zone\x07example\0" if is_a => vec![(60, [10, 0, 1, 15]), (30, [10, 0, 2, 15])],
        _ => Vec::new(),
    };
    let known = [b"\x04zone\x07example\0".as_slice(), b"\x05empty\x07example\0"].contains(&name);
    let (code, count) = (if known { 0 } else { 3 }, u8::try_from(records.len()).unwrap());
    let mut reply = query[..2].to_vec();
    reply.extend([0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
    reply.extend(question);
    for (ttl, address) in records {
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, ttl, 0, 4]);
        reply.extend(address);
    }
    reply
}

fn resolver(server: SocketAddr) -> Resolver {
    Resolver::new(&[server], Duration::from_millis(300)).unwrap()
}

#[tokio::test]
async fn addresses_come_with_the_smallest_ttl() {
    let resolver = resolver(name_server().await);
    for name in ["zone.example", "zone.example."] {
        let found = resolver.addresses(name, Family::V4).await.unwrap();
        let expected: [IpAddr; 2] = [[10, 0, 1, 15].into(), [10, 0, 2, 15].into()];
        assert_eq!(found.addresses.into_iter().collect::<Vec<_>>(), expected);
        assert_eq!(found.ttl, Duration::from_secs(30));
    }
}

#[tokio::test]
async fn no_name_no_address_and_no_server_are_told_apart() {
    let server = name_server().await;
    let ask = |server, name, family| async move { resolver(server).addresses(name, family).await.unwrap_err() };
    let none = |name: &str| ResolveError::NoAddress(name.to_owned());
    assert_eq!(ask(server, "empty.example", Family::V4).await, none("empty.example"));
    assert_eq!(ask(server, "zone.example", Family::V6).await, none("zone.example"));
    assert_eq!(ask(server, "other.example", Family::V4).await, ResolveError::NoSuchName("other.example".to_owned()));
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let failed = ask(silent.local_addr().unwrap(), "zone.example", Family::V4).await;
    assert!(matches!(failed, ResolveError::Failed(..)), "{failed}");
}

/// What we publish must not come back to us.
#[tokio::test]
async fn the_hosts_file_is_not_read() {
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let entries = hosts.lines().filter(|line| !line.starts_with('#')).flat_map(|line| line.split_whitespace().skip(1));
    let Some(name) = entries.filter(|name| !name.contains("localhost")).last() else { return };
    let error = resolver(name_server().await).addresses(name, Family::V4).await.unwrap_err();
    assert_eq!(error, ResolveError::NoSuchName(name.to_owned()));
}
