//! The package leaves: what packaging/leaving.sh, a part of the maintainer scripts, makes of hosts files. It has to say
//! what `block::strip` says, with nothing but a shell, sed, grep, diffutils and coreutils.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use fastrand::Rng;
use privatelinkd::model::AnswerReason;
use privatelinkd::publish::hosts::adopt::record::Record;
use privatelinkd::publish::hosts::block::{self, Block, Entry, EntryReason, Present};

use crate::manual;

const NAME: &str = "db.example.internal";
const NOBODY: &str = "# BEGIN privatelinkd (managed by nobody any more";

/// Runs a function of the script, the words of `function`, on a file, as dpkg and rpm run it; but never on this
/// machine's hosts file.
fn run(function: &str, file: &Path) -> Output {
    let script = concat!(
        "set -eu; . ",
        env!("CARGO_MANIFEST_DIR"),
        "/packaging/leaving.sh; default_hosts=/nonexistent/hosts; \
         leave_all() { each \"$(all_hosts_files \"$1\")\" leave_block; }; \
         under() { locks=$1 lock_patience=0; shift; \"$@\"; }; \
         take_all_out() { each \"$(all_hosts_files \"$1\")\" take_block_out; }; \"$@\""
    );
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).args(function.split(' ')).arg(file).stdin(Stdio::null());
    command.output().unwrap()
}

fn shell(line: &str) {
    assert!(Command::new("sh").args(["-c", line]).status().unwrap().success(), "{line}");
}

fn succeeds(function: &str, file: &Path) -> (String, String) {
    let output = run(function, file);
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{function}: {output:?}");
    (text(&output.stdout), text(&output.stderr))
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn with(bytes: &[u8]) -> Self {
        let this = Self(tempfile::tempdir().unwrap());
        std::fs::write(this.hosts(), bytes).unwrap();
        this
    }

    fn hosts(&self) -> PathBuf {
        self.0.path().join("hosts")
    }

    fn read(&self) -> Vec<u8> {
        std::fs::read(self.hosts()).unwrap()
    }

    /// No temporary file is left.
    fn is_tidy(&self) -> bool {
        std::fs::read_dir(self.0.path()).unwrap().all(|e| !e.unwrap().file_name().to_string_lossy().starts_with('.'))
    }
}

fn db() -> Block {
    let addresses = vec!["10.0.1.15".parse().unwrap(), "10.0.2.15".parse().unwrap()];
    let entry = Entry { addresses, reason: EntryReason::Answer(AnswerReason::Healthy), changed: None };
    Block::from(BTreeMap::from([(NAME.parse().unwrap(), entry)]))
}

/// Hosts files of others, without our block: odd encodings, ends and comments.
const FOREIGN: [&[u8]; 9] = [
    b"",
    b"\n",
    b"127.0.0.1 localhost\n",
    b"127.0.0.1 localhost",
    b"127.0.0.1 localhost\r\n::1 localhost\r\n",
    b"\xff\xfe\x00 caf\xe9\n\x00\n# the end",
    b"# BEGIN privatelinkd is what they write\n# END privatelinkd.\n a|b&c\\n\\1\n",
    b"# BEGIN other (managed by other)\n10.0.0.1 x\n# END other\n",
    b"\n\n\n127.0.0.1 localhost\n\n",
];

#[test]
fn a_purge_gives_the_very_bytes_back() {
    for foreign in FOREIGN {
        let folder = Folder::with(&block::splice(foreign, &db(), None).unwrap().file);
        assert_ne!(folder.read(), foreign);
        succeeds("take_block_out", &folder.hosts());
        assert_eq!(folder.read(), foreign, "{}", String::from_utf8_lossy(foreign));
        assert!(folder.is_tidy());
    }
}

/// Somebody put an old copy of the block back while nobody watched.
#[test]
fn a_purge_of_two_blocks_loses_no_line_between() {
    let block = |note: &str| {
        format!("# BEGIN privatelinkd (managed by privatelinkd: x{note})\n10.0.0.1 a\n# END privatelinkd\n")
    };
    let folder = Folder::with(format!("x\n{}y\n{}", block(""), block("; newline added at 3")).as_bytes());
    succeeds("take_block_out", &folder.hosts());
    assert_eq!(folder.read(), b"x\ny");
    assert!(folder.is_tidy());
}

#[test]
fn a_block_that_stays_says_that_nobody_manages_it_and_how_to_delete_it() {
    for foreign in FOREIGN {
        let ours = block::splice(foreign, &db(), None).unwrap().file.into_owned();
        let folder = Folder::with(&ours);
        let (told, _) = succeeds("leave_block", &folder.hosts());
        let left = folder.read();
        assert_eq!(block::present(&left), Present::Whole(db()), "the addresses stay");
        assert_eq!(&*block::strip(&left, None).unwrap(), foreign, "the others' bytes stay");
        let text = String::from_utf8_lossy(&left).into_owned();
        assert!(text.contains(NOBODY) && !text.contains("managed by privatelinkd"), "{text}");
        let header = text.lines().skip_while(|line| !line.starts_with(NOBODY)).nth(1).unwrap();
        let (_, delete) = header.split_once("To delete this block: ").unwrap();
        assert!(told.contains(delete) && told.lines().count() == 2, "{told}");
        assert!(text.lines().all(|line| line.len() < 255), "small resolvers read short lines: {text}");
        // Again, as at a second removal.
        succeeds("leave_block", &folder.hosts());
        assert_eq!(folder.read(), left);
        // Installed again: the block is ours as it was.
        assert_eq!(&*block::splice(&left, &db(), None).unwrap().file, ours);
        // The line that was printed works. What it can't know is that the newline before the block was ours.
        shell(delete);
        let deleted = folder.read();
        assert!(deleted == foreign || deleted == [foreign, b"\n"].concat(), "{}", String::from_utf8_lossy(&deleted));
        // Removed, then purged.
        std::fs::write(folder.hosts(), &left).unwrap();
        succeeds("take_block_out", &folder.hosts());
        assert_eq!(folder.read(), foreign);
    }
}

#[test]
fn markers_without_partners_and_files_without_blocks_are_left_alone() {
    for (file, said) in [
        (&b"a\n# BEGIN privatelinkd (managed by privatelinkd: x)\n10.0.0.1 x\nb"[..], "without its partner"),
        (b"# BEGIN privatelinkd", "without its partner"),
        (b"a\n# END privatelinkd\nb\n", "without its partner"),
        (b"a\n", ""),
        (b"", ""),
    ] {
        let folder = Folder::with(file);
        let inode = std::fs::metadata(folder.hosts()).unwrap().ino();
        let (told, _) = succeeds("leave_block", &folder.hosts());
        assert_eq!(told, "");
        let (_, complaint) = succeeds("take_block_out", &folder.hosts());
        assert!(complaint.contains(said) && complaint.is_empty() == said.is_empty(), "{complaint}");
        assert_eq!((folder.read(), std::fs::metadata(folder.hosts()).unwrap().ino()), (file.to_vec(), inode));
        assert!(folder.is_tidy());
    }
    let nowhere = Path::new("/nonexistent/hosts");
    assert_eq!(succeeds("leave_block", nowhere), (String::new(), String::new()));
    assert_eq!(succeeds("take_block_out", nowhere), (String::new(), String::new()));
}

/// The file without every line from a BEGIN to an END with no marker between.
fn without_pairs(file: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut begin = None;
    for line in file.split_inclusive(|b| *b == b'\n') {
        kept.push(line);
        let text = line.trim_ascii_end();
        if text.starts_with(b"# BEGIN privatelinkd (managed by ") {
            begin = Some(kept.len() - 1);
        } else if text == b"# END privatelinkd"
            && let Some(begin) = begin.take()
        {
            kept.truncate(begin);
        }
    }
    kept.concat()
}

/// Any mixture of whole blocks, single markers and others' lines: whole blocks go, nothing else does.
#[test]
fn whole_blocks_go_whatever_stands_around_them() {
    let mut rng = Rng::with_seed(24);
    let whole = db().render(None);
    let begin = &whole[..whole.iter().position(|b| *b == b'\n').unwrap() + 1];
    let pieces: [&[u8]; 9] = [
        &whole,
        begin,
        b"# END privatelinkd\n",
        b"# END privatelinkd  \r\n",
        b"a\n",
        b"\n",
        b"\xff\0\r\n",
        b"tail",
        b"#\n",
    ];
    for _ in 0..60 {
        let file: Vec<u8> = (0..rng.usize(..7)).flat_map(|_| pieces[rng.usize(..pieces.len())]).copied().collect();
        let wanted = without_pairs(&file);
        let folder = Folder::with(&file);
        succeeds("take_block_out", &folder.hosts());
        assert_eq!(folder.read(), wanted, "{:?}", String::from_utf8_lossy(&file));
        std::fs::write(folder.hosts(), &file).unwrap();
        succeeds("leave_block", &folder.hosts());
        succeeds("take_block_out", &folder.hosts());
        assert_eq!(folder.read(), wanted, "{:?}", String::from_utf8_lossy(&file));
        // The line for an admin does the same.
        std::fs::write(folder.hosts(), &file).unwrap();
        shell(&succeeds("how_to_delete", &folder.hosts()).0);
        assert_eq!(folder.read(), wanted, "{:?}", String::from_utf8_lossy(&file));
    }
}

/// Whatever begins like a marker of ours stands between what is deleted and what was before.
#[test]
fn the_line_for_an_admin_deletes_no_line_of_others() {
    let whole = String::from_utf8(db().render(None)).unwrap();
    let lone = whole.lines().next().unwrap();
    for other in ["# BEGIN privatelinkd", "# BEGIN privatelink is what they write", "# END privatelinkd.", "# BEGIN p"]
    {
        let others = format!("a\n{lone}\nb\n{other}\nc\n");
        let folder = Folder::with(format!("{others}{whole}d\n").as_bytes());
        shell(&succeeds("how_to_delete", &folder.hosts()).0);
        assert_eq!(String::from_utf8(folder.read()).unwrap(), format!("{others}d\n"));
    }
}

#[test]
fn blanks_and_quotes_in_a_path_are_no_obstacle() {
    let folder = Folder::with(b"");
    let state = folder.0.path().join("the state");
    std::fs::create_dir(&state).unwrap();
    let hosts = folder.0.path().join("it's my  hosts");
    std::fs::write(state.join("policy.json"), format!(r#"{{"policy":{{"path":"{}","x":1}}}}"#, hosts.display()))
        .unwrap();
    std::fs::write(&hosts, block::splice(b"a\n", &db(), None).unwrap().file).unwrap();
    let told = succeeds("leave_all", &state).0;
    let (_, delete) = told.split_once("To delete it: ").unwrap();
    assert!(std::fs::read_to_string(&hosts).unwrap().contains(&format!("To delete this block: {}", delete.trim_end())));
    shell(delete);
    assert_eq!(std::fs::read(&hosts).unwrap(), b"a\n");
    std::fs::write(&hosts, block::splice(b"a\n", &db(), None).unwrap().file).unwrap();
    succeeds("take_all_out", &state);
    assert_eq!(std::fs::read(&hosts).unwrap(), b"a\n");
}

/// Where the config put it, with what it is made of and no more.
#[test]
fn state_that_lies_elsewhere_is_found_and_goes_alone() {
    let folder = Folder::with(b"");
    let (etc, state) = (folder.0.path().join("etc"), folder.0.path().join("my state"));
    std::fs::create_dir_all(etc.join("conf.d")).unwrap();
    let found = |note: &str| {
        let path = folder.0.path().join("note");
        std::fs::write(&path, note).unwrap();
        let (folders, _) = succeeds(&format!("state_folders {}", etc.display()), &path);
        folders.lines().map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    const USUAL: &str = "/var/lib/privatelinkd-hosts";
    assert_eq!(found(""), [USUAL]);
    let text = format!(
        "[host]\nstate_dir = \"/agents\"\n[hosts]\n# state_dir = \"/no\"\nstate_dir = \"{}\" # here\n[hosts.x]\n\
         state_dir = \"/nor\"\n",
        state.display()
    );
    std::fs::write(etc.join("config.toml"), text).unwrap();
    std::fs::write(etc.join("conf.d/1.toml"), "[ hosts ]\nstate_dir='/second'\n").unwrap();
    let state_text = state.display().to_string();
    let mut all = [USUAL, &state_text, "/second", "/third"];
    all.sort_unstable();
    assert_eq!(found(&format!("/third\n{USUAL}\n")), all);

    std::fs::create_dir(&state).unwrap();
    std::fs::write(folder.hosts(), block::splice(b"a\n", &db(), None).unwrap().file).unwrap();
    let orders = folder.0.path().join("orders");
    let policy =
        format!(r#"{{"policy":{{"path":"{}","x":1,"admin_dir":"{}"}}}}"#, folder.hosts().display(), orders.display());
    std::fs::write(state.join("policy.json"), &policy).unwrap();
    std::fs::write(state.join("theirs"), "").unwrap();
    std::fs::write(state.join("hosts.orig"), "a\n").unwrap();
    std::fs::write(state.join("hosts.made"), folder.hosts().display().to_string()).unwrap();
    std::fs::write(state.join("hosts.journal.unusable"), "x").unwrap();
    std::fs::write(state.join("hosts.journal.unusable-1"), "x").unwrap();
    std::fs::create_dir(&orders).unwrap();
    std::fs::write(orders.join("hosts.removed"), "").unwrap();
    succeeds("purge_state", &state);
    assert!(!orders.exists());
    assert_eq!(folder.read(), b"a\n");
    let left = |dir: &Path| std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name()).collect::<Vec<_>>();
    assert_eq!(left(&state), ["theirs"]);
    std::fs::remove_file(state.join("theirs")).unwrap();
    succeeds("purge_state", &state);
    assert!(!state.exists());
}

#[test]
fn a_purge_leaves_no_hosts_file_where_there_was_none() {
    for (before, there) in [(&b""[..], false), (b"a\n", true)] {
        let folder = Folder::with(&block::splice(before, &db(), None).unwrap().file);
        let (state, hosts) = (folder.0.path(), folder.hosts().display().to_string());
        std::fs::write(state.join("policy.json"), format!(r#"{{"policy":{{"path":"{hosts}","x":1}}}}"#)).unwrap();
        std::fs::write(state.join("hosts.made"), &hosts).unwrap();
        succeeds("purge_state", state);
        assert_eq!((folder.hosts().exists(), state.join("hosts.made").exists()), (there, false));
    }
    // A link in its place is somebody's.
    let folder = Folder::with(b"");
    let (state, link) = (folder.0.path(), folder.0.path().join("link"));
    std::os::unix::fs::symlink(folder.hosts(), &link).unwrap();
    std::fs::write(state.join("hosts.made"), link.display().to_string()).unwrap();
    succeeds("purge_state", state);
    assert!(link.is_symlink() && folder.hosts().exists());
}

/// All that is whole of a hosts file that is torn.
#[test]
fn a_purge_leaves_the_journal_of_a_write_that_was_cut_off() {
    let ours = block::splice(b"a\n", &db(), None).unwrap().file.into_owned();
    let folder = Folder::with(&ours);
    let state = folder.0.path();
    let policy = format!(r#"{{"policy":{{"path":"{}","x":1}}}}"#, folder.hosts().display());
    std::fs::write(state.join("policy.json"), policy).unwrap();
    std::fs::write(state.join("hosts.journal"), "whole").unwrap();
    let output = run("purge_state", state);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let told = format!("privatelinkd: {} stays: hosts.journal in it has the hosts file", state.display());
    assert!(!output.status.success() && said.starts_with(&told) && said.lines().count() == 1, "{said}");
    assert_eq!(std::fs::read(state.join("hosts.journal")).unwrap(), b"whole");
    assert!(state.join("policy.json").exists());
    assert_eq!(folder.read(), ours);
    std::fs::remove_file(state.join("hosts.journal")).unwrap();
    succeeds("purge_state", state);
    assert!(!state.join("policy.json").exists());
    assert_eq!(folder.read(), b"a\n");
}

/// Nobody gives lines back that were taken over: it is told how to.
#[test]
fn lines_that_stay_taken_over_are_told_and_the_line_that_is_printed_gives_whole_ones_back() {
    let lines = |lines: [&str; 4]| lines.map(|line| format!("{line}\n")).concat();
    let original = ["10.0.1.15 db.internal        # by hand", "10.0.1.9  other db.internal", "::1 x", "# privatelinkd"];
    let record = |original: &str, taken: std::ops::Range<usize>| {
        let line = Record { original: original.as_bytes().to_vec(), taken: [taken].into() }.write();
        String::from_utf8(line).unwrap()
    };
    let (whole, part) = (record(original[0], 10..21), record(original[1], 16..27));
    let folder = Folder::with(lines([&whole, &part, original[2], original[3]]).as_bytes());
    let before = folder.read();
    for function in ["leave_block", "take_block_out"] {
        let (_, said) = succeeds(function, &folder.hosts());
        assert_eq!((said.lines().count(), folder.read()), (3, before.clone()), "{function}: {said}");
        assert!(said.contains("were taken over stay comments") && said.contains("# privatelinkd took out'"), "{said}");
        shell(said.lines().nth(1).unwrap());
        assert_eq!(folder.read(), lines([original[0], &part, original[2], original[3]]).into_bytes(), "{function}");
        std::fs::write(folder.hosts(), &before).unwrap();
    }
    std::fs::write(folder.hosts(), lines(original)).unwrap();
    assert_eq!(succeeds("take_block_out", &folder.hosts()), (String::new(), String::new()));
}

/// An editor may write yet into what he opened before it was displaced.
#[test]
fn a_displaced_file_stays_while_somebody_may_yet_write_to_it() {
    let folder = Folder::with(b"a\n");
    let displaced = folder.0.path().join(".hosts.privatelinkd.1");
    std::fs::write(&displaced, "a\n").unwrap();
    let editor = std::fs::OpenOptions::new().append(true).open(&displaced).unwrap();
    let (_, said) = succeeds("take_block_out", &folder.hosts());
    assert!(said.ends_with("somebody may yet write to it\n") && displaced.exists(), "{said}");
    drop(editor);
    let _reader = std::fs::File::open(&displaced).unwrap();
    succeeds("take_block_out", &folder.hosts());
    assert!(!displaced.exists() && folder.is_tidy());
}

/// What a killed writer left: new files that never got into place, and displaced ones, one of them with a late edit.
#[test]
fn what_updates_left_beside_it_goes_unless_it_may_hold_an_edit() {
    let folder = Folder::with(&block::splice(b"a", &db(), None).unwrap().file);
    let beside = |name: &str| folder.0.path().join(format!(".hosts.privatelinkd{name}"));
    std::fs::write(beside("-0123456789abcdef.tmp"), "new").unwrap();
    std::fs::write(beside("new"), "new").unwrap();
    let inode = std::fs::metadata(beside("new")).unwrap().ino();
    std::fs::rename(beside("new"), beside(&format!(".{inode}"))).unwrap();
    std::fs::write(beside(".1"), "a").unwrap();
    std::fs::write(beside(".2"), block::splice(b"a", &db(), None).unwrap().file).unwrap();
    std::fs::write(beside(".3"), "a\nlate\n").unwrap();
    std::fs::create_dir(beside(".4")).unwrap();
    for function in ["leave_block", "take_block_out"] {
        let (_, said) = succeeds(function, &folder.hosts());
        assert!(said.contains(".hosts.privatelinkd.3 stays") && said.lines().count() == 1, "{function}: {said}");
    }
    let mut left: Vec<_> = std::fs::read_dir(folder.0.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, [".hosts.privatelinkd.3", ".hosts.privatelinkd.4", "hosts"]);
    assert_eq!(folder.read(), b"a");
}

/// As the hosts writer and the commands do.
#[test]
fn the_lock_of_all_writers_is_taken() {
    let ours = block::splice(b"a\n", &db(), None).unwrap().file.into_owned();
    let folder = Folder::with(&ours);
    let lock = folder.0.path().join("hosts.lock");
    let held = std::fs::File::create(&lock).unwrap();
    held.lock().unwrap();
    let function = format!("under {} take_block_out", lock.display());
    let output = run(&function, &folder.hosts());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("another process holds"), "{said}");
    assert_eq!(folder.read(), ours);
    drop(held);
    succeeds(&function, &folder.hosts());
    assert_eq!(folder.read(), b"a\n");
    // Beside a running command nothing is cleared, since it may be that one's.
    let temporary = folder.0.path().join(".hosts.privatelinkd-0123456789abcdef.tmp");
    std::fs::write(&temporary, "").unwrap();
    let held = std::fs::File::open(&lock).unwrap();
    held.lock().unwrap();
    assert!(!run(&function, &folder.hosts()).status.success() && temporary.exists());
    drop(held);
    // One that is not there is made as no other user can open it.
    std::fs::remove_file(&lock).unwrap();
    succeeds(&function, &folder.hosts());
    assert_eq!((std::fs::metadata(&lock).unwrap().mode() & 0o777, temporary.exists()), (0o600, false));
    // The run folder that the last policy names has one, too.
    let state = folder.0.path();
    let policy = r#"{"policy":{"agent_run_dir":"/no","run_dir":"/my run","x":1,"admin_dir":"/orders"}}"#;
    std::fs::write(state.join("policy.json"), policy).unwrap();
    let files = succeeds("lock_files", state).0;
    assert_eq!(files, "/run/privatelinkd-hosts/hosts.lock\n/my run/hosts.lock\n");
}

#[test]
fn mode_attributes_and_links_stay() {
    let folder = Folder::with(&block::splice(b"a\n", &db(), None).unwrap().file);
    let (link, hosts) = (folder.0.path().join("link"), folder.hosts());
    std::os::unix::fs::symlink("hosts", &link).unwrap();
    std::fs::set_permissions(&hosts, std::fs::Permissions::from_mode(0o640)).unwrap();
    let name = "user.privatelinkd";
    let tagged = rustix::fs::setxattr(&hosts, name, b"kept", rustix::fs::XattrFlags::empty()).is_ok();
    let before = std::fs::metadata(&hosts).unwrap();
    succeeds("leave_block", &link);
    let after = std::fs::metadata(&hosts).unwrap();
    assert_ne!(before.ino(), after.ino(), "a new file takes its place, so that readers see a whole one");
    assert_eq!((before.mode(), before.uid(), before.gid()), (after.mode(), after.uid(), after.gid()));
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    let mut value = [0; 8];
    assert!(!tagged || rustix::fs::getxattr(&hosts, name, &mut value[..]).is_ok_and(|n| &value[..n] == b"kept"));
    // A second name of the file is written through.
    let second = folder.0.path().join("second");
    std::fs::hard_link(&hosts, &second).unwrap();
    succeeds("take_block_out", &hosts);
    assert_eq!((folder.read(), std::fs::read(&second).unwrap()), (b"a\n".to_vec(), b"a\n".to_vec()));
    assert!(folder.is_tidy());
}

/// The file that the config named is known from what the writer kept.
#[test]
fn the_hosts_file_of_the_last_policy_is_found() {
    let folder = Folder::with(b"");
    let state = folder.0.path();
    assert_eq!(succeeds("hosts_files", state).0, "/nonexistent/hosts\n");
    for (path, more) in
        [("/srv/hosts", "/srv/hosts\n"), ("/srv/my hosts", "/srv/my hosts\n"), ("/nonexistent/hosts", ""), ("", "")]
    {
        std::fs::write(state.join("policy.json"), format!(r#"{{"format":1,"policy":{{"path":"{path}","x":1}}}}"#))
            .unwrap();
        assert_eq!(succeeds("hosts_files", state).0, format!("/nonexistent/hosts\n{more}"));
    }
}

/// Two folders of state that name the same hosts file: it is handled, and told of, once.
#[test]
fn a_hosts_file_that_two_folders_name_is_handled_once() {
    let folder = Folder::with(&block::splice(b"a\n", &db(), None).unwrap().file);
    let states = ["one", "two"].map(|name| folder.0.path().join(name));
    for state in &states {
        std::fs::create_dir(state).unwrap();
        let policy = format!(r#"{{"policy":{{"path":"{}","x":1}}}}"#, folder.hosts().display());
        std::fs::write(state.join("policy.json"), policy).unwrap();
    }
    let folders = format!("{}\n{}", states[0].display(), states[1].display());
    let (told, _) = succeeds("leave_all", Path::new(&folders));
    assert_eq!(told.matches("To delete it: ").count(), 1, "{told}");
    assert!(folder.read().windows(NOBODY.len()).any(|bytes| bytes == NOBODY.as_bytes()));
}

#[test]
fn the_manual_has_the_line_that_deletes_a_block() {
    let (line, _) = succeeds("how_to_delete", Path::new("/etc/hosts"));
    let page = manual::page("privatelinkd-operations.7");
    assert!(manual::examples(&page).contains(&line), "{line}");
}
