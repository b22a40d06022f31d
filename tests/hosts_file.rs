//! Replacing a file that is somebody else's: what is kept, what is refused, and races at each step.
use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use privatelinkd::model::{InPlace, PublishErrorKind, hex};
use privatelinkd::publish::hosts::file::{self, Change, FileError, Hook, Outcome, Settled, Step, Target, no_hook};
use privatelinkd::sys::file_stamp::FileStamp;
use rustix::fs::XattrFlags;

use crate::hosts_rig::{UPDATE, let_rest};

struct Room {
    dir: tempfile::TempDir,
}

impl Room {
    fn new(content: &str) -> Self {
        let room = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir(room.dir.path().join("etc")).unwrap();
        std::fs::create_dir(room.dir.path().join("run")).unwrap();
        std::fs::write(room.hosts(), content).unwrap();
        room
    }
    fn etc(&self) -> PathBuf {
        self.dir.path().join("etc")
    }
    fn hosts(&self) -> PathBuf {
        self.etc().join("hosts")
    }
    fn lock(&self) -> PathBuf {
        self.dir.path().join("run/lock")
    }
    /// Deletes what was displaced, as nobody writes into it any more, and it has been a while since.
    fn settle(&self) -> Vec<Settled> {
        let_rest(self.lock().parent().unwrap());
        let (path, lock, conflicts) = (self.hosts(), self.lock(), self.dir.path());
        let target = Target { path: &path, lock: &lock, conflicts, in_place: InPlace::Auto };
        let settle = || {
            let there = file::displaced(&path).unwrap();
            there.iter().map(|d| file::settle(target, &mut no_hook, d, false).unwrap()).collect()
        };
        let settled = settle();
        // What was folded in before waits for the others.
        let _: Vec<Settled> = settle();
        settled
    }
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(self.etc()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
    fn read(&self) -> String {
        std::fs::read_to_string(self.hosts()).unwrap()
    }
    fn replace_at(&self, path: &Path, steps: Hook<'_>) -> Result<Outcome, FileError> {
        self.replace_with(path, steps, add_line)
    }
    fn replace_with(
        &self,
        path: &Path,
        steps: Hook<'_>,
        mut wanted: impl FnMut(&[u8]) -> Option<Vec<u8>>,
    ) -> Result<Outcome, FileError> {
        let (lock, conflicts) = (self.lock(), self.dir.path());
        file::replace(Target { path, lock: &lock, conflicts, in_place: InPlace::Auto }, steps, |content| {
            Ok(wanted(content))
        })
    }
    fn replace(&self, steps: Hook<'_>) -> Result<Outcome, FileError> {
        self.replace_at(&self.hosts(), steps)
    }
}

fn add_line(content: &[u8]) -> Option<Vec<u8>> {
    (!content.split(|b| *b == b'\n').any(|line| line == b"ours")).then(|| [content, b"ours\n"].concat())
}

fn set(path: &Path, name: &str, value: &[u8]) -> rustix::io::Result<()> {
    rustix::fs::setxattr(path, name, value, XattrFlags::empty())
}

fn get(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 4096];
    let n = rustix::fs::getxattr(path, name, &mut buffer[..]).ok()?;
    Some(buffer[..n].to_vec())
}

/// A POSIX ACL as the kernel stores it: user 12345 may write, besides owner, group and others.
fn acl() -> Vec<u8> {
    let none = u32::MAX;
    let entries: [(u16, u16, u32); 5] = [(1, 6, none), (2, 6, 12345), (4, 4, none), (0x10, 6, none), (0x20, 4, none)];
    let entry =
        |(tag, perm, id): (u16, u16, u32)| [&tag.to_le_bytes()[..], &perm.to_le_bytes(), &id.to_le_bytes()].concat();
    [&2u32.to_le_bytes()[..], &entries.into_iter().flat_map(entry).collect::<Vec<_>>()].concat()
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn skipped(test: &str, why: &str) {
    println!("skipped: {test}: {why}");
}

#[test]
fn content_mode_owner_and_attributes_are_kept() {
    let room = Room::new("127.0.0.1 localhost\n");
    let hosts = room.hosts();
    std::fs::set_permissions(&hosts, std::fs::Permissions::from_mode(0o640)).unwrap();
    let labelled = set(&hosts, "user.note", b"keep\x00me").is_ok();
    if is_root() {
        std::os::unix::fs::chown(&hosts, Some(12345), Some(23456)).unwrap();
    }
    let before = std::fs::metadata(&hosts).unwrap();
    let outcome = room.replace(&mut no_hook).unwrap();
    let after = std::fs::metadata(&hosts).unwrap();
    let (stamp, content) = (FileStamp::read(&room.hosts()), b"127.0.0.1 localhost\nours\n".to_vec());
    assert_eq!(outcome, Outcome { change: Change::Written, content, stamp, folded: Vec::new() });
    assert_eq!(room.read(), "127.0.0.1 localhost\nours\n");
    assert_eq!((after.mode(), after.uid(), after.gid()), (before.mode(), before.uid(), before.gid()));
    assert_ne!(after.ino(), before.ino(), "resolvers look for a new inode");
    if labelled {
        assert_eq!(get(&hosts, "user.note").unwrap(), b"keep\x00me");
    } else {
        skipped("attributes", "the file system has no user attributes");
    }
    assert_eq!(room.names(), [format!(".hosts.privatelinkd.{}", after.ino()), "hosts".to_owned()]);
    assert_eq!(room.settle(), [Settled::Done(Vec::new())]);
    assert_eq!(room.names(), ["hosts"]);
}

#[test]
fn acls_are_kept_and_a_default_acl_of_the_folder_is_not_inherited() {
    const ACCESS: &str = "system.posix_acl_access";
    let room = Room::new("a\n");
    if set(&room.etc(), "system.posix_acl_default", &acl()).is_err() {
        return skipped("acls", "the file system has no ACLs");
    }
    room.replace(&mut no_hook).unwrap();
    assert_eq!(get(&room.hosts(), ACCESS), None);
    std::fs::write(room.hosts(), "b\n").unwrap();
    set(&room.hosts(), ACCESS, &acl()).unwrap();
    let mode = std::fs::metadata(room.hosts()).unwrap().mode();
    room.replace(&mut no_hook).unwrap();
    assert_eq!(get(&room.hosts(), ACCESS), Some(acl()));
    assert_eq!(std::fs::metadata(room.hosts()).unwrap().mode(), mode);
}

#[test]
fn the_modification_time_is_new_and_never_ahead() {
    let room = Room::new("");
    let mut last = None;
    for i in 0..20 {
        std::fs::write(room.hosts(), format!("{i}\n")).unwrap();
        let written = std::fs::metadata(room.hosts()).unwrap().modified().unwrap();
        room.replace(&mut no_hook).unwrap();
        let stamped = std::fs::metadata(room.hosts()).unwrap().modified().unwrap();
        assert_ne!(stamped, written);
        assert!(last.is_none_or(|l| stamped > l));
        assert!(stamped.elapsed().is_ok(), "in the future");
        last = Some(stamped);
    }
}

#[test]
fn a_file_that_is_right_is_left_alone() {
    let room = Room::new("x\nours\n");
    let before = std::fs::metadata(room.hosts()).unwrap();
    assert_eq!(room.replace(&mut no_hook).unwrap().change, Change::Unchanged);
    let after = std::fs::metadata(room.hosts()).unwrap();
    assert_eq!((after.ino(), after.ctime_nsec()), (before.ino(), before.ctime_nsec()));
}

#[test]
fn a_symbolic_link_stays_and_its_target_is_replaced() {
    let room = Room::new("a\n");
    let link = room.dir.path().join("link");
    symlink("etc/hosts", &link).unwrap();
    room.replace_at(&link, &mut no_hook).unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(room.read(), "a\nours\n");
}

#[test]
fn a_missing_file_is_created_for_everybody_to_read() {
    let room = Room::new("");
    std::fs::remove_file(room.hosts()).unwrap();
    assert_eq!(room.replace(&mut no_hook).unwrap().change, Change::Created);
    assert_eq!(std::fs::metadata(room.hosts()).unwrap().mode() & 0o7777, 0o644);
    assert_eq!(room.read(), "ours\n");
}

#[test]
fn only_an_empty_file_that_nobody_uses_goes() {
    let room = Room::new("");
    let (path, lock, conflicts) = (room.hosts(), room.lock(), room.dir.path());
    let target = Target { path: &path, lock: &lock, conflicts, in_place: InPlace::Auto };
    let goes = |steps: Hook<'_>| file::delete_empty(target, steps).unwrap();
    assert!(goes(&mut no_hook) && !goes(&mut no_hook));
    assert_eq!(room.names(), [""; 0]);

    std::fs::write(&path, "a\n").unwrap();
    assert!(!goes(&mut no_hook));
    std::fs::write(&path, "").unwrap();
    std::fs::hard_link(&path, room.dir.path().join("link")).unwrap();
    assert!(!goes(&mut no_hook));
    std::fs::remove_file(room.dir.path().join("link")).unwrap();
    let link = room.dir.path().join("link");
    symlink(&path, &link).unwrap();
    for other in [Target { path: &link, ..target }, Target { in_place: InPlace::Always, ..target }] {
        assert!(!file::delete_empty(other, &mut no_hook).unwrap() && room.names() == ["hosts"]);
    }
    let writer = std::fs::File::options().append(true).open(&path).unwrap();
    assert!(!goes(&mut no_hook) && room.names() == ["hosts"]);

    // What is written until its name is gone is there afterwards, whichever way, and who made another file has that.
    let append = |mut writer: &std::fs::File| io::Write::write_all(&mut writer, b"a\n");
    drop(writer);
    let mut write = at(Step::Read, 1, || std::fs::write(&path, "a\n"));
    assert!(!goes(&mut write) && room.read() == "a\n");
    std::fs::write(&path, "").unwrap();
    let writer = std::cell::OnceCell::new();
    let mut open = |step| match step {
        Step::Read => writer.set(std::fs::File::options().append(true).open(&path)?).map_err(|_| unreachable!()),
        Step::Swapped => append(writer.get().unwrap()),
        _ => Ok(()),
    };
    assert!(!goes(&mut open) && room.read() == "a\n");
    drop(writer);
    std::fs::write(&path, "").unwrap();
    let mut another = at(Step::Swapped, 1, || std::fs::write(&path, "b\n"));
    assert!(goes(&mut another) && room.read() == "b\n");
    assert_eq!(room.names(), ["hosts"]);
    std::fs::remove_file(&path).unwrap();

    // Killed in between: what is left is nobody's, or has the edit.
    for edit in ["", "late\n"] {
        std::fs::write(&path, "").unwrap();
        let killed = || {
            let left = room.names();
            std::fs::write(room.etc().join(&left[0]), edit)?;
            Err(io::ErrorKind::Interrupted.into())
        };
        assert!(file::delete_empty(target, &mut at(Step::Swapped, 1, killed)).is_err());
        file::clear_leftovers(target).unwrap();
        room.settle();
        assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), edit);
        room.settle();
        assert!(room.names().iter().all(|name| name == "hosts"), "{:?}", room.names());
    }
}

#[test]
fn what_is_no_file_is_refused() {
    let room = Room::new("");
    let other = |name: &str| room.etc().join(name);
    symlink("nowhere", other("dangling")).unwrap();
    std::fs::create_dir(other("folder")).unwrap();
    nix::unistd::mkfifo(&other("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (name, found) in [("dangling", "a symbolic link to nothing"), ("folder", "a folder"), ("pipe", "a pipe")] {
        let e = room.replace_at(&other(name), &mut no_hook).unwrap_err();
        assert!(matches!(&e, FileError::NotRegular { found: f, .. } if *f == found), "{name}: {e}");
    }
    std::fs::File::create(other("large")).unwrap().set_len(file::MAX_FILE + 1).unwrap();
    assert!(matches!(room.replace_at(&other("large"), &mut no_hook), Err(FileError::TooLarge { .. })));
    assert_eq!(std::fs::metadata(other("large")).unwrap().len(), file::MAX_FILE + 1, "it is left as it is");
    // A change that doesn't make it larger makes nothing worse: an address may still move.
    let moved = |content: &[u8]| {
        let mut content = content.to_vec();
        content[0] = b'#';
        Some(content)
    };
    room.replace_with(&other("large"), &mut no_hook, moved).unwrap();
    assert!(std::fs::read(other("large")).unwrap().starts_with(b"#\0"));
    std::fs::File::create(other("huge")).unwrap().set_len(5 * file::MAX_FILE).unwrap();
    assert!(matches!(file::read(&other("huge")), Err(FileError::TooLarge { .. })));
}

#[test]
fn where_nothing_can_be_created_nothing_changes() {
    // Read-only for everybody, root too.
    let e = Room::new("").replace_at(Path::new("/proc/version"), &mut no_hook).unwrap_err();
    assert!(matches!(e, FileError::Io { .. } | FileError::UnsupportedMetadata { .. }), "{e}");
    let room = Room::new("a\n");
    // Root may write where the mode forbids it, but not where the file system does.
    let (program, close, open) = if is_root() { ("chattr", "+i", "-i") } else { ("chmod", "555", "755") };
    let Some(closed) = Undo::after(program, &[close], &[open], &room.etc()) else {
        return skipped("read-only folder", "the file system has no immutable folders");
    };
    let e = room.replace(&mut no_hook).unwrap_err();
    drop(closed);
    assert_eq!(e.kind(), PublishErrorKind::Io);
    assert_eq!(room.read(), "a\n");
}

/// Undoes a command when it goes out of scope.
struct Undo(Command);

impl Undo {
    fn after(program: &str, doing: &[&str], undoing: &[&str], path: &Path) -> Option<Self> {
        let run = |args: &[&str]| {
            let mut c = Command::new(program);
            c.args(args).arg(path).stderr(std::process::Stdio::null());
            c
        };
        let undo = if program == "mount" {
            {
                let mut c = Command::new("umount");
                c.arg(path);
                c
            }
        } else {
            run(undoing)
        };
        run(doing).status().ok().filter(|s| s.success()).map(|_| Self(undo))
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        let _ = self.0.status();
    }
}

#[test]
fn a_mount_point_that_may_not_be_written_in_place_is_found_before_anything_is_touched() {
    let room = Room::new("a\n");
    let hosts = room.hosts();
    let source = hosts.to_str().unwrap().to_owned();
    let Some(_mounted) = Undo::after("mount", &["--bind", &source], &[], &hosts) else {
        return skipped("mount point", "no right to mount here");
    };
    let (lock, conflicts) = (room.lock(), room.dir.path());
    let target = Target { path: &hosts, lock: &lock, conflicts, in_place: InPlace::Never };
    let e = file::replace(target, &mut no_hook, |content| Ok::<_, FileError>(add_line(content))).unwrap_err();
    assert_eq!(e.kind(), PublishErrorKind::MountPoint, "{e}");
    assert_eq!((room.read().as_str(), room.names()), ("a\n", vec!["hosts".to_owned()]));
}

#[test]
fn flags_of_the_file_are_respected() {
    for flag in ["i", "a"] {
        let room = Room::new("a\n");
        let (on, off) = (format!("+{flag}"), format!("-{flag}"));
        let Some(_set) = Undo::after("chattr", &[&on], &[&off], &room.hosts()) else {
            return skipped("flags", "no right or no way to set them here");
        };
        let e = room.replace(&mut no_hook).unwrap_err();
        assert_eq!(e.kind(), PublishErrorKind::UnsupportedMetadata, "{e}");
        assert!(e.to_string().contains(&on), "{e}");
        assert_eq!(room.names(), ["hosts"]);
    }
}

#[test]
fn leftovers_of_a_crash_are_cleared_and_others_stay() {
    let room = Room::new("a\n");
    for name in [".hosts.privatelinkd-0123456789abcdef.tmp", ".hosts.swp", "hosts.bak", "new", ".hosts.privatelinkd.1"]
    {
        std::fs::write(room.etc().join(name), "").unwrap();
    }
    // One that never got into place is called after itself; any other was displaced.
    let inode = std::fs::metadata(room.etc().join("new")).unwrap().ino();
    std::fs::rename(room.etc().join("new"), room.etc().join(format!(".hosts.privatelinkd.{inode}"))).unwrap();
    // Of what this hosts file displaced; another one's records, in the same folder, are none of its business.
    let path = std::fs::canonicalize(room.hosts()).unwrap();
    let tag = ring::digest::digest(&ring::digest::SHA256, path.as_os_str().as_encoded_bytes());
    let record = |rest: &str| format!("displaced.{}.{rest}", hex(&tag.as_ref()[..8]));
    let others = ["displaced.0123456789abcdef.2.held".to_owned(), "other".to_owned()];
    let records = [record("1.held"), record("2.held"), record("1.part")];
    for record in records.iter().chain(&others) {
        std::fs::write(room.dir.path().join("run").join(record), "").unwrap();
    }
    let (hosts, lock, conflicts) = (room.hosts(), room.lock(), room.dir.path());
    assert_eq!(
        file::clear_leftovers(Target { path: &hosts, lock: &lock, conflicts, in_place: InPlace::Auto }).unwrap(),
        (2, Vec::new())
    );
    assert_eq!(room.names(), [".hosts.privatelinkd.1", ".hosts.swp", "hosts", "hosts.bak"]);
    let kept = std::fs::read_dir(conflicts.join("run")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let [this, ..] = records;
    let expected = others.into_iter().chain([this, "lock".to_owned()]).collect::<BTreeSet<_>>();
    assert_eq!(kept.collect::<BTreeSet<_>>(), expected);
    assert_eq!(file::displaced(&hosts).unwrap().iter().map(|d| d.id).collect::<Vec<_>>(), [1]);
}

#[test]
fn another_writer_of_ours_is_waited_for() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let room = Room::new("a\n");
    let held = std::fs::File::create(room.lock()).unwrap();
    held.lock().unwrap();
    let free = AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(30));
            free.store(true, Ordering::SeqCst);
            drop(held);
        });
        room.replace_with(&room.hosts(), &mut no_hook, |c| {
            assert!(free.load(Ordering::SeqCst), "read before the lock was ours");
            add_line(c)
        })
        .unwrap();
    });
}

/// Does something at one step, the first `times` times that it is reached.
fn at(at: Step, mut times: usize, mut work: impl FnMut() -> io::Result<()>) -> impl FnMut(Step) -> io::Result<()> {
    move |step| {
        if step == at && times > 0 {
            times -= 1;
            return work();
        }
        Ok(())
    }
}

/// Steps after which the file that was read is still in place.
const SEEN: [Step; 7] =
    [Step::Read, Step::Checked, Step::TempWritten, Step::MetadataCopied, Step::TempSynced, Step::Rechecked, Step::Kept];

#[test]
fn an_edit_by_somebody_else_in_between_survives() {
    for step in SEEN {
        for how in ["in place", "by rename", "same size"] {
            let room = Room::new("a\n");
            let (hosts, other) = (room.hosts(), room.etc().join("other"));
            let edit = || match how {
                "in place" => std::fs::write(&hosts, "a\nedited\n"),
                "same size" => std::fs::write(&hosts, "e\n"),
                _ => std::fs::write(&other, "a\nedited\n").and_then(|()| std::fs::rename(&other, &hosts)),
            };
            room.replace(&mut at(step, 1, edit)).unwrap();
            let mut lines: Vec<String> = room.read().lines().map(str::to_owned).collect();
            // Folded in, it may stand behind what we appended.
            lines.sort();
            let expected: &[&str] = if how == "same size" { &["e", "ours"] } else { &["a", "edited", "ours"] };
            assert_eq!(lines, expected, "{how} after {step:?}");
            room.settle();
            assert_eq!(room.names(), ["hosts"], "{how} after {step:?}");
        }
    }
}

#[test]
fn a_change_of_mode_in_between_survives() {
    for step in SEEN {
        let room = Room::new("a\n");
        let hosts = room.hosts();
        let chmod = || std::fs::set_permissions(&hosts, std::fs::Permissions::from_mode(0o600));
        room.replace(&mut at(step, 1, chmod)).unwrap();
        assert_eq!(std::fs::metadata(&hosts).unwrap().mode() & 0o7777, 0o600, "after {step:?}");
    }
}

#[test]
fn a_file_that_appears_in_between_is_not_overwritten() {
    for step in [Step::Read, Step::TempSynced, Step::Rechecked] {
        let room = Room::new("");
        let hosts = room.hosts();
        std::fs::remove_file(&hosts).unwrap();
        room.replace(&mut at(step, 1, || std::fs::write(&hosts, "theirs\n"))).unwrap();
        assert_eq!(room.read(), "theirs\nours\n", "after {step:?}");
    }
}

#[test]
fn who_edits_without_end_wins() {
    let room = Room::new("a\n");
    let hosts = room.hosts();
    let mut n = 0;
    let edit = || {
        n += 1;
        std::fs::write(&hosts, format!("edit {n}\n"))
    };
    let e = room.replace(&mut at(Step::Read, usize::MAX, edit)).unwrap_err();
    assert_eq!(e.kind(), PublishErrorKind::Busy);
    assert_eq!((room.read(), room.names()), (format!("edit {n}\n"), vec!["hosts".to_owned()]));
    assert_eq!(room.settle(), []);
}

#[test]
fn a_fault_at_any_step_leaves_the_old_file_or_the_new_one() {
    for step in UPDATE {
        for missing in [false, true] {
            let room = Room::new("a\n");
            if missing {
                std::fs::remove_file(room.hosts()).unwrap();
            }
            let fault = || Err(io::Error::from(io::ErrorKind::StorageFull));
            let e = room.replace(&mut at(step, 1, fault)).unwrap_err();
            assert_eq!(e.kind(), PublishErrorKind::Io);
            let old = if missing { None } else { Some("a\n".to_owned()) };
            let new = Some(if missing { "ours\n" } else { "a\nours\n" }.to_owned());
            let expected = if step >= Step::Swapped { new } else { old };
            assert_eq!(std::fs::read_to_string(room.hosts()).ok(), expected, "{step:?}");
            room.settle();
            assert!(room.names().iter().all(|n| n == "hosts"), "{step:?}: {:?}", room.names());
            room.replace(&mut no_hook).unwrap();
        }
    }
}
