//! What an answer of TDengine's REST gateway means (pure): every code of taosAdapter's documentation and source that says
//! something about the target.
//!
//! An HTTP 200 can be a failure, since most errors of the database come that way; a 503 can be a bare JSON string; and a
//! result without rows is none, because an error in the midst of a result ends it silently.

use serde::Deserialize;
use serde_json::Value;

use crate::model::{Failure, FailureReason, Overload, Secret, hide};

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// A statement of nobody: being refused is right.
    Anonymous,
    /// Whether the login is accepted.
    Login,
    /// Whether a statement has a result, and which.
    Query {
        /// What the first column of the first row must be, as text.
        expect: Option<String>,
    },
}

/// An answer.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    /// HTTP's status.
    pub status: u16,
    /// The body.
    pub body: &'a [u8],
    /// Whether it goes on.
    pub cut: bool,
    /// What no message may repeat, should the body do so.
    pub secrets: &'a [Secret],
}

impl Text<'_> {
    /// Words of the body, fit to be shown.
    fn shown(&self, words: &str) -> String {
        hide(words, self.secrets.iter().map(Secret::expose))
    }
}

/// Why an answer is not the right one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What to report.
    pub failure: Failure,
    /// True if the secret itself is wrong: nobody should send it again.
    pub of_secret: bool,
}

/// The parts of a reply that count; column meta data and timings don't.
#[derive(Debug, Deserialize)]
struct Reply {
    code: i64,
    desc: Option<String>,
    data: Option<Vec<Value>>,
    rows: Option<u64>,
}

/// What a code, a status or a sentence says about the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Meaning {
    reason: FailureReason,
    of_secret: bool,
    /// Of which kind it is if it is an overload.
    overload: Overload,
}

const fn means(reason: FailureReason) -> Meaning {
    Meaning { reason, of_secret: false, overload: Overload::Passing }
}

const WRONG_SECRET: Meaning = Meaning { of_secret: true, ..means(FailureReason::Auth) };

/// This one adapter refuses everybody, or every query, until its memory falls.
const WHOLE_ADAPTER: Meaning = Meaning { overload: Overload::WholeAdapter, ..means(FailureReason::Overloaded) };

/// Whether an answer is the right one.
///
/// # Errors
/// Why not.
pub fn judge(text: &Text<'_>, question: &Question) -> Result<(), Refusal> {
    let reply = reply(text.body);
    match (&reply, question) {
        // Whoever refuses a stranger by any of its ways is there; so is who answers him.
        (_, Question::Anonymous) if matches!(text.status, 401 | 403) => Ok(()),
        (Some(reply), Question::Anonymous) if text.status == 200 && is_about_login(reply.code) => Ok(()),
        (Some(reply), Question::Anonymous | Question::Login) if text.status == 200 && reply.code == 0 => Ok(()),
        (Some(reply), Question::Query { expect }) if text.status == 200 && reply.code == 0 => {
            result(text, reply, expect.as_deref()).map_err(|failure| Refusal { failure, of_secret: false })
        }
        (Some(reply), _) => Err(of_code(text, reply)),
        // A stranger's statement is ours, and has no long result.
        (None, Question::Login | Question::Query { .. }) if text.status == 200 && text.cut && is_result(text.body) => {
            let most = text.body.len();
            let detail = format_args!("the statement returns too much for a probe: more than {most} bytes");
            Err(refusal(means(FailureReason::Misconfigured), detail))
        }
        (None, _) => Err(without_code(text)),
    }
}

/// The reply in a body, if it is one.
fn reply(body: &[u8]) -> Option<Reply> {
    // serde would take an array, too, and in fields that it skips what is no text: that is no JSON.
    let json = std::str::from_utf8(body).ok()?;
    json.trim_ascii_start().starts_with('{').then(|| serde_json::from_str(json).ok())?
}

/// Whether a body begins as the adapter begins a result: with the code of success.
fn is_result(body: &[u8]) -> bool {
    let mut rest = body;
    ["{", "\"code\"", ":", "0", ","].iter().all(|token| {
        let found = rest.trim_ascii_start().strip_prefix(token.as_bytes());
        rest = found.unwrap_or(rest);
        found.is_some()
    })
}

/// A result has a row, and its first column is the expected one.
fn result(text: &Text<'_>, reply: &Reply, expect: Option<&str>) -> Result<(), Failure> {
    let said = |expected: String, found: String| {
        Err(Failure::new(FailureReason::Result, format_args!("expected {expected}, found {found}")))
    };
    let (Some(first), Some(1..)) = (reply.data.as_deref().and_then(<[Value]>::first), reply.rows) else {
        return said("a row".to_owned(), "none".to_owned());
    };
    let Some(expected) = expect else { return Ok(()) };
    match first.as_array().and_then(|row| row.first()).map(plain) {
        Some(found) if found == expected => Ok(()),
        Some(found) => said(format!("{expected:?}"), format!("{:?}", text.shown(&found))),
        None => said(format!("{expected:?}"), "a row without columns".to_owned()),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "NULL".to_owned(),
        other => other.to_string(),
    }
}

/// A reply with a code. A code that says something goes before the status, which depends on the server's settings.
fn of_code(text: &Text<'_>, Reply { code, desc, .. }: &Reply) -> Refusal {
    let (status, desc) = (text.status, desc.as_deref().unwrap_or_default());
    let by_code = meaning_of_code(*code).or_else(|| meaning_of_text(desc));
    let meaning = by_code.or_else(|| meaning_of_status(status)).unwrap_or(means(FailureReason::Query));
    let http = if status == 200 { String::new() } else { format!("HTTP {status}, ") };
    let desc = if desc.is_empty() { "no description".to_owned() } else { text.shown(desc) };
    refusal(meaning, format_args!("{http}code {code}: {desc}"))
}

/// The documented codes: the low 16 bits of those of the C library.
fn meaning_of_code(code: i64) -> Option<Meaning> {
    use FailureReason as R;
    Some(match code {
        // Authentication failure, invalid user; no, odd, bad Basic or bad token in the header.
        855 | 849 | 4357 | 4386 | 4388 | 4389 => WRONG_SECRET,
        // The rest of the range that a server may answer with 401; a user that is disabled.
        848..=856 | 789 => means(R::Auth),
        // Insufficient privilege.
        771 => means(R::NotAllowed),
        // No connection to the database, a broken or slow one, vnodes or mnodes out of service, starting up, closing down.
        11 | 24 | 25 | 32 | 33 | 35 | 304 | 305 => means(R::BackendDown),
        // Too many sessions, a busy network, no memory left in the queue.
        34 | 36 | 294 => means(R::Overloaded),
        // No such database, none given, one that is being dropped, no such table, bad syntax, an empty request.
        904 | 896 | 902 | 9731 | 9728 | 4358 | 4359 => means(R::Misconfigured),
        _ => return None,
    })
}

/// Whether a code is about who asks.
fn is_about_login(code: i64) -> bool {
    meaning_of_code(code).is_some_and(|m| matches!(m.reason, FailureReason::Auth | FailureReason::NotAllowed))
}

/// The sentences of the adapter's generic code, 65535, and of its bare strings.
fn meaning_of_text(text: &str) -> Option<Meaning> {
    use FailureReason as R;
    let has = |part: &str| text.contains(part);
    Some(match () {
        () if has("whitelist") => means(R::NotAllowed),
        () if has("sql rejected") => means(R::Misconfigured),
        // Its pool is exhausted. Any other word on a connection is about the database behind it.
        () if has("get connection timeout") || has("exceeded connection pool max wait") => means(R::Overloaded),
        () if has("memory exceeds threshold") => WHOLE_ADAPTER,
        () if has("Authentication failure") => WRONG_SECRET,
        () => return None,
    })
}

fn meaning_of_status(status: u16) -> Option<Meaning> {
    use FailureReason as R;
    Some(match status {
        400 | 404 | 405 | 413 => means(R::Misconfigured),
        401 => WRONG_SECRET,
        403 => means(R::NotAllowed),
        429 => means(R::Overloaded),
        500 | 502..=504 => means(R::BackendDown),
        _ => return None,
    })
}

/// Anything but an object with a code: a bare string, a gateway's page, half of a reply.
fn without_code(text: &Text<'_>) -> Refusal {
    let Text { status, body, cut, .. } = *text;
    if status == 200 {
        let found = if cut { format!("more than {} bytes", body.len()) } else { shape(body).to_owned() };
        let failure = format_args!("expected a JSON object with a code, found {found}");
        return refusal(means(FailureReason::Protocol), failure);
    }
    let string: Option<String> = serde_json::from_slice(body).ok();
    let by_text = string.as_deref().and_then(meaning_of_text);
    let meaning = by_text.or_else(|| meaning_of_status(status)).unwrap_or(means(FailureReason::Result));
    match string {
        Some(string) => refusal(meaning, format_args!("HTTP {status}: {}", text.shown(&string))),
        None => refusal(meaning, format_args!("HTTP {status} with {}", shape(body))),
    }
}

/// A body in a word. Its text may hold anything.
fn shape(body: &[u8]) -> &'static str {
    let text = body.trim_ascii_start();
    match text.first() {
        None => "an empty body",
        Some(b'<') => "a page",
        Some(b'{' | b'[') if serde_json::from_slice::<Value>(body).is_ok() => "other JSON",
        Some(b'{' | b'[') => "broken JSON",
        Some(_) => "another body",
    }
}

fn refusal(Meaning { reason, of_secret, overload }: Meaning, detail: std::fmt::Arguments<'_>) -> Refusal {
    Refusal { failure: Failure::new(reason, detail).with_overload(overload), of_secret }
}

#[cfg(test)]
mod tests;
