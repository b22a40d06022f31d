//! The MatrixOne probers against the stand-in, which MatrixOne's own clients vouch for: every fault of its tables.

use std::sync::Arc;
use std::time::Duration;

use privatelink_sim::{
    Certificate, ClusterFault, Identity, LoginFault, MatrixoneCounts, MatrixoneMode as Mode, MatrixoneService,
    MatrixoneSetup, Pki, SqlError, free_address,
};
use privatelinkd::model::{
    Check, FailureReason as R, FileSecret, MysqlLogin, MysqlSpec, MysqlTls, ProbeKind, Secret, TlsSpec, Trust,
    TrustBundle, Wall,
};
use privatelinkd::probe::{AnyProber, Prober};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::probe_mysql::{deep, greeting, tls};
use crate::probe_tcp::{HASTY, PATIENT, probers, reason};

const NAME: &str = "ledger-db.example.com";

struct Rig {
    service: MatrixoneService,
    pki: Pki,
}

impl Rig {
    async fn start() -> Self {
        let pki = Pki::new("matrixone").unwrap();
        let identity = Identity::new(&pki, &[NAME]).unwrap();
        let at = free_address(6001).unwrap();
        let service = MatrixoneService::start(at, MatrixoneSetup::default(), Some(identity)).await.unwrap();
        Self { service, pki }
    }

    /// Once nothing is counted any more: the service counts what it has finished with.
    async fn counts(&self) -> MatrixoneCounts {
        loop {
            let before = self.service.counts();
            tokio::time::sleep(Duration::from_millis(50)).await;
            if self.service.counts() == before {
                return before;
            }
        }
    }

    /// A prober that knows nothing of earlier refusals.
    fn prober(&self, check: Check, tls: MysqlTls) -> AnyProber {
        self.asking(check, tls, ("SELECT 1", MatrixoneSetup::USER), ProbeKind::Matrixone)
    }

    fn asking(
        &self,
        check: Check,
        tls: MysqlTls,
        (query, user): (&str, &str),
        kind: fn(MysqlSpec) -> ProbeKind,
    ) -> AnyProber {
        let password = FileSecret {
            secret: Secret::new(MatrixoneSetup::PASSWORD.into()),
            path: "/etc/privatelinkd/ledger.pw".into(),
            written: Wall(1),
        };
        let login = MysqlLogin { user: user.into(), password: Some(password) };
        let spec = MysqlSpec {
            tls,
            expiry_warning: Duration::ZERO,
            login: Some(login),
            query: query.into(),
            expect: Some("1".into()),
        };
        probers().prober(&deep(self.service.address(), kind(spec)), check)
    }

    fn verify(&self) -> MysqlTls {
        let bundle = TrustBundle { path: "/etc/privatelinkd/ca.pem".into(), certificates: vec![self.pki.ca_der()] };
        let server_name = NAME.parse().unwrap();
        MysqlTls::Verify(TlsSpec { server_name, trust: Trust::File(Arc::new(bundle)), expiry_warning: Duration::ZERO })
    }
}

#[tokio::test]
async fn all_is_well_in_every_mode_of_tls() {
    let rig = Rig::start().await;
    for (tls, sealed) in
        [(MysqlTls::Off, false), (MysqlTls::Preferred, true), (MysqlTls::Required, true), (rig.verify(), true)]
    {
        let path = rig.prober(Check::Path, tls.clone());
        let seen = path.probe(PATIENT).await.unwrap();
        assert_eq!((seen.tls.is_some(), seen.answer.is_some(), seen.login), (sealed, true, None), "{tls:?}");
        assert_eq!(path.certificate().is_some(), sealed, "{tls:?}");
        assert_eq!(path.probe(PATIENT).await.unwrap().tls, None, "only the greeting, {tls:?}");

        let deep = rig.prober(Check::Deep, tls.clone());
        let seen = deep.probe(PATIENT).await.unwrap();
        assert!(seen.login.is_some() && seen.query.is_some() && seen.tls.is_some() == sealed, "{tls:?}: {seen:?}");
        assert_eq!(deep.certificate().map(|c| c.names.clone()), sealed.then(|| vec![NAME.to_owned()]), "{tls:?}");
    }
    let counts = rig.counts().await;
    assert_eq!((counts.clear_passwords, counts.unfinished_handshakes), (0, 0), "{counts:?}");
    assert_eq!((counts.logins, counts.quits), (4, 4), "{counts:?}");
}

#[tokio::test]
async fn every_row_of_the_table_of_logins_has_its_reason_and_the_greeting_sees_none() {
    let rig = Rig::start().await;
    for fault in LoginFault::ALL {
        rig.service.set(Mode::Login(fault)).await.unwrap();
        let expected = match fault {
            LoginFault::NoCn | LoginFault::NoCnServers | LoginFault::OldNoCn | LoginFault::CnNotReady => R::BackendDown,
            LoginFault::CnBusy | LoginFault::TooManyConnections => R::Overloaded,
            LoginFault::NoTenant | LoginFault::NoUser | LoginFault::NoRole | LoginFault::RoleNotGranted => {
                R::Misconfigured
            }
            LoginFault::UserLocked | LoginFault::UserLockedForGood => R::NotAllowed,
            LoginFault::NotInvited | LoginFault::SourceNotAuthorized => R::NotAllowed,
            LoginFault::WrongPassword | LoginFault::AccessErrorTwice | LoginFault::PluginRejected => R::Auth,
            LoginFault::Suspended => R::Suspended,
            LoginFault::PacketTooBig => R::Misconfigured,
        };
        let prober = rig.prober(Check::Deep, MysqlTls::Preferred);
        let failure = prober.probe(PATIENT).await.unwrap_err();
        assert_eq!(failure.reason, expected, "{fault:?}: {failure}");
        assert!(!failure.detail.contains(MatrixoneSetup::PASSWORD), "{failure}");
        // Of what speaks of the secret alone the second probe knows already.
        let failed = rig.counts().await.failed_logins;
        assert_eq!(reason(prober.probe(PATIENT).await), expected, "{fault:?}");
        let tried = rig.counts().await.failed_logins > failed;
        let latched = matches!(
            fault,
            LoginFault::WrongPassword
                | LoginFault::AccessErrorTwice
                | LoginFault::UserLocked
                | LoginFault::UserLockedForGood
        );
        assert_eq!(tried, !latched, "{fault:?}");
        rig.prober(Check::Path, MysqlTls::Off).probe(PATIENT).await.unwrap();
    }
}

#[tokio::test]
async fn every_other_fault_has_its_reason() {
    let rig = Rig::start().await;
    let error = |code, text: &str| SqlError::new(code, "HY000", text);
    // The mode, what the greeting's check says, and what the login's does.
    let table: Vec<(Mode, Option<R>, Option<R>)> = vec![
        (Mode::Refused, Some(R::Refused), Some(R::Refused)),
        (Mode::Silent, Some(R::Timeout), Some(R::Timeout)),
        (Mode::StallGreeting, Some(R::Timeout), Some(R::Timeout)),
        (Mode::Reset, Some(R::Reset), Some(R::Reset)),
        (Mode::HangUp, Some(R::Reset), Some(R::Reset)),
        (Mode::Garbage, Some(R::Protocol), Some(R::Protocol)),
        (Mode::Drip { every_ms: 100 }, Some(R::Timeout), Some(R::Timeout)),
        (Mode::CutGreeting, Some(R::Reset), Some(R::Reset)),
        (Mode::TooManyConnections, Some(R::Overloaded), Some(R::Overloaded)),
        (Mode::FirstPacket(error(1129, "Host '10.0.0.1' is blocked")), Some(R::Blocked), Some(R::Blocked)),
        (Mode::OldProtocol, Some(R::Protocol), Some(R::Protocol)),
        (Mode::Mysql, Some(R::Protocol), Some(R::Protocol)),
        (Mode::OtherPlugin, None, None),
        (Mode::StallLogin, None, Some(R::Timeout)),
        (Mode::HangUpOnLogin, None, Some(R::Reset)),
        (Mode::LoginError(error(9999, "never heard of")), None, Some(R::BackendDown)),
        (Mode::StallQuery, None, Some(R::Timeout)),
        (Mode::HangUpOnQuery, None, Some(R::Reset)),
        (Mode::QueryError(error(20203, "invalid argument cast to int")), None, Some(R::Misconfigured)),
        (Mode::QueryError(error(20605, "tn shard not found")), None, Some(R::Query)),
        (Mode::EmptyResult, None, Some(R::Result)),
        (Mode::OtherValue, None, Some(R::Result)),
        (Mode::AskClearPassword, None, Some(R::Auth)),
        (Mode::AskSha2Password, None, Some(R::Auth)),
        (Mode::LocalInfile, None, Some(R::Protocol)),
    ];
    for (mode, path, deep) in table {
        rig.service.set(mode.clone()).await.unwrap();
        for (check, expected) in [(Check::Path, path), (Check::Deep, deep)] {
            let patience = if expected == Some(R::Timeout) { HASTY } else { PATIENT };
            let outcome = rig.prober(check, MysqlTls::Off).probe(patience).await;
            let found = outcome.as_ref().err().map(|f| f.reason);
            assert_eq!(found, expected, "{mode:?}, {check}: {outcome:?}");
        }
    }
    let counts = rig.service.counts();
    assert_eq!((counts.clear_passwords, counts.file_pieces), (0, 0), "{counts:?}");
}

#[tokio::test]
async fn certificates_are_judged_where_they_are_verified_and_shown_everywhere() {
    let rig = Rig::start().await;
    for (certificate, expected) in [
        (Certificate::Good, None),
        (Certificate::Expired, Some(R::TlsExpired)),
        (Certificate::OtherName, Some(R::TlsName)),
        (Certificate::Untrusted, Some(R::TlsHandshake)),
        (Certificate::SelfSigned, Some(R::TlsHandshake)),
    ] {
        rig.service.set(Mode::Certificate(certificate)).await.unwrap();
        for check in [Check::Path, Check::Deep] {
            let strict = rig.prober(check, rig.verify());
            let outcome = strict.probe(PATIENT).await;
            assert_eq!(outcome.as_ref().err().map(|f| f.reason), expected, "{certificate:?}, {check}: {outcome:?}");
            assert!(strict.certificate().is_some(), "{certificate:?}, {check}");
            let lax = rig.prober(check, MysqlTls::Required);
            lax.probe(PATIENT).await.unwrap();
            assert_eq!(lax.certificate(), strict.certificate(), "{certificate:?}, {check}");
        }
    }
    rig.service.set(Mode::StallTls).await.unwrap();
    assert_eq!(reason(rig.prober(Check::Path, MysqlTls::Required).probe(HASTY).await), R::Timeout);
    assert_eq!(rig.service.counts().clear_passwords, 0);
}

#[tokio::test]
async fn tls_that_is_required_and_not_offered_is_told() {
    let setup = MatrixoneSetup { tls: false, ..MatrixoneSetup::default() };
    let rig = Rig::start().await;
    rig.service.set_up(setup).await.unwrap();
    for check in [Check::Path, Check::Deep] {
        assert_eq!(reason(rig.prober(check, MysqlTls::Required).probe(PATIENT).await), R::TlsHandshake, "{check}");
        rig.prober(check, MysqlTls::Preferred).probe(PATIENT).await.unwrap();
    }
    assert_eq!(rig.service.counts().unfinished_handshakes, 0);
}

/// What a deep check that reads a table finds in a broken cluster, release by release.
#[tokio::test]
async fn a_broken_cluster_is_told_from_a_fault_of_ours() {
    use ClusterFault as F;
    let rig = Rig::start().await;
    for version in [MatrixoneSetup::V2, MatrixoneSetup::V4] {
        let setup = MatrixoneSetup { version: version.to_owned(), backend_limit_ms: 100, ..MatrixoneSetup::default() };
        rig.service.set_up(setup).await.unwrap();
        for fault in F::ALL {
            rig.service.set(Mode::Cluster(fault)).await.unwrap();
            let expected = match fault {
                F::CnKilled | F::ObjectStoreUnreadable | F::DataObjectsUnreadable => R::BackendDown,
                F::RoutingHangs | F::RoutingKilled => R::BackendDown,
                F::CnFrozen | F::TnKilled if version == MatrixoneSetup::V2 => R::BackendDown,
                F::CnFrozen | F::TnKilled | F::TenantFull => R::Overloaded,
                F::TnFrozen => R::Timeout,
                F::RoutingRefuses | F::PasswordExpired => R::Auth,
                F::NoPrivilege => R::NotAllowed,
                F::Restricted => R::Suspended,
            };
            // A restricted account may read.
            let query = if fault == F::Restricted { "begin" } else { "SELECT ok FROM probe.alive" };
            let asked = (query, MatrixoneSetup::USER);
            let prober = rig.asking(Check::Deep, MysqlTls::Off, asked, ProbeKind::Matrixone);
            let patience = if expected == R::Timeout { Duration::from_secs(1) } else { PATIENT };
            let failure = prober.probe(patience).await.unwrap_err();
            assert_eq!(failure.reason, expected, "{version}, {fault:?}: {failure}");
            rig.prober(Check::Path, MysqlTls::Off).probe(PATIENT).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_fault_of_ours_at_a_sound_cluster_moves_no_name() {
    let rig = Rig::start().await;
    for (query, user, expected) in [
        ("SELECT * FROM alive", MatrixoneSetup::USER, R::Misconfigured),
        ("SELECT zz FROM probe.alive", MatrixoneSetup::USER, R::Misconfigured),
        ("SELECT zz()", MatrixoneSetup::USER, R::Misconfigured),
        ("SELECT cast('x' as int)", MatrixoneSetup::USER, R::Misconfigured),
        ("SELECT 1", ":", R::Misconfigured),
        ("SELECT 1", "acc1:", R::Misconfigured),
        ("SELECT 1", "acc1:probe?x:y", R::Misconfigured),
        ("SELECT 1", "probe", R::Misconfigured),
    ] {
        let prober = rig.asking(Check::Deep, MysqlTls::Off, (query, user), ProbeKind::Matrixone);
        assert_eq!(reason(prober.probe(PATIENT).await), expected, "{query} as {user}");
    }
}

/// A decline is a failed login of the provider's own account there: whatever is wrong, nobody sends one.
#[tokio::test]
async fn nobody_declines_at_matrixone() {
    let rig = Rig::start().await;
    let asked = ("SELECT 1", MatrixoneSetup::USER);
    let kinds: [fn(MysqlSpec) -> ProbeKind; 2] = [ProbeKind::Matrixone, ProbeKind::Mysql];
    for (mode, setup, tls) in [
        (Mode::Certificate(Certificate::Expired), MatrixoneSetup::default(), rig.verify()),
        (Mode::Up, MatrixoneSetup { tls: false, ..MatrixoneSetup::default() }, MysqlTls::Required),
    ] {
        rig.service.set_up(setup).await.unwrap();
        rig.service.set(mode.clone()).await.unwrap();
        for kind in kinds {
            rig.asking(Check::Deep, tls.clone(), asked, kind).probe(PATIENT).await.unwrap_err();
        }
    }
    let counts = rig.counts().await;
    assert_eq!((counts.failed_logins, rig.service.last_login()), (0, None), "{counts:?}");
    // Greetings and TLS that are left as load balancers leave them.
    assert_eq!(counts.unfinished_handshakes, 0, "{counts:?}");
    rig.service.set_up(MatrixoneSetup::default()).await.unwrap();
    // What is no MatrixOne is declined as ever.
    rig.service.set(Mode::Mysql).await.unwrap();
    assert_eq!(reason(rig.prober(Check::Deep, MysqlTls::Off).probe(PATIENT).await), R::Protocol);
    assert_eq!(rig.service.last_login().unwrap().user, "privatelinkd-declines");
}

/// A peer that closes TLS as MatrixOne's front end does, answering our goodbye: it must find nobody gone, or it logs an
/// error of its own.
#[tokio::test]
async fn the_look_at_a_certificate_hears_the_goodbye_out() {
    let (acceptor, trust) = tls(NAME);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let greeting = greeting("8.0.30-MatrixOne-v4.2.0", 0x013b_ae8f, "mysql_native_password");
        tcp.write_all(&[&[u8::try_from(greeting.len()).unwrap(), 0, 0, 0], &*greeting].concat()).await.unwrap();
        let mut request = [0; 36];
        tcp.read_exact(&mut request).await.unwrap();
        let mut stream = acceptor.accept(tcp).await.unwrap();
        let goodbye = stream.read(&mut [0; 64]).await;
        // Long enough for a socket that is closed at once to be gone.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let answered = stream.shutdown().await;
        let (mut tcp, _) = stream.into_inner();
        tokio::time::sleep(Duration::from_millis(20)).await;
        let end = tcp.read(&mut [0; 64]).await;
        (goodbye.ok(), answered.is_ok(), end.map_err(|error| error.kind()))
    });
    let verified = TlsSpec { server_name: NAME.parse().unwrap(), trust, expiry_warning: Duration::ZERO };
    let spec = MysqlSpec {
        tls: MysqlTls::Verify(verified),
        expiry_warning: Duration::ZERO,
        login: None,
        query: "SELECT 1".into(),
        expect: None,
    };
    let prober = probers().prober(&deep(address, ProbeKind::Matrixone(spec)), Check::Path);
    let seen = prober.probe(PATIENT).await.unwrap();
    assert!(seen.tls.is_some() && seen.total < Duration::from_secs(1), "{seen:?}");
    assert_eq!(server.await.unwrap(), (Some(0), true, Ok(0)));
}
