//! A file that is the one of the last look need not be read (the idle writer is cheap).

use super::*;

/// The next look, `after` so many seconds: what it knows of the file. It is then read with this stamp.
fn look(w: &mut World, stamp: Option<FileStamp>, after: u64) -> Option<FileStamp> {
    w.now += secs(after);
    let actions = w.core.step(Input::Tick, w.now());
    let [Action::Assert(job)] = actions.as_slice() else { panic!("{actions:?}") };
    let wanted = Present::Whole(job.wanted.clone());
    let asserted = Asserted { stamp, ..Asserted::new(wanted, Change::Unchanged) };
    w.take(Input::Asserted(Ok(asserted)));
    job.known
}

#[test]
fn a_file_that_is_known_is_not_read_until_anything_speaks_for_it() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("hosts"), "").unwrap();
    let stamp = FileStamp::read(&dir.path().join("hosts"));
    let mut w = published();
    assert_eq!(look(&mut w, stamp, 5), None, "never seen");
    assert_eq!(look(&mut w, stamp, 5), None, "may have changed in the same tick as it was first seen");
    assert_eq!(look(&mut w, stamp, 5), stamp);
    // Somebody touched it.
    w.core.step(Input::FileTouched, w.now());
    assert_eq!(look(&mut w, stamp, 1), None);
    assert_eq!(look(&mut w, stamp, 5), stamp);
    // Something else is wanted.
    let actions = w.core.step(arrives(&plan(&[("a.x", "10.0.0.2")])), w.now());
    assert!(matches!(actions.as_slice(), [Action::Assert(Job { known: None, .. })]), "{actions:?}");
    let own = OwnLines::default();
    w.take(Input::Asserted(Err(AssertError { kind: PublishErrorKind::Io, detail: "no".into(), own })));
    assert_eq!(look(&mut w, stamp, 5), None, "it failed");
    assert_eq!(look(&mut w, stamp, 5), stamp);
    // Nothing was read, and the next look comes all the same.
    w.now += secs(5);
    assert!(matches!(w.core.step(Input::Tick, w.now()).as_slice(), [Action::Assert(_)]));
    assert_eq!(w.core.step(Input::FoundTheSame, w.now()), []);
    assert_eq!(w.core.wake_at(), Some(Boottime(w.now + secs(5))));
}

#[test]
fn a_file_that_not_everybody_may_read_says_so_name_by_name_until_everybody_may() {
    let mut w = published();
    let with = |mode| Some(FileStamp { mode, ..FileStamp::default() });
    for (mode, verdict) in [
        (0o644, Verdict::Published),
        (0o640, Verdict::Unreadable),
        (0o600, Verdict::Unreadable),
        (0o444, Verdict::Published),
    ] {
        look(&mut w, with(mode), 5);
        assert_eq!(w.verdict("a.x"), verdict, "{mode:o}");
    }
    w.core.file.shadowed.insert("a.x".parse().unwrap(), 1);
    assert_eq!(w.core.receipt(w.now()).names[&"a.x".parse().unwrap()], Verdict::Shadowed);
    look(&mut w, with(0o640), 5);
    w.core.file.shadowed.insert("a.x".parse().unwrap(), 1);
    assert_eq!(w.core.receipt(w.now()).names[&"a.x".parse().unwrap()], Verdict::Unreadable, "that is all of them");
}

/// What a look finds that took a line over, or did so again.
fn took(again: usize) -> Asserted {
    let block = Present::Whole(block(&[("a.x", "10.0.0.1")]));
    let taken = TakenOver { lines: vec![7], again, left: 0 };
    let rewriters = vec!["it would come back".to_owned()];
    Asserted { taken, rewriters, ..Asserted::new(block, Change::Written) }
}

#[test]
fn who_puts_back_what_was_taken_over_is_a_conflict_and_is_waited_for() {
    let mut w = published();
    for turn in 0..4 {
        w.now += secs(1);
        w.core.step(Input::FileTouched, w.now());
        let at = w.core.wake_at().unwrap();
        w.now = at.0;
        let actions = w.core.step(Input::Tick, w.now());
        assert!(matches!(actions.as_slice(), [Action::Assert(_)]), "{turn}: {actions:?}");
        w.take(Input::Asserted(Ok(took(usize::from(turn > 0)))));
        assert_eq!(w.receipt().in_conflict, turn == 3, "{turn}");
    }
    let said: Vec<&str> = w.receipt().notices.iter().map(|notice| notice.what.as_str()).collect();
    assert!(said[0].starts_with("names of ours were taken out of line 7, ") && said[1] == "it would come back");
    assert_eq!(w.receipt().rewriters, [""; 0], "nothing is shadowed now");
    // The next write waits.
    w.core.step(Input::FileTouched, w.now());
    assert_eq!(w.core.wake_at().unwrap().since(w.now().boottime), secs(5));
}

#[test]
fn lines_that_are_taken_over_have_their_turn_as_writes_do() {
    let mut w = published();
    for _ in 0..20 {
        w.core.step(Input::FileTouched, w.now());
        w.now = w.core.wake_at().unwrap().0;
        w.core.step(Input::Tick, w.now());
        w.take(Input::Asserted(Ok(took(0))));
    }
    assert!(w.now > secs(8), "{:?}", w.now);
}

#[test]
fn a_policy_that_takes_lines_over_has_a_known_file_read_and_one_that_does_not_any_more_says_so() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("hosts"), "").unwrap();
    let stamp = FileStamp::read(&dir.path().join("hosts"));
    let mut w = published();
    for known in [None, None, stamp] {
        assert_eq!(look(&mut w, stamp, 5), known);
    }
    for adopt in [true, false] {
        let actions = w.core.step(Input::Policy(Arc::new(HostsPolicy { adopt, ..policy() })), w.now());
        let [Action::Assert(job)] = actions.as_slice() else { panic!("{actions:?}") };
        assert_eq!((job.known, job.policy.adopt), (None, adopt));
        w.take(Input::Asserted(Ok(Asserted { stamp, ..Asserted::new(Present::Absent, Change::Unchanged) })));
        let said = w.core.receipt(w.now()).notices.iter().any(|n| n.what.starts_with("hosts.adopt is off now"));
        assert_eq!(said, !adopt);
    }
}
