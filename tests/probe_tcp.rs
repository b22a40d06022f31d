//! The tcp prober against a service that dies in each way a zone can.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use privatelink_sim::{TcpMode, TcpService, free_address};
use privatelinkd::model::{
    Check, Failure, FailureReason, ProbeKind, ProbeSpec, Schedule, TargetKey, TargetSpec, Timings, Zone,
};
use privatelinkd::probe::{AnyProber, Overlap, Prober, Probers};
use privatelinkd::sys::clock::Clock;

/// Long enough for anything on loopback, even on a busy machine.
pub(crate) const PATIENT: Duration = Duration::from_secs(20);
/// For what never answers.
pub(crate) const HASTY: Duration = Duration::from_millis(200);

/// A target at `address`.
pub(crate) fn target(address: SocketAddr, kind: ProbeKind) -> TargetSpec {
    let schedule = Schedule {
        interval: Duration::from_secs(5),
        fast_interval: Duration::from_millis(500),
        timeout: Duration::from_secs(2),
        rise: 3,
        fall: 3,
    };
    let probe = ProbeSpec {
        kind,
        port: address.port(),
        path: schedule,
        deep: None,
        hold: Duration::from_secs(30),
        returns: Default::default(),
    };
    let key = TargetKey { endpoint: "lab".parse().unwrap(), zone: Zone::Unknown, address: address.ip() };
    TargetSpec { key, probe: Arc::new(probe) }
}

/// The reason of a failed attempt.
pub(crate) fn reason(outcome: Result<Timings, Failure>) -> FailureReason {
    outcome.expect_err("the attempt should fail").reason
}

/// A factory that has made none yet.
pub(crate) fn probers() -> Probers {
    Probers::new(Clock::System)
}

fn prober(address: SocketAddr) -> AnyProber {
    probers().prober(&target(address, ProbeKind::Tcp), Check::Path)
}

#[tokio::test]
async fn an_accepted_connection_is_a_success() {
    let service = TcpService::start(free_address(5432).unwrap()).await.unwrap();
    let prober = prober(service.address());
    assert_eq!(prober.overlap(), Overlap::Hedged);
    let timings = prober.probe(PATIENT).await.unwrap();
    assert!(timings.tcp > Duration::ZERO);
    assert_eq!(timings, Timings { tcp: timings.tcp, total: timings.tcp, ..Timings::default() });
}

#[tokio::test]
async fn each_way_to_die_has_its_reason_and_each_return_is_seen() {
    let service = TcpService::start(free_address(5432).unwrap()).await.unwrap();
    let prober = prober(service.address());
    for _ in 0..3 {
        service.set(TcpMode::Refused).await.unwrap();
        let refused = prober.probe(PATIENT).await.unwrap_err();
        assert_eq!(refused, Failure::new(FailureReason::Refused, "connect: Connection refused").met_on_the_way());
        service.set(TcpMode::Silent).await.unwrap();
        let silent = prober.probe(HASTY).await.unwrap_err();
        assert_eq!(
            silent,
            Failure::new(FailureReason::Timeout, "no answer to the TCP handshake after 200ms").met_on_the_way()
        );
        service.set(TcpMode::Up).await.unwrap();
        prober.probe(PATIENT).await.unwrap();
        service.set(TcpMode::Silent).await.unwrap();
        assert_eq!(reason(prober.probe(HASTY).await), FailureReason::Timeout);
        service.set(TcpMode::Refused).await.unwrap();
        assert_eq!(reason(prober.probe(PATIENT).await), FailureReason::Refused);
        service.set(TcpMode::Up).await.unwrap();
    }
}

#[tokio::test]
async fn a_switch_closes_what_is_open() {
    use tokio::io::AsyncReadExt;
    let service = TcpService::start(free_address(5432).unwrap()).await.unwrap();
    for mode in [TcpMode::Refused, TcpMode::Silent] {
        service.set(TcpMode::Up).await.unwrap();
        let mut open = tokio::net::TcpStream::connect(service.address()).await.unwrap();
        service.set(mode).await.unwrap();
        // An end or a reset, but never more waiting.
        let read = tokio::time::timeout(PATIENT, open.read(&mut [0; 1])).await.unwrap();
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }
}

#[tokio::test]
async fn a_thousand_probes_use_up_no_sockets() {
    let service = TcpService::start(free_address(5432).unwrap()).await.unwrap();
    let prober = prober(service.address());
    for _ in 0..1000 {
        prober.probe(PATIENT).await.unwrap();
    }
    assert!(std::fs::read_dir("/proc/self/fd").unwrap().count() < 500);
}

#[tokio::test]
async fn a_probe_hangs_up_without_a_reset() {
    use tokio::io::AsyncReadExt;
    let listener = tokio::net::TcpListener::bind(free_address(5432).unwrap()).await.unwrap();
    let prober = prober(listener.local_addr().unwrap());
    prober.probe(PATIENT).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0, "an end, no reset");
}
