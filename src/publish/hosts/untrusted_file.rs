//! Reading a small file that another user wrote.
//!
//! It is opened relative to its folder, not following links and not waiting for pipes; it must be a regular file of the
//! folder's owner with one link, and small. Whose folder it is, root has said by making it (tmpfiles.d): its owner
//! may write here, and no other user. What we wrote ourselves we may read, too. What is wrong with it is told by place,
//! never by content: these errors end up in logs that others read.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::de::DeserializeOwned;

use crate::model::HANDOVER_FORMAT;
use crate::model::shown::owner_in_words;
use crate::sys::{atomic_file, identity};

const NOT_REGULAR: &str = "expected a regular file";

/// Why a file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system said no.
    #[error("{}: can't be read: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is not what it should be: where, and what is wrong.
    #[error("{0}")]
    Unfit(String),
}

impl ReadError {
    fn io(path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io { path: path.to_owned(), source: source.into() }
    }

    pub(super) fn unfit(path: &Path, what: impl Display) -> Self {
        Self::Unfit(format!("{}: {what}", path.display()))
    }
}

/// Reads `path`, which must belong to the owner of its folder and hold at most `max` bytes; `None` if there is none.
pub(super) fn read(path: &Path, max: u64) -> Result<Option<Vec<u8>>, ReadError> {
    /// A reader may open a file an instant before a new one takes its place: that one has no link left.
    const TRIES: usize = 8;
    let mut tries = 1;
    let (file, owner, facts) = loop {
        let Some((file, owner)) = open(path)? else { return Ok(None) };
        let facts = file.metadata().map_err(|e| ReadError::io(path, e))?;
        if facts.nlink() > 0 || tries == TRIES {
            break (file, owner, facts);
        }
        tries += 1;
    };
    if !facts.is_file() {
        return Err(ReadError::unfit(path, NOT_REGULAR));
    }
    // Reachable under another name too, so another user may hold it.
    if facts.nlink() != 1 {
        return Err(ReadError::unfit(path, format_args!("expected one link, found {}", facts.nlink())));
    }
    let found = facts.uid();
    if found != owner && found != identity::effective_uid() {
        let [owner, found] = [owner, found].map(owner_in_words);
        return Err(ReadError::unfit(path, format_args!("expected the owner {owner}, found {found}")));
    }
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes).map_err(|e| ReadError::io(path, e))?;
    if bytes.len() as u64 > max {
        return Err(ReadError::unfit(path, format_args!("expected at most {max} bytes, found more")));
    }
    Ok(Some(bytes))
}

/// The file, not following links and not waiting for pipes, and who owns its folder.
fn open(path: &Path) -> Result<Option<(File, u32)>, ReadError> {
    let (dir, name) = match atomic_file::open_parent(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|e| ReadError::io(path, e))?,
    };
    let owner = rustix::fs::fstat(&dir).map_err(|e| ReadError::io(path, e))?.st_uid;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::openat(&dir, name, flags, Mode::empty()) {
        Ok(fd) => Ok(Some((fd.into(), owner))),
        Err(Errno::NOENT) => Ok(None),
        // A link, and a socket or a device without a driver.
        Err(Errno::LOOP | Errno::NXIO) => Err(ReadError::unfit(path, NOT_REGULAR)),
        Err(e) => Err(ReadError::io(path, e)),
    }
}

/// Reads JSON of a known format. The format is looked at first, so that a newer version's file is called that.
pub(super) fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, ReadError> {
    if bytes.is_empty() {
        return Err(ReadError::unfit(path, "empty"));
    }
    let format = format_of(bytes).map_err(|e| malformed(path, &e))?;
    if format != HANDOVER_FORMAT {
        return Err(ReadError::unfit(path, format_args!("expected format {HANDOVER_FORMAT}, found {format}")));
    }
    serde_json::from_slice(bytes).map_err(|e| malformed(path, &e))
}

/// The format that a JSON file says it has, whatever else is in it.
pub(super) fn format_of(bytes: &[u8]) -> serde_json::Result<u32> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        format: u32,
    }
    serde_json::from_slice(bytes).map(|Versioned { format }| format)
}

/// The text of serde's error may quote the content; its place does not.
fn malformed(path: &Path, e: &serde_json::Error) -> ReadError {
    let category = match e.classify() {
        serde_json::error::Category::Io => "can't be read",
        serde_json::error::Category::Syntax => "not JSON",
        serde_json::error::Category::Data => "JSON, but not of the expected shape",
        serde_json::error::Category::Eof => "ends too early",
    };
    ReadError::Unfit(format!("{}:{}:{}: {category}", path.display(), e.line(), e.column()))
}
