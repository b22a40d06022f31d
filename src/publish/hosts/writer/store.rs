//! What the writer keeps for itself: its last known good, and the file as it was before our first block.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::HostName;
use crate::publish::hosts::block::{self, Block, Entry};
use crate::publish::hosts::file::{self, FileError};
use crate::publish::hosts::policy::{HostsPolicy, MAX_ADDRESSES};
use crate::sys::atomic_file::{self, Durability};

/// The format of `block.json` that this version writes and reads.
const FORMAT: u32 = 1;
/// Largest `block.json` that is read, in bytes.
const MAX_STATE: u64 = 1024 * 1024;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    format: u32,
    entries: BTreeMap<HostName, Entry>,
}

/// What was found on disk.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Loaded {
    /// The last known good.
    Block(Block),
    /// Nothing.
    Nothing,
    /// Something that this version can't use, and why; it was put aside as `block.json.unusable`.
    Unusable(String),
}

fn state_path(state_dir: &Path) -> PathBuf {
    state_dir.join("block.json")
}

/// Makes the writer's folders where they are missing: normally tmpfiles.d did.
pub(crate) fn prepare(policy: &HostsPolicy) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    for (dir, mode) in [(&policy.run_dir, 0o755), (&policy.state_dir, 0o700)] {
        std::fs::DirBuilder::new().recursive(true).mode(mode).create(dir)?;
    }
    Ok(())
}

/// Clears what a killed writer left beside its own files. Only for the one writer that runs.
pub(crate) fn clear_leftovers(policy: &HostsPolicy) -> io::Result<()> {
    for path in [state_path(&policy.state_dir), crate::publish::hosts::handover::receipt_path(&policy.run_dir)] {
        atomic_file::remove_leftovers(&path)?;
    }
    Ok(())
}

/// Reads the last known good.
pub(crate) fn load(state_dir: &Path) -> Loaded {
    let path = state_path(state_dir);
    let unusable = match read(&path) {
        Ok(None) => return Loaded::Nothing,
        Ok(Some(bytes)) => match parse(&bytes) {
            Ok(block) => return Loaded::Block(block),
            Err(detail) => detail,
        },
        Err(e) => e.to_string(),
    };
    // If even that fails, the next save replaces the file: the block in the hosts file is the last known good then.
    let _ = std::fs::rename(&path, path.with_extension("json.unusable"));
    Loaded::Unusable(format!("{}: {unusable}", path.display()))
}

/// Reads the last known good if it can be used, and changes nothing.
pub(crate) fn peek(state_dir: &Path) -> Option<Block> {
    parse(&read(&state_path(state_dir)).ok()??).ok()
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match std::fs::File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_STATE + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Reads the bytes of the last known good.
///
/// # Errors
/// Why it can't be used.
pub fn parse(bytes: &[u8]) -> Result<Block, String> {
    #[derive(Deserialize)]
    struct Versioned {
        format: u32,
    }
    if bytes.len() as u64 > MAX_STATE {
        return Err(format!("expected at most {MAX_STATE} bytes, found more"));
    }
    let Versioned { format } = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    if format != FORMAT {
        return Err(format!("expected format {FORMAT}, found {format}"));
    }
    let Saved { entries, .. } = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    match entries.iter().find(|(_, e)| !(1..=MAX_ADDRESSES).contains(&e.addresses.len())) {
        Some((name, e)) => Err(format!("{name}: expected 1 to {MAX_ADDRESSES} addresses, found {}", e.addresses.len())),
        None => Ok(Block { entries }),
    }
}

/// Keeps the last known good (0600, synced).
pub(crate) fn save(state_dir: &Path, block: &Block) -> io::Result<()> {
    let bytes = serde_json::to_vec(&Saved { format: FORMAT, entries: block.entries.clone() })?;
    atomic_file::write(&state_path(state_dir), &bytes, 0o600, Durability::Synced)
}

/// Copies the hosts file, without any block of ours, to `hosts.orig` (0600), once: never over an earlier copy. A file
/// that is not there has no original.
pub(crate) fn keep_original(policy: &HostsPolicy) -> Result<(), FileError> {
    let orig = policy.state_dir.join("hosts.orig");
    if std::fs::symlink_metadata(&orig).is_ok() {
        return Ok(());
    }
    let Some(bytes) = file::read(&policy.path)? else { return Ok(()) };
    atomic_file::write(&orig, &block::strip(&bytes, None), 0o600, Durability::Synced)
        .map_err(FileError::io("keep the original of the hosts file as", &orig))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::AnswerReason;

    fn block() -> Block {
        let entry = Entry { addresses: vec!["10.0.0.1".parse().unwrap()], reason: AnswerReason::Healthy };
        Block { entries: [("a.x".parse().unwrap(), entry)].into() }
    }

    #[test]
    fn the_last_known_good_survives() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(load(dir.path()), Loaded::Nothing);
        save(dir.path(), &block()).unwrap();
        assert_eq!(load(dir.path()), Loaded::Block(block()));
    }

    #[test]
    fn what_is_not_understood_is_kept_aside() {
        for (bad, why) in [
            (r#"{"format":9,"future":[]}"#, "expected format 1, found 9"),
            (r#"{"format":1,"entries":{"a.x":{"addresses":[],"reason":"healthy"}}}"#, "expected 1 to 64 addresses"),
            (r#"{"format":1,"entries":{},"more":1}"#, "unknown field"),
            ("{", "EOF"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("block.json"), bad).unwrap();
            assert!(matches!(load(dir.path()), Loaded::Unusable(e) if e.contains(why)), "{bad}");
            assert_eq!(std::fs::read_to_string(dir.path().join("block.json.unusable")).unwrap(), bad);
            assert_eq!(load(dir.path()), Loaded::Nothing);
        }
    }
}
