//! The architecture, enforced: fails on every arrow between rooms that the rules forbid, and on every promise that is
//! cited and not made, or made and held by nothing (`promises`).
//!
//! To judge another checkout: build this test, then run its binary with `CARGO_MANIFEST_DIR` set to that folder.

mod circles;
mod guides;
mod promises;
mod rules;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rules::{BANS, Ban, FILE_BUDGET, MAIN_BUDGET, ROOMS, Room, Rooms};
use walk::{House, Mention};

#[test]
fn no_arrow_is_forbidden() {
    let found = violations(&House::read(&sources()));
    assert!(found.is_empty(), "{} forbidden arrows:\n{}", found.len(), found.join("\n"));
}

#[test]
fn every_file_has_a_room_and_keeps_to_its_budget() {
    let (sources, mut found) = (sources(), Vec::new());
    let house = House::read(&sources);
    for (file, text) in &sources {
        let module = walk::module_of(file);
        if room_of(&module).is_none() {
            found.push(format!("{file}: no room in tests/architecture/rules.rs has this path"));
        }
        if house.is_test(&module) {
            continue;
        }
        let budget = if *file == "src/main.rs" { MAIN_BUDGET } else { FILE_BUDGET };
        let lines = production_lines(text);
        if lines > budget {
            found.push(format!("{file}: expected at most {budget} lines before its tests, found {lines}"));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// What formats the code leaves comments as they are.
#[test]
fn no_comment_is_wider_than_the_code() {
    let widest = std::fs::read_to_string(root().join(".rustfmt.toml")).unwrap();
    let widest: usize = widest.lines().find_map(|line| line.strip_prefix("max_width = ")).unwrap().parse().unwrap();
    let mut found = Vec::new();
    for (file, text) in &sources() {
        for (line, number) in text.lines().zip(1..) {
            let width = line.chars().count();
            if line.trim_start().starts_with("//") && width > widest {
                found.push(format!("{file}:{number}: expected at most {widest} columns, found {width}"));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn no_files_import_each_other_in_circles() {
    let found = circles::circles(&House::read(&sources()));
    assert!(found.is_empty(), "{} circles of imports:\n{found:#?}", found.len());
}

/// The package's folder.
fn root() -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"))
}

/// Every source file of the house, by its path from the package's folder.
fn sources() -> Vec<(String, String)> {
    let root = root();
    let (mut found, mut folders) = (Vec::new(), vec![root.join("src")]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push((relative(&root, &path), std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no source found below {}", root.display());
    found
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap().to_str().unwrap().to_owned()
}

/// What is forbidden, as lines for people: the first mention of each kind in a file, and how many more there are.
fn violations(house: &House) -> Vec<String> {
    let mut lines: Vec<(String, usize)> = Vec::new();
    let mut known = BTreeMap::new();
    for mention in house.mentions() {
        for path in &mention.chain {
            for objection in objections(&mention, path) {
                let at = *known.entry((mention.file.clone(), objection.what)).or_insert_with(|| {
                    lines.push((objection.line(&mention, path), 0));
                    lines.len() - 1
                });
                lines[at].1 += 1;
            }
        }
    }
    let more = |n| if n > 1 { format!(" (and {} more)", n - 1) } else { String::new() };
    lines.into_iter().map(|(line, n)| line + &more(n)).collect()
}

/// Why a mention is forbidden, and what it leads to: a room, or what a ban is about.
struct Objection {
    what: &'static str,
    why: &'static str,
}

impl Objection {
    fn line(&self, mention: &Mention, path: &[String]) -> String {
        let from = if mention.module.len() == 1 { "lib".to_owned() } else { mention.module[1..].join("::") };
        format!("{}:{}: {from} → {}: {}", mention.file, mention.line, path.join("::"), self.why)
    }
}

/// What speaks against `mention` leading to `path`.
fn objections(mention: &Mention, path: &[String]) -> Vec<Objection> {
    let Some(from) = room_of(&mention.module) else { return Vec::new() };
    let arrow = forbidden_room(from, path).map(|what| Objection { what, why: from.why });
    let bans = BANS.iter().filter(|ban| holds_in(ban, from) && (ban.in_tests || !mention.test));
    let banned = bans.filter_map(|ban| Some(Objection { what: banned_thing(ban, path, mention.glob)?, why: ban.why }));
    arrow.into_iter().chain(banned).collect()
}

/// The room that a path of the house leads into: the one with the longest matching path. What belongs to no room is
/// the root's own.
fn room_of(path: &[String]) -> Option<&'static Room> {
    let inner = path.strip_prefix(&["crate".to_owned()])?.join("::");
    let inner = if inner.is_empty() { "lib" } else { &inner };
    ROOMS.iter().filter(|room| is_beneath(inner, room.at)).max_by_key(|room| room.at.len())
}

/// The room that `path` leads into, if `from` must not name it.
fn forbidden_room(from: &Room, path: &[String]) -> Option<&'static str> {
    path.first().filter(|first| *first == "crate")?;
    let to = room_of(path).map_or("lib", |room| room.at);
    (!is_beneath(to, from.at) && !lists(from.may, to)).then_some(to)
}

fn holds_in(ban: &Ban, room: &Room) -> bool {
    match ban.rooms {
        Rooms::Everywhere => true,
        Rooms::Pure => room.pure,
        Rooms::In(rooms) => lists(rooms, room.at),
        Rooms::NotIn(rooms) => !lists(rooms, room.at),
    }
}

/// True if `rooms` has `room`, or `x::*` that it lies beneath.
fn lists(rooms: &[&str], room: &str) -> bool {
    rooms.iter().any(|entry| match entry.strip_suffix("::*") {
        Some(top) => is_beneath(room, top),
        None => room == *entry,
    })
}

fn is_beneath(path: &str, top: &str) -> bool {
    path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The entry of a ban that `path` falls under. A glob names everything beneath it, and so also what is banned there.
fn banned_thing(ban: &Ban, path: &[String], glob: bool) -> Option<&'static str> {
    let text = path.join("::");
    if ban.but.iter().any(|free| is_beneath(&text, free)) {
        return None;
    }
    let falls_under = |what: &&str| match what.strip_prefix('*') {
        Some(end) => path.iter().any(|segment| segment.ends_with(end)),
        None => is_beneath(&text, what) || (glob && is_beneath(what, &text)),
    };
    ban.what.iter().copied().find(falls_under)
}

/// The lines before the last `#[cfg(test)] mod`.
fn production_lines(text: &str) -> usize {
    let parsed = syn::parse_file(text).unwrap();
    let tests = parsed.items.iter().rev().find_map(|item| match item {
        syn::Item::Mod(m) => m.attrs.iter().find(|a| walk::is_cfg_test(a)).map(|a| a.pound_token.spans[0]),
        _ => None,
    });
    tests.map_or_else(|| text.lines().count(), |span| span.start().line - 1)
}

/// What is wrong with a house of these files.
fn judge(sources: &[(&str, &str)]) -> Vec<String> {
    let sources: Vec<_> = sources.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
    violations(&House::read(&sources))
}

#[test]
fn the_rules_speak_of_rooms_that_exist() {
    let named = ROOMS.iter().flat_map(|room| room.may);
    let banned = BANS.iter().flat_map(|ban| match ban.rooms {
        Rooms::In(rooms) | Rooms::NotIn(rooms) => rooms,
        Rooms::Everywhere | Rooms::Pure => &[],
    });
    for entry in named.chain(banned) {
        let at = entry.strip_suffix("::*").unwrap_or(entry);
        assert!(ROOMS.iter().any(|room| room.at == at), "{entry}");
    }
}

#[test]
fn every_rule_is_about_something_that_is_there() {
    let sources = sources();
    let house = House::read(&sources);
    let modules: Vec<_> = sources.iter().map(|(file, _)| walk::module_of(file)).collect();
    let empty = ROOMS.iter().filter(|room| !modules.iter().any(|m| room_of(m).is_some_and(|of| of.at == room.at)));
    let mut idle: Vec<String> = empty.map(|room| format!("no file is in the room {}", room.at)).collect();
    let (arrows, named) = mentioned(&house);
    for (room, entry) in ROOMS.iter().flat_map(|room| room.may.iter().map(move |entry| (room, entry))) {
        // The nouns are everybody's.
        if *entry != "model" && !arrows.iter().any(|(from, to)| *from == room.at && lists(&[entry], to)) {
            idle.push(format!("{} may name {entry}, and does not", room.at));
        }
    }
    for ban in BANS {
        let needed = |room: &&&str| !named.iter().any(|(from, why)| *why == ban.why && lists(&[room], from));
        if let Rooms::NotIn(rooms) = ban.rooms {
            idle.extend(rooms.iter().filter(needed).map(|room| format!("{room} needs no leave from: {}", ban.why)));
        }
    }
    assert!(idle.is_empty(), "{} rules are about nothing:\n{}", idle.len(), idle.join("\n"));
}

/// A room, and what it leads to.
type Pairs = BTreeSet<(&'static str, &'static str)>;

/// Every arrow between two rooms; and by room the bans, by their reasons, that something in it falls under, whether or
/// not they hold there.
fn mentioned(house: &House) -> (Pairs, Pairs) {
    let (mut arrows, mut named) = (BTreeSet::new(), BTreeSet::new());
    for mention in house.mentions() {
        let Some(from) = room_of(&mention.module) else { continue };
        for path in &mention.chain {
            if path.first().is_some_and(|first| first == "crate") {
                arrows.insert((from.at, room_of(path).map_or("lib", |room| room.at)));
            }
            let bans = BANS.iter().filter(|ban| banned_thing(ban, path, mention.glob).is_some());
            named.extend(bans.map(|ban| (from.at, ban.why)));
        }
    }
    (arrows, named)
}

#[test]
fn forbidden_arrows_are_caught_however_they_are_written() {
    let house = |file, text| {
        let rest = [
            ("src/publish/mod.rs", "pub mod hosts; pub use hosts::file::replace; pub use hosts::Writer as Scribe;"),
            (
                "src/publish/hosts/mod.rs",
                "pub mod file; pub use file::*; pub use self::writer::Writer; pub mod writer;",
            ),
            ("src/publish/hosts/file.rs", "pub fn replace() {} pub struct Lock;"),
            ("src/publish/hosts/writer.rs", "pub struct Writer;"),
            ("src/model/mod.rs", "pub struct Plan;"),
        ];
        judge(&[&rest[..], &[(file, text)]].concat())
    };
    let cases = [
        ("src/steer/mod.rs", "use crate::publish::*;", "publish"),
        ("src/steer/mod.rs", "use crate::*;", "crate"),
        (
            "src/steer/mod.rs",
            "use crate::{model::Plan, publish::{hosts::{self, file}, Scribe}};",
            "publish::hosts::file",
        ),
        (
            "src/steer/mod.rs",
            "use crate::publish as news; fn f() { news::hosts::file::replace() }",
            "hosts::file::replace",
        ),
        ("src/steer/mod.rs", "fn f(_: &crate::publish::hosts::writer::Writer) {}", "hosts::writer::Writer"),
        ("src/steer/rank.rs", "use super::super::probe::Runner;", "probe::Runner"),
        ("src/steer/rank.rs", "mod deep { use super::super::super::probe as p; }", "probe"),
        ("src/steer/mod.rs", "fn f() { assert!(crate::probe::dial().is_ok()) }", "probe::dial"),
        ("src/steer/mod.rs", "fn f() { join!(a, { use crate::{probe::dial}; }) }", "probe::dial"),
        ("src/steer/mod.rs", "macro_rules! m { () => { $crate::probe::dial() } }", "probe::dial"),
        ("src/steer/mod.rs", "#[cfg(test)] mod tests { use crate::probe::dial; }", "probe::dial"),
        ("src/steer/mod.rs", "#[derive(crate::probe::Derive)] struct S;", "probe::Derive"),
        ("src/steer/mod.rs", "fn f<T: crate::probe::Prober>() {}", "probe::Prober"),
        ("src/steer/mod.rs", "fn f() { <crate::probe::Tcp as Clone>::clone }", "probe::Tcp"),
        ("src/main.rs", "fn main() { privatelinkd::agent::run() }", "agent::run"),
        // A façade does not hide where it leads, whether it renames, globs or steps twice.
        ("src/publish/hosts/block.rs", "use crate::publish::replace;", "hosts::file::replace"),
        ("src/publish/hosts/block.rs", "use super::Lock;", "hosts::file::Lock"),
        ("src/publish/hosts/file.rs", "use super::super::Scribe;", "hosts::writer::Writer"),
        // Neither does a glob of a parent that imported what the child then uses.
        ("src/publish/hosts/block.rs", "use super::*; fn f() { file::replace() }", "hosts::file::replace"),
        ("src/sys/mod.rs", "use crate::config::Config;", "config::Config"),
        ("src/agent/mod.rs", "use crate::cli::Args;", "cli::Args"),
        ("src/discover/mod.rs", "use crate::config::loader;", "config::loader"),
    ];
    for (file, text, target) in cases {
        let found = house(file, text);
        let hit = |line: &String| line.starts_with(&format!("{file}:1: ")) && line.contains(&format!("{target}: "));
        assert!(found.iter().any(hit), "{file}: {text}\nfound {found:#?}");
    }
}

#[test]
fn the_world_is_kept_out_however_it_is_written() {
    let cases = [
        ("src/health/mod.rs", "use tokio::time::Duration;"),
        ("src/health/mod.rs", "use std::{net::{IpAddr, TcpStream}};"),
        ("src/health/mod.rs", "use std::net; fn f(_: net::UdpSocket) {}"),
        ("src/health/mod.rs", "use std as all; fn f() { all::fs::read(\"x\"); }"),
        ("src/health/mod.rs", "use std::time::*;"),
        ("src/health/mod.rs", "use ::std::time::Instant;"),
        ("src/health/mod.rs", "fn f() { println!(\"{}\", std::process::id()) }"),
        ("src/health/mod.rs", "fn f() { tracing::info!(\"x\") }"),
        ("src/health/mod.rs", "extern crate notify as n;"),
        ("src/observe/metrics.rs", "use std::fs as f;"),
        ("src/config/check.rs", "fn f() { core::todo!(\"{:?}\", std::env::var(\"X\")) }"),
        ("src/config/keys.rs", "use std::os::unix::net::UnixStream;"),
        ("src/agent/mod.rs", "fn f() { unsafe { g() } }"),
        ("src/agent/mod.rs", "unsafe fn f() {}"),
        ("src/agent/mod.rs", "unsafe impl Send for X {}"),
        ("src/agent/mod.rs", "m!({ unsafe { g() } });"),
        ("src/agent/mod.rs", "use std::process; fn f() { process::exit(1) }"),
        ("src/agent/mod.rs", "use anyhow::Context as _;"),
        ("src/agent/mod.rs", "#[path = \"../probe/dial.rs\"] mod dial;"),
        ("src/agent/mod.rs", "include!(\"x.rs\");"),
        ("src/probe/mod.rs", "use nix::sys::socket;"),
        ("src/probe/dial.rs", "use tokio::net::{self}; fn f() { net::lookup_host(\"x\") }"),
        ("src/observe/serve.rs", "use tokio::sync::watch; struct S(watch::Sender<u8>);"),
        ("src/observe/serve.rs", "struct EventSender; fn f(_: EventSender) {}"),
        ("src/observe/serve.rs", "fn f() { tokio::net::TcpListener::bind(\"x\") }"),
        ("src/publish/hosts/writer.rs", "use tokio::net::UnixStream;"),
    ];
    for (file, text) in cases {
        assert!(!judge(&[(file, text)]).is_empty(), "{file}: {text}");
    }
}

#[test]
fn what_the_rules_allow_passes() {
    let cases = [
        ("src/steer/mod.rs", "use crate::model::*; use std::net::{IpAddr, SocketAddr}; use std::time::Duration;"),
        ("src/steer/mod.rs", "/// See [`crate::publish`] and `tokio::spawn`.\nfn f() {}"),
        ("src/steer/mod.rs", "pub(crate) fn f() {} pub(in crate::publish) fn g() {}"),
        ("src/steer/mod.rs", "fn f(notify: u8, publish: u8) -> u8 { notify + publish }"),
        ("src/steer/mod.rs", "#[cfg(test)] mod tests { use std::fs; use super::*; #[tokio::test] async fn t() {} }"),
        ("src/steer/mod.rs", "enum Tokio { Net } fn f() { Tokio::Net; }"),
        ("src/probe/mod.rs", "pub mod dial; use crate::health::Tracker; use dial::Dial;"),
        ("src/observe/mod.rs", "pub mod metrics; pub use metrics::render; pub mod serve;"),
        ("src/observe/events.rs", "use tokio::sync::watch::Sender; fn f() { tracing::info!(\"x\") }"),
        ("src/probe/dial.rs", "use nix::errno::Errno; fn f() { Errno::EPIPE; }"),
        ("src/config/check.rs", "use std::os::unix::fs::MetadataExt as _; fn f(m: &std::fs::Metadata) {}"),
        ("src/sys/signals.rs", "use nix::sys::signal; fn f() { unsafe { g() } }"),
        ("src/publish/hosts/file.rs", "use rustix::fs; use std::os::fd::AsFd; use crate::sys::atomic_file;"),
        ("src/cli/run.rs", "use anyhow::Result; use crate::{agent, config::loader, publish::hosts::writer};"),
        ("src/main.rs", "use privatelinkd::cli; fn main() -> std::process::ExitCode { cli::main() }"),
        ("src/lib.rs", "pub mod agent; pub mod cli;"),
    ];
    for (file, text) in cases {
        assert_eq!(judge(&[(file, text)]), Vec::<String>::new(), "{file}: {text}");
    }
}

#[test]
fn test_modules_in_files_of_their_own_are_tests() {
    let outer = ("src/steer/mod.rs", "#[cfg(test)] mod tests;");
    assert_eq!(judge(&[outer, ("src/steer/tests.rs", "use std::fs;")]), Vec::<String>::new());
    assert_eq!(judge(&[("src/steer/tests.rs", "use std::fs;")]).len(), 1);
}

#[test]
fn a_violation_names_place_arrow_and_reason() {
    let found =
        judge(&[("src/steer/mod.rs", "//! Doc.\n\nuse crate::probe::dial;\nuse crate::probe::dial as again;\n")]);
    let line = "src/steer/mod.rs:3: steer → crate::probe::dial: a plan is a function of its inputs (and 1 more)";
    assert_eq!(found, [line]);
}

#[test]
fn circles_of_imports_are_found_and_front_doors_are_none() {
    let found = |sources: &[(&str, &str)]| {
        let sources: Vec<_> = sources.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
        circles::circles(&House::read(&sources))
    };
    let child = ("src/steer/a.rs", "use super::T; pub struct A(T); pub fn f() {}");
    let circle = [["src/steer/a.rs", "src/steer/mod.rs"]];
    for parent in ["mod a; use self::a::A; pub struct T;", "mod a; pub use a::f; pub struct T; fn g() { f() }"] {
        assert_eq!(found(&[("src/steer/mod.rs", parent), child]), circle, "{parent}");
    }
    for parent in ["mod a; pub use self::a::A; pub struct T;", "pub mod a; pub struct T; #[cfg(test)] use a::A;"] {
        assert_eq!(found(&[("src/steer/mod.rs", parent), child]), [[""; 0]; 0], "{parent}");
    }
    let three = [
        ("src/steer/mod.rs", "mod a; mod b; mod c; pub use a::A;"),
        ("src/steer/a.rs", "use super::b::B; pub struct A;"),
        ("src/steer/b.rs", "pub struct B; fn f() { super::c::g() }"),
        ("src/steer/c.rs", "use crate::steer::A; pub fn g() {}"),
    ];
    assert_eq!(found(&three), [["src/steer/a.rs", "src/steer/b.rs", "src/steer/c.rs"]]);
}

#[test]
fn imports_in_circles_end() {
    let sources = [
        ("src/steer/mod.rs", "pub use self::a::x; pub use b::*; pub mod a; pub mod b; fn f() { x(); y::z() }"),
        ("src/steer/a.rs", "pub use super::x; pub use super::*;"),
        ("src/steer/b.rs", "pub use super::*; use y; use z as q; use q as z;"),
    ];
    assert_eq!(judge(&sources), Vec::<String>::new());
    // And soon: each module is asked once, however many ways lead there.
    let globs: String = (0..12).map(|n| format!("pub use super::m{n}::*; use outside{n}::*; pub mod m{n};")).collect();
    let many: Vec<_> =
        (0..12).map(|n| (format!("src/steer/m{n}.rs"), format!("{globs} fn f() {{ missing() }}"))).collect();
    assert_eq!(violations(&House::read(&many)), Vec::<String>::new());
}

#[test]
fn only_the_lines_before_the_last_test_module_count() {
    assert_eq!(production_lines("fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n"), 2);
    assert_eq!(production_lines("#[cfg(test)]\nuse x;\nfn a() {}\n"), 3);
}
