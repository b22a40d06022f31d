//! B15 in the config itself: a secret behind any key, in any place of a value where people write one, comes out of
//! nothing that is made of the config. The keys are those of the table, so that none is forgotten.

use std::fs;

use privatelinkd::config::keys::{self, KEYS, Key};
use privatelinkd::config::last_good;
use privatelinkd::config::{CredentialsConfig, from_texts};
use privatelinkd::model::{Identity, Wall};

use crate::config_files::{ENDPOINT, environment};

const CANARY: &str = "Yk3xQn7Wd1Rm";

/// The texts with a secret in them that people write for a value of this kind.
fn texts(key: &Key) -> Vec<String> {
    let mut texts = vec![
        format!("https://root:{CANARY}@a.example.com:6001/x?token={CANARY}"),
        format!("root:{CANARY}@tcp(a.example.com)/db"),
        format!("jdbc:mysql://a.example.com/db?user=root&password={CANARY}"),
        format!("password={CANARY}"),
        format!("authorization: Bearer {CANARY}"),
    ];
    texts.extend(match key.kind {
        "a request path" | "a URL" => vec![format!("/rest/sql?{CANARY}"), format!("http://127.0.0.1/?x={CANARY}")],
        "a string" | "an external id" | "a policy in JSON" | "an AccessKey id" => vec![CANARY.to_owned()],
        "a statement" => {
            vec![format!("select '{CANARY}'"), format!("select a from b where c = \"{CANARY}\" -- {CANARY}")]
        }
        _ => Vec::new(),
    });
    let takes_a_secret =
        ["access_key_secret_file", "security_token_file", "password_file", "token_file", "oidc_token_file"];
    if takes_a_secret.iter().any(|name| key.path.ends_with(&format!(".{name}"))) {
        texts.push(CANARY.to_owned());
    }
    texts
}

/// Which kind of probe, or which provider, takes a key.
fn owner(owners: &[keys::Owner], name: &str, other: &'static str) -> &'static str {
    owners.iter().find(|(_, keys)| keys.contains(&name)).map_or(other, |(owner, _)| owner)
}

/// A config with `line`, which says something of a key, where it belongs.
fn config(key: &Key, line: &str) -> String {
    let (table, name) = key.path.rsplit_once('.').unwrap();
    // What is there twice would say nothing of its value.
    let beside = |text: &str, of: &str| if name == of { String::new() } else { text.to_owned() };
    let endpoint: String =
        ENDPOINT.lines().filter(|l| table != "endpoint" || !l.starts_with(name)).collect::<Vec<_>>().join("\n");
    match table {
        "endpoint" => format!("{endpoint}\n{line}\n"),
        "endpoint.zone" => format!("{endpoint}\n[[endpoint.zone]]\n{}\n{line}\n", beside("id = \"h\"", "id")),
        "endpoint.probe" => {
            let kind = beside(&format!("kind = \"{}\"", owner(&keys::probe_kinds(), name, "tcp")), "kind");
            format!("{endpoint}\n[endpoint.probe]\n{kind}\n{line}\n")
        }
        "endpoint.steering" => format!("{endpoint}\n[endpoint.steering]\n{line}\n"),
        "cloud.credentials" => {
            let provider = beside(&format!("provider = \"{}\"", owner(&keys::providers(), name, "auto")), "provider");
            format!("{ENDPOINT}[cloud.credentials]\n{provider}\n{line}\n")
        }
        _ => format!("{ENDPOINT}[{table}]\n{line}\n"),
    }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Everything that is made of a config for people and for other files.
fn said(text: &str) -> String {
    match from_texts(&[("config.toml", text)], &environment()) {
        Ok(loaded) => {
            let state = tempfile::tempdir().unwrap();
            last_good::keep(state.path(), loaded.kept, Identity::default(), Wall(1)).unwrap();
            let kept = fs::read_to_string(state.path().join("config.json")).unwrap();
            let json = serde_json::to_string(&(&loaded.effective, &loaded.warnings)).unwrap();
            let warnings: String = loaded.warnings.iter().map(ToString::to_string).collect();
            format!("{warnings}{}{json}{kept}", loaded.effective)
        }
        Err(complaints) => format!("{complaints}{}", serde_json::to_string(&complaints).unwrap()),
    }
}

#[test]
fn no_secret_comes_out_of_a_config_whatever_key_it_stands_behind() {
    for key in KEYS {
        let name = key.path.rsplit('.').next().unwrap();
        for text in texts(key) {
            let value = quoted(&text);
            let lines = [
                format!("{name} = {value}"),
                format!("{name} = [{value}]"),
                format!("{name} = {{ a = {value}, b = [{value}] }}"),
                format!("{name} = {{ {value} = 1 }}"),
                format!("{name} = {value}\n{name} = {value}"),
                // A slip of the finger in the name, and in the signs.
                format!("{}{name} = {value}", &name[..1]),
                format!("{name} = {value} x"),
                format!("{name} == {value}"),
                format!("{name} = {}", value.trim_end_matches('"')),
                format!("{name}: {value}"),
                format!("x = {{ y = 1, {name}: {value} }}"),
            ];
            for line in lines {
                let text = config(key, &line);
                let said = said(&text);
                assert!(!said.contains(CANARY), "{text}\n{said}");
                // Another complaint on the line before.
                let text = config(key, &format!("colour = 1\n{line}\nshade = 1"));
                assert!(!self::said(&text).contains(CANARY), "{text}");
            }
        }
    }
}

#[test]
fn what_nothing_secret_can_be_in_is_shown() {
    let shown = said(&format!(
        "{ENDPOINT}probe = {{ kind = \"https\", path = \"/x?tz=UTC&n=1000\", body = \"\", \
         expect_body = \"^(ok|UP)?$\", colour = 1 }}\n[cloud.credentials]\nprovider = \"uri\"\n\
         url = \"http://127.0.0.1:8080/credentials\"\nshade = [\"a.example.com\"]\n"
    ));
    for line in
        ["/x?tz=UTC&n=1000\", body = \"\", expect_body = \"^(ok|UP)?$\", colour = 1 }", "shade = [\"a.example.com\"]"]
    {
        assert!(shown.contains(line) && !shown.contains("[secret]"), "{shown}");
    }
    let effective = from_texts(
        &[("config.toml", &format!("{ENDPOINT}probe = {{ kind = \"https\", path = \"/x?token={CANARY}&n=1\" }}"))],
        &environment(),
    );
    let effective = effective.unwrap().effective.to_string();
    assert!(effective.contains("path = \"/x?token=[secret]\""), "{effective}");
}

/// What a config that was kept has to do without, and the config.
fn recalled(text: &str) -> (Vec<String>, privatelinkd::config::Config) {
    let loaded = from_texts(&[("config.toml", text)], &environment()).unwrap_or_else(|c| panic!("{c}"));
    let state = tempfile::tempdir().unwrap();
    last_good::keep(state.path(), loaded.kept, Identity::default(), Wall(1)).unwrap();
    let kept = fs::read_to_string(state.path().join("config.json")).unwrap();
    assert!(!kept.contains(CANARY), "{kept}");
    let recalled = last_good::recall(state.path(), &environment(), &Identity::default());
    let recalled = recalled.unwrap().unwrap();
    (recalled.without, recalled.loaded.config)
}

#[test]
fn what_may_be_secret_is_not_kept_and_what_needs_it_is_done_without() {
    let because = "because what stands in the config itself and may be secret is not kept";
    for probe in [
        format!("path = \"/x?token={CANARY}\""),
        format!("method = \"POST\", body = \"{CANARY}\""),
        format!("expect_body = \"token={CANARY}\""),
        format!("headers = {{ x = \"{CANARY}\" }}"),
    ] {
        let (without, config) = recalled(&format!("{ENDPOINT}probe = {{ kind = \"https\", {probe} }}\n"));
        assert_eq!(without, [format!("endpoint a: no probe, {because}")], "{probe}");
        assert!(config.endpoints.values().all(|endpoint| endpoint.probe.is_none()));
        assert_eq!(config.cloud.credentials, CredentialsConfig::Auto);
    }
    let url = format!("[cloud.credentials]\nprovider = \"uri\"\nurl = \"http://127.0.0.1/x?token={CANARY}\"\n");
    let (without, config) = recalled(&format!("{ENDPOINT}probe = {{ kind = \"https\" }}\n{url}"));
    assert_eq!(without, [format!("the cloud's API: no credentials, {because}")]);
    assert_eq!(config.cloud.credentials, CredentialsConfig::Lost);
    assert!(config.endpoints.values().all(|endpoint| endpoint.probe.is_some()));
}
