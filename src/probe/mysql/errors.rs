//! What an error of a MySQL server says about the target (pure).
//!
//! The sources of the rows are `matrixone_errors.md` beside the tests, and the error references of MySQL and MariaDB.
//! Texts come before numbers, since MatrixOne has few numbers.

use crate::model::secret_parts::literals;
use crate::model::{Failure, FailureReason, Overload, Secret, hide};
use crate::probe::secret_guard::LoginResult;
use numbers::Class;

mod numbers;
mod texts;

/// An error packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerError {
    /// The number.
    pub(crate) code: u16,
    /// The SQL state; before a greeting most servers send none.
    pub(crate) state: Option<String>,
    /// The text, as sent.
    pub(crate) text: String,
}

/// The product whose greeting is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Product {
    /// Whatever speaks the protocol.
    Any,
    /// MatrixOne alone.
    Matrixone,
}

/// What the connection was doing when the error came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It was being opened: no greeting yet, or the login not yet accepted.
    Login,
    /// A statement was being answered by this product.
    Statement(Product),
    /// A ping on a kept connection was being answered.
    Ping,
}

impl ServerError {
    /// Reads the payload of a packet whose first byte is 0xff.
    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        let [0xff, low, high, rest @ ..] = payload else { return None };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (state, rest) = match rest {
            [b'#', rest @ ..] if rest.len() >= 5 => (Some(text(&rest[..5])), &rest[5..]),
            _ => (None, rest),
        };
        Some(Self { code: u16::from_le_bytes([*low, *high]), state, text: text(rest) })
    }

    /// As it may be shown, should the server repeat the secret.
    pub(crate) fn without_secret(self, secret: Option<&Secret>) -> Self {
        Self { text: hide(&self.text, secret.map(Secret::expose)), ..self }
    }

    /// As it may be shown, should the server repeat what stands in the statement.
    pub(crate) fn without_literals(self, statement: &str) -> Self {
        Self { text: hide(&self.text, literals(statement)), ..self }
    }

    /// The failure that it is at this stage. What an admin can do is said where it is not in the server's own words.
    pub(crate) fn failure(&self, stage: Stage) -> Failure {
        let overload = self.overload();
        let remedy = match self.code {
            _ if self.says_the_user_is_crowded() => {
                "; allow two a host: one that the path check keeps, one for the deep check"
            }
            _ if self.ends_every_connection() => "; mend the server's init_connect, or what this user may do",
            1129 => "; run FLUSH HOSTS on the server (mariadb-admin flush-hosts) and raise its max_connect_errors",
            3159 => "; set tls = \"required\" or \"verify\"",
            _ if overload == Overload::NoComputeNode => "; no compute node finishes a login",
            _ => "",
        };
        let state = self.state.as_ref().map(|state| format!(" ({state})")).unwrap_or_default();
        // The remedy must survive the cut of a long text.
        let text: String = self.text.chars().take(Failure::MAX_DETAIL - 20 - remedy.len()).collect();
        let detail = format_args!("{}{state}: {}{remedy}", self.code, text.trim_end_matches('.'));
        Failure::new(self.reason(stage), detail).with_overload(overload)
    }

    /// Which kind of overload it is, if it is one. MatrixOne's proxy calls it busy when no compute node finished the
    /// login in time, frozen and dead ones included.
    fn overload(&self) -> Overload {
        if self.code == 20508 || self.code >= 20000 && texts::lacks_compute_nodes(&self.text) {
            Overload::NoComputeNode
        } else {
            Overload::Passing
        }
    }

    /// What the server says of the secret itself, if it does: after that no host goes on with it (B7). A wrong password
    /// is final, since servers count them; a locked account and an expired password end even the slow tries, at
    /// MatrixOne, which says so by texts, as at MySQL.
    pub(crate) fn verdict_on_secret(&self) -> Option<LoginResult> {
        match self.code {
            1045 | 20000.. if texts::verdict_on_secret(&self.text).is_some() => texts::verdict_on_secret(&self.text),
            1045 | 1698 => (self.reason(Stage::Login) == FailureReason::Auth).then_some(LoginResult::Wrong),
            // Locked: after wrong passwords (MySQL, MariaDB), by an admin. Expired.
            3955 | 4151 | 3118 | 1862 | 1820 => Some(LoginResult::Closed),
            _ => None,
        }
    }

    /// True if this user, and not the server, has as many connections as it may have.
    pub(crate) fn says_the_user_is_crowded(&self) -> bool {
        self.code == 1203 || self.code == 1226 && self.text.contains("max_user_connections")
    }

    /// True if the server hangs up after each login of this user, because what it runs then (`init_connect`) fails.
    pub(crate) fn ends_every_connection(&self) -> bool {
        self.code == 1184 && self.text.contains("init_connect")
    }

    /// True if the server only says goodbye to this one connection, which says nothing of the next.
    pub(crate) fn ends_only_this_connection(&self) -> bool {
        // Aborted, killed (MariaDB), killed (MySQL), idle for too long.
        matches!(self.code, 1152 | 1184 | 1927 | 3169 | 4031) && !self.ends_every_connection()
    }

    /// The reason, by text, then by number, then by the class of the number, then by stage: where it is not known what
    /// it is, only what is not of our own making may move a name.
    pub(crate) fn reason(&self, stage: Stage) -> FailureReason {
        // MatrixOne's is any raw error of its own; elsewhere it is the unknown error, which a statement can raise, too.
        let unknown = self.code == 1105 && stage == Stage::Statement(Product::Any);
        if let Some(reason) = self.reason_by_text().or_else(|| numbers::known_reason(self.code)).filter(|_| !unknown) {
            return reason;
        }
        let of_statement = matches!(stage, Stage::Statement(_));
        match numbers::class_of(self.code, self.state.as_deref(), of_statement) {
            Class::Ours(reason) => reason,
            Class::Internal if texts::speaks_of_us(&self.text) => FailureReason::Misconfigured,
            Class::Internal | Class::Theirs if of_statement => FailureReason::Query,
            // Something behind the listener that can't serve now.
            Class::Internal | Class::Theirs => FailureReason::BackendDown,
        }
    }

    /// MatrixOne's own. Other servers echo statements, names and data in their texts, so only the codes that
    /// MatrixOne uses for these are looked into.
    fn reason_by_text(&self) -> Option<FailureReason> {
        match self.code {
            1045 | 20000.. => texts::known_reason(&self.text),
            // Any raw error of a login; a refusal only where the front end says so.
            1815 if self.text.starts_with("Auth failed:") => {
                texts::known_reason(&self.text).or(Some(FailureReason::Auth))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
