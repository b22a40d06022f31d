//! What a request is answered with. No I/O.

use hyper::HeaderMap;
use hyper::header::{ACCEPT_ENCODING, AUTHORIZATION};
use serde_json::{Value, json};

use super::mode::{Said, TdengineMode, TdengineRefusal, description};
use super::setup::{Stranger, TdengineSetup};
use super::sql;

/// A request, read whole.
pub(super) struct Asked<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) kind: &'static str,
    pub(super) location: Option<String>,
    pub(super) body: Vec<u8>,
    /// Whether its length is told only as it goes: results are, errors aren't.
    pub(super) chunked: bool,
    pub(super) how: How,
    /// Whether the request proved who it was from.
    pub(super) authenticated: bool,
}

/// How a body comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Whole,
    /// Without the last chunk.
    Cut,
    /// Byte by byte.
    Drip {
        every_ms: u64,
    },
    /// After the body, so many more bytes and a quotation mark.
    Filled {
        bytes: u64,
    },
}

const JSON: &str = "application/json; charset=utf-8";
const PAGE: &str = "text/html";
const TEXT: &str = "text/plain";

impl Reply {
    fn new(status: u16, kind: &'static str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self { status, kind, location: None, body, chunked: false, how: How::Whole, authenticated: false }
    }

    fn object(status: u16, code: u32, desc: &str) -> Self {
        // Newer adapters tell the time that it took here too.
        Self::new(status, JSON, json!({ "code": code, "desc": desc, "timing": 123_456 }).to_string())
    }

    fn page(status: u16, title: &str) -> Self {
        let page = format!("<html>\r\n<head><title>{status} {title}</title></head>\r\n</html>\r\n");
        Self::new(status, PAGE, page)
    }

    fn refusal(refusal: TdengineRefusal) -> Self {
        let (status, said) = refusal.said();
        match said {
            Said::Object(code, desc) => Self::object(status, code, desc),
            Said::Bare(text) => Self::new(status, JSON, json!(text).to_string()),
            Said::Text(text) => Self::new(status, TEXT, text),
            Said::Page(title) => Self::page(status, title),
        }
    }

    fn database_error(setup: &TdengineSetup, code: u32, desc: &str) -> Self {
        let status = match code {
            _ if !setup.http_code_server_error => 200,
            0x216 | 0x21b | 0x2600 | 0x60b | 0x224 | 0x263b => 400,
            0x350..=0x357 => 401,
            0x0b => 502,
            _ => 500,
        };
        Self::object(status, code, desc)
    }
}

/// Answers a request.
pub(super) fn answer(asked: &Asked<'_>, setup: &TdengineSetup, mode: &TdengineMode) -> Reply {
    if let Some(reply) = gateway(asked, mode) {
        return reply;
    }
    let token = parameter(asked.query, "token");
    let header = asked.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let stranger = |stranger| match stranger {
        Stranger::Refused(refusal) => Reply::refusal(refusal),
        Stranger::Unknown(code) => Reply::database_error(setup, code.into(), description(code)),
    };
    if let Err(found) = setup.check_token(token.as_deref()) {
        return stranger(found);
    }
    if asked.path == "/-/ping" && asked.method == "GET" {
        return Reply::new(200, TEXT, "");
    }
    let database = asked.path.strip_prefix("/rest/sql");
    let known = database.is_some_and(|rest| rest.is_empty() || (rest.starts_with('/') && !rest[1..].contains('/')));
    if !known || asked.method != "POST" {
        return Reply::refusal(TdengineRefusal::NotFound);
    }
    if let Err(found) = setup.check(token.as_deref(), header) {
        return stranger(found);
    }
    let reply = statement(asked, setup, mode);
    Reply { authenticated: true, ..reply }
}

/// What the gateway says before it looks.
fn gateway(asked: &Asked<'_>, mode: &TdengineMode) -> Option<Reply> {
    let ping = asked.path == "/-/ping";
    Some(match mode {
        TdengineMode::Refusal(TdengineRefusal::Paused | TdengineRefusal::QueriesPaused) if ping => {
            Reply::new(503, TEXT, "")
        }
        // These are about statements.
        TdengineMode::Refusal(TdengineRefusal::EmptyRequest | TdengineRefusal::NoSql) if ping => return None,
        TdengineMode::Refusal(refusal) => Reply::refusal(*refusal),
        TdengineMode::Status(status) => Reply::page(*status, "of a gateway"),
        TdengineMode::Said { status, body } => Reply::new(*status, JSON, body.as_str()),
        TdengineMode::Redirect { location } => {
            Reply { location: Some(location.clone()), ..Reply::page(301, "Moved Permanently") }
        }
        TdengineMode::NotJson => Reply::page(200, "Welcome"),
        TdengineMode::EmptyBody => Reply::new(200, JSON, ""),
        TdengineMode::Huge { bytes } => {
            Reply { how: How::Filled { bytes: *bytes }, chunked: true, ..Reply::new(200, JSON, "\"") }
        }
        _ => return None,
    })
}

/// What the database says to a statement.
fn statement(asked: &Asked<'_>, setup: &TdengineSetup, mode: &TdengineMode) -> Reply {
    for (name, good) in [("tz", is_zone as fn(&str) -> bool), ("conn_tz", is_zone), ("req_id", is_number)] {
        if parameter(asked.query, name).is_some_and(|value| !good(&value)) {
            return Reply::refusal(TdengineRefusal::BadParameter);
        }
    }
    let text = String::from_utf8_lossy(asked.body);
    if text.is_empty() {
        return Reply::refusal(TdengineRefusal::EmptyRequest);
    }
    if text.trim().is_empty() {
        return Reply::refusal(TdengineRefusal::NoSql);
    }
    let table = match (mode, sql::answer(&text, setup)) {
        (TdengineMode::Code(code), _) => return Reply::database_error(setup, (*code).into(), description(*code)),
        (TdengineMode::Error { code, desc }, _) => return Reply::database_error(setup, *code, desc),
        (_, Err((code, desc))) => return Reply::database_error(setup, code, &desc),
        (TdengineMode::NoRows, Ok(mut table)) => {
            table.rows.clear();
            table
        }
        (TdengineMode::FewerRows, Ok(mut table)) => {
            table.rows.pop();
            table
        }
        (TdengineMode::OtherValue, Ok(table)) => table.altered(),
        (_, Ok(table)) => table,
    };
    let is_true = |name| parameter(asked.query, name).is_some_and(|value| value == "true");
    let mut value = table.reply(is_true("row_with_meta"));
    if let (true, Value::Object(object)) = (is_true("timing"), &mut value) {
        object.insert("timing".to_owned(), json!(123_456));
    }
    let mut reply = Reply { chunked: true, ..Reply::new(200, JSON, value.to_string()) };
    match mode {
        TdengineMode::TruncatedJson => reply.body.truncate(reply.body.len() / 2),
        TdengineMode::MissingLastChunk => reply.how = How::Cut,
        TdengineMode::Drip { every_ms } => reply.how = How::Drip { every_ms: *every_ms },
        _ => {}
    }
    reply
}

/// Whether a client can read gzip.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains("gzip"))
}

fn is_number(text: &str) -> bool {
    text.parse::<u64>().is_ok()
}

/// An IANA name, by its form.
fn is_zone(text: &str) -> bool {
    let letters = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphabetic() || b"_-+".contains(&b));
    text == "UTC" || text.split_once('/').is_some_and(|(area, place)| letters(area) && letters(place))
}

/// A parameter of a URL, decoded.
fn parameter(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then(|| decoded(value))
    })
}

fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let value = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (first, value) {
            (b'%', Some(value)) => {
                bytes.push(value);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
