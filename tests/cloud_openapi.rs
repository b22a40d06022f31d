//! Calls against a server that misbehaves.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use privatelink_sim::{HttpsService, Pki};

use privatelinkd::cloud::openapi::api_hosts::{Hosts, Origin};
use privatelinkd::cloud::openapi::refusal::Class;
use privatelinkd::cloud::openapi::retry::RetryPolicy;
use privatelinkd::cloud::openapi::{Anonymous, Call, CallError, Client, KeySource, Malformed, NoKeys};
use privatelinkd::cloud::reply::{LARGEST_BODY, TransportKind};
use privatelinkd::cloud::sign::{Keys, Params};
use privatelinkd::model::{Trust, TrustBundle};
use privatelinkd::sys::clock::Clock;
use tokio::time::Instant;

use crate::cloud_rig::{Answer, Server, answer, client, closed, http, hurry, json, keys};

/// Reads any JSON.
fn read(body: &[u8]) -> Result<serde_json::Value, Malformed> {
    serde_json::from_slice(body).map_err(|e| Malformed::NotJson(e.to_string()))
}

async fn ask(client: &Client, source: &impl KeySource) -> Result<serde_json::Value, CallError> {
    let params = Params::from([("RegionId".to_owned(), "cn-hangzhou".to_owned())]);
    let call = Call { action: "ListVpcEndpoints", version: "2020-04-15", params: &params, form: b"" };
    client.call(source, &call, read).await
}

fn refusal(error: CallError) -> Class {
    match error {
        CallError::Refused(refusal) => refusal.class,
        other => panic!("expected a refusal, found {other}"),
    }
}

fn transport(error: CallError) -> TransportKind {
    match error {
        CallError::Transport(error) => error.kind,
        other => panic!("expected a transport error, found {other}"),
    }
}

fn only(server: &Server) -> Hosts {
    Hosts::new(server.origin(), Vec::new())
}

const THROTTLED: &str = r#"{"Code":"Throttling.User","Message":"flow control","RequestId":"R"}"#;

#[tokio::test(start_paused = true)]
async fn a_call_is_a_signed_post_with_everything_in_the_query() {
    hurry();
    let server = Server::start(|_, _| json(200, r#"{"RequestId":"R"}"#)).await;
    let client = client(only(&server));
    assert_eq!(ask(&client, &keys("LTAI")).await.unwrap()["RequestId"], "R");
    let seen = &server.seen()[0];
    assert_eq!(seen.line, "POST /?RegionId=cn-hangzhou HTTP/1.1");
    assert_eq!(seen.body, "");
    assert_eq!(seen.header("content-length"), "0");
    assert_eq!(seen.header("host"), server.address.to_string());
    assert_eq!(seen.header("x-acs-action"), "ListVpcEndpoints");
    assert_eq!(seen.header("x-acs-version"), "2020-04-15");
    assert_eq!(seen.header("x-acs-signature-nonce").len(), 32);
    let signed = "Credential=LTAI,SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;\
                  x-acs-signature-nonce;x-acs-version,Signature=";
    assert!(seen.header("authorization").contains(signed), "{seen:?}");
    assert_eq!(client.counts()[&("ListVpcEndpoints", "ok")], 1);
}

#[tokio::test(start_paused = true)]
async fn every_retry_is_signed_anew() {
    hurry();
    let failed = r#"{"Code":"InternalError"}"#;
    let server = Server::start(move |_, n| if n < 2 { json(500, failed) } else { json(200, "{}") }).await;
    ask(&client(only(&server)), &keys("LTAI")).await.unwrap();
    let mut nonces: Vec<_> = server.seen().iter().map(|s| s.header("x-acs-signature-nonce").to_owned()).collect();
    let mut signatures: Vec<_> = server.seen().iter().map(|s| s.header("authorization").to_owned()).collect();
    nonces.sort();
    nonces.dedup();
    signatures.sort();
    signatures.dedup();
    assert_eq!((nonces.len(), signatures.len()), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn the_wait_that_the_service_asks_for_is_kept() {
    hurry();
    let headers = "content-type: application/json\r\nx-acs-retry-after: 8000\r\n";
    let server =
        Server::start(move |_, n| if n == 0 { answer(400, headers, THROTTLED) } else { json(200, "{}") }).await;
    let client = client(only(&server));
    ask(&client, &keys("LTAI")).await.unwrap();
    let seen = server.seen();
    let waited = seen[1].at - seen[0].at;
    assert!((Duration::from_secs(8)..Duration::from_secs(13)).contains(&waited), "{waited:?}");
    assert_eq!(client.counts()[&("ListVpcEndpoints", "throttled")], 1);
}

#[tokio::test(start_paused = true)]
async fn a_wait_past_the_deadline_is_handed_to_the_caller() {
    hurry();
    let headers = "x-acs-retry-after: 90000\r\n";
    let server = Server::start(move |_, _| answer(503, headers, THROTTLED)).await;
    let class = refusal(ask(&client(only(&server)), &keys("LTAI")).await.unwrap_err());
    assert_eq!(class, Class::Throttled { retry_after: Some(Duration::from_secs(90)) });
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_off_is_set_by_the_servers_once_and_for_good() {
    hurry();
    let expired = |seen: &crate::cloud_rig::Seen| seen.header("x-acs-date").starts_with("1970");
    let server = Server::start(move |seen, _| match expired(seen) {
        true => answer(400, "date: Wed, 25 Nov 2026 10:00:00 GMT\r\n", r#"{"Code":"InvalidTimeStamp.Expired"}"#),
        false => json(200, "{}"),
    })
    .await;
    let client = client(only(&server));
    ask(&client, &keys("LTAI")).await.unwrap();
    ask(&client, &keys("LTAI")).await.unwrap();
    let dates: Vec<_> = server.seen().iter().map(|s| s.header("x-acs-date").to_owned()).collect();
    assert_eq!(dates.len(), 3, "{dates:?}");
    assert!(dates[1..].iter().all(|d| d.starts_with("2026-11-25T10:00:")), "{dates:?}");
}

#[tokio::test(start_paused = true)]
async fn the_second_host_is_asked_when_the_first_cannot_be_reached() {
    hurry();
    let server = Server::start(|_, _| json(200, "{}")).await;
    let client = client(Hosts::new(closed().await, vec![server.origin()]));
    let started = Instant::now();
    ask(&client, &keys("LTAI")).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    ask(&client, &keys("LTAI")).await.unwrap();
    assert_eq!(client.counts()[&("ListVpcEndpoints", "connect")], 1, "the winner is remembered");
}

#[tokio::test(start_paused = true)]
async fn a_name_without_an_address_leads_to_the_second_host() {
    hurry();
    let server = Server::start(|_, _| json(200, "{}")).await;
    let named = |name: &str| Origin::parse(&format!("http://{name}:{}", server.address.port())).unwrap();
    let hosts = Hosts::new(named("privatelink-vpc.test"), vec![named("privatelink.test")]);
    let client = Client::new(http(&["privatelink.test"], None), hosts, RetryPolicy::default(), Clock::tokio());
    ask(&client, &keys("LTAI")).await.unwrap();
    assert_eq!(client.counts()[&("ListVpcEndpoints", "dns")], 1);
    let host = format!("privatelink.test:{}", server.address.port());
    assert_eq!(server.seen()[0].header("host"), host);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_first_host_is_an_answer() {
    hurry();
    let first = Server::start(|_, _| json(400, r#"{"Code":"EndpointNotFound"}"#)).await;
    let second = Server::start(|_, _| json(200, "{}")).await;
    let client = client(Hosts::new(first.origin(), vec![second.origin()]));
    assert_eq!(refusal(ask(&client, &keys("LTAI")).await.unwrap_err()), Class::NotFound);
    assert!(second.seen().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_refused() {
    hurry();
    let elsewhere = Server::start(|_, _| json(200, "{}")).await;
    let location = format!("location: http://{}/\r\n", elsewhere.address);
    let server = Server::start(move |_, _| answer(307, &location, "")).await;
    assert_eq!(transport(ask(&client(only(&server)), &keys("LTAI")).await.unwrap_err()), TransportKind::Redirect);
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_reply_of_ten_megabytes_is_refused_announced_or_not() {
    hurry();
    let body = "x".repeat(10 * LARGEST_BODY);
    let chunked = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{body}").into_bytes();
    let server = Server::start(move |_, n| match n {
        0 => json(200, &body),
        _ => Answer::Bytes(chunked.clone()),
    })
    .await;
    let client = client(only(&server));
    for _ in 0..2 {
        assert_eq!(transport(ask(&client, &keys("LTAI")).await.unwrap_err()), TransportKind::TooLarge);
    }
    assert_eq!(server.seen().len(), 2, "not asked again");
}

#[tokio::test(start_paused = true)]
async fn a_slow_drip_and_silence_meet_a_deadline() {
    hurry();
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n".to_vec();
    let server = Server::start(move |_, n| match n {
        0 => Answer::Drip(head.clone(), Duration::from_secs(1)),
        _ => Answer::Silence,
    })
    .await;
    let patience = RetryPolicy { rounds: 1, ..RetryPolicy::default() };
    let client = Client::new(http(&[], None), only(&server), patience, Clock::tokio());
    for longest in [20, 10] {
        let started = Instant::now();
        assert_eq!(transport(ask(&client, &keys("LTAI")).await.unwrap_err()), TransportKind::Timeout);
        let took = started.elapsed().as_secs();
        assert!((longest - 1..longest + 3).contains(&took), "{took} s");
    }
}

#[tokio::test(start_paused = true)]
async fn the_whole_call_meets_its_deadline() {
    hurry();
    let server = Server::start(|_, _| Answer::Silence).await;
    let client = client(only(&server));
    let started = Instant::now();
    assert_eq!(transport(ask(&client, &keys("LTAI")).await.unwrap_err()), TransportKind::Timeout);
    assert!(started.elapsed() < Duration::from_secs(63), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_cut_short_is_asked_for_again() {
    hurry();
    let server = Server::start(|_, n| match n {
        0 => json(200, r#"{"Endpoints":[{"Endpo"#),
        1 => Answer::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_vec()),
        _ => json(200, "{}"),
    })
    .await;
    let client = client(only(&server));
    ask(&client, &keys("LTAI")).await.unwrap();
    let counts = client.counts();
    assert_eq!(counts[&("ListVpcEndpoints", "malformed")], 1, "{counts:?}");
    assert_eq!(counts[&("ListVpcEndpoints", "reset")], 1, "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn no_http_and_an_xml_error_have_their_names() {
    hurry();
    let xml = "<Error><Code>Forbidden.RAM</Code><Message>no</Message></Error>";
    let server = Server::start(move |_, n| match n {
        0 => answer(403, "content-type: text/xml;charset=utf-8\r\n", xml),
        _ => Answer::Bytes(b"SSH-2.0-OpenSSH_9.2p1\r\n".to_vec()),
    })
    .await;
    let client = client(only(&server));
    assert_eq!(refusal(ask(&client, &keys("LTAI")).await.unwrap_err()), Class::Denied { action: None });
    assert_eq!(transport(ask(&client, &keys("LTAI")).await.unwrap_err()), TransportKind::Protocol);
}

/// Keys that are replaced when they are refused.
struct Rotated(Mutex<Vec<Keys>>);

fn none_left() -> NoKeys {
    let said = "none left".to_owned();
    NoKeys { general: said.clone(), said }
}

impl KeySource for Rotated {
    async fn keys(&self) -> Result<Option<Keys>, NoKeys> {
        self.0.lock().unwrap().last().cloned().map(Some).ok_or_else(none_left)
    }

    async fn refused(&self, keys: &Keys) {
        self.0.lock().unwrap().retain(|k| k != keys);
    }
}

#[tokio::test(start_paused = true)]
async fn refused_keys_are_replaced_once() {
    hurry();
    let server = Server::start(|seen, _| match seen.header("authorization").contains("Credential=good") {
        true => json(200, "{}"),
        false => json(400, r#"{"Code":"InvalidSecurityToken.Expired"}"#),
    })
    .await;
    let client = client(only(&server));
    ask(&client, &Rotated(Mutex::new(vec![keys("good"), keys("old")]))).await.unwrap();
    let three = Rotated(Mutex::new(vec![keys("good"), keys("older"), keys("oldest")]));
    assert_eq!(refusal(ask(&client, &three).await.unwrap_err()), Class::Token);
    assert_eq!(server.seen().len(), 4);
    let none = ask(&client, &Rotated(Mutex::default())).await.unwrap_err();
    assert_eq!(none, CallError::NoKeys(none_left()));
}

#[tokio::test(start_paused = true)]
async fn an_anonymous_call_is_not_signed() {
    hurry();
    let server = Server::start(|_, _| json(200, "{}")).await;
    ask(&client(only(&server)), &Anonymous).await.unwrap();
    assert_eq!(server.seen()[0].header("authorization"), "");
}

#[tokio::test]
async fn certificates_are_verified_against_the_given_roots() {
    let pki = Pki::new("cloud").unwrap();
    let leaf = pki.leaf(&["privatelink.test"]).unwrap();
    let address: SocketAddr = closed().await.authority().parse().unwrap();
    let _service = HttpsService::with_body(address, leaf, "{}".into()).await.unwrap();
    let trust = |der| Trust::File(Arc::new(TrustBundle { path: "ca.pem".into(), certificates: vec![der] }));
    let origin = |name: &str| Origin::parse(&format!("https://{name}:{}", address.port())).unwrap();
    let client = |trust, name| {
        let patience = RetryPolicy { rounds: 1, ..RetryPolicy::default() };
        let http = http(&["privatelink.test", "other.test"], Some(trust));
        Client::new(http, Hosts::new(origin(name), Vec::new()), patience, Clock::System)
    };
    ask(&client(trust(pki.ca_der()), "privatelink.test"), &keys("LTAI")).await.unwrap();
    let wrong_name = ask(&client(trust(pki.ca_der()), "other.test"), &keys("LTAI")).await.unwrap_err();
    assert_eq!(transport(wrong_name), TransportKind::Tls);
    let stranger = Pki::new("stranger").unwrap().ca_der();
    let unknown = ask(&client(trust(stranger), "privatelink.test"), &keys("LTAI")).await.unwrap_err();
    assert_eq!(transport(unknown), TransportKind::Tls);
    let no_roots = ask(&client(trust(vec![0x30, 0]), "privatelink.test"), &keys("LTAI")).await.unwrap_err();
    assert_eq!(
        no_roots.to_string(),
        format!(
            "privatelink.test:{}: not asked: expected a CA certificate in ca.pem, found none that parses",
            address.port()
        )
    );
}
