//! The MatrixOne probers against the stand-in, which MatrixOne's own clients vouch for: every fault of its tables.

use std::sync::Arc;
use std::time::Duration;

use privatelink_sim::{
    Certificate, Identity, LoginFault, MatrixoneCounts, MatrixoneMode as Mode, MatrixoneService, MatrixoneSetup, Pki,
    SqlError, free_address,
};
use privatelinkd::model::{
    Check, FailureReason as R, FileSecret, MysqlLogin, MysqlSpec, MysqlTls, ProbeKind, Secret, TlsSpec, Trust,
    TrustBundle, Wall,
};
use privatelinkd::probe::{AnyProber, Prober};

use crate::probe_mysql::deep;
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
        let password = FileSecret {
            secret: Secret::new(MatrixoneSetup::PASSWORD.into()),
            path: "/etc/privatelinkd/ledger.pw".into(),
            written: Wall(1),
        };
        let login = MysqlLogin { user: MatrixoneSetup::USER.into(), password: Some(password) };
        let spec = MysqlSpec {
            tls,
            expiry_warning: Duration::ZERO,
            login: Some(login),
            query: "SELECT 1".into(),
            expect: Some("1".into()),
        };
        probers().prober(&deep(self.service.address(), ProbeKind::Matrixone(spec)), check)
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
        // Of a wrong password alone the second probe knows already.
        let failed = rig.counts().await.failed_logins;
        assert_eq!(reason(prober.probe(PATIENT).await), expected, "{fault:?}");
        let tried = rig.counts().await.failed_logins > failed;
        let wrong = matches!(fault, LoginFault::WrongPassword | LoginFault::AccessErrorTwice);
        assert_eq!(tried, !wrong, "{fault:?}");
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
        (Mode::QueryError(error(20203, "invalid input")), None, Some(R::Query)),
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
