//! The gateway over its sockets, asked by a client that is written by hand.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::{Certificate, Pki, free_address};

const PATIENCE: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(200);
const NAME: &str = "gw.cloud.example.com";
const STATUS: &str = "select server_status()";

struct Rig {
    service: TdengineService,
    client: TlsConnector,
}

/// What came back.
#[derive(Debug)]
struct Got {
    status: u16,
    head: String,
    body: Vec<u8>,
    /// Whether the body ended as HTTP says it should.
    whole: bool,
}

impl Got {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

async fn rig() -> Rig {
    let pki = Pki::new("test").unwrap();
    let identity = Identity::new(&pki, &[NAME]).unwrap();
    let service =
        TdengineService::start(free_address(6041).unwrap(), TdengineSetup::default(), identity).await.unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(pki.ca_der())).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    Rig { service, client: TlsConnector::from(Arc::new(config)) }
}

impl Rig {
    async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.service.address()).await?;
        self.client.connect(ServerName::try_from(NAME).unwrap(), stream).await
    }

    async fn raw(&self, request: &str) -> std::io::Result<Got> {
        let mut stream = self.connect().await?;
        stream.write_all(request.as_bytes()).await?;
        let mut all = Vec::new();
        // Not everybody says goodbye to TLS.
        let _ = timeout(PATIENCE, stream.read_to_end(&mut all)).await.unwrap();
        parsed(&all).ok_or_else(|| std::io::Error::other(format!("no HTTP: {all:?}")))
    }

    async fn ask(&self, target: &str, headers: &str, sql: &str) -> Got {
        let length = sql.len();
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{sql}"
        );
        self.raw(&request).await.unwrap()
    }

    /// Asks with the good token.
    async fn sql(&self, sql: &str) -> Got {
        self.ask(&format!("/rest/sql?token={}", TdengineSetup::TOKEN), "", sql).await
    }

    async fn in_mode(&self, mode: TdengineMode, sql: &str) -> Got {
        self.service.set(mode).await.unwrap();
        self.sql(sql).await
    }
}

fn parsed(all: &[u8]) -> Option<Got> {
    let at = all.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&all[..at]).into_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let rest = &all[at + 4..];
    let (body, whole) =
        if head.contains("transfer-encoding: chunked") { dechunked(rest) } else { (rest.to_vec(), true) };
    Some(Got { status, head, body, whole })
}

fn dechunked(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(at) = rest.windows(2).position(|two| two == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..at]).unwrap(), 16).unwrap();
        if length == 0 {
            return (body, true);
        }
        body.extend(&rest[at + 2..at + 2 + length]);
        rest = &rest[at + 4 + length..];
    }
    (body, false)
}

#[tokio::test]
async fn answers_whoever_is_known() {
    let rig = rig().await;
    let got = rig.sql(STATUS).await;
    assert_eq!((got.status, got.whole), (200, true));
    assert!(got.head.contains("content-type: application/json; charset=utf-8\r\n"), "{}", got.head);
    assert!(got.head.contains("transfer-encoding: chunked"), "{}", got.head);
    let expected = json!({ "code": 0, "column_meta": [["server_status()", "INT", 4]], "data": [[1]], "rows": 1 });
    assert_eq!(got.json(), expected);
    let basic = "Authorization: Basic cm9vdDpzdGFuZGluLXBhc3N3b3JkLW9mLXJvb3QtMDE=\r\n";
    assert_eq!(rig.ask("/rest/sql/nodb", basic, "show databases").await.json()["rows"], 2);
    let target = format!("/rest/sql?token={}&row_with_meta=true&timing=true&tz=Asia%2FShanghai", TdengineSetup::TOKEN);
    let got = rig.ask(&target, "", "select 1").await.json();
    assert!(got["data"] == json!([{ "1": 1 }]) && got["timing"].is_number(), "{got}");
    let seen = rig.service.last_request().unwrap();
    assert_eq!((seen.body.as_str(), seen.server_name.as_deref(), seen.authenticated), ("select 1", Some(NAME), true));
    let counts = rig.service.counts();
    assert_eq!((counts.requests, counts.authenticated, counts.connections), (3, 3, 3));
    assert_eq!(counts.tls_full + counts.tls_resumed, 3);
    assert!(counts.tls_resumed > 0, "{counts:?}");
}

#[tokio::test]
async fn keeps_connections_and_zips_for_whoever_asks() {
    let rig = rig().await;
    let mut stream = rig.connect().await.unwrap();
    for _ in 0..2 {
        let request = format!(
            "POST /rest/sql?token={} HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nselect 1",
            TdengineSetup::TOKEN
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut all = Vec::new();
        while !all.ends_with(b"0\r\n\r\n") {
            all.push(stream.read_u8().await.unwrap());
        }
        assert_eq!(parsed(&all).unwrap().json()["rows"], 1);
    }
    assert_eq!(rig.service.counts().connections, 1);
    let target = format!("/rest/sql?token={}", TdengineSetup::TOKEN);
    let got = rig.ask(&target, "Accept-Encoding: gzip, deflate\r\n", "select 1").await;
    assert!(got.head.contains("content-encoding: gzip") && got.body.starts_with(&[0x1f, 0x8b]), "{got:?}");
}

#[tokio::test]
async fn tells_strangers_what_is_wrong() {
    let rig = rig().await;
    for (target, headers, body, status, code) in [
        ("/rest/sql?token=nonsense", "", STATUS, 401, 855),
        ("/nonsense?token=nonsense", "", STATUS, 401, 855),
        ("/rest/sql", "", STATUS, 401, 4357),
        ("/rest/sql", "Authorization: Digest x\r\n", STATUS, 401, 4386),
        ("/rest/sql", "Authorization: Basic x\r\n", STATUS, 401, 4388),
        ("/rest/sql", "Authorization: Taosd x\r\n", STATUS, 401, 4389),
        ("/rest/sql", "Authorization: Basic cm9vdDp3cm9uZw==\r\n", STATUS, 200, 855),
        ("/rest/sql", "Authorization: Basic bm9ib2R5Ong=\r\n", STATUS, 200, 849),
        ("/rest/sql?token=GOOD", "", "", 400, 4358),
        ("/rest/sql?token=GOOD", "", "  \n", 400, 4359),
        ("/rest/sql?token=GOOD&tz=nowhere", "", STATUS, 400, 65535),
        ("/rest/sql?token=GOOD&req_id=x", "", STATUS, 400, 65535),
        ("/rest/sql?token=GOOD", "", "nonsense", 200, 9728),
        ("/rest/sql?token=GOOD", "", "select * from t", 200, 9731),
    ] {
        let got = rig.ask(&target.replace("GOOD", TdengineSetup::TOKEN), headers, body).await;
        assert_eq!((got.status, &got.json()["code"]), (status, &json!(code)), "{target} {headers}: {got:?}");
    }
    let got = rig.ask("/nonsense", "", "").await;
    assert_eq!((got.status, got.text().as_str()), (404, "404 page not found"));
    let ping = rig.raw("GET /-/ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    assert_eq!((ping.status, ping.body.len()), (200, 0));
}

#[tokio::test]
async fn every_code_and_refusal_can_be_met() {
    let rig = rig().await;
    for (code, desc) in CODES {
        let got = rig.in_mode(TdengineMode::Code(code), STATUS).await;
        assert_eq!((got.status, &got.json()["code"], &got.json()["desc"]), (200, &json!(code), &json!(desc)));
    }
    let setup = TdengineSetup { http_code_server_error: true, ..TdengineSetup::default() };
    rig.service.set_up(setup).await.unwrap();
    for (code, status) in [(855, 401), (849, 401), (11, 502), (9728, 400), (904, 500), (304, 500)] {
        assert_eq!(rig.in_mode(TdengineMode::Code(code), STATUS).await.status, status, "{code}");
    }
    let error = TdengineMode::Error { code: 7, desc: "anything".to_owned() };
    assert_eq!(rig.in_mode(error, STATUS).await.json()["desc"], "anything");
    for refusal in TdengineRefusal::ALL {
        let got = rig.in_mode(TdengineMode::Refusal(refusal), STATUS).await;
        assert!((400..=503).contains(&got.status), "{refusal:?}: {got:?}");
    }
    let got = rig.in_mode(TdengineMode::Refusal(TdengineRefusal::Paused), STATUS).await;
    assert_eq!((got.status, got.text().as_str()), (503, "\"memory exceeds threshold\""));
    let ping = rig.raw("GET /-/ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    assert_eq!((ping.status, ping.body.len()), (503, 0));
    let got = rig.in_mode(TdengineMode::Status(502), STATUS).await;
    assert!(got.status == 502 && got.text().starts_with("<html>"), "{got:?}");
    let got = rig.in_mode(TdengineMode::Redirect { location: "https://x.example/".to_owned() }, STATUS).await;
    assert!(got.status == 301 && got.head.contains("location: https://x.example/"), "{got:?}");
}

#[tokio::test]
async fn answers_can_be_wrong_broken_and_slow() {
    let rig = rig().await;
    let got = rig.in_mode(TdengineMode::NoRows, STATUS).await.json();
    assert_eq!((&got["code"], &got["rows"], &got["data"]), (&json!(0), &json!(0), &json!([])));
    let got = rig.in_mode(TdengineMode::FewerRows, "show databases").await.json();
    assert_eq!((&got["rows"], &got["data"]), (&json!(1), &json!([["information_schema"]])));
    assert_eq!(rig.in_mode(TdengineMode::OtherValue, STATUS).await.json()["data"], json!([[-1]]));
    let got = rig.in_mode(TdengineMode::TruncatedJson, STATUS).await;
    assert!(got.whole && serde_json::from_slice::<Value>(&got.body).is_err(), "{got:?}");
    let got = rig.in_mode(TdengineMode::MissingLastChunk, STATUS).await;
    assert!(!got.whole && got.json()["rows"] == 1, "{got:?}");
    let got = rig.in_mode(TdengineMode::NotJson, STATUS).await;
    assert!(got.status == 200 && got.text().starts_with("<html>"), "{got:?}");
    let got = rig.in_mode(TdengineMode::EmptyBody, STATUS).await;
    assert_eq!((got.status, got.body.len()), (200, 0));
    let got = rig.in_mode(TdengineMode::Huge { bytes: 100_000 }, STATUS).await;
    assert!(got.whole && got.json().as_str().map(str::len) == Some(100_000));
    let began = tokio::time::Instant::now();
    let got = rig.in_mode(TdengineMode::Drip { every_ms: 2 }, STATUS).await;
    assert!(got.json()["rows"] == 1 && began.elapsed() > Duration::from_millis(100), "{got:?}");
}

#[tokio::test]
async fn connections_can_go_wrong_before_http() {
    let rig = rig().await;
    for (certificate, expected) in [
        (Certificate::Expired, "Expired"),
        (Certificate::OtherName, "NotValidForName"),
        (Certificate::Untrusted, "UnknownIssuer"),
        (Certificate::SelfSigned, "UnknownIssuer"),
    ] {
        rig.service.set(TdengineMode::Certificate(certificate)).await.unwrap();
        let found = format!("{:?}", rig.connect().await.err());
        assert!(found.contains(expected), "{certificate:?}: {found}");
    }
    rig.service.set(TdengineMode::Certificate(Certificate::Good)).await.unwrap();
    assert_eq!(rig.sql(STATUS).await.status, 200);
    for mode in [TdengineMode::Reset, TdengineMode::HangUp, TdengineMode::Garbage, TdengineMode::Refused] {
        rig.service.set(mode.clone()).await.unwrap();
        assert!(rig.connect().await.is_err(), "{mode:?}");
    }
    for mode in [TdengineMode::StallTls, TdengineMode::Silent] {
        rig.service.set(mode.clone()).await.unwrap();
        assert!(timeout(SHORT, rig.connect()).await.is_err(), "{mode:?}");
    }
    let request = "POST /rest/sql HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    for mode in [TdengineMode::GarbageHttp, TdengineMode::StallHttp] {
        rig.service.set(mode.clone()).await.unwrap();
        let mut stream = rig.connect().await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let first = timeout(SHORT, stream.read_u8()).await;
        assert_eq!(first.is_err(), mode == TdengineMode::StallHttp, "{mode:?}: {first:?}");
    }
    rig.service.set(TdengineMode::HangUpOnRequest).await.unwrap();
    assert!(rig.raw(request).await.is_err());
}

#[tokio::test]
async fn nothing_that_comes_in_makes_it_fall() {
    let rig = rig().await;
    let mut seed = 1_u64;
    let mut noise = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    };
    for round in 0..200_usize {
        let mut stream = rig.connect().await.unwrap();
        let mut bytes: Vec<u8> = format!(
            "POST /rest/sql/x?token={}&tz=%41%&req_id=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Authorization: Basic cm9vdDp0\r\nContent-Length: 8\r\n\r\nselect 1",
            TdengineSetup::TOKEN
        )
        .into_bytes();
        for _ in 0..=round % 4 {
            let at = usize::from(noise()) % bytes.len();
            bytes[at] = noise();
        }
        stream.write_all(&bytes).await.unwrap();
        let _ = stream.shutdown().await;
        let _ = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.unwrap();
    }
    for sql in ["'", "select '", "select '''", "use", "select\u{1F980}", "; ; ;", "%", "select 1;;"] {
        assert_eq!(rig.sql(sql).await.status, 200, "{sql}");
    }
    assert_eq!(rig.sql(STATUS).await.json()["rows"], 1);
}

/// Over sockets a task that panics is only one that hangs up; here it would show.
#[test]
fn no_request_makes_it_fall() {
    let mut seed = 3_u64;
    let mut noise = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 40) as usize % below
    };
    let words = [
        "/rest/sql",
        "/",
        "token=",
        TdengineSetup::TOKEN,
        "&",
        "%",
        "%f",
        "%ff",
        "tz=",
        "Asia/",
        "req_id=",
        "select ",
        "'",
        "\u{1F980}",
        ";",
        " ",
        "show ",
        "databases",
        "Basic ",
        "=",
        "cm9v",
        "use ",
    ];
    for _ in 0..20_000 {
        let mut text = || (0..noise(7)).map(|_| words[noise(words.len())]).collect::<Vec<_>>().concat();
        let mut headers = hyper::HeaderMap::new();
        if let Ok(value) = hyper::header::HeaderValue::try_from(format!("Basic {}", text())) {
            headers.insert(hyper::header::AUTHORIZATION, value);
        }
        let (path, query, body) = (format!("/rest/sql{}", text()), text(), text());
        let query = format!("token={}&{query}", TdengineSetup::TOKEN);
        let query = if body.len() % 2 == 0 { query.as_str() } else { "" };
        let asked =
            super::answer::Asked { method: "POST", path: &path, query, headers: &headers, body: body.as_bytes() };
        let _ = super::answer::answer(&asked, &TdengineSetup::default(), &TdengineMode::OtherValue);
    }
}

#[test]
fn modes_are_written_as_one_writes_them() {
    for (mode, expected) in [
        (TdengineMode::Up, r#""up""#),
        (TdengineMode::Code(855), r#"{"code":855}"#),
        (TdengineMode::Refusal(TdengineRefusal::QueriesPaused), r#"{"refusal":"queries_paused"}"#),
        (TdengineMode::Error { code: 1, desc: "x".to_owned() }, r#"{"error":{"code":1,"desc":"x"}}"#),
        (TdengineMode::Huge { bytes: 5 }, r#"{"huge":{"bytes":5}}"#),
    ] {
        assert_eq!(serde_json::to_string(&mode).unwrap(), expected);
        assert_eq!(serde_json::from_str::<TdengineMode>(expected).unwrap(), mode);
    }
}
