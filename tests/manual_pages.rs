//! The pages that the program makes of its command line and of the table of keys, and the completions of shells: they
//! say what `--help` and the loader say, refer to pages that there are, and fit on a terminal.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use privatelinkd::config::{Loaded, from_texts, keys};
use regex_lite::Regex;

use crate::config_files::{ENDPOINT, environment};
use crate::manual;

/// Columns of a terminal.
const TERMINAL: usize = 80;

/// What the program prints.
fn told(arguments: &[&str]) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_privatelinkd")).args(arguments).env("COLUMNS", "100").output().unwrap();
    assert!(out.status.success() && out.stderr.is_empty(), "{arguments:?}: {out:?}");
    String::from_utf8(out.stdout).unwrap()
}

/// Every page that is made, by the name of its file.
fn made() -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().unwrap();
    told(&["man", "--all", folder.path().to_str().unwrap()]);
    let mut pages = BTreeMap::new();
    for section in ["man5", "man8"] {
        for entry in fs::read_dir(folder.path().join(section)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            assert!(name.ends_with(&section[3..]), "{name} in {section}");
            pages.insert(name, fs::read_to_string(path).unwrap());
        }
    }
    pages
}

/// A page, or a piece of it, as a reader sees it, on one line.
fn plain(roff: &str) -> String {
    let lines = roff.lines().filter(|line| !line.starts_with('.')).collect::<Vec<_>>();
    words(&manual::plain(&lines.join("\n").replace("\\*(Aq", "'").replace("\\:", "")))
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The commands that the help of one lists.
fn commands(help: &str) -> Vec<String> {
    let Some((_, listed)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    let lines = listed.lines().take_while(|line| !line.is_empty());
    let named = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    named.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

/// The options that a help lists, by their long names.
fn options(help: &str) -> BTreeSet<String> {
    let long = Regex::new(r"(?m)^ {2,6}(?:-\w, )?--([a-z-]+)").unwrap();
    long.captures_iter(help).map(|found| found[1].to_owned()).collect()
}

/// The words of every command, the program's own first.
fn all_commands() -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    let mut at = 0;
    while let Some(path) = all.get(at).cloned() {
        let more = commands(&help_of(&path));
        let below = more.into_iter().filter(|name| name != "help");
        all.extend(below.map(|name| path.iter().cloned().chain([name]).collect()));
        at += 1;
    }
    all
}

fn help_of(command: &[String]) -> String {
    let arguments: Vec<&str> = command.iter().map(String::as_str).chain(["--help"]).collect();
    told(&arguments)
}

#[test]
fn every_command_has_a_page_that_says_what_its_help_says() {
    let (pages, all) = (made(), all_commands());
    assert!(all.len() >= 19, "{all:?}");
    let expected: BTreeSet<String> = all
        .iter()
        .map(|words| {
            format!("{}.8", ["privatelinkd".to_owned()].iter().chain(words).cloned().collect::<Vec<_>>().join("-"))
        })
        .chain(["privatelinkd.toml.5".to_owned()])
        .collect();
    assert_eq!(pages.keys().cloned().collect::<BTreeSet<_>>(), expected);
    for command in &all {
        let name = ["privatelinkd".to_owned()].iter().chain(command).cloned().collect::<Vec<_>>().join("-");
        let (page, help) = (&pages[&format!("{name}.8")], help_of(command));
        // Options: each of one in the other, with the words around it.
        let heads = Regex::new(r"(?m)^\.TP\n(?:\\fB\\-\w\\fR, )?\\fB\\-\\-([a-z\\-]+)\\fR").unwrap();
        let of_page: BTreeSet<_> = heads.captures_iter(page).map(|found| found[1].replace("\\-", "-")).collect();
        assert_eq!(of_page, options(&help), "{name}");
        assert!(of_page.contains("help"), "{name}");
        let synopsis = plain(manual::section(page, "SYNOPSIS"));
        assert!(synopsis.starts_with(&name.replace('-', " ")), "{name}: {synopsis}");
        for option in of_page.iter().filter(|option| *option != "help") {
            assert!(synopsis.contains(&format!("[--{option}")), "{name}: {synopsis}");
        }
        // What it does stands in the first lines of the help, in its list of the command above, and in its page.
        let (does, _) = help.split_once("\n\nUsage:").unwrap();
        let described = if command.is_empty() { "NAME" } else { "DESCRIPTION" };
        let said = plain(manual::section(page, described));
        assert!(said.contains(&words(&does.replace('`', ""))), "{name}: {does:?} is not in {said:?}");
        for below in commands(&help) {
            let listed = plain(manual::section(page, "COMMANDS"));
            let entry = if below == "help" {
                format!("{} help [command]", name.replace('-', " "))
            } else {
                format!("{name}-{below}(8)")
            };
            assert!(listed.contains(&entry), "{name}: {entry}");
        }
        // Printed alone it is the same.
        let arguments: Vec<&str> = ["man"].into_iter().chain(command.iter().map(String::as_str)).collect();
        assert_eq!(&told(&arguments), page, "{name}");
    }
}

#[test]
fn the_page_of_a_command_ends_with_the_exit_codes_of_the_help() {
    let help = told(&["--help"]);
    let (_, codes) = help.split_once("Exit codes: ").unwrap();
    for (name, page) in made().iter().filter(|(name, _)| name.ends_with(".8")) {
        let said = plain(manual::section(page, "EXIT STATUS"));
        assert_eq!(said, words(codes).replace(',', "").trim_end_matches('.'), "{name}");
    }
}

#[test]
fn pages_tell_nothing_of_the_machine_and_are_the_same_each_time() {
    let pages = made();
    assert_eq!(pages, made());
    let day = Regex::new(r"20\d\d-\d\d-\d\d").unwrap();
    for (name, page) in &pages {
        assert!(page.is_ascii(), "{name}");
        assert!(!page.contains(env!("CARGO_MANIFEST_DIR")) && day.find(page).is_none(), "{name}");
        let version = format!("\"\" \"privatelinkd {}\" \"privatelinkd manual\"\n", env!("CARGO_PKG_VERSION"));
        let title = page.lines().find(|line| line.starts_with(".TH ")).unwrap();
        assert!(format!("{title}\n").ends_with(&version), "{name}: {title}");
        assert!(title.starts_with(&format!(".TH {} ", name[..name.len() - 2].to_uppercase())), "{name}: {title}");
    }
}

#[test]
fn every_page_that_a_page_names_is_there() {
    let mut pages = made();
    pages.extend(manual::pages());
    let reference = Regex::new(r"(privatelinkd[a-z.-]*)\s?\(([578])\)").unwrap();
    let mut named = BTreeSet::new();
    for (file, page) in &pages {
        let text = page.replace("\\-", "-").replace("\\fR", "").replace("\\fB", "");
        let there: Vec<_> =
            reference.captures_iter(&text).map(|found| format!("{}.{}", &found[1], &found[2])).collect();
        for name in &there {
            assert!(pages.contains_key(name), "{file} names {name}");
        }
        let also = manual::section(page, "SEE ALSO").replace("\\-", "-").replace("\\fR", "");
        assert!(reference.find_iter(&also).count() >= 2, "{file}: {also}");
        named.extend(there);
    }
    assert_eq!(pages.into_keys().collect::<BTreeSet<_>>(), named, "a page that no other names is not found");
}

#[test]
fn an_unknown_page_is_refused_and_the_known_ones_are_told() {
    let out = Command::new(env!("CARGO_BIN_EXE_privatelinkd")).args(["man", "nosuch"]).output().unwrap();
    let said = String::from_utf8(out.stderr).unwrap();
    assert!(out.status.code() == Some(2) && out.stdout.is_empty(), "{said}");
    assert!(said.contains("no page \"nosuch\"") && said.contains("privatelinkd-hosts-apply"), "{said}");
    assert_eq!(told(&["man", "privatelinkd-status"]), told(&["man", "status"]));
    let file = tempfile::NamedTempFile::new().unwrap();
    let out =
        Command::new(env!("CARGO_BIN_EXE_privatelinkd")).args(["man", "--all"]).arg(file.path()).output().unwrap();
    assert_eq!(out.status.code(), Some(70), "{out:?}");
    assert!(String::from_utf8(out.stderr).unwrap().contains("can't write"));
}

/// What the page of the config says of each key: its head and its words, by its path.
fn described() -> BTreeMap<String, (String, String)> {
    let page = told(&["man", "privatelinkd.toml"]);
    let mut keys = BTreeMap::new();
    for table in manual::section(&page, "KEYS").split("\n.SS ").skip(1).chain(first_table(&page)) {
        let (header, rest) = table.split_once('\n').unwrap();
        let path = header.trim_matches(['[', ']']);
        for group in rest.split(".TP\n").skip(1) {
            let heads: Vec<&str> = group.split(".TQ\n").collect();
            let (last, about) = heads.last().unwrap().split_once('\n').unwrap();
            for head in heads.iter().map(|head| head.lines().next().unwrap()) {
                let head = plain(head);
                let name = head.split(' ').next().unwrap().to_owned();
                let double = keys.insert(format!("{path}.{name}"), (head, plain(about)));
                assert_eq!(double, None, "{path}.{name} {last}");
            }
        }
    }
    keys
}

/// The one right below the heading.
fn first_table(page: &str) -> Option<&str> {
    let rest = manual::section(page, "KEYS").strip_prefix(".SS ")?;
    rest.split("\n.SS ").next()
}

#[test]
fn the_page_of_the_config_has_every_key_with_its_kind_and_default() {
    let described = described();
    let table: BTreeSet<&str> = keys::KEYS.iter().map(|key| key.path).collect();
    assert_eq!(described.keys().map(String::as_str).collect::<BTreeSet<_>>(), table);
    for key in keys::KEYS {
        let name = key.path.rsplit('.').next().unwrap();
        let (head, about) = &described[key.path];
        let default = key.default.map(|default| format!(", default {default}")).unwrap_or_default();
        assert_eq!(*head, words(&format!("{name} ({}{default})", key.kind)), "{}", key.path);
        assert!(about.split(' ').count() >= 3, "{}: {about}", key.path);
        let restart = about.contains("A change takes a restart.");
        assert_eq!(restart, keys::AT_RESTART.contains(&key.path), "{}: {about}", key.path);
    }
    let page = told(&["man", "privatelinkd.toml"]);
    for secret in ["cloud.credentials.access_key_secret_file", "endpoint.probe.password_file"] {
        assert!(plain(manual::section(&page, "SECRETS")).contains(secret), "{secret}");
    }
}

/// A config with an endpoint that is probed so.
fn probed(kind: &str, more: &str) -> String {
    let user = if kind == "mysql" { "user = \"probe\"\n" } else { "" };
    let port = if kind == "tcp" { "port = 5432\n" } else { "" };
    format!("{ENDPOINT}[endpoint.probe]\nkind = \"{kind}\"\n{user}{port}{more}")
}

const ROLE: &str =
    "[cloud.credentials]\nprovider = \"ram_role_arn\"\nrole_arn = \"acs:ram::1234567890123456:role/probe\"\n";

#[test]
fn the_defaults_of_the_page_are_those_of_the_loader() {
    let described = described();
    let load = |text: &str| -> Loaded {
        from_texts(&[("config.toml", text)], &environment()).unwrap_or_else(|c| panic!("{c}\n{text}"))
    };
    let mut used = BTreeMap::new();
    let bare = ENDPOINT.lines().filter(|line| !line.starts_with("private_dns")).collect::<Vec<_>>().join("\n");
    let named_by_domain = format!("{bare}\ndomain = \"db.example.com\"\npublish_domain = true\n");
    let texts = ["https", "tdengine", "matrixone", "mysql", "tcp"].map(|kind| probed(kind, ""));
    for text in texts.iter().map(String::as_str).chain(["", ROLE, &named_by_domain]) {
        for value in load(text).effective.values.into_iter().filter(|value| value.origin == "default") {
            used.insert(value.key.replace("endpoint.a.", "endpoint."), value.value.unwrap());
        }
    }
    for (key, (head, _)) in &described {
        let Some((_, default)) = head.split_once(", default ") else { continue };
        // What depends on the kind has no one default.
        let found = used.get(key).unwrap_or_else(|| panic!("nothing takes the default of {key}"));
        assert_eq!(words(found), default.strip_suffix(')').unwrap(), "{key}");
    }
}

/// From where to where a duration may be, as its description says.
fn range(about: &str) -> Option<(Duration, Duration)> {
    let range = Regex::new(r"(\d+(?:ms|s|m|h|d)) to (\d+ ?(?:ms|s|m|h|day|d|year))\b").unwrap();
    let found = range.captures(about)?;
    Some((humantime::parse_duration(&found[1]).unwrap(), humantime::parse_duration(&found[2]).unwrap()))
}

#[test]
fn the_ranges_of_durations_are_those_of_the_loader() {
    let mut seen = 0;
    for (key, (head, about)) in described() {
        if !head.contains("(a duration") {
            continue;
        }
        let (shortest, longest) = range(&about).unwrap_or_else(|| panic!("{key} has no range: {about}"));
        let (table, name) = key.rsplit_once('.').unwrap();
        let refused = |value: Duration| {
            let line = format!("{name} = \"{}\"\n", humantime::format_duration(value));
            let text = match table {
                "endpoint.probe" => probed(kind_with(name), &line),
                "endpoint.steering" => format!("{ENDPOINT}[endpoint.steering]\n{line}"),
                "cloud.credentials" => format!("{ROLE}{line}"),
                _ => format!("[{table}]\n{line}"),
            };
            let complaints = from_texts(&[("config.toml", &text)], &environment()).err();
            complaints.is_some_and(|complaints| complaints.to_string().contains("expected a duration"))
        };
        let is_whole = head.contains("whole seconds");
        assert!(!refused(shortest) && !refused(longest), "{key}: {shortest:?} to {longest:?}");
        if !shortest.is_zero() {
            assert!(refused(shortest - shortest / 50), "{key} may be shorter than {shortest:?}");
        }
        let more = if is_whole { Duration::from_secs(1) } else { longest / 50 };
        assert!(refused(longest + more), "{key} may be longer than {longest:?}");
        seen += 1;
    }
    assert!(seen >= 20, "{seen}");
}

/// A kind of probe that has a key.
fn kind_with(name: &str) -> &'static str {
    let owners = keys::probe_kinds();
    owners.iter().find(|(_, own)| own.contains(&name)).map_or("https", |(kind, _)| kind)
}

#[test]
fn the_example_of_the_page_holds() {
    let page = told(&["man", "privatelinkd.toml"]);
    let example = manual::section(&page, "EXAMPLE").strip_prefix(".EX\n").unwrap().split("\n.EE").next().unwrap();
    let example = manual::plain(example);
    let loaded = from_texts(&[("config.toml", &example)], &environment()).unwrap_or_else(|c| panic!("{c}"));
    assert_eq!(loaded.config.endpoints.len(), 2);
    assert_eq!(loaded.warnings, []);
}

#[test]
fn groff_renders_every_page_without_a_word_on_eighty_columns() {
    for (name, page) in made() {
        let groff = Command::new("groff")
            .args(["-man", "-ww", "-Tascii", "-P-cbou", "-rLL=78n"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut groff = groff.expect("groff (package groff-base) runs");
        groff.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
        let out = groff.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success() && said.trim().is_empty(), "{name}: {said}");
        let text = String::from_utf8(out.stdout).unwrap();
        assert!(text.lines().count() > 20, "{name}: {text}");
        for line in text.lines() {
            assert!(line.len() <= TERMINAL, "{name}: {line}");
        }
    }
}

/// What bash offers for the last of these words.
fn offered(script: &str, typed: &[&str]) -> BTreeSet<String> {
    let ask = "eval \"$SCRIPT\"; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1))\n\
               _privatelinkd privatelinkd \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"\n\
               printf '%s\\n' \"${COMPREPLY[@]}\"";
    let out = Command::new("bash").args(["-c", ask, "bash"]).args(typed).env("SCRIPT", script).output().unwrap();
    assert!(out.status.success() && out.stderr.is_empty(), "{typed:?}: {out:?}");
    String::from_utf8(out.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_every_command_and_option_and_none_that_the_help_hides() {
    let script = told(&["completions", "bash"]);
    let only =
        |typed: &[&str], expected: &str| assert_eq!(offered(&script, typed), BTreeSet::from([expected.to_owned()]));
    only(&["privatelinkd", "st"], "status");
    only(&["privatelinkd", "--log", "debug", "hosts", "ap"], "apply");
    only(&["privatelinkd", "completions", "z"], "zsh");
    only(&["privatelinkd", "--log", "de"], "debug");
    for command in all_commands() {
        let help = help_of(&command);
        let typed = |last| -> Vec<&str> {
            ["privatelinkd"].into_iter().chain(command.iter().map(String::as_str)).chain([last]).collect()
        };
        let long: BTreeSet<_> = options(&help).into_iter().map(|name| format!("--{name}")).collect();
        assert_eq!(offered(&script, &typed("--")), long, "{command:?}");
        let all = offered(&script, &typed(""));
        assert!(commands(&help).iter().all(|name| all.contains(name)), "{command:?}: {all:?}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(!told(&["completions", shell]).contains("as-unit"), "{shell}");
    }
}
