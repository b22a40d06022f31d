//! The reference: a whole DNS server of one snapshot of the published names, as hickory-server sees one.
//!
//! hickory reads requests and writes replies; [`answer`] says what is in them. Not hickory's `Server`: it starts a task
//! for each query without a limit, takes any number of TCP connections, and logs each answer (hickory-server 0.26.3,
//! `server/mod.rs`); the loops of [`server`](super::server) do neither. So a reply comes back as bytes, and nothing
//! here waits.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use hickory_server::net::NetError;
use hickory_server::net::runtime::{Time, TokioTime};
use hickory_server::net::xfer::Protocol;
use hickory_server::proto::ProtoError;
use hickory_server::proto::op::{Edns, Header, HeaderCounts, MessageType, Metadata, OpCode, ResponseCode};
use hickory_server::proto::rr::Record;
use hickory_server::proto::serialize::binary::{BinDecodable, BinDecoder, BinEncodable, BinEncoder};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::{MessageResponse, MessageResponseBuilder};

use super::answer::{self, Reply};
use super::question;
use super::zone::{Place, Zones};
use crate::sys::lock::lock;

/// How a question came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// In a datagram, which bounds the answer.
    Udp,
    /// In a stream.
    Tcp,
}

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// How the query ends.
    pub code: ResponseCode,
    /// What goes back.
    pub bytes: Vec<u8>,
}

/// Who asks makes no difference.
const ANYBODY: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));

/// Answers from one snapshot of the names.
#[derive(Debug, Clone, Default)]
pub struct Reference {
    zones: Arc<Zones>,
}

impl Reference {
    /// Answers from these names.
    #[must_use]
    pub fn new(zones: Arc<Zones>) -> Self {
        Self { zones }
    }

    /// The names.
    #[must_use]
    pub fn zones(&self) -> &Arc<Zones> {
        &self.zones
    }

    /// Whether a query is for a name that is none of ours.
    #[must_use]
    pub fn is_elsewhere(&self, query: &[u8]) -> bool {
        let request = Header::read(&mut BinDecoder::new(query)).ok().and_then(|h| sound(query, &h, Protocol::Udp));
        let name = |r: &Request| r.request_info().ok().map(|info| info.query.name().clone());
        let is_query = |r: &Request| r.metadata.op_code == OpCode::Query;
        let name = request.filter(is_query).and_then(|r| name(&r));
        name.is_some_and(|name| self.zones.place(&name) == Place::Elsewhere)
    }

    /// The reply to a packet; `None` to what must not be replied to: less than a header, and replies, which would go
    /// back and forth for ever.
    #[must_use]
    pub fn reply(&self, packet: &[u8], transport: Transport) -> Option<Written> {
        let header = Header::read(&mut BinDecoder::new(packet)).ok()?;
        if header.metadata.message_type == MessageType::Response {
            return None;
        }
        let protocol = match transport {
            Transport::Udp => Protocol::Udp,
            Transport::Tcp => Protocol::Tcp,
        };
        let Some(request) = sound(packet, &header, protocol) else {
            return code_alone(&header.metadata, ResponseCode::FormErr);
        };
        let capture = Capture::new(&request, transport);
        now(self.handle_request::<_, TokioTime>(&request, capture.clone()));
        capture.take().or_else(|| code_alone(&header.metadata, ResponseCode::ServFail))
    }
}

#[async_trait::async_trait]
impl RequestHandler for Reference {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut to: R) -> ResponseInfo {
        let Reply { metadata, answers, soa, edns } = answer::answer(&self.zones, request);
        let mut response =
            MessageResponseBuilder::from_message_request(request).build(metadata, &answers, [], soa.as_ref(), []);
        if let Some(edns) = &edns {
            response.set_edns(edns);
        }
        match to.send_response(response).await {
            Ok(info) => info,
            // What can't be written is told by whoever writes.
            Err(_) => ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() }),
        }
    }
}

/// A request that can be read. More than one question can't (RFC 9619, section 4); hickory-proto 0.26.3 would make room
/// for as many as are promised, 10 MiB at most.
fn sound(packet: &[u8], header: &Header, protocol: Protocol) -> Option<Request> {
    if header.counts.queries > 1 {
        return None;
    }
    let request = Request::from_bytes(packet.to_vec(), ANYBODY, protocol).ok()?;
    let is_sound = is_plain(request.queries.as_bytes(), request.queries.len()) && question::has_whole_options(packet);
    is_sound.then_some(request)
}

/// True if the questions are written out in full: a pointer in the first name of a message has nothing to point at.
fn is_plain(questions: &[u8], count: usize) -> bool {
    count != 1 || question::name_end(questions).is_some_and(|end| end + question::TYPE_AND_CLASS == questions.len())
}

/// A header and nothing else.
fn code_alone(request: &Metadata, code: ResponseCode) -> Option<Written> {
    let mut metadata = Metadata::response_from_request(request);
    metadata.response_code = code;
    metadata.checking_disabled = false;
    let bytes = Header { metadata, counts: HeaderCounts::default() }.to_bytes().ok()?;
    Some(Written { code, bytes })
}

/// The result of what never waits.
fn now<T>(work: impl Future<Output = T>) -> Option<T> {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

/// Takes the reply that hickory would send.
#[derive(Debug, Clone)]
struct Capture {
    question: Arc<[u8]>,
    largest: u16,
    reply: Arc<Mutex<Option<Written>>>,
}

impl Capture {
    fn new(request: &Request, transport: Transport) -> Self {
        let largest = match transport {
            Transport::Udp => Reply::largest_udp(request),
            Transport::Tcp => u16::MAX,
        };
        Self { question: request.queries.as_bytes().into(), largest, reply: Arc::default() }
    }

    fn take(&self) -> Option<Written> {
        lock(&self.reply).take()
    }

    /// An encoder that knows the question's name, so that owners become pointers to it. hickory-server 0.26.3 remembers
    /// name, type and class as one (`QueriesEmitAndCount`), which no owner equals.
    fn encoder<'b>(&self, bytes: &'b mut Vec<u8>) -> BinEncoder<'b> {
        bytes.resize(question::AT, 0);
        bytes.extend_from_slice(&self.question);
        let end = question::name_end(&self.question);
        // Offsets of a message fit.
        let mut encoder =
            BinEncoder::with_offset(bytes, u32::try_from(question::AT + self.question.len()).unwrap_or(0));
        for start in end.into_iter().flat_map(|_| question::labels(&self.question)) {
            let end = question::AT + end.unwrap_or_default() - 1;
            encoder.store_label_pointer(question::AT + start, end);
        }
        encoder.set_offset(0);
        encoder.set_max_size(self.largest);
        encoder
    }

    /// Where not all fits nothing of the answer is sent: the asker has to come back by TCP anyway, and half an RRset is
    /// of no use (RFC 2181, section 9).
    fn cut(&self, bytes: &mut Vec<u8>, edns: Option<Edns>) -> Result<(), ProtoError> {
        bytes.truncate(question::AT + self.question.len());
        bytes[question::COUNTS_OF_RECORDS].fill(0);
        if let Some(edns) = edns {
            let mut opt = Vec::new();
            Record::from(&edns).emit(&mut BinEncoder::new(&mut opt))?;
            bytes[question::COUNTS_OF_RECORDS.end - 1] = 1;
            bytes.extend_from_slice(&opt);
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl ResponseHandler for Capture {
    async fn send_response<'a>(
        &mut self,
        response: MessageResponse<
            '_,
            'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
        >,
    ) -> Result<ResponseInfo, NetError> {
        let edns = response.edns().cloned();
        let mut bytes = Vec::new();
        let info = response.destructive_emit(&mut self.encoder(&mut bytes))?;
        if info.truncation {
            self.cut(&mut bytes, edns)?;
        }
        *lock(&self.reply) = Some(Written { code: info.response_code, bytes });
        Ok(info)
    }
}
