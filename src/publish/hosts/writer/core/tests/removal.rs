//! Root keeps the block out (`hosts remove`), and lets it in again (`hosts apply`).

use super::*;

const SINCE: Wall = Wall(7_000);

fn out() -> Input {
    Input::Removal(Ok(Some(SINCE)))
}

fn absent() -> Present {
    Present::Whole(Block::default())
}

#[test]
fn what_root_keeps_out_goes_stays_out_and_is_told() {
    let mut w = published();
    w.take(out());
    assert_eq!((w.file.clone(), w.writes.len()), (absent(), 2));
    let receipt = w.receipt();
    assert_eq!((receipt.removed, receipt.error, w.verdict("a.x")), (Some(SINCE), None, Verdict::Removed));
    let said = "taken out by `hosts remove` since 1970-01-01T00:00:07Z, `hosts apply` puts it back";
    assert_eq!(receipt.error_detail.as_deref(), Some(said));
    assert_eq!(receipt.notices.last().map(|notice| notice.what.as_str()), Some(said));
    // Another plan is admitted and not written; a block that somebody brings back goes; neither is a conflict.
    w.take(arrives(&plan(&[("a.x", "10.0.0.2")])));
    assert_eq!((w.writes.len(), w.verdict("a.x")), (2, Verdict::Removed));
    for _ in 0..4 {
        w.file = Present::Whole(block(&[("a.x", "10.0.0.1")]));
        w.take(Input::FileTouched);
        w.run_until(w.now + secs(6));
        assert_eq!(w.file, absent());
    }
    assert_eq!((w.receipt().conflicts, w.receipt().in_conflict), (0, false));
    // What was admitted last is what comes back.
    assert_eq!(w.saved.last(), Some(&kept(&[("a.x", "10.0.0.2")])));
    w.take(Input::Removal(Ok(None)));
    assert_eq!(w.file, Present::Whole(block(&[("a.x", "10.0.0.2")])));
    let receipt = w.receipt();
    let said = (receipt.removed, receipt.error_detail.clone(), w.verdict("a.x"), receipt.in_conflict);
    assert_eq!(said, (None, None, Verdict::Published, false));
}

#[test]
fn nothing_is_written_after_a_start_while_it_is_kept_out() {
    let mut w = World::new(Some(kept(&[("a.x", "10.0.0.9")])));
    let order = [out(), arrives(&plan(&[("a.x", "10.0.0.1")]))];
    let actions = w.core.step_all(order, Now::default());
    let [Action::Assert(job)] = actions.as_slice() else { panic!("{actions:?}") };
    assert_eq!(job.wanted, Block::default());
}

#[test]
fn also_where_nothing_is_published_or_was_ever_admitted() {
    let mut w = published();
    w.take(Input::Policy(Arc::new(HostsPolicy { publish: false, ..policy() })));
    w.take(out());
    assert_eq!((w.file.clone(), w.verdict("a.x")), (absent(), Verdict::Removed));
    w.take(Input::Removal(Ok(None)));
    w.run_until(secs(60));
    assert_eq!((w.file.clone(), w.verdict("a.x")), (absent(), Verdict::Pending));
    let mut w = World::new(None);
    w.file = Present::Whole(block(&[("old.x", "10.0.0.1")]));
    w.take(out());
    assert_eq!((w.file.clone(), w.saved.len()), (absent(), 0), "what was never known is not kept as last known good");
}

#[test]
fn what_is_not_to_be_trusted_changes_nothing_and_is_told() {
    let mut w = published();
    let unfit = || Input::Removal(Err("/ad/hosts.removed: expected the owner root".to_owned()));
    w.take(unfit());
    let said = |w: &World| (w.verdict("a.x"), w.receipt().removed, w.receipt().error_detail.clone().unwrap());
    let why = "/ad/hosts.removed: expected the owner root".to_owned();
    assert_eq!(said(&w), (Verdict::Published, None, why));
    w.take(out());
    w.take(unfit());
    assert_eq!((w.file.clone(), w.receipt().removed), (absent(), Some(SINCE)), "the order before stays in force");
}

#[test]
fn a_file_that_can_not_be_written_is_no_removal_yet() {
    let mut w = published();
    w.fails = Some(PublishErrorKind::Io);
    w.take(out());
    assert_eq!((w.verdict("a.x"), w.receipt().error), (Verdict::Pending, Some(PublishErrorKind::Io)));
    assert_eq!(w.receipt().removed, Some(SINCE));
    w.fails = None;
    w.run_until(secs(10));
    assert_eq!((w.verdict("a.x"), w.file.clone()), (Verdict::Removed, absent()));
}
