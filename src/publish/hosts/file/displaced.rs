//! Files that an update displaced, and what an update that was killed left behind.
//!
//! A new file is named after its own inode, `.hosts.privatelinkd.4711`, until it and the hosts file swap their names.
//! So a name tells what became of the update: a file that is called after itself never got into place, any other is
//! one that an update displaced, and may hold an edit that is nowhere else.
//!
//! What the displaced file held when it was read is kept beside the lock, in `/run`, for as long: it outlives a kill.
//! After a reboot it is gone, and with it everybody who had the displaced file open.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::digest::{SHA256, digest};
use rustix::fs::{AtFlags, RenameFlags};
use rustix::io::Errno;

use super::error::{FileError, MAX_FILE, MAX_READ};
use super::metadata::FileMetadata;
use super::place::Place;
use crate::model::hex;
use crate::sys::atomic_file;
use crate::sys::clock::Clock;
use crate::sys::file_stamp::FileStamp;
use crate::sys::open_writers::is_open_for_writing;
use crate::sys::regular_file;

/// So much is kept of what displaced files held, in bytes, however many there are: it takes up memory in `/run`, which
/// counts as ours.
const MOST_KEPT: u64 = 2 * MAX_FILE;
/// Of what is kept of a displaced file, before the rest of its name.
const RECORD: &str = "displaced.";
/// So many displaced files that nobody could fold in are kept beside the hosts file; of more the oldest goes.
const MOST_GIVEN_UP: usize = 8;
/// What is behind the numbers of their names; and `-1` and so on, if another one has that name.
const GIVEN_UP: &str = ".kept";
/// A displaced file stays for at least so long after an edit in it was folded in: who had read the hosts file before
/// may put that back.
pub const REST: Duration = Duration::from_secs(1);

/// A file that an update displaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Displaced {
    /// The number in its name: the inode of the file that took its place.
    pub id: u64,
    /// Of the file as it was seen.
    pub stamp: FileStamp,
    /// Whether anybody has it open for writing; `None` where that can't be told.
    pub open: Option<bool>,
}

impl Displaced {
    /// The files beside this hosts file that could not be folded in and were given up. Blocks.
    ///
    /// # Errors
    /// The folder can't be read.
    pub fn given_up(path: &Path) -> Result<Vec<PathBuf>, FileError> {
        given_up(&Place::find(path)?).map_err(FileError::io("list the folder of", path))
    }
}

/// The name of the new file with this inode, until it is in place, and of the file that it displaced, from then on.
pub(super) fn name(target: &OsStr, inode: u64) -> OsString {
    let mut name = prefix(target);
    name.extend_from_slice(inode.to_string().as_bytes());
    OsString::from_vec(name)
}

fn prefix(target: &OsStr) -> Vec<u8> {
    // Cut so that the whole stays a valid file name.
    let kept = &target.as_bytes()[..target.len().min(200)];
    [b".", kept, b".privatelinkd."].concat()
}

fn id_in(candidate: &OsStr, prefix: &[u8]) -> Option<u64> {
    number(std::str::from_utf8(candidate.as_bytes().strip_prefix(prefix)?).ok()?)
}

fn number(digits: &str) -> Option<u64> {
    digits.parse().ok().filter(|number: &u64| number.to_string() == digits)
}

/// Whether it is the name of a file that was given up.
fn is_given_up(candidate: &OsStr, prefix: &[u8]) -> bool {
    let rest = candidate.as_bytes().strip_prefix(prefix).and_then(|rest| std::str::from_utf8(rest).ok());
    let Some((id, more)) = rest.and_then(|rest| rest.split_once(GIVEN_UP)) else { return false };
    number(id).is_some() && (more.is_empty() || more.strip_prefix('-').is_some_and(|n| number(n).is_some()))
}

/// The ids in the names that begin so, in a folder.
fn ids(dir: &Path, prefix: &[u8]) -> io::Result<Vec<u64>> {
    let mut ids = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        ids.extend(id_in(&entry?.file_name(), prefix));
    }
    ids.sort_unstable();
    Ok(ids)
}

/// The file with this number; `None` if there is none, or something that is no file: we displace none such.
fn open(place: &Place, id: u64) -> Result<Option<(File, FileMetadata)>, FileError> {
    match place.open_unread(&name(&place.name, id)) {
        Err(FileError::NotRegular { .. }) => Ok(None),
        found => found,
    }
}

/// The displaced files beside this one, by their numbers.
pub(super) fn list(place: &Place) -> Result<Vec<Displaced>, FileError> {
    let mut found = Vec::new();
    for id in all(place)? {
        if let Some((file, facts)) = open(place, id)?
            && facts.stamp.file.1 != id
        {
            found.push(Displaced { id, stamp: facts.stamp, open: is_open_for_writing(&file).ok() });
        }
    }
    Ok(found)
}

/// Deletes the new files that never got into place, and records without their file. Gives how many of the former.
pub(super) fn clear(place: &Place, records: &Path) -> Result<usize, FileError> {
    let failed = || FileError::io("clear old temporary files of", &place.path);
    let mut cleared = atomic_file::remove_leftovers(&place.path).map_err(failed())?;
    let mut left = Vec::new();
    for id in all(place)? {
        match open(place, id)? {
            Some((_, facts)) if facts.stamp.file.1 == id => {
                rustix::fs::unlinkat(&place.dir, name(&place.name, id), AtFlags::empty())
                    .map_err(io::Error::from)
                    .map_err(failed())?;
                cleared += 1;
            }
            Some(_) => left.push(id),
            None => {}
        }
    }
    clear_records(records, &left).map_err(failed())?;
    Ok(cleared)
}

/// Those of this hosts file alone: another one's, of a configuration before this one, may share the folder.
fn clear_records(records: &Path, left: &[u64]) -> io::Result<()> {
    let ours = [records.file_name().unwrap_or_default().as_bytes(), b"."].concat();
    let entries = match std::fs::read_dir(atomic_file::parent(records)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let is_record = path.file_name().is_some_and(|name| name.as_bytes().starts_with(&ours));
        let is_of = |id: &u64| [record(records, *id), mark(records, *id)].contains(&path);
        if is_record && !left.iter().any(is_of) {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// What all records take up, in bytes: the room in `/run` goes by pages.
fn size_of_records(records: &Path) -> io::Result<u64> {
    let entries = std::fs::read_dir(atomic_file::parent(records))?.filter_map(Result::ok);
    let ours = entries.filter(|entry| entry.file_name().as_bytes().starts_with(RECORD.as_bytes()));
    Ok(ours.filter_map(|entry| entry.metadata().ok()).map(|m| taken_up(m.len())).sum())
}

fn taken_up(size: u64) -> u64 {
    const PAGE: u64 = 4096;
    size.next_multiple_of(PAGE)
}

fn all(place: &Place) -> Result<Vec<u64>, FileError> {
    let dir = atomic_file::parent(&place.path);
    ids(&dir, &prefix(&place.name)).map_err(FileError::io("list the folder of", &place.path))
}

/// Deletes a displaced file that holds nothing any more, and then its record.
pub(super) fn remove(place: &Place, records: &Path, id: u64) -> Result<(), FileError> {
    let failed = || FileError::io("delete the displaced", &place.path);
    match rustix::fs::unlinkat(&place.dir, name(&place.name, id), AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(e) => return Err(failed()(e.into())),
    }
    forget(records, id).map_err(failed())
}

/// What the names of all records of what this hosts file displaced begin with. They lie beside the lock.
pub(super) fn records(place: &Place, lock: &Path) -> PathBuf {
    let tag = digest(&SHA256, place.path.as_os_str().as_bytes());
    lock.with_file_name(format!("{RECORD}{}", hex(&tag.as_ref()[..8])))
}

/// With an extension of its own, in the place of which a record that is being written has another.
fn record(records: &Path, id: u64) -> PathBuf {
    with_ending(records, &format!(".{id}.held"))
}

/// Is there from when an edit in it has been folded in.
fn mark(records: &Path, id: u64) -> PathBuf {
    with_ending(records, &format!(".{id}.folded"))
}

fn with_ending(records: &Path, ending: &str) -> PathBuf {
    let mut path = records.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

/// Notes that what was edited in it is in the hosts file now. Where that fails, the edit is looked for once less.
pub(super) fn note_folded(records: &Path, id: u64) {
    let _ = write_whole(&mark(records, id), b"\n");
}

/// Whether what was edited in it has been in the hosts file, and long enough for that to last.
pub(super) fn folded(records: &Path, id: u64) -> Folded {
    let Ok(mark) = std::fs::metadata(mark(records, id)) else { return Folded::Never };
    let at = u64::try_from(mark.mtime()).unwrap_or_default() * 1000 + mark.mtime_nsec().unsigned_abs() / 1_000_000;
    // A clock that was set back meanwhile tells nothing.
    match Clock::System.now().wall.0.checked_sub(at) {
        Some(passed) if Duration::from_millis(passed) < REST => Folded::JustNow,
        _ => Folded::Before,
    }
}

/// Whether there is another one of which nothing was folded in so far: its editor may not have known of this one's
/// edit, also if it was displaced later, since he may have read the hosts file before.
pub(super) fn any_to_fold(place: &Place, records: &Path, id: u64) -> Result<bool, FileError> {
    Ok(all(place)?.into_iter().any(|other| other != id && folded(records, other) == Folded::Never))
}

/// Whether an edit has been folded in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Folded {
    Never,
    JustNow,
    Before,
}

/// Keeps what the file held that is about to be displaced. Where there is no room, the update goes on without: then all
/// lines of both are kept when they differ.
///
/// # Errors
/// A record of another file with this number can't be deleted: it would count as this one's.
pub(super) fn keep(records: &Path, id: u64, bytes: &[u8]) -> io::Result<()> {
    keep_within(MOST_KEPT, records, id, bytes)
}

fn keep_within(most: u64, records: &Path, id: u64, bytes: &[u8]) -> io::Result<()> {
    forget(records, id)?;
    if size_of_records(records).is_ok_and(|kept| kept + taken_up(bytes.len() as u64) <= most) {
        let _ = write_whole(&record(records, id), bytes);
    }
    Ok(())
}

/// Gives a displaced file another name, under which it is nobody's to fold in; and lets the oldest of such files go.
pub(super) fn give_up(place: &Place, records: &Path, id: u64) -> Result<Option<(PathBuf, usize)>, FileError> {
    let failed = || FileError::io("keep what was displaced of", &place.path);
    let Some(new) = set_aside(place, id).map_err(failed())? else { return Ok(None) };
    forget(records, id).map_err(failed())?;
    let kept = place.path_of(&new);
    let went = prune(place, &kept).map_err(failed())?;
    Ok(Some((kept, went)))
}

/// Renames it to the first name for such a file that is free: an inode's number comes again, and an earlier edit stays.
/// `None` if it is not there.
fn set_aside(place: &Place, id: u64) -> io::Result<Option<OsString>> {
    let old = name(&place.name, id);
    // One name more than there are such files.
    for n in 0..=MOST_GIVEN_UP {
        let mut new = old.clone();
        new.push(GIVEN_UP);
        if n > 0 {
            new.push(format!("-{n}"));
        }
        match rename_new(&place.dir, &old, &new) {
            Ok(()) => return Ok(Some(new)),
            Err(Errno::EXIST) => {}
            Err(Errno::NOENT) => return Ok(None),
            Err(e) => return Err(e.into()),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "no free name for it"))
}

pub(super) fn rename_new(dir: &OwnedFd, old: &OsStr, new: &OsStr) -> rustix::io::Result<()> {
    match rustix::fs::renameat_with(dir, old, dir, new, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => look_and_rename(dir, old, new),
        done => done,
    }
}

/// Where the system can't do both in one step.
fn look_and_rename(dir: &OwnedFd, old: &OsStr, new: &OsStr) -> rustix::io::Result<()> {
    match rustix::fs::statat(dir, new, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => rustix::fs::renameat(dir, old, dir, new),
        Err(e) => Err(e),
        Ok(_) => Err(Errno::EXIST),
    }
}

fn given_up(place: &Place) -> io::Result<Vec<PathBuf>> {
    let (prefix, mut all) = (prefix(&place.name), Vec::new());
    for entry in std::fs::read_dir(atomic_file::parent(&place.path))? {
        let entry = entry?;
        if is_given_up(&entry.file_name(), &prefix) {
            all.push(entry.path());
        }
    }
    all.sort_unstable();
    Ok(all)
}

fn prune(place: &Place, newest: &Path) -> io::Result<usize> {
    let mut all = Vec::new();
    for path in given_up(place)?.into_iter().filter(|path| path != newest) {
        let facts = std::fs::symlink_metadata(&path)?;
        all.push(((facts.mtime(), facts.mtime_nsec()), path));
    }
    all.sort_unstable();
    let gone = (all.len() + 1).saturating_sub(MOST_GIVEN_UP);
    all[..gone].iter().try_for_each(|(_, path)| std::fs::remove_file(path))?;
    Ok(gone)
}

/// It is there whole or not at all; its folder is ours alone.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = path.with_extension("part");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    let written = file.write_all(bytes).and_then(|()| std::fs::rename(&part, path));
    // Half a record is of no use, and takes up what others need.
    written.inspect_err(|_| drop(std::fs::remove_file(&part)))
}

/// What it held when it was read, if that is known.
pub(super) fn kept(records: &Path, id: u64) -> Option<Vec<u8>> {
    regular_file::read(&record(records, id), MAX_READ).ok()
}

/// True if the displaced file holds what it held when it was read. Neither is read whole.
pub(super) fn is_as_kept(records: &Path, id: u64, place: &Place, mut file: &File) -> Result<bool, FileError> {
    let Ok((mut kept, _)) = regular_file::open(&record(records, id)) else { return Ok(false) };
    let failed = || FileError::io("compare what was displaced with what was read of", &place.path);
    file.rewind().map_err(failed())?;
    loop {
        let (there, held) = (piece(file).map_err(failed())?, piece(&mut kept).map_err(failed())?);
        if there != held || there.is_empty() {
            return Ok(there == held);
        }
    }
}

/// The next bytes of a file; fewer only at its end.
fn piece(file: impl io::Read) -> io::Result<Vec<u8>> {
    const PIECE: u64 = 64 * 1024;
    let mut bytes = Vec::new();
    file.take(PIECE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn forget(records: &Path, id: u64) -> io::Result<()> {
    for path in [record(records, id), mark(records, id)] {
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_takes_up_no_more_than_there_is_room_for() {
        let dir = tempfile::tempdir().unwrap();
        let records = &dir.path().join("displaced.tag");
        let (large, most) = (vec![b'x'; 2 * 1024 * 1024], 32 * 1024 * 1024);
        for id in 0..20 {
            keep_within(most, records, id, &large).unwrap();
            assert_eq!(kept(records, id).is_some(), id < 16, "{id}");
        }
        keep_within(most, records, 3, b"new").unwrap();
        assert_eq!(kept(records, 3).unwrap(), b"new");
        forget(records, 4).unwrap();
        keep_within(most, records, 20, &large).unwrap();
        assert!(kept(records, 4).is_none() && kept(records, 20).is_some());
        // Each takes up a page at least.
        let small = tempfile::tempdir().unwrap();
        let records = &small.path().join("displaced.tag");
        for id in 0..20 {
            keep_within(4 * 4096, records, id, b"x").unwrap();
            assert_eq!(kept(records, id).is_some(), id < 4, "{id}");
        }
    }

    #[test]
    fn records_of_another_hosts_file_stay_and_are_not_taken_for_this_ones() {
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join("hosts.lock");
        let [one, other] = ["one", "other"].map(|name| {
            std::fs::write(dir.path().join(name), "").unwrap();
            records(&Place::find(&dir.path().join(name)).unwrap(), &lock)
        });
        keep(&one, 7, b"of one").unwrap();
        assert_eq!(kept(&other, 7), None);
        keep(&other, 7, b"of another").unwrap();
        keep(&other, 8, b"of another").unwrap();
        clear_records(&other, &[8]).unwrap();
        assert_eq!((kept(&one, 7).as_deref(), kept(&other, 7)), (Some(&b"of one"[..]), None));
        assert!(kept(&other, 8).is_some());
    }

    /// An inode's number comes again.
    #[test]
    fn who_is_given_up_takes_the_place_of_no_other_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("hosts"), "now\n").unwrap();
        let others = [".hosts.privatelinkd.7.kept.bak", ".hosts.privatelinkd.7.kept-", ".hosts.privatelinkd.x.kept"];
        others.iter().for_each(|name| std::fs::write(at(name), "theirs").unwrap());
        let place = Place::find(&at("hosts")).unwrap();
        let records = records(&place, &at("hosts.lock"));
        let mut all = Vec::new();
        for n in 0..10 {
            let displaced = at(".hosts.privatelinkd.7");
            std::fs::write(&displaced, n.to_string()).unwrap();
            let modified = std::time::UNIX_EPOCH + Duration::from_secs(n);
            File::options().write(true).open(&displaced).unwrap().set_modified(modified).unwrap();
            let (kept, went) = give_up(&place, &records, 7).unwrap().unwrap();
            assert_eq!(went, usize::from(n >= 8), "{n}");
            all.push((kept, n.to_string()));
        }
        assert_eq!(all[0].0, place.path_of(OsStr::new(".hosts.privatelinkd.7.kept")));
        assert_eq!(all[3].0, place.path_of(OsStr::new(".hosts.privatelinkd.7.kept-3")));
        let mut there: Vec<_> = all[2..].iter().map(|(path, _)| path.clone()).collect();
        there.sort_unstable();
        assert_eq!(Displaced::given_up(&at("hosts")).unwrap(), there);
        assert!(all[2..].iter().all(|(path, held)| std::fs::read_to_string(path).unwrap() == *held));
        assert!(others.iter().all(|name| at(name).exists()));
        assert_eq!(give_up(&place, &records, 7).unwrap(), None);
        // Where the system can't do that in one step, too.
        let rename = |old: &str, new: &str| look_and_rename(&place.dir, OsStr::new(old), OsStr::new(new));
        assert_eq!(rename("hosts", ".hosts.privatelinkd.7.kept"), Err(Errno::EXIST));
        assert_eq!((rename("none", "new"), rename("hosts", "new")), (Err(Errno::NOENT), Ok(())));
        assert_eq!(std::fs::read_to_string(at("new")).unwrap(), "now\n");
    }

    #[test]
    fn a_name_has_one_number_and_no_other_counts() {
        let target = OsStr::new("hosts");
        assert_eq!(name(target, 4711), OsStr::new(".hosts.privatelinkd.4711"));
        assert_eq!(id_in(&name(target, u64::MAX), &prefix(target)), Some(u64::MAX));
        for other in [".hosts.privatelinkd.", ".hosts.privatelinkd.+7", ".hosts.privatelinkd.07", ".hosts.swp", "hosts"]
        {
            assert_eq!(id_in(OsStr::new(other), &prefix(target)), None, "{other}");
        }
        let long = OsString::from_vec(vec![b'h'; 255]);
        assert!(name(&long, u64::MAX).len() <= 255);
    }
}
