//! What privatelinkd promises (`src/promises.md`), tied to what cites it and to what holds it.
//!
//! A promise is a section `## B7 — title` of that file. It is cited by its number, a word of its own, in Markdown or in
//! a comment of anything else. What holds it stands between backticks behind "Held by:": a test by its path of modules,
//! a file or folder by its path in the repository, or a search of the stand-in, such as `privatelink-sim rules`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// By their paths in the repository.
type Files = BTreeMap<String, String>;

const PROMISES: &str = "src/promises.md";
/// Where promises are cited, and what holds them is found.
const PLACES: [&str; 7] = ["src", "tests", "packaging", "config", "systemd", "README.md", "CHANGELOG.md"];
/// The stand-in, and where its searches are listed.
const SIM: (&str, &str) = ("privatelink-sim ", "tests/sim/src/main.rs");

#[test]
fn what_is_cited_is_promised_and_what_is_promised_is_held() {
    let found = complaints(&read_all(&super::root()));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn read_all(root: &Path) -> Files {
    let (mut files, mut left) = (Files::new(), Vec::from(PLACES.map(|place| root.join(place))));
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap());
            // What a run of the tests leaves behind is hidden.
            let shown = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
            left.extend(shown.map(|entry| entry.path()));
        } else if path.is_file() {
            // What is no text cites nothing.
            files.insert(super::relative(root, &path), std::fs::read_to_string(&path).unwrap_or_default());
        }
    }
    files
}

/// What is wrong with these files, a line each.
fn complaints(files: &Files) -> Vec<String> {
    let (mut found, mut known) = (Vec::new(), BTreeSet::new());
    for Promise { id, held_by } in made(files.get(PROMISES).map_or("", String::as_str)) {
        if !known.insert(id) {
            found.push(format!("{PROMISES}: {id} is promised twice"));
        }
        if held_by.is_empty() {
            found.push(format!("{PROMISES}: {id} names nothing that holds it"));
        }
        let missing = held_by.into_iter().filter(|thing| !is_there(files, thing));
        found.extend(missing.map(|thing| format!("{PROMISES}: {id} is held by `{thing}`, which is not there")));
    }
    for (file, text) in files {
        let unknown = cited(file, text).into_iter().filter(|(_, id)| !known.contains(id));
        found.extend(unknown.map(|(line, id)| format!("{file}:{line}: {id} is promised nowhere")));
    }
    found
}

struct Promise<'t> {
    id: &'t str,
    held_by: Vec<&'t str>,
}

/// The promises that a text makes.
fn made(text: &str) -> Vec<Promise<'_>> {
    text.split("\n## ").skip(1).filter_map(promise).collect()
}

/// The promise that a section makes, if it makes one.
fn promise(section: &str) -> Option<Promise<'_>> {
    let (id, rest) = section.split_once(" — ")?;
    let list = rest.split_once("\nHeld by:\n").map_or("", |(_, list)| list);
    is_promise(id).then(|| Promise { id, held_by: list.split('`').skip(1).step_by(2).collect() })
}

/// Every promise that a file cites, with the line.
fn cited<'t>(file: &str, text: &'t str) -> Vec<(usize, &'t str)> {
    let mut found = Vec::new();
    for (at, line) in (1..).zip(text.lines()) {
        // What is not part of a name, of a number or of a percent-encoded text parts words.
        let words = prose(file, line).split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '%'));
        found.extend(words.filter(|word| is_promise(word)).map(|word| (at, word)));
    }
    found
}

/// What of a line is for people.
fn prose<'t>(file: &str, line: &'t str) -> &'t str {
    let comment = match Path::new(file).extension().and_then(|ending| ending.to_str()) {
        Some("md") => return line,
        Some("rs") => line.split_once("//"),
        _ => line.split_once('#'),
    };
    comment.map_or("", |(_, comment)| comment)
}

/// `B` and a number from 1 to 99.
fn is_promise(word: &str) -> bool {
    let number = word.strip_prefix('B').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    number.is_some_and(|digits| !digits.starts_with('0') && matches!(digits.len(), 1 | 2))
}

/// True if what is to hold a promise is there.
fn is_there(files: &Files, thing: &str) -> bool {
    if let Some(search) = thing.strip_prefix(SIM.0) {
        return files.get(SIM.1).is_some_and(|text| has_search(text, search));
    }
    match thing.rsplit_once("::") {
        Some((module, test)) => files.iter().any(|(file, text)| holds(file, module) && has_test(text, test)),
        None => {
            let beneath = |file: &String| file.strip_prefix(thing).is_some_and(|rest| rest.starts_with('/'));
            thing.contains('/') && (files.contains_key(thing) || files.keys().any(beneath))
        }
    }
}

/// True if the stand-in has this subcommand: a variant of that name with options of its own.
fn has_search(text: &str, search: &str) -> bool {
    let variant = |line: &str| line.trim_start().split_once('(').map(|(name, _)| name.to_lowercase());
    text.lines().any(|line| variant(line).is_some_and(|name| name == search))
}

/// True if the tests of `module` stand in `file`: one of their own, or that of what they test.
fn holds(file: &str, module: &str) -> bool {
    let inner = ["src/", "tests/"].into_iter().find_map(|folder| file.strip_prefix(folder));
    let Some(stem) = inner.and_then(|path| path.strip_suffix(".rs")) else { return false };
    let path = stem.strip_suffix("/mod").unwrap_or(stem).replace('/', "::");
    module == path || module.strip_suffix("::tests").is_some_and(|tested| tested == path)
}

/// True if there is a function of this name with an attribute that makes a test of it.
fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    let head = format!("fn {name}(");
    lines.iter().enumerate().any(|(at, line)| {
        let is_it = line.strip_prefix("async ").unwrap_or(line).starts_with(&head);
        let mut attributes = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
        is_it && attributes.any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    })
}

/// A made-up repository in which one promise is made, and all is right.
fn repository() -> Files {
    let files = [
        (
            PROMISES,
            "# Promises\n\n## B1 — Kept\n\nHeld by:\n- `a::tests::it_holds`, `tests/e2e`\n- `privatelink-sim rules`\n",
        ),
        ("src/a.rs", "//! See B1.\n\nmod tests {\n    #[test]\n    fn it_holds() {}\n}\n"),
        ("tests/e2e/faults", "# B1\n"),
        (SIM.1, "enum Command {\n    Rules(rules::Options),\n}\n"),
    ];
    files.map(|(file, text)| (file.to_owned(), text.to_owned())).into()
}

#[test]
fn what_is_not_right_is_told_with_its_place() {
    assert_eq!(complaints(&repository()), Vec::<String>::new());
    let held_by =
        |id: &str, what: &str| format!("# Promises\n\n## B1 — Kept\n\nHeld by:\n- `src/a.rs`\n\n## {id} — Too\n{what}");
    let cases = [
        ("src/b.rs", "\n/// B2, and B1.\nfn b() {}\n".to_owned(), "src/b.rs:2: B2 is promised nowhere"),
        ("README.md", "B1\nB3\n".to_owned(), "README.md:2: B3 is promised nowhere"),
        ("config/config.toml", "# B1 and B4\n".to_owned(), "config/config.toml:1: B4 is promised nowhere"),
        (PROMISES, held_by("B1", "\nHeld by:\n- `src/a.rs`\n"), "src/promises.md: B1 is promised twice"),
        (PROMISES, held_by("B2", "\nBy nothing.\n"), "src/promises.md: B2 names nothing that holds it"),
        (
            PROMISES,
            held_by("B2", "\nHeld by:\n- `src/b.rs`\n"),
            "src/promises.md: B2 is held by `src/b.rs`, which is not there",
        ),
        (
            "src/a.rs",
            "fn it_holds() {}\n".to_owned(),
            "src/promises.md: B1 is held by `a::tests::it_holds`, which is not there",
        ),
        (
            SIM.1,
            "Fleet(fleet::Options),\n".to_owned(),
            "src/promises.md: B1 is held by `privatelink-sim rules`, which is not there",
        ),
    ];
    for (file, text, complaint) in cases {
        let mut files = repository();
        files.insert(file.to_owned(), text);
        assert_eq!(complaints(&files), [complaint]);
    }
    let without = |file: &str| Files::from_iter(repository().into_iter().filter(|(other, _)| other != file));
    assert_eq!(
        complaints(&without("tests/e2e/faults")),
        ["src/promises.md: B1 is held by `tests/e2e`, which is not there"]
    );
    assert_eq!(complaints(&without(PROMISES)).len(), 2, "what is promised nowhere is cited twice");
}

#[test]
fn a_citation_is_told_from_what_only_looks_like_one() {
    let of = |file, text| cited(file, text).into_iter().map(|(_, id)| id).collect::<Vec<_>>();
    assert_eq!(of("a.md", "B0, B100, B2B, xB3, %B4%AD, B5_a, BB6: B7-B8, `B9`."), ["B7", "B8", "B9"]);
    assert_eq!(of("a.rs", "let B1 = 2; // as B3 has it"), ["B3"]);
    assert_eq!(of("a.sh", "B1=2 # as B3 has it"), ["B3"]);
    assert_eq!(of("check", "echo B1"), Vec::<&str>::new());
}

#[test]
fn a_test_is_found_by_its_path_and_its_attribute() {
    for (file, module) in [
        ("src/a/b.rs", "a::b::tests"),
        ("src/a/b/tests.rs", "a::b::tests"),
        ("src/a/mod.rs", "a::tests"),
        ("tests/a.rs", "a"),
        ("tests/a/b.rs", "a::b"),
    ] {
        assert!(holds(file, module), "{file} {module}");
    }
    for (file, module) in [("src/a.rs", "b::tests"), ("src/a.rs", "x::a"), ("tests/a.py", "a"), ("packaging/a.rs", "a")]
    {
        assert!(!holds(file, module), "{file} {module}");
    }
    let tests = [
        "#[test]\nfn a() {",
        "  #[tokio::test(start_paused = true)]\n  async fn a() {",
        "#[test]\n#[ignore = \"x\"]\nfn a(",
    ];
    assert!(tests.iter().all(|text| has_test(text, "a")));
    let others =
        ["fn a() {", "#[test]\nfn ab() {", "#[test]\nfn b() {}\n\nfn a() {", "#[cfg(test)]\nfn a() {", "// fn a()"];
    assert!(!others.iter().any(|text| has_test(text, "a")));
}
