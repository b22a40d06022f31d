//! The front end over its sockets, asked by a client that is written by hand.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::accounts::scramble;
use super::handshake::{CAPABILITIES, SSL};
use super::packet::{Fields, Gone, Wire};
use super::session::Line;
use super::*;
use crate::{Certificate, Pki, free_address};

const PATIENCE: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(200);
const NAME: &str = "db.example.com";
/// Without CONNECT_ATTRS and DEPRECATE_EOF.
const CLIENT: u32 = CAPABILITIES & !0x0110_0008;

struct Rig {
    service: MatrixoneService,
    pki: Pki,
}

async fn rig() -> Rig {
    let pki = Pki::new("test").unwrap();
    let identity = Identity::new(&pki, &[NAME]).unwrap();
    let setup = MatrixoneSetup { login_limit_ms: 2000, ..MatrixoneSetup::default() };
    let service = MatrixoneService::start(free_address(6001).unwrap(), setup, Some(identity)).await.unwrap();
    Rig { service, pki }
}

/// What a client has read of a greeting.
struct Greeted {
    version: String,
    capabilities: u32,
    salt: Vec<u8>,
    plugin: String,
}

fn greeting(payload: &[u8]) -> Greeted {
    let mut fields = Fields(payload);
    assert_eq!(fields.byte(), Some(10), "{payload:?}");
    let version = fields.text();
    assert!(fields.u32().unwrap() >= 1001);
    let mut salt = fields.take(8).unwrap().to_vec();
    assert_eq!(fields.byte(), Some(0));
    let low = fields.take(2).unwrap().to_vec();
    assert_eq!(fields.take(3), Some(&[46, 2, 0][..]));
    let high = fields.take(2).unwrap().to_vec();
    assert_eq!(fields.byte(), Some(21));
    assert_eq!(fields.take(10), Some(&[0; 10][..]));
    salt.extend(fields.take(12).unwrap());
    assert_eq!(fields.byte(), Some(0));
    let capabilities = u32::from_le_bytes([low[0], low[1], high[0], high[1]]);
    Greeted { version, capabilities, salt, plugin: fields.text() }
}

fn login(user: &str, proof: &[u8], plugin: Option<&str>, capabilities: u32) -> Vec<u8> {
    let mut payload = capabilities.to_le_bytes().to_vec();
    payload.extend([0, 0, 0, 1, 45]);
    payload.extend([0; 23]);
    payload.extend(user.as_bytes());
    payload.push(0);
    payload.push(proof.len().try_into().unwrap());
    payload.extend(proof);
    if let Some(plugin) = plugin {
        payload.extend(plugin.as_bytes());
        payload.push(0);
    }
    payload
}

impl Rig {
    async fn connect(&self) -> Line {
        let stream = timeout(PATIENCE, TcpStream::connect(self.service.address())).await.unwrap().unwrap();
        Wire { stream: Box::new(stream), sequence: 0 }
    }

    async fn in_mode(&self, mode: MatrixoneMode) -> Line {
        self.service.set(mode).await.unwrap();
        self.connect().await
    }

    /// Logs in as the default user; what the server says to that.
    async fn log_in(&self, line: &mut Line) -> Vec<u8> {
        let salt = greeting(&read(line).await).salt;
        let proof = scramble(MatrixoneSetup::PASSWORD, &salt);
        say(line, &login(MatrixoneSetup::USER, &proof, Some("mysql_native_password"), CLIENT)).await;
        read(line).await
    }

    async fn counts(&self, done: impl Fn(&MatrixoneCounts) -> bool) -> MatrixoneCounts {
        for _ in 0..500 {
            let counts = self.service.counts();
            if done(&counts) {
                return counts;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?}", self.service.counts());
    }

    async fn tls(&self, line: Line, stream: TcpStream) -> std::io::Result<Line> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.pki.ca_der())).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
        let stream = TlsConnector::from(config).connect(ServerName::try_from(NAME).unwrap(), stream).await?;
        Ok(Wire { stream: Box::new(stream), sequence: line.sequence })
    }

    /// A greeted connection over TLS, and its salt.
    async fn over_tls(&self) -> std::io::Result<(Line, Vec<u8>)> {
        let mut plain = Wire::new(TcpStream::connect(self.service.address()).await?);
        let greeted = greeting(&plain.read(1 << 20).await.unwrap());
        assert_eq!(greeted.capabilities, 0x013b_ae8f);
        let mut ask = (CLIENT | SSL).to_le_bytes().to_vec();
        ask.resize(32, 0);
        plain.write(&[ask]).await?;
        let line =
            Wire { stream: Box::new(tokio::io::empty()) as Box<dyn super::session::Stream>, sequence: plain.sequence };
        Ok((self.tls(line, plain.stream).await?, greeted.salt))
    }
}

async fn read(line: &mut Line) -> Vec<u8> {
    timeout(PATIENCE, line.read(1 << 20)).await.unwrap().unwrap()
}

async fn say(line: &mut Line, payload: &[u8]) {
    line.write(&[payload.to_vec()]).await.unwrap();
}

/// Sends a command; the first packet of the answer.
async fn command(line: &mut Line, code: u8, argument: &str) -> Vec<u8> {
    line.sequence = 0;
    say(line, &[&[code], argument.as_bytes()].concat()).await;
    read(line).await
}

/// An error packet as clients print it.
fn error(payload: &[u8]) -> String {
    let mut fields = Fields(payload);
    assert_eq!(fields.byte(), Some(0xff), "{payload:?}");
    let code = fields.take(2).unwrap();
    let text = String::from_utf8_lossy(fields.0).into_owned();
    format!("{} {text}", u16::from_le_bytes([code[0], code[1]]))
}

async fn ends(line: &mut Line) -> bool {
    timeout(PATIENCE, line.read(1 << 20)).await.unwrap().is_err()
}

#[tokio::test]
async fn greets_and_lets_in() {
    let rig = rig().await;
    let mut line = rig.connect().await;
    let first = greeting(&read(&mut line).await);
    assert_eq!((first.version.as_str(), first.plugin.as_str()), ("8.0.30-MatrixOne-v3.0.9", "mysql_native_password"));
    drop(line);
    rig.counts(|counts| counts.heartbeats == 1).await;

    let mut line = rig.connect().await;
    assert_eq!(rig.log_in(&mut line).await[0], 0);
    assert_eq!(command(&mut line, 0x0e, "").await[0], 0);
    assert_eq!(command(&mut line, 0x02, "test").await[0], 0);
    assert_eq!(command(&mut line, 0x03, "set names utf8mb4").await[0], 0);
    assert_eq!(command(&mut line, 0x03, "select 1;").await, [1]);
    let packets = [read(&mut line).await, read(&mut line).await, read(&mut line).await, read(&mut line).await];
    assert!(packets[0].starts_with(b"\x03def") && packets[1][0] == 0xfe && packets[3][0] == 0xfe);
    assert_eq!(packets[2], b"\x011");
    assert!(error(&command(&mut line, 0x03, "drop table x").await).starts_with("1064 #HY000SQL parser error"));
    assert!(error(&command(&mut line, 0x16, "select 1").await).starts_with("1047 "));
    line.sequence = 0;
    say(&mut line, &[1]).await;
    assert!(ends(&mut line).await);
    let counts = rig.counts(|counts| counts.quits == 1).await;
    assert_eq!((counts.logins, counts.pings, counts.queries, counts.unfinished_handshakes), (1, 1, 3, 0));
    assert_eq!(rig.service.statements(), ["set names utf8mb4", "select 1;", "drop table x"]);
    assert_eq!(rig.service.last_login().unwrap().user, MatrixoneSetup::USER);
}

#[tokio::test]
async fn knows_no_plugin_wrong_plugin_and_wrong_password() {
    let rig = rig().await;
    let mut setup = MatrixoneSetup::default();
    setup.users.insert("a:haproxy:r".to_owned(), String::new());
    rig.service.set_up(setup).await.unwrap();
    // As HAProxy does it: no plugin, no password, and the quit behind it.
    let mut line = rig.connect().await;
    read(&mut line).await;
    say(&mut line, &login("a#haproxy", b"", None, 0x8200)).await;
    line.sequence = 0;
    say(&mut line, &[1]).await;
    assert_eq!(read(&mut line).await[0], 0);
    rig.counts(|counts| counts.quits == 1).await;

    let mut line = rig.connect().await;
    let salt = greeting(&read(&mut line).await).salt;
    say(&mut line, &login(MatrixoneSetup::USER, &[9; 32], Some("caching_sha2_password"), CLIENT)).await;
    let asked = read(&mut line).await;
    assert_eq!(asked, [b"\xfemysql_native_password\0", salt.as_slice(), b"\0"].concat());
    say(&mut line, &scramble(MatrixoneSetup::PASSWORD, &salt)).await;
    assert_eq!(read(&mut line).await[0], 0);

    let mut line = rig.connect().await;
    read(&mut line).await;
    say(&mut line, &login(MatrixoneSetup::USER, &[9; 20], Some("mysql_native_password"), CLIENT)).await;
    let denied =
        format!("1045 #28000Access denied for user {}. internal error: check password failed", MatrixoneSetup::USER);
    assert_eq!(error(&read(&mut line).await), denied);
    assert_eq!(error(&read(&mut line).await), "1815 #HY000Auth failed: internal error: access error");
    assert!(ends(&mut line).await);
    assert_eq!(rig.counts(|counts| counts.failed_logins == 1).await.logins, 2);
}

#[tokio::test]
async fn has_tls_good_and_bad() {
    let rig = rig().await;
    let (mut line, salt) = rig.over_tls().await.unwrap();
    let proof = scramble(MatrixoneSetup::PASSWORD, &salt);
    say(&mut line, &login(MatrixoneSetup::USER, &proof, Some("mysql_native_password"), CLIENT | SSL)).await;
    assert_eq!(read(&mut line).await[0], 0);
    let seen = rig.service.last_login().unwrap();
    assert_eq!((seen.tls, seen.server_name.as_deref()), (true, Some(NAME)));
    drop(rig.over_tls().await.unwrap());
    let counts = rig.counts(|counts| counts.left_after_tls == 1).await;
    assert_eq!((counts.tls_full, counts.heartbeats), (2, 0));
    for (done, (certificate, expected)) in (1..).zip([
        (Certificate::Expired, "Expired"),
        (Certificate::OtherName, "NotValidForName"),
        (Certificate::Untrusted, "UnknownIssuer"),
        (Certificate::SelfSigned, "UnknownIssuer"),
    ]) {
        rig.service.set(MatrixoneMode::Certificate(certificate)).await.unwrap();
        let found = format!("{:?}", rig.over_tls().await.err());
        assert!(found.contains(expected), "{certificate:?}: {found}");
        rig.counts(|counts| counts.unfinished_handshakes == done).await;
    }
    rig.service.set(MatrixoneMode::StallTls).await.unwrap();
    assert!(timeout(SHORT, rig.over_tls()).await.is_err());

    rig.service.set_up(MatrixoneSetup { tls: false, ..MatrixoneSetup::default() }).await.unwrap();
    let mut line = rig.in_mode(MatrixoneMode::Up).await;
    assert_eq!(greeting(&read(&mut line).await).capabilities, 0x013b_a68f);
    let mut ask = (CLIENT | SSL).to_le_bytes().to_vec();
    ask.resize(32, 0);
    say(&mut line, &ask).await;
    assert_eq!(error(&read(&mut line).await), "20101 #HY000internal error: TLS config is invalid");
}

#[tokio::test]
async fn every_row_of_the_table_can_be_met() {
    let rig = rig().await;
    let mut found = Vec::new();
    for row in LoginFault::ALL {
        let mut line = rig.in_mode(MatrixoneMode::Login(row)).await;
        found.push(error(&rig.log_in(&mut line).await));
        if row == LoginFault::AccessErrorTwice {
            found.push(error(&read(&mut line).await));
        }
        assert!(ends(&mut line).await);
        let text = serde_json::to_string(&MatrixoneMode::Login(row)).unwrap();
        assert_eq!(serde_json::from_str::<MatrixoneMode>(&text).unwrap(), MatrixoneMode::Login(row), "{text}");
    }
    let (user, account) = (MatrixoneSetup::USER, "01926ad5-7c1e-7f3a-9b2d-3c4e5f607182");
    let denied = format!("1045 #28000Access denied for user {user}. internal error:");
    let expected = [
        "20101 #HY000internal error: no available CN server".to_owned(),
        "20101 #HY000internal error: no available CN servers".to_owned(),
        format!("{denied} no available CN server"),
        "20508 #HY000all CN servers are busy, possibly due to too many active transactions".to_owned(),
        "20101 #HY000internal error: cn service is not ready, retry later".to_owned(),
        format!("20101 #HY000internal error: there is no tenant {account}"),
        "20101 #HY000internal error: there is no user admin".to_owned(),
        "20101 #HY000internal error: there is no role accountadmin".to_owned(),
        "20101 #HY000internal error: the role accountadmin has not been granted to the user admin".to_owned(),
        "20101 #HY000internal error: user is locked, please try again later".to_owned(),
        "20101 #HY000internal error: user is locked, please ask the administrator to unlock".to_owned(),
        "20301 #HY000invalid input: IP 127.0.0.1 is not in the invited nodes".to_owned(),
        format!("{denied} check password failed"),
        format!("{denied} Account {account} is suspended"),
        "1045 #28000Auth failed: info: source address 127.0.0.1 is not authorized".to_owned(),
        "1040 #08004Too many connections".to_owned(),
        "1815 #HY000Auth failed: info: connection rejected by policy".to_owned(),
        format!("{denied} check password failed"),
        "1815 #HY000Auth failed: internal error: access error".to_owned(),
        "13125 #HY000Got a packet bigger than 'max_allowed_packet' bytes".to_owned(),
    ];
    assert_eq!(found, expected);
    let own = SqlError::new(1129, "", "Host is blocked");
    let mut line = rig.in_mode(MatrixoneMode::LoginError(own)).await;
    assert_eq!(error(&rig.log_in(&mut line).await), "1129 Host is blocked");
}

#[tokio::test]
async fn first_packets_can_be_anything() {
    let rig = rig().await;
    let mut line = rig.in_mode(MatrixoneMode::TooManyConnections).await;
    assert_eq!(error(&read(&mut line).await), "1040 #08004Too many connections");
    assert_eq!(line.sequence, 1);
    let mut line = rig.in_mode(MatrixoneMode::FirstPacket(SqlError::new(1129, "", "Host is blocked"))).await;
    assert_eq!(error(&read(&mut line).await), "1129 Host is blocked");
    let mut line = rig.in_mode(MatrixoneMode::OldProtocol).await;
    assert_eq!(read(&mut line).await[0], 9);
    let mut line = rig.in_mode(MatrixoneMode::Mysql).await;
    assert_eq!(greeting(&read(&mut line).await).version, "8.0.36");
    let mut line = rig.in_mode(MatrixoneMode::OtherPlugin).await;
    assert_eq!(greeting(&read(&mut line).await).plugin, "caching_sha2_password");
    let mut line = rig.in_mode(MatrixoneMode::Drip { every_ms: 1 }).await;
    assert_eq!(rig.log_in(&mut line).await[0], 0);
    let mut line = rig.in_mode(MatrixoneMode::CutGreeting).await;
    assert!(matches!(line.read(1 << 20).await, Err(Gone::Broken)));
    let mut line = rig.in_mode(MatrixoneMode::HangUp).await;
    assert!(matches!(line.read(1 << 20).await, Err(Gone::Closed | Gone::Broken)));
    let mut line = rig.in_mode(MatrixoneMode::Reset).await;
    assert_eq!(line.stream.read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    let mut line = rig.in_mode(MatrixoneMode::Garbage).await;
    assert!(matches!(line.read(1 << 20).await, Err(Gone::TooLong)));
    let mut line = rig.in_mode(MatrixoneMode::StallGreeting).await;
    assert!(timeout(SHORT, line.read(1 << 20)).await.is_err());
    rig.service.set(MatrixoneMode::Refused).await.unwrap();
    let refused = TcpStream::connect(rig.service.address()).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    rig.service.set(MatrixoneMode::Silent).await.unwrap();
    assert!(timeout(SHORT, TcpStream::connect(rig.service.address())).await.is_err());
}

#[tokio::test]
async fn logins_and_queries_can_stall_break_and_lie() {
    let rig = rig().await;
    let mut line = rig.in_mode(MatrixoneMode::StallLogin).await;
    assert!(timeout(SHORT, rig.log_in(&mut line)).await.is_err());
    drop(line);
    rig.counts(|counts| counts.unfinished_handshakes == 1).await;
    let mut line = rig.in_mode(MatrixoneMode::HangUpOnLogin).await;
    read(&mut line).await;
    say(&mut line, &login("a:b:c", &[], None, CLIENT)).await;
    assert!(ends(&mut line).await);
    for (mode, expected) in [
        (MatrixoneMode::Up, Some(b"\x011".to_vec())),
        (MatrixoneMode::OtherValue, Some(b"\x02-1".to_vec())),
        (MatrixoneMode::EmptyResult, Some(vec![0xfe, 0, 0, 2, 0])),
        (MatrixoneMode::QueryError(SqlError::new(20101, "HY000", "internal error: x")), None),
    ] {
        let mut line = rig.in_mode(mode.clone()).await;
        assert_eq!(rig.log_in(&mut line).await[0], 0);
        assert_eq!(command(&mut line, 3, "set autocommit = 0").await[0], 0);
        let first = command(&mut line, 3, "select 1").await;
        match expected {
            None => assert_eq!(error(&first), "20101 #HY000internal error: x"),
            Some(expected) => {
                let _column_and_eof = (read(&mut line).await, read(&mut line).await);
                assert_eq!(read(&mut line).await, expected, "{mode:?}");
            }
        }
    }
    let mut line = rig.in_mode(MatrixoneMode::StallQuery).await;
    rig.log_in(&mut line).await;
    assert!(timeout(SHORT, command(&mut line, 3, "select 1")).await.is_err());
    let mut line = rig.in_mode(MatrixoneMode::HangUpOnQuery).await;
    rig.log_in(&mut line).await;
    say(&mut line, &[0x0e]).await;
    assert!(ends(&mut line).await);
    assert_eq!((rig.service.counts().clear_passwords, rig.service.counts().file_pieces), (0, 0));
}

#[tokio::test]
async fn a_login_has_its_time_at_v4_alone() {
    let rig = rig().await;
    let setup = |version: &str| MatrixoneSetup { login_limit_ms: 50, version: version.to_owned(), ..rig_setup() };
    rig.service.set_up(setup(MatrixoneSetup::V4)).await.unwrap();
    let mut line = rig.connect().await;
    read(&mut line).await;
    let said = error(&read(&mut line).await);
    assert!(said.starts_with("1815 #HY000read tcp4 127.") && said.ends_with(": i/o timeout"), "{said}");
    assert_eq!(line.sequence, 1, "the error has the number 0");
    assert!(ends(&mut line).await);
    rig.counts(|counts| counts.unfinished_handshakes == 1).await;
    rig.service.set_up(setup(MatrixoneSetup::V2)).await.unwrap();
    let mut line = rig.connect().await;
    let salt = greeting(&read(&mut line).await).salt;
    tokio::time::sleep(4 * Duration::from_millis(50)).await;
    let proof = scramble(MatrixoneSetup::PASSWORD, &salt);
    say(&mut line, &login(MatrixoneSetup::USER, &proof, Some("mysql_native_password"), CLIENT)).await;
    assert_eq!(read(&mut line).await[0], 0);
}

fn rig_setup() -> MatrixoneSetup {
    MatrixoneSetup { backend_limit_ms: 300, ..MatrixoneSetup::default() }
}

/// A login of the default user meets a fault: what is said first, and how long it took.
async fn meets(rig: &Rig) -> (String, Duration) {
    let mut line = rig.connect().await;
    let started = tokio::time::Instant::now();
    let said = error(&rig.log_in(&mut line).await);
    assert_eq!(line.sequence, 3, "{said}: the error has the number 2");
    assert!(ends(&mut line).await, "{said}");
    (said, started.elapsed())
}

#[tokio::test]
async fn a_broken_cluster_answers_logins_as_its_release_does() {
    use ClusterFault as F;
    let rig = rig().await;
    let (patience, soon) = (Duration::from_millis(300), Duration::from_millis(30));
    let no_cn = "20101 #HY000internal error: no available CN server";
    let busy = "20508 #HY000all CN servers are busy, possibly due to too many active transactions";
    let unreadable = "1815 #HY000read /mo-data/shared/0196c0b3: is a directory";
    let dead = "20505 #HY000cannot connect to backend: dial tcp4 127.0.0.1:6009: connect: connection refused";
    for (version, fault, expected, waits) in [
        (MatrixoneSetup::V2, F::CnKilled, no_cn, Duration::ZERO),
        (MatrixoneSetup::V4, F::CnKilled, no_cn, Duration::ZERO),
        (MatrixoneSetup::V2, F::CnFrozen, no_cn, patience),
        (MatrixoneSetup::V4, F::CnFrozen, busy, patience),
        (MatrixoneSetup::V2, F::TnKilled, no_cn, patience),
        (MatrixoneSetup::V4, F::TnKilled, busy, patience),
        (MatrixoneSetup::V4, F::ObjectStoreUnreadable, unreadable, Duration::ZERO),
        (MatrixoneSetup::V4, F::RoutingHangs, "1815 #HY000context deadline exceeded", soon),
        (
            MatrixoneSetup::V4,
            F::RoutingRefuses,
            "1815 #HY000Auth failed: info: connection rejected by policy",
            Duration::ZERO,
        ),
        (MatrixoneSetup::V4, F::RoutingKilled, dead, Duration::ZERO),
        (MatrixoneSetup::V4, F::TenantFull, "1040 #08004Too many connections", Duration::ZERO),
    ] {
        rig.service.set_up(MatrixoneSetup { version: version.to_owned(), ..rig_setup() }).await.unwrap();
        rig.service.set(MatrixoneMode::Cluster(fault)).await.unwrap();
        let (said, took) = meets(&rig).await;
        assert_eq!(said, expected, "{version}, {fault:?}");
        assert!(took >= waits, "{version}, {fault:?}: {took:?}");
    }
}

#[tokio::test]
async fn a_front_end_of_v4_learns_that_no_compute_node_answers() {
    let rig = rig().await;
    let setup = MatrixoneSetup { version: MatrixoneSetup::V4.to_owned(), backend_limit_ms: 1000, ..rig_setup() };
    rig.service.set_up(setup).await.unwrap();
    rig.service.set(MatrixoneMode::Cluster(ClusterFault::CnFrozen)).await.unwrap();
    let (first, second) = tokio::join!(meets(&rig), meets(&rig));
    let (third, took) = meets(&rig).await;
    assert!(first.0.starts_with("20508") && second.0.starts_with("20508") && third.starts_with("20508"));
    assert!(took < Duration::from_millis(900), "the breaker is open: {took:?}");
    tokio::time::sleep(Duration::from_millis(3300)).await;
    assert!(meets(&rig).await.0.starts_with("20101"), "the node is taken for gone");
}

#[tokio::test]
async fn a_broken_cluster_answers_statements_as_a_real_one_does() {
    use ClusterFault as F;
    let rig = rig().await;
    let internal = |text: &str| Some(format!("20101 #HY000internal error: {text}"));
    let expired = internal("password has expired, please change the password");
    let no_right = internal("do not have privilege to execute the statement");
    let no_room = internal("do not have enough storage to execute the statement");
    let unreadable = Some("1105 #HY000read /mo-data/shared/0196c0b3: is a directory".to_owned());
    let (one, row) = ("select 1", "select ok from probe.alive");
    for (fault, sql, expected) in [
        (F::PasswordExpired, one, &expired),
        (F::PasswordExpired, "set autocommit = 0", &expired),
        (F::NoPrivilege, row, &no_right),
        (F::NoPrivilege, one, &None),
        (F::Restricted, "begin", &no_room),
        (F::Restricted, row, &None),
        (F::DataObjectsUnreadable, one, &None),
        (F::DataObjectsUnreadable, row, &unreadable),
        (F::TnFrozen, one, &None),
    ] {
        let mut line = rig.in_mode(MatrixoneMode::Cluster(fault)).await;
        assert_eq!(rig.log_in(&mut line).await[0], 0, "{fault:?}");
        let first = command(&mut line, 3, sql).await;
        match expected {
            None => assert_eq!(first, [1], "{fault:?}, {sql}"),
            Some(expected) => assert_eq!(&error(&first), expected, "{fault:?}, {sql}"),
        }
    }
    let mut line = rig.in_mode(MatrixoneMode::Cluster(F::TnFrozen)).await;
    rig.log_in(&mut line).await;
    assert!(timeout(SHORT, command(&mut line, 3, row)).await.is_err());
    for fault in F::ALL {
        let text = serde_json::to_string(&MatrixoneMode::Cluster(fault)).unwrap();
        assert_eq!(serde_json::from_str::<MatrixoneMode>(&text).unwrap(), MatrixoneMode::Cluster(fault), "{text}");
    }
}

#[tokio::test]
async fn only_v4_closes_after_a_goodbye() {
    let rig = rig().await;
    for (version, closes) in [(MatrixoneSetup::V2, false), (MatrixoneSetup::V4, true)] {
        rig.service.set_up(MatrixoneSetup { version: version.to_owned(), ..rig_setup() }).await.unwrap();
        let mut line = rig.connect().await;
        rig.log_in(&mut line).await;
        line.sequence = 0;
        say(&mut line, &[1]).await;
        assert_eq!(timeout(SHORT, line.read(1 << 20)).await.is_ok(), closes, "{version}");
    }
}

#[tokio::test]
async fn a_name_that_is_none_is_refused_by_the_front_end() {
    let rig = rig().await;
    let mut line = rig.connect().await;
    read(&mut line).await;
    say(&mut line, &login("acc1:", &[9; 20], Some("mysql_native_password"), CLIENT)).await;
    assert_eq!(error(&read(&mut line).await), "20101 #HY000internal error: invalid user name ''");
    assert!(ends(&mut line).await, "and nothing follows");
}

#[tokio::test]
async fn attacks_note_what_they_get() {
    let rig = rig().await;
    let mut line = rig.in_mode(MatrixoneMode::AskClearPassword).await;
    assert_eq!(rig.log_in(&mut line).await, b"\xfemysql_clear_password\0\0");
    // A careful client leaves, or sends nothing.
    drop(line);
    let mut line = rig.connect().await;
    rig.log_in(&mut line).await;
    say(&mut line, &[]).await;
    assert_eq!(read(&mut line).await[0], 0);
    assert_eq!(rig.service.counts().clear_passwords, 0);
    let mut line = rig.connect().await;
    rig.log_in(&mut line).await;
    say(&mut line, b"secret\0").await;
    assert_eq!(read(&mut line).await[0], 0);
    assert_eq!(rig.service.counts().clear_passwords, 1);

    for (answers, stolen) in [(vec![b"secret\0".to_vec()], 2), (vec![vec![2], vec![7; 256]], 3), (vec![vec![0]], 3)] {
        let mut line = rig.in_mode(MatrixoneMode::AskSha2Password).await;
        assert!(rig.log_in(&mut line).await.starts_with(b"\xfecaching_sha2_password\0"));
        say(&mut line, &[3; 32]).await;
        assert_eq!(read(&mut line).await, [1, 4]);
        for answer in answers {
            say(&mut line, &answer).await;
            read(&mut line).await;
        }
        assert_eq!(rig.service.counts().clear_passwords, stolen);
    }

    let mut line = rig.in_mode(MatrixoneMode::LocalInfile).await;
    rig.log_in(&mut line).await;
    assert_eq!(command(&mut line, 3, "select 1").await, b"\xfb/etc/hostname");
    say(&mut line, &[]).await;
    assert_eq!(read(&mut line).await[0], 0);
    assert_eq!(rig.service.counts().file_pieces, 0);
    assert_eq!(command(&mut line, 3, "select 1").await[0], 0xfb);
    say(&mut line, b"my-host\n").await;
    say(&mut line, &[]).await;
    assert_eq!(read(&mut line).await[0], 0);
    assert_eq!(rig.service.counts().file_pieces, 1);
}

/// Numbers that look random, the same in every run.
fn noise(seed: &mut u64) -> u8 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 56) as u8
}

#[tokio::test]
async fn nothing_that_comes_in_makes_it_fall() {
    let rig = rig().await;
    let mut seed = 1;
    for round in 0..300_usize {
        let mut line = rig.connect().await;
        let salt = greeting(&read(&mut line).await).salt;
        let bytes: Vec<u8> = (0..round).map(|_| noise(&mut seed)).collect();
        if round % 2 == 0 {
            line.stream.write_all(&bytes).await.unwrap();
        } else {
            // A good login, spoiled somewhere.
            let proof = scramble(MatrixoneSetup::PASSWORD, &salt);
            let mut good = login(MatrixoneSetup::USER, &proof, Some("mysql_native_password"), CLIENT);
            let at = round % good.len();
            good[at] ^= noise(&mut seed) | 1;
            good.truncate(good.len() - usize::from(noise(&mut seed)) % 20);
            say(&mut line, &good).await;
        }
        let _ = line.stream.shutdown().await;
        while let Ok(Ok(_)) = timeout(PATIENCE, line.read(1 << 24)).await {}
    }
    let mut line = rig.connect().await;
    let too_long = login(&"x".repeat(70_000), &[], None, CLIENT);
    read(&mut line).await;
    say(&mut line, &too_long).await;
    assert!(error(&read(&mut line).await).starts_with("13125 #HY000"));
    let mut line = rig.connect().await;
    assert_eq!(rig.log_in(&mut line).await[0], 0);
    for round in 0..300 {
        let bytes: Vec<u8> = (0..round).map(|_| noise(&mut seed)).filter(|byte| *byte != 1).collect();
        line.sequence = 0;
        say(&mut line, &[&[3], bytes.as_slice()].concat()).await;
        assert_eq!(read(&mut line).await[0], 0xff);
    }
}

/// Over sockets a task that panics is only one that hangs up; here it would show.
#[test]
fn no_bytes_make_a_parser_fall() {
    let setup = MatrixoneSetup::default();
    let words = [
        "select ",
        " as ",
        "@@",
        "'",
        "\"",
        "`",
        ",",
        "(",
        ")",
        " limit ",
        " from dual",
        "1",
        "show ",
        "\u{1F980}",
        ";",
    ];
    let (mut seed, good) = (2, login("a:b:c", &[1; 20], Some("mysql_native_password"), CLIENT));
    for round in 0..20_000_usize {
        let mut bytes = good.clone();
        for _ in 0..=round % 5 {
            let at = usize::from(noise(&mut seed)) % bytes.len();
            bytes[at] = noise(&mut seed);
        }
        bytes.truncate(usize::from(noise(&mut seed)));
        if let Some(login) = SeenLogin::parse(&bytes, CAPABILITIES) {
            let _ = setup.check(&login.user, &[1; 20], &login.proof);
        }
        let sql: String =
            (0..round % 9).map(|_| words[usize::from(noise(&mut seed)) % words.len()]).collect::<Vec<_>>().concat();
        let about = super::query::About { setup: &setup, user: "a:b:c", id: 1, database: None };
        let _ = super::query::payloads(&super::query::answer(&sql, &about), CLIENT);
    }
}

#[test]
fn modes_are_written_as_one_writes_them() {
    for (mode, expected) in [
        (MatrixoneMode::Up, r#""up""#),
        (MatrixoneMode::Login(LoginFault::NoCn), r#"{"login":"no_cn"}"#),
        (MatrixoneMode::Certificate(Certificate::OtherName), r#"{"certificate":"other_name"}"#),
        (MatrixoneMode::Drip { every_ms: 5 }, r#"{"drip":{"every_ms":5}}"#),
        (
            MatrixoneMode::QueryError(SqlError::new(1, "HY000", "x")),
            r#"{"query_error":{"code":1,"state":"HY000","text":"x"}}"#,
        ),
    ] {
        assert_eq!(serde_json::to_string(&mode).unwrap(), expected);
        assert_eq!(serde_json::from_str::<MatrixoneMode>(expected).unwrap(), mode);
    }
}
