//! What the writer keeps for itself: its last known good, its last good policy, and the hosts file as it was before
//! our first block. All of it blocks.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::core::{LastGood, OwnRecord};
use crate::model::limits::ADDRESSES_A_NAME;
use crate::model::{Answer, HostName, Identity, Wall};
use crate::publish::hosts::adopt;
use crate::publish::hosts::block::{self, Marks, OwnLines};
use crate::publish::hosts::file::{self, FileError};
use crate::publish::hosts::handover;
use crate::publish::hosts::policy::HostsPolicy;
use crate::publish::hosts::untrusted_file::format_of;
use crate::sys::atomic_file::{self, Durability};
use crate::sys::clock::Clock;
use crate::sys::regular_file;

/// The format of `block.json` that this version writes and reads.
const BLOCK_FORMAT: u32 = 1;
/// The format of `policy.json` that this version writes and reads.
const POLICY_FORMAT: u32 = 2;
/// Largest state file that is read, in bytes: more than the names of the largest config and their answers take up.
const MAX_STATE: u64 = 8 * 1024 * 1024;

/// `block.json`
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedBlock {
    format: u32,
    #[serde(default)]
    identity: Identity,
    entries: BTreeMap<HostName, Answer>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    zone_names: BTreeSet<HostName>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    changed: BTreeMap<HostName, Wall>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    own: Option<OwnRecord>,
}

/// `policy.json`
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedPolicy {
    format: u32,
    policy: HostsPolicy,
}

/// Where the last known good is.
pub(crate) fn block_path(state_dir: &Path) -> PathBuf {
    state_dir.join("block.json")
}

/// Where the last good policy is.
pub(crate) fn policy_path(state_dir: &Path) -> PathBuf {
    state_dir.join("policy.json")
}

/// Where the hosts file is kept as it was before our first block.
fn original_path(state_dir: &Path) -> PathBuf {
    state_dir.join("hosts.orig")
}

/// Where it is noted that there was no hosts file before our first block.
fn made_path(state_dir: &Path) -> PathBuf {
    state_dir.join("hosts.made")
}

/// Makes the writer's folders where they are missing: normally tmpfiles.d did, but `/run` may be emptied at any time.
///
/// # Errors
/// The first that can't be made, by name; the other is made all the same.
pub(crate) fn prepare(policy: &HostsPolicy) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let make = |dir: &Path, mode| {
        let made = std::fs::DirBuilder::new().recursive(true).mode(mode).create(dir);
        made.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", dir.display())))
    };
    let (run, state) = (make(&policy.run_dir, 0o755), make(&policy.state_dir, 0o700));
    run.and(state)
}

/// Clears what a killed writer left beside its own files. Only for the one writer that runs.
pub(crate) fn clear_leftovers(policy: &HostsPolicy) -> io::Result<()> {
    let state = &policy.state_dir;
    let orig = original_path(state);
    for path in [block_path(state), policy_path(state), orig, handover::receipt_path(&policy.run_dir)] {
        atomic_file::remove_leftovers(&path)?;
    }
    Ok(())
}

/// Keeps a file that can't be used aside, under its name with `.unusable` behind it. If even that fails, the next save
/// replaces it.
pub(crate) fn put_aside(path: &Path) {
    let _ = std::fs::rename(path, path.with_extension("json.unusable"));
}

/// Reads the last known good; `None` if there is none.
///
/// # Errors
/// Why this version can't use what is there.
pub(crate) fn load_block(state_dir: &Path) -> Result<Option<LastGood>, String> {
    load(&block_path(state_dir), parse_block)
}

/// The lines that some writer of ours, a command perhaps, has kept as its own of this file, if it kept anything within
/// this time: what was kept before says nothing of lines that stand alone by now.
pub(crate) fn own_lines(policy: &HostsPolicy, within: Option<Duration>) -> Option<OwnLines> {
    let path = block_path(&policy.state_dir);
    let age = || Clock::System.since(std::fs::metadata(&path).ok()?.modified().ok()?);
    if within.is_some_and(|within| age().is_none_or(|age| age >= within)) {
        return None;
    }
    let own = load_block(&policy.state_dir).ok().flatten()?.own?;
    (own.path == policy.path).then_some(own.lines)
}

/// Reads the last good policy; `None` if there is none.
///
/// # Errors
/// Why this version can't use what is there.
pub(crate) fn load_policy(state_dir: &Path) -> Result<Option<HostsPolicy>, String> {
    load(&policy_path(state_dir), parse_policy)
}

fn load<T>(path: &Path, parse: impl FnOnce(&[u8]) -> Result<T, String>) -> Result<Option<T>, String> {
    let bytes = match regular_file::read(path, MAX_STATE) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|e| e.to_string()),
    };
    bytes.and_then(|bytes| parse(&bytes)).map(Some).map_err(|why| format!("{}: {why}", path.display()))
}

/// Reads the bytes of the last known good.
///
/// # Errors
/// Why it can't be used.
pub fn parse_block(bytes: &[u8]) -> Result<LastGood, String> {
    let SavedBlock { format: _, identity, entries: answers, zone_names, changed, own } = parse(bytes, BLOCK_FORMAT)?;
    let count = |a: &Answer| a.addresses.len() + a.standby.len();
    let bad = answers.iter().find(|(_, a)| a.addresses.is_empty() || count(a) > ADDRESSES_A_NAME);
    if let Some((name, a)) = bad {
        let (found, standby) = (a.addresses.len(), a.standby.len());
        let expected = format!("expected 1 to {ADDRESSES_A_NAME} addresses");
        return Err(format!("{name}: {expected}, found {found} and {standby} for standby"));
    }
    Ok(LastGood { identity, answers, marks: Marks { zone_names, changed }, own })
}

/// Reads the bytes of the last good policy.
///
/// # Errors
/// Why it can't be used.
pub fn parse_policy(bytes: &[u8]) -> Result<HostsPolicy, String> {
    parse(bytes, POLICY_FORMAT).map(|SavedPolicy { format: _, policy }| policy)
}

/// Looks at the format first, so that a newer version's file is called that.
fn parse<T: DeserializeOwned>(bytes: &[u8], expected: u32) -> Result<T, String> {
    let format = format_of(bytes).map_err(|e| e.to_string())?;
    if format != expected {
        return Err(format!("expected format {expected}, found {format}"));
    }
    serde_json::from_slice(bytes).map_err(|e| e.to_string())
}

/// Keeps the last known good (0600, synced).
pub(crate) fn save_block(state_dir: &Path, kept: &LastGood) -> io::Result<()> {
    let LastGood { identity, answers: entries, marks: Marks { zone_names, changed }, own } = kept.clone();
    save(&block_path(state_dir), &SavedBlock { format: BLOCK_FORMAT, identity, entries, zone_names, changed, own })
}

/// Keeps the last good policy (0600, synced) in the state folder that it names.
pub(crate) fn save_policy(policy: &HostsPolicy) -> io::Result<()> {
    save(&policy_path(&policy.state_dir), &SavedPolicy { format: POLICY_FORMAT, policy: policy.clone() })
}

fn save(path: &Path, value: &impl Serialize) -> io::Result<()> {
    atomic_file::write(path, &serde_json::to_vec(value)?, 0o600, Durability::Synced)
}

/// Copies the hosts file, without any block of ours and with what was taken out of other lines, to `hosts.orig` (0600),
/// once: never over an earlier copy. A file that is not there has no original.
pub(crate) fn keep_original(policy: &HostsPolicy) -> Result<(), FileError> {
    let orig = original_path(&policy.state_dir);
    if std::fs::symlink_metadata(&orig).is_ok() {
        return Ok(());
    }
    let Some(bytes) = file::read(&policy.path)? else { return Ok(()) };
    // Where nobody can tell what is ours, all of it counts as theirs.
    let theirs = block::strip(&bytes, None).unwrap_or(Cow::Borrowed(&bytes));
    match atomic_file::create(&orig, &adopt::unadopt(&theirs).file, 0o600, None) {
        // Another writer of ours was faster.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        kept => kept.map_err(FileError::io("keep the original of the hosts file as", &orig)),
    }
}

/// Notes that we made the hosts file, where there was none.
pub(crate) fn note_made(policy: &HostsPolicy) -> io::Result<()> {
    let path = policy.path.as_os_str().as_encoded_bytes();
    atomic_file::write(&made_path(&policy.state_dir), path, 0o600, Durability::Synced)
}

/// Whether we made it.
pub(crate) fn is_made(policy: &HostsPolicy) -> bool {
    let noted = regular_file::read(&made_path(&policy.state_dir), MAX_STATE);
    noted.is_ok_and(|path| path == policy.path.as_os_str().as_encoded_bytes())
}

/// Forgets that we made it: it is gone, or holds something of somebody else's.
pub(crate) fn forget_made(policy: &HostsPolicy) {
    let _ = std::fs::remove_file(made_path(&policy.state_dir));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::OwnDomains;
    use crate::model::AnswerReason;
    use crate::publish::admission::AdmissionRules;
    use crate::publish::hosts::block::OwnLines;
    use crate::publish::hosts::policy::Folders;

    fn kept() -> LastGood {
        let answer = Answer {
            addresses: vec!["10.0.0.1".parse().unwrap()],
            standby: vec!["10.0.0.2".parse().unwrap()],
            reason: AnswerReason::Healthy,
        };
        let identity = Identity { machine_id: Some("m".into()), ..Identity::default() };
        let name: HostName = "a.x".parse().unwrap();
        let marks = Marks { zone_names: [name.clone()].into(), changed: [(name.clone(), Wall(7))].into() };
        let file = b"# BEGIN privatelinkd\n10.0.0.1 a.x\n# END privatelinkd\n";
        let Some(block) = block::salvage(file) else { panic!("there is a block") };
        let own = Some(OwnRecord { path: "/etc/hosts".into(), lines: OwnLines::of(&block, file) });
        LastGood { identity, answers: [(name, answer)].into(), marks, own }
    }

    #[test]
    fn the_last_known_good_survives() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(load_block(dir.path()), Ok(None));
        save_block(dir.path(), &kept()).unwrap();
        assert_eq!(load_block(dir.path()), Ok(Some(kept())));
    }

    #[test]
    fn the_original_is_kept_once_for_its_owner_alone_and_through_no_link() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let folders =
            Folders { agent_run_dir: at("ra"), run_dir: at("rw"), state_dir: dir.path().into(), admin_dir: at("ad") };
        let policy = HostsPolicy { path: at("hosts"), ..HostsPolicy::idle(folders) };
        keep_original(&policy).unwrap();
        assert!(!at("hosts.orig").exists(), "a file that is not there has no original");
        std::fs::write(at("hosts"), "a\n# BEGIN privatelinkd\n10.0.0.1 a.x\n# END privatelinkd\nb").unwrap();
        std::os::unix::fs::symlink(at("elsewhere"), at("hosts.orig")).unwrap();
        keep_original(&policy).unwrap();
        assert!(!at("elsewhere").exists());
        std::fs::remove_file(at("hosts.orig")).unwrap();
        keep_original(&policy).unwrap();
        std::fs::write(at("hosts"), "later\n").unwrap();
        keep_original(&policy).unwrap();
        assert_eq!(std::fs::read(at("hosts.orig")).unwrap(), b"a\nb");
        assert_eq!(std::fs::metadata(at("hosts.orig")).unwrap().permissions().mode() & 0o7777, 0o600);
    }

    #[test]
    fn the_last_good_policy_survives() {
        let dir = tempfile::tempdir().unwrap();
        let folders = Folders {
            agent_run_dir: "/ra".into(),
            run_dir: "/rw".into(),
            state_dir: dir.path().into(),
            admin_dir: "/ad".into(),
        };
        let policy = HostsPolicy {
            publish: true,
            rules: AdmissionRules {
                names: ["a.x".parse().unwrap()].into(),
                own_domains: [("ep-1".parse().unwrap(), OwnDomains::default())].into(),
                allowed_ranges: vec!["10.0.0.0/8".parse().unwrap(), "fc00::/7".parse().unwrap()],
                ..AdmissionRules::default()
            },
            ..HostsPolicy::idle(folders)
        };
        assert_eq!(load_policy(dir.path()), Ok(None));
        save_policy(&policy).unwrap();
        assert_eq!(load_policy(dir.path()), Ok(Some(policy)));
    }

    #[test]
    fn a_last_known_good_from_before_there_was_an_identity_is_read() {
        let old = r#"{"format":1,"entries":{"a.x":{"addresses":["10.0.0.1"],"reason":"healthy"}}}"#;
        let kept = parse_block(old.as_bytes()).unwrap();
        assert_eq!((kept.answers.len(), kept.identity, kept.marks), (1, Identity::default(), Marks::default()));
    }

    #[test]
    fn what_is_not_understood_says_why() {
        let many = vec!["\"10.0.0.1\""; 33].join(",");
        let many = format!(
            r#"{{"format":1,"entries":{{"a.x":{{"addresses":[{many}],"standby":[{many}],"reason":"healthy"}}}}}}"#
        );
        for (bad, why) in [
            (r#"{"format":9,"future":[]}"#, "expected format 1, found 9"),
            (r#"{"format":1,"entries":{"a.x":{"addresses":[],"reason":"healthy"}}}"#, "expected 1 to 64 addresses"),
            (many.as_str(), "found 33 and 33 for standby"),
            (r#"{"format":1,"entries":{},"more":1}"#, "unknown field"),
            ("{", "EOF"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let path = block_path(dir.path());
            std::fs::write(&path, bad).unwrap();
            assert!(matches!(load_block(dir.path()), Err(e) if e.contains(why)), "{bad}");
            put_aside(&path);
            assert_eq!(std::fs::read_to_string(dir.path().join("block.json.unusable")).unwrap(), bad);
            assert_eq!(load_block(dir.path()), Ok(None));
        }
    }
}
