//! Reading a small file that another user wrote.
//!
//! It is opened relative to its folder, not following links and not waiting for pipes; it must be a regular file of the
//! folder's owner with one link, and small. Whose folder it is, root has said by making it (tmpfiles.d): who owns it
//! may write here, and nobody else. What we wrote ourselves we may read, too. What is wrong with it is told by place,
//! never by content: these errors end up in logs that others read.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::de::DeserializeOwned;

use crate::model::HANDOVER_FORMAT;
use crate::sys::{atomic_file, identity};

/// Why a file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system said no.
    #[error("{}: can't be read: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A folder, a link, a pipe, a device.
    #[error("{}: expected a regular file", .0.display())]
    NotRegular(PathBuf),
    /// Reachable under another name too, so somebody else may hold it.
    #[error("{}: expected one link, found {found}", path.display())]
    Links {
        /// Which.
        path: PathBuf,
        /// How many.
        found: u64,
    },
    /// Somebody else's.
    #[error("{}: expected the owner {expected}, found {found}", path.display())]
    Owner {
        /// Which.
        path: PathBuf,
        /// The only one that is trusted.
        expected: u32,
        /// Whose it is.
        found: u32,
    },
    /// Larger than we ever write it.
    #[error("{}: expected at most {max} bytes, found more", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// The limit.
        max: u64,
    },
    /// Not the JSON that we write.
    #[error("{}:{line}:{column}: {category}", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What kind of fault.
        category: &'static str,
        /// From 1; 0 if the fault has no place.
        line: usize,
        /// From 1, in bytes; 0 if the fault has no place.
        column: usize,
    },
    /// Another version's.
    #[error("{}: expected format {HANDOVER_FORMAT}, found {found}", path.display())]
    Format {
        /// Which.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// Cut, mixed or changed.
    #[error("{}: its digest is not that of its content", .0.display())]
    Digest(PathBuf),
}

/// Reads `path`, which must belong to the owner of its folder and hold at most `max` bytes; `None` if there is none.
pub(super) fn read(path: &Path, max: u64) -> Result<Option<Vec<u8>>, ReadError> {
    /// A reader may open a file an instant before a new one takes its place: that one has no link left.
    const TRIES: usize = 8;
    for _ in 0..TRIES {
        match read_once(path, max) {
            Err(ReadError::Links { found: 0, .. }) => {}
            other => return other,
        }
    }
    Err(ReadError::Links { path: path.to_owned(), found: 0 })
}

fn read_once(path: &Path, max: u64) -> Result<Option<Vec<u8>>, ReadError> {
    let io = |source: std::io::Error| ReadError::Io { path: path.to_owned(), source };
    let (dir, name) = match atomic_file::open_parent(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(io)?,
    };
    let owner = rustix::fs::fstat(&dir).map_err(|e| io(e.into()))?.st_uid;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = match rustix::fs::openat(&dir, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        // A link, and a socket or a device without a driver.
        Err(Errno::LOOP | Errno::NXIO) => return Err(ReadError::NotRegular(path.to_owned())),
        other => other.map_err(|e| io(e.into()))?,
    };
    let file = std::fs::File::from(fd);
    let facts = file.metadata().map_err(io)?;
    if !facts.is_file() {
        return Err(ReadError::NotRegular(path.to_owned()));
    }
    if facts.nlink() != 1 {
        return Err(ReadError::Links { path: path.to_owned(), found: facts.nlink() });
    }
    if facts.uid() != owner && facts.uid() != identity::effective_uid() {
        return Err(ReadError::Owner { path: path.to_owned(), expected: owner, found: facts.uid() });
    }
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > max {
        return Err(ReadError::TooLarge { path: path.to_owned(), max });
    }
    Ok(Some(bytes))
}

/// Reads JSON of a known format. The format is looked at first, so that a newer version's file is called that.
pub(super) fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, ReadError> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        format: u32,
    }
    let malformed = |e: &serde_json::Error| malformed(path, e);
    let Versioned { format } = serde_json::from_slice(bytes).map_err(|e| malformed(&e))?;
    if format != HANDOVER_FORMAT {
        return Err(ReadError::Format { path: path.to_owned(), found: format });
    }
    serde_json::from_slice(bytes).map_err(|e| malformed(&e))
}

/// The text of serde's error may quote the content; its place does not.
fn malformed(path: &Path, e: &serde_json::Error) -> ReadError {
    let category = match e.classify() {
        serde_json::error::Category::Io => "can't be read",
        serde_json::error::Category::Syntax => "not JSON",
        serde_json::error::Category::Data => "JSON, but not of the expected shape",
        serde_json::error::Category::Eof => "ends too early",
    };
    ReadError::Malformed { path: path.to_owned(), category, line: e.line(), column: e.column() }
}
