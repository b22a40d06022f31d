//! What `[endpoint.probe]` comes to: kinds, secrets, deep checks, and what is warned of.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use privatelinkd::config::{Loaded, from_texts};
use privatelinkd::model::{Check, Depth, FileSecret, MysqlTls, ProbeKind, ProbeSpec, TdengineLogin, Trust, Wall};

use crate::config_files::{ENDPOINT, authority, folder, with_owner};

/// A folder with the secrets that the configs below name, as `DIR`.
fn load(config: &str) -> Loaded {
    let dir = folder(&[("pw", "hunter2\n"), ("token", "tok-en 3\n"), ("ca.pem", &authority())]);
    for file in ["pw", "token"] {
        fs::set_permissions(dir.path().join(file), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let text = config.replace("DIR", &dir.path().display().to_string());
    from_texts(&[("config.toml", &text)], &with_owner()).unwrap_or_else(|c| panic!("{c}"))
}

fn probe_with(host: &str, probe: &str) -> Arc<ProbeSpec> {
    let loaded = load(&format!("{host}{ENDPOINT}probe = {{ {probe} }}\n"));
    assert_eq!(loaded.warnings, []);
    loaded.config.endpoints.into_values().next().unwrap().probe.unwrap()
}

fn probe(probe: &str) -> Arc<ProbeSpec> {
    probe_with("", probe)
}

fn is_hunter(secret: &FileSecret) -> bool {
    secret.secret.expose() == "hunter2" && secret.path.ends_with("pw") && secret.written > Wall(1_700_000_000_000)
}

#[test]
fn matrixone_needs_no_secret_and_looks_deep_with_one() {
    let plain = probe("kind = \"matrixone\"");
    assert_eq!((plain.port, plain.deep), (6001, None));
    assert_eq!(plain.checks().map(|(check, _)| check).collect::<Vec<_>>(), [Check::Path]);
    let ProbeKind::Matrixone(spec) = &plain.kind else { panic!("another kind") };
    assert_eq!((&spec.tls, &spec.login), (&MysqlTls::Preferred, &None));

    let deep =
        probe("kind = \"matrixone\", user = \"acct:probe:readonly\", password_file = \"DIR/pw\", expect = \"1\"");
    let ProbeKind::Matrixone(spec) = &deep.kind else { panic!("another kind") };
    let login = spec.login.as_ref().unwrap();
    assert!(login.user == "acct:probe:readonly" && is_hunter(login.password.as_ref().unwrap()));
    assert_eq!((spec.query.as_str(), spec.expect.as_deref()), ("SELECT 1", Some("1")));
    let schedule = deep.deep.unwrap().schedule;
    assert_eq!(deep.deep.unwrap().depth, Depth::Query);
    assert_eq!((schedule.interval, schedule.timeout), (Duration::from_secs(300), Duration::from_secs(15)));
    assert_eq!((schedule.rise, schedule.fall), (3, 3));
}

#[test]
fn a_fleet_stretches_the_deep_check_alone() {
    let fleet = "[host]\nfleet_size = 50000\n";
    let spec = probe_with(fleet, "kind = \"mysql\", user = \"probe\", password_file = \"DIR/pw\", depth = \"login\"");
    assert_eq!(spec.deep.unwrap().depth, Depth::Login);
    assert_eq!(spec.deep.unwrap().schedule.interval, Duration::from_secs(5_000));
    assert_eq!(spec.path.interval, Duration::from_secs(5));
}

#[test]
fn mysql_may_have_no_password_and_then_looks_no_deeper() {
    let spec = probe("kind = \"mysql\", user = \"probe\", tls = \"off\"");
    assert_eq!((spec.port, spec.deep), (3306, None));
    assert_eq!(spec.kind.expiry_warning(), None);
    let ProbeKind::Mysql(mysql) = &spec.kind else { panic!("another kind") };
    assert_eq!((&mysql.tls, &mysql.login.as_ref().unwrap().password), (&MysqlTls::Off, &None));
    let asked = probe("kind = \"mysql\", user = \"probe\", depth = \"query\", query = \"SELECT 2\"");
    assert_eq!(asked.deep.unwrap().depth, Depth::Query);
}

#[test]
fn a_verified_session_has_a_name_and_roots() {
    let spec = probe("kind = \"matrixone\", tls = \"verify\", ca_file = \"DIR/ca.pem\", expiry_warning = \"30d\"");
    let ProbeKind::Matrixone(matrixone) = &spec.kind else { panic!("another kind") };
    let MysqlTls::Verify(tls) = &matrixone.tls else { panic!("another mode") };
    assert_eq!(tls.server_name.as_str(), "db.example.com");
    assert!(matches!(tls.trust, Trust::File(_)));
    assert_eq!(spec.kind.expiry_warning(), Some(Duration::from_secs(30 * 24 * 3600)));
}

#[test]
fn an_authority_alone_may_be_verified() {
    let spec = probe("kind = \"mysql\", user = \"probe\", tls = \"verify_ca\", ca_file = \"DIR/ca.pem\"");
    let ProbeKind::Mysql(mysql) = &spec.kind else { panic!("another kind") };
    assert!(matches!(&mysql.tls, MysqlTls::VerifyCa(bundle) if bundle.certificates.len() == 1));
    assert_eq!(spec.kind.expiry_warning(), Some(Duration::from_secs(14 * 24 * 3600)));
}

#[test]
fn tdengine_takes_a_token_or_a_password() {
    let ProbeKind::Tdengine(spec) = &probe("kind = \"tdengine\"").kind else { panic!("another kind") };
    assert_eq!((spec.path.as_str(), spec.sql.as_str(), &spec.login), ("/rest/sql", "show databases", &None));

    let by_token = probe("kind = \"tdengine\", token_file = \"DIR/token\"");
    assert_eq!(by_token.deep.unwrap().schedule.interval, Duration::from_secs(60));
    let ProbeKind::Tdengine(spec) = &by_token.kind else { panic!("another kind") };
    assert!(matches!(&spec.login, Some(TdengineLogin::Token(token)) if token.secret.expose() == "tok-en 3"));

    let basic = probe("kind = \"tdengine\", user = \"probe\", password_file = \"DIR/pw\", depth = \"none\"");
    assert_eq!(basic.deep, None);
    let ProbeKind::Tdengine(spec) = &basic.kind else { panic!("another kind") };
    assert!(
        matches!(&spec.login, Some(TdengineLogin::Basic { user, password }) if user == "probe" && is_hunter(password))
    );
}

#[test]
fn https_has_a_body_and_a_pattern() {
    let spec = probe("kind = \"https\", method = \"POST\", body = \"a\", expect_body = \"^o.k\"");
    let ProbeKind::Https(https) = &spec.kind else { panic!("another kind") };
    assert_eq!((https.body.as_str(), https.expect_body.as_deref()), ("a", Some("^o.k")));
}

#[test]
fn an_admin_and_a_shared_secret_are_warned_of() {
    let second = ENDPOINT.replace("\"a\"", "\"b\"").replace("10.0.0.1", "10.0.0.2").replace("db.", "db2.");
    let of =
        |user: &str| format!("probe = {{ kind = \"matrixone\", user = \"{user}\", password_file = \"DIR/pw\" }}\n");
    let config = format!("{ENDPOINT}{}{second}{}", of("acct:admin:accountadmin"), of("acct:probe:readonly"));
    let loaded = load(&config);
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[0].contains("a user without an admin's rights, found \"acct:admin:accountadmin\""),
        "{warnings:?}"
    );
    assert!(warnings[1].contains("a secret of its own, not that of endpoint \"a\""), "{warnings:?}");
    assert!(!format!("{warnings:?} {:?} {}", loaded.config, loaded.effective).contains("hunter2"));
}

#[test]
fn a_second_choice_without_a_login_beside_a_first_one_with_it_is_warned_of() {
    let second = ENDPOINT.replace("\"a\"", "\"b\"").replace("10.0.0.1", "10.0.0.2");
    let warnings = |first: &str, then: &str| {
        let login = "probe = { kind = \"matrixone\", user = \"acct:probe\", password_file = \"DIR/pw\" }\n";
        let [first, then] =
            [first, then].map(|probe| if probe == "login" { login } else { "probe = { kind = \"matrixone\" }\n" });
        let config = format!("{ENDPOINT}{first}{second}priority = 1\n{then}");
        load(&config).warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    for (first, then) in [("login", "login"), ("greeting", "greeting"), ("greeting", "login")] {
        assert_eq!(warnings(first, then), Vec::<String>::new(), "{first}, {then}");
    }
    let [warning] = &*warnings("login", "greeting") else { panic!("one is expected") };
    assert!(warning.contains("a login, as that of endpoint \"a\", which comes first for the same name"), "{warning}");
}

#[test]
fn a_user_of_no_account_of_matrixone_is_warned_of() {
    let warnings = |user: &str| {
        let probe = format!("probe = {{ kind = \"matrixone\", user = \"{user}\", password_file = \"DIR/pw\" }}\n");
        load(&format!("{ENDPOINT}{probe}")).warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    for user in ["acct:probe", "acct#probe#readonly", "acct%3Aprobe", "acct:probe?cn=a,zone=b", "sys:probe"] {
        assert_eq!(warnings(user), Vec::<String>::new(), "{user}");
    }
    let [warning] = &*warnings("probe") else { panic!("one is expected") };
    assert!(warning.contains("expected account:user or account:user:role, found \"probe\""), "{warning}");
    assert!(warning.contains("its provider's own account"), "{warning}");
}
