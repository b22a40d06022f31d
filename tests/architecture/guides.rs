//! What the crate's own account of itself refers to is there: every path that stands between backticks in its Markdown.

use std::path::Path;

const PLACES: [&str; 5] = ["src/", "tests/", "config/", "packaging/", "systemd/"];
/// Made by `tests/run`.
const MADE: &str = "tests/.cache";

#[test]
fn what_the_guides_name_is_there() {
    let root = super::root();
    let guides = std::fs::read_dir(root.join("src")).unwrap().map(|entry| entry.unwrap().path());
    let guides: Vec<_> = guides.filter(|path| path.extension().is_some_and(|ending| ending == "md")).collect();
    assert!(guides.len() >= 4, "{guides:?}");
    for guide in guides {
        let text = std::fs::read_to_string(&guide).unwrap();
        let missing = missing(&text, &|path| root.join(path).exists());
        assert!(missing.is_empty(), "{} names what is not there: {missing:?}", guide.display());
    }
}

/// The paths in a text that lead to nothing.
fn missing(text: &str, exists: &dyn Fn(&Path) -> bool) -> Vec<String> {
    let named = text.split('`').skip(1).step_by(2).filter(|word| PLACES.iter().any(|place| word.starts_with(place)));
    named
        .filter(|word| !word.contains(' ') && !word.starts_with(MADE) && !exists(Path::new(word)))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_path_that_leads_nowhere_is_found() {
    let exists = |path: &Path| path == Path::new("src/lib.rs");
    assert_eq!(
        missing("`src/lib.rs`, `tests/.cache/log`, `src/gone.rs` and `health/other.rs`, `cargo test src/`", &exists),
        ["src/gone.rs"]
    );
}
