//! Writing over the old content where a new file can't take the place of the old one.
//!
//! Old and new content are kept in a journal first; who starts after a kill, or updates next, finishes the work from
//! there ([`recover`]). Where the system has leases and nobody else has the file open, who opens it meanwhile waits,
//! and sees the new content whole.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, FallocateFlags, Mode, OFlags};
use rustix::io::Errno;

use super::conflicts;
use super::error::FileError;
use super::journal::{self, Journal};
use super::metadata::{self, FileMetadata};
use super::place::{FileFound, Place};
use super::step::{Hook, Step, hook, no_hook};
use super::swap::Swap;
use crate::publish::hosts::merge;
use crate::sys::open_writers::Alone;

/// So often others who have the file open are waited for, and how long each time.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(5);

/// True if a new file can't take the place of this one, or would be another file than its other names lead to.
pub(super) fn is_called_for(file: &File, path: &Path) -> Result<bool, FileError> {
    use std::os::unix::fs::MetadataExt as _;
    let links = file.metadata().map_err(FileError::io("examine", path))?.nlink();
    Ok(links > 1 || metadata::is_mount_point(file, path)?)
}

/// Tries once. `old` is the file as it was read; the journal is kept in `folder`.
pub(super) fn overwrite(
    (place, folder): (&Place, &Path),
    steps: Hook<'_>,
    old: &mut FileFound,
    new: &[u8],
) -> Result<Swap, FileError> {
    overwrite_or_mend((place, folder), steps, old, new, false)
}

/// `mends` says that the old content is a torn one: as long as it stands, the journal does, too.
fn overwrite_or_mend(
    (place, folder): (&Place, &Path),
    steps: Hook<'_>,
    old: &mut FileFound,
    new: &[u8],
    mends: bool,
) -> Result<Swap, FileError> {
    let path = &place.path;
    old.facts.changeable(&old.file, path)?;
    hook(steps, Step::Checked, place)?;
    let Some(file) = open(place, &old.facts)? else { return Ok(Swap::Changed) };
    // The lease is refused while the file is open a second time.
    old.file = file;
    journal::write(folder, path, [&old.bytes, new], mends)?;
    let give_up = || if mends { Ok(()) } else { journal::remove(folder) };
    match hook(steps, Step::Kept, place).and_then(|()| write(place, old, new)) {
        Ok(true) => {}
        Ok(false) => {
            give_up()?;
            return Ok(Swap::Changed);
        }
        Err(e) => {
            // There is nothing to finish then.
            if place.holds(&old.file, &old.bytes).unwrap_or(false) {
                give_up()?;
            }
            return Err(e);
        }
    }
    hook(steps, Step::Swapped, place)?;
    old.file.sync_all().map_err(FileError::io("sync the new content of", path))?;
    hook(steps, Step::DirSynced, place)?;
    journal::remove(folder)?;
    Ok(Swap::Overwritten)
}

/// The file that was read, for writing; `None` if another one is there, or another content.
fn open(place: &Place, facts: &FileMetadata) -> Result<Option<File>, FileError> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file: File = match rustix::fs::openat(&place.dir, &place.name, flags, Mode::empty()) {
        Ok(fd) => fd.into(),
        Err(Errno::NOENT) => return Ok(None),
        Err(e) => return Err(FileError::io("open for writing in place", &place.path)(e)),
    };
    let same = FileMetadata::read(&file, &place.path)? == *facts;
    Ok(same.then_some(file))
}

/// False if somebody else changed the file: nothing was written then.
fn write(place: &Place, old: &FileFound, new: &[u8]) -> Result<bool, FileError> {
    let path = &place.path;
    let (file, before) = (&old.file, &old.bytes[..]);
    let _alone = alone(file);
    if !is_in_place(place, &old.facts)? || !place.holds(file, before)? {
        return Ok(false);
    }
    allocate(file, before.len(), new.len()).map_err(FileError::io("find room for the new content of", path))?;
    if let Err(e) = over(file, before, new) {
        // What can't be undone is finished by who comes next.
        let _ = over(file, new, before);
        return Err(FileError::io("write the new content over that of", path)(e));
    }
    metadata::stamp(file, Some(&old.facts), path)?;
    Ok(true)
}

/// Waits a moment for others who have the file open. `None` if they go on, or where nothing keeps them off: then who
/// reads meanwhile may see a part of both, and an edit in between is lost.
fn alone(file: &File) -> Option<Alone<'_>> {
    for _ in 0..TRIES {
        match Alone::with(file) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(PAUSE),
            taken => return taken.ok(),
        }
    }
    None
}

/// Whether the name still leads to the file. Opens nothing: the file may be ours alone.
fn is_in_place(place: &Place, facts: &FileMetadata) -> Result<bool, FileError> {
    match rustix::fs::statat(&place.dir, &place.name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(there) => Ok((there.st_dev, there.st_ino) == facts.stamp.file),
        Err(Errno::NOENT) => Ok(false),
        Err(e) => Err(FileError::io("examine", &place.path)(e)),
    }
}

/// Finds out whether there is room before anything is written, where the file system can.
fn allocate(file: &File, size: usize, wanted: usize) -> io::Result<()> {
    if wanted <= size {
        return Ok(());
    }
    match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, size as u64, (wanted - size) as u64) {
        Ok(()) | Err(Errno::NOTSUP | Errno::NOSYS) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Writes from the first byte that differs on; what is too long is cut off last, so that at no time more is missing
/// than has to be.
fn over(file: &File, from: &[u8], to: &[u8]) -> io::Result<()> {
    let start = merge::common_prefix(from, to);
    file.write_all_at(&to[start..], start as u64)?;
    if from.len() != to.len() {
        file.set_len(to.len() as u64)?;
    }
    Ok(())
}

/// What became of work that was not finished.
pub(super) struct Recovered {
    /// Somebody had written into the file meanwhile: that is in it now.
    pub(super) is_edited: bool,
    /// Where his version was saved, if it was in conflict.
    pub(super) saved: Option<PathBuf>,
    /// How many earlier ones that were saved had to go for it.
    pub(super) gave_way: usize,
}

/// Whether a writer of ours was killed while it wrote in place, and nobody has finished that. Blocks.
#[must_use]
pub fn is_unfinished(folder: &Path) -> bool {
    journal::path_in(folder).exists()
}

/// Finishes the work of a writer that was killed over it, and saves an edit that is in conflict. `None` if there is
/// nothing to finish. What can't be finished at another place than `here`, the hosts file of now, is put aside: it must
/// not stand in the way of this one.
pub(super) fn recover(folder: &Path, here: &Path) -> Result<Option<Recovered>, FileError> {
    let at = journal::read(folder)?.map(|journal| journal.path);
    match finish(folder) {
        Err(_) if at.is_some_and(|at| at != here) => journal::put_aside(folder).map(|()| None),
        finished => finished,
    }
}

fn finish(folder: &Path) -> Result<Option<Recovered>, FileError> {
    let (mut recovered, mut gave_way) = (None, 0);
    for _ in 0..TRIES {
        let Some(journal) = journal::read(folder)? else { break };
        let there = match Place::find(&journal.path) {
            Ok(place) => place.open()?.map(|found| (place, found)),
            // Neither is there any more, nor its folder.
            Err(FileError::NotRegular { .. }) => None,
            Err(FileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(e),
        };
        let Some((place, mut found)) = there else {
            journal::remove(folder)?;
            break;
        };
        let Some(mended) = wanted(&journal, &found.bytes) else {
            found.file.sync_all().map_err(FileError::io("sync", &place.path))?;
            journal::remove(folder)?;
            break;
        };
        let is_edited = matches!(mended.file, Cow::Owned(_));
        let saved = mended.conflict.then(|| conflicts::unused_name(folder, found.facts.stamp.file.1));
        if let Some(path) = &saved {
            gave_way += conflicts::save(path, &found.bytes)?;
        }
        let file = mended.file.into_owned();
        drop(journal);
        if let Swap::Overwritten = overwrite_or_mend((&place, folder), &mut no_hook, &mut found, &file, true)? {
            recovered = Some(Recovered { is_edited, saved, gave_way });
        }
    }
    Ok(recovered)
}

/// What the file should hold, if it is torn. A torn file that was being mended is, also if nothing came of that so far,
/// and if somebody edited it instead.
fn wanted<'j>(journal: &'j Journal, found: &[u8]) -> Option<merge::Folded<'j>> {
    let (before, after) = (journal.before(), journal.after());
    let torn = merge::mend(before, after, found);
    torn.or_else(|| (journal.mends && found != after).then(|| merge::fold(Some(before), after, found)))
}
