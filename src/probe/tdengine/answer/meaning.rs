//! What a code, a status or a sentence says about the target (pure).
//!
//! Codes are the low 16 bits of those of the C library (`taoserror.h`): the high byte names the part that speaks. What
//! speaks of our user, licence, statement or limits moves no name, in codes that are not listed here, too: each part of
//! which that is the subject has a range here. What is known one by one goes first, then words, then ranges.

use crate::model::{FailureReason as R, Overload};
use crate::probe::http;

/// What it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meaning {
    pub(super) reason: R,
    /// True if it says of the secret that it is wrong.
    pub(super) of_secret: bool,
    /// Of which kind it is if it is an overload.
    pub(super) overload: Overload,
}

pub(super) const fn means(reason: R) -> Meaning {
    Meaning { reason, of_secret: false, overload: Overload::Passing }
}

const WRONG_SECRET: Meaning = Meaning { of_secret: true, ..means(R::Auth) };

/// This one adapter refuses every client, or every query, until its memory falls.
const WHOLE_ADAPTER: Meaning = Meaning { overload: Overload::WholeAdapter, ..means(R::Overloaded) };

/// A code with its text. `None` if it says nothing in particular.
pub(super) fn of_code(code: i64, text: &str) -> Option<Meaning> {
    // Under the adapter's own code only words tell.
    let ranges = || if code == ADAPTER { None } else { by_range(code) };
    known(code).or_else(|| of_text(text)).or_else(ranges)
}

/// Whether a code is about who asks.
pub(super) fn is_about_login(code: i64) -> bool {
    let meaning = known(code).or_else(|| by_range(code));
    meaning.is_some_and(|m| matches!(m.reason, R::Auth | R::NotAllowed))
}

/// Whatever goes wrong within taosAdapter.
const ADAPTER: i64 = 0xffff;

/// The codes that are known one by one.
fn known(code: i64) -> Option<Meaning> {
    Some(match code {
        // Authentication failure, invalid user.
        855 | 849 => WRONG_SECRET,
        // Credentials that the adapter does not find or can't read: what a gateway made of ours. A user that is
        // disabled.
        4357 | 4386 | 4388 | 4389 | 789 => means(R::Auth),
        // Insufficient privilege, no right to write, not allowed to connect, permission denied.
        771 | 532 | 308 | 9796 => means(R::NotAllowed),
        // The account's time is over.
        835 | 836 => means(R::Suspended),
        // No connection to the database, a broken or slow one, vnodes or mnodes out of service, starting up, closing
        // down.
        11 | 24 | 25 | 32 | 33 | 35 | 304 | 305 => means(R::BackendDown),
        // Names not resolved or modules ended behind the adapter, its connection gone or killed, no node to execute on,
        // no leader, none ready yet; no word on a table from the part that should know.
        21 | 38 | 523 | 531 | 533 | 558 | 950 | 1032 | 1283 | 1312 | 1321 | 2307 | 2316 | 2321 | 2324 | 9826 => {
            means(R::BackendDown)
        }
        // Too many sessions, a busy network, no memory or buffers left, too many queries.
        34 | 36 | 258 | 294 | 311 | 524 | 1329 | 1803 | 1849 | 1850 => means(R::Overloaded),
        // A timestamp out of range.
        1547 => means(R::Misconfigured),
        // The parser's own fault.
        9983 => means(R::Query),
        _ => return None,
    })
}

/// Ranges in which everything is about who asks, or what for.
fn by_range(code: i64) -> Option<Meaning> {
    Some(match code {
        // An operation, a parameter or an option that there is not.
        0x0100 | 0x0118..=0x011a => means(R::Misconfigured),
        // No code of a database: a gateway says HTTP's status in its body.
        400..=511 => return of_status(u16::try_from(code).ok()?),
        // The request, as the client's library within the adapter sees it.
        0x0200..=0x02ff => means(R::Misconfigured),
        // Accounts.
        0x0340..=0x034f => means(R::NotAllowed),
        // Users and their passwords.
        0x0350..=0x035f => means(R::Auth),
        // Tables, functions and databases.
        0x0360..=0x039f => means(R::Misconfigured),
        // Tables, and the limits of a query.
        0x0600 | 0x0601 | 0x0603 | 0x0618 | 0x0705 | 0x0706 | 0x070a | 0x070d => means(R::Misconfigured),
        // The licence and what it grants.
        0x0800..=0x08ff => means(R::Suspended),
        // HTTP requests.
        0x1100..=0x11ff => means(R::Misconfigured),
        // Statements: parser, planner, functions. Lines without a schema.
        0x2600..=0x28ff | 0x3000..=0x30ff => means(R::Misconfigured),
        _ => return None,
    })
}

/// Words that say something, whatever the code: those of the adapter's generic one and of its bare strings, and of
/// codes of newer servers.
pub(super) fn of_text(text: &str) -> Option<Meaning> {
    let text = text.to_ascii_lowercase();
    let has = |part: &str| text.contains(part);
    let any = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    Some(match () {
        () if has("whitelist") || has("white list") => means(R::NotAllowed),
        () if has("sql rejected") => means(R::Misconfigured),
        // Its pool is exhausted. Any other word on a connection is about the database behind it.
        () if has("get connection timeout") || has("exceeded connection pool max wait") => means(R::Overloaded),
        // Its limiter; the code of its own stands in the text alone.
        () if has("[0xfffe]") || has("request wait timeout") || has("request wait queue is full") => {
            means(R::Overloaded)
        }
        () if has("memory exceeds threshold") => WHOLE_ADAPTER,
        () if has("authentication failure") => WRONG_SECRET,
        () if any(&["too many connections", "too many sessions"]) => means(R::Overloaded),
        () if any(&["password", "token"]) && any(OVER) => means(R::Auth),
        () if any(&["licence", "license", "grant"]) && any(&["expired", "limited"]) => means(R::Suspended),
        () if has("account") && any(OVER) || any(&["suspended", "arrears"]) => means(R::Suspended),
        () if has("user") && any(OVER) => means(R::Auth),
        () if has("insufficient privilege") => means(R::NotAllowed),
        () => return None,
    })
}

/// What becomes of a user and what proves him.
const OVER: &[&str] = &["expired", "disabled", "locked"];

/// A status. A front that knows no such path has lost what was behind it: a sibling that knows it takes the name over,
/// and where none does, nothing moves (B4).
pub(super) fn of_status(status: u16) -> Option<Meaning> {
    let of_front = match status {
        404 | 500 | 502..=504 => Some(R::BackendDown),
        408 => Some(R::Timeout),
        // Done, and without an answer: `path` is another service's.
        201..=299 => Some(R::Misconfigured),
        _ => None,
    };
    of_front.or_else(|| http::reason_of_request_fault(status)).map(means)
}
