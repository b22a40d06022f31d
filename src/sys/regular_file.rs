//! Opening files that might be something else. A file is opened first and judged on the open handle, so that nothing
//! can be swapped between the look and the reading.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// Largest access control list that is read, in bytes; the kernel's own limit is the same.
const LARGEST_ACL: usize = 65_536;
/// Where an access control list is (acl(5)).
const ACL: &str = "system.posix_acl_access";

/// Why a file was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A folder is there.
    #[error("expected a regular file, found a folder")]
    Folder,
    /// A pipe, a socket or a device is there.
    #[error("expected a regular file, found something else")]
    NotRegular,
}

/// `InvalidData` for what is no file.
impl From<OpenError> for io::Error {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Io(e) => e,
            other => Self::new(io::ErrorKind::InvalidData, other),
        }
    }
}

/// Opens a regular file for reading; links are followed. A pipe or a device without a writer does not hold us up.
///
/// # Errors
/// The situations of [`OpenError`].
pub fn open(path: &Path) -> Result<(File, Metadata), OpenError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from)?);
    let status = file.metadata()?;
    if status.is_dir() {
        Err(OpenError::Folder)
    } else if status.is_file() {
        Ok((file, status))
    } else {
        Err(OpenError::NotRegular)
    }
}

/// Reads a regular file of at most `largest` bytes.
///
/// # Errors
/// What the system said; `InvalidData` for what is no file, or too large.
pub fn read(path: &Path, largest: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    read_into(&mut bytes, &open(path)?.0, largest)?;
    Ok(bytes)
}

/// Reads an open file of at most `largest` bytes to its end.
///
/// # Errors
/// What the system said; `InvalidData` for what is too large.
pub fn read_into(bytes: &mut Vec<u8>, file: &File, largest: u64) -> io::Result<()> {
    file.take(largest.saturating_add(1)).read_to_end(bytes)?;
    if bytes.len() as u64 > largest {
        let why = format!("expected at most {largest} bytes, found more");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    Ok(())
}

/// The access control list of an open file; empty where it has none or the file system knows none.
///
/// # Errors
/// What the system said.
pub fn acl(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; LARGEST_ACL];
    match rustix::fs::fgetxattr(file, ACL, &mut bytes) {
        Ok(length) => {
            bytes.truncate(length);
            Ok(bytes)
        }
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(Vec::new()),
        Err(e) => Err(e.into()),
    }
}

/// Whether what is at a path has an access control list. Links are followed, nothing is opened; where that can't be
/// told, it counts as one.
#[must_use]
pub fn has_acl(path: &Path) -> bool {
    !matches!(rustix::fs::getxattr(path, ACL, &mut [0_u8; 0][..]), Ok(0) | Err(Errno::NODATA | Errno::NOTSUP))
}
