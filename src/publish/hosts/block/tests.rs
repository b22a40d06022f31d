use std::borrow::Cow;

use proptest::prelude::*;

use super::*;
use crate::model::limits::{BLOCK_MARKERS, LONGEST_REASON, entry_size};

fn block(entries: &[(&str, &[&str])]) -> Block {
    let entry = |addresses: &[&str]| Entry {
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        reason: EntryReason::Answer(AnswerReason::Healthy),
        changed: None,
    };
    let order: Vec<HostName> = entries.iter().map(|(name, _)| name.parse().unwrap()).collect();
    Block::in_order(order.iter().cloned().zip(entries.iter().map(|(_, a)| entry(a))).collect(), order)
}

fn db() -> Block {
    block(&[("db.internal", &["10.0.1.15", "10.0.2.15"])])
}

fn own(block: &Block) -> OwnLines {
    OwnLines::of(block, b"")
}

/// Where it is clear what is ours.
fn splice<'f>(file: &'f [u8], wanted: &Block, last: Option<&Block>) -> Cow<'f, [u8]> {
    super::splice(file, wanted, last.map(own).as_ref()).unwrap().file
}

fn strip<'f>(file: &'f [u8], last: Option<&Block>) -> Cow<'f, [u8]> {
    splice(file, &Block::default(), last)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_block_reads_as_documented() {
    let file = splice(b"127.0.0.1 localhost\n", &db(), None).into_owned();
    assert_eq!(
        text(&file),
        "127.0.0.1 localhost\n\
         # BEGIN privatelinkd (managed by privatelinkd: changes in here are overwritten)\n\
         # db.internal: healthy\n\
         10.0.1.15 db.internal\n\
         10.0.2.15 db.internal\n\
         # END privatelinkd\n"
    );
    assert_eq!(present(&file), Present::Whole(db()));
    assert_eq!(find(&file).unwrap(), db().render(None));
}

/// As packaging/leaving.sh leaves it; tests/leaving.rs runs that.
#[test]
fn a_block_that_a_removed_package_left_is_ours_again() {
    for foreign in [&b"127.0.0.1 localhost\n"[..], b"127.0.0.1 localhost"] {
        let ours = splice(foreign, &db(), None).into_owned();
        let left = text(&ours)
            .replace("by privatelinkd: changes in here are overwritten", "by nobody any more: privatelinkd was removed")
            .replace("# db.internal", "# Delete it: sed -i 'x' /etc/hosts\n# db.internal");
        assert_ne!(left.as_bytes(), ours);
        assert_eq!(present(left.as_bytes()), Present::Whole(db()), "it is known by its markers");
        assert_eq!(text(&splice(left.as_bytes(), &db(), None)), text(&ours));
        assert_eq!(&*strip(left.as_bytes(), None), foreign);
    }
}

#[test]
fn an_entry_takes_up_no_more_than_was_reckoned() {
    let mut block = db();
    for reason in AnswerReason::ALL.into_iter().map(EntryReason::Answer).chain([EntryReason::AgentLost]) {
        // No time takes up more than one that no calendar has.
        block.entries.values_mut().for_each(|entry| (entry.reason, entry.changed) = (reason, Some(Wall(u64::MAX))));
        let reckoned: usize = block.entries.iter().map(|(name, e)| entry_size(name, &e.addresses)).sum();
        let lines: usize = block.lines().iter().map(|line| line.len() + 1).sum();
        assert!(lines <= reckoned && reckoned <= lines + LONGEST_REASON + 2, "{reason:?}: {lines} {reckoned}");
        assert!(block.render(Some(usize::MAX)).len() - lines <= BLOCK_MARKERS);
    }
}

#[test]
fn a_missing_final_newline_is_lent_and_given_back() {
    let file = splice(b"127.0.0.1 localhost", &db(), None).into_owned();
    assert!(text(&file).contains("localhost\n# BEGIN"), "{}", text(&file));
    assert!(text(&file).contains("; newline added at 19)\n"), "{}", text(&file));
    assert_eq!(&*strip(&file, None), b"127.0.0.1 localhost");
    // A change of the block keeps the note.
    let other = splice(&file, &block(&[("x.y", &["10.0.0.9"])]), None).into_owned();
    assert_eq!(&*strip(&other, None), b"127.0.0.1 localhost");
}

#[test]
fn a_newline_that_somebody_relies_on_by_now_stays() {
    let file = splice(b"a", &db(), None).into_owned();
    assert_eq!(&*strip(&[&file[..], b"b\n"].concat(), None), b"a\nb\n");
    assert_eq!(&*strip(&[b"x\n", &file[..]].concat(), None), b"x\na\n");
}

#[test]
fn an_existing_block_stays_where_it_is() {
    let file = [b"a\n", &db().render(None)[..], b"z\n"].concat();
    let wanted = block(&[("x.y", &["10.0.0.9"])]);
    assert_eq!(&*splice(&file, &wanted, None), [b"a\n", &wanted.render(None)[..], b"z\n"].concat());
}

#[test]
fn a_change_of_reason_alone_rewrites_nothing() {
    let file = splice(b"a\n", &db(), None).into_owned();
    let mut wanted = db();
    wanted.entries.values_mut().for_each(|e| e.reason = EntryReason::Answer(AnswerReason::FailedOver));
    assert!(matches!(splice(&file, &wanted, None), Cow::Borrowed(_)));
    wanted.entries.values_mut().for_each(|e| e.changed = Some(Wall(1_767_600_000_000)));
    assert!(matches!(splice(&file, &wanted, None), Cow::Borrowed(_)), "nor does one of the time");
}

#[test]
fn the_comment_gives_the_reason_and_when_the_answer_changed() {
    let comment = |reason, changed| {
        let mut block = db();
        let entry = |e: &mut Entry| (e.reason, e.changed) = (EntryReason::Answer(reason), changed);
        block.entries.values_mut().for_each(entry);
        let file = splice(b"", &block, None).into_owned();
        let Present::Whole(read) = present(&file) else { panic!("{}", text(&file)) };
        let read = read.entries.into_values().next().unwrap();
        (block.lines().swap_remove(0), read.reason, read.changed)
    };
    let read = EntryReason::Answer;
    let at = Some(Wall(1_767_600_000_000));
    for (reason, changed, line, found) in [
        (AnswerReason::FailedOver, at, "# db.internal: failed_over at 2026-01-05T08:00:00Z", at),
        (AnswerReason::Healthy, None, "# db.internal: healthy", None),
        (AnswerReason::Unprobed, at, "# db.internal", None),
        (AnswerReason::Healthy, Some(Wall(u64::MAX)), "# db.internal: healthy at 18446744073709551615ms", None),
    ] {
        assert_eq!(comment(reason, changed), (line.to_owned(), read(reason), found));
    }
}

#[test]
fn names_of_several_zones_come_before_those_of_one_and_the_order_counts() {
    let answer = |addresses: &[&str], reason| Answer {
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        standby: Vec::new(),
        reason,
    };
    let name = |n: &str| n.parse::<HostName>().unwrap();
    // A main name that has failed over to one address; and a zone's name of which something graver is told.
    let answers: BTreeMap<HostName, Answer> = [
        (name("a-h.x"), answer(&["10.0.0.1"], AnswerReason::AllDownKept)),
        (name("a-i.x"), answer(&["10.0.0.2"], AnswerReason::Pinned)),
        (name("b.x"), answer(&["10.0.0.2"], AnswerReason::FailedOver)),
        (name("c.x"), answer(&["10.0.0.1", "10.0.0.2"], AnswerReason::Healthy)),
    ]
    .into();
    let marks = Marks { zone_names: [name("a-h.x"), name("a-i.x")].into(), ..Marks::default() };
    let wanted = Block::from_answers(&answers, &marks, false);
    assert_eq!(wanted.names().map(HostName::as_str).collect::<Vec<_>>(), ["c.x", "b.x", "a-h.x", "a-i.x"]);
    let lines = ["10.0.0.1 c.x", "10.0.0.2 c.x", "10.0.0.2 b.x", "10.0.0.1 a-h.x", "10.0.0.2 a-i.x"];
    let written = splice(b"z\n", &wanted, None).into_owned();
    let shown = text(&written).lines().filter(|l| l.starts_with("10.")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(shown, lines);
    assert_eq!(present(&written), Present::Whole(wanted.clone()));
    assert_eq!(Block::from(wanted.entries.clone()).ordered_like(&wanted), wanted);

    // As earlier versions wrote it.
    let by_name = Block::from(wanted.entries.clone());
    let old = splice(b"z\n", &by_name, None).into_owned();
    assert_eq!(present(&old), Present::Whole(by_name));
    let mended = splice(&old, &wanted, None).into_owned();
    assert_eq!(text(&mended), text(&written));
    assert!(matches!(splice(&mended, &wanted, None), Cow::Borrowed(_)), "rewritten once");
}

#[test]
fn a_name_whose_lines_somebody_has_scattered_is_put_together() {
    let wanted = block(&[("a.x", &["10.0.0.1", "10.0.0.2"]), ("b.x", &["10.0.0.2"])]);
    let scattered = b"# BEGIN privatelinkd\n10.0.0.1 a.x\n10.0.0.2 b.x\n10.0.0.2 a.x\n# END privatelinkd\n";
    assert_eq!(present(scattered), Present::Damaged);
    assert!(salvage(scattered).unwrap().same_pairs(&wanted), "what it says is not lost");
    assert_eq!(&*splice(scattered, &wanted, None), wanted.render(None));
}

#[test]
fn the_reason_of_a_lost_agent_is_written_and_read_back() {
    let mut lost = db();
    lost.entries.values_mut().for_each(|e| e.reason = EntryReason::AgentLost);
    let file = splice(b"a\n", &lost, None).into_owned();
    assert!(text(&file).contains("\n# db.internal: agent_lost\n"), "{}", text(&file));
    assert_eq!(present(&file), Present::Whole(lost));
    let unknown = text(&file).replace("agent_lost", "something newer");
    let Present::Whole(read) = present(unknown.as_bytes()) else { panic!("{unknown}") };
    assert_eq!(read.entries.values().next().unwrap().reason, EntryReason::Answer(AnswerReason::Stale));
}

#[test]
fn an_empty_block_is_no_block() {
    let file = splice(b"a\n", &db(), None).into_owned();
    assert_eq!(&*splice(&file, &Block::default(), None), b"a\n");
    assert!(matches!(splice(b"a", &Block::default(), None), Cow::Borrowed(b"a")));
}

#[test]
fn only_exact_markers_are_markers() {
    for foreign in [
        "# BEGIN privatelinkd is a tool that\n",
        "# BEGIN privatelinkd (see the wiki)\n",
        "## BEGIN privatelinkd\n",
        " # BEGIN privatelinkd\n",
        "# begin privatelinkd\n",
        "# BEGIN privatelinkd2\n",
        "# END privatelinkd.\n",
        "10.0.0.1 a # END privatelinkd\n",
    ] {
        assert_eq!(present(foreign.as_bytes()), Present::Absent, "{foreign}");
        let file = splice(foreign.as_bytes(), &db(), None).into_owned();
        assert_eq!(&*strip(&file, None), foreign.as_bytes());
    }
    let crlf = text(&splice(b"a\n", &db(), None)).replace('\n', "\r\n");
    assert_eq!(present(crlf.as_bytes()), Present::Whole(db()), "an editor turned the newlines");
}

const BEGIN: &str = "# BEGIN privatelinkd";
const END: &str = "# END privatelinkd";

/// What other programs make of a block, and what becomes of that: our lines go wherever they stand, all else stays,
/// and a fresh block is appended. The number is that of the lines of ours, markers included.
#[test]
fn without_their_markers_our_lines_go_and_all_else_stays() {
    let last = db();
    let [comment, one, two] = last.lines().try_into().unwrap();
    let body = last.lines().join("\n");
    let wanted = block(&[("x.y", &["10.0.0.9"])]);
    let b = text(&wanted.render(None));
    for (what, found, kept, count) in [
        ("END is gone", format!("a\n{BEGIN}\n{body}\nforeign\n"), "a\nforeign\n", 4),
        ("BEGIN is gone", format!("a\nforeign\n{body}\n{END}\nz\n"), "a\nforeign\nz\n", 4),
        ("only the markers are left, the wrong way round", format!("{END}\nf\n{BEGIN}\n"), "f\n", 2),
        ("sed /^#/d", format!("a\n{one}\n{two}\nz\n"), "a\nz\n", 2),
        ("one of our lines went, too", format!("{two}\na\n"), "a\n", 1),
        ("not beside the marker", format!("{BEGIN}\nforeign\n{two}\n"), "foreign\n", 2),
        // "# Custom" sorts between the markers; it isn't ours, whatever stands there.
        (
            "sort -u",
            format!("# BEGIN privatelinkd\n# Custom\n{END}\n{comment}\n{one}\n{two}\n127.0.0.1 localhost\n"),
            "# Custom\n127.0.0.1 localhost\n",
            5,
        ),
        ("sort -u, nothing between", format!("{BEGIN}\n{END}\n{comment}\n{one}\n{two}\nz\n"), "z\n", 5),
        ("twice", format!("{one}\na\n{one}\n"), "a\n", 2),
        (
            "like ours and not ours",
            format!("{BEGIN}\n {one}\n{one} # mine\n{two} b\n"),
            " 10.0.1.15 db.internal\n10.0.1.15 db.internal # mine\n10.0.2.15 db.internal b\n",
            1,
        ),
    ] {
        let spliced = super::splice(found.as_bytes(), &wanted, Some(&own(&last))).unwrap();
        assert_eq!(text(&spliced.file), format!("{kept}{b}"), "{what}");
        assert_eq!(spliced.gathered, Some(count), "{what}");
        assert_eq!(text(&strip(found.as_bytes(), Some(&last))), kept, "{what}");
    }
}

#[test]
fn a_block_that_is_gone_is_put_in_again_and_one_whose_body_is_damaged_is_mended() {
    let whole = splice(b"a\n", &db(), None).into_owned();
    for found in [
        "a\n".to_owned(),
        format!("a\n{BEGIN}\n{END}\n"),
        format!("a\n{BEGIN}\n10.9.9.9 else.where\n{END}\n"),
        format!("a\n{BEGIN}\n10.0.1.15 db.internal\n{END}\n"),
        format!("a\n{BEGIN}\nrubbish \u{fffd}\n{END}\n"),
    ] {
        for own in [None, Some(own(&db()))] {
            let spliced = super::splice(found.as_bytes(), &db(), own.as_ref()).unwrap();
            assert_eq!((text(&spliced.file), spliced.gathered), (text(&whole), None), "{found}");
        }
    }
}

#[test]
fn what_may_be_anybodys_is_refused_with_an_instruction() {
    let body = db().lines().join("\n");
    let one = format!("{BEGIN}\n{body}\n{END}\n");
    for (what, found, lines) in [
        ("two blocks", format!("a\n{one}b\n{one}"), vec![2, 6, 8, 12]),
        ("one in another", format!("{BEGIN}\n{one}{END}\n"), vec![1, 2, 6, 7]),
        ("two BEGIN", format!("{BEGIN}\n{body}\n{BEGIN}\n{body}\n{END}\nz\n"), vec![1, 5, 9]),
        ("two END", format!("{one}z\n{END}\n"), vec![1, 5, 7]),
    ] {
        for own in [None, Some(own(&db()))] {
            for wanted in [db(), Block::default()] {
                let e = super::splice(found.as_bytes(), &wanted, own.as_ref()).unwrap_err();
                assert_eq!(e, Unclear::Repeated(lines.clone()), "{what}");
            }
        }
        assert_eq!(present(found.as_bytes()), Present::Damaged);
    }
    let half = format!("a\n{BEGIN}\n{body}\n");
    let e = super::splice(half.as_bytes(), &db(), None).unwrap_err();
    assert_eq!(
        e.to_string(),
        "line 2 holds a marker of privatelinkd without its partner, and no record says which lines belong to it: delete \
         the marker and the lines of the block beside it; the hosts writer then puts a new block in"
    );
    let many = Unclear::Repeated((1..9).collect());
    assert_eq!(
        many.to_string(),
        "lines 1, 2, 3, 4, 5, 6 and more hold markers of privatelinkd, expected one BEGIN and one END: delete all but \
         one block, from BEGIN to END, markers included; the hosts writer then goes on by itself"
    );
}

/// The line that a vendor's guide had people write by hand is the very line that we write.
#[test]
fn a_line_that_stood_outside_of_the_block_too_is_not_ours_to_take() {
    let by_hand = b"10.0.1.15 db.internal\n";
    let with = splice(by_hand, &db(), None).into_owned();
    let own = OwnLines::of(&db(), &with);
    for found in [
        text(&with).replace(&format!("{END}\n"), ""),
        text(&with).lines().filter(|l| !l.starts_with('#')).map(|l| format!("{l}\n")).collect(),
    ] {
        let mended = super::splice(found.as_bytes(), &db(), Some(&own)).unwrap().file.into_owned();
        assert!(mended.starts_with(by_hand), "{}", text(&mended));
        assert!(!text(without(&mended).0.as_ref()).contains("10.0.2.15"), "{}", text(&mended));
    }
    // The file as it was before us, as from a backup.
    assert_eq!(&*strip(by_hand, None), by_hand);
    assert!(super::splice(by_hand, &db(), Some(&own)).unwrap().file.starts_with(by_hand));
}

#[test]
fn a_block_whose_lines_are_all_there_is_whole_whatever_stands_outside() {
    let with = splice(b"a\n", &db(), None).into_owned();
    let copied = [&with[..], b"10.0.1.15 db.internal\n"].concat();
    let wanted = block(&[("x.y", &["10.0.0.9"])]);
    let spliced = super::splice(&copied, &wanted, Some(&own(&db()))).unwrap();
    assert_eq!(spliced.gathered, None);
    assert_eq!(text(&spliced.file), format!("a\n{}10.0.1.15 db.internal\n", text(&wanted.render(None))));
}

#[test]
fn a_foreign_line_inside_the_block_damages_it() {
    let file = format!("# BEGIN privatelinkd\n{}\n1.2.3.4 a b\n# END privatelinkd\n", db().lines().join("\n"));
    assert_eq!(present(file.as_bytes()), Present::Damaged);
    assert_eq!(&*splice(file.as_bytes(), &db(), None), db().render(None));
}

#[test]
fn lines_stay_short_for_small_resolvers() {
    let long = format!("{}.{}.{}.{}", "a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61));
    let b = block(&[(&long, &["2001:db8:1111:2222:3333:4444:5555:6666"])]);
    assert!(b.render(Some(usize::MAX)).split(|b| *b == b'\n').all(|l| l.len() < 400));
}

/// Files that lean towards what is hard: markers, our own lines, odd ends of lines.
fn files() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => proptest::collection::vec(any::<u8>(), 0..12),
        1 => Just(b"\n".to_vec()),
        1 => Just(b"\r\n".to_vec()),
        2 => Just(b"# BEGIN privatelinkd\n".to_vec()),
        1 => (0..60usize).prop_map(|n| format!("# BEGIN privatelinkd (managed by x; newline added at {n})\n").into()),
        2 => Just(b"# END privatelinkd\n".to_vec()),
        1 => Just(b"# END privatelinkd".to_vec()),
        1 => Just(b"10.0.1.15 db.internal\n".to_vec()),
        1 => Just(b"\xef\xbb\xbf127.0.0.1 localhost\n".to_vec()),
    ];
    proptest::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

fn blocks() -> impl Strategy<Value = Block> {
    let addresses = proptest::collection::vec(any::<std::net::IpAddr>(), 1..4);
    let reason = proptest::option::of(proptest::sample::select(AnswerReason::ALL.to_vec()));
    let reason = reason.prop_map(|r| r.map_or(EntryReason::AgentLost, EntryReason::Answer));
    let changed = proptest::option::of((0..5_000_000_000_u64).prop_map(|s| Wall(s * 1000)));
    let entry = (addresses, reason, changed).prop_map(|(addresses, reason, changed)| {
        let changed = changed.filter(|_| reason != EntryReason::Answer(AnswerReason::Unprobed));
        Entry { addresses, reason, changed }
    });
    let name = "[a-z]{1,5}\\.[a-z]{1,5}".prop_map(|n| n.parse().unwrap());
    let entries = proptest::collection::btree_map(name, entry, 0..4);
    let shuffled = entries.prop_flat_map(|entries| {
        let order: Vec<HostName> = entries.keys().cloned().collect();
        (Just(entries), Just(order).prop_shuffle())
    });
    shuffled.prop_map(|(entries, order)| Block::in_order(entries, order))
}

/// True if every byte of `inner` is in `outer`, in this order.
fn is_subsequence(inner: &[u8], outer: &[u8]) -> bool {
    let mut outer = outer.iter();
    inner.iter().all(|b| outer.any(|o| o == b))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_put_in_comes_out_again(file in files(), wanted in blocks(), other in blocks()) {
        let Ok(clean) = super::strip(&file, Some(&own(&wanted))) else { return Ok(()) };
        prop_assert_eq!(present(&clean), Present::Absent);
        let with = splice(&clean, &wanted, None).into_owned();
        let with_other = splice(&with, &other, None).into_owned();
        prop_assert_eq!(&*strip(&with, None), &clean[..]);
        prop_assert_eq!(&*strip(&with_other, None), &clean[..]);
    }

    #[test]
    fn splicing_twice_is_splicing_once(file in files(), wanted in blocks(), last in blocks()) {
        let Ok(once) = super::splice(&file, &wanted, Some(&own(&last))) else { return Ok(()) };
        let once = once.file.into_owned();
        let own = OwnLines::of(&wanted, &once);
        for own in [None, Some(&own)] {
            let twice = super::splice(&once, &wanted, own).unwrap();
            prop_assert_eq!((twice.gathered, &*twice.file), (None, &once[..]));
        }
        let expected = if wanted.entries.is_empty() { Present::Absent } else { Present::Whole(wanted) };
        prop_assert_eq!(present(&once), expected);
    }

    #[test]
    fn foreign_bytes_survive_in_order(file in files(), wanted in blocks(), last in blocks()) {
        let own = own(&last);
        let Ok(kept) = super::strip(&file, Some(&own)) else { return Ok(()) };
        let foreign = foreign(&file).flat_map(|(_, part)| part.split_inclusive(|b| *b == b'\n'));
        let all = foreign.filter(|line| own.known()(line).is_none()).collect::<Vec<_>>().concat();
        prop_assert!(is_subsequence(&all, &kept) || all == [&kept[..], b"\n"].concat());
        let with = super::splice(&file, &wanted, Some(&own)).unwrap().file;
        prop_assert!(is_subsequence(&kept, &with));
    }
}

#[test]
fn a_lost_agents_standby_addresses_stand_behind_the_others() {
    let answer = |addresses: &[&str], standby: &[&str]| {
        let all = |texts: &[&str]| texts.iter().map(|a| a.parse().unwrap()).collect();
        Answer { addresses: all(addresses), standby: all(standby), reason: AnswerReason::Healthy }
    };
    let answers: BTreeMap<HostName, Answer> = [
        ("a.x".parse().unwrap(), answer(&["10.0.0.2"], &["10.0.0.1"])),
        ("b.x".parse().unwrap(), answer(&["10.0.0.3"], &[])),
    ]
    .into();
    let pairs = |block: &Block| block.pairs().map(|(a, n)| format!("{a} {n}")).collect::<Vec<_>>();
    assert_eq!(pairs(&Block::from_answers(&answers, &Marks::default(), false)), ["10.0.0.2 a.x", "10.0.0.3 b.x"]);
    let lost = Block::from_answers(&answers, &Marks::default(), true);
    assert_eq!(pairs(&lost), ["10.0.0.2 a.x", "10.0.0.1 a.x", "10.0.0.3 b.x"]);
    assert!(lost.entries.values().all(|e| e.reason == EntryReason::AgentLost));
}
