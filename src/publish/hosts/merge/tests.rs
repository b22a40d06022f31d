use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const BLOCK: &str = "# BEGIN privatelinkd\n10.0.0.1 a.x\n# END privatelinkd\n";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn folded(base: &str, current: &str, late: &str) -> (String, bool) {
    let folded = fold(Some(base.as_bytes()), current.as_bytes(), late.as_bytes());
    (text(&folded.file), folded.conflict)
}

#[test]
fn a_change_that_one_side_made_is_taken() {
    for (what, base, current, late, expected) in [
        ("appended", "a\nb\n", "a\nb\n", "a\nb\nc\n", "a\nb\nc\n"),
        ("removed", "a\nb\nc\n", "a\nb\nc\n", "a\nc\n", "a\nc\n"),
        ("changed on both sides, apart", "a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n", "A\nb\nC\n"),
        ("appended by both", "a\n", "a\nx\n", "a\ny\n", "a\nx\ny\n"),
        ("the same by both", "a\n", "a\nx\n", "a\nx\n", "a\nx\n"),
        ("added beside what the other changed", "a\nb\n", "a\nB\n", "a\nb\nx\n", "a\nB\nx\n"),
        ("filled after it was seen empty", "", "", "a\nb\n", "a\nb\n"),
        ("emptied, and the other added", "a\nb\n", "a\nb\nx\n", "", "x\n"),
        ("no final newline", "a", "a\nx\n", "a", "a\nx\n"),
        ("a line behind one without a newline", "a", "a", "a\nb", "a\nb"),
        ("behind one without a newline by both", "a", "a\nx\n", "a\ny\n", "a\nx\ny\n"),
        ("the same, and one with a newline", "b\na", "b\na\nx", "b\na\ny\n", "b\na\nx\ny\n"),
        ("a newline alone, and a line", "a", "a\n", "b\na", "b\na\n"),
        ("one of two equal lines", "a\na\n", "a\na\nx\n", "a\n", "a\nx\n"),
    ] {
        assert_eq!(folded(base, current, late), (expected.to_owned(), false), "{what}");
    }
}

#[test]
fn an_edit_that_was_folded_in_before_comes_back_unless_somebody_knew_of_it() {
    for (what, base, current, late, expected) in [
        ("it is there", "a\n", "a\nx\n", "a\nx\n", None),
        ("undone by who did not know of it", "a\n", "a\ny\n", "a\nx\n", Some("a\ny\nx\n")),
        ("so is a change", "a\nb\n", "a\nb\ny\n", "a\nB\n", Some("a\ny\nB\n")),
        ("changed again", "a\nb\n", "a\nBB\n", "a\nB\n", None),
        ("what was removed was added anew", "a\nb\n", "a\nb\n", "a\n", None),
        ("one of two removed lines is there", "a\nb\nc\n", "a\nb\ny\n", "a\nx\n", Some("a\ny\nx\n")),
        (
            "former lines of ours went besides",
            "a\n10.0.0.7 a.x\n",
            &format!("a\ny\n{BLOCK}"),
            "a\nx\n",
            Some(&format!("a\ny\nx\n{BLOCK}")),
        ),
        ("one of two lines is gone", "a\n", "a\nx\n", "a\nx\nz\n", Some("a\nx\nz\n")),
        ("the block alone is another one", BLOCK, "# BEGIN privatelinkd\n# END privatelinkd\n", BLOCK, None),
    ] {
        let folded = fold_again(Some(base.as_bytes()), current.as_bytes(), late.as_bytes());
        let foreign = |file: &[u8]| text(&block::without(file).0);
        assert_eq!(foreign(&folded.file), foreign(expected.unwrap_or(current).as_bytes()), "{what}");
    }
}

#[test]
fn of_two_changes_of_one_line_both_stay_and_it_is_told() {
    assert_eq!(folded("a\nb\nc\n", "a\nB\nc\n", "a\nbb\nc\n"), ("a\nB\nbb\nc\n".to_owned(), true));
    assert_eq!(folded("a\nb\n", "a\n", "a\nbb\n"), ("a\nbb\n".to_owned(), true), "one removed it");
}

#[test]
fn our_block_is_the_present_one_and_keeps_its_place() {
    let other = BLOCK.replace("10.0.0.1", "10.0.0.2");
    for (what, base, current, late, expected) in [
        (
            "before",
            format!("a\n{BLOCK}z\n"),
            format!("a\n{other}z\n"),
            format!("b\na\n{BLOCK}z\n"),
            format!("b\na\n{other}z\n"),
        ),
        (
            "behind",
            format!("a\n{BLOCK}z\n"),
            format!("a\n{other}z\n"),
            format!("a\n{BLOCK}z\ny\n"),
            format!("a\n{other}z\ny\n"),
        ),
        ("the first block", "a\n".to_owned(), format!("a\n{other}"), "a\nb\n".to_owned(), format!("a\nb\n{other}")),
        (
            "it was taken out",
            format!("a\n{BLOCK}z\n"),
            format!("a\n{other}z\n"),
            "a\nz\nx\n".to_owned(),
            format!("a\n{other}z\nx\n"),
        ),
        // What `sed /^#/d` left of our lines is not the editor's.
        (
            "its markers went",
            format!("a\n{BLOCK}z\n"),
            format!("a\n{other}z\n"),
            "a\n10.0.0.1 a.x\nz\nx\n".to_owned(),
            format!("a\n{other}z\nx\n"),
        ),
        (
            "only its body was damaged",
            format!("a\n{BLOCK}"),
            format!("a\n{other}"),
            format!("a\n{}", BLOCK.replace("a.x", "b.x")),
            format!("a\n{other}"),
        ),
    ] {
        let (file, conflict) = folded(&base, &current, &late);
        let lines = |file: &str| file.lines().filter(|l| !l.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!((lines(&file), conflict), (lines(&expected), false), "{what}: {file}");
        assert!(matches!(block::present(file.as_bytes()), Present::Whole(_)), "{what}: {file}");
    }
}

#[test]
fn without_a_base_nothing_of_either_is_dropped() {
    fn fold<'f>(current: &'f str, late: &str) -> Folded<'f> {
        super::fold(None, current.as_bytes(), late.as_bytes())
    }
    assert!(matches!(fold("a\nb\n", "a\nb\n").file, Cow::Borrowed(_)));
    let both = fold("a\nb\nc\n", "a\nc\nd\n");
    assert_eq!((text(&both.file), both.conflict), ("a\nb\nc\nd\n".to_owned(), false));
    let ours = format!("a\n{BLOCK}");
    assert!(matches!(fold(&ours, "a\n").file, Cow::Borrowed(_)), "the block is no edit");
}

/// No stretch may cost more than its sorting: without a bound this takes minutes.
#[test]
fn large_files_that_differ_everywhere_are_merged() {
    let many = |from: u32| (from..from + 200_000).map(|n| format!("{n}\n")).collect::<String>();
    let (base, current, late) = (many(0), many(50_000), many(150_000));
    let (file, _) = folded(&base, &current, &late);
    assert!(file.lines().filter(|l| l.parse::<u32>().is_ok_and(|n| n >= 200_000)).count() >= 150_000);
    let same = "x\n".repeat(100_000);
    assert_eq!(folded(&same, &format!("a\n{same}"), &format!("{same}b\n")).0, format!("a\n{same}b\n"));
}

fn files() -> impl Strategy<Value = Vec<u8>> {
    let line = proptest::sample::select(vec!["a\n", "b\n", "c\n", "d\n", "e\r\n", "\n", "\u{fffd}\n"]);
    let end = proptest::sample::select(vec!["", "f", "\0"]);
    (proptest::collection::vec(line, 0..12), end).prop_map(|(lines, end)| [&lines.concat()[..], end].concat().into())
}

fn counted(file: &[u8]) -> BTreeMap<Vec<u8>, usize> {
    let mut counted = BTreeMap::new();
    for line in file.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        *counted.entry(line.to_vec()).or_default() += 1;
    }
    counted
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn who_changed_nothing_changes_nothing(a in files(), b in files()) {
        let fold = |base: &[u8], current: &[u8], late: &[u8]| fold(Some(base), current, late).file.into_owned();
        prop_assert_eq!(fold(&a, &b, &a), b.clone(), "the late one");
        prop_assert_eq!(fold(&a, &a, &b), b.clone(), "the present one");
        prop_assert_eq!(fold(&a, &b, &b), b.clone(), "both did the same");
    }

    /// An added line may be one of several equal ones, which makes no difference to a resolver.
    #[test]
    fn what_anybody_added_is_there(base in proptest::option::of(files()), current in files(), late in files()) {
        let merged = fold(base.as_deref(), &current, &late).file.into_owned();
        let there = counted(&merged);
        let before = base.as_deref().map(counted);
        for side in [counted(&current), counted(&late)] {
            for line in side.keys() {
                let new = before.as_ref().is_none_or(|before| !before.contains_key(line));
                prop_assert!(!new || there.contains_key(line), "{:?} lacks {line:?}", merged);
            }
        }
        let known = [Some(counted(&current)), Some(counted(&late))];
        let of_nobody = there.keys().find(|line| !known.iter().flatten().any(|side| side.contains_key(*line)));
        prop_assert_eq!(of_nobody, None);
    }

    /// A kill between the swap and the end of the displaced file makes the same edit come twice.
    #[test]
    fn an_edit_that_comes_twice_is_there_once(base in files(), added in 0..3usize, at in 0..12usize, current in files()) {
        let mut late: Vec<&[u8]> = base.split_inclusive(|b| *b == b'\n').collect();
        late.splice(at.min(late.len())..at.min(late.len()), [&b"new 1\n"[..], b"new 2\n", b"new 3\n"][..added].iter().copied());
        let late = late.concat();
        let once = fold(Some(&base), &current, &late).file.into_owned();
        let twice = fold(Some(&base), &once, &late).file.into_owned();
        prop_assert_eq!(counted(&twice), counted(&once));
    }

    #[test]
    fn the_block_stays_whole(base in files(), current in files(), late in files(), at in 0..12usize) {
        let lines: Vec<&[u8]> = current.split_inclusive(|b| *b == b'\n').collect();
        let place: usize = lines.iter().take(at).map(|line| line.len()).sum();
        let ours = Present::Whole(block::salvage(BLOCK.as_bytes()).unwrap());
        let Present::Whole(wanted) = &ours else { unreachable!() };
        let with = block::insert(current.clone(), place, wanted);
        prop_assume!(block::present(&with) == ours);
        let merged = fold(Some(&base), &with, &late).file.into_owned();
        prop_assert_eq!(block::present(&merged), ours);
    }
}
