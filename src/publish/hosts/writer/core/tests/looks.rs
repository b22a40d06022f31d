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
    w.take(Input::Asserted(Err(AssertError { kind: PublishErrorKind::Io, detail: "no".into() })));
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
