//! How many TLS handshakes with a MySQL server break off, whatever happens: two, over all checks and restarts, and what
//! goes on without TLS then.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use privatelinkd::model::{Check, FailureReason as R, MysqlTls, ProbeKind};
use privatelinkd::probe::{FleetSize, Prober, Probers, TlsBudget};
use privatelinkd::sys::clock::Clock;
use privatelinkd::sys::file_lock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;

use crate::probe_mysql::{CAPS, OK, Peer, SSL, Server, deep, greeting, spec, tls};
use crate::probe_tcp::PATIENT;

/// How long a look that gets no answer is waited for.
const GIVEN_UP: Duration = Duration::from_millis(500);
/// No answer: it waits for more.
const SILENCE: &[u8] = b"silence";
/// TLS alerts: nothing in common, and a fault of the server's own.
const NOTHING_IN_COMMON: &[u8] = b"\x15\x03\x03\0\x02\x02\x28";
const INTERNAL_ERROR: &[u8] = b"\x15\x03\x03\0\x02\x02\x50";

/// A server that answers each client hello with these bytes once `well` handshakes have gone well. Logins in plain are
/// accepted.
struct Breaking {
    server: Server,
    handshakes: Arc<AtomicUsize>,
    plain_logins: Arc<AtomicUsize>,
    /// Whether its greeting offers TLS.
    offers: Arc<AtomicBool>,
}

impl Breaking {
    async fn start(version: &'static str, answer: &'static [u8], well: usize) -> Self {
        let handshakes = Arc::new(AtomicUsize::new(0));
        let (plain_logins, offers) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(true)));
        let (count, acceptor): (_, TlsAcceptor) = (handshakes.clone(), tls("db.example.com").0);
        let (logins, offering) = (plain_logins.clone(), offers.clone());
        let server = Server::start(move |mut peer| {
            let (count, acceptor, logins) = (count.clone(), acceptor.clone(), logins.clone());
            let caps = if offering.load(Ordering::SeqCst) { CAPS | SSL } else { CAPS };
            async move {
                peer.say(0, &greeting(version, caps, "mysql_native_password")).await;
                let Some((_, first)) = peer.hear().await else { return vec![] };
                if first.len() > 32 {
                    let declines = first.windows(8).any(|w| w == b"declines");
                    logins.fetch_add(usize::from(!declines), Ordering::SeqCst);
                    peer.say(2, if declines { REFUSED } else { OK }).await;
                    return peer.answer(vec![first]).await;
                }
                if count.fetch_add(1, Ordering::SeqCst) < well {
                    let Ok(stream) = acceptor.accept(peer.0).await else { return vec![] };
                    return Peer(stream).serve(2, OK).await;
                }
                let _ = peer.0.read(&mut [0; 2000]).await;
                if answer == SILENCE {
                    let _ = peer.0.read(&mut [0; 2000]).await;
                }
                let _ = peer.0.write_all(answer).await;
                vec![]
            }
        })
        .await;
        Self { server, handshakes, plain_logins, offers }
    }

    fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Logins without TLS that were more than a decline.
    fn plain_logins(&self) -> usize {
        self.plain_logins.load(Ordering::SeqCst)
    }

    fn handshakes(&self) -> usize {
        self.handshakes.load(Ordering::SeqCst)
    }
}

const REFUSED: &[u8] = b"\xff\x15\x04#28000Access denied";

/// The probers of a process that was just started.
fn started(state: &Path) -> Probers {
    Probers::new(Clock::System).with_tls_budget(TlsBudget::kept(state.join("tls_budget.json"), Clock::System))
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
    // What our library lacks moves no name, and opens no way to a plain login either.
    for (answer, reason) in [(NOTHING_IN_COMMON, R::Misconfigured), (INTERNAL_ERROR, R::TlsHandshake)] {
        let (server, state) = (Breaking::start("8.0.36", answer, 1).await, tempfile::tempdir().unwrap());
        let target = deep(server.address(), ProbeKind::Mysql(spec(MysqlTls::Preferred)));
        let first = started(state.path()).prober(&target, Check::Deep);
        assert!(first.probe(PATIENT).await.unwrap().tls.is_some());
        for _ in 0..3 {
            let deep = started(state.path()).prober(&target, Check::Deep);
            for _ in 0..3 {
                assert_eq!(deep.probe(PATIENT).await.unwrap_err().reason, reason);
            }
            let remark = deep.remark().unwrap();
            assert!(remark.starts_with("TLS is left alone: "), "{remark}");
            assert_eq!(
                remark.contains("completed before, so that no login goes without it"),
                reason == R::Misconfigured
            );
        }
        assert!(server.handshakes() <= 3, "{}", server.handshakes());
        assert_eq!(server.plain_logins(), 0);
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
async fn a_server_that_offers_tls_no_more_gets_no_login_without() {
    let (server, state) = (Breaking::start("8.0.36", INTERNAL_ERROR, 1).await, tempfile::tempdir().unwrap());
    let target = |tls| deep(server.address(), ProbeKind::Mysql(spec(tls)));
    let first = started(state.path()).prober(&target(MysqlTls::Preferred), Check::Deep);
    assert!(first.probe(PATIENT).await.unwrap().tls.is_some());
    server.offers.store(false, Ordering::SeqCst);
    for _ in 0..3 {
        let probers = started(state.path());
        let deep = probers.prober(&target(MysqlTls::Preferred), Check::Deep);
        let failure = deep.probe(PATIENT).await.unwrap_err();
        assert_eq!(failure.reason, R::TlsHandshake);
        assert!(failure.detail.contains("offers no TLS any more") && failure.detail.contains("set tls = \"off\""));
        assert!(deep.remark().unwrap().contains("set tls = \"off\""));
        let path = probers.prober(&target(MysqlTls::Preferred), Check::Path);
        assert!(path.probe(PATIENT).await.unwrap().login.is_none(), "the greeting is the verdict");
    }
    assert_eq!(server.plain_logins(), 0);
    // An administrator says so.
    let off = started(state.path()).prober(&target(MysqlTls::Off), Check::Deep);
    assert_eq!(off.probe(PATIENT).await.unwrap().tls, None);
    assert_eq!(server.plain_logins(), 1);
}

#[tokio::test]
async fn whoever_damages_the_file_takes_no_memory_of_tls() {
    let (server, state) = (Breaking::start("8.0.36", INTERNAL_ERROR, 1).await, tempfile::tempdir().unwrap());
    let (probers, target) =
        (started(state.path()), deep(server.address(), ProbeKind::Mysql(spec(MysqlTls::Preferred))));
    let prober = probers.prober(&target, Check::Deep);
    assert!(prober.probe(PATIENT).await.unwrap().tls.is_some());
    server.offers.store(false, Ordering::SeqCst);
    let file = state.path().join("tls_budget.json");
    for damaged in [r#"{"format":2}"#, ""] {
        std::fs::write(&file, damaged).unwrap();
        assert_eq!(prober.probe(PATIENT).await.unwrap_err().reason, R::TlsHandshake);
    }
    assert_eq!(server.plain_logins(), 0);
}

#[tokio::test]
async fn a_server_that_never_offered_tls_gets_a_plain_login() {
    let (server, state) = (Breaking::start("8.0.36", INTERNAL_ERROR, 0).await, tempfile::tempdir().unwrap());
    server.offers.store(false, Ordering::SeqCst);
    let target = deep(server.address(), ProbeKind::Mysql(spec(MysqlTls::Preferred)));
    let prober = started(state.path()).prober(&target, Check::Deep);
    assert_eq!((prober.probe(PATIENT).await.unwrap().tls, prober.remark()), (None, None));
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
    let probers = Probers::for_fleet(Clock::System, FleetSize::new(1_000_000));
    let prober = |check| probers.prober(&deep(server.address(), ProbeKind::Mysql(spec(MysqlTls::Preferred))), check);
    prober(Check::Path).probe(PATIENT).await.unwrap();
    assert_eq!(prober(Check::Deep).probe(PATIENT).await.unwrap_err().reason, R::Local);
    assert_eq!(server.handshakes(), 0);
}

#[tokio::test]
async fn looks_at_matrixone_that_are_given_up_cost_nothing() {
    // It says nothing after the client hello: each look is dropped in its midst, as a probe of the agent's is.
    let server = Breaking::start("8.0.30-MatrixOne-v3.0.9", SILENCE, 0).await;
    let state = tempfile::tempdir().unwrap();
    let target = deep(server.address(), ProbeKind::Matrixone(spec(MysqlTls::Preferred)));
    for n in 1..=5 {
        let prober = started(state.path()).prober(&target, Check::Path);
        let looks = [prober.probe(PATIENT), prober.probe(PATIENT)].map(|look| timeout(GIVEN_UP, look));
        let [first, second] = looks;
        let (first, second) = tokio::join!(first, second);
        assert!(first.is_err(), "it was given up: {first:?}");
        assert!(second.unwrap().unwrap().tls.is_none(), "one looks at a time, the other sees the greeting");
        assert_eq!((server.handshakes(), prober.remark()), (n, None));
    }
}

#[tokio::test]
async fn what_cannot_be_kept_counts_on_and_is_said() {
    let (server, state) = (Breaking::start("8.0.36", INTERNAL_ERROR, 0).await, tempfile::tempdir().unwrap());
    // Root may write anywhere but into what is no folder.
    let folder = state.path().join("state");
    std::fs::write(&folder, "").unwrap();
    let target = deep(server.address(), ProbeKind::Mysql(spec(MysqlTls::Preferred)));
    let prober = started(&folder).prober(&target, Check::Deep);
    for _ in 0..5 {
        assert_eq!(prober.probe(PATIENT).await.unwrap_err().reason, R::TlsHandshake);
    }
    assert_eq!(server.handshakes(), 2);
    let remark = prober.remark().unwrap();
    assert!(remark.contains("is forgotten with this process: "), "{remark}");
    assert!(remark.contains("state/tls_budget.json"), "{remark}");
    // Once it can be kept, it is, and nothing is said any more.
    std::fs::remove_file(&folder).unwrap();
    std::fs::create_dir(&folder).unwrap();
    assert_eq!(prober.probe(PATIENT).await.unwrap_err().reason, R::TlsHandshake);
    assert!(!prober.remark().unwrap().contains("forgotten"), "{:?}", prober.remark());
    let again = started(&folder).prober(&target, Check::Deep);
    assert_eq!(again.probe(PATIENT).await.unwrap_err().reason, R::TlsHandshake);
    assert_eq!(server.handshakes(), 2);
}

#[tokio::test]
async fn a_book_that_another_process_holds_up_holds_up_no_thread() {
    let (server, state) = (Breaking::start("8.0.36", INTERNAL_ERROR, 0).await, tempfile::tempdir().unwrap());
    let held = file_lock::acquire(&state.path().join("tls_budget.lock"), Duration::ZERO).unwrap();
    let (probers, target) =
        (started(state.path()), deep(server.address(), ProbeKind::Mysql(spec(MysqlTls::Preferred))));
    let prober = probers.prober(&target, Check::Deep);
    // This runtime has one thread, which would stand still.
    let probing = async { (prober.probe(PATIENT).await.unwrap_err().reason, Instant::now()) };
    let making = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let began = Instant::now();
        drop(probers.prober(&target, Check::Path));
        (began.elapsed(), Instant::now())
    };
    let ((reason, probed), (took, made)) = tokio::join!(probing, making);
    assert_eq!(reason, R::TlsHandshake);
    assert!(took < Duration::from_millis(200) && made < probed, "{took:?}");
    drop(held);
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
