//! One secret and many targets, probed at one instant: a wrong one is sent once, a right one holds nobody up.

use std::sync::Arc;
use std::time::Duration;

use privatelink_sim::{
    Identity, MatrixoneService, MatrixoneSetup, Pki, TdengineMode, TdengineService, TdengineSetup, free_address,
};
use privatelinkd::model::{
    Check, Failure, FailureReason as R, FileSecret, MysqlLogin, MysqlSpec, MysqlTls, ProbeKind, Secret, TargetSpec,
    TdengineLogin, TdengineSpec, Timings, TlsSpec, Trust, TrustBundle, Wall,
};
use privatelinkd::probe::{Prober, Probers};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::probe_mysql::deep;
use crate::probe_tcp::{PATIENT, probers};

const NAME: &str = "gw.cloud.example.com";
const RIGHT: &str = "the right password";

/// Servers of both kinds that know one user each, with the same password.
struct Fleet {
    pki: Pki,
    tdengine: Vec<TdengineService>,
    mysql: Vec<MatrixoneService>,
}

impl Fleet {
    async fn start(of_each: usize) -> Self {
        let pki = Pki::new("fleet").unwrap();
        let identity = Identity::new(&pki, &[NAME]).unwrap();
        let (mut tdengine, mut mysql) = (Vec::new(), Vec::new());
        for _ in 0..of_each {
            let mut setup = TdengineSetup::default();
            setup.users.insert(TdengineSetup::USER.into(), RIGHT.into());
            let at = free_address(8443).unwrap();
            tdengine.push(TdengineService::start(at, setup, identity.clone()).await.unwrap());
            let mut setup = MatrixoneSetup::default();
            setup.users.insert(MatrixoneSetup::USER.into(), RIGHT.into());
            let at = free_address(6001).unwrap();
            mysql.push(MatrixoneService::start(at, setup, Some(identity.clone())).await.unwrap());
        }
        Self { pki, tdengine, mysql }
    }

    /// Deep checks of all with this password, each target with a file of its own.
    fn targets(&self, password: &str) -> Vec<TargetSpec> {
        let secret = |n: usize| FileSecret {
            secret: Secret::new(password.into()),
            path: format!("/etc/privatelinkd/{n}.pw").into(),
            written: Wall(1),
        };
        let bundle = TrustBundle { path: "/etc/privatelinkd/ca.pem".into(), certificates: vec![self.pki.ca_der()] };
        let trust = Trust::File(Arc::new(bundle));
        let tls = TlsSpec { server_name: NAME.parse().unwrap(), trust, expiry_warning: Duration::ZERO };
        let tdengine = self.tdengine.iter().enumerate().map(|(n, service)| {
            let login = TdengineLogin::Basic { user: TdengineSetup::USER.into(), password: secret(n) };
            let spec = TdengineSpec {
                tls: tls.clone(),
                path: "/rest/sql".into(),
                login: Some(login),
                sql: "show databases".into(),
                expect: None,
            };
            deep(service.address(), ProbeKind::Tdengine(spec))
        });
        let mysql = self.mysql.iter().enumerate().map(|(n, service)| {
            let login = MysqlLogin { user: MatrixoneSetup::USER.into(), password: Some(secret(1000 + n)) };
            let spec = MysqlSpec {
                tls: MysqlTls::Preferred,
                expiry_warning: Duration::ZERO,
                login: Some(login),
                query: "SELECT 1".into(),
                expect: None,
            };
            let kind = if n % 2 == 0 { ProbeKind::Matrixone(spec) } else { ProbeKind::Mysql(spec) };
            deep(service.address(), kind)
        });
        tdengine.chain(mysql).collect()
    }

    /// How often a secret was sent, once nothing is counted any more.
    async fn sent(&self) -> u64 {
        loop {
            let before = self.counted();
            tokio::time::sleep(Duration::from_millis(100)).await;
            if self.counted() == before {
                return before;
            }
        }
    }

    fn counted(&self) -> u64 {
        let tdengine = self.tdengine.iter().map(|service| service.counts().requests);
        let mysql =
            self.mysql.iter().map(|service| service.counts()).map(|counts| counts.logins + counts.failed_logins);
        tdengine.chain(mysql).sum()
    }
}

/// Probes all at one instant.
async fn at_once(probers: &Probers, targets: &[TargetSpec], allowed: Duration) -> Vec<Result<Timings, Failure>> {
    let mut all = JoinSet::new();
    for target in targets {
        let prober = probers.prober(target, Check::Deep);
        all.spawn(async move { prober.probe(allowed).await });
    }
    all.join_all().await
}

#[tokio::test]
async fn a_wrong_secret_is_sent_once_whatever_the_targets() {
    let fleet = Fleet::start(20).await;
    let (shared, targets) = (probers(), fleet.targets("an old password"));
    let outcomes = at_once(&shared, &targets, PATIENT).await;
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().is_err_and(|f| f.reason == R::Auth)), "{outcomes:?}");
    let waited =
        outcomes.iter().flat_map(|o| o.as_ref().err()).filter(|f| f.detail.starts_with("not tried again until "));
    assert_eq!(waited.count(), targets.len() - 1);
    assert_eq!(fleet.sent().await, 1);
    at_once(&shared, &targets, PATIENT).await;
    assert_eq!(fleet.sent().await, 1);
    // Another one is another matter.
    let outcomes = at_once(&shared, &fleet.targets(RIGHT), PATIENT).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
}

#[tokio::test]
async fn a_server_that_keeps_its_answer_back_holds_no_other_up_for_long() {
    let fleet = Fleet::start(5).await;
    fleet.tdengine[0].set(TdengineMode::StallHttp).await.unwrap();
    let (allowed, started) = (Duration::from_secs(4), Instant::now());
    let shared = probers();
    let targets = fleet.targets(RIGHT);
    // The one that stalls has the first turn.
    let stalled = shared.prober(&targets[0], Check::Deep);
    let stalled = tokio::spawn(async move { stalled.probe(allowed).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let outcomes = at_once(&shared, &targets[1..], allowed).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let took = started.elapsed();
    assert!(took >= allowed / 2 && took < allowed, "{took:?}: the turn passes on after half of the time");
    assert_eq!(stalled.await.unwrap().unwrap_err().reason, R::Timeout);
}

#[tokio::test]
async fn whose_turn_never_comes_is_not_at_fault() {
    let fleet = Fleet::start(1).await;
    fleet.tdengine[0].set(TdengineMode::StallHttp).await.unwrap();
    let (shared, targets) = (probers(), fleet.targets(RIGHT));
    let stalled = shared.prober(&targets[0], Check::Deep);
    let stalled = tokio::spawn(async move { stalled.probe(Duration::from_secs(60)).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    // A second TDengine, and a MatrixOne.
    let second = fleet.targets(RIGHT).remove(0);
    for target in [&second, &targets[1]] {
        let failure = shared.prober(target, Check::Deep).probe(Duration::from_millis(300)).await.unwrap_err();
        assert_eq!(failure.reason, R::Local, "{failure}");
        assert!(failure.detail.starts_with("the same secret's first login elsewhere not answered after "), "{failure}");
    }
    stalled.abort();
}
