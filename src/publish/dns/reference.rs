//! The reference: a whole DNS server of one snapshot of the published names.
//!
//! hickory reads requests and writes replies; [`answer`] says what is in them. Not hickory's `Server`: it starts a task
//! for each query without a limit, takes any number of TCP connections, and logs each answer (hickory-server 0.26.3,
//! `server/mod.rs`); the loops of [`server`](super::server) do neither. So a reply comes back as bytes, and nothing
//! here waits.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use hickory_server::net::xfer::Protocol;
use hickory_server::proto::ProtoError;
use hickory_server::proto::op::{Edns, Header, HeaderCounts, MessageType, Metadata, OpCode, ResponseCode};
use hickory_server::proto::rr::Record;
use hickory_server::proto::serialize::binary::{BinDecodable, BinDecoder, BinEncodable, BinEncoder};
use hickory_server::server::Request;
use hickory_server::zone_handler::MessageResponseBuilder;

use super::answer::{self, Reply};
use super::question;
use super::zone::{Place, Zones};
use crate::model::DnsTransport;

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
    pub fn reply(&self, packet: &[u8], transport: DnsTransport) -> Option<Written> {
        let header = Header::read(&mut BinDecoder::new(packet)).ok()?;
        if header.metadata.message_type == MessageType::Response {
            return None;
        }
        let protocol = match transport {
            DnsTransport::Udp => Protocol::Udp,
            DnsTransport::Tcp => Protocol::Tcp,
        };
        let Some(request) = sound(packet, &header, protocol) else {
            return code_alone(&header.metadata, ResponseCode::FormErr);
        };
        self.write(&request, transport).ok().or_else(|| code_alone(&header.metadata, ResponseCode::ServFail))
    }

    /// The reply to a request that can be read. A datagram bounds it.
    fn write(&self, request: &Request, transport: DnsTransport) -> Result<Written, ProtoError> {
        let Reply { metadata, answers, soa, edns } = answer::answer(&self.zones, request);
        let builder = MessageResponseBuilder::from_message_request(request);
        let mut response = builder.build(metadata, &answers, [], soa.as_ref(), []);
        if let Some(edns) = &edns {
            response.set_edns(edns);
        }
        let question = request.queries.as_bytes();
        let largest = match transport {
            DnsTransport::Udp => Reply::largest_udp(request),
            DnsTransport::Tcp => u16::MAX,
        };
        let mut bytes = Vec::new();
        let info = response.destructive_emit(&mut encoder(&mut bytes, question, largest))?;
        if info.truncation {
            cut(&mut bytes, question, edns.as_ref())?;
        }
        Ok(Written { code: info.response_code, bytes })
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

/// An encoder that knows the question's name, so that owners become pointers to it. hickory-server 0.26.3 remembers
/// name, type and class as one (`QueriesEmitAndCount`), which no owner equals.
fn encoder<'b>(bytes: &'b mut Vec<u8>, question: &[u8], largest: u16) -> BinEncoder<'b> {
    bytes.resize(question::AT, 0);
    bytes.extend_from_slice(question);
    // Offsets of a message fit.
    let mut encoder = BinEncoder::with_offset(bytes, u32::try_from(question::AT + question.len()).unwrap_or(0));
    if let Some(end) = question::name_end(question) {
        for start in question::labels(question) {
            encoder.store_label_pointer(question::AT + start, question::AT + end - 1);
        }
    }
    encoder.set_offset(0);
    encoder.set_max_size(largest);
    encoder
}

/// Where not all fits nothing of the answer is sent: the asker has to come back by TCP anyway, and half an RRset is of
/// no use (RFC 2181, section 9).
fn cut(bytes: &mut Vec<u8>, question: &[u8], edns: Option<&Edns>) -> Result<(), ProtoError> {
    bytes.truncate(question::AT + question.len());
    bytes[question::COUNTS_OF_RECORDS].fill(0);
    if let Some(edns) = edns {
        let mut opt = Vec::new();
        Record::from(edns).emit(&mut BinEncoder::new(&mut opt))?;
        bytes[question::COUNTS_OF_RECORDS.end - 1] = 1;
        bytes.extend_from_slice(&opt);
    }
    Ok(())
}
