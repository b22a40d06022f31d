//! A lock that ends with its holder, however that ends.

use std::fs::File;
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::clock::Clock;

/// Between two tries.
const TRY: Duration = Duration::from_millis(50);

/// A held lock (flock(2)). Dropping it gives it back.
#[derive(Debug)]
pub struct FileLock(#[expect(dead_code, reason = "it is open, that is all")] File);

/// Takes the lock, making its file if it is not there, and waits for who has it, but no longer than `patience`. Blocks.
///
/// # Errors
/// What the system said; [`io::ErrorKind::TimedOut`] if somebody else keeps it.
pub fn take(path: &Path, patience: Duration) -> io::Result<FileLock> {
    let began = Clock::System.now().boottime;
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_and_others_wait() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = take(&path, Duration::ZERO).unwrap();
        assert_eq!(take(&path, Duration::from_millis(60)).unwrap_err().kind(), io::ErrorKind::TimedOut);
        let waiting = thread::spawn({
            let path = path.clone();
            move || take(&path, Duration::from_secs(20)).map(drop)
        });
        thread::sleep(Duration::from_millis(100));
        drop(held);
        waiting.join().unwrap().unwrap();
        assert!(take(&dir.path().join("no/lock"), Duration::ZERO).is_err());
    }
}
