//! Does cloud-init make the hosts file anew at each boot? What it would write then is its template's.

use std::path::{Path, PathBuf};

use crate::sys::regular_file;

/// The file that it makes.
const HOSTS: &str = "/etc/hosts";
/// Where its configuration is.
const FOLDER: &str = "/etc/cloud";
/// Largest file of that which is read, in bytes.
const LARGEST: u64 = 256 * 1024;

/// The file that says so, if this hosts file is the one that it makes, and one says so. Blocks.
pub(super) fn makes(hosts: &Path) -> Option<PathBuf> {
    (hosts == Path::new(HOSTS)).then(|| says_so(Path::new(FOLDER))).flatten()
}

/// Of several files the last one counts that says anything.
fn says_so(folder: &Path) -> Option<PathBuf> {
    let drop_ins = std::fs::read_dir(folder.join("cloud.cfg.d")).into_iter().flatten().flatten();
    let mut drop_ins: Vec<_> =
        drop_ins.map(|entry| entry.path()).filter(|p| p.extension().is_some_and(|e| e == "cfg")).collect();
    drop_ins.sort_unstable();
    let said = |path: PathBuf| {
        let makes = setting(&String::from_utf8_lossy(&regular_file::read(&path, LARGEST).ok()?))?;
        Some((path, makes))
    };
    let mut all = [folder.join("cloud.cfg")].into_iter().chain(drop_ins).filter_map(said);
    all.next_back().filter(|(_, makes)| *makes).map(|(path, _)| path)
}

/// What the text of one file says of it. `localhost` has cloud-init look after one line, not after the file.
fn setting(text: &str) -> Option<bool> {
    let mut values = text.lines().filter_map(|line| line.strip_prefix("manage_etc_hosts:"));
    let value = values.next_back()?.split('#').next().unwrap_or_default();
    let value = value.trim().trim_matches(|c| c == '"' || c == '\'').to_ascii_lowercase();
    Some(matches!(value.as_str(), "true" | "yes" | "on" | "template"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_file_that_says_anything_counts() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        assert_eq!(says_so(dir.path()), None);
        put("cloud.cfg", "users: []\nmanage_etc_hosts: True # as ever\n");
        assert_eq!(says_so(dir.path()), Some(dir.path().join("cloud.cfg")));
        std::fs::create_dir(dir.path().join("cloud.cfg.d")).unwrap();
        put("cloud.cfg.d/10.cfg", "preserve_hostname: true\n");
        put("cloud.cfg.d/20.txt", "manage_etc_hosts: true\n");
        assert_eq!(says_so(dir.path()), Some(dir.path().join("cloud.cfg")));
        put("cloud.cfg.d/20.cfg", "manage_etc_hosts: localhost\n");
        assert_eq!(says_so(dir.path()), None);
        put("cloud.cfg.d/30.cfg", "\"x\": 1\nmanage_etc_hosts: 'template'\n");
        assert_eq!(says_so(dir.path()), Some(dir.path().join("cloud.cfg.d/30.cfg")));
        assert_eq!(makes(Path::new("/elsewhere/hosts")), None);
    }

    #[test]
    fn only_a_setting_at_the_top_counts() {
        assert_eq!(setting("  manage_etc_hosts: true\n# manage_etc_hosts: true\n"), None);
        assert_eq!(setting("manage_etc_hosts: false"), Some(false));
        assert_eq!(setting("manage_etc_hosts:"), Some(false));
    }
}
