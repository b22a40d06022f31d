//! What an error of a MySQL server says about the target (pure).
//!
//! The source of the rows is `facts/targets.md` §2.2 for MatrixOne, and the error references of MySQL and MariaDB.
//! Texts come before codes: MatrixOne puts many troubles under 20101, has moved some of them from code to code, and
//! its cloud's front end reports suspensions under the code of a wrong password.

use crate::model::{Failure, FailureReason, Overload, Secret, hide};

/// An error packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    /// The number.
    pub code: u16,
    /// The SQL state; before a greeting most servers send none.
    pub state: Option<String>,
    /// The text, as sent.
    pub text: String,
}

/// What the connection was doing when the error came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It was being opened: no greeting yet, or the login not yet accepted.
    Login,
    /// A statement was being answered.
    Statement,
    /// A ping on a kept connection was being answered.
    Ping,
}

impl ServerError {
    /// Reads the payload of a packet whose first byte is 0xff.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let [0xff, low, high, rest @ ..] = payload else { return None };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (state, rest) = match rest {
            [b'#', rest @ ..] if rest.len() >= 5 => (Some(text(&rest[..5])), &rest[5..]),
            _ => (None, rest),
        };
        Some(Self { code: u16::from_le_bytes([*low, *high]), state, text: text(rest) })
    }

    /// As it may be shown, should the server repeat the secret.
    #[must_use]
    pub fn without(self, secret: Option<&Secret>) -> Self {
        Self { text: hide(&self.text, secret.map(Secret::expose)), ..self }
    }

    /// The failure that it is at this stage. What an admin can do is said where it is not in the server's own words.
    #[must_use]
    pub fn failure(&self, stage: Stage) -> Failure {
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
        if self.code == 20508 || self.by_text() == Some(FailureReason::Overloaded) {
            Overload::NoComputeNode
        } else {
            Overload::Passing
        }
    }

    /// True for the one answer that means that the secret itself was refused: after it no login with that secret is
    /// tried again (B7).
    #[must_use]
    pub fn refuses_the_secret(&self) -> bool {
        matches!(self.code, 1045 | 1698) && self.reason(Stage::Login) == FailureReason::Auth
    }

    /// True if this user, and not the server, has as many connections as it may have.
    #[must_use]
    pub fn says_the_user_is_crowded(&self) -> bool {
        self.code == 1203 || self.code == 1226 && self.text.contains("max_user_connections")
    }

    /// True if the server hangs up after each login of this user, because what it runs then (`init_connect`) fails.
    #[must_use]
    pub fn ends_every_connection(&self) -> bool {
        self.code == 1184 && self.text.contains("init_connect")
    }

    /// True if the server only says goodbye to this one connection, which says nothing of the next.
    #[must_use]
    pub fn ends_only_this_connection(&self) -> bool {
        // Aborted, killed (MariaDB), killed (MySQL), idle for too long.
        matches!(self.code, 1152 | 1184 | 1927 | 3169 | 4031) && !self.ends_every_connection()
    }

    /// The reason, by text, then by code, then by stage.
    #[must_use]
    pub fn reason(&self, stage: Stage) -> FailureReason {
        self.by_text().or_else(|| by_code(self.code)).unwrap_or(match stage {
            Stage::Statement => FailureReason::Query,
            // Something behind the listener that can't serve now.
            Stage::Login | Stage::Ping => FailureReason::BackendDown,
        })
    }

    /// MatrixOne's own. Other servers echo statements, names and data in their texts, so only the codes that
    /// MatrixOne uses for these are looked into.
    fn by_text(&self) -> Option<FailureReason> {
        if !matches!(self.code, 1045 | 1815 | 20000..) {
            return None;
        }
        let text = self.text.to_ascii_lowercase();
        // A user may be called anything.
        let (before, after) = text.split_once("for user ").unwrap_or((&text, ""));
        let after = after.split_once(' ').map_or("", |(_user, rest)| rest);
        let has = |part: &&str| before.contains(part) || after.contains(part);
        MATRIXONE.iter().find(|(parts, _)| parts.iter().all(has)).map(|(_, reason)| *reason)
    }
}

/// Parts of a text, in lower case, and what it means if it has them all. The first that fits decides.
const MATRIXONE: &[(&[&str], FailureReason)] = &[
    (&["no available cn server"], FailureReason::BackendDown),
    (&["cn service is not ready"], FailureReason::BackendDown),
    (&["cn servers are busy"], FailureReason::Overloaded),
    (&["suspended"], FailureReason::Suspended),
    (&["source address", "not authorized"], FailureReason::NotAllowed),
    (&["not in the invited nodes"], FailureReason::NotAllowed),
    (&["user is locked"], FailureReason::NotAllowed),
    (&["administrator to unlock"], FailureReason::NotAllowed),
    (&["there is no tenant"], FailureReason::Misconfigured),
    (&["there is no user"], FailureReason::Misconfigured),
    (&["there is no role"], FailureReason::Misconfigured),
    (&["the role ", "not been granted to the user"], FailureReason::Misconfigured),
    (&["tls config is invalid"], FailureReason::TlsHandshake),
];

fn by_code(code: u16) -> Option<FailureReason> {
    use FailureReason as R;
    Some(match code {
        // Too many connections: of the server, of the user, of the user in this hour. No memory, no thread, no handle.
        // MatrixOne: every backend is busy.
        1040 | 1203 | 1226 | 1037 | 1038 | 1041 | 1135 | 1015 | 1023 | 20508 => R::Overloaded,
        1129 => R::Blocked,
        // The host; the user for a database, table, column, routine or privilege; a locked account.
        1130 | 1044 | 1142 | 1143 | 1227 | 1370 | 1410 | 3118 | 3955 | 4151 | 20301 => R::NotAllowed,
        // A password that is wrong, missing, expired, or refused by a plugin of MatrixOne Cloud.
        1045 | 1698 | 1820 | 1862 | 1815 => R::Auth,
        // No such database, column, table or function; a syntax error; a packet above the limit; TLS demanded; a login
        // method that we can't do; a statement that wants a file of ours.
        1049 | 1054 | 1064 | 1146 | 1305 | 1153 | 13125 | 3159 | 1251 | 2059 | 1148 | 3948 | 4166 => R::Misconfigured,
        // What the server runs after each login of this user fails (`init_connect`).
        1184 => R::Misconfigured,
        // Shutting down, or starting; a proxy that can't reach what is behind it (client codes, ProxySQL's own).
        1053 | 1105 | 2000..=2062 | 9001..=9006 => R::BackendDown,
        // The server could not read from us or write to us, or not in time.
        1158..=1161 => R::Reset,
        // Bad handshake, unknown command, packets out of order, malformed packet.
        1043 | 1047 | 1156 | 1157 | 1835 => R::Protocol,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
