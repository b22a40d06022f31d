//! What belongs to a file besides its bytes: can it be carried over, and carrying it over.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{AtFlags, FileType, Gid, Mode, StatxAttributes, StatxFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::error::FileError;
use crate::sys::file_stamp::FileStamp;

/// What tells a changed file from an unchanged one, and what a replacement must have too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileMetadata {
    /// Its `changed` makes any change of content or metadata show.
    pub(super) stamp: FileStamp,
    owner: (u32, u32),
}

impl FileMetadata {
    /// Of an open file, which must be a regular one.
    pub(super) fn read(file: &File, path: &Path) -> Result<Self, FileError> {
        let m = file.metadata().map_err(FileError::io("examine", path))?;
        if !m.is_file() {
            let found = describe(FileType::from_raw_mode(m.mode()));
            return Err(FileError::NotRegular { path: path.to_owned(), found });
        }
        Ok(Self { stamp: FileStamp::from(&m), owner: (m.uid(), m.gid()) })
    }

    /// Fails if the file can't be replaced by a rename, or forbids it.
    pub(super) fn replaceable(&self, file: &File, path: &Path) -> Result<(), FileError> {
        if is_mount_point(file, path)? {
            return Err(FileError::MountPoint(path.to_owned()));
        }
        self.changeable(file, path)
    }

    /// Fails if the file forbids any change.
    pub(super) fn changeable(&self, file: &File, path: &Path) -> Result<(), FileError> {
        let attributes = flags(file, path)?;
        if attributes.contains(StatxAttributes::IMMUTABLE) {
            return Err(lost(path, "its flag immutable (chattr +i)".to_owned()));
        }
        if attributes.contains(StatxAttributes::APPEND) {
            return Err(lost(path, "its flag append-only (chattr +a)".to_owned()));
        }
        Ok(())
    }

    /// Gives the new file what the old one has. Owner first: a change of owner clears set-id bits and some
    /// attributes. Mode last: attributes can be set only while the mode allows writing.
    pub(super) fn copy_to(&self, old: &File, new: &File, path: &Path) -> Result<(), FileError> {
        let has = Self::read(new, path)?;
        if has.owner != self.owner {
            let (uid, gid) = self.owner;
            rustix::fs::fchown(new, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
                .map_err(|e| lost(path, format!("its owner {uid}:{gid} ({e})")))?;
        }
        copy_attributes(old, new, path)?;
        set_mode(new, self.stamp.mode, path)?;
        let has = Self::read(new, path)?;
        if (has.owner, has.stamp.mode) != (self.owner, self.stamp.mode) {
            let (wanted, made) = (self.stamp.mode, has.stamp.mode);
            return Err(lost(path, format!("its mode {wanted:o} (the system made it {made:o})")));
        }
        Ok(())
    }

    /// True if it is the file that was read, unchanged but for its name.
    pub(super) fn is_but_renamed(&self, read: &Self) -> bool {
        Self { stamp: FileStamp { changed: read.stamp.changed, ..self.stamp }, ..self.clone() } == *read
    }
}

/// True if something was mounted on the file itself. What can't be told (kernels before 5.8) shows at the rename, with
/// the old file still in place.
pub(super) fn is_mount_point(file: &File, path: &Path) -> Result<bool, FileError> {
    Ok(flags(file, path)?.contains(StatxAttributes::MOUNT_ROOT))
}

fn flags(file: &File, path: &Path) -> Result<StatxAttributes, FileError> {
    match rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::empty()) {
        Ok(s) => Ok(s.stx_attributes),
        Err(Errno::NOSYS | Errno::PERM) => Ok(StatxAttributes::empty()),
        Err(e) => Err(FileError::io("examine", path)(e)),
    }
}

/// What a file has beside its content, and a replacement must have too.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BesideContent {
    owner: (u32, u32),
    mode: u32,
    attributes: BTreeMap<CString, Vec<u8>>,
}

impl BesideContent {
    pub(super) fn read(file: &File, facts: &FileMetadata, path: &Path) -> Result<Self, FileError> {
        Ok(Self { owner: facts.owner, mode: facts.stamp.mode, attributes: attributes(file, path)? })
    }
}

fn lost(path: &Path, what: String) -> FileError {
    FileError::UnsupportedMetadata { path: path.to_owned(), what }
}

fn describe(kind: FileType) -> &'static str {
    match kind {
        FileType::Directory => "a folder",
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "something else",
    }
}

/// Sets exactly this mode, whatever the umask.
pub(super) fn set_mode(file: &File, mode: u32, path: &Path) -> Result<(), FileError> {
    rustix::fs::fchmod(file, Mode::from_raw_mode(mode)).map_err(FileError::io("set the mode of the new", path))
}

/// Signatures over the content that the kernel itself keeps: an old one on a new content would make it unreadable.
const OF_THE_CONTENT: [&[u8]; 2] = [b"security.ima", b"security.evm"];

/// Extended attributes, which SELinux labels and ACLs are too. The new file may have got some by itself: a default
/// ACL of the folder goes, labels that the system gave stay unless the old file has another.
fn copy_attributes(old: &File, new: &File, path: &Path) -> Result<(), FileError> {
    let wanted = attributes(old, path)?;
    let present = attributes(new, path)?;
    for (name, value) in &wanted {
        if present.get(name) != Some(value) && !OF_THE_CONTENT.contains(&name.as_bytes()) {
            rustix::fs::fsetxattr(new, name.as_c_str(), value, XattrFlags::empty())
                .map_err(|e| lost(path, format!("its attribute {} ({e})", name.to_string_lossy())))?;
        }
    }
    let extra = present.keys().filter(|n| !wanted.contains_key(*n) && !n.as_bytes().starts_with(b"security."));
    for name in extra {
        rustix::fs::fremovexattr(new, name.as_c_str())
            .map_err(|e| lost(path, format!("its lack of the attribute {} ({e})", name.to_string_lossy())))?;
    }
    Ok(())
}

fn attributes(file: &File, path: &Path) -> Result<BTreeMap<CString, Vec<u8>>, FileError> {
    /// The kernel's limit of one value and of the whole list (`XATTR_SIZE_MAX`, `XATTR_LIST_MAX`).
    const MAX: usize = 64 * 1024;
    let mut buffer = vec![0; MAX];
    let length = match rustix::fs::flistxattr(file, &mut buffer[..]) {
        Ok(n) => n,
        Err(Errno::NOTSUP) => return Ok(BTreeMap::new()),
        Err(e) => return Err(FileError::io("list the attributes of", path)(e)),
    };
    let names: Vec<CString> = buffer[..length]
        .split_inclusive(|b| *b == 0)
        .filter_map(|n| CStr::from_bytes_with_nul(n).ok())
        .map(Into::into)
        .collect();
    let mut all = BTreeMap::new();
    for name in names {
        match rustix::fs::fgetxattr(file, name.as_c_str(), &mut buffer[..]) {
            Ok(n) => {
                all.insert(name, buffer[..n].to_vec());
            }
            // Gone since the list was made: the check before the rename will see that the file changed.
            Err(Errno::NODATA) => {}
            Err(e) => {
                return Err(lost(path, format!("its attribute {}, which can't be read ({e})", name.to_string_lossy())));
            }
        }
    }
    Ok(all)
}

/// Sets the modification time to now, never to the future, and to another one than the old file has: Go looks at
/// nothing else when the size is the same. Gives the second.
pub(super) fn stamp(file: &File, old: Option<&FileMetadata>, path: &Path) -> Result<u64, FileError> {
    /// The kernel stamps with the time of its last tick, 1 to 10 ms.
    const TRIES: u32 = 20;
    let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    let mut tries = 0;
    loop {
        rustix::fs::futimens(file, &times).map_err(FileError::io("stamp the new", path))?;
        let has = FileMetadata::read(file, path)?.stamp.modified;
        tries += 1;
        if old.is_none_or(|o| o.stamp.modified != has) || tries == TRIES {
            return Ok(u64::try_from(has.0).unwrap_or(0));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
