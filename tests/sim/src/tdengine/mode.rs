//! What a connection to a TDengine gateway can meet.

use serde::{Deserialize, Serialize};

use crate::pki::Certificate;

/// What a connection to a [`TdengineService`](super::TdengineService) meets. What the database itself says comes after
/// the credentials were checked, what the gateway says before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TdengineMode {
    /// It is served as the accounts say.
    Up,
    /// It is refused.
    Refused,
    /// Its TCP handshake is never answered.
    Silent,
    /// It is accepted, and its TLS handshake never answered.
    StallTls,
    /// It is reset at once.
    Reset,
    /// It is closed at once.
    HangUp,
    /// Bytes that are no TLS.
    Garbage,
    /// TLS proves itself with this certificate.
    Certificate(Certificate),
    /// TLS works, and no request is ever answered.
    StallHttp,
    /// TLS works, then the request is read and the connection closed.
    HangUpOnRequest,
    /// TLS works, and what it carries is no HTTP.
    GarbageHttp,
    /// The database answers with this code and its documented text; see [`CODES`].
    Code(u16),
    /// The database answers with this code and text.
    Error {
        /// The code.
        code: u32,
        /// The text.
        desc: String,
    },
    /// The gateway answers with this row of the table of refusals.
    Refusal(TdengineRefusal),
    /// The gateway answers with this status and a page of its own; 500 if it is none.
    Status(u16),
    /// Whoever is in front answers this, whatever is asked: an adapter's limiter, TDengine 2, a front's own JSON.
    Said {
        /// The status.
        status: u16,
        /// The body, as JSON.
        body: String,
    },
    /// The gateway redirects.
    Redirect {
        /// Where to.
        location: String,
    },
    /// 200, and a page instead of JSON.
    NotJson,
    /// 200, and nothing.
    EmptyBody,
    /// 200, and a JSON string of this many bytes.
    Huge {
        /// How many.
        bytes: u64,
    },
    /// Results have no rows.
    NoRows,
    /// Results lack their last row, as after an error that came too late to be told.
    FewerRows,
    /// Results have another value in every column.
    OtherValue,
    /// The JSON of an answer ends in its middle, and its HTTP as it should.
    TruncatedJson,
    /// All of an answer comes but for the last chunk; then the connection closes.
    MissingLastChunk,
    /// Answers come byte by byte.
    Drip {
        /// Milliseconds between two bytes.
        every_ms: u64,
    },
}

/// What the gateway and the adapter refuse requests with. What no source tells is marked as ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TdengineRefusal {
    /// 401 for a bad token, as JSON. The body is ours.
    BadToken,
    /// 401 for a bad token, as a page. The body is ours.
    BadTokenPage,
    /// 403, as a page. The body is ours.
    ForbiddenPage,
    /// 401: no credentials.
    NoAuth,
    /// 401: a scheme that nobody knows.
    UnknownScheme,
    /// 401: Basic, and then no base64 of a user and a password.
    BadBasic,
    /// 401: Taosd, and then no token.
    BadTaosd,
    /// 403: the list of addresses.
    Whitelist,
    /// 403: the statement matches what is rejected.
    SqlRejected,
    /// 400: no body.
    EmptyRequest,
    /// 400: a blank body.
    NoSql,
    /// 400: a bad time zone or request id.
    BadParameter,
    /// 404, as plain text.
    NotFound,
    /// 502, as a page. The body is ours.
    BadGateway,
    /// 503: no connection to the database became free in time.
    PoolTimeout,
    /// 503: too many wait for one.
    PoolWait,
    /// 503, a bare JSON string: the adapter is paused.
    Paused,
    /// 503, a bare JSON string: the adapter is paused for queries.
    QueriesPaused,
}

/// The codes of the database that a client of ours tells apart, with their documented texts.
pub const CODES: [(u16, &str); 23] = [
    (11, "Unable to establish connection"),
    (19, "Client and server's time is not synchronized"),
    (24, "Conn is broken"),
    (25, "Conn read timeout"),
    (32, "some vnode/qnode/mnode(s) out of service"),
    (33, "some vnode/qnode/mnode(s) conn is broken"),
    (34, "rpc open too many session"),
    (35, "RPC network error"),
    (36, "RPC network bus"),
    (294, "Out of memory in rpc queue"),
    (304, "Database is starting up"),
    (305, "Database is closing down"),
    (771, "Insufficient privilege for operation"),
    (789, "User is disabled"),
    (849, "Invalid user"),
    (855, "Authentication failure"),
    (856, "User not available"),
    (896, "Database not specified or available"),
    (902, "Database is being dropped"),
    (904, "Database not exist"),
    (9728, "syntax error near"),
    (9731, "Table does not exist"),
    (65535, "unknown error"),
];

/// The documented text of a code.
pub(super) fn description(code: u16) -> &'static str {
    CODES.iter().find(|(known, _)| *known == code).map_or("unknown error", |(_, text)| text)
}

impl TdengineRefusal {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::BadToken,
        Self::BadTokenPage,
        Self::ForbiddenPage,
        Self::NoAuth,
        Self::UnknownScheme,
        Self::BadBasic,
        Self::BadTaosd,
        Self::Whitelist,
        Self::SqlRejected,
        Self::EmptyRequest,
        Self::NoSql,
        Self::BadParameter,
        Self::NotFound,
        Self::BadGateway,
        Self::PoolTimeout,
        Self::PoolWait,
        Self::Paused,
        Self::QueriesPaused,
    ];

    /// Its status, and what its body says.
    pub(super) fn said(self) -> (u16, Said) {
        match self {
            Self::BadToken => (401, Said::Object(855, "invalid token")),
            Self::BadTokenPage => (401, Said::Page("Unauthorized")),
            Self::ForbiddenPage => (403, Said::Page("Forbidden")),
            Self::NoAuth => (401, Said::Object(4357, "no auth info input")),
            Self::UnknownScheme => (401, Said::Object(4386, "invalid type of Authorization")),
            Self::BadBasic => (401, Said::Object(4388, "invalid basic Authorization")),
            Self::BadTaosd => (401, Said::Object(4389, "invalid taosd Authorization")),
            Self::Whitelist => (403, Said::Object(65535, "whitelist prohibits current IP access")),
            Self::SqlRejected => (403, Said::Object(65535, "sql rejected")),
            Self::EmptyRequest => (400, Said::Object(4358, "request is empty")),
            Self::NoSql => (400, Said::Object(4359, "no sql input")),
            Self::BadParameter => (400, Said::Object(65535, "illegal parameter")),
            Self::NotFound => (404, Said::Text("404 page not found")),
            Self::BadGateway => (502, Said::Page("Bad Gateway")),
            Self::PoolTimeout => (503, Said::Object(65535, "get connection timeout")),
            Self::PoolWait => (503, Said::Object(65535, "exceeded connection pool max wait")),
            Self::Paused => (503, Said::Bare("memory exceeds threshold")),
            Self::QueriesPaused => (503, Said::Bare("query memory exceeds threshold")),
        }
    }
}

/// The body of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// JSON with a code and a text.
    Object(u32, &'static str),
    /// A bare JSON string.
    Bare(&'static str),
    /// Plain text.
    Text(&'static str),
    /// A page with this title.
    Page(&'static str),
}
