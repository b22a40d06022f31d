//! Files that count as an order of root's by being there: nobody else may have put them there, or may take them away.

use std::io;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::identity;
use crate::model::Wall;
use crate::model::shown::owner_in_words;

/// Since when a regular file is at `path`, by the time of its last change; `None` if there is none, or no folder for
/// it. The file itself and its folder must belong to root, or to who asks, and nobody else may write to them. Opens no
/// file. Blocks.
///
/// # Errors
/// Why what is there doesn't count, or can't be looked at, in a sentence.
pub fn since(path: &Path) -> Result<Option<Wall>, String> {
    let missing = |errno| matches!(errno, Errno::NOENT | Errno::NOTDIR);
    let said = |errno: Errno| format!("{}: can't be looked at: {}", path.display(), io::Error::from(errno));
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Err(said(Errno::INVAL)) };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = match rustix::fs::open(folder, flags, Mode::empty()) {
        Err(errno) if missing(errno) => return Ok(None),
        dir => dir.map_err(said)?,
    };
    let facts = match rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(errno) if missing(errno) => return Ok(None),
        facts => facts.map_err(said)?,
    };
    let regular = FileType::from_raw_mode(facts.st_mode) == FileType::RegularFile;
    let found = if regular { unfit(&facts) } else { Some("expected a regular file".to_owned()) };
    let of_folder = rustix::fs::fstat(&dir).map_err(said).map(|facts| unfit(&facts))?;
    match found.map(|what| (path, what)).or(of_folder.map(|what| (folder, what))) {
        Some((at, what)) => Err(format!("{}: {what}: it is not followed", at.display())),
        None => {
            let at = i128::from(facts.st_mtime) * 1000 + i128::from(facts.st_mtime_nsec) / 1_000_000;
            Ok(Some(Wall(u64::try_from(at).unwrap_or(0))))
        }
    }
}

/// Why it doesn't count, if so. An ACL that lets others write shows in the group's bits of the mode (acl(5)).
fn unfit(facts: &Stat) -> Option<String> {
    const OTHERS_WRITE: u32 = 0o022;
    let (owner, mode) = (facts.st_uid, facts.st_mode & 0o7777);
    if owner != 0 && owner != identity::effective_uid() {
        return Some(format!("expected the owner root, found {}", owner_in_words(owner)));
    }
    (mode & OTHERS_WRITE != 0).then(|| format!("expected that only its owner can write, found mode {mode:04o}"))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_what_nobody_else_could_have_put_there_counts() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, path) = (dir.path().join("admin"), dir.path().join("admin/order"));
        assert_eq!(since(&path), Ok(None), "no folder");
        std::fs::create_dir(&folder).unwrap();
        assert_eq!(since(&path), Ok(None));
        let mode = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        mode(&folder, 0o755);
        std::fs::write(&path, "").unwrap();
        mode(&path, 0o644);
        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        let modified = modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        assert_eq!(since(&path), Ok(Some(Wall(u64::try_from(modified).unwrap()))));
        for (at, loose) in [(&path, 0o664), (&path, 0o646), (&folder, 0o775), (&folder, 0o1777)] {
            let before = std::fs::metadata(at).unwrap().permissions();
            mode(at, loose);
            let said = since(&path).unwrap_err();
            assert!(said.starts_with(&format!("{}: ", at.display())), "{said}");
            assert!(said.ends_with(&format!("found mode {loose:04o}: it is not followed")), "{said}");
            std::fs::set_permissions(at, before).unwrap();
        }
        if identity::effective_uid() == 0 {
            std::os::unix::fs::chown(&path, Some(12_345), None).unwrap();
            let said = since(&path).unwrap_err();
            assert!(said.contains("expected the owner root, found 12345"), "{said}");
        }
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        assert!(since(&path).unwrap_err().contains("expected a regular file"));
    }
}
