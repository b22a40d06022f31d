//! Whatever stands in the files: no panic, no hang, and every complaint lies inside its file.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

use std::collections::BTreeSet;

use privatelinkd::config::{Complaints, Environment, from_texts, keys};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::support::cases;

const SAMPLES: &[&str] = &[
    include_str!("../config/config.toml"),
    include_str!("../config/examples/tcp.toml"),
    include_str!("../config/examples/https.toml"),
    include_str!("config_bad/several.toml"),
    include_str!("config_bad/headers.toml"),
    include_str!("config_bad/credentials.toml"),
];

/// Judges the texts, renders everything that comes out, and holds it against the texts.
fn survives(texts: &[(&str, &str)]) {
    let trusted_uids = BTreeSet::from([0]);
    let environment = Environment { hostname: "web1.example.com".parse().ok(), trusted_uids, ..Environment::default() };
    match from_texts(texts, &environment) {
        Ok(loaded) => {
            let _ = (loaded.effective.to_string(), serde_json::to_string(&loaded.effective).unwrap());
            loaded.warnings.iter().for_each(|c| inside(c.file.as_str(), c.line, c.column, texts));
            for endpoint in loaded.config.endpoints.values() {
                // What is found out needs no address, and may have any zone.
                let found_out = endpoint.id.is_some() || endpoint.domain.is_some();
                assert!(found_out || !endpoint.addresses.is_empty());
                assert!(endpoint.addresses.values().all(|a| !a.is_empty()));
                assert!(found_out || endpoint.zone_names.keys().all(|zone| endpoint.addresses.contains_key(zone)));
            }
        }
        Err(complaints) => {
            assert!(complaints.has_errors() && complaints.complaints.len() <= Complaints::LIMIT);
            for c in &complaints.complaints {
                inside(&c.file, c.line, c.column, texts);
            }
            for line in complaints.to_string().lines() {
                assert!(!line.chars().any(char::is_control), "{line:?}");
            }
            serde_json::to_string(&complaints).unwrap();
        }
    }
}

fn inside(file: &str, line: Option<usize>, column: Option<usize>, texts: &[(&str, &str)]) {
    let (_, text) = texts.iter().find(|(name, _)| *name == file).expect("a file that was read");
    let (Some(line), Some(column)) = (line, column) else { return };
    let content = text.split('\n').nth(line - 1).expect("a line of the file");
    assert!((1..=content.chars().count() + 1).contains(&column), "column {column} of {content:?}");
}

pub(crate) fn run<S: Strategy>(share: u32, strategy: &S, test: impl Fn(S::Value)) {
    let config = Config { cases: (cases() / share).max(1), failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let result = runner.run(strategy, |value| {
        test(value);
        Ok(())
    });
    result.unwrap();
}

#[test]
fn random_bytes() {
    let letters = select("[]{}=.,\"'#\n\r\t\\ abe_-0159:ä\u{202e}\u{0}".chars().collect::<Vec<_>>());
    let text = prop_oneof![vec(letters, 0..80).prop_map(String::from_iter), any::<String>()];
    run(3, &text, |text| survives(&[("config.toml", &text)]));
}

#[test]
fn mutated_samples() {
    run(10, &mutated(), |text| survives(&[("config.toml", &text)]));
}

/// A sample with a few changes.
pub(crate) fn mutated() -> impl Strategy<Value = String> {
    let change =
        (any::<Index>(), 0..12_usize, select(&["", "=", "\"", "\n", "[", "}", "x", " = ", "'''", "\u{7f}", "1"][..]));
    (select(SAMPLES), vec(change, 0..6), any::<bool>()).prop_map(|(sample, changes, switched_on)| {
        let mut text: Vec<char> = if switched_on { switch_on(sample) } else { sample.to_owned() }.chars().collect();
        for (place, removed, inserted) in changes {
            let from = place.index(text.len() + 1);
            let to = (from + removed).min(text.len());
            text.splice(from..to, inserted.chars());
        }
        text.into_iter().collect()
    })
}

/// One slip of the finger anywhere must not bring a secret to light.
#[test]
fn a_slip_beside_a_secret_does_not_show_it() {
    let sample = "[log]\nlevel = \"loud\"\n[[endpoint]]\nname = \"a\"\naddresses = { h = \"10.0.0.1\" }\n\
                  private_dns = [\"db.example.com\"]\n[endpoint.probe]\nkind = \"https\"\npath = \"/\"\n";
    let inline = "headers = { id = \"hunter2\", authorization = \"hunter2\" }\ntimeout = \"x\"\n";
    let table = "[endpoint.probe.headers]\nauthorization = \"hunter2\"\nid = \"hunter2\"\n[hosts]\npublish = 1\n";
    let spread = "headers = {\n  authorization = \"hunter2\",\n  id = \"\"\"\nhunter2\"\"\",\n}\n";
    let texts = "body = \"hunter2\"\nexpect = \"hunter2\"\ntimeout = \"x\"\n";
    let slip = select(&["", "=", "\"", "\n", "[", "]", "{", "}", ",", ".", "#", "x", " ", "'", "\"\"\"", "\u{7f}"][..]);
    let strategy = (select(vec![inline, table, spread, texts]), any::<Index>(), 0..2_usize, slip);
    run(3, &strategy, |(secrets, place, removed, inserted)| {
        let mut text = format!("{sample}{secrets}");
        let from = place.index(text.len());
        text.replace_range(from..from + removed, inserted);
        // A slip that breaks the word itself is no case.
        survives(&[("config.toml", &text)]);
        let environment = Environment::default();
        let said = match from_texts(&[("config.toml", &text)], &environment) {
            Ok(loaded) => loaded.effective.to_string(),
            Err(complaints) => complaints.to_string() + &serde_json::to_string(&complaints).unwrap(),
        };
        assert!(!said.contains("hunter2"), "{text}\n{said}");
    });
}

/// Takes the `#` from keys, and short cuts so that the fuzzing spends its time on keys.
fn switch_on(sample: &str) -> String {
    let key = |line: &str| line.starts_with('#') && !line.starts_with("# ");
    let lines = sample.lines().filter(|l| !l.starts_with("# "));
    lines.map(|l| if key(l) { &l[1..] } else { l }).flat_map(|l| [l, "\n"]).collect()
}

#[test]
fn random_trees_over_drop_ins() {
    run(3, &random_trees(), |texts| {
        let names = ["config.toml", "conf.d/1.toml", "conf.d/2.toml"];
        let texts: Vec<_> = names.iter().copied().zip(texts.iter().map(String::as_str)).collect();
        survives(&texts);
    });
}

/// Known keys with values that fit now and then: a main file and up to two drop-ins.
pub(crate) fn random_trees() -> impl Strategy<Value = Vec<String>> {
    let value = select(
        &[
            "1",
            "-1",
            "99999999999999999999",
            "1.5",
            "true",
            "1979-05-27",
            "\"\"",
            "\"tcp\"",
            "\"https\"",
            "\"a\"",
            "\"5s\"",
            "\"10.0.0.1\"",
            "\"/a/b\"",
            "\"a.example.com\"",
            "[]",
            "[\"h\"]",
            "[1]",
            "{}",
            "{ h = \"10.0.0.1\" }",
            "{ a = { file = \"/nonexistent/x\" } }",
            "[{ name = \"a\" }]",
            "[{ id = \"h\" }, 1]",
            "{ kind = \"https\" }",
        ][..],
    );
    let name =
        || prop_oneof![6 => select(keys::KEYS).prop_map(|k| k.path.to_owned()), 1 => "[a-z_.]{1,8}".prop_map(|s| s)];
    let line = (name(), value).prop_map(|(path, value)| {
        let (table, key) = path.rsplit_once('.').unwrap_or(("host", &path));
        let array = matches!(table, "endpoint" | "endpoint.zone");
        (table.to_owned(), array, format!("{key} = {value}\n"))
    });
    let text = vec((line, any::<bool>()), 0..16).prop_map(|lines| {
        let mut text = String::new();
        let mut last = String::new();
        for ((table, array, line), fresh) in lines {
            if table != last || (array && fresh) {
                text += &if array { format!("[[{table}]]\n") } else { format!("[{table}]\n") };
                last = table;
            }
            text += &line;
        }
        text
    });
    vec(text, 1..4)
}

#[test]
fn large_and_nasty_files_are_judged_in_time() {
    let mega = 1 << 20;
    for text in [
        "=\n".repeat(mega / 2),
        "a".repeat(mega),
        "[[endpoint]]\n".repeat(mega / 13),
        "\"".repeat(mega),
        "[".repeat(mega),
        format!("a = {}", "{a = ".repeat(mega / 5)),
        format!("a = [{}]", "1,".repeat(mega / 2)),
        format!("{}a = 1", "a.".repeat(mega / 2)),
        (0..mega / 12).map(|i| format!("k{i} = 1\n")).collect(),
        format!("hosts = {{ {} }}", (0..mega / 12).map(|i| format!("k{i} = 1,")).collect::<String>()),
        "[endpoint.probe\n".repeat(mega / 16),
        "[[endpoint.zone]]\nid='h'\n".repeat(mega / 25),
    ] {
        survives(&[("config.toml", &text), ("conf.d/1.toml", &text)]);
    }
}
