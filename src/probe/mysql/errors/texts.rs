//! What MatrixOne's texts say. It puts most troubles under 20101, has moved some of them from number to number, and its
//! cloud's front end reports suspensions under the number of a wrong password.

use crate::model::FailureReason;
use crate::probe::secret_guard::LoginResult;

/// Parts of a text, in lower case, and what it means if it has them all. The first that fits decides.
const KNOWN: &[(&[&str], FailureReason)] = &[
    (&["no available cn server"], FailureReason::BackendDown),
    (&["cn service is not ready"], FailureReason::BackendDown),
    (BUSY, FailureReason::Overloaded),
    (&["too many connections"], FailureReason::Overloaded),
    (&["suspended"], FailureReason::Suspended),
    // What a restricted account hears when it writes; it may go on reading.
    (&["do not have enough storage"], FailureReason::Suspended),
    (&["source address", "not authorized"], FailureReason::NotAllowed),
    (&["not in the invited nodes"], FailureReason::NotAllowed),
    (&["user is locked"], FailureReason::NotAllowed),
    (&["administrator to unlock"], FailureReason::NotAllowed),
    (&["do not have privilege"], FailureReason::NotAllowed),
    (&["check password failed"], FailureReason::Auth),
    // The login is let in all the same; every statement is refused.
    (&["password has expired"], FailureReason::Auth),
    (&["there is no tenant"], FailureReason::Misconfigured),
    (&["there is no user"], FailureReason::Misconfigured),
    (&["there is no role"], FailureReason::Misconfigured),
    (&["the role ", "not been granted to the user"], FailureReason::Misconfigured),
    (&["invalid tenant name"], FailureReason::Misconfigured),
    (&["invalid user name"], FailureReason::Misconfigured),
    (&["invalid role name"], FailureReason::Misconfigured),
    (&["invalid label format"], FailureReason::Misconfigured),
    (&["tls config is invalid"], FailureReason::TlsHandshake),
];

/// All of what is behind the front end is busy, or dead.
const BUSY: &[&str] = &["cn servers are busy"];

/// What a text says of the secret itself. The first that fits decides.
const VERDICTS: &[(&[&str], LoginResult)] = &[
    (&["user is locked"], LoginResult::Closed),
    (&["administrator to unlock"], LoginResult::Closed),
    (&["password has expired"], LoginResult::Closed),
    (&["check password failed"], LoginResult::Wrong),
];

/// Words of a server that is in trouble itself, whatever else it speaks of.
const THEIRS: &[&str] =
    &["panic", "runtime error", "deadline", "timeout", "timed out", "connection", "unavailable", "not ready", "retry"];

/// Words that speak of who logs in, or of what was asked.
const OURS: &[&str] = &[
    "user",
    "role",
    "tenant",
    "account",
    "password",
    "privilege",
    "permission",
    "not allowed",
    "not supported",
    "syntax",
    "invalid input",
    "invalid argument",
    "does not exist",
    "doesn't exist",
];

/// What a text of MatrixOne's is known to mean.
pub(super) fn known_reason(text: &str) -> Option<FailureReason> {
    let text = text.to_ascii_lowercase();
    KNOWN.iter().find(|(parts, _)| has(&text, parts)).map(|(_, reason)| *reason)
}

/// What a text of MatrixOne's says of the secret, if it does.
pub(super) fn verdict_on_secret(text: &str) -> Option<LoginResult> {
    let text = text.to_ascii_lowercase();
    VERDICTS.iter().find(|(parts, _)| has(&text, parts)).map(|(_, verdict)| *verdict)
}

/// Whether a front end says that no compute node has room.
pub(super) fn lacks_compute_nodes(text: &str) -> bool {
    has(&text.to_ascii_lowercase(), BUSY)
}

/// Whether a text has all these parts, but for the name of its user, who may be called anything.
fn has(text: &str, parts: &[&str]) -> bool {
    let (before, after) = text.split_once("for user ").unwrap_or((text, ""));
    let after = after.split_once(' ').map_or("", |(_user, rest)| rest);
    parts.iter().all(|part| before.contains(part) || after.contains(part))
}

/// Whether an unknown text speaks of our user or statement, and of no trouble of the server's own.
pub(super) fn speaks_of_us(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let has = |part: &&str| text.contains(*part);
    !THEIRS.iter().any(has) && OURS.iter().any(has)
}
