//! The two files between agent and writer: `plan.json` with `alive` one way, `receipt.json` the other.
//!
//! Each is written whole by a rename and read with distrust. They lie on tmpfs, so nothing is synced: a plan is worth
//! nothing after a reboot, when the writer's own last known good takes its place.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, Timespec, Timestamps, UTIME_NOW};

use super::untrusted_file::{self, ReadError};
use crate::model::limits::HANDOVER_BYTES;
use crate::model::{HANDOVER_FORMAT, Handover, HostName, Identity, Plan, Receipt, Wall};
use crate::sys::atomic_file::{self, Durability};

/// Largest receipt that is written and read, in bytes: it speaks of every name of a hand-over and of the block.
const RECEIPT_BYTES: u64 = 2 * HANDOVER_BYTES;

/// The time at which the kernel looks.
const NOW: Timestamps = {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    Timestamps { last_access: now, last_modification: now }
};

/// `plan.json` in the agent's run folder.
#[must_use]
pub fn plan_path(agent_run_dir: &Path) -> PathBuf {
    agent_run_dir.join("plan.json")
}

/// `alive` in the agent's run folder.
#[must_use]
pub fn alive_path(agent_run_dir: &Path) -> PathBuf {
    agent_run_dir.join("alive")
}

/// `receipt.json` in the writer's run folder.
#[must_use]
pub fn receipt_path(writer_run_dir: &Path) -> PathBuf {
    writer_run_dir.join("receipt.json")
}

/// Serialising closed types with string keys into memory can't fail.
fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// As much of a plan as fits into one hand-over (B18); the rest is left out, so that this much is published all the
/// same. Names that were handed over before come first, then those that go, then newcomers, each in their order. The
/// check lets no config pass that must come to this.
#[must_use]
pub fn fitting<'p>(plan: &'p Plan, known: &BTreeSet<HostName>) -> Cow<'p, Plan> {
    if size(plan) <= HANDOVER_BYTES {
        return Cow::Borrowed(plan);
    }
    let most = usize::try_from(HANDOVER_BYTES).unwrap_or(usize::MAX) - BESIDE;
    let mut room = Room(most.saturating_sub(json(&plan.zone_names).len()));
    let (old, new): (Vec<_>, Vec<_>) = plan.answers.iter().partition(|(name, _)| known.contains(*name));
    let mut fit = Plan { answers: room.take_up(old), ..Plan::default() };
    fit.withdrawn = room.take_up(plan.withdrawn.iter().collect());
    fit.answers.extend(room.take_up(new));
    fit.zone_names = plan.zone_names.iter().filter(|name| fit.answers.contains_key(*name)).cloned().collect();
    Cow::Owned(fit)
}

/// More than a hand-over of this plan takes, by what is beside the plan.
fn size(plan: &Plan) -> u64 {
    (BESIDE + json(&(&plan.answers, plan.withdrawn_names(), &plan.zone_names)).len()) as u64
}

/// For what is beside the plan in a hand-over, in bytes: identity, digest and braces.
const BESIDE: usize = 4096;

/// What of a hand-over is not taken up yet, in bytes.
struct Room(usize);

impl Room {
    /// Those that fit. One that doesn't costs itself and none after it.
    fn take_up<T: Clone + serde::Serialize>(&mut self, all: Vec<(&HostName, &T)>) -> BTreeMap<HostName, T> {
        /// Around a name: the keys and quotes of the longer form, that of a name that goes, and a comma.
        const AROUND: usize = r#"{"name":"","why":},"#.len();
        let fits = |(name, what): &(&HostName, &T)| {
            let left = self.0.checked_sub(name.as_str().len() + AROUND + json(what).len());
            left.map(|left| self.0 = left).is_some()
        };
        all.into_iter().filter(fits).map(|(name, what)| (name.clone(), what.clone())).collect()
    }
}

/// A hand-over of this whole plan.
#[must_use]
pub fn make(plan: &Plan, boot_id: &str, identity: &Identity) -> Handover {
    Handover {
        format: HANDOVER_FORMAT,
        boot_id: boot_id.to_owned(),
        identity: identity.clone(),
        digest: plan.digest(),
        plan: plan.answers.clone(),
        withdrawn: plan.withdrawn_names(),
        zone_names: plan.zone_names.clone(),
        changed: BTreeMap::new(),
    }
}

/// The same with the times of the latest changes, where there is room for them: they are only for people.
#[must_use]
pub fn dated(mut handover: Handover, mut changed: BTreeMap<HostName, Wall>) -> Handover {
    changed.retain(|name, _| handover.plan.contains_key(name));
    if (json(&handover).len() + BESIDE + json(&changed).len()) as u64 <= HANDOVER_BYTES {
        handover.changed = changed;
    }
    handover
}

/// The agent's side: puts `plan.json` (0644) in place. Blocks.
///
/// # Errors
/// What the system said; or the hand-over is larger than its reader takes ([`io::ErrorKind::FileTooLarge`]).
pub fn write(agent_run_dir: &Path, handover: &Handover) -> io::Result<()> {
    put(&plan_path(agent_run_dir), handover, HANDOVER_BYTES)
}

/// The agent's side: touches `alive` (0644), making it if it is not there. Blocks.
///
/// # Errors
/// What the system said.
pub fn touch_alive(agent_run_dir: &Path) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(alive_path(agent_run_dir), flags, Mode::from_raw_mode(0o644))?;
    Ok(rustix::fs::futimens(file, &NOW)?)
}

/// The writer's side: reads `plan.json`, which must belong to the owner of its folder. `None` if there is none, which
/// is no news. Blocks.
///
/// # Errors
/// It can't be read, is not what it should be, or not whole.
pub fn read(agent_run_dir: &Path) -> Result<Option<Handover>, ReadError> {
    let path = plan_path(agent_run_dir);
    untrusted_file::read(&path, HANDOVER_BYTES)?.map(|bytes| parse(&path, &bytes)).transpose()
}

/// Reads the bytes of a hand-over; `path` is for errors only.
///
/// # Errors
/// It is not what it should be, or not whole.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Handover, ReadError> {
    let handover: Handover = untrusted_file::parse(path, bytes)?;
    if !handover.is_whole() {
        return Err(ReadError::unfit(path, "its digest is not that of its content"));
    }
    Ok(handover)
}

/// The writer's side: puts `receipt.json` (0644) in place. Blocks.
///
/// # Errors
/// What the system said.
pub fn write_receipt(writer_run_dir: &Path, receipt: &Receipt) -> io::Result<()> {
    put(&receipt_path(writer_run_dir), receipt, RECEIPT_BYTES)
}

/// The writer's side: touches `receipt.json`, its sign of life. Blocks.
///
/// # Errors
/// There is none, or what the system said.
pub fn touch_receipt(writer_run_dir: &Path) -> io::Result<()> {
    let path = receipt_path(writer_run_dir);
    Ok(rustix::fs::utimensat(CWD, path, &NOW, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// The agent's side: reads `receipt.json`, which must belong to the owner of its folder. `None` if there is none.
/// Blocks.
///
/// # Errors
/// It can't be read or is not what it should be.
pub fn read_receipt(writer_run_dir: &Path) -> Result<Option<Receipt>, ReadError> {
    let path = receipt_path(writer_run_dir);
    untrusted_file::read(&path, RECEIPT_BYTES)?.map(|bytes| parse_receipt(&path, &bytes)).transpose()
}

/// Reads the bytes of a receipt; `path` is for errors only.
///
/// # Errors
/// It is not what it should be.
pub fn parse_receipt(path: &Path, bytes: &[u8]) -> Result<Receipt, ReadError> {
    untrusted_file::parse(path, bytes)
}

fn put(path: &Path, value: &impl serde::Serialize, most: u64) -> io::Result<()> {
    let bytes = serde_json::to_vec(value)?;
    if bytes.len() as u64 > most {
        let detail = format!("{}: expected at most {most} bytes, found {}", path.display(), bytes.len());
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, detail));
    }
    atomic_file::write(path, &bytes, 0o644, Durability::Volatile)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;
    use crate::model::{Answer, AnswerReason, Withdrawal};
    use crate::publish::hosts::life_file::LifeFile;

    fn plan() -> Plan {
        let answer =
            Answer { addresses: vec!["10.0.0.1".parse().unwrap()], standby: Vec::new(), reason: AnswerReason::Healthy };
        Plan {
            answers: [("a.x".parse().unwrap(), answer)].into(),
            withdrawn: [("b.x".parse().unwrap(), Withdrawal::Gone)].into(),
            ..Plan::default()
        }
    }

    struct Dir(tempfile::TempDir);

    impl Dir {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }
        fn read(&self) -> Result<Option<Handover>, ReadError> {
            read(self.0.path())
        }
        fn plan(&self) -> PathBuf {
            plan_path(self.0.path())
        }
    }

    #[test]
    fn a_plan_arrives_as_it_was_sent() {
        let dir = Dir::new();
        assert!(dir.read().unwrap().is_none());
        let sent = make(&plan(), "boot", &Identity::default());
        write(dir.0.path(), &sent).unwrap();
        assert_eq!(dir.read().unwrap().unwrap(), sent);
        assert_eq!(std::fs::metadata(dir.plan()).unwrap().mode() & 0o7777, 0o644);
        let mut other = plan();
        other.withdrawn.clear();
        assert_ne!(other.digest(), sent.digest);
    }

    #[test]
    fn zone_names_and_times_arrive_and_an_older_hand_over_is_read_without() {
        let dir = Dir::new();
        let name: HostName = "a.x".parse().unwrap();
        let pinned = Plan { zone_names: [name.clone()].into(), ..plan() };
        assert_ne!(pinned.digest(), plan().digest());
        let changed = [(name, Wall(7)), ("other.x".parse().unwrap(), Wall(8))].into();
        let sent = dated(make(&pinned, "boot", &Identity::default()), changed);
        write(dir.0.path(), &sent).unwrap();
        let read = dir.read().unwrap().unwrap();
        assert_eq!((read.digest.clone(), read.changed.len()), (pinned.digest(), 1));
        assert_eq!(read, sent);

        let sent = make(&plan(), "boot", &Identity::default());
        let json = serde_json::to_string(&sent).unwrap();
        assert!(!json.contains("zone_names") && !json.contains("changed"), "{json}");
        assert_eq!(parse(&dir.plan(), json.as_bytes()).unwrap(), sent);
        // As versions took it that knew of no zone names.
        assert_eq!(sent.digest.to_string(), "71e74e3123b9bf7972c13f739b5f5737");
    }

    #[test]
    fn times_that_do_not_fit_are_left_out() {
        let mut large = plan();
        let answer = large.answers.values().next().unwrap().clone();
        large.answers.extend((0..6_000).map(|n| (long('n', n), answer.clone())));
        let times = |plan: &Plan| plan.answers.keys().map(|name| (name.clone(), Wall(1_767_600_000_000))).collect();
        assert!(!dated(make(&plan(), "", &Identity::default()), times(&plan())).changed.is_empty());
        let sent = dated(make(&large, "", &Identity::default()), times(&large));
        assert!(sent.changed.is_empty());
        write(Dir::new().0.path(), &sent).unwrap();
    }

    fn long(what: char, n: usize) -> HostName {
        let long = ["x".repeat(60), "y".repeat(60), "z".repeat(60), "w".repeat(50)].join(".");
        format!("{what}{n:05}.{long}").parse().unwrap()
    }

    /// All or nothing would be nothing, for one name too many.
    #[test]
    fn a_plan_that_is_too_large_is_handed_over_as_far_as_it_goes() {
        let mut large = plan();
        let answer = large.answers.values().next().unwrap().clone();
        large.answers.extend((0..6_000).map(|n| (long('n', n), answer.clone())));
        assert!(matches!(fitting(&large, &BTreeSet::new()), Cow::Borrowed(_)));
        large.answers.extend((6_000..9_000).map(|n| (long('n', n), answer.clone())));
        let fit = fitting(&large, &BTreeSet::new()).into_owned();
        assert!((6_000..9_000).contains(&fit.answers.len()), "{}", fit.answers.len());
        assert_eq!(fit.withdrawn, large.withdrawn);
        let dir = Dir::new();
        write(dir.0.path(), &make(&fit, "boot", &Identity::default())).unwrap();
        let read = dir.read().unwrap().unwrap();
        assert_eq!((&read.plan, read.digest), (&fit.answers, fit.digest()));
    }

    /// Newcomers that sort before all others, and a crowd of names that go, displace none that was handed over.
    #[test]
    fn what_was_handed_over_comes_before_newcomers_and_names_that_go() {
        let answer = plan().answers.values().next().unwrap().clone();
        let crowd = |what, count| (0..count).map(move |n| long(what, n));
        let known: BTreeSet<_> = crowd('n', 5_000).collect();
        let answers = crowd('a', 5_000).chain(crowd('n', 5_000)).map(|name| (name, answer.clone()));
        let mut large = Plan { answers: answers.collect(), ..Plan::default() };
        let fit = fitting(&large, &known);
        assert!(known.iter().all(|name| fit.answers.contains_key(name)));
        let newcomers = fit.answers.len() - known.len();
        assert!((100..5_000).contains(&newcomers) && fit.answers.contains_key(&long('a', newcomers - 1)));
        large.withdrawn = crowd('w', 9_000).map(|name| (name, Withdrawal::Gone)).collect();
        let fit = fitting(&large, &known);
        assert_eq!(fit.answers.keys().cloned().collect::<BTreeSet<_>>(), known);
        assert!((100..9_000).contains(&fit.withdrawn.len()), "{}", fit.withdrawn.len());
        write(Dir::new().0.path(), &make(&fit, "boot", &Identity::default())).unwrap();
    }

    #[test]
    fn what_is_not_ours_is_not_taken() {
        let dir = Dir::new();
        let unfit = || match dir.read() {
            Err(ReadError::Unfit(why)) => why.strip_prefix(&format!("{}: ", dir.plan().display())).unwrap().to_owned(),
            other => panic!("{other:?}"),
        };
        let sent = make(&plan(), "boot", &Identity::default());
        write(dir.0.path(), &sent).unwrap();
        if crate::sys::identity::effective_uid() == 0 {
            std::os::unix::fs::chown(dir.plan(), Some(12_345), None).unwrap();
            assert_eq!(unfit(), "expected the owner root, found 12345");
            std::os::unix::fs::chown(dir.0.path(), Some(12_345), None).unwrap();
            assert_eq!(dir.read().unwrap().unwrap(), sent, "the folder says who may write here");
        } else {
            println!("skipped: the owner's part of this test: only root can give a file away");
        }
        std::fs::hard_link(dir.plan(), dir.0.path().join("other")).unwrap();
        assert_eq!(unfit(), "expected one link, found 2");
        std::fs::remove_file(dir.plan()).unwrap();
        std::os::unix::fs::symlink(dir.0.path().join("other"), dir.plan()).unwrap();
        assert_eq!(unfit(), "expected a regular file");
        std::fs::remove_file(dir.plan()).unwrap();
        std::fs::create_dir(dir.plan()).unwrap();
        assert_eq!(unfit(), "expected a regular file");
        std::fs::remove_dir(dir.plan()).unwrap();
        nix::unistd::mkfifo(&dir.plan(), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(unfit(), "expected a regular file");
    }

    #[test]
    fn bad_content_is_told_by_place_and_never_quoted() {
        let dir = Dir::new();
        let good = serde_json::to_string(&make(&plan(), "boot", &Identity::default())).unwrap();
        let secret = "hunter2";
        for (bad, want) in [
            (good.replace("10.0.0.1", "10.0.0.2"), "its digest is not that of its content"),
            (good.replace("\"format\":1", "\"format\":7"), "expected format 1, found 7"),
            (good.replace("\"boot_id\"", &format!("\"{secret}\"")), "JSON, but not of the expected shape"),
            (good.replace("10.0.0.1", secret), "JSON, but not of the expected shape"),
            (format!("{{\"format\":1,\n{secret}"), ":2:1: not JSON"),
            (good[..good.len() - 1].to_owned(), "ends too early"),
            (String::new(), "plan.json: empty"),
            (" ".repeat(2 * 1024 * 1024 + 1), "expected at most 2097152 bytes, found more"),
        ] {
            std::fs::write(dir.plan(), &bad).unwrap();
            let error = dir.read().unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
            assert!(!error.contains(secret), "{error}");
        }
    }

    #[test]
    fn a_sign_of_life_is_a_file_with_a_fresh_time() {
        let dir = Dir::new();
        touch_alive(dir.0.path()).unwrap();
        let alive = dir.0.path().join("alive");
        let file = std::fs::File::options().write(true).open(&alive).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
        let old = LifeFile::read(&alive);
        touch_alive(dir.0.path()).unwrap();
        assert!(std::fs::metadata(&alive).unwrap().mtime() > 1_700_000_000);
        assert_ne!(LifeFile::read(&alive), old);

        let receipt = receipt_path(dir.0.path());
        assert_eq!(touch_receipt(dir.0.path()).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::os::unix::fs::symlink(&alive, &receipt).unwrap();
        let alive_was = LifeFile::read(&alive);
        touch_receipt(dir.0.path()).unwrap();
        assert_eq!(LifeFile::read(&alive), alive_was, "what a link leads to is not touched");
        assert_eq!(LifeFile::read(&receipt), None, "a link is no sign");
    }
}
