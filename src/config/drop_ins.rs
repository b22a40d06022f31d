//! Which files beside the main one count.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::facts::reason;

/// Most drop-ins that are read.
const MOST_DROP_INS: usize = 256;

/// The names of the drop-ins in a folder, in lexical order. No folder, no drop-ins.
pub(super) fn drop_ins(folder: &Path) -> Result<Vec<OsString>, String> {
    let entries = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|e| reason(&e))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(|e| reason(&e))?.file_name();
        if is_drop_in(&name) {
            names.push(name);
        }
    }
    names.sort();
    if names.len() > MOST_DROP_INS {
        Err(format!("{} of them, more than {MOST_DROP_INS}", names.len()))
    } else {
        Ok(names)
    }
}

/// Editors, package managers and people leave other files behind.
fn is_drop_in(name: &OsStr) -> bool {
    let name = name.as_bytes();
    // `.rpmnew`, `.rpmsave`, `.dpkg-new`, `~` and the like stand behind the `.toml`.
    name.ends_with(b".toml") && !name.starts_with(b".")
}
