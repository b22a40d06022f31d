//! What the numbers of errors say: those with a row of their own, and for all others their class.
//!
//! What depends on our user, our statement or our spelling is the same behind every address, so it must not move a
//! name, known or not. MySQL says by the SQL state which errors those are, and where the state is the general one, most
//! numbers of its are about a statement, so it is the server's own troubles that are listed. MatrixOne sends the
//! general state with everything; its numbers come in groups (`pkg/common/moerr/error.go` of its source).

use crate::model::FailureReason as R;

/// Whose an error is by the class of its number, where the number itself has no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Our user, statement or spelling.
    Ours(R),
    /// The server's own trouble, or it is not known whose.
    Theirs,
    /// MatrixOne's internal error: its text must tell.
    Internal,
}

/// What a number says by itself, at whatever stage.
pub(super) fn known_reason(code: u16) -> Option<R> {
    Some(match code {
        // Too many connections: of the server, of the user, of the user in this hour. No memory, no thread, no handle.
        // MatrixOne: no memory, and every backend is busy.
        1040 | 1203 | 1226 | 1037 | 1038 | 1041 | 1135 | 1015 | 1023 | 20103 | 20107 | 20508 => R::Overloaded,
        1129 => R::Blocked,
        // The host; the user for a database, table, column, routine or privilege; a locked account.
        1130 | 1044 | 1142 | 1143 | 1227 | 1370 | 1410 | 3118 | 3955 | 4151 => R::NotAllowed,
        // A password that is wrong, missing, or expired.
        1045 | 1698 | 1820 | 1862 => R::Auth,
        // No database chosen; no such database, column, table or function; a syntax error; a packet above the limit;
        // TLS demanded; a login method that we can't do, or that the server lacks; a statement that wants a file of
        // ours.
        1046 | 1049 | 1054 | 1064 | 1146 | 1305 | 1153 | 13125 | 3159 | 1251 | 2059 | 1524 | 1148 | 3948 | 4166 => {
            R::Misconfigured
        }
        // What the server runs after each login of this user fails (`init_connect`).
        1184 => R::Misconfigured,
        // Shutting down, or starting; offline or not available; a proxy that can't reach what is behind it (client
        // codes, ProxySQL's own); any raw error of MatrixOne's, such as of its object store, and its calls between
        // processes.
        1053 | 1105 | 1815 | 3032 | 3168 | 2000..=2062 | 9001..=9006 | 20500..=20599 => R::BackendDown,
        // The server could not read from us or write to us, or not in time.
        1158..=1161 => R::Reset,
        // Bad handshake, unknown command, packets out of order, malformed packet.
        1043 | 1047 | 1156 | 1157 | 1835 => R::Protocol,
        _ => return None,
    })
}

/// The class of a number that is not [`known_reason`], and of its SQL state.
pub(super) fn class_of(code: u16, state: Option<&str>, of_statement: bool) -> Class {
    match code {
        20_000..=29_999 => class_of_matrixone(code),
        _ => match state.and_then(|state| state.get(..2)) {
            // Who logs in.
            Some("28") => Class::Ours(R::Auth),
            // What is asked: cardinality, data, constraints, transactions, cursors, names, syntax and rights.
            Some(
                "07" | "0A" | "0K" | "20" | "21" | "22" | "23" | "24" | "25" | "2F" | "34" | "3D" | "3F" | "42" | "44"
                | "XA",
            ) => Class::Ours(R::Misconfigured),
            // Connections, rollbacks, cancellations; and 45000, which a routine raises on purpose.
            Some("08" | "40" | "45" | "70") => Class::Theirs,
            // The general state, or none. A login has nothing that could be wrong in so many ways.
            _ if of_statement && is_about_statement(code) => Class::Ours(R::Misconfigured),
            _ => Class::Theirs,
        },
    }
}

/// Whether a number is one of MySQL's or MariaDB's own, and none of a server that is in trouble itself.
fn is_about_statement(code: u16) -> bool {
    let in_trouble = matches!(code,
        // Files, disks, indexes, engines.
        1004 | 1009..=1021 | 1024..=1030 | 1032..=1036 | 1194..=1197 | 1257 | 1297 | 1412 | 1459 | 1547 | 1548 | 1577
        | 1587 | 1637 | 1712 | 1812..=1814 | 1816 | 1817 | 1877 | 1878 | 1932 | 3170 | 3185..=3188
        // Memory, signals, a full table.
        | 1078 | 1114 | 1119 | 1436 | 3130
        // Starting, stopping, logs, commits, replication, the group.
        | 1077 | 1079 | 1080 | 1180..=1190 | 1198..=1202 | 1218 | 1296 | 1593..=1595 | 1964 | 3100 | 3101
        // Locks, and who was ended or took too long.
        | 1205..=1208 | 1213 | 1223 | 1317 | 1613..=1615 | 1927 | 1969 | 3024 | 3058 | 3169 | 4031
        // Read-only: a probe that writes asks for a server which isn't.
        | 1290 | 1836 | 1874 | 1875
        // What is behind it.
        | 1429 | 1430);
    matches!(code, 1000..=1999 | 3000..=6999) && !in_trouble
}

fn class_of_matrixone(code: u16) -> Class {
    match code {
        20_101 => Class::Internal,
        // Not done yet; not supported.
        20_102 | 20_105
        // Numbers and functions; input, but for the server's own configuration and upgrade.
        | 20_200..=20_299 | 20_301..=20_310 | 20_312..=20_399
        // Databases, tables, views, functions, sequences, columns and keys.
        | 20_402 | 20_403 | 20_415 | 20_420 | 20_421 | 20_426 | 20_439 | 20_441 | 20_442 | 20_444..=20_499
        // Duplicates; partitions and windows; options and types.
        | 20_623 | 20_627 | 20_800..=20_999 => Class::Ours(R::Misconfigured),
        _ => Class::Theirs,
    }
}
