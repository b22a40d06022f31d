//! What the hosts writer takes of a configuration, and from whom.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use notify::Watcher as _;
use privatelinkd::config::{
    Complaints, Environment, Folders, LoadedWriter, Severity, WriterConfig, folders, keys, load, load_writer,
};
use privatelinkd::model::LogLevel;
use proptest::prelude::*;
use proptest::sample::select;

use crate::config_files::{ENDPOINT, environment, folder, root};
use crate::config_fuzz::{mutated, random_trees, run};

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn writer(dir: &Path) -> Result<LoadedWriter, Complaints> {
    load_writer(&dir.join("config.toml"), &environment())
}

/// What the writer takes of a text that `load` refuses.
fn taken(text: &str) -> WriterConfig {
    let dir = folder(&[("config.toml", text)]);
    load(&dir.path().join("config.toml"), &environment()).expect_err("the agent takes it too");
    let loaded = writer(dir.path()).unwrap_or_else(|c| panic!("{text}\n{c}"));
    // Of the files that it names the writer knows nothing.
    assert_eq!(loaded.whole, text.contains("\"/nonexistent/"), "{text}");
    loaded.config
}

const TCP: &str = "probe = { kind = \"tcp\", port = 5432 }\n";

#[test]
fn what_concerns_the_agent_alone_may_be_wrong() {
    let good = folder(&[("config.toml", &format!("{ENDPOINT}{TCP}"))]);
    let good = writer(good.path()).unwrap().config;
    assert_eq!(good.names.len(), 1);
    for probe in [
        "probe = { kind = \"quic\", depth = \"deep\" }\n",
        "probe = { kind = \"tcp\" }\n",
        "probe = 1\n",
        "probe = { kind = \"https\", ca_file = \"/nonexistent/ca\" }\n",
        "probe = { kind = \"https\", headers = { a = { file = \"/nonexistent/secret\" } } }\n",
        "probe = { kind = \"https\", headers = { connection = \"x\" } }\n",
        "probe = { kind = \"tcp\", port = 3306 }\n",
        "colour = \"red\"\n",
        "priority = \"first\"\n",
        "steering = { prefer = \"far\" }\n",
        "[host]\nzone = \"unknown\"\nvpc_id = 7\nfuture = true\n",
        "[steering]\nanswers = \"some\"\n",
        "[metrics]\nlisten = \"here\"\n",
        "[metrics]\nlisten = []\nhistograms = \"all\"\n",
        "[hosts]\nfuture = true\n",
        "[log]\nsample = 7\n",
        "[future]\nx = { y = [1.5, 1979-05-27] }\n",
        "[cloud]\nrefresh_interval = \"10 parsecs\"\n",
        "[[steering]]\n",
    ] {
        assert_eq!(taken(&format!("{ENDPOINT}{probe}")), good, "{probe}");
    }
    for (addresses, instead) in [
        ("{ h = \"10.0.0.1\" }", "{ h = \"127.0.0.1\" }"),
        ("{ h = \"10.0.0.1\" }", "{ h = \"ten\" }"),
        ("{ h = \"10.0.0.1\" }", "\"auto\""),
        ("addresses = { h = \"10.0.0.1\" }\n", ""),
    ] {
        assert_eq!(taken(&format!("{}{TCP}", ENDPOINT.replace(addresses, instead))), good, "{instead}");
    }
}

#[test]
fn rules_about_probes_and_addresses_cost_no_name() {
    // A zone that a later version discovers, beside one that is fixed.
    let zone = "[[endpoint.zone]]\nid = \"i\"\nprivate_dns = [\"i.example.com\"]\ncolour = 1\n";
    let names = taken(&format!("{ENDPOINT}{zone}")).names;
    assert_eq!(names.iter().map(|n| n.as_str()).collect::<Vec<_>>(), ["db.example.com", "i.example.com"]);
    // Two kinds under one name.
    let second = ENDPOINT.replace("\"a\"", "\"b\"") + "id = \"ep-1\"\n";
    let both = taken(&format!("{ENDPOINT}{TCP}{second}probe = {{ kind = \"https\" }}\n"));
    assert_eq!((both.names.len(), both.own_domains.len()), (1, 0));
    // Switched off is switched off.
    let off = taken(&format!("{ENDPOINT}enabled = false\nprobe = 1\n"));
    assert!(off.names.is_empty());
}

/// The message for one text, by each loader.
fn both_refuse(text: &str) -> (String, String) {
    let dir = folder(&[("config.toml", text)]);
    let agents = load(&dir.path().join("config.toml"), &environment()).expect_err("the agent takes it");
    let writers = writer(dir.path()).expect_err("the writer takes it");
    (agents.to_string(), writers.to_string())
}

#[test]
fn what_the_writer_needs_is_refused_in_the_same_words() {
    for wrong in [
        "[hosts]\npublish = 1\n",
        "[hosts]\npath = \"etc/hosts\"\n",
        "[hosts]\nallowed_ranges = []\n",
        "[hosts]\nfamilies = [\"ipv5\"]\n",
        "[hosts]\nremoval_grace = \"8d\"\nreassert_interval = \"6s\"\nagent_lost_after = \"1s\"\n",
        "[hosts]\nin_place = \"true\"\n",
        "[hosts]\nrun_dir = \"x\"\nstate_dir = \"y\"\n",
        "[[hosts]]\n",
        "host = 1\n",
        "[host]\nrun_dir = 1\n",
        "[host]\nrun_dir = \"/run/privatelinkd-hosts\"\n",
        "[host]\nstate_dir = \"/var/lib/privatelinkd-hosts/x\"\n",
        "[hosts]\npath = \"/run/privatelinkd/hosts\"\n",
        "[log]\nlevel = \"loud\"\ntarget = \"file\"\nformat = \"xml\"\n",
        "log = \"info\"\n",
        "[log]\nlevel = \"info\"\nlevel = \"info\"\n",
        "[log\n",
        "x y\n",
    ] {
        let (agents, writers) = both_refuse(&format!("{wrong}[[endpoint]]\nname = \"a\"\nprobe = 1\ncolour = 1\n"));
        assert!(!writers.contains("colour"), "{writers}");
        // Beside what is no TOML nothing else is told.
        let broken = ["[log\n", "x y\n"].contains(&wrong);
        assert!(broken || agents.contains("colour"), "{agents}");
        let (agents, writers) = both_refuse(wrong);
        // The agent warns of the lack of endpoints beside.
        assert!(agents.contains(&writers), "{agents}\n{writers}");
    }
    // Beside it no table of that name can stand.
    let (agents, writers) = both_refuse("endpoint = 1\n");
    assert!(agents.contains(&writers), "{agents}\n{writers}");
    for wrong in [
        "id = \"x y\"\n",
        "domain = \"10.0.0.1\"\n",
        "publish_domain = 1\n",
        "publish_domain = true\n",
        "domain = \"sts.aliyuncs.com\"\npublish_domain = true\n",
        "enabled = \"no\"\n",
        "[[endpoint.zone]]\nid = \"h\"\n",
        "[[endpoint.zone]]\nid = \"h\"\nprivate_dns = [\"db.example.com\"]\n",
        "[[endpoint.zone]]\nprivate_dns = [\"h.example.com\"]\n",
        "zone = 1\n",
        "[[endpoint]]\nname = \"a\"\naddresses = { h = \"10.0.0.2\" }\nprivate_dns = [\"db2.example.com\"]\n",
        "[[endpoint]]\nname = \"b c\"\naddresses = { h = \"10.0.0.2\" }\nprivate_dns = [\"localhost\", \"db\"]\n",
    ] {
        let (agents, writers) = both_refuse(&format!("{ENDPOINT}{wrong}"));
        assert_eq!(agents, writers, "{wrong}");
    }
}

/// The mistakes of `tests/config_bad` that are none of the writer's business.
const TOLERATED: &[&str] = &[
    "address_refused",
    "address_twice_in_zones",
    "addresses_missing",
    "addresses_wrong",
    "big_number",
    "ca_file",
    "cloud",
    "credentials",
    "credentials_auto",
    "credentials_lacking",
    "credentials_no_table",
    "credentials_provider",
    "credentials_values",
    "deep_values",
    "dns",
    "dns_loop",
    "durations",
    "fast_interval_above_interval",
    "headers",
    "headers_no_table",
    "headers_on_the_line",
    "host",
    "https_body",
    "https_no_status",
    "https_request",
    "https_without_name",
    "key_elsewhere",
    "key_later",
    "key_of_another_kind",
    "key_typo",
    "kind_missing",
    "kind_typo",
    "kind_without_login",
    "matrixone_user",
    "metrics",
    "password_not_shown",
    "port_range",
    "probe_no_table",
    "proxy_path",
    "proxy_socks",
    "proxy_user",
    "proxy_word",
    "shared_address_two_ports",
    "shared_name_two_kinds",
    "slip_host_zone",
    "slip_host_zone_of_none",
    "slip_other_words",
    "steering",
    "table_unknown",
    "tcp_database_port",
    "tcp_port",
    "tdengine",
    "text_not_shown",
    "verify_ca",
    "zone_without_address",
];

#[test]
fn of_the_bad_files_the_writer_refuses_exactly_its_own() {
    let mut tolerated = BTreeSet::new();
    for entry in fs::read_dir(root().join("tests/config_bad")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") {
            let dir = folder(&[("config.toml", &fs::read_to_string(&path).unwrap())]);
            if let Ok(loaded) = says_the_same(dir.path()) {
                let name = path.file_stem().unwrap().to_string_lossy().into_owned();
                assert!(!loaded.whole, "{name}");
                tolerated.insert(name);
            }
        }
    }
    let expected: BTreeSet<_> = TOLERATED.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(tolerated, expected);
}

/// Whatever is written: what the agent takes the writer takes, and as the same; what the writer refuses the agent
/// refuses, in the same words.
fn says_the_same(dir: &Path) -> Result<LoadedWriter, Complaints> {
    let agents = load(&dir.join("config.toml"), &environment());
    let writers = writer(dir);
    match (&agents, &writers) {
        (Ok(agents), Ok(writers)) => {
            assert_eq!(agents.config.for_writer(), writers.config);
            assert!(writers.whole);
        }
        (Ok(_), Err(complaints)) => panic!("only the writer complains: {complaints}"),
        (Err(_), Ok(_)) => {}
        (Err(agents), Err(writers)) => {
            assert!(writers.has_errors());
            for complaint in writers.complaints.iter().filter(|_| agents.omitted == 0) {
                assert!(agents.complaints.contains(complaint), "{complaint}");
            }
        }
    }
    writers
}

#[test]
fn both_loaders_agree_on_whatever_is_written() {
    let dir = folder(&[("config.toml", ""), ("conf.d/1.toml", "")]);
    let check = |texts: &[&str]| {
        for (name, text) in ["config.toml", "conf.d/1.toml"].into_iter().zip(texts.iter().chain(&[""])) {
            fs::write(dir.path().join(name), text).unwrap();
        }
        drop(says_the_same(dir.path()));
    };
    run(20, &mutated(), |text| check(&[&text]));
    run(20, &random_trees(), |texts| check(&texts.iter().map(String::as_str).collect::<Vec<_>>()));
}

#[test]
fn no_file_that_the_config_names_is_opened() {
    let dir = folder(&[("named/secret", "hunter2"), ("named/ca.pem", include_str!("config_ca.pem"))]);
    let named = dir.path().join("named");
    let text = format!(
        "{ENDPOINT}[endpoint.probe]\nkind = \"https\"\nca_file = \"{0}/ca.pem\"\nheaders = {{ a = {{ file = \"{0}/secret\" }} }}\n",
        named.display()
    );
    fs::write(dir.path().join("config.toml"), text).unwrap();
    chmod(&dir.path().join("config.toml"), 0o644);
    let (heard, events) = mpsc::channel();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let _ = heard.send(event.unwrap());
    })
    .unwrap();
    watcher.watch(&named, notify::RecursiveMode::NonRecursive).unwrap();
    let loaded = writer(dir.path()).unwrap();
    assert_eq!(loaded.sources.paths().count(), 1);
    // A mark in the stream of events: all that came before it is there.
    let opened_before = |mark: &str| {
        fs::create_dir(named.join(mark)).unwrap();
        let all = std::iter::from_fn(|| events.recv_timeout(Duration::from_secs(10)).ok());
        let before = all.take_while(|e: &notify::Event| !e.paths.iter().any(|p| p.ends_with(mark)));
        before.flat_map(|e| e.paths).filter(|p| p.is_file()).collect::<BTreeSet<_>>()
    };
    assert_eq!(opened_before("first"), BTreeSet::new());
    let _ = load(&dir.path().join("config.toml"), &environment());
    assert_eq!(opened_before("second"), [named.join("ca.pem"), named.join("secret")].into(), "the watch sees nothing");
}

/// What `load_writer` says, with the folder left out.
fn refusal(dir: &Path) -> String {
    writer(dir).expect_err("somebody else's files were taken").to_string().replace(&dir.display().to_string(), "DIR")
}

#[test]
fn files_that_others_can_change_are_refused_unread() {
    let files = [("config.toml", "x y hunter2"), ("conf.d/1.toml", "")];
    for (path, mode, what) in [
        ("config.toml", 0o664, "file"),
        ("config.toml", 0o602, "file"),
        ("conf.d/1.toml", 0o646, "file"),
        ("conf.d", 0o775, "folder"),
        (".", 0o777, "folder"),
        (".", 0o1777, "folder"),
    ] {
        let dir = folder(&files);
        chmod(&dir.path().join(path), mode);
        let shown = if path == "." { "DIR".to_owned() } else { format!("DIR/{path}") };
        let expected = format!(
            "error: expected a {what} that only its owner can write, found mode {mode:04o}\n  --> {shown}\n   = help: \
             chmod go-w\n"
        );
        assert_eq!(refusal(dir.path()), expected);
        // The agent says the same, and what else it finds.
        let said = load(&dir.path().join("config.toml"), &environment()).unwrap_err().to_string();
        assert!(said.replace(&dir.path().display().to_string(), "DIR").starts_with(&expected), "{said}");
    }
    let dir = folder(&files);
    for path in [".", "conf.d", "conf.d/1.toml", "config.toml"] {
        chmod(&dir.path().join(path), 0o777);
    }
    assert_eq!(writer(dir.path()).unwrap_err().complaints.len(), 4);
    // That alone is enough.
    fs::write(dir.path().join("config.toml"), "").unwrap();
    let complaints = load(&dir.path().join("config.toml"), &environment()).unwrap_err().complaints;
    assert_eq!(complaints.iter().filter(|c| c.severity == Severity::Error).count(), 4);
}

/// As Ansible and git leave them. What passed `check` and `reload` and was then refused was published by nobody.
#[test]
fn the_check_refuses_what_the_writer_would() {
    let dir = folder(&[("config.toml", ""), ("conf.d/1.toml", &format!("{ENDPOINT}{TCP}"))]);
    let check = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_privatelinkd"));
        let said = command.arg("check").arg(dir.path().join("config.toml")).output().unwrap();
        (said.status.code(), String::from_utf8(said.stderr).unwrap())
    };
    let drop_in = dir.path().join("conf.d/1.toml");
    // Root's check asks for the service user, if there is one, who must be able to get there.
    chmod(dir.path(), 0o755);
    chmod(&dir.path().join("conf.d"), 0o755);
    chmod(&dir.path().join("config.toml"), 0o644);
    assert_eq!(check().0, Some(0));
    for (mode, code) in [(0o664, 78), (0o646, 78), (0o644, 0)] {
        chmod(&drop_in, mode);
        let (found, said) = check();
        assert_eq!(found, Some(code), "{said}");
        let complaint = format!("that only its owner can write, found mode {mode:04o}\n  --> {}", drop_in.display());
        assert_eq!(said.contains(&complaint) && said.contains("help: chmod go-w"), code == 78, "{said}");
        assert_eq!(writer(dir.path()).is_err(), code == 78);
    }
}

/// The agent of the service user is not alone: root's hosts writer reads the same files.
#[test]
fn a_file_of_the_service_user_is_not_roots() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root can give files away");
        return;
    }
    let dir = folder(&[("config.toml", "")]);
    let path = dir.path().join("config.toml");
    nix::unistd::chown(&path, Some(nix::unistd::Uid::from_raw(4_321)), None).unwrap();
    let said = |keeper| load(&path, &Environment { keeper, ..environment() }).map_err(|c| c.to_string());
    let expected = "error: expected a file owned by root, found owner 4321";
    assert!(said(Some(0)).unwrap_err().starts_with(expected) && said(None).unwrap_err().starts_with(expected));
    said(Some(4_321)).unwrap();
}

#[test]
fn a_link_is_as_good_as_the_folders_that_it_leads_through() {
    let (dir, real) = (folder(&[("conf.d/1.toml", "")]), folder(&[("real.toml", "[log]\nlevel = \"debug\"\n")]));
    let middle = folder(&[]);
    symlink(real.path().join("real.toml"), middle.path().join("link.toml")).unwrap();
    symlink(middle.path().join("link.toml"), dir.path().join("config.toml")).unwrap();
    let debug = writer(dir.path()).unwrap().config.log.level;
    assert_eq!(debug, LogLevel::Debug);
    for loose in [real.path(), middle.path()] {
        chmod(loose, 0o770);
        let refused = refusal(dir.path());
        assert!(refused.contains("found mode 0770") && refused.contains(&loose.display().to_string()), "{refused}");
        chmod(loose, 0o700);
    }
    // The same for a drop-in, and for their folder.
    symlink(real.path().join("real.toml"), dir.path().join("conf.d/2.toml")).unwrap();
    fs::remove_file(dir.path().join("config.toml")).unwrap();
    fs::write(dir.path().join("config.toml"), "").unwrap();
    chmod(&dir.path().join("config.toml"), 0o644);
    writer(dir.path()).unwrap();
    chmod(real.path(), 0o707);
    assert!(refusal(dir.path()).contains("found mode 0707"));
    fs::remove_dir_all(dir.path().join("conf.d")).unwrap();
    symlink(real.path().join("more"), dir.path().join("conf.d")).unwrap();
    writer(dir.path()).expect("a link to nowhere is no folder of drop-ins");
    fs::create_dir(real.path().join("more")).unwrap();
    chmod(&real.path().join("more"), 0o755);
    assert!(refusal(dir.path()).contains("found mode 0707"));
    // A circle ends.
    fs::remove_file(dir.path().join("config.toml")).unwrap();
    symlink("config.toml", dir.path().join("config.toml")).unwrap();
    refusal(dir.path());
}

#[test]
fn a_path_that_leads_into_a_pipe_is_refused_at_once() {
    let dir = folder(&[]);
    nix::unistd::mkfifo(&dir.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for target in ["pipe", "pipe/config.toml"] {
        symlink(dir.path().join(target), dir.path().join("config.toml")).unwrap();
        refusal(dir.path());
        fs::remove_file(dir.path().join("config.toml")).unwrap();
    }
}

#[test]
fn files_of_other_owners_are_refused() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root can give files away");
        return;
    }
    let own = |path: &Path, uid| nix::unistd::chown(path, Some(nix::unistd::Uid::from_raw(uid)), None).unwrap();
    for (path, what) in [("config.toml", "file"), ("conf.d/1.toml", "file"), ("conf.d", "folder"), (".", "folder")] {
        let dir = folder(&[("config.toml", "hunter2 ="), ("conf.d/1.toml", "")]);
        own(&dir.path().join(path), 4_321);
        let shown = if path == "." { "DIR".to_owned() } else { format!("DIR/{path}") };
        let expected =
            format!("error: expected a {what} owned by root, found owner 4321\n  --> {shown}\n   = help: chown root\n");
        assert_eq!(refusal(dir.path()), expected);
        // A user whose secrets are trusted is not trusted with the policy.
        let trusting = Environment { trusted_uids: [4_321].into(), ..environment() };
        load_writer(&dir.path().join("config.toml"), &trusting).unwrap_err();
    }
    let (dir, real) = (folder(&[]), folder(&[("real.toml", "")]));
    symlink(real.path().join("real.toml"), dir.path().join("config.toml")).unwrap();
    // The link itself may be anybody's: who could put another in its place is told by its folder.
    let link = dir.path().join("config.toml");
    std::os::unix::fs::lchown(&link, Some(4_321), None).unwrap();
    writer(dir.path()).unwrap();
    own(real.path(), 4_321);
    assert!(refusal(dir.path()).contains("expected a folder owned by root, found owner 4321"));
}

#[test]
fn a_missing_file_is_told_as_the_agent_tells_it() {
    let dir = folder(&[]);
    assert!(refusal(dir.path()).starts_with("error: expected a readable configuration file, found no such file"));
    let nowhere = dir.path().join("no/folder");
    assert!(load_writer(&nowhere.join("config.toml"), &environment()).is_err());
}

#[test]
fn the_folders_are_found_however_wrong_the_rest_is() {
    let default = |key: &str| keys::find(key).unwrap().default.unwrap().trim_matches('"').into();
    let defaults = || Folders {
        state_dir: default("host.state_dir"),
        run_dir: default("host.run_dir"),
        hosts_run_dir: default("hosts.run_dir"),
        hosts_state_dir: default("hosts.state_dir"),
        admin_dir: default("host.admin_dir"),
    };
    let found = |text: &str| {
        let dir = folder(&[("config.toml", text), ("conf.d/1.toml", "[host]\nrun_dir = \"/later\"\n")]);
        folders(&dir.path().join("config.toml"))
    };
    let later = || Folders { run_dir: "/later".into(), ..defaults() };
    for text in
        ["", "x y", "host = 1", "[hosts]\nrun_dir = \"relative\"\nstate_dir = \"/a/../b\"\n", "[host]\nrun_dir = 1"]
    {
        assert_eq!(found(text), later(), "{text}");
    }
    let text = "[host]\nstate_dir = \"/1\"\nrun_dir = \"/2\"\nadmin_dir = \"/5\"\nzone = 7\n[hosts]\nrun_dir = \"/3\"\nstate_dir = \"/4\"\n[x\n";
    let all = Folders {
        state_dir: "/1".into(),
        run_dir: "/later".into(),
        hosts_run_dir: "/3".into(),
        hosts_state_dir: "/4".into(),
        admin_dir: "/5".into(),
    };
    assert_eq!(found(text), all);
    assert_eq!(folders(Path::new("/nonexistent/config.toml")), defaults());
}

#[test]
fn folders_are_absolute_whatever_is_written() {
    let dir = folder(&[("config.toml", "")]);
    let path = dir.path().join("config.toml");
    let value =
        select(&["\"/a\"", "\"a\"", "\"\"", "1", "[]", "{", "\"/a/..\"", "\"/\u{7f}\"", "{ run_dir = \"/x\" }"][..]);
    let line = (select(keys::KEYS), value).prop_map(|(key, value)| format!("{} = {value}\n", key.path));
    run(20, &proptest::collection::vec(line, 0..6), |lines| {
        fs::write(&path, lines.concat()).unwrap();
        let Folders { state_dir, run_dir, hosts_run_dir, hosts_state_dir, admin_dir } = folders(&path);
        for folder in [state_dir, run_dir, hosts_run_dir, hosts_state_dir, admin_dir] {
            assert!(folder.is_absolute() && !folder.ends_with(".."), "{}", folder.display());
        }
    });
}
