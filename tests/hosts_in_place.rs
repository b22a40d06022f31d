//! Writing the hosts file in place: what a kill at any byte leaves, and edits at any step.
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

use privatelinkd::model::InPlace;
use privatelinkd::publish::hosts::file::{self, Change, FileError, Hook, Outcome, Step, Target, no_hook};

const OLD: &str = "127.0.0.1 localhost\n# BEGIN ours\n10.0.0.1 a.x\n# END ours\n10.9.9.9 other.example\n";
/// Longer, shorter and as long.
const NEW: [&str; 3] = [
    "127.0.0.1 localhost\n# BEGIN ours\n10.0.0.1 a.x\n10.0.0.2 a.x\n# END ours\n10.9.9.9 other.example\n",
    "127.0.0.1 localhost\n10.9.9.9 other.example\n",
    "127.0.0.1 localhost\n# BEGIN ours\n10.0.0.7 a.x\n# END ours\n10.9.9.9 other.example\n",
];
const EDIT: &str = "10.8.8.8 added.by.an.editor\n";
/// The steps of an update in place, in their order.
const UPDATE: [Step; 7] =
    [Step::Locked, Step::Read, Step::Checked, Step::Kept, Step::Swapped, Step::DirSynced, Step::ReadBack];

struct Room(tempfile::TempDir);

impl Room {
    fn new(content: &str) -> Self {
        let room = Self(tempfile::tempdir().unwrap());
        ["etc", "run", "state"].iter().for_each(|folder| std::fs::create_dir(room.0.path().join(folder)).unwrap());
        std::fs::write(room.hosts(), content).unwrap();
        room
    }
    fn hosts(&self) -> PathBuf {
        self.0.path().join("etc/hosts")
    }
    fn state(&self) -> PathBuf {
        self.0.path().join("state")
    }
    fn journal(&self) -> PathBuf {
        self.state().join("hosts.journal")
    }
    fn read(&self) -> String {
        std::fs::read_to_string(self.hosts()).unwrap()
    }
    fn replace(&self, steps: Hook<'_>, mut wanted: impl FnMut(&str) -> Option<String>) -> Result<Outcome, FileError> {
        let (path, lock, conflicts) = (self.hosts(), self.0.path().join("run/lock"), self.state());
        let target = Target { path: &path, lock: &lock, conflicts: &conflicts, in_place: InPlace::Always };
        let text = |content: &[u8]| String::from_utf8(content.to_vec()).unwrap();
        file::replace(target, steps, |content| Ok(wanted(&text(content)).map(String::into_bytes)))
    }
    /// Kills an update at this step: nothing is cleared up. True if it came to that.
    fn kill_at(&self, step: Step, new: &str) -> bool {
        let mut steps = |reached| if reached == step { resume_unwind(Box::new(())) } else { Ok(()) };
        catch_unwind(AssertUnwindSafe(|| self.replace(&mut steps, |_| Some(new.to_owned())))).is_err()
    }
    fn names(&self, folder: &str) -> Vec<String> {
        let name = |entry: io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        std::fs::read_dir(self.0.path().join(folder)).unwrap().map(name).collect()
    }
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn the_file_stays_the_same_and_holds_the_new_content() {
    let room = Room::new(OLD);
    for new in NEW {
        let before = std::fs::metadata(room.hosts()).unwrap();
        let outcome = room.replace(&mut no_hook, |_| Some(new.to_owned())).unwrap();
        let after = std::fs::metadata(room.hosts()).unwrap();
        assert_eq!((outcome.change, room.read().as_str()), (Change::Overwritten, new));
        assert_eq!(after.ino(), before.ino());
        assert_ne!(after.modified().unwrap(), before.modified().unwrap());
    }
    assert_eq!((room.names("etc").len(), room.names("state").len()), (1, 0));
    let before = std::fs::metadata(room.hosts()).unwrap();
    assert_eq!(room.replace(&mut no_hook, |_| None).unwrap().change, Change::Unchanged);
    assert_eq!(std::fs::metadata(room.hosts()).unwrap().ctime_nsec(), before.ctime_nsec());
}

/// The next update finishes it, with what others wrote meanwhile.
#[test]
fn a_kill_at_any_byte_loses_nothing() {
    let edits: [fn(&str) -> String; 4] = [
        str::to_owned,
        |torn| {
            if torn.is_empty() || torn.ends_with('\n') { format!("{torn}{EDIT}") } else { format!("{torn}\n{EDIT}") }
        },
        |torn| format!("{EDIT}{torn}"),
        |torn| format!("# first\n{torn}{}{EDIT}", if torn.ends_with('\n') { "" } else { "\n" }),
    ];
    let mut points = 0;
    for new in NEW {
        let room = Room::new(OLD);
        assert!(room.kill_at(Step::Kept, new));
        let journal = std::fs::read(room.journal()).unwrap();
        for end in 0..=new.len() {
            for (number, edit) in edits.iter().enumerate() {
                let torn = format!("{}{}", &new[..end], OLD.get(end..).unwrap_or_default());
                std::fs::write(room.hosts(), edit(&torn)).unwrap();
                std::fs::write(room.journal(), &journal).unwrap();
                let outcome = room.replace(&mut no_hook, |_| None).unwrap();
                let there = room.read();
                let is_whole = [OLD, new].iter().any(|whole| sorted(&edit(whole)) == sorted(&there));
                assert!(is_whole, "{end} {number}: {there}");
                assert!(number == 0 || there.contains(EDIT) && outcome.content == there.as_bytes());
                // Where an edit begins as our next line would, nobody can tell the two apart: it is saved, too.
                for saved in room.names("state") {
                    assert!(saved.starts_with("hosts.conflict."), "{end} {number}: {saved}");
                    std::fs::remove_file(room.state().join(saved)).unwrap();
                }
                points += 1;
            }
        }
    }
    println!("{points} points tried");
}

/// What a kill in the middle of the mending leaves is mended, too.
#[test]
fn a_kill_while_it_is_finished_loses_nothing() {
    let room = Room::new(OLD);
    assert!(room.kill_at(Step::Kept, NEW[0]));
    let torn = format!("{}{}{EDIT}", &NEW[0][..60], &OLD[60..]);
    std::fs::write(room.hosts(), &torn).unwrap();
    let first = std::fs::read(room.journal()).unwrap();
    let finished = {
        room.replace(&mut no_hook, |_| None).unwrap();
        room.read()
    };
    // The journal of the mending, which is another one by then.
    std::fs::write(room.hosts(), &torn).unwrap();
    let mended = format!(
        "{}\n{torn}{finished}",
        format_args!(
            "privatelinkd journal 1 {} {} {} mends",
            room.hosts().as_os_str().len(),
            torn.len(),
            finished.len()
        )
    );
    let mended = mended.replacen('\n', &format!("\n{}", room.hosts().display()), 1);
    assert_ne!(mended.as_bytes(), first);
    for end in 0..=finished.len() {
        std::fs::write(room.journal(), &mended).unwrap();
        std::fs::write(room.hosts(), format!("{}{}", &finished[..end], torn.get(end..).unwrap_or_default())).unwrap();
        room.replace(&mut no_hook, |_| None).unwrap();
        assert_eq!(room.read(), finished, "{end}");
    }
}

/// Who edits the torn file instead keeps his edit, and the rest is mended all the same.
#[test]
fn an_edit_while_it_is_finished_is_kept() {
    let room = Room::new(OLD);
    let torn = format!("{}{}", &NEW[0][..60], &OLD[60..]);
    let journal =
        format!("privatelinkd journal 1 {} {} {} mends\n", room.hosts().as_os_str().len(), torn.len(), NEW[0].len());
    std::fs::write(room.journal(), format!("{journal}{}{torn}{}", room.hosts().display(), NEW[0])).unwrap();
    std::fs::write(room.hosts(), format!("{torn}{EDIT}")).unwrap();
    room.replace(&mut no_hook, |_| None).unwrap();
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
    assert!(lines(&room.read()).is_superset(&lines(&format!("{}{EDIT}", NEW[0]))), "{}", room.read());
    assert_eq!(room.names("state").len(), 0);
}

#[test]
fn an_end_at_any_step_loses_nothing() {
    for step in UPDATE {
        for new in NEW {
            let room = Room::new(OLD);
            assert!(room.kill_at(step, new), "{step:?}");
            assert!([OLD, new].contains(&room.read().as_str()), "{step:?}");
            room.replace(&mut no_hook, |_| Some(new.to_owned())).unwrap();
            assert_eq!((room.read().as_str(), room.names("state").len()), (new, 0), "{step:?}");
        }
    }
}

/// An editor's way to add his line to what he reads.
type Editor = fn(&Path) -> io::Result<()>;

#[test]
fn an_editor_at_any_step_loses_nothing() {
    let editors: [(&str, Editor); 4] = [
        ("rename", |hosts| {
            let other = hosts.with_file_name("other");
            std::fs::write(&other, format!("{}{EDIT}", std::fs::read_to_string(hosts)?))?;
            std::fs::rename(other, hosts)
        }),
        ("rewrite", |hosts| std::fs::write(hosts, format!("{}{EDIT}", std::fs::read_to_string(hosts)?))),
        ("append", |hosts| OpenOptions::new().append(true).open(hosts)?.write_all(EDIT.as_bytes())),
        ("overwrite", |hosts| {
            let new = format!("{}{EDIT}", std::fs::read_to_string(hosts)?);
            OpenOptions::new().write(true).open(hosts)?.write_all(new.as_bytes())
        }),
    ];
    for step in UPDATE {
        for (how, edit) in editors {
            let room = Room::new(OLD);
            let mut edited = false;
            let mut steps = |reached| {
                if reached == step && !std::mem::replace(&mut edited, true) { edit(&room.hosts()) } else { Ok(()) }
            };
            let moved = |content: &str| {
                content.contains("10.0.0.1 a.x").then(|| content.replace("10.0.0.1 a.x", "10.0.0.22 a.x"))
            };
            room.replace(&mut steps, moved).unwrap();
            room.replace(&mut no_hook, moved).unwrap();
            let expected = format!("{}{EDIT}", OLD.replace("10.0.0.1 ", "10.0.0.22 "));
            assert_eq!(room.read(), expected, "{how} at {step:?}");
            assert_eq!((room.names("etc").len(), room.names("state").len()), (1, 0), "{how} at {step:?}");
        }
    }
}

#[test]
fn a_fault_at_any_step_leaves_the_old_content_or_the_new_one() {
    for step in UPDATE {
        let room = Room::new(OLD);
        let mut steps = |reached| if reached == step { Err(io::Error::other("a fault")) } else { Ok(()) };
        room.replace(&mut steps, |_| Some(NEW[0].to_owned())).unwrap_err();
        assert_eq!(room.read(), if step < Step::Swapped { OLD } else { NEW[0] }, "{step:?}");
        room.replace(&mut no_hook, |_| Some(NEW[0].to_owned())).unwrap();
        assert_eq!((room.read().as_str(), room.names("state").len()), (NEW[0], 0), "{step:?}");
    }
}

#[test]
fn without_room_for_the_journal_nothing_is_written() {
    let room = Room::new(OLD);
    std::fs::remove_dir(room.state()).unwrap();
    let e = room.replace(&mut no_hook, |_| Some(NEW[0].to_owned())).unwrap_err();
    assert!(e.to_string().contains("keep the journal"), "{e}");
    assert_eq!(room.read(), OLD);
}

#[test]
fn a_journal_of_a_file_that_is_gone_holds_nobody_up() {
    let room = Room::new(OLD);
    assert!(room.kill_at(Step::Kept, NEW[0]));
    std::fs::remove_file(room.hosts()).unwrap();
    assert_eq!(room.replace(&mut no_hook, |_| Some(NEW[0].to_owned())).unwrap().change, Change::Created);
    assert_eq!((room.read().as_str(), room.names("state").len()), (NEW[0], 0));
}
