//! What is written in place, until it is: the content before and the one after, for who finishes the work of a writer
//! that was killed over it.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::error::{FileError, MAX_READ};
use crate::sys::atomic_file::{self, Durability};
use crate::sys::regular_file;

/// Its name in the writer's state folder.
const NAME: &str = "hosts.journal";
/// How it begins; the lengths of its three parts follow.
const FORMAT: &str = "privatelinkd journal 1";
/// Behind the lengths, of work that mends a torn file.
const MENDS: &str = "mends";
/// Largest that is read: both contents, a path and the first line.
const LARGEST: u64 = 2 * MAX_READ + 8192;

/// What a journal says.
pub(super) struct Journal {
    pub(super) path: PathBuf,
    /// The content before is a torn one: it is not to stay, even if nothing was written over it so far.
    pub(super) mends: bool,
    bytes: Vec<u8>,
    /// Where in that the old content begins, and where the new one.
    parts: [usize; 2],
}

impl Journal {
    /// The content before.
    pub(super) fn before(&self) -> &[u8] {
        &self.bytes[self.parts[0]..self.parts[1]]
    }

    /// The content after.
    pub(super) fn after(&self) -> &[u8] {
        &self.bytes[self.parts[1]..]
    }
}

/// Where it is.
pub(super) fn path_in(folder: &Path) -> PathBuf {
    folder.join(NAME)
}

/// Keeps both contents of the file at `path`, on disk.
pub(super) fn write(folder: &Path, path: &Path, [old, new]: [&[u8]; 2], mends: bool) -> Result<(), FileError> {
    let at = path_in(folder);
    let name = path.as_os_str().as_bytes();
    let what = if mends { format!(" {MENDS}") } else { String::new() };
    let first = format!("{FORMAT} {} {} {}{what}\n", name.len(), old.len(), new.len());
    let parts = [first.as_bytes(), name, old, new];
    atomic_file::write_parts(&at, &parts, 0o600, Durability::Synced).map_err(FileError::io("keep the journal", &at))
}

/// The work that was not finished; `None` if there is none. What is no journal is kept aside.
pub(super) fn read(folder: &Path) -> Result<Option<Journal>, FileError> {
    let at = path_in(folder);
    let bytes = match regular_file::read(&at, LARGEST) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(FileError::io("read the journal", &at))?,
    };
    match parse(bytes) {
        Some(journal) => Ok(Some(journal)),
        None => {
            put_aside(folder)?;
            Ok(None)
        }
    }
}

/// Gives a journal that can't be followed another name, since it may have the only whole copy of a file. Of more than a
/// few such the last goes.
pub(super) fn put_aside(folder: &Path) -> Result<(), FileError> {
    const MOST: usize = 4;
    let at = path_in(folder);
    let name =
        |n| at.with_extension(if n == 0 { "journal.unusable".to_owned() } else { format!("journal.unusable-{n}") });
    let aside = (0..MOST).map(name).find(|aside| !aside.exists()).unwrap_or_else(|| name(MOST - 1));
    std::fs::rename(&at, &aside).map_err(FileError::io("keep aside a journal that can't be followed,", &at))
}

fn parse(bytes: Vec<u8>) -> Option<Journal> {
    let end = bytes.iter().position(|b| *b == b'\n')?;
    let lengths = std::str::from_utf8(&bytes[..end]).ok()?.strip_prefix(FORMAT)?.strip_prefix(' ')?;
    let (lengths, mends) = lengths.strip_suffix(MENDS).map_or((lengths, false), |lengths| (lengths.trim_end(), true));
    let mut lengths = lengths.split(' ').map(str::parse::<usize>);
    let (path, old, new) = (lengths.next()?.ok()?, lengths.next()?.ok()?, lengths.next()?.ok()?);
    let first = end.checked_add(1)?.checked_add(path)?;
    let second = first.checked_add(old)?;
    if second.checked_add(new)? != bytes.len() {
        return None;
    }
    let path = PathBuf::from(OsStr::from_bytes(&bytes[end + 1..first]));
    Some(Journal { path, mends, bytes, parts: [first, second] })
}

/// The work is done.
pub(super) fn remove(folder: &Path) -> Result<(), FileError> {
    let at = path_in(folder);
    atomic_file::remove(&at).map_err(FileError::io("delete the journal", &at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_and_what_is_no_journal_is_kept_aside() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(dir.path()).unwrap().is_none());
        let hosts = Path::new("/etc/with\nnewline");
        for (old, new) in [(&b"a\n\xff\0"[..], &b"b\n"[..]), (b"", b"x"), (b"x", b"")] {
            for mends in [true, false] {
                write(dir.path(), hosts, [old, new], mends).unwrap();
                let journal = read(dir.path()).unwrap().unwrap();
                assert_eq!((journal.path.as_path(), journal.before(), journal.after()), (hosts, old, new));
                assert_eq!(journal.mends, mends);
            }
        }
        let whole = std::fs::read(path_in(dir.path())).unwrap();
        let mut bad = vec![
            b"".to_vec(),
            b"x".to_vec(),
            [&whole[..], b"more"].concat(),
            b"privatelinkd journal 2 0 0 0\n".to_vec(),
        ];
        bad.extend((0..whole.len()).map(|n| whole[..n].to_vec()));
        bad.push(format!("privatelinkd journal 1 {0} {0} {0}\n", usize::MAX).into_bytes());
        let aside = dir.path().join("hosts.journal.unusable");
        for bad in bad {
            std::fs::write(path_in(dir.path()), &bad).unwrap();
            assert!(read(dir.path()).unwrap().is_none(), "{bad:?}");
            assert_eq!(std::fs::read(&aside).unwrap(), bad);
            std::fs::remove_file(&aside).unwrap();
        }
        remove(dir.path()).unwrap();
    }

    #[test]
    fn one_that_is_kept_aside_takes_no_other_ones_place() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..6 {
            std::fs::write(path_in(dir.path()), format!("{n}")).unwrap();
            assert!(read(dir.path()).unwrap().is_none());
        }
        let kept = |name| std::fs::read_to_string(dir.path().join(name)).unwrap();
        let names = ["", "-1", "-2", "-3"].map(|n| format!("hosts.journal.unusable{n}"));
        assert_eq!(names.each_ref().map(kept), ["0", "1", "2", "5"]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), names.len());
    }
}
