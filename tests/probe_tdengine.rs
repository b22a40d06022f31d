//! The TDengine probers against the stand-in, which TDengine's own clients vouch for: every fault of its tables.

use std::sync::Arc;
use std::time::Duration;

use privatelink_sim::{
    Certificate, Identity, Pki, TDENGINE_CODES, TdengineCounts, TdengineMode as Mode, TdengineRefusal as Refusal,
    TdengineService, TdengineSetup, free_address,
};
use privatelinkd::model::{
    Check, DeepSpec, Depth, Failure, FailureReason as R, FileSecret, ProbeKind, ProbeSpec, Secret, TargetSpec,
    TdengineLogin, TdengineSpec, TlsSpec, Trust, TrustBundle, Wall,
};
use privatelinkd::probe::{AnyProber, Overlap, Prober, Probers};
use proptest::prelude::*;
use tokio::time::Instant;

use crate::probe_tcp::{HASTY, PATIENT, probers, reason, target};
use crate::support::cases;

const NAME: &str = "gw-orders.cloud.example.com";
/// With characters that a request's target can't carry as they are.
const ODD_TOKEN: &str = "tok en/+?&=%\"";

struct Rig {
    service: TdengineService,
    pki: Pki,
}

fn secret(text: &str, written: u64) -> FileSecret {
    let path = "/etc/privatelinkd/orders.token".into();
    FileSecret { secret: Secret::new(text.into()), path, written: Wall(written) }
}

fn token() -> Option<TdengineLogin> {
    Some(TdengineLogin::Token(secret(TdengineSetup::TOKEN, 1)))
}

impl Rig {
    async fn start() -> Self {
        let pki = Pki::new("tdengine").unwrap();
        let identity = Identity::new(&pki, &[NAME]).unwrap();
        let mut setup = TdengineSetup::default();
        setup.tokens.insert(ODD_TOKEN.into());
        let service = TdengineService::start(free_address(8443).unwrap(), setup, identity).await.unwrap();
        Self { service, pki }
    }

    fn target(&self, login: Option<TdengineLogin>, depth: Option<Depth>, expect: Option<&str>) -> TargetSpec {
        let bundle = TrustBundle { path: "/etc/privatelinkd/ca.pem".into(), certificates: vec![self.pki.ca_der()] };
        let trust = Trust::File(Arc::new(bundle));
        let spec = TdengineSpec {
            tls: TlsSpec { server_name: NAME.parse().unwrap(), trust, expiry_warning: Duration::ZERO },
            path: "/rest/sql".into(),
            login,
            sql: "show databases".into(),
            expect: expect.map(str::to_owned),
        };
        let target = target(self.service.address(), ProbeKind::Tdengine(spec));
        let deep = depth.map(|depth| DeepSpec { depth, schedule: target.probe.path });
        TargetSpec { probe: Arc::new(ProbeSpec { deep, ..(*target.probe).clone() }), ..target }
    }

    fn deep(&self) -> AnyProber {
        probers().prober(&self.target(token(), Some(Depth::Query), None), Check::Deep)
    }

    fn path(&self, probers: &Probers) -> AnyProber {
        probers.prober(&self.target(token(), Some(Depth::Query), None), Check::Path)
    }

    /// The path check that no deep check stands beside.
    fn stranger(&self) -> AnyProber {
        probers().prober(&self.target(None, None, None), Check::Path)
    }

    /// Once nothing is counted any more: the service counts what it has finished with.
    async fn counts(&self) -> TdengineCounts {
        loop {
            let before = self.service.counts();
            tokio::time::sleep(Duration::from_millis(50)).await;
            if self.service.counts() == before {
                return before;
            }
        }
    }
}

#[tokio::test]
async fn all_is_well_with_a_token_a_password_and_none() {
    let rig = Rig::start().await;
    let basic = TdengineLogin::Basic { user: TdengineSetup::USER.into(), password: secret(TdengineSetup::PASSWORD, 1) };
    let odd = TdengineLogin::Token(secret(ODD_TOKEN, 1));
    for login in [token().unwrap(), odd, basic] {
        for depth in [Depth::Login, Depth::Query] {
            let spec = rig.target(Some(login.clone()), Some(depth), None);
            let deep = probers().prober(&spec, Check::Deep);
            let seen = deep.probe(PATIENT).await.unwrap_or_else(|f| panic!("{login:?}: {f}"));
            assert!(seen.tls.is_some() && seen.answer.is_some() && seen.query.is_some(), "{seen:?}");
            assert_eq!(deep.overlap(), Overlap::OneAwaited);
            assert_eq!(deep.certificate().unwrap().names, [NAME]);
        }
    }
    let expected = rig.target(token(), Some(Depth::Query), Some("information_schema"));
    probers().prober(&expected, Check::Deep).probe(PATIENT).await.unwrap();
    let other = rig.target(token(), Some(Depth::Query), Some("orders"));
    assert_eq!(reason(probers().prober(&other, Check::Deep).probe(PATIENT).await), R::Result);
}

#[tokio::test]
async fn the_path_check_resumes_and_asks_only_where_nobody_logs_in() {
    let rig = Rig::start().await;
    let path = rig.path(&probers());
    for _ in 0..3 {
        let seen = path.probe(PATIENT).await.unwrap();
        assert!(seen.tls.is_some() && seen.answer.is_none(), "{seen:?}");
    }
    let counts = rig.counts().await;
    assert_eq!((counts.tls_full, counts.tls_resumed, counts.requests), (1, 2, 0), "{counts:?}");

    let stranger = rig.stranger();
    assert_eq!(stranger.overlap(), Overlap::Hedged);
    for n in 0..3 {
        let seen = stranger.probe(PATIENT).await.unwrap();
        assert_eq!(seen.answer.is_some(), n == 0, "{seen:?}");
    }
    let after = rig.counts().await;
    assert_eq!((after.tls_full, after.requests, after.authenticated), (2, 1, 0), "{after:?}");
    // A gateway that is gone behind its TLS is noticed, and asked again until it is back.
    rig.service.set(Mode::Refusal(Refusal::BadGateway)).await.unwrap();
    let stranger = rig.stranger();
    for _ in 0..2 {
        assert_eq!(reason(stranger.probe(PATIENT).await), R::BackendDown);
    }
    rig.service.set(Mode::Up).await.unwrap();
    stranger.probe(PATIENT).await.unwrap();
}

#[tokio::test]
async fn no_stranger_passes_beside_one_that_has_no_answer_yet() {
    let rig = Rig::start().await;
    let stranger = rig.stranger();
    rig.service.set(Mode::StallHttp).await.unwrap();
    // At an edge the next attempt begins while this one waits: TLS alone would end the edge.
    let late = async {
        tokio::time::sleep(2 * HASTY).await;
        stranger.probe(10 * HASTY).await
    };
    let (first, second) = tokio::join!(stranger.probe(10 * HASTY), late);
    for outcome in [first, second] {
        let failure = outcome.unwrap_err();
        assert!(failure.reason == R::Timeout && failure.detail.starts_with("no HTTP answer after "), "{failure}");
    }
}

#[tokio::test]
async fn a_refusal_ends_what_an_answered_question_has_proved() {
    let rig = Rig::start().await;
    let stranger = rig.stranger();
    stranger.probe(PATIENT).await.unwrap();
    rig.service.set(Mode::Status(502)).await.unwrap();
    stranger.probe(PATIENT).await.expect("nothing is asked under the tickets of an answered question");
    rig.service.set(Mode::Refused).await.unwrap();
    assert_eq!(reason(stranger.probe(PATIENT).await), R::Refused);
    rig.service.set(Mode::Status(502)).await.unwrap();
    for _ in 0..2 {
        assert_eq!(reason(stranger.probe(PATIENT).await), R::BackendDown, "asked until it is answered");
    }
}

#[tokio::test]
async fn every_code_and_refusal_has_its_reason_whatever_the_status() {
    let rig = Rig::start().await;
    for with_status in [false, true] {
        let setup = TdengineSetup { http_code_server_error: with_status, ..TdengineSetup::default() };
        rig.service.set_up(setup).await.unwrap();
        for (code, text) in TDENGINE_CODES {
            rig.service.set(Mode::Code(code)).await.unwrap();
            let expected = match code {
                848..=856 | 789 => R::Auth,
                771 => R::NotAllowed,
                11 | 24 | 25 | 32 | 33 | 35 | 304 | 305 => R::BackendDown,
                34 | 36 | 294 => R::Overloaded,
                896 | 902 | 904 | 9728 | 9731 => R::Misconfigured,
                // What says nothing in particular goes by the status.
                _ if with_status => R::BackendDown,
                _ => R::Query,
            };
            let failure = rig.deep().probe(PATIENT).await.unwrap_err();
            assert_eq!(failure.reason, expected, "{code}, {with_status}: {failure}");
            assert!(failure.detail.contains(text), "{failure}");
        }
    }
    for refusal in Refusal::ALL {
        rig.service.set(Mode::Refusal(refusal)).await.unwrap();
        let expected = match refusal {
            Refusal::BadToken
            | Refusal::BadTokenPage
            | Refusal::NoAuth
            | Refusal::UnknownScheme
            | Refusal::BadBasic
            | Refusal::BadTaosd => R::Auth,
            Refusal::ForbiddenPage | Refusal::Whitelist => R::NotAllowed,
            Refusal::SqlRejected | Refusal::EmptyRequest | Refusal::NoSql | Refusal::BadParameter => R::Misconfigured,
            Refusal::NotFound | Refusal::BadGateway => R::BackendDown,
            Refusal::PoolTimeout | Refusal::PoolWait | Refusal::Paused | Refusal::QueriesPaused => R::Overloaded,
        };
        let failure = rig.deep().probe(PATIENT).await.unwrap_err();
        assert_eq!(failure.reason, expected, "{refusal:?}: {failure}");
    }
}

#[tokio::test]
async fn every_other_fault_has_its_reason() {
    let rig = Rig::start().await;
    let redirect = Mode::Redirect { location: "https://elsewhere.example.com/rest/sql".into() };
    // The mode, what the path check says, and what the deep one does.
    let table: Vec<(Mode, Option<R>, Option<R>)> = vec![
        (Mode::Refused, Some(R::Refused), Some(R::Refused)),
        (Mode::Silent, Some(R::Timeout), Some(R::Timeout)),
        (Mode::StallTls, Some(R::Timeout), Some(R::Timeout)),
        (Mode::Reset, Some(R::Reset), Some(R::Reset)),
        (Mode::HangUp, Some(R::Reset), Some(R::Reset)),
        (Mode::Garbage, Some(R::Protocol), Some(R::Protocol)),
        (Mode::Certificate(Certificate::Expired), Some(R::TlsExpired), Some(R::TlsExpired)),
        (Mode::Certificate(Certificate::OtherName), Some(R::TlsName), Some(R::TlsName)),
        (Mode::Certificate(Certificate::Untrusted), Some(R::TlsHandshake), Some(R::TlsHandshake)),
        (Mode::Certificate(Certificate::SelfSigned), Some(R::TlsHandshake), Some(R::TlsHandshake)),
        (Mode::StallHttp, None, Some(R::Timeout)),
        (Mode::HangUpOnRequest, None, Some(R::Reset)),
        (Mode::GarbageHttp, None, Some(R::Protocol)),
        (Mode::Status(504), None, Some(R::BackendDown)),
        (Mode::Status(429), None, Some(R::Overloaded)),
        (redirect, None, Some(R::Result)),
        (Mode::NotJson, None, Some(R::Protocol)),
        (Mode::EmptyBody, None, Some(R::Protocol)),
        (Mode::Huge { bytes: 10_000_000 }, None, Some(R::Protocol)),
        (Mode::NoRows, None, Some(R::Result)),
        (Mode::TruncatedJson, None, Some(R::Protocol)),
        (Mode::MissingLastChunk, None, Some(R::Reset)),
        (Mode::Drip { every_ms: 100 }, None, Some(R::Timeout)),
    ];
    for (mode, path, deep) in table {
        rig.service.set(mode.clone()).await.unwrap();
        for (prober, expected) in [(rig.path(&probers()), path), (rig.deep(), deep)] {
            let patience = if expected == Some(R::Timeout) { HASTY } else { PATIENT };
            let outcome = prober.probe(patience).await;
            assert_eq!(outcome.as_ref().err().map(|f| f.reason), expected, "{mode:?}: {outcome:?}");
            if matches!(mode, Mode::Certificate(_)) {
                assert!(prober.certificate().is_some(), "{mode:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_refused_token_is_sent_once_and_again_when_its_file_changes() {
    let rig = Rig::start().await;
    let wrong = |written| Some(TdengineLogin::Token(secret("an old token", written)));
    let shared = probers();
    let deep = |login| shared.prober(&rig.target(login, Some(Depth::Query), None), Check::Deep);
    // Two targets with the same secret.
    let (a, b) = (deep(wrong(1)), deep(wrong(2)));
    let first = a.probe(PATIENT).await.unwrap_err();
    assert_eq!(first.reason, R::Auth);
    for prober in [&a, &b, &a] {
        let failure = prober.probe(PATIENT).await.unwrap_err();
        assert!(failure.to_string().starts_with("auth: not tried again until /etc/privatelinkd/orders.token changes"));
    }
    assert_eq!(rig.counts().await.requests, 1);
    // Later than any clock.
    let written = deep(wrong(u64::MAX));
    assert_eq!(reason(written.probe(PATIENT).await), R::Auth);
    assert_eq!(rig.counts().await.requests, 2);
    deep(token()).probe(PATIENT).await.unwrap();
    rig.path(&shared).probe(PATIENT).await.unwrap();
}

#[tokio::test]
async fn what_one_gateway_says_silences_no_other_zone() {
    let (one, other) = (Rig::start().await, Rig::start().await);
    let shared = probers();
    let deep = |rig: &Rig| shared.prober(&rig.target(token(), Some(Depth::Query), None), Check::Deep);
    let [a, b] = [deep(&one), deep(&other)];
    for prober in [&a, &b] {
        prober.probe(PATIENT).await.unwrap();
    }
    let message = Mode::Said { status: 401, body: r#"{"message":"who are you"}"#.into() };
    for mode in [Mode::Refusal(Refusal::NoAuth), Mode::Refusal(Refusal::UnknownScheme), Mode::Status(401), message] {
        one.service.set(mode.clone()).await.unwrap();
        let [a, before] = [deep(&one), deep(&other)];
        let asked = one.counts().await.requests;
        for n in 0..5 {
            let failure = a.probe(PATIENT).await.unwrap_err();
            assert_eq!(failure.reason, R::Auth, "{mode:?}: {failure}");
            assert_eq!(failure.detail.starts_with("no login for 30s after HTTP 401"), n > 0, "{failure}");
        }
        assert_eq!(one.counts().await.requests, asked + 1, "{mode:?}: gently");
        before.probe(PATIENT).await.unwrap_or_else(|failure| panic!("{mode:?}: {failure}"));
        b.probe(PATIENT).await.unwrap();
        // What dies meanwhile is seen.
        other.service.set(Mode::Code(11)).await.unwrap();
        assert_eq!(reason(b.probe(PATIENT).await), R::BackendDown);
        other.service.set(Mode::Up).await.unwrap();
    }
    one.service.set(Mode::Up).await.unwrap();
    deep(&one).probe(PATIENT).await.unwrap();
}

#[tokio::test]
async fn a_token_that_was_accepted_is_doubted_once_before_it_is_refused() {
    let (one, other) = (Rig::start().await, Rig::start().await);
    let shared = probers();
    let deep = |rig: &Rig| shared.prober(&rig.target(token(), Some(Depth::Query), None), Check::Deep);
    let [a, b] = [deep(&one), deep(&other)];
    a.probe(PATIENT).await.unwrap();
    one.service.set(Mode::Code(855)).await.unwrap();
    assert_eq!(reason(a.probe(PATIENT).await), R::Auth);
    // The password behind it has changed meanwhile: the next request is answered.
    one.service.set(Mode::Up).await.unwrap();
    a.probe(PATIENT).await.unwrap();
    b.probe(PATIENT).await.unwrap();
    one.service.set(Mode::Code(855)).await.unwrap();
    for _ in 0..2 {
        assert!(a.probe(PATIENT).await.unwrap_err().detail.contains("Authentication failure"));
    }
    let asked = (one.counts().await.requests, other.counts().await.requests);
    for prober in [&a, &b] {
        let failure = prober.probe(PATIENT).await.unwrap_err();
        assert!(failure.detail.starts_with("not tried again until "), "{failure}");
        assert!(failure.detail.contains(" changes, save 3 slow tries: "), "{failure}");
    }
    assert_eq!((one.counts().await.requests, other.counts().await.requests), asked);
}

#[tokio::test]
async fn an_accepted_password_needs_no_second_word() {
    let rig = Rig::start().await;
    let basic = TdengineLogin::Basic { user: TdengineSetup::USER.into(), password: secret(TdengineSetup::PASSWORD, 1) };
    let deep = probers().prober(&rig.target(Some(basic), Some(Depth::Query), None), Check::Deep);
    deep.probe(PATIENT).await.unwrap();
    rig.service.set(Mode::Code(855)).await.unwrap();
    for _ in 0..3 {
        assert_eq!(reason(deep.probe(PATIENT).await), R::Auth);
    }
    assert_eq!(rig.counts().await.requests, 2);
}

#[tokio::test]
async fn what_is_in_front_is_told_apart_from_what_is_ours() {
    let rig = Rig::start().await;
    let limited = r#"{"code":65535,"desc":"[0xfffe] request wait timeout, please try again later","timing":1}"#;
    for (status, body, expected) in [
        (503, limited, R::Overloaded),
        (500, r#"{"code":2054,"desc":"Connection creation limited by license"}"#, R::Suspended),
        (500, r#"{"code":9796,"desc":"Permission denied"}"#, R::NotAllowed),
        (402, "", R::Suspended),
        (414, "", R::Misconfigured),
        (404, r#"{"message":"no Route matched"}"#, R::BackendDown),
        (
            200,
            r#"{"status":"succ","head":["name"],"column_meta":[["name",8,64]],"data":[["a"]],"rows":1}"#,
            R::Misconfigured,
        ),
    ] {
        rig.service.set(Mode::Said { status, body: body.into() }).await.unwrap();
        let failure = rig.deep().probe(PATIENT).await.unwrap_err();
        assert_eq!(failure.reason, expected, "{status} {body}: {failure}");
    }
}

#[tokio::test]
async fn no_secret_shows_in_any_failure_or_description() {
    let rig = Rig::start().await;
    let logins = [
        TdengineLogin::Token(secret("hunter2token", 1)),
        TdengineLogin::Basic { user: "root".into(), password: secret("hunter2pass", 1) },
        TdengineLogin::Token(secret("hunter2\u{7f}\u{1}odd", 1)),
    ];
    for login in logins {
        let target = rig.target(Some(login), Some(Depth::Query), None);
        let prober = probers().prober(&target, Check::Deep);
        let failure = prober.probe(PATIENT).await.unwrap_err();
        let shown = format!("{failure} {failure:?} {prober:?} {target:?}");
        // "root:hunter2pass" in base64 has this in it.
        assert!(!shown.contains("hunter2") && !shown.contains("aHVudGVy") && !shown.contains("dW50ZXIy"), "{shown}");
    }
    let spec = TdengineSpec { path: "/no path".into(), ..spec_of(&rig.target(token(), Some(Depth::Query), None)) };
    let target = target(rig.service.address(), ProbeKind::Tdengine(spec));
    let failure = probers().prober(&target, Check::Deep).probe(PATIENT).await.unwrap_err();
    assert_eq!(failure.to_string(), "misconfigured: path: HTTP can't carry it");
}

#[tokio::test]
async fn a_gateway_that_repeats_the_secret_does_not_make_us_tell_it() {
    let rig = Rig::start().await;
    let basic = TdengineLogin::Basic { user: TdengineSetup::USER.into(), password: secret(TdengineSetup::PASSWORD, 1) };
    let odd = TdengineLogin::Token(secret(ODD_TOKEN, 1));
    // Each as it is, and as it crosses the wire.
    for (login, forms) in [
        (token().unwrap(), [TdengineSetup::TOKEN, TdengineSetup::TOKEN]),
        (odd, [ODD_TOKEN, "tok%20en%2F%2B%3F%26%3D%25%22"]),
        (basic, [TdengineSetup::PASSWORD, "cm9vdDpzdGFuZGluLXBhc3N3b3JkLW9mLXJvb3QtMDE="]),
    ] {
        let prober = probers().prober(&rig.target(Some(login), Some(Depth::Query), None), Check::Deep);
        for form in forms {
            // Where a sentence is cut, the beginning of a secret must not be left.
            for before in [0, Failure::MAX_DETAIL - 50] {
                let desc = format!("{} no such token: {form}", "x".repeat(before));
                rig.service.set(Mode::Error { code: 11, desc }).await.unwrap();
                let failure = prober.probe(PATIENT).await.unwrap_err();
                assert_eq!(failure.reason, R::BackendDown, "{failure}");
                let detail = failure.detail;
                assert!(!detail.contains(&form[..5]) && detail.contains("no such token: [secret]"), "{detail}");
            }
        }
    }
}

fn spec_of(target: &TargetSpec) -> TdengineSpec {
    match &target.probe.kind {
        ProbeKind::Tdengine(spec) => spec.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_deadline_holds_for_a_body_without_end() {
    let rig = Rig::start().await;
    rig.service.set(Mode::Drip { every_ms: 20 }).await.unwrap();
    let prober = rig.deep();
    let started = Instant::now();
    let failure = prober.probe(Duration::from_millis(600)).await.unwrap_err();
    assert_eq!(failure.reason, R::Timeout);
    // 100 ms for a polite end, and a busy machine.
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

mod judged {
    use privatelinkd::probe::tdengine::{Question, Text, judge};
    use proptest::collection::vec;
    use proptest::sample::select;

    use super::*;

    const SEEDS: [&[u8]; 6] = [
        br#"{"code":0,"column_meta":[["name","VARCHAR",64]],"data":[["information_schema"],["x"]],"rows":2}"#,
        br#"{"code":855,"desc":"Authentication failure","timing":7}"#,
        br#"{"code":0,"data":[],"rows":0}"#,
        br#""memory exceeds threshold""#,
        b"<html>Bad Gateway</html>",
        br#"{"code":0,"data":[[1.5e300,null,{"a":[[[]]]}]],"rows":18446744073709551615}"#,
    ];

    fn body() -> impl Strategy<Value = Vec<u8>> {
        let edits = vec((any::<proptest::sample::Index>(), any::<u8>(), 0..3_u8), 0..6);
        (select(&SEEDS[..]), edits).prop_map(|(seed, edits)| {
            edits.into_iter().fold(seed.to_vec(), |mut bytes, (at, value, how)| {
                if !bytes.is_empty() {
                    let at = at.index(bytes.len());
                    match how {
                        0 => bytes[at] = value,
                        1 => bytes.insert(at, value),
                        _ => bytes.truncate(at),
                    }
                }
                bytes
            })
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

        /// Success only where status, code, rows and data all say so; never a control character in a sentence.
        #[test]
        fn any_answer_is_judged(status in 100..600_u16, body in body(), cut in any::<bool>(), expect in any::<bool>()) {
            let question = Question::Query { expect: expect.then(|| "information_schema".to_owned()) };
            let parsed: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
            match judge(&Text { status, body: &body, cut, secrets: &[] }, &question) {
                Ok(()) => {
                    let parsed = parsed.unwrap();
                    prop_assert_eq!(status, 200);
                    prop_assert_eq!(parsed["code"].as_i64(), Some(0));
                    prop_assert!(parsed["rows"].as_u64() >= Some(1));
                    let first = &parsed["data"][0];
                    prop_assert!(!first.is_null() || parsed["data"].as_array().is_some_and(|d| !d.is_empty()));
                    prop_assert!(!expect || first[0] == "information_schema");
                }
                Err(refusal) => prop_assert!(!refusal.failure.detail.chars().any(char::is_control)),
            }
        }
    }
}
