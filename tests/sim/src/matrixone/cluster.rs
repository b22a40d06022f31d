//! What a cluster answers when something behind its front end is broken or withheld, release by release, as two real
//! clusters did.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::mode::{LoginFault, SqlError};

/// As which release the stand-in answers: by the version of its greeting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Release {
    /// As v2.0.3.
    V2,
    /// As v4.2.0.
    V4,
}

impl Release {
    /// v2 and older, or newer.
    pub(super) fn of(version: &str) -> Self {
        let number = version.rsplit_once("-v").map_or("", |(_, number)| number);
        let major = number.split('.').next().and_then(|major| major.parse::<u32>().ok());
        if major.is_some_and(|major| major <= 2) { Self::V2 } else { Self::V4 }
    }
}

/// What is broken behind the front end, or withheld from the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClusterFault {
    /// The compute node is gone.
    CnKilled,
    /// The compute node stands still; after a while it is taken for gone.
    CnFrozen,
    /// The transaction node is gone.
    TnKilled,
    /// The transaction node stands still: logins and `SELECT 1` go on, no table is read.
    TnFrozen,
    /// The object store can't be read. Seen on v4.2.0 alone.
    ObjectStoreUnreadable,
    /// The objects of tables can't be read: logins and `SELECT 1` go on.
    DataObjectsUnreadable,
    /// The cloud's routing plugin hangs. As all of the plugin's, seen on v4.2.0 alone.
    RoutingHangs,
    /// The plugin refuses. The text after "info:" is ours.
    RoutingRefuses,
    /// The plugin is gone.
    RoutingKilled,
    /// The account has all connections that it may have.
    TenantFull,
    /// The user's password has expired: it is let in, and may not ask anything.
    PasswordExpired,
    /// The user may not read tables.
    NoPrivilege,
    /// The account is restricted: it may read.
    Restricted,
}

/// What a statement comes to in place of its result.
pub(super) enum Spoiled {
    /// An error.
    Error(SqlError),
    /// No answer.
    Unanswered,
}

/// Since when a fault is there, and what the front end has learnt of it.
#[derive(Debug)]
pub(super) struct Outage {
    since: Instant,
    unfinished: AtomicU32,
}

impl Outage {
    /// One that begins now.
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), unfinished: AtomicU32::new(0) }
    }

    /// How long a login waits for a compute node that doesn't finish it: not at all, once two others have waited.
    fn wait(&self, patience: Duration) -> Duration {
        if self.unfinished.fetch_add(1, Ordering::Relaxed) < 2 { patience } else { Duration::ZERO }
    }
}

impl ClusterFault {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::CnKilled,
        Self::CnFrozen,
        Self::TnKilled,
        Self::TnFrozen,
        Self::ObjectStoreUnreadable,
        Self::DataObjectsUnreadable,
        Self::RoutingHangs,
        Self::RoutingRefuses,
        Self::RoutingKilled,
        Self::TenantFull,
        Self::PasswordExpired,
        Self::NoPrivilege,
        Self::Restricted,
    ];

    /// The error that ends a login, and after how long; none if it goes on. `patience` is the front end's with a
    /// compute node.
    pub(super) fn login(
        self,
        release: Release,
        outage: &Outage,
        patience: Duration,
        (user, peer): (&str, IpAddr),
    ) -> Option<(Duration, SqlError)> {
        let row = |row: LoginFault| row.error(user, peer);
        // 42 s where the patience is 10 s.
        let expired = outage.since.elapsed() >= patience.mul_f64(4.2);
        Some(match (self, release) {
            (Self::CnKilled, _) => (Duration::ZERO, row(LoginFault::NoCn)),
            (Self::CnFrozen, Release::V4) if expired => (Duration::ZERO, row(LoginFault::NoCn)),
            (Self::CnFrozen | Self::TnKilled, Release::V4) => (outage.wait(patience), row(LoginFault::CnBusy)),
            (Self::CnFrozen | Self::TnKilled, Release::V2) => (patience, row(LoginFault::NoCn)),
            (Self::ObjectStoreUnreadable, _) => (Duration::ZERO, SqlError::new(1815, "HY000", UNREADABLE)),
            (Self::RoutingHangs, _) => (patience / 10, SqlError::new(1815, "HY000", "context deadline exceeded")),
            (Self::RoutingRefuses, _) => (Duration::ZERO, row(LoginFault::PluginRejected)),
            (Self::RoutingKilled, _) => {
                let text = "cannot connect to backend: dial tcp4 127.0.0.1:6009: connect: connection refused";
                (Duration::ZERO, SqlError::new(20505, "HY000", text))
            }
            (Self::TenantFull, _) => (Duration::ZERO, row(LoginFault::TooManyConnections)),
            (
                Self::TnFrozen
                | Self::DataObjectsUnreadable
                | Self::PasswordExpired
                | Self::NoPrivilege
                | Self::Restricted,
                _,
            ) => return None,
        })
    }

    /// What a statement of who is logged in comes to; none if it has its result.
    pub(super) fn statement(self, sql: &str) -> Option<Spoiled> {
        let internal = |text: &str| SqlError::new(20101, "HY000", format!("internal error: {text}"));
        match self {
            Self::PasswordExpired => Some(Spoiled::Error(internal("password has expired, please change the password"))),
            Self::NoPrivilege if reads_a_table(sql) => {
                Some(Spoiled::Error(internal("do not have privilege to execute the statement")))
            }
            Self::Restricted if needs_storage(sql) => {
                Some(Spoiled::Error(internal("do not have enough storage to execute the statement")))
            }
            Self::ObjectStoreUnreadable | Self::DataObjectsUnreadable if reads_a_table(sql) => {
                Some(Spoiled::Error(SqlError::new(1105, "HY000", UNREADABLE)))
            }
            Self::TnFrozen if reads_a_table(sql) => Some(Spoiled::Unanswered),
            _ => None,
        }
    }
}

/// A raw error of the process that reads the object store.
const UNREADABLE: &str = "read /mo-data/shared/0196c0b3: is a directory";

fn reads_a_table(sql: &str) -> bool {
    super::query::table(sql).is_some()
}

/// What a restricted account may not do.
fn needs_storage(sql: &str) -> bool {
    let verb = sql.trim_start().split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    ["insert", "update", "delete", "replace", "create", "alter", "load", "begin", "start", "do", "explain"]
        .iter()
        .any(|other| verb.eq_ignore_ascii_case(other))
}

/// The error for a user's name that can't be one; none if it can.
pub(super) fn malformed(user: &str) -> Option<SqlError> {
    let internal = |text: String| Some(SqlError::new(20101, "HY000", format!("internal error: {text}")));
    let (name, labels) = user.split_once('?').unwrap_or((user, ""));
    let well_formed =
        |label: &str| matches!(label.split('=').collect::<Vec<_>>()[..], [key, value] if key.len() * value.len() > 0);
    if !labels.is_empty() && !labels.split(',').all(well_formed) {
        return internal("invalid label format: should be like 'a=b'".to_owned());
    }
    if name.trim().is_empty() {
        return internal("invalid input".to_owned());
    }
    let name = name.replace("%3A", ":").replace('#', ":");
    let parts: Vec<&str> = name.splitn(3, ':').collect();
    let empty = parts.iter().position(|part| part.is_empty())?;
    let what = ["tenant", "user", "role"].get(empty)?;
    if parts.len() > 1 { internal(format!("invalid {what} name ''")) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_told_by_the_version() {
        for (version, release) in [
            ("8.0.30-MatrixOne-v2.0.3", Release::V2),
            ("8.0.30-MatrixOne-v1.2.0", Release::V2),
            ("8.0.30-MatrixOne-v4.2.0", Release::V4),
            ("8.0.30-MatrixOne-v3.0.9", Release::V4),
            ("8.0.36", Release::V4),
        ] {
            assert_eq!(Release::of(version), release, "{version}");
        }
    }

    #[test]
    fn names_that_are_none_are_told() {
        let said = |user: &str| malformed(user).map(|error| format!("{} {}", error.code, error.text));
        for (user, expected) in [
            (":", "invalid tenant name ''"),
            (":u", "invalid tenant name ''"),
            ("acc1:", "invalid user name ''"),
            ("acc1#", "invalid user name ''"),
            ("acc1:u:", "invalid role name ''"),
            (" ", "invalid input"),
            ("acc1:probe?x:y", "invalid label format: should be like 'a=b'"),
            ("acc1:probe?a=", "invalid label format: should be like 'a=b'"),
            ("acc1:probe?a=b,", "invalid label format: should be like 'a=b'"),
        ] {
            assert_eq!(said(user), Some(format!("20101 internal error: {expected}")), "{user}");
        }
        for user in ["u", "a:u", "a:u:r", "a#u#r", "a%3Au%3Ar", "a:u:r?k=v", "a:u?k=v,l=w", "a:u?"] {
            assert_eq!(said(user), None, "{user}");
        }
    }

    #[test]
    fn restricted_accounts_may_read() {
        for sql in ["insert into t values (1)", "BEGIN", " do 1", "explain select 1", "create table t (a int)"] {
            assert!(ClusterFault::Restricted.statement(sql).is_some(), "{sql}");
        }
        for sql in ["select 1", "select ok from probe.alive", "set autocommit = 0", "show databases"] {
            assert!(ClusterFault::Restricted.statement(sql).is_none(), "{sql}");
        }
    }
}
