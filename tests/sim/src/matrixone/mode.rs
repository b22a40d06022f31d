//! What a connection to a MatrixOne front end can meet.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::cluster::ClusterFault;
use crate::pki::Certificate;

/// What a connection to a [`MatrixoneService`](super::MatrixoneService) meets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatrixoneMode {
    /// It is served as the accounts say.
    Up,
    /// It is refused.
    Refused,
    /// Its TCP handshake is never answered.
    Silent,
    /// It is accepted, and never greeted.
    StallGreeting,
    /// It is reset at once.
    Reset,
    /// It is closed before the greeting.
    HangUp,
    /// Bytes that are no packet, from a server of another kind.
    Garbage,
    /// The greeting comes byte by byte; then it is served.
    Drip {
        /// Milliseconds between two bytes.
        every_ms: u64,
    },
    /// The greeting is cut off in its middle.
    CutGreeting,
    /// An error is the very first packet, and the last: 1040, 1129 and the like.
    FirstPacket(SqlError),
    /// The first packet is 1040, as the proxy sends it at its limit of connections.
    TooManyConnections,
    /// The greeting of MySQL before 3.21, protocol 9.
    OldProtocol,
    /// The greeting of a plain MySQL 8.0.36; then it is served.
    Mysql,
    /// The greeting names `caching_sha2_password`; whoever follows is asked to change to the native one.
    OtherPlugin,
    /// TLS is offered, and its handshake never answered.
    StallTls,
    /// TLS proves itself with this certificate.
    Certificate(Certificate),
    /// The login is read and never answered.
    StallLogin,
    /// The connection closes once the login is read.
    HangUpOnLogin,
    /// Something behind the front end is broken, or withheld from the account.
    Cluster(ClusterFault),
    /// Every login meets this row of the table of errors.
    Login(LoginFault),
    /// Every login meets this error.
    LoginError(SqlError),
    /// Pings and queries are read and never answered.
    StallQuery,
    /// The connection closes once a ping or a query is read.
    HangUpOnQuery,
    /// Queries meet this error; pings, `set` and `select @@…` don't, so that clients get that far.
    QueryError(SqlError),
    /// Queries, but for `set` and `select @@…`, find no rows.
    EmptyResult,
    /// Queries, but for `set` and `select @@…`, find -1 in every column.
    OtherValue,
    /// An attack: the login is asked for the password in clear.
    AskClearPassword,
    /// An attack: the login is asked to change to `caching_sha2_password`, and then for the password itself.
    AskSha2Password,
    /// An attack: queries are answered with a request for a file of the client's.
    LocalInfile,
}

/// An error packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlError {
    /// Its number.
    pub code: u16,
    /// Its SQLSTATE; none is sent if this is empty, as MySQL does before a greeting.
    #[serde(default)]
    pub state: String,
    /// Its text.
    pub text: String,
}

/// The rows of the table of errors that a login can meet. Texts are those of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginFault {
    /// 20101: the account has no compute node, or none that runs yet.
    NoCn,
    /// 20101, the same in other words.
    NoCnServers,
    /// 1045, the same as it was before November 2023.
    OldNoCn,
    /// 20508: every compute node is busy.
    CnBusy,
    /// 20101: a compute node is starting.
    CnNotReady,
    /// 20101: the account is unknown.
    NoTenant,
    /// 20101: the user is unknown.
    NoUser,
    /// 20101: the role is unknown.
    NoRole,
    /// 20101: the user doesn't have the role.
    RoleNotGranted,
    /// 20101: too many wrong passwords, for a while.
    UserLocked,
    /// 20101: too many wrong passwords, for good.
    UserLockedForGood,
    /// 20301: the account's own list of addresses.
    NotInvited,
    /// 1045: the password is wrong, and all else is well.
    WrongPassword,
    /// 1045: the account is suspended.
    Suspended,
    /// 1045: the proxy's list of addresses. The sentence around the two phrases is ours: the source has only those.
    SourceNotAuthorized,
    /// 1040, in answer to a login.
    TooManyConnections,
    /// 1815: the proxy's plugin refuses. The text after "info:" is ours.
    PluginRejected,
    /// What a compute node refuses with, and then a second error packet of the proxy's.
    AccessErrorTwice,
    /// 13125: the login is too long.
    PacketTooBig,
}

/// The proxy's own error packet behind one of a compute node's.
pub(super) const ACCESS_ERROR: (u16, &str, &str) = (1815, "HY000", "Auth failed: internal error: access error");

impl SqlError {
    /// An error packet.
    #[must_use]
    pub fn new(code: u16, state: &str, text: impl Into<String>) -> Self {
        Self { code, state: state.to_owned(), text: text.into() }
    }

    /// The proxy's at its limit of connections.
    #[must_use]
    pub fn too_many_connections() -> Self {
        Self::new(1040, "08004", "Too many connections")
    }

    /// The payload of its packet.
    pub(super) fn payload(&self) -> Vec<u8> {
        let mut payload = vec![0xff];
        payload.extend(self.code.to_le_bytes());
        if !self.state.is_empty() {
            payload.push(b'#');
            payload.extend(self.state.as_bytes());
        }
        payload.extend(self.text.as_bytes());
        payload
    }
}

impl LoginFault {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::NoCn,
        Self::NoCnServers,
        Self::OldNoCn,
        Self::CnBusy,
        Self::CnNotReady,
        Self::NoTenant,
        Self::NoUser,
        Self::NoRole,
        Self::RoleNotGranted,
        Self::UserLocked,
        Self::UserLockedForGood,
        Self::NotInvited,
        Self::WrongPassword,
        Self::Suspended,
        Self::SourceNotAuthorized,
        Self::TooManyConnections,
        Self::PluginRejected,
        Self::AccessErrorTwice,
        Self::PacketTooBig,
    ];

    /// The error packet for a login of `user`, as the client wrote it, from `peer`.
    #[must_use]
    pub fn error(self, user: &str, peer: IpAddr) -> SqlError {
        let name = super::accounts::Name::parse(user);
        let denied = |text: &str| SqlError::new(1045, "28000", format!("Access denied for user {user}. {text}"));
        let internal = |text: &str| SqlError::new(20101, "HY000", format!("internal error: {text}"));
        let role = name.role.as_deref().unwrap_or("accountadmin");
        match self {
            Self::NoCn => internal("no available CN server"),
            Self::NoCnServers => internal("no available CN servers"),
            Self::OldNoCn => denied("internal error: no available CN server"),
            Self::CnBusy => {
                SqlError::new(20508, "HY000", "all CN servers are busy, possibly due to too many active transactions")
            }
            Self::CnNotReady => internal("cn service is not ready, retry later"),
            Self::NoTenant => internal(&format!("there is no tenant {}", name.account)),
            Self::NoUser => internal(&format!("there is no user {}", name.user)),
            Self::NoRole => internal(&format!("there is no role {role}")),
            Self::RoleNotGranted => {
                internal(&format!("the role {role} has not been granted to the user {}", name.user))
            }
            Self::UserLocked => internal("user is locked, please try again later"),
            Self::UserLockedForGood => internal("user is locked, please ask the administrator to unlock"),
            Self::NotInvited => {
                SqlError::new(20301, "HY000", format!("invalid input: IP {peer} is not in the invited nodes"))
            }
            Self::WrongPassword | Self::AccessErrorTwice => denied("internal error: check password failed"),
            Self::Suspended => denied(&format!("internal error: Account {} is suspended", name.account)),
            Self::SourceNotAuthorized => {
                SqlError::new(1045, "28000", format!("Auth failed: info: source address {peer} is not authorized"))
            }
            Self::TooManyConnections => SqlError::too_many_connections(),
            Self::PluginRejected => SqlError::new(1815, "HY000", "Auth failed: info: connection rejected by policy"),
            Self::PacketTooBig => SqlError::new(13125, "HY000", "Got a packet bigger than 'max_allowed_packet' bytes"),
        }
    }
}
