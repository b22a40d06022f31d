//! Secrets that systemd gives the service (`credential:NAME`, `LoadCredential=`): read where it puts them, and judged
//! from outside of the service for what can be seen there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use privatelinkd::config::{Config, CredentialFolder, Environment, Loaded, Severity, from_texts};

use crate::config_files::{ENDPOINT, environment};

fn with(credentials: CredentialFolder) -> Environment {
    Environment { credentials, ..environment() }
}

fn config(value: &str) -> String {
    format!("{ENDPOINT}probe = {{ kind = \"tdengine\", token_file = \"{value}\" }}\n")
}

fn judge(value: &str, credentials: CredentialFolder) -> Result<Loaded, String> {
    from_texts(&[("config.toml", &config(value))], &with(credentials)).map_err(|complaints| complaints.to_string())
}

/// As systemd does it, whose folder is closed and whose files may be the service user's or have an ACL.
fn give(folder: &Path, name: &str, secret: &str) {
    let path = folder.join(name);
    let _ = fs::remove_file(&path);
    fs::write(&path, secret).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
}

fn secret(config: &Config) -> String {
    let probe = config.endpoints.values().next().unwrap().probe.clone().unwrap();
    probe.kind.secret().unwrap().secret.expose().to_owned()
}

#[test]
fn a_credential_is_read_from_the_services_own_folder_and_anew_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    give(folder.path(), "orders-token", "hunter2\n");
    let own = CredentialFolder::Own(folder.path().to_owned());
    let mut loaded = judge("credential:orders-token", own.clone()).unwrap();
    assert_eq!(secret(&loaded.config), "hunter2");
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    assert_eq!(loaded.sources.secrets().collect::<Vec<_>>(), [folder.path().join("orders-token")]);
    let shown = loaded.effective.to_string();
    assert!(shown.contains("credential:orders-token") && !shown.contains("hunter2"), "{shown}");

    give(folder.path(), "orders-token", "another");
    assert!(loaded.sources.changed_on_disk());
    let renewed = loaded.texts.renewed(&loaded.config, &with(own)).unwrap();
    loaded.sources.renewed(&renewed);
    assert_eq!(secret(&renewed.config), "another");
    assert!(!loaded.sources.changed_on_disk());
}

#[test]
fn the_service_refuses_what_systemd_did_not_give_it() {
    let folder = tempfile::tempdir().unwrap();
    give(folder.path(), "empty", " \n");
    let own = || CredentialFolder::Own(folder.path().to_owned());
    let drop_in = "a drop-in of privatelinkd.service has `LoadCredential=";
    let restart = "it comes with a start of the service: first `systemctl restart privatelinkd`";
    for (value, credentials, expected) in [
        ("credential:token", CredentialFolder::None, "found none: $CREDENTIALS_DIRECTORY is not set"),
        ("credential:token", own(), "expected a readable file, found no such file"),
        ("credential:empty", own(), "expected one line of printable ASCII in the credential, found nothing"),
    ] {
        let said = judge(value, credentials).unwrap_err();
        assert!(said.contains(expected) && said.contains(drop_in) && said.contains(restart), "{said}");
    }
}

#[test]
fn a_name_leads_nowhere_else_and_what_is_none_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    give(folder.path(), "token", "hunter2");
    let long = format!("credential:{}", "x".repeat(129));
    let bad = [
        "credential:",
        "credential:.",
        "credential:..",
        "credential:../token",
        "credential:a/b",
        "credential:a b",
        &long,
    ];
    for value in bad {
        for credentials in [CredentialFolder::Own(inner.clone()), CredentialFolder::OfTheService(Some(inner.clone()))] {
            let said = judge(value, credentials).unwrap_err();
            assert!(said.contains("expected `credential:NAME`, the name 1 to 128 letters"), "{said}");
            assert!(said.contains("found [secret]") && !said.contains(&format!("\"{value}\"")), "{said}");
        }
    }
}

#[test]
fn who_judges_from_outside_is_told_what_cannot_be_seen_and_refuses_nothing_for_it() {
    let folder = tempfile::tempdir().unwrap();
    give(folder.path(), "there", "hunter2");
    let running = || CredentialFolder::OfTheService(Some(folder.path().to_owned()));
    assert!(judge("credential:there", running()).unwrap().warnings.is_empty());
    for (credentials, found) in [
        (running(), "found nothing that can be read in"),
        (CredentialFolder::OfTheService(None), "found no credentials: the service does not run, or has none"),
    ] {
        let loaded = judge("credential:token", credentials).unwrap();
        let [warning] = &loaded.warnings[..] else { panic!("{:?}", loaded.warnings) };
        let said = warning.to_string();
        assert_eq!(warning.severity, Severity::Warning);
        assert!(said.contains("endpoint.probe.token_file: expected a credential that can be looked at"), "{said}");
        assert!(said.contains(found) && said.contains("config.toml:5:"), "{said}");
        assert!(said.contains("`LoadCredential=token:/path`") && said.contains("systemd 247"), "{said}");
    }
    // What can be seen is judged.
    give(folder.path(), "there", "");
    assert!(judge("credential:there", running()).unwrap_err().contains("found nothing in"));
}

#[test]
fn every_key_for_a_secret_takes_a_credential() {
    let folder = tempfile::tempdir().unwrap();
    give(folder.path(), "a", "hunter2");
    let own = with(CredentialFolder::Own(folder.path().to_owned()));
    let of_cloud = |keys: &str| format!("{ENDPOINT}[cloud.credentials]\n{keys}\n");
    let probe = |probe: &str| format!("{ENDPOINT}probe = {{ {probe} }}\n");
    for text in [
        of_cloud(
            "provider = \"access_key\"\naccess_key_id = \"AK\"\naccess_key_secret_file = \"credential:a\"\n\
             security_token_file = \"credential:a\"",
        ),
        of_cloud(
            "provider = \"oidc_role\"\noidc_token_file = \"credential:a\"\n\
             oidc_provider_arn = \"acs:ram::1:oidc-provider/p\"\nrole_arn = \"acs:ram::1:role/r\"",
        ),
        probe("kind = \"mysql\", user = \"probe\", password_file = \"credential:a\""),
        probe("kind = \"tdengine\", user = \"probe\", password_file = \"credential:a\""),
        probe("kind = \"https\", headers = { authorization = { file = \"credential:a\" } }"),
    ] {
        let loaded = from_texts(&[("config.toml", &text)], &own).unwrap_or_else(|c| panic!("{text}{c}"));
        let shown = format!("{:?} {}", loaded.config, loaded.effective);
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
