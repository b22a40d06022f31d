//! Where the file really is, and what is there.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::error::{FileError, MAX_READ};
use super::metadata::FileMetadata;
use crate::sys::atomic_file;

/// So often who has the file for himself is waited for ([`Alone`](crate::sys::open_writers::Alone)), and how long each
/// time.
const TRIES: u32 = 500;
const PAUSE: Duration = Duration::from_millis(2);

/// Where the file really is.
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) dir: OwnedFd,
    pub(super) name: OsString,
}

/// A file that was there.
pub(super) struct FileFound {
    pub(super) file: File,
    pub(super) bytes: Vec<u8>,
    pub(super) facts: FileMetadata,
}

impl Place {
    /// Follows symbolic links, also if only the folder is there.
    pub(super) fn find(path: &Path) -> Result<Self, FileError> {
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

    /// The file itself; `None` if there is none.
    pub(super) fn open(&self) -> Result<Option<FileFound>, FileError> {
        self.open_beside(&self.name)
    }

    /// The file of this name in the same folder.
    pub(super) fn open_beside(&self, name: &OsStr) -> Result<Option<FileFound>, FileError> {
        let Some((file, facts)) = self.open_unread(name)? else { return Ok(None) };
        FileFound::read(file, facts, &self.path_of(name)).map(Some)
    }

    /// As [`Self::open_beside`], without its content.
    pub(super) fn open_unread(&self, name: &OsStr) -> Result<Option<(File, FileMetadata)>, FileError> {
        // Not blocking, so that a pipe in its place can't hold us.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let path = || self.path_of(name);
        let mut opened = rustix::fs::openat(&self.dir, name, flags, Mode::empty());
        for _ in 0..TRIES {
            if opened.as_ref().err() != Some(&Errno::AGAIN) {
                break;
            }
            std::thread::sleep(PAUSE);
            opened = rustix::fs::openat(&self.dir, name, flags, Mode::empty());
        }
        let file: File = match opened {
            Ok(fd) => fd.into(),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => {
                return Err(FileError::NotRegular { path: path(), found: "a symbolic link" });
            }
            Err(e) => return Err(FileError::io("open", &path())(e)),
        };
        let facts = FileMetadata::read(&file, &path())?;
        Ok(Some((file, facts)))
    }

    /// True if the file that was found is still there, by its stamp: what keeps size and times changes nothing that
    /// counts.
    pub(super) fn is_still(&self, old: Option<&FileFound>) -> Result<bool, FileError> {
        let now = self.open_unread(&self.name)?;
        Ok(old.map(|f| &f.facts) == now.as_ref().map(|(_, facts)| facts))
    }

    /// As [`Self::is_still`], content included.
    pub(super) fn is_still_whole(&self, old: &FileFound) -> Result<bool, FileError> {
        match self.open_unread(&self.name)? {
            Some((file, facts)) => Ok(facts == old.facts && self.holds(&file, &old.bytes)?),
            None => Ok(false),
        }
    }

    /// True if the file holds these bytes.
    pub(super) fn holds(&self, mut file: &File, bytes: &[u8]) -> Result<bool, FileError> {
        const PIECE: usize = 64 * 1024;
        let failed = || FileError::io("read", &self.path);
        file.rewind().map_err(failed())?;
        let mut piece = vec![0; PIECE.min(bytes.len() + 1)];
        let mut rest = bytes;
        loop {
            match file.read(&mut piece) {
                Ok(0) => return Ok(rest.is_empty()),
                Ok(n) if rest.starts_with(&piece[..n]) => rest = &rest[n..],
                Ok(_) => return Ok(false),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(failed()(e)),
            }
        }
    }

    pub(super) fn path_of(&self, name: &OsStr) -> PathBuf {
        self.path.with_file_name(name)
    }
}

impl FileFound {
    pub(super) fn read(mut file: File, facts: FileMetadata, path: &Path) -> Result<Self, FileError> {
        let size = facts.stamp.size;
        let too_large = |size| FileError::TooLarge { path: path.to_owned(), limit: MAX_READ, size };
        if size > MAX_READ {
            return Err(too_large(size));
        }
        // One more than it has, so that its end is seen without more room.
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
        file.rewind().map_err(FileError::io("read", path))?;
        (&mut file).take(MAX_READ + 1).read_to_end(&mut bytes).map_err(FileError::io("read", path))?;
        if bytes.len() as u64 > MAX_READ {
            return Err(too_large(bytes.len() as u64));
        }
        Ok(Self { file, bytes, facts })
    }
}
