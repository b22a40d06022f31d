//! The order of `hosts remove`: a file of root's that keeps our block out of the hosts file, over restarts and reboots,
//! until `hosts apply` takes it away. That it is there is all that it says.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::model::{Wall, taken_out};
use crate::sys::{atomic_file, trusted_file};

/// For who looks into the folder.
const TEXT: &str = "While this file is here, privatelinkd keeps its block out of the hosts file.\n\
                    `privatelinkd hosts apply` deletes it and writes the block.\n";

/// Where the order stands.
#[must_use]
pub fn path(admin_dir: &Path) -> PathBuf {
    admin_dir.join("hosts.removed")
}

/// Since when the block is to be kept out, if it is. Blocks.
///
/// # Errors
/// Why what is there is not followed, in a sentence.
pub fn since(admin_dir: &Path) -> Result<Option<Wall>, String> {
    trusted_file::since(&path(admin_dir))
}

/// What is to be said beside an answer about the block: that root keeps it out, or that this can't be told; `None` if
/// there is nothing to say. Blocks.
#[must_use]
pub fn in_words(admin_dir: &Path) -> Option<String> {
    since(admin_dir).map_or_else(Some, |since| since.map(taken_out))
}

/// Gives the order, unless it stands already; makes the folder if it is missing. Gives since when it stands. Blocks.
///
/// # Errors
/// What the system said; `InvalidData` if it would not be followed.
pub fn order(admin_dir: &Path) -> io::Result<Wall> {
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(admin_dir)?;
    match atomic_file::create(&path(admin_dir), TEXT.as_bytes(), 0o644, None) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    let stands = since(admin_dir).map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))?;
    stands.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}

/// Takes the order back, whoever gave it. Gives whether there was one. Blocks.
///
/// # Errors
/// What the system said.
pub fn take_back(admin_dir: &Path) -> io::Result<bool> {
    match std::fs::remove_file(path(admin_dir)) {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
        done => done.map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn an_order_stands_until_it_is_taken_back_and_keeps_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let admin = dir.path().join("admin");
        assert_eq!((since(&admin), take_back(&admin).unwrap()), (Ok(None), false));
        let first = order(&admin).unwrap();
        let long_ago = std::fs::File::options().write(true).open(path(&admin)).unwrap();
        long_ago.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_millis(1500)).unwrap();
        assert_eq!((order(&admin).unwrap(), first > Wall(1500)), (Wall(1500), true));
        assert_eq!((take_back(&admin).unwrap(), since(&admin)), (true, Ok(None)));
        // Where others may write, nothing is followed, and who gives the order hears of it.
        std::fs::set_permissions(&admin, std::fs::Permissions::from_mode(0o777)).unwrap();
        let why = order(&admin).unwrap_err().to_string();
        assert!(why.contains("found mode 0777"), "{why}");
    }
}
