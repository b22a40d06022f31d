//! The folders that two processes work in, from a configuration that may be wrong.

use std::path::{Path, PathBuf};

use super::loader::read_texts;
use super::owners::Owners;
use super::sources::Sources;
use super::{keys, merge, raw};

/// The folders that two processes work in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    /// `[host].state_dir`
    pub state_dir: PathBuf,
    /// `[host].run_dir`
    pub run_dir: PathBuf,
    /// `[hosts].run_dir`
    pub hosts_run_dir: PathBuf,
    /// `[hosts].state_dir`
    pub hosts_state_dir: PathBuf,
}

/// The folders, however wrong the rest of the configuration is: what runs on an older one is found there. Blocks; opens
/// no secret.
#[must_use]
pub fn folders(path: &Path) -> Folders {
    let (texts, _) = read_texts(path, &mut Sources::default(), Owners::Anybody);
    let tree = merge::merge(texts.iter().enumerate().map(|(file, text)| raw::parse(file, &text.text).root));
    let folder = |section: &str, name: &str| {
        let written = || Some(PathBuf::from(tree.get(section)?.node.table()?.get(name)?.node.text()?));
        let key = keys::join(section, name);
        let default = || keys::find(&key)?.default.and_then(raw::parse_value)?.text().map(PathBuf::from);
        written().filter(|dir| dir.is_absolute()).or_else(default).unwrap_or_default()
    };
    Folders {
        state_dir: folder("host", "state_dir"),
        run_dir: folder("host", "run_dir"),
        hosts_run_dir: folder("hosts", "run_dir"),
        hosts_state_dir: folder("hosts", "state_dir"),
    }
}
