//! A lock that ends with its holder, however that ends.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::atomic_file;
use super::clock::Clock;
use super::identity;

/// What a lock's file may be to whom: its owner's alone.
const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);
/// The rights of everybody else.
const OTHERS: u32 = 0o077;
/// Between two tries.
const TRY: Duration = Duration::from_millis(10);
/// Of one who wants to keep it: who looks whether it is held has it for an instant.
const TRIES: usize = 3;

/// A held lock (flock(2)). Dropping it gives it back.
#[derive(Debug)]
pub struct FileLock(#[expect(dead_code, reason = "it is open, that is all")] File);

/// Takes the lock, making its file if it is not there, and waits for who has it, but no longer than `patience`. The
/// folder may be another user's. Blocks.
///
/// # Errors
/// What the system said; [`io::ErrorKind::TimedOut`] if another process keeps it.
pub fn acquire(path: &Path, patience: Duration) -> io::Result<FileLock> {
    let began = Clock::System.now().boottime;
    let file = open(path)?;
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(FileLock(file)),
            Err(Errno::WOULDBLOCK | Errno::INTR) if Clock::System.now().boottime.since(began) < patience => {
                thread::sleep(TRY);
            }
            Err(Errno::WOULDBLOCK | Errno::INTR) => {
                let detail = format!("{}: locked by another process", path.display());
                return Err(io::Error::new(io::ErrorKind::TimedOut, detail));
            }
            Err(e) => return Err(e.into()),
        }
    }
}

/// Why a lock is not ours.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// Another process has it.
    #[error("held by another process")]
    Held {
        /// Which process, if it could write that down.
        pid: Option<u32>,
    },
    /// The system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Takes the lock without waiting, to be kept for as long as this process lives. The holder's process id stands in the
/// file (0600, its folder's owner's), which is never removed: what counts is the lock, so an old id misleads no admin.
/// The folder may be another user's. Blocks.
///
/// # Errors
/// See [`HoldError`].
pub fn hold(path: &Path) -> Result<FileLock, HoldError> {
    let mut file = open(path)?;
    for left in (0..TRIES).rev() {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            // Perhaps somebody only looks whether it is held.
            Err(Errno::WOULDBLOCK) if left > 0 => thread::sleep(TRY),
            Err(Errno::WOULDBLOCK) => return Err(HoldError::Held { pid: written(&file) }),
            Err(e) => return Err(io::Error::from(e).into()),
        }
    }
    // For people alone.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(FileLock(file))
}

/// Whether another process holds the lock now: then its id, if it could write that down. `None` if nobody does, or that
/// can't be told. Makes no file. Blocks.
#[must_use]
pub fn holder(path: &Path) -> Option<Option<u32>> {
    let file = super::regular_file::open(path).ok()?.0;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(Errno::WOULDBLOCK) => Some(written(&file)),
        _ => None,
    }
}

/// Opens the file of a lock, or makes it, for its folder's owner.
fn open(path: &Path) -> io::Result<File> {
    let (folder, name) = atomic_file::open_parent(path)?;
    // Not following what another user put there, and not waiting for it.
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(&folder, name, flags, PRIVATE)?);
    let facts = file.metadata()?;
    if !facts.is_file() || facts.nlink() != 1 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "expected a regular file with one link"));
    }
    if facts.uid() == identity::effective_uid() && facts.mode() & OTHERS != 0 {
        // Who may open it could keep us from it for good. Where that can't be mended, the lock still is one.
        let _ = rustix::fs::fchmod(&file, PRIVATE);
    }
    let owner = rustix::fs::fstat(&folder)?.st_uid;
    if facts.uid() != owner {
        // Else root, by hand, would lock the service out of its own file. Who can't give it away can't have made it so.
        let _ = fchown(&file, Some(owner), None);
    }
    Ok(file)
}

fn written(file: &File) -> Option<u32> {
    const LONGEST: u64 = 16;
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn one_holds_it_and_others_wait() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = acquire(&path, Duration::ZERO).unwrap();
        assert_eq!(acquire(&path, Duration::from_millis(60)).unwrap_err().kind(), io::ErrorKind::TimedOut);
        let waiting = thread::spawn({
            let path = path.clone();
            move || acquire(&path, Duration::from_secs(20)).map(drop)
        });
        thread::sleep(Duration::from_millis(100));
        drop(held);
        waiting.join().unwrap().unwrap();
        assert!(acquire(&dir.path().join("no/lock"), Duration::ZERO).is_err());
    }

    #[test]
    fn a_holder_is_named_and_what_it_left_behind_holds_nobody_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        std::fs::write(&path, "4194305\n").unwrap();
        let held = hold(&path).unwrap();
        let ours = std::process::id();
        assert!(matches!(hold(&path), Err(HoldError::Held { pid: Some(pid) }) if pid == ours));
        assert_eq!(holder(&path), Some(Some(ours)));
        drop(held);
        assert_eq!((holder(&path), holder(&dir.path().join("none"))), (None, None));
        assert!(path.exists());
        hold(&path).unwrap();
    }

    #[test]
    fn what_everybody_may_open_is_ours_alone_once_it_is_a_lock_of_ours() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        for mode in [0o644, 0o666, 0o600] {
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            drop(acquire(&path, Duration::ZERO).unwrap());
            assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600, "{mode:o}");
        }
    }

    #[test]
    fn what_somebody_put_there_is_neither_locked_nor_written() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("lock"), dir.path().join("other"));
        std::fs::write(&other, "precious").unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        assert!(matches!(hold(&path), Err(HoldError::Io(_))));
        std::fs::remove_file(&path).unwrap();
        std::fs::hard_link(&other, &path).unwrap();
        assert!(matches!(hold(&path), Err(HoldError::Io(_))));
        std::fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(hold(&path), Err(HoldError::Io(_))));
        assert_eq!(std::fs::read(&other).unwrap(), b"precious");
    }
}
