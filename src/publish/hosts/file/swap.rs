//! One attempt at putting a new file in the place of the old one.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FallocateFlags, RenameFlags};
use rustix::io::Errno;

use super::displaced;
use super::error::FileError;
use super::metadata::{self, BesideContent, FileMetadata};
use super::place::{FileFound, Place};
use super::step::{Hook, Step, hook};
use crate::sys::atomic_file::Temp;
use crate::sys::clock::Clock;
use crate::sys::open_writers::is_open_for_writing;

/// A displaced file with an edit that is to be folded in.
pub(super) struct Late {
    pub(super) id: u64,
    /// What it held when it was read, if that is known.
    pub(super) base: Option<Vec<u8>>,
    pub(super) found: FileFound,
    /// It has been folded in before.
    pub(super) again: bool,
    /// The edit changed owner, mode or attributes.
    pub(super) has_other_metadata: bool,
    /// Where it was saved, if it was in conflict.
    pub(super) saved: Option<PathBuf>,
    /// How many that were saved earlier had to go for it.
    pub(super) gave_way: usize,
}

/// How an attempt ended, if no fault ended it.
pub(super) enum Swap {
    /// Another program changed the file meanwhile: nothing was replaced.
    Changed,
    /// The new file is in place.
    Done,
    /// The new content is in the old file.
    Overwritten,
    /// It is in place, and what it displaced was edited meanwhile, by who is through with that.
    Late(Late),
}

/// How the names were swapped.
enum Renamed {
    /// Not at all: another program was faster.
    Not,
    /// The displaced file has the new one's former name.
    Exchanged,
    /// There is no displaced file.
    Over,
}

/// Tries once, in this place and with the records of what is displaced there. `old` is the file as it was read;
/// `edited`, if another program changed more than the content meanwhile, is what the new one is to be like instead.
pub(super) fn swap(
    (place, records): (&Place, &Path),
    steps: Hook<'_>,
    old: Option<&FileFound>,
    edited: Option<&FileFound>,
    new: &[u8],
) -> Result<Swap, FileError> {
    let path = &place.path;
    if let Some(old) = old {
        old.facts.replaceable(&old.file, path)?;
    }
    hook(steps, Step::Checked, place)?;
    let before = old.map(|old| BesideContent::read(&old.file, &old.facts, path)).transpose()?;
    let New { mut temp, id } = make(place, steps, new, edited.or(old))?;
    if !place.is_still(old)? {
        return Ok(Swap::Changed);
    }
    hook(steps, Step::Rechecked, place)?;
    if let Some(old) = old {
        displaced::keep(records, id, &old.bytes).map_err(FileError::io("keep the old content of", path))?;
    }
    let put = put_in_place(place, steps, &mut temp, old);
    if !matches!(put, Ok((_, Renamed::Exchanged))) {
        forget(records, id, path)?;
    }
    let (stamped, renamed) = put?;
    if matches!(renamed, Renamed::Not) {
        return Ok(Swap::Changed);
    }
    hook(steps, Step::Swapped, place)?;
    if Clock::System.now().wall.0 / 1000 > stamped {
        metadata::stamp(&temp.file, None, path)?;
    }
    let swap = match (renamed, old.zip(before)) {
        (Renamed::Exchanged, Some((old, before))) => compare(place, id, old, &before)?,
        _ => Swap::Done,
    };
    hook(steps, Step::Compared, place)?;
    rustix::fs::fsync(&place.dir).map_err(FileError::io("sync the folder of", path))?;
    hook(steps, Step::DirSynced, place)?;
    Ok(swap)
}

/// A new file, whole and on disk.
struct New<'p> {
    temp: Temp<'p>,
    /// Its inode, after which it is named.
    id: u64,
}

/// Makes it, with what `model` has beside its content.
fn make<'p>(
    place: &'p Place,
    steps: Hook<'_>,
    content: &[u8],
    model: Option<&FileFound>,
) -> Result<New<'p>, FileError> {
    let path = &place.path;
    let (mut temp, id) = create(place).map_err(FileError::io("make a temporary file for", path))?;
    allocate(&temp, content.len()).map_err(FileError::io("find room for the new content of", path))?;
    temp.file.write_all(content).map_err(FileError::io("write the new content of", path))?;
    hook(steps, Step::TempWritten, place)?;
    match model {
        Some(old) => old.facts.copy_to(&old.file, &temp.file, path)?,
        None => metadata::set_mode(&temp.file, 0o644, path)?,
    }
    hook(steps, Step::MetadataCopied, place)?;
    temp.file.sync_all().map_err(FileError::io("sync the new content of", path))?;
    hook(steps, Step::TempSynced, place)?;
    Ok(New { temp, id })
}

/// An empty file that is named after its inode.
pub(super) fn create(place: &Place) -> io::Result<(Temp<'_>, u64)> {
    const TRIES: usize = 16;
    // While they live no other file has their inodes.
    let mut taken = Vec::new();
    for _ in 0..TRIES {
        let mut temp = Temp::create(&place.dir, &place.name)?;
        let id = rustix::fs::fstat(&temp.file)?.st_ino;
        match temp.rename_itself(&displaced::name(&place.name, id)) {
            Ok(()) => return Ok((temp, id)),
            // A file that is displaced by one that is gone.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => taken.push(temp),
            Err(e) => return Err(e),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "no free name for a temporary file"))
}

/// Finds out whether there is room before anything is written, where the file system can.
fn allocate(temp: &Temp<'_>, size: usize) -> io::Result<()> {
    if size == 0 {
        return Ok(());
    }
    match rustix::fs::fallocate(&temp.file, FallocateFlags::empty(), 0, size as u64) {
        Ok(()) | Err(Errno::NOTSUP | Errno::NOSYS) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Stamps the new file and puts it in the place of the old one. Gives the time that it was stamped with, too.
fn put_in_place(
    place: &Place,
    steps: Hook<'_>,
    temp: &mut Temp<'_>,
    old: Option<&FileFound>,
) -> Result<(u64, Renamed), FileError> {
    let stamped = metadata::stamp(&temp.file, old.map(|o| &o.facts), &place.path)?;
    hook(steps, Step::Kept, place)?;
    Ok((stamped, rename(place, temp, old)?))
}

/// Puts the new file in the place of the old one.
fn rename(place: &Place, temp: &mut Temp<'_>, old: Option<&FileFound>) -> Result<Renamed, FileError> {
    let path = &place.path;
    let (result, done) = match old {
        None => (temp.rename_new(&place.name), Renamed::Over),
        Some(old) => match temp.exchange(&place.name) {
            Err(e) if matches!(Errno::from_io_error(&e), Some(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP)) => {
                if !place.is_still_whole(old)? {
                    return Ok(Renamed::Not);
                }
                (temp.rename_over(&place.name), Renamed::Over)
            }
            exchanged => (exchanged, Renamed::Exchanged),
        },
    };
    match result {
        Ok(()) => Ok(done),
        Err(e) if old.is_none() && e.kind() == io::ErrorKind::AlreadyExists => Ok(Renamed::Not),
        Err(e) if old.is_some() && e.kind() == io::ErrorKind::NotFound => Ok(Renamed::Not),
        // Kernels before 5.8 don't tell mount points.
        Err(e) if e.kind() == io::ErrorKind::ResourceBusy => Err(FileError::MountPoint(path.clone())),
        Err(e) => Err(FileError::io("put the new file in the place of", path)(e)),
    }
}

/// Is what was displaced what was read? What somebody is writing at is left to who settles it.
fn compare(place: &Place, id: u64, old: &FileFound, before: &BesideContent) -> Result<Swap, FileError> {
    let name = displaced::name(&place.name, id);
    let (file, facts) = match place.open_unread(&name) {
        Ok(Some(there)) => there,
        Ok(None) => return Ok(Swap::Done),
        Err(e @ FileError::NotRegular { .. }) => {
            put_back(place, id)?;
            return Err(e);
        }
        Err(e) => return Err(e),
    };
    let has_other_metadata = BesideContent::read(&file, &facts, &place.path)? != *before;
    let same = !has_other_metadata && facts.is_but_renamed(&old.facts);
    let may_be_open = || may_be_open(is_open_for_writing(&file).ok(), &facts, &old.facts);
    if (same && place.holds(&file, &old.bytes)?) || may_be_open() {
        return Ok(Swap::Done);
    }
    let found = FileFound::read(file, facts, &place.path_of(&name))?;
    let base = Some(old.bytes.clone());
    Ok(Swap::Late(Late { id, base, found, again: false, has_other_metadata, saved: None, gave_way: 0 }))
}

/// Where it can't be told whether anybody has it open for writing, the very file that was read may be half written;
/// another one was put in its place by a rename, whole.
fn may_be_open(open: Option<bool>, displaced: &FileMetadata, read: &FileMetadata) -> bool {
    open.unwrap_or(displaced.stamp.file == read.stamp.file)
}

/// Somebody put a folder or a link in the place of the hosts file just then: it gets its name back.
fn put_back(place: &Place, id: u64) -> Result<(), FileError> {
    let name = displaced::name(&place.name, id);
    let is_ours = |(_, facts): &(_, FileMetadata)| facts.stamp.file.1 == id;
    if place.open_unread(&place.name)?.as_ref().is_some_and(is_ours) {
        let failed = || FileError::io("put back what was in the place of", &place.path);
        rustix::fs::renameat_with(&place.dir, &name, &place.dir, &place.name, RenameFlags::EXCHANGE)
            .map_err(failed())?;
        // Another program may have been faster: what it put there is displaced now, as its name says.
        if place.open_unread(&name)?.as_ref().is_some_and(is_ours) {
            rustix::fs::unlinkat(&place.dir, &name, AtFlags::empty()).map_err(failed())?;
        }
    }
    Ok(())
}

fn forget(records: &Path, id: u64, path: &Path) -> Result<(), FileError> {
    displaced::forget(records, id).map_err(FileError::io("forget the old content of", path))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn where_nobody_can_tell_who_writes_only_another_file_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let facts = |name: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, name).unwrap();
            FileMetadata::read(&File::open(&path).unwrap(), &path).unwrap()
        };
        let (read, renamed_over) = (facts("read"), facts("renamed over"));
        for (open, displaced, expected) in [
            (Some(true), &renamed_over, true),
            (Some(false), &read, false),
            (None, &read, true),
            (None, &renamed_over, false),
        ] {
            assert_eq!(may_be_open(open, displaced, &read), expected, "{open:?}");
        }
    }
}
