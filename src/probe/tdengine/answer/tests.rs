use super::*;
use crate::model::Overload;
use FailureReason as R;

const FACTS: &str = include_str!("facts.txt");

fn query(expect: Option<&str>) -> Question {
    Question::Query { expect: expect.map(str::to_owned) }
}

fn asked(status: u16, body: &str, question: &Question) -> Result<(), Refusal> {
    judge(&Text { status, body: body.as_bytes(), cut: false, secrets: &[] }, question)
}

fn reason(refusal: Result<(), Refusal>) -> Option<R> {
    refusal.err().map(|r| r.failure.reason)
}

#[test]
fn every_row_of_the_facts_has_its_reason() {
    let mut count = 0;
    for line in FACTS.lines().filter(|l| !l.starts_with('#')) {
        let [status, code, text, expected] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let body = match code {
            "-" => text.to_owned(),
            code => serde_json::json!({ "code": code.parse::<i64>().unwrap(), "desc": text, "timing": 7 }).to_string(),
        };
        for question in [query(None), Question::Login] {
            let found = asked(status.parse().unwrap(), &body, &question).unwrap_err();
            assert_eq!(found.failure.reason.label(), expected, "{line}: {found:?}");
            assert!(!found.of_secret || found.failure.reason == R::Auth, "{line}");
        }
        count += 1;
    }
    assert!(count > 50, "{count} rows");
}

#[test]
fn a_result_has_a_row_and_the_expected_column() {
    let reply = |data: &str, rows: u64| {
        format!(r#"{{"code":0,"column_meta":[["name","VARCHAR",64]],"data":{data},"rows":{rows}}}"#)
    };
    let said = |body: &str, expect| asked(200, body, &query(expect)).map_err(|r| r.failure.to_string());
    let two = reply(r#"[["information_schema"],["performance_schema"]]"#, 2);
    assert_eq!(said(&two, None), Ok(()));
    assert_eq!(said(&two, Some("information_schema")), Ok(()));
    let wrong = "result: expected \"x\", found \"information_schema\"";
    assert_eq!(said(&two, Some("x")), Err(wrong.to_owned()));
    assert_eq!(said(&reply("[[1]]", 1), Some("1")), Ok(()));
    assert_eq!(said(&reply("[[null]]", 1), Some("NULL")), Ok(()));
    for silent in [reply("[]", 0), reply("[]", 1), reply("[[1]]", 0), r#"{"code":0,"data":null}"#.to_owned()] {
        assert_eq!(said(&silent, None), Err("result: expected a row, found none".to_owned()), "{silent}");
        assert_eq!(asked(200, &silent, &Question::Login), Ok(()), "the login was accepted");
    }
    assert!(said(&reply("[[]]", 1), Some("1")).unwrap_err().contains("a row without columns"));
    assert!(said(&reply(r#"[{"name":"a"}]"#, 1), Some("a")).unwrap_err().contains("a row without columns"));
    // With 200 in the body alone nothing is proved.
    assert_eq!(reason(asked(503, &two, &query(None))), Some(R::BackendDown));
}

#[test]
fn only_a_word_on_the_secret_counts_against_it() {
    let code = |status, code: i64| {
        let body = serde_json::json!({ "code": code, "desc": "x" }).to_string();
        asked(status, &body, &query(None)).unwrap_err().of_secret
    };
    for (status, wrong) in [(200, 855), (401, 855), (200, 849)] {
        assert!(code(status, wrong), "{wrong}");
    }
    let others = [(401, 4357), (401, 4386), (401, 4388), (401, 4389), (401, 401), (401, 848), (200, 2048)];
    for (status, other) in
        [(200, 789), (200, 856), (200, 771), (200, 11), (403, 65535), (503, 65535)].into_iter().chain(others)
    {
        assert!(!code(status, other), "{other}");
    }
    for body in ["<html>", "", "no", r#"{"message":"Authentication failure"}"#] {
        assert!(!asked(401, body, &query(None)).unwrap_err().of_secret, "{body}: a gateway's, not the database's");
    }
    assert!(!asked(403, "<html>", &query(None)).unwrap_err().of_secret, "it may be the address that is not allowed");
}

#[test]
fn what_speaks_of_us_moves_no_name_whatever_the_number() {
    let ours = (0x0200..=0x02ff).chain(0x0340..=0x039f).chain(0x0800..=0x082e).chain(0x2600..=0x28ff);
    // The client's connection is gone, no node to execute on; no word on a table, the parser's own fault.
    let theirs = [523, 531, 533, 558, 0x2662, 0x26ff];
    for code in ours {
        for status in [200, 500] {
            let body = serde_json::json!({ "code": code, "desc": "x" }).to_string();
            let reason = reason(asked(status, &body, &query(None))).unwrap();
            assert_eq!(reason.moves_a_name(), theirs.contains(&code), "{code:#x}, HTTP {status}: {reason}");
        }
    }
}

#[test]
fn the_statuses_that_move_a_name_are_few() {
    for status in (201..=599).filter(|status| *status != 200) {
        let moves = reason(asked(status, "", &query(None))).unwrap().moves_a_name();
        let expected = matches!(status, 300..=306 | 309..=399 | 404 | 408 | 500 | 502..=504 | 506..=599);
        assert_eq!(moves, expected, "{status}");
    }
}

#[test]
fn what_a_gateway_says_is_read_wherever_it_stands() {
    let said = |status, body: &str| asked(status, body, &query(None)).unwrap_err().failure.to_string();
    assert_eq!(said(401, r#"{"message":"token expired"}"#), "auth: HTTP 401: token expired");
    assert_eq!(said(401, r#"{"code":"Unauthorized","msg":"no such token"}"#), "auth: HTTP 401: no such token");
    assert_eq!(said(401, r#"{"code":401,"message":"who"}"#), "auth: HTTP 401, code 401: who");
    assert_eq!(said(200, r#"{"code":11,"desc":"","msg":"gone"}"#), "backend_down: code 11: gone");
    assert_eq!(
        said(503, r#"{"message":"memory exceeds threshold"}"#),
        "overloaded: HTTP 503: memory exceeds threshold"
    );
    assert_eq!(said(503, r#"{"message":7}"#), "backend_down: HTTP 503 with other JSON");
    assert!(said(404, "404 page not found").ends_with("; if every zone says so, `path` is wrong"));
    let two = r#"{"status":"succ","head":["ts"],"column_meta":[["ts",9,8]],"data":[],"rows":0}"#;
    for question in [query(None), Question::Login, Question::Anonymous] {
        let failure = asked(200, two, &question).unwrap_err().failure;
        assert!(failure.reason == R::Misconfigured && failure.detail.contains("TDengine 2 "), "{failure}");
    }
}

#[test]
fn a_stranger_is_refused_by_who_is_there() {
    let coded = |code: i64| serde_json::json!({ "code": code, "desc": "x" }).to_string();
    let anonymous = |status, body: &str| reason(asked(status, body, &Question::Anonymous));
    for (status, body) in
        [(401, coded(4357)), (401, "<html>".into()), (403, String::new()), (200, coded(855)), (200, coded(0))]
    {
        assert_eq!(anonymous(status, &body), None, "{status} {body}");
    }
    for (status, body, expected) in [
        (200, coded(11), R::BackendDown),
        (502, "<html>".into(), R::BackendDown),
        (503, "\"memory exceeds threshold\"".into(), R::Overloaded),
        (200, "<html>".into(), R::Protocol),
        (404, "404 page not found".into(), R::BackendDown),
    ] {
        assert_eq!(anonymous(status, &body), Some(expected), "{status} {body}");
    }
}

#[test]
fn an_adapter_that_pauses_for_want_of_memory_is_an_overload_of_its_own_kind() {
    let overload = |status, body: &str| asked(status, body, &query(None)).unwrap_err().failure.overload();
    for paused in [r#""memory exceeds threshold""#, r#""query memory exceeds threshold""#] {
        assert_eq!(overload(503, paused), Some(Overload::WholeAdapter), "{paused}");
    }
    assert_eq!(overload(429, ""), Some(Overload::Passing));
    assert_eq!(overload(200, r#"{"code":34,"desc":""}"#), Some(Overload::Passing));
    assert_eq!(overload(502, ""), None);
}

#[test]
fn a_body_is_told_in_a_word_and_never_shown() {
    let said = |status, body: &str| asked(status, body, &query(None)).unwrap_err().failure.to_string();
    assert_eq!(said(502, "<html>hunter2"), "backend_down: HTTP 502 with a page");
    assert_eq!(said(200, "{\"code\":0,"), "protocol: expected a JSON object with a code, found broken JSON");
    assert_eq!(said(200, "[1]"), "protocol: expected a JSON object with a code, found other JSON");
    assert_eq!(said(200, ""), "protocol: expected a JSON object with a code, found an empty body");
    assert_eq!(said(503, "\"memory exceeds threshold\""), "overloaded: HTTP 503: memory exceeds threshold");
    assert_eq!(
        said(401, r#"{"code":855,"desc":"Authentication failure"}"#),
        "auth: HTTP 401, code 855: Authentication failure"
    );
    assert_eq!(said(200, r#"{"code":11,"desc":""}"#), "backend_down: code 11: no description");
    assert_eq!(said(200, r#"{"code":855,"desc":null}"#), "auth: code 855: no description");
    let cut = Text { status: 200, body: b"{\"code\":9,", cut: true, secrets: &[] };
    let cut = judge(&cut, &query(None)).unwrap_err().failure;
    assert_eq!(&*cut.detail, "expected a JSON object with a code, found more than 10 bytes");
}

#[test]
fn a_result_too_long_for_a_probe_is_the_statements_fault() {
    let judged = |status, body: &str, question: &Question| {
        let text = Text { status, body: body.as_bytes(), cut: true, secrets: &[] };
        judge(&text, question).unwrap_err().failure
    };
    let long = r#"{"code":0,"column_meta":[["name","VARCHAR",64]],"data":[["a"],["b"#;
    for question in [Question::Login, query(None), query(Some("a"))] {
        for body in [long, " {\n \"code\" : 0 , "] {
            let failure = judged(200, body, &question);
            assert_eq!(failure.reason, R::Misconfigured, "{failure}");
            assert!(failure.detail.starts_with("the statement returns too much for a probe: more than "), "{failure}");
        }
        // What is no result is none, however long.
        for body in ["<html>", r#"{"code":11,"desc":""#, r#"{"code":01,"#, r#"{"code":0.5,"#, r#"["code",0,"#, "{"] {
            assert_eq!(judged(200, body, &question).reason, R::Protocol, "{body}");
        }
        assert_eq!(judged(502, long, &question).reason, R::BackendDown);
    }
    assert_eq!(judged(200, long, &Question::Anonymous).reason, R::Protocol);
}

#[test]
fn a_secret_that_comes_back_is_not_shown() {
    let secrets = ["hunter2", "hunter%32", ""].map(|text| Secret::new(text.into()));
    let long = "x".repeat(Failure::MAX_DETAIL - 30);
    for (status, body) in [
        (200, serde_json::json!({ "code": 11, "desc": "token=hunter2&hunter%32" }).to_string()),
        (200, serde_json::json!({ "code": 11, "desc": format!("{long}hunter2") }).to_string()),
        (503, serde_json::json!("no hunter2 here").to_string()),
        (200, serde_json::json!({ "code": 0, "data": [["hunter2"]], "rows": 1 }).to_string()),
    ] {
        let text = Text { status, body: body.as_bytes(), cut: false, secrets: &secrets };
        let said = judge(&text, &query(Some("x"))).unwrap_err().failure.to_string();
        assert!(!said.contains("hunt") && said.contains("[secre"), "{said}");
    }
}

#[test]
fn what_is_no_text_is_no_json_wherever_it_stands() {
    for body in
        [&b"{\"code\":0,\"skipped\":[\"\x80\"],\"data\":[[1]],\"rows\":1}"[..], b"{\"code\":0,\"desc\":\"\xff\"}"]
    {
        for question in [Question::Anonymous, Question::Login, query(None)] {
            let refusal = judge(&Text { status: 200, body, cut: false, secrets: &[] }, &question).unwrap_err();
            assert_eq!(refusal.failure.reason, R::Protocol);
        }
    }
}
