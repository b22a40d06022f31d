//! Whose files a privileged process obeys.
//!
//! The hosts writer takes its policy from the configuration, so who can write that can write the hosts file. A folder
//! counts as much as the files in it: who can write it can put another file in their place.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::complaint::Complaint;
use super::document::plain;

/// Bits of a mode that let the group or others write.
const OTHERS_WRITE: u32 = 0o022;

/// Who may own and write what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owners {
    /// It is not asked.
    Anybody,
    /// Root, or this user.
    RootOr(u32),
}

impl Owners {
    /// What is wrong with an opened file.
    pub(super) fn of_file(self, path: &Path, status: &Metadata) -> Option<Complaint> {
        self.judge(path, status, "file")
    }

    /// What is wrong with the folders that the files lie in, those of the real file included where the path is a
    /// symbolic link. A folder that is not there is nobody's.
    pub(super) fn of_folders(self, main: &Path) -> Vec<Complaint> {
        if self == Self::Anybody {
            return Vec::new();
        }
        let parent = |path: &Path| match path.parent() {
            Some(folder) if folder != Path::new("") => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let mut folders = vec![parent(main), parent(main).join("conf.d")];
        folders.extend(std::fs::canonicalize(main).ok().map(|real| parent(&real)));
        let mut complaints: Vec<Complaint> = Vec::new();
        let mut judged = std::collections::BTreeSet::new();
        for folder in folders {
            let Ok(status) = std::fs::metadata(&folder) else { continue };
            if judged.insert((status.dev(), status.ino())) {
                complaints.extend(self.judge(&folder, &status, "folder"));
            }
        }
        complaints
    }

    fn judge(self, path: &Path, status: &Metadata, what: &str) -> Option<Complaint> {
        let Self::RootOr(uid) = self else { return None };
        let (owner, mode) = (status.uid(), status.mode() & 0o7777);
        let (found, help) = if owner != 0 && owner != uid {
            (format!("owner {owner}"), "chown root")
        } else if mode & OTHERS_WRITE != 0 {
            (format!("mode {mode:04o}"), "chmod go-w")
        } else {
            return None;
        };
        let expected = format!("a {what} that only root can write, since the hosts writer obeys it");
        Some(Complaint::of_file(plain(&path.to_string_lossy()), &expected, found, Some(help.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use crate::config::{Environment, load, load_writer};
    use crate::sys::identity::effective_uid;

    #[test]
    fn only_what_nobody_else_can_write_is_obeyed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let main = at("config.toml");
        std::fs::create_dir(at("conf.d")).unwrap();
        std::fs::create_dir(at("real")).unwrap();
        for file in ["config.toml", "conf.d/10.toml", "real/config.toml"] {
            std::fs::write(at(file), "").unwrap();
        }
        symlink(at("real/config.toml"), at("link.toml")).unwrap();
        let complaint = |path: &std::path::Path| {
            let complaints = load_writer(path, &Environment::default()).map(|_| ()).unwrap_err();
            complaints.to_string()
        };
        let set = |name: &str, mode: u32| std::fs::set_permissions(at(name), Permissions::from_mode(mode)).unwrap();
        ["config.toml", "conf.d/10.toml", "real/config.toml"].iter().for_each(|file| set(file, 0o640));
        ["", "conf.d", "real"].iter().for_each(|folder| set(folder, 0o755));
        for path in [&main, &at("link.toml")] {
            load_writer(path, &Environment::default()).unwrap();
        }
        for (name, bad, good, asked) in [
            ("config.toml", 0o660, 0o640, "config.toml"),
            ("conf.d/10.toml", 0o646, 0o644, "config.toml"),
            ("", 0o775, 0o755, "config.toml"),
            ("conf.d", 0o777, 0o755, "config.toml"),
            ("real", 0o775, 0o755, "link.toml"),
        ] {
            set(name, bad);
            let said = complaint(&at(asked));
            assert!(said.contains(&format!("mode {bad:04o}")) && said.contains("chmod go-w"), "{name}: {said}");
            load(&at(asked), &Environment::default()).unwrap();
            set(name, good);
        }
        if effective_uid() != 0 {
            println!("skipped: the owner's part of this test: only root can give a file away");
            return;
        }
        chown(&main, Some(12_345), None).unwrap();
        assert!(complaint(&main).contains("owner 12345"));
    }
}
