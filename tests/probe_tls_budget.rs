//! How many TLS handshakes with a MySQL server break off, whatever happens: two, over all checks and restarts, and what
//! goes on without TLS then.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use privatelinkd::model::{Check, FailureReason as R, MysqlTls, ProbeKind};
use privatelinkd::probe::{FleetSize, Prober, Probers, TlsBudget};
use privatelinkd::sys::clock::Clock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use crate::probe_mysql::{CAPS, OK, Peer, SSL, Server, deep, greeting, spec, tls};
use crate::probe_tcp::PATIENT;

/// TLS alerts: nothing in common, and a fault of the server's own.
const NOTHING_IN_COMMON: &[u8] = b"\x15\x03\x03\0\x02\x02\x28";
const INTERNAL_ERROR: &[u8] = b"\x15\x03\x03\0\x02\x02\x50";

/// A server that answers each client hello with these bytes once `well` handshakes have gone well. Logins in plain are
/// accepted.
struct Breaking {
    server: Server,
    handshakes: Arc<AtomicUsize>,
}

impl Breaking {
    async fn start(version: &'static str, answer: &'static [u8], well: usize) -> Self {
        let handshakes = Arc::new(AtomicUsize::new(0));
        let (count, acceptor): (_, TlsAcceptor) = (handshakes.clone(), tls("db.example.com").0);
        let server = Server::start(move |mut peer| {
            let (count, acceptor) = (count.clone(), acceptor.clone());
            async move {
                peer.say(0, &greeting(version, CAPS | SSL, "mysql_native_password")).await;
                let Some((_, first)) = peer.hear().await else { return vec![] };
                if first.len() > 32 {
                    peer.say(2, if first.windows(8).any(|w| w == b"declines") { REFUSED } else { OK }).await;
                    return peer.answer(vec![first]).await;
                }
                if count.fetch_add(1, Ordering::SeqCst) < well {
                    let Ok(stream) = acceptor.accept(peer.0).await else { return vec![] };
                    return Peer(stream).serve(2, OK).await;
                }
                let _ = peer.0.read(&mut [0; 2000]).await;
                let _ = peer.0.write_all(answer).await;
                vec![]
            }
        })
        .await;
        Self { server, handshakes }
    }

    fn address(&self) -> SocketAddr {
        self.server.address()
    }

    fn handshakes(&self) -> usize {
        self.handshakes.load(Ordering::SeqCst)
    }
}

const REFUSED: &[u8] = b"\xff\x15\x04#28000Access denied";

/// The probers of a process that was just started.
fn started(state: &Path) -> Probers {
    Probers::new(Clock::System).within(TlsBudget::kept(state.join("tls_budget.json")))
}

#[tokio::test]
async fn a_login_goes_in_plain_where_our_library_lacks_what_the_server_wants() {
    let (server, state) = (Breaking::start("8.0.36", NOTHING_IN_COMMON, 0).await, tempfile::tempdir().unwrap());
    for _ in 0..3 {
        let probers = started(state.path());
        for check in [Check::Path, Check::Deep] {
            let prober = probers.prober(&deep(server.address(), ProbeKind::Mysql(spec(MysqlTls::Preferred))), check);
            for _ in 0..5 {
                let timings = prober.probe(PATIENT).await.unwrap();
                assert_eq!(timings.tls, None);
            }
            let remark = prober.remark().unwrap();
            assert!(remark.starts_with("login without TLS: "), "{remark}");
        }
    }
    assert_eq!(server.handshakes(), 1);
}

#[tokio::test]
async fn the_path_goes_on_by_greeting_where_tls_is_demanded() {
    let (server, state) = (Breaking::start("8.0.36", NOTHING_IN_COMMON, 0).await, tempfile::tempdir().unwrap());
    for _ in 0..3 {
        let probers = started(state.path());
        let prober = |check| probers.prober(&deep(server.address(), ProbeKind::Mysql(spec(MysqlTls::Required))), check);
        let (path, deep) = (prober(Check::Path), prober(Check::Deep));
        for _ in 0..3 {
            assert!(path.probe(PATIENT).await.unwrap().login.is_none());
            assert_eq!(deep.probe(PATIENT).await.unwrap_err().reason, R::Misconfigured);
        }
    }
    assert!(server.handshakes() <= 2, "{}", server.handshakes());
}

#[tokio::test]
async fn a_server_that_did_tls_before_gets_no_login_without() {
    for answer in [NOTHING_IN_COMMON, INTERNAL_ERROR] {
        let (server, state) = (Breaking::start("8.0.36", answer, 1).await, tempfile::tempdir().unwrap());
        let target = deep(server.address(), ProbeKind::Mysql(spec(MysqlTls::Preferred)));
        let first = started(state.path()).prober(&target, Check::Deep);
        assert!(first.probe(PATIENT).await.unwrap().tls.is_some());
        for _ in 0..3 {
            let deep = started(state.path()).prober(&target, Check::Deep);
            for _ in 0..3 {
                assert_eq!(deep.probe(PATIENT).await.unwrap_err().reason, R::TlsHandshake);
            }
        }
        assert!(server.handshakes() <= 3, "{}", server.handshakes());
    }
}

/// The server's own count is back at nothing then.
#[tokio::test]
async fn a_login_that_succeeds_gives_the_budget_back() {
    let (server, state) = (Breaking::start("8.0.36", INTERNAL_ERROR, 0).await, tempfile::tempdir().unwrap());
    let probers = started(state.path());
    let prober = |tls| probers.prober(&deep(server.address(), ProbeKind::Mysql(spec(tls))), Check::Deep);
    let (sealed, plain) = (prober(MysqlTls::Required), prober(MysqlTls::Off));
    for handshakes in [2, 4] {
        for _ in 0..4 {
            sealed.probe(PATIENT).await.unwrap_err();
        }
        assert_eq!(server.handshakes(), handshakes);
        plain.probe(PATIENT).await.unwrap();
    }
}

#[tokio::test]
async fn the_path_check_of_matrixone_keeps_to_the_budget() {
    for answer in [NOTHING_IN_COMMON, INTERNAL_ERROR] {
        let server = Breaking::start("8.0.30-MatrixOne-v3.0.9", answer, 0).await;
        let state = tempfile::tempdir().unwrap();
        let target = deep(server.address(), ProbeKind::Matrixone(spec(MysqlTls::Preferred)));
        let mut failed = 0;
        for _ in 0..5 {
            let path = started(state.path()).prober(&target, Check::Path);
            for _ in 0..3 {
                failed += usize::from(path.probe(PATIENT).await.is_err());
            }
        }
        assert_eq!((server.handshakes(), failed), if answer == INTERNAL_ERROR { (2, 2) } else { (1, 0) });
    }
}

#[tokio::test]
async fn what_the_network_ends_costs_nothing() {
    let server = Breaking::start("8.0.36", b"", 0).await;
    let state = tempfile::tempdir().unwrap();
    let target = deep(server.address(), ProbeKind::Mysql(spec(MysqlTls::Preferred)));
    let prober = started(state.path()).prober(&target, Check::Deep);
    for _ in 0..5 {
        assert_eq!(prober.probe(PATIENT).await.unwrap_err().reason, R::Reset);
    }
    assert_eq!(server.handshakes(), 5);
}

#[tokio::test]
async fn a_fleet_does_not_find_out_at_one_instant() {
    let server = Breaking::start("8.0.36", NOTHING_IN_COMMON, 0).await;
    let probers = Probers::of_fleet(Clock::System, FleetSize::new(1_000_000));
    let prober = |check| probers.prober(&deep(server.address(), ProbeKind::Mysql(spec(MysqlTls::Preferred))), check);
    prober(Check::Path).probe(PATIENT).await.unwrap();
    assert_eq!(prober(Check::Deep).probe(PATIENT).await.unwrap_err().reason, R::Local);
    assert_eq!(server.handshakes(), 0);
}

#[tokio::test]
async fn a_file_that_is_none_of_ours_is_kept_aside() {
    let (server, state) = (Breaking::start("8.0.36", NOTHING_IN_COMMON, 0).await, tempfile::tempdir().unwrap());
    let file = state.path().join("tls_budget.json");
    std::fs::write(&file, r#"{"format":2}"#).unwrap();
    let target = deep(server.address(), ProbeKind::Mysql(spec(MysqlTls::Preferred)));
    started(state.path()).prober(&target, Check::Deep).probe(PATIENT).await.unwrap();
    assert_eq!(std::fs::read_to_string(state.path().join("tls_budget.json.unusable")).unwrap(), r#"{"format":2}"#);
    assert!(std::fs::read_to_string(file).unwrap().starts_with(r#"{"format":1,"#));
}
