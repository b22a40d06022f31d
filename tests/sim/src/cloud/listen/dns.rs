//! DNS over UDP and TCP.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, SOA};
use hickory_proto::rr::{Name, RData, Record};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::cloud::api::{Delivery, How};
use crate::cloud::names::{Answer, Question};
use crate::gate::Handler;

/// What answers questions.
pub(in crate::cloud) type Resolver = Arc<dyn Fn(Question) -> Answer + Send + Sync>;

/// A UDP socket that is served until this is dropped.
pub(in crate::cloud) struct Datagrams {
    task: JoinHandle<()>,
    stop: DropGuard,
}

impl Datagrams {
    /// Serves the address. Without a resolver it swallows what comes.
    pub(in crate::cloud) async fn open(address: SocketAddr, resolver: Option<Resolver>) -> io::Result<Self> {
        let socket = Arc::new(UdpSocket::bind(address).await?);
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(socket, resolver, stop.clone()));
        Ok(Self { task, stop: stop.drop_guard() })
    }

    /// Ends it, and returns when the address is free.
    pub(in crate::cloud) async fn close(self) {
        drop(self.stop);
        let _ = self.task.await;
    }
}

async fn serve(socket: Arc<UdpSocket>, resolver: Option<Resolver>, stop: CancellationToken) {
    let mut late = JoinSet::new();
    let mut buffer = vec![0; 4096];
    loop {
        while late.try_join_next().is_some() {}
        let received = tokio::select! {
            () = stop.cancelled() => break,
            received = socket.recv_from(&mut buffer) => received,
        };
        // An error here is one of an earlier answer, which nobody took.
        let Ok((length, from)) = received else { continue };
        let Some(resolver) = &resolver else { continue };
        let Some((answer, delivery)) = respond(resolver, buffer.get(..length).unwrap_or_default(), from.ip()) else {
            continue;
        };
        if delivery.how == How::Never {
            continue;
        }
        let socket = socket.clone();
        late.spawn(async move {
            sleep(delivery.delay).await;
            let _ = socket.send_to(&answer, from).await;
        });
    }
    late.shutdown().await;
}

/// Serves connections; the gate before them is the caller's.
pub(in crate::cloud) fn handler(resolver: Resolver) -> Handler {
    Arc::new(move |stream| {
        let resolver = resolver.clone();
        Box::pin(async move {
            // A failed connection is the client's to report.
            let _ = converse(&resolver, stream).await;
        })
    })
}

async fn converse(resolver: &Resolver, mut stream: TcpStream) -> io::Result<()> {
    let from = stream.peer_addr()?.ip();
    loop {
        let mut query = vec![0; stream.read_u16().await?.into()];
        stream.read_exact(&mut query).await?;
        let Some((answer, delivery)) = respond(resolver, &query, from) else { return Ok(()) };
        if delivery.how == How::Never {
            continue;
        }
        sleep(delivery.delay).await;
        stream.write_u16(u16::try_from(answer.len()).map_err(io::Error::other)?).await?;
        stream.write_all(&answer).await?;
    }
}

/// The answer to a query in bytes; none to what is no query.
fn respond(resolver: &Resolver, query: &[u8], from: IpAddr) -> Option<(Vec<u8>, Delivery)> {
    let query = Message::from_vec(query).ok().filter(|query| query.metadata.message_type == MessageType::Query)?;
    let mut message = Message::response(query.metadata.id, query.metadata.op_code);
    message.metadata = Metadata::response_from_request(&query.metadata);
    message.metadata.recursion_available = true;
    message.edns = query.edns.as_ref().map(|_| {
        let mut edns = Edns::new();
        edns.set_max_payload(1232);
        edns
    });
    let mut delivery = Delivery::default();
    match query.queries.as_slice() {
        _ if query.metadata.op_code != OpCode::Query => message.metadata.response_code = ResponseCode::NotImp,
        [question] => {
            let name = question.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
            let answer = resolver(Question { name, kind: question.query_type().into(), from });
            delivery = answer.delivery;
            message.add_query(question.clone());
            fill(&mut message, question.name(), &answer);
        }
        _ => message.metadata.response_code = ResponseCode::FormErr,
    }
    Some((message.to_vec().ok()?, delivery))
}

fn fill(message: &mut Message, name: &Name, answer: &Answer) {
    let code = u8::try_from(answer.rcode.number()).unwrap_or(2);
    message.metadata.response_code = ResponseCode::from(0, code);
    for ip in &answer.addresses {
        let data = match ip {
            IpAddr::V4(ip) => RData::A(A(*ip)),
            IpAddr::V6(ip) => RData::AAAA(AAAA(*ip)),
        };
        message.add_answer(Record::from_rdata(name.clone(), answer.ttl, data));
    }
    // The SOA of NXDOMAIN and of an empty answer says how long that holds.
    if answer.addresses.is_empty() && matches!(answer.rcode.number(), 0 | 3) {
        let zone = name.trim_to(4);
        let (primary, mailbox) = (name_of("ns.aliyuncs.com."), name_of("hostmaster.aliyuncs.com."));
        let soa = SOA::new(primary, mailbox, 1, 3600, 1200, 3600, answer.ttl);
        message.authorities.push(Record::from_rdata(zone, answer.ttl, RData::SOA(soa)));
    }
}

fn name_of(text: &str) -> Name {
    Name::from_ascii(text).unwrap_or_default()
}
