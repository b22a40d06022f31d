//! What is answered: a function of the published names and a question. Pure.
//!
//! An authoritative server of the smallest kind: no recursion, no transfer, no update, no signature. Where RFCs leave a
//! choice, the comment names the one taken.

use hickory_server::proto::op::{Edns, LowerQuery, Metadata, OpCode, ResponseCode};
use hickory_server::proto::rr::rdata::opt::EdnsOption;
use hickory_server::proto::rr::rdata::{A, AAAA, NS, SOA, TXT};
use hickory_server::proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_server::zone_handler::MessageRequest;

use super::zone::{Above, Node, Place, Zones};

/// How long clients may keep what is not there, in seconds (RFC 2308, section 5): a name that is published late, or
/// whose first address of a family comes late, is seen soon.
pub const NEGATIVE_TTL: u32 = 1;

/// For secondaries, which there are none of; values that checkers of zones find in order (RFC 1912, section 2.2).
const REFRESH: i32 = 3600;
const RETRY: i32 = 600;
const EXPIRE: i32 = 1_209_600;

/// The largest answer by UDP: no path makes fragments of it (DNS flag day 2020). All of ours are smaller.
pub const LARGEST_UDP: u16 = 1232;

/// The largest answer by UDP to a client that doesn't say more (RFC 1035, section 4.2.1).
pub const SMALLEST_UDP: u16 = 512;

/// Why there is no answer, for who has EDNS: option 15 (RFC 8914, section 2). That a refused name is none of ours is
/// code 20, section 4.21.
const EXTENDED_ERROR: u16 = 15;
const NOT_AUTHORITATIVE: [u8; 2] = [0, 20];
/// That no address is known yet: code 14, Not Ready (RFC 8914, section 4.15).
const NOT_READY: [u8; 2] = [0, 14];

/// What goes back, apart from the question.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The header.
    pub metadata: Metadata,
    /// The answer section.
    pub answers: Vec<Record>,
    /// The authority section: of what is not there.
    pub soa: Option<Record>,
    /// To a question with EDNS.
    pub edns: Option<Edns>,
}

impl Reply {
    /// Says no more than a code.
    fn code(request: &MessageRequest, code: ResponseCode) -> Self {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = code;
        // It speaks to servers that validate, and this one does not (RFC 4035, section 3.1.6).
        metadata.checking_disabled = false;
        Self { metadata, answers: Vec::new(), soa: None, edns: request.edns.as_ref().map(edns) }
    }

    fn error(request: &MessageRequest, code: ResponseCode, why: [u8; 2]) -> Self {
        let mut reply = Self::code(request, code);
        if let Some(edns) = &mut reply.edns {
            edns.options_mut().insert(EdnsOption::Unknown(EXTENDED_ERROR, why.to_vec()));
        }
        reply
    }

    fn authoritative(request: &MessageRequest, code: ResponseCode) -> Self {
        let mut reply = Self::code(request, code);
        reply.metadata.authoritative = true;
        reply
    }

    /// The largest message that the asker takes by UDP.
    #[must_use]
    pub fn largest_udp(request: &MessageRequest) -> u16 {
        request.edns.as_ref().map_or(SMALLEST_UDP, |e| e.max_payload().clamp(SMALLEST_UDP, LARGEST_UDP))
    }
}

/// Ours, to theirs: version 0, and DO as it came (RFC 3225, section 3).
fn edns(theirs: &Edns) -> Edns {
    let mut ours = Edns::new();
    ours.set_max_payload(LARGEST_UDP).set_version(0).set_dnssec_ok(theirs.flags().dnssec_ok);
    ours
}

/// Answers a request that could be read.
#[must_use]
pub fn answer(zones: &Zones, request: &MessageRequest) -> Reply {
    let code = |code| Reply::code(request, code);
    match request.metadata.op_code {
        OpCode::Query => {}
        // A secondary of no server.
        OpCode::Notify => return code(ResponseCode::Refused),
        OpCode::Update => return code(refuse_zone(zones, request)),
        _ => return code(ResponseCode::NotImp),
    }
    if request.version() > 0 {
        // RFC 6891, section 6.1.3.
        return code(ResponseCode::BADVERS);
    }
    let [query] = request.queries.queries() else { return code(ResponseCode::FormErr) };
    if !request.answers.is_empty() || request.signature.is_some() {
        return code(ResponseCode::FormErr);
    }
    if query.query_class() != DNSClass::IN {
        return code(ResponseCode::Refused);
    }
    match query.query_type() {
        RecordType::AXFR | RecordType::IXFR => code(refuse_zone(zones, request)),
        // No question can be for it.
        RecordType::OPT => code(ResponseCode::FormErr),
        _ => answer_name(zones, request, query),
    }
}

/// No client may transfer or change a zone of ours; others are not ours to judge (RFC 5936, section 2.2.1; RFC 2136,
/// sections 3.1 and 3.3).
fn refuse_zone(zones: &Zones, request: &MessageRequest) -> ResponseCode {
    match request.queries.queries() {
        [zone] if zones.node(zone.name()).is_none() => ResponseCode::NotAuth,
        _ => ResponseCode::Refused,
    }
}

fn answer_name(zones: &Zones, request: &MessageRequest, query: &LowerQuery) -> Reply {
    let asked = query.original().name();
    let nothing = |above: Above<'_>, code| {
        let soa = soa(above.node, asked.trim_to(above.labels));
        Reply { soa: Some(soa), ..Reply::authoritative(request, code) }
    };
    match zones.place(query.name()) {
        Place::Elsewhere => Reply::error(request, ResponseCode::Refused, NOT_AUTHORITATIVE),
        Place::Unresolved => Reply::error(request, ResponseCode::ServFail, NOT_READY),
        Place::Beneath(above) => nothing(above, ResponseCode::NXDomain),
        Place::Between(above) => nothing(above, ResponseCode::NoError),
        Place::Apex(node) => {
            let answers = records(node, asked, query.query_type(), zones.ttl());
            if !answers.is_empty() {
                return Reply { answers, ..Reply::authoritative(request, ResponseCode::NoError) };
            }
            // What a delegation signs is asked of the side above it (RFC 4035, section 3.1.4.1).
            let parent = (query.query_type() == RecordType::DS).then(|| zones.above(query.name())).flatten();
            let apex = Above { node, labels: usize::from(asked.num_labels()) };
            nothing(parent.unwrap_or(apex), ResponseCode::NoError)
        }
    }
}

/// The records of one type. Owners are spelt as the asker spelt them.
fn records(node: &Node, asked: &Name, kind: RecordType, ttl: u32) -> Vec<Record> {
    let record = |data| Record::from_rdata(asked.clone(), ttl, data);
    let v4 = || node.v4.iter().map(|a| record(RData::A(A(*a)))).collect::<Vec<_>>();
    let v6 = || node.v6.iter().map(|a| record(RData::AAAA(AAAA(*a)))).collect::<Vec<_>>();
    match kind {
        RecordType::A => v4(),
        RecordType::AAAA => v6(),
        // One RRset is enough for who asks for any (RFC 8482, section 4.1).
        RecordType::ANY if node.v4.is_empty() => v6(),
        RecordType::ANY => v4(),
        RecordType::TXT => vec![record(RData::TXT(TXT::new(reason(node))))],
        RecordType::NS => vec![record(RData::NS(NS(localhost())))],
        RecordType::SOA => vec![soa(node, asked.clone())],
        _ => Vec::new(),
    }
}

/// `reason=healthy`, `since=2026-11-26T03:46:12Z` (B16).
fn reason(node: &Node) -> Vec<String> {
    vec![format!("reason={}", node.reason), format!("since={}", node.since)]
}

/// No client transfers it: only the serial, which is when the answer changed last, and the negative TTL say anything.
fn soa(node: &Node, apex: Name) -> Record {
    // In seconds; modulo 2^32 as serials are (RFC 1982).
    #[expect(clippy::cast_possible_truncation, reason = "a serial is the time modulo 2^32")]
    let serial = (node.changed.0 / 1000) as u32;
    let data = SOA::new(localhost(), nobody(), serial, REFRESH, RETRY, EXPIRE, NEGATIVE_TTL);
    Record::from_rdata(apex, NEGATIVE_TTL, RData::SOA(data))
}

/// Who serves the zone: the asker's own host. No published name ends in it, so it never shares bytes with a question.
fn localhost() -> Name {
    label(Name::root(), b"localhost")
}

fn nobody() -> Name {
    label(localhost(), b"nobody")
}

fn label(name: Name, label: &'static [u8]) -> Name {
    // Short labels always fit.
    name.prepend_label(label).unwrap_or_default()
}
