//! Why a check failed: a closed set, because it decides whether a name moves.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::worded;

worded! {
    /// The reason of a failed check. Its [`label`](Self::label) is the metric label and the word in status and logs.
    FailureReason {
        /// The address answered with a reset to the SYN, or said the port is closed.
        Refused = "refused",
        /// No route, or the network said so.
        Unreachable = "unreachable",
        /// The deadline passed.
        Timeout = "timeout",
        /// The peer closed or reset an open connection.
        Reset = "reset",
        /// The peer spoke something other than the protocol asked for.
        Protocol = "protocol",
        /// TLS was not agreed on, or the chain is not trusted.
        TlsHandshake = "tls_handshake",
        /// The certificate is for another name.
        TlsName = "tls_name",
        /// The certificate has run out, or is not valid yet.
        TlsExpired = "tls_expired",
        /// The front end answers, the database behind it does not.
        BackendDown = "backend_down",
        /// The database refused a statement that should work.
        Query = "query",
        /// The statement worked, its result is not the expected one.
        Result = "result",
        /// Alive, and too busy to serve.
        Overloaded = "overloaded",
        /// Wrong user, password or token.
        Auth = "auth",
        /// The account is suspended or in arrears.
        Suspended = "suspended",
        /// This host or user is not allowed in.
        NotAllowed = "not_allowed",
        /// The probe itself asks for something that does not exist.
        Misconfigured = "misconfigured",
        /// The server has blocked this host.
        Blocked = "blocked",
        /// A fault of our own, such as no free socket: says nothing about the target.
        Local = "local",
    }
}

impl FailureReason {
    /// True if another zone can mend it, so that a name may move because of it (B4).
    #[must_use]
    pub fn moves_a_name(self) -> bool {
        match self {
            Self::Refused
            | Self::Unreachable
            | Self::Timeout
            | Self::Reset
            | Self::Protocol
            | Self::TlsHandshake
            | Self::TlsName
            | Self::TlsExpired
            | Self::BackendDown
            | Self::Query
            | Self::Result => true,
            Self::Overloaded
            | Self::Auth
            | Self::Suspended
            | Self::NotAllowed
            | Self::Misconfigured
            | Self::Blocked
            | Self::Local => false,
        }
    }

    /// True if it is said of who logs in, and not of the server.
    #[must_use]
    pub fn is_of_our_login(self) -> bool {
        matches!(self, Self::Auth | Self::Suspended | Self::NotAllowed | Self::Misconfigured)
    }

    /// True if the server has said something, be it the wrong thing.
    #[must_use]
    pub fn is_an_answer(self) -> bool {
        !matches!(self, Self::Refused | Self::Unreachable | Self::Timeout | Self::Reset | Self::Local)
    }
}

/// Which kind of overload a failure of reason [`FailureReason::Overloaded`] is. To people and in metrics all are
/// `overloaded`; what steering makes of one that lasts differs (`steer::shed`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overload {
    /// Too many clients or statements at present: every zone leads to the same database, and moving would not mend it.
    #[default]
    Passing,
    /// MatrixOne's 20508: no compute node behind this endpoint finishes a login in time, whatever the cause. Its zones
    /// lead to the same nodes; only another endpoint can do better.
    NoComputeNode,
    /// TDengine's adapter pauses for want of memory: this one adapter, behind this one zone, refuses every client, or
    /// every query.
    WholeAdapter,
}

/// A reason, and one short sentence for people about what was seen. The sentence never holds a secret and nothing
/// decides by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The closed reason.
    pub reason: FailureReason,
    /// What was seen, at most [`Self::MAX_DETAIL`] characters, without control characters.
    pub detail: Box<str>,
    /// Says something only where the reason is [`FailureReason::Overloaded`].
    #[serde(default, skip_serializing_if = "is_passing")]
    overload: Overload,
    /// The attempt got no further than the connection or the greeting: it came before what the check is about.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub on_the_way: bool,
    /// How often TCP had sent something again by then because its timer ran out; 0 where that is not known. Of no
    /// interest once the health of the target is known.
    #[serde(skip)]
    pub retransmissions: u32,
    /// This host forbids connections to this one address. Of no interest once the health of the target is known.
    #[serde(skip)]
    pub forbidden: bool,
}

fn is_passing(overload: &Overload) -> bool {
    *overload == Overload::Passing
}

impl Failure {
    /// Longest kept sentence, in characters.
    pub const MAX_DETAIL: usize = 200;

    /// A failure; text from outside is cut and cleaned, so that it can go into logs and terminals.
    #[must_use]
    pub fn new(reason: FailureReason, detail: impl fmt::Display) -> Self {
        let clean = |c: char| if c.is_control() { ' ' } else { c };
        let detail: String = detail.to_string().chars().map(clean).take(Self::MAX_DETAIL).collect();
        Self {
            reason,
            detail: detail.into(),
            overload: Overload::Passing,
            on_the_way: false,
            retransmissions: 0,
            forbidden: false,
        }
    }

    /// An overload of this kind.
    #[must_use]
    pub fn overloaded(overload: Overload, detail: impl fmt::Display) -> Self {
        Self::new(FailureReason::Overloaded, detail).with_overload(overload)
    }

    /// The same, of this kind of overload if it is one at all.
    #[must_use]
    pub fn with_overload(self, overload: Overload) -> Self {
        Self { overload, ..self }
    }

    /// The same, of an attempt that got no further than the connection or the greeting: of a check that goes further it
    /// says nothing.
    #[must_use]
    pub fn met_on_the_way(self) -> Self {
        Self { on_the_way: true, ..self }
    }

    /// The same after TCP had to send something again so often because its timer ran out.
    #[must_use]
    pub fn with_retransmissions(self, retransmissions: u32) -> Self {
        Self { retransmissions, ..self }
    }

    /// The same where what this host lacks is leave to connect to this one address: a rule of its firewall or a route,
    /// and nothing that any other address would meet as well.
    #[must_use]
    pub fn forbidden(self) -> Self {
        Self { forbidden: true, ..self }
    }

    /// The kind of overload; `None` for any other reason.
    #[must_use]
    pub fn overload(&self) -> Option<Overload> {
        (self.reason == FailureReason::Overloaded).then_some(self.overload)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_the_serialised_names_and_unique() {
        let mut seen = std::collections::BTreeSet::new();
        for reason in FailureReason::ALL {
            assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{}\"", reason.label()));
            assert!(seen.insert(reason.label()));
        }
    }

    #[test]
    fn only_an_overload_is_of_a_kind_and_a_passing_one_is_written_as_ever() {
        let passing = Failure::new(FailureReason::Overloaded, "x");
        assert_eq!(serde_json::to_string(&passing).unwrap(), r#"{"reason":"overloaded","detail":"x"}"#);
        assert_eq!(passing.overload(), Some(Overload::Passing));
        let whole = Failure::overloaded(Overload::WholeAdapter, "x");
        assert_eq!(whole.overload(), Some(Overload::WholeAdapter));
        let written = serde_json::to_string(&whole).unwrap();
        assert_eq!(serde_json::from_str::<Failure>(&written).unwrap(), whole);
        assert_eq!(serde_json::from_str::<Failure>(r#"{"reason":"overloaded","detail":"x"}"#).unwrap(), passing);
        assert_eq!(Failure::new(FailureReason::Auth, "x").with_overload(Overload::WholeAdapter).overload(), None);
    }

    #[test]
    fn details_are_bounded_and_printable() {
        let f = Failure::new(FailureReason::Protocol, format!("a\x1b[31m\n{}", "x".repeat(1000)));
        assert_eq!(f.detail.chars().count(), Failure::MAX_DETAIL);
        assert!(!f.detail.chars().any(char::is_control));
    }
}
