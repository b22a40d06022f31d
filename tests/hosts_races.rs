//! Editors of every style against an update of the hosts file, each at each named step: whatever comes first, no line
//! of anybody is lost, the block is whole, and nothing is left beside the file.
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use privatelinkd::model::{Answer, AnswerReason, InPlace, PublishErrorKind};
use privatelinkd::publish::hosts::HostsPolicy;
use privatelinkd::publish::hosts::block::{self, Block, Entry, OwnLines, Present};
use privatelinkd::publish::hosts::file::{self, FileError, Settled, Step, Target, no_hook};
use privatelinkd::sys::in_force::Projection;
use tokio::sync::watch;

use crate::hosts_rig::{Host, UPDATE, let_rest, plan, until};

const BEFORE: &str = "127.0.0.1 localhost\n10.9.9.9 other # theirs\n";
const EDIT: &str = "10.8.8.8 added.by.an.editor\n";

struct Room {
    dir: tempfile::TempDir,
    /// All lines that we ever wrote.
    own: Cell<OwnLines>,
}

impl Room {
    /// With a block that says something else than the update will.
    fn new() -> Self {
        let room = Self { dir: tempfile::tempdir().unwrap(), own: Cell::default() };
        for folder in ["etc", "run", "state"] {
            std::fs::create_dir(room.dir.path().join(folder)).unwrap();
        }
        std::fs::write(room.hosts(), BEFORE).unwrap();
        room.update("10.0.0.1", &mut no_hook).unwrap();
        room.settle(false);
        room
    }
    fn hosts(&self) -> PathBuf {
        self.dir.path().join("etc/hosts")
    }
    fn with_target<T>(&self, work: impl FnOnce(Target<'_>) -> T) -> T {
        let (path, lock) = (self.hosts(), self.dir.path().join("run/lock"));
        work(Target { path: &path, lock: &lock, conflicts: &self.dir.path().join("state"), in_place: InPlace::Auto })
    }
    fn update(&self, address: &str, steps: &mut dyn FnMut(Step) -> io::Result<()>) -> Result<(), FileError> {
        let wanted = wanted(address);
        let own = self.own.take().with([&OwnLines::of(&wanted, b"")]);
        self.own.set(own.clone());
        self.with_target(|target| {
            file::replace(target, steps, |content| match block::splice(content, &wanted, Some(&own)).unwrap().file {
                std::borrow::Cow::Borrowed(_) => Ok::<_, FileError>(None),
                std::borrow::Cow::Owned(new) => Ok(Some(new)),
            })
        })
        .map(drop)
    }
    /// Settles what can be; true if nothing is left.
    fn settle(&self, even_if_open: bool) -> bool {
        self.settle_with(even_if_open, &mut no_hook)
    }
    fn settle_with(&self, even_if_open: bool, steps: &mut dyn FnMut(Step) -> io::Result<()>) -> bool {
        // A folding displaces a file, too.
        for _ in 0..10 {
            let there = file::displaced(&self.hosts()).unwrap();
            if there.is_empty() {
                return true;
            }
            for displaced in there {
                self.with_target(|target| file::settle(target, steps, &displaced, even_if_open)).unwrap();
            }
            self.let_rest();
        }
        false
    }
    fn let_rest(&self) {
        let_rest(&self.dir.path().join("run"));
    }
    fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.hosts()).unwrap();
        let mut lines: Vec<String> = text.lines().filter(|l| !l.starts_with("# ")).map(str::to_owned).collect();
        lines.sort();
        lines
    }
    /// What is displaced settles, and after one more update all is well.
    fn converges(&self, theirs: &[&str], address: &str, what: &str) {
        assert!(self.settle(false), "{what}");
        self.update(address, &mut no_hook).unwrap();
        assert!(self.settle(false), "{what}");
        self.assert_whole(theirs, address, what);
    }
    /// All is well: these lines of others are there once each, with the block, and nothing else anywhere.
    fn assert_whole(&self, theirs: &[&str], address: &str, what: &str) {
        let ours = format!("{address} db.internal");
        let mut expected: Vec<&str> = theirs.iter().flat_map(|part| part.lines()).chain([ours.as_str()]).collect();
        expected.sort_unstable();
        assert_eq!(self.lines(), expected, "{what}");
        let content = std::fs::read(self.hosts()).unwrap();
        assert!(matches!(block::present(&content), Present::Whole(b) if b.same_pairs(&wanted(address))), "{what}");
        let names = |folder: &str| std::fs::read_dir(self.dir.path().join(folder)).unwrap().count();
        assert_eq!((names("etc"), names("run"), names("state")), (1, 1, 0), "{what}: something is left");
    }
}

fn wanted(address: &str) -> Block {
    let answer =
        Answer { addresses: vec![address.parse().unwrap()], standby: Vec::new(), reason: AnswerReason::Healthy };
    Block::from(std::collections::BTreeMap::from([("db.internal".parse().unwrap(), Entry::from(&answer))]))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// Writes another file and renames it, as vim, sed -i and Ansible do.
    Rename,
    /// Empties the file and writes it anew, as `cp` and `>` do.
    Rewrite,
    /// `>>`
    Append,
    /// Overwrites it from its beginning, without emptying it.
    Overwrite,
    /// `sort -u`: our lines stand elsewhere than their markers.
    Sort,
}

/// An editor that adds its line to what it reads.
fn edit(style: Style, hosts: &Path) -> io::Result<()> {
    edit_of(style, hosts, &std::fs::read(hosts)?)
}

/// What he does with what he has read.
fn edit_of(style: Style, hosts: &Path, read: &[u8]) -> io::Result<()> {
    let new = [read, EDIT.as_bytes()].concat();
    match style {
        Style::Rename => {
            let other = hosts.with_file_name("hosts.edited");
            std::fs::write(&other, new)?;
            std::fs::rename(&other, hosts)
        }
        Style::Rewrite => std::fs::write(hosts, new),
        Style::Append => OpenOptions::new().append(true).open(hosts)?.write_all(EDIT.as_bytes()),
        Style::Overwrite => {
            let mut file = OpenOptions::new().write(true).open(hosts)?;
            file.write_all(&new)?;
            file.set_len(new.len() as u64)
        }
        Style::Sort => {
            let lines: BTreeSet<&[u8]> = new.split_inclusive(|b| *b == b'\n').collect();
            std::fs::write(hosts, lines.into_iter().collect::<Vec<_>>().concat())
        }
    }
}

const STYLES: [Style; 5] = [Style::Rename, Style::Rewrite, Style::Append, Style::Overwrite, Style::Sort];

/// Does something the first time that a step is reached.
fn once(at: Step, work: impl FnOnce() -> io::Result<()>) -> impl FnMut(Step) -> io::Result<()> {
    let mut work = Some(work);
    move |step| match work.take_if(|_| step == at) {
        Some(work) => work(),
        None => Ok(()),
    }
}

#[test]
fn an_editor_at_any_step_loses_nothing() {
    for step in UPDATE {
        for style in STYLES {
            let room = Room::new();
            let hosts = room.hosts();
            room.update("10.0.0.2", &mut once(step, || edit(style, &hosts))).unwrap();
            let what = format!("{style:?} after {step:?}");
            assert!(room.lines().contains(&EDIT.trim().to_owned()), "{what}: who is through is seen at once");
            room.converges(&[BEFORE, EDIT], "10.0.0.2", &what);
        }
    }
}

/// Opened at one step, written at another or after all: into what is displaced by then, or is not.
#[test]
fn who_opens_the_file_at_one_step_and_writes_at_another_loses_nothing() {
    let moments: Vec<Option<Step>> = UPDATE.into_iter().map(Some).chain([None]).collect();
    for opened in 0..moments.len() - 1 {
        for written in opened..moments.len() {
            for empties in [false, true] {
                let room = Room::new();
                let (hosts, mut held) = (room.hosts(), None);
                let mut began = false;
                let mut steps = |step: Step| {
                    if moments[opened] == Some(step) && !began {
                        held = Some(begin(&hosts, empties)?);
                        began = true;
                    }
                    if moments[written] == Some(step) {
                        finish(held.take())?;
                    }
                    Ok(())
                };
                room.update("10.0.0.2", &mut steps).unwrap();
                let what = format!("{:?} to {:?}, empties: {empties}", moments[opened], moments[written]);
                if held.is_some() {
                    room.settle(false);
                }
                finish(held.take()).unwrap();
                room.converges(&[BEFORE, EDIT], "10.0.0.2", &what);
            }
        }
    }
}

/// An editor that has read the file and has it open, emptied or not.
fn begin(hosts: &Path, empties: bool) -> io::Result<(File, Vec<u8>)> {
    let read = std::fs::read(hosts)?;
    let file = OpenOptions::new().write(true).truncate(empties).open(hosts)?;
    Ok((file, [&read[..], EDIT.as_bytes()].concat()))
}

fn finish(held: Option<(File, Vec<u8>)>) -> io::Result<()> {
    let Some((mut file, new)) = held else { return Ok(()) };
    file.rewind()?;
    file.write_all(&new)
}

/// The same editors while a late edit is being folded in.
#[test]
fn an_editor_at_any_step_of_a_folding_loses_nothing() {
    const LATE: &str = "10.7.7.7 late\n";
    for step in UPDATE.into_iter().chain([Step::Folded]) {
        for style in STYLES {
            let room = Room::new();
            let hosts = room.hosts();
            let mut late = OpenOptions::new().append(true).open(&hosts).unwrap();
            room.update("10.0.0.2", &mut no_hook).unwrap();
            late.write_all(LATE.as_bytes()).unwrap();
            drop(late);
            let what = format!("{style:?} after {step:?}");
            assert!(room.settle_with(false, &mut once(step, || edit(style, &hosts))), "{what}");
            if style == Style::Sort {
                // It took the block apart, and a folding leaves that to an update.
                room.update("10.0.0.2", &mut no_hook).unwrap();
            }
            assert!(room.settle(false), "{what}");
            room.assert_whole(&[BEFORE, LATE, EDIT], "10.0.0.2", &what);
        }
    }
}

/// He has read the file before the update is through, and puts back what he has read, with his line, at any later step
/// or after all: also if another edit, of which he knows nothing, was folded in meanwhile.
#[test]
fn who_read_the_file_at_one_step_and_puts_that_back_at_another_loses_no_line_of_anybody() {
    std::thread::scope(|threads| {
        for style in STYLES {
            threads.spawn(move || {
                for (read_at, later) in (0..24).flat_map(|at| [0, 1, 3, 6, 12, 24].map(|later| (at, later))) {
                    put_back(style, read_at, read_at + later, None);
                    // The others have had their turn by then.
                    if read_at >= KEPT {
                        put_back(style, read_at, read_at + later, Some("10.7.7.7 others\n"));
                    }
                }
            });
        }
    });
}

/// The number of that step in the first attempt, from 0.
const KEPT: usize = 7;

/// The steps are counted over all attempts. Those of `others` append their line right before the swap.
fn put_back(style: Style, read_at: usize, written_at: usize, others: Option<&str>) {
    let room = Room::new();
    let (hosts, mut read, mut number, mut others_line) = (room.hosts(), None, 0, others);
    let mut steps = |step| {
        if let Some(line) = others_line.take_if(|_| step == Step::Kept) {
            OpenOptions::new().append(true).open(&hosts)?.write_all(line.as_bytes())?;
        }
        if number == read_at {
            read = Some(std::fs::read(&hosts)?);
        }
        number += 1;
        match read.take_if(|_| number > written_at) {
            Some(read) => edit_of(style, &hosts, &read),
            None => Ok(()),
        }
    };
    room.update("10.0.0.2", &mut steps).unwrap();
    if number <= read_at {
        return;
    }
    if let Some(read) = read {
        edit_of(style, &hosts, &read).unwrap();
    }
    room.let_rest();
    let theirs: Vec<&str> = [BEFORE, EDIT].into_iter().chain(others).collect();
    let what = format!("{style:?} from {read_at} to {written_at}, beside {others:?}");
    room.converges(&theirs, "10.0.0.2", &what);
}

/// Whatever ends us, the next start finds what was displaced and what it held.
#[test]
fn an_end_at_any_step_loses_nothing() {
    for step in UPDATE {
        for writes_before in [false, true] {
            let room = Room::new();
            let mut late = OpenOptions::new().append(true).open(room.hosts()).unwrap();
            let mut write = || late.write_all(EDIT.as_bytes());
            let fault = || {
                if writes_before {
                    write()?;
                }
                Err(io::Error::other("the end"))
            };
            let _ = room.update("10.0.0.2", &mut once(step, fault));
            if !writes_before {
                late.write_all(EDIT.as_bytes()).unwrap();
            }
            let what = format!("after {step:?}, written before: {writes_before}");
            room.with_target(file::clear_leftovers).unwrap();
            for displaced in file::displaced(&room.hosts()).unwrap() {
                let settled = room.with_target(|t| file::settle(t, &mut no_hook, &displaced, false)).unwrap();
                assert_eq!(settled, Settled::NotQuiet, "{what}: it is still open for writing");
            }
            drop(late);
            room.converges(&[BEFORE, EDIT], "10.0.0.2", &what);
        }
    }
}

#[test]
fn after_a_reboot_an_edit_is_kept_although_nobody_knows_what_was_before() {
    let room = Room::new();
    let mut late = OpenOptions::new().append(true).open(room.hosts()).unwrap();
    room.update("10.0.0.2", &mut no_hook).unwrap();
    late.write_all(EDIT.as_bytes()).unwrap();
    drop(late);
    for record in std::fs::read_dir(room.dir.path().join("run")).unwrap() {
        std::fs::remove_file(record.unwrap().path()).unwrap();
    }
    room.with_target(file::clear_leftovers).unwrap();
    assert!(room.settle(false));
    room.assert_whole(&[BEFORE, EDIT], "10.0.0.2", "without a record");
}

#[test]
fn two_changes_of_one_line_both_stay_and_the_late_file_is_saved() {
    let room = Room::new();
    let late = std::fs::read_to_string(room.hosts()).unwrap().replace("other # theirs", "late # theirs");
    let mut held = OpenOptions::new().write(true).open(room.hosts()).unwrap();
    room.update("10.0.0.2", &mut no_hook).unwrap();
    let now = std::fs::read_to_string(room.hosts()).unwrap();
    std::fs::write(room.hosts(), now.replace("other # theirs", "sooner # theirs")).unwrap();
    held.write_all(late.as_bytes()).unwrap();
    held.set_len(late.len() as u64).unwrap();
    drop(held);
    let displaced = file::displaced(&room.hosts()).unwrap();
    let settled = room.with_target(|target| file::settle(target, &mut no_hook, &displaced[0], false)).unwrap();
    let saved = room.dir.path().join("state").join(format!("hosts.conflict.{}", displaced[0].id));
    assert_eq!(settled, Settled::Done(vec![file::LateEdit { conflict: Some(saved.clone()), gave_way: 0 }]));
    assert_eq!(std::fs::read_to_string(&saved).unwrap(), late);
    let lines = room.lines();
    assert!(["10.9.9.9 late # theirs", "10.9.9.9 sooner # theirs"].iter().all(|l| lines.contains(&(*l).to_owned())));
}

#[test]
fn who_holds_the_file_for_longer_than_is_borne_has_what_he_wrote_until_then() {
    let room = Room::new();
    let mut late = OpenOptions::new().append(true).open(room.hosts()).unwrap();
    room.update("10.0.0.2", &mut no_hook).unwrap();
    late.write_all(EDIT.as_bytes()).unwrap();
    assert!(!room.settle(false), "he has it open");
    assert!(room.settle(true));
    room.assert_whole(&[BEFORE, EDIT], "10.0.0.2", "taken as it is");
}

/// What is no file can't be displaced: it gets its place back.
#[test]
fn a_folder_or_a_link_that_comes_in_between_stays_where_it_is() {
    for step in [Step::Rechecked, Step::Kept] {
        for link in [false, true] {
            let room = Room::new();
            let hosts = room.hosts();
            let swap = || {
                std::fs::remove_file(&hosts)?;
                match link {
                    true => std::os::unix::fs::symlink("/nowhere", &hosts),
                    false => std::fs::create_dir(&hosts),
                }
            };
            let e = room.update("10.0.0.2", &mut once(step, swap)).unwrap_err();
            assert!(matches!(e, FileError::NotRegular { .. }), "{e}");
            let found = std::fs::symlink_metadata(&hosts).unwrap();
            assert!(if link { found.is_symlink() } else { found.is_dir() }, "{step:?}");
            assert_eq!(std::fs::read_dir(hosts.parent().unwrap()).unwrap().count(), 1, "{step:?}: something is left");
        }
    }
}

/// All of it by the real writer, which neither waits nor stops for any of that.
#[tokio::test]
async fn the_running_writer_mends_what_editors_leave_and_says_so() {
    let host = Host::new();
    host.hand_over(&plan(&[("a.x", &["10.0.0.1"])]));
    let running = host.start();
    until("the block is there", || host.text().contains("10.0.0.1 a.x\n")).await;
    let said = |what: &str| host.receipt().is_some_and(|r| r.notices.iter().any(|n| n.what.contains(what)));

    let mut late = OpenOptions::new().append(true).open(host.hosts()).unwrap();
    host.hand_over(&plan(&[("a.x", &["10.0.0.2"])]));
    until("the new address", || host.text().contains("10.0.0.2 a.x\n")).await;
    late.write_all(b"\n10.7.7.7 late\n").unwrap();
    drop(late);
    until("the late edit", || host.text().contains("\n10.7.7.7 late\n")).await;
    let beside = || std::fs::read_dir(host.hosts().parent().unwrap()).unwrap().count();
    until("nothing is left", || beside() == 1).await;
    until("it is told", || said("the edit is in it now")).await;

    // sed -i '/^#/d'
    let without: Vec<u8> = std::fs::read(host.hosts()).unwrap();
    let lines = without.split_inclusive(|b| *b == b'\n').filter(|line| !line.starts_with(b"#"));
    std::fs::write(host.hosts(), lines.collect::<Vec<_>>().concat()).unwrap();
    until("a fresh block", || host.text().ends_with("# END privatelinkd\n")).await;
    assert_eq!(host.text().matches("10.0.0.2 a.x").count(), 1, "{}", host.text());
    assert!(host.text().contains("\n10.7.7.7 late\n"));
    until("it is told", || said("lines of ours that were taken out: 1")).await;

    let whole = std::fs::read(host.hosts()).unwrap();
    let twice = [&whole[..], block::find(&whole).unwrap()].concat();
    std::fs::write(host.hosts(), &twice).unwrap();
    let refused = || host.receipt().is_some_and(|r| r.error == Some(PublishErrorKind::UnclearMarkers));
    until("two blocks are refused", refused).await;
    assert_eq!(std::fs::read(host.hosts()).unwrap(), twice);
    std::fs::write(host.hosts(), &whole).unwrap();
    until("the admin has put it right", || host.receipt().is_some_and(|r| r.error.is_none())).await;
    running.stop().await;
}

/// What stands in the folder under such a name and is no file is nobody's displaced one, and in nobody's way.
#[test]
fn a_folder_or_a_link_with_the_name_of_a_displaced_file_holds_nothing_up() {
    let room = Room::new();
    std::fs::create_dir(room.dir.path().join("etc/.hosts.privatelinkd.4711")).unwrap();
    std::os::unix::fs::symlink("/nowhere", room.dir.path().join("etc/.hosts.privatelinkd.4712")).unwrap();
    assert_eq!(room.with_target(file::clear_leftovers).unwrap().0, 0);
    room.update("10.0.0.2", &mut no_hook).unwrap();
    assert!(room.settle(false));
    assert!(file::displaced(&room.hosts()).unwrap().is_empty());
}

/// Each attempt keeps what the file held before it swaps: an attempt that fails leaves nothing of that.
#[test]
fn an_update_that_never_gets_into_place_leaves_no_record() {
    let room = Room::new();
    for _ in 0..3 {
        let failing = &mut once(Step::Kept, || Err(io::Error::other("no")));
        room.update("10.0.0.2", failing).unwrap_err();
    }
    let left: Vec<_> =
        std::fs::read_dir(room.dir.path().join("run")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["lock"]);
}

/// A number comes again with the inode: an edit that was saved earlier stays.
#[test]
fn a_saved_edit_is_not_overwritten_by_another_of_the_same_number() {
    let room = Room::new();
    let mut saved = Vec::new();
    for (n, line) in ["first", "second"].into_iter().enumerate() {
        let text = std::fs::read_to_string(room.hosts()).unwrap();
        let theirs = text.lines().rfind(|l| l.contains("10.9.9.9")).unwrap().to_owned();
        let late = text.replace(&theirs, &format!("10.9.9.9 late.{line}"));
        let mut held = OpenOptions::new().write(true).open(room.hosts()).unwrap();
        room.update(&format!("10.0.0.{}", n + 2), &mut no_hook).unwrap();
        let now = std::fs::read_to_string(room.hosts()).unwrap();
        std::fs::write(room.hosts(), now.replace(&theirs, &format!("10.9.9.9 sooner.{line}"))).unwrap();
        let id = file::displaced(&room.hosts()).unwrap()[0].id;
        // As if the inode had come again.
        if n == 1 {
            std::fs::write(room.dir.path().join("state").join(format!("hosts.conflict.{id}")), "earlier").unwrap();
        }
        held.write_all(late.as_bytes()).unwrap();
        held.set_len(late.len() as u64).unwrap();
        drop(held);
        let displaced = file::displaced(&room.hosts()).unwrap();
        let settled = room.with_target(|target| file::settle(target, &mut no_hook, &displaced[0], false)).unwrap();
        let Settled::Done(folded) = settled else { panic!("{settled:?}") };
        saved.push((id, folded[0].conflict.clone().unwrap(), late));
        while !room.settle(false) {}
    }
    let (id, path, late) = &saved[1];
    assert!(path.ends_with(format!("hosts.conflict.{id}-1")), "{path:?}");
    assert_eq!(std::fs::read_to_string(path).unwrap(), *late);
    let earlier = room.dir.path().join("state").join(format!("hosts.conflict.{id}"));
    assert_eq!(std::fs::read_to_string(earlier).unwrap(), "earlier");
}

/// Whatever a reload changes of an idle writer or a busy one: who has the displaced file open is waited for.
#[tokio::test]
async fn an_edit_that_comes_after_a_reload_is_folded_in_whatever_that_changed() {
    for publish in [true, false] {
        let host = Host::new();
        let policy = HostsPolicy { reassert_interval: Duration::from_millis(100), ..host.policy() };
        let (policies, current) = watch::channel(Arc::new(policy.clone()));
        host.hand_over(&plan(&[("a.x", &["10.0.0.1"])]));
        let running = host.start_with(Projection::new(current, Arc::clone));
        until("the block is there", || host.text().contains("10.0.0.1 a.x\n")).await;
        let beside = || std::fs::read_dir(host.hosts().parent().unwrap()).unwrap().count();
        until("nothing is left of that", || beside() == 1).await;
        let mut late = OpenOptions::new().append(true).open(host.hosts()).unwrap();
        host.hand_over(&plan(&[("a.x", &["10.0.0.2"])]));
        until("the new address", || host.text().contains("10.0.0.2 a.x\n")).await;
        // By then looks no longer read the file, and list nothing.
        tokio::time::sleep(Duration::from_millis(700)).await;
        policies.send_replace(Arc::new(HostsPolicy { publish, agent_lost_after: Duration::from_secs(119), ..policy }));
        late.write_all(b"\n10.7.7.7 late\n").unwrap();
        drop(late);
        until("the late edit", || host.text().contains("\n10.7.7.7 late\n")).await;
        until("nothing is left", || beside() == 1).await;
        running.stop().await;
    }
}
