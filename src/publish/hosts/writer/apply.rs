//! Carries the writer's actions out. Everything here blocks: for a blocking thread.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::core::{AssertError, Asserted, Input, Job, SettleJob, SettleReport, Settling};
use super::store;
use super::whose_lines::WhoseLines;
use crate::model::PublishErrorKind;
use crate::model::shown::count;
use crate::publish::hosts::adopt::{self, TakenOver, rewriters};
use crate::publish::hosts::block::{self, OwnLines, Present, Unclear};
use crate::publish::hosts::cloud_init;
use crate::publish::hosts::file::{self, Change, Displaced, FileError, LateEdit, Outcome, Settled, Target, no_hook};
use crate::publish::hosts::policy::HostsPolicy;
use crate::publish::hosts::shadow;
use crate::sys::file_stamp::FileStamp;
use crate::sys::memory;

/// The lock that all writers of ours take: the loop, and `hosts apply`.
pub(crate) fn lock_path(policy: &HostsPolicy) -> PathBuf {
    policy.run_dir.join("hosts.lock")
}

/// One look at the file, and a write if it says something else than wanted. A file that the job knows is not read.
pub(crate) fn look(job: &Job) -> Input {
    if job.known.is_some() && job.known == FileStamp::read(&job.policy.path) {
        return Input::FoundTheSame;
    }
    let asserted = assert(job);
    memory::give_back();
    Input::Asserted(asserted)
}

fn assert(job: &Job) -> Result<Asserted, AssertError> {
    let policy = &job.policy;
    // What lacks its folder says so itself.
    let _ = store::prepare(policy);
    if !job.wanted.entries.is_empty() {
        store::keep_original(policy)?;
    }
    let lock = lock_path(policy);
    let (mut found, mut gathered, mut taken) = (Present::Absent, None, TakenOver::default());
    let (mut own, mut former, mut theirs) = (OwnLines::default(), OwnLines::default(), OwnLines::default());
    let replaced = file::replace(target(policy, &lock), &mut no_hook, |content| {
        found = block::present(content);
        let lines = WhoseLines::of(job, &found, content, &own);
        (own, former) = (lines.own.clone(), lines.former.clone());
        let wanted = adopt::wanted(content, &job.wanted, Some(&lines.known), job.others)
            .map_err(|unclear| unclear_in(policy, &unclear))?;
        gathered = wanted.gathered;
        theirs = lines.theirs(&wanted);
        if wanted.taken != TakenOver::default() {
            // Also if an edit that came in between takes another turn, which finds it done.
            taken = wanted.taken;
        }
        match wanted.file {
            Cow::Borrowed(_) => Ok(None),
            Cow::Owned(new) => Ok::<_, AssertError>(Some(new)),
        }
    });
    let outcome = replaced.map_err(|e| AssertError { own: own.clone(), ..e })?;
    let outcome = made_by_us(job, &lock, outcome);
    let says = match &found {
        Present::Whole(there) if outcome.change == Change::Unchanged => there,
        _ => &job.wanted,
    };
    // Of what others parted from its markers right after the swap, only what was there before tells which lines are
    // ours.
    if matches!(block::present(&outcome.content), Present::Whole(_)) {
        own = adopt::own_lines(says, &outcome.content).with([&own]);
    }
    (own, former) = (own.without(&theirs), former.without(&theirs));
    let shadowed = shadow::shadowed(&outcome.content, job.wanted.entries.keys());
    let is_called_for = !shadowed.is_empty() || !taken.lines.is_empty();
    let rewriters = is_called_for.then(|| rewriters_of(job, &outcome.content, !taken.lines.is_empty()));
    Ok(Asserted {
        own,
        former,
        theirs,
        shadowed,
        taken,
        rewriters: rewriters.unwrap_or_default(),
        found,
        change: outcome.change,
        stamp: outcome.stamp,
        gathered,
        folded: outcome.folded,
        displaced: file::displaced(&policy.path).ok(),
    })
}

/// Keeps a note for as long as the hosts file holds nothing but what we made it with; and deletes it once nothing is in
/// it any more, as if we had never been there.
fn made_by_us(job: &Job, lock: &Path, outcome: Outcome) -> Outcome {
    let policy = &job.policy;
    if outcome.change == Change::Created {
        // Without the note an empty file stays where there was none, which all readers take alike.
        let _ = store::note_made(policy);
    }
    if !store::is_made(policy) {
        return outcome;
    }
    if !block::strip(&outcome.content, None).is_ok_and(|theirs| theirs.is_empty()) {
        // Somebody has a line in it: it would be there without us, too.
        store::forget_made(policy);
    } else if job.wanted.entries.is_empty() && outcome.content.is_empty() {
        // One that can't be deleted now is as good as none.
        let is_gone = file::delete_empty(target(policy, lock), &mut no_hook).unwrap_or(false);
        if is_gone || outcome.stamp.is_none() {
            store::forget_made(policy);
            return Outcome { stamp: None, ..outcome };
        }
    }
    outcome
}

/// Who would put lines back that name these, or did before they were taken over.
fn rewriters_of(job: &Job, file: &[u8], records: bool) -> Vec<String> {
    let mut lines = adopt::naming_lines(file, job.wanted.entries.keys());
    lines.extend(adopt::record_lines(file).filter(|_| records));
    rewriters::of(file, &lines, cloud_init::makes(&job.policy.path).as_deref())
}

/// The hosts file, and where what belongs to it is.
pub(crate) fn target<'p>(policy: &'p HostsPolicy, lock: &'p Path) -> Target<'p> {
    Target { path: &policy.path, lock, conflicts: &policy.state_dir, in_place: policy.in_place }
}

fn unclear_in(policy: &HostsPolicy, unclear: &Unclear) -> AssertError {
    let detail = format!("{}: {unclear}", policy.path.display());
    AssertError { kind: PublishErrorKind::UnclearMarkers, detail, own: OwnLines::default() }
}

/// Folds in and deletes the displaced files that are ready, and looks which are there.
pub(crate) fn settle(job: &SettleJob) -> SettleReport {
    let policy = &job.policy;
    let lock = lock_path(policy);
    let mut report = SettleReport::default();
    let mut faults = Vec::new();
    for settling in &job.ready {
        match file::settle(target(policy, &lock), &mut no_hook, &settling.file, settling.even_if_open) {
            Ok(Settled::Done(folded)) => {
                report.folded.extend(folded);
                report.cut_off += usize::from(settling.even_if_open && settling.file.open == Some(true));
            }
            Ok(Settled::Gone | Settled::NotQuiet) => {}
            // It has had its time. To try for ever would leave it there, and nobody would know.
            Err(e) if settling.even_if_open && e.is_of_the_edit() => {
                match file::give_up(target(policy, &lock), settling.file.id) {
                    Ok(kept) => report.given_up.extend(kept.map(|kept| given_up(&kept, &e))),
                    Err(e) => faults.push(e.to_string()),
                }
            }
            Err(e) => faults.push(e.to_string()),
        }
    }
    match file::displaced(&policy.path) {
        Ok(there) => report.there = there,
        Err(e) => faults.push(e.to_string()),
    }
    report.fault = faults.into_iter().next();
    memory::give_back();
    report
}

fn given_up((kept, went): &(PathBuf, usize), why: &FileError) -> String {
    let kept = kept.display();
    let what =
        format!("what somebody edited while the file was being replaced is not in it ({why}): it is kept as {kept}");
    match went {
        0 => what,
        n => format!("{what}; {} that had been kept before had to go for it", count(*n, "file")),
    }
}

/// Settles what nobody has open for writing now, for who can't wait until it has been quiet for a while.
pub(crate) fn settle_closed(policy: &Arc<HostsPolicy>) -> SettleReport {
    let there = file::displaced(&policy.path).unwrap_or_default();
    let closed = there.into_iter().filter(|file| file.open == Some(false));
    let ready = closed.map(|file| Settling { file, even_if_open: false }).collect();
    settle(&SettleJob { ready, policy: Arc::clone(policy) })
}

/// The same until nothing closed is left: folding an edit in displaces a file in its turn. Says what stays.
pub(crate) fn settle_what_is_closed(policy: &Arc<HostsPolicy>) -> Option<String> {
    const PASSES: usize = 4;
    let mut report = settle_closed(policy);
    for pass in 1..PASSES {
        if report.there.iter().all(|file| file.open != Some(false)) || report.fault.is_some() {
            break;
        }
        // What was folded in just now rests for so long. Who stops has no more time than that.
        if pass == 1 {
            std::thread::sleep(file::REST);
        }
        report = settle_closed(policy);
    }
    let is_closed = report.there.iter().any(|file| file.open == Some(false));
    let why = if is_closed { "they were edited just now" } else { "somebody has them open" };
    match (report.fault, report.there.len()) {
        (Some(fault), _) => Some(format!("what others edited meanwhile is left to the next start: {fault}")),
        (None, 0) => None,
        (None, n) => Some(format!("{} left to the next start: {why}", count(n, "displaced file"))),
    }
}

/// Clears up after a crash, and tells of the displaced files that are there, and of edits that it has folded in.
pub(crate) fn recover(policy: &HostsPolicy) -> Result<(Vec<Displaced>, Vec<LateEdit>), FileError> {
    let (_, folded) = file::clear_leftovers(target(policy, &lock_path(policy)))?;
    Ok((file::displaced(&policy.path)?, folded))
}

/// The same where somebody looks after the file. One that is torn is made whole in any case.
pub(crate) fn recover_at_start(policy: &HostsPolicy) -> Result<(Vec<Displaced>, Vec<LateEdit>), FileError> {
    let is_torn = || !policy.path.as_os_str().is_empty() && file::is_unfinished(&policy.state_dir);
    if policy.publish || is_torn() { recover(policy) } else { Ok(Default::default()) }
}

impl From<FileError> for AssertError {
    fn from(e: FileError) -> Self {
        Self { kind: e.kind(), detail: e.to_string(), own: OwnLines::default() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::Duration;

    use super::*;
    use crate::model::{Answer, AnswerReason, Boottime, Identity, Now, Plan, Wall};
    use crate::publish::hosts::adopt::LinesOfOthers;
    use crate::publish::hosts::file::MAX_FILE;
    use crate::publish::hosts::handover;
    use crate::publish::hosts::policy::Folders;
    use crate::publish::hosts::writer::core::{Action, Core, LastGood, OwnRecord, Recalled, ThisHost};

    fn plan(reason: AnswerReason) -> Plan {
        let answer = Answer { addresses: vec!["10.0.0.1".parse().unwrap()], standby: Vec::new(), reason };
        Plan { answers: [("a.x".parse().unwrap(), answer)].into(), ..Plan::default() }
    }

    /// As a writer does in an hour in which the API is out: reasons come and go, addresses stay.
    #[test]
    fn an_hour_that_brings_no_other_address_writes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let folder = |name: &str| dir.path().join(name);
        let folders = Folders {
            agent_run_dir: folder("ra"),
            run_dir: folder("rw"),
            state_dir: folder("state"),
            admin_dir: folder("ad"),
        };
        let mut policy = HostsPolicy { publish: true, path: folder("hosts"), ..HostsPolicy::idle(folders) };
        policy.rules.names = ["a.x".parse().unwrap()].into();
        policy.rules.allowed_ranges = vec!["10.0.0.0/8".parse().unwrap()];
        std::fs::write(&policy.path, "127.0.0.1 localhost\n").unwrap();
        let policy = Arc::new(policy);
        let now = |second| Now { boottime: Boottime(Duration::from_secs(second)), wall: Wall(second * 1000) };
        let start = now(1000).boottime;
        let mut core = Core::new(Arc::clone(&policy), ThisHost::default(), Recalled::Nothing, start);
        let (mut stamp, mut looks) = (None, 0);
        for second in 1000..4700 {
            let reasons = [AnswerReason::Healthy, AnswerReason::Stale, AnswerReason::AllDownKept];
            let reason = reasons[usize::try_from(second / 30 % 3).unwrap()];
            let handover = handover::make(&plan(reason), "", &Identity::default());
            let input = if second % 30 == 0 { Input::Handover(Ok(Some(handover))) } else { Input::Tick };
            let mut actions = VecDeque::from(core.step(input, now(second)));
            while let Some(action) = actions.pop_front() {
                let input = match action {
                    Action::Assert(job) => look(&job),
                    Action::Settle(job) => Input::Settled(settle(&job)),
                    Action::Save(_) | Action::Tell(_) | Action::Turned(_) => continue,
                };
                looks += 1;
                actions.extend(core.step(input, now(second)));
            }
            if second == 1100 {
                assert!(std::fs::read_to_string(&policy.path).unwrap().contains("\n10.0.0.1 a.x\n"));
                stamp = FileStamp::read(&policy.path);
            }
        }
        assert!(stamp.is_some() && looks > 600);
        assert_eq!(FileStamp::read(&policy.path), stamp);
    }

    /// Who has the very line that our block had keeps it, however that came.
    #[test]
    fn a_line_that_another_wrote_stays_when_the_block_goes() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let folders = Folders { agent_run_dir: at("ra"), run_dir: at("rw"), state_dir: at("sw"), admin_dir: at("ad") };
        let policy = Arc::new(HostsPolicy { path: at("hosts"), ..HostsPolicy::idle(folders) });
        store::prepare(&policy).unwrap();
        let answers = plan(AnswerReason::Healthy).answers;
        let block = block::Block::from_answers(&answers, &block::Marks::default(), false);
        let lines = OwnLines::of(&block, b"");
        let own = Some(OwnRecord { path: policy.path.clone(), lines: lines.clone() });
        store::save_block(&policy.state_dir, &LastGood { own, ..LastGood::default() }).unwrap();
        let record = std::fs::File::options().write(true).open(store::block_path(&policy.state_dir)).unwrap();
        record.set_modified(std::time::UNIX_EPOCH).unwrap();
        let look_at = |file: &[u8], own| {
            std::fs::write(&policy.path, file).unwrap();
            let wanted = block::Block::default();
            let job = Job { wanted, others: LinesOfOthers::Kept, own, known: None, policy: Arc::clone(&policy) };
            let Input::Asserted(Ok(asserted)) = look(&job) else { panic!("no result") };
            (std::fs::read(&policy.path).unwrap(), asserted.theirs)
        };
        let theirs = b"127.0.0.1 localhost\n10.0.0.1 a.x\n";
        // Written by hand long after the block has gone; and copied while it was there.
        assert_eq!(look_at(theirs, None).0, theirs);
        let (left, known) = look_at(&block::splice(theirs, &block, None).unwrap().file, Some(lines));
        assert_eq!(left, theirs);
        assert!(known.len() == 1 && look_at(&left, None).0 == theirs);
    }

    /// What fails at the first look may work at the next; after a minute nobody waits any more.
    #[test]
    fn what_can_not_be_folded_in_is_given_up_once_its_time_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let folders = Folders { agent_run_dir: at("ra"), run_dir: at("rw"), state_dir: at("sw"), admin_dir: at("ad") };
        std::fs::create_dir(at("rw")).unwrap();
        let policy = Arc::new(HostsPolicy { path: at("hosts"), ..HostsPolicy::idle(folders) });
        std::fs::write(at("hosts"), "now\n").unwrap();
        std::fs::File::create(at(".hosts.privatelinkd.7")).unwrap().set_len(4 * MAX_FILE).unwrap();
        // The one beside it is no worse for that.
        std::fs::write(at(".hosts.privatelinkd.8"), "late\n").unwrap();
        let there = file::displaced(&at("hosts")).unwrap();
        let job = |even_if_open| {
            let ready = there.iter().map(|file| Settling { file: *file, even_if_open }).collect();
            SettleJob { ready, policy: Arc::clone(&policy) }
        };
        let report = settle(&job(false));
        assert!(report.fault.is_some_and(|why| why.contains("expected at most")), "{:?}", report.given_up);
        assert!(report.there.iter().any(|file| file.id == 7) && report.given_up.is_empty());
        let report = settle(&job(true));
        // What folding the other one in has displaced is another file.
        assert!(report.there.iter().all(|file| ![7, 8].contains(&file.id)), "{:?}", report.there);
        assert_eq!(report.fault, None);
        let kept = at(".hosts.privatelinkd.7.kept");
        assert!(kept.exists());
        let [said] = report.given_up.as_slice() else { panic!("{:?}", report.given_up) };
        assert!(said.ends_with(&format!("it is kept as {}", kept.display())), "{said}");
        assert!(std::fs::read_to_string(at("hosts")).unwrap().contains("late\n"));
    }
}
