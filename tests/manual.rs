//! The manual: what the packages install as man pages. Others read it here, too: the documented configs, the table of
//! metrics, what a fleet asks of a database, and the line that deletes a block.

use std::fs;
use std::process::Command;

use crate::config_files::root;

/// Columns of a line at most.
const WIDTH: usize = 120;

/// The escapes of roff that our pages use, and what they mean.
const ESCAPES: [(&str, &str); 14] = [
    ("\\\n", ""),
    ("\\&", ""),
    ("\\%", ""),
    ("\\fB", ""),
    ("\\fI", ""),
    ("\\fR", ""),
    ("\\-", "-"),
    ("\\e", "\\"),
    ("\\(aq", "'"),
    ("\\(ha", "^"),
    ("\\(ti", "~"),
    ("\\(lq", "\u{201c}"),
    ("\\(rq", "\u{201d}"),
    ("\\(->", "\u{2192}"),
];

/// A page as it is written, `privatelinkd-….7`.
pub(crate) fn page(name: &str) -> String {
    fs::read_to_string(root().join("packaging/man").join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every page, with its name.
pub(crate) fn pages() -> Vec<(String, String)> {
    let mut pages = Vec::new();
    for entry in fs::read_dir(root().join("packaging/man")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let text = page(&name);
        pages.push((name, text));
    }
    pages.sort();
    pages
}

/// What stands under a heading, as it is written.
pub(crate) fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let begin = format!("\n.SH {heading}\n");
    let at = page.find(&begin).unwrap_or_else(|| panic!("no section {heading}")) + begin.len();
    page[at..].split("\n.SH ").next().unwrap()
}

/// What stands between `.EX` and `.EE`, as a reader sees it.
pub(crate) fn examples(page: &str) -> Vec<String> {
    page.split("\n.EX\n").skip(1).map(|rest| plain(rest.split("\n.EE\n").next().unwrap())).collect()
}

/// A piece of a page as a reader sees it.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let known = ESCAPES.iter().find(|known| rest.starts_with(known.0));
        let known = known.unwrap_or_else(|| panic!("an escape that is not in the table: {rest}"));
        out.push_str(known.1);
        rest = &rest[known.0.len()..];
    }
    out.push_str(rest);
    out
}

#[test]
fn every_page_says_who_it_is() {
    let pages = pages();
    assert!(pages.len() >= 2);
    for (file, text) in &pages {
        let name = file.strip_suffix(".7").unwrap_or_else(|| panic!("{file} is of no section that is packaged"));
        let head = format!("\n.TH {} 7 ", name.to_uppercase().replace('-', "\\-"));
        assert!(text.contains(&head), "{file}: expected {head:?}");
        let said = section(text, "NAME");
        assert!(said.starts_with(&format!("{name} \\- ")) && said.lines().count() == 1, "{file}: {said}");
    }
}

#[test]
fn every_page_is_plain_text_that_fits() {
    for (file, text) in pages() {
        for (n, line) in text.lines().enumerate() {
            assert!(line.is_ascii(), "{file}:{}: roff has escapes for what is not ASCII: {line}", n + 1);
            assert!(line.len() <= WIDTH, "{file}:{}: {} columns", n + 1, line.len());
            assert_eq!(line.trim_end(), line, "{file}:{}: blanks at the end", n + 1);
        }
        // None has an escape that `plain` does not know.
        assert!(!examples(&text).is_empty(), "{file}");
    }
}

#[test]
fn pages_refer_to_pages_that_there_are() {
    let pages = pages();
    for (file, text) in &pages {
        for (name, _) in &pages {
            let name = name.strip_suffix(".7").unwrap().replace('-', "\\-");
            let reference = format!(".BR {name} (7)");
            let own = file.strip_suffix(".7").unwrap().replace('-', "\\-") == name;
            assert_eq!(section(text, "SEE ALSO").contains(&reference), !own, "{file}: {reference}");
        }
    }
}

#[test]
fn the_file_of_variables_that_the_unit_reads_is_told_of() {
    let unit = fs::read_to_string(root().join("systemd/privatelinkd.service")).unwrap();
    let file = unit.lines().find_map(|line| line.strip_prefix("EnvironmentFile=-")).unwrap();
    for (name, page) in pages() {
        assert!(plain(section(&page, "FILES")).contains(file), "{name}: {file}");
    }
}

#[test]
fn units_name_pages_that_there_are() {
    let mut units = 0;
    for entry in fs::read_dir(root().join("systemd")).unwrap() {
        let path = entry.unwrap().path();
        if !path.extension().is_some_and(|kind| ["service", "socket", "path"].iter().any(|unit| kind == *unit)) {
            continue;
        }
        let unit = fs::read_to_string(&path).unwrap();
        let said = unit.lines().filter_map(|line| line.strip_prefix("Documentation="));
        let pages: Vec<_> = said.flat_map(str::split_whitespace).filter_map(|uri| uri.strip_prefix("man:")).collect();
        assert!(!pages.is_empty(), "{}: no page for an admin who reads systemctl status", path.display());
        for name in pages {
            let file = name.strip_suffix("(7)").map(|name| root().join(format!("packaging/man/{name}.7")));
            assert!(file.is_some_and(|file| file.exists()), "{}: {name}", path.display());
        }
        units += 1;
    }
    assert_eq!(units, 6);
}

#[test]
fn groff_has_nothing_to_say() {
    for (file, _) in pages() {
        let path = root().join("packaging/man").join(&file);
        let groff = Command::new("groff").args(["-man", "-ww", "-z", "-Tutf8"]).arg(&path).output();
        let out = groff.expect("groff (package groff-base) runs");
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success() && said.trim().is_empty(), "{said}");
    }
}
