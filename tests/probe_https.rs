//! The https prober against a service that fails in every way, and against certificates that do.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use privatelink_sim::{HttpsMode, HttpsService, Leaf, Pki, free_address};
use privatelinkd::model::{
    Check, Failure, FailureReason as R, HeaderValue, HttpsSpec, ProbeKind, Secret, TlsSpec, Trust, TrustBundle,
};
use privatelinkd::probe::{AnyProber, Overlap, Prober};

use crate::agent_rig::{NAME as AGENT_NAME, Rig};
use crate::probe_tcp::{HASTY, PATIENT, probers, reason, target};

const NAME: &str = "gw-orders.example.com";

fn trust(pki: &Pki) -> Trust {
    Trust::File(Arc::new(TrustBundle { path: "/etc/privatelinkd/ca.pem".into(), certificates: vec![pki.ca_der()] }))
}

fn spec(trust: Trust) -> HttpsSpec {
    HttpsSpec {
        tls: TlsSpec { server_name: NAME.parse().unwrap(), trust, expiry_warning: Duration::ZERO },
        method: "GET".into(),
        path: "/healthz?deep=1".into(),
        headers: Vec::new(),
        body: String::new(),
        expect_status: vec![200],
        expect_body: None,
    }
}

fn prober(address: SocketAddr, spec: HttpsSpec) -> AnyProber {
    probers().prober(&target(address, ProbeKind::Https(spec)), Check::Path)
}

async fn serve(leaf: Leaf) -> HttpsService {
    HttpsService::start(free_address(8443).unwrap(), leaf).await.unwrap()
}

#[tokio::test]
async fn the_expected_status_is_a_success_with_its_phases() {
    let pki = Pki::new("test").unwrap();
    let service = serve(pki.leaf(&[NAME]).unwrap()).await;
    let prober = prober(service.address(), spec(trust(&pki)));
    assert_eq!(prober.overlap(), Overlap::Hedged);
    let timings = prober.probe(PATIENT).await.unwrap();
    let (tls, answer) = (timings.tls.unwrap(), timings.answer.unwrap());
    assert!(!tls.is_zero() && !answer.is_zero());
    assert_eq!(timings.total, timings.tcp + tls + answer);

    let seen = service.last_request().unwrap();
    assert_eq!(seen.server_name.as_deref(), Some(NAME));
    assert_eq!(seen.line, "GET /healthz?deep=1");
    assert_eq!(seen.headers["host"], format!("{NAME}:8443"));
    assert_eq!(seen.headers["connection"], "close");
    assert!(seen.headers["user-agent"].to_str().unwrap().starts_with("privatelinkd/"));
}

#[tokio::test]
async fn each_way_to_fail_has_its_reason() {
    let pki = Pki::new("test").unwrap();
    let service = serve(pki.leaf(&[NAME]).unwrap()).await;
    let prober = prober(service.address(), spec(trust(&pki)));
    let table = [
        (HttpsMode::Refused, R::Refused, "connect: Connection refused"),
        (HttpsMode::Silent, R::Timeout, "no answer to the TCP handshake after "),
        (HttpsMode::StallTls, R::Timeout, "TLS handshake not finished after "),
        (HttpsMode::StallHttp, R::Timeout, "no HTTP answer after "),
        (HttpsMode::Garbage, R::Protocol, "TLS handshake: the peer speaks no TLS"),
        (HttpsMode::GarbageHttp, R::Protocol, "HTTP exchange: "),
        (HttpsMode::Reset, R::Reset, "TLS handshake: "),
        (HttpsMode::HangUp, R::Reset, "HTTP exchange: "),
        (HttpsMode::Status(401), R::Auth, "expected 200, found 401"),
        (HttpsMode::Status(403), R::NotAllowed, "expected 200, found 403"),
        (HttpsMode::Status(429), R::Overloaded, "expected 200, found 429"),
        (HttpsMode::Status(500), R::Result, "expected 200, found 500"),
        (HttpsMode::Status(301), R::Result, "expected 200, found 301"),
        (HttpsMode::Status(503), R::BackendDown, "expected 200, found 503"),
    ];
    for (mode, expected, detail) in table {
        service.set(mode).await.unwrap();
        let deadline = match mode {
            HttpsMode::Silent => HASTY,
            // Enough for the phases before the one that stalls.
            HttpsMode::StallTls | HttpsMode::StallHttp => 10 * HASTY,
            _ => PATIENT,
        };
        let failure = prober.probe(deadline).await.unwrap_err();
        assert_eq!(failure.reason, expected, "{mode:?}: {failure}");
        assert!(failure.detail.starts_with(detail), "{mode:?}: {failure}");
        service.set(HttpsMode::Up).await.unwrap();
        prober.probe(PATIENT).await.unwrap_or_else(|failure| panic!("after {mode:?}: {failure}"));
    }
}

#[tokio::test]
async fn each_bad_certificate_has_its_reason() {
    let (pki, other) = (Pki::new("test").unwrap(), Pki::new("other").unwrap());
    let table = [
        (
            pki.leaf(&["elsewhere.example.com", "*.example.org"]).unwrap(),
            R::TlsName,
            "is not for gw-orders.example.com, it is for elsewhere.example.com, *.example.org",
        ),
        (pki.expired_leaf(&[NAME]).unwrap(), R::TlsExpired, "ran out at 2002-01-01T00:00:00Z; it is "),
        (other.leaf(&[NAME]).unwrap(), R::TlsHandshake, "is signed by no trusted authority"),
    ];
    for (leaf, expected, detail) in table {
        let service = serve(leaf).await;
        let failure = prober(service.address(), spec(trust(&pki))).probe(PATIENT).await.unwrap_err();
        assert_eq!(failure.reason, expected, "{failure}");
        let detail = format!("TLS handshake: the certificate {detail}");
        assert!(failure.detail.starts_with(&detail), "{failure}");
        assert!(service.last_request().is_none(), "no request may go to an unproven server");
    }
}

#[tokio::test]
async fn the_system_roots_do_not_know_a_private_authority() {
    let pki = Pki::new("test").unwrap();
    let service = serve(pki.leaf(&[NAME]).unwrap()).await;
    let failure = prober(service.address(), spec(Trust::System)).probe(PATIENT).await.unwrap_err();
    // A machine without any root says so, as a fault of its own.
    let rootless = failure.reason == R::Local && failure.detail.contains("root certificate");
    assert!(failure.reason == R::TlsHandshake || rootless, "{failure}");
}

#[tokio::test]
async fn any_of_the_expected_statuses_will_do() {
    let pki = Pki::new("test").unwrap();
    let service = serve(pki.leaf(&[NAME]).unwrap()).await;
    let spec = HttpsSpec { expect_status: vec![200, 401], ..spec(trust(&pki)) };
    let prober = prober(service.address(), spec);
    service.set(HttpsMode::Status(401)).await.unwrap();
    prober.probe(PATIENT).await.unwrap();
    service.set(HttpsMode::Status(404)).await.unwrap();
    let failure = prober.probe(PATIENT).await.unwrap_err();
    assert_eq!(failure, Failure::new(R::Result, "expected 200 or 401, found 404"));
}

#[tokio::test]
async fn a_secret_header_reaches_the_server_and_nobody_else() {
    let pki = Pki::new("test").unwrap();
    let service = serve(pki.leaf(&[NAME]).unwrap()).await;
    let headers = vec![("x-token".to_owned(), HeaderValue::Secret(Secret::new("hunter2".into())))];
    let prober = prober(service.address(), HttpsSpec { headers, ..spec(trust(&pki)) });
    prober.probe(PATIENT).await.unwrap();
    assert_eq!(service.last_request().unwrap().headers["x-token"], "hunter2");
    assert!(!format!("{prober:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_front_that_refuses_the_secret_is_still_seen_to_answer_or_not() {
    let pki = Pki::new("test").unwrap();
    let service = serve(pki.leaf(&[NAME]).unwrap()).await;
    let headers = vec![("x-token".to_owned(), HeaderValue::Secret(Secret::new("hunter2".into())))];
    let prober = prober(service.address(), HttpsSpec { headers, ..spec(trust(&pki)) });
    let has_secret = || service.last_request().unwrap().headers.contains_key("x-token");
    service.set(HttpsMode::Status(401)).await.unwrap();
    assert!(prober.probe(PATIENT).await.unwrap().answer.is_some() && has_secret());
    let remark = prober.remark().unwrap();
    assert!(remark.contains("auth: expected 200, found 401") && !remark.contains("hunter2"), "{remark}");
    // TLS is enough for a while, and the secret rests.
    let timings = prober.probe(PATIENT).await.unwrap();
    assert_eq!((timings.answer, timings.total), (None, timings.tcp + timings.tls.unwrap()));
    assert!(prober.remark().unwrap().contains("auth: no login for 30s after expected 200, found 401"));
    for (mode, expected) in
        [(HttpsMode::Refused, R::Refused), (HttpsMode::StallHttp, R::Timeout), (HttpsMode::Status(502), R::BackendDown)]
    {
        service.set(HttpsMode::Refused).await.unwrap();
        assert_eq!(reason(prober.probe(PATIENT).await), R::Refused);
        service.set(mode).await.unwrap();
        let deadline = if expected == R::Timeout { 10 * HASTY } else { PATIENT };
        assert_eq!(reason(prober.probe(deadline).await), expected, "after a failure an answer is asked for");
    }
    for status in [401, 403, 404, 302, 200] {
        service.set(HttpsMode::Refused).await.unwrap();
        assert_eq!(reason(prober.probe(PATIENT).await), R::Refused);
        service.set(HttpsMode::Status(status)).await.unwrap();
        assert!(prober.probe(PATIENT).await.unwrap().answer.is_some(), "{status}");
        assert!(!has_secret(), "it is not risked before its time");
    }
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(30)).await;
    tokio::time::resume();
    // A time-out in its turn is no word on it.
    service.set(HttpsMode::StallHttp).await.unwrap();
    assert_eq!(reason(prober.probe(10 * HASTY).await), R::Timeout);
    service.set(HttpsMode::Status(401)).await.unwrap();
    prober.probe(PATIENT).await.unwrap();
    assert!(has_secret());
    prober.probe(PATIENT).await.unwrap();
    assert!(prober.remark().unwrap().contains("no login for 1m after"), "{:?}", prober.remark());
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(60)).await;
    tokio::time::resume();
    service.set(HttpsMode::Up).await.unwrap();
    prober.probe(PATIENT).await.unwrap();
    assert!(has_secret() && prober.remark().is_none());
}

#[tokio::test]
async fn failing_over_needs_no_secret() {
    let pki = Pki::new("test").unwrap();
    let services = [serve(pki.leaf(&[AGENT_NAME]).unwrap()).await, serve(pki.leaf(&[AGENT_NAME]).unwrap()).await];
    for service in &services {
        service.set(HttpsMode::Status(401)).await.unwrap();
    }
    let [h, i] = services.each_ref().map(|service| service.address().ip());
    let mut rig = Rig::new("");
    std::fs::write(rig.path("ca.pem"), pki.ca_pem()).unwrap();
    std::fs::write(rig.path("token"), "revoked").unwrap();
    std::fs::set_permissions(rig.path("token"), std::fs::Permissions::from_mode(0o600)).unwrap();
    rig.configure(&format!(
        "[[endpoint]]\nname = \"db\"\naddresses = {{ cn-hangzhou-h = \"{h}\", cn-hangzhou-i = \"{i}\" }}\n\
         private_dns = [\"{AGENT_NAME}\"]\n[endpoint.probe]\nkind = \"https\"\nport = 8443\nca_file = \"{}\"\n\
         headers = {{ x-token = {{ file = \"{}\" }} }}\ninterval = \"300ms\"\nfast_interval = \"100ms\"\n\
         timeout = \"1s\"\nhold = \"0s\"\n",
        rig.path("ca.pem").display(),
        rig.path("token").display()
    ));
    rig.start();
    rig.moves_to(AGENT_NAME, &[h, i]).await;
    let said = |problem: &String| problem.contains("its secret is refused") && problem.contains("401");
    rig.reports("the refused secret", |report| report.problems.iter().any(said)).await;
    services[0].set(HttpsMode::Refused).await.unwrap();
    rig.moves_to(AGENT_NAME, &[i]).await;
}

#[tokio::test]
async fn a_body_without_end_does_not_hold_the_verdict_up() {
    let pki = Pki::new("test").unwrap();
    let body = Bytes::from(vec![b'x'; 64 << 20]);
    let service = HttpsService::with_body(free_address(8443).unwrap(), pki.leaf(&[NAME]).unwrap(), body).await.unwrap();
    prober(service.address(), spec(trust(&pki))).probe(PATIENT).await.unwrap();
}

#[tokio::test]
async fn sessions_resume_at_their_own_address_only_and_not_after_a_failure() {
    let pki = Pki::new("test").unwrap();
    let probers = probers();
    let services = [serve(pki.leaf(&[NAME]).unwrap()).await, serve(pki.leaf(&[NAME]).unwrap()).await];
    let kind = ProbeKind::Https(spec(trust(&pki)));
    let [a, b] =
        services.each_ref().map(|service| probers.prober(&target(service.address(), kind.clone()), Check::Path));
    let resumed = |service: &HttpsService| service.last_request().unwrap().resumed;

    a.probe(PATIENT).await.unwrap();
    assert!(!resumed(&services[0]));
    a.probe(PATIENT).await.unwrap();
    assert!(resumed(&services[0]), "the second handshake is a cheap one");
    b.probe(PATIENT).await.unwrap();
    assert!(!resumed(&services[1]), "a ticket stays with its address");

    services[0].set(HttpsMode::Refused).await.unwrap();
    assert_eq!(reason(a.probe(PATIENT).await), R::Refused);
    services[0].set(HttpsMode::Up).await.unwrap();
    a.probe(PATIENT).await.unwrap();
    assert!(!resumed(&services[0]), "after a failure the certificate is shown again");
}

#[tokio::test]
async fn what_cannot_be_asked_is_misconfigured_and_dials_nobody() {
    let pki = Pki::new("test").unwrap();
    let service = serve(pki.leaf(&[NAME]).unwrap()).await;
    let empty = TrustBundle { path: "/etc/privatelinkd/empty.pem".into(), certificates: vec![b"no DER".to_vec()] };
    for bad in [
        HttpsSpec { method: "NOT A METHOD".into(), ..spec(trust(&pki)) },
        HttpsSpec { path: "no slash but a space".into(), ..spec(trust(&pki)) },
        spec(Trust::File(Arc::new(empty))),
    ] {
        assert_eq!(reason(prober(service.address(), bad).probe(PATIENT).await), R::Misconfigured);
    }
    assert_eq!(service.connections(), 0);
}

#[tokio::test]
async fn the_certificate_is_remembered_whether_it_is_trusted_or_not() {
    let pki = Pki::new("the authority").unwrap();
    let service = serve(pki.leaf(&[NAME, "other.example.com"]).unwrap()).await;
    let prober = prober(service.address(), spec(trust(&pki)));
    assert_eq!(prober.certificate(), None);
    prober.probe(PATIENT).await.unwrap();
    let shown = prober.certificate().unwrap();
    assert_eq!(
        (shown.names.as_slice(), shown.issuer.as_str()),
        (&[NAME.into(), "other.example.com".into()][..], "the authority")
    );
    assert_eq!(
        (shown.not_before.to_string().as_str(), shown.not_after.to_string().as_str()),
        ("2000-01-01T00:00:00Z", "4000-01-01T00:00:00Z")
    );
    prober.probe(PATIENT).await.unwrap();
    assert!(
        service.last_request().unwrap().resumed && prober.certificate() == Some(shown),
        "a ticket does not lose it"
    );

    let service = serve(pki.expired_leaf(&[NAME]).unwrap()).await;
    let prober = self::prober(service.address(), spec(trust(&pki)));
    assert_eq!(reason(prober.probe(PATIENT).await), R::TlsExpired);
    assert_eq!(prober.certificate().unwrap().not_after.to_string(), "2002-01-01T00:00:00Z");
}

#[tokio::test]
async fn a_body_is_sent_and_one_is_expected() {
    let pki = Pki::new("test").unwrap();
    let service = HttpsService::with_body(
        free_address(8443).unwrap(),
        pki.leaf(&[NAME]).unwrap(),
        Bytes::from_static(b"{\"status\": \"ok\"}"),
    );
    let service = service.await.unwrap();
    let asked = |pattern: &str| {
        let spec = HttpsSpec {
            method: "POST".into(),
            body: "are you well?".into(),
            expect_body: Some(pattern.into()),
            ..spec(trust(&pki))
        };
        prober(service.address(), spec)
    };
    asked("\"status\":\\s*\"ok\"").probe(PATIENT).await.unwrap();
    let seen = service.last_request().unwrap();
    assert_eq!(seen.line, "POST /healthz?deep=1");
    assert_eq!(seen.headers["content-length"], "13");
    let failure = asked("hunter[0-9]").probe(PATIENT).await.unwrap_err();
    assert_eq!(failure.to_string(), "result: expected a body with /hunter[0-9]/, found 16 bytes without");
    assert_eq!(reason(asked("(").probe(PATIENT).await), R::Misconfigured);
}
