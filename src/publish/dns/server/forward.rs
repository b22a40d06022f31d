//! Names of others, where `[dns].forward` says whom to ask: for containers that have no resolver but the stub.
//!
//! A relay and no resolver: the packet goes on as it came, with an id of ours, and the reply comes back as it came,
//! with theirs, unless a datagram of ours can't carry it. It keeps nothing. So whatever the resolver knows, the asker
//! gets, and there is nothing here to poison but one reply: a port of its own and a random id for each question, and a
//! reply counts only if it repeats the question.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_server::proto::op::ResponseCode;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::model::DnsTransport;
use crate::publish::dns::answer::LARGEST_UDP;
use crate::publish::dns::question;
use crate::publish::dns::reference::Written;
use crate::sys::sockets;

/// How long one resolver may take before the next is asked. Stub resolvers wait for 5 s in all (resolv.conf(5)).
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest reply.
const LONGEST: usize = 65_535;

/// Their reply, or that there is none.
pub(super) async fn reply(resolvers: &[SocketAddr], query: &[u8], transport: DnsTransport) -> Written {
    let code = |reply: &[u8]| reply.get(3).map_or(ResponseCode::ServFail, |flags| ResponseCode::from(0, flags & 0x0f));
    match ask(resolvers, query, transport).await {
        Some(bytes) => {
            let fits = transport == DnsTransport::Tcp || bytes.len() <= usize::from(LARGEST_UDP);
            Written { code: code(&bytes), bytes: if fits { bytes } else { cut(&bytes) } }
        }
        None => Written { code: ResponseCode::ServFail, bytes: failure(query) },
    }
}

/// The query as a reply that says so.
fn failure(query: &[u8]) -> Vec<u8> {
    const SERVFAIL: u8 = 2;
    const RESPONSE: u8 = 0x80;
    const RECURSION_AVAILABLE: u8 = 0x80;
    let mut reply = without_records(query);
    reply[2] |= RESPONSE;
    reply[3] = RECURSION_AVAILABLE | SERVFAIL;
    reply
}

/// The reply as one that says to ask again by TCP (RFC 2181, section 9).
fn cut(reply: &[u8]) -> Vec<u8> {
    const TRUNCATED: u8 = 0x02;
    let mut reply = without_records(reply);
    reply[2] |= TRUNCATED;
    reply
}

/// A message up to the end of its question.
fn without_records(message: &[u8]) -> Vec<u8> {
    let mut message = message[..question_end(message).unwrap_or(message.len())].to_vec();
    message[question::COUNTS_OF_RECORDS].fill(0);
    message
}

/// Asks one resolver after the other; `None` if none replies.
async fn ask(resolvers: &[SocketAddr], query: &[u8], transport: DnsTransport) -> Option<Vec<u8>> {
    for resolver in resolvers {
        if let Ok(Ok(reply)) = timeout(PATIENCE, ask_one(*resolver, query, transport)).await {
            return Some(reply);
        }
    }
    None
}

async fn ask_one(resolver: SocketAddr, query: &[u8], transport: DnsTransport) -> io::Result<Vec<u8>> {
    let ours = with_id(query, random_id()?);
    let reply = match transport {
        DnsTransport::Udp => ask_by_udp(resolver, &ours).await?,
        DnsTransport::Tcp => ask_by_tcp(resolver, &ours).await?,
    };
    Ok(with_id(&reply, [query[0], query[1]]))
}

async fn ask_by_udp(resolver: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let socket = sockets::udp_to(resolver).await?;
    socket.send(query).await?;
    let mut reply = vec![0; LONGEST];
    loop {
        let length = socket.recv(&mut reply).await?;
        if replies_to(&reply[..length], query) {
            reply.truncate(length);
            return Ok(reply);
        }
    }
}

async fn ask_by_tcp(resolver: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(resolver).await?;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], query].concat()).await?;
    let mut reply = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut reply).await?;
    let expected = || io::Error::other("expected a reply to the question, found another message");
    if replies_to(&reply, query) { Ok(reply) } else { Err(expected()) }
}

fn random_id() -> io::Result<[u8; 2]> {
    let mut id = [0; 2];
    SystemRandom::new().fill(&mut id).map_err(|_| io::Error::other("no random numbers"))?;
    Ok(id)
}

fn with_id(message: &[u8], id: [u8; 2]) -> Vec<u8> {
    let mut message = message.to_vec();
    message[..2].copy_from_slice(&id);
    message
}

/// True if it is a reply of the same id to the same question, in whatever case.
fn replies_to(reply: &[u8], query: &[u8]) -> bool {
    const RESPONSE: u8 = 0x80;
    let (Some(theirs), Some(ours)) = (question_end(reply), question_end(query)) else { return false };
    let both = reply.get(question::AT..theirs).zip(query.get(question::AT..ours));
    reply[..2] == query[..2] && reply[2] & RESPONSE != 0 && both.is_some_and(|(a, b)| a.eq_ignore_ascii_case(b))
}

fn question_end(message: &[u8]) -> Option<usize> {
    let rest = message.get(question::AT..)?;
    Some(question::AT + question::name_end(rest)? + question::TYPE_AND_CLASS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x02db\x03com\0\0\x01\0\x01";

    #[test]
    fn a_reply_that_is_cut_has_its_question_and_says_so() {
        let mut reply = QUERY.to_vec();
        reply[2] |= 0x80;
        reply[7] = 90;
        reply.resize(1500, 1);
        let cut = cut(&reply);
        assert_eq!(cut, [b"\x12\x34\x83\0\0\x01\0\0\0\0\0\0", &QUERY[12..]].concat());
    }

    #[test]
    fn only_a_reply_to_the_question_counts() {
        let mut reply = QUERY.to_vec();
        assert!(!replies_to(&reply, QUERY), "a query is no reply");
        reply[2] |= 0x80;
        assert!(replies_to(&reply, QUERY));
        reply[13] = b'D';
        assert!(replies_to(&reply, QUERY), "some resolvers change the case");
        for (at, byte) in [(0, 0x13), (13, b'x'), (22, 28), (12, 0xc0)] {
            let mut other = QUERY.to_vec();
            other[2] |= 0x80;
            other[at] = byte;
            assert!(!replies_to(&other, QUERY), "{at}");
        }
        assert!(!replies_to(&reply[..20], QUERY));
    }
}
