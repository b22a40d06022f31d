//! What an error reply says.
//!
//! The class is decided by the `Code` and not by the status: the same code comes with different statuses from
//! different products (`Forbidden.RAM` with 400 and 403, `EndpointNotFound` with 400). Codes that were never met in
//! practice are matched by prefix, and by any case.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::cloud::reply::Reply;
use crate::model::{Secret, Wall, hide};

/// The longest wait that a service may ask for; the SDK's own ceiling.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(120);
/// The longest text of a server that goes into a message, in characters.
const LONGEST_TEXT: usize = 500;

/// The service answered, with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What it means for us.
    pub class: Class,
    /// The HTTP status.
    pub status: u16,
    /// Empty if the reply had none.
    pub code: String,
    /// For people.
    pub message: String,
    /// What the provider's support asks for.
    pub request_id: Option<String>,
    /// The server's clock, if it said.
    pub date: Option<Wall>,
}

impl Refusal {
    /// What it has in common with every other of its kind.
    pub(super) fn in_general(&self) -> Self {
        let message = if self.class.says_it_all() { String::new() } else { self.message.clone() };
        Self { message, request_id: None, ..self.clone() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { class, status, code, message, request_id, date: _ } = self;
        let code = if code.is_empty() { "no code" } else { code };
        write!(f, "{class}: {code} (status {status})")?;
        if !message.is_empty() {
            write!(f, ": {}", message.trim_end_matches('.'))?;
        }
        if let Class::Denied { action: Some(action) } = class {
            write!(f, ", missing permission {action}")?;
        }
        match request_id {
            Some(id) => write!(f, ", request {id}"),
            None => Ok(()),
        }
    }
}

/// What an error means for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Class {
    /// Too many calls of the whole account.
    Throttled {
        /// What the service wants us to wait, at most [`LONGEST_RETRY_AFTER`].
        retry_after: Option<Duration>,
    },
    /// Our clock is more than 15 minutes off.
    ClockSkew,
    /// The nonce has been seen before.
    NonceUsed,
    /// Unknown, inactive or wrong keys.
    BadCredentials,
    /// The security token is over, malformed or of other keys.
    Token,
    /// RAM does not allow it.
    Denied {
        /// The permission that is missing, if the service said.
        action: Option<String>,
    },
    /// No such thing. An endpoint is gone only if it is also missing from a complete list.
    NotFound,
    /// The thing is in a state that does not allow it.
    Busy,
    /// The product is not activated.
    ProductOff,
    /// The service's own fault.
    Server,
    /// Our fault, or the wrong region.
    BadCall,
    /// A code that this table does not have.
    Other,
}

impl Class {
    /// The word in metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        self.words().0
    }

    /// Whether the service's own words add nothing to it.
    fn says_it_all(&self) -> bool {
        match self {
            Self::Throttled { .. }
            | Self::ClockSkew
            | Self::NonceUsed
            | Self::BadCredentials
            | Self::Token
            | Self::Denied { .. }
            | Self::ProductOff => true,
            Self::NotFound | Self::Busy | Self::Server | Self::BadCall | Self::Other => false,
        }
    }

    /// The word in metrics, and what people read.
    fn words(&self) -> (&'static str, &'static str) {
        match self {
            Self::Throttled { .. } => ("throttled", "throttled"),
            Self::ClockSkew => ("clock_skew", "this host's clock is off"),
            Self::NonceUsed => ("nonce_used", "nonce already used"),
            Self::BadCredentials => ("bad_credentials", "credentials refused"),
            Self::Token => ("token", "security token refused"),
            Self::Denied { .. } => ("denied", "permission denied"),
            Self::NotFound => ("not_found", "not found"),
            Self::Busy => ("busy", "not possible in its present state"),
            Self::ProductOff => ("product_off", "product not activated"),
            Self::Server => ("server", "the service failed"),
            Self::BadCall => ("bad_call", "call refused"),
            Self::Other => ("other", "refused"),
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.words().1)
    }
}

/// What an error reply says; also of one that is cut short, or was written by a proxy. Should it repeat one
/// of these secrets, that is hidden.
#[must_use]
pub fn read(reply: &Reply, secrets: &[Secret]) -> Refusal {
    let text = String::from_utf8_lossy(&reply.body);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let xml = text.starts_with('<') || reply.content_type.as_deref().is_some_and(|t| t.starts_with("text/xml"));
    let value = if xml { None } else { serde_json::from_str::<Value>(text).ok() };
    let find = |name: &str| match &value {
        Some(value) => json_text(value, name),
        None if xml => xml_text(text, name),
        None => cut_json_text(text, name),
    };
    let clean = |found: Option<String>| {
        let found = tidy(&hide(&found?, secrets.iter().map(Secret::expose)));
        Some(found).filter(|text| !text.is_empty())
    };
    let action = || match &value {
        Some(value) => member(value, "AccessDeniedDetail").and_then(|detail| json_text(detail, "AuthAction")),
        None => find("AuthAction"),
    };
    let code = clean(find("Code")).unwrap_or_default();
    let class = match (retry_after(reply), class_of(&code)) {
        (Some(wait), _) => Class::Throttled { retry_after: Some(wait) },
        (None, Class::Denied { .. }) => Class::Denied { action: clean(action()) },
        (None, Class::Other) if reply.status == 429 => Class::Throttled { retry_after: None },
        (None, Class::Other) if reply.status >= 500 => Class::Server,
        (None, class) => class,
    };
    let (message, request_id) = (clean(find("Message")).unwrap_or_default(), clean(find("RequestId")));
    Refusal { class, status: reply.status, code, message, request_id, date: reply.date }
}

/// Milliseconds, as the SDK takes them.
fn retry_after(reply: &Reply) -> Option<Duration> {
    let wait = reply.retry_after.as_deref()?.trim().parse().ok().filter(|ms| *ms > 0)?;
    Some(Duration::from_millis(wait).min(LONGEST_RETRY_AFTER))
}

/// What codes mean. A star stands for any text. The order matters: `InvalidAccessKeyId.NotFound` is no `….NotFound`.
const CODES: &[(&[&str], Class)] = &[
    (&["Throttling*"], Class::Throttled { retry_after: None }),
    (&["InvalidTimeStamp*", "IllegalTimestamp*"], Class::ClockSkew),
    (&["SignatureNonceUsed"], Class::NonceUsed),
    (&["InvalidAccessKey*", "SignatureDoesNotMatch*", "IncompleteSignature*"], Class::BadCredentials),
    (&["InvalidSecurityToken*", "MissingSecurityToken*"], Class::Token),
    (&["Forbidden*", "NoPermission*", "ActionUnauthorized*"], Class::Denied { action: None }),
    (&["MissingParameter*", "InvalidParameter*", "InvalidRegionId*"], Class::BadCall),
    (&["InvalidAction*", "NoSuchVersion*"], Class::BadCall),
    // `EndpointNotFound`, `EndpointZoneNotFound`, `ResourceNotFound`, `InvalidEniId.NotFound` and the like.
    (&["EntityNotExist*", "*NotFound"], Class::NotFound),
    (&["EndpointLocked", "EndpointOperationDenied", "EndpointConnectionOperationDenied"], Class::Busy),
    (&["IncorrectStatus*"], Class::Busy),
    (&["NeedOpenProduct"], Class::ProductOff),
    (&["InternalError*", "ServiceUnavailable*", "SystemError*"], Class::Server),
];

fn class_of(code: &str) -> Class {
    let code = code.to_ascii_lowercase();
    let fits = |pattern: &&str| {
        let pattern = pattern.to_ascii_lowercase();
        match (pattern.strip_suffix('*'), pattern.strip_prefix('*')) {
            (Some(beginning), _) => code.starts_with(beginning),
            (None, Some(end)) => code.ends_with(end),
            (None, None) => code == pattern,
        }
    };
    let found = CODES.iter().find(|(patterns, _)| patterns.iter().any(fits));
    found.map_or(Class::Other, |(_, class)| class.clone())
}

/// A member by its name, the first letter in either case: the SDKs accept both.
fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let mut lower = name.to_owned();
    lower[..1].make_ascii_lowercase();
    value.get(name).or_else(|| value.get(&lower))
}

fn json_text(value: &Value, name: &str) -> Option<String> {
    match member(value, name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The first element of that name. The replies are flat and generated; more of XML is not needed.
fn xml_text(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = rest.split_once("</")?;
    let inner = inner.strip_prefix("<![CDATA[").and_then(|i| i.strip_suffix("]]>")).unwrap_or(inner);
    let plain = inner.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'");
    Some(plain.replace("&amp;", "&"))
}

/// A text member of JSON that does not parse, because it was cut short.
fn cut_json_text(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("\"{name}\""))?;
    let rest = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
    let (inner, _) = rest.split_once('"')?;
    (!inner.contains('\\')).then(|| inner.to_owned())
}

/// A server's text, fit for one line of a log.
fn tidy(text: &str) -> String {
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().map(visible).take(LONGEST_TEXT).collect()
}

#[cfg(test)]
mod tests;
