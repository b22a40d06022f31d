//! The configuration that was accepted last, kept in the agent's state folder for a start at which the present one
//! fails (B13). Secrets are not in it: it names the files that hold them. It serves the machine that kept it, and no
//! other one that an image took it to (B12).

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::complaint::{Complaint, Complaints, Severity};
use super::facts::Environment;
use super::loader::{self, Loaded};
use super::redacted_config::RedactedConfig;
use super::source_text::{SourceText, Texts, plain_path};
use super::sources::Sources;
use crate::model::{Identity, Wall};
use crate::sys::atomic_file::{self, Durability};
use crate::sys::regular_file;

/// The format that this version writes and reads.
const FORMAT: u32 = 1;
/// Largest file that is written and read, in bytes.
const LARGEST: u64 = 4 << 20;

/// `config.json`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    format: u32,
    identity: Identity,
    saved: Wall,
    /// What lost a value, because it stood in the configuration itself and may be secret.
    left_out: BTreeSet<String>,
    /// All files as one, as TOML.
    config: String,
}

/// What every version's file has.
#[derive(Deserialize)]
struct Versioned {
    format: u32,
}

/// A configuration that was kept.
#[derive(Debug, Clone)]
pub struct LastGoodConfig {
    /// The configuration. Its sources are the secrets alone, so that they never report another change.
    pub loaded: Loaded,
    /// Where it was kept.
    pub path: PathBuf,
    /// When it was accepted.
    pub saved: Wall,
    /// What it has to do without, in words: `endpoint orders: no probe, because …`.
    pub without: Vec<String>,
}

/// Where it is.
fn path_in(state_dir: &Path) -> PathBuf {
    state_dir.join("config.json")
}

/// Keeps a configuration that was accepted, without the secrets in it, for `here` alone. Makes the folder (0750) if it
/// is missing. Blocks.
///
/// # Errors
/// What the file system says; `InvalidData` for a configuration of more than 4 MiB. Then the one before it is still
/// kept.
pub fn keep(state_dir: &Path, kept: RedactedConfig, here: Identity, saved: Wall) -> io::Result<()> {
    let path = path_in(state_dir);
    let RedactedConfig { toml, left_out } = kept;
    let saved = Saved { format: FORMAT, identity: here, saved, left_out, config: toml };
    let json = serde_json::to_vec(&saved).map_err(io::Error::other)?;
    let told = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
    if json.len() as u64 > LARGEST {
        let large = format!("expected a configuration of at most {LARGEST} bytes, found {}", json.len());
        return Err(told(io::Error::new(io::ErrorKind::InvalidData, large)));
    }
    let write = || atomic_file::write(&path, &json, 0o600, Durability::Synced);
    let made = || std::fs::DirBuilder::new().recursive(true).mode(0o750).create(state_dir);
    match write() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => made().and_then(|()| write()),
        other => other,
    }
    .map_err(told)
}

/// The configuration that was kept, judged by the rules of this version; `None` if there is none. `here` is what this
/// machine is known by. A probe that can't be set up any more, because a file that it names is missing or refused or
/// because a value was not kept, costs its endpoint the probe and no more. A slip, which rules of before may not have
/// known, is a warning (`CheckContext::slip`). Blocks.
///
/// # Errors
/// Why it can't be used, by place and never by content. A file that is not of this version is put aside as
/// `config.json.unusable`.
pub fn recall(state_dir: &Path, environment: &Environment, here: &Identity) -> Result<Option<LastGoodConfig>, String> {
    let path = path_in(state_dir);
    let shown = plain_path(&path);
    let bytes = match regular_file::read(&path, LARGEST) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|e| format!("{shown}: {e}"))?,
    };
    let Saved { format: _, identity, saved, left_out, config } =
        parse(&bytes).map_err(|why| format!("{shown}: {why}; {}", put_aside(&path)))?;
    if let Some(part) = here.mismatch(&identity) {
        return Err(format!("{shown}: expected a configuration of this machine, found another one's ({part} differs)"));
    }
    let texts = Texts::new(vec![SourceText::new(shown.clone(), config)], left_out.clone());
    let judged = loader::judge(texts, environment, Sources::default(), true);
    let (loaded, without) = judged.map_err(|complaints| format!("{shown}: {}", places(&complaints)))?;
    // What rules of this version leave out is missing, too.
    let left_out = left_out.into_iter().chain(loaded.kept.left_out).collect();
    let kept = RedactedConfig { left_out, toml: loaded.kept.toml };
    let loaded = Loaded { kept, sources: loaded.sources.secrets_only(), ..loaded };
    Ok(Some(LastGoodConfig { loaded, path, saved, without }))
}

/// The text of serde's error may quote the content; its place does not.
fn parse(bytes: &[u8]) -> Result<Saved, String> {
    let place = |e: serde_json::Error| {
        format!("expected JSON of format {FORMAT}, found something else at {}:{}", e.line(), e.column())
    };
    let Versioned { format } = serde_json::from_slice(bytes).map_err(place)?;
    if format != FORMAT {
        return Err(format!("expected format {FORMAT}, found {format}"));
    }
    serde_json::from_slice(bytes).map_err(place)
}

fn put_aside(path: &Path) -> String {
    let aside = path.with_extension("json.unusable");
    match std::fs::rename(path, &aside) {
        Ok(()) => format!("kept as {}", plain_path(&aside)),
        Err(e) => format!("left there: {e}"),
    }
}

/// Which keys the rules refuse, and on which lines of the kept text.
fn places(complaints: &Complaints) -> String {
    const SHOWN: usize = 5;
    let place = |Complaint { key, line, .. }: &Complaint| {
        let key = if key.is_empty() { "a table" } else { key };
        line.map_or_else(|| key.to_owned(), |line| format!("{key} on line {line}"))
    };
    let refused = || complaints.complaints.iter().filter(|complaint| complaint.severity == Severity::Error);
    let all = refused().count() + complaints.omitted;
    let mut listed: Vec<_> = refused().take(SHOWN).map(place).collect();
    if all > listed.len() {
        listed.push(format!("{} more", all - listed.len()));
    }
    format!("expected a configuration that holds, found complaints about {}", listed.join(", "))
}
