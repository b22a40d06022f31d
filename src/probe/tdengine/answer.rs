//! What an answer of TDengine's REST gateway means (pure): every code of taosAdapter's documentation and source that
//! says something about the target.
//!
//! An HTTP 200 can be a failure, since most errors of the database come that way; a 503 can be a bare JSON string; and
//! a result without rows is none, because an error in the midst of a result ends it silently.

mod meaning;

use meaning::{Meaning, means};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::model::secret_parts::{masked, of_text};
use crate::model::{Failure, FailureReason, Secret, hide};

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// A statement without a login: being refused is right.
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
    /// True if the secret itself is wrong: no target should send it again.
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

/// What gateways say in an object, where an adapter has `desc`. Of any type, since nothing else of the object goes by
/// it.
#[derive(Debug, Default, Deserialize)]
struct Words {
    msg: Option<Value>,
    message: Option<Value>,
}

impl Words {
    fn text(&self) -> Option<&str> {
        [&self.msg, &self.message].into_iter().flatten().filter_map(Value::as_str).find(|text| !text.is_empty())
    }
}

/// Whether an answer is the right one.
///
/// # Errors
/// Why not.
pub fn judge(text: &Text<'_>, question: &Question) -> Result<(), Refusal> {
    let reply: Option<Reply> = object(text.body);
    match (&reply, question) {
        // A gateway that refuses a stranger by any of its ways is there; so is one that answers.
        (_, Question::Anonymous) if matches!(text.status, 401 | 403) => Ok(()),
        (Some(reply), Question::Anonymous) if text.status == 200 && meaning::is_about_login(reply.code) => Ok(()),
        (Some(reply), Question::Anonymous | Question::Login) if text.status == 200 && reply.code == 0 => Ok(()),
        (Some(reply), Question::Query { expect }) if text.status == 200 && reply.code == 0 => {
            check_first_row(text, reply, expect.as_deref()).map_err(|failure| Refusal { failure, of_secret: false })
        }
        (Some(reply), _) => Err(refusal_with_code(text, reply)),
        // A stranger's statement is ours, and has no long result.
        (None, Question::Login | Question::Query { .. }) if text.status == 200 && text.cut && is_result(text.body) => {
            let most = text.body.len();
            let detail = format_args!("the statement returns too much for a probe: more than {most} bytes");
            Err(refusal(means(FailureReason::Misconfigured), detail))
        }
        (None, _) => Err(refusal_without_code(text)),
    }
}

/// An object of JSON.
fn object<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    // serde would take an array, too, and in fields that it skips what is no text: that is no JSON.
    let json = std::str::from_utf8(body).ok()?;
    json.trim_ascii_start().starts_with('{').then(|| serde_json::from_str(json).ok())?
}

/// Whether a body begins as the adapter begins a result: with the code of success.
fn is_result(body: &[u8]) -> bool {
    begins(body, &["{", "\"code\"", ":", "0", ","])
}

/// Whether a body begins with these tokens.
fn begins(body: &[u8], tokens: &[&str]) -> bool {
    let mut rest = body;
    tokens.iter().all(|token| {
        let found = rest.trim_ascii_start().strip_prefix(token.as_bytes());
        rest = found.unwrap_or(rest);
        found.is_some()
    })
}

/// A result has a row, and its first column is the expected one.
fn check_first_row(text: &Text<'_>, reply: &Reply, expect: Option<&str>) -> Result<(), Failure> {
    let said = |expected: String, found: String| {
        Err(Failure::new(FailureReason::Result, format_args!("expected {expected}, found {found}")))
    };
    let (Some(first), Some(1..)) = (reply.data.as_deref().and_then(<[Value]>::first), reply.rows) else {
        return said("a row".to_owned(), "none".to_owned());
    };
    let Some(expected) = expect else { return Ok(()) };
    let shown = format!("{:?}", masked(expected, &of_text(expected)));
    match first.as_array().and_then(|row| row.first()).map(value_as_text) {
        Some(found) if found == expected => Ok(()),
        Some(found) => said(shown, format!("{:?}", text.shown(&found))),
        None => said(shown, "a row without columns".to_owned()),
    }
}

fn value_as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "NULL".to_owned(),
        other => other.to_string(),
    }
}

/// A reply with a code. A code that says something goes before the status, which depends on the server's settings.
fn refusal_with_code(text: &Text<'_>, Reply { code, desc, .. }: &Reply) -> Refusal {
    let (status, words) = (text.status, object::<Words>(text.body).unwrap_or_default());
    let desc = desc.as_deref().filter(|desc| !desc.is_empty()).or_else(|| words.text()).unwrap_or_default();
    // A gateway may say its status once more.
    let of_database = *code != i64::from(status);
    let by_code = of_database.then(|| meaning::of_code(*code, desc)).flatten().or_else(|| meaning::of_text(desc));
    let meaning = by_code.or_else(|| meaning::of_status(status)).unwrap_or(means(FailureReason::Query));
    let http = if status == 200 { String::new() } else { format!("HTTP {status}, ") };
    let desc = if desc.is_empty() { "no description".to_owned() } else { text.shown(desc) };
    refusal(meaning, format_args!("{http}code {code}: {desc}"))
}

/// Anything but an object with a code: a bare string, a gateway's page, half of a reply.
fn refusal_without_code(text: &Text<'_>) -> Refusal {
    let Text { status, body, cut, .. } = *text;
    let words: Words = object(body).unwrap_or_default();
    // A result of TDengine 2 begins with a status.
    if begins(body, &["{", "\"status\"", ":", "\"succ\"", ","]) {
        let detail = format_args!("TDengine 2 answers here, which knows no codes: the probe asks TDengine 3");
        return refusal(means(FailureReason::Misconfigured), detail);
    }
    if status == 200 {
        let found = if cut { format!("more than {} bytes", body.len()) } else { shape(body).to_owned() };
        let failure = format_args!("expected a JSON object with a code, found {found}");
        return refusal(means(FailureReason::Protocol), failure);
    }
    let string: Option<String> = serde_json::from_slice(body).ok();
    let said = string.as_deref().or_else(|| words.text());
    // A gateway's own words on a token are not the database's.
    let by_text = said.and_then(meaning::of_text).map(|meaning| Meaning { of_secret: false, ..meaning });
    let meaning = by_text.or_else(|| meaning::of_status(status)).unwrap_or(means(FailureReason::Result));
    let hint = if status == 404 { "; if every zone says so, `path` is wrong" } else { "" };
    match said {
        Some(said) => refusal(meaning, format_args!("HTTP {status}: {}{hint}", text.shown(said))),
        None => refusal(meaning, format_args!("HTTP {status} with {}{hint}", shape(body))),
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
