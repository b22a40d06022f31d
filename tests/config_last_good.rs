//! The configuration that was accepted last, kept and recalled.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use privatelinkd::config::last_good::{self, LastGoodConfig};
use privatelinkd::config::{Complaint, Config, CredentialsConfig, Environment, Loaded, Severity, from_texts, load};
use privatelinkd::model::{Identity, Wall};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

use crate::config_files::{
    ENDPOINT, authority, documented_configs, environment, folder, root, sample_switched_on, with_owner, with_secrets,
};
use crate::config_fuzz::run;
use crate::support::damaged;

const SAVED: Wall = Wall(1_700_000_000_123);

/// Some machine.
fn here() -> Identity {
    Identity { machine_id: Some("here".to_owned()), ..Identity::default() }
}

fn keep(state_dir: &Path, loaded: &Loaded) -> std::io::Result<()> {
    last_good::keep(state_dir, loaded.kept.clone(), here(), SAVED)
}

fn recall(state_dir: &Path) -> LastGoodConfig {
    last_good::recall(state_dir, &with_owner(), &here()).unwrap().expect("nothing was kept")
}

/// Keeps it, recalls it, and holds the one against the other.
fn comes_back(loaded: &Loaded) {
    let state = tempfile::tempdir().unwrap();
    keep(state.path(), loaded).unwrap();
    let LastGoodConfig { loaded: recalled, path, saved, without } = recall(state.path());
    assert_eq!(path, state.path().join("config.json"));
    assert_eq!(without, Vec::<String>::new());
    assert_eq!(saved, SAVED);
    assert_eq!(recalled.config, loaded.config);
    assert_eq!(recalled.warnings.len(), loaded.warnings.len());
    assert_eq!(recalled.sources.paths().count(), 0);
    assert!(!recalled.sources.changed_on_disk());
    // What was recalled can be kept again.
    let before = fs::read(state.path().join("config.json")).unwrap();
    keep(state.path(), &recalled).unwrap();
    assert_eq!(fs::read(state.path().join("config.json")).unwrap(), before);
}

#[test]
fn every_shipped_and_documented_config_comes_back() {
    let dir = folder(&[("ca.pem", &authority())]);
    let ca = dir.path().join("ca.pem").display().to_string();
    let mut texts = documented_configs();
    // A literal header value is not kept, and that has a test of its own.
    let sample = sample_switched_on().replace("/etc/privatelinkd/ca.pem", &ca);
    texts.push(sample.lines().filter(|line| !line.starts_with("headers = ")).collect::<Vec<_>>().join("\n"));
    texts.push(String::new());
    for entry in fs::read_dir(root().join("config/examples")).unwrap() {
        texts.push(fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    for text in texts {
        let (_folder, text) = with_secrets(&text);
        comes_back(&from_texts(&[("config.toml", &text)], &with_owner()).unwrap_or_else(|c| panic!("{c}")));
    }
}

#[test]
fn credentials_that_are_gone_cost_the_api_and_nothing_else() {
    let dir = folder(&[("secret", "hunter2")]);
    let secret = dir.path().join("secret");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let text = format!(
        "{ENDPOINT}[cloud.credentials]\nprovider = \"access_key\"\naccess_key_id = \"LTAI\"\n\
         access_key_secret_file = \"{}\"\n",
        secret.display()
    );
    let loaded = from_texts(&[("config.toml", &text)], &with_owner()).unwrap_or_else(|c| panic!("{c}"));
    comes_back(&loaded);
    let state = tempfile::tempdir().unwrap();
    keep(state.path(), &loaded).unwrap();
    assert!(!fs::read_to_string(state.path().join("config.json")).unwrap().contains("hunter2"));
    fs::remove_file(&secret).unwrap();
    let LastGoodConfig { loaded: recalled, without, .. } = recall(state.path());
    assert_eq!(recalled.config.cloud.credentials, CredentialsConfig::Lost);
    assert_eq!(recalled.config.endpoints, loaded.config.endpoints);
    let expected = "the cloud's API: no credentials, because of cloud.credentials.access_key_secret_file: expected a \
                    readable file, found no such file: ";
    let [why] = without.as_slice() else { panic!("{without:?}") };
    assert!(why.starts_with(expected), "{why}");
}

/// An endpoint with a few of the things that one can have. `files` is where the secrets and certificates are.
fn endpoint(number: usize, files: String) -> impl Strategy<Value = String> {
    // The first is always there: it may be pinned.
    let zones = subsequence(vec![(2, "i"), (3, "j-k")], 0..=2);
    let https = (
        subsequence(vec!["x-a", "Authorization", "z", "b!", "ETag"], 0..=5).prop_shuffle(),
        any::<[bool; 4]>(),
        select(&["GET", "HEAD"][..]),
    );
    let tail = (option::of(-9..9_i32), any::<[bool; 5]>(), select(&["5s", "1m", "50ms"][..]));
    (zones, option::of(https), tail).prop_map(move |(zones, https, (priority, [v6, dns, pin, off, over], every))| {
        let mut text = format!("[[endpoint]]\nname = \"e{number}\"\n");
        let address = |i: usize| if v6 { format!("\"fd00::{number}:{i}\"") } else { format!("\"10.{number}.0.{i}\"") };
        let all = [(1, "h")].into_iter().chain(zones).map(|(i, z)| format!("\"{z}\" = [{}]", address(i)));
        let all: Vec<_> = all.collect();
        text += &format!("addresses = {{ {} }}\ndomain = \"ep-{number}.example.com\"\n", all.join(", "));
        text += &format!("publish_domain = {dns}\nenabled = {}\n", !off);
        text += &format!("private_dns = [\"E{number}.example.com\", \"z{number}.example.com\"]\n");
        text.extend(priority.map(|p| format!("priority = {p}\n")));
        if over {
            text += "steering.answers = \"one\"\n";
        }
        match https {
            None => {
                text += &format!(
                    "probe = {{ kind = \"tcp\", port = 5432, interval = \"{every}\", fast_interval = \"50ms\" }}\n"
                );
            }
            Some((headers, [ca, name, status, path], method)) => {
                text += &format!("[endpoint.probe]\nkind = \"https\"\nmethod = \"{method}\"\nrise = 2\n");
                text += if ca { "ca_file = \"FILES/ca.pem\"\n" } else { "" };
                text += if name { "server_name = \"other.example.com\"\n" } else { "" };
                text += if status { "expect_status = [204, 200]\n" } else { "" };
                text += if path { "path = \"/a\\\"b\\\\c?d='e'\"\n" } else { "" };
                for header in headers {
                    text += &format!("headers.\"{header}\" = {{ file = \"FILES/{}\" }}\n", header.len());
                }
            }
        }
        if pin {
            text += &format!("[[endpoint.zone]]\nid = \"h\"\nprivate_dns = [\"h.e{number}.example.com\"]\n");
        }
        text.replace("FILES", &files)
    })
}

fn general() -> impl Strategy<Value = String> {
    let lines = [
        "host.zone = \"cn-hangzhou-h\"",
        "host.state_dir = \"/srv/with \\\"quotes\\\" and ü\"",
        "host.run_dir = \"/srv/run\"",
        "steering.prefer = \"local_zone\"",
        "hosts.publish = false",
        "hosts.families = [\"ipv6\", \"ipv4\"]",
        "hosts.removal_grace = \"1h 5s\"",
        "hosts.allowed_ranges = [\"10.0.0.0/9\", \"fd00::/8\", \"10.0.0.0/8\"]",
        "metrics.listen = \"\"",
        "metrics.expose = [\"status\", \"b.example.com\", \"a.example.com\"]",
        "log.level = \"trace\"",
        "log.format = \"json\"",
        "log.target = \"stderr\"",
        "cloud.credentials = { provider = \"ecs_role\", role_name = \"Reader\" }",
        "cloud.refresh_interval = \"20m\"",
    ];
    subsequence(lines.to_vec(), 0..=lines.len()).prop_shuffle().prop_map(|lines| lines.join("\n") + "\n")
}

/// A folder with what the endpoints name.
fn named_files() -> tempfile::TempDir {
    let dir = folder(&[("ca.pem", &authority())]);
    for (name, text) in ["1", "2", "3", "4", "13"].iter().map(|n| (n, format!("hunter2 {n}"))) {
        fs::write(dir.path().join(name), text).unwrap();
        fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    dir
}

#[test]
fn whatever_holds_comes_back_as_it_was() {
    let dir = named_files();
    let files = dir.path().display().to_string();
    let endpoints = || (0..3_usize).map(|n| endpoint(n, files.clone())).collect::<Vec<_>>();
    // The drop-in says some of it again, and otherwise.
    let strategy = ((general(), endpoints()), (general(), endpoints()), any::<Index>());
    let accepted = std::cell::Cell::new(0);
    run(20, &strategy, |((main, endpoints), (over, others), how_many)| {
        let (main, over) = (main + &endpoints.concat(), over + &others[how_many.index(3)..].concat());
        let texts = [("config.toml", main.as_str()), ("conf.d/1.toml", over.as_str())];
        // A drop-in's addresses may be of a family that the other file switched off, and the like.
        if let Ok(loaded) = from_texts(&texts, &with_owner()) {
            accepted.set(accepted.get() + 1);
            comes_back(&loaded);
        }
    });
    assert!(accepted.get() > 10, "only {} configs held", accepted.get());
}

fn json(state: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(state.join("config.json")).unwrap()).unwrap()
}

/// Two endpoints that share a name, and so must agree on the probe's kind; `headers` are the second one's.
fn two(headers: &str) -> String {
    let second = ENDPOINT.replace("\"a\"", "\"b\"").replace("10.0.0.1", "10.0.0.2");
    format!(
        "{ENDPOINT}probe = {{ kind = \"https\" }}\n{second}probe = {{ kind = \"https\", headers = {{ {headers} }} }}\n"
    )
}

/// The configuration with the probe of `b` left out.
fn without_probe_of_b(mut config: Config) -> Config {
    config.endpoints.get_mut(&"b".parse().unwrap()).unwrap().probe = None;
    config
}

#[test]
fn a_literal_header_is_not_kept_and_costs_one_probe() {
    let state = tempfile::tempdir().unwrap();
    let text = two("authorization = \"hunter2\", x = { file = \"/nonexistent/hunter\" }")
        .replace(", x = { file = \"/nonexistent/hunter\" }", "");
    let loaded = from_texts(&[("config.toml", &text)], &environment()).unwrap();
    keep(state.path(), &loaded).unwrap();
    let path = state.path().join("config.json");
    assert!(!fs::read_to_string(&path).unwrap().contains("hunter2"));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    let file = json(state.path());
    assert_eq!((&file["format"], &file["saved"], &file["left_out"][0]), (&1.into(), &SAVED.0.into(), &"b".into()));

    let recalled = recall(state.path());
    let because = "endpoint b: no probe, because what stands in the config itself and may be secret is not kept";
    assert_eq!(recalled.without, [because]);
    assert_eq!(recalled.loaded.config, without_probe_of_b(loaded.config));
    // It is not forgotten when that is kept in turn.
    keep(state.path(), &recalled.loaded).unwrap();
    assert_eq!(recall(state.path()).without, [because]);
}

#[test]
fn a_file_that_is_gone_or_refused_costs_one_probe() {
    let dir = named_files();
    let at = |name: &str| dir.path().join(name);
    let headers = format!(
        "x = {{ file = \"{}\" }} }}, ca_file = \"{}\", method = \"GET",
        at("1").display(),
        at("ca.pem").display()
    );
    let text = two(&headers).replace("GET } }", "GET\" }");
    let loaded = from_texts(&[("config.toml", &text)], &with_owner()).unwrap_or_else(|c| panic!("{text}\n{c}"));
    let state = tempfile::tempdir().unwrap();
    keep(state.path(), &loaded).unwrap();
    let config = &loaded.config;
    let recalls_without = |expected: &str| {
        let recalled = recall(state.path());
        let [without] = recalled.without.as_slice() else { panic!("{:?}", recalled.without) };
        assert!(without.starts_with("endpoint b: no probe, because of endpoint.probe."), "{without}");
        assert!(without.contains(expected) && !without.contains("hunter2"), "{without}");
        assert_eq!(recalled.loaded.config, without_probe_of_b(config.clone()));
    };
    assert_eq!(recall(state.path()).without, Vec::<String>::new());
    fs::set_permissions(at("1"), fs::Permissions::from_mode(0o644)).unwrap();
    recalls_without("expected a secret file of mode 0640 or less, found mode 0644");
    fs::remove_file(at("1")).unwrap();
    recalls_without("headers: expected a readable file, found no such file");
    fs::write(at("1"), "another hunter2").unwrap();
    fs::set_permissions(at("1"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(recall(state.path()).without, Vec::<String>::new());
    fs::write(at("ca.pem"), "hunter2").unwrap();
    recalls_without("ca_file: expected PEM certificates, found none");
    fs::remove_file(at("ca.pem")).unwrap();
    recalls_without("ca_file: expected a readable file, found no such file");
    // The same is an error in a configuration on disk.
    from_texts(&[("config.toml", &text)], &with_owner()).unwrap_err();
}

#[test]
fn a_switched_off_endpoint_is_not_missed() {
    let state = tempfile::tempdir().unwrap();
    let text = two("x = \"hunter2\"") + "enabled = false\n";
    let loaded = from_texts(&[("config.toml", &text)], &environment()).unwrap();
    keep(state.path(), &loaded).unwrap();
    let recalled = recall(state.path());
    assert_eq!((recalled.without, recalled.loaded.config), (Vec::new(), loaded.config));
}

fn kept() -> (tempfile::TempDir, Loaded) {
    let loaded = from_texts(&[("config.toml", &two("x = \"hunter2\""))], &environment()).unwrap();
    let state = tempfile::tempdir().unwrap();
    keep(state.path(), &loaded).unwrap();
    (state, loaded)
}

fn refused(state: &Path) -> String {
    let error = last_good::recall(state, &environment(), &here()).expect_err("it was taken");
    error.replace(&format!("{}/", state.display()), "")
}

#[test]
fn what_is_no_kept_config_is_refused_by_place() {
    let (state, _) = kept();
    let path = state.path().join("config.json");
    let good = fs::read(&path).unwrap();
    assert!(last_good::recall(&state.path().join("nowhere"), &environment(), &here()).unwrap().is_none());

    let edit = |key: &str, value: serde_json::Value| {
        let mut file: serde_json::Value = serde_json::from_slice(&good).unwrap();
        file[key] = value;
        fs::write(&path, file.to_string()).unwrap();
    };
    let aside = state.path().join("config.json.unusable");
    edit("format", 2.into());
    assert_eq!(refused(state.path()), "config.json: expected format 1, found 2; kept as config.json.unusable");
    assert!(aside.exists() && last_good::recall(state.path(), &environment(), &here()).unwrap().is_none());
    edit("hunter2", "hunter2".into());
    assert!(refused(state.path()).starts_with("config.json: expected JSON of format 1, found something else at 1:"));
    fs::write(&path, "hunter2").unwrap();
    assert_eq!(
        refused(state.path()),
        "config.json: expected JSON of format 1, found something else at 1:1; kept as config.json.unusable"
    );

    // What the rules refuse stays where it is: they may take it again.
    edit("config", "[hunter2]\n[hosts]\npath = \"hunter2\"\n[log]\nlevel = \"hunter2\"\nx y".into());
    // A table that is not known may be a later version's, and is no complaint.
    let expected = "config.json: expected a configuration that holds, found complaints about hosts.path on line 3, \
                    log.level on line 5, a table on line 6";
    assert_eq!(refused(state.path()), expected);
    assert!(path.exists());
    fs::write(&path, &good).unwrap();
    let hostname = Environment { hostname: "db.example.com".parse().ok(), ..environment() };
    let message = last_good::recall(state.path(), &hostname, &here()).unwrap_err();
    assert!(
        message.ends_with("complaints about endpoint.private_dns on line 2, endpoint.private_dns on line 3"),
        "{message}"
    );
}

/// What later rules mind and an agent can run on costs no name its agent.
#[test]
fn slips_that_a_kept_config_is_older_than_are_warnings() {
    const TEXT: &str = r#"
        [host]
        zone = "h"
        [[endpoint]]
        name = "a"
        addresses = { i = "10.0.0.1" }
        private_dns = ["db.example.com", "db.invalid"]
        probe = { kind = "tcp", port = 9000 }
        [[endpoint]]
        name = "b"
        addresses = { "cn-hangzhou" = "10.0.0.1" }
        private_dns = ["db.example.com"]
        probe = { kind = "tcp", port = 9001 }
        [[endpoint]]
        name = "c"
        id = "ep-1"
        domain = "ep-2.epsrv-3.cn-hangzhou.privatelink.aliyuncs.com"
        private_dns = ["c.example.com"]
    "#;
    const SLIPS: [(&str, usize); 5] = [
        ("host.zone", 3),
        ("endpoint.private_dns", 7),
        ("endpoint.addresses", 11),
        ("endpoint.private_dns", 12),
        ("endpoint.domain", 17),
    ];
    let all = |complaints: &[Complaint], severity| {
        assert!(complaints.iter().all(|c| c.severity == severity), "{complaints:?}");
        complaints.iter().map(|c| (c.key.clone(), c.line.unwrap())).collect::<Vec<_>>()
    };
    let slips = SLIPS.map(|(key, line)| (key.to_owned(), line));
    let complaints = from_texts(&[("config.toml", TEXT)], &environment()).unwrap_err().complaints;
    // Names that are refused are none that two ports could share.
    let others: Vec<_> = slips.iter().filter(|slip| slip.1 != 12).cloned().collect();
    assert_eq!(all(&complaints, Severity::Error), others);

    let (state, _) = kept();
    let path = state.path().join("config.json");
    let mut file: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    file["left_out"] = serde_json::json!([]);
    let mut keep = |text: &str| {
        file["config"] = text.into();
        fs::write(&path, file.to_string()).unwrap();
    };
    keep(TEXT);
    let LastGoodConfig { loaded, without, .. } = recall(state.path());
    assert_eq!(all(&loaded.warnings, Severity::Warning), slips);
    assert_eq!(without, Vec::<String>::new());
    assert_eq!(loaded.config.endpoints.len(), 3);
    assert_eq!(loaded.config.host.zone, Some("h".parse().unwrap()));
    let names: Vec<_> = loaded.config.endpoints.values().flat_map(|e| e.names.iter().map(|n| n.as_str())).collect();
    assert_eq!(names, ["db.example.com", "db.invalid", "db.example.com", "c.example.com"]);
    // What an agent can't run on is refused as ever.
    keep(&TEXT.replace("db.invalid", "localhost"));
    let expected =
        "config.json: expected a configuration that holds, found complaints about endpoint.private_dns on line 7";
    assert_eq!(refused(state.path()), expected);
}

#[test]
fn what_another_machine_kept_is_not_taken() {
    let (state, loaded) = kept();
    let elsewhere = Identity { machine_id: Some("elsewhere".to_owned()), ..Identity::default() };
    let refused = last_good::recall(state.path(), &environment(), &elsewhere).unwrap_err();
    let expected = "config.json: expected a configuration of this machine, found another one's (machine id differs)";
    assert!(refused.ends_with(expected), "{refused}");
    // It stays: its own machine may come back to it, and the next that is accepted here takes its place.
    recall(state.path());
    last_good::keep(state.path(), loaded.kept, elsewhere.clone(), SAVED).unwrap();
    assert!(last_good::recall(state.path(), &environment(), &elsewhere).unwrap().is_some());
}

#[test]
fn what_is_no_small_regular_file_is_not_read() {
    let (state, loaded) = kept();
    let path = state.path().join("config.json");
    fs::write(&path, vec![b' '; (4 << 20) + 1]).unwrap();
    assert_eq!(refused(state.path()), "config.json: expected at most 4194304 bytes, found more");
    fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(refused(state.path()), "config.json: expected a regular file, found something else");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(refused(state.path()), "config.json: expected a regular file, found a folder");
    assert!(keep(state.path(), &loaded).unwrap_err().to_string().contains("config.json: "));
    fs::remove_dir(&path).unwrap();
    // A link is replaced, not written through.
    let elsewhere = state.path().join("elsewhere");
    fs::write(&elsewhere, "precious").unwrap();
    symlink(&elsewhere, &path).unwrap();
    keep(state.path(), &loaded).unwrap();
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "precious");
    recall(state.path());
}

#[test]
fn keeping_makes_the_folder_and_refuses_what_could_not_be_read() {
    let (state, loaded) = kept();
    let new = state.path().join("new/state");
    keep(&new, &loaded).unwrap();
    assert_eq!(fs::metadata(&new).unwrap().permissions().mode() & 0o7777 & !0o750, 0);
    recall(&new);

    let dir = folder(&[]);
    // What is kept, and not much else.
    let (path, pattern) = ("x".repeat(1_900), "x".repeat(8_000));
    for part in 0..6 {
        let endpoint = |n: u32| {
            let (label, name) = (format!("\"a{part}-{n}\""), format!("a{part}-{n}.example.com"));
            let text = ENDPOINT.replace("\"a\"", &label).replace("db.example.com", &name);
            let text = text.replace("10.0.0.1", &format!("10.0.{part}.{n}"));
            format!("{text}probe = {{ kind = \"https\", path = \"/{path}\", expect_body = \"{pattern}\" }}\n")
        };
        let file = if part == 0 { "config.toml".to_owned() } else { format!("conf.d/{part}.toml") };
        fs::create_dir_all(dir.path().join("conf.d")).unwrap();
        fs::write(dir.path().join(file), (1..=90).map(endpoint).collect::<String>()).unwrap();
    }
    let large = load(&dir.path().join("config.toml"), &environment()).unwrap_or_else(|c| panic!("{}", c.complaints[0]));
    let error = keep(&new, &large).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{error}");
    assert_eq!(recall(&new).loaded.config.endpoints.len(), 2, "the one before it is still kept");
}

#[test]
fn damage_is_survived_and_not_shown() {
    let (state, _) = kept();
    let path = state.path().join("config.json");
    let mark = fs::read_to_string(&path).unwrap().replace("db.example.com", "hunter2.example.com").into_bytes();
    run(4, &vec(damaged(mark), 1..2), |files| {
        fs::write(&path, &files[0]).unwrap();
        match last_good::recall(state.path(), &environment(), &here()) {
            Ok(recalled) => assert!(recalled.is_some()),
            Err(message) => assert!(!message.contains("hunter"), "{message}"),
        }
    });
}

/// A later version kept it and is gone again: what this version knows of it keeps the names.
#[test]
fn keys_of_a_later_version_cost_a_kept_config_nothing_else() {
    let state = tempfile::tempdir().unwrap();
    let text = format!("{ENDPOINT}probe = {{ kind = \"tcp\", port = 9000 }}\n[steering]\nflap_penalty = 900\n");
    let loaded = from_texts(&[("config.toml", &text)], &environment()).unwrap();
    keep(state.path(), &loaded).unwrap();
    let path = state.path().join("config.json");
    let mut file: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let kept = file["config"].as_str().unwrap();
    let later = kept
        .replace("port = 9000", "port = 9000, later_key = true, expect_body = \"fine\"")
        .replace("flap_penalty = 900", "flap_penalty = 900, later = \"3m\"")
        + "later_table = { a = 1 }\n";
    file["config"] = later.into();
    fs::write(&path, file.to_string()).unwrap();
    let recalled = recall(state.path());
    assert_eq!(recalled.loaded.config, loaded.config);
    let mut without = recalled.without;
    without.sort();
    let unknown = "this version does not know it";
    let lacking = [
        ("endpoint.probe.expect_body", "this key belongs to another kind of probe: \"https\""),
        ("endpoint.probe.later_key", unknown),
        ("later_table", unknown),
        ("steering.later", unknown),
    ];
    assert_eq!(without, lacking.map(|(key, why)| format!("{key} is not in force: {why}")));
    let warnings = recalled.loaded.warnings;
    assert_eq!(warnings.iter().filter(|w| w.expected.starts_with("a known ")).count(), 4, "{warnings:?}");
    assert!(warnings.iter().all(|warning| warning.severity == Severity::Warning));
}

/// What a later version was told not to publish, or whom not to ask, stays so.
#[test]
fn an_unknown_key_that_may_narrow_what_is_published_is_not_passed_over() {
    let state = tempfile::tempdir().unwrap();
    let text = format!(
        "{ENDPOINT}[[endpoint.zone]]\nid = \"h\"\nprivate_dns = [\"a-h.example.com\"]\n[hosts]\npublish = true\n"
    );
    keep(state.path(), &from_texts(&[("config.toml", &text)], &environment()).unwrap()).unwrap();
    let path = state.path().join("config.json");
    let good: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for (table, at) in [("endpoint", "name = \"a\""), ("endpoint.zone", "id = \"h\""), ("hosts", "publish = true")] {
        let mut file = good.clone();
        let kept = file["config"].as_str().unwrap();
        assert!(kept.contains(at), "{kept}");
        file["config"] = kept.replacen(at, &format!("{at}, later = false"), 1).into();
        fs::write(&path, file.to_string()).unwrap();
        let refused = last_good::recall(state.path(), &environment(), &here()).unwrap_err();
        assert!(refused.contains(&format!("complaints about {table} on line ")), "{table}: {refused}");
    }
}
