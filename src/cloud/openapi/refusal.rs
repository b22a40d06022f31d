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
        match self {
            Self::Throttled { .. } => "throttled",
            Self::ClockSkew => "clock_skew",
            Self::NonceUsed => "nonce_used",
            Self::BadCredentials => "bad_credentials",
            Self::Token => "token",
            Self::Denied { .. } => "denied",
            Self::NotFound => "not_found",
            Self::Busy => "busy",
            Self::ProductOff => "product_off",
            Self::Server => "server",
            Self::BadCall => "bad_call",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Throttled { .. } => "throttled",
            Self::ClockSkew => "this host's clock is off",
            Self::NonceUsed => "nonce already used",
            Self::BadCredentials => "credentials refused",
            Self::Token => "security token refused",
            Self::Denied { .. } => "permission denied",
            Self::NotFound => "not found",
            Self::Busy => "not possible in its present state",
            Self::ProductOff => "product not activated",
            Self::Server => "the service failed",
            Self::BadCall => "call refused",
            Self::Other => "refused",
        })
    }
}

/// What an error reply says; also of one that is cut short, or was written by a proxy. Should it repeat one
/// of these secrets, that is hidden.
#[must_use]
pub fn read(reply: &Reply, secrets: &[Secret]) -> Refusal {
    let said = error_text(reply, secrets);
    let class = match retry_after(reply) {
        Some(wait) => Class::Throttled { retry_after: Some(wait) },
        None => match class_of(&said.code) {
            Class::Denied { .. } => Class::Denied { action: said.action },
            Class::Other if reply.status == 429 => Class::Throttled { retry_after: None },
            Class::Other if reply.status >= 500 => Class::Server,
            class => class,
        },
    };
    let ErrorText { code, message, request_id, .. } = said;
    Refusal { class, status: reply.status, code, message, request_id, date: reply.date }
}

/// Milliseconds, as the SDK takes them.
fn retry_after(reply: &Reply) -> Option<Duration> {
    let wait = reply.retry_after.as_deref()?.trim().parse().ok().filter(|ms| *ms > 0)?;
    Some(Duration::from_millis(wait).min(LONGEST_RETRY_AFTER))
}

fn class_of(code: &str) -> Class {
    let is = |names: &[&str]| names.iter().any(|name| code.eq_ignore_ascii_case(name));
    let begins = |prefixes: &[&str]| {
        prefixes.iter().any(|p| code.as_bytes().get(..p.len()).is_some_and(|c| c.eq_ignore_ascii_case(p.as_bytes())))
    };
    // The order matters: `InvalidAccessKeyId.NotFound` is no `….NotFound`.
    if begins(&["Throttling"]) {
        Class::Throttled { retry_after: None }
    } else if begins(&["InvalidTimeStamp", "IllegalTimestamp"]) {
        Class::ClockSkew
    } else if is(&["SignatureNonceUsed"]) {
        Class::NonceUsed
    } else if begins(&["InvalidAccessKey", "SignatureDoesNotMatch", "IncompleteSignature"]) {
        Class::BadCredentials
    } else if begins(&["InvalidSecurityToken", "MissingSecurityToken"]) {
        Class::Token
    } else if begins(&["Forbidden", "NoPermission", "ActionUnauthorized"]) {
        Class::Denied { action: None }
    } else if begins(&["MissingParameter", "InvalidParameter", "InvalidRegionId", "InvalidAction", "NoSuchVersion"]) {
        Class::BadCall
    } else if begins(&["EntityNotExist"]) || ends_with_not_found(code) {
        Class::NotFound
    } else if is(&["EndpointLocked", "EndpointOperationDenied", "EndpointConnectionOperationDenied"])
        || begins(&["IncorrectStatus"])
    {
        Class::Busy
    } else if is(&["NeedOpenProduct"]) {
        Class::ProductOff
    } else if begins(&["InternalError", "ServiceUnavailable", "SystemError"]) {
        Class::Server
    } else {
        Class::Other
    }
}

/// `EndpointNotFound`, `EndpointZoneNotFound`, `ResourceNotFound`, `InvalidEniId.NotFound` and the like.
fn ends_with_not_found(code: &str) -> bool {
    const END: &[u8] = b"NotFound";
    code.len().checked_sub(END.len()).is_some_and(|at| code.as_bytes()[at..].eq_ignore_ascii_case(END))
}

#[derive(Debug, Default, PartialEq, Eq)]
struct ErrorText {
    code: String,
    message: String,
    request_id: Option<String>,
    action: Option<String>,
}

fn error_text(reply: &Reply, secrets: &[Secret]) -> ErrorText {
    let text = String::from_utf8_lossy(&reply.body);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let xml = text.starts_with('<') || reply.content_type.as_deref().is_some_and(|t| t.starts_with("text/xml"));
    let value = if xml { None } else { serde_json::from_str::<Value>(text).ok() };
    let find = |name: &str| match &value {
        Some(value) => json_text(value, name),
        None if xml => xml_text(text, name),
        None => cut_json_text(text, name),
    };
    let action = match &value {
        Some(value) => member(value, "AccessDeniedDetail").and_then(|detail| json_text(detail, "AuthAction")),
        None => find("AuthAction"),
    };
    let tidy = |text: &String| tidy(&hide(text, secrets.iter().map(Secret::expose)));
    let clean = |name| find(name).as_ref().map(tidy).filter(|text| !text.is_empty());
    ErrorText {
        code: clean("Code").unwrap_or_default(),
        message: clean("Message").unwrap_or_default(),
        request_id: clean("RequestId"),
        action: action.as_ref().map(tidy).filter(|action| !action.is_empty()),
    }
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
