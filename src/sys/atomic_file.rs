//! Files that are the old one or the new one, whole, at every instant.
//!
//! A temporary file in the same folder takes the new content and is renamed over the old file. Readers and crashes
//! see one or the other. A temporary file that a crash left behind is recognised by its name and cleared by
//! [`remove_leftovers`].

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

/// What a write must survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A crash of this process. For files on tmpfs, and for what can be made again.
    Volatile,
    /// A power cut: file and folder are synced.
    Synced,
}

/// Replaces (or creates) `path` by a file with exactly these bytes and this mode, whatever the umask. A symbolic link
/// at `path` is replaced, not followed.
///
/// # Errors
/// What the system said. Then `path` is untouched and no temporary file is left, unless the very last step failed,
/// the sync of the folder: then the new file is in place, and only a power cut could take it back.
pub fn write(path: &Path, bytes: &[u8], mode: u32, durability: Durability) -> io::Result<()> {
    write_parts(path, &[bytes], mode, durability)
}

/// As [`write()`], of the parts one after the other.
///
/// # Errors
/// As [`write()`].
pub fn write_parts(path: &Path, parts: &[&[u8]], mode: u32, durability: Durability) -> io::Result<()> {
    let (dir, name) = open_parent(path)?;
    let mut temp = Temp::create(&dir, name)?;
    parts.iter().try_for_each(|part| temp.file.write_all(part))?;
    put(temp, name, mode, durability)
}

/// Deletes a file, if it is there, for good.
///
/// # Errors
/// What the system said.
pub fn remove(path: &Path) -> io::Result<()> {
    let (dir, name) = open_parent(path)?;
    match rustix::fs::unlinkat(&dir, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        removed => removed.and_then(|()| rustix::fs::fsync(&dir)).map_err(io::Error::from),
    }
}

/// As [`write()`], and the file is the folder's owner's, whichever user writes it: what root writes by hand into a
/// service's folder the service can read.
///
/// # Errors
/// As [`write()`].
pub fn write_for_owner(path: &Path, bytes: &[u8], mode: u32, durability: Durability) -> io::Result<()> {
    let (dir, name) = open_parent(path)?;
    let mut temp = Temp::create(&dir, name)?;
    temp.file.write_all(bytes)?;
    let owner = rustix::fs::fstat(&dir)?;
    if rustix::fs::fstat(&temp.file)?.st_uid != owner.st_uid {
        std::os::unix::fs::fchown(&temp.file, Some(owner.st_uid), Some(owner.st_gid))?;
    }
    put(temp, name, mode, durability)
}

fn put(mut temp: Temp<'_>, name: &OsStr, mode: u32, durability: Durability) -> io::Result<()> {
    let dir = temp.dir;
    rustix::fs::fchmod(&temp.file, Mode::from_raw_mode(mode))?;
    if durability == Durability::Synced {
        temp.file.sync_all()?;
    }
    temp.rename_over(name)?;
    if durability == Durability::Synced {
        rustix::fs::fsync(dir)?;
    }
    Ok(())
}

/// Creates `path` with these bytes, this mode and, if one is given, this group, and syncs it. It is there whole or not
/// at all, and takes nothing's place.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if anything is there, a dangling symbolic link included; or what the system said.
pub fn create(path: &Path, bytes: &[u8], mode: u32, group: Option<u32>) -> io::Result<()> {
    let (dir, name) = open_parent(path)?;
    let mut temp = Temp::create(&dir, name)?;
    temp.file.write_all(bytes)?;
    if group.is_some() {
        std::os::unix::fs::fchown(&temp.file, None, group)?;
    }
    rustix::fs::fchmod(&temp.file, Mode::from_raw_mode(mode))?;
    temp.file.sync_all()?;
    temp.link_new(name)?;
    rustix::fs::fsync(&dir)?;
    Ok(())
}

/// Deletes the temporary files for `path` that a crash left in its folder. Only for who alone writes `path`: the
/// temporary file of a write under way looks the same. Gives how many there were.
///
/// # Errors
/// The folder can't be read, or a file can't be deleted.
pub fn remove_leftovers(path: &Path) -> io::Result<usize> {
    let (dir, name) = open_parent(path)?;
    let mut removed = 0;
    for entry in std::fs::read_dir(parent(path))? {
        let entry = entry?;
        if is_temp_of(&entry.file_name(), name) && entry.file_type()?.is_file() {
            rustix::fs::unlinkat(&dir, entry.file_name(), AtFlags::empty())?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Opens the folder of a file and gives the file's name in it: everything after goes relative to this handle, so that
/// a folder that is moved meanwhile can't split the work over two places.
pub(crate) fn open_parent(path: &Path) -> io::Result<(OwnedFd, &OsStr)> {
    let no_name = || io::Error::new(io::ErrorKind::InvalidInput, "expected the path of a file, found a folder");
    let name = path.file_name().ok_or_else(no_name)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok((rustix::fs::open(parent(path), flags, Mode::empty())?, name))
}

/// The folder of a file; `.` for a bare name.
pub(crate) fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(p) if p != Path::new("") => p.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// A new file beside the one that it is to replace. It goes when dropped, unless it was renamed.
pub(crate) struct Temp<'d> {
    dir: &'d OwnedFd,
    name: Option<OsString>,
    /// Open for writing, mode 0600 until changed.
    pub(crate) file: File,
}

impl<'d> Temp<'d> {
    /// Creates it under a name that no file has.
    pub(crate) fn create(dir: &'d OwnedFd, target: &OsStr) -> io::Result<Self> {
        const TRIES: usize = 16;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for _ in 0..TRIES {
            let name = temp_name(target, fastrand::u64(..));
            match rustix::fs::openat(dir, &name, flags, Mode::RUSR | Mode::WUSR) {
                Ok(fd) => return Ok(Self { dir, name: Some(name), file: fd.into() }),
                Err(Errno::EXIST) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "no free name for a temporary file"))
    }

    /// Puts it in the place of `target`, whatever is there.
    pub(crate) fn rename_over(&mut self, target: &OsStr) -> io::Result<()> {
        self.rename(target, RenameFlags::empty())
    }

    /// Gives it another name that no file has, under which it goes when dropped; else
    /// [`io::ErrorKind::AlreadyExists`], and it keeps the old one.
    pub(crate) fn rename_itself(&mut self, new: &OsStr) -> io::Result<()> {
        self.rename_new(new)?;
        self.name = Some(new.to_owned());
        Ok(())
    }

    /// Puts it in the place of `target`, which gets its name. Fails with `EINVAL`, `ENOSYS` or `EOPNOTSUPP` where the
    /// system can't do that in one step.
    pub(crate) fn exchange(&mut self, target: &OsStr) -> io::Result<()> {
        self.rename(target, RenameFlags::EXCHANGE)
    }

    /// Renames `target` over it, which ends it. Gives whether there was a `target`.
    pub(crate) fn take_name_of(&mut self, target: &OsStr) -> io::Result<bool> {
        let Some(name) = &self.name else { return Ok(false) };
        match rustix::fs::renameat(self.dir, target, self.dir, name) {
            Err(Errno::NOENT) => Ok(false),
            renamed => {
                renamed?;
                self.name = None;
                Ok(true)
            }
        }
    }

    /// Gives it the name `target`, too, if nothing is there; else [`io::ErrorKind::AlreadyExists`].
    fn link_new(&self, target: &OsStr) -> io::Result<()> {
        let Some(name) = &self.name else { return Ok(()) };
        Ok(rustix::fs::linkat(self.dir, name, self.dir, target, AtFlags::empty())?)
    }

    /// Puts it at `target` if nothing is there; else [`io::ErrorKind::AlreadyExists`]. File systems that can't tell
    /// get a plain rename.
    pub(crate) fn rename_new(&mut self, target: &OsStr) -> io::Result<()> {
        match self.rename(target, RenameFlags::NOREPLACE) {
            Err(e) if matches!(Errno::from_io_error(&e), Some(Errno::INVAL | Errno::NOSYS)) => self.rename_over(target),
            other => other,
        }
    }

    fn rename(&mut self, target: &OsStr, flags: RenameFlags) -> io::Result<()> {
        let Some(name) = &self.name else { return Ok(()) };
        if flags.is_empty() {
            rustix::fs::renameat(self.dir, name, self.dir, target)?;
        } else {
            rustix::fs::renameat_with(self.dir, name, self.dir, target, flags)?;
        }
        self.name = None;
        Ok(())
    }
}

impl Drop for Temp<'_> {
    fn drop(&mut self) {
        if let Some(name) = self.name.take() {
            // Nothing can be done if this fails; the name tells the next start what to clear.
            let _ = rustix::fs::unlinkat(self.dir, name, AtFlags::empty());
        }
    }
}

const SUFFIX_DIGITS: usize = 16;

/// `.NAME.privatelinkd-0123456789abcdef.tmp`, with a long name cut so that the whole stays a valid file name.
fn temp_name(target: &OsStr, random: u64) -> OsString {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    let mut name = temp_prefix(target.as_bytes());
    name.extend_from_slice(format!("{random:016x}.tmp").as_bytes());
    OsString::from_vec(name)
}

fn temp_prefix(target: &[u8]) -> Vec<u8> {
    let kept = &target[..target.len().min(200)];
    [b".", kept, b".privatelinkd-"].concat()
}

/// True for names that [`temp_name`] makes for `target`.
pub(crate) fn is_temp_of(candidate: &OsStr, target: &OsStr) -> bool {
    use std::os::unix::ffi::OsStrExt as _;
    let rest = candidate.as_bytes().strip_prefix(temp_prefix(target.as_bytes()).as_slice());
    let digits = rest.and_then(|r| r.strip_suffix(b".tmp"));
    digits.is_some_and(|d| d.len() == SUFFIX_DIGITS && d.iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_write_replaces_content_and_mode_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        for (bytes, mode, durability) in [(&b"one"[..], 0o644, Durability::Volatile), (b"", 0o600, Durability::Synced)]
        {
            write(&path, bytes, mode, durability).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, mode);
        }
        assert_eq!(names(dir.path()), ["state.json"]);
    }

    #[test]
    fn what_is_created_takes_nothings_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        create(&path, b"one", 0o640, None).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path().join("nowhere"), &link).unwrap();
        for taken in [&path, &link] {
            let e = create(taken, b"two", 0o640, None).unwrap_err();
            assert_eq!(e.kind(), io::ErrorKind::AlreadyExists);
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        assert_eq!(names(dir.path()), ["config.toml", "link"]);
        assert!(create(&dir.path().join("no/config.toml"), b"", 0o640, None).is_err());
    }

    #[test]
    fn a_symlink_is_replaced_and_its_target_untouched() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        std::fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        write(&link, b"new", 0o644, Durability::Volatile).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"precious");
        assert!(!std::fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn a_failed_write_leaves_no_temporary_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("taken");
        std::fs::create_dir(&path).unwrap();
        assert!(write(&path, b"x", 0o644, Durability::Volatile).is_err());
        assert_eq!(names(dir.path()), ["taken"]);
        assert!(write(Path::new("/"), b"x", 0o644, Durability::Volatile).is_err());
    }

    #[test]
    fn only_our_own_leftovers_are_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts");
        let ours = temp_name(OsStr::new("hosts"), 7);
        let foreign = [".hosts.swp", ".hosts.privatelinkd-1.tmp", ".hosts.privatelinkd-zzzzzzzzzzzzzzzz.tmp", "hosts"];
        for name in foreign {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        std::fs::write(dir.path().join(&ours), "").unwrap();
        let other = temp_name(OsStr::new("hosts2"), 7);
        std::fs::write(dir.path().join(&other), "").unwrap();
        assert_eq!(remove_leftovers(&path).unwrap(), 1);
        assert!(!dir.path().join(&ours).exists());
        assert!(dir.path().join(&other).exists());
        assert!(foreign.iter().all(|n| dir.path().join(n).exists()));
    }

    #[test]
    fn a_new_file_never_replaces_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts");
        let (handle, name) = open_parent(&path).unwrap();
        Temp::create(&handle, name).unwrap().rename_new(name).unwrap();
        let e = Temp::create(&handle, name).unwrap().rename_new(name).unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(names(dir.path()), ["hosts"]);
    }
}
