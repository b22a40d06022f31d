//! Files that the configuration names: who may read and write them, and what is in them.

use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::context::{Bad, Read, World};
use super::file_ownership;
use crate::config::facts::{Access, Environment, FileFacts, Kind, RegularFile};
use crate::config::raw::Node;
use crate::config::source_text::quote_path;
use crate::model::{FileSecret, Secret, TrustBundle};

/// Only the owner writes, only the owner and the group read.
const SECRET_MODE: u32 = 0o640;
/// Longest secret: HTTP servers refuse longer header lines.
const LONGEST_SECRET: usize = 8_000;

/// A secret file with its trimmed content, if no other user can read or change it. Complaints never show content.
pub(super) fn secret(path: PathBuf, node: &Node, world: World<'_>) -> Read<FileSecret> {
    let file = regular(&path, node, world)?;
    let bad =
        |expected: &str, found: String| Bad::found_at(&node.at, expected, format!("{found} {}", quote_path(&path)));
    let Access { owner, mode, .. } = file.access;
    // The same for all that is wrong with it: what mends one of them alone would meet the next.
    let remedy = file_ownership::given_to_the_service(&path.to_string_lossy(), "0640");
    let mut all = Vec::new();
    if owner != 0 && !world.environment.trusted_uids.contains(&owner) {
        let expected = "a secret file owned by root or the service user";
        all.push(bad(expected, format!("owner {owner} on")).help(&remedy));
    }
    if mode & !SECRET_MODE != 0 {
        all.push(bad("a secret file of mode 0640 or less", format!("mode {mode:04o} on")).help(&remedy));
    }
    if lets_others_read(&file.acl) {
        let found = format!("an ACL on {} that lets more users or groups in", quote_path(&path));
        all.push(Bad::found_at(&node.at, "a secret file without ACL for others", found).help("setfacl -b removes it"));
    }
    all.extend(unreadable(&path, file, node, world.environment));
    if !all.is_empty() {
        return Err(all);
    }
    match content(file) {
        Ok(secret) => Ok(FileSecret { secret, written: file.modified, path }),
        Err(found) => Err(vec![bad("one line of printable ASCII in the secret file", format!("{found} in"))]),
    }
}

/// What systemd gave the service: its folder lets nobody in but root and the service, whatever the modes in it are.
pub(super) fn credential(path: PathBuf, node: &Node, world: World<'_>) -> Read<FileSecret> {
    let file = regular(&path, node, world)?;
    match content(file) {
        Ok(secret) => Ok(FileSecret { secret, written: file.modified, path }),
        Err(found) => {
            let found = format!("{found} in {}", quote_path(&path));
            Err(vec![Bad::found_at(&node.at, "one line of printable ASCII in the credential", found)])
        }
    }
}

fn content(file: &RegularFile) -> Result<Secret, &'static str> {
    match std::str::from_utf8(&file.content).map_err(|_| "bytes that are no text")?.trim() {
        "" => Err("nothing"),
        t if t.len() > LONGEST_SECRET => Err("more than 8000 characters"),
        t if !t.bytes().all(|b| matches!(b, 0x20..=0x7e | b'\t')) => Err("other characters"),
        t => Ok(Secret::new(t.to_owned())),
    }
}

/// Why the service user can't read the file, if so; whichever user we run as.
fn unreadable(path: &Path, file: &RegularFile, node: &Node, environment: &Environment) -> Option<Bad> {
    let bad = file_ownership::closed(Kind::File, file.access, environment.service?, &path.to_string_lossy())?;
    Some(Bad { found: format!("{} on {}", bad.found, quote_path(path)), at: node.at.clone(), ..bad })
}

/// True if a POSIX ACL grants reading to a named user or group. Layout: a 32-bit version, then entries of a 16-bit
/// tag, 16-bit permissions and a 32-bit id, all little-endian (linux/posix_acl_xattr.h).
fn lets_others_read(acl: &[u8]) -> bool {
    const USER: u16 = 0x02;
    const GROUP: u16 = 0x08;
    const READ: u16 = 0x04;
    let entries = acl.get(4..).unwrap_or_default().chunks_exact(8);
    entries.into_iter().any(|e| {
        let (tag, permissions) = (u16::from_le_bytes([e[0], e[1]]), u16::from_le_bytes([e[2], e[3]]));
        matches!(tag, USER | GROUP) && permissions & READ != 0
    })
}

/// The certificates of a PEM file that only its owner can change.
pub(super) fn trust_bundle(path: &Path, node: &Node, world: World<'_>) -> Read<TrustBundle> {
    let file = regular(path, node, world)?;
    if file.access.mode & 0o022 != 0 {
        let found = format!("mode {:04o} on {}", file.access.mode, quote_path(path));
        return Err(vec![Bad::found_at(&node.at, "a file that only its owner can write", found).help("chmod go-w")]);
    }
    // An ACL may say more than the mode does; of a secret file none is taken.
    if let Some(bad) = unreadable(path, file, node, world.environment).filter(|_| file.acl.is_empty()) {
        return Err(vec![bad]);
    }
    let refuse =
        |found: String| vec![Bad::found_at(&node.at, "PEM certificates", format!("{found} in {}", quote_path(path)))];
    let mut certificates = Vec::new();
    let mut roots = RootCertStore::empty();
    for (i, certificate) in CertificateDer::pem_slice_iter(&file.content).enumerate() {
        let certificate = certificate.map_err(|_| refuse("broken PEM".to_owned()))?;
        if roots.add(certificate.clone()).is_err() {
            return Err(refuse(format!("a broken certificate (number {})", i + 1)));
        }
        certificates.push(certificate.to_vec());
    }
    if certificates.is_empty() {
        return Err(refuse("none".to_owned()));
    }
    Ok(TrustBundle { path: path.to_owned(), certificates })
}

fn regular<'w>(path: &Path, node: &Node, world: World<'w>) -> Read<&'w RegularFile> {
    // The hosts writer, which doesn't look, finds nothing wrong either.
    let Some(facts) = world.facts else { return Err(Vec::new()) };
    let why = match facts.get(path) {
        Some(FileFacts::Regular(file)) => return Ok(file),
        Some(FileFacts::Unusable(why)) => why,
        None => "one that was not looked at",
    };
    Err(vec![Bad::found_at(&node.at, "a readable file", format!("{why}: {}", quote_path(path)))])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(entries: &[(u16, u16)]) -> Vec<u8> {
        let mut bytes = 2_u32.to_le_bytes().to_vec();
        for (tag, permissions) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(permissions.to_le_bytes());
            bytes.extend(0_u32.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn only_named_users_and_groups_are_others() {
        assert!(!lets_others_read(&[]));
        assert!(!lets_others_read(&[1, 2, 3]));
        assert!(!lets_others_read(&acl(&[(0x01, 6), (0x04, 4), (0x10, 4), (0x20, 0)])));
        assert!(lets_others_read(&acl(&[(0x01, 6), (0x02, 4)])));
        assert!(lets_others_read(&acl(&[(0x08, 7)])));
        assert!(!lets_others_read(&acl(&[(0x08, 1)])));
    }
}
