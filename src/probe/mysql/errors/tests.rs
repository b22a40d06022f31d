use super::*;
use FailureReason as R;

/// The rows of `facts/targets.md` §2.2, as they stand there.
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
        (1815, "Auth failed: internal error: access error", R::Auth),
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
    ];
    let others = [
        (1045, "Access denied for user acct:u. internal error: Account acct is suspended"),
        (1045, "source address 10.0.0.1 is not authorized"),
        (1045, "internal error: no available CN server"),
        (1044, "Access denied for user 'probe'@'%' to database 'x'"),
        (1815, "Auth failed: info: wrong password"),
        (20101, "internal error: there is no user probe"),
        (1040, "Too many connections"),
    ];
    for (code, text) in wrong {
        assert_eq!(error(code, text).word_on_the_secret(), Some(Word::Wrong), "{code} {text}");
    }
    for (code, text) in others {
        assert_eq!(error(code, text).word_on_the_secret(), None, "{code} {text}");
    }
    for code in [3955, 4151, 3118, 1862, 1820] {
        assert_eq!(error(code, "").word_on_the_secret(), Some(Word::Closed), "{code}");
    }
}

#[test]
fn errors_of_mysql_and_mariadb_have_their_reasons() {
    let table = [
        (1040, R::Overloaded, R::Overloaded),
        (1203, R::Overloaded, R::Overloaded),
        (1226, R::Overloaded, R::Overloaded),
        (1129, R::Blocked, R::Blocked),
        (1130, R::NotAllowed, R::NotAllowed),
        (1044, R::NotAllowed, R::NotAllowed),
        (1142, R::NotAllowed, R::NotAllowed),
        (1227, R::NotAllowed, R::NotAllowed),
        (1045, R::Auth, R::Auth),
        (1049, R::Misconfigured, R::Misconfigured),
        (1053, R::BackendDown, R::BackendDown),
        (1158, R::Reset, R::Reset),
        (1161, R::Reset, R::Reset),
        (1205, R::BackendDown, R::Query),
        (1290, R::BackendDown, R::Query),
        (1317, R::BackendDown, R::Query),
        (1146, R::Misconfigured, R::Misconfigured),
        (2003, R::BackendDown, R::BackendDown),
        (2013, R::BackendDown, R::BackendDown),
        (9001, R::BackendDown, R::BackendDown),
        (64999, R::BackendDown, R::Query),
    ];
    for (code, login, statement) in table {
        assert_eq!(error(code, "x").reason(Stage::Login), login, "{code} at login");
        assert_eq!(error(code, "x").reason(Stage::Statement), statement, "{code} of a statement");
    }
    // A statement's own words decide nothing.
    assert_eq!(error(1146, "Table 'lab.suspended' doesn't exist").reason(Stage::Statement), R::Misconfigured);
}

#[test]
fn a_front_end_without_a_compute_node_is_an_overload_of_its_own_kind() {
    let busy = error(20508, "all CN servers are busy, possibly due to too many active transactions");
    let failure = busy.failure(Stage::Login);
    assert_eq!(failure.overload(), Some(Overload::NoComputeNode));
    assert!(failure.detail.ends_with("no compute node finishes a login"), "{failure}");
    assert_eq!(error(20101, "all CN servers are busy").failure(Stage::Login).overload(), Some(Overload::NoComputeNode));
    for code in [1040, 1203, 1226] {
        assert_eq!(error(code, "x").failure(Stage::Login).overload(), Some(Overload::Passing), "{code}");
    }
    assert_eq!(error(1045, "Access denied").failure(Stage::Login).overload(), None);
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
