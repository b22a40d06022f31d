//! The configuration from files: every mistake has its message, every shipped file holds, drop-ins are laid over the
//! main file, and the table of keys, the sample and the code agree.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use privatelinkd::config::{
    CloudConfig, Complaints, Config, Environment, Loaded, ServiceUser, Severity, from_texts, keys, load,
};
use privatelinkd::model::shown::owner_in_words;
use privatelinkd::model::{HeaderValue, ProbeKind, ProxyChoice, Trust};

use crate::manual;

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn environment() -> Environment {
    Environment { hostname: Some("web1.example.com".parse().unwrap()), ..Environment::default() }
}

/// A folder of files, as `path` → text, that only their owner can change, whatever the umask.
pub(crate) fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        let parent = path.parent().unwrap();
        if parent != folder.path() {
            fs::create_dir_all(parent).unwrap();
            fs::set_permissions(parent, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    folder
}

fn load_in(folder: &tempfile::TempDir) -> Result<Loaded, Complaints> {
    load(&folder.path().join("config.toml"), &environment())
}

/// What a load that must fail says, with the folder left out.
fn refusal(folder: &tempfile::TempDir) -> String {
    let complaints = load_in(folder).expect_err("a configuration with a mistake was taken");
    complaints.to_string().replace(&format!("{}/", folder.path().display()), "")
}

pub(crate) const ENDPOINT: &str =
    "[[endpoint]]\nname = \"a\"\naddresses = { h = \"10.0.0.1\" }\nprivate_dns = [\"db.example.com\"]\n";

/// Each `tests/config_bad/*.toml` draws exactly the message in the `.expected` beside it. To write the messages anew
/// and read them in the diff: `PRIVATELINKD_BLESS=1 cargo test config_files`.
#[test]
fn every_mistake_has_its_message() {
    let bless = std::env::var_os("PRIVATELINKD_BLESS").is_some();
    let mut wrong = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(root().join("tests/config_bad")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "toml") {
            assert!(path.with_extension("toml").exists(), "{} belongs to no file", path.display());
            continue;
        }
        count += 1;
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let complaints = load(&path, &environment()).err().unwrap_or_else(|| panic!("{name} was taken"));
        assert!(complaints.has_errors(), "{name}");
        let message = complaints.to_string().replace(&path.display().to_string(), &name);
        assert!(!message.contains("hunter2"), "{name} shows a secret:\n{message}");
        let expected = path.with_extension("expected");
        if bless {
            fs::write(&expected, &message).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != message {
            wrong.push(format!("{name}:\n{message}"));
        }
    }
    assert!(count >= 30, "only {count} files");
    assert!(wrong.is_empty(), "{} unexpected messages\n\n{}", wrong.len(), wrong.join("\n\n"));
}

#[test]
fn every_shipped_example_holds() {
    let mut count = 0;
    for entry in fs::read_dir(root().join("config/examples")).unwrap() {
        holds(&fs::read_to_string(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count >= 5);
}

fn holds(documented: &str) {
    let (_folder, text) = with_secrets(documented);
    let loaded = from_texts(&[("config.toml", &text)], &with_owner()).unwrap_or_else(|c| panic!("{c}\n{documented}"));
    assert_eq!(loaded.warnings, []);
}

/// A documented config with its files in a folder where they are.
pub(crate) fn with_secrets(text: &str) -> (tempfile::TempDir, String) {
    let names = ["orders.token", "ledger.pw", "shop.pw"];
    let files: Vec<_> = names.map(|name| (name, format!("hunter2 of {name}\n"))).into();
    let files: Vec<_> =
        files.iter().map(|(name, text)| (*name, text.as_str())).chain([("ca.pem", AUTHORITY)]).collect();
    let folder = folder(&files);
    for name in names {
        fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let text = text.replace("/etc/privatelinkd/", &format!("{}/", folder.path().display()));
    (folder, text)
}

/// What the documents show of a config: the fenced TOML of the README, and the examples of the manual that have a line
/// that begins with `[`, as a table does.
pub(crate) fn documented_configs() -> Vec<String> {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let fenced = |text: &str| text.split("```").next().unwrap().to_owned();
    let mut configs: Vec<String> = readme.split("```toml").skip(1).map(fenced).collect();
    assert!(!configs.is_empty(), "the README has none");
    let of_readme = configs.len();
    for (_, page) in manual::pages() {
        let has_table = |text: &String| text.lines().any(|line| line.trim_start().starts_with('['));
        configs.extend(manual::examples(&page).into_iter().filter(has_table));
    }
    assert!(configs.len() >= of_readme + 3, "the manual has too few");
    configs
}

#[test]
fn every_documented_config_holds() {
    documented_configs().iter().for_each(|config| holds(config));
}

fn sample() -> String {
    fs::read_to_string(root().join("config/config.toml")).unwrap()
}

/// The sample with every key switched on that goes together with its others: the keys of the credentials belong to
/// one provider each, and those of the probe to some of its kinds.
pub(crate) fn sample_switched_on() -> String {
    sample_of("auto", "https")
}

fn sample_of(provider: &str, kind: &str) -> String {
    let mut table = String::new();
    let goes = |line: &&str| {
        if line.starts_with('[') {
            table = line.trim_matches(['[', ']']).to_owned();
        }
        let key = line.split(" = ").next().unwrap();
        match table.as_str() {
            "cloud.credentials" => is_of(&keys::providers(), provider, key),
            "endpoint.probe" => is_of(&keys::probe_kinds(), kind, key),
            _ => true,
        }
    };
    let on = sample_with_every_key().replace("provider = \"auto\"", &format!("provider = \"{provider}\""));
    let on = on.replace("kind = \"tdengine\"", &format!("kind = \"{kind}\""));
    on.lines().filter(goes).flat_map(|line| [line, "\n"]).collect()
}

/// Whether `owner` has a key; all have what is nobody's own.
fn is_of(owners: &[keys::Owner], owner: &str, key: &str) -> bool {
    let (_, own) = owners.iter().find(|(word, _)| *word == owner).unwrap();
    own.contains(&key) || !owners.iter().any(|(_, keys)| keys.contains(&key))
}

/// The sample with every key switched on: `#key = value` is a key, `# words` are words.
fn sample_with_every_key() -> String {
    let on = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    sample().lines().map(on).collect()
}

/// `key → value` of a switched-on sample, each key with its table's path.
fn keys_in(text: &str) -> BTreeMap<String, String> {
    let mut table = String::new();
    let mut found = BTreeMap::new();
    for line in text.lines().filter(|l| !l.starts_with('#') && !l.is_empty()) {
        match line.split_once(" = ") {
            Some((key, value)) => assert_eq!(found.insert(format!("{table}.{key}"), value.to_owned()), None, "{key}"),
            None => table = line.trim_matches(['[', ']']).to_owned(),
        }
    }
    found
}

#[test]
fn the_sample_holds_as_it_is_and_changes_nothing() {
    let as_shipped = from_texts(&[("config.toml", &sample())], &environment()).unwrap();
    let empty = from_texts(&[("config.toml", "")], &environment()).unwrap();
    assert_eq!(as_shipped.config, empty.config);
    assert_eq!(as_shipped.warnings.len(), 1, "only that there is no endpoint");
}

#[test]
fn the_sample_switched_on_holds_and_has_the_defaults() {
    let folder = folder(&[("ca.pem", &authority())]);
    let ca = folder.path().join("ca.pem");
    let text = sample_switched_on().replace("/etc/privatelinkd/ca.pem", &ca.display().to_string());
    let on = from_texts(&[("config.toml", &text)], &environment()).unwrap_or_else(|c| panic!("{c}"));
    assert_eq!(on.warnings, []);
    let empty = from_texts(&[("config.toml", "")], &environment()).unwrap().config;
    let Config { host, cloud, endpoints, steering, hosts, dns, metrics, log } = on.config;
    assert_eq!(CloudConfig { api_endpoint: None, proxy: ProxyChoice::None, ..cloud }, empty.cloud);
    assert_eq!(host.fleet_size, empty.host.fleet_size);
    assert_eq!(
        (steering, &hosts, &dns, &metrics, log),
        (empty.steering, &empty.hosts, &empty.dns, &empty.metrics, empty.log)
    );
    let folders = [&empty.host.state_dir, &empty.host.run_dir, &empty.host.admin_dir];
    assert_eq!([&host.state_dir, &host.run_dir, &host.admin_dir], folders);
    // The probe's defaults, against an endpoint that sets nothing but what it must.
    let bare = format!("{ENDPOINT}probe = {{ kind = \"https\" }}");
    let bare = from_texts(&[("config.toml", &bare)], &environment()).unwrap().config;
    let (on, bare) = (endpoints.into_values().next().unwrap(), bare.endpoints.into_values().next().unwrap());
    let (on_probe, bare_probe) = (on.probe.unwrap(), bare.probe.unwrap());
    assert_eq!((on_probe.port, on_probe.path, on_probe.hold), (bare_probe.port, bare_probe.path, bare_probe.hold));
    assert_eq!(on.priority, bare.priority);
}

#[test]
fn the_table_of_keys_the_sample_and_the_code_agree() {
    let on = keys_in(&sample_with_every_key());
    let table: BTreeSet<&str> = keys::KEYS.iter().map(|k| k.path).collect();
    assert_eq!(on.keys().map(String::as_str).collect::<BTreeSet<_>>(), table, "sample and table");
    for key in keys::KEYS {
        // A default that says nothing is shown by an example.
        if let Some(default) = key.default.filter(|d| !matches!(*d, "[]" | "{}") || key.path == "metrics.expose") {
            assert_eq!(on[key.path], default, "{}", key.path);
        }
    }
    for (word, _) in keys::providers().into_iter().chain(keys::probe_kinds()) {
        assert!(sample().contains(&format!("\"{word}\"")), "the sample does not name {word}");
    }
    // What the rules read: each is shown by `check --show`, by its name there.
    let plain = |key: &str| key.replace("endpoint.orders", "endpoint").replace("zone.cn-hangzhou-h", "zone");
    let mut taken = BTreeSet::new();
    let mut take = |table: &str, owner: &str, (own, chosen): (&[&str], &str), loaded: Result<Loaded, Complaints>| {
        let effective = loaded.unwrap_or_else(|c| panic!("{owner}: {c}")).effective;
        let keys: BTreeSet<String> = effective.values.iter().map(|v| plain(&v.key)).collect();
        let theirs: BTreeSet<_> = keys.iter().filter_map(|key| key.strip_prefix(table)).collect();
        let expected: BTreeSet<_> = own.iter().copied().chain([chosen]).collect();
        let missing: Vec<_> = expected.difference(&theirs).collect();
        assert!(missing.is_empty(), "{owner} takes {missing:?}, too");
        taken.extend(keys.iter().cloned());
        theirs.into_iter().map(str::to_owned).collect::<BTreeSet<String>>()
    };
    for (provider, own) in keys::providers() {
        let theirs = take("cloud.credentials.", provider, (&own, "provider"), of_provider(provider));
        assert_eq!(theirs.len(), own.len() + 1, "{provider}: {theirs:?}");
    }
    for (kind, own) in keys::probe_kinds() {
        let theirs = take("endpoint.probe.", kind, (&own, "kind"), of_kind(kind));
        let of_others = theirs.iter().filter(|key| !is_of(&keys::probe_kinds(), kind, key));
        assert_eq!(of_others.collect::<Vec<_>>(), [] as [&String; 0], "{kind}");
    }
    assert_eq!(taken.iter().map(String::as_str).collect::<BTreeSet<_>>(), table, "code and table");
    // Defaults that are really used.
    let empty = from_texts(&[("config.toml", "")], &environment()).unwrap().effective;
    for value in &empty.values {
        let key = keys::find(&value.key).unwrap();
        assert_eq!(value.value.as_deref(), key.default, "{}", value.key);
    }
}

/// The sample with one provider's keys switched on, but with secrets that are there.
fn of_provider(provider: &str) -> Result<Loaded, Complaints> {
    let folder = folder(&[("secret", "hunter2\n"), ("token", "hunter3\n")]);
    for secret in ["secret", "token"] {
        fs::set_permissions(folder.path().join(secret), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let place = |name: &str| folder.path().join(name).display().to_string();
    let mut text = sample_of(provider, "tcp")
        .replace("/etc/privatelinkd/access-key.secret", &place("secret"))
        .replace("/etc/privatelinkd/access-key.token", &place("token"));
    // It is one or the other.
    let without = if provider == "ram_role_arn" { "role_name" } else { "ca_file" };
    text = text
        .lines()
        .filter(|l| ![without, "ca_file"].iter().any(|key| l.starts_with(key)))
        .collect::<Vec<_>>()
        .join("\n");
    from_texts(&[("config.toml", &text)], &with_owner())
}

/// The sample with one kind's keys switched on, but with files that are there.
fn of_kind(kind: &str) -> Result<Loaded, Complaints> {
    let folder = folder(&[("orders.pw", "hunter2\n"), ("orders.token", "hunter3\n"), ("ca.pem", AUTHORITY)]);
    for file in ["orders.pw", "orders.token", "ca.pem"] {
        fs::set_permissions(folder.path().join(file), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let text = sample_of("auto", kind)
        .replace("/etc/privatelinkd/", &format!("{}/", folder.path().display()))
        .replace("tls = \"preferred\"", "tls = \"verify\"");
    let text = if kind == "tdengine" { text.replace("token_file", "#token_file") } else { text };
    from_texts(&[("config.toml", &text)], &with_owner())
}

#[test]
fn each_provider_is_told_what_is_its_own() {
    use privatelinkd::config::{BaseConfig, CredentialsConfig};
    let credentials = |provider: &str| of_provider(provider).unwrap().config.cloud.credentials;
    assert_eq!(credentials("auto"), CredentialsConfig::Auto);
    let CredentialsConfig::AccessKey(key) = credentials("access_key") else { panic!() };
    assert_eq!((key.secret.expose(), key.token.unwrap().expose()), ("hunter2", "hunter3"));
    let CredentialsConfig::RamRoleArn { base: BaseConfig::AccessKey(_), arn, role } = credentials("ram_role_arn")
    else {
        panic!()
    };
    assert_eq!((arn.as_str(), role.seconds), ("acs:ram::1234567890123456:role/privatelinkd", 3600));
    assert!(role.policy.is_some() && role.external_id.is_some() && role.sts_endpoint.is_some());
    let CredentialsConfig::CliConfig(profile) = credentials("cli_config") else { panic!() };
    assert_eq!(profile.profile.as_deref(), Some("privatelinkd"));
    let loaded = of_provider("access_key").unwrap();
    let shown = format!("{:?} {}", loaded.config, loaded.effective);
    assert!(!shown.contains("hunter"), "{shown}");
}

#[test]
fn drop_ins_are_laid_over_in_their_order() {
    let folder = folder(&[
        ("config.toml", &format!("{ENDPOINT}probe = {{ kind = \"tcp\", port = 5432 }}\n[log]\nlevel = \"warn\"\n")),
        ("conf.d/20-later.toml", "[[endpoint]]\nname = \"a\"\npriority = 2\n[log]\nformat = \"json\"\n"),
        (
            "conf.d/10-first.toml",
            "[[endpoint]]\nname = \"a\"\npriority = 1\nprobe.port = 80\n[log]\nformat = \"text\"\n",
        ),
        ("conf.d/.hidden.toml", "broken"),
        ("conf.d/10-first.toml~", "broken"),
        ("conf.d/10-first.toml.rpmnew", "broken"),
        ("conf.d/10-first.toml.rpmsave", "broken"),
        ("conf.d/10-first.toml.dpkg-dist", "broken"),
        ("conf.d/README", "broken"),
    ]);
    let loaded = load_in(&folder).unwrap_or_else(|c| panic!("{c}"));
    let endpoint = loaded.config.endpoints.values().next().unwrap();
    assert_eq!(endpoint.priority, 2);
    assert_eq!(endpoint.probe.as_ref().unwrap().port, 80);
    assert_eq!(loaded.sources.paths().count(), 3);
    let shown = loaded.effective.to_string();
    for line in [
        "endpoint.a.priority = 2   # conf.d/20-later.toml:3",
        "endpoint.a.probe.port = 80   # conf.d/10-first.toml:4",
        "endpoint.a.probe.interval = \"5s\"   # default",
        "log.level = \"warn\"   # config.toml:7",
        "# host.zone is not set",
        "endpoint.a.steering",
    ] {
        assert_eq!(shown.contains(line), line != "endpoint.a.steering", "{line} in\n{shown}");
    }
}

#[test]
fn complaints_name_the_drop_in() {
    let folder = folder(&[
        ("config.toml", ENDPOINT),
        ("conf.d/10.toml", "[[endpoint]]\nname = \"a\"\npriority = \"x\"\n"),
        ("conf.d/20.toml", "[[endpoint]]\nname = \"b\"\n"),
    ]);
    let message = refusal(&folder);
    assert!(message.contains("--> conf.d/10.toml:3:12\n"), "{message}");
    assert!(message.contains("`addresses`") && message.contains("--> conf.d/20.toml:1:1\n"), "{message}");
}

#[test]
fn a_broken_drop_in_draws_no_complaint_about_what_it_may_hold() {
    let folder = folder(&[
        ("config.toml", "[[endpoint]]\nname = \"a\"\n[log]\nlevel = \"loud\"\n"),
        ("conf.d/10.toml", "[[endpoint]]\nname = \"a\"\nx y\naddresses = { h = \"10.0.0.1\" }\n"),
    ]);
    let message = refusal(&folder);
    assert!(!message.contains("addresses"), "{message}");
    assert!(message.contains("log.level") && message.contains("conf.d/10.toml:3:3"), "{message}");
}

#[test]
fn files_that_can_not_be_read_are_named() {
    let none = folder(&[]);
    assert_eq!(
        refusal(&none),
        "error: expected a readable configuration file, found no such file\n  --> config.toml\n   = help: start with \
         `config/config.toml`, the commented default, or name a file with --config\n"
    );
    let a_folder = folder(&[("config.toml/x", "")]);
    assert!(refusal(&a_folder).contains("found a folder\n  --> config.toml"));
    let bytes = folder(&[]);
    fs::write(bytes.path().join("config.toml"), b"[log]\nlevel = \"\xff\"").unwrap();
    assert_eq!(
        refusal(&bytes),
        "error: expected UTF-8 text, found another byte on line 2, after 15 bytes\n  --> config.toml\n"
    );
    let large = folder(&[("config.toml", &" ".repeat((1 << 20) + 1))]);
    assert!(refusal(&large).contains("found more than 1024 KiB"));
    let pipe = folder(&[]);
    nix::unistd::mkfifo(&pipe.path().join("config.toml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(refusal(&pipe).contains("found something that is no regular file"));
    let no_folder = folder(&[("config.toml", ""), ("conf.d", "")]);
    assert!(refusal(&no_folder).contains("expected a readable folder of drop-ins"));
}

fn with_secret(content: &[u8], mode: u32) -> tempfile::TempDir {
    let folder = folder(&[]);
    let secret = folder.path().join("token");
    fs::write(&secret, content).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).unwrap();
    let headers = format!("headers = {{ Authorization = {{ file = \"{}\" }}, x-b = \"b\" }}", secret.display());
    let text = format!("{ENDPOINT}[endpoint.probe]\nkind = \"https\"\n{headers}\n");
    fs::write(folder.path().join("config.toml"), text).unwrap();
    folder
}

/// What can't be published as a whole is refused here, not name by name later on.
#[test]
fn names_that_the_hosts_file_has_no_room_for_are_refused() {
    let long = ["x".repeat(60), "y".repeat(60), "z".repeat(60), "w".repeat(50)].join(".");
    let text = |endpoints: usize, more: &str| {
        let names = |n: usize| (0..4).map(|i| format!("\"n{n}-{i}.{long}\"")).collect::<Vec<_>>().join(", ");
        let endpoint = |n| format!("[[endpoint]]\nname = \"e{n}\"\nid = \"ep-{n}\"\nprivate_dns = [{}]\n", names(n));
        (0..endpoints).map(endpoint).chain([more.to_owned()]).collect::<String>()
    };
    let said = |endpoints, more: &str| match from_texts(&[("config.toml", &text(endpoints, more))], &environment()) {
        Ok(loaded) => loaded.warnings.iter().map(ToString::to_string).collect(),
        Err(complaints) => complaints.to_string(),
    };
    let refused = said(1_000, "");
    let expected = "error: endpoint: expected names that fit into a block of at most 1048576 bytes, found 4000 names that \
                    take ";
    assert!(refused.starts_with(expected) && refused.contains("config.toml:"), "{refused}");
    assert!(said(400, "").starts_with("warning: endpoint: expected names that fit into a block"), "{}", said(400, ""));
    assert_eq!(said(100, ""), "");
    // As many as make a hand-over that would be too long, too.
    let by_dns = said(2_000, "[hosts]\npublish = false\n[dns]\npublish = true\n");
    assert!(!by_dns.contains("fit into"), "{by_dns}");
}

/// Whoever runs the tests owns the files.
pub(crate) fn with_owner() -> Environment {
    Environment { trusted_uids: BTreeSet::from([nix::unistd::geteuid().as_raw()]), ..environment() }
}

#[test]
fn secrets_are_read_trimmed_and_never_shown() {
    let folder = with_secret(b"  Bearer hunter2\n", 0o640);
    let loaded = load(&folder.path().join("config.toml"), &with_owner()).unwrap_or_else(|c| panic!("{c}"));
    let probe = loaded.config.endpoints.values().next().unwrap().probe.clone().unwrap();
    let ProbeKind::Https(spec) = &probe.kind else { panic!("another kind") };
    let [(first, HeaderValue::Secret(secret)), (second, HeaderValue::Plain(_))] = spec.headers.as_slice() else {
        panic!("other headers: {:?}", spec.headers)
    };
    assert_eq!((first.as_str(), second.as_str(), secret.expose()), ("authorization", "x-b", "Bearer hunter2"));
    assert_eq!(spec.tls.trust, Trust::System);
    let shown =
        format!("{:?} {} {}", loaded.config, loaded.effective, serde_json::to_string(&loaded.effective).unwrap());
    assert!(!shown.contains("hunter2") && shown.contains("x-b = \"[secret]\""), "{shown}");
    assert!(!loaded.sources.changed_on_disk());
    fs::write(folder.path().join("token"), "another").unwrap();
    assert!(loaded.sources.changed_on_disk());
}

#[test]
fn secrets_that_others_can_read_are_refused() {
    let cases: &[(&[u8], u32, &str)] = &[
        (b"hunter2", 0o644, "expected a secret file of mode 0640 or less, found mode 0644"),
        (b"hunter2", 0o660, "found mode 0660"),
        (b"hunter2", 0o4600, "found mode 4600"),
        (b" \n", 0o600, "found nothing"),
        (b"hunter2\nhunter2", 0o600, "found other characters"),
        (b"hunter2\xff", 0o600, "found bytes that are no text"),
        (&[b'x'; 8_001], 0o600, "found more than 8000 characters"),
    ];
    for (content, mode, expected) in cases {
        let folder = with_secret(content, *mode);
        let message = load(&folder.path().join("config.toml"), &with_owner()).unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains("config.toml:7:"), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn secrets_of_other_owners_are_refused() {
    let folder = with_secret(b"hunter2", 0o600);
    let secret = folder.path().join("token");
    if !nix::unistd::geteuid().is_root() {
        // Its owner is nobody that the environment trusts.
        assert!(refusal(&folder).contains("expected a secret file owned by root or the service user"));
        return;
    }
    nix::unistd::chown(&secret, Some(nix::unistd::Uid::from_raw(4_321)), None).unwrap();
    assert!(refusal(&folder).contains("found owner 4321"));
    let trusted = Environment { trusted_uids: BTreeSet::from([4_321]), ..environment() };
    load(&folder.path().join("config.toml"), &trusted).unwrap_or_else(|c| panic!("{c}"));
}

/// A self-signed authority.
pub(crate) fn authority() -> String {
    AUTHORITY.to_owned()
}

const AUTHORITY: &str = include_str!("config_ca.pem");

fn with_authority(pem: &str, mode: u32) -> Result<Loaded, Complaints> {
    let folder = folder(&[("ca.pem", pem)]);
    let ca = folder.path().join("ca.pem");
    fs::set_permissions(&ca, fs::Permissions::from_mode(mode)).unwrap();
    let text = format!("{ENDPOINT}probe = {{ kind = \"https\", ca_file = \"{}\" }}\n", ca.display());
    fs::write(folder.path().join("config.toml"), text).unwrap();
    load_in(&folder)
}

#[test]
fn certificates_are_read_at_load() {
    let loaded = with_authority(&format!("words\n{AUTHORITY}{AUTHORITY}"), 0o644).unwrap_or_else(|c| panic!("{c}"));
    let probe = loaded.config.endpoints.values().next().unwrap().probe.clone().unwrap();
    let ProbeKind::Https(spec) = &probe.kind else { panic!("another kind") };
    let Trust::File(bundle) = &spec.tls.trust else { panic!("another trust") };
    assert_eq!(bundle.certificates.len(), 2);

    let refused = |pem: &str, mode| with_authority(pem, mode).unwrap_err().to_string();
    assert!(refused("", 0o644).contains("expected PEM certificates, found none in"));
    assert!(refused(AUTHORITY, 0o664).contains("expected a file that only its owner can write, found mode 0664"));
    let half = AUTHORITY.replace("-----END CERTIFICATE-----", "");
    assert!(refused(&half, 0o644).contains("found broken PEM"), "{}", refused(&half, 0o644));
    let foreign = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    assert!(refused(foreign, 0o644).contains("found a broken certificate (number 1)"));
}

#[test]
fn a_disabled_endpoint_is_checked_but_left_out() {
    let off = format!("{ENDPOINT}enabled = false\n");
    let loaded = from_texts(&[("config.toml", &off)], &environment()).unwrap();
    assert!(loaded.config.endpoints.is_empty());
    let wrong = format!("{off}priority = \"x\"\n");
    assert!(from_texts(&[("config.toml", &wrong)], &environment()).is_err());
    // Its names do not get into the way of the one that replaces it.
    let beside = format!("{off}{}probe = {{ kind = \"https\" }}\n", ENDPOINT.replace("\"a\"", "\"b\""));
    assert_eq!(from_texts(&[("config.toml", &beside)], &environment()).unwrap().config.endpoints.len(), 1);
}

#[test]
fn a_configuration_without_endpoints_is_only_warned_of() {
    let loaded = from_texts(&[("config.toml", "")], &environment()).unwrap();
    let [warning] = loaded.warnings.as_slice() else { panic!("{:?}", loaded.warnings) };
    assert_eq!(warning.severity, Severity::Warning);
    assert_eq!(
        warning.to_string(),
        "warning: endpoint: expected an endpoint, found none\n  --> config.toml\n   = help: add an [[endpoint]] table; \
         see /usr/share/doc/privatelinkd/examples\n"
    );
}

#[test]
fn complaints_have_a_form_for_machines() {
    let complaints = from_texts(&[("config.toml", "[log]\nlevel = \"loud\"\n")], &environment()).unwrap_err();
    let json = serde_json::to_value(&complaints).unwrap();
    let first = &json["complaints"].as_array().unwrap()[1];
    assert_eq!(first["key"], "log.level");
    assert_eq!((&first["line"], &first["column"]), (&2.into(), &9.into()));
    assert_eq!(json["omitted"], 0);
}

#[test]
fn too_many_complaints_are_counted() {
    let text: String = (0..1_000).map(|i| format!("k{i} = 1\n")).collect();
    let complaints = from_texts(&[("config.toml", &text)], &environment()).unwrap_err();
    assert_eq!((complaints.complaints.len(), complaints.omitted), (Complaints::LIMIT, 901));
    assert!(complaints.to_string().ends_with("\n… and 901 more\n"));
}

#[test]
fn an_error_is_shown_however_many_warnings_there_are() {
    let ranges = vec!["\"0.0.0.0/0\""; 200].join(", ");
    let text = format!("[hosts]\nallowed_ranges = [{ranges}]\n[log]\nlevel = \"loud\"\n");
    let complaints = from_texts(&[("config.toml", &text)], &environment()).unwrap_err();
    assert!(complaints.has_errors());
    assert_eq!((complaints.complaints.len(), complaints.omitted), (Complaints::LIMIT, 102));
}

/// Labels of an admin's own are as good as ids, as long as the cloud has no say.
#[test]
fn a_host_may_be_in_a_zone_of_its_admins_own_name() {
    let with = |host: &str, endpoint: &str| {
        let text = format!("{host}{ENDPOINT}{endpoint}");
        let loaded = from_texts(&[("config.toml", &text)], &environment()).unwrap_or_else(|c| panic!("{c}"));
        (loaded.config.host.zone.map(|zone| zone.to_string()), loaded.warnings)
    };
    let own = "[host]\nzone = \"h\"\n";
    let prefers = "steering = { prefer = \"local_zone\" }\n";
    assert_eq!(with(own, ""), (Some("h".to_owned()), vec![]));
    assert_eq!(with(own, prefers), (Some("h".to_owned()), vec![]));
    assert_eq!(with("", ""), (None, vec![]));
    let (_, warnings) = with("[host]\nzone = \"cn-hangzhou-h\"\n", prefers);
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert_eq!((warning.key.as_str(), warning.severity), ("endpoint.addresses", Severity::Warning));
    let expected = "whole zone ids, since `prefer` asks for the local zone";
    assert_eq!((warning.expected.as_str(), warning.found.as_str(), warning.line), (expected, "\"h\"", Some(5)));
}

#[test]
fn endpoint_steering_is_laid_over_the_general_one() {
    let text = format!("{ENDPOINT}steering = {{ answers = \"one\" }}\n[steering]\nprefer = \"local_zone\"\n");
    let loaded = from_texts(&[("config.toml", &text)], &environment()).unwrap();
    let steering = loaded.config.endpoints.values().next().unwrap().steering;
    assert_eq!(steering.prefer, loaded.config.steering.prefer);
    assert_ne!(steering.answers, loaded.config.steering.answers);
    assert!(loaded.effective.to_string().contains("endpoint.a.steering.prefer = \"local_zone\"   # from [steering]"));
}

#[test]
fn secrets_with_an_acl_for_others_are_refused() {
    let folder = with_secret(b"hunter2", 0o600);
    // Owner rw, user 4321 r, group none, mask r, others none; as linux/posix_acl_xattr.h lays it out.
    let entries =
        [(0x01, 6, u32::MAX), (0x02, 4, 4_321), (0x04, 0, u32::MAX), (0x10, 4, u32::MAX), (0x20, 0, u32::MAX)];
    let mut acl = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        acl.extend(u16::to_le_bytes(tag));
        acl.extend(u16::to_le_bytes(permissions));
        acl.extend(u32::to_le_bytes(id));
    }
    let flags = rustix::fs::XattrFlags::empty();
    if rustix::fs::setxattr(folder.path().join("token"), "system.posix_acl_access", &acl, flags).is_err() {
        return; // A file system without ACLs has none to refuse.
    }
    let message = load(&folder.path().join("config.toml"), &with_owner()).unwrap_err().to_string();
    assert!(
        message.contains("expected a secret file without ACL for others") && !message.contains("0640"),
        "{message}"
    );
}

/// Somebody who owns nothing here.
const SERVICE: ServiceUser = ServiceUser { uid: 4_321, gid: 4_322 };

/// What a root says to a service user that is not it, with the folder left out.
fn said_to_the_service(dir: &tempfile::TempDir) -> String {
    let environment = Environment { service: Some(SERVICE), ..with_owner() };
    let said = load(&dir.path().join("config.toml"), &environment).map(|_| Complaints::default());
    said.unwrap_or_else(|c| c).to_string().replace(&dir.path().display().to_string(), "DIR")
}

#[test]
fn files_that_the_service_user_can_not_read_are_named() {
    let own = owner_in_words(nix::unistd::geteuid().as_raw());
    let dir = with_secret(b"hunter2", 0o640);
    let mode = |path: &str, mode| {
        fs::set_permissions(dir.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    fs::create_dir(dir.path().join("conf.d")).unwrap();
    fs::write(dir.path().join("conf.d/1.toml"), "").unwrap();
    for (path, bits) in [(".", 0o755), ("conf.d", 0o755), ("conf.d/1.toml", 0o644), ("config.toml", 0o644)] {
        mode(path, bits);
    }
    let text = fs::read_to_string(dir.path().join("config.toml")).unwrap();
    let secret = said_to_the_service(&dir);
    let expected = format!(
        "error: endpoint.probe.headers: expected a file that the user privatelinkd can read, found mode 0640 and owner \
         {own} on \"DIR/token\"\n"
    );
    let remedy = "help: chown root:privatelinkd DIR/token && chmod 0640 DIR/token\n";
    assert!(secret.starts_with(&expected) && secret.ends_with(remedy), "{secret}");
    // Nobody else is asked for that.
    load(&dir.path().join("config.toml"), &with_owner()).unwrap();

    fs::write(dir.path().join("config.toml"), text.split("[endpoint.probe]").next().unwrap()).unwrap();
    assert_eq!(said_to_the_service(&dir), "");
    for (path, bits, good, what) in [
        ("config.toml", 0o600, 0o644, "file that the user privatelinkd can read"),
        ("conf.d/1.toml", 0o640, 0o644, "file that the user privatelinkd can read"),
        ("conf.d", 0o711, 0o755, "folder that the user privatelinkd can list and search"),
        (".", 0o700, 0o755, "folder that the user privatelinkd can search"),
    ] {
        mode(path, bits);
        let shown = if path == "." { "DIR".to_owned() } else { format!("DIR/{path}") };
        let said = said_to_the_service(&dir);
        let expected =
            format!("error: expected a {what}, found mode {bits:04o} and owner {own}\n  --> {shown}\n   = help: ");
        assert!(said.starts_with(&expected), "{said}");
        mode(path, good);
    }

    let ca = dir.path().join("ca.pem");
    fs::write(&ca, AUTHORITY).unwrap();
    mode("ca.pem", 0o600);
    let with_ca = format!("{ENDPOINT}probe = {{ kind = \"https\", ca_file = \"{}\" }}\n", ca.display());
    fs::write(dir.path().join("config.toml"), with_ca).unwrap();
    assert!(said_to_the_service(&dir).contains("found mode 0600 and owner"), "{}", said_to_the_service(&dir));
    mode("ca.pem", 0o644);
    assert_eq!(said_to_the_service(&dir), "");
}

#[test]
fn the_help_for_what_the_service_user_can_not_read_is_right() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root can give files away");
        return;
    }
    let dir = with_secret(b"hunter2", 0o600);
    for path in [".", "config.toml", "token"] {
        nix::unistd::chown(&dir.path().join(path), None, Some(nix::unistd::Gid::from_raw(SERVICE.gid))).unwrap();
    }
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let said = said_to_the_service(&dir);
    assert_eq!(said.matches("that the user privatelinkd can").count(), 2, "folder and secret: {said}");
    for (path, mode) in [(".", 0o750), ("config.toml", 0o640), ("token", 0o640)] {
        fs::set_permissions(dir.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    assert_eq!(said_to_the_service(&dir), "");
}
