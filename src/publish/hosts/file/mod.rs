//! Replaces one file that belongs to other programs, too, whole, and loses nothing of it.
//!
//! The file is read, the caller says what it should hold, a new file beside it takes that content and all metadata of
//! the old one, and takes its place by a rename. What can't be carried over is found before anything is replaced. An
//! edit by another program that lands in between is seen right before the rename, and the work starts over from the
//! edited file. Readers see the old file or the new one; resolvers see a new inode and a modification time stamped at
//! the swap (Go, c-ares and systemd-resolved each look at another of these).
//!
//! The lock is advisory, for writers of ours, and on a file of its own: a lock on a file that is replaced by a rename
//! locks a dead inode.
//!
//! The work is a sequence of named [`Step`]s with a hook at each, so that tests drive races and faults at will.

mod error;
mod metadata;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

pub use self::error::{FileError, MAX_FILE};
use self::metadata::FileMetadata;
use crate::sys::atomic_file::{self, Temp};
use crate::sys::clock::Clock;
use crate::sys::file_lock::{self, FileLock};
use crate::sys::file_stamp::FileStamp;

/// Largest file that is read, in bytes: what has grown too large can still be made smaller.
const MAX_READ: u64 = 2 * MAX_FILE;
/// Times that another program may change the file under our hands before we give up.
const ATTEMPTS: u32 = 5;
/// How long another writer of ours is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// Which file, and where its lock is.
#[derive(Debug, Clone, Copy)]
pub struct Target<'p> {
    /// The file; a symbolic link is followed and stays.
    pub path: &'p Path,
    /// The lock file: made if missing, never removed. Its folder must be there.
    pub lock: &'p Path,
}

/// Where in the work a hook is called: right after what the name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The lock is ours.
    Locked,
    /// The content was read.
    Read,
    /// Nothing speaks against replacing it.
    Checked,
    /// The temporary file holds the new content.
    TempWritten,
    /// It has the owner, mode and attributes of the old file.
    MetadataCopied,
    /// It is on disk, stamped.
    TempSynced,
    /// The old file is still the one that was read.
    Rechecked,
    /// The new file is in place.
    Renamed,
    /// The folder is on disk.
    DirSynced,
    /// What is in place now was read.
    ReadBack,
}

/// A hook at each step, in order; from [`Step::Read`] on again for each attempt. An error from it ends the work as a
/// fault of the system at that place would.
pub type Hook<'h> = &'h mut dyn FnMut(Step) -> io::Result<()>;

/// For those who hook nothing.
///
/// # Errors
/// None.
pub fn no_hook(_: Step) -> io::Result<()> {
    Ok(())
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the file was replaced.
    pub change: Change,
    /// What it was seen to hold at the end: what was wanted, unless another program changed it right after.
    pub content: Vec<u8>,
    /// Of the file that held it; `None` if there is none.
    pub stamp: Option<FileStamp>,
}

/// Whether the file was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It held what it should.
    Unchanged,
    /// Replaced.
    Written,
    /// It was not there and now is, with mode 0644.
    Created,
}

/// Reads a file as [`replace`] would; `None` if there is none.
///
/// # Errors
/// Not a regular file, too large, or the system said no.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    let place = Place::find(path)?;
    Ok(place.open()?.map(|found| found.bytes))
}

/// Makes the file hold what `wanted` says, given what it holds (nothing, if it is not there). `None` from `wanted`
/// leaves it as it is. `wanted` is called again for each attempt. Blocks: for a blocking thread.
///
/// # Errors
/// The file is then as it was, or as another program made it meanwhile; only past [`Step::Renamed`] the new one is in
/// place.
pub fn replace(
    target: Target<'_>,
    steps: Hook<'_>,
    mut wanted: impl FnMut(&[u8]) -> Option<Vec<u8>>,
) -> Result<Outcome, FileError> {
    let place = Place::find(target.path)?;
    let _lock = lock(target)?;
    hook(steps, Step::Locked, &place)?;
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            std::thread::sleep(Duration::from_millis(u64::from(attempt) * 5));
        }
        let old = place.open()?;
        hook(steps, Step::Read, &place)?;
        let content = old.as_ref().map_or(&[][..], |f| &f.bytes);
        let Some(new) = wanted(content) else {
            let stamp = old.as_ref().map(|f| f.facts.stamp);
            return Ok(Outcome { change: Change::Unchanged, content: content.to_vec(), stamp });
        };
        if new.len() as u64 > MAX_FILE && new.len() > content.len() {
            return Err(FileError::TooLarge(place.path));
        }
        if let Some(outcome) = swap(&place, old.as_ref(), &new, steps)? {
            return Ok(outcome);
        }
    }
    Err(FileError::Busy { path: place.path, attempts: ATTEMPTS })
}

/// Deletes what a writer of ours that was killed left beside the file. Gives how many files.
///
/// # Errors
/// The folder can't be read or written, or the lock is held.
pub fn clear_leftovers(target: Target<'_>) -> Result<usize, FileError> {
    let place = Place::find(target.path)?;
    let _lock = lock(target)?;
    atomic_file::remove_leftovers(&place.path).map_err(FileError::io("clear old temporary files of", &place.path))
}

/// One attempt; `None` if another program changed the file meanwhile.
fn swap(place: &Place, old: Option<&FileFound>, new: &[u8], steps: Hook<'_>) -> Result<Option<Outcome>, FileError> {
    let path = &place.path;
    if let Some(old) = old {
        old.facts.replaceable(&old.file, path)?;
    }
    hook(steps, Step::Checked, place)?;
    let mut temp = Temp::create(&place.dir, &place.name).map_err(FileError::io("make a temporary file for", path))?;
    temp.file.write_all(new).map_err(FileError::io("write the new content of", path))?;
    hook(steps, Step::TempWritten, place)?;
    match old {
        Some(old) => old.facts.copy_to(&old.file, &temp.file, path)?,
        None => metadata::set_mode(&temp.file, 0o644, path)?,
    }
    hook(steps, Step::MetadataCopied, place)?;
    temp.file.sync_all().map_err(FileError::io("sync the new content of", path))?;
    hook(steps, Step::TempSynced, place)?;
    if !place.is_still(old)? {
        return Ok(None);
    }
    hook(steps, Step::Rechecked, place)?;
    let stamped = metadata::stamp(&temp.file, old.map(|o| &o.facts), path)?;
    let renamed = if old.is_some() { temp.rename_over(&place.name) } else { temp.rename_new(&place.name) };
    match renamed {
        Err(e) if old.is_none() && e.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
        // Kernels before 5.8 don't tell mount points.
        Err(e) if e.kind() == io::ErrorKind::ResourceBusy => return Err(FileError::MountPoint(path.clone())),
        renamed => renamed.map_err(FileError::io("put the new file in the place of", path))?,
    }
    hook(steps, Step::Renamed, place)?;
    if Clock::System.now().wall.0 / 1000 > stamped {
        metadata::stamp(&temp.file, None, path)?;
    }
    rustix::fs::fsync(&place.dir).map_err(FileError::io("sync the folder of", path))?;
    hook(steps, Step::DirSynced, place)?;
    // Another program may have been faster than this look: that is an edit after ours, for the next round.
    let (content, stamp) = place.open()?.map_or_else(Default::default, |now| (now.bytes, Some(now.facts.stamp)));
    hook(steps, Step::ReadBack, place)?;
    Ok(Some(Outcome { change: if old.is_some() { Change::Written } else { Change::Created }, content, stamp }))
}

fn hook(steps: Hook<'_>, step: Step, place: &Place) -> Result<(), FileError> {
    steps(step).map_err(FileError::io("go on with replacing", &place.path))
}

/// Takes the advisory lock; it goes with the handle.
fn lock(target: Target<'_>) -> Result<FileLock, FileError> {
    file_lock::acquire(target.lock, LOCK_PATIENCE).map_err(|e| match e.kind() {
        io::ErrorKind::TimedOut => FileError::Locked { path: target.path.to_owned(), lock: target.lock.to_owned() },
        _ => FileError::io("lock", target.lock)(e),
    })
}

/// Where the file really is.
struct Place {
    path: PathBuf,
    dir: OwnedFd,
    name: std::ffi::OsString,
}

/// A file that was there.
struct FileFound {
    file: File,
    bytes: Vec<u8>,
    facts: FileMetadata,
}

impl Place {
    /// Follows symbolic links, also if only the folder is there.
    fn find(path: &Path) -> Result<Self, FileError> {
        let io = FileError::io("find", path);
        let real = match std::fs::canonicalize(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                if std::fs::symlink_metadata(path).is_ok() {
                    let found = "a symbolic link to nothing";
                    return Err(FileError::NotRegular { path: path.to_owned(), found });
                }
                let dir = std::fs::canonicalize(atomic_file::parent(path)).map_err(io)?;
                dir.join(path.file_name().unwrap_or(OsStr::new(".")))
            }
            found => found.map_err(io)?,
        };
        let (dir, name) = atomic_file::open_parent(&real).map_err(FileError::io("open the folder of", path))?;
        let name = name.to_owned();
        Ok(Self { path: real, dir, name })
    }

    fn open(&self) -> Result<Option<FileFound>, FileError> {
        // Not blocking, so that a pipe in its place can't hold us.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut file: File = match rustix::fs::openat(&self.dir, &self.name, flags, Mode::empty()) {
            Ok(fd) => fd.into(),
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(rustix::io::Errno::LOOP) => {
                return Err(FileError::NotRegular { path: self.path.clone(), found: "a symbolic link" });
            }
            Err(e) => return Err(FileError::io("open", &self.path)(e)),
        };
        let facts = FileMetadata::read(&file, &self.path)?;
        let mut bytes = Vec::new();
        (&mut file).take(MAX_READ + 1).read_to_end(&mut bytes).map_err(FileError::io("read", &self.path))?;
        if bytes.len() as u64 > MAX_READ {
            return Err(FileError::TooLarge(self.path.clone()));
        }
        Ok(Some(FileFound { file, bytes, facts }))
    }

    /// True if the file that was found is still there, unchanged in content and metadata.
    fn is_still(&self, old: Option<&FileFound>) -> Result<bool, FileError> {
        let now = self.open()?;
        Ok(old.map(|f| (&f.facts, &f.bytes)) == now.as_ref().map(|f| (&f.facts, &f.bytes)))
    }
}
