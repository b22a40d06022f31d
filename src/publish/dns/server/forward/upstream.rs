//! One question to one resolver.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_server::proto::op::ResponseCode;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::model::DnsTransport;
use crate::publish::dns::forwarders::Forwarders;
use crate::publish::dns::question;
use crate::sys::sockets;

/// How long a resolver may take, as a libc has it (resolv.conf(5), `timeout`).
const PATIENCE: Duration = Duration::from_secs(5);
/// A flag, in the third byte of a message (RFC 1035, section 4.1.1).
const TRUNCATED: u8 = 0x02;
/// The longest reply.
const LONGEST: usize = 65_535;

/// Why another one should be asked.
#[derive(Debug)]
pub(super) enum Fault {
    /// It did not reply in time.
    Silent,
    /// What the system said.
    Io(io::Error),
    /// Its reply has this code.
    Code(ResponseCode, Vec<u8>),
    /// It neither has an answer nor looks for one.
    NoRecursion(Vec<u8>),
}

impl Fault {
    /// Has it noted of this resolver, which was asked this. A code may be the fault of the name alone.
    pub(super) fn tell(&self, resolver: SocketAddr, query: &[u8], forwarders: &Forwarders) {
        let question = matches!(self, Self::Code(..)).then(|| {
            let mut hasher = DefaultHasher::new();
            question_end(query).and_then(|end| query.get(question::AT..end)).hash(&mut hasher);
            hasher.finish()
        });
        forwarders.failed(resolver, &self.to_string(), question);
    }

    /// What it replied.
    pub(super) fn into_reply(self) -> Option<Vec<u8>> {
        match self {
            Self::Silent | Self::Io(_) => None,
            Self::Code(_, reply) | Self::NoRecursion(reply) => Some(reply),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => write!(f, "no reply within {} s", PATIENCE.as_secs()),
            Self::Io(error) => error.kind().fmt(f),
            Self::Code(code, _) => write!(f, "it replies: {code}"),
            Self::NoRecursion(_) => f.write_str("it resolves no names for others"),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Its reply, if a libc would take that for an answer.
fn judged(reply: Vec<u8>) -> Result<Vec<u8>, Fault> {
    const AUTHORITATIVE: u8 = 0x04;
    const RECURSION_AVAILABLE: u8 = 0x80;
    let code = ResponseCode::from(0, reply[3] & 0x0f);
    let offers = reply[2] & (AUTHORITATIVE | TRUNCATED) != 0 || reply[3] & RECURSION_AVAILABLE != 0;
    let answers = reply[6..8] != [0, 0];
    match code {
        ResponseCode::NoError if offers || answers => Ok(reply),
        ResponseCode::NoError => Err(Fault::NoRecursion(reply)),
        ResponseCode::NXDomain => Ok(reply),
        code => Err(Fault::Code(code, reply)),
    }
}

/// Whether an answer says more than that there is nothing; or how to get it.
pub(super) fn has_records(answer: &[u8]) -> bool {
    answer[2] & TRUNCATED != 0 || answer[6..8] != [0, 0]
}

/// Asks, and waits for the reply as long as a libc would.
pub(super) async fn ask(resolver: SocketAddr, query: &[u8], transport: DnsTransport) -> Result<Vec<u8>, Fault> {
    timeout(PATIENCE, exchange(resolver, query, transport)).await.unwrap_or(Err(Fault::Silent))
}

/// Asks with an id of ours, which the reply has to repeat.
async fn exchange(resolver: SocketAddr, query: &[u8], transport: DnsTransport) -> Result<Vec<u8>, Fault> {
    let ours = with_id(query, random_id()?);
    let reply = match transport {
        DnsTransport::Udp => ask_by_udp(resolver, &ours).await?,
        DnsTransport::Tcp => ask_by_tcp(resolver, &ours).await?,
    };
    judged(with_id(&reply, [query[0], query[1]]))
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

/// Where the question of a message ends.
pub(super) fn question_end(message: &[u8]) -> Option<usize> {
    let rest = message.get(question::AT..)?;
    Some(question::AT + question::name_end(rest)? + question::TYPE_AND_CLASS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x02db\x03com\0\0\x01\0\x01";

    #[test]
    fn what_a_libc_passes_over_is_no_answer() {
        let reply = |flags: [u8; 2], answers: u8| {
            let mut reply = QUERY.to_vec();
            reply[2..4].copy_from_slice(&flags);
            reply[7] = answers;
            judged(reply)
        };
        for (flags, answers) in
            [([0x81, 0x80], 1), ([0x81, 0x80], 0), ([0x81, 0x83], 0), ([0x85, 0], 0), ([0x83, 0], 0)]
        {
            assert!(reply(flags, answers).is_ok(), "{flags:?}");
        }
        assert!(reply([0x81, 0], 1).is_ok(), "it has the answer, wherever from");
        for code in [1, 2, 4, 5, 9] {
            assert!(matches!(reply([0x81, 0x80 | code], 0), Err(Fault::Code(..))), "{code}");
        }
        assert!(matches!(reply([0x81, 0], 0), Err(Fault::NoRecursion(_))));
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
