//! The stand-in over its sockets.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(200);
const ZONE_ID: &str = "/latest/meta-data/zone-id";

/// Speaks HTTP by hand; returns all that came, and how it ended.
async fn raw(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    method: &str,
    path: &str,
    body: &str,
) -> (String, io::Result<usize>) {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: standin\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    let end = timeout(PATIENCE, stream.read_to_end(&mut all)).await.unwrap();
    (String::from_utf8_lossy(&all).into_owned(), end)
}

fn parsed(text: &str) -> (u16, String) {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP: {text:?}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

async fn http(address: SocketAddr, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (text, end) = raw(&mut stream, method, path, body).await;
    end.unwrap();
    parsed(&text)
}

async fn control(cloud: &Cloud, method: &str, path: &str, body: Value) -> (u16, Value) {
    let body = if method == "GET" { String::new() } else { body.to_string() };
    let (status, text) = http(cloud.addresses().control, method, &format!("/control/{path}"), &body).await;
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

fn oidc(cloud: &Cloud) -> String {
    let (role, provider) = cloud.look(|world| (world.role_arn(World::ROLE), world.oidc_arn(World::OIDC)));
    format!(
        "/?Action=AssumeRoleWithOIDC&Version=2015-04-01&RoleArn={role}&OIDCProviderArn={provider}\
         &RoleSessionName=test&OIDCToken={}",
        World::OIDC_TOKEN
    )
}

fn query(name: &str) -> Message {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    message
}

fn addresses_of(message: &Message) -> (ResponseCode, Vec<(IpAddr, u32)>) {
    let address = |data: &RData| match data {
        RData::A(a) => IpAddr::V4(a.0),
        other => panic!("no address: {other}"),
    };
    (message.metadata.response_code, message.answers.iter().map(|record| (address(&record.data), record.ttl)).collect())
}

async fn dns(cloud: &Cloud, name: &str) -> (ResponseCode, Vec<(IpAddr, u32)>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&query(name).to_vec().unwrap(), cloud.addresses().dns).await.unwrap();
    let mut buffer = [0; 1024];
    let length = timeout(PATIENCE, socket.recv(&mut buffer)).await.unwrap().unwrap();
    addresses_of(&Message::from_vec(&buffer[..length]).unwrap())
}

fn domain(cloud: &Cloud) -> String {
    cloud.look(|world| world.endpoints[World::ORDERS].domain(World::ORDERS, &world.region))
}

fn eni(cloud: &Cloud, zone: &str) -> SocketAddr {
    let ip = cloud.look(|world| world.endpoints[World::LEDGER].zones[zone].eni_ip.unwrap());
    SocketAddr::new(ip.into(), 5432)
}

#[tokio::test]
async fn serves_metadata_and_sts_plain_and_over_tls() {
    let cloud = Cloud::start().await.unwrap();
    assert_eq!(http(cloud.addresses().metadata, "GET", ZONE_ID, "").await, (200, "cn-hangzhou-h".to_owned()));
    let (status, body) = http(cloud.addresses().sts, "POST", &oidc(&cloud), "").await;
    assert_eq!(status, 200, "{body}");

    let connector = connector(&cloud);
    let address = cloud.addresses().sts_tls;
    for name in ["sts-vpc.cn-hangzhou.aliyuncs.com".to_owned(), address.ip().to_string()] {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut stream = connector.connect(ServerName::try_from(name).unwrap(), stream).await.unwrap();
        let (text, _) = raw(&mut stream, "POST", &oidc(&cloud), "").await;
        assert_eq!(parsed(&text).0, 200, "{text}");
    }
    let calls = cloud.calls();
    assert_eq!(calls.len(), 4);
    assert!(calls.iter().all(|call| call.outcome == "ok"), "{calls:?}");
}

fn connector(cloud: &Cloud) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(cloud.ca_der())).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

#[tokio::test]
async fn shows_the_certificate_it_is_told_to() {
    let cloud = Cloud::start().await.unwrap();
    let address = cloud.addresses().privatelink_tls;
    for (certificate, expected) in [
        (Certificate::Expired, "Expired"),
        (Certificate::OtherName, "NotValidForName"),
        (Certificate::Untrusted, "UnknownIssuer"),
        (Certificate::Good, ""),
    ] {
        cloud.world(|world| world.certificates.privatelink = certificate).await.unwrap();
        let name = ServerName::try_from("privatelink.cn-hangzhou.aliyuncs.com").unwrap();
        let connected = connector(&cloud).connect(name, TcpStream::connect(address).await.unwrap()).await;
        let found = connected.err().map(|error| format!("{:?}", error.into_inner())).unwrap_or_default();
        assert!(found.contains(expected) && found.is_empty() == expected.is_empty(), "{certificate:?}: {found}");
    }
}

#[tokio::test]
async fn serves_names_over_udp_and_tcp() {
    let cloud = Cloud::start().await.unwrap();
    let name = domain(&cloud);
    let (code, answers) = dns(&cloud, &name.to_uppercase()).await;
    assert_eq!((code, answers.len(), answers[0].1), (ResponseCode::NoError, 2, 60));
    assert_eq!(dns(&cloud, "example.com").await.0, ResponseCode::Refused);
    let api = dns(&cloud, "privatelink-vpc.cn-hangzhou.aliyuncs.com").await;
    assert_eq!(api.1, [(cloud.addresses().privatelink.ip(), 60)]);

    let mut stream = TcpStream::connect(cloud.addresses().dns).await.unwrap();
    let bytes = query(&name).to_vec().unwrap();
    stream.write_u16(bytes.len().try_into().unwrap()).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let mut answer = vec![0; stream.read_u16().await.unwrap().into()];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(addresses_of(&Message::from_vec(&answer).unwrap()), (ResponseCode::NoError, answers));

    let change =
        |world: &mut World| world.endpoints.get_mut(World::ORDERS).unwrap().connection_status = "Pending".into();
    cloud.world(change).await.unwrap();
    assert_eq!(dns(&cloud, &name).await, (ResponseCode::NXDomain, Vec::new()));
}

#[tokio::test]
async fn delivers_as_told() {
    let cloud = Cloud::start().await.unwrap();
    let metadata = cloud.addresses().metadata;
    let ask = async |what| {
        cloud.fault(Fault::new(what).service(Service::Metadata).times(1));
        let mut stream = TcpStream::connect(metadata).await.unwrap();
        raw(&mut stream, "GET", ZONE_ID, "").await
    };
    let (text, end) = ask(What::HangUp).await;
    assert_eq!((text.as_str(), end.unwrap()), ("", 0));
    let (_, end) = ask(What::Reset).await;
    assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    let (text, _) = ask(What::Cut { after: 5 }).await;
    assert!(text.contains("content-length: 13\r\n") && text.ends_with("\r\n\r\ncn-ha"), "{text}");
    let began = tokio::time::Instant::now();
    let (text, _) = ask(What::Drip { bytes: 4, every_ms: 40 }).await;
    assert!(text.ends_with("cn-hangzhou-h") && began.elapsed() >= Duration::from_millis(120), "{text}");
    let began = tokio::time::Instant::now();
    assert_eq!(parsed(&ask(What::Delay { ms: 100 }).await.0).0, 200);
    assert!(began.elapsed() >= Duration::from_millis(100));
    let (text, _) = ask(What::Redirect { location: "http://127.0.0.1/".to_owned() }).await;
    assert!(text.starts_with("HTTP/1.1 302") && text.contains("location: http://127.0.0.1/\r\n"), "{text}");
    assert_eq!(parsed(&ask(What::Garbage).await.0).0, 200);
    assert!(timeout(SHORT, ask(What::Hang)).await.is_err());
    assert_eq!(cloud.calls().last().unwrap().outcome, "hang");
    assert!(cloud.look(|world| world.faults.is_empty()));
}

#[tokio::test]
async fn opens_and_shuts_doors() {
    let cloud = Cloud::start().await.unwrap();
    let (metadata, resolver, name) = (cloud.addresses().metadata, cloud.addresses().dns, domain(&cloud));
    for mode in [DoorMode::Refused, DoorMode::Silent, DoorMode::Refused, DoorMode::Open] {
        cloud.world(|world| world.doors = Doors { metadata: mode, dns: mode, ..Doors::default() }).await.unwrap();
        for address in [metadata, resolver] {
            match (
                mode,
                timeout(if mode == DoorMode::Silent { SHORT } else { PATIENCE }, TcpStream::connect(address)).await,
            ) {
                (DoorMode::Open, Ok(Ok(_))) | (DoorMode::Silent, Err(_)) => {}
                (DoorMode::Refused, Ok(Err(error))) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                (_, found) => panic!("{mode:?}: {found:?}"),
            }
        }
        let patience = if mode == DoorMode::Open { PATIENCE } else { SHORT };
        let answered = timeout(patience, dns(&cloud, &name)).await.is_ok();
        assert_eq!(answered, mode == DoorMode::Open);
    }
}

#[tokio::test]
async fn enis_follow_their_addresses() {
    let cloud = Cloud::start().await.unwrap();
    let [h, i] = World::ZONES;
    let (old_h, old_i) = (eni(&cloud, h), eni(&cloud, i));
    let new = crate::free_address(5432).unwrap();
    let IpAddr::V4(ip) = new.ip() else { panic!("no IPv4 address") };
    cloud.world(|world| world.zone_mut(World::LEDGER, h).unwrap().eni_ip = Some(ip)).await.unwrap();
    TcpStream::connect(new).await.unwrap();
    assert!(TcpStream::connect(old_h).await.is_err());

    let swap = |world: &mut World| {
        let other = world.zone_mut(World::LEDGER, i).unwrap().eni_ip.replace(ip);
        world.zone_mut(World::LEDGER, h).unwrap().eni_ip = other;
    };
    cloud.world(swap).await.unwrap();
    assert_eq!((eni(&cloud, h), eni(&cloud, i)), (old_i, new));
    TcpStream::connect(old_i).await.unwrap();
    assert_eq!(cloud.connections(World::LEDGER, i).await, Some(0));

    let tcp = Serve::Tcp { port: 5432, mode: crate::TcpMode::Refused };
    cloud.world(|world| world.zone_mut(World::LEDGER, h).unwrap().serve = Some(tcp)).await.unwrap();
    assert!(TcpStream::connect(old_i).await.is_err());
}

#[tokio::test]
async fn is_controlled_over_http() {
    let cloud = Cloud::start().await.unwrap();
    let zone = format!("endpoints/{}/zones/cn-hangzhou-h", World::ORDERS);
    let (status, changed) = control(&cloud, "POST", &zone, json!({ "status": "Disconnected" })).await;
    assert_eq!((status, &changed["status"]), (200, &json!("Disconnected")), "{changed}");
    assert_eq!(dns(&cloud, &domain(&cloud)).await.1.len(), 1);
    assert_eq!(control(&cloud, "POST", &zone, json!({ "serve": { "mode": "refused" } })).await.0, 200);
    let address = SocketAddr::new(changed["eni_ip"].as_str().unwrap().parse().unwrap(), 8443);
    assert!(TcpStream::connect(address).await.is_err());

    let fault = json!({ "on": { "service": "metadata" }, "what": { "kind": "status", "status": 503 }, "times": 1 });
    assert_eq!(control(&cloud, "POST", "faults", fault).await, (200, json!({ "id": "f0001" })));
    assert_eq!(http(cloud.addresses().metadata, "GET", ZONE_ID, "").await.0, 503);
    let (_, calls) = control(&cloud, "GET", "calls?service=metadata", Value::Null).await;
    assert_eq!((&calls[0]["outcome"], &calls[0]["faults"][0]), (&json!("status"), &json!("status")));
    let hang = json!({ "what": { "kind": "hang" } });
    let (_, added) = control(&cloud, "POST", "faults", hang).await;
    let fault = format!("faults/{}", added["id"].as_str().unwrap());
    assert_eq!(control(&cloud, "DELETE", &fault, Value::Null).await.0, 200);
    assert_eq!(control(&cloud, "PUT", "host/metadata/zone-id", Value::Null).await.0, 200);
    assert_eq!(http(cloud.addresses().metadata, "GET", ZONE_ID, "").await.0, 404);
    let (status, session) = control(&cloud, "POST", "sessions", json!({ "role": "agent", "seconds": -1 })).await;
    assert!(status == 200 && session["session"]["token"].is_string(), "{session}");

    assert_eq!(control(&cloud, "POST", "reset", Value::Null).await.0, 200);
    assert_eq!(dns(&cloud, &domain(&cloud)).await.1.len(), 2);
    TcpStream::connect(address).await.unwrap();
    assert_eq!(control(&cloud, "GET", "connections", Value::Null).await.1[World::ORDERS]["cn-hangzhou-h"], 1);
}

/// The first bytes that a server says on its own, and whether it then hung up.
async fn greeting(address: SocketAddr) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut header = [0; 5];
    timeout(PATIENCE, stream.read_exact(&mut header)).await.unwrap().unwrap();
    header.to_vec()
}

#[tokio::test]
async fn enis_lead_to_databases() {
    let cloud = Cloud::start().await.unwrap();
    let zone = format!("endpoints/{}/zones/cn-hangzhou-h", World::LEDGER);
    let mut address = eni(&cloud, "cn-hangzhou-h");
    address.set_port(6001);
    let serve = json!({ "serve": { "kind": "matrixone", "port": 6001, "mode": { "login": "no_cn" } } });
    assert_eq!(control(&cloud, "PATCH", &zone, serve).await.0, 200);
    assert_eq!(greeting(address).await[4], 10);
    // Modes with parameters follow each other.
    let error = json!({ "code": 1129, "text": "Host is blocked" });
    let (status, said) =
        control(&cloud, "PATCH", &zone, json!({ "serve": { "mode": { "first_packet": error } } })).await;
    assert_eq!(status, 200, "{said}");
    assert_eq!(greeting(address).await[4], 0xff);
    let mode = format!("{zone}/serve/mode");
    assert_eq!(control(&cloud, "PATCH", &mode, json!({ "certificate": "expired" })).await.0, 200);
    let users = control(&cloud, "PUT", "databases/matrixone/users", json!({ "a:b:c": "" })).await;
    assert_eq!(users, (200, json!({ "a:b:c": "" })));
    let Some(Counts::Matrixone { counts, .. }) = cloud.counts(World::LEDGER, "cn-hangzhou-h").await else {
        panic!("another service")
    };
    assert_eq!(counts.connections, 2);
    assert_eq!(
        control(&cloud, "GET", "counts", Value::Null).await.1[World::LEDGER]["cn-hangzhou-h"]["kind"],
        "matrixone"
    );
    assert_eq!(control(&cloud, "PATCH", &mode, json!({ "login": "nonsense" })).await.0, 400);

    let serve = json!({ "serve": { "kind": "tdengine", "port": 6041, "mode": "up" } });
    let (status, said) = control(&cloud, "PATCH", &zone, serve).await;
    assert_eq!(status, 200, "{said}");
    assert!(TcpStream::connect(address).await.is_err());
    address.set_port(6041);
    let ask = async || {
        let name = ServerName::try_from("ledger-db.example.internal").unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let mut stream = connector(&cloud).connect(name, stream).await.map_err(|error| error.to_string())?;
        let target = format!("/rest/sql?token={}", crate::TdengineSetup::TOKEN);
        Ok::<_, String>(parsed(&raw(&mut stream, "POST", &target, "select 1").await.0))
    };
    let (status, body) = ask().await.unwrap();
    assert!(status == 200 && body.contains("\"code\":0"), "{body}");
    assert_eq!(control(&cloud, "PUT", "databases/tdengine/tokens", json!(["another"])).await.0, 200);
    assert_eq!(ask().await.unwrap().0, 401);
    assert_eq!(control(&cloud, "PATCH", &mode, json!({ "refusal": "paused" })).await.0, 200);
    assert_eq!(ask().await.unwrap().0, 503);
    assert_eq!(control(&cloud, "PATCH", &mode, json!({ "certificate": "expired" })).await.0, 200);
    assert!(ask().await.is_err());
    let Some(Counts::Tdengine { counts, .. }) = cloud.counts(World::LEDGER, "cn-hangzhou-h").await else {
        panic!("another service")
    };
    assert_eq!((counts.requests, counts.authenticated), (3, 1));
}

#[tokio::test]
async fn control_tells_every_row() {
    let cloud = Cloud::start().await.unwrap();
    let (_, help) = http(cloud.addresses().control, "GET", "/control", "").await;
    let rows = crate::LoginFault::ALL.iter().map(|row| json!(row));
    for row in rows.chain(crate::TdengineRefusal::ALL.iter().map(|row| json!(row))) {
        let row = row.as_str().unwrap().to_owned();
        assert!(help.split([' ', ',', '\n', '.']).any(|word| word == row), "{row} is not in\n{help}");
    }
}

#[tokio::test]
async fn refuses_control_that_is_none() {
    let cloud = Cloud::start().await.unwrap();
    let before = cloud.look(Clone::clone);
    for (method, path, body, expected) in [
        ("POST", "endpoints/ep/zones/x", json!({ "statuss": "x" }), 400),
        ("POST", "nonsense", json!({}), 404),
        ("DELETE", "endpoints/nonsense", json!({}), 404),
        ("DELETE", "host", json!({}), 400),
        ("GET", "endpoints/nonsense", Value::Null, 404),
        ("POST", "faults", json!({ "what": { "kind": "nonsense" } }), 400),
        ("GET", "calls?since=x", Value::Null, 400),
        ("POST", "doors", json!({ "sts": "ajar" }), 400),
    ] {
        let (status, body) = control(&cloud, method, path, body).await;
        assert!(status == expected && body["error"].is_string(), "{method} {path}: {status} {body}");
    }
    assert_eq!(cloud.look(Clone::clone), before);
    // In force it can't be, but made it is.
    let taken = cloud.look(|world| world.endpoints[World::ORDERS].zones["cn-hangzhou-i"].eni_ip);
    let taken = json!({ "eni_ip": taken });
    let zone = format!("endpoints/{}/zones/cn-hangzhou-h", World::ORDERS);
    assert_eq!(control(&cloud, "POST", &zone, taken).await.0, 500);
    assert_eq!(control(&cloud, "POST", "reset", Value::Null).await.0, 200);
}

#[tokio::test]
async fn serves_nothing_beyond_loopback() {
    let cloud = Cloud::start().await.unwrap();
    let beyond = Some("192.0.2.1".parse().unwrap());
    cloud.world(|world| world.zone_mut(World::LEDGER, "cn-hangzhou-h").unwrap().eni_ip = beyond).await.unwrap();
    assert_eq!(cloud.connections(World::LEDGER, "cn-hangzhou-h").await, None);
    let mut addresses = Addresses::random().unwrap();
    addresses.metadata.set_ip("0.0.0.0".parse().unwrap());
    let world = cloud.look(Clone::clone);
    assert!(Cloud::with(addresses, world).await.is_err_and(|error| error.to_string().contains("0.0.0.0:8080")));
}

#[tokio::test]
async fn ends_when_dropped() {
    let cloud = Cloud::start().await.unwrap();
    let addresses = cloud.addresses().clone();
    let world = cloud.look(Clone::clone);
    drop(cloud);
    // Once the tasks have run, everything is free again.
    for _ in 0..100 {
        if let Ok(again) = Cloud::with(addresses.clone(), world.clone()).await {
            assert_eq!(again.addresses(), &addresses);
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the addresses are still taken");
}
