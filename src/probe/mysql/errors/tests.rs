use super::*;
use FailureReason as R;

/// What MatrixOne says and means by it, from its source and from real clusters.
const FACTS: &str = include_str!("matrixone_errors.md");

fn error(code: u16, text: &str) -> ServerError {
    ServerError { code, state: None, text: text.to_owned() }
}

/// `code state`, and each text of the second column.
fn rows() -> Vec<(u16, String)> {
    let mut found = Vec::new();
    for line in FACTS.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let Some(code) = cells[1].split(' ').next().and_then(|code| code.parse().ok()) else { continue };
        let texts: Vec<&str> = cells[2].split('`').skip(1).step_by(2).collect();
        match cells[2].starts_with('`') {
            true => found.extend(texts.iter().map(|text| (code, (*text).to_owned()))),
            // Described by parts of a text that is not public.
            false => found.push((code, texts.join(" 10.0.0.1 "))),
        }
        // Further wordings are given in the column of meanings.
        found.extend(cells[3].split("also `").skip(1).map(|rest| (code, rest.split('`').next().unwrap().to_owned())));
    }
    found
}

#[test]
fn every_row_of_the_facts_has_its_reason() {
    let expected = [
        (20101, "internal error: no available CN server", R::BackendDown),
        (20101, "no available CN servers", R::BackendDown),
        (20508, "all CN servers are busy, possibly due to too many active transactions", R::Overloaded),
        (20101, "internal error: cn service is not ready, retry later", R::BackendDown),
        (20101, "internal error: there is no tenant X", R::Misconfigured),
        (20101, "there is no user X", R::Misconfigured),
        (20101, "there is no role X", R::Misconfigured),
        (20101, "the role R has not been granted to the user U", R::Misconfigured),
        (20101, "internal error: user is locked, please try again later", R::NotAllowed),
        (20101, "ask the administrator to unlock", R::NotAllowed),
        (20301, "invalid input: IP x.x.x.x is not in the invited nodes", R::NotAllowed),
        (1045, "Access denied for user <full user>. internal error: check password failed", R::Auth),
        (1045, "Access denied for user <full user>. internal error: Account X is suspended", R::Suspended),
        (1045, "source address 10.0.0.1 is not authorized", R::NotAllowed),
        (1040, "Too many connections", R::Overloaded),
        (1815, "Auth failed: info: <plugin message>", R::Auth),
        (1815, "read /shared/object: is a directory", R::BackendDown),
        (1815, "context deadline exceeded", R::BackendDown),
        (1815, "read tcp4 10.0.0.1:6001->10.0.0.2:4242: i/o timeout", R::BackendDown),
        (1815, "Auth failed: internal error: access error", R::Auth),
        (20505, "cannot connect to backend: dial tcp4 10.0.0.3:6009", R::BackendDown),
        (20101, "internal error: invalid tenant name ''", R::Misconfigured),
        (20101, "internal error: invalid user name ''", R::Misconfigured),
        (20101, "internal error: invalid role name ''", R::Misconfigured),
        (20101, "internal error: invalid label format: should be like 'a=b'", R::Misconfigured),
        (20101, "invalid input", R::Misconfigured),
        (13125, "Got a packet bigger than 'max_allowed_packet' bytes", R::Misconfigured),
    ];
    let found = rows();
    assert_eq!(found, expected.map(|(code, text, _)| (code, text.to_owned())));
    for (code, text, reason) in expected {
        assert_eq!(error(code, text).reason(Stage::Login), reason, "{code} {text}");
    }
}

#[test]
fn only_a_wrong_password_refuses_the_secret() {
    let wrong = [
        (1045, "Access denied for user acct:u. internal error: check password failed"),
        (1045, "Access denied for user 'probe'@'10.0.0.1' (using password: YES)"),
        (1698, "Access denied for user 'root'@'localhost'"),
        (1045, "Access denied for user acct:suspended:x. internal error: check password failed"),
        (20101, "internal error: check password failed"),
    ];
    let closed = [
        (20101, "internal error: user is locked, please try again later"),
        (1045, "Access denied for user acct:u. internal error: user is locked, please try again later"),
        (20101, "internal error: password has expired, please change the password"),
        (20101, "ask the administrator to unlock"),
    ];
    for (code, text) in closed {
        assert_eq!(error(code, text).verdict_on_secret(), Some(LoginResult::Closed), "{code} {text}");
    }
    let others = [
        (1064, "near 'user is locked'"),
        (20101, "internal error: too many connections"),
        (1045, "Access denied for user acct:u. internal error: Account acct is suspended"),
        (1045, "source address 10.0.0.1 is not authorized"),
        (1045, "internal error: no available CN server"),
        (1044, "Access denied for user 'probe'@'%' to database 'x'"),
        (1815, "Auth failed: info: wrong password"),
        (20101, "internal error: there is no user probe"),
        (1040, "Too many connections"),
    ];
    for (code, text) in wrong {
        assert_eq!(error(code, text).verdict_on_secret(), Some(LoginResult::Wrong), "{code} {text}");
    }
    for (code, text) in others {
        assert_eq!(error(code, text).verdict_on_secret(), None, "{code} {text}");
    }
    for code in [3955, 4151, 3118, 1862, 1820] {
        assert_eq!(error(code, "").verdict_on_secret(), Some(LoginResult::Closed), "{code}");
    }
}

#[test]
fn a_raw_error_of_a_login_moves_the_name_and_refuses_no_secret() {
    for text in ["read /shared/object: is a directory", "context deadline exceeded", "EOF", "", "auth failed: x"] {
        let raw = error(1815, text);
        assert!(raw.reason(Stage::Login).moves_a_name() && raw.verdict_on_secret().is_none(), "{text}");
    }
    for (text, reason) in [
        ("Auth failed: info: connection rejected by policy", R::Auth),
        ("Auth failed: info: account acct is suspended", R::Suspended),
        ("Auth failed: info: source address 10.0.0.1 is not authorized", R::NotAllowed),
        ("Auth failed: info: no available CN server", R::BackendDown),
    ] {
        let refused = error(1815, text);
        assert_eq!(refused.reason(Stage::Login), reason, "{text}");
        assert_eq!(refused.verdict_on_secret(), None, "{text}: it says nothing of the password");
    }
}

#[test]
fn what_depends_on_our_user_or_statement_at_matrixone_moves_no_name() {
    let table = [
        (20101, "internal error: password has expired, please change the password", R::Auth),
        (20101, "internal error: do not have privilege to execute the statement", R::NotAllowed),
        (20101, "internal error: do not have enough storage to execute the statement", R::Suspended),
        (1046, "No database selected", R::Misconfigured),
        (20105, "not supported: function or operator 'zz'", R::Misconfigured),
        (20203, "invalid argument cast to int, bad value x", R::Misconfigured),
        (20301, "invalid input: column zz does not exist", R::Misconfigured),
        (20301, "invalid input: IP 10.0.0.1 is not in the invited nodes", R::NotAllowed),
        (1064, "SQL parser error: You have an error in your SQL syntax", R::Misconfigured),
        (1146, "no such table test.zz", R::Misconfigured),
        (20403, "no such table test.zz", R::Misconfigured),
        (20102, "this is not yet implemented", R::Misconfigured),
        (20299, "never heard of", R::Misconfigured),
        (20399, "never heard of", R::Misconfigured),
        (20499, "never heard of", R::Misconfigured),
        (20832, "duplicate window", R::Misconfigured),
        (20101, "internal error: the role probe may not do this", R::Misconfigured),
        (20101, "internal error: function zz does not exist", R::Misconfigured),
    ];
    for (code, text, reason) in table {
        assert_eq!(error(code, text).reason(Stage::Statement(Product::Matrixone)), reason, "{code} {text}");
        assert!(!reason.moves_a_name(), "{code} {text}");
        let word = text.contains("password has expired").then_some(LoginResult::Closed);
        assert_eq!(error(code, text).verdict_on_secret(), word, "{code} {text}");
    }
}

#[test]
fn what_is_wrong_with_matrixone_itself_moves_the_name() {
    let table = [
        (1105, "read /shared/object: is a directory", R::BackendDown, R::BackendDown),
        (20101, "internal error: no available CN server", R::BackendDown, R::BackendDown),
        (20101, "internal error: never heard of", R::BackendDown, R::Query),
        (20101, "internal error: panic runtime error: invalid memory address", R::BackendDown, R::Query),
        (20101, "internal error: get user table: connection closed", R::BackendDown, R::Query),
        (20300, "invalid configuration: s3", R::BackendDown, R::Query),
        (20401, "log service not ready", R::BackendDown, R::Query),
        (20405, "file x is not found", R::BackendDown, R::Query),
        (20417, "cannot locate ha keeper", R::BackendDown, R::Query),
        (20500, "rpc timeout", R::BackendDown, R::BackendDown),
        (20504, "no available backend", R::BackendDown, R::BackendDown),
        (20507, "connection was reset", R::BackendDown, R::BackendDown),
        (20605, "tn shard not found", R::BackendDown, R::Query),
        (20701, "deadlock detected", R::BackendDown, R::Query),
        (22999, "never heard of", R::BackendDown, R::Query),
    ];
    for (code, text, login, statement) in table {
        assert_eq!(error(code, text).reason(Stage::Login), login, "{code} {text}");
        assert_eq!(error(code, text).reason(Stage::Statement(Product::Matrixone)), statement, "{code} {text}");
    }
    assert_eq!(error(20103, "error: out of memory").reason(Stage::Statement(Product::Matrixone)), R::Overloaded);
}

#[test]
fn errors_of_mysql_and_mariadb_have_their_reasons() {
    let table: [(R, R, &[u16]); 10] = [
        (R::Overloaded, R::Overloaded, &[1040, 1203, 1226, 1037, 1041, 1135]),
        (R::Blocked, R::Blocked, &[1129]),
        (R::NotAllowed, R::NotAllowed, &[1130, 1044, 1142, 1143, 1227, 1370, 3118, 3955, 4151]),
        (R::Auth, R::Auth, &[1045, 1698, 1820, 1862]),
        (R::Misconfigured, R::Misconfigured, &[1046, 1049, 1054, 1064, 1146, 1305, 1524, 1251, 3159]),
        (R::BackendDown, R::Misconfigured, &[1105]),
        (R::BackendDown, R::BackendDown, &[1053, 1815, 3032, 3168, 2003, 2013, 9001]),
        (R::Reset, R::Reset, &[1158, 1161]),
        (R::Protocol, R::Protocol, &[1043, 1047, 1835]),
        (R::BackendDown, R::Query, &[1205, 1290, 1317, 64999]),
    ];
    for (login, statement, codes) in table {
        for code in codes {
            assert_eq!(error(*code, "x").reason(Stage::Login), login, "{code} at login");
            assert_eq!(error(*code, "x").reason(Stage::Statement(Product::Any)), statement, "{code} of a statement");
        }
    }
    // A statement's own words decide nothing.
    assert_eq!(
        error(1146, "Table 'lab.suspended' doesn't exist").reason(Stage::Statement(Product::Any)),
        R::Misconfigured
    );
}

#[test]
fn numbers_without_a_row_are_judged_by_their_class() {
    let with = |code, state: &str, stage| ServerError { state: Some(state.into()), ..error(code, "x") }.reason(stage);
    let both = |code, state| (with(code, state, Stage::Login), with(code, state, Stage::Statement(Product::Any)));
    // Ours: the user, names, syntax, data, rights, transactions, whatever the number.
    for (code, state) in [
        (1055, "42000"),
        (1141, "42000"),
        (1222, "21000"),
        (1264, "22003"),
        (1062, "23000"),
        (1792, "25006"),
        (1630, "42000"),
        (64999, "42S02"),
    ] {
        assert_eq!(both(code, state), (R::Misconfigured, R::Misconfigured), "{code} {state}");
    }
    assert_eq!(both(4999, "28000"), (R::Auth, R::Auth));
    // Of the general state: what a statement asks, by a number of MySQL's or MariaDB's that is no trouble of the
    // server's.
    for code in [1193, 1267, 1356, 1449, 3065, 3727, 4078] {
        assert_eq!(both(code, "HY000"), (R::BackendDown, R::Misconfigured), "{code}");
    }
    // The server's: disks, engines, locks, replication, and a replica where a probe writes.
    for code in [1021, 1030, 1034, 1114, 1194, 1205, 1290, 1836, 1874, 1877, 1932, 3024, 3100, 9999] {
        assert_eq!(both(code, "HY000"), (R::BackendDown, R::Query), "{code}");
    }
    for (code, state) in [(1213, "40001"), (1317, "70100"), (1644, "45000"), (1927, "70100"), (1152, "08S01")] {
        assert_eq!(both(code, state), (R::BackendDown, R::Query), "{code} {state}");
    }
}

#[test]
fn a_front_end_without_a_compute_node_is_an_overload_of_its_own_kind() {
    let busy = error(20508, "all CN servers are busy, possibly due to too many active transactions");
    let failure = busy.failure(Stage::Login);
    assert_eq!(failure.overload(), Some(Overload::NoComputeNode));
    assert!(failure.detail.ends_with("no compute node finishes a login"), "{failure}");
    assert_eq!(error(20101, "all CN servers are busy").failure(Stage::Login).overload(), Some(Overload::NoComputeNode));
    let full = error(20101, "internal error: Too many connections").failure(Stage::Login);
    assert_eq!((full.reason, full.overload()), (R::Overloaded, Some(Overload::Passing)));
    for code in [1040, 1203, 1226] {
        assert_eq!(error(code, "x").failure(Stage::Login).overload(), Some(Overload::Passing), "{code}");
    }
    assert_eq!(error(1045, "Access denied").failure(Stage::Login).overload(), None);
}

#[test]
fn an_unknown_error_at_a_statement_moves_a_name_only_where_it_is_matrixones_own() {
    let unknown = error(1105, "Unknown error");
    assert_eq!(unknown.reason(Stage::Statement(Product::Any)), R::Misconfigured);
    assert_eq!(unknown.reason(Stage::Statement(Product::Matrixone)), R::BackendDown);
    for stage in [Stage::Login, Stage::Ping] {
        assert_eq!(unknown.reason(stage), R::BackendDown, "nothing of ours: {stage:?}");
    }
}

#[test]
fn packets_are_read_with_and_without_a_state() {
    let parse = |bytes: &[u8]| ServerError::parse(bytes);
    let with = parse(b"\xff\x10\x04#08004Too many connections").unwrap();
    assert_eq!((with.code, with.state.as_deref(), &*with.text), (1040, Some("08004"), "Too many connections"));
    let without = parse(b"\xff\x10\x04Too many connections").unwrap();
    assert_eq!((without.code, without.state, &*without.text), (1040, None, "Too many connections"));
    assert_eq!(parse(b"\xff\x10\x04#08").unwrap().text, "#08");
    assert_eq!(parse(b"\xff\x10\x04").unwrap().text, "");
    assert_eq!(parse(b"\xff\x10"), None);
    assert_eq!(parse(b"\x00\x10\x04x"), None);
}

#[test]
fn a_remedy_survives_a_long_text() {
    let blocked = error(1129, &format!("Host '{}' is blocked because of many connection errors", "x".repeat(300)));
    let failure = blocked.failure(Stage::Login);
    assert_eq!(failure.reason, R::Blocked);
    assert!(failure.detail.ends_with("raise its max_connect_errors"), "{failure}");
    let short = ServerError { state: Some("28000".into()), ..error(1045, "Access denied") };
    assert_eq!(short.failure(Stage::Login).to_string(), "auth: 1045 (28000): Access denied");
}
