use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::model::AnswerReason;
use crate::publish::hosts::block::{Entry, EntryReason};

const OURS: [&str; 2] = ["db.internal", "gw.internal"];

fn ours(names: &[&str]) -> Vec<HostName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn take(file: &[u8]) -> Vec<u8> {
    adopt(file, &ours(&OURS)).file.into_owned()
}

fn give(file: &[u8]) -> Vec<u8> {
    unadopt(file).file.into_owned()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn block() -> Block {
    let entry = || Entry {
        addresses: vec!["10.0.1.15".parse().unwrap()],
        reason: EntryReason::Answer(AnswerReason::Healthy),
        changed: None,
    };
    Block::from(BTreeMap::from(OURS.map(|name| (name.parse().unwrap(), entry()))))
}

#[test]
fn lines_read_as_documented() {
    let file = b"127.0.0.1 localhost\n10.0.1.15 db.internal        # by hand\n10.0.1.9  other db.internal\n";
    let adopted = adopt(file, &ours(&OURS));
    assert_eq!(
        text(&adopted.file),
        "127.0.0.1 localhost\n\
         # privatelinkd took this line over (\"hosts unadopt\" undoes it; 064dcf1e): 10.0.1.15 db.internal        # by hand\n\
         10.0.1.9  other  # privatelinkd took out 16:db.internal (\"hosts unadopt\" undoes it; 45992ccd)\n"
    );
    assert_eq!(adopted.taken, TakenOver { lines: vec![2, 3], again: 0, left: 0 });
    assert_eq!(record_lines(&adopted.file).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(unadopt(&adopted.file), GivenBack { file: Cow::Borrowed(&file[..]), lines: 2, changed: Vec::new() });
}

#[test]
fn all_but_the_names_stays() {
    for line in [
        "10.0.0.1\tdb.internal",
        "  10.0.0.1 \t db.internal  other\tGW.Internal. # db.internal stays here\r",
        "fe80::1%eth0 gw.internal db.internal#close",
        "10.0.0.1 other db.internal db.internal",
        "10.0.0.1 caf\u{e9} db.internal",
        "10.0.0.1 a db.internal # privatelinkd took out nothing",
    ] {
        for end in ["", "\n", "\r\n", "\nnext"] {
            let file = format!("{line}{end}");
            let adopted = take(file.as_bytes());
            assert!(shadow::shadowed(&adopted, &ours(&OURS)).is_empty(), "{}", text(&adopted));
            assert_eq!(text(&give(&adopted)), file);
            let lines = |file: &[u8]| file.iter().filter(|b| **b == b'\n').count();
            assert_eq!(lines(&adopted), lines(file.as_bytes()));
            assert_eq!(take(&adopted), adopted);
        }
    }
    let kept = text(&take(b"10.0.0.1 \t a DB.internal  b # c\n"));
    assert!(kept.starts_with("10.0.0.1 \t a   b # c # privatelinkd took out 13:DB.internal ("), "{kept}");
}

#[test]
fn a_line_that_somebody_changed_stays_and_is_told() {
    let file = text(&take(b"10.0.0.1 db.internal\n10.0.0.1 other db.internal\n10.0.0.2 gw.internal\n"));
    for (from, to, stays) in [("10.0.0.1 db", "10.0.0.9 db", 1), (" other", " others", 2), ("15:db", "14:db", 2)] {
        let edited = file.replace(from, to);
        assert_ne!(edited, file, "{from}");
        let GivenBack { file: back, lines, changed } = unadopt(edited.as_bytes());
        assert_eq!((lines, changed), (2, vec![stays]), "{from}");
        let line = |text: &str| text.lines().nth(stays - 1).unwrap().to_owned();
        assert_eq!(line(&text(&back)), line(&edited));
    }
}

/// Where the block is deleted before anybody has looked, the line that was given back stays.
#[test]
fn a_line_like_one_of_ours_is_not_ours_once_it_was_taken_over() {
    let theirs = b"10.0.1.15 db.internal\n";
    assert_eq!(block().lines()[1].as_bytes(), theirs.trim_ascii_end());
    let with = wanted(theirs, &block(), None, LinesOfOthers::TakenOver).unwrap().file.into_owned();
    let own = own_lines(&block(), &with);
    assert!(!own.is_empty());
    let given = give(&block::strip(&with, Some(&own)).unwrap());
    assert_eq!(text(&given), text(theirs));
    assert_eq!(text(&block::strip(&given, Some(&own)).unwrap()), text(theirs));
}

#[test]
fn another_name_of_the_same_line_is_taken_out_beside_the_first() {
    let file = b"10.0.0.1 a db.internal gw.internal c # x\n10.0.0.1 gw.internal db.internal\n";
    let first = adopt(file, &ours(&["db.internal"])).file.into_owned();
    let both = adopt(&first, &ours(&["gw.internal"])).file.into_owned();
    assert_eq!(text(&both), text(&take(file)), "as if at once");
    assert_eq!(text(&give(&both)), text(file));
}

#[test]
fn who_puts_a_line_back_again_and_again_does_not_make_the_file_grow() {
    let file = b"10.0.0.1 db.internal\n10.0.0.2 other gw.internal\n";
    let mut now = take(file);
    let size = now.len();
    for _ in 0..3 {
        let adopted = adopt(&[file, &now[..]].concat(), &ours(&OURS)).taken;
        assert_eq!(adopted, TakenOver { lines: vec![1, 2], again: 2, left: 0 });
        now = take(&[&now[..], file].concat());
        assert_eq!(now.len(), size);
    }
    assert_eq!(text(&give(&now)), text(file));
    // What stood there twice comes back twice.
    let twice = [&file[..], file].concat();
    assert_eq!(text(&give(&take(&twice))), text(&twice));
}

#[test]
fn no_more_lines_are_taken_over_than_there_is_room_for() {
    let line = |n: usize| format!("10.0.0.1 db.internal # {n}\n");
    let file: String = (0..MOST_RECORDS + 3).map(line).collect();
    let adopted = adopt(file.as_bytes(), &ours(&OURS));
    assert_eq!((adopted.taken.lines.len(), adopted.taken.left), (MOST_RECORDS, 3));
    assert_eq!(text(&give(&adopted.file)), file);
    assert_eq!(take(&adopted.file), &*adopted.file);
}

/// A name without an answer yet must keep the only line that it has.
#[test]
fn only_what_the_block_has_is_taken_out() {
    let file = b"10.0.0.1 db.internal\n10.0.0.1 other.internal\n";
    let wanted = wanted(file, &block(), None, LinesOfOthers::TakenOver).unwrap();
    assert_eq!(wanted.taken.lines, [1]);
    assert!(text(&wanted.file).contains("\n10.0.0.1 other.internal\n"));
    let nothing = super::wanted(file, &Block::default(), None, LinesOfOthers::TakenOver).unwrap();
    assert_eq!(nothing.file, Cow::Borrowed(&file[..]));
}

#[test]
fn a_newline_that_the_block_was_lent_is_given_back_whatever_was_taken_over() {
    for file in ["10.0.0.1 db.internal", "10.0.0.1 a db.internal\r\n10.0.0.2 gw.internal\r", ""] {
        // The block first, and both at once.
        let spliced = block::splice(file.as_bytes(), &block(), None).unwrap().file.into_owned();
        let later = wanted(&spliced, &block(), None, LinesOfOthers::TakenOver).unwrap().file.into_owned();
        let once = wanted(file.as_bytes(), &block(), None, LinesOfOthers::TakenOver).unwrap().file.into_owned();
        assert_eq!(text(&later), text(&once));
        assert_eq!(text(&give(&block::strip(&later, None).unwrap())), file);
        assert_eq!(text(&block::strip(&give(&later), None).unwrap()), file);
        assert_eq!(text(&give(&later)), text(&spliced));
    }
}

/// Lines that resolvers read, and bytes that nobody does.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let word = select(vec![
        &b"db.internal"[..],
        b"DB.internal.",
        b"gw.internal",
        b"other",
        b"10.0.0.1",
        b"\xff\xfe",
        b"a\0",
        b"#",
        b"# x",
        b"# privatelinkd took out 9:db.internal",
        b"::1",
        b"# BEGIN privatelinkd",
        b"# END privatelinkd",
    ]);
    let gap = select(vec![&b" "[..], b"\t", b"  ", b"\x0b", b"", b"\r"]);
    let start = select(vec![&b"10.0.0.1 "[..], b"10.0.0.1\t", b" fe80::1%e ", b"", b"\xef\xbb\xbf10.0.0.1 "]);
    let end = select(vec![&b"\n"[..], b"\r\n", b"\n\n"]);
    let words = vec((word, gap).prop_map(|(word, gap)| [word, gap].concat()), 0..5).prop_map(|w| w.concat());
    (start, words, end).prop_map(|(start, words, end)| [start, &words[..], end].concat())
}

fn files() -> impl Strategy<Value = Vec<u8>> {
    let last = prop_oneof![Just(Vec::new()), lines().prop_map(|l| l.trim_ascii_end().to_vec()), vec(any::<u8>(), 0..9)];
    (vec(lines(), 0..8), last).prop_map(|(lines, last)| [lines.concat(), last].concat())
}

proptest! {
    #[test]
    fn whatever_was_taken_over_comes_back_byte_for_byte(file in files()) {
        let adopted = take(&file);
        prop_assert_eq!(&take(&adopted), &adopted, "once is enough");
        prop_assert!(shadow::shadowed(&adopted, &ours(&OURS)).is_empty(), "{}", text(&adopted));
        prop_assert_eq!(&give(&adopted), &file);
        prop_assert_eq!(&give(&file), &file, "there was nothing to give back");
        prop_assert_eq!(block::present(&adopted), block::present(&file));
        let bodies = |file: &[u8]| file.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
        prop_assert_eq!(bodies(&adopted).len(), bodies(&file).len());
        for (before, after) in bodies(&file).iter().zip(bodies(&adopted)) {
            let named = shadow::names(before).any(|(_, name)| name.is_some_and(|name| ours(&OURS).contains(&name)));
            prop_assert!(named || *before == after, "{} {}", text(before), text(&after));
        }
    }

    #[test]
    fn the_block_and_what_was_taken_over_go_in_any_order(file in files()) {
        let Ok(with) = wanted(&file, &block(), None, LinesOfOthers::TakenOver) else { return Ok(()) };
        let clean = block::strip(&file, None).unwrap();
        let with = with.file.into_owned();
        prop_assert_eq!(&*wanted(&with, &block(), None, LinesOfOthers::TakenOver).unwrap().file, &with[..]);
        let fresh = wanted(&clean, &block(), None, LinesOfOthers::TakenOver).unwrap().file.into_owned();
        prop_assert_eq!(&give(&block::strip(&fresh, None).unwrap()), &*clean);
        let given = give(&fresh);
        prop_assert_eq!(&*block::strip(&given, None).unwrap(), &*clean);
        prop_assert!(matches!(block::present(&fresh), block::Present::Whole(says) if says.same_pairs(&block())));
    }

    #[test]
    fn any_line_is_no_record_or_the_very_one_that_is_written(
        file in files(),
        cut in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut adopted = take(&file);
        if !adopted.is_empty() {
            let at = cut.index(adopted.len());
            adopted[at] = byte;
        }
        for line in adopted.split(|b| *b == b'\n') {
            if let Some(record) = Record::read(line) {
                prop_assert_eq!(record.write(), line);
                prop_assert!(!record.taken.is_empty());
            }
        }
        let given = give(&adopted);
        prop_assert!(given.len() <= adopted.len());
    }
}
