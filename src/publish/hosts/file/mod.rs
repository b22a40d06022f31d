//! Replaces one file that belongs to other programs, too, whole, and loses nothing of it.
//!
//! The file is read, the caller says what it should hold, a new file beside it takes that content and all metadata of
//! the old one, and the two swap their names in one step. What can't be carried over is found before anything is
//! replaced. Readers see the old file or the new one; resolvers see a new inode and a modification time stamped at the
//! swap (Go, c-ares and systemd-resolved each look at another of these).
//!
//! Another program may edit the file meanwhile, or have it open and go on writing into what is the displaced file by
//! then; who has it open just then is waited for, if he is quick. So that file is compared with what was read, and an
//! edit in it is folded into the new one ([`merge`]): at once if nobody has it open for writing, else when it is
//! [settled](settle()). It stays beside the hosts file until its time has come, however we end ([`Displaced`]). Where
//! the system can't swap names, the file is compared right before a plain rename, and an edit between these two steps
//! is lost.
//!
//! Where a new file can't take the place of the old one, which is a mount point in containers, the new content is
//! written over the old one, with a journal in the writer's state folder that tells the next start what to finish.
//!
//! The lock is advisory, for writers of ours, and on a file of its own: a lock on a file that is replaced by a rename
//! locks a dead inode.
//!
//! The work is a sequence of named [`Step`]s with a hook at each, so that tests drive races and faults at will.

mod conflicts;
mod delete;
mod displaced;
mod error;
mod in_place;
mod journal;
mod metadata;
mod outcome;
mod place;
mod step;
mod swap;

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::delete::delete_empty;
use self::displaced::Folded;
pub use self::displaced::{Displaced, REST};
pub use self::error::{FileError, MAX_FILE};
pub use self::in_place::is_unfinished;
pub use self::outcome::{Change, LateEdit, Outcome, Settled};
use self::place::{FileFound, Place};
use self::step::hook;
pub use self::step::{Hook, Step, no_hook};
use self::swap::{Late, Swap, swap};
use super::merge;
use crate::model::InPlace;
use crate::sys::atomic_file;
use crate::sys::file_lock::{self, FileLock};
use crate::sys::open_writers::is_open_for_writing;

/// Times that another program may change the file under our hands before we give up.
const ATTEMPTS: u32 = 5;
/// Who has the file open for writing is given so many times so long to finish. Then it is replaced all the same.
const WAITS: u32 = 25;
const WAIT: Duration = Duration::from_millis(4);
/// How long another writer of ours is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// Which file, and where what belongs to it is.
#[derive(Debug, Clone, Copy)]
pub struct Target<'p> {
    /// The file; a symbolic link is followed and stays.
    pub path: &'p Path,
    /// The lock file: made if missing, never removed. Its folder must be there, is ours alone, and does not outlive a
    /// reboot: what displaced files held is kept in it, too.
    pub lock: &'p Path,
    /// Where a late edit is saved that is in conflict with another; and the journal of who writes in place.
    pub conflicts: &'p Path,
    /// Whether the file is written in place.
    pub in_place: InPlace,
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
/// The file is then as it was, or as another program made it meanwhile; only past [`Step::Swapped`] the new one is in
/// place. Or what `wanted` says against it.
pub fn replace<E: From<FileError>>(
    target: Target<'_>,
    steps: Hook<'_>,
    wanted: impl FnMut(&[u8]) -> Result<Option<Vec<u8>>, E>,
) -> Result<Outcome, E> {
    Work::begin(target, steps)?.replace(wanted)
}

/// The displaced files that are there.
///
/// # Errors
/// The folder or one of them can't be read.
pub fn displaced(path: &Path) -> Result<Vec<Displaced>, FileError> {
    displaced::list(&Place::find(path)?)
}

/// Folds what was edited in a displaced file into the hosts file, and deletes it; unless it is another one than was
/// seen, or somebody has it open for writing and that is not to be borne (`even_if_open`). Blocks.
///
/// # Errors
/// As [`replace`]. The displaced file then is still there.
pub fn settle(target: Target<'_>, steps: Hook<'_>, seen: &Displaced, even_if_open: bool) -> Result<Settled, FileError> {
    let mut work = Work::begin(target, steps)?;
    let name = displaced::name(&work.place.name, seen.id);
    let Some((file, facts)) = work.place.open_unread(&name)? else {
        displaced::remove(&work.place, &work.records, seen.id)?;
        return Ok(Settled::Gone);
    };
    let is_open = || is_open_for_writing(&file).unwrap_or(false);
    let before = displaced::folded(&work.records, seen.id);
    if !even_if_open && (facts.stamp != seen.stamp || before == Folded::JustNow || is_open()) {
        return Ok(Settled::NotQuiet);
    }
    let (stamp, again) = (facts.stamp, before != Folded::Never);
    let folded = if displaced::is_as_kept(&work.records, seen.id, &work.place, &file)? {
        std::mem::take(&mut work.folded)
    } else {
        let found = FileFound::read(file, facts, &work.place.path_of(&name))?;
        let base = displaced::kept(&work.records, seen.id);
        work.late.push(Late { id: seen.id, base, found, again, has_other_metadata: false, saved: None, gave_way: 0 });
        work.replace::<FileError>(|_| Ok(None))?.folded
    };
    let now = work.place.open_unread(&name)?.map(|(_, facts)| facts.stamp);
    if !work.late.is_empty() || (now != Some(stamp) && !even_if_open) {
        return Ok(Settled::NotQuiet);
    }
    if !folded.is_empty() && !even_if_open {
        return Ok(Settled::Done(folded));
    }
    if again && !even_if_open && displaced::any_to_fold(&work.place, &work.records, seen.id)? {
        return Ok(Settled::NotQuiet);
    }
    hook(work.steps, Step::Folded, &work.place)?;
    displaced::remove(&work.place, &work.records, seen.id)?;
    Ok(Settled::Done(folded))
}

/// Gives a displaced file up that can't be folded in, however often that is tried: it keeps its content and gets a name
/// under which nobody looks after it any more, `….kept`. Of more than a few such files the oldest goes. Gives where it
/// is, if it is still there, and how many went. Blocks.
///
/// # Errors
/// The system said no. The file then is where it was.
pub fn give_up(target: Target<'_>, id: u64) -> Result<Option<(PathBuf, usize)>, FileError> {
    let place = Place::find(target.path)?;
    let _lock = lock(target)?;
    displaced::give_up(&place, &displaced::records(&place, target.lock), id)
}

/// Where the file really is, links followed; `None` if that can't be told. Blocks.
#[must_use]
pub fn real(path: &Path) -> Option<PathBuf> {
    Place::find(path).ok().map(|place| place.path)
}

/// Deletes what a writer of ours that was killed left beside the file and never got into place, and finishes what it
/// wrote in place. Gives how many files, and edits that were folded in by that.
///
/// # Errors
/// The folder can't be read or written, or the lock is held.
pub fn clear_leftovers(target: Target<'_>) -> Result<(usize, Vec<LateEdit>), FileError> {
    let place = Place::find(target.path)?;
    let _lock = lock(target)?;
    let journal = journal::path_in(target.conflicts);
    atomic_file::remove_leftovers(&journal).map_err(FileError::io("clear old temporary files beside", &journal))?;
    let folded = recover(target.conflicts, &place)?;
    Ok((displaced::clear(&place, &displaced::records(&place, target.lock))?, folded))
}

/// Finishes the work of a writer that was killed while it wrote in place.
fn recover(folder: &Path, here: &Place) -> Result<Vec<LateEdit>, FileError> {
    let recovered = in_place::recover(folder, &here.path)?.filter(|recovered| recovered.is_edited);
    Ok(recovered.into_iter().map(|found| LateEdit { conflict: found.saved, gave_way: found.gave_way }).collect())
}

/// A replacement under way, under our lock.
struct Work<'t, 'h> {
    place: Place,
    conflicts: &'t Path,
    in_place: InPlace,
    records: PathBuf,
    steps: Hook<'h>,
    late: Vec<Late>,
    folded: Vec<LateEdit>,
    _lock: FileLock,
}

impl<'t, 'h> Work<'t, 'h> {
    fn begin(target: Target<'t>, steps: Hook<'h>) -> Result<Self, FileError> {
        let place = Place::find(target.path)?;
        let lock = lock(target)?;
        let records = displaced::records(&place, target.lock);
        hook(steps, Step::Locked, &place)?;
        let Target { conflicts, in_place, .. } = target;
        let folded = recover(conflicts, &place)?;
        Ok(Self { place, conflicts, in_place, records, steps, late: Vec::new(), folded, _lock: lock })
    }

    fn replace<E: From<FileError>>(
        &mut self,
        mut wanted: impl FnMut(&[u8]) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<Outcome, E> {
        let (mut change, mut attempt, mut waits) = (None, 0, 0);
        while attempt < ATTEMPTS {
            if attempt > 0 {
                std::thread::sleep(Duration::from_millis(u64::from(attempt) * 5));
            }
            let mut old = self.place.open()?;
            hook(self.steps, Step::Read, &self.place)?;
            let content = old.as_ref().map_or(&[][..], |f| &f.bytes);
            let (mut folded, conflicts) = self.fold(content);
            let is_new = matches!(folded, Cow::Owned(_));
            let new = match (wanted(&folded)?, &folded) {
                (Some(new), _) => new,
                (None, Cow::Owned(_)) => std::mem::take(&mut folded).into_owned(),
                (None, Cow::Borrowed(_)) if self.late.iter().any(|late| late.has_other_metadata) => content.to_vec(),
                (None, Cow::Borrowed(_)) => {
                    self.late.clear();
                    let change = change.unwrap_or(Change::Unchanged);
                    let (content, stamp) = old.map(|f| (f.bytes, Some(f.facts.stamp))).unwrap_or_default();
                    return Ok(Outcome { change, content, stamp, folded: std::mem::take(&mut self.folded) });
                }
            };
            error::refuse_large(&self.place.path, content, &new)?;
            drop(folded);
            // What was read may be half of what he writes.
            if waits < WAITS && old.as_ref().is_some_and(|old| is_open_for_writing(&old.file).unwrap_or(false)) {
                waits += 1;
                std::thread::sleep(WAIT);
                continue;
            }
            attempt += 1;
            self.save_conflicts(&conflicts)?;
            let swapped = self.swap(old.as_mut(), &new)?;
            if let Swap::Changed = swapped {
                continue;
            }
            change = Some(match swapped {
                Swap::Overwritten => Change::Overwritten,
                _ if old.is_none() => Change::Created,
                _ => change.unwrap_or(Change::Written),
            });
            self.note_folded(&conflicts, is_new);
            match swapped {
                Swap::Late(late) => self.late.push(late),
                Swap::Changed | Swap::Done | Swap::Overwritten => {
                    return Ok(self.finish(new, change.unwrap_or(Change::Written))?);
                }
            }
        }
        match change {
            // What is still to be folded in lies there for who settles it.
            Some(change) => Ok(self.finish(Vec::new(), change)?),
            None => Err(FileError::Busy { path: self.place.path.clone(), attempts: ATTEMPTS }.into()),
        }
    }

    /// Tries once. What another program gave a file that it put in the place of ours counts for more than what ours
    /// has.
    fn swap(&mut self, old: Option<&mut FileFound>, new: &[u8]) -> Result<Swap, FileError> {
        let in_place = match (self.in_place, &old) {
            (_, None) | (InPlace::Never, _) => false,
            (InPlace::Always, Some(_)) => true,
            (InPlace::Auto, Some(old)) => in_place::is_called_for(&old.file, &self.place.path)?,
        };
        if !in_place {
            let edited = self.late.iter().rev().find(|late| late.has_other_metadata).map(|late| &late.found);
            let swapped = swap((&self.place, &self.records), &mut *self.steps, old.as_deref(), edited, new);
            // Kernels before 5.8 tell mount points no earlier.
            if self.in_place != InPlace::Auto || !matches!(swapped, Err(FileError::MountPoint(_))) {
                return swapped;
            }
        }
        match old {
            Some(old) => in_place::overwrite((&self.place, self.conflicts), self.steps, old, new),
            None => Err(FileError::MountPoint(self.place.path.clone())),
        }
    }

    /// The content with all late edits in it, and for each of these whether it is in conflict with that.
    fn fold<'c>(&self, content: &'c [u8]) -> (Cow<'c, [u8]>, Vec<bool>) {
        let mut folded = Cow::Borrowed(content);
        let mut conflicts = Vec::new();
        for late in &self.late {
            let fold = if late.again { merge::fold_again } else { merge::fold };
            let merged = fold(late.base.as_deref(), &folded, &late.found.bytes);
            conflicts.push(merged.conflict);
            if let Cow::Owned(new) = merged.file {
                folded = Cow::Owned(new);
            }
        }
        (folded, conflicts)
    }

    fn save_conflicts(&mut self, conflicts: &[bool]) -> Result<(), FileError> {
        for (late, _) in self.late.iter_mut().zip(conflicts).filter(|(_, conflict)| **conflict) {
            let path = &*late.saved.get_or_insert_with(|| conflicts::unused_name(self.conflicts, late.id));
            late.gave_way += conflicts::save(path, &late.found.bytes)?;
        }
        Ok(())
    }

    /// The late edits are in place now.
    fn note_folded(&mut self, conflicts: &[bool], is_new: bool) {
        for (late, conflict) in std::mem::take(&mut self.late).into_iter().zip(conflicts) {
            if is_new {
                displaced::note_folded(&self.records, late.id);
            }
            let gave_way = late.gave_way;
            let (told, in_vain) = if *conflict && is_new { (late.saved, None) } else { (None, late.saved) };
            in_vain.iter().for_each(|path| drop(std::fs::remove_file(path)));
            if is_new {
                self.folded.push(LateEdit { conflict: told, gave_way });
            }
        }
    }

    /// Looks at what is in place. Another program may have been faster than this look: that is an edit after ours, for
    /// the next round.
    fn finish(&mut self, new: Vec<u8>, change: Change) -> Result<Outcome, FileError> {
        let now = self.place.open_unread(&self.place.name)?;
        let (content, stamp) = match now {
            None => (Vec::new(), None),
            Some((file, facts)) => {
                let stamp = Some(facts.stamp);
                match facts.stamp.size == new.len() as u64 && self.place.holds(&file, &new)? {
                    true => (new, stamp),
                    false => self.place.open()?.map_or_else(Default::default, |f| (f.bytes, Some(f.facts.stamp))),
                }
            }
        };
        hook(self.steps, Step::ReadBack, &self.place)?;
        Ok(Outcome { change, content, stamp, folded: std::mem::take(&mut self.folded) })
    }
}

/// Takes the advisory lock; it goes with the handle.
fn lock(target: Target<'_>) -> Result<FileLock, FileError> {
    file_lock::acquire(target.lock, LOCK_PATIENCE).map_err(|e| match e.kind() {
        io::ErrorKind::TimedOut => FileError::Locked { path: target.path.to_owned(), lock: target.lock.to_owned() },
        _ => FileError::io("lock", target.lock)(e),
    })
}
