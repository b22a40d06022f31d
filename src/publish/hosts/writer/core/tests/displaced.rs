use super::file_state::FileState;
use super::*;

fn displaced(id: u64, size: u64, open: Option<bool>) -> Displaced {
    Displaced { id, stamp: FileStamp { file: (0, 1), size, ..FileStamp::default() }, open }
}

/// A writer whose update displaced these at the start.
fn after_an_update(there: &[Displaced]) -> World {
    let mut w = World::new(None);
    w.displaced = there.to_vec();
    w.take(arrives(&plan(&[("a.x", "10.0.0.1")])));
    assert_eq!((w.writes.len(), w.verdict("a.x")), (1, Verdict::Published), "nobody waits for what is displaced");
    w
}

/// When which were settled, and whether that was forced.
fn settled(w: &World) -> Vec<(Duration, u64, bool)> {
    let each = |(at, ready): &(Duration, Vec<Settling>)| {
        ready.iter().map(|s| (*at, s.file.id, s.even_if_open)).collect::<Vec<_>>()
    };
    w.settles.iter().flat_map(each).collect()
}

#[test]
fn what_is_displaced_is_settled_once_it_has_been_unchanged_for_two_seconds() {
    let mut w = after_an_update(&[displaced(7, 0, Some(false))]);
    w.run_until(Duration::from_millis(1_999));
    assert_eq!(settled(&w), []);
    w.run_until(secs(30));
    assert_eq!(settled(&w), [(secs(2), 7, false)]);
    assert_eq!(w.receipt().notices, []);
}

#[test]
fn each_change_starts_the_wait_anew() {
    let mut w = after_an_update(&[displaced(7, 0, Some(false))]);
    for second in 1..20 {
        w.run_until(secs(second));
        w.displaced = vec![displaced(7, second, Some(false))];
        w.take(Input::Displaced(w.displaced.clone(), Vec::new()));
    }
    assert_eq!(settled(&w), []);
    w.run_until(secs(40));
    assert_eq!(settled(&w), [(secs(21), 7, false)]);
}

#[test]
fn who_has_it_open_is_waited_for_a_minute_and_then_told() {
    let mut w = after_an_update(&[displaced(7, 0, Some(true)), displaced(8, 0, Some(false)), displaced(9, 0, None)]);
    w.run_until(secs(59));
    assert_eq!(settled(&w), [(secs(2), 8, false)], "one holds nobody else up");
    assert!(w.settles.len() <= 30, "{}", w.settles.len());
    w.run_until(secs(61));
    assert_eq!(settled(&w)[1..], [(secs(60), 7, true), (secs(60), 9, true)]);
    assert!(w.receipt().notices[0].what.contains("what he writes from now on is lost"));
}

#[test]
fn who_closes_it_has_it_settled_within_two_looks() {
    let mut w = after_an_update(&[displaced(7, 0, Some(true))]);
    w.run_until(secs(10));
    w.displaced = vec![displaced(7, 0, Some(false))];
    w.run_until(secs(13));
    assert_eq!(settled(&w).len(), 1);
}

#[test]
fn what_was_left_behind_before_the_start_is_settled_too() {
    let mut w = World::new(Some(kept(&[("a.x", "10.0.0.1")])));
    w.displaced = vec![displaced(7, 0, Some(false))];
    w.take(Input::Displaced(w.displaced.clone(), Vec::new()));
    w.run_until(secs(5));
    assert_eq!(settled(&w), [(secs(2), 7, false)]);
}

#[test]
fn a_fault_is_tried_again_now_and_then_also_by_a_writer_that_publishes_no_more() {
    let mut w = after_an_update(&[displaced(7, 0, Some(false))]);
    w.settling_fails = true;
    w.run_until(secs(61));
    assert_eq!(settled(&w).len(), 6, "every ten seconds");
    w.settling_fails = false;
    w.take(Input::Policy(Arc::new(HostsPolicy { publish: false, ..policy() })));
    w.run_until(secs(300));
    assert_eq!(settled(&w).len(), 7, "what others edited belongs into the file all the same");
    w.take(Input::Policy(Arc::new(policy())));
    w.run_until(secs(301));
    assert_eq!(settled(&w).len(), 7, "and it is done");
}

#[test]
fn what_was_written_is_known_after_a_restart_if_it_is_the_same_file() {
    let file = b"# BEGIN privatelinkd\n10.0.0.1 a.x\n# END privatelinkd\n";
    let Present::Whole(block) = crate::publish::hosts::block::present(file) else { panic!("it is whole") };
    let lines = OwnLines::of(&block, file);
    for (path, known) in [("/h", true), ("/other", false)] {
        let own = Some(OwnRecord { path: path.into(), lines: lines.clone() });
        let w = World::new(Some(LastGood { own, ..kept(&[("a.x", "10.0.0.1")]) }));
        assert_eq!(w.core.file.own.is_some(), known, "{path}");
    }
}

#[test]
fn what_stays_because_an_edit_was_folded_in_is_looked_at_two_seconds_later() {
    let mut w = after_an_update(&[displaced(7, 0, Some(false))]);
    w.settling_keeps = true;
    w.run_until(secs(7));
    w.settling_keeps = false;
    w.run_until(secs(30));
    assert_eq!(settled(&w), [2, 4, 6, 8].map(|at| (secs(at), 7, false)));
}

#[test]
fn lines_of_a_block_that_was_replaced_are_known_for_two_minutes_and_bounded() {
    let lines = |address: &str| OwnLines::of(&block(&[("a.x", address)]), b"");
    let mut state = FileState::default();
    let mut write = |second, own: OwnLines, former: OwnLines| {
        state.begin(&block(&[]));
        let written = Asserted { own, former, ..Asserted::new(Present::Absent, Change::Written) };
        state.take_result(Ok(written), None, Boottime(secs(second)));
        state.lines(Boottime(secs(second))).unwrap()
    };
    let [first, second, third, commands] = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.9"].map(lines);
    write(0, first.clone(), OwnLines::default());
    write(100, second.clone(), commands.clone());
    let known = write(219, third.clone(), OwnLines::default());
    assert!([&first, &second, &third, &commands].iter().all(|lines| known.has_all(lines)));
    let known = write(220, third.clone(), OwnLines::default());
    assert!(known.has_all(&second) && known.has_all(&third) && !known.has_all(&first) && !known.has_all(&commands));
    // Time alone ends it, and so does another who has the very line.
    let at = |state: &FileState, second| state.lines(Boottime(secs(second))).unwrap();
    assert!(at(&state, 338).has_all(&second) && !at(&state, 339).has_all(&second));
    state.begin(&block(&[]));
    let theirs = second.clone().with([&third]);
    let own = OwnLines::default();
    let seen = Asserted { own, theirs, ..Asserted::new(Present::Absent, Change::Unchanged) };
    state.take_result(Ok(seen), None, Boottime(secs(221)));
    assert_eq!(state.lines(Boottime(secs(221))), None);
}

#[test]
fn so_many_lines_of_former_blocks_are_known_at_most() {
    let mut state = FileState::default();
    for n in 0..40 {
        let names: Vec<String> = (0..1_000).map(|name| format!("n{name}.x{n}")).collect();
        let many = block(&names.iter().map(|name| (name.as_str(), "10.0.0.1")).collect::<Vec<_>>());
        state.begin(&block(&[]));
        let written = Asserted { own: OwnLines::of(&many, b""), ..Asserted::new(Present::Absent, Change::Written) };
        state.take_result(Ok(written), None, Boottime(secs(221)));
        assert!(state.lines(Boottime(secs(221))).unwrap().len() <= 28_000, "{n}");
    }
}
